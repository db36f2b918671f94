//! One run: sends messages at a pace, measures a window, and checks that every event arrives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::receiver::{Receipt, Receiver};
use crate::client::Host;
use crate::cpu::{CpuUse, Probe};
use crate::load::{Load, Pace, Window, start};
use crate::report::{Latencies, Quantiles};
use crate::run::{Run, Targets};
use crate::socket::Command;

/// Time to wait for the last events; it covers the first retries.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// Quiet time after which a run counts as over: a repeated event comes late.
const QUIET: Duration = Duration::from_millis(500);

/// Results of a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Measured {
    /// Pace of the sends.
    pub pace: Pace,
    /// True if an endpoint that never responds existed beside it.
    pub is_beside_dead: bool,
    /// Length of the window.
    pub seconds: f64,
    /// Number of events that arrived in the window.
    pub deliveries: u64,
    /// Latency from the time in an event, which is that of its commit, to its arrival; for events that arrived in the window.
    pub from_commit: Quantiles,
    /// Latency from the intended time of a send to the arrival of its event; for sends of the window.
    pub from_due: Quantiles,
    /// CPU seconds in the window.
    pub cpu: Vec<CpuUse>,
    /// Number of acknowledged messages, over the whole run.
    pub acknowledged: u64,
    /// Number of acknowledged messages whose event never arrived.
    pub missing: u64,
    /// Number of repeated arrivals of events; the first arrival of each does not count.
    pub repeats: u64,
    /// Number of refused sends by response.
    pub errors: BTreeMap<String, u64>,
}

impl Measured {
    /// Returns the events per second.
    pub fn deliveries_per_s(&self) -> f64 {
        self.deliveries as f64 / self.seconds
    }

    /// Converts seconds of the window to seconds per 1,000 deliveries.
    pub fn per_1000(&self, seconds: f64) -> f64 {
        seconds * 1_000.0 / (self.deliveries.max(1) as f64)
    }

    /// Returns true if at least one message was acknowledged and all their events arrived.
    pub fn passed(&self) -> bool {
        self.acknowledged > 0 && self.missing == 0
    }
}

/// One send.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sent {
    intended_us: u64,
    is_acknowledged: bool,
}

/// Journal of the senders.
#[derive(Default)]
struct Notes {
    sent: Vec<Sent>,
    errors: BTreeMap<String, u64>,
}

/// Conversations and senders of a run.
pub(super) struct Plan {
    /// Sender and id of each conversation.
    pub conversations: Vec<(String, String)>,
    /// Size of a message's content, in bytes.
    pub size: usize,
    /// Warm-up before the window.
    pub warmup: Duration,
    /// Length of the window.
    pub window: Duration,
}

/// Sends at `pace`, and returns the measurements and findings.
pub(super) async fn drive(
    plan: &Plan,
    pace: Pace,
    (host, probe): (&Arc<Host>, &Probe),
    receiver: &Receiver,
) -> Measured {
    let run = Run::new(plan.size);
    let notes = Arc::new(Mutex::new(Notes::default()));
    receiver.begin(&run);
    run.set_targets(Targets {
        conversations: plan.conversations.len(),
        members: 1,
        senders: 1,
        commands: senders(plan, host, &run, &notes),
    });
    let load = Load {
        pace,
        warmup: plan.warmup,
        window: plan.window,
        conversations: plan.conversations.len(),
        members: 1,
        senders: 1,
    };
    start(&load, &run);
    sleep(load.warmup).await;
    let from_us = run.now_us();
    let before = probe.sample();
    sleep(load.window).await;
    let after = probe.sample();
    let to_us = run.now_us();
    run.refill.store(false, Relaxed);
    settle(&run).await;
    let receipts = receiver.end();
    let notes = std::mem::take(&mut *notes.lock());
    let mut measured = evaluate(pace, Window { from_us, to_us }, &notes.sent, &receipts);
    measured.cpu = probe.between(&before, &after);
    measured.errors = notes.errors;
    measured
}

