//! Publication of presence: if the table differs from what was published, one process publishes the change.

use std::time::{Duration, Instant};

use chat_sdk::{EventId, Timestamp, UserId};
use sha2::{Digest, Sha256};

use super::{PresenceTable, Shown, Viewer, board::Told};

/// Time that a published change may take to appear in the stream before it is published again.
const HEAR_WITHIN: Duration = Duration::from_secs(5);

/// A change of a user's presence, to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// Id of the event: the same for every process that publishes this change.
    pub id: EventId,
    /// Id of the user.
    pub user: UserId,
    /// The new presence.
    pub shown: Shown,
    /// Time when the user was last online, if the user is offline now.
    pub last_seen: Option<Timestamp>,
}

impl PresenceTable {
    /// Returns true if `shown` differs from the last published presence of `user` that this process knows.
    pub fn is_news(&self, user: &UserId, shown: &Shown) -> bool {
        let told = self.told.get(user);
        told.is_none_or(|told| told.shown != *shown)
    }

    /// Applies the presence of `user` that the stream delivered.
    pub fn hear(&mut self, id: &EventId, user: &UserId, shown: Shown) {
        if self
            .settled
            .get(user)
            .is_some_and(|(settled, _)| settled.id.as_ref() == Some(id))
        {
            self.settled.remove(user);
        }
        if shown.is_offline() {
            self.told.remove(user);
            self.left.remove(user);
        } else {
            let id = Some(id.clone());
            self.told.insert(user.clone(), Told { id, shown });
        }
    }

    /// Returns true if this process is the first of those that publish.
    pub fn is_first_settler(&self) -> bool {
        self.settlers().first() == Some(&self.me)
    }

    /// Records a presence of `user` that a process, since gone, had published.
    ///
    /// Returns true if the user looks offline now.
    pub fn remember_told(&mut self, user: &UserId, shown: Shown, last_seen: i64) -> bool {
        if self.told.contains_key(user) || !self.shown(user, Viewer::Other).is_offline() {
            return false;
        }
        self.told.insert(user.clone(), Told { id: None, shown });
        self.left.insert(user.clone(), last_seen);
        true
    }

    /// Returns the changes that this process must publish now.
    pub fn settle(&mut self, now: Instant) -> Vec<Transition> {
        let settlers = self.settlers();
        let dirty = std::mem::take(&mut self.dirty);
        let is_mine = |user: &UserId| {
            let owner = settlers.iter().max_by_key(|name| score(name, user));
            owner == Some(&self.me)
        };
        let (mine, others): (Vec<UserId>, Vec<UserId>) = dirty.into_iter().partition(is_mine);
        for user in others {
            if !self.told.contains_key(&user) {
                // Nothing will be published for this user: they were never published as online.
                self.left.remove(&user);
            }
        }
        mine.into_iter()
            .filter_map(|user| self.settle_one(user, now))
            .collect()
    }

    /// Returns the change of `user` to publish, whichever process is responsible for the user.
    pub fn settle_one(&mut self, user: UserId, now: Instant) -> Option<Transition> {
        let shown = self.shown(&user, Viewer::Other);
        let told = self.told.get(&user);
        let known = match self.settled.get(&user) {
            Some((settled, at)) if now.duration_since(*at) < HEAR_WITHIN => Some(settled),
            _ => told,
        };
        if known.map_or(shown.is_offline(), |known| known.shown == shown) {
            if shown.is_offline() {
                self.left.remove(&user);
            }
            return None;
        }
        let since = self.entries(&user).map(|entry| entry.since).min();
        // A user who becomes visible again did not arrive anew; only the choice is newer.
        let chosen = self.entries(&user).map(|entry| entry.chosen.at).max();
        let id = transition_id(known, since.zip(chosen), &user, &shown);
        let last_seen = shown.is_offline().then(|| {
            let left = self.left.get(&user).copied();
            left.map_or_else(Timestamp::now, Timestamp::from_millis)
        });
        let settled = Told {
            id: Some(id.clone()),
            shown: shown.clone(),
        };
        self.settled.insert(user.clone(), (settled, now));
        Some(Transition {
            id,
            user,
            shown,
            last_seen,
        })
    }

    /// Drops changes that the stream should have delivered by now, so that they are published again.
    pub fn forget_unheard(&mut self, now: Instant) {
        let told = &self.told;
        let dirty = &mut self.dirty;
        self.settled.retain(|user, (settled, at)| {
            let is_waiting = now.duration_since(*at) < HEAR_WITHIN;
            let is_told = told.get(user).map_or(settled.shown.is_offline(), |told| {
                told.shown == settled.shown
            });
            if !is_waiting && !is_told {
                dirty.insert(user.clone());
            }
            is_waiting
        });
    }
}

fn score(name: &str, user: &UserId) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in user.as_str().bytes().chain([b'/']).chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// Returns the id of the event that follows `known`: the same in all processes that know the same.
fn transition_id(
    known: Option<&Told>,
    came_and_chose: Option<(i64, i64)>,
    user: &UserId,
    shown: &Shown,
) -> EventId {
    let mut hash = Sha256::new();
    match (known.and_then(|known| known.id.as_ref()), came_and_chose) {
        (Some(id), _) => hash.update(id.as_str()),
        (None, Some((came, chose))) => {
            hash.update(came.to_be_bytes());
            hash.update(chose.to_be_bytes());
        }
        (None, None) => return EventId::generate(),
    }
    hash.update([shown.status as u8]);
    hash.update(shown.text.as_deref().unwrap_or_default());
    hash.update([0]);
    hash.update(user.as_str());
    let hash = hash.finalize();
    let random = hash
        .iter()
        .take(10)
        .fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
    let now = Timestamp::now().as_millis().unsigned_abs();
    // Ids begin with a time. It is rounded to a minute, so that a process that publishes the same a moment later makes the same id.
    let ulid = ulid::Ulid::from_parts(now - now % 60_000, random);
    format!("{}{}", EventId::PREFIX, ulid.to_string().to_lowercase())
        .parse()
        .unwrap_or_else(|_| EventId::generate())
}
