//! `bench send` and `bench max`: many small conversations in which every member sends.

use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::TargetArgs;
use super::client::{BOUND, Host, open, require_open_files};
use super::cpu::Probe;
use super::environment::Environment;
use super::load::{Load, Measured, Pace, drive};
use super::report::{Figures, passed, print_run, print_runs, print_verdict, say, write_json};
use super::run::Run;
use super::socket::Dial;

/// Size of the load and duration of the measurement.
#[derive(Debug, Clone, Args)]
pub(super) struct SceneArgs {
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

/// Arguments of `bench send`.
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    #[command(flatten)]
    scene: SceneArgs,
    /// Number of concurrent sends, over all conversations.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    inflight: u32,
    /// Send this many messages per second instead; latency counts from the time at which each send was due.
    #[arg(long, conflicts_with = "inflight", value_parser = rate)]
    rate: Option<f64>,
    /// Number of runs; the medians are printed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

/// Arguments of `bench max`.
#[derive(Debug, Args)]
pub(super) struct MaxArgs {
    #[command(flatten)]
    scene: SceneArgs,
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

/// Runs `bench send`; returns false if the check found faults.
pub(super) async fn run(args: SendArgs) -> anyhow::Result<bool> {
    let pace = match args.rate {
        Some(rate) => Pace::Rate(rate),
        None => Pace::Inflight(args.inflight as usize),
    };
    let paces = vec![pace; args.runs as usize];
    let runs = run_all("send", &args.scene, &paces).await?;
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

/// Runs `bench max`; returns false if a check found faults.
pub(super) async fn run_max(args: MaxArgs) -> anyhow::Result<bool> {
    let paces: Vec<Pace> = args
        .steps
        .iter()
        .map(|step| Pace::Inflight(*step as usize))
        .collect();
    let runs = run_all("max", &args.scene, &paces).await?;
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
    scene: &SceneArgs,
    paces: &[Pace],
) -> anyhow::Result<Vec<Measured>> {
    require_open_files(scene.convs as usize * scene.members as usize)?;
    let host = Host::new(&scene.target)?;
    let probe = Probe::new(&scene.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();
    let secret = host.lift_limits();
    scene.print();
    let mut runs = Vec::new();
    for pace in paces {
        let how = match pace {
            Pace::Inflight(count) => format!("{count} concurrent sends"),
            Pace::Rate(rate) => format!("{rate} messages per second"),
        };
        say(
            "run",
            &format!("{how}, {} s after {} s", scene.secs, scene.warmup),
        );
        runs.push(run_once(scene, *pace, (&host, &secret), &probe).await?);
    }
    let figures: Vec<Figures> = runs.iter().map(Figures::of).collect();
    let results = Results {
        command,
        environment: &environment,
        conversations: scene.convs,
        members: scene.members,
        size: scene.size,
        median: (command == "send").then(|| Figures::median(&figures)),
        figures,
        runs: &runs,
    };
    write_json(scene.target.json.as_deref(), &results)?;
    Ok(runs)
}

impl SceneArgs {
    /// Creates fresh users and conversations. Returns the users, ordered by conversation, and the dial of each.
    ///
    /// # Errors
    /// If the service refuses a request.
    pub async fn set(
        &self,
        tag: &str,
        (host, secret): (&Host, &str),
    ) -> anyhow::Result<(Vec<String>, Vec<Dial>)> {
        let members = self.members as usize;
        let count = self.convs as usize * members;
        let users: Vec<String> = (0..count).map(|n| format!("bench-{tag}-{n}")).collect();
        host.sync_users(&users).await?;
        let groups = users.chunks(members).enumerate();
        let conversations: Vec<String> = stream::iter(groups)
            .map(|(n, group)| host.create_group(n, &group[0], group))
            .buffered(BOUND)
            .try_collect()
            .await?;
        let mut dials = Vec::with_capacity(count);
        for (n, user) in users.iter().enumerate() {
            dials.push(Dial {
                url: host.ws_url(n),
                token: host.token(user)?,
                internal_secret: Some(secret.to_owned()),
                conversation: Some(conversations[n / members].clone()),
            });
        }
        Ok((users, dials))
    }

    /// Describes the load.
    pub fn print(&self) {
        say(
            "scene",
            &format!(
                "{} conversations of {} members, a socket each; {} bytes a message",
                self.convs, self.members, self.size
            ),
        );
    }
}

/// Creates fresh users and conversations, connects all users, and runs one load.
async fn run_once(
    scene: &SceneArgs,
    pace: Pace,
    (host, secret): (&Host, &str),
    probe: &Probe,
) -> anyhow::Result<Measured> {
    let run = Run::new(scene.size);
    let (users, dials) = scene.set(run.tag(), (host, secret)).await?;
    let sockets = open(dials, BOUND, &run).await?;
    let load = Load {
        pace,
        warmup: Duration::from_secs(scene.warmup),
        window: Duration::from_secs(scene.secs),
        conversations: scene.convs as usize,
        members: scene.members as usize,
        senders: scene.members as usize,
    };
    drive(&load, &run, (host, probe), (sockets, &users)).await
}
