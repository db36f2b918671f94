//! `chat-bench list`: measures the first page of a user's many conversations, before and after history grows.

use std::time::Instant;

use anyhow::ensure;
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::TargetArgs;
use super::client::{Host, MAX_CONCURRENT};
use super::cpu::{Part, Probe, total};
use super::environment::Environment;
use super::report::{Latencies, Quantiles, row, say, table, whole, write_json};
use super::run::Run;

/// Arguments of `chat-bench list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Number of conversations of the user, each with an unread message.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(50..))]
    convs: u32,
    /// Number of pages to request in each measurement, one after another.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Number of messages to add to the newest conversations before the second measurement.
    #[arg(long, default_value_t = 20_000)]
    history: u32,
    /// Number of conversations that the added messages are spread over.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    busy: u32,
}

/// Results of one measurement.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    name: &'static str,
    #[serde(flatten)]
    quantiles: Quantiles,
    /// CPU time of the servers per page, if their processes are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_ms_per_page: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    command: &'static str,
    environment: &'a Environment,
    conversations: u32,
    history: u32,
    busy: u32,
    first_page: &'a [Measured],
}

/// Runs `chat-bench list`; returns false if a page had wrong content.
pub(super) async fn run(args: ListArgs) -> anyhow::Result<bool> {
    let host = Host::new(&args.target)?;
    let probe = Probe::new(&args.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();

    let run = Run::new(0);
    let [reader, writer] = ["reader", "writer"].map(|name| format!("bench-{}-{name}", run.tag()));
    let members = [reader.clone(), writer.clone()];
    host.sync_users(&members).await?;
    let creations: Vec<_> = (0..args.convs as usize)
        .map(|n| host.create_group(n, &writer, &members))
        .collect();
    let conversations: Vec<String> = stream::iter(creations)
        .buffered(MAX_CONCURRENT)
        .try_collect()
        .await?;
    send_all(&host, &writer, &conversations).await?;
    say(
        "conversations",
        &format!("{}, one message in each", whole(f64::from(args.convs))),
    );

    let mut found = vec![measure("few messages", &host, &probe, &reader, args.requests).await?];
    let busy: Vec<String> = conversations
        .iter()
        .rev()
        .take(args.busy as usize)
        .cycle()
        .take(args.history as usize)
        .cloned()
        .collect();
    send_all(&host, &writer, &busy).await?;
    say(
        "history",
        &format!(
            "{} more messages in {} of them",
            whole(f64::from(args.history)),
            args.busy
        ),
    );
    // The first page after the change may have to count unread messages.
    let started = Instant::now();
    let page = host.first_page(&reader).await?;
    say(
        "first page of all",
        &format!("{:.2} ms", started.elapsed().as_secs_f64() * 1e3),
    );
    found.push(measure("much history", &host, &probe, &reader, args.requests).await?);

    print_pages(&found);
    let unread: u64 = page
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|conversation| conversation["unreadCount"].as_u64())
        .sum();
    // The conversations with added messages are on the first page; every other one there has its one message.
    let expected = u64::from(args.history) + 50;
    let is_right = unread == expected;
    println!();
    if is_right {
        println!("check: the page says that {unread} messages are unread, as it must")
    } else {
        println!("check: FAULT: the page says that {unread} messages are unread, not {expected}")
    }
    let results = Results {
        command: "list",
        environment: &environment,
        conversations: args.convs,
        history: args.history,
        busy: args.busy,
        first_page: &found,
    };
    write_json(args.target.json.as_deref(), &results)?;
    Ok(is_right)
}

fn print_pages(found: &[Measured]) {
    println!();
    let mut rows = vec![row([
        "first page, ms",
        "p50",
        "p95",
        "p99",
        "max",
        "server CPU",
    ])];
    for Measured {
        name,
        quantiles,
        server_cpu_ms_per_page,
    } in found
    {
        let ms = |value: f64| format!("{value:.2}");
        rows.push(vec![
            (*name).to_owned(),
            ms(quantiles.p50_ms),
            ms(quantiles.p95_ms),
            ms(quantiles.p99_ms),
            ms(quantiles.max_ms),
            server_cpu_ms_per_page.map_or("-".to_owned(), ms),
        ]);
    }
    table(&rows);
}

/// Sends a message to each of `conversations`.
async fn send_all(host: &Host, user: &str, conversations: &[String]) -> anyhow::Result<()> {
    let sends: Vec<_> = conversations
        .iter()
        .enumerate()
        .map(|(n, conversation)| host.send(n, user, conversation, "one of many messages"))
        .collect();
    stream::iter(sends)
        .buffer_unordered(MAX_CONCURRENT)
        .try_collect()
        .await
}

async fn measure(
    name: &'static str,
    host: &Host,
    probe: &Probe,
    user: &str,
    requests: u32,
) -> anyhow::Result<Measured> {
    let mut spread = Latencies::new();
    let before = probe.sample();
    for _ in 0..requests {
        let started = Instant::now();
        let page = host.first_page(user).await?;
        spread.add(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        let count = page.as_array().map_or(0, Vec::len);
        ensure!(
            count == 50,
            "the first page has {count} conversations, not 50"
        );
    }
    let used = probe.between(&before, &probe.sample());
    let is_measured = used.iter().any(|used| used.part == Part::Server);
    Ok(Measured {
        name,
        quantiles: spread.quantiles(),
        server_cpu_ms_per_page: is_measured.then(|| total(&used) * 1e3 / f64::from(requests)),
    })
}
