//! `chat-bench operations`: measures the cost of changes other than messages: reading, reacting and typing beside sends, over the same sockets.
//!
//! Modules: `clients` are the connected users; `phase` is one kind of operation, performed by all of them in turn.
//!
//! The operations follow one another within a round, and the rounds follow one another: other load on the machine affects all of them alike, and the
//! ratio to a send is computed within a round.

mod clients;
mod phase;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;

use super::client::{Host, require_open_files};
use super::cpu::{CpuUse, Part, Probe, total};
use super::environment::Environment;
use super::report::{Latencies, Quantiles, median, row, say, table, whole, write_json};
use super::run::Run;
use super::send::LoadArgs;
use clients::Clients;
use phase::{Fixture, Message, Operation, Phase};

/// Target of the ratio to a send.
const TARGET: f64 = 1.0;
/// Shortest meaningful window: the kernel counts CPU time in hundredths of a second.
const SHORTEST_SECONDS: f64 = 0.5;

/// Arguments of `chat-bench operations`.
#[derive(Debug, Args)]
pub(super) struct OperationsArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Number of concurrent operations, over all conversations.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    inflight: u32,
    /// Number of rounds, each with all operations one after another.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// CPU seconds per 1,000 changes.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    service: f64,
    nats_server: f64,
    mongod: f64,
    total: f64,
}

impl Cost {
    /// `None` if no process was named.
    fn of(uses: &[CpuUse], changes: f64) -> Option<Self> {
        let servers = || uses.iter().filter(|u| u.part == Part::Server);
        servers().next()?;
        let per_1000 = |seconds: f64| seconds * 1_000.0 / changes;
        let named = |prefix: &str| {
            let found = servers().filter(|u| u.process.starts_with(prefix));
            per_1000(found.fold(0.0, |sum, u| sum + u.seconds))
        };
        let (total, nats_server, mongod) = (per_1000(total(uses)), named("nats"), named("mongo"));
        Some(Self {
            service: total - nats_server - mongod,
            nats_server,
            mongod,
            total,
        })
    }
}

/// Results of one operation in one round.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    operation: Operation,
    seconds: f64,
    /// Number of operations acknowledged in the window.
    acknowledged: u64,
    /// Number of acknowledged operations that changed something.
    changes: f64,
    /// Events that report an operation to a member, per acknowledged operation, over the whole phase.
    events_per_operation: f64,
    ack: Quantiles,
    cpu: Vec<CpuUse>,
    cost_per_1000_changes: Option<Cost>,
    /// Number of refusals by code, over the whole phase.
    refused: BTreeMap<String, u64>,
}

/// Results of one operation: the medians over the rounds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    operation: Operation,
    changes_per_second: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    cost_per_1000_changes: Option<Cost>,
    /// Median of the rounds' ratios of the total to a send's.
    ratio_to_send: Option<f64>,
    /// Events that report it, per acknowledged operation.
    events_per_operation: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    command: &'static str,
    environment: &'a Environment,
    conversations: u32,
    members: u32,
    size: usize,
    inflight: u32,
    target_ratio: f64,
    operations: &'a [Summary],
    rounds: &'a [Vec<Measured>],
}

/// Runs `chat-bench operations`; returns false if an operation was refused.
pub(super) async fn run(args: OperationsArgs) -> anyhow::Result<bool> {
    let load = &args.load;
    require_open_files(load.convs as usize * load.members as usize)?;
    ensure!(
        load.members > 1,
        "typing notifies nobody in a conversation of one member; set --members to 2 or more"
    );
    let host = Host::new(&load.target)?;
    let probe = Probe::new(&load.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();
    let secret = host.lift_limits();
    load.print();
    say(
        "run",
        &format!(
            "{} concurrent; in each of {} rounds every operation {} s after {} s of warm-up",
            args.inflight, args.rounds, load.secs, load.warmup
        ),
    );
    let run = Run::new(0);
    let (_, dials) = load.ordinary(&secret).create(run.tag(), &host).await?;
    let members = load.members as usize;
    let places = dials.iter().step_by(members);
    let conversations: Vec<String> = places
        .filter_map(|dial| dial.conversation.clone())
        .collect();
    let mut clients = Clients::open(dials).await?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let fixture = Arc::new(Fixture {
            tag: format!("{}-{number}", run.tag()),
            conversations: conversations.clone(),
            members,
            size: load.size,
        });
        let mut round = Vec::new();
        let mut sent = Arc::default();
        for operation in Operation::ALL {
            let phase = Phase::new(operation, &fixture, &sent, clients.commands.clone());
            let outcome = measure(&phase, &args, &probe).await;
            // A closed socket explains missing answers.
            clients.check().await?;
            let (measured, messages) = outcome?;
            if operation == Operation::Send {
                sent = Arc::new(messages);
            }
            round.push(measured);
        }
        let rates = round
            .iter()
            .map(|m| format!("{} {}/s", m.operation.name(), whole(m.changes / m.seconds)));
        say(
            &format!("round {number}"),
            &rates.collect::<Vec<_>>().join(", "),
        );
        rounds.push(round);
    }
    clients.close().await?;
    let operations = summarise(&rounds);
    print_operations(&operations);
    let results = Results {
        command: "operations",
        environment: &environment,
        conversations: load.convs,
        members: load.members,
        size: load.size,
        inflight: args.inflight,
        target_ratio: TARGET,
        operations: &operations,
        rounds: &rounds,
    };
    write_json(load.target.json.as_deref(), &results)?;
    print_notes(&operations, &rounds, (members, load.secs));
    Ok(is_unrefused(&rounds))
}

