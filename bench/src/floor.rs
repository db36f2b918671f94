//! `chat-bench floor`: measures the unavoidable work of the machine, without the service.
//!
//! Two figures. The write path: senders in a closed loop, whose messages are written in groups with one insert with three indexes, one update per
//! touched conversation (both with majority and journal) and a pipelined publish. The bare write: one frame to a socket. Machines differ by
//! factors and shared machines change by the hour, so compare `send` or `fanout` only with floors measured in the same minutes.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use async_nats::jetstream;
use clap::Args;
use futures_util::future::try_join_all;
use mongodb::{
    Client, Database,
    bson::{DateTime, Document, RawArrayBuf, Timestamp, cstr, doc, rawdoc},
};
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::TargetArgs;
use super::bare_write::{self, FRAME_BYTES};
use super::client::Host;
use super::cpu::{CpuUse, Probe};
use super::environment::Environment;
use super::report::{Latencies, Quantiles, row, table, whole, write_json};

/// Maximum number of messages of a group, as in the service.
const MAX_GROUP: usize = 512;
/// Name of the stream to which the groups are published.
const STREAM: &str = "CHAT_BENCH_FLOOR";
const SUBJECT: &str = "chat-bench-floor.message";
const DATABASE: &str = "bench_floor";

/// Arguments of `chat-bench floor`.
#[derive(Debug, Args)]
pub(super) struct FloorArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// URI of MongoDB; the database `bench_floor` is created there and dropped at the end.
    #[arg(long, env = "MONGODB_URI", hide_env_values = true)]
    mongodb_uri: String,
    /// URL of NATS; the stream `CHAT_BENCH_FLOOR` is created there and deleted at the end.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    nats_url: String,
    /// Number of concurrent sends.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    inflight: u32,
    /// Number of conversations, chosen at random for each send.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    convs: u32,
    /// Seconds to measure the write path, after one second of warm-up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    secs: u64,
    /// Number of sockets of the bare write.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    sockets: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    command: &'static str,
    environment: &'a Environment,
    write_path: &'a WritePath,
    socket_write_us: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WritePath {
    messages: u64,
    messages_per_second: f64,
    mean_group: f64,
    #[serde(flatten)]
    quantiles: Quantiles,
    /// CPU seconds per 1,000 messages of each process that took part.
    cpu: Vec<CpuUse>,
}

/// A waiting send: its conversation, and the channel for its answer.
type Send = (usize, oneshot::Sender<()>);

/// Measures both floors.
pub(super) async fn run(args: FloorArgs) -> anyhow::Result<bool> {
    let host = Host::new(&args.target)?;
    let probe = Probe::new(&args.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();

    let write_path = measure_write_path(&args, &probe).await?;
    let socket_write_us = bare_write::measure(args.sockets).await?;

    println!();
    let mut rows = vec![row([
        "write path, s of CPU per 1,000 messages".to_owned(),
        String::new(),
    ])];
    for used in &write_path.cpu {
        rows.push(row([used.process.clone(), format!("{:.4}", used.seconds)]));
    }
    let sum = write_path.cpu.iter().map(|used| used.seconds).sum::<f64>();
    rows.push(row(["in all".to_owned(), format!("{sum:.4}")]));
    rows.push(row([
        "messages/s".to_owned(),
        whole(write_path.messages_per_second),
    ]));
    rows.push(row([
        "messages in a group, mean".to_owned(),
        format!("{:.1}", write_path.mean_group),
    ]));
    rows.push(row([
        "answer p50, ms".to_owned(),
        format!("{:.2}", write_path.quantiles.p50_ms),
    ]));
    rows.push(row([
        "answer p99, ms".to_owned(),
        format!("{:.2}", write_path.quantiles.p99_ms),
    ]));
    rows.push(row([
        "bare write to a socket, us of CPU".to_owned(),
        format!("{socket_write_us:.2}"),
    ]));
    table(&rows);
    let results = Results {
        command: "floor",
        environment: &environment,
        write_path: &write_path,
        socket_write_us,
    };
    write_json(args.target.json.as_deref(), &results)?;
    Ok(true)
}

async fn measure_write_path(args: &FloorArgs, probe: &Probe) -> anyhow::Result<WritePath> {
    let database = Client::with_uri_str(&args.mongodb_uri)
        .await
        .context("MONGODB_URI")?
        .database(DATABASE);
    let jetstream = jetstream::new(connect_nats(&args.nats_url).await?);
    database.drop().await.context("MongoDB does not respond")?;
    prepare(&database, args.convs as usize).await?;
    jetstream
        .get_or_create_stream(jetstream::stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            max_bytes: 256 << 20,
            ..Default::default()
        })
        .await
        .context("the stream of the measurement cannot be created")?;

    let outcome = drive(args, probe, &database, &jetstream).await;
    database.drop().await?;
    jetstream.delete_stream(STREAM).await?;
    outcome
}

