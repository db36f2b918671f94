//! Client of the admin API of a running service, with the credentials of the host.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::config::Caller;

/// Base path of the webhook operations.
const PATH: &str = "/api/admin/webhooks";
/// Time limit of one request: a request may replay thousands of events.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Maximum number of items of one page.
const MAX_PAGE: u32 = 100;

/// Reasons for which a command fails.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
    /// The service refused the request, or its response cannot be used.
    Refused(String),
    /// The service did not respond, or is unavailable.
    Unavailable(String),
}

/// Connection to a running service.
pub(in crate::cli) struct Service {
    http: Client,
    base_url: String,
    /// Path before that of each request.
    path: &'static str,
    secret: String,
}

/// Encodes a value as a path segment.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Service {
    /// Returns a client of the service at `url`, or of the one that `caller` names.
    pub fn new(caller: Caller, url: Option<&str>) -> Result<Self, Failure> {
        // reqwest is built without a TLS provider. Installing a second one fails, which is harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .timeout(TIMEOUT)
            // No redirects: the secret must reach only the service.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::Unavailable(format!("no HTTP client: {error}")))?;
        let url = url.map(str::trim).filter(|url| !url.is_empty());
        let base_url = url.unwrap_or(&caller.base_url);
        Ok(Self {
            http,
            base_url: base_url.trim_end_matches('/').to_owned(),
            path: PATH,
            secret: caller.internal_secret.expose_text().to_owned(),
        })
    }

    /// Returns a client of the operations below another path.
    pub fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// Reads a resource.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// Submits a request that changes something.
    pub async fn post(&self, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        self.ask(Method::POST, path, body).await
    }

    /// Returns at most `limit` items of a list as one array, page by page.
    pub async fn list(
        &self,
        path: &str,
        name: &str,
        query: &[(&str, Option<&str>)],
        limit: u32,
    ) -> Result<Value, Failure> {
        let mut items = Vec::new();
        let mut before: Option<String> = None;
        loop {
            let left = limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            let size = left.min(MAX_PAGE).to_string();
            let paging = [
                ("limit", Some(size.as_str())),
                ("before", before.as_deref()),
            ];
            let pairs: Vec<String> = query
                .iter()
                .chain(&paging)
                .filter_map(|(name, value)| Some(format!("{name}={}", segment((*value)?))))
                .collect();
            let mut page = self.get(&format!("{path}?{}", pairs.join("&"))).await?;
            let Value::Array(found) = page[name].take() else {
                return Err(Failure::Refused(format!("the response has no {name}")));
            };
            let is_empty = found.is_empty();
            items.extend(found);
            before = page["nextCursor"].as_str().map(str::to_owned);
            if before.is_none() || is_empty || items.len() >= limit as usize {
                return Ok(items.into());
            }
        }
    }

    /// Reads a resource; returns `None` if it does not exist.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        let (status, answer) = self.answer(Method::GET, path, None).await?;
        match status {
            404 => Ok(None),
            _ => self.judge(status, answer).map(Some),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let (status, answer) = self.answer(method, path, body).await?;
        self.judge(status, answer)
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), Failure> {
        let mut request = self
            .http
            .request(method, format!("{}{}{path}", self.base_url, self.path))
            .header("X-Internal-Secret", &self.secret);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|error| {
            let why = if error.is_builder() {
                "is not the URL of a service"
            } else if error.is_timeout() {
                "did not respond in time"
            } else {
                "did not respond; check that the service runs, and set --url to its address"
            };
            Failure::Unavailable(format!("{} {why}", self.base_url))
        })?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or(Value::Null)))
    }

    fn judge(&self, status: u16, answer: Value) -> Result<Value, Failure> {
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let told = answer["message"].as_str().unwrap_or("(no message)");
        let mut text = format!("{status}: {told}");
        for detail in answer["details"].as_array().into_iter().flatten() {
            let word = |name: &str| detail[name].as_str().unwrap_or("-").to_owned();
            text.push_str(&format!("\n  {} {}", word("field"), word("message")));
        }
        Err(match status {
            401 => Failure::Refused(format!(
                "{text}\n  INTERNAL_API_SECRET differs from the one of {}",
                self.base_url
            )),
            404 if answer["message"].is_null() || told.contains("nothing at this path") => {
                Failure::Refused(format!(
                    "{text}\n  {} has no webhooks; check that its PLUGINS include webhooks",
                    self.base_url
                ))
            }
            429 | 503 => Failure::Unavailable(text),
            _ => Failure::Refused(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn an_argument_stays_one_path_segment() {
        assert_eq!(segment("a/../b?c=d#e%"), "a%2F%2E%2E%2Fb%3Fc%3Dd%23e%25");
    }
}
