//! Lag of durable consumers as metrics.

use chat_sdk::Timestamp;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::{
    bus::{lag::DurableLag, tail::TailStatus},
    store::Backlog,
};

/// Maximum number of durable consumers shown by name: those with the largest lag. The others share one line.
pub const MAX_NAMED: usize = 200;
/// Label of that line. No consumer has it: their names begin with a letter or a digit.
const OTHERS: &str = "(others)";

/// Metrics of this file with their descriptions.
const HELP: [(&str, &str); 10] = [
    (
        "chat_tail_pending",
        "Events that the tail of this process has not read yet.",
    ),
    ("chat_durables", "Durable consumers of the stream."),
    (
        "chat_durable_pending",
        "Events that were not delivered to a durable consumer yet, including those that the stream lacks.",
    ),
    (
        "chat_durable_to_put_back",
        "Pending events that may be missing in the stream and that the relay still has to publish.",
    ),
    (
        "chat_durable_in_flight",
        "Events that were delivered and are not acknowledged.",
    ),
    (
        "chat_durable_retrying",
        "Events in flight that were delivered more than once.",
    ),
    (
        "chat_durable_oldest_seconds",
        "Age of the oldest event that is not acknowledged, 0 if all are.",
    ),
    (
        "chat_relay_missing",
        "Log entries that may be missing in the stream, 0 while the relay keeps up.",
    ),
    (
        "chat_relay_behind_seconds",
        "Age of the oldest log entry that may be missing in the stream.",
    ),
    (
        "chat_relay_set_aside",
        "Events that the broker never accepts, and owners whose documents cannot be updated.",
    ),
];

/// Values of one durable consumer, or of several together.
#[derive(Default)]
struct Row {
    pending: u64,
    to_put_back: u64,
    in_flight: u64,
    retrying: u64,
    oldest_seconds: f64,
}

impl Row {
    fn add(&mut self, lag: &DurableLag, now: Timestamp) {
        self.pending += lag.pending;
        self.to_put_back += lag.to_put_back;
        self.in_flight += lag.in_flight;
        self.retrying += lag.retrying;
        self.oldest_seconds = self.oldest_seconds.max(lag.oldest_age(now).as_secs_f64());
    }
}

/// Returns the lag of the tail of this process, that of `durables`, and the backlog of the relay, in the text format of Prometheus.
pub fn render(
    tail: &TailStatus,
    durables: Option<&[DurableLag]>,
    backlog: Option<&Backlog>,
) -> String {
    // Each call has its own recorder: a recorder never removes a series, so a deleted consumer would be shown forever.
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for (name, help) in HELP {
            describe_gauge!(name, help);
        }
        gauge!("chat_tail_pending").set(tail.pending() as f64);
        if let Some(durables) = durables {
            set_durables(durables);
        }
        if let Some(backlog) = backlog {
            set_backlog(backlog);
        }
    });
    recorder.handle().render()
}

fn set_durables(durables: &[DurableLag]) {
    gauge!("chat_durables").set(durables.len() as f64);
    for (name, row) in rows(durables, Timestamp::now()) {
        let set = |metric: &'static str, value: f64| {
            gauge!(metric, "durable" => name.to_owned()).set(value);
        };
        set("chat_durable_pending", row.pending as f64);
        set("chat_durable_to_put_back", row.to_put_back as f64);
        set("chat_durable_in_flight", row.in_flight as f64);
        set("chat_durable_retrying", row.retrying as f64);
        set("chat_durable_oldest_seconds", row.oldest_seconds);
    }
}

fn set_backlog(backlog: &Backlog) {
    gauge!("chat_relay_missing").set(backlog.missing as f64);
    gauge!("chat_relay_behind_seconds").set(backlog.age().as_secs_f64());
    gauge!("chat_relay_set_aside", "what" => "event").set(backlog.set_aside.entries as f64);
    gauge!("chat_relay_set_aside", "what" => "owner").set(backlog.set_aside.owners as f64);
}

fn rows(durables: &[DurableLag], now: Timestamp) -> Vec<(&str, Row)> {
    let (named, others) = durables.split_at(durables.len().min(MAX_NAMED));
    let mut rows: Vec<(&str, Row)> = named
        .iter()
        .map(|lag| {
            let mut row = Row::default();
            row.add(lag, now);
            (lag.name.as_str(), row)
        })
        .collect();
    if !others.is_empty() {
        let mut row = Row::default();
        for lag in others {
            row.add(lag, now);
        }
        rows.push((OTHERS, row));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(n: u64, oldest: Option<i64>) -> DurableLag {
        DurableLag {
            name: format!("webhooks-{n}"),
            pending: n,
            to_put_back: 0,
            in_flight: 1,
            retrying: 0,
            oldest: oldest.map(Timestamp::from_millis),
            paused_for: None,
        }
    }

    #[test]
    fn each_durable_has_its_lines_and_age_0_without_unacknowledged_events() {
        let durables = vec![lag(7, Some(0)), lag(0, None)];
        let text = render(&TailStatus::default(), Some(&durables), None);
        for line in [
            "# TYPE chat_durable_pending gauge",
            "chat_tail_pending 0",
            "chat_durables 2",
            "chat_durable_pending{durable=\"webhooks-7\"} 7",
            "chat_durable_in_flight{durable=\"webhooks-7\"} 1",
            "chat_durable_oldest_seconds{durable=\"webhooks-0\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn durables_beyond_the_limit_share_one_line_with_their_sums() {
        let durables: Vec<DurableLag> = (0..1000).map(|n| lag(n, None)).collect();
        let rows = rows(&durables, Timestamp::now());
        assert_eq!(rows.len(), MAX_NAMED + 1);
        let sum: u64 = rows.iter().map(|(_, row)| row.pending).sum();
        assert_eq!(sum, (0..1000).sum::<u64>());
    }

    #[test]
    fn without_a_reply_of_the_broker_no_lag_is_rendered() {
        let text = render(&TailStatus::default(), None, None);
        assert!(
            text.contains("chat_tail_pending") && !text.contains("chat_durable"),
            "{text}"
        );
    }
}
