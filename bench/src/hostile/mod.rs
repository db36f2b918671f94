//! `chat-bench hostile`: clients that are as hostile as the rate limits let them be; measures the memory of the service and the effect on other users.
//!
//! Modules: `fixture` prepares what the hostile clients use, `clients` are these clients, `memory` samples the memory of the service, `report` prints and
//! judges.
//!
//! Phases without and with the hostile clients alternate, so that a change of the machine shows. The hostile clients run on threads of low priority: real ones
//! have machines of their own, and here they must not take the processors from the servers. The report lists the remaining cost.

mod clients;
mod fixture;
mod memory;
mod report;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::time::sleep;

use self::clients::{HostileClients, Tally};
use self::fixture::Fixture;
use self::memory::{MemorySampler, Peak};
use super::TargetArgs;
use super::client::{Host, require_open_files};
use super::cpu::Probe;
use super::environment::Environment;
use super::load::{Measured, Pace};
use super::ordinary::Ordinary;
use super::report::{say, whole, write_json};
use super::send::rate;

/// Number of members of each conversation of the ordinary users.
const MEMBERS: usize = 5;

/// Arguments of `chat-bench hostile`.
#[derive(Debug, Args)]
pub(super) struct HostileArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// URI of the service's MongoDB with its database: the large fixtures are written there.
    #[arg(long, env = "MONGODB_URI", hide_env_values = true)]
    mongodb_uri: String,
    /// Kinds of hostile clients, comma-separated.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    kinds: Vec<Kind>,
    /// Number of conversations of the ordinary users, of five members each.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    convs: u32,
    /// Messages per second of all ordinary users together.
    #[arg(long, default_value = "100", value_parser = rate)]
    rate: f64,
    /// Size of the content of an ordinary message, in bytes.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Number of pairs of phases, one without and one with the hostile clients.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Seconds to measure in each phase.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    secs: u64,
    /// Seconds of warm-up before each measurement.
    #[arg(long, default_value_t = 3)]
    warmup: u64,
    /// Seconds for which the hostile clients run before the first phase: they use up the bursts that the rate limits allow. 0 measures with the bursts.
    #[arg(long, default_value_t = 20)]
    lead: u64,
    /// Seconds for which the hostile clients run before each phase beside them: they use up what the rate limits have granted them since the last one.
    #[arg(long, default_value_t = 15)]
    drain: u64,
    /// Number of conversations of the user who reconnects all the time.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..100_000))]
    rooms: u32,
    /// Number of past members of the room that hostile users join, leave and send to.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..10_000_000))]
    past_members: u32,
    /// Number of large messages that are resumed over and listed.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    large: u32,
    /// Maximum growth of a process of the service while hostile clients are at work, in MiB, as docs/OPERATIONS.md states it.
    #[arg(long, default_value_t = 256)]
    memory_bound: u64,
    /// Maximum ratio of the ordinary users' p99 latencies beside the hostile clients to those without them.
    #[arg(long, default_value_t = 1.25)]
    latency_bound: f64,
}

/// Kind of a hostile client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Sends the largest messages to a conversation whose members do not read.
    LargeMessages,
    /// Resumes over hundreds of large messages and does not read.
    SilentReaders,
    /// Lists pages of 100 large messages again and again.
    LargePages,
    /// Sends the body of a request one byte per second.
    SlowBodies,
    /// Is a member of very many conversations and reconnects all the time.
    ManyRooms,
    /// Sends to, joins and leaves a room with very many past members.
    PastMembers,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => fmt::Debug::fmt(self, f),
        }
    }
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::LargeMessages,
        Self::SilentReaders,
        Self::LargePages,
        Self::SlowBodies,
        Self::ManyRooms,
        Self::PastMembers,
    ];
}

/// Results of one phase.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Phase {
    ordinary: Measured,
    /// Maximum resident memory of each process of the service.
    memory: Vec<Peak>,
    /// Work of the hostile clients by kind; empty without them.
    hostile: Vec<(Kind, Tally)>,
}

