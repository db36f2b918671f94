//! The half of a sweep that brings documents up to date with the log.
//!
//! It needs no broker, and an owner that fails stops no other.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use metrics::counter;

use super::{MAX_PAGES, PAGE, Relay};
use crate::{
    model::{Result, entry::Owner},
    store::{
        SweepEntry,
        log::{Backend, apply},
    },
};

/// Number of owners that are brought up to date concurrently.
const APPLIED_AT_ONCE: usize = 8;
/// Maximum time for one owner before the sweep continues without it.
const OWNER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time until a failed owner is retried.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Maximum number of owners per retry.
const TRIED_AGAIN: i64 = 64;

impl Relay {
    /// Applies what the documents lack up to the horizon, even if nothing can be published.
    pub(super) async fn apply_alone(&self) -> Result<()> {
        let state = self.store.relay_state().await?;
        let horizon = self.store.horizon().await?;
        let before = state.applied();
        let mut applied = before;
        for _ in 0..MAX_PAGES {
            let entries = self.store.read_sweep(applied, horizon, PAGE).await?;
            let Some(last) = entries.last().map(|entry| entry.ts) else {
                break;
            };
            self.apply(&entries).await?;
            applied = last;
        }
        if applied != before {
            self.store.advance_applied(applied).await?;
        }
        Ok(())
    }

    /// Brings the documents of every owner in `entries` up to date with the log.
    ///
    /// Owners that fail are listed and retried later.
    pub(super) async fn apply(&self, entries: &[SweepEntry]) -> Result<()> {
        let mut highest: BTreeMap<&Owner, u64> = BTreeMap::new();
        for entry in entries {
            let seq = highest.entry(&entry.owner).or_default();
            *seq = (*seq).max(entry.seq);
        }
        let owners: Vec<Owner> = highest.keys().map(|owner| (*owner).clone()).collect();
        let applied = self.backend.read_applied(&owners).await?;
        let attempts: Vec<_> = owners
            .iter()
            .zip(applied)
            .filter(|(owner, applied)| *applied < highest[owner])
            .map(|(owner, _)| self.attempt(owner))
            .collect();
        let outcomes: Vec<(&Owner, bool)> = stream::iter(attempts)
            .buffer_unordered(APPLIED_AT_ONCE)
            .collect()
            .await;
        let failed: Vec<&Owner> = outcomes
            .into_iter()
            .filter_map(|(owner, is_done)| (!is_done).then_some(owner))
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        // If MongoDB is unavailable all of them fail, and no owner is the cause.
        self.store.ping().await?;
        for owner in failed {
            if self.store.set_owner_aside(owner, TRIED_AGAIN_AFTER).await? {
                tracing::error!(
                    %owner,
                    "the documents of an owner cannot be brought up to date; it was set aside and will be retried"
                );
            }
        }
        Ok(())
    }

    /// Retries the owners that failed before.
    pub(super) async fn apply_again(&self) -> Result<()> {
        for owner in self.store.find_owners_aside(TRIED_AGAIN).await? {
            if self.bring_up_to_date(&owner).await {
                self.store.take_owner_back(&owner).await?;
                tracing::info!(%owner, "the documents of an owner are up to date again");
            } else {
                self.store
                    .set_owner_aside(&owner, TRIED_AGAIN_AFTER)
                    .await?;
            }
        }
        Ok(())
    }

    async fn attempt<'a>(&self, owner: &'a Owner) -> (&'a Owner, bool) {
        (owner, self.bring_up_to_date(owner).await)
    }

    async fn bring_up_to_date(&self, owner: &Owner) -> bool {
        let applied = apply::bring_up_to_date(&*self.backend, owner);
        let applied = tokio::time::timeout(OWNER_TIMEOUT, applied).await;
        let is_done = matches!(applied, Ok(Ok(_)));
        let name = if is_done {
            "chat_relay_applied_total"
        } else {
            "chat_relay_apply_failures_total"
        };
        counter!(name).increment(1);
        is_done
    }
}
