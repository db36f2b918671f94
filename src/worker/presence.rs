//! Presence between processes: heartbeats, announcements of this process's users, and publication of transitions.
//!
//! It also listens to the other processes. The same heartbeats show which living processes write for which shards ([`ShardWriters`]).
//!
//! One task per process, of either role. Nothing here waits for the store: one read or write at a time runs beside the loop, and everything that
//! arrives meanwhile goes into the next one.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{
    Envelope, Timestamp, UserId,
    events::{EventData, UserPresence},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{
        Bus,
        commands::ShardWriters,
        ephemeral::Channel,
        tail::{Latest, TailEvent, TailSink},
    },
    domain::{Context, presence::LocalPresence},
    model::{
        Result,
        entry::Owner,
        latest::LatestValue,
        presence::{
            Chosen, GossipEnvelope, GossipMessage, HEARTBEAT, LEASE, Transition, VisiblePresence,
        },
    },
    store::LeftOnline,
};

/// Time between two checks of deadlines.
const TICK: Duration = Duration::from_millis(200);
/// Pause between two ticks after which this process counts as suspended.
///
/// It may have missed messages of others in that time.
const AWAY: Duration = Duration::from_secs(3);
/// Time that a new process waits for the messages of others before it publishes any transition.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Maximum of that time if a part is missing.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// Time between two checks of all users, and between two reads of choices that were not announced.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Time that reads of choices look back: clocks differ, and a read may fail.
const CHOICES_BACK: Duration = Duration::from_secs(60);
/// Number of users per read or write.
const BATCH: usize = 500;

/// Result of a store request that ran beside the loop.
enum Done {
    Arrived(Vec<UserId>, Result<HashMap<UserId, Chosen>>),
    Chosen(Result<HashMap<UserId, Chosen>>),
    Saved(Vec<Transition>, Result<()>),
    LeftOnline(Result<Vec<LeftOnline>>),
}

/// Stream sink that records published presence.
pub struct PresenceSink(pub Arc<LocalPresence>);

impl TailSink for PresenceSink {
    fn on_event(&self, _event: &TailEvent) {}

    fn on_latest(&self, latest: &Latest) {
        let Owner::User(user) = &latest.owner else {
            return;
        };
        let Ok(envelope) = serde_json::from_slice::<Envelope<UserPresence>>(&latest.payload) else {
            return;
        };
        let shown = VisiblePresence {
            status: envelope.data.status,
            text: envelope.data.text,
        };
        self.0.table().apply_published(&envelope.id, user, shown);
    }

    fn on_marker(&self, _watermark: u64) {}

    fn on_loss(&self) {}
}

/// Runs until `stop`.
pub async fn run(bus: Bus, ctx: Context, writers: Arc<ShardWriters>, stop: CancellationToken) {
    let mut channel = Channel::<GossipEnvelope>::presence(&bus);
    channel.listen().await;
    let speaker = channel.speaker();
    let hello = ctx.presence.table().envelope(GossipMessage::Hello);
    speaker.say(&hello).await;
    let mut work = Work {
        ctx,
        writers,
        speaker,
        running: FuturesUnordered::new(),
        is_reading: false,
        unsaved: Vec::new(),
        is_saving: false,
        left_online_after: None,
    };
    let began = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut clock = Clock::new(began);
    loop {
        let presence = Arc::clone(&work.ctx.presence);
        tokio::select! {
            () = stop.cancelled() => break,
            () = presence.wake.notified() => {}
            envelope = channel.next() => {
                let now = Instant::now();
                if envelope.node == work.writers.me {
                    work.writers.hear(now);
                }
                let answers = presence.table().take(envelope, now);
                say(&work.speaker, answers).await;
            }
            Some(done) = work.running.next(), if !work.running.is_empty() => work.on_done(done).await,
            _ = ticks.tick() => work.on_tick(&mut clock).await,
        }
        work.announce_changes().await;
    }
    let bye = work.ctx.presence.table().end();
    say(&work.speaker, [bye]).await;
    work.speaker.flush().await;
}

