//! Delivery of presence on this node: to all users who share a conversation with the user, and to sockets that subscribed.
//!
//! The stream carries the change; the users who share a conversation are in the database. Changes that arrive during a query wait and are looked up together. A
//! socket receives a change once, with any one conversation that it shares with the user. Users whom the user blocks and the user's own sockets receive nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chat_sdk::{
    ConversationId, EventId, EventType, GivenUserId, Presence, UserId, events::UserPresence,
};
use metrics::counter;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use super::{Hub, Node, commands::frame::Answer, push::Outgoing, socket::Socket};
use crate::{
    bus::tail::{Latest, TailEvent, TailSink},
    domain::{Context, presence},
    model::{
        DomainError, Result,
        entry::Owner,
        presence::{LARGE_CONVERSATION, VisiblePresence},
    },
};

/// Maximum number of waiting changes; further ones are not pushed.
const MAX_WAITING: usize = 20_000;
/// Maximum number of changes that are looked up together.
const BATCH: usize = 200;
/// Maximum number of users whose presence one socket may subscribe to.
const MAX_WATCHED: usize = 1000;
/// Number of attempts to query the database for the same changes, and the pause between them.
const TRIES: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(300);

fn ids_of(given: Vec<GivenUserId>) -> Vec<UserId> {
    given.into_iter().map(|given| given.0).collect()
}

/// A presence change from the stream.
#[derive(Debug, Clone, Deserialize)]
struct PresenceEvent {
    id: EventId,
    #[serde(rename = "type")]
    kind: EventType,
    data: UserPresence,
}

/// Presence subscriptions of sockets.
#[derive(Default)]
struct Watching {
    by_user: HashMap<UserId, Vec<Arc<Socket>>>,
    by_socket: HashMap<u64, HashSet<UserId>>,
}

impl Watching {
    fn stop(&mut self, socket: u64, user: &UserId) {
        if let Some(sockets) = self.by_user.get_mut(user) {
            sockets.retain(|other| other.id != socket);
            if sockets.is_empty() {
                self.by_user.remove(user);
            }
        }
    }
}

/// Delivers presence changes to the sockets of this node.
pub struct Watchers {
    hub: Arc<Hub>,
    ctx: Context,
    watching: Mutex<Watching>,
    changes: mpsc::Sender<Change>,
}

/// A change that waits to be pushed.
pub struct Change(PresenceEvent);

impl Watchers {
    /// Returns the watchers of a node without sockets, and the queue of changes that [`run`] pushes.
    pub fn new(hub: Arc<Hub>, ctx: Context) -> (Arc<Self>, mpsc::Receiver<Change>) {
        let (changes, inbox) = mpsc::channel(MAX_WAITING);
        let watchers = Self {
            hub,
            ctx,
            watching: Mutex::default(),
            changes,
        };
        (Arc::new(watchers), inbox)
    }

    /// Removes all presence subscriptions of `socket`.
    pub fn forget(&self, socket: &Socket) {
        let mut watching = self.watching.lock();
        for user in watching.by_socket.remove(&socket.id).unwrap_or_default() {
            watching.stop(socket.id, &user);
        }
    }

    fn watch(&self, socket: &Arc<Socket>, users: &[UserId]) -> Result<()> {
        let mut watching = self.watching.lock();
        let watching = &mut *watching;
        let of_socket = watching.by_socket.entry(socket.id).or_default();
        let new: HashSet<&UserId> = users
            .iter()
            .filter(|user| !of_socket.contains(*user))
            .collect();
        if of_socket.len() + new.len() > MAX_WATCHED {
            return Err(DomainError::invalid(
                "userIds",
                "must name at most 1000 users, including those that the socket is subscribed to already",
            ));
        }
        for user in new.into_iter().cloned().collect::<Vec<_>>() {
            let sockets = watching.by_user.entry(user.clone()).or_default();
            sockets.push(Arc::clone(socket));
            of_socket.insert(user);
        }
        Ok(())
    }

    fn unwatch(&self, socket: &Socket, users: &[UserId]) {
        let mut watching = self.watching.lock();
        let watching = &mut *watching;
        for user in users {
            let of_socket = watching.by_socket.get_mut(&socket.id);
            if of_socket.is_some_and(|of_socket| of_socket.remove(user)) {
                watching.stop(socket.id, user);
            }
        }
        if watching
            .by_socket
            .get(&socket.id)
            .is_some_and(HashSet::is_empty)
        {
            watching.by_socket.remove(&socket.id);
        }
    }

    fn watchers_of(&self, user: &UserId) -> Vec<Arc<Socket>> {
        let watching = self.watching.lock();
        watching.by_user.get(user).cloned().unwrap_or_default()
    }

