//! Checks the deliveries: every acknowledged message arrived at every member, once, in order, and at nobody else.
//!
//! Pure: it uses no socket and no clock. Its tests corrupt a good record in every way and require that the check notices.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

/// Subject of a frame that a member received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// The message of this send of the run.
    Message(u32),
    /// A message that does not belong to this member's conversation or to this run.
    Stranger,
    /// An entry of the log other than a message, `seq:skip` included.
    Entry,
}

/// One frame that a member received, in order of arrival.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Seq in the conversation's log.
    pub seq: u64,
    /// Subject of the frame.
    pub content: Content,
    /// Time of arrival, in microseconds since the epoch of the run.
    pub at_us: u64,
}

/// Knowledge about the outcome of one send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answered with success, and with the message's seq if the answer named it.
    Acknowledged(Option<u64>),
    /// Refused for certain: it must not arrive at any member.
    Refused,
    /// No answer, or one that leaves the outcome open.
    Unknown,
    /// Never written to a socket.
    Unsent,
}

/// One send: its conversation and its outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Send {
    /// Index of the conversation.
    pub conversation: usize,
    /// Outcome of the send.
    pub outcome: Outcome,
}

/// Deliveries to one member.
#[derive(Debug)]
pub(super) struct Received<'a> {
    /// Name of the member in the text of a fault.
    pub user: &'a str,
    /// Index of the conversation of which this user is a member.
    pub conversation: usize,
    /// All frames with a seq, in order of arrival.
    pub seen: &'a [Seen],
    /// Reason for which the socket closed before the end, if it did.
    pub closed: Option<&'a str>,
}

/// Result of the check.
#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    /// Number of faults of each kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Texts of the first faults.
    pub examples: Vec<String>,
    /// Number of acknowledged messages that were checked.
    pub messages: u64,
    /// Number of deliveries that were required.
    pub deliveries: u64,
}

/// Maximum number of faults with a text.
const EXAMPLES: usize = 10;

impl Verdict {
    /// Returns true if there are no faults.
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, kind: &'static str, text: impl FnOnce() -> String) {
        *self.faults.entry(kind).or_default() += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(format!("{kind}: {}", text()));
        }
    }
}