/// Deadlines of the loop.
struct Clock {
    began: Instant,
    last_tick: Instant,
    next_beat: Instant,
    next_look: Instant,
    is_publishing: bool,
    has_looked_back: bool,
}

impl Clock {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            last_tick: now,
            next_beat: now,
            next_look: now + LOOK_AGAIN,
            is_publishing: false,
            has_looked_back: false,
        }
    }
}

struct Work {
    ctx: Context,
    writers: Arc<ShardWriters>,
    speaker: Channel<GossipEnvelope>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    is_reading: bool,
    unsaved: Vec<Transition>,
    is_saving: bool,
    /// User id up to which the users were read whom a dead process left online.
    left_online_after: Option<UserId>,
}

async fn say(speaker: &Channel<GossipEnvelope>, notes: impl IntoIterator<Item = GossipEnvelope>) {
    for note in notes {
        speaker.say(&note).await;
    }
}

impl Work {
    async fn on_tick(&mut self, clock: &mut Clock) {
        let now = Instant::now();
        let was_away = now.duration_since(clock.last_tick) > AWAY || !self.writers.is_heard();
        clock.last_tick = now;
        let mut beat = None;
        {
            let mut table = self.ctx.presence.table();
            if was_away {
                table.renew_leases(now);
            }
            table.expire(now);
            table.retry_unconfirmed(now);
            let waited = now.duration_since(clock.began);
            let is_ready = waited > FIRST_WAIT && table.is_complete() || waited > LONGEST_WAIT;
            if is_ready && !clock.is_publishing {
                clock.is_publishing = true;
                table.begin_publishing();
                clock.next_beat = now;
            }
            if now >= clock.next_beat {
                clock.next_beat = now + HEARTBEAT;
                beat = Some(table.beat());
                gauge!("chat_presence_users").set(table.own_len() as f64);
            }
            if now >= clock.next_look {
                table.check_all();
            }
            // By now this process would have heard of one that died before it began.
            if waited > LEASE + HEARTBEAT && !clock.has_looked_back {
                clock.has_looked_back = true;
                if table.is_first_publisher() {
                    self.running.push(look_back(self.ctx.clone(), None));
                } else {
                    table.forget_delivered();
                }
            }
        }
        if let Some(beat) = beat {
            self.speaker.say(&beat).await;
        }
        if now >= clock.next_look {
            clock.next_look = now + LOOK_AGAIN;
            if self.ctx.presence.table().own_len() > 0 {
                self.running.push(read_choices(self.ctx.clone()));
            }
        }
    }

    async fn on_done(&mut self, done: Done) {
        match done {
            Done::Arrived(users, Ok(chosen)) => {
                self.is_reading = false;
                let notes = self.ctx.presence.announce_arrivals(users, chosen);
                say(&self.speaker, notes).await;
            }
            Done::Arrived(users, Err(_)) => {
                // No user is shown before it is known that they are not invisible.
                self.is_reading = false;
                self.ctx.presence.retry_arrivals(users);
            }
            Done::Chosen(Ok(chosen)) => {
                let notes = self.ctx.presence.take_chosen(&chosen);
                say(&self.speaker, notes).await;
            }
            Done::Chosen(Err(_)) => {}
            Done::LeftOnline(Err(_)) => self.ctx.presence.table().forget_delivered(),
            Done::Saved(transitions, outcome) => {
                self.is_saving = false;
                if outcome.is_err() {
                    // This must not later overwrite a newer transition of the same user.
                    let newer: Vec<Transition> = std::mem::take(&mut self.unsaved);
                    self.unsaved = transitions
                        .into_iter()
                        .filter(|old| !newer.iter().any(|new| new.user == old.user))
                        .collect();
                    self.unsaved.extend(newer);
                }
            }
            Done::LeftOnline(Ok(found)) => self.take_left_online(found),
        }
    }

