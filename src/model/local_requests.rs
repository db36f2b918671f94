//! Operations that a part of this process asks for: types between the module that asks and the one that carries them out. Neither knows the other.

use bytes::Bytes;
use chat_sdk::{
    UserId,
    commands::RateLimit,
    plugin::{Bot, BoxFuture},
};

use super::{
    DomainError,
    host_commands::Answer,
    plugin_events::{Appended, NewPluginEvent},
};

/// Caller of a local request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalCaller {
    /// The host.
    Host,
    /// The host for a user.
    ActingFor(UserId),
    /// A user, whose requests the rate limits count.
    User(UserId),
}

/// Request for an operation of the REST API.
#[derive(Debug, Clone)]
pub struct LocalRequest {
    /// Caller of the operation.
    pub caller: LocalCaller,
    /// HTTP method.
    pub method: &'static str,
    /// Path and query, percent-encoded.
    pub path: String,
    /// JSON body; empty without one.
    pub body: Bytes,
    /// Rate limit that counts the request of a user.
    pub limit: RateLimit,
}

/// A bot that must exist.
#[derive(Debug, Clone)]
pub struct KeptBot {
    /// Name of its plugin.
    pub plugin: &'static str,
    /// Its id.
    pub id: UserId,
    /// Its profile.
    pub bot: Bot,
    /// True if the profile of an existing bot is overwritten.
    pub overwrites: bool,
}

/// Executor of local requests.
pub trait LocalRequests: Send + Sync {
    /// Carries out one operation. It always answers, also if the operation does not exist.
    fn answer(&self, request: LocalRequest) -> BoxFuture<'_, Answer>;

    /// Makes sure that a bot exists and that no token of it is valid.
    fn keep_bot(&self, bot: KeptBot) -> BoxFuture<'_, Result<(), DomainError>>;

    /// Appends events of plugins; the results are in their order.
    fn publish(
        &self,
        events: Vec<NewPluginEvent>,
    ) -> BoxFuture<'_, Vec<Result<Appended, DomainError>>>;

    /// Returns the answer that the API gives for `error`.
    fn refusal(&self, error: DomainError) -> BoxFuture<'static, Answer>;
}
