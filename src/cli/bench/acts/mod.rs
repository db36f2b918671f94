//! `bench acts`: measures the cost of changes other than messages: reading, reacting and typing beside sends, over the same sockets.
//!
//! Modules: `crew` is the clients with their sockets; `phase` is one kind of act, performed by all of them in turn.
//!
//! The acts follow one another within a round, and the rounds follow one another: other load on the machine affects all of them alike, and the
//! ratio to a send is computed within a round.

mod crew;
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
use super::report::{Quantiles, Spread, median, row, say, table, whole, write_json};
use super::run::Run;
use super::send::SceneArgs;
use crew::Crew;
use phase::{Act, Message, Phase, Stage};

/// Target of the ratio to a send.
const TARGET: f64 = 1.0;
/// Shortest meaningful window: the kernel counts CPU time in hundredths of a second.
const SHORTEST_SECONDS: f64 = 0.5;

/// Arguments of `bench acts`.
#[derive(Debug, Args)]
pub(super) struct ActsArgs {
    #[command(flatten)]
    scene: SceneArgs,
    /// Number of concurrent acts, over all conversations.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    inflight: u32,
    /// Number of rounds, each with all acts one after another.
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

/// Results of one act in one round.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    act: Act,
    seconds: f64,
    /// Number of acts acknowledged in the window.
    acknowledged: u64,
    /// Number of acknowledged acts that changed something.
    changes: f64,
    /// Events that report an act to a member, per acknowledged act, over the whole phase.
    told_per_act: f64,
    ack: Quantiles,
    cpu: Vec<CpuUse>,
    cost_per_1000_changes: Option<Cost>,
    /// Number of refusals by code, over the whole phase.
    refused: BTreeMap<String, u64>,
}

/// Results of one act: the medians over the rounds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    act: Act,
    changes_per_second: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    cost_per_1000_changes: Option<Cost>,
    /// Median of the rounds' ratios of the total to a send's.
    ratio_to_send: Option<f64>,
    /// Events that report it, per acknowledged act.
    told_per_act: f64,
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
    acts: &'a [Summary],
    rounds: &'a [Vec<Measured>],
}

/// Runs `bench acts`; returns false if an act was refused.
pub(super) async fn run(args: ActsArgs) -> anyhow::Result<bool> {
    let scene = &args.scene;
    require_open_files(scene.convs as usize * scene.members as usize)?;
    ensure!(
        scene.members > 1,
        "typing notifies nobody in a conversation of one member; set --members to 2 or more"
    );
    let host = Host::new(&scene.target)?;
    let probe = Probe::new(&scene.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();
    let secret = host.lift_limits();
    scene.print();
    say(
        "run",
        &format!(
            "{} concurrent; in each of {} rounds every act {} s after {} s of warm-up",
            args.inflight, args.rounds, scene.secs, scene.warmup
        ),
    );
    let run = Run::new(0);
    let (_, dials) = scene.set(run.tag(), (&host, &secret)).await?;
    let members = scene.members as usize;
    let places = dials.iter().step_by(members);
    let conversations: Vec<String> = places
        .filter_map(|dial| dial.conversation.clone())
        .collect();
    let mut crew = Crew::open(dials).await?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let stage = Arc::new(Stage {
            tag: format!("{}-{number}", run.tag()),
            conversations: conversations.clone(),
            members,
            size: scene.size,
        });
        let mut round = Vec::new();
        let mut sent = Arc::default();
        for act in Act::ALL {
            let phase = Phase::new(act, &stage, &sent, crew.orders.clone());
            let outcome = measure(&phase, &args, &probe).await;
            // A closed socket explains missing answers.
            crew.check().await?;
            let (measured, messages) = outcome?;
            if act == Act::Send {
                sent = Arc::new(messages);
            }
            round.push(measured);
        }
        let rates = round
            .iter()
            .map(|m| format!("{} {}/s", m.act.name(), whole(m.changes / m.seconds)));
        say(
            &format!("round {number}"),
            &rates.collect::<Vec<_>>().join(", "),
        );
        rounds.push(round);
    }
    crew.close().await?;
    let acts = summarise(&rounds);
    print_acts(&acts);
    let results = Results {
        command: "acts",
        environment: &environment,
        conversations: scene.convs,
        members: scene.members,
        size: scene.size,
        inflight: args.inflight,
        target_ratio: TARGET,
        acts: &acts,
        rounds: &rounds,
    };
    write_json(scene.target.json.as_deref(), &results)?;
    print_notes(&acts, &rounds, (members, scene.secs));
    Ok(is_unrefused(&rounds))
}

/// Runs one act. Returns its results, and the messages that it created.
async fn measure(
    phase: &Arc<Phase>,
    args: &ActsArgs,
    probe: &Probe,
) -> anyhow::Result<(Measured, Vec<Vec<Message>>)> {
    let scene = &args.scene;
    phase.begin(args.inflight);
    phase.watch(Duration::from_secs(scene.warmup)).await;
    let (from_us, before) = (phase.now_us(), probe.sample());
    phase.watch(Duration::from_secs(scene.secs)).await;
    let (to_us, after) = (phase.now_us(), probe.sample());
    let noted = phase.finish().await?;
    let seconds = (to_us - from_us) as f64 / 1e6;
    let refused = noted.refused;
    ensure!(
        seconds >= SHORTEST_SECONDS,
        "{}: no act was left to do after {seconds:.2} s ({}); increase --secs, so that more is sent, or reduce --warmup",
        phase.act.name(),
        told_refusals(&refused)
    );
    let mut ack = Spread::new();
    let mut acknowledged = 0;
    for done in &noted.done {
        acknowledged += u64::from((from_us..to_us).contains(&done.at_us));
        if (from_us..to_us).contains(&done.due_us) {
            ack.add(done.at_us.saturating_sub(done.due_us));
        }
    }
    let cpu = probe.between(&before, &after);
    // Everything has arrived by now, so that the edges of the window have no effect.
    let told_per_act = phase.told.load(Relaxed) as f64 / noted.done.len().max(1) as f64;
    let share = told_per_act / phase.act.audience(scene.members as usize) as f64;
    let changes = changes(phase.act, acknowledged, share);
    let measured = Measured {
        act: phase.act,
        seconds,
        acknowledged,
        changes,
        told_per_act,
        ack: ack.quantiles(),
        cost_per_1000_changes: Cost::of(&cpu, changes.max(1.0)),
        cpu,
        refused,
    };
    Ok((measured, noted.messages))
}