/// Starts a task per conversation that sends over REST, many messages at a time. It ends with the run.
fn senders(
    plan: &Plan,
    host: &Arc<Host>,
    run: &Arc<Run>,
    notes: &Arc<Mutex<Notes>>,
) -> Vec<mpsc::UnboundedSender<Command>> {
    let mut commands = Vec::with_capacity(plan.conversations.len());
    for (user, conversation) in &plan.conversations {
        let (command, mut inbox) = mpsc::unbounded_channel();
        commands.push(command);
        let conversation = Arc::new((user.clone(), conversation.clone()));
        let (host, notes) = (Arc::clone(host), Arc::clone(notes));
        // The run holds the command channel, so the task that waits for commands must not hold the run.
        let run = Arc::downgrade(run);
        tokio::spawn(async move {
            while let Some(Command::Send {
                number,
                intended_us,
            }) = inbox.recv().await
            {
                let Some(run) = run.upgrade() else {
                    return;
                };
                let (host, notes, conversation) =
                    (host.clone(), notes.clone(), conversation.clone());
                tokio::spawn(async move {
                    let content = run.content(number);
                    let outcome = host
                        .send(number as usize, &conversation.0, &conversation.1, &content)
                        .await;
                    let is_acknowledged = outcome.is_ok();
                    let mut notes = notes.lock();
                    let index = number as usize;
                    if notes.sent.len() <= index {
                        notes.sent.resize(index + 1, Sent::default());
                    }
                    notes.sent[index] = Sent {
                        intended_us,
                        is_acknowledged,
                    };
                    if let Err(error) = outcome {
                        *notes.errors.entry(format!("{error:#}")).or_default() += 1;
                        drop(notes);
                        // Its event may still arrive; the run does not wait for it.
                        run.settled(false);
                    }
                });
            }
        });
    }
    commands
}

/// Waits until every event has arrived and no more come, or until the time limit.
async fn settle(run: &Run) {
    let limit = run.now_us() + SETTLE_LIMIT.as_micros() as u64;
    let mut known = run.acknowledged.load(Relaxed);
    let mut still_since = run.now_us();
    while run.now_us() < limit {
        let now = run.acknowledged.load(Relaxed);
        if now != known {
            known = now;
            still_since = run.now_us();
        }
        let is_complete = run.outstanding.load(Relaxed) == 0;
        if is_complete && run.now_us() - still_since > QUIET.as_micros() as u64 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn evaluate(pace: Pace, window: Window, sent: &[Sent], receipts: &[Receipt]) -> Measured {
    let mut from_commit = Latencies::new();
    let mut from_due = Latencies::new();
    let mut times = vec![0_u64; sent.len()];
    let mut deliveries = 0;
    for receipt in receipts {
        let index = receipt.number as usize;
        if times.len() <= index {
            times.resize(index + 1, 0);
        }
        times[index] += 1;
        if window.holds(receipt.at_us) {
            deliveries += 1;
        }
        if times[index] > 1 {
            continue;
        }
        if window.holds(receipt.at_us) {
            from_commit.add(receipt.age_us);
        }
        if let Some(sent) = sent.get(index)
            && window.holds(sent.intended_us)
        {
            from_due.add(receipt.at_us.saturating_sub(sent.intended_us));
        }
    }
    let acknowledged = sent.iter().filter(|sent| sent.is_acknowledged).count() as u64;
    let pairs = sent.iter().zip(&times);
    let missing = pairs.filter(|(sent, times)| sent.is_acknowledged && **times == 0);
    Measured {
        pace,
        is_beside_dead: false,
        seconds: (window.to_us - window.from_us) as f64 / 1e6,
        deliveries,
        from_commit: from_commit.quantiles(),
        from_due: from_due.quantiles(),
        cpu: Vec::new(),
        acknowledged,
        missing: missing.count() as u64,
        repeats: times.iter().map(|times| times.saturating_sub(1)).sum(),
        errors: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_event_is_missing_and_a_second_one_a_repeat() {
        let sent = |intended_us, is_acknowledged| Sent {
            intended_us,
            is_acknowledged,
        };
        let receipt = |number, at_us| Receipt {
            number,
            at_us,
            age_us: 40,
        };
        let window = Window {
            from_us: 100,
            to_us: 200,
        };
        // The third was refused and arrived nevertheless; the second never arrived.
        let all = [
            sent(50, true),
            sent(110, true),
            sent(120, false),
            sent(130, true),
        ];
        let came = [
            receipt(0, 150),
            receipt(2, 160),
            receipt(3, 190),
            receipt(0, 250),
        ];
        let found = evaluate(Pace::Rate(1.0), window, &all, &came);
        assert_eq!(
            (found.acknowledged, found.missing, found.repeats),
            (3, 1, 1)
        );
        assert_eq!(found.deliveries, 3);
        assert_eq!(found.from_commit.count, 3);
        assert_eq!(found.from_due.count, 2, "of sends of the window");
        assert!(!found.passed());
        let found = evaluate(Pace::Rate(1.0), window, &all[..1], &came[..1]);
        assert!(found.passed());
        assert!(
            !evaluate(Pace::Rate(1.0), window, &[], &[]).passed(),
            "nothing was sent"
        );
    }
}
