//! Refills each durable with the events that the stream lost before it had acknowledged them.
//!
//! The events come from the log and are published on the subject that only this durable reads.
//!
//! A refill continues from its position after a further loss or a restart. It is never far ahead of the durable, and never faster than
//! `PER_SECOND`, so that live events are not disturbed.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chat_sdk::plugin::ReplayedEvent;
use metrics::counter;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::durables::{self, Durables, Position},
    model::{DomainError, Result},
    store::{ClusterTime, Refill, Store},
};

/// Time between two checks for refills.
const PERIOD: Duration = Duration::from_secs(1);
/// Duration of the lease, after which another process may take over.
const LEASE: Duration = Duration::from_secs(10);
/// Name of the lease.
const LEASE_NAME: &str = "refills";
/// Maximum number of events that are republished in a period, for all durables together.
const PER_SECOND: usize = 2000;
/// Maximum number of entries per read; they are also bounded in bytes.
const PAGE: u32 = 200;
/// Maximum number of pages of one refill that are read in a period.
const MAX_PAGES: usize = 10;
/// Maximum number of refills handled in a period; each costs the broker a few requests.
///
/// With more they take turns.
const AT_ONCE: usize = 64;
/// Number of waiting events at which a durable receives no further ones.
const MAX_AHEAD: u64 = 1000;

/// Stream sequences at which pages of a refill end, and the log time up to which each republishes.
type Ends = VecDeque<(u64, ClusterTime)>;

/// Parts that the refills work with.
#[derive(Clone)]
pub struct Refills {
    /// Store with the log.
    pub store: Arc<Store>,
    /// Durables of the deployment.
    pub durables: Arc<Durables<Store>>,
    /// Name of this process for the lease.
    pub holder: String,
}

impl Refills {
    /// Works until `end`, whenever this process holds the lease.
    pub async fn run(self, end: CancellationToken) {
        let mut ends: HashMap<String, Ends> = HashMap::new();
        let mut turn = 0_usize;
        while end
            .run_until_cancelled(tokio::time::sleep(PERIOD))
            .await
            .is_some()
        {
            let Ok(refills) = self.store.all_refills().await else {
                continue;
            };
            if refills.is_empty() {
                ends.clear();
                continue;
            }
            let lease = self.store.take_lease(LEASE_NAME, &self.holder, LEASE);
            if lease.await != Ok(true) {
                ends.clear();
                continue;
            }
            end.run_until_cancelled(self.step(refills, turn, &mut ends))
                .await;
            turn = turn.wrapping_add(AT_ONCE);
        }
        // A lease that is not released expires by itself.
        let _ = self.store.drop_lease(LEASE_NAME, &self.holder).await;
    }

    async fn step(&self, mut refills: Vec<Refill>, turn: usize, ends: &mut HashMap<String, Ends>) {
        let known: HashSet<&str> = refills.iter().map(|refill| refill.id.as_str()).collect();
        ends.retain(|id, _| known.contains(id.as_str()));
        let first = turn % refills.len().max(1);
        refills.rotate_left(first);
        refills.truncate(AT_ONCE);
        // They take turns: each gets a page before one gets a second.
        let mut budget = PER_SECOND;
        let share = (PER_SECOND / refills.len()).max(PAGE as usize);
        for refill in refills {
            if budget == 0 {
                break;
            }
            let ends = ends.entry(refill.id.clone()).or_default();
            match self.advance(&refill, ends, share.min(budget)).await {
                Ok(count) => budget = budget.saturating_sub(count),
                Err(error) => {
                    counter!("chat_refill_failures_total").increment(1);
                    tracing::warn!(%error, durable = %refill.durable, "the refill of a durable failed; it will be retried");
                }
            }
        }
    }