pub(super) async fn connect_nats(address: &str) -> anyhow::Result<async_nats::Client> {
    let mut url = url::Url::parse(address).context("NATS_URL")?;
    let (user, password) = (
        url.username().to_owned(),
        url.password().unwrap_or_default().to_owned(),
    );
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut options = async_nats::ConnectOptions::new();
    if !user.is_empty() {
        options = options.user_and_password(user, password);
    }
    options
        .connect(url.as_str())
        .await
        .context("NATS does not respond")
}

/// Creates the conversations, and the three indexes that numbering, deduplicating and listing messages require.
async fn prepare(database: &Database, conversations: usize) -> anyhow::Result<()> {
    database
        .run_command(doc! { "createIndexes": "log", "indexes": [
            { "key": { "conversationId": 1, "seq": 1 }, "name": "seq", "unique": true },
            {
                "key": { "conversationId": 1, "actorId": 1, "data.clientMessageId": 1 }, "name": "client", "unique": true,
                "partialFilterExpression": { "data.clientMessageId": { "$type": "string" } },
            },
            {
                "key": { "conversationId": 1, "seq": -1 }, "name": "history",
                "partialFilterExpression": { "type": "message.created" },
            },
        ] })
        .await?;
    let documents = (0..conversations).map(|n| {
        doc! {
            "_id": conversation(n), "applied": 0_i64, "name": "a conversation", "lastActivityAt": DateTime::now(),
            "participantIds": ["one", "two", "three", "four", "five"],
        }
    });
    database
        .collection::<Document>("conversations")
        .insert_many(documents)
        .await?;
    Ok(())
}

fn conversation(n: usize) -> String {
    format!("conversation-{n:08}")
}

async fn drive(
    args: &FloorArgs,
    probe: &Probe,
    database: &Database,
    jetstream: &jetstream::Context,
) -> anyhow::Result<WritePath> {
    let (sends, waiting) = mpsc::channel(args.inflight as usize);
    let writer = tokio::spawn(write_groups(
        waiting,
        database.clone(),
        jetstream.clone(),
        args.convs as usize,
    ));
    let started = Instant::now() + Duration::from_secs(1);
    let until = started + Duration::from_secs(args.secs);
    let senders: Vec<_> = (0..args.inflight)
        .map(|_| tokio::spawn(send(sends.clone(), args.convs as usize, started, until)))
        .collect();
    drop(sends);
    tokio::time::sleep_until(started.into()).await;
    let before = probe.sample();
    tokio::time::sleep_until(until.into()).await;
    let used = probe.between(&before, &probe.sample());

    let mut spread = Latencies::new();
    for sender in senders {
        for micros in sender.await? {
            spread.add(micros);
        }
    }
    let mean_group = writer.await??;
    let quantiles = spread.quantiles();
    ensure!(quantiles.count > 0, "no message was written");
    let thousands = quantiles.count as f64 / 1000.0;
    let cpu = used
        .into_iter()
        .filter(|used| {
            let name = used.process.as_str();
            name.starts_with("mongo") || name.starts_with("nats") || name == "bench"
        })
        .map(|used| CpuUse {
            seconds: used.seconds / thousands,
            ..used
        })
        .collect();
    Ok(WritePath {
        messages: quantiles.count,
        messages_per_second: quantiles.count as f64 / args.secs as f64,
        mean_group,
        quantiles,
        cpu,
    })
}

