//! A walk over the messages of a user's own, for who hands them over or erases them.

use chat_sdk::{ConversationId, UserId};

use super::{Context, error::Result};
use crate::store::{ClusterTime, StoredMessage};

/// How many numbers of a log are looked through at once.
const WINDOW: u64 = 2_000;

/// The messages that a user, not a former holder of the id, sent in one conversation, oldest first, up to where its log was when the walk began.
pub struct Walk<'a> {
    ctx: &'a Context,
    user: &'a UserId,
    conversation: &'a ConversationId,
    /// When the present holder of the id began, by the clock of the cluster.
    since: Option<ClusterTime>,
    after: u64,
    end: u64,
}

impl<'a> Walk<'a> {
    /// At the start of the log. `since` is [`crate::store::Store::find_beginning`] of the user.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`](super::DomainError::Unavailable).
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

    /// Those of the next part of the log, which may be none; `None` at its end.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
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
