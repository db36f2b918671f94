//! Conversations that keep messages for a limited time: what is older is ended.
//!
//! For each there is a note of the number up to which every message is ended, and of when to look again: when the first message after it will be too
//! old. So a look reads only what is due, from the index of the history. Messages are ended in the order of their numbers; by how much clocks
//! differ, one may wait for another before it.
//!
//! Settings are compared with the notes every few seconds, so a change counts for what is there already within that time.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chat_sdk::{ConversationId, Timestamp};
use futures_util::{StreamExt, stream};

use super::timers::{AT_ONCE, Duty, Next, end};
use crate::{
    domain::{Context, Result},
    store::{Aging, Cleared},
};

/// How often settings are compared at least.
const LONGEST_PERIOD: Duration = Duration::from_secs(60);
/// How often at most.
const SHORTEST_PERIOD: Duration = Duration::from_secs(2);
/// By how much the period is longer than what a comparison takes: it costs a hundredth of the time at most, as long as that keeps the period short enough.
const PERIOD_FACTOR: u32 = 100;
/// How many conversations are looked at in one batch.
const CONVERSATIONS: i64 = 50;
/// How many messages of one conversation are ended before others have their turn.
const MESSAGES: i64 = 200;
/// How long a conversation waits of which a message could not be ended.
const PAUSE: i64 = 5_000;

/// Ends what is older than its conversation keeps.
#[derive(Default)]
pub struct Retention {
    /// What is noted; `None` when it has to be read.
    noted: Option<HashMap<ConversationId, u32>>,
    /// When settings are compared next.
    compare_at: Option<Instant>,
    /// When the first conversation is to be looked at; the outer `None` when that has to be asked. Notes change here alone.
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
        match is_full {
            true => Ok(Next::Now),
            false => Ok(Next::At(Timestamp::now())),
        }
    }
}

impl Retention {
    /// Notes conversations whose setting is new or another.
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

/// Ends what is too old in one conversation, a bounded number. Answers how far it came and when to look again.
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
        // Nothing is left, and what comes now will be too old no sooner.
        now + kept
    };
    if let Some((seq, _)) = ended[..done].last() {
        cleared.through = *seq;
    }
    Ok((cleared, Some(Timestamp::from_millis(next_at))))
}