    /// Advances one refill by a step. Returns the number of republished events.
    async fn advance(&self, before: &Refill, ends: &mut Ends, most: usize) -> Result<usize> {
        let position = self.durables.position(&before.durable).await;
        let Some(position) = position.map_err(away)? else {
            // The process that serves the durable will create it again.
            return Ok(0);
        };
        let mut now = before.clone();
        if now.stream != position.stream {
            now.stream.clone_from(&position.stream);
            (now.put, now.last) = (now.settled, 0);
            ends.clear();
        }
        note_settled(&mut now, ends, &position);
        let mut count = 0;
        if now.put < now.until && position.pending < MAX_AHEAD {
            count = self.put_back(&mut now, ends, most).await?;
            note_settled(&mut now, ends, &position);
        }
        if now.put >= now.until && now.settled >= now.until {
            self.store.remove_refill(before).await?;
            tracing::info!(durable = %now.durable, "a durable was refilled with everything that the stream had lost");
        } else if now != *before {
            self.store.save_refill(before, &now).await?;
        }
        Ok(count)
    }

    async fn put_back(&self, now: &mut Refill, ends: &mut Ends, most: usize) -> Result<usize> {
        let kinds = self.store.events_of_durable(&now.durable).await?;
        let to = now.until.min(self.store.horizon().await?);
        let mut count = 0;
        for _ in 0..MAX_PAGES {
            if count >= most {
                break;
            }
            let (mut events, next) = self.read(now.put, to).await?;
            events.retain(|event| {
                let kinds = kinds.as_ref();
                kinds.is_none_or(|kinds| kinds.contains(&event.kind))
            });
            if !events.is_empty() {
                let last = self.durables.put(&now.durable, &events).await;
                let last = last.map_err(away)?;
                now.last = i64::try_from(last).unwrap_or(i64::MAX);
                count += events.len();
                counter!("chat_durable_backfilled_total", "durable" => now.durable.clone())
                    .increment(events.len() as u64);
            }
            now.put = next.unwrap_or(to);
            ends.push_back((now.last.unsigned_abs(), now.put));
            if next.is_none() {
                break;
            }
        }
        Ok(count)
    }

    async fn read(
        &self,
        after: ClusterTime,
        to: ClusterTime,
    ) -> Result<(Vec<ReplayedEvent>, Option<ClusterTime>)> {
        let (entries, next) = self.store.read_all_logs(after, to, PAGE).await?;
        let events = entries.iter().filter_map(durables::replay_of);
        Ok((events.collect(), next))
    }
}

/// Moves `settled` to the end of the last page of which the durable has acknowledged everything.
fn note_settled(now: &mut Refill, ends: &mut Ends, position: &Position) {
    while let Some((last, put)) = ends.front().copied()
        && last <= position.floor
    {
        now.settled = now.settled.max(put);
        ends.pop_front();
    }
    // After a restart the ends of earlier pages are lost, but not that of the last one.
    if ends.is_empty() && now.last.unsigned_abs() <= position.floor {
        now.settled = now.put;
    }
}

fn away(error: crate::bus::BusError) -> DomainError {
    DomainError::Unavailable(error.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(time: u32) -> ClusterTime {
        ClusterTime { time, increment: 1 }
    }

    fn refill(put: u32, last: i64) -> Refill {
        Refill {
            id: "a@9".to_owned(),
            durable: "a".to_owned(),
            settled: time(1),
            put: time(put),
            until: time(9),
            last,
            stream: String::new(),
        }
    }

    fn at(floor: u64) -> Position {
        Position {
            stream: String::new(),
            pending: 0,
            floor,
        }
    }

    #[test]
    fn a_page_counts_as_settled_when_its_last_event_is() {
        let mut now = refill(6, 30);
        let mut ends = Ends::from([(10, time(2)), (20, time(4)), (30, time(6))]);
        note_settled(&mut now, &mut ends, &at(19));
        assert_eq!(now.settled, time(2));
        note_settled(&mut now, &mut ends, &at(29));
        assert_eq!(now.settled, time(4));
        note_settled(&mut now, &mut ends, &at(30));
        assert_eq!((now.settled, ends.len()), (time(6), 0));
    }

    #[test]
    fn after_a_restart_only_the_last_page_tells() {
        let mut now = refill(6, 30);
        note_settled(&mut now, &mut Ends::new(), &at(29));
        assert_eq!(now.settled, time(1));
        note_settled(&mut now, &mut Ends::new(), &at(30));
        assert_eq!(now.settled, time(6));
    }
}
