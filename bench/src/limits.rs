//! `chat-bench limits`: one user floods far above the rate limits; measures the effect on the other users.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::TargetArgs;
use super::client::{Host, require_open_files};
use super::cpu::Probe;
use super::environment::Environment;
use super::load::{Measured, Pace};
use super::ordinary::Ordinary;
use super::report::{median, passed, print_run, print_verdict, row, say, table, whole, write_json};
use super::send::rate;
use super::socket::{Dial, connect};

/// Limit of the median ratio.
const TARGET: f64 = 1.25;
/// Time between two ticks of the flood, each of which sends everything that is due.
const TICK: Duration = Duration::from_millis(5);
/// Maximum number of concurrent requests of the flood; it does not wait when they are exhausted.
const FLOOD_BOUND: usize = 64;
/// Time until the flood reconnects a closed socket: shorter than the protocol asks for.
const COMEBACK: Duration = Duration::from_millis(100);
/// Members of each conversation of the others: one sends, both receive.
const MEMBERS: usize = 2;

/// Arguments of `chat-bench limits`.
#[derive(Debug, Args)]
pub(super) struct LimitsArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Number of users beside the flood, who send at a steady rate.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Messages per second of each of them; the default limit allows 2.
    #[arg(long, default_value = "1", value_parser = rate)]
    rate: f64,
    /// Messages per second of the flood, half over REST and half over a socket.
    #[arg(long, default_value = "1000", value_parser = rate)]
    flood: f64,
    /// Number of pairs of runs, one without and one with the flood.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Seconds to measure in each run.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    secs: u64,
    /// Seconds of warm-up before each measurement.
    #[arg(long, default_value_t = 1)]
    warmup: u64,
    /// Size of a message's content, in bytes.
    #[arg(long, default_value_t = 100)]
    size: usize,
}

/// Results of the flood.
#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Flooded {
    rest_sent: u64,
    rest_refused: u64,
    socket_sent: u64,
    socket_refused: u64,
    /// Number of times its socket was closed.
    socket_closed: u64,
}

/// One pair of runs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    alone: Measured,
    beside: Measured,
    flood: Flooded,
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.beside.ack.p99_ms / self.alone.ack.p99_ms.max(0.001)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    command: &'static str,
    environment: &'a Environment,
    users: u32,
    rate: f64,
    flood: f64,
    median_ratio: f64,
    target_ratio: f64,
    pairs: &'a [Pair],
}

/// Runs `chat-bench limits`; returns false if a message of the others was lost or refused.
pub(super) async fn run(args: LimitsArgs) -> anyhow::Result<bool> {
    require_open_files(args.users as usize * MEMBERS + FLOOD_BOUND)?;
    let host = Arc::new(Host::new(&args.target)?);
    let probe = Probe::new(&args.target.pids)?;
    let environment = Environment::read(&host, &probe).await;
    environment.print();
    say(
        "setup",
        &format!(
            "{} users send {} messages of {} bytes per second each, under their limits; a flood of one user sends {} per second, half by REST and half by a socket",
            args.users, args.rate, args.size, args.flood
        ),
    );
    let others = Ordinary {
        conversations: args.users as usize,
        members: MEMBERS,
        senders: 1,
        size: args.size,
        warmup: Duration::from_secs(args.warmup),
        window: Duration::from_secs(args.secs),
        internal_secret: None,
    };
    let pace = Pace::Rate(args.rate * f64::from(args.users));
    let mut pairs = Vec::new();
    for number in 1..=args.runs {
        let alone = others.measure(pace, &host, &probe).await?;
        let flood = Flood::start(&host, args.flood).await?;
        let beside = others.measure(pace, &host, &probe).await?;
        let pair = Pair {
            alone,
            beside,
            flood: flood.stop().await,
        };
        say(
            &format!("pair {number}"),
            &format!(
                "p99 {:.2} ms alone, {:.2} ms beside the flood",
                pair.alone.ack.p99_ms, pair.beside.ack.p99_ms
            ),
        );
        pairs.push(pair);
    }
    let ratio = median(pairs.iter().map(Pair::ratio).collect());
    print_pairs(&pairs, ratio);
    let results = Results {
        command: "limits",
        environment: &environment,
        users: args.users,
        rate: args.rate,
        flood: args.flood,
        median_ratio: ratio,
        target_ratio: TARGET,
        pairs: &pairs,
    };
    write_json(args.target.json.as_deref(), &results)?;
    let mut runs = pairs.iter().flat_map(|pair| [&pair.alone, &pair.beside]);
    let is_good = |run: &&Measured| passed(run) && run.errors.is_empty();
    if let Some(bad) = runs.find(|run| !is_good(run)) {
        print_run(bad);
        print_verdict(&bad.check);
        return Ok(false);
    }
    println!(
        "check: every member got every message of the others once and in order; none was refused"
    );
    Ok(true)
}

/// Counters of the flood, shared by its tasks.
#[derive(Debug, Default)]
struct Counts {
    rest_sent: AtomicU64,
    rest_refused: AtomicU64,
    socket_sent: AtomicU64,
    socket_refused: AtomicU64,
    socket_closed: AtomicU64,
}

/// A user that sends far above its limit.
struct Flood {
    tasks: TaskTracker,
    end: CancellationToken,
    counts: Arc<Counts>,
}

