//! Iterates over a user's own messages, for export and erasure.

use chat_sdk::{ConversationId, UserId};

use super::Context;
use crate::{
    model::error::Result,
    store::{ClusterTime, StoredMessage},
};

/// Number of seqs of a log that are scanned at once.
const WINDOW: u64 = 2_000;

/// Iterator over the messages that a user sent in one conversation, oldest first.
///
/// Messages of a former holder of the id are left out. It ends at the log's last seq when the iteration began.
pub struct Walk<'a> {
    ctx: &'a Context,
    user: &'a UserId,
    conversation: &'a ConversationId,
    /// Time at which the present holder of the id began, by the cluster's clock.
    since: Option<ClusterTime>,
    after: u64,
    end: u64,
}

impl<'a> Walk<'a> {
    /// Starts at the beginning of the log. `since` is [`crate::store::Store::find_beginning`] of the user.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`](crate::model::DomainError::Unavailable).
    pub async fn begin(
        ctx: &'a Context,
        user: &'a UserId,
        since: Option<ClusterTime>,
        conversation: &'a ConversationId,
    ) -> Result<Self> {
        let touched = ctx.store.find_touched(&[conversation], None).await?;
        Ok(Self {
            ctx,
            user,
            conversation,
            since,
            after: 0,
            end: touched.first().map_or(0, |(_, applied)| *applied),
        })
    }

    /// Returns the messages in the next part of the log, possibly none; `None` at the end of the log.
    ///
    /// # Errors
    /// As for [`begin`](Self::begin).
    pub async fn next(&mut self) -> Result<Option<Vec<StoredMessage>>> {
        if self.after >= self.end {
            return Ok(None);
        }
        let (from, to) = (self.after, self.after + WINDOW);
        let own = self
            .ctx
            .store
            .find_own_messages(self.conversation, self.user, self.since, (from, to))
            .await?;
        let last = own.items.last().filter(|_| own.has_more);
        self.after = last.map_or(to, |message| message.seq);
        Ok(Some(own.items))
    }
}
