//! The half of a sweep that publishes what the stream lacks.
//!
//! An entry that the broker refuses permanently is set aside, and one that fails stops no other.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, stream};
use metrics::counter;

use super::{Relay, unavailable};
use crate::{
    bus::BusError,
    model::{
        DomainError, Result,
        entry::{Entry, Owner},
    },
    store::{SweepEntry, log::Backend},
};

/// Number of owners that are published concurrently.
const PUBLISHED_AT_ONCE: usize = 8;
/// Number of entries of one owner in memory at once. The largest has 160 KiB.
const READ_AT_ONCE: u64 = 64;

impl Relay {
    /// Publishes what the tail has not shown, and waits until it is stored.
    ///
    /// # Errors
    /// Fails with the first temporary failure, after everything else was tried.
    pub(super) async fn publish_missing(&self, entries: &[SweepEntry]) -> Result<()> {
        let mut missing: BTreeMap<&Owner, (u64, u64)> = BTreeMap::new();
        for entry in entries {
            if !self.streamed.contains(&entry.owner, entry.seq) {
                let range = missing
                    .entry(&entry.owner)
                    .or_insert((entry.seq, entry.seq));
                range.0 = range.0.min(entry.seq);
                range.1 = range.1.max(entry.seq);
            }
        }
        let attempts: Vec<_> = missing
            .into_iter()
            .map(|(owner, range)| self.publish_range(owner, range))
            .collect();
        let outcomes: Vec<Result<()>> = stream::iter(attempts)
            .buffer_unordered(PUBLISHED_AT_ONCE)
            .collect()
            .await;
        let failures = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        counter!("chat_relay_publish_failures_total").increment(failures as u64);
        outcomes.into_iter().collect()
    }

    async fn publish_range(&self, owner: &Owner, (from, to): (u64, u64)) -> Result<()> {
        let mut outcome = Ok(());
        if !self.bus.is_connected() {
            // Without the broker every owner fails; nothing needs to be read for that.
            return Err(DomainError::Unavailable("NATS is away.".into()));
        }
        let mut first = from;
        while first <= to {
            let last = to.min(first + READ_AT_ONCE - 1);
            let (mut entries, last) = self.read_missing(owner, first, last).await?;
            entries.retain(|entry| !self.streamed.contains(owner, entry.seq));
            counter!("chat_relay_published_total").increment(entries.len() as u64);
            let published = self.bus.publish_each(&entries).await;
            for (index, reason) in published.refused {
                self.set_aside(&entries[index], &reason).await?;
            }
            if let Some(failure) = published.failure {
                outcome = Err(unavailable(failure));
            }
            first = last + 1;
        }
        outcome
    }

    /// Reads entries of one owner, and returns them with the seq up to which they are complete.
    ///
    /// A page is bounded in bytes.
    ///
    /// An entry that this version cannot read is set aside.
    async fn read_missing(
        &self,
        owner: &Owner,
        first: u64,
        last: u64,
    ) -> Result<(Vec<Arc<Entry>>, u64)> {
        let count = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        let is_wanted = |entry: &Arc<Entry>| entry.seq <= last;
        if let Ok(page) = self.backend.read_log(owner, first - 1, count).await {
            let read_to = page.entries.last().map(|entry| entry.seq);
            let read_to = read_to.filter(|seq| page.has_more && *seq < last);
            let entries = page.entries.into_iter().filter(is_wanted).collect();
            return Ok((entries, read_to.unwrap_or(last)));
        }
        // Either MongoDB is unavailable or one of them cannot be read.
        self.store.ping().await?;
        let mut readable = Vec::new();
        for seq in first..=last {
            match self.backend.read_log(owner, seq - 1, 1).await {
                Ok(page) => {
                    let entries = page.entries.into_iter();
                    readable.extend(entries.filter(|entry| entry.seq == seq));
                }
                Err(error) => {
                    self.store
                        .ping()
                        .await
                        .map_err(|_| DomainError::from(error))?;
                    let keep = self.retention;
                    if self.store.set_unreadable_aside(owner, seq, keep).await? {
                        counter!("chat_relay_set_aside_total").increment(1);
                        tracing::error!(%owner, seq, "an entry of the log cannot be read; it was set aside");
                    }
                }
            }
        }
        Ok((readable, last))
    }

    /// Lists an entry that the broker never accepts, and publishes a reference in its place.
    ///
    /// So every reader of the stream learns of it, and reads it from the log.
    async fn set_aside(&self, entry: &Entry, reason: &str) -> Result<()> {
        let is_new = self
            .store
            .set_entry_aside(entry, reason, self.retention)
            .await?;
        if is_new {
            counter!("chat_relay_set_aside_total").increment(1);
            tracing::error!(
                event = %entry.id, owner = %entry.owner, seq = entry.seq, reason,
                "the broker refuses an event permanently; it was set aside and is delivered from the log"
            );
        }
        match self.bus.publish_reference(entry).await {
            // Even the reference is too large. The entry is listed, and the others continue.
            Ok(()) | Err(BusError::Rejected(_)) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }
}
