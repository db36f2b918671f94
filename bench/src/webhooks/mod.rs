//! `chat-bench webhooks`: sends messages and receives their events at a local endpoint; measures rate, latency and completeness.
//!
//! Modules: `endpoint` creates and removes endpoints through the admin API, `receiver` accepts deliveries in this process, `measure` runs one load.
//!
//! The receiver responds at once and listens on loopback, so the figures are those of the service. Without `--rate` a first run goes at full speed, with
//! a fixed number of events in flight, and a second one at half of the rate reached; only the latency of the second one is meaningful.

mod endpoint;
mod measure;
mod receiver;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use self::measure::{Measured, Plan, drive};
use self::receiver::{Receiver, Silent};
use super::TargetArgs;
use super::client::{Host, MAX_CONCURRENT};
use super::cpu::{Part, Probe, total};
use super::environment::Environment;
use super::load::Pace;
use super::report::{median, row, say, table, whole, write_json};
use super::run::Run;
use super::send::rate;

/// Maximum ratio of the p99 latency beside an endpoint that never responds to that without one.
const MAX_DEAD_RATIO: f64 = 1.25;

/// Arguments of `chat-bench webhooks`.
#[derive(Debug, Args)]
pub(super) struct WebhooksArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Number of conversations that the messages are spread over.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    convs: u32,
    /// Send this many messages per second, whatever arrives, and measure only that.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Number of messages in flight, from the send to the arrival of the event, at full speed.
    #[arg(long, default_value_t = 128, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    inflight: u32,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    secs: u64,
    /// Seconds of warm-up before the measurement.
    #[arg(long, default_value_t = 2)]
    warmup: u64,
    /// Size of a message's content, in bytes.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Then compare runs without and with a second endpoint that never responds.
    #[arg(long)]
    dead: bool,
    /// Number of pairs of such runs.
    #[arg(long, default_value_t = 5, requires = "dead", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    command: &'static str,
    environment: &'a Environment,
    conversations: u32,
    size: usize,
    runs: &'a [Measured],
    /// Ratio of the p99 latency beside a dead endpoint to that without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_ratio: Option<f64>,
}

/// The service under load, and the receiver of the deliveries.
struct Setup {
    host: Arc<Host>,
    probe: Probe,
    receiver: Receiver,
    plan: Plan,
}

/// Runs `chat-bench webhooks`; returns false if an event did not arrive, or if a dead endpoint slowed the other one down.
pub(super) async fn run(args: WebhooksArgs) -> anyhow::Result<bool> {
    let host = Arc::new(Host::new(&args.target)?);
    let probe = Probe::new(&args.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();
    endpoint::remove_leftovers(&host).await?;
    let receiver = Receiver::start().await?;
    let id = endpoint::make(&host, &receiver.url()).await?;
    let outcome = async {
        endpoint::wait_served(&host, &id, &receiver).await?;
        let setup = Setup {
            plan: plan(&args, &host).await?,
            host: Arc::clone(&host),
            probe,
            receiver,
        };
        run_all(&args, &setup).await
    }
    .await;
    // In every case: an endpoint without a receiver would fill the service with retries.
    let removed = endpoint::remove(&host, &id).await;
    let (runs, dead_ratio) = outcome?;
    removed?;
    let results = Results {
        command: "webhooks",
        environment: &environment,
        conversations: args.convs,
        size: args.size,
        runs: &runs,
        dead_ratio,
    };
    write_json(args.target.json.as_deref(), &results)?;
    println!();
    Ok(verdict(&runs, dead_ratio))
}

/// Creates conversations of two members, one of whom sends.
async fn plan(args: &WebhooksArgs, host: &Host) -> anyhow::Result<Plan> {
    host.lift_limits();
    let tag = Run::new(0).tag().to_owned();
    let users: Vec<String> = ["writer", "reader"]
        .map(|name| format!("bench-{tag}-{name}"))
        .to_vec();
    host.sync_users(&users).await?;
    let creations: Vec<_> = (0..args.convs as usize)
        .map(|n| host.create_group(n, &users[0], &users))
        .collect();
    let conversations: Vec<String> = stream::iter(creations)
        .buffered(MAX_CONCURRENT)
        .try_collect()
        .await?;
    say(
        "setup",
        &format!(
            "{} conversations, {} bytes a message, one endpoint that responds at once",
            args.convs, args.size
        ),
    );
    Ok(Plan {
        conversations: conversations
            .into_iter()
            .map(|conversation| (users[0].clone(), conversation))
            .collect(),
        size: args.size,
        warmup: Duration::from_secs(args.warmup),
        window: Duration::from_secs(args.secs),
    })
}

async fn run_all(
    args: &WebhooksArgs,
    setup: &Setup,
) -> anyhow::Result<(Vec<Measured>, Option<f64>)> {
    let mut runs = Vec::new();
    let rate = match args.rate {
        Some(rate) => {
            runs.push(run_once(setup, Pace::Rate(rate)).await);
            rate
        }
        None => {
            runs.push(run_once(setup, Pace::Inflight(args.inflight as usize)).await);
            let half = (runs[0].deliveries_per_s() / 2.0).max(1.0).floor();
            runs.push(run_once(setup, Pace::Rate(half)).await);
            half
        }
    };
    if !args.dead {
        return Ok((runs, None));
    }
    let pace = Pace::Rate(rate);
    let mut ratios = Vec::new();
    println!();
    say(
        "dead endpoint",
        &format!(
            "{} pairs of runs without and with it, {}",
            args.pairs,
            describe(pace)
        ),
    );
    for pair in 0..args.pairs {
        // Any drift of the machine affects both kinds alike.
        let is_dead_first = pair % 2 == 1;
        let (mut without, mut with) = (None, None);
        for is_beside_dead in [is_dead_first, !is_dead_first] {
            if is_beside_dead {
                with = Some(run_beside_dead(setup, pace).await?);
            } else {
                let run = drive(
                    &setup.plan,
                    pace,
                    (&setup.host, &setup.probe),
                    &setup.receiver,
                );
                without = Some(run.await);
            }
        }
        let (Some(without), Some(with)) = (without, with) else {
            continue;
        };
        let p99 = [&without, &with].map(|run| run.from_commit.p99_ms);
        let ratio = p99[1] / p99[0].max(0.001);
        say(
            &format!("pair {}", pair + 1),
            &format!(
                "p99 {:.2} ms without, {:.2} ms with it: {ratio:.2}",
                p99[0], p99[1]
            ),
        );
        ratios.push(ratio);
        runs.extend([without, with]);
    }
    Ok((runs, Some(median(ratios))))
}

/// Runs a load beside an endpoint of the same events that never responds.
async fn run_beside_dead(setup: &Setup, pace: Pace) -> anyhow::Result<Measured> {
    let silent = Silent::start().await?;
    let id = endpoint::make(&setup.host, &silent.url()).await?;
    // A worker reads the list of endpoints every second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut run = drive(
        &setup.plan,
        pace,
        (&setup.host, &setup.probe),
        &setup.receiver,
    )
    .await;
    run.is_beside_dead = true;
    endpoint::remove(&setup.host, &id).await?;
    Ok(run)
}