/// Runs one operation. Returns its results, and the messages that it created.
async fn measure(
    phase: &Arc<Phase>,
    args: &OperationsArgs,
    probe: &Probe,
) -> anyhow::Result<(Measured, Vec<Vec<Message>>)> {
    let load = &args.load;
    phase.begin(args.inflight);
    phase.watch(Duration::from_secs(load.warmup)).await;
    let (from_us, before) = (phase.now_us(), probe.sample());
    phase.watch(Duration::from_secs(load.secs)).await;
    let (to_us, after) = (phase.now_us(), probe.sample());
    let records = phase.finish().await?;
    let seconds = (to_us - from_us) as f64 / 1e6;
    let refused = records.refused;
    ensure!(
        seconds >= SHORTEST_SECONDS,
        "{}: no operation was left to do after {seconds:.2} s ({}); increase --secs, so that more is sent, or reduce --warmup",
        phase.operation.name(),
        list_refusals(&refused)
    );
    let mut ack = Latencies::new();
    let mut acknowledged = 0;
    for done in &records.done {
        acknowledged += u64::from((from_us..to_us).contains(&done.at_us));
        if (from_us..to_us).contains(&done.due_us) {
            ack.add(done.at_us.saturating_sub(done.due_us));
        }
    }
    let cpu = probe.between(&before, &after);
    // Everything has arrived by now, so that the edges of the window have no effect.
    let events_per_operation = phase.events.load(Relaxed) as f64 / records.done.len().max(1) as f64;
    let share = events_per_operation / phase.operation.audience(load.members as usize) as f64;
    let changes = changes(phase.operation, acknowledged, share);
    let measured = Measured {
        operation: phase.operation,
        seconds,
        acknowledged,
        changes,
        events_per_operation,
        ack: ack.quantiles(),
        cost_per_1000_changes: Cost::of(&cpu, changes.max(1.0)),
        cpu,
        refused,
    };
    Ok((measured, records.messages))
}

/// Returns the number of acknowledged operations that changed something. The answer to typing does not tell; there it is the share of notified members.
fn changes(operation: Operation, acknowledged: u64, share: f64) -> f64 {
    let acknowledged = acknowledged as f64;
    match operation {
        Operation::Type => acknowledged * share.min(1.0),
        _ => acknowledged,
    }
}

fn summarise(rounds: &[Vec<Measured>]) -> Vec<Summary> {
    let of = |(index, operation): (usize, Operation)| {
        let all = || rounds.iter().map(|round| &round[index]);
        let middle = |figure: fn(&Measured) -> f64| median(all().map(figure).collect());
        let costs: Vec<Cost> = all().filter_map(|m| m.cost_per_1000_changes).collect();
        let cost = |figure: fn(&Cost) -> f64| median(costs.iter().map(figure).collect());
        let ratios: Vec<f64> = rounds
            .iter()
            .filter_map(|round| {
                let total = |m: &Measured| Some(m.cost_per_1000_changes?.total);
                total(&round[0])
                    .filter(|sent| *sent > 0.0)
                    .zip(total(&round[index]))
                    .map(|(sent, own)| own / sent)
            })
            .collect();
        Summary {
            operation,
            changes_per_second: middle(|m| m.changes / m.seconds),
            ack_p50_ms: middle(|m| m.ack.p50_ms),
            ack_p99_ms: middle(|m| m.ack.p99_ms),
            cost_per_1000_changes: (!costs.is_empty()).then(|| Cost {
                service: cost(|c| c.service),
                nats_server: cost(|c| c.nats_server),
                mongod: cost(|c| c.mongod),
                total: cost(|c| c.total),
            }),
            ratio_to_send: (!ratios.is_empty()).then(|| median(ratios)),
            events_per_operation: middle(|m| m.events_per_operation),
        }
    };
    Operation::ALL.into_iter().enumerate().map(of).collect()
}

