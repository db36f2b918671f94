//! Commands of hosts, between the room that brings them and the room that carries them out. Neither knows the other, and this one knows nothing at all.

use bytes::Bytes;
use chat_sdk::plugin::BoxFuture;

/// A command as it came. Which host it is from was decided by its way: only that host may send on it.
#[derive(Debug, Clone)]
pub struct Command {
    /// What is to be done: `messages.send`.
    pub name: String,
    /// For whom the host acts, percent-encoded; absent for the host itself.
    pub acting_user: Option<String>,
    /// What the host calls this request in its own logs.
    pub request_id: Option<String>,
    /// A JSON object.
    pub payload: Bytes,
}

/// What became of a command.
#[derive(Debug, Clone)]
pub struct Answer {
    /// As HTTP has it: 201, 404.
    pub status: u16,
    /// A JSON object; empty where there is nothing to say.
    pub body: Bytes,
    /// After how many seconds to try again, where that makes sense.
    pub retry_after: Option<String>,
    /// What the request is called in the logs.
    pub request_id: Option<String>,
}

impl Answer {
    /// Whether the command was refused or failed.
    pub fn is_error(&self) -> bool {
        self.status >= 400
    }
}

/// One command in a few words.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Its name: `messages.send`.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// Who carries commands out.
pub trait Commands: Send + Sync {
    /// Everything that can be asked for.
    fn described(&self) -> Vec<Described>;
    /// Carries one out. It always answers, also what it does not know.
    fn answer(&self, command: Command) -> BoxFuture<'_, Answer>;
}
