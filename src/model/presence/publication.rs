//! Publication of presence: if the table differs from what was published, one process publishes the change.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use chat_sdk::{EventId, Timestamp, UserId};
use sha2::{Digest, Sha256};

use super::{PresenceTable, Viewer, VisiblePresence, table::Published};

/// Time that a published change may take to appear in the stream before it is published again.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);

/// A change of a user's presence, to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// Id of the event: the same for every process that publishes this change.
    pub id: EventId,
    /// Id of the user.
    pub user: UserId,
    /// The new presence.
    pub shown: VisiblePresence,
    /// Time when the user was last online, if the user is offline now.
    pub last_seen: Option<Timestamp>,
}

impl PresenceTable {
    /// Returns true if `shown` differs from the last published presence of `user` that this process knows.
    pub fn is_news(&self, user: &UserId, shown: &VisiblePresence) -> bool {
        let published = self.published.get(user);
        published.is_none_or(|published| published.shown != *shown)
    }

    /// Applies the presence of `user` that the stream delivered.
    pub fn apply_published(&mut self, id: &EventId, user: &UserId, shown: VisiblePresence) {
        if self
            .unconfirmed
            .get(user)
            .is_some_and(|(unconfirmed, _)| unconfirmed.id.as_ref() == Some(id))
        {
            self.unconfirmed.remove(user);
        }
        if let Some(delivered) = &mut self.delivered {
            delivered.insert(user.clone());
        }
        if shown.is_offline() {
            self.published.remove(user);
            self.left.remove(user);
        } else {
            let id = Some(id.clone());
            self.published.insert(user.clone(), Published { id, shown });
        }
    }

    /// Returns true if this process is the first of those that publish.
    pub fn is_first_publisher(&self) -> bool {
        self.publishers().first() == Some(&self.me)
    }

    /// Records a presence of `user` that a process, since gone, had published.
    ///
    /// Returns true if the user looks offline now, and the stream has delivered nothing about them since this process began: what the database holds
    /// may be older than that.
    pub fn remember_published(
        &mut self,
        user: &UserId,
        shown: VisiblePresence,
        last_seen: i64,
    ) -> bool {
        let is_delivered = |delivered: &HashSet<UserId>| delivered.contains(user);
        if self.published.contains_key(user)
            || self.delivered.as_ref().is_none_or(is_delivered)
            || !self.shown(user, Viewer::Other).is_offline()
        {
            return false;
        }
        self.published
            .insert(user.clone(), Published { id: None, shown });
        self.left.insert(user.clone(), last_seen);
        true
    }

    /// Ends the time in which [`Self::remember_published`] may be called.
    pub fn forget_delivered(&mut self) {
        self.delivered = None;
    }

    /// Returns the changes that this process must publish now.
    pub fn transitions(&mut self, now: Instant) -> Vec<Transition> {
        let publishers = self.publishers();
        let dirty = std::mem::take(&mut self.dirty);
        let is_mine = |user: &UserId| {
            let owner = publishers.iter().max_by_key(|name| score(name, user));
            owner == Some(&self.me)
        };
        let (mine, others): (Vec<UserId>, Vec<UserId>) = dirty.into_iter().partition(is_mine);
        for user in others {
            if !self.published.contains_key(&user) {
                // Nothing will be published for this user: they were never published as online.
                self.left.remove(&user);
            }
        }
        mine.into_iter()
            .filter_map(|user| self.transition_of(user, now))
            .collect()
    }

    /// Returns the change of `user` to publish, whichever process is responsible for the user.
    pub fn transition_of(&mut self, user: UserId, now: Instant) -> Option<Transition> {
        let shown = self.shown(&user, Viewer::Other);
        let published = self.published.get(&user);
        let known = match self.unconfirmed.get(&user) {
            Some((unconfirmed, at)) if now.duration_since(*at) < CONFIRM_WITHIN => {
                Some(unconfirmed)
            }
            _ => published,
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
        let unconfirmed = Published {
            id: Some(id.clone()),
            shown: shown.clone(),
        };
        self.unconfirmed.insert(user.clone(), (unconfirmed, now));
        Some(Transition {
            id,
            user,
            shown,
            last_seen,
        })
    }

    /// Drops changes that the stream should have delivered by now, so that they are published again.
    pub fn retry_unconfirmed(&mut self, now: Instant) {
        let published = &self.published;
        let dirty = &mut self.dirty;
        self.unconfirmed.retain(|user, (unconfirmed, at)| {
            let is_waiting = now.duration_since(*at) < CONFIRM_WITHIN;
            let is_confirmed = published
                .get(user)
                .map_or(unconfirmed.shown.is_offline(), |published| {
                    published.shown == unconfirmed.shown
                });
            if !is_waiting && !is_confirmed {
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
    known: Option<&Published>,
    came_and_chose: Option<(i64, i64)>,
    user: &UserId,
    shown: &VisiblePresence,
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
