//! Prints results in aligned columns, and writes them as JSON.

use std::fs;
use std::path::Path;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::check::Verdict;
use super::client::RATE_HINT;
use super::cpu::{Part, total};
use super::load::Measured;

/// Latencies of many events, in microseconds.
pub(super) struct Latencies(Histogram<u64>);

/// Quantiles of a latency, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Quantiles {
    /// Number of events.
    pub count: u64,
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile, in milliseconds.
    pub p95_ms: f64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// Maximum, in milliseconds.
    pub max_ms: f64,
}

impl Latencies {
    /// Returns an empty histogram up to one minute with three significant digits.
    pub fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, 60_000_000, 3)
                .expect("1 to 60,000,000 with three digits are bounds that the histogram takes"),
        )
    }

    /// Records one event; a latency above a minute counts as a minute.
    pub fn add(&mut self, us: u64) {
        self.0.saturating_record(us.max(1));
    }

    /// Returns the quantiles.
    pub fn quantiles(&self) -> Quantiles {
        let at = |q| self.0.value_at_quantile(q) as f64 / 1e3;
        Quantiles {
            count: self.0.len(),
            p50_ms: at(0.50),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: self.0.max() as f64 / 1e3,
        }
    }
}

/// Prints one named line.
pub(super) fn say(name: &str, value: &str) {
    println!("{name:<24} {value}");
}

/// Formats a number without decimals and with separated thousands.
pub(super) fn whole(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints rows in columns: the first aligned to the left, the others to the right.
pub(super) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            if column == 0 {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("  {cell:>width$}"));
            }
        }
        println!("{}", line.trim_end());
    }
}

/// Returns one row of a table, from any displayable values.
pub(super) fn row<T: ToString>(cells: impl IntoIterator<Item = T>) -> Vec<String> {
    cells.into_iter().map(|cell| cell.to_string()).collect()
}

/// Prints the figures of a run.
pub(super) fn print_run(run: &Measured) {
    say("window", &format!("{:.2} s", run.seconds));
    say(
        "messages",
        &format!(
            "{}/s ({} acknowledged)",
            whole(run.messages_per_s()),
            whole(run.messages as f64)
        ),
    );
    say(
        "deliveries",
        &format!(
            "{}/s ({})",
            whole(run.deliveries_per_s()),
            whole(run.deliveries as f64)
        ),
    );
    println!();
    let mut rows = vec![row(["latency, ms", "p50", "p95", "p99", "max"])];
    for (name, of) in [
        ("answer", run.ack),
        ("delivery to a member", run.delivery),
        ("delivery to the last", run.last),
        ("of it, driver's delay", run.driver_lag),
    ] {
        let mut cells = row([name]);
        cells.extend([of.p50_ms, of.p95_ms, of.p99_ms, of.max_ms].map(|ms| format!("{ms:.2}")));
        rows.push(cells);
    }
    table(&rows);
    println!();
    print_cpu(run);
    if let Some(ratio) = run.conflicts_per_append {
        say("conflicts per append", &format!("{ratio:.4}"));
    }
    match run.settled_ms {
        None => say(
            "last delivery after",
            "not all answers and deliveries arrived within 15 s",
        ),
        Some(ms) => say(
            "last delivery after",
            &format!("{ms:.0} ms from the end of sending"),
        ),
    }
    if run.unknown > 0 {
        say(
            "unknown outcome",
            &format!(
                "{} sends, {} of them arrived",
                run.unknown, run.unknown_arrived
            ),
        );
    }
    print_errors(run);
}

/// Prints CPU time by process.
fn print_cpu(run: &Measured) {
    let mut rows = vec![row([
        "CPU",
        "s in window",
        "s per 1,000 messages",
        "us per delivery",
    ])];
    let line = |name: &str, seconds: f64| {
        vec![
            name.to_owned(),
            format!("{seconds:.2}"),
            format!("{:.4}", run.per_1000(seconds)),
            format!("{:.2}", run.us_per_delivery(seconds)),
        ]
    };
    for part in [Part::Server, Part::Nginx, Part::Bench] {
        let uses = run.cpu.iter().filter(|u| u.part == part);
        rows.extend(uses.map(|u| line(&u.process, u.seconds)));
        let servers = run.cpu.iter().filter(|u| u.part == Part::Server).count();
        if part == Part::Server && servers > 0 {
            rows.push(line("servers, total", total(&run.cpu)));
        }
    }
    table(&rows);
    println!();
}

fn print_errors(run: &Measured) {
    for (code, times) in &run.errors {
        say("error", &format!("{code}: {times}"));
    }
    if run
        .errors
        .keys()
        .any(|code| code.starts_with("RATE_LIMITED"))
    {
        say("remedy", RATE_HINT);
    }
}

/// Prints the result of the check.
pub(super) fn print_verdict(verdict: &Verdict) {
    if verdict.passed() && verdict.messages == 0 {
        println!("check: no message was acknowledged, nothing to check");
    } else if verdict.passed() {
        println!(
            "check: every member got every acknowledged message once and in order ({} messages, {} deliveries)",
            whole(verdict.messages as f64),
            whole(verdict.deliveries as f64)
        );
    } else {
        println!("check: FAULTS");
        for (kind, times) in &verdict.faults {
            println!("  {kind:<10} {times}");
        }
        for example in &verdict.examples {
            println!("  {example}");
        }
    }
}

