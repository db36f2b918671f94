//! Scripted interleavings, one per rule of the log.

use std::{sync::Arc, time::Duration};

use chat_sdk::{ConversationType, EventId, MessageId, Role, Timestamp};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{
    checks,
    cluster::{Cluster, PATIENT, conversation, create, delete, edit, message, user},
    faults::{Fate, Faults},
    on_own_clock,
    process::Process,
    tables::Change,
};
use chat_service::{
    model::{
        DomainError, Result,
        command::{Command, Outcome},
        entry::{Body, Entry, Owner},
        writers::APPLIED_WITHIN,
    },
    store::log::{apply, writer::GATHERING},
};

/// Processes over a database without faults, and a conversation of users 0 (owner) and 1.
struct Script {
    cluster: Arc<Cluster>,
    owner: Owner,
}

/// Result of an answered command.
type Answer = Result<Outcome>;

impl Script {
    /// Creates the conversation, and submits one command to it from every process.
    async fn new(processes: usize) -> Self {
        let script = Self::bare(processes);
        script
            .ask(0, 0, script.creation())
            .await
            .expect("nothing is in the way");
        for process in 0..processes {
            script.message_at(process, "hello").await;
        }
        script
    }

    fn bare(processes: usize) -> Self {
        Self {
            cluster: Cluster::new(7, Faults::default(), None, processes),
            owner: conversation(0).into(),
        }
    }

    fn creation(&self) -> Command {
        create(
            ConversationType::Public,
            &[(user(0), Role::Owner), (user(1), Role::Member)],
        )
    }

    /// Submits `command` at `process` as user `actor`, without waiting.
    fn hand_in(
        &self,
        process: usize,
        actor: usize,
        command: Command,
    ) -> impl Future<Output = Answer> + use<> {
        let request = self
            .cluster
            .request(&self.owner, Some(&user(actor)), command);
        let (_, answer) = self.cluster.hand_in(process, request, PATIENT);
        async { answer.await.expect("a living process answers") }
    }

    async fn ask(&self, process: usize, actor: usize, command: Command) -> Answer {
        self.hand_in(process, actor, command).await
    }

    /// Returns a message of user 0.
    async fn message(&self) -> MessageId {
        self.message_at(0, "a message").await.id.to_message_id()
    }

    /// Sends a message of user 0, and waits until nothing is left to be written.
    async fn message_at(&self, process: usize, content: &str) -> Arc<Entry> {
        let sent = entry(self.ask(process, 0, message(content, None)).await);
        self.cluster.apply_now(process, &sent).await;
        sent
    }

    fn applied(&self) -> u64 {
        self.cluster
            .database
            .with(|inner| inner.majority.applied(&self.owner))
    }

    fn next(&self, fate: Fate) {
        self.cluster
            .database
            .with(|inner| inner.fates.push_back(fate));
    }

    fn log(&self) -> Vec<Arc<Entry>> {
        self.cluster
            .database
            .with(|inner| inner.majority.entries(&self.owner, 0).cloned().collect())
    }

