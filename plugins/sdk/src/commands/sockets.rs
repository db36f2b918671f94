//! Commands that exist on sockets only: tokens, rooms, signals and presence.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{Command, Declaration, Empty, OfConversation, RateLimit};
use crate::{GivenUserId, Presence, Timestamp};

/// Token of a socket whose handshake had none.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct Authenticate {
    /// Token of the user.
    pub token: String,
    /// Cursor to resume from.
    pub resume: Option<String>,
}

impl Command for Authenticate {
    type Path = Empty;
    type Body = Self;
    type Answer = Empty;

    const DECLARATION: Declaration = Declaration::new(
        "Authenticates the socket if the handshake had no token.",
        &[],
    )
    .socket("authenticate");
}

/// New token of a socket.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct RefreshToken {
    /// Token of the same user.
    pub token: String,
}

/// End of the new token.
#[derive(Debug, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct TokenExpiry {
    /// Time at which the token expires.
    pub expires_at: Timestamp,
}

impl Command for RefreshToken {
    type Path = Empty;
    type Body = Self;
    type Answer = TokenExpiry;

    const DECLARATION: Declaration =
        Declaration::new("Replaces the token of the socket.", &[]).socket("token:refresh");
}

macro_rules! commands_of_a_conversation {
    ($($(#[$doc:meta])* $type:ident: $declaration:expr;)*) => {$(
        $(#[$doc])*
        pub struct $type;

        impl Command for $type {
            type Path = OfConversation;
            type Body = Empty;
            type Answer = Empty;
            const DECLARATION: Declaration = $declaration;
        }
    )*};
}

const fn signal(name: &'static str, about: &'static str) -> Declaration {
    Declaration::new(about, &[403, 404])
        .socket(name)
        .limit(RateLimit::Typing)
}

commands_of_a_conversation! {
    /// The command that begins typing.
    StartTyping: signal("typing:start", "Tells the members that the user is typing.");
    /// The command that ends typing.
    StopTyping: signal("typing:stop", "Tells the members that the user stopped typing.");
    /// The command that begins recording.
    StartRecording: signal("recording:start", "Tells the members that the user is recording.");
    /// The command that ends recording.
    StopRecording: signal("recording:stop", "Tells the members that the user stopped recording.");
    /// The command that joins a conversation on a socket.
    JoinRoom: Declaration::new("Resumes the events of a conversation on this socket.", &[404]).socket("room:join");
    /// The command that leaves a conversation on a socket.
    LeaveRoom: Declaration::new("Stops the events of a conversation on this socket.", &[]).socket("room:leave");
}

/// The command that counts as activity of the user.
pub struct PingActivity;

impl Command for PingActivity {
    type Path = Empty;
    type Body = Empty;
    type Answer = Empty;

    const DECLARATION: Declaration =
        Declaration::new("Keeps the user online instead of away.", &[]).socket("activity:ping");
}

/// Users whose presence a socket subscribes to.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub struct SubscribePresence {
    /// Ids of the users, at most 1,000.
    #[oai(validator(max_items = 1000))]
    pub user_ids: Vec<GivenUserId>,
}

/// Presence of users, in the order of the request.
#[derive(Debug, Serialize, Deserialize, Object)]
pub struct SubscribedPresence {
    /// Current presence, one item per user; empty if the command ends subscriptions.
    pub presence: Vec<Presence>,
}

impl Command for SubscribePresence {
    type Path = Empty;
    type Body = Self;
    type Answer = SubscribedPresence;

    const DECLARATION: Declaration = Declaration::new(
        "Subscribes to the presence of users without a shared conversation.",
        &[],
    )
    .socket("presence:subscribe");
}

/// Users whose presence a socket no longer subscribes to.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub struct UnsubscribePresence {
    /// Ids of the users.
    pub user_ids: Vec<GivenUserId>,
}

impl Command for UnsubscribePresence {
    type Path = Empty;
    type Body = Self;
    type Answer = SubscribedPresence;

    const DECLARATION: Declaration =
        Declaration::new("Ends subscriptions to the presence of users.", &[])
            .socket("presence:unsubscribe");
}

/// The command that checks the connection.
pub struct Ping;

/// Answer to a ping.
#[derive(Debug, Serialize, Deserialize, Object)]
pub struct Pong {
    /// Always true: the service has answered.
    pub pong: bool,
    /// Current time of the service.
    pub timestamp: Timestamp,
}

impl Command for Ping {
    type Path = Empty;
    type Body = Empty;
    type Answer = Pong;

    const DECLARATION: Declaration =
        Declaration::new("Checks that the connection works.", &[]).socket("ping");
}
