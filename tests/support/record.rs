//! Record of what succeeded through one address: operations, socket commands, and received events. Every client and socket adds to it.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;

/// The operations, commands and events that succeeded.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Operations that were answered with success, by `operationId`.
    pub operations: BTreeSet<String>,
    /// Commands that were acknowledged with success.
    pub commands: BTreeSet<String>,
    /// Events that came.
    pub events: BTreeSet<String>,
}

/// By the address, `host:port`.
static RECORDS: Mutex<Option<HashMap<String, Record>>> = Mutex::new(None);

/// `host:port` of a URL.
fn address(url: &str) -> String {
    url.split('/').nth(2).unwrap_or_default().to_owned()
}

/// Notes something that was done at `url`.
pub(super) fn note(url: &str, note: impl FnOnce(&mut Record)) {
    let mut records = RECORDS.lock();
    let records = records.get_or_insert_default();
    note(records.entry(address(url)).or_default());
}

/// The record of `url` so far.
pub fn record_of(url: &str) -> Record {
    let records = RECORDS.lock();
    let record = records.as_ref().and_then(|of| of.get(&address(url)));
    record.cloned().unwrap_or_default()
}
