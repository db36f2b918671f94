//! Prints the phases, and judges them by the bounds.

use serde::Serialize;

use super::clients::Tally;
use super::{Growth, HostileArgs, Kind, Pair, Phase};
use crate::cpu::Part;
use crate::load::Measured;
use crate::report::{median, passed, print_run, print_verdict, row, say, table, whole};

/// Result of one check.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// True if the bound holds.
    pub passed: bool,
    /// The bound and the figure.
    pub text: String,
}

/// Reads the p99 of a latency, in milliseconds.
type P99 = fn(&Measured) -> f64;

/// Latencies that are compared.
const LATENCIES: [(&str, P99); 2] = [
    ("answer", |run| run.ack.p99_ms),
    ("delivery to a member", |run| run.delivery.p99_ms),
];

fn ratio(pair: &Pair, p99: P99) -> f64 {
    p99(&pair.beside.ordinary) / p99(&pair.alone.ordinary).max(0.001)
}

fn highest(phase: &Phase) -> f64 {
    let all = phase.memory.iter().map(|peak| peak.mib);
    all.fold(0.0, f64::max)
}

/// Prints the work of the hostile clients over `seconds`.
pub(super) fn print_tallies(name: &str, tallies: &[(Kind, Tally)], seconds: f64) {
    for (kind, tally) in tallies {
        say(
            name,
            &format!(
                "{kind}: {:.1}/s, {} in all; {} refused by a rate limit, {} failed",
                tally.done as f64 / seconds.max(1.0),
                whole(tally.done as f64),
                whole(tally.refused as f64),
                whole(tally.failed as f64)
            ),
        );
    }
}

/// Prints one pair as soon as it was measured.
pub(super) fn print_pair(number: u32, pair: &Pair) {
    println!();
    for (name, p99) in LATENCIES {
        say(
            &format!("pair {number}"),
            &format!(
                "{name}: p99 {:.2} ms without, {:.2} ms beside the hostile clients: {:.2}",
                p99(&pair.alone.ordinary),
                p99(&pair.beside.ordinary),
                ratio(pair, p99)
            ),
        );
    }
    print_tallies(
        "hostile",
        &pair.beside.hostile,
        pair.beside.ordinary.seconds,
    );
}

/// Prints all phases.
pub(super) fn print_table(pairs: &[Pair]) {
    println!();
    let mut rows = vec![row([
        "phase",
        "messages/s",
        "answer p50 ms",
        "p99",
        "delivery p50 ms",
        "p99",
        "memory MiB",
        "CPU: service",
        "mongod",
        "nats",
        "bench",
    ])];
    for (number, pair) in (1..).zip(pairs) {
        for (name, phase) in [("without", &pair.alone), ("beside", &pair.beside)] {
            rows.push(phase_row(format!("{number} {name}"), phase));
        }
    }
    table(&rows);
    println!();
    say("CPU", "share of one processor during the measurement");
}

fn phase_row(name: String, phase: &Phase) -> Vec<String> {
    let run = &phase.ordinary;
    let share = |is_counted: &dyn Fn(&str, Part) -> bool| {
        let counted = run.cpu.iter().filter(|u| is_counted(&u.process, u.part));
        let seconds: f64 = counted.map(|u| u.seconds).sum();
        format!("{:.0} %", 100.0 * seconds / run.seconds)
    };
    let is_mongod = |name: &str| name.starts_with("mongo");
    let is_nats = |name: &str| name.starts_with("nats");
    let ms = |value: f64| format!("{value:.2}");
    vec![
        name,
        whole(run.messages_per_s()),
        ms(run.ack.p50_ms),
        ms(run.ack.p99_ms),
        ms(run.delivery.p50_ms),
        ms(run.delivery.p99_ms),
        format!("{:.0}", highest(phase)),
        share(&|name, part| part == Part::Server && !is_mongod(name) && !is_nats(name)),
        share(&|name, _| is_mongod(name)),
        share(&|name, _| is_nats(name)),
        share(&|_, part| part == Part::Bench),
    ]
}

/// Compares the phases with the bounds.
pub(super) fn judge(args: &HostileArgs, memory: &Growth, pairs: &[Pair]) -> Vec<Finding> {
    let mut findings = judge_memory(args.memory_bound as f64, memory, pairs);
    for (name, p99) in LATENCIES {
        let ratio = median(pairs.iter().map(|pair| ratio(pair, p99)).collect());
        findings.push(Finding {
            passed: ratio <= args.latency_bound,
            text: format!(
                "latency: the p99 of {name} is {ratio:.2} times that without hostile clients (median of {} pairs; at most {})",
                pairs.len(),
                args.latency_bound
            ),
        });
    }
    let runs = || {
        pairs
            .iter()
            .flat_map(|pair| [&pair.alone.ordinary, &pair.beside.ordinary])
    };
    let is_good = |run: &Measured| passed(run) && run.errors.is_empty();
    let bad = runs().filter(|run| !is_good(run)).count();
    if let Some(run) = runs().find(|run| !is_good(run)) {
        print_run(run);
        print_verdict(&run.check);
    }
    findings.push(Finding {
        passed: bad == 0,
        text: match bad {
            0 => "deliveries: every member got every message once and in order; none was refused"
                .to_owned(),
            _ => format!("deliveries: faults in {bad} of {} phases", runs().count()),
        },
    });
    findings
}

fn judge_memory(bound: f64, memory: &Growth, pairs: &[Pair]) -> Vec<Finding> {
    if memory.idle.is_empty() {
        return vec![Finding {
            passed: false,
            text: "memory: no process of the service is named; set CHAT_BENCH_PIDS".to_owned(),
        }];
    }
    let idle = memory.idle.iter().enumerate();
    idle.map(|(index, idle)| {
        let beside = pairs.iter().map(|pair| &pair.beside.memory);
        let peaks = beside.chain([&memory.lead]).filter_map(|of| of.get(index));
        let most = peaks.map(|peak| peak.mib).fold(0.0, f64::max);
        let growth = (most - idle.mib).max(0.0);
        Finding {
            passed: growth <= bound,
            text: format!(
                "memory: {} grew by {growth:.0} MiB, from {:.0} to at most {most:.0} MiB (at most {bound:.0} MiB of growth)",
                idle.process, idle.mib
            ),
        }
    })
    .collect()
}

/// Prints the findings, and returns true if every bound holds.
pub(super) fn print_findings(findings: &[Finding]) -> bool {
    for finding in findings {
        let word = if finding.passed { "PASS" } else { "FAIL" };
        println!("{word} {}", finding.text);
    }
    findings.iter().all(|finding| finding.passed)
}
