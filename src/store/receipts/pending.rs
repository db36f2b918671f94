//! Result for one marker of all changes that arrived while the last group was written.

use chat_sdk::Timestamp;
use mongodb::bson::{Document, doc};

use super::document::{counted_document, reader_of_thread};
use crate::{
    model::receipts::{Change, Counted, Marker},
    store::documents::{date, number},
};

/// Changes of one marker, merged in the order in which they arrived.
///
/// Reading raises the seq to at least a value, marking unread lowers it to at most a value. Any sequence of such steps is one step: the seq is
/// clamped between `low` and `high`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    low: u64,
    high: u64,
    /// Lowest seq to which the marker was rewound.
    rewound: Option<u64>,
    delivered: u64,
    draft: Option<Option<String>>,
    counted: Option<Counted>,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            low: 0,
            high: u64::MAX,
            rewound: None,
            delivered: 0,
            draft: None,
            counted: None,
        }
    }
}

impl Pending {
    /// Adds one more change.
    pub fn add(&mut self, change: Change) {
        match change {
            Change::Read(seq) => {
                self.low = self.low.max(seq);
                self.high = self.high.max(seq);
                // A message that is read has also been delivered.
                self.delivered = self.delivered.max(seq);
            }
            Change::Unread(seq) => {
                self.low = self.low.min(seq);
                self.high = self.high.min(seq);
                self.rewound = Some(self.rewound.map_or(seq, |rewound| rewound.min(seq)));
            }
            Change::Delivered(seq) => self.delivered = self.delivered.max(seq),
            Change::Draft(draft) => self.draft = Some(draft),
            Change::Counted(counted) => self.counted = Some(counted),
        }
    }

    /// Returns the read position afterwards of a marker that is at `seq`.
    pub fn read_from(&self, seq: u64) -> u64 {
        self.low.max(self.high.min(seq))
    }

    /// Returns the delivered position afterwards.
    pub fn delivered_from(&self, seq: u64) -> u64 {
        self.delivered.max(seq)
    }

    /// Returns the seq after which everything becomes unread before anything is read.
    pub fn rewound(&self) -> Option<u64> {
        self.rewound
    }

    /// Returns the seq to which the marker advances, if it does.
    ///
    /// It advances if it passes `before` or the position that it was rewound to.
    pub fn reads_to(&self, before: &Marker) -> Option<u64> {
        let base = self
            .rewound
            .map_or(before.read_seq, |seq| seq.min(before.read_seq));
        Some(self.read_from(before.read_seq)).filter(|seq| *seq > base)
    }

    /// True if there is anything to write.
    pub fn changes(&self, before: &Marker) -> bool {
        self.read_from(before.read_seq) != before.read_seq
            || self.rewound.is_some()
            || self.delivered > before.delivered_seq
            || self
                .draft
                .as_ref()
                .is_some_and(|draft| *draft != before.draft)
            || self.counted.is_some()
    }

    /// Builds the update of the marker. It is valid whatever the marker is by then.
    ///
    /// Another process may write the marker too, and a seq that is higher than this one stays. Text occurs only as a literal, so that none can be
    /// taken for an expression.
    pub fn update(&self, id: &str, at: Timestamp) -> Document {
        let at = date(at);
        let now = |name: &str| doc! { "$ifNull": [format!("${name}"), 0_i64] };
        let read =
            doc! { "$max": [number(self.low), { "$min": [number(self.high), now("readSeq")] }] };
        let delivered = doc! { "$max": [number(self.delivered), now("deliveredSeq")] };
        let moved = |to: &Document, name: &str| doc! { "$cond": [{ "$gt": [to.clone(), now(name)] }, at, format!("${}", name.replace("Seq", "At"))] };
        let mut set = Document::new();
        if let Some(user) = reader_of_thread(id) {
            set.insert("userId", doc! { "$literal": user });
        }
        if self.low > 0 || self.rewound.is_some() {
            set.insert("readAt", moved(&read, "readSeq"));
            set.insert("readSeq", read);
        }
        if self.delivered > 0 {
            set.insert("deliveredAt", moved(&delivered, "deliveredSeq"));
            set.insert("deliveredSeq", delivered);
        }
        match &self.draft {
            Some(Some(text)) => {
                set.insert("draft", doc! { "$literal": text });
            }
            Some(None) => {
                set.insert("draft", "$$REMOVE");
            }
            None => {}
        }
        if let Some(counted) = &self.counted {
            set.insert("counted", doc! { "$literal": counted_document(counted) });
        }
        doc! { "q": { "_id": id }, "u": [{ "$set": set }], "upsert": true }
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    fn merged(changes: impl IntoIterator<Item = Change>) -> Pending {
        let mut pending = Pending::default();
        changes.into_iter().for_each(|change| pending.add(change));
        pending
    }

    fn at(read_seq: u64) -> Marker {
        Marker {
            read_seq,
            ..Marker::default()
        }
    }

    #[test]
    fn reading_never_goes_backwards() {
        let pending = merged([Change::Read(8), Change::Read(3)]);
        assert_eq!(pending.read_from(0), 8);
        assert_eq!(pending.read_from(10), 10);
        assert_eq!(pending.reads_to(&at(2)), Some(8));
        assert_eq!(pending.reads_to(&at(8)), None);
        assert!(!pending.changes(&Marker {
            delivered_seq: 8,
            ..at(8)
        }));
    }

    #[test]
    fn marking_unread_takes_back_what_came_before_it_and_not_what_comes_after() {
        assert_eq!(
            merged([Change::Read(10), Change::Unread(5)]).read_from(3),
            5
        );
        assert_eq!(
            merged([Change::Unread(5), Change::Read(8)]).read_from(20),
            8
        );
        let pending = merged([Change::Read(10), Change::Unread(5), Change::Read(8)]);
        assert_eq!((pending.read_from(20), pending.rewound()), (8, Some(5)));
        assert_eq!(
            pending.reads_to(&at(20)),
            Some(8),
            "a step to 8 is made anew"
        );
        let pending = merged([Change::Unread(5)]);
        assert_eq!((pending.read_from(3), pending.reads_to(&at(20))), (3, None));
    }

    #[test]
    fn any_row_of_changes_is_what_they_are_one_after_another() {
        let mut random = rand::rng();
        for _ in 0..2000 {
            let changes: Vec<Change> = (0..random.random_range(1..8))
                .map(|_| match random.random_range(0..3) {
                    0 => Change::Unread(random.random_range(0..12)),
                    1 => Change::Read(random.random_range(1..12)),
                    _ => Change::Delivered(random.random_range(1..12)),
                })
                .collect();
            let start = random.random_range(0..12);
            let expected = changes.iter().fold(start, |seq: u64, change| match change {
                Change::Read(to) => seq.max(*to),
                Change::Unread(to) => seq.min(*to),
                _ => seq,
            });
            let pending = merged(changes.clone());
            assert_eq!(pending.read_from(start), expected, "{start} {changes:?}");
        }
    }

    #[test]
    fn the_last_draft_counts_and_what_stands_in_it_is_a_text() {
        let pending = merged([
            Change::Draft(Some("one".into())),
            Change::Draft(Some("$readSeq".into())),
        ]);
        let update = pending.update("id", Timestamp::from_millis(0));
        let set = update.get_array("u").expect("a pipeline")[0].to_string();
        assert!(set.contains(r#""$literal": "$readSeq""#), "{set}");
        assert!(!set.contains("readAt"), "nothing was read: {set}");
    }
}
