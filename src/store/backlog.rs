//! What the log has and the event stream lacks, for reports.

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
use crate::domain::Result;

/// How old an entry after the watermark is while all goes well: the sweep stays behind majority time, and runs every second.
const NORMAL: Duration = Duration::from_secs(15);
/// The most entries that are counted.
const MAX_COUNTED: u64 = 100_000;

/// What the relay has still to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Entries of the log that may be missing in the stream, at most 100,000. 0 while the relay keeps up.
    pub missing: u64,
    /// When the oldest of them was written.
    pub since: Option<Timestamp>,
    /// What durables lack of what the stream lost, one for each that lacks something.
    pub lacking: Vec<Lacking>,
    /// What was set aside.
    pub set_aside: SetAside,
}

impl Backlog {
    /// How old the oldest missing entry is.
    pub fn age(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| {
            let age = Timestamp::now().as_millis() - since.as_millis();
            Duration::from_millis(u64::try_from(age).unwrap_or(0))
        })
    }
}

/// The cluster time up to which no insert can come in front of what is there.
pub(super) fn settled_horizon(majority: ClusterTime) -> ClusterTime {
    let behind = 2 * INSERT_MAX_TIME.as_secs().max(1) as u32 + 1;
    seconds_before(majority, behind)
}

impl Store {
    /// The cluster time up to which the log is complete: an entry's `ts` may precede its commit by as long as the insert waited.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn horizon(&self) -> Result<ClusterTime> {
        Ok(settled_horizon(self.majority_time().await?))
    }

    /// What the relay has still to do.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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
        let horizon = settled_horizon(majority);
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

    /// How many entries of all logs have `after < ts <= to`; counted in the index, up to a bound.
    pub(super) async fn count_entries(&self, after: ClusterTime, to: ClusterTime) -> Result<u64> {
        let log = self.log.clone_with_type::<Document>();
        let counted = log
            .count_documents(doc! { "ts": { "$gt": after, "$lte": to } })
            .hint(Hint::Name("sweep".to_owned()))
            .limit(MAX_COUNTED);
        Ok(bounded(counted.into_future()).await?)
    }
}
