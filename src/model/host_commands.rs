//! Commands of hosts: types between the module that receives them and the one that executes them. Neither knows the other.

use bytes::Bytes;
use chat_sdk::plugin::BoxFuture;

/// Received command. Its subject determines the host: only that host may publish to it.
#[derive(Debug, Clone)]
pub struct Command {
    /// Name of the operation, for example `messages.send`.
    pub name: String,
    /// User for whom the host acts, percent-encoded; absent for the host itself.
    pub acting_user: Option<String>,
    /// Id of this request in the host's own logs.
    pub request_id: Option<String>,
    /// Payload, a JSON object.
    pub payload: Bytes,
}

/// Answer to a command.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status code, for example 201 or 404.
    pub status: u16,
    /// Body, a JSON object; empty without content.
    pub body: Bytes,
    /// Number of seconds after which to retry, if a retry makes sense.
    pub retry_after: Option<String>,
    /// Id of the request in the logs.
    pub request_id: Option<String>,
}

impl Answer {
    /// True if the command was refused or failed.
    pub fn is_error(&self) -> bool {
        self.status >= 400
    }
}

/// Short description of one command.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Name of the command, for example `messages.send`.
    pub name: &'static str,
    /// Effect of the command.
    pub about: &'static str,
}

/// Executor of commands.
pub trait Commands: Send + Sync {
    /// Returns the descriptions of all commands.
    fn described(&self) -> Vec<Described>;
    /// Executes a command. It always answers, also for an unknown command.
    fn answer(&self, command: Command) -> BoxFuture<'_, Answer>;
}
