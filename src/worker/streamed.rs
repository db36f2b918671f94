//! Entries that the tail has shown: the relay need not publish them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    bus::tail::{TailEvent, TailSink},
    model::entry::Owner,
};

/// Time that an owner is remembered after its last event: longer than the second sweep looks back.
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// Number of events between two removals of expired owners.
const FORGET_EVERY: u64 = 50_000;

/// Seqs seen in the stream, as ranges per owner.
///
/// Normally there is one range each, so it stays small whatever the traffic.
#[derive(Default)]
pub struct StreamedEntries {
    owners: Mutex<Owners>,
}

#[derive(Default)]
struct Owners {
    ranges: HashMap<Owner, Ranges>,
    events: u64,
}

struct Ranges {
    /// Ranges, ascending and disjoint, both ends inclusive.
    ranges: Vec<(u64, u64)>,
    touched: Instant,
}

impl StreamedEntries {
    /// True if the entry `seq` of `owner` was in the stream.
    pub fn contains(&self, owner: &Owner, seq: u64) -> bool {
        self.owners.lock().ranges.get(owner).is_some_and(|known| {
            known
                .ranges
                .iter()
                .rev()
                .any(|(from, to)| (*from..=*to).contains(&seq))
        })
    }
}

fn insert(ranges: &mut Vec<(u64, u64)>, seq: u64) {
    match ranges.last_mut() {
        Some((_, to)) if *to + 1 == seq => *to = seq,
        Some((from, to)) if (*from..=*to).contains(&seq) => {}
        _ => {
            ranges.push((seq, seq));
            ranges.sort_unstable();
            let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
            for &(from, to) in ranges.iter() {
                match merged.last_mut() {
                    Some((_, end)) if from <= *end + 1 => *end = (*end).max(to),
                    _ => merged.push((from, to)),
                }
            }
            *ranges = merged;
        }
    }
}

impl TailSink for StreamedEntries {
    fn on_event(&self, event: &TailEvent) {
        let now = Instant::now();
        let mut owners = self.owners.lock();
        match owners.ranges.get_mut(&event.owner) {
            Some(known) => {
                known.touched = now;
                insert(&mut known.ranges, event.seq);
            }
            None => {
                let known = Ranges {
                    ranges: vec![(event.seq, event.seq)],
                    touched: now,
                };
                owners.ranges.insert(event.owner.clone(), known);
            }
        }
        owners.events += 1;
        if owners.events.is_multiple_of(FORGET_EVERY) {
            owners
                .ranges
                .retain(|_, known| now - known.touched < MEMORY);
        }
    }

    fn on_reference(&self, event: &TailEvent) {
        self.on_event(event);
    }

    fn on_marker(&self, _watermark: u64) {}

    fn on_loss(&self) {
        self.owners.lock().ranges.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_any_order_become_few_ranges() {
        let mut ranges = Vec::new();
        for seq in [5, 6, 9, 7, 1, 8, 5, 3] {
            insert(&mut ranges, seq);
        }
        assert_eq!(ranges, [(1, 1), (3, 3), (5, 9)]);
    }
}
