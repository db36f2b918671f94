//! Presence tables that exchange messages: they agree, notice what they missed, and one of them publishes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{ChosenStatus, PresenceStatus, Timestamp, UserId};

use super::{
    Change, Chosen, Entry, GossipEnvelope, GossipMessage, LEASE, PresenceTable, Transition, Viewer,
    VisiblePresence, WRITER_LEASE,
};
use crate::model::bounds;

fn user(id: &str) -> UserId {
    id.parse().expect("a user id")
}

fn here(id: &str) -> Change {
    let entry = Entry {
        is_active: true,
        chosen: Chosen::default(),
        since: 1,
    };
    Change::here(user(id), entry, 1)
}

fn come(table: &mut PresenceTable, id: &str) -> GossipEnvelope {
    table.change_own(vec![here(id)]).remove(0)
}

fn go(table: &mut PresenceTable, id: &str) -> GossipEnvelope {
    let gone = Change::gone(user(id), 2_000);
    table.change_own(vec![gone]).remove(0)
}

fn status(table: &PresenceTable, id: &str) -> PresenceStatus {
    table.shown(&user(id), Viewer::Other).status
}

/// Returns the table of a new process that takes commands.
fn new_table() -> PresenceTable {
    let name = ulid::Ulid::generate().to_string().to_lowercase();
    PresenceTable::new(name.into(), true)
}

/// Returns tables that all know each other and publish.
fn tables<const N: usize>(now: Instant) -> [PresenceTable; N] {
    let mut tables: [PresenceTable; N] = std::array::from_fn(|_| new_table());
    for table in &mut tables {
        table.begin_publishing();
    }
    let beats: Vec<GossipEnvelope> = tables.iter().map(PresenceTable::beat).collect();
    for table in &mut tables {
        for beat in &beats {
            assert!(table.take(beat.clone(), now).is_empty(), "nobody asks");
        }
    }
    tables
}

/// Returns the changes that each table publishes.
fn transitions(tables: &mut [PresenceTable], now: Instant) -> Vec<Vec<Transition>> {
    tables
        .iter_mut()
        .map(|table| table.transitions(now))
        .collect()
}

/// Delivers a published change to every table.
fn hear(tables: &mut [PresenceTable], transition: &Transition) {
    for table in tables {
        let Transition {
            id, user, shown, ..
        } = transition;
        table.apply_published(id, user, shown.clone());
    }
}

#[test]
fn every_change_is_published_by_exactly_one_process() {
    let now = Instant::now();
    let mut tables: [PresenceTable; 3] = tables(now);
    let mut by = [0; 3];
    for n in 0..60 {
        let id = format!("u{n}");
        let note = come(&mut tables[n % 3], &id);
        for table in &mut tables {
            table.take(note.clone(), now);
        }
        let made = transitions(&mut tables, now);
        let all: Vec<&Transition> = made.iter().flatten().collect();
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].shown.status, PresenceStatus::Online);
        for (count, made) in by.iter_mut().zip(&made) {
            *count += made.len();
        }
        let transition = all[0].clone();
        hear(&mut tables, &transition);
        assert!(transitions(&mut tables, now).concat().is_empty(), "once");
    }
    assert!(by.iter().all(|count| *count >= 5), "they share it: {by:?}");
}

#[test]
fn two_nodes_that_lose_a_user_at_once_do_not_wait_for_each_other() {
    let now = Instant::now();
    let mut tables: [PresenceTable; 2] = tables(now);
    for index in 0..2 {
        let note = come(&mut tables[index], "alice");
        tables[1 - index].take(note, now);
    }
    let online = transitions(&mut tables, now).concat();
    assert_eq!(online.len(), 1);
    hear(&mut tables, &online[0]);
    let notes = [go(&mut tables[0], "alice"), go(&mut tables[1], "alice")];
    assert!(
        transitions(&mut tables, now).concat().is_empty(),
        "each thinks of the other"
    );
    let [first, second] = notes;
    tables[0].take(second, now);
    tables[1].take(first, now);
    let offline = transitions(&mut tables, now).concat();
    assert_eq!(offline.len(), 1, "{offline:?}");
    assert_eq!(offline[0].shown.status, PresenceStatus::Offline);
    assert_eq!(offline[0].last_seen, Some(Timestamp::from_millis(2_000)));
}

