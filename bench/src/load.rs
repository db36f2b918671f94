//! Sends at a pace, measures a window, waits for the last delivery, and checks all deliveries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::check::{self, Content, Outcome, Received, Send, Verdict};
use super::client::{Host, Sockets};
use super::cpu::{CpuUse, Probe};
use super::report::{Latencies, Quantiles};
use super::run::{Run, Targets};
use super::socket::{Journal, Reply};

/// Time to wait for the last deliveries.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);
/// Quiet time after which the run counts as over: a repeated delivery comes late.
const QUIET: Duration = Duration::from_millis(300);
/// Counters of the log: entries appended, and attempts whose seq was already taken.
const COUNTERS: [&str; 2] = ["chat_log_appends_total", "chat_log_append_conflicts_total"];
/// Error codes after which the outcome of a send is unknown.
const OPEN_OUTCOMES: [&str; 2] = ["UNAVAILABLE", "INTERNAL_ERROR"];

/// Pace of the sends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Pace {
    /// Closed loop with this many concurrent sends.
    Inflight(usize),
    /// This many sends per second, independent of the answers.
    Rate(f64),
}

/// Returns the time at which the n-th send of a constant rate is due, in microseconds from the first.
pub(super) fn due_us(number: u64, rate: f64) -> u64 {
    (number as f64 * 1e6 / rate) as u64
}

/// Parameters of a load.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// Pace of the sends.
    pub pace: Pace,
    /// Warm-up before the window; its sends are checked but not measured.
    pub warmup: Duration,
    /// Length of the measured window.
    pub window: Duration,
    /// Number of conversations.
    pub conversations: usize,
    /// Number of members of each.
    pub members: usize,
    /// Number of members of each that send.
    pub senders: usize,
}

/// Results of a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Measured {
    /// Pace of the sends.
    pub pace: Pace,
    /// Length of the window.
    pub seconds: f64,
    /// Number of messages acknowledged in the window.
    pub messages: u64,
    /// Number of deliveries in the window.
    pub deliveries: u64,
    /// Latency from the intended time of a send to its answer.
    pub ack: Quantiles,
    /// Latency from the intended time of a send to each member's receipt.
    pub delivery: Quantiles,
    /// Latency from the intended time of a send to the last member's receipt.
    pub last: Quantiles,
    /// Delay of the driver's writes: part of all latencies above.
    pub driver_lag: Quantiles,
    /// CPU seconds in the window.
    pub cpu: Vec<CpuUse>,
    /// Conflicts per append in the window, if the service counts them.
    pub conflicts_per_append: Option<f64>,
    /// Number of refusals and `error` events by code, over the whole run.
    pub errors: BTreeMap<String, u64>,
    /// Number of sends with unknown outcome, over the whole run.
    pub unknown: u64,
    /// Number of sends with unknown outcome that arrived at a member.
    pub unknown_arrived: u64,
    /// Time from the end of sending to the last delivery, in ms; `None` if answers or
    /// deliveries are missing.
    pub settled_ms: Option<f64>,
    /// Result of the check of all deliveries of the whole run.
    pub check: Verdict,
}

impl Measured {
    /// Returns the messages per second.
    pub fn messages_per_s(&self) -> f64 {
        self.messages as f64 / self.seconds
    }

    /// Returns the deliveries per second.
    pub fn deliveries_per_s(&self) -> f64 {
        self.deliveries as f64 / self.seconds
    }

    /// Converts seconds of the window to seconds per 1,000 messages.
    pub fn per_1000(&self, seconds: f64) -> f64 {
        seconds * 1_000.0 / (self.messages.max(1) as f64)
    }

    /// Converts seconds of the window to microseconds per delivery.
    pub fn us_per_delivery(&self, seconds: f64) -> f64 {
        seconds * 1e6 / (self.deliveries.max(1) as f64)
    }
}

/// The measured part of a run, in microseconds since its epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Beginning of the window.
    pub from_us: u64,
    /// End of the window, exclusive.
    pub to_us: u64,
}

impl Window {
    /// Returns true if the time is in the window.
    pub fn holds(self, at_us: u64) -> bool {
        (self.from_us..self.to_us).contains(&at_us)
    }
}

/// Runs the load on connected sockets, closes them, and returns the measurements and findings.
///
/// # Errors
/// If the driver itself fails; faults of the service are in the result.
pub(super) async fn drive(
    load: &Load,
    run: &Arc<Run>,
    (host, probe): (&Host, &Probe),
    (sockets, users): (Sockets, &[String]),
) -> anyhow::Result<Measured> {
    run.set_targets(Targets {
        conversations: load.conversations,
        members: load.members,
        senders: load.senders,
        commands: sockets.commands.clone(),
    });
    start(load, run);
    sleep(load.warmup).await;
    let counted = host.counters(COUNTERS).await;
    let from_us = run.now_us();
    let before = probe.sample();
    sleep(load.window).await;
    let after = probe.sample();
    let to_us = run.now_us();
    run.refill.store(false, Relaxed);
    let counted_after = host.counters(COUNTERS).await;
    let settled_us = settle(run, load.members as u64).await;

    let journals = sockets.finish().await?;
    let window = Window { from_us, to_us };
    let grown = |i: usize| counted[i].zip(counted_after[i]).map(|(a, b)| b - a);
    let mut measured = evaluate(load, window, &journals, users);
    measured.cpu = probe.between(&before, &after);
    measured.conflicts_per_append = grown(0)
        .zip(grown(1))
        .filter(|(appends, _)| *appends > 0.0)
        .map(|(appends, conflicts)| conflicts / appends);
    measured.settled_ms = settled_us.map(|us| us.saturating_sub(to_us) as f64 / 1e3);
    Ok(measured)
}

