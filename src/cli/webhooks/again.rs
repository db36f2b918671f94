//! Repeated deliveries: dead letters, past events from the log, and test events.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

use super::{
    Which,
    progress::Progress,
    service::{Failure, Service, segment},
    show,
};

/// Maximum number of events that one request replays: small enough to show progress.
const STEP: u32 = 1000;
/// Time between two checks for the outcome.
const LOOK: Duration = Duration::from_millis(500);

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Ids of the dead letters to replay.
    #[arg(conflicts_with_all = ["endpoint", "kind", "since", "all"], required_unless_present_any = ["endpoint", "kind", "since", "all"])]
    letters: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Replay all dead letters of every endpoint.
    #[arg(long)]
    all: bool,
    /// Wait up to this many seconds for the deliveries, and fail if some are still missing.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait: u64,
}

/// Arguments of `backfill`.
#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// Id of the endpoint.
    endpoint: String,
    /// Time of the first event to deliver, for example 2026-01-15T00:00:00.000Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: OffsetDateTime,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "the time must have the form 2026-01-15T00:00:00.000Z".to_owned())
}

/// Replays dead letters.
pub(super) async fn replay(
    service: &Service,
    args: &ReplayArgs,
    is_json: bool,
) -> Result<(), Failure> {
    let replayed = if args.letters.is_empty() {
        replay_all(service, &args.which, is_json).await?
    } else {
        for letter in &args.letters {
            let path = format!("/dead-letters/{}/replay", segment(letter));
            service.post(&path, None).await?;
        }
        args.letters.len() as u64
    };
    let left = match args.wait {
        0 => None,
        seconds => Some(wait(service, args, Duration::from_secs(seconds)).await?),
    };
    if is_json {
        show::one(&json!({ "replayed": replayed, "left": left }))?;
    } else {
        show::print(&match (replayed, left) {
            (0, _) => "no dead letters match\n".to_owned(),
            (_, None) => format!(
                "{replayed} dead letters are queued for delivery; each leaves the list when its endpoint accepts it\n"
            ),
            (_, Some(0)) => format!("{replayed} dead letters were delivered\n"),
            (_, Some(_)) => String::new(),
        })?;
    }
    match left.unwrap_or(0) {
        0 => Ok(()),
        left => Err(Failure::Refused(format!(
            "{} of the dead letters were not delivered within {} s; `chat-service webhooks list` shows the state of their endpoints",
            if left >= 100 {
                "100 or more".to_owned()
            } else {
                left.to_string()
            },
            args.wait
        ))),
    }
}

async fn replay_all(service: &Service, which: &Which, is_json: bool) -> Result<u64, Failure> {
    let progress = Progress::new("replayed", is_json);
    let mut body = json!({ "limit": STEP });
    for (name, value) in which.query() {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
    let mut replayed = 0;
    loop {
        let answer = service
            .post("/dead-letters/replay", Some(body.clone()))
            .await?;
        replayed += answer["replayed"].as_u64().unwrap_or(0);
        let remaining = answer["remaining"].as_u64().unwrap_or(0);
        if replayed > 0 {
            progress.at(replayed, replayed + remaining);
        }
        match answer["nextCursor"].as_str() {
            Some(cursor) => body["before"] = cursor.into(),
            None => break,
        }
    }
    progress.end();
    Ok(replayed)
}

/// Waits until the replayed events have left the list. Returns the number of events still listed; 100 means 100 or more.
async fn wait(service: &Service, args: &ReplayArgs, patience: Duration) -> Result<u64, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        let left = if args.letters.is_empty() {
            let query = args.which.query();
            let left = service.list("/dead-letters", "deadLetters", &query, 100);
            left.await?.as_array().map_or(0, Vec::len) as u64
        } else {
            let mut left = 0;
            for letter in &args.letters {
                let path = format!("/dead-letters/{}", segment(letter));
                left += u64::from(service.find(&path).await?.is_some());
            }
            left
        };
        if left == 0 || Instant::now() >= deadline {
            return Ok(left);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Delivers past events since a given time.
pub(super) async fn backfill(
    service: &Service,
    args: &BackfillArgs,
    is_json: bool,
) -> Result<(), Failure> {
    let progress = Progress::new("seconds of the log", is_json);
    let path = format!("/{}/backfill", segment(&args.endpoint));
    let since = args
        .since
        .to_offset(time::UtcOffset::UTC)
        .format(&Rfc3339)
        .map_err(|_| Failure::Refused("--since is out of range".to_owned()))?;
    let mut body = json!({ "since": since, "limit": STEP });
    let whole = seconds(OffsetDateTime::now_utc() - args.since);
    let mut replayed = 0;
    loop {
        let answer = service.post(&path, Some(body.clone())).await?;
        replayed += answer["replayed"].as_u64().unwrap_or(0);
        let up_to = answer["upTo"].as_str();
        let up_to = up_to.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        match answer["nextCursor"].as_str() {
            Some(cursor) => body["after"] = cursor.into(),
            None => break,
        }
        if let Some(up_to) = up_to {
            progress.at(seconds(up_to - args.since).min(whole), whole);
        }
    }
    progress.at(whole, whole);
    progress.end();
    if is_json {
        return show::one(&json!({ "replayed": replayed }));
    }
    show::print(&format!("{replayed} events are queued for delivery\n"))
}

fn seconds(span: time::Duration) -> u64 {
    u64::try_from(span.whole_seconds()).unwrap_or_default()
}

/// Sends a test event, and waits for its outcome.
pub(super) async fn test(
    service: &Service,
    endpoint: &str,
    wait: u64,
    is_json: bool,
) -> Result<(), Failure> {
    let sent = service
        .post(&format!("/{}/test", segment(endpoint)), None)
        .await?;
    let event = sent["eventId"].as_str().unwrap_or_default();
    let path = format!("/{}/deliveries/{event}/attempts", segment(endpoint));
    let deadline = Instant::now() + Duration::from_secs(wait);
    let attempts = loop {
        let found = service.find(&path).await?;
        if found.is_some() || Instant::now() >= deadline {
            break found.map_or(Value::Null, |mut found| found["attempts"].take());
        }
        tokio::time::sleep(LOOK).await;
    };
    if attempts.is_null() {
        return Err(Failure::Refused(format!(
            "the test event {event} was not attempted within {wait} s; an endpoint without a URL must pull it, any other needs a process with the role webhooks"
        )));
    }
    let is_taken = attempts
        .as_array()
        .and_then(|attempts| attempts.last())
        .is_some_and(|last| last["error"].is_null());
    if !is_json {
        show::print(&format!("event {event}\n"))?;
    }
    show::list(is_json, attempts, show::ATTEMPTS)?;
    if is_taken {
        Ok(())
    } else {
        Err(Failure::Refused(
            "the endpoint did not accept it; it will be retried".to_owned(),
        ))
    }
}