#[test]
fn a_missed_message_is_requested_and_applied() {
    let now = Instant::now();
    let [mut one, mut two]: [PresenceTable; 2] = tables(now);
    let _lost = come(&mut one, "alice");
    let second = come(&mut one, "bob");
    let ask = two.take(second, now);
    assert!(
        matches!(ask[0].message, GossipMessage::Ask { .. }),
        "{ask:?}"
    );
    assert_eq!(status(&two, "bob"), PresenceStatus::Offline);
    for all in one.take(ask[0].clone(), now) {
        assert!(two.take(all, now).is_empty());
    }
    for id in ["alice", "bob"] {
        assert_eq!(status(&two, id), PresenceStatus::Online);
    }
    // The last message is lost too: the heartbeat shows it.
    let _lost = go(&mut one, "alice");
    let ask = two.take(one.beat(), now);
    for all in one.take(ask[0].clone(), now) {
        two.take(all, now);
    }
    assert_eq!(status(&two, "alice"), PresenceStatus::Offline);
    assert_eq!(status(&two, "bob"), PresenceStatus::Online);
    assert!(two.take(one.beat(), now).is_empty(), "they agree");
}

#[test]
fn a_new_node_receives_the_full_list_in_parts_and_publishes_none_of_it() {
    let now = Instant::now();
    let [mut one]: [PresenceTable; 1] = tables(now);
    let many: Vec<Change> = (0..4_000).map(|n| here(&format!("u{n}"))).collect();
    one.change_own(many);
    let published = one.transitions(now);
    assert_eq!(published.len(), 4_000);
    for transition in &published {
        hear(std::slice::from_mut(&mut one), transition);
    }
    let mut new = new_table();
    let hello = new.envelope(GossipMessage::Hello);
    let answer = one.take(hello, now);
    assert!(answer.len() > 3, "in parts");
    for note in answer {
        assert!(new.take(note, now).is_empty());
    }
    assert!(new.is_complete());
    assert_eq!(status(&new, "u999"), PresenceStatus::Online);
    new.begin_publishing();
    one.take(new.beat(), now);
    assert!(new.transitions(now).is_empty());
    assert!(one.transitions(now).is_empty());
}

#[test]
fn users_who_came_before_any_publisher_are_published_by_the_first_one() {
    let now = Instant::now();
    let (mut one, mut two) = (new_table(), new_table());
    one.take(two.beat(), now);
    let note = come(&mut two, "alice");
    one.take(note, now);
    assert_eq!(status(&one, "alice"), PresenceStatus::Online);
    one.begin_publishing();
    let online = one.transitions(now);
    assert_eq!(online.len(), 1, "{online:?}");
    assert_eq!(online[0].user, user("alice"));
}

#[test]
fn a_silent_or_leaving_process_takes_no_commands() {
    let now = Instant::now();
    let [mut one, mut two, _]: [PresenceTable; 3] = tables(now);
    assert_eq!(one.living_writers(now).len(), 3);
    let bye = two.end();
    one.take(bye, now);
    assert_eq!(one.living_writers(now).len(), 2);
    let later = now + WRITER_LEASE;
    assert_eq!(one.living_writers(later), [Arc::clone(&one.me)]);
}

#[test]
fn users_of_a_silent_node_are_offline_only_after_the_lease() {
    let now = Instant::now();
    let mut tables: [PresenceTable; 3] = tables(now);
    for (index, id) in [(0, "alice"), (0, "bob"), (1, "bob")] {
        let note = come(&mut tables[index], id);
        for table in &mut tables {
            table.take(note.clone(), now);
        }
        for transition in transitions(&mut tables, now).concat() {
            hear(&mut tables, &transition);
        }
    }
    let [_, one, two] = tables;
    let mut living = [one, two];
    let beats = [living[0].beat(), living[1].beat()];
    let later = now + LEASE - Duration::from_millis(1);
    for table in &mut living {
        for beat in &beats {
            table.take(beat.clone(), later);
        }
        table.expire(later);
    }
    assert_eq!(status(&living[0], "alice"), PresenceStatus::Online);
    let later = now + LEASE + Duration::from_millis(1);
    for table in &mut living {
        table.expire(later);
    }
    let gone = transitions(&mut living, later).concat();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(gone[0].user, user("alice"));
    assert!(gone[0].last_seen.is_some());
    assert_eq!(status(&living[0], "bob"), PresenceStatus::Online);
}

