//! Typing and recording indicators: sent between nodes, shown for a limited time, stored nowhere.
//!
//! A signal goes to every node and is valid there for its time to live, so an indicator ends by itself, even if the user's node fails. The hot path reads no
//! database: the socket knows its rooms, and a conversation's rules are cached for a moment and dropped when they change.

mod state;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{
    ConversationId, EventType, Timestamp, UserId,
    events::{Envelope, ParticipantsRemoved},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Hub, Node,
    commands::frame::{self, Answer},
    socket::Socket,
};
use crate::{
    bus::{
        Bus,
        ephemeral::Channel,
        tail::{TailEvent, TailSink},
    },
    config,
    model::{DomainError, Result, entry::Owner, presence::LARGE_CONVERSATION},
    store::TypingRules,
};
use state::{ActivityKey, State};

/// Maximum age of a conversation's cached rules.
const RULES_FOR: Duration = Duration::from_secs(30);
/// Maximum number of conversations with cached rules; at the limit the cache is cleared.
const MAX_RULES: usize = 50_000;

pub use state::ActivityKind;

/// A client's command: the activity of its user, and whether it begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    doing: ActivityKind,
    is_active: bool,
}

impl Signal {
    /// Returns the signal of `typing:start`, `typing:stop`, `recording:start` or `recording:stop`.
    pub fn of(event: &str) -> Self {
        Self {
            doing: if event.starts_with("recording") {
                ActivityKind::Recording
            } else {
                ActivityKind::Typing
            },
            is_active: event.ends_with("start"),
        }
    }
}

/// Message between nodes about one activity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypingMessage {
    node: Arc<str>,
    #[serde(flatten)]
    act: ActivityKey,
    is_active: bool,
}

/// Indicators that are active on this node.
pub struct Typing {
    me: Arc<str>,
    hub: Arc<Hub>,
    speaker: Channel<TypingMessage>,
    typing_ttl: Duration,
    recording_ttl: Duration,
    state: Mutex<State>,
    /// Notified when the first deadline may have changed.
    changed: Notify,
}

