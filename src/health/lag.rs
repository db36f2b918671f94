//! Lag of durable consumers in the text format of Prometheus.
//!
//! Written here instead of by the recorder, which never removes a series: a deleted consumer would be shown forever.

use std::fmt::Write;

use chat_sdk::Timestamp;

use crate::{
    bus::{lag::DurableLag, tail::TailStatus},
    store::Backlog,
};

/// Maximum number of durable consumers shown by name: those with the largest lag. The others share one line.
pub const MAX_NAMED: usize = 200;
/// Label of that line. No consumer has it: their names begin with a letter or a digit.
const OTHERS: &str = "(others)";

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

/// Adds the lag of the tail of this process, and that of `durables` if it is known.
pub fn render(text: &mut String, tail: &TailStatus, durables: Option<&Vec<DurableLag>>) {
    let mut out = Text(text);
    out.head(
        "chat_tail_pending",
        "Events that the tail of this process has not read yet",
    );
    out.line("chat_tail_pending", "", tail.pending() as f64);
    let Some(durables) = durables else {
        return;
    };
    out.head("chat_durables", "Durable consumers of the stream");
    out.line("chat_durables", "", durables.len() as f64);
    let rows = rows(durables, Timestamp::now());
    let mut family = |name: &str, help: &str, value: fn(&Row) -> f64| {
        out.head(name, help);
        for (durable, row) in &rows {
            out.line(name, &label("durable", durable), value(row));
        }
    };
    family(
        "chat_durable_pending",
        "Events that were not delivered to a durable consumer yet, including those that the stream lacks",
        |row| row.pending as f64,
    );
    family(
        "chat_durable_to_put_back",
        "Pending events that may be missing in the stream and that the relay still has to publish",
        |row| row.to_put_back as f64,
    );
    family(
        "chat_durable_in_flight",
        "Events that were delivered and are not acknowledged",
        |row| row.in_flight as f64,
    );
    family(
        "chat_durable_retrying",
        "Events in flight that were delivered more than once",
        |row| row.retrying as f64,
    );
    family(
        "chat_durable_oldest_seconds",
        "Age of the oldest event that is not acknowledged, 0 if all are",
        |row| row.oldest_seconds,
    );
}

/// Adds the backlog of the relay.
pub fn render_backlog(text: &mut String, backlog: &Backlog) {
    let mut out = Text(text);
    out.head(
        "chat_relay_missing",
        "Log entries that may be missing in the stream, 0 while the relay keeps up",
    );
    out.line("chat_relay_missing", "", backlog.missing as f64);
    out.head(
        "chat_relay_behind_seconds",
        "Age of the oldest log entry that may be missing in the stream",
    );
    let age = backlog.age().as_secs_f64();
    out.line("chat_relay_behind_seconds", "", age);
    out.head(
        "chat_relay_set_aside",
        "Events that the broker never accepts, and owners whose documents cannot be updated",
    );
    for (what, count) in [
        ("event", backlog.set_aside.entries),
        ("owner", backlog.set_aside.owners),
    ] {
        out.line("chat_relay_set_aside", &label("what", what), count as f64);
    }
}

fn label(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{{{name}=\"{value}\"}}")
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

/// Writer of the text format, limited to gauges.
struct Text<'a>(&'a mut String);

impl Text<'_> {
    fn head(&mut self, name: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}.\n# TYPE {name} gauge");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
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
        let mut text = String::new();
        let durables = vec![lag(7, Some(0)), lag(0, None)];
        render(&mut text, &TailStatus::default(), Some(&durables));
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
        let mut text = String::new();
        render(&mut text, &TailStatus::default(), None);
        assert!(
            text.contains("chat_tail_pending") && !text.contains("chat_durable"),
            "{text}"
        );
    }
}