#[test]
fn a_change_missing_in_the_stream_is_published_again_with_the_same_id() {
    let now = Instant::now();
    let [mut one]: [PresenceTable; 1] = tables(now);
    come(&mut one, "alice");
    let first = one.transitions(now);
    let later = now + Duration::from_secs(6);
    one.retry_unconfirmed(later);
    let again = one.transitions(later);
    assert_eq!((first.len(), again.len()), (1, 1));
    assert_eq!(first[0].shown, again[0].shown);
    hear(std::slice::from_mut(&mut one), &again[0]);
    let last = later + Duration::from_secs(6);
    one.retry_unconfirmed(last);
    assert!(one.transitions(last).is_empty());
}

#[test]
fn a_user_left_online_by_the_dead_is_offline_unless_the_stream_said_so_already() {
    let now = Instant::now();
    let [mut table] = tables(now);
    let online = VisiblePresence {
        status: PresenceStatus::Online,
        text: None,
    };
    come(&mut table, "alice");
    for shown in [online.clone(), VisiblePresence::default()] {
        let change = table.transitions(now).remove(0);
        assert_eq!(change.shown, shown);
        hear(std::slice::from_mut(&mut table), &change);
        go(&mut table, "alice");
    }
    // The database may have been read before it held that alice is offline.
    assert!(!table.remember_published(&user("alice"), online.clone(), 1));
    assert!(table.remember_published(&user("bob"), online.clone(), 1));
    table.forget_delivered();
    assert!(!table.remember_published(&user("carol"), online, 1));
}

#[test]
fn a_chosen_status_reaches_every_table_and_an_older_one_is_ignored() {
    let now = Instant::now();
    let [mut one, mut two]: [PresenceTable; 2] = tables(now);
    let note = come(&mut one, "alice");
    two.take(note, now);
    let choose = |status, at| Chosen {
        status,
        text: None,
        at,
    };
    // The status is chosen on the other node: that node returns it at once, and the node that has the user announces it to all.
    let busy = choose(ChosenStatus::Busy, 5);
    two.choose(&user("alice"), &busy);
    assert_eq!(status(&two, "alice"), PresenceStatus::Busy);
    let message = GossipMessage::Chosen {
        user: user("alice"),
        chosen: busy,
    };
    let said = one.take(two.envelope(message), now);
    assert_eq!(status(&one, "alice"), PresenceStatus::Busy);
    for note in said {
        assert!(two.take(note, now).is_empty());
    }
    let message = GossipMessage::Chosen {
        user: user("alice"),
        chosen: choose(ChosenStatus::Away, 4),
    };
    assert!(one.take(two.envelope(message), now).is_empty());
    assert_eq!(status(&one, "alice"), PresenceStatus::Busy);
}

#[test]
fn gossip_messages_fit_even_with_the_longest_ids_and_texts() {
    let now = Instant::now();
    let [mut one, mut two]: [PresenceTable; 2] = tables(now);
    let many: Vec<Change> = (0..1_000)
        .map(|n| {
            let entry = Entry {
                is_active: true,
                chosen: Chosen {
                    status: ChosenStatus::Busy,
                    text: Some("😀".repeat(200)),
                    at: i64::MAX,
                },
                since: i64::MAX,
            };
            let id = format!("{n:03}{}", "😀".repeat(125));
            Change::here(user(&id), entry, i64::MAX)
        })
        .collect();
    let changes = one.change_own(many);
    let hello = two.envelope(GossipMessage::Hello);
    let all = one.take(hello, now);
    for note in changes.iter().chain(&all) {
        let bytes = serde_json::to_vec(note).expect("JSON").len();
        assert!(bytes <= bounds::NATS_GROUP, "{bytes}");
    }
    assert!(changes.len() > 3, "{}", changes.len());
    for note in changes {
        assert!(two.take(note, now).is_empty(), "nothing is missing");
    }
    let last = format!("999{}", "😀".repeat(125));
    assert_eq!(status(&two, &last), PresenceStatus::Busy);
}