    async fn end(self) {
        self.cluster.heal().await;
        let faults = checks::check(&self.cluster);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

fn entry(answer: Answer) -> Arc<Entry> {
    answer.expect("accepted").entry.expect("with an entry")
}

const LOST: Fate = Fate::Failed {
    delay: 0,
    statements: 0,
};

#[test]
fn two_writers_guess_the_same_seq() {
    on_own_clock(async {
        let script = Script::new(2).await;
        let last = script.log().len() as u64;
        let (one, other) = tokio::join!(
            script.hand_in(0, 0, message("one", None)),
            script.hand_in(1, 1, message("other", None)),
        );
        let mut numbers = [entry(one).seq, entry(other).seq];
        numbers.sort_unstable();
        assert_eq!(numbers, [last + 1, last + 2]);
        script.end().await;
    });
}

#[test]
fn a_guess_after_an_unknown_outcome_reads_again() {
    on_own_clock(async {
        for statements in [0, 1] {
            let script = Script::new(1).await;
            let last = script.log().len() as u64;
            script.next(Fate::Failed {
                delay: 1,
                statements,
            });
            let sent = entry(script.ask(0, 0, message("once", None)).await);
            assert_eq!(sent.seq, last + 1);
            assert_eq!(script.log().len() as u64, last + 1);
            script.end().await;
        }
    });
}

#[test]
fn an_insert_that_lands_late_is_not_done_twice() {
    on_own_clock(async {
        let script = Script::new(2).await;
        let before = script.log().len();
        script.next(Fate::Failed {
            delay: 900,
            statements: 1,
        });
        let late = script.hand_in(0, 0, message("late", None));
        let between = script.ask(1, 1, message("between", None));
        let (late, between) = tokio::join!(late, between);
        assert_ne!(entry(late).seq, entry(between).seq);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(script.log().len(), before + 2);
        script.end().await;
    });
}

#[test]
fn messages_keep_their_order_after_an_unknown_outcome() {
    on_own_clock(async {
        for statements in 0..5 {
            let script = Script::new(1).await;
            script.next(Fate::Failed {
                delay: 1,
                statements,
            });
            let answers: Vec<_> = (0..5)
                .map(|index| script.hand_in(0, 0, message(&index.to_string(), None)))
                .collect();
            let mut last = 0;
            for answer in answers {
                let seq = entry(answer.await).seq;
                assert!(seq > last, "{seq} after {last}");
                last = seq;
            }
            script.end().await;
        }
    });
}

#[test]
fn nothing_is_written_after_a_refused_entry() {
    on_own_clock(async {
        let script = Script::new(1).await;
        let first = entry(script.ask(0, 0, message("first", Some("x"))).await);
        let (again, behind, last) = tokio::join!(
            script.hand_in(0, 0, message("first", Some("x"))),
            script.hand_in(0, 1, message("behind", None)),
            script.hand_in(0, 1, message("last", None)),
        );
        assert_eq!(entry(again), first);
        assert_eq!(
            [entry(behind).seq, entry(last).seq],
            [first.seq + 1, first.seq + 2]
        );
        script.end().await;
    });
}

#[test]
fn a_repeated_client_message_id_answers_the_first() {
    on_own_clock(async {
        let script = Script::new(2).await;
        let first = entry(script.ask(0, 1, message("text", Some("x"))).await);
        for process in [0, 1] {
            let again = script
                .ask(process, 1, message("text", Some("x")))
                .await
                .expect("accepted");
            assert_eq!(
                (again.entry.as_ref(), again.is_repeated),
                (Some(&first), true)
            );
            let other = script
                .ask(process, 1, message("other text", Some("x")))
                .await;
            assert!(matches!(other, Err(DomainError::Conflict(_))), "{other:?}");
        }
        // The former member could not send it now, but the command was committed before, so the retry succeeds.
        entry(script.ask(0, 1, Command::Leave).await);
        let again = script.ask(1, 1, message("text", Some("x"))).await;
        assert_eq!(entry(again), first);
        script.end().await;
    });
}

#[test]
fn a_repeated_hand_over_appends_once() {
    on_own_clock(async {
        let script = Script::new(2).await;
        for command in [message("text", None), Command::Leave] {
            let request = script
                .cluster
                .request(&script.owner, Some(&user(1)), command);
            let (_, one) = script.cluster.hand_in(0, request.clone(), PATIENT);
            let (_, other) = script.cluster.hand_in(1, request.clone(), PATIENT);
            let (one, other) = tokio::join!(one, other);
            let first = entry(one.expect("answered"));
            assert_eq!(entry(other.expect("answered")), first);
            // The effect of the command itself must not make its check fail.
            for process in [0, 1] {
                let again = script.cluster.ask(process, request.clone(), PATIENT).await;
                assert_eq!(entry(again.expect("answered")), first);
            }
        }
        script.end().await;
    });
}

#[test]
fn an_edit_is_checked_against_the_unapplied_delete() {
    on_own_clock(async {
        for process in [0, 1] {
            let script = Script::new(2).await;
            let message = script.message().await;
            let deleted = script.hand_in(0, 0, delete(&message));
            let edited = script.hand_in(process, 0, edit(&message, "too late"));
            let (deleted, edited) = tokio::join!(deleted, edited);
            match edited {
                Ok(edited) => assert!(entry(Ok(edited)).seq < entry(deleted).seq),
                Err(refusal) => assert!(matches!(refusal, DomainError::Conflict(_)), "{refusal}"),
            }
            let edited = script.ask(1 - process, 0, edit(&message, "too late")).await;
            assert!(
                matches!(edited, Err(DomainError::Conflict(_))),
                "{edited:?}"
            );
            script.end().await;
        }
    });
}

#[test]
fn a_refusal_rests_on_the_newest_entry() {
    on_own_clock(async {
        let script = Script::new(2).await;
        // Process 0 has not seen what process 1 appends.
        entry(
            script
                .ask(
                    1,
                    2,
                    Command::Join {
                        max_members: 10_000,
                    },
                )
                .await,
        );
        entry(script.ask(0, 2, message("a member's", None)).await);
        entry(script.ask(1, 2, Command::Leave).await);
        let joined = script
            .ask(
                0,
                2,
                Command::Join {
                    max_members: 10_000,
                },
            )
            .await;
        assert!(matches!(entry(joined).body, Body::ParticipantAdded(_)));
        script.end().await;
    });
}

#[test]
fn rejoining_continues_the_earlier_member_record() {
    on_own_clock(async {
        let script = Script::new(2).await;
        let join = || Command::Join {
            max_members: 10_000,
        };
        // At a process that has evicted the former member from memory, at another one, and while the end of the log is not applied yet.
        for process in [0, 0, 1] {
            entry(script.ask(process, 2, join()).await);
            script.message_at(0, "between").await;
            entry(script.ask(process, 2, Command::Leave).await);
            script.message_at(0, "outside").await;
        }
        entry(script.ask(0, 2, join()).await);
        let (left, joined) = tokio::join!(
            script.hand_in(0, 2, Command::Leave),
            script.hand_in(0, 2, join())
        );
        entry(left);
        let joined = entry(joined).seq;
        let member = script.cluster.database.with(|inner| {
            let members = inner.majority.members_of(&script.owner);
            members.get(&user(2)).cloned().expect("a member")
        });
        assert_eq!(member.intervals.len(), 5, "{:?}", member.intervals);
        assert_eq!(member.joined_seq(), joined);
        script.end().await;
    });
}

#[test]
fn a_command_after_a_pending_write_is_not_refused() {
    on_own_clock(async {
        let script = Script::bare(1);
        script.next(Fate::Failed {
            delay: 900,
            statements: 2,
        });
        let creation = script.hand_in(0, 0, script.creation());
        let sent = script.hand_in(0, 0, message("first", None));
        // The caller has gone, so the write is not retried; it may still be on its way to the server.
        sleep(Duration::from_millis(10)).await;
        drop(creation);
        let sent = sent.await;
        assert!(matches!(sent, Err(DomainError::Unavailable(_))), "{sent:?}");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(script.log().len(), 2);
        script.end().await;
    });
}

#[test]
fn a_gap_is_filled_with_a_noop() {
    on_own_clock(async {
        let script = Script::new(1).await;
        let last = script.log().len() as u64;
        let stray = Entry {
            id: EventId::generate(),
            owner: script.owner.clone(),
            seq: last + 2,
            actor: Some(user(0)),
            at: Timestamp::now(),
            body: script.log()[1].body.clone(),
            trace: None,
        };
        script
            .cluster
            .database
            .plant(Change::Entry(Arc::new(stray)));
        let sweeper = Process::new(&script.cluster.database);
        assert_eq!(
            apply::bring_up_to_date(&*sweeper, &script.owner).await,
            Ok(last + 2)
        );
        assert_eq!(script.log()[last as usize].body, Body::Noop);
        let sent = entry(script.ask(0, 0, message("behind", None)).await);
        assert_eq!(sent.seq, last + 3);
        assert_eq!(script.log().len() as u64, last + 3);
    });
}

#[test]
fn an_unapplied_entry_of_a_dead_writer_is_applied_by_the_next() {
    on_own_clock(async {
        let script = Script::new(2).await;
        script.message().await;
        let last = script.log().len() as u64;
        script.next(Fate::Answered);
        (0..10).for_each(|_| script.next(LOST));
        let request =
            script
                .cluster
                .request(&script.owner, Some(&user(0)), message("orphan", None));
        let (_, orphan) = script.cluster.hand_in(0, request, PATIENT);
        let orphan = entry(orphan.await.expect("answered when it was committed"));
        script.cluster.kill(0);
        assert_eq!((orphan.seq, script.applied()), (last + 1, last));
        script.cluster.database.with(|inner| inner.fates.clear());
        let sent = script.message_at(1, "next").await;
        assert_eq!(sent.seq, last + 2);
        assert_eq!(script.applied(), last + 2);
        script.end().await;
    });
}

#[test]
fn effects_of_many_messages_are_written_to_the_conversation_once_and_soon() {
    on_own_clock(async {
        let script = Script::new(1).await;
        let before = script.applied();
        let mut last = before;
        let start = Instant::now();
        while start.elapsed() < APPLIED_WITHIN / 2 {
            last = entry(script.ask(0, 0, message("one of many", None)).await).seq;
        }
        assert!(last > before + 3);
        assert_eq!(script.applied(), before, "nobody has asked for it");
        let writes = script
            .cluster
            .database
            .with(|inner| inner.observer.owner_writes);
        sleep(APPLIED_WITHIN).await;
        assert_eq!(script.applied(), last);
        let written = script
            .cluster
            .database
            .with(|inner| inner.observer.owner_writes)
            - writes;
        assert_eq!(written, 1);
        script.end().await;
    });
}

#[test]
fn groups_are_spaced_under_load_and_a_lone_command_does_not_wait() {
    on_own_clock(async {
        let script = Script::new(1).await;
        script.cluster.database.with(|inner| inner.is_quick = true);
        for _ in 0..5 {
            let start = Instant::now();
            entry(script.ask(0, 0, message("alone", None)).await);
            assert!(start.elapsed() < GATHERING, "{:?}", start.elapsed());
        }
        script
            .cluster
            .database
            .with(|inner| inner.observer.inserts.clear());
        let senders = (0..40).map(|sender| {
            let script = &script;
            async move {
                for round in 0..10 {
                    let text = format!("{sender}-{round}");
                    entry(script.ask(0, 0, message(&text, None)).await);
                }
            }
        });
        join_all(senders).await;
        let inserts = script
            .cluster
            .database
            .with(|inner| inner.observer.inserts.clone());
        assert!(inserts.len() > 5);
        for pair in inserts.windows(2) {
            let [(before, size), (at, next_size)] = pair else {
                unreachable!("a window of two")
            };
            assert!(
                *at - *before >= GATHERING || *size <= 1 || *next_size >= size * 2,
                "{next_size} followed {size} after {:?}",
                *at - *before
            );
        }
        script.end().await;
    });
}

#[test]
fn a_read_barrier_applies_the_answered_entry_at_once() {
    on_own_clock(async {
        let script = Script::new(1).await;
        let before = script.applied();
        let sent = entry(script.ask(0, 0, message("read at once", None)).await);
        assert_eq!(script.applied(), before);
        let start = Instant::now();
        script.cluster.apply_now(0, &sent).await;
        assert_eq!(script.applied(), sent.seq);
        assert!(start.elapsed() < APPLIED_WITHIN / 2);
        // Nothing is left to wait for.
        let start = Instant::now();
        script.cluster.apply_now(0, &sent).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        script.end().await;
    });
}

#[test]
fn entries_other_than_plain_messages_are_applied_before_the_answer() {
    on_own_clock(async {
        let script = Script::new(1).await;
        let root = script.message().await;
        let before = script.applied();
        entry(script.ask(0, 0, message("waits", None)).await);
        assert_eq!(script.applied(), before);
        let edited = entry(script.ask(0, 0, edit(&root, "changed")).await);
        assert_eq!(script.applied(), edited.seq);
        script.end().await;
    });
}

#[test]
fn entries_that_can_roll_back_are_not_answered() {
    on_own_clock(async {
        let script = Script::new(2).await;
        let last = script.log().len() as u64;
        script.cluster.database.with(|inner| {
            inner.is_stalled = true;
            inner.faults.early_refusal = 1.0;
        });
        let one = script.hand_in(0, 0, message("one", Some("x")));
        sleep(Duration::from_millis(20)).await;
        let other = script.hand_in(1, 0, message("one", Some("x")));
        sleep(Duration::from_millis(200)).await;
        assert_eq!(script.log().len() as u64, last);
        let asked = script.cluster.attempts.lock().clone();
        assert!(
            asked[asked.len() - 2..]
                .iter()
                .all(|attempt| attempt.answer.is_none())
        );
        script.cluster.database.with(|inner| {
            inner.step_down();
            inner.is_stalled = false;
        });
        let (one, other) = tokio::join!(one, other);
        assert_eq!(entry(one), entry(other));
        assert_eq!(script.log().len() as u64, last + 1);
        script.end().await;
    });
}

#[test]
fn a_partly_written_document_is_completed() {
    on_own_clock(async {
        for fates in [[LOST, Fate::Answered], [Fate::Answered, LOST]] {
            let script = Script::new(1).await;
            script.next(Fate::Answered);
            // The documents of the members first, then the conversation's.
            fates.into_iter().for_each(|fate| script.next(fate));
            entry(
                script
                    .ask(
                        0,
                        2,
                        Command::Join {
                            max_members: 10_000,
                        },
                    )
                    .await,
            );
            script.end().await;
        }
    });
}
