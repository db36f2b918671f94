//! `chat-bench fanout`: one large conversation with one sender; measures the cost of a delivery.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::TargetArgs;
use super::bare_write;
use super::client::{Host, MAX_CONCURRENT, open, require_open_files};
use super::cpu::{CpuUse, Part, Probe, total};
use super::environment::Environment;
use super::load::{Load, Measured, Pace, drive};
use super::report::{Figures, passed, print_run, print_verdict, row, say, table, write_json};
use super::run::Run;
use super::send::rate;
use super::socket::Dial;

/// Number of members per request.
const MEMBERS_PER_REQUEST: usize = 200;
/// Number of sockets of the bare write, which come on top of the members' sockets.
const BARE_SOCKETS: u32 = 1000;

/// Arguments of `chat-bench fanout`.
#[derive(Debug, Args)]
pub(super) struct FanoutArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Number of members of the conversation, each a user with one socket.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    members: u32,
    /// Messages per second, all from one sender.
    #[arg(long, default_value = "20", value_parser = rate)]
    rate: f64,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    secs: u64,
    /// Seconds of warm-up before the measurement.
    #[arg(long, default_value_t = 2)]
    warmup: u64,
    /// Size of a message's content, in bytes.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Connect all sockets at once instead of 64 at a time.
    #[arg(long)]
    storm: bool,
}

/// Duration and CPU time of connecting all members.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Connecting {
    sockets: usize,
    at_once: bool,
    seconds: f64,
    cpu: Vec<CpuUse>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    command: &'static str,
    environment: &'a Environment,
    members: u32,
    size: usize,
    connecting: &'a Connecting,
    figures: Figures,
    socket_write_us: f64,
    run: &'a Measured,
}

/// Runs `chat-bench fanout`; returns false if the check found faults.
pub(super) async fn run(args: FanoutArgs) -> anyhow::Result<bool> {
    let members = args.members as usize;
    require_open_files(members)?;
    let host = Host::new(&args.target)?;
    let probe = Probe::new(&args.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();
    let secret = host.lift_limits();
    say(
        "setup",
        &format!(
            "one conversation of {members} members, a socket each; one sends {} messages of {} bytes per second",
            args.rate, args.size
        ),
    );

    let run = Run::new(args.size);
    let users: Vec<String> = (0..members)
        .map(|n| format!("bench-{}-{n}", run.tag()))
        .collect();
    host.sync_users(&users).await?;
    let mut parts = users.chunks(MEMBERS_PER_REQUEST);
    let first = parts.next().unwrap_or_default();
    let conversation = host.create_group(0, &users[0], first).await?;
    for part in parts {
        host.add_participants(&conversation, &users[0], part)
            .await?;
    }

    let mut dials = Vec::with_capacity(members);
    for (n, user) in users.iter().enumerate() {
        dials.push(Dial {
            url: host.ws_url(n),
            token: host.token(user)?,
            internal_secret: Some(secret.clone()),
            conversation: Some(conversation.clone()),
        });
    }
    let bound = if args.storm { members } else { MAX_CONCURRENT };
    let (before, started) = (probe.sample(), Instant::now());
    let sockets = open(dials, bound, &run).await?;
    let connecting = Connecting {
        sockets: members,
        at_once: args.storm,
        seconds: started.elapsed().as_secs_f64(),
        cpu: probe.between(&before, &probe.sample()),
    };
    print_connecting(&connecting);

    let load = Load {
        pace: Pace::Rate(args.rate),
        warmup: Duration::from_secs(args.warmup),
        window: Duration::from_secs(args.secs),
        conversations: 1,
        members,
        senders: 1,
    };
    // Before and after, because shared machines change by the second.
    let before = bare_write::measure(BARE_SOCKETS).await?;
    let measured = drive(&load, &run, (&host, &probe), (sockets, &users)).await?;
    let after = bare_write::measure(BARE_SOCKETS).await?;
    let socket_write_us = f64::midpoint(before, after);
    println!();
    print_run(&measured);
    print_bare_write(&measured, socket_write_us);
    print_verdict(&measured.check);
    let results = Results {
        command: "fanout",
        environment: &environment,
        members: args.members,
        size: args.size,
        connecting: &connecting,
        figures: Figures::of(&measured),
        socket_write_us,
        run: &measured,
    };
    write_json(args.target.json.as_deref(), &results)?;
    Ok(passed(&measured))
}

fn print_bare_write(run: &Measured, bare_us: f64) {
    let mut text = format!("{bare_us:.2} us of CPU");
    if run.cpu.iter().any(|u| u.part == Part::Server) {
        let times = run.us_per_delivery(total(&run.cpu)) / bare_us;
        text += &format!("; a delivery costs the servers {times:.2} times that");
    }
    say("bare socket write", &text);
}

fn print_connecting(connecting: &Connecting) {
    say(
        "connected",
        &format!(
            "{} sockets{} in {:.2} s",
            connecting.sockets,
            if connecting.at_once { " at once" } else { "" },
            connecting.seconds
        ),
    );
    if !connecting.at_once {
        return;
    }
    println!();
    let per_socket = |seconds: f64| seconds * 1e3 / connecting.sockets as f64;
    let line = |name: &str, seconds: f64| {
        row([
            name.to_owned(),
            format!("{seconds:.2}"),
            format!("{:.3}", per_socket(seconds)),
        ])
    };
    let mut rows = vec![row(["CPU of connecting", "s", "ms per socket"])];
    rows.extend(connecting.cpu.iter().map(|u| line(&u.process, u.seconds)));
    if connecting.cpu.iter().any(|u| u.part == Part::Server) {
        rows.push(line("servers, total", total(&connecting.cpu)));
    }
    table(&rows);
}
