//! Collections and tasks of markers.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{
    access::{AccessQuery, AccessReader, MessageAccess},
    document::MarkerDocument,
    marks::{Mark, Marks},
    short_ranges::{RangeCount, ShortRanges, UnreadQuery},
};
use crate::{
    group::Group,
    model::{Result, receipts::Marked},
    store::{
        database::{Collection, Database},
        read_barrier::ReadBarrier,
    },
};

/// Maximum number of counts that are stored in the background at a time.
///
/// A user may have thousands of conversations with many unread messages; each count costs a read and a write.
const MAX_BACKGROUND_COUNTS: usize = 64;

/// Collections and tasks of markers.
pub struct Markers {
    pub(super) documents: Collection<MarkerDocument>,
    pub(super) marks: Group<Mark, Result<Marked>>,
    pub(super) access: Group<AccessQuery, Result<MessageAccess>>,
    pub(super) short_ranges: Group<UnreadQuery, Result<RangeCount>>,
    /// Permits of counts that are stored in the background.
    pub(super) background_counts: Arc<Semaphore>,
}

impl Markers {
    /// Starts the tasks; they end with the handle.
    ///
    /// Checks of marks read documents behind `read_barrier`.
    pub fn start(database: &Database, read_barrier: &ReadBarrier) -> Self {
        let marks = Marks::new(database);
        let access = AccessReader::new(database, read_barrier);
        let short_ranges = ShortRanges::new(database);
        Self {
            documents: database.collection("markers"),
            background_counts: Arc::new(Semaphore::new(MAX_BACKGROUND_COUNTS)),
            marks: Group::start(move |items| {
                let marks = marks.clone();
                async move { marks.write(items).await }
            }),
            access: Group::start(move |items| {
                let access = access.clone();
                async move { access.read(items).await }
            }),
            short_ranges: Group::start(move |items| {
                let short_ranges = short_ranges.clone();
                async move { short_ranges.count(items).await }
            }),
        }
    }
}
