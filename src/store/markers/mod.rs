//! Markers: read positions of members in conversations and threads. They are state and part of no log.
//!
//! Modules: `pending` merges the changes of one marker; `marks` writes them in groups; `seats` reads what a mark is checked against, for many callers
//! at once; `receipts` returns the readers of a message and their times; `count` counts unread messages, `tally` does the same in short spans for
//! many readers at once; `document` defines the stored form.
//!
//! Invariants: a marker goes backwards only by marking unread, whichever process writes it. A caller is answered after a majority has the change,
//! journaled. The collection `reads` has a step for every advance, so a message was read at the time of the first step to it or beyond it.

mod count;
mod document;
mod marks;
mod pending;
mod receipts;
mod seats;
mod tally;

use std::collections::HashMap;

use chat_sdk::UserId;
use futures_util::TryStreamExt;
use mongodb::bson::doc;

pub use count::SeqRanges;
pub use seats::{AccessQuery, MessageAccess};
pub use tally::Tallied;

use super::{Collection, Database, Store, bounded, settled::ReadBarrier};
use crate::{
    domain::{
        DomainError, Result,
        markers::{Change, Marked, Marker, MarkerScope},
    },
    group::Group,
};
use document::{MarkerDocument, marker_id};
use marks::{Mark, Marks};
use seats::Seats;
use tally::{Tallies, UnreadQuery};

/// Collections and tasks of markers.
pub struct Markers {
    documents: Collection<MarkerDocument>,
    marks: Group<Mark, Result<Marked>>,
    seats: Group<AccessQuery, Result<MessageAccess>>,
    tallies: Group<UnreadQuery, Result<Tallied>>,
}

impl Markers {
    /// Starts the tasks; they end with the handle.
    ///
    /// Checks of marks read documents behind the read barrier `settled`.
    pub fn start(database: &Database, settled: &ReadBarrier) -> Self {
        let marks = Marks::new(database);
        let seats = Seats::new(database, settled);
        let tallies = Tallies::new(database);
        Self {
            documents: database.collection("markers"),
            marks: Group::start(move |items| {
                let marks = marks.clone();
                async move { marks.write(items).await }
            }),
            seats: Group::start(move |items| {
                let seats = seats.clone();
                async move { seats.read(items).await }
            }),
            tallies: Group::start(move |items| {
                let tallies = tallies.clone();
                async move { tallies.count(items).await }
            }),
        }
    }
}

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

    /// Changes a marker soon or never: only for values that can be computed again.
    pub fn save_in_background(&self, place: &MarkerScope, user: &UserId, change: Change) {
        let id = marker_id(place, user);
        self.markers.marks.tell(Mark { id, change });
    }

    /// Reads what `seek` asks for, grouped with other queries.
    ///
    /// # Errors
    /// [`DomainError::NotFound`] if the message does not exist, [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_access(&self, seek: AccessQuery) -> Result<MessageAccess> {
        let seat = self.markers.seats.ask(seek).await;
        seat.unwrap_or_else(|| Err(DomainError::store_unavailable()))
    }

    /// Counts unread messages of `user` in a span of less than [`SeqRanges::LARGE`] seqs.
    ///
    /// The count is grouped with those of other callers.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn tally(&self, user: &UserId, span: SeqRanges) -> Result<Tallied> {
        if span.is_empty() {
            return Ok(Tallied::default());
        }
        let user = user.clone();
        let tallied = self.markers.tallies.ask(UnreadQuery { user, span }).await;
        tallied.unwrap_or_else(|| Err(DomainError::store_unavailable()))
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
}

async fn find_documents(
    collection: &Collection<MarkerDocument>,
    ids: &[String],
) -> Result<HashMap<String, Marker>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let documents: Vec<MarkerDocument> = bounded(async {
        collection
            .find(doc! { "_id": { "$in": ids } })
            .batch_size(2000)
            .await?
            .try_collect()
            .await
    })
    .await?;
    Ok(documents
        .into_iter()
        .map(|document| (document.id.clone(), document.marker()))
        .collect())
}
