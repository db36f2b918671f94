//! Dry run: searches past messages with a rule that is not stored. It changes nothing.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{
    ConversationId, EventType, MessageId,
    plugin::{Host, HostError, LogEvent, LogPosition},
};

use crate::{events, fold::Folded, matcher::CompiledRule};

/// Maximum number of messages that one call searches.
pub const MAX_MESSAGES: usize = 10_000;
/// Maximum number of log entries that one call reads to find them.
const MAX_EVENTS: usize = 50_000;
/// Number of log entries that are read at once.
const PAGE: usize = 1000;
/// Time after which a call ends with the page that it searches.
const MAX_TIME: Duration = Duration::from_secs(4);
/// Maximum number of messages that a result names.
const MAX_SAMPLES: usize = 20;

/// A message that matches.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Id of the message.
    pub message: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Index of the entry that it matches; `None` for a link outside a list of allowed domains.
    pub entry: Option<usize>,
}

/// Result of a call.
#[derive(Debug, Default)]
pub struct Found {
    /// Number of texts that were searched: messages and their edits.
    pub scanned: usize,
    /// Number of these that match.
    pub matched: usize,
    /// Number of matches by the index of the entry.
    pub entries: BTreeMap<usize, usize>,
    /// The first matches.
    pub samples: Vec<Sample>,
    /// Position after which the next call begins; `None` at the end.
    pub next: Option<LogPosition>,
}

impl Found {
    fn search(&mut self, rule: &CompiledRule, events: &[LogEvent], of: &[ConversationId]) {
        for event in events {
            let is_text = matches!(
                event.kind,
                EventType::MessageCreated | EventType::MessageUpdated
            );
            let Some(conversation) = is_text.then(|| event.owner.parse().ok()).flatten() else {
                continue;
            };
            if !of.is_empty() && !of.contains(&conversation) {
                continue;
            }
            let Some((message, text)) = events::text_of(&event.payload) else {
                continue;
            };
            self.scanned += 1;
            let Some(hit) = rule.find(&Folded::of(&text)) else {
                continue;
            };
            self.matched += 1;
            if let Some(entry) = hit.entry {
                *self.entries.entry(entry).or_default() += 1;
            }
            let is_known = self.samples.iter().any(|sample| sample.message == message);
            if !is_known && self.samples.len() < MAX_SAMPLES {
                self.samples.push(Sample {
                    message,
                    conversation,
                    entry: hit.entry,
                });
            }
        }
    }
}

/// Searches at most about `limit` past messages of these conversations, or of all, after a position.
///
/// # Errors
/// [`HostError::Unavailable`].
pub async fn run(
    host: &Host,
    rule: CompiledRule,
    conversations: Vec<ConversationId>,
    after: LogPosition,
    limit: usize,
) -> Result<Found, HostError> {
    let began = Instant::now();
    let (rule, of) = (Arc::new(rule), Arc::new(conversations));
    let (mut found, mut position, mut read) = (Found::default(), after, 0);
    loop {
        let size = PAGE.min(limit.saturating_sub(found.scanned)).max(1);
        let page = host.events.read_log(position, None, size).await?;
        read += page.events.len();
        position = page.next;
        let (rule, of) = (Arc::clone(&rule), Arc::clone(&of));
        let mut so_far = found;
        let search = tokio::task::spawn_blocking(move || {
            so_far.search(&rule, &page.events, &of);
            so_far
        });
        found = search
            .await
            .map_err(|_| HostError::Unavailable("the search failed".to_owned()))?;
        if page.is_end {
            return Ok(found);
        }
        if found.scanned >= limit || read >= MAX_EVENTS || began.elapsed() >= MAX_TIME {
            found.next = Some(position);
            return Ok(found);
        }
    }
}
