//! Presence that this process itself knows: the users of its own sockets, and the table of all nodes' users.
//!
//! Sockets and operations change it at once and never wait. One task takes the changes, sends them to the other nodes, and publishes what changed.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chat_sdk::{Timestamp, UserId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::presence::{
    Change, Chosen, Entry, GRACE, GossipEnvelope, GossipMessage, PresenceTable, Viewer,
    VisiblePresence,
};

/// Last activity of a user's sockets on this node; all of the user's sockets share it.
#[derive(Debug, Default)]
pub struct Activity {
    /// Time of the last activity, in milliseconds since the start of the process.
    at: AtomicU64,
    /// True if the table lists the user as inactive on this node.
    is_idle: AtomicBool,
}

/// A user with sockets on this node, or within the grace period after the last one closed.
#[derive(Debug)]
struct Here {
    sockets: u32,
    activity: Arc<Activity>,
    /// Time at which the last socket closed.
    closed: Option<(Instant, i64)>,
}

#[derive(Debug, Default)]
struct Local {
    users: HashMap<UserId, Here>,
    /// Times at which users are checked again, for idleness or the end of the grace period.
    deadlines: BTreeSet<(Instant, UserId)>,
    /// Users who arrived and are not in the table yet: their chosen status has to be read first.
    arrivals: Vec<UserId>,
    /// Users who were idle and are active again.
    woken: Vec<UserId>,
    /// Statuses chosen on this node, to be sent to the other nodes.
    choices: Vec<(UserId, Chosen)>,
}

/// Presence of the users of this process and of all others.
#[derive(Debug)]
pub struct LocalPresence {
    started: Instant,
    away_after: Duration,
    local: Mutex<Local>,
    table: Mutex<PresenceTable>,
    /// Notified when there are changes to take.
    pub wake: Notify,
}

