//! A user with a socket and a replica that follows it.

use std::{
    ops::Deref,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Replica;
use crate::support::{client::User, socket::Socket};

/// Maximum time for a socket to receive what it must.
const LIMIT: Duration = Duration::from_secs(10);

/// A user with an observed socket.
pub struct Watcher {
    /// The user, with a REST client.
    pub user: User,
    /// Their socket.
    pub socket: Socket,
    /// The user's view according to the events.
    pub replica: Replica,
    /// Frames received since they were last taken out, without those about the socket itself.
    pub came: Vec<Value>,
    /// True if the service has deleted the user: the token is no longer valid, and the view is no longer compared.
    pub is_gone: bool,
    /// A conversation of this user alone: a message in it arrives after everything that was under way before.
    notebook: String,
    cursor: String,
}

impl Deref for Watcher {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

impl Watcher {
    /// Connects, then reads everything by REST.
    pub async fn connect(user: &User) -> Self {
        let body = json!({ "type": "group", "participantIds": [], "name": "notebook" });
        let notebook = user
            .post_repeating("/api/conversations", body)
            .await
            .expect(201);
        let socket = user.connect().await;
        Self {
            user: user.clone(),
            cursor: socket.cursor(),
            socket,
            replica: Replica::load(user).await,
            came: Vec::new(),
            is_gone: false,
            notebook: notebook["id"].as_str().expect("an id").to_owned(),
        }
    }

    /// The conversation of this user alone.
    pub fn notebook(&self) -> &str {
        &self.notebook
    }

    /// Applies the frames that have arrived so far.
    pub async fn follow(&mut self) {
        let frames = self.socket.take_arrived();
        self.take(frames).await;
    }

    async fn take(&mut self, frames: Vec<Value>) {
        for frame in frames {
            self.replica.apply(&frame);
            if let Some(cursor) = frame["cursor"].as_str() {
                self.cursor = cursor.to_owned();
            }
            let event = frame["event"].as_str().unwrap_or_default();
            let is_own = event != "ack" && !super::OF_PRESENCE.contains(&event);
            if frame["data"]["conversationId"] != *self.notebook && is_own {
                self.came.push(frame);
            }
        }
        self.replica.refresh(&self.user).await;
    }

    /// Applies everything that has arrived or is under way: sends a message to its own conversation and waits until it arrives.
    pub async fn catch_up(&mut self) {
        let said = self.user.say(&self.notebook, "until here").await;
        let is_it = |frame: &Value| frame["data"]["id"] == said["id"];
        let deadline = Instant::now() + LIMIT;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let frame = match tokio::time::timeout(rest, self.socket.any()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => panic!("the socket of {} is closed", self.user.id),
                Err(_) => panic!("{} does not hear themselves", self.user.id),
            };
            let is_last = is_it(&frame);
            self.take(vec![frame]).await;
            if is_last {
                return;
            }
        }
    }

    /// Disconnects silently after applying the first `share` (0 to 1) of the arrived frames, and resumes from there.
    pub async fn resume_after(&mut self, share: f64) {
        let mut frames = self.socket.take_arrived();
        frames.truncate((frames.len() as f64 * share).ceil() as usize);
        self.take(frames).await;
        self.socket = self.user.resume(&self.cursor).await;
        assert_eq!(
            self.socket.connected["resumed"], true,
            "{} was told to reload",
            self.user.id
        );
        self.replica.resumed();
    }

    async fn hear_all(&mut self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            self.follow().await;
            let missing = self.replica.missing(&self.user).await;
            if missing.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} does not hear of {missing:?}",
                self.user.id
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The differences between the view from events and the current answers of REST, for the user's conversations and for `others`.
    pub async fn compare(&self, others: &[String]) -> Vec<String> {
        self.replica.compare(&self.user, others).await
    }
}

fn present<'a, 'w>(
    watchers: &'a mut [&'w mut Watcher],
) -> impl Iterator<Item = &'a mut &'w mut Watcher> {
    watchers.iter_mut().filter(|watcher| !watcher.is_gone)
}

/// Waits until every watcher's replica equals the current answers of REST, also for the conversations `ids`, whoever their members are.
///
/// # Errors
/// The differences that remain after ten seconds, one line per place.
pub async fn settle(watchers: &mut [&mut Watcher], ids: &[String]) -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    let mut watchers: Vec<&mut &mut Watcher> = present(watchers).collect();
    join_all(watchers.iter_mut().map(|watcher| watcher.catch_up())).await;
    loop {
        let reports = watchers.iter_mut().map(|watcher| async {
            watcher.follow().await;
            let lines = watcher.compare(ids).await.into_iter();
            lines
                .map(|line| format!("{}: {line}\n", watcher.user.id))
                .collect::<String>()
        });
        let report = join_all(reports).await.concat();
        if report.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(report);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until every watcher has received every entry in the logs of their conversations. Cheaper than [`settle`], and proves less.
pub async fn hear_all(watchers: &mut [&mut Watcher]) {
    join_all(present(watchers).map(|watcher| watcher.hear_all())).await;
}
