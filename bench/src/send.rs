//! `chat-bench send` and `chat-bench max`: many small conversations in which every member sends.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::TargetArgs;
use super::client::{Host, require_open_files};
use super::cpu::Probe;
use super::environment::Environment;
use super::floor::connect_nats;
use super::hook::PassingHook;
use super::load::{Measured, Pace};
use super::ordinary::Ordinary;
use super::report::{Figures, passed, print_run, print_runs, print_verdict, say, write_json};

/// Size of the load and duration of the measurement.
#[derive(Debug, Clone, Args)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Number of conversations.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub convs: u32,
    /// Number of members of each conversation, each a user with one socket.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub members: u32,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub secs: u64,
    /// Seconds of warm-up before the measurement.
    #[arg(long, default_value_t = 2)]
    pub warmup: u64,
    /// Size of a message's content, in bytes.
    #[arg(long, default_value_t = 100)]
    pub size: usize,
}

/// Arguments of `chat-bench send`.
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Number of concurrent sends, over all conversations.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    inflight: u32,
    /// Send this many messages per second instead; latency counts from the time at which each send was due.
    #[arg(long, conflicts_with = "inflight", value_parser = rate)]
    rate: Option<f64>,
    /// Number of runs; the medians are printed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Measure every run twice: without a hook, and with one in another process that lets every message pass.
    #[arg(long)]
    hook: bool,
    /// Address of NATS with the service's login; only with --hook.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    nats_url: Option<String>,
    /// First token of the service's subjects; only with --hook.
    #[arg(long, env = "NATS_SUBJECT_PREFIX", default_value = "chat")]
    nats_prefix: String,
}

/// Arguments of `chat-bench max`.
#[derive(Debug, Args)]
pub(super) struct MaxArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Numbers of concurrent sends, comma-separated; one run for each.
    #[arg(long, value_delimiter = ',', default_value = "16,64,256",
          value_parser = clap::value_parser!(u32).range(1..))]
    steps: Vec<u32>,
}

/// Parses a number of messages per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("the rate must be a number above 0 and up to 1000000".to_owned()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    command: &'static str,
    environment: &'a Environment,
    conversations: u32,
    members: u32,
    size: usize,
    figures: Vec<Figures>,
    /// Set only if the runs have equal parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    median: Option<Figures>,
    runs: &'a [Measured],
}

/// Runs `chat-bench send`; returns false if the check found faults.
pub(super) async fn run(args: SendArgs) -> anyhow::Result<bool> {
    let pace = match args.rate {
        Some(rate) => Pace::Rate(rate),
        None => Pace::Inflight(args.inflight as usize),
    };
    let paces = vec![pace; args.runs as usize];
    if args.hook {
        return run_hooked(args, &paces).await;
    }
    let runs = run_all("send", &args.load, &paces).await?;
    if let [run] = runs.as_slice() {
        println!();
        print_run(run);
        print_verdict(&run.check);
    } else {
        println!();
        let figures: Vec<Figures> = runs.iter().map(Figures::of).collect();
        let median = ("median".to_owned(), Figures::median(&figures));
        let numbers = (1..).map(|n: u32| n.to_string());
        let mut named: Vec<_> = numbers.zip(figures).collect();
        named.push(median);
        print_runs("run", &named);
        print_faults(&runs);
    }
    Ok(runs.iter().all(passed))
}

/// Runs `chat-bench send --hook`: the runs without a hook, then those with one.
async fn run_hooked(args: SendArgs, paces: &[Pace]) -> anyhow::Result<bool> {
    let url = args.nats_url.as_deref();
    let nats = connect_nats(url.context("NATS_URL is not set; the hook connects there")?).await?;
    let host = Host::new(&args.load.target)?;
    let without = run_all("send", &args.load, paces).await?;
    let hook = PassingHook::start(&host, nats, &args.nats_prefix).await?;
    let with = run_all("send", &args.load, paces).await;
    hook.stop(&host).await?;
    let with = with?;
    println!();
    let of = |runs: &[Measured]| {
        let figures: Vec<Figures> = runs.iter().map(Figures::of).collect();
        Figures::median(&figures)
    };
    let rows = [
        ("without".to_owned(), of(&without)),
        ("with".to_owned(), of(&with)),
    ];
    print_runs("hook", &rows);
    print_faults(&with);
    Ok(without.iter().chain(&with).all(passed))
}

/// Runs `chat-bench max`; returns false if a check found faults.
pub(super) async fn run_max(args: MaxArgs) -> anyhow::Result<bool> {
    let paces: Vec<Pace> = args
        .steps
        .iter()
        .map(|step| Pace::Inflight(*step as usize))
        .collect();
    let runs = run_all("max", &args.load, &paces).await?;
    println!();
    let steps = args.steps.iter().map(u32::to_string);
    let named: Vec<_> = steps.zip(runs.iter().map(Figures::of)).collect();
    print_runs("inflight", &named);
    print_faults(&runs);
    Ok(runs.iter().all(passed))
}

fn print_faults(runs: &[Measured]) {
    println!();
    match runs.iter().find(|run| !passed(run)) {
        Some(run) => {
            print_run(run);
            print_verdict(&run.check);
        }
        None => println!("check: every member got every acknowledged message once and in order"),
    }
}

async fn run_all(
    command: &'static str,
    load: &LoadArgs,
    paces: &[Pace],
) -> anyhow::Result<Vec<Measured>> {
    require_open_files(load.convs as usize * load.members as usize)?;
    let host = Host::new(&load.target)?;
    let probe = Probe::new(&load.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();
    let secret = host.lift_limits();
    load.print();
    let ordinary = load.ordinary(&secret);
    let mut runs = Vec::new();
    for pace in paces {
        let how = match pace {
            Pace::Inflight(count) => format!("{count} concurrent sends"),
            Pace::Rate(rate) => format!("{rate} messages per second"),
        };
        say(
            "run",
            &format!("{how}, {} s after {} s", load.secs, load.warmup),
        );
        runs.push(ordinary.measure(*pace, &host, &probe).await?);
    }
    let figures: Vec<Figures> = runs.iter().map(Figures::of).collect();
    let results = Results {
        command,
        environment: &environment,
        conversations: load.convs,
        members: load.members,
        size: load.size,
        median: (command == "send").then(|| Figures::median(&figures)),
        figures,
        runs: &runs,
    };
    write_json(load.target.json.as_deref(), &results)?;
    Ok(runs)
}

impl LoadArgs {
    /// Returns the users of this load; `secret` exempts them from the rate limits.
    pub fn ordinary(&self, secret: &str) -> Ordinary {
        Ordinary {
            conversations: self.convs as usize,
            members: self.members as usize,
            senders: self.members as usize,
            size: self.size,
            warmup: Duration::from_secs(self.warmup),
            window: Duration::from_secs(self.secs),
            internal_secret: Some(secret.to_owned()),
        }
    }

    /// Describes the load.
    pub fn print(&self) {
        say(
            "setup",
            &format!(
                "{} conversations of {} members, a socket each; {} bytes a message",
                self.convs, self.members, self.size
            ),
        );
    }
}
