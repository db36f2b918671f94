//! Retention: ends messages that are older than their conversation's retention time.
//!
//! Each such conversation has a record of the seq up to which every message is ended, and of the next check: the time when the first message after it
//! will be too old. So a check reads only what is due, from the index of the history. Messages are ended in the order of their seqs; one may wait for
//! another before it by the difference of the clocks.
//!
//! Settings are compared with the records every few seconds, so a change takes effect for existing messages within that time.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chat_sdk::{ConversationId, Timestamp};
use futures_util::{StreamExt, stream};

use super::timers::{AT_ONCE, Duty, Next, end};
use crate::{
    domain::Context,
    model::Result,
    store::{Aging, Cleared},
};

/// Maximum time between two comparisons of settings.
const LONGEST_PERIOD: Duration = Duration::from_secs(60);
/// Minimum time between two comparisons of settings.
const SHORTEST_PERIOD: Duration = Duration::from_secs(2);
/// Factor of the period to the time of a comparison.
///
/// A comparison takes at most a hundredth of the time, as long as that keeps the period short enough.
const PERIOD_FACTOR: u32 = 100;
/// Number of conversations that are checked in one batch.
const CONVERSATIONS: i64 = 50;
/// Number of messages of one conversation that are ended before others take their turn.
const MESSAGES: i64 = 200;
/// Time in milliseconds that a conversation waits after one of its messages could not be ended.
const PAUSE: i64 = 5_000;

/// Ends messages that exceed their conversation's retention time.
#[derive(Default)]
pub struct Retention {
    /// Recorded settings; `None` if they must be read.
    noted: Option<HashMap<ConversationId, u32>>,
    /// Time of the next comparison of settings.
    compare_at: Option<Instant>,
    /// Time of the first conversation's check; the outer `None` if it must be read.
    ///
    /// Only this task changes the records.
    next: Option<Option<Timestamp>>,
}

impl Duty for Retention {
    const NAME: &'static str = "retention";

    fn begin(&mut self) {
        *self = Self::default();
    }

    async fn work(&mut self, ctx: &Context) -> Result<Next> {
        if self.compare_at.is_none_or(|at| at <= Instant::now()) {
            let started = Instant::now();
            self.compare(ctx).await?;
            let period = started.elapsed() * PERIOD_FACTOR;
            self.compare_at = Some(Instant::now() + period.clamp(SHORTEST_PERIOD, LONGEST_PERIOD));
        }
        let now = Timestamp::now();
        let next = match self.next {
            Some(next) => next,
            None => ctx.store.next_retention().await?,
        };
        self.next = Some(next);
        if next.is_none_or(|at| at > now) {
            return Ok(Next::due(next));
        }
        self.next = None;
        let due = ctx.store.find_due_retentions(now, CONVERSATIONS).await?;
        let is_full = due.len() as i64 == CONVERSATIONS;
        for cleared in due {
            let (cleared, next_at) = clear(ctx, cleared).await?;
            ctx.store.advance_retention(&cleared, next_at).await?;
        }
        if is_full {
            Ok(Next::Now)
        } else {
            Ok(Next::At(Timestamp::now()))
        }
    }
}

impl Retention {
    /// Records conversations with a new or changed setting.
    async fn compare(&mut self, ctx: &Context) -> Result<()> {
        let noted = match self.noted.take() {
            Some(noted) => noted,
            None => ctx
                .store
                .find_noted_retentions()
                .await?
                .into_iter()
                .collect(),
        };
        let settings = ctx.store.find_retention_settings().await?;
        let changed: Vec<(ConversationId, u32)> = settings
            .iter()
            .filter(|(conversation, seconds)| noted.get(conversation) != Some(seconds))
            .cloned()
            .collect();
        if !changed.is_empty() {
            self.next = None;
            ctx.store
                .note_retentions(&changed, Timestamp::now())
                .await?;
        }
        self.noted = Some(settings.into_iter().collect());
        Ok(())
    }
}

/// Ends a bounded number of expired messages in one conversation.
///
/// Returns its progress and the time of the next check.
async fn clear(ctx: &Context, mut cleared: Cleared) -> Result<(Cleared, Option<Timestamp>)> {
    let Some(seconds) = ctx.store.find_retention_of(&cleared.conversation).await? else {
        return Ok((cleared, None));
    };
    let kept = i64::from(seconds) * 1000;
    let now = Timestamp::now().as_millis();
    let aging = ctx
        .store
        .find_aging(&cleared.conversation, cleared.through, MESSAGES)
        .await?;
    let is_full = aging.len() as i64 == MESSAGES;
    let end_of = |at: Timestamp| Timestamp::from_millis(at.as_millis() + kept);
    let is_old = |message: &Aging| end_of(message.at).as_millis() <= now;
    let old_count = aging.iter().position(|message| !is_old(message));
    let old = aging[..old_count.unwrap_or(aging.len())].to_vec();
    let conversation = &cleared.conversation;
    let ended: Vec<(u64, bool)> = stream::iter(old)
        .map(|message| async move {
            let at = end_of(message.at);
            let is_ended = end(ctx, Retention::NAME, conversation, &message.message, at).await;
            (message.seq, is_ended)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let done = ended.iter().take_while(|(_, is_ended)| *is_ended).count();
    let next_at = if done < ended.len() {
        now + PAUSE
    } else if let Some(young) = aging.get(done) {
        end_of(young.at).as_millis()
    } else if is_full {
        now
    } else {
        // No message is left, and a new one will not be too old sooner.
        now + kept
    };
    if let Some((seq, _)) = ended[..done].last() {
        cleared.through = *seq;
    }
    Ok((cleared, Some(Timestamp::from_millis(next_at))))
}
