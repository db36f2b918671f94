//! Ordinary users: fresh conversations whose members send at a pace, one load after another.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::client::{Host, MAX_CONCURRENT, open};
use super::cpu::Probe;
use super::load::{Load, Measured, Pace, drive};
use super::run::Run;
use super::socket::Dial;

/// Users of a load and duration of the measurement.
#[derive(Debug, Clone)]
pub(super) struct Ordinary {
    /// Number of conversations.
    pub conversations: usize,
    /// Number of members of each, each a user with one socket.
    pub members: usize,
    /// Number of members of each that send.
    pub senders: usize,
    /// Size of a message's content, in bytes.
    pub size: usize,
    /// Warm-up before the measurement.
    pub warmup: Duration,
    /// Length of the measurement.
    pub window: Duration,
    /// Internal secret, which exempts the users from the rate limits; `None` if the limits apply.
    pub internal_secret: Option<String>,
}

impl Ordinary {
    /// Creates fresh users and conversations. Returns the users, ordered by conversation, and the dial of each.
    ///
    /// # Errors
    /// If the service refuses a request.
    pub async fn create(&self, tag: &str, host: &Host) -> anyhow::Result<(Vec<String>, Vec<Dial>)> {
        let count = self.conversations * self.members;
        let users: Vec<String> = (0..count).map(|n| format!("bench-{tag}-{n}")).collect();
        host.sync_users(&users).await?;
        let groups = users.chunks(self.members).enumerate();
        let conversations: Vec<String> = stream::iter(groups)
            .map(|(n, group)| host.create_group(n, &group[0], group))
            .buffered(MAX_CONCURRENT)
            .try_collect()
            .await?;
        let mut dials = Vec::with_capacity(count);
        for (n, user) in users.iter().enumerate() {
            dials.push(Dial {
                url: host.ws_url(n),
                token: host.token(user)?,
                internal_secret: self.internal_secret.clone(),
                conversation: Some(conversations[n / self.members].clone()),
            });
        }
        Ok((users, dials))
    }

    /// Creates the users, connects them, and runs one load.
    ///
    /// # Errors
    /// If the service refuses the preparation.
    pub async fn measure(
        &self,
        pace: Pace,
        host: &Host,
        probe: &Probe,
    ) -> anyhow::Result<Measured> {
        let run = Run::new(self.size);
        let (users, dials) = self.create(run.tag(), host).await?;
        let sockets = open(dials, MAX_CONCURRENT, &run).await?;
        let load = Load {
            pace,
            warmup: self.warmup,
            window: self.window,
            conversations: self.conversations,
            members: self.members,
            senders: self.senders,
        };
        drive(&load, &run, (host, probe), (sockets, &users)).await
    }
}
