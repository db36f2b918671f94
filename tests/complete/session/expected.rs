//! The outcome of a session, read directly from the database, and what each socket should have received of it.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::actor::Actor;
use crate::support::Sandbox;

/// All seqs of a conversation, and each user's memberships as ranges of seqs, read directly from the database.
#[derive(Default)]
pub struct Expected {
    last: u64,
    /// By user: `[joined, left]`, both inclusive.
    intervals: BTreeMap<String, Vec<(u64, u64)>>,
}

/// The expected of every log, by its owner.
pub async fn read_expected(place: &Sandbox) -> BTreeMap<String, Expected> {
    let log = place.collection("log").await;
    let order = doc! { "conversationId": 1, "seq": 1 };
    let found = log.find(doc! {}).sort(order).await;
    let entries: Vec<Document> = match found {
        Ok(cursor) => cursor.try_collect().await.expect("the log can be read"),
        Err(error) => panic!("the log can be read: {error}"),
    };
    let mut truths: BTreeMap<String, Expected> = BTreeMap::new();
    for entry in entries {
        let owner = entry.get_str("conversationId").expect("an owner");
        let seq = entry.get_i64("seq").expect("a number").unsigned_abs();
        let expected = truths.entry(owner.to_owned()).or_default();
        assert_eq!(seq, expected.last + 1, "the log of {owner} is dense");
        expected.last = seq;
        let data = entry.get_document("data").cloned().unwrap_or_default();
        let list = |field: &str| data.get_array(field).cloned().unwrap_or_default();
        let users: Vec<String> = list("userIds")
            .iter()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .chain(list("members").iter().filter_map(|member| {
                let member = member.as_document()?;
                member.get_str("userId").ok().map(str::to_owned)
            }))
            .collect();
        match entry.get_str("type").expect("a type") {
            "conversation.created" | "participant.added" => {
                for user in users {
                    let intervals = expected.intervals.entry(user).or_default();
                    intervals.push((seq, u64::MAX));
                }
            }
            "participant.removed" => {
                for user in users {
                    let intervals = expected.intervals.entry(user).or_default();
                    intervals.last_mut().expect("was a member").1 = seq;
                }
            }
            "conversation.deleted" => {
                for (_, left) in expected.intervals.values_mut().flat_map(|of| of.last_mut()) {
                    *left = (*left).min(seq);
                }
            }
            _ => {}
        }
    }
    truths
}

/// The differences between the seqs that `actor` received and those inside their memberships, in order; empty if there are none. Events that are in no log
/// were checked on arrival: only members may receive them.
pub fn what_is_wrong(actor: &Actor, truths: &BTreeMap<String, Expected>) -> String {
    let who = &actor.watcher.user.id;
    let mut came: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for frame in &actor.watcher.came {
        let Some(seq) = frame["seq"].as_u64() else {
            continue;
        };
        let data = &frame["data"];
        let id = data["conversationId"].as_str().or(data["id"].as_str());
        let numbers = came.entry(id.unwrap_or_default()).or_default();
        // An entry that was delivered again after a resume was checked on its first arrival.
        if numbers.last().is_none_or(|last| *last < seq) {
            numbers.push(seq);
        }
    }
    let mut report = String::new();
    for (conversation, expected) in truths {
        if conversation == actor.watcher.notebook() {
            continue;
        }
        let intervals = expected.intervals.get(who).map_or(&[][..], Vec::as_slice);
        let expected: Vec<u64> = (1..=expected.last)
            .filter(|seq| {
                intervals
                    .iter()
                    .any(|(joined, left)| (*joined..=*left).contains(seq))
            })
            .collect();
        let came = came.remove(conversation.as_str()).unwrap_or_default();
        if came != expected {
            let line = format!("{who} got {came:?} of {conversation} instead of {expected:?}\n");
            report.push_str(&line);
        }
    }
    if !came.is_empty() {
        report.push_str(&format!("{who} got {came:?}\n"));
    }
    report
}