/// Returns the number of acknowledged acts that changed something. The answer to typing does not tell; there it is the share of notified members.
fn changes(act: Act, acknowledged: u64, share: f64) -> f64 {
    let acknowledged = acknowledged as f64;
    match act {
        Act::Type => acknowledged * share.min(1.0),
        _ => acknowledged,
    }
}

fn summarise(rounds: &[Vec<Measured>]) -> Vec<Summary> {
    let of = |(index, act): (usize, Act)| {
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
            act,
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
            told_per_act: middle(|m| m.told_per_act),
        }
    };
    Act::ALL.into_iter().enumerate().map(of).collect()
}

fn print_acts(acts: &[Summary]) {
    println!();
    let mut rows = vec![row([
        "act",
        "changes/s",
        "ack p50 ms",
        "p99",
        "CPU s per 1,000: service",
        "nats-server",
        "mongod",
        "total",
        "of a send's",
        "events per act",
    ])];
    for summary in acts {
        let mut cells = vec![
            summary.act.name().to_owned(),
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
        cells.push(format!("{:.2}", summary.told_per_act));
        rows.push(cells);
    }
    table(&rows);
    println!();
}

/// Prints notes on how to read the table, and whether the target was met.
fn print_notes(acts: &[Summary], rounds: &[Vec<Measured>], (members, secs): (usize, u64)) {
    for measured in rounds.iter().flatten() {
        // The kernel never sleeps for less than requested: a shorter interval ended by itself.
        if measured.seconds < secs as f64 {
            say(
                "note",
                &format!(
                    "{}: all sent messages were read after {:.1} s",
                    measured.act.name(),
                    measured.seconds
                ),
            );
        }
    }
    for summary in acts {
        let audience = summary.act.audience(members) as f64;
        let share = summary.told_per_act / audience;
        if share < 0.995 {
            let meaning = match summary.act {
                Act::Type => "the others changed nothing and are not counted as changes",
                Act::Read => {
                    "if a member reads faster than it can be notified, only the newest mark is published"
                }
                _ => "the rest arrived too late or never",
            };
            say(
                "note",
                &format!(
                    "{}: members were notified of {:.0} % of the acts; {meaning}",
                    summary.act.name(),
                    share * 100.0
                ),
            );
        }
    }
    let above: Vec<String> = acts
        .iter()
        .filter(|summary| summary.ratio_to_send.is_some_and(|ratio| ratio > TARGET))
        .map(|summary| summary.act.name().to_owned())
        .collect();
    if acts.iter().all(|summary| summary.ratio_to_send.is_none()) {
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
            measured.act.name(),
            told_refusals(&measured.refused)
        );
    }
    if is_unrefused(rounds) {
        println!("check: every act was acknowledged");
    }
}

fn is_unrefused(rounds: &[Vec<Measured>]) -> bool {
    let mut all = rounds.iter().flatten();
    all.all(|measured| measured.refused.is_empty())
}

fn told_refusals(refused: &BTreeMap<String, u64>) -> String {
    let codes = refused
        .iter()
        .map(|(code, times)| format!("{code} {times} times"));
    match refused.is_empty() {
        true => "no act was refused".to_owned(),
        false => codes.collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(act: Act, seconds: f64) -> Measured {
        let cpu = ["service", "nats-server", "mongod"].map(|process| CpuUse {
            process: process.to_owned(),
            part: Part::Server,
            seconds,
        });
        Measured {
            act,
            seconds: 2.0,
            acknowledged: 1_000,
            changes: 1_000.0,
            told_per_act: 5.0,
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
            Act::ALL
                .map(|act| match act {
                    Act::Send => measured(act, 0.2 * slowness),
                    _ => measured(act, 0.1 * slowness),
                })
                .to_vec()
        };
        let acts = summarise(&[round(1.0), round(3.0)]);
        assert_eq!(acts[0].ratio_to_send, Some(1.0));
        assert_eq!(acts[1].ratio_to_send, Some(0.5));
        assert_eq!(acts[1].changes_per_second, 500.0);
        let cost = acts[0].cost_per_1000_changes.expect("processes were named");
        assert!((cost.total - 1.2).abs() < 1e-9);
        assert!((cost.service - 0.4).abs() < 1e-9);
    }

    #[test]
    fn typing_without_notification_is_no_change() {
        assert_eq!(changes(Act::Type, 100, 0.4), 40.0);
        assert_eq!(changes(Act::Type, 100, 1.01), 100.0);
        assert_eq!(changes(Act::Read, 100, 0.4), 100.0);
    }

    #[test]
    fn one_refusal_fails_the_run() {
        let mut round = Act::ALL.map(|act| measured(act, 0.1)).to_vec();
        assert!(is_unrefused(&[round.clone()]));
        round[2].refused.insert("FORBIDDEN".to_owned(), 1);
        assert!(!is_unrefused(&[round]));
    }
}
