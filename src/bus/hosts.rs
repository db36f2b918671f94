//! Commands of hosts over NATS, as a NATS micro service: its tools can find it (`nats micro ls`) and read its description and statistics.
//!
//! The broker decides who may send: a host's account can publish to `<prefix>.api.<its name>.>` only. One of the subscribed processes answers. [`Commands`]
//! runs the command; this module is the transport.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, Message, Subscriber, header::HeaderValue};
use bytes::Bytes;
use futures_util::{StreamExt, stream::select_all};
use metrics::counter;
use parking_lot::Mutex;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Bus, BusError};
use crate::model::{
    bounds,
    host_commands::{Answer, Command, Commands},
};

/// Header with the user for whom the host acts.
const ACTING_HEADER: &str = "X-Acting-User";
/// Header with the host's id of the request.
const REQUEST_ID_HEADER: &str = "X-Request-Id";
/// Header with the HTTP status of the answer.
const STATUS_HEADER: &str = "Chat-Status";
/// Header with the time until the next attempt.
const RETRY_HEADER: &str = "Retry-After";
/// Header that replaces a body larger than a message; it holds the body's size in bytes.
const OMITTED_HEADER: &str = "Chat-Body-Omitted";
/// Header with the error code and text, for the tools of micro services.
const ERROR_CODE_HEADER: &str = "Nats-Service-Error-Code";
const ERROR_HEADER: &str = "Nats-Service-Error";
/// Queue group of the processes that share the work.
const QUEUE: &str = "api";
/// Maximum number of commands that this process runs concurrently.
const CONCURRENCY: usize = 256;
/// Size of a description without its endpoints, in bytes.
const DESCRIPTION_BYTES: usize = 1024;
/// Pause before subscribing again after a fault.
const PAUSE: Duration = Duration::from_secs(1);

/// Statistics of one command.
#[derive(Debug, Clone, Default)]
struct EndpointStats {
    requests: u64,
    errors: u64,
    time: Duration,
    last_error: String,
}