impl Typing {
    /// Returns the state of a node without indicators.
    pub fn new(bus: &Bus, hub: Arc<Hub>, times: &config::Presence) -> Arc<Self> {
        Arc::new(Self {
            me: ulid::Ulid::generate().to_string().into(),
            hub,
            speaker: Channel::typing(bus),
            typing_ttl: times.typing_ttl,
            recording_ttl: times.recording_ttl,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn ttl(&self, doing: ActivityKind) -> Duration {
        match doing {
            ActivityKind::Typing => self.typing_ttl,
            ActivityKind::Recording => self.recording_ttl,
        }
    }

    /// Shows, extends or ends an indicator; pushes a frame if its state changes.
    fn show(&self, act: &ActivityKey, is_active: bool) {
        let mut state = self.state.lock();
        let is_news = if is_active {
            self.hub.has_room(&act.conversation_id) && state.show(act, self.ttl(act.doing))
        } else {
            state.hide(act)
        };
        if is_news {
            self.push(act, is_active);
            self.changed.notify_one();
        }
    }

    fn push(&self, act: &ActivityKey, is_active: bool) {
        let text = frame::event(
            act.doing.event(),
            &json!({
                "conversationId": act.conversation_id,
                "userId": act.user_id,
                "type": act.doing,
                "isActive": is_active,
                "timestamp": Timestamp::now(),
            }),
        );
        self.hub
            .tell_room(&act.conversation_id, &text, Some(&act.user_id));
    }

    /// Ends all activities of a socket, unless another socket of the user has the same one.
    pub fn forget(self: &Arc<Self>, socket: &Socket) {
        let ended: Vec<ActivityKey> = {
            let mut state = self.state.lock();
            let acts = state.by_socket.remove(&socket.id).unwrap_or_default();
            let is_done =
                |act: &ActivityKey| !state.by_socket.values().flatten().any(|other| other == act);
            let ended: Vec<ActivityKey> = acts.into_iter().filter(is_done).collect();
            ended
                .into_iter()
                .filter(|act| state.told.remove(act).is_some())
                .collect()
        };
        if ended.is_empty() {
            return;
        }
        let typing = Arc::clone(self);
        tokio::spawn(async move {
            for act in ended {
                typing.tell(act, false).await;
            }
        });
    }

    /// Applies an activity on this node and sends it to all others.
    async fn tell(&self, act: ActivityKey, is_active: bool) {
        self.show(&act, is_active);
        let whisper = TypingMessage {
            node: Arc::clone(&self.me),
            act,
            is_active,
        };
        self.speaker.say(&whisper).await;
    }

    /// Ends the matching activities in `conversation`.
    ///
    /// Every node receives the cause itself, so nothing is sent.
    fn end(&self, conversation: &ConversationId, is_ended: impl Fn(&ActivityKey) -> bool) {
        let mut state = self.state.lock();
        let acts: Vec<ActivityKey> = state
            .shown
            .get(conversation)
            .into_iter()
            .flatten()
            .map(|(act, _)| act.clone())
            .filter(&is_ended)
            .collect();
        for act in acts {
            state.hide(&act);
            self.push(&act, false);
        }
        let told: Vec<ActivityKey> = if state.told.is_empty() {
            Vec::new()
        } else {
            state
                .told
                .keys()
                .filter(|act| act.conversation_id == *conversation && is_ended(act))
                .cloned()
                .collect()
        };
        for act in told {
            state.end_own(&act);
        }
    }

    fn known_rules(&self, conversation: &ConversationId) -> (Option<Arc<TypingRules>>, u64) {
        let state = self.state.lock();
        let known = state.rules.get(conversation);
        let known = known.filter(|(_, at)| at.elapsed() < RULES_FOR);
        (known.map(|(rules, _)| Arc::clone(rules)), state.forgotten)
    }

    async fn rules(&self, node: &Node, conversation: &ConversationId) -> Result<Arc<TypingRules>> {
        let (known, forgotten) = self.known_rules(conversation);
        if let Some(rules) = known {
            return Ok(rules);
        }
        let rules = Arc::new(node.ctx.store.find_typing_rules(conversation).await?);
        let mut state = self.state.lock();
        if state.forgotten == forgotten {
            if state.rules.len() >= MAX_RULES {
                state.rules.clear();
            }
            let value = (Arc::clone(&rules), Instant::now());
            state.rules.insert(conversation.clone(), value);
        }
        Ok(rules)
    }

    /// Ends expired indicators; returns the time of the next check.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        while let Some((due, _)) = state.deadlines.first()
            && *due <= now
        {
            let Some((_, act)) = state.deadlines.pop_first() else {
                break;
            };
            match state.until(&act) {
                Some(until) if until > now => {
                    state.deadlines.insert((until, act));
                }
                Some(_) => {
                    state.hide(&act);
                    state.end_own(&act);
                    self.push(&act, false);
                }
                None => {}
            }
        }
        state.deadlines.first().map(|(due, _)| *due)
    }
}

impl TailSink for Typing {
    fn on_event(&self, event: &TailEvent) {
        let Owner::Conversation(conversation) = &event.owner else {
            return;
        };
        match event.kind {
            EventType::MessageCreated => {
                let is_quiet = {
                    let state = self.state.lock();
                    !state.shown.contains_key(conversation) && state.told.is_empty()
                };
                if is_quiet {
                    return;
                }
                let Ok(envelope) = serde_json::from_slice::<Sent>(&event.payload) else {
                    return;
                };
                self.end(conversation, |act| act.user_id == envelope.data.sender_id);
            }
            EventType::ConversationUpdated
            | EventType::ParticipantAdded
            | EventType::ParticipantUpdated => self.forget_rules(conversation),
            EventType::ParticipantRemoved => {
                self.forget_rules(conversation);
                type Removal = Envelope<ParticipantsRemoved>;
                if let Ok(removal) = serde_json::from_slice::<Removal>(&event.payload) {
                    let users = removal.data.user_ids;
                    self.end(conversation, |act| users.contains(&act.user_id));
                }
            }
            EventType::ConversationDeleted => {
                self.forget_rules(conversation);
                self.end(conversation, |_| true);
            }
            _ => {}
        }
    }

    fn on_marker(&self, _watermark: u64) {}

    fn on_loss(&self) {
        let mut state = self.state.lock();
        state.forgotten += 1;
        state.rules.clear();
    }
}

impl Typing {
    fn forget_rules(&self, conversation: &ConversationId) {
        let mut state = self.state.lock();
        state.forgotten += 1;
        state.rules.remove(conversation);
    }
}

#[derive(Deserialize)]
struct Sent {
    data: Sender,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sender {
    sender_id: UserId,
}

/// Receives the messages of other nodes and ends expired indicators, until `stop`.
pub async fn run(bus: Bus, typing: Arc<Typing>, stop: CancellationToken) {
    let mut channel = Channel::<TypingMessage>::typing(&bus);
    channel.listen().await;
    loop {
        let due = typing.expire(Instant::now());
        let deadline = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = typing.changed.notified() => {}
            () = deadline => {}
            whisper = channel.next() => {
                if whisper.node != typing.me {
                    typing.show(&whisper.act, whisper.is_active);
                }
            }
        }
    }
}

/// Processes a client's signal about its user's activity.
///
/// # Errors
/// `NOT_FOUND` if the user is not a member, `FORBIDDEN` if the conversation's settings do not allow the activity.
pub async fn signal(
    node: &Node,
    socket: &Socket,
    signal: Signal,
    room: Result<ConversationId>,
) -> Answer {
    let conversation = room?;
    let typing = &node.typing;
    // A member who left the room on this socket may still type in it.
    if !socket.hears_of(&conversation) {
        let store = &node.ctx.store;
        let membership = store.find_membership(&conversation, &socket.user).await?;
        membership.active()?;
    }
    let rules = typing.rules(node, &conversation).await?;
    if !rules.is_allowed {
        let text =
            "The settings of this conversation do not allow typing and recording indicators.";
        return Err(DomainError::Forbidden(text.into()).into());
    }
    let is_blocked = rules.blockers.iter().any(|user| *user != socket.user);
    if is_blocked || rules.participant_count >= LARGE_CONVERSATION {
        return Ok(String::new());
    }
    let act = ActivityKey {
        conversation_id: conversation,
        user_id: socket.user.clone(),
        doing: signal.doing,
    };
    let is_news = {
        let mut state = typing.state.lock();
        if signal.is_active {
            state.begin_own(socket.id, &act, typing.ttl(signal.doing))
        } else {
            state.end_own(&act)
        }
    };
    if is_news {
        typing.tell(act, signal.is_active).await;
    }
    Ok(String::new())
}
