//! Presence tables that exchange messages: they agree, notice what they missed, and one of them publishes.

use std::time::{Duration, Instant};

use chat_sdk::{ChosenStatus, PresenceStatus, Timestamp, UserId};

use super::{
    Change, Chosen, Entry, GossipEnvelope, GossipMessage, LEASE, PresenceTable, Transition, Viewer,
};
use crate::bounds;

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

fn come(board: &mut PresenceTable, id: &str) -> GossipEnvelope {
    board.change_own(vec![here(id)]).remove(0)
}

fn go(board: &mut PresenceTable, id: &str) -> GossipEnvelope {
    let gone = Change::gone(user(id), 2_000);
    board.change_own(vec![gone]).remove(0)
}

fn status(board: &PresenceTable, id: &str) -> PresenceStatus {
    board.shown(&user(id), Viewer::Other).status
}

/// Returns tables that all know each other and publish.
fn boards<const N: usize>(now: Instant) -> [PresenceTable; N] {
    let mut boards: [PresenceTable; N] = std::array::from_fn(|_| PresenceTable::new());
    for board in &mut boards {
        board.begin_to_settle();
    }
    let beats: Vec<GossipEnvelope> = boards.iter().map(PresenceTable::beat).collect();
    for board in &mut boards {
        for beat in &beats {
            assert!(board.take(beat.clone(), now).is_empty(), "nobody asks");
        }
    }
    boards
}

/// Returns the changes that each table publishes.
fn settle(boards: &mut [PresenceTable], now: Instant) -> Vec<Vec<Transition>> {
    boards.iter_mut().map(|board| board.settle(now)).collect()
}

/// Delivers a published change to every table.
fn hear(boards: &mut [PresenceTable], transition: &Transition) {
    for board in boards {
        let Transition {
            id, user, shown, ..
        } = transition;
        board.hear(id, user, shown.clone());
    }
}

#[test]
fn every_change_is_published_by_exactly_one_process() {
    let now = Instant::now();
    let mut boards: [PresenceTable; 3] = boards(now);
    let mut by = [0; 3];
    for n in 0..60 {
        let id = format!("u{n}");
        let note = come(&mut boards[n % 3], &id);
        for board in &mut boards {
            board.take(note.clone(), now);
        }
        let settled = settle(&mut boards, now);
        let all: Vec<&Transition> = settled.iter().flatten().collect();
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].shown.status, PresenceStatus::Online);
        for (count, settled) in by.iter_mut().zip(&settled) {
            *count += settled.len();
        }
        let transition = all[0].clone();
        hear(&mut boards, &transition);
        assert!(settle(&mut boards, now).concat().is_empty(), "once");
    }
    assert!(by.iter().all(|count| *count >= 5), "they share it: {by:?}");
}

#[test]
fn two_nodes_that_lose_a_user_at_once_do_not_wait_for_each_other() {
    let now = Instant::now();
    let mut boards: [PresenceTable; 2] = boards(now);
    for index in 0..2 {
        let note = come(&mut boards[index], "alice");
        boards[1 - index].take(note, now);
    }
    let online = settle(&mut boards, now).concat();
    assert_eq!(online.len(), 1);
    hear(&mut boards, &online[0]);
    let notes = [go(&mut boards[0], "alice"), go(&mut boards[1], "alice")];
    assert!(
        settle(&mut boards, now).concat().is_empty(),
        "each thinks of the other"
    );
    let [first, second] = notes;
    boards[0].take(second, now);
    boards[1].take(first, now);
    let offline = settle(&mut boards, now).concat();
    assert_eq!(offline.len(), 1, "{offline:?}");
    assert_eq!(offline[0].shown.status, PresenceStatus::Offline);
    assert_eq!(offline[0].last_seen, Some(Timestamp::from_millis(2_000)));
}