impl LocalPresence {
    /// Returns the presence of the new process `me`. A user is away after `away_after` without a frame.
    ///
    /// `is_writer` says whether the process takes commands.
    pub fn new(me: Arc<str>, is_writer: bool, away_after: Duration) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            away_after,
            local: Mutex::default(),
            table: Mutex::new(PresenceTable::new(me, is_writer)),
            wake: Notify::new(),
        })
    }

    /// Locks and returns the presence table.
    pub fn table(&self) -> parking_lot::MutexGuard<'_, PresenceTable> {
        self.table.lock()
    }

    /// Returns the present state of `user`.
    pub fn shown(&self, user: &UserId, viewer: Viewer) -> VisiblePresence {
        self.table.lock().shown(user, viewer)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Records a new socket of `user` on this node.
    ///
    /// Each call is followed by one [`LocalPresence::disconnect`].
    pub fn connect(&self, user: &UserId) -> Arc<Activity> {
        let mut local = self.local.lock();
        let local = &mut *local;
        let here = local.users.entry(user.clone()).or_insert_with(|| {
            local.arrivals.push(user.clone());
            local
                .deadlines
                .insert((Instant::now() + self.away_after, user.clone()));
            Here {
                sockets: 0,
                activity: Arc::new(Activity::default()),
                closed: None,
            }
        });
        here.sockets += 1;
        here.closed = None;
        let activity = Arc::clone(&here.activity);
        note_activity(&activity, self.elapsed(), || {
            local.woken.push(user.clone());
        });
        self.wake.notify_one();
        activity
    }

    /// Records that a socket of `user` closed. The last one starts the grace period.
    pub fn disconnect(&self, user: &UserId) {
        let mut local = self.local.lock();
        let local = &mut *local;
        let Some(here) = local.users.get_mut(user) else {
            return;
        };
        here.sockets = here.sockets.saturating_sub(1);
        if here.sockets == 0 {
            let now = Instant::now();
            here.closed = Some((now, Timestamp::now().as_millis()));
            local.deadlines.insert((now + GRACE, user.clone()));
        }
    }

    /// Records activity of a client of `user`.
    pub fn touch(&self, user: &UserId, activity: &Activity) {
        note_activity(activity, self.elapsed(), || {
            self.local.lock().woken.push(user.clone());
            self.wake.notify_one();
        });
    }

    /// Stores the status that `user` chose and passes it on to the node that has their sockets.
    ///
    /// Until that node announces it, this process already returns it.
    pub fn choose(&self, user: &UserId, chosen: &Chosen) {
        self.table.lock().choose(user, chosen);
        self.local
            .lock()
            .choices
            .push((user.clone(), chosen.clone()));
        self.wake.notify_one();
    }

    /// Takes the messages with chosen statuses that the other nodes have not received yet.
    pub fn take_choices(&self) -> Vec<GossipEnvelope> {
        let choices = std::mem::take(&mut self.local.lock().choices);
        let table = self.table.lock();
        choices
            .into_iter()
            .map(|(user, chosen)| table.envelope(GossipMessage::Chosen { user, chosen }))
            .collect()
    }

    /// Takes users who arrived and whose chosen status must be read, at most `most`.
    pub fn take_arrivals(&self, most: usize) -> Vec<UserId> {
        let mut local = self.local.lock();
        let count = most.min(local.arrivals.len());
        local.arrivals.drain(..count).collect()
    }

    /// Puts `users` back whose chosen status could not be read.
    pub fn retry_arrivals(&self, users: Vec<UserId>) {
        self.local.lock().arrivals.extend(users);
    }

    /// Adds users who arrived to the table, with their chosen status, if they are still connected.
    pub fn announce_arrivals(
        &self,
        users: Vec<UserId>,
        mut chosen: HashMap<UserId, Chosen>,
    ) -> Vec<GossipEnvelope> {
        let now = Timestamp::now().as_millis();
        let changes = {
            let local = self.local.lock();
            let arrived = users.into_iter().filter_map(|user| {
                let here = local.users.get(&user)?;
                let entry = Entry {
                    is_active: !here.activity.is_idle.load(Ordering::Acquire),
                    chosen: chosen.remove(&user).unwrap_or_default(),
                    since: now,
                };
                Some(Change::here(user, entry, now))
            });
            arrived.collect()
        };
        self.table.lock().change_own(changes)
    }

    /// Applies newer chosen statuses of own users. Returns the messages for the other nodes.
    pub fn take_chosen(&self, chosen: &HashMap<UserId, Chosen>) -> Vec<GossipEnvelope> {
        self.table.lock().choose_own(chosen)
    }

    /// Applies what changed on this node: users active again, idle or gone.
    ///
    /// Returns the messages for the other nodes.
    pub fn take_changes(&self, now: Instant) -> Vec<GossipEnvelope> {
        let at = Timestamp::now().as_millis();
        let mut active: Vec<(UserId, bool)> = Vec::new();
        let mut gone: Vec<(UserId, i64)> = Vec::new();
        {
            let mut local = self.local.lock();
            let local = &mut *local;
            for user in std::mem::take(&mut local.woken) {
                local
                    .deadlines
                    .insert((now + self.away_after, user.clone()));
                active.push((user, true));
            }
            while local.deadlines.first().is_some_and(|(due, _)| *due <= now) {
                let Some((_, user)) = local.deadlines.pop_first() else {
                    break;
                };
                let Some(here) = local.users.get(&user) else {
                    continue;
                };
                match (here.closed, self.idle_at(&here.activity)) {
                    (Some((closed, left)), _) if closed + GRACE <= now => {
                        local.users.remove(&user);
                        gone.push((user, left));
                    }
                    // The deadline of the grace period is still to come.
                    (Some(_), _) => {}
                    (None, due) if due > now => drop(local.deadlines.insert((due, user))),
                    (None, _) if !here.activity.is_idle.swap(true, Ordering::AcqRel) => {
                        let due = self.idle_at(&here.activity);
                        if due <= now {
                            active.push((user, false));
                        } else {
                            // A frame came at the same moment, and did not see that the user was idle.
                            here.activity.is_idle.store(false, Ordering::Release);
                            local.deadlines.insert((due, user));
                        }
                    }
                    (None, _) => {}
                }
            }
        }
        let mut table = self.table.lock();
        let mut changes: Vec<Change> = active
            .into_iter()
            .filter_map(|(user, is_active)| {
                let entry = Entry {
                    is_active,
                    ..table.own(&user)?.clone()
                };
                Some(Change::here(user, entry, at))
            })
            .collect();
        changes.extend(gone.into_iter().filter_map(|(user, left)| {
            table.own(&user)?;
            Some(Change::gone(user, left))
        }));
        table.change_own(changes)
    }

    /// Returns the time at which a user without further activity counts as idle.
    fn idle_at(&self, activity: &Activity) -> Instant {
        self.started + Duration::from_millis(activity.at.load(Ordering::Acquire)) + self.away_after
    }
}

fn note_activity(activity: &Activity, at: u64, woken: impl FnOnce()) {
    activity.at.store(at, Ordering::Release);
    if activity.is_idle.load(Ordering::Acquire) && activity.is_idle.swap(false, Ordering::AcqRel) {
        woken();
    }
}
