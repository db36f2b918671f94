//! Which users exist, as far as this process has seen: spares the hot path a look-up.

use std::collections::HashSet;

use chat_sdk::UserId;
use parking_lot::Mutex;

/// How many users are remembered; then the memory starts anew.
const CAPACITY: usize = 200_000;

/// A bounded memory of users who exist. A deleted user is forgotten when the stream tells of it.
#[derive(Debug, Default)]
pub struct KnownUsers(Mutex<HashSet<UserId>>);

impl KnownUsers {
    /// Whether `user` is remembered.
    pub fn contains(&self, user: &UserId) -> bool {
        self.0.lock().contains(user)
    }

    /// Remembers `user`.
    pub fn insert(&self, user: UserId) {
        let mut users = self.0.lock();
        if users.len() >= CAPACITY {
            users.clear();
        }
        users.insert(user);
    }

    /// Forgets `user`.
    pub fn forget(&self, user: &UserId) {
        self.0.lock().remove(user);
    }
}
