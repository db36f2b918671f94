//! Endpoints of the bench, created and removed through the admin API as a host does.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::receiver::Receiver;
use crate::client::Host;

const PATH: &str = "/api/admin/webhooks";
/// Marker that distinguishes the bench's endpoints from the host's.
const DESCRIPTION: &str = "made by chat-bench";
/// Time limit for a worker to start delivering to an endpoint.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Removes the endpoints of an earlier bench that was interrupted.
///
/// # Errors
/// If webhooks cannot be managed by the API; the error says how the service must be started.
pub(super) async fn remove_leftovers(host: &Host) -> anyhow::Result<()> {
    let (status, page) = host.ask(Method::GET, PATH, None).await?;
    match status {
        200 => {}
        404 => bail!(
            "the service has no webhooks; start it with PLUGINS=webhooks, which is the default"
        ),
        _ => bail!("list endpoints: {}", words(status, &page)),
    }
    for endpoint in page["webhooks"].as_array().into_iter().flatten() {
        if endpoint["description"] == DESCRIPTION
            && let Some(id) = endpoint["id"].as_str()
        {
            remove(host, id).await?;
        }
    }
    Ok(())
}

/// Creates an endpoint for message events. Returns its id.
///
/// # Errors
/// If the service refuses it; the error says how the service must be started.
pub(super) async fn make(host: &Host, url: &str) -> anyhow::Result<String> {
    let body = json!({ "url": url, "events": ["message.created"], "description": DESCRIPTION });
    let (status, answer) = host.ask(Method::POST, PATH, Some(body)).await?;
    if status == 201 {
        let id = answer["id"].as_str().context("the endpoint has no id")?;
        return Ok(id.to_owned());
    }
    let is_url_refused = answer["details"]
        .as_array()
        .is_some_and(|details| details.iter().any(|detail| detail["field"] == "url"));
    if is_url_refused {
        bail!(
            "the service does not deliver to {url}, the address of the bench; start it with WEBHOOK_ALLOW_PRIVATE=true, or with APP_ENV=development, which allows loopback"
        );
    }
    if answer.to_string().contains("SECRETS_KEY") {
        bail!(
            "the service has no SECRETS_KEY, which endpoints created by the API require; start it with one"
        );
    }
    bail!("create an endpoint: {}", words(status, &answer));
}

/// Removes an endpoint and its pending deliveries.
///
/// # Errors
/// If the service does not remove it.
pub(super) async fn remove(host: &Host, id: &str) -> anyhow::Result<()> {
    let (status, answer) = host
        .ask(Method::DELETE, &format!("{PATH}/{id}"), None)
        .await?;
    match status {
        204 | 404 => Ok(()),
        _ => bail!("remove the endpoint {id}: {}", words(status, &answer)),
    }
}

/// Waits until a worker delivers to the endpoint.
///
/// # Errors
/// If no worker does in time.
pub(super) async fn wait_served(host: &Host, id: &str, receiver: &Receiver) -> anyhow::Result<()> {
    let before = receiver.tests();
    let (status, answer) = host
        .ask(Method::POST, &format!("{PATH}/{id}/test"), None)
        .await?;
    if status != 200 {
        bail!("send a test event: {}", words(status, &answer));
    }
    let deadline = Instant::now() + TIMEOUT;
    while receiver.tests() == before {
        if Instant::now() > deadline {
            bail!(
                "no test event arrived at {} within {} s; check that a process with the role webhooks runs on this machine",
                receiver.url(),
                TIMEOUT.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn words(status: u16, answer: &Value) -> String {
    let text = |name: &str| answer[name].as_str().unwrap_or("-").to_owned();
    format!("{status} {}: {}", text("code"), text("message"))
}