    /// Publishes that those users are offline whom a dead process left online.
    fn take_left_online(&mut self, found: Vec<LeftOnline>) {
        let Some(last) = found.last() else {
            self.ctx.presence.table().forget_delivered();
            return;
        };
        self.left_online_after = Some(last.user.clone());
        let now = Instant::now();
        let mut transitions = Vec::new();
        {
            let mut table = self.ctx.presence.table();
            for left in found {
                let last_seen = left.last_seen.unwrap_or_else(Timestamp::now).as_millis();
                if table.remember_published(&left.user, left.shown, last_seen) {
                    transitions.extend(table.transition_of(left.user, now));
                }
            }
        }
        self.publish(transitions);
        self.running
            .push(look_back(self.ctx.clone(), self.left_online_after.clone()));
    }

    /// Announces changes of this process to the others, and publishes transitions.
    async fn announce_changes(&mut self) {
        let now = Instant::now();
        let presence = Arc::clone(&self.ctx.presence);
        let writers = presence.table().living_writers(now);
        self.writers.update(writers, now);
        let choices = presence.take_choices();
        for choice in choices {
            if let GossipMessage::Chosen { user, chosen } = &choice.message {
                // This process may have the user itself.
                let own = HashMap::from([(user.clone(), chosen.clone())]);
                let notes = presence.take_chosen(&own);
                say(&self.speaker, notes).await;
            }
            self.speaker.say(&choice).await;
        }
        let notes = presence.take_changes(now);
        say(&self.speaker, notes).await;
        if !self.is_reading {
            let users = presence.take_arrivals(BATCH);
            if !users.is_empty() {
                self.is_reading = true;
                self.running.push(read_arrivals(self.ctx.clone(), users));
            }
        }
        let transitions = presence.table().transitions(now);
        self.publish(transitions);
        if !self.is_saving && !self.unsaved.is_empty() {
            self.is_saving = true;
            let transitions = std::mem::take(&mut self.unsaved);
            self.running.push(save(self.ctx.clone(), transitions));
        }
    }

    fn publish(&mut self, transitions: Vec<Transition>) {
        for transition in transitions {
            let kind = transition.shown.kind();
            counter!("chat_presence_transitions_total", "kind" => kind.as_str()).increment(1);
            let data = EventData::UserPresence(UserPresence {
                user_id: transition.user.clone(),
                conversation_id: None,
                status: transition.shown.status,
                text: transition.shown.text.clone(),
                last_seen: transition.last_seen,
                timestamp: Timestamp::now(),
            });
            let user = transition.user.clone();
            let mut value = LatestValue::new(user.clone(), Some(user), kind, data);
            value.envelope.id = transition.id.clone();
            self.ctx.latest.publish(value);
            self.unsaved.retain(|old| old.user != transition.user);
            self.unsaved.push(transition);
        }
    }
}

fn read_arrivals(ctx: Context, users: Vec<UserId>) -> BoxFuture<'static, Done> {
    async move {
        let chosen = ctx.store.find_chosen(&users).await;
        if chosen.is_err() {
            // The store is unavailable; retrying at once would not help.
            tokio::time::sleep(TICK).await;
        }
        Done::Arrived(users, chosen)
    }
    .boxed()
}

fn read_choices(ctx: Context) -> BoxFuture<'static, Done> {
    let back = i64::try_from(CHOICES_BACK.as_millis()).unwrap_or(i64::MAX);
    let since = Timestamp::now().as_millis().saturating_sub(back);
    async move { Done::Chosen(ctx.store.find_chosen_since(since).await) }.boxed()
}

fn save(ctx: Context, transitions: Vec<Transition>) -> BoxFuture<'static, Done> {
    async move {
        let saved = ctx.store.save_presence(&transitions).await;
        if saved.is_err() {
            tokio::time::sleep(TICK).await;
        }
        Done::Saved(transitions, saved)
    }
    .boxed()
}

fn look_back(ctx: Context, after: Option<UserId>) -> BoxFuture<'static, Done> {
    async move {
        let found = ctx.store.find_left_online(after.as_ref(), BATCH as i64);
        Done::LeftOnline(found.await)
    }
    .boxed()
}