/// Returns true if a run has no faults and is not empty.
pub(super) fn passed(run: &Measured) -> bool {
    run.check.passed() && run.check.messages > 0
}

/// Returns the median; of an even number of values the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => 0.0,
        (n, middle) if n.is_multiple_of(2) => (values[middle - 1] + values[middle]) / 2.0,
        (_, middle) => values[middle],
    }
}

/// Figures by which runs are compared.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    messages_per_second: f64,
    deliveries_per_second: f64,
    answer_p50_ms: f64,
    answer_p99_ms: f64,
    last_delivery_p50_ms: f64,
    last_delivery_p99_ms: f64,
    server_cpu_seconds_per_1000_messages: Option<f64>,
    server_cpu_us_per_delivery: Option<f64>,
    conflicts_per_append: Option<f64>,
    passed: bool,
}

impl Figures {
    /// Returns the figures of one run.
    pub fn of(run: &Measured) -> Self {
        let measured = run.cpu.iter().any(|u| u.part == Part::Server);
        let cpu = measured.then(|| total(&run.cpu));
        Self {
            messages_per_second: run.messages_per_s(),
            deliveries_per_second: run.deliveries_per_s(),
            answer_p50_ms: run.ack.p50_ms,
            answer_p99_ms: run.ack.p99_ms,
            last_delivery_p50_ms: run.last.p50_ms,
            last_delivery_p99_ms: run.last.p99_ms,
            server_cpu_seconds_per_1000_messages: cpu.map(|s| run.per_1000(s)),
            server_cpu_us_per_delivery: cpu.map(|s| run.us_per_delivery(s)),
            conflicts_per_append: run.conflicts_per_append,
            passed: passed(run),
        }
    }

    /// Returns the median of each figure; it passes if every run does.
    pub fn median(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(all.iter().map(figure).collect());
        let of_some = |figure: fn(&Self) -> Option<f64>| {
            let values: Vec<f64> = all.iter().filter_map(figure).collect();
            (!values.is_empty()).then(|| median(values))
        };
        Self {
            messages_per_second: of(|f| f.messages_per_second),
            deliveries_per_second: of(|f| f.deliveries_per_second),
            answer_p50_ms: of(|f| f.answer_p50_ms),
            answer_p99_ms: of(|f| f.answer_p99_ms),
            last_delivery_p50_ms: of(|f| f.last_delivery_p50_ms),
            last_delivery_p99_ms: of(|f| f.last_delivery_p99_ms),
            server_cpu_seconds_per_1000_messages: of_some(|f| {
                f.server_cpu_seconds_per_1000_messages
            }),
            server_cpu_us_per_delivery: of_some(|f| f.server_cpu_us_per_delivery),
            conflicts_per_append: of_some(|f| f.conflicts_per_append),
            passed: all.iter().all(|f| f.passed),
        }
    }

    fn row(&self, name: &str) -> Vec<String> {
        let ms = |value: f64| format!("{value:.2}");
        let maybe = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
        vec![
            name.to_owned(),
            whole(self.messages_per_second),
            whole(self.deliveries_per_second),
            ms(self.answer_p50_ms),
            ms(self.answer_p99_ms),
            ms(self.last_delivery_p50_ms),
            ms(self.last_delivery_p99_ms),
            maybe(self.server_cpu_seconds_per_1000_messages),
            maybe(self.conflicts_per_append),
            if self.passed { "ok" } else { "FAULTS" }.to_owned(),
        ]
    }
}

/// Prints named runs, one per row; `first` is the heading of the names.
pub(super) fn print_runs(first: &str, runs: &[(String, Figures)]) {
    let mut rows = vec![row([
        first,
        "messages/s",
        "deliveries/s",
        "answer p50 ms",
        "p99",
        "last p50 ms",
        "p99",
        "CPU s per 1,000",
        "conflicts/append",
        "check",
    ])];
    rows.extend(runs.iter().map(|(name, figures)| figures.row(name)));
    table(&rows);
}

/// Writes the results to the file that the caller named.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write_json(file: Option<&Path>, results: &impl Serialize) -> anyhow::Result<()> {
    let Some(file) = file else {
        return Ok(());
    };
    let mut text = serde_json::to_string_pretty(results)?;
    text.push('\n');
    fs::write(file, text).with_context(|| format!("write the results to {}", file.display()))?;
    say("written", &file.display().to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!(whole(0.4), "0");
        assert_eq!(whole(999.0), "999");
        assert_eq!(whole(1_000.0), "1,000");
        assert_eq!(whole(1_234_567.2), "1,234,567");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![]), 0.0);
    }

    #[test]
    fn quantiles_are_milliseconds() {
        let mut spread = Latencies::new();
        (1..=1_000).for_each(|ms| spread.add(ms * 1_000));
        let quantiles = spread.quantiles();
        assert!((quantiles.p50_ms - 500.0).abs() < 1.0);
        assert!((quantiles.p99_ms - 990.0).abs() < 1.0);
        assert_eq!(quantiles.count, 1_000);
    }
}
