//! Prepares a run over REST as a host's backend would (users, conversations), and opens the sockets of its users.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::cpu::open_files_limit;
use super::report::say;
use super::run::Run;
use super::socket::{Command, Dial, Journal, serve};
use super::{TargetArgs, Via};

/// Maximum number of concurrent requests or connection attempts.
pub(super) const MAX_CONCURRENT: usize = 64;

/// Time limit for connecting all sockets.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// Explanation printed if a rate limit refuses a request.
pub(super) const RATE_HINT: &str = "the service lifts its limits for the internal secret, so this one is nginx's, \
    which limits addresses other than loopback, or that of a service of an older version";

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Connection to the service, with the credentials of a host's backend.
pub(super) struct Host {
    http: reqwest::Client,
    api: Vec<String>,
    ws: Vec<String>,
    nodes: Vec<String>,
    internal_secret: String,
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Host {
    /// Reads the addresses and secrets.
    ///
    /// # Errors
    /// If a secret is missing or the bench cannot use an address.
    pub fn new(target: &TargetArgs) -> anyhow::Result<Self> {
        let set = |secret: &Option<String>| secret.clone().filter(|text| !text.is_empty());
        let jwt_secret = set(&target.jwt_secret).context(
            "AUTH_JWT_SECRET is not set; the bench signs the tokens of its users with it",
        )?;
        let internal_secret = set(&target.internal_secret)
            .context("INTERNAL_API_SECRET is not set; the bench syncs its users with it")?;
        let clean = |urls: &[String]| -> Vec<String> {
            let urls = urls.iter().map(|url| url.trim().trim_end_matches('/'));
            urls.filter(|url| !url.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let nodes = clean(&target.api_urls);
        let (api, ws) = match target.via {
            Via::Nginx => (
                clean(std::slice::from_ref(&target.base_url)),
                clean(std::slice::from_ref(&target.ws_url)),
            ),
            Via::Direct => (nodes.clone(), clean(&target.ws_urls)),
        };
        if api.is_empty() || ws.is_empty() {
            bail!(
                "no address of the service; set CHAT_BENCH_API_URLS and CHAT_BENCH_WS_URLS, or BASE_URL and WS_URL with --via nginx"
            );
        }
        if let Some(url) = ws.iter().find(|url| !url.starts_with("ws://")) {
            bail!(
                "{url} is not a ws:// address; the bench does not support TLS, so use the address behind the TLS proxy"
            );
        }
        Ok(Self {
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(30))
                .tcp_nodelay(true)
                .build()?,
            api,
            ws,
            nodes,
            internal_secret,
            key: EncodingKey::from_secret(jwt_secret.as_bytes()),
            issuer: set(&target.jwt_issuer),
            audience: set(&target.jwt_audience),
        })
    }

    /// Returns the WebSocket address for the n-th socket: all nodes in turn.
    pub fn ws_url(&self, n: usize) -> String {
        self.ws[n % self.ws.len()].clone()
    }

    /// Prints that the rate limits are lifted, and returns the secret that lifts them.
    pub fn lift_limits(&self) -> String {
        say(
            "rate limits",
            "lifted for the benchmark's users by the internal secret",
        );
        self.internal_secret.clone()
    }

    /// Returns the addresses in use, for the report.
    pub fn addresses(&self) -> String {
        format!("{} and {}", self.api.join(" "), self.ws.join(" "))
    }

    /// Returns a token of this user, valid for two hours.
    pub fn token(&self, user: &str) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = Claims {
            sub: user,
            iat: now,
            exp: now + 7_200,
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
        };
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &claims,
            &self.key,
        )?)
    }

    /// Returns host and port of the first REST address, for a bare connection.
    pub fn address(&self) -> String {
        let url = &self.api[0];
        let authority = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        if authority.contains(':') {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        }
    }

    fn url(&self, n: usize, path: &str) -> String {
        format!("{}{path}", self.api[n % self.api.len()])
    }

    /// Returns a request of the host's backend to the n-th node.
    fn request(&self, n: usize, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, self.url(n, path))
            .header("X-Internal-Secret", &self.internal_secret)
    }

    /// Syncs the users to the service, 1,000 per request.
    pub async fn sync_users(&self, users: &[String]) -> anyhow::Result<()> {
        stream::iter(users.chunks(1_000).enumerate())
            .map(|(n, chunk)| async move {
                let users: Vec<Value> = chunk
                    .iter()
                    .map(|user| json!({ "externalUserId": user, "name": user }))
                    .collect();
                let request = self
                    .request(n, Method::POST, "/api/users/sync/batch")
                    .json(&json!({ "users": users }));
                answer(request, "sync users").await.map(drop)
            })
            .buffer_unordered(4)
            .try_collect()
            .await
    }

    /// Creates a group and returns its id.
    pub async fn create_group(
        &self,
        n: usize,
        creator: &str,
        members: &[String],
    ) -> anyhow::Result<String> {
        let body =
            json!({ "type": "group", "participantIds": members, "name": format!("bench {n}") });
        self.create_conversation(n, creator, body).await
    }

    /// Creates a conversation and returns its id.
    pub async fn create_conversation(
        &self,
        n: usize,
        creator: &str,
        body: Value,
    ) -> anyhow::Result<String> {
        let request = self.request(n, Method::POST, "/api/conversations");
        let conversation = answer(
            acting(request, creator).json(&body),
            "create a conversation",
        )
        .await?;
        match conversation["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => bail!("create a conversation: the response has no id"),
        }
    }

    /// Adds members to a group.
    pub async fn add_participants(
        &self,
        conversation: &str,
        creator: &str,
        members: &[String],
    ) -> anyhow::Result<()> {
        let path = format!("/api/conversations/{conversation}/participants");
        let request = acting(self.request(0, Method::POST, &path), creator);
        let request = request.json(&json!({ "userIds": members }));
        answer(request, "add participants").await.map(drop)
    }

    /// Returns a user's own request, subject to the rate limits.
    pub fn user_request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.http
            .request(method, self.url(0, path))
            .bearer_auth(token)
    }

    /// Sends a text of `user` over REST.
    pub async fn send(
        &self,
        n: usize,
        user: &str,
        conversation: &str,
        content: &str,
    ) -> anyhow::Result<()> {
        self.send_message(n, user, conversation, &json!({ "content": content }))
            .await
    }

    /// Sends a message of `user` over REST.
    pub async fn send_message(
        &self,
        n: usize,
        user: &str,
        conversation: &str,
        message: &Value,
    ) -> anyhow::Result<()> {
        let path = format!("/api/conversations/{conversation}/messages");
        let request = acting(self.request(n, Method::POST, &path), user).json(message);
        answer(request, "send a message").await.map(drop)
    }

    /// Returns the first page of a user's conversations.
    pub async fn first_page(&self, user: &str) -> anyhow::Result<Value> {
        let request = self.request(0, Method::GET, "/api/conversations?limit=50");
        let mut page = answer(acting(request, user), "list conversations").await?;
        Ok(page["conversations"].take())
    }

    /// Sends a request as the host's backend, with an optional body. Returns the status and the JSON of any response.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let mut request = self.request(0, method, path);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("{path}: no response; check that the service runs"))?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or(Value::Null)))
    }

    /// Returns the version that the service reports, if it does.
    pub async fn version(&self) -> Option<String> {
        let request = self.request(0, Method::GET, "/api/status");
        let status = answer(request, "status").await.ok()?;
        Some(status["version"].as_str()?.to_owned())
    }

    /// Returns the sum of each counter of `names` over all api nodes; `None` if a node does not respond.
    pub async fn counters<const N: usize>(&self, names: [&str; N]) -> [Option<f64>; N] {
        let mut sums = [Some(0.0); N];
        for node in &self.nodes {
            let text = match self.http.get(format!("{node}/metrics")).send().await {
                Ok(response) if response.status().is_success() => {
                    response.text().await.unwrap_or_default()
                }
                _ => String::new(),
            };
            for (sum, name) in sums.iter_mut().zip(names) {
                // A node that never counted does not show the counter: zero, provided that it shows any metric.
                let value = counter(&text, name).or((!text.is_empty()).then_some(0.0));
                *sum = sum.zip(value).map(|(a, b)| a + b);
            }
        }
        sums
    }
}

