//! A client's socket. A separate task reads every frame, as a good client does.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc, time::Instant};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        client::IntoClientRequest,
        handshake::client::{Request, Response},
        http::HeaderValue,
    },
};

use super::record;

/// Maximum time to wait for anything that must arrive.
const LIMIT: Duration = Duration::from_secs(10);

/// The place where a client puts its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenBy {
    /// `Authorization: Bearer`.
    #[default]
    Header,
    /// `Sec-WebSocket-Protocol: chat.v1, bearer.<jwt>`.
    Protocol,
    /// `?token=`.
    Query,
    /// The first frame.
    FirstFrame,
    /// No token.
    Nothing,
}

/// Settings of a connection.
#[derive(Debug, Clone, Default)]
pub struct Connect {
    /// The place of the token in the request.
    pub token_by: TokenBy,
    /// The token; `None` for the user's own.
    pub token: Option<String>,
    /// The cursor to resume after.
    pub resume: Option<String>,
    /// The origin of the web page that connects.
    pub origin: Option<String>,
    /// The internal secret, which the host's own client presents beside the token.
    pub internal_secret: Option<String>,
}

/// The kind of a refused connection.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectError {
    /// Refused with the status of the upgrade.
    Status(u16, Value),
    /// Closed with a code after the upgrade.
    Closed(u16),
    /// No service was reached, or the connection broke.
    Broken,
}

/// A socket; after its end, the frames that were not taken yet.
pub struct Socket {
    /// The `data` of the event `connected`.
    pub connected: Value,
    /// The subprotocol in the answer to the upgrade.
    pub subprotocol: Option<String>,
    out: mpsc::UnboundedSender<Message>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    waiting: VecDeque<Value>,
    cursor: Option<String>,
    code: Option<u16>,
    next_id: u64,
    /// URL of the connection.
    url: String,
    /// Commands that were not answered yet, by their ids.
    asked: HashMap<String, String>,
    task: tokio::task::JoinHandle<()>,
    /// Everything that ever came, for the report of a failure.
    past: Arc<Mutex<Vec<Value>>>,
}

enum Arrival {
    Frame(Value),
    Closed(u16),
}

/// The request of a switch.
pub fn request(url: &str, how: &Connect) -> Request {
    let mut url = url::Url::parse(url).expect("an address");
    let token = how.token.clone().unwrap_or_default();
    if how.token_by == TokenBy::Query {
        url.query_pairs_mut().append_pair("token", &token);
    }
    if let Some(resume) = how
        .resume
        .as_ref()
        .filter(|_| how.token_by != TokenBy::FirstFrame)
    {
        url.query_pairs_mut().append_pair("resume", resume);
    }
    let mut request = url.as_str().into_client_request().expect("a request");
    let headers = request.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).expect("a header");
    if how.token_by == TokenBy::Header {
        headers.insert("Authorization", value(&format!("Bearer {token}")));
    }
    let protocols = match how.token_by {
        TokenBy::Protocol => format!("chat.v1, bearer.{token}"),
        _ => "chat.v1".to_owned(),
    };
    headers.insert("Sec-WebSocket-Protocol", value(&protocols));
    if let Some(origin) = &how.origin {
        headers.insert("Origin", value(origin));
    }
    if let Some(secret) = &how.internal_secret {
        headers.insert("X-Internal-Secret", value(secret));
    }
    request
}

/// Upgrades a connection without reading from it.
///
/// # Errors
/// [`ConnectError::Status`] or [`ConnectError::Broken`].
pub async fn switch(
    url: &str,
    how: &Connect,
) -> Result<(WebSocketStream<TcpStream>, Response), ConnectError> {
    let request = request(url, how);
    let authority = request.uri().authority().expect("an address").to_string();
    let stream = TcpStream::connect(authority)
        .await
        .map_err(|_| ConnectError::Broken)?;
    stream.set_nodelay(true).expect("an option");
    match tokio_tungstenite::client_async(request, stream).await {
        Ok(switched) => Ok(switched),
        Err(WsError::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Err(ConnectError::Status(response.status().as_u16(), body))
        }
        Err(_) => Err(ConnectError::Broken),
    }
}

impl Socket {
    /// Connects, and waits for `connected`. Frames before it (missed entries) stay queued.
    ///
    /// # Errors
    /// The refusal, as a [`ConnectError`].
    pub async fn connect(url: &str, how: Connect) -> Result<Self, ConnectError> {
        let mut socket = Self::open(url, &how).await?;
        if how.token_by == TokenBy::FirstFrame {
            let mut data = json!({ "token": how.token });
            if let Some(resume) = how.resume {
                data["resume"] = json!(resume);
            }
            socket.post("authenticate", data);
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match tokio::time::timeout_at(deadline, socket.arrivals.recv()).await {
                Ok(Some(Arrival::Frame(frame))) if frame["event"] == "connected" => {
                    socket.connected = frame["data"].clone();
                    socket.record(&frame);
                    socket.note_cursor(&frame["data"]["cursor"]);
                    return Ok(socket);
                }
                Ok(Some(Arrival::Frame(frame))) => {
                    socket.record(&frame);
                    socket.note_cursor(&frame["cursor"]);
                    socket.waiting.push_back(frame);
                }
                Ok(Some(Arrival::Closed(code))) => return Err(ConnectError::Closed(code)),
                Ok(None) => return Err(ConnectError::Broken),
                Err(_) => panic!("neither connected nor refused: {}", socket.report()),
            }
        }
    }

