//! Whose membership began or ended in the last minutes.
//!
//! A change is published when it stands in the log, and applied to the documents a moment later. So who connects in that moment reads documents that do
//! not know yet what has come by here already: what is remembered here is laid over them.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use chat_sdk::{ConversationId, UserId};

use super::push::{MembershipChange, Push};
use crate::store::MembershipOf;

/// How long a change is remembered: longer than the relay lets documents lag behind the log.
const MEMORY: Duration = Duration::from_secs(300);

/// The remembered changes.
#[derive(Debug, Default)]
pub struct Lately {
    ended: HashMap<ConversationId, Vec<(u64, MembershipChange)>>,
    began: HashMap<UserId, Vec<(u64, ConversationId)>>,
    order: VecDeque<(Instant, Noted)>,
}

/// What is to be forgotten in time; of each, the oldest goes first.
#[derive(Debug)]
enum Noted {
    End(ConversationId),
    Beginning(UserId),
}

impl Lately {
    /// Remembers `push`, if it changes a membership.
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
                    began.push((seq, conversation.clone()));
                    self.order.push_back((now, Noted::Beginning(user.clone())));
                }
            }
            MembershipChange::Left(_) | MembershipChange::Closed => {
                let ended = self.ended.entry(conversation.clone()).or_default();
                ended.push((seq, change.clone()));
                self.order
                    .push_back((now, Noted::End(conversation.clone())));
            }
        }
        while let Some((at, _)) = self.order.front()
            && now - *at > MEMORY
        {
            match self.order.pop_front() {
                Some((_, Noted::End(conversation))) => {
                    forget_oldest(&mut self.ended, &conversation);
                }
                Some((_, Noted::Beginning(user))) => forget_oldest(&mut self.began, &user),
                None => {}
            }
        }
    }

    /// With which number the membership of `user` that began with number `joined` ended, if that was seen.
    pub fn ended(&self, conversation: &ConversationId, user: &UserId, joined: u64) -> Option<u64> {
        let ended = self.ended.get(conversation).into_iter().flatten();
        ended
            .filter(|(seq, _)| *seq > joined)
            .filter(|(_, change)| match change {
                MembershipChange::Left(users) => users.contains(user),
                MembershipChange::Closed => true,
                MembershipChange::None | MembershipChange::Joined(_) => false,
            })
            .map(|(seq, _)| *seq)
            .min()
    }

    /// With which number the newest membership of `user` that was seen to begin began.
    pub fn began(&self, conversation: &ConversationId, user: &UserId) -> Option<u64> {
        let began = self.began.get(user).into_iter().flatten();
        began
            .filter(|(_, other)| other == conversation)
            .map(|(seq, _)| *seq)
            .max()
    }

    /// Brings the memberships of `user`, as the documents say them, to what was seen here.
    pub fn amend(&self, user: &UserId, memberships: &mut Vec<MembershipOf>) {
        for (seq, conversation) in self.began.get(user).into_iter().flatten() {
            let known = memberships
                .iter_mut()
                .find(|membership| membership.conversation == *conversation);
            match known {
                // What began before was a former holder's of the id.
                Some(known) if known.joined_seq().max(known.former_until) >= *seq => {}
                Some(known) => {
                    self.close(user, known);
                    known.intervals.push((*seq, None));
                }
                None => memberships.push(MembershipOf {
                    conversation: conversation.clone(),
                    intervals: vec![(*seq, None)],
                    former_until: 0,
                }),
            }
        }
        for membership in memberships {
            self.close(user, membership);
        }
    }

    fn close(&self, user: &UserId, membership: &mut MembershipOf) {
        if let Some((joined, left @ None)) = membership.intervals.last_mut() {
            *left = self.ended(&membership.conversation, user, *joined);
        }
    }
}

fn forget_oldest<K: std::hash::Hash + Eq, V>(of: &mut HashMap<K, Vec<V>>, key: &K) {
    if let Some(all) = of.get_mut(key) {
        all.remove(0);
        if all.is_empty() {
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

    fn seen(changes: &[(u64, MembershipChange)]) -> (Lately, ConversationId) {
        let conversation = ConversationId::generate();
        let mut lately = Lately::default();
        for (seq, change) in changes {
            lately.remember(&conversation, *seq, change);
        }
        (lately, conversation)
    }

    fn amended(
        changes: &[(u64, MembershipChange)],
        documents: &[(u64, Option<u64>)],
    ) -> Vec<(u64, Option<u64>)> {
        let (lately, conversation) = seen(changes);
        let mut memberships = Vec::new();
        if !documents.is_empty() {
            memberships.push(MembershipOf {
                conversation,
                intervals: documents.to_vec(),
                former_until: 0,
            });
        }
        lately.amend(&user(), &mut memberships);
        memberships.pop().map_or(Vec::new(), |of| of.intervals)
    }

    fn joined() -> MembershipChange {
        MembershipChange::Joined(vec![user()])
    }

    fn left() -> MembershipChange {
        MembershipChange::Left(vec![user()])
    }

    #[test]
    fn a_beginning_that_the_documents_do_not_know_yet_counts() {
        assert_eq!(amended(&[(4, joined())], &[]), [(4, None)]);
        assert_eq!(
            amended(&[(9, joined())], &[(1, Some(5))]),
            [(1, Some(5)), (9, None)]
        );
        assert_eq!(amended(&[(4, joined())], &[(4, None)]), [(4, None)]);
    }

    #[test]
    fn an_end_that_the_documents_do_not_know_yet_counts() {
        assert_eq!(amended(&[(7, left())], &[(4, None)]), [(4, Some(7))]);
        let closed = (8, MembershipChange::Closed);
        assert_eq!(amended(&[closed], &[(4, None)]), [(4, Some(8))]);
        // The end of an earlier membership is none of this one.
        assert_eq!(amended(&[(3, left())], &[(4, None)]), [(4, None)]);
    }

    #[test]
    fn several_changes_are_laid_over_the_documents_in_their_order() {
        let changes = [(4, joined()), (6, left()), (9, joined())];
        assert_eq!(amended(&changes, &[]), [(4, Some(6)), (9, None)]);
        assert_eq!(amended(&changes, &[(4, None)]), [(4, Some(6)), (9, None)]);
        assert_eq!(
            amended(&changes, &[(4, Some(6)), (9, None)]),
            [(4, Some(6)), (9, None)]
        );
    }

    #[test]
    fn nobody_elses_change_counts() {
        let (mut lately, conversation) = seen(&[(4, joined())]);
        let bob: UserId = "bob".parse().expect("valid");
        lately.remember(&conversation, 5, &MembershipChange::Left(vec![bob.clone()]));
        assert_eq!(lately.began(&conversation, &user()), Some(4));
        assert_eq!(lately.ended(&conversation, &user(), 4), None);
        let mut memberships = Vec::new();
        lately.amend(&bob, &mut memberships);
        assert!(memberships.is_empty());
    }
}