/// Starts the sends; they end when `refill` is reset.
pub(super) fn start(load: &Load, run: &Arc<Run>) {
    run.refill
        .store(matches!(load.pace, Pace::Inflight(_)), Relaxed);
    match load.pace {
        Pace::Inflight(count) => (0..count).for_each(|_| run.dispatch(run.now_us())),
        Pace::Rate(rate) => {
            let run = run.clone();
            let count = (rate * (load.warmup + load.window).as_secs_f64()).ceil() as u64;
            // A separate thread: the runtime's timers have a resolution of a millisecond.
            std::thread::spawn(move || keep_rate(&run, rate, count));
        }
    }
}

fn keep_rate(run: &Run, rate: f64, count: u64) {
    const SHORTEST: u64 = 200;
    let first_us = run.now_us();
    let mut number = 0;
    while number < count {
        let now = run.now_us() - first_us;
        while number < count && due_us(number, rate) <= now {
            run.dispatch(first_us + due_us(number, rate));
            number += 1;
        }
        let wait = due_us(number, rate).saturating_sub(run.now_us() - first_us);
        std::thread::sleep(Duration::from_micros(wait.max(SHORTEST)));
    }
}

/// Waits until every send is answered and every acknowledged message was seen by all members, and for a quiet time after that.
/// Returns the time at which the last delivery was first seen to be complete.
async fn settle(run: &Run, members: u64) -> Option<u64> {
    let limit = run.now_us() + SETTLE_LIMIT.as_micros() as u64;
    let mut delivered = 0;
    let mut still_since = run.now_us();
    while run.now_us() < limit {
        let now = run.delivered.load(Relaxed);
        if now != delivered {
            delivered = now;
            still_since = run.now_us();
        }
        let complete = run.outstanding.load(Relaxed) == 0
            && delivered >= run.acknowledged.load(Relaxed) * members;
        if complete && run.now_us() - still_since > QUIET.as_micros() as u64 {
            return Some(still_since);
        }
        sleep(Duration::from_millis(10)).await;
    }
    None
}

/// One send, combined from the journals of the sockets.
#[derive(Clone, Copy)]
struct Trace {
    intended_us: u64,
    outcome: Outcome,
    last_us: u64,
    arrived: usize,
}

/// Counts and checks the journals of the sockets.
fn evaluate(load: &Load, window: Window, journals: &[Journal], users: &[String]) -> Measured {
    let all_sent = journals.iter().flat_map(|journal| &journal.sent);
    let all_answers = journals.iter().flat_map(|journal| &journal.answers);
    let count = all_sent.clone().map(|sent| sent.number + 1).max();
    let nothing = Trace {
        intended_us: 0,
        outcome: Outcome::Unsent,
        last_us: 0,
        arrived: 0,
    };
    let mut traces = vec![nothing; count.unwrap_or(0) as usize];
    let mut driver_lag = Latencies::new();
    for sent in all_sent {
        let trace = &mut traces[sent.number as usize];
        trace.intended_us = sent.intended_us;
        trace.outcome = Outcome::Unknown;
        if window.holds(sent.intended_us) {
            driver_lag.add(sent.written_us.saturating_sub(sent.intended_us));
        }
    }
    let mut errors = socket_errors(journals);
    let mut ack = Latencies::new();
    let mut messages = 0;
    for answer in all_answers {
        let Some(trace) = traces.get_mut(answer.number as usize) else {
            continue;
        };
        match &answer.reply {
            Reply::Stored(seq) => {
                trace.outcome = Outcome::Acknowledged(*seq);
                messages += u64::from(window.holds(answer.at_us));
                if window.holds(trace.intended_us) {
                    ack.add(answer.at_us.saturating_sub(trace.intended_us));
                }
            }
            Reply::Refused(code) => {
                *errors.entry(code.clone()).or_default() += 1;
                if !OPEN_OUTCOMES.contains(&code.as_str()) {
                    trace.outcome = Outcome::Refused;
                }
            }
        }
    }
    let mut delivery = Latencies::new();
    let mut deliveries = 0;
    for seen in journals.iter().flat_map(|journal| &journal.seen) {
        let Content::Message(number) = seen.content else {
            continue;
        };
        let Some(trace) = traces.get_mut(number as usize) else {
            continue;
        };
        trace.arrived += 1;
        trace.last_us = trace.last_us.max(seen.at_us);
        deliveries += u64::from(window.holds(seen.at_us));
        if window.holds(trace.intended_us) {
            delivery.add(seen.at_us.saturating_sub(trace.intended_us));
        }
    }
    let open = traces.iter().filter(|t| t.outcome == Outcome::Unknown);
    Measured {
        pace: load.pace,
        seconds: (window.to_us - window.from_us) as f64 / 1e6,
        messages,
        deliveries,
        ack: ack.quantiles(),
        delivery: delivery.quantiles(),
        last: last_receipts(&traces, window, load.members).quantiles(),
        driver_lag: driver_lag.quantiles(),
        cpu: Vec::new(),
        conflicts_per_append: None,
        errors,
        unknown: open.clone().count() as u64,
        unknown_arrived: open.filter(|t| t.arrived > 0).count() as u64,
        settled_ms: None,
        check: judge(load, &traces, journals, users),
    }
}