/// Makes a request of the host's backend on behalf of a user.
fn acting(request: RequestBuilder, user: &str) -> RequestBuilder {
    request.header("X-Acting-User", user)
}

/// Sends a request and returns the JSON of a successful response; an error quotes the service's own text.
async fn answer(request: RequestBuilder, what: &str) -> anyhow::Result<Value> {
    let response = request
        .send()
        .await
        .with_context(|| format!("{what}: no response; check that the service runs"))?;
    let status = response.status();
    let body: Value = response.json().await.unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(body);
    }
    let told = format!("{} {}", body["code"], body["message"]);
    let details = match &body["details"] {
        Value::Null => String::new(),
        details => format!(" {details}").chars().take(300).collect(),
    };
    let hint = if status.as_u16() == 429 {
        format!("; {RATE_HINT}")
    } else {
        String::new()
    };
    Err(anyhow!("{what}: {status}: {told}{details}{hint}"))
}

/// Returns the sum of all series of a counter in Prometheus text; `None` if there is none.
pub(super) fn counter(text: &str, name: &str) -> Option<f64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        let value = match rest.as_bytes().first() {
            Some(b'{') => rest.rsplit_once('}').map(|(_, value)| value),
            Some(b' ') => Some(rest),
            _ => None,
        };
        if let Some(value) = value
            .and_then(|v| v.split_ascii_whitespace().next())
            .and_then(|v| v.parse::<f64>().ok())
        {
            *sum.get_or_insert(0.0) += value;
        }
    }
    sum
}