fn describe(pace: Pace) -> String {
    match pace {
        Pace::Inflight(count) => format!("at full speed, {count} messages in flight"),
        Pace::Rate(rate) => format!("{} messages per second", whole(rate)),
    }
}

async fn run_once(setup: &Setup, pace: Pace) -> Measured {
    println!();
    say(
        "run",
        &format!(
            "{}, {} s after {} s",
            describe(pace),
            setup.plan.window.as_secs(),
            setup.plan.warmup.as_secs()
        ),
    );
    let run = drive(
        &setup.plan,
        pace,
        (&setup.host, &setup.probe),
        &setup.receiver,
    )
    .await;
    print(&run);
    run
}

fn print(run: &Measured) {
    say(
        "deliveries",
        &format!(
            "{}/s ({} in {:.2} s)",
            whole(run.deliveries_per_s()),
            whole(run.deliveries as f64),
            run.seconds
        ),
    );
    println!();
    let mut rows = vec![row(["latency, ms", "p50", "p95", "p99", "max"])];
    for (name, of) in [
        ("commit to receipt", run.from_commit),
        ("due to receipt", run.from_due),
    ] {
        let mut cells = row([name]);
        cells.extend([of.p50_ms, of.p95_ms, of.p99_ms, of.max_ms].map(|ms| format!("{ms:.2}")));
        rows.push(cells);
    }
    table(&rows);
    println!();
    let mut rows = vec![row(["CPU", "s in window", "s per 1,000 deliveries"])];
    let line = |name: &str, seconds: f64| {
        vec![
            name.to_owned(),
            format!("{seconds:.2}"),
            format!("{:.4}", run.per_1000(seconds)),
        ]
    };
    for part in [Part::Server, Part::Nginx, Part::Bench] {
        let uses = run.cpu.iter().filter(|used| used.part == part);
        rows.extend(uses.clone().map(|used| line(&used.process, used.seconds)));
        if part == Part::Server && uses.count() > 0 {
            rows.push(line("servers, total", total(&run.cpu)));
        }
    }
    table(&rows);
    println!();
    say(
        "arrived",
        &format!(
            "{} of {} acknowledged messages; {} repeats",
            whole((run.acknowledged - run.missing) as f64),
            whole(run.acknowledged as f64),
            whole(run.repeats as f64)
        ),
    );
    for (error, times) in &run.errors {
        say("refused sends", &format!("{times}: {error}"));
    }
}

/// Prints the findings of the check, and returns true if there are none.
fn verdict(runs: &[Measured], dead_ratio: Option<f64>) -> bool {
    let sum = |of: fn(&Measured) -> u64| runs.iter().map(of).sum::<u64>() as f64;
    let (sent, missing) = (sum(|run| run.acknowledged), sum(|run| run.missing));
    let has_all = runs.iter().all(Measured::passed);
    if has_all {
        println!(
            "check: the events of all {} acknowledged messages arrived, {} of them again",
            whole(sent),
            whole(sum(|run| run.repeats))
        )
    } else {
        println!(
            "check: FAULTS: {} events of {} acknowledged messages did not arrive",
            whole(missing),
            whole(sent)
        )
    }
    let Some(ratio) = dead_ratio else {
        return has_all;
    };
    let is_unfelt = ratio <= MAX_DEAD_RATIO;
    println!(
        "check: {}beside a dead endpoint the p99 is {ratio:.2} times that without (median; at most {MAX_DEAD_RATIO})",
        if is_unfelt { "" } else { "FAULT: " }
    );
    has_all && is_unfelt
}
