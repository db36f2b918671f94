//! Memberships that began or ended in the last minutes.
//!
//! A change is published once it is in the log, and applied to the documents a moment later. A client that connects in that moment reads documents that lack
//! a change this node has seen already: the changes recorded here are applied on top of them.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use chat_sdk::{ConversationId, UserId};

use crate::{
    store::MembershipOf,
    ws::push::{MembershipChange, Push},
};

/// Time that a change is kept: longer than the relay lets documents lag behind the log.
const MEMORY: Duration = Duration::from_secs(300);

/// Seqs of entries, ascending.
type Numbers = VecDeque<u64>;

/// Recent membership changes, indexed so that a query for one user and conversation is a look-up.
#[derive(Debug, Default)]
pub struct RecentMemberships {
    ended: HashMap<ConversationId, Ended>,
    began: HashMap<UserId, HashMap<ConversationId, Numbers>>,
    order: VecDeque<(Instant, Noted)>,
}

/// Recent ends of memberships of one conversation.
#[derive(Debug, Default)]
struct Ended {
    left: HashMap<UserId, Numbers>,
    closed: Numbers,
}

/// A change in the expiry queue; of each kind, the oldest expires first.
#[derive(Debug)]
enum Noted {
    Left(ConversationId, UserId),
    Closed(ConversationId),
    Began(UserId, ConversationId),
}

impl RecentMemberships {
    /// Records `push` if it changes a membership.
    pub fn note(&mut self, push: &Push) {
        let conversation = &push.conversation;
        self.remember(conversation, push.seq, push.change());
    }

    fn remember(&mut self, conversation: &ConversationId, seq: u64, change: &MembershipChange) {
        let now = Instant::now();
        match change {
            MembershipChange::None => {}
            MembershipChange::Joined(users) => {
                for user in users {
                    let began = self.began.entry(user.clone()).or_default();
                    began
                        .entry(conversation.clone())
                        .or_default()
                        .push_back(seq);
                    let noted = Noted::Began(user.clone(), conversation.clone());
                    self.order.push_back((now, noted));
                }
            }
            MembershipChange::Left(users) => {
                let ended = self.ended.entry(conversation.clone()).or_default();
                for user in users {
                    ended.left.entry(user.clone()).or_default().push_back(seq);
                    let noted = Noted::Left(conversation.clone(), user.clone());
                    self.order.push_back((now, noted));
                }
            }
            MembershipChange::Closed => {
                let ended = self.ended.entry(conversation.clone()).or_default();
                ended.closed.push_back(seq);
                let noted = Noted::Closed(conversation.clone());
                self.order.push_back((now, noted));
            }
        }
        while let Some((at, _)) = self.order.front()
            && now - *at > MEMORY
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        match self.order.pop_front() {
            Some((_, Noted::Began(user, conversation))) => {
                if let Some(began) = self.began.get_mut(&user) {
                    forget_first(began, &conversation);
                    if began.is_empty() {
                        self.began.remove(&user);
                    }
                }
            }
            Some((_, Noted::Left(conversation, user))) => {
                if let Some(ended) = self.ended.get_mut(&conversation) {
                    forget_first(&mut ended.left, &user);
                }
                self.forget_ended(&conversation);
            }
            Some((_, Noted::Closed(conversation))) => {
                if let Some(ended) = self.ended.get_mut(&conversation) {
                    ended.closed.pop_front();
                }
                self.forget_ended(&conversation);
            }
            None => {}
        }
    }

    fn forget_ended(&mut self, conversation: &ConversationId) {
        let ended = self.ended.get(conversation);
        if ended.is_some_and(|ended| ended.left.is_empty() && ended.closed.is_empty()) {
            self.ended.remove(conversation);
        }
    }

    /// Returns the seq at which the membership of `user` that began at `joined` ended, if that was seen.
    pub fn ended(&self, conversation: &ConversationId, user: &UserId, joined: u64) -> Option<u64> {
        let ended = self.ended.get(conversation)?;
        let left = ended.left.get(user).into_iter().flatten();
        let numbers = left.chain(&ended.closed);
        numbers.filter(|seq| **seq > joined).min().copied()
    }

    /// Returns the seq at which the newest membership of `user` began, if that was seen.
    pub fn began(&self, conversation: &ConversationId, user: &UserId) -> Option<u64> {
        let began = self.began.get(user)?.get(conversation)?;
        began.iter().max().copied()
    }