    /// Upgrades a connection without waiting for a frame.
    ///
    /// # Errors
    /// The refusal, as a [`ConnectError`].
    pub async fn open(url: &str, how: &Connect) -> Result<Self, ConnectError> {
        let (ws, response) = switch(url, how).await?;
        let (out, outbox) = mpsc::unbounded_channel();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let past = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(ws, outbox, arrived, Arc::clone(&past)));
        let subprotocol = response.headers().get("Sec-WebSocket-Protocol");
        Ok(Self {
            connected: Value::Null,
            subprotocol: subprotocol
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            out,
            arrivals,
            waiting: VecDeque::new(),
            cursor: None,
            code: None,
            next_id: 1,
            url: url.to_owned(),
            asked: HashMap::new(),
            task,
            past,
        })
    }

    fn note_cursor(&mut self, cursor: &Value) {
        if let Some(cursor) = cursor.as_str().filter(|cursor| !cursor.is_empty()) {
            self.cursor = Some(cursor.to_owned());
        }
    }

    /// Sends a command and returns the `data` of its ack.
    pub async fn send(&mut self, event: &str, data: Value) -> Value {
        let id = self.post(event, data);
        self.ack(&id).await
    }

    /// Sends a frame that need not be a documented command, and returns the `data` of its ack.
    pub async fn send_unchecked(&mut self, event: &str, data: Value) -> Value {
        let id = self.post_unchecked(event, data);
        self.ack(&id).await
    }

    /// Sends a command that must succeed. Returns the `data` of its ack.
    pub async fn ok(&mut self, event: &str, data: Value) -> Value {
        let ack = self.send(event, data).await;
        assert_eq!(ack["success"], true, "{event} was refused: {ack}");
        ack
    }

    /// Sends a command that must be refused, perhaps because it is not as documented. Returns the error.
    pub async fn refused(&mut self, event: &str, data: Value) -> Value {
        let ack = self.send_unchecked(event, data).await;
        assert_eq!(ack["success"], false, "{event} was not refused: {ack}");
        assert!(
            ack["error"]["message"].is_string(),
            "an error has a message: {ack}"
        );
        ack["error"].clone()
    }

    /// Sends a command and returns its id, without waiting. The command must be as documented.
    #[track_caller]
    pub fn post(&mut self, event: &str, data: Value) -> String {
        crate::ws::check_command(&json!({ "event": event, "data": data }));
        self.post_unchecked(event, data)
    }

    /// Sends a frame that need not be a documented command, and returns its id.
    pub fn post_unchecked(&mut self, event: &str, data: Value) -> String {
        let id = self.next_id.to_string();
        self.next_id += 1;
        self.asked.insert(id.clone(), event.to_owned());
        self.raw(Message::text(
            json!({ "id": id, "event": event, "data": data }).to_string(),
        ));
        id
    }

    /// Sends any frame.
    pub fn raw(&self, message: Message) {
        let _ = self.out.send(message);
    }

    /// Waits for the ack of the command `id`. Returns its `data`.
    pub async fn ack(&mut self, id: &str) -> Value {
        let what = format!("the answer to command {id}");
        let frame = self
            .find(&what, |frame| frame["event"] == "ack" && frame["id"] == *id)
            .await;
        frame["data"].clone()
    }

    /// The next frame of `event`, whole. Other frames that arrive meanwhile stay queued.
    pub async fn next(&mut self, event: &str) -> Value {
        self.find(event, |frame| frame["event"] == *event).await
    }

    /// The next frame for which `is_wanted` is true.
    pub async fn find(&mut self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        self.find_within(LIMIT, what, is_wanted).await
    }

    /// The next frame for which `is_wanted` is true, within `limit`.
    pub async fn find_within(
        &mut self,
        limit: Duration,
        what: &str,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let index = self.position_within(limit, what, is_wanted).await;
        self.waiting.remove(index).expect("is there")
    }

    /// Returns the next frame of `event` and discards the frames before it.
    pub async fn skip_to(&mut self, event: &str) -> Value {
        let is_wanted = |frame: &Value| frame["event"] == *event;
        let index = self.position_within(LIMIT, event, is_wanted).await;
        self.waiting.drain(..=index).next_back().expect("is there")
    }

    async fn position_within(
        &mut self,
        limit: Duration,
        what: &str,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> usize {
        let deadline = Instant::now() + limit;
        let mut looked_at = 0;
        loop {
            while looked_at < self.waiting.len() {
                if is_wanted(&self.waiting[looked_at]) {
                    return looked_at;
                }
                looked_at += 1;
            }
            match tokio::time::timeout_at(deadline, self.arrivals.recv()).await {
                Ok(Some(arrival)) => self.take(arrival),
                Ok(None) => panic!(
                    "closed with {:?} before {what} came: {}",
                    self.code,
                    self.report()
                ),
                Err(_) => panic!("{what} did not come within {limit:?}: {}", self.report()),
            }
        }
    }

    /// Records `frame` and the command that it acknowledges.
    fn record(&mut self, frame: &Value) {
        let event = frame["event"].as_str().unwrap_or_default().to_owned();
        let asked = frame["id"].as_str().and_then(|id| self.asked.remove(id));
        let done = asked.filter(|_| event == "connected" || frame["data"]["success"] == true);
        record::note(&self.url, |record| {
            record.events.insert(event);
            record.commands.extend(done);
        });
    }

    fn take(&mut self, arrival: Arrival) {
        if let Arrival::Frame(frame) = &arrival {
            let command = frame["id"].as_str().and_then(|id| self.asked.get(id));
            match command.filter(|_| frame["event"] == "ack") {
                Some(command) => crate::ws::check_ack(command, frame),
                None => crate::ws::check_frame(frame),
            }
            self.record(frame);
        }
        match arrival {
            Arrival::Frame(frame) => {
                self.note_cursor(&frame["cursor"]);
                self.waiting.push_back(frame);
            }
            Arrival::Closed(code) => self.code = Some(code),
        }
    }

    /// The next frame of any kind; `None` when the socket is closed and nothing is left.
    pub async fn any(&mut self) -> Option<Value> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Some(frame);
            }
            let arrival = self.arrivals.recv().await?;
            self.take(arrival);
        }
    }

    /// Takes every frame that has arrived, including those that the node had queued at the time of the call.
    pub async fn drain(&mut self) -> Vec<Value> {
        let id = self.post("ping", json!({}));
        self.ack(&id).await;
        self.waiting.drain(..).collect()
    }

    /// True if the node still answers; false if the connection is gone. Frames that arrive meanwhile stay queued.
    pub async fn is_alive(&mut self) -> bool {
        let id = self.post("ping", json!({}));
        let deadline = Instant::now() + LIMIT;
        loop {
            match tokio::time::timeout_at(deadline, self.arrivals.recv()).await {
                Ok(Some(Arrival::Frame(frame)))
                    if frame["event"] == "ack" && frame["id"] == *id =>
                {
                    return true;
                }
                Ok(Some(arrival)) => self.take(arrival),
                Ok(None) => return false,
                Err(_) => panic!("neither answered nor closed: {}", self.report()),
            }
        }
    }

    /// Takes the frames that have arrived, without asking the node.
    pub fn take_arrived(&mut self) -> Vec<Value> {
        while let Ok(arrival) = self.arrivals.try_recv() {
            self.take(arrival);
        }
        self.waiting.drain(..).collect()
    }

    /// The newest cursor.
    #[track_caller]
    pub fn cursor(&self) -> String {
        self.cursor.clone().expect("a cursor")
    }

    /// Waits until the socket is closed. Returns the code; 1006 when there was none.
    pub async fn closed(&mut self) -> u16 {
        self.closed_within(LIMIT).await
    }

    /// Waits until the socket is closed, at most for `limit`.
    pub async fn closed_within(&mut self, limit: Duration) -> u16 {
        let deadline = Instant::now() + limit;
        loop {
            match tokio::time::timeout_at(deadline, self.arrivals.recv()).await {
                Ok(Some(arrival)) => self.take(arrival),
                Ok(None) => return self.code.unwrap_or(1006),
                Err(_) => panic!("was not closed within {limit:?}: {}", self.report()),
            }
        }
    }

    /// Disconnects silently, like a client that loses its network. Returns the frames that had arrived.
    pub fn vanish(mut self) -> Vec<Value> {
        self.task.abort();
        self.take_arrived()
    }

    fn report(&self) -> String {
        let past = self.past.lock();
        let lines: Vec<String> = past
            .iter()
            .rev()
            .take(30)
            .rev()
            .map(|frame| {
                let mut line = frame.to_string();
                line.truncate(line.floor_char_boundary(300));
                line
            })
            .collect();
        format!(
            "{} frames came, the last ones:\n{}",
            past.len(),
            lines.join("\n")
        )
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut ws: WebSocketStream<TcpStream>,
    mut outbox: mpsc::UnboundedReceiver<Message>,
    arrived: mpsc::UnboundedSender<Arrival>,
    past: Arc<Mutex<Vec<Value>>>,
) {
    loop {
        tokio::select! {
            message = ws.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("every frame is JSON");
                    past.lock().push(frame.clone());
                    let _ = arrived.send(Arrival::Frame(frame));
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| u16::from(frame.code));
                    let _ = arrived.send(Arrival::Closed(code));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            Some(message) = outbox.recv() => {
                if ws.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
}
