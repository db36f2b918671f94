//! Markers: read positions of members in conversations and threads. They are state and part of no log.
//!
//! Modules: `pending` merges the changes of one marker; `marks` writes them in groups; `access` reads what a mark is checked against, for many callers
//! at once; `groups` has the tasks of these; `readers` returns the readers of a message and their times; `unread` counts unread messages,
//! `short_ranges` those of many readers at once, both by `unread_rule` over `ranges`; `document` defines the stored form; `threads` names the users of thread
//! markers.
//!
//! Invariants: a marker goes backwards only by marking unread, whichever process writes it. A caller is answered after a majority has the change,
//! journaled. The collection `reads` has a step for every advance, so a message was read at the time of the first step to it or beyond it.

mod access;
mod document;
mod groups;
mod marks;
mod pending;
mod ranges;
mod readers;
mod short_ranges;
mod threads;
mod unread;
mod unread_rule;

use std::{collections::HashMap, sync::Arc};

use chat_sdk::UserId;
use tokio::sync::OwnedSemaphorePermit;

pub use access::{AccessQuery, MessageAccess};
pub(super) use groups::Markers;
pub use ranges::SeqRanges;
pub use short_ranges::RangeCount;

use super::Store;
use crate::model::{
    DomainError, Result,
    receipts::{Change, Marked, Marker, MarkerScope},
};
use document::{find_documents, marker_id};
use marks::Mark;
use short_ranges::UnreadQuery;

impl Store {
    /// Changes the marker of `user` in `place`, grouped with other changes.
    ///
    /// If this returns `Ok`, a majority has it.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the outcome is unknown; repeating the change is safe.
    pub async fn mark(&self, place: MarkerScope, user: &UserId, change: Change) -> Result<Marked> {
        let mark = Mark {
            id: marker_id(&place, user),
            change,
        };
        let marked = self.markers.marks.ask(mark).await;
        marked.unwrap_or_else(|| Err(DomainError::store_unavailable()))
    }

    /// Returns the permit to store a count in the background; `None` if enough are being stored.
    pub fn permit_background_count(&self) -> Option<OwnedSemaphorePermit> {
        let permits = Arc::clone(&self.markers.background_counts);
        permits.try_acquire_owned().ok()
    }

    /// Changes a marker soon or never: only for values that can be computed again.
    pub fn save_in_background(&self, place: &MarkerScope, user: &UserId, change: Change) {
        let id = marker_id(place, user);
        self.markers.marks.tell(Mark { id, change });
    }

    /// Reads what `query` asks for, grouped with other queries.
    ///
    /// # Errors
    /// [`DomainError::NotFound`] if the message does not exist, [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_access(&self, query: AccessQuery) -> Result<MessageAccess> {
        let access = self.markers.access.ask(query).await;
        access.unwrap_or_else(|| Err(DomainError::store_unavailable()))
    }

    /// Counts unread messages of `user` in a span of less than [`SeqRanges::LARGE`] seqs.
    ///
    /// The count is grouped with those of other callers.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_short(&self, user: &UserId, span: SeqRanges) -> Result<RangeCount> {
        if span.is_empty() {
            return Ok(RangeCount::default());
        }
        let user = user.clone();
        let counted = self.markers.short_ranges.ask(UnreadQuery { user, span });
        counted
            .await
            .unwrap_or_else(|| Err(DomainError::store_unavailable()))
    }

    /// Finds the markers of `user` in `places`, in their order; an empty marker if there is none.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_markers(&self, user: &UserId, places: &[MarkerScope]) -> Result<Vec<Marker>> {
        let ids: Vec<String> = places.iter().map(|place| marker_id(place, user)).collect();
        let mut found = find_documents(&self.markers.documents, &ids).await?;
        Ok(ids
            .iter()
            .map(|id| found.remove(id).unwrap_or_default())
            .collect())
    }

    /// Finds the markers of `users` in `place`, by user; those without a marker are absent.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_markers_in(
        &self,
        place: &MarkerScope,
        users: &[UserId],
    ) -> Result<HashMap<UserId, Marker>> {
        let ids: Vec<String> = users.iter().map(|user| marker_id(place, user)).collect();
        let mut found = find_documents(&self.markers.documents, &ids).await?;
        let markers = users.iter().zip(&ids);
        Ok(markers
            .filter_map(|(user, id)| Some((user.clone(), found.remove(id)?)))
            .collect())
    }
}
