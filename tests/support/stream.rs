//! A client of the event stream, as a browser's `EventSource` understands it.

use std::{collections::VecDeque, time::Duration};

use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};

use super::{Node, User};

/// Maximum time to wait for anything that must arrive.
const LIMIT: Duration = Duration::from_secs(10);

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its own id; `None` when it had none.
    pub id: Option<String>,
    /// Its data.
    pub data: Value,
}

/// The content of a stream's text, which may end anywhere.
#[derive(Debug, Default)]
pub struct Parser {
    rest: String,
    /// The id of the last block that had one, also of one without an event.
    pub last_id: Option<String>,
    /// Time that the server asks to wait before the next connection, in milliseconds.
    pub retry: Option<u64>,
    /// Number of comments received.
    pub comments: usize,
}

impl Parser {
    /// Adds text. Returns the events that are complete now.
    pub fn take(&mut self, text: &str) -> Vec<Event> {
        self.rest.push_str(text);
        let mut events = Vec::new();
        while let Some(end) = self.rest.find("\n\n") {
            let block: String = self.rest.drain(..end + 2).collect();
            events.extend(self.block(&block));
        }
        events
    }

    fn block(&mut self, block: &str) -> Option<Event> {
        let (mut name, mut id, mut data) = (None, None, Vec::new());
        for line in block.lines() {
            match line.split_once(':') {
                Some(("", _)) => self.comments += 1,
                Some((field, value)) => {
                    let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
                    match field {
                        "event" => name = Some(value),
                        "id" => id = Some(value),
                        "data" => data.push(value),
                        "retry" => self.retry = value.parse().ok(),
                        other => panic!("the field {other} is none of a stream: {block}"),
                    }
                }
                None => assert!(line.is_empty(), "{line} is no line of a stream"),
            }
        }
        if id.is_some() {
            self.last_id.clone_from(&id);
        }
        let data = Some(data).filter(|data| !data.is_empty())?;
        Some(Event {
            name: name.expect("every event has a name"),
            id,
            data: serde_json::from_str(&data.join("\n")).expect("the data is JSON"),
        })
    }
}

/// An open stream. A separate task reads whatever arrives.
pub struct EventStream {
    parser: Parser,
    arrivals: mpsc::UnboundedReceiver<String>,
    waiting: VecDeque<Event>,
    /// The answer's headers.
    pub headers: reqwest::header::HeaderMap,
    task: tokio::task::JoinHandle<()>,
}

impl EventStream {
    /// Opens a stream at `base` (an address without a path) with `headers` and a query.
    ///
    /// # Errors
    /// The status and body of a refusal.
    pub async fn open(
        base: &str,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, (u16, Value)> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let mut request = http.get(format!("{base}/api/events{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        if status != 200 {
            let body = response.text().await.unwrap_or_default();
            return Err((status, serde_json::from_str(&body).expect("JSON")));
        }
        assert_eq!(headers["content-type"], "text/event-stream");
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut bytes = Vec::new();
            while let Ok(Some(chunk)) = response.chunk().await {
                bytes.extend_from_slice(&chunk);
                // A chunk may end inside a character.
                let whole = match std::str::from_utf8(&bytes) {
                    Ok(text) => text.len(),
                    Err(error) => error.valid_up_to(),
                };
                let rest = bytes.split_off(whole);
                let text = String::from_utf8(bytes).expect("was checked");
                let _ = arrived.send(text);
                bytes = rest;
            }
        });
        Ok(Self {
            parser: Parser::default(),
            arrivals,
            waiting: VecDeque::new(),
            headers,
            task,
        })
    }

    /// The stream of `user` at the sockets' port of `node`, connected. Also returns the events before `connected`.
    pub async fn follow(node: &Node, user: &User, resume: Option<&str>) -> (Self, Vec<Event>) {
        let bearer = format!("Bearer {}", user.token);
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(resume.map(|cursor| ("Last-Event-ID", cursor)));
        let mut stream = Self::open(&node.ws_base(), "", &headers)
            .await
            .unwrap_or_else(|refusal| panic!("refused: {refusal:?}"));
        let mut missed = Vec::new();
        loop {
            let event = stream.next().await.expect("an event before connected");
            if event.name == "connected" {
                return (stream, missed);
            }
            missed.push(event);
        }
    }

    /// The next event; `None` when the stream is over.
    pub async fn next(&mut self) -> Option<Event> {
        let deadline = Instant::now() + LIMIT;
        while self.waiting.is_empty() {
            match tokio::time::timeout_at(deadline, self.arrivals.recv()).await {
                Ok(Some(text)) => self.waiting.extend(self.parser.take(&text)),
                Ok(None) => return None,
                Err(_) => panic!("no event came within {LIMIT:?}"),
            }
        }
        self.waiting.pop_front()
    }

    /// The next event with this name; others are passed over.
    pub async fn find(&mut self, name: &str) -> Event {
        loop {
            match self.next().await {
                Some(event) if event.name == name => return event,
                Some(_) => {}
                None => panic!("the stream ended before {name} came"),
            }
        }
    }

    /// Reads, within `limit`, until `is_enough` is true for the content apart from events.
    pub async fn read_until(&mut self, limit: Duration, is_enough: impl Fn(&Parser) -> bool) {
        let deadline = Instant::now() + limit;
        while !is_enough(&self.parser) {
            let text = tokio::time::timeout_at(deadline, self.arrivals.recv()).await;
            let text = text.expect("it comes in time").expect("the stream goes on");
            let events = self.parser.take(&text);
            self.waiting.extend(events);
        }
    }

    /// The id from which a browser would resume.
    pub fn last_id(&self) -> String {
        self.parser.last_id.clone().expect("an id")
    }

    /// The pause that was asked for.
    pub fn retry(&self) -> Option<u64> {
        self.parser.retry
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}