    /// Returns the conversations in which a membership of `user` was seen to begin.
    pub fn joined_by(&self, user: &UserId) -> Vec<ConversationId> {
        let began = self.began.get(user);
        began.into_iter().flat_map(HashMap::keys).cloned().collect()
    }

    /// Applies the recent changes to a membership of `user` as read from the documents.
    pub fn overlay(&self, user: &UserId, membership: &mut MembershipOf) {
        let began = self.began.get(user);
        let began = began.and_then(|began| began.get(&membership.conversation));
        for seq in began.into_iter().flatten() {
            // Earlier memberships belong to a former user with the same id.
            if membership.joined_seq().max(membership.former_until) < *seq {
                self.close(user, membership);
                membership.intervals.push((*seq, None));
            }
        }
        self.close(user, membership);
    }

    fn close(&self, user: &UserId, membership: &mut MembershipOf) {
        if let Some((joined, left @ None)) = membership.intervals.last_mut() {
            *left = self.ended(&membership.conversation, user, *joined);
        }
    }
}

fn forget_first<K: std::hash::Hash + Eq>(of: &mut HashMap<K, Numbers>, key: &K) {
    if let Some(numbers) = of.get_mut(key) {
        numbers.pop_front();
        if numbers.is_empty() {
            of.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        "alice".parse().expect("valid")
    }

    fn seen(changes: &[(u64, MembershipChange)]) -> (RecentMemberships, ConversationId) {
        let conversation = ConversationId::generate();
        let mut memberships = RecentMemberships::default();
        for (seq, change) in changes {
            memberships.remember(&conversation, *seq, change);
        }
        (memberships, conversation)
    }

    fn amended(
        changes: &[(u64, MembershipChange)],
        documents: &[(u64, Option<u64>)],
    ) -> Vec<(u64, Option<u64>)> {
        let (memberships, conversation) = seen(changes);
        let mut membership = MembershipOf {
            conversation,
            intervals: documents.to_vec(),
            former_until: 0,
        };
        memberships.overlay(&user(), &mut membership);
        membership.intervals
    }

    fn joined() -> MembershipChange {
        MembershipChange::Joined(vec![user()])
    }

    fn left() -> MembershipChange {
        MembershipChange::Left(vec![user()])
    }

    #[test]
    fn overlay_adds_a_membership_missing_in_the_documents() {
        assert_eq!(amended(&[(4, joined())], &[]), [(4, None)]);
        assert_eq!(
            amended(&[(9, joined())], &[(1, Some(5))]),
            [(1, Some(5)), (9, None)]
        );
        assert_eq!(amended(&[(4, joined())], &[(4, None)]), [(4, None)]);
    }

    #[test]
    fn overlay_ends_a_membership_still_open_in_the_documents() {
        assert_eq!(amended(&[(7, left())], &[(4, None)]), [(4, Some(7))]);
        let closed = (8, MembershipChange::Closed);
        assert_eq!(amended(&[closed], &[(4, None)]), [(4, Some(8))]);
        // The end of an earlier membership does not end this one.
        assert_eq!(amended(&[(3, left())], &[(4, None)]), [(4, None)]);
    }

    #[test]
    fn overlay_applies_several_changes_in_order() {
        let changes = [(4, joined()), (6, left()), (9, joined())];
        assert_eq!(amended(&changes, &[]), [(4, Some(6)), (9, None)]);
        assert_eq!(amended(&changes, &[(4, None)]), [(4, Some(6)), (9, None)]);
        assert_eq!(
            amended(&changes, &[(4, Some(6)), (9, None)]),
            [(4, Some(6)), (9, None)]
        );
    }

    #[test]
    fn changes_of_other_users_are_ignored() {
        let (mut memberships, conversation) = seen(&[(4, joined())]);
        let bob: UserId = "bob".parse().expect("valid");
        memberships.remember(&conversation, 5, &MembershipChange::Left(vec![bob.clone()]));
        assert_eq!(memberships.began(&conversation, &user()), Some(4));
        assert_eq!(memberships.ended(&conversation, &user(), 4), None);
        assert_eq!(memberships.joined_by(&user()), [conversation]);
        assert!(memberships.joined_by(&bob).is_empty());
    }

    #[test]
    fn expired_changes_leave_no_state() {
        let closed = (8, MembershipChange::Closed);
        let (mut memberships, _) = seen(&[(4, joined()), (6, left()), (7, joined()), closed]);
        while !memberships.order.is_empty() {
            memberships.forget_oldest();
        }
        assert!(memberships.began.is_empty() && memberships.ended.is_empty());
    }
}