/// A phase without and one with the hostile clients.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    alone: Phase,
    beside: Phase,
}

/// Memory of the service outside the phases.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Growth {
    /// Before the fixtures were created.
    idle: Vec<Peak>,
    /// Maximum while the hostile clients used up their bursts.
    lead: Vec<Peak>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    command: &'static str,
    environment: &'a Environment,
    kinds: &'a [Kind],
    rate: f64,
    rooms: u32,
    past_members: u32,
    large_messages: u32,
    memory_bound_mib: u64,
    latency_bound: f64,
    memory: &'a Growth,
    pairs: &'a [Pair],
    findings: &'a [report::Finding],
}

/// Runs `chat-bench hostile`; returns false if a bound is exceeded, or if an ordinary message was lost or refused.
pub(super) async fn run(args: HostileArgs) -> anyhow::Result<bool> {
    require_open_files(args.convs as usize * MEMBERS + 200)?;
    let host = Arc::new(Host::new(&args.target)?);
    let probe = Probe::new(&args.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();
    print_setup(&args);
    let idle = memory::read(&probe);
    let fixture = Arc::new(Fixture::create(&host, &args).await?);
    let hostile = HostileClients::new(&args, fixture)?;
    let sampler = MemorySampler::start(&probe);
    let running = hostile.start();
    sleep(Duration::from_secs(args.lead)).await;
    report::print_tallies("lead", &running.stop().await, args.lead as f64);
    let memory = Growth {
        idle,
        lead: sampler.stop().await,
    };
    let mut pairs = Vec::new();
    for number in 1..=args.pairs {
        let pair = Pair {
            alone: measure(&args, (&host, &probe), None).await?,
            beside: measure(&args, (&host, &probe), Some(&hostile)).await?,
        };
        report::print_pair(number, &pair);
        pairs.push(pair);
    }
    drop(hostile);
    report::print_table(&pairs);
    let findings = report::judge(&args, &memory, &pairs);
    let results = Results {
        command: "hostile",
        environment: &environment,
        kinds: &args.kinds,
        rate: args.rate,
        rooms: args.rooms,
        past_members: args.past_members,
        large_messages: args.large,
        memory_bound_mib: args.memory_bound,
        latency_bound: args.latency_bound,
        memory: &memory,
        pairs: &pairs,
        findings: &findings,
    };
    write_json(args.target.json.as_deref(), &results)?;
    Ok(report::print_findings(&findings))
}

fn print_setup(args: &HostileArgs) {
    say(
        "setup",
        &format!(
            "ordinary users send {} messages of {} bytes per second in {} conversations of {MEMBERS}; hostile clients work at the rate limits of the service",
            args.rate, args.size, args.convs
        ),
    );
    say(
        "fixtures",
        &format!(
            "{} large messages, a user with {} conversations, a room with {} past members",
            whole(f64::from(args.large)),
            whole(f64::from(args.rooms)),
            whole(f64::from(args.past_members))
        ),
    );
}

/// Runs one phase of ordinary users, beside the hostile clients if there are any.
async fn measure(
    args: &HostileArgs,
    (host, probe): (&Arc<Host>, &Probe),
    hostile: Option<&HostileClients>,
) -> anyhow::Result<Phase> {
    let ordinary = Ordinary {
        conversations: args.convs as usize,
        members: MEMBERS,
        senders: MEMBERS,
        size: args.size,
        warmup: Duration::from_secs(args.warmup),
        window: Duration::from_secs(args.secs),
        internal_secret: None,
    };
    if let Some(hostile) = hostile {
        let running = hostile.start();
        sleep(Duration::from_secs(args.drain)).await;
        running.stop().await;
    }
    let sampler = MemorySampler::start(probe);
    let running = hostile.map(HostileClients::start);
    let measured = ordinary.measure(Pace::Rate(args.rate), host, probe).await;
    let hostile = match running {
        Some(running) => running.stop().await,
        None => Vec::new(),
    };
    Ok(Phase {
        ordinary: measured.context("the ordinary users")?,
        memory: sampler.stop().await,
        hostile,
    })
}