    /// Pushes `changes`, in their order.
    async fn push(&self, changes: &[PresenceEvent]) -> Result<()> {
        let users: HashSet<UserId> = changes
            .iter()
            .map(|event| event.data.user_id.clone())
            .collect();
        let users: Vec<UserId> = users.into_iter().collect();
        let mut shared: HashMap<UserId, Vec<ConversationId>> = HashMap::new();
        for (user, conversation) in self.ctx.store.find_conversations_by_user(&users).await? {
            if self.hub.has_room(&conversation) {
                shared.entry(user).or_default().push(conversation);
            }
        }
        let rooms: HashSet<&ConversationId> = shared.values().flatten().collect();
        let rooms: Vec<&ConversationId> = rooms.into_iter().collect();
        let large = if rooms.is_empty() {
            HashSet::new()
        } else {
            let store = &self.ctx.store;
            store
                .find_large_conversations(&rooms, LARGE_CONVERSATION)
                .await?
        };
        let blocked = self.ctx.store.find_blocked_by(&users).await?;
        for event in changes {
            let user = &event.data.user_id;
            let is_reader = |reader: &Socket| {
                reader.user != *user
                    && !blocked
                        .get(user)
                        .is_some_and(|blocked| blocked.contains(&reader.user))
            };
            let mut reached: HashSet<u64> = HashSet::new();
            let mut tell = |conversation: Option<&ConversationId>, sockets: Vec<Arc<Socket>>| {
                let mut text: Option<Arc<Utf8Bytes>> = None;
                for socket in sockets {
                    if is_reader(&socket) && reached.insert(socket.id) {
                        let text = text.get_or_insert_with(|| Arc::new(frame(event, conversation)));
                        socket.push(Outgoing::Live(Arc::clone(text)));
                    }
                }
            };
            let conversations = shared.get(user).into_iter().flatten();
            for conversation in conversations.filter(|id| !large.contains(*id)) {
                tell(Some(conversation), self.hub.sockets_of(conversation));
            }
            tell(None, self.watchers_of(user));
        }
        Ok(())
    }
}

fn frame(event: &PresenceEvent, conversation: Option<&ConversationId>) -> Utf8Bytes {
    let name = event.kind.socket_event().unwrap_or("user:offline");
    let data = UserPresence {
        conversation_id: conversation.cloned(),
        ..event.data.clone()
    };
    let data = serde_json::to_string(&data).unwrap_or_default();
    format!(r#"{{"event":"{name}","id":"{}","data":{data}}}"#, event.id).into()
}

impl TailSink for Watchers {
    fn on_event(&self, _event: &TailEvent) {}

    fn on_latest(&self, latest: &Latest) {
        if !matches!(latest.owner, Owner::User(_)) {
            return;
        }
        let Ok(event) = serde_json::from_slice::<PresenceEvent>(&latest.payload) else {
            counter!("chat_tail_unreadable_total").increment(1);
            return;
        };
        let shown = VisiblePresence {
            status: event.data.status,
            text: event.data.text.clone(),
        };
        let is_news = self
            .ctx
            .presence
            .table()
            .is_news(&event.data.user_id, &shown);
        if is_news && self.changes.try_send(Change(event)).is_err() {
            counter!("chat_presence_pushes_lost_total").increment(1);
        }
    }

    fn on_marker(&self, _watermark: u64) {}

    fn on_loss(&self) {}
}

/// Pushes presence changes from the stream until `stop`.
pub async fn run(
    watchers: Arc<Watchers>,
    changes: Arc<AsyncMutex<mpsc::Receiver<Change>>>,
    stop: CancellationToken,
) {
    // Behind a lock, so that the waiting changes outlive a failure of this task.
    let mut changes = changes.lock().await;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            count = changes.recv_many(&mut batch, BATCH) => if count == 0 { return },
        }
        let events: Vec<PresenceEvent> = batch.drain(..).map(|Change(event)| event).collect();
        if watchers.hub.is_empty() {
            continue;
        }
        let mut tries = 0;
        // All recipients are determined before the first push: a failure leaves no batch half pushed.
        while watchers.push(&events).await.is_err() {
            tries += 1;
            if tries >= TRIES {
                counter!("chat_presence_pushes_lost_total").increment(events.len() as u64);
                break;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Subscribes a socket to users' presence, and returns their current presence.
///
/// # Errors
/// [`DomainError::Validation`] with `userIds` if there are too many.
pub async fn subscribe(
    node: &Node,
    socket: &Arc<Socket>,
    users: Result<Vec<GivenUserId>>,
) -> Answer {
    let users = ids_of(users?);
    if users.len() > MAX_WATCHED {
        return Err(DomainError::invalid("userIds", "must have at most 1000 items").into());
    }
    // Subscribe before reading, so that no change is missed in between.
    node.watchers.watch(socket, &users)?;
    let presence = presence::list(&node.ctx, Some(&socket.user), &users).await?;
    answer(&presence)
}

/// Ends a socket's subscription to users' presence, except that of users in its conversations.
///
/// # Errors
/// [`DomainError::Validation`] if the data has another shape.
pub fn unsubscribe(node: &Node, socket: &Socket, users: Result<Vec<GivenUserId>>) -> Answer {
    node.watchers.unwatch(socket, &ids_of(users?));
    answer(&[])
}

fn answer(presence: &[Presence]) -> Answer {
    let json = serde_json::to_string(presence)
        .map_err(|_| DomainError::Internal("an answer cannot be encoded".into()))?;
    Ok(format!(r#""presence":{json}"#))
}