/// Compares the sends with the deliveries to each member.
pub(super) fn check(sends: &[Send], members: &[Received<'_>]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut expected: HashMap<usize, Vec<u32>> = HashMap::new();
    for (number, send) in (0u32..).zip(sends) {
        if matches!(send.outcome, Outcome::Acknowledged(_)) {
            expected.entry(send.conversation).or_default().push(number);
            verdict.messages += 1;
        }
    }
    for member in members {
        let nothing = Vec::new();
        let expected = expected.get(&member.conversation).unwrap_or(&nothing);
        verdict.deliveries += expected.len() as u64;
        if let Some(reason) = member.closed {
            verdict.fault("closed", || {
                format!("the socket of {} closed: {reason}", member.user)
            });
        }
        check_order(member, &mut verdict);
        check_messages(sends, member, expected, &mut verdict);
    }
    verdict
}

/// Checks that seqs rise by one. An entry other than a message may come as several events (one for each member that
/// it adds), which have the same seq.
fn check_order(member: &Received<'_>, verdict: &mut Verdict) {
    let mut last: Option<Seen> = None;
    for seen in member.seen {
        if seen.content == Content::Stranger {
            continue;
        }
        if let Some(last) = last {
            let parts_of_one = seen.seq == last.seq
                && seen.content == Content::Entry
                && last.content == Content::Entry;
            if seen.seq > last.seq + 1 {
                verdict.fault("hole", || {
                    format!("{} got number {} after {}", member.user, seen.seq, last.seq)
                });
            } else if seen.seq <= last.seq && !parts_of_one {
                verdict.fault("order", || {
                    format!("{} got number {} after {}", member.user, seen.seq, last.seq)
                });
                // Compare the following frames with the furthest seq reached, so that one swap is not reported as many.
                continue;
            }
        }
        last = Some(*seen);
    }
}

fn check_messages(sends: &[Send], member: &Received<'_>, expected: &[u32], verdict: &mut Verdict) {
    let mut times: HashMap<u32, u32> = HashMap::with_capacity(expected.len());
    for seen in member.seen {
        let number = match seen.content {
            Content::Entry => continue,
            Content::Stranger => {
                verdict.fault("leaked", || {
                    format!(
                        "{} got a message (number {}) from outside the conversation",
                        member.user, seen.seq
                    )
                });
                continue;
            }
            Content::Message(number) => number,
        };
        let Some(send) = sends
            .get(number as usize)
            .filter(|send| send.conversation == member.conversation)
        else {
            verdict.fault("leaked", || {
                format!("{} got send {number} of another conversation", member.user)
            });
            continue;
        };
        match send.outcome {
            Outcome::Refused | Outcome::Unsent => verdict.fault("refused", || {
                format!("{} got send {number}, which was refused", member.user)
            }),
            Outcome::Acknowledged(Some(seq)) if seq != seen.seq => {
                verdict.fault("number", || {
                    format!(
                        "{} got send {number} as number {}, its answer said {seq}",
                        member.user, seen.seq
                    )
                });
            }
            Outcome::Acknowledged(_) | Outcome::Unknown => {}
        }
        let count = times.entry(number).or_default();
        *count += 1;
        if *count > 1 {
            verdict.fault("repeated", || {
                format!("{} got send {number} {count} times", member.user)
            });
        }
    }
    for number in expected {
        if !times.contains_key(number) {
            verdict.fault("lost", || {
                format!("{} never got send {number}", member.user)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: usize = 3;

    /// Two conversations in turn; seqs start at 2, because the conversation's creation has seq 1.
    fn sends(count: u32) -> Vec<Send> {
        (0..count)
            .map(|n| Send {
                conversation: (n % 2) as usize,
                outcome: Outcome::Acknowledged(Some(u64::from(n / 2) + 2)),
            })
            .collect()
    }

    fn record(sends: &[Send], conversation: usize) -> Vec<Seen> {
        let mut seen = vec![Seen {
            seq: 1,
            content: Content::Entry,
            at_us: 0,
        }];
        seen.extend((0u32..).zip(sends).filter_map(|(n, send)| {
            let Outcome::Acknowledged(Some(seq)) = send.outcome else {
                return None;
            };
            (send.conversation == conversation).then_some(Seen {
                seq,
                content: Content::Message(n),
                at_us: 0,
            })
        }));
        seen
    }

    /// Checks a good run of 20 sends after `damage` was applied to the first member's deliveries.
    fn judged(damage: impl FnOnce(&mut Vec<Send>, &mut Vec<Seen>)) -> Verdict {
        let mut sends = sends(20);
        let mut records: Vec<(usize, Vec<Seen>)> = (0..2 * MEMBERS)
            .map(|i| (i / MEMBERS, record(&sends, i / MEMBERS)))
            .collect();
        damage(&mut sends, &mut records[0].1);
        let members: Vec<Received<'_>> = records
            .iter()
            .map(|(conversation, seen)| Received {
                user: "u",
                conversation: *conversation,
                seen,
                closed: None,
            })
            .collect();
        check(&sends, &members)
    }

    fn kinds(verdict: &Verdict) -> Vec<&'static str> {
        verdict.faults.keys().copied().collect()
    }

    #[test]
    fn a_good_run_passes() {
        let verdict = judged(|_, _| {});
        assert!(verdict.passed(), "{verdict:?}");
        assert_eq!((verdict.messages, verdict.deliveries), (20, 60));
    }

    #[test]
    fn a_dropped_message_is_found() {
        let verdict = judged(|_, seen| {
            seen.remove(4);
        });
        assert_eq!(kinds(&verdict), ["hole", "lost"]);
    }

    #[test]
    fn a_dropped_last_message_is_found() {
        let verdict = judged(|_, seen| {
            seen.pop();
        });
        assert_eq!(kinds(&verdict), ["lost"]);
    }

    #[test]
    fn nothing_at_all_is_found() {
        assert_eq!(judged(|_, seen| seen.clear()).faults["lost"], 10);
    }

    #[test]
    fn a_repeated_message_is_found() {
        let verdict = judged(|_, seen| seen.insert(5, seen[4]));
        assert_eq!(kinds(&verdict), ["order", "repeated"]);
    }

    #[test]
    fn a_message_stored_twice_is_found() {
        let verdict = judged(|_, seen| {
            let mut again = seen[10];
            again.seq += 1;
            seen.push(again);
        });
        assert_eq!(kinds(&verdict), ["number", "repeated"]);
    }

    #[test]
    fn swapped_messages_are_found() {
        let verdict = judged(|_, seen| seen.swap(4, 5));
        assert_eq!(kinds(&verdict), ["hole", "order"]);
    }

    #[test]
    fn a_swap_with_exchanged_numbers_is_found() {
        let verdict = judged(|_, seen| {
            let content = seen[4].content;
            seen[4].content = seen[5].content;
            seen[5].content = content;
        });
        assert_eq!(kinds(&verdict), ["number"]);
    }

    #[test]
    fn a_leaked_message_is_found() {
        let foreign = Seen {
            seq: 3,
            content: Content::Stranger,
            at_us: 0,
        };
        assert_eq!(
            kinds(&judged(|_, seen| seen.insert(3, foreign))),
            ["leaked"]
        );
        // Also if it claims the next seq of the reader's own conversation.
        let disguised = Seen {
            seq: 12,
            content: Content::Message(1),
            at_us: 0,
        };
        assert_eq!(kinds(&judged(|_, seen| seen.push(disguised))), ["leaked"]);
    }

    #[test]
    fn a_refused_message_that_arrives_is_found() {
        let verdict = judged(|sends, _| sends[0].outcome = Outcome::Refused);
        assert_eq!(verdict.faults["refused"], 3);
    }

    #[test]
    fn a_send_of_unknown_outcome_may_arrive_or_not() {
        assert!(judged(|sends, _| sends[18].outcome = Outcome::Unknown).passed());
        assert!(
            judged(|sends, seen| {
                sends[18].outcome = Outcome::Unknown;
                seen.pop();
            })
            .passed()
        );
    }

    #[test]
    fn a_skipped_entry_fills_its_number() {
        let verdict = judged(|sends, seen| {
            sends[4].outcome = Outcome::Unknown;
            seen[3].content = Content::Entry;
        });
        assert!(verdict.passed(), "{verdict:?}");
    }

    #[test]
    fn parts_of_one_entry_share_its_number() {
        assert!(judged(|_, seen| seen.insert(0, seen[0])).passed());
    }
}
