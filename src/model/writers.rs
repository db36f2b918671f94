//! How commands reach the log, and committed entries the stream. `store` and `bus` implement these traits.

use std::{sync::Arc, time::Duration};

use chat_sdk::ConversationId;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::{
    command::{Outcome, Request},
    entry::Entry,
    error::Result,
};

/// Channel that a command's outcome is sent to.
pub type Reply = oneshot::Sender<Result<Outcome>>;

/// Maximum lag of a conversation's document behind acknowledged messages, while its writer lives.
///
/// Within this time the changes of many messages are written together.
pub const APPLIED_WITHIN: Duration = Duration::from_millis(250);

/// Submits commands to the log: through the writer of this process, or by forwarding to another's.
pub trait Writers: Send + Sync {
    /// Submits `request`. Requests for one owner are checked in the order of submission.
    ///
    /// The reply carries the error of the check, or is sent when the entry is committed and its changes are applied. A plain message is acknowledged
    /// at commit: its conversation's document, with the time and seq of the latest activity, follows within [`APPLIED_WITHIN`].
    fn submit(&self, request: Request, reply: Reply);

    /// Applies everything of `conversations` that was acknowledged before this call, and waits until their documents have it.
    ///
    /// Returns those for which this could not be confirmed: their writer is dead or unreachable, or has changed a moment ago.
    fn apply_now<'a>(
        &'a self,
        conversations: &'a [ConversationId],
    ) -> BoxFuture<'a, Vec<ConversationId>>;
}

/// Publishes committed entries.
pub trait Announce: Send + Sync {
    /// Takes committed entries without waiting.
    ///
    /// It may lose them: the sweep makes sure that each is published in the end.
    fn announce(&self, entries: &[Arc<Entry>]);
}