/// Sends one message after the other. Returns the latency of each, in microseconds.
async fn send(
    sends: mpsc::Sender<Send>,
    conversations: usize,
    from: Instant,
    until: Instant,
) -> Vec<u64> {
    let mut took = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        let (answer, answered) = oneshot::channel();
        let to = rand::random_range(0..conversations);
        if sends.send((to, answer)).await.is_err() || answered.await.is_err() {
            break;
        }
        if begun >= from {
            took.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
    took
}

/// Writes waiting messages group by group; the next insert overlaps with the previous update. Returns the mean size of a group.
async fn write_groups(
    mut waiting: mpsc::Receiver<Send>,
    database: Database,
    jetstream: jetstream::Context,
    conversations: usize,
) -> anyhow::Result<f64> {
    let mut numbers = vec![0_i64; conversations];
    let (mut groups, mut messages) = (0_u64, 0_u64);
    let mut finishing = JoinSet::new();
    let mut group = Vec::new();
    while waiting.recv_many(&mut group, MAX_GROUP).await > 0 {
        let group = std::mem::take(&mut group);
        groups += 1;
        messages += group.len() as u64;
        let inserted = insert(&database, &group, &mut numbers).await?;
        if finishing.len() > 1
            && let Some(done) = finishing.join_next().await
        {
            done??;
        }
        let (database, jetstream) = (database.clone(), jetstream.clone());
        finishing.spawn(async move {
            tokio::try_join!(
                update(&database, inserted),
                publish(&jetstream, group.len())
            )?;
            for (_, answer) in group {
                let _ = answer.send(());
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = finishing.join_next().await {
        done??;
    }
    Ok(messages as f64 / groups.max(1) as f64)
}

async fn insert(
    database: &Database,
    group: &[Send],
    numbers: &mut [i64],
) -> anyhow::Result<HashMap<usize, i64>> {
    let mut documents = RawArrayBuf::new();
    let mut touched = HashMap::new();
    for (to, _) in group {
        numbers[*to] += 1;
        touched.insert(*to, numbers[*to]);
        documents.push(rawdoc! {
            "_id": ulid::Ulid::generate().to_string(),
            "conversationId": conversation(*to),
            "seq": numbers[*to],
            "ts": Timestamp { time: 0, increment: 0 },
            "type": "message.created",
            "actorId": "one",
            "at": DateTime::now(),
            "data": {
                "type": "text",
                "content": "x".repeat(100),
                "clientMessageId": ulid::Ulid::generate().to_string(),
            },
        });
    }
    let mut command = rawdoc! { "insert": "log", "ordered": true };
    command.append(cstr!("documents"), documents);
    command.append(
        cstr!("writeConcern"),
        rawdoc! { "w": "majority", "j": true },
    );
    let reply = database.run_raw_command(command).await?;
    ensure!(
        !reply.contains_key("writeErrors") && !reply.contains_key("writeConcernError"),
        "MongoDB refused an insert: {reply}"
    );
    Ok(touched)
}

async fn update(database: &Database, touched: HashMap<usize, i64>) -> anyhow::Result<()> {
    let updates: Vec<Document> = touched
        .into_iter()
        .map(|(to, number)| {
            doc! {
                "q": { "_id": conversation(to) },
                "u": { "$set": { "applied": number, "lastActivityAt": DateTime::now() } },
            }
        })
        .collect();
    let command = doc! {
        "update": "conversations", "updates": updates, "ordered": false, "writeConcern": { "w": "majority", "j": true },
    };
    database.run_command(command).await?;
    Ok(())
}

async fn publish(jetstream: &jetstream::Context, count: usize) -> anyhow::Result<()> {
    let mut acks = Vec::with_capacity(count);
    for _ in 0..count {
        let payload = vec![b'x'; FRAME_BYTES];
        acks.push(
            jetstream
                .publish(SUBJECT, payload.into())
                .await?
                .into_future(),
        );
    }
    try_join_all(acks).await?;
    Ok(())
}