/// The micro service of this process.
struct Service {
    bus: Bus,
    hosts: Vec<String>,
    commands: Arc<dyn Commands>,
    id: String,
    started: OffsetDateTime,
    stats: Mutex<BTreeMap<(String, &'static str), EndpointStats>>,
}

/// Serves the commands of `hosts` until `stop`, then finishes those in flight.
pub async fn serve(
    bus: Bus,
    hosts: Vec<String>,
    commands: Arc<dyn Commands>,
    stop: CancellationToken,
) {
    if hosts.is_empty() {
        return;
    }
    let service = Arc::new(Service {
        bus,
        hosts,
        commands,
        id: ulid::Ulid::generate().to_string(),
        started: OffsetDateTime::now_utc(),
        stats: Mutex::default(),
    });
    let in_flight = TaskTracker::new();
    while !stop.is_cancelled() {
        if let Err(error) = service.listen(&in_flight, &stop).await {
            tracing::warn!(%error, "could not subscribe to commands of hosts; trying again");
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
    in_flight.close();
    in_flight.wait().await;
    // The last answers may still be in the client's buffer.
    let _ = service.bus.client.flush().await;
}

impl Service {
    async fn listen(
        self: &Arc<Self>,
        in_flight: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        let mut asked = Vec::new();
        for subject in self.discovery() {
            asked.push(self.bus.client.subscribe(subject).await.map_err(failed)?);
        }
        let mut taken = Vec::new();
        for host in &self.hosts {
            let subject = self.bus.subjects.host_commands(host);
            let queue = QUEUE.to_owned();
            let subscribed = self.bus.client.queue_subscribe(subject, queue).await;
            taken.push(subscribed.map_err(failed)?);
        }
        let slots = Arc::new(Semaphore::new(CONCURRENCY));
        let (mut asked, mut taken) = (select_all(asked), select_all(taken));
        loop {
            tokio::select! {
                message = asked.next() => match message {
                    Some(message) => self.describe(message).await,
                    None => return Ok(()),
                },
                message = taken.next() => {
                    let Some(message) = message else { return Ok(()) };
                    let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
                    let service = Arc::clone(self);
                    in_flight.spawn(async move {
                        service.carry_out(message).await;
                        drop(slot);
                    });
                }
                () = stop.cancelled() => break,
            }
        }
        // Commands that have arrived are still answered here: no other process has them. A command that the broker sends at this very moment may be lost, because
        // the client drops a subscription before the broker does; the host repeats a request without an answer, as any NATS request.
        for subscriber in taken.iter_mut() {
            let _ = Subscriber::drain(subscriber).await;
        }
        while let Some(message) = taken.next().await {
            let service = Arc::clone(self);
            in_flight.spawn(async move { service.carry_out(message).await });
        }
        Ok(())
    }

    async fn carry_out(&self, message: Message) {
        let Some((host, name)) = self.bus.subjects.command_of(&message.subject) else {
            return;
        };
        let header = |name: &str| {
            let value = message.headers.as_ref()?.get(name)?;
            Some(value.as_str().to_owned())
        };
        let started = Instant::now();
        let answer = self
            .commands
            .answer(Command {
                name: name.to_owned(),
                acting_user: header(ACTING_HEADER),
                request_id: header(REQUEST_ID_HEADER),
                payload: message.payload.clone(),
            })
            .await;
        self.count(host, name, &answer, started.elapsed());
        if let Some(reply) = message.reply.clone() {
            let mut headers = headers(&answer);
            let mut body = answer.body;
            if body.len() > bounds::NATS_GROUP {
                // The command has been run, so its status stands. With the full body the server would refuse the answer, and the host would receive nothing.
                headers.insert(OMITTED_HEADER, body.len().to_string());
                body = Bytes::from_static(b"{}");
            }
            let sent = self.bus.client.publish_with_headers(reply, headers, body);
            if let Err(error) = sent.await {
                tracing::debug!(%error, "an answer to a host could not be sent");
            }
        }
    }

    fn count(&self, host: &str, name: &str, answer: &Answer, time: Duration) {
        let outcome = if answer.is_error() { "refused" } else { "done" };
        counter!("chat_host_commands_total", "host" => host.to_owned(), "outcome" => outcome)
            .increment(1);
        // Unknown command names get no statistics of their own.
        let all = self.commands.described();
        let Some(known) = all.iter().find(|known| known.name == name) else {
            return;
        };
        let mut stats = self.stats.lock();
        let endpoint = stats.entry((host.to_owned(), known.name)).or_default();
        endpoint.requests += 1;
        endpoint.time += time;
        if answer.is_error() {
            endpoint.errors += 1;
            endpoint.last_error = format!("{}:{}", answer.status, error_text(answer));
        }
    }

    /// Returns the discovery subjects.
    ///
    /// `$SRV.PING`, `$SRV.PING.<name>`, `$SRV.PING.<name>.<id>`, and the same for the other verbs of the protocol.
    fn discovery(&self) -> Vec<String> {
        let name = self.bus.subjects.prefix();
        ["PING", "INFO", "STATS"]
            .into_iter()
            .flat_map(|verb| {
                [
                    format!("$SRV.{verb}"),
                    format!("$SRV.{verb}.{name}"),
                    format!("$SRV.{verb}.{name}.{}", self.id),
                ]
            })
            .collect()
    }

    async fn describe(&self, message: Message) {
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let verb = message.subject.split('.').nth(1).unwrap_or_default();
        let mut answer = json!({
            "name": self.bus.subjects.prefix(), "id": self.id, "version": env!("CARGO_PKG_VERSION"),
            "metadata": {},
        });
        let kind = match verb {
            "INFO" => {
                answer["description"] = json!("Chat Service: commands of hosts");
                answer["endpoints"] = self.endpoints(|_, _| Value::Null);
                "info"
            }
            "STATS" => {
                answer["started"] = json!(self.started.format(&Rfc3339).unwrap_or_default());
                let stats = self.stats.lock().clone();
                answer["endpoints"] = self.endpoints(|host, name| {
                    let endpoint = stats.get(&(host.to_owned(), name));
                    statistics(endpoint.cloned().unwrap_or_default())
                });
                "stats"
            }
            _ => "ping",
        };
        answer["type"] = json!(format!("io.nats.micro.v1.{kind}_response"));
        let text = answer.to_string();
        let _ = self.bus.client.publish(reply, text.into()).await;
    }

    /// Returns one item per host and command, extended with the fields of `more`.
    fn endpoints(&self, more: impl Fn(&str, &'static str) -> Value) -> Value {
        let commands = self.commands.described();
        let mut lines = Vec::with_capacity(self.hosts.len() * commands.len());
        let mut bytes = 0;
        'all: for host in &self.hosts {
            for command in &commands {
                let mut line = json!({
                    "name": command.name.replace('.', "-"),
                    "subject": self.bus.subjects.host_command(host, command.name),
                    "queue_group": QUEUE,
                    "metadata": { "host": host, "about": command.about },
                });
                if let (Value::Object(line), Value::Object(more)) =
                    (&mut line, more(host, command.name))
                {
                    line.extend(more);
                }
                bytes += chat_sdk::json_len(&line) + 1;
                // With very many hosts the tools see only the first ones: more do not fit into a message.
                if bytes > bounds::NATS_GROUP - DESCRIPTION_BYTES {
                    break 'all;
                }
                lines.push(line);
            }
        }
        Value::Array(lines)
    }
}

fn failed(error: impl std::fmt::Display) -> BusError {
    BusError::Connect(error.to_string())
}

fn statistics(endpoint: EndpointStats) -> Value {
    let nanoseconds = u64::try_from(endpoint.time.as_nanos()).unwrap_or(u64::MAX);
    json!({
        "num_requests": endpoint.requests,
        "num_errors": endpoint.errors,
        "last_error": endpoint.last_error,
        "processing_time": nanoseconds,
        "average_processing_time": nanoseconds.checked_div(endpoint.requests).unwrap_or_default(),
    })
}

fn headers(answer: &Answer) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut insert = |name: &str, text: String| {
        if let Ok(value) = text.parse::<HeaderValue>() {
            headers.insert(name, value);
        }
    };
    insert(STATUS_HEADER, answer.status.to_string());
    if let Some(seconds) = &answer.retry_after {
        insert(RETRY_HEADER, seconds.clone());
    }
    if let Some(id) = &answer.request_id {
        insert(REQUEST_ID_HEADER, id.clone());
    }
    if answer.is_error() {
        insert(ERROR_CODE_HEADER, answer.status.to_string());
        insert(ERROR_HEADER, error_text(answer));
    }
    headers
}

/// Returns the text of an error, on one line.
fn error_text(answer: &Answer) -> String {
    #[derive(serde::Deserialize)]
    struct ErrorBody {
        message: String,
    }
    let message = serde_json::from_slice(&answer.body).map_or_else(
        |_| "refused".to_owned(),
        |refusal: ErrorBody| refusal.message,
    );
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
    message
        .chars()
        .map(|c| if is_plain(c) { c } else { '?' })
        .collect()
}
