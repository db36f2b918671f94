//! A hook that lets every message pass: what a send through a plugin in another process costs.
//!
//! The bench is the plugin. It uses the service's own login to NATS, so the broker needs no account for it.

use std::time::Duration;

use anyhow::bail;
use async_nats::Client;
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

use super::client::Host;

/// Operations on plugins.
const PATH: &str = "/api/admin/plugins";
/// Name of the plugin.
const NAME: &str = "chat_bench";
/// Time after which all processes know of a change: they look every second.
const KNOWN_AFTER: Duration = Duration::from_secs(3);

/// The running hook; it stops answering with its handle.
pub(super) struct PassingHook {
    task: JoinHandle<()>,
}

impl Drop for PassingHook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PassingHook {
    /// Answers the requests of the hook below `prefix`, and registers it.
    ///
    /// # Errors
    /// If NATS or the service refuses it.
    pub async fn start(host: &Host, nats: Client, prefix: &str) -> anyhow::Result<Self> {
        let subject = format!("{prefix}.hook.{NAME}");
        let mut requests = nats
            .queue_subscribe(subject, "instances".to_owned())
            .await?;
        nats.flush().await?;
        let task = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                if let Some(reply) = request.reply {
                    let _ = nats.publish(reply, r#"{"action":"pass"}"#.into()).await;
                }
            }
        });
        let body = json!({ "name": NAME, "points": ["message.before_send"], "failure": "closed" });
        let (status, answer) = host.ask(Method::POST, PATH, Some(body)).await?;
        if !matches!(status, 200 | 201) {
            bail!("the hook of the bench cannot be registered: {status} {answer}");
        }
        sleep(KNOWN_AFTER).await;
        Ok(Self { task })
    }

    /// Removes the registration, then stops answering.
    ///
    /// # Errors
    /// If the service does not remove it.
    pub async fn stop(self, host: &Host) -> anyhow::Result<()> {
        let (status, answer) = host
            .ask(Method::DELETE, &format!("{PATH}/{NAME}"), None)
            .await?;
        if status != 204 {
            bail!("the hook of the bench cannot be removed: {status} {answer}");
        }
        sleep(KNOWN_AFTER).await;
        Ok(())
    }
}