impl Flood {
    async fn start(host: &Arc<Host>, rate: f64) -> anyhow::Result<Self> {
        let user = format!("bench-flood-{:08x}", rand::random::<u32>());
        host.sync_users(std::slice::from_ref(&user)).await?;
        let conversation = host
            .create_group(0, &user, std::slice::from_ref(&user))
            .await?;
        let flood = Self {
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            counts: Arc::default(),
        };
        let dial = Dial {
            url: host.ws_url(0),
            token: host.token(&user)?,
            internal_secret: None,
            conversation: Some(conversation.clone()),
        };
        let rest = by_rest(
            Arc::clone(host),
            (dial.token.clone(), conversation),
            rate / 2.0,
            Arc::clone(&flood.counts),
        );
        let socket = by_socket(dial, rate / 2.0, Arc::clone(&flood.counts));
        flood
            .tasks
            .spawn(flood.end.clone().run_until_cancelled_owned(rest));
        flood
            .tasks
            .spawn(flood.end.clone().run_until_cancelled_owned(socket));
        Ok(flood)
    }

    async fn stop(self) -> Flooded {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let counts = &self.counts;
        Flooded {
            rest_sent: counts.rest_sent.load(Relaxed),
            rest_refused: counts.rest_refused.load(Relaxed),
            socket_sent: counts.socket_sent.load(Relaxed),
            socket_refused: counts.socket_refused.load(Relaxed),
            socket_closed: counts.socket_closed.load(Relaxed),
        }
    }
}

/// Counter of the sends that are due at each tick of a constant rate.
struct Due {
    started: Instant,
    rate: f64,
    done: u64,
}

impl Due {
    fn new(rate: f64) -> Self {
        Self {
            started: Instant::now(),
            rate,
            done: 0,
        }
    }

    fn take(&mut self) -> u64 {
        let due = (self.started.elapsed().as_secs_f64() * self.rate) as u64;
        due - std::mem::replace(&mut self.done, due)
    }
}

async fn by_rest(
    host: Arc<Host>,
    (token, conversation): (String, String),
    rate: f64,
    counts: Arc<Counts>,
) {
    let path = format!("/api/conversations/{conversation}/messages");
    let bound = Arc::new(Semaphore::new(FLOOD_BOUND));
    let mut due = Due::new(rate);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        for _ in 0..due.take() {
            let Ok(permit) = Arc::clone(&bound).try_acquire_owned() else {
                break;
            };
            let request = host
                .user_request(Method::POST, &path, &token)
                .json(&json!({ "content": "flood" }));
            let counts = Arc::clone(&counts);
            tokio::spawn(async move {
                counts.rest_sent.fetch_add(1, Relaxed);
                if let Ok(response) = request.send().await {
                    let is_refused = response.status().as_u16() == 429;
                    counts.rest_refused.fetch_add(is_refused.into(), Relaxed);
                    // Read to the end, so that the connection is reused.
                    let _ = response.bytes().await;
                }
                drop(permit);
            });
        }
    }
}

async fn by_socket(dial: Dial, rate: f64, counts: Arc<Counts>) {
    let conversation = json!(dial.conversation).to_string();
    let frame = format!(
        r#"{{"id":"0","event":"message:send","data":{{"conversationId":{conversation},"content":"flood"}}}}"#
    );
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let Ok(mut socket) = connect(&dial).await else {
            sleep(COMEBACK).await;
            continue;
        };
        let mut due = Due::new(rate);
        loop {
            tokio::select! {
                heard = socket.next() => match heard {
                    Some(Ok(Message::Text(text))) => {
                        let is_refused = text.contains("\"RATE_LIMITED\"");
                        counts.socket_refused.fetch_add(is_refused.into(), Relaxed);
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
                _ = ticks.tick() => {
                    let count = due.take();
                    for _ in 0..count {
                        // An error shows at the next read.
                        let _ = socket.feed(Message::text(frame.as_str())).await;
                    }
                    counts.socket_sent.fetch_add(count, Relaxed);
                    let _ = timeout(COMEBACK, socket.flush()).await;
                }
            }
        }
        counts.socket_closed.fetch_add(1, Relaxed);
        sleep(COMEBACK).await;
    }
}

fn print_pairs(pairs: &[Pair], ratio: f64) {
    println!();
    let mut rows = vec![row([
        "pair",
        "p99 ms alone",
        "beside the flood",
        "ratio",
        "p50 ms alone",
        "beside",
        "flood sent",
        "refused",
        "closed",
    ])];
    for (number, pair) in pairs.iter().enumerate() {
        let ms = |value: f64| format!("{value:.2}");
        let flood = &pair.flood;
        rows.push(row([
            (number + 1).to_string(),
            ms(pair.alone.ack.p99_ms),
            ms(pair.beside.ack.p99_ms),
            ms(pair.ratio()),
            ms(pair.alone.ack.p50_ms),
            ms(pair.beside.ack.p50_ms),
            whole((flood.rest_sent + flood.socket_sent) as f64),
            whole((flood.rest_refused + flood.socket_refused) as f64),
            whole(flood.socket_closed as f64),
        ]));
    }
    table(&rows);
    println!();
    say(
        "median ratio",
        &format!("{ratio:.2} of the answers' p99 (target: at most {TARGET})"),
    );
    if pairs
        .iter()
        .any(|pair| pair.flood.rest_refused + pair.flood.socket_refused == 0)
    {
        say(
            "remedy",
            "no request of the flood was refused: RATE_LIMIT_MESSAGES of the service is off or very high",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_rate_misses_no_send_after_late_ticks() {
        let mut due = Due::new(1_000.0);
        due.started = Instant::now() - Duration::from_secs(2);
        let first = due.take();
        assert!(first >= 2_000, "{first}");
        assert!(due.take() < 100);
    }
}
