//! HTTP client for foreign URLs: it dials allowed addresses only, follows no redirect, and reads responses within bounds.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    Client, RequestBuilder, Response,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
    redirect, retry,
};

use super::{
    address::{AddressPolicy, GuardedResolver, Lookup, RefusedAddress},
    sign::{Keys, Signed},
};
use crate::Timestamp;

/// Maximum number of bytes of a response body that are read; after them the connection is closed.
const MAX_ANSWER: usize = 64 * 1024;
/// Maximum number of bytes of a response body that are kept.
const KEPT_ANSWER: usize = 1024;
/// Maximum wait that a receiver can request with `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);
/// Time for which an idle connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(30);

/// Creates a client with the user agent `agent` that resolves names with `lookup` and dials only addresses that `reach` allows. A request ends after
/// `timeout`.
///
/// The resolver is not called for a literal address, so each URL must pass [`AddressPolicy::check_url`] before every request.
///
/// # Errors
/// If the client cannot be created because the system's certificates cannot be read.
pub fn guarded(
    agent: &str,
    reach: AddressPolicy,
    timeout: Duration,
    lookup: Arc<dyn Lookup>,
) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(agent)
        .timeout(timeout)
        // A proxy variable of the environment must not divert requests and their content.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .http1_only()
        .pool_idle_timeout(IDLE)
        .dns_resolver(Arc::new(GuardedResolver::new(reach, lookup)))
        .build()
}

/// Adds a JSON body and its signatures to a request, in the form of webhooks.
pub fn sign(
    request: RequestBuilder,
    event: Signed<'_>,
    keys: &Keys,
    body: Bytes,
) -> RequestBuilder {
    let seconds = event.at.as_millis().div_euclid(1000);
    request
        .header(CONTENT_TYPE, "application/json")
        .header("X-Webhook-Id", event.id)
        .header("X-Webhook-Event", event.kind)
        .header("X-Webhook-Timestamp", event.at.to_string())
        .header("X-Webhook-Signature", keys.newest.sign_body(&body))
        .header("webhook-id", event.id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", keys.sign(event.id, seconds, &body))
        .body(body)
}

/// Describes an error without the URL, which may contain a secret.
pub fn explain(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<RefusedAddress>() {
            return inner.to_string();
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        "did not answer in time".to_owned()
    } else if error.is_connect() {
        "could not be reached".to_owned()
    } else {
        "the connection broke before there was an answer".to_owned()
    }
}

/// Reads the beginning of a response body as text. A broken or endless body is no error, because the status alone decides.
pub async fn read(mut response: Response) -> Option<String> {
    let mut kept = Vec::new();
    let mut length = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        length += chunk.len();
        let room = KEPT_ANSWER.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if length > MAX_ANSWER {
            break;
        }
    }
    if kept.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&kept);
    let shown = |c: char| if c == '\0' { '\u{fffd}' } else { c };
    Some(text.chars().map(shown).collect())
}

/// Parses `Retry-After`, seconds or a date, as a wait of at most a day.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let format = time::macros::format_description!(
                "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
            );
            let date = time::PrimitiveDateTime::parse(text, &format)
                .ok()?
                .assume_utc();
            let seconds = date.unix_timestamp() - now.as_millis().div_euclid(1000);
            Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_millis(784_111_777_000);
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(of("7"), Some(7));
        assert_eq!(of("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(of("Sun, 06 Nov 1994 08:40:37 GMT"), Some(0));
        assert_eq!(of("99999999"), Some(86_400));
        assert_eq!(of("soon"), None);
        assert_eq!(of("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