/// Fails if a run needs more open files than this process may have.
pub(super) fn require_open_files(sockets: usize) -> anyhow::Result<()> {
    let needed = sockets as u64 + 200;
    match open_files_limit("self") {
        Some(limit) if limit < needed => bail!(
            "{sockets} sockets need {needed} open files, the limit is {limit}; run `ulimit -n {needed}` first, here and for the service"
        ),
        _ => Ok(()),
    }
}

/// Connected sockets, each served by its own task.
pub(super) struct Sockets {
    /// Command channels of the sockets, in the order of the dials.
    pub commands: Vec<mpsc::UnboundedSender<Command>>,
    tasks: Vec<JoinHandle<Journal>>,
}

/// Opens all sockets, at most `bound` at a time, and returns after the last one has received its `connected` event.
///
/// # Errors
/// If a socket does not connect.
pub(super) async fn open(
    dials: Vec<Dial>,
    bound: usize,
    run: &Arc<Run>,
) -> anyhow::Result<Sockets> {
    let semaphore = Arc::new(Semaphore::new(bound));
    let count = dials.len();
    let mut commands = Vec::with_capacity(count);
    let mut tasks = Vec::with_capacity(count);
    let mut waiting = Vec::with_capacity(count);
    for dial in dials {
        let (command, inbox) = mpsc::unbounded_channel();
        let (ready, connected) = oneshot::channel();
        let (run, semaphore) = (run.clone(), semaphore.clone());
        commands.push(command);
        waiting.push(connected);
        tasks.push(tokio::spawn(async move {
            let permit = semaphore.acquire_owned().await;
            serve(dial, run, inbox, (ready, permit.ok())).await
        }));
    }
    let limit = Instant::now() + CONNECT_LIMIT;
    let mut failed = 0usize;
    let mut first = None;
    for connected in waiting {
        let outcome = match timeout_at(limit, connected).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(anyhow!("closed before `connected`")),
            Err(_) => Err(anyhow!("no `connected` within {CONNECT_LIMIT:?}")),
        };
        if let Err(error) = outcome {
            failed += 1;
            first.get_or_insert(error);
        }
    }
    if let Some(error) = first {
        for task in tasks {
            task.abort();
        }
        return Err(error.context(format!("{failed} of {count} sockets did not connect")));
    }
    Ok(Sockets { commands, tasks })
}

impl Sockets {
    /// Closes all sockets and returns their journals, in the order of the dials.
    pub async fn finish(self) -> anyhow::Result<Vec<Journal>> {
        for command in &self.commands {
            // A socket that closed by itself keeps its task until it is told to close, so the command arrives.
            let _ = command.send(Command::Close);
        }
        let mut journals = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            journals.push(task.await.context("a socket's task failed")?);
        }
        Ok(journals)
    }
}

#[cfg(test)]
mod tests {
    use super::counter;

    #[test]
    fn a_counter_is_summed_over_its_series() {
        let text = "# HELP a_total x\n# TYPE a_total counter\na_total{shard=\"1\"} 3\na_total{shard=\"2\"} 4.5 1700\na_total_more 100\nb 2\n";
        assert_eq!(counter(text, "a_total"), Some(7.5));
        assert_eq!(counter(text, "b"), Some(2.0));
        assert_eq!(counter(text, "c"), None);
    }
}