#[test]
fn a_missed_message_is_requested_and_applied() {
    let now = Instant::now();
    let [mut one, mut two]: [PresenceTable; 2] = boards(now);
    let _lost = come(&mut one, "alice");
    let second = come(&mut one, "bob");
    let ask = two.take(second, now);
    assert!(matches!(ask[0].word, GossipMessage::Ask { .. }), "{ask:?}");
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
    let [mut one]: [PresenceTable; 1] = boards(now);
    let many: Vec<Change> = (0..4_000).map(|n| here(&format!("u{n}"))).collect();
    one.change_own(many);
    let told = one.settle(now);
    assert_eq!(told.len(), 4_000);
    for transition in &told {
        hear(std::slice::from_mut(&mut one), transition);
    }
    let mut new = PresenceTable::new();
    let hello = new.note(GossipMessage::Hello);
    let answer = one.take(hello, now);
    assert!(answer.len() > 3, "in parts");
    for note in answer {
        assert!(new.take(note, now).is_empty());
    }
    assert!(new.is_complete());
    assert_eq!(status(&new, "u999"), PresenceStatus::Online);
    new.begin_to_settle();
    one.take(new.beat(), now);
    assert!(new.settle(now).is_empty());
    assert!(one.settle(now).is_empty());
}

#[test]
fn users_who_came_before_any_publisher_are_published_by_the_first_one() {
    let now = Instant::now();
    let (mut one, mut two) = (PresenceTable::new(), PresenceTable::new());
    one.take(two.beat(), now);
    let note = come(&mut two, "alice");
    one.take(note, now);
    assert_eq!(status(&one, "alice"), PresenceStatus::Online);
    one.begin_to_settle();
    let online = one.settle(now);
    assert_eq!(online.len(), 1, "{online:?}");
    assert_eq!(online[0].user, user("alice"));
}

#[test]
fn users_of_a_silent_node_are_offline_only_after_the_lease() {
    let now = Instant::now();
    let mut boards: [PresenceTable; 3] = boards(now);
    for (index, id) in [(0, "alice"), (0, "bob"), (1, "bob")] {
        let note = come(&mut boards[index], id);
        for board in &mut boards {
            board.take(note.clone(), now);
        }
        for transition in settle(&mut boards, now).concat() {
            hear(&mut boards, &transition);
        }
    }
    let [_, one, two] = boards;
    let mut living = [one, two];
    let beats = [living[0].beat(), living[1].beat()];
    let later = now + LEASE - Duration::from_millis(1);
    for board in &mut living {
        for beat in &beats {
            board.take(beat.clone(), later);
        }
        board.expire(later);
    }
    assert_eq!(status(&living[0], "alice"), PresenceStatus::Online);
    let later = now + LEASE + Duration::from_millis(1);
    for board in &mut living {
        board.expire(later);
    }
    let gone = settle(&mut living, later).concat();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(gone[0].user, user("alice"));
    assert!(gone[0].last_seen.is_some());
    assert_eq!(status(&living[0], "bob"), PresenceStatus::Online);
}

#[test]
fn a_change_missing_in_the_stream_is_published_again_with_the_same_id() {
    let now = Instant::now();
    let [mut one]: [PresenceTable; 1] = boards(now);
    come(&mut one, "alice");
    let first = one.settle(now);
    let later = now + Duration::from_secs(6);
    one.forget_unheard(later);
    let again = one.settle(later);
    assert_eq!((first.len(), again.len()), (1, 1));
    assert_eq!(first[0].shown, again[0].shown);
    hear(std::slice::from_mut(&mut one), &again[0]);
    let last = later + Duration::from_secs(6);
    one.forget_unheard(last);
    assert!(one.settle(last).is_empty());
}

#[test]
fn a_chosen_status_reaches_every_table_and_an_older_one_is_ignored() {
    let now = Instant::now();
    let [mut one, mut two]: [PresenceTable; 2] = boards(now);
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
    let word = GossipMessage::Chosen {
        user: user("alice"),
        chosen: busy,
    };
    let said = one.take(two.note(word), now);
    assert_eq!(status(&one, "alice"), PresenceStatus::Busy);
    for note in said {
        assert!(two.take(note, now).is_empty());
    }
    let word = GossipMessage::Chosen {
        user: user("alice"),
        chosen: choose(ChosenStatus::Away, 4),
    };
    assert!(one.take(two.note(word), now).is_empty());
    assert_eq!(status(&one, "alice"), PresenceStatus::Busy);
}

#[test]
fn gossip_messages_fit_even_with_the_longest_ids_and_texts() {
    let now = Instant::now();
    let [mut one, mut two]: [PresenceTable; 2] = boards(now);
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
    let hello = two.note(GossipMessage::Hello);
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
