//! Backlog of the relay, for reports: log entries that the event stream lacks.

use std::time::Duration;

use chat_sdk::Timestamp;
use mongodb::{
    bson::{Document, Timestamp as ClusterTime, doc},
    options::Hint,
};

use super::{
    Lacking, SetAside, Store, bounded, log::mongo::INSERT_MAX_TIME, relay::RelayState,
    seconds_before,
};
use crate::model::Result;

/// Normal age of an entry after the watermark.
///
/// The sweep stays behind majority time, and runs every second.
const NORMAL: Duration = Duration::from_secs(15);
/// Maximum number of entries that are counted.
const MAX_COUNTED: u64 = 100_000;

/// Remaining work of the relay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Number of log entries that may be missing in the stream, at most 100,000.
    ///
    /// It is 0 while the relay keeps up.
    pub missing: u64,
    /// Time at which the oldest of them was written.
    pub since: Option<Timestamp>,
    /// Lost events that durables still lack, one item for each durable that lacks any.
    pub lacking: Vec<Lacking>,
    /// Numbers of entries and owners that are set aside.
    pub set_aside: SetAside,
}

impl Backlog {
    /// Returns the age of the oldest missing entry.
    pub fn age(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| {
            let age = Timestamp::now().as_millis() - since.as_millis();
            Duration::from_millis(u64::try_from(age).unwrap_or(0))
        })
    }
}

/// Returns the cluster time up to which no insert can still add an entry.
pub(super) fn complete_until(majority: ClusterTime) -> ClusterTime {
    let behind = 2 * INSERT_MAX_TIME.as_secs().max(1) as u32 + 1;
    seconds_before(majority, behind)
}

impl Store {
    /// Returns the cluster time up to which the log is complete.
    ///
    /// An entry's `ts` may precede its commit by as long as the insert waited.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn horizon(&self) -> Result<ClusterTime> {
        Ok(complete_until(self.majority_time().await?))
    }

    /// Returns the remaining work of the relay.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn backlog(&self) -> Result<Backlog> {
        let state = self.relay_state().await?;
        let (missing, since) = self.missing_in_stream(&state).await?;
        Ok(Backlog {
            missing,
            since,
            lacking: self.lacking(None).await?,
            set_aside: self.count_set_aside().await?,
        })
    }

    pub(super) async fn missing_in_stream(
        &self,
        state: &RelayState,
    ) -> Result<(u64, Option<Timestamp>)> {
        let majority = self.majority_time().await?;
        let horizon = complete_until(majority);
        let first = self
            .read_sweep(state.watermark, horizon, 1)
            .await?
            .first()
            .map(|entry| entry.ts);
        let Some(first) = first else {
            return Ok((0, None));
        };
        if u64::from(majority.time.saturating_sub(first.time)) <= NORMAL.as_secs() {
            return Ok((0, None));
        }
        let missing = self.count_entries(state.watermark, horizon).await?;
        let since = Timestamp::from_millis(i64::from(first.time) * 1000);
        Ok((missing, Some(since)))
    }

    /// Counts the entries of all logs with `after < ts <= to` in the index, up to `MAX_COUNTED`.
    pub(super) async fn count_entries(&self, after: ClusterTime, to: ClusterTime) -> Result<u64> {
        let log = self.log.clone_with_type::<Document>();
        let counted = log
            .count_documents(doc! { "ts": { "$gt": after, "$lte": to } })
            .hint(Hint::Name("sweep".to_owned()))
            .limit(MAX_COUNTED);
        Ok(bounded(counted.into_future()).await?)
    }
}
