//! What this process itself knows of presence: its own sockets' users, and the board of everybody's.
//!
//! Sockets and verbs change it at once and wait for nothing; one task takes the changes from here, tells the other nodes, and settles what the world is told.

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

use super::{
    Change, Chosen, Entry, GRACE, GossipEnvelope, GossipMessage, PresenceTable, Shown, Viewer,
};

/// When a user's sockets on this node were last heard of. Shared by all of them.
#[derive(Debug, Default)]
pub struct Activity {
    /// Milliseconds since the roster began.
    at: AtomicU64,
    /// Whether the board says that the user is not active here.
    is_idle: AtomicBool,
}

/// A user with sockets here, or who had some a moment ago.
#[derive(Debug)]
struct Here {
    sockets: u32,
    activity: Arc<Activity>,
    /// When the last socket closed.
    closed: Option<(Instant, i64)>,
}

#[derive(Debug, Default)]
struct Local {
    users: HashMap<UserId, Here>,
    /// When to look at a user again: for idleness or the end of the grace.
    deadlines: BTreeSet<(Instant, UserId)>,
    /// Who came and is not on the board yet: it is to be read first what they chose.
    arrivals: Vec<UserId>,
    /// Who was idle and is active again.
    woken: Vec<UserId>,
    /// Choices that were made here and that the other nodes must hear of.
    choices: Vec<(UserId, Chosen)>,
}

/// The users of this process and of all others.
#[derive(Debug)]
pub struct LocalPresence {
    started: Instant,
    away_after: Duration,
    local: Mutex<Local>,
    board: Mutex<PresenceTable>,
    /// Told when there is something to take from here.
    pub wake: Notify,
}

impl LocalPresence {
    /// The roster of a new process. A user is away after `away_after` without a frame.
    pub fn new(away_after: Duration) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            away_after,
            local: Mutex::default(),
            board: Mutex::new(PresenceTable::new()),
            wake: Notify::new(),
        })
    }

    /// The board, for whoever tells it what the nodes said.
    pub fn board(&self) -> parking_lot::MutexGuard<'_, PresenceTable> {
        self.board.lock()
    }

    /// How `user` looks at this moment.
    pub fn shown(&self, user: &UserId, eye: Viewer) -> Shown {
        self.board.lock().shown(user, eye)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A socket of `user` opened on this node. Each is followed by one [`LocalPresence::disconnect`].
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

    /// A socket of `user` is gone. With the last one the grace begins.
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

    /// The client of a socket of `user` did something.
    pub fn touch(&self, user: &UserId, activity: &Activity) {
        note_activity(activity, self.elapsed(), || {
            self.local.lock().woken.push(user.clone());
            self.wake.notify_one();
        });
    }

    /// `user` chose what to look like. The node that has their sockets is told; until it says so, this process answers with it already.
    pub fn choose(&self, user: &UserId, chosen: &Chosen) {
        self.board.lock().choose(user, chosen);
        self.local
            .lock()
            .choices
            .push((user.clone(), chosen.clone()));
        self.wake.notify_one();
    }

    /// The choices that the other nodes have not heard of yet.
    pub fn take_choices(&self) -> Vec<GossipEnvelope> {
        let choices = std::mem::take(&mut self.local.lock().choices);
        let board = self.board.lock();
        choices
            .into_iter()
            .map(|(user, chosen)| board.note(GossipMessage::Chosen { user, chosen }))
            .collect()
    }

    /// Those who came and of whom it must be read what they chose, at most `most`.
    pub fn take_arrivals(&self, most: usize) -> Vec<UserId> {
        let mut local = self.local.lock();
        let count = most.min(local.arrivals.len());
        local.arrivals.drain(..count).collect()
    }

    /// Puts `users` back, whose choices could not be read.
    pub fn retry_arrivals(&self, users: Vec<UserId>) {
        self.local.lock().arrivals.extend(users);
    }

    /// Puts those who came on the board, with what they chose, if they are still here.
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
        self.board.lock().change_own(changes)
    }

    /// Takes what `users` chose, if it is news. Answers what the other nodes must hear.
    pub fn take_chosen(&self, chosen: &HashMap<UserId, Chosen>) -> Vec<GossipEnvelope> {
        self.board.lock().choose_own(chosen)
    }

    /// Takes in who was idle and is active again, who is idle now, and who is gone. Answers what the other nodes must hear.
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
                    // The deadline of the grace is still to come.
                    (Some(_), _) => {}
                    (None, due) if due > now => drop(local.deadlines.insert((due, user))),
                    (None, _) if !here.activity.is_idle.swap(true, Ordering::AcqRel) => {
                        let due = self.idle_at(&here.activity);
                        if due <= now {
                            active.push((user, false));
                        } else {
                            // A frame came in the same moment, and saw that nobody needed to be told.
                            here.activity.is_idle.store(false, Ordering::Release);
                            local.deadlines.insert((due, user));
                        }
                    }
                    (None, _) => {}
                }
            }
        }
        let mut board = self.board.lock();
        let mut changes: Vec<Change> = active
            .into_iter()
            .filter_map(|(user, is_active)| {
                let entry = Entry {
                    is_active,
                    ..board.own(&user)?.clone()
                };
                Some(Change::here(user, entry, at))
            })
            .collect();
        changes.extend(gone.into_iter().filter_map(|(user, left)| {
            board.own(&user)?;
            Some(Change::gone(user, left))
        }));
        board.change_own(changes)
    }

    /// When a user counts as idle who does nothing from now on.
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
