//! `chat-bench idle`: opens idle sockets and measures the memory of a connection.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::sleep;

use super::TargetArgs;
use super::client::{Host, MAX_CONCURRENT, open, require_open_files};
use super::cpu::{Memory, Probe, Process, memory, open_files_limit};
use super::environment::Environment;
use super::report::{row, say, table, whole, write_json};
use super::run::Run;
use super::socket::{Dial, Journal};

/// Arguments of `chat-bench idle`.
#[derive(Debug, Args)]
pub(super) struct IdleArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Number of sockets to open, each of a different user.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    sockets: u32,
    /// Seconds to wait before memory is measured.
    #[arg(long, default_value_t = 5)]
    secs: u64,
    /// Create one conversation for every user.
    #[arg(long)]
    conversations: bool,
}

/// Memory of one process before and after the sockets are open.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Growth {
    process: String,
    before: Memory,
    after: Memory,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    command: &'static str,
    environment: &'a Environment,
    sockets: u32,
    conversations: bool,
    connect_seconds: f64,
    kib_per_connection: f64,
    pss_kib_per_connection: Option<f64>,
    closed: usize,
    memory: &'a [Growth],
}

/// Runs `chat-bench idle`; returns false if a socket closed by itself.
pub(super) async fn run(args: IdleArgs) -> anyhow::Result<bool> {
    let count = args.sockets as usize;
    require_open_files(count)?;
    let host = Host::new(&args.target)?;
    let probe = Probe::new(&args.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();
    let secret = host.lift_limits();
    let services: Vec<Process> = nodes(&probe);
    for service in &services {
        warn_of_limit(service, count / services.len());
    }

    let run = Run::new(0);
    let dials = create_users(&args, &host, &secret, run.tag()).await?;
    let before: Vec<Memory> = services.iter().map(memory).collect();
    let started = Instant::now();
    let sockets = open(dials, MAX_CONCURRENT, &run).await?;
    let seconds = started.elapsed().as_secs_f64();
    say(
        "connected",
        &format!(
            "{} sockets in {seconds:.2} s",
            whole(f64::from(args.sockets))
        ),
    );
    let cpu = probe.sample();
    sleep(Duration::from_secs(args.secs)).await;
    let cpu = probe.between(&cpu, &probe.sample());
    let growth: Vec<Growth> = services
        .iter()
        .zip(before)
        .map(|(process, before)| Growth {
            process: process.name.clone(),
            before,
            after: memory(process),
        })
        .collect();

    println!();
    print_growth(&growth);
    let (per_connection, pss) = print_per_connection(&growth, count);
    for used in &cpu {
        say(
            "CPU while idle",
            &format!("{}: {:.2} s in {} s", used.process, used.seconds, args.secs),
        );
    }

    let closed = print_closed(&sockets.finish().await?);
    let results = Results {
        command: "idle",
        environment: &environment,
        sockets: args.sockets,
        conversations: args.conversations,
        connect_seconds: seconds,
        kib_per_connection: per_connection,
        pss_kib_per_connection: pss,
        closed,
        memory: &growth,
    };
    write_json(args.target.json.as_deref(), &results)?;
    Ok(closed == 0)
}

/// Creates the users, and a conversation of each if requested. Returns the dial of each.
async fn create_users(
    args: &IdleArgs,
    host: &Host,
    secret: &str,
    tag: &str,
) -> anyhow::Result<Vec<Dial>> {
    let users: Vec<String> = (0..args.sockets)
        .map(|n| format!("bench-{tag}-{n}"))
        .collect();
    host.sync_users(&users).await?;
    if args.conversations {
        let groups = users.chunks(1).enumerate();
        stream::iter(groups)
            .map(|(n, group)| host.create_group(n, &group[0], group))
            .buffer_unordered(MAX_CONCURRENT)
            .try_for_each(|_| async { Ok(()) })
            .await?;
    }
    let users = users.iter().enumerate();
    users
        .map(|(n, user)| {
            Ok(Dial {
                url: host.ws_url(n),
                token: host.token(user)?,
                internal_secret: Some(secret.to_owned()),
                conversation: None,
            })
        })
        .collect()
}

/// Prints and returns the resident and the proportional memory of a connection, in KiB.
fn print_per_connection(growth: &[Growth], count: usize) -> (f64, Option<f64>) {
    let rss = growth
        .iter()
        .map(|g| difference(g.after.rss_kib, g.before.rss_kib));
    let per_connection = rss.sum::<f64>() / count as f64;
    let pss: Option<f64> = growth
        .iter()
        .map(|g| Some(difference(g.after.pss_kib?, g.before.pss_kib?)))
        .sum();
    let pss = pss
        .filter(|_| !growth.is_empty())
        .map(|kib| kib / count as f64);
    println!();
    if growth.is_empty() {
        say(
            "memory",
            "not measured: no processes are named; set CHAT_BENCH_PIDS",
        );
    } else {
        say(
            "resident",
            &format!("{per_connection:.1} KiB per connection"),
        );
    }
    if let Some(pss) = pss {
        say(
            "proportional (PSS)",
            &format!("{pss:.1} KiB per connection"),
        );
    }
    (per_connection, pss)
}

/// Prints and returns the number of sockets that closed by themselves.
fn print_closed(journals: &[Journal]) -> usize {
    let mut closed = journals
        .iter()
        .filter_map(|journal| journal.closed.as_deref());
    let first = closed.next();
    let closed = usize::from(first.is_some()) + closed.count();
    match first {
        None => println!("check: every socket stayed open"),
        Some(reason) => {
            println!("check: FAULT: {closed} sockets closed by themselves, one with: {reason}")
        }
    }
    closed
}

/// Returns the processes that hold the sockets: those named `ws…`, or all processes of the service if there is none.
fn nodes(probe: &Probe) -> Vec<Process> {
    let services = probe.processes.iter().filter(|p| p.is_service());
    let (ws, others): (Vec<_>, Vec<_>) = services.cloned().partition(|p| p.name.starts_with("ws"));
    if ws.is_empty() { others } else { ws }
}

fn warn_of_limit(service: &Process, sockets: usize) {
    let limit = open_files_limit(&service.pids[0].to_string());
    if limit.is_some_and(|limit| limit < sockets as u64 + 100) {
        say(
            "warning",
            &format!(
                "{} may open only {} files; start it with a higher `ulimit -n`",
                service.name,
                limit.unwrap_or(0)
            ),
        );
    }
}

fn difference(after: u64, before: u64) -> f64 {
    after as f64 - before as f64
}

fn print_growth(growth: &[Growth]) {
    let mut rows = vec![row([
        "memory, MiB",
        "RSS before",
        "after",
        "PSS before",
        "after",
    ])];
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    let maybe = |kib: Option<u64>| kib.map_or("-".to_owned(), mib);
    for g in growth {
        rows.push(vec![
            g.process.clone(),
            mib(g.before.rss_kib),
            mib(g.after.rss_kib),
            maybe(g.before.pss_kib),
            maybe(g.after.pss_kib),
        ]);
    }
    table(&rows);
}