fn print_operations(operations: &[Summary]) {
    println!();
    let mut rows = vec![row([
        "operation",
        "changes/s",
        "ack p50 ms",
        "p99",
        "CPU s per 1,000: service",
        "nats-server",
        "mongod",
        "total",
        "of a send's",
        "events per operation",
    ])];
    for summary in operations {
        let mut cells = vec![
            summary.operation.name().to_owned(),
            whole(summary.changes_per_second),
            format!("{:.2}", summary.ack_p50_ms),
            format!("{:.2}", summary.ack_p99_ms),
        ];
        match summary.cost_per_1000_changes {
            Some(cost) => {
                let parts = [cost.service, cost.nats_server, cost.mongod, cost.total];
                cells.extend(parts.map(|seconds| format!("{seconds:.4}")));
            }
            None => cells.extend(row(["-"; 4])),
        }
        let ratio = summary.ratio_to_send;
        cells.push(ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")));
        cells.push(format!("{:.2}", summary.events_per_operation));
        rows.push(cells);
    }
    table(&rows);
    println!();
}

/// Prints notes on how to read the table, and whether the target was met.
fn print_notes(operations: &[Summary], rounds: &[Vec<Measured>], (members, secs): (usize, u64)) {
    for measured in rounds.iter().flatten() {
        // The kernel never sleeps for less than requested: a shorter interval ended by itself.
        if measured.seconds < secs as f64 {
            say(
                "note",
                &format!(
                    "{}: all sent messages were read after {:.1} s",
                    measured.operation.name(),
                    measured.seconds
                ),
            );
        }
    }
    for summary in operations {
        let audience = summary.operation.audience(members) as f64;
        let share = summary.events_per_operation / audience;
        if share < 0.995 {
            let meaning = match summary.operation {
                Operation::Type => "the others changed nothing and are not counted as changes",
                Operation::Read => {
                    "if a member reads faster than it can be notified, only the newest mark is published"
                }
                _ => "the rest arrived too late or never",
            };
            say(
                "note",
                &format!(
                    "{}: members were notified of {:.0} % of the operations; {meaning}",
                    summary.operation.name(),
                    share * 100.0
                ),
            );
        }
    }
    let above: Vec<String> = operations
        .iter()
        .filter(|summary| summary.ratio_to_send.is_some_and(|ratio| ratio > TARGET))
        .map(|summary| summary.operation.name().to_owned())
        .collect();
    if operations
        .iter()
        .all(|summary| summary.ratio_to_send.is_none())
    {
        println!("target: no processes were named, so there is no cost to compare");
    } else if above.is_empty() {
        println!("target: met; reading, reacting and typing cost no more per change than a send");
    } else {
        println!("target: MISSED by {}", above.join(", "));
    }
    let refused = rounds.iter().flatten().filter(|m| !m.refused.is_empty());
    for measured in refused {
        println!(
            "check: REFUSED, {}: {}",
            measured.operation.name(),
            list_refusals(&measured.refused)
        );
    }
    if is_unrefused(rounds) {
        println!("check: every operation was acknowledged");
    }
}

fn is_unrefused(rounds: &[Vec<Measured>]) -> bool {
    let mut all = rounds.iter().flatten();
    all.all(|measured| measured.refused.is_empty())
}

fn list_refusals(refused: &BTreeMap<String, u64>) -> String {
    let codes = refused
        .iter()
        .map(|(code, times)| format!("{code} {times} times"));
    if refused.is_empty() {
        "no operation was refused".to_owned()
    } else {
        codes.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(operation: Operation, seconds: f64) -> Measured {
        let cpu = ["service", "nats-server", "mongod"].map(|process| CpuUse {
            process: process.to_owned(),
            part: Part::Server,
            seconds,
        });
        Measured {
            operation,
            seconds: 2.0,
            acknowledged: 1_000,
            changes: 1_000.0,
            events_per_operation: 5.0,
            ack: Quantiles::default(),
            cost_per_1000_changes: Cost::of(&cpu, 1_000.0),
            cpu: cpu.to_vec(),
            refused: BTreeMap::new(),
        }
    }

    #[test]
    fn the_ratio_to_a_send_is_taken_within_a_round() {
        // The machine was three times as slow in the second round: the ratio is the same.
        let round = |slowness: f64| {
            Operation::ALL
                .map(|operation| match operation {
                    Operation::Send => measured(operation, 0.2 * slowness),
                    _ => measured(operation, 0.1 * slowness),
                })
                .to_vec()
        };
        let operations = summarise(&[round(1.0), round(3.0)]);
        assert_eq!(operations[0].ratio_to_send, Some(1.0));
        assert_eq!(operations[1].ratio_to_send, Some(0.5));
        assert_eq!(operations[1].changes_per_second, 500.0);
        let cost = operations[0]
            .cost_per_1000_changes
            .expect("processes were named");
        assert!((cost.total - 1.2).abs() < 1e-9);
        assert!((cost.service - 0.4).abs() < 1e-9);
    }

    #[test]
    fn typing_without_notification_is_no_change() {
        assert_eq!(changes(Operation::Type, 100, 0.4), 40.0);
        assert_eq!(changes(Operation::Type, 100, 1.01), 100.0);
        assert_eq!(changes(Operation::Read, 100, 0.4), 100.0);
    }

    #[test]
    fn one_refusal_fails_the_run() {
        let mut round = Operation::ALL
            .map(|operation| measured(operation, 0.1))
            .to_vec();
        assert!(is_unrefused(&[round.clone()]));
        round[2].refused.insert("FORBIDDEN".to_owned(), 1);
        assert!(!is_unrefused(&[round]));
    }
}