/// Returns the latencies until the last member's receipt, for sends of the window that reached every member.
fn last_receipts(traces: &[Trace], window: Window, members: usize) -> Latencies {
    let mut last = Latencies::new();
    for trace in traces {
        if window.holds(trace.intended_us) && trace.arrived >= members {
            last.add(trace.last_us.saturating_sub(trace.intended_us));
        }
    }
    last
}

/// Counts the `error` events and the unreadable frames.
fn socket_errors(journals: &[Journal]) -> BTreeMap<String, u64> {
    let mut errors = BTreeMap::new();
    for journal in journals {
        for (code, times) in &journal.errors {
            *errors.entry(format!("{code} (event)")).or_default() += times;
        }
        if journal.unreadable > 0 {
            *errors.entry("unreadable frame".to_owned()).or_default() += journal.unreadable;
        }
    }
    errors
}

fn judge(load: &Load, traces: &[Trace], journals: &[Journal], users: &[String]) -> Verdict {
    let sends: Vec<Send> = (0u32..)
        .zip(traces)
        .map(|(number, trace)| Send {
            conversation: Targets::conversation_of(number, load.conversations),
            outcome: trace.outcome,
        })
        .collect();
    let members: Vec<Received<'_>> = journals
        .iter()
        .zip(users)
        .enumerate()
        .map(|(index, (journal, user))| Received {
            user,
            conversation: index / load.members,
            seen: &journal.seen,
            closed: journal.closed.as_deref(),
        })
        .collect();
    check::check(&sends, &members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Seen;
    use crate::socket::{Answer, Sent};

    #[test]
    fn a_constant_rate_is_kept_however_long() {
        assert_eq!(due_us(0, 20.0), 0);
        assert_eq!(due_us(1, 20.0), 50_000);
        assert_eq!(due_us(20, 20.0), 1_000_000);
        // Rounding errors do not add up: the millionth send at 3/s is due after a third of a million seconds.
        assert_eq!(due_us(999_999, 3.0), 333_333_000_000);
        assert!((0..1_000).all(|n| due_us(n, 7_777.0) <= due_us(n + 1, 7_777.0)));
    }

    #[test]
    fn a_late_driver_shortens_no_latency() {
        let run = Run::new(0);
        let written = |intended_us, written_us, at_us| Journal {
            sent: vec![Sent {
                number: 0,
                intended_us,
                written_us,
            }],
            answers: vec![Answer {
                number: 0,
                at_us,
                reply: Reply::Stored(Some(2)),
            }],
            seen: vec![Seen {
                seq: 2,
                content: Content::Message(0),
                at_us: at_us + 5,
            }],
            ..Journal::default()
        };
        let load = Load {
            pace: Pace::Rate(1.0),
            warmup: Duration::ZERO,
            window: Duration::from_secs(1),
            conversations: 1,
            members: 1,
            senders: 1,
        };
        let window = Window {
            from_us: 0,
            to_us: 1_000_000,
        };
        let users = vec![run.tag().to_owned()];
        // Due at 100, written at 900, answered at 1,000: the latency is 900, not 100.
        let measured = evaluate(&load, window, &[written(100, 900, 1_000)], &users);
        assert_eq!(measured.ack.max_ms, 0.9);
        assert_eq!(measured.last.max_ms, 0.905);
        assert_eq!(measured.driver_lag.max_ms, 0.8);
        assert!(measured.check.passed());
        assert_eq!((measured.messages, measured.deliveries), (1, 1));
    }

    #[test]
    fn an_unanswered_send_is_unknown_and_no_fault() {
        let load = Load {
            pace: Pace::Inflight(1),
            warmup: Duration::ZERO,
            window: Duration::from_secs(1),
            conversations: 1,
            members: 1,
            senders: 1,
        };
        let window = Window {
            from_us: 0,
            to_us: 1_000_000,
        };
        let journal = Journal {
            sent: vec![Sent {
                number: 0,
                intended_us: 1,
                written_us: 1,
            }],
            ..Journal::default()
        };
        let measured = evaluate(&load, window, &[journal], &["u".to_owned()]);
        assert_eq!((measured.unknown, measured.unknown_arrived), (1, 0));
        assert!(measured.check.passed());
    }
}
