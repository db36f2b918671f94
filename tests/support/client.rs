//! HTTP clients of a host's backend and its users.

use std::{
    fmt,
    ops::Deref,
    time::{Duration, Instant},
};

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

use super::{
    record,
    socket::{Connect, ConnectError, Socket},
    token::Token,
};

/// Maximum time for which a request that is answered with 503 is repeated.
const REPEATED_FOR: Duration = Duration::from_secs(60);

/// A client of one service.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    headers: Vec<(String, String)>,
}

/// The answer to a request.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null if there was none or if it was not JSON.
    pub json: Value,
    /// The body as it came.
    pub text: String,
    /// The headers.
    pub headers: HeaderMap,
    request: String,
}

/// An HTTP client of its own, for servers other than the service.
pub fn http_client() -> reqwest::Client {
    // The provider of TLS belongs to the process; another test may have set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

impl Client {
    pub(super) fn new(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(15))
            .no_proxy()
            .build()
            .expect("a client");
        Self {
            http,
            base: base.to_owned(),
            headers: Vec::new(),
        }
    }

    /// The same client with one more header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client
            .headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// A client of the host's backend that acts for `user`.
    pub fn acting_for(&self, user: &str) -> Self {
        self.with("X-Acting-User", user)
    }

    pub(super) fn at(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            ..self.clone()
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path, Some(body)).await
    }

    /// POST with a JSON body that may be repeated, as the documents ask of clients: after a 503 the client waits for `Retry-After` and asks again.
    pub async fn post_repeating(&self, path: &str, body: Value) -> Answer {
        let deadline = Instant::now() + REPEATED_FOR;
        loop {
            let answer = self.post(path, body.clone()).await;
            if answer.status != 503 || Instant::now() > deadline {
                return answer;
            }
            let seconds = answer.header("Retry-After").parse().unwrap_or(1);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PATCH, path, Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, None).await
    }

    /// Any request, with or without a JSON body.
    pub async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let text = body.map(|body| body.to_string());
        self.send(method, path, "application/json", text).await
    }

    /// Any request with any body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<String>,
    ) -> Answer {
        let label = format!("{method} {path}");
        self.try_send(method, path, content_type, body)
            .await
            .unwrap_or_else(|error| panic!("{label} was not answered: {error:?}"))
    }

    /// A POST that may fail to connect, because the service may be dying.
    ///
    /// # Errors
    /// The request got no answer.
    pub async fn try_post(&self, path: &str, body: Value) -> reqwest::Result<Answer> {
        self.try_send(
            Method::POST,
            path,
            "application/json",
            Some(body.to_string()),
        )
        .await
    }

    /// A GET that may get no answer in time. Returns the status.
    ///
    /// # Errors
    /// The request got no answer.
    pub async fn try_get(&self, path: &str) -> reqwest::Result<u16> {
        let answer = self.try_send(Method::GET, path, "", None).await?;
        Ok(answer.status)
    }

    async fn try_send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<String>,
    ) -> reqwest::Result<Answer> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", content_type).body(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        // A stream of events has no end to wait for; tests of its own read it.
        let is_stream = headers
            .get("content-type")
            .is_some_and(|kind| kind == "text/event-stream");
        let text = if is_stream {
            String::new()
        } else {
            response.text().await?
        };
        let kind = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok());
        crate::api::check_contract(method.as_str(), path, status, kind, text.as_bytes());
        if status < 300
            && let Some(operation) = crate::api::operation_id(method.as_str(), path)
        {
            record::note(&self.base, |record| {
                record.operations.insert(operation);
            });
        }
        Ok(Answer {
            status,
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
            headers,
            request: format!("{method} {path}"),
        })
    }
}

impl Answer {
    /// The body, if the status is `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.json
    }

    /// The body of an error, if the status is `status` and the body has the shape of all errors with this `code`.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.json["statusCode"], json!(status), "{self}");
        assert_eq!(self.json["code"], code, "{self}");
        assert!(
            self.json["error"].is_string() && self.json["message"].is_string(),
            "{self}"
        );
        self.json
    }

    /// A header as text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} was answered {}: {}",
            self.request, self.status, self.text
        )
    }
}

/// A user with a token; a client of their own.
#[derive(Clone)]
pub struct User {
    /// The host's id of them.
    pub id: String,
    /// Their token.
    pub token: String,
    client: Client,
    ws_url: String,
}

impl Deref for User {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl User {
    pub(super) fn new(id: &str, client: &Client, ws_url: &str) -> Self {
        let token = Token::of(id).sign();
        Self {
            id: id.to_owned(),
            client: client.with("Authorization", &format!("Bearer {token}")),
            token,
            ws_url: ws_url.to_owned(),
        }
    }

    /// The same user, with another node.
    pub fn at(&self, node: &super::Node) -> Self {
        Self {
            client: self.client.at(node.api_url()),
            ws_url: node.ws_url().to_owned(),
            ..self.clone()
        }
    }

    /// The same user's REST at `api`, their sockets at `ws`.
    pub fn between(&self, api: &super::Node, ws: &super::Node) -> Self {
        Self {
            client: self.client.at(api.api_url()),
            ws_url: ws.ws_url().to_owned(),
            ..self.clone()
        }
    }

    /// A socket, connected.
    pub async fn connect(&self) -> Socket {
        self.connect_with(Connect::default()).await
    }

    /// A socket that resumes after `cursor`, connected.
    pub async fn resume(&self, cursor: &str) -> Socket {
        self.connect_with(Connect {
            resume: Some(cursor.to_owned()),
            ..Connect::default()
        })
        .await
    }

    /// A socket, connected in the given way.
    pub async fn connect_with(&self, how: Connect) -> Socket {
        match self.try_connect(how).await {
            Ok(socket) => socket,
            Err(refusal) => panic!("{} could not connect: {refusal:?}", self.id),
        }
    }

    /// A socket, or how it was refused.
    ///
    /// # Errors
    /// The refusal.
    pub async fn try_connect(&self, mut how: Connect) -> Result<Socket, ConnectError> {
        how.token.get_or_insert_with(|| self.token.clone());
        Socket::connect(&self.ws_url, how).await
    }

    /// Sends a text to a conversation over REST. Returns the message.
    pub async fn say(&self, conversation: &str, content: &str) -> Value {
        self.post(
            &format!("/api/conversations/{conversation}/messages"),
            json!({ "content": content }),
        )
        .await
        .expect(201)
    }

    /// All messages of a conversation that this user may read, oldest first.
    pub async fn history(&self, conversation: &str) -> Vec<Value> {
        let path = format!("/api/conversations/{conversation}/messages?limit=100");
        let mut all = Vec::new();
        let mut page = self.get(&path).await.expect(200);
        loop {
            all.extend(
                page["messages"]
                    .as_array()
                    .expect("messages")
                    .iter()
                    .cloned(),
            );
            if page["hasMore"] != true {
                break;
            }
            let cursor = page["nextCursor"]
                .as_str()
                .expect("a cursor while there is more");
            page = self
                .get(&format!("{path}&before={cursor}"))
                .await
                .expect(200);
        }
        all.reverse();
        all
    }
}
