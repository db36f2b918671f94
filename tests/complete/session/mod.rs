//! A random session: several users run thousands of operations concurrently, valid and invalid ones, over REST and sockets, through nginx, and disconnect and
//! reconnect meanwhile.
//!
//! Afterwards, and now and then, everybody's replica equals what REST answers, and every socket got exactly the entries inside its user's memberships.
//! `SEED` and `SESSION_OPERATIONS` repeat and lengthen it.

mod actor;
mod expected;
mod more;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use rand::{SeedableRng, rngs::StdRng};

use self::{
    actor::{Actor, Pool},
    expected::{read_expected, what_is_wrong},
};
use super::scenario::Deployment;
use crate::support::{
    random_seed,
    replica::{Watcher, settle},
};

/// Default number of operations of a session; `SESSION_OPERATIONS` overrides it.
const OPERATIONS: usize = 2_400;
/// Number of pieces of a session; all replicas are compared after each piece.
const PIECES: usize = 3;
/// The participants. The last one only listens and is a member of nothing.
const USERS: [&str; 6] = ["ann", "ben", "cat", "dan", "eve", "nobody"];

async fn play_session(seed: u64, operations: usize) {
    let deployment = Deployment::start().await;
    let front = &deployment.front;
    let pool = Arc::new(Mutex::new(Pool::default()));
    let mut players = Vec::new();
    for (number, name) in USERS.iter().enumerate() {
        let user = front.user(name).await;
        let mut watcher = Watcher::connect(&user).await;
        // Marking unread is not pushed to others, so they cannot follow read positions; the table compares both.
        watcher.replica.without.insert("receipts");
        // A user who blocks looks offline to the blocked user, who gets no event about the block; the table compares presence.
        watcher.replica.without.insert("presence");
        players.push(Actor {
            watcher,
            random: StdRng::seed_from_u64(seed ^ ((number as u64 + 1) << 32)),
            pool: Arc::clone(&pool),
        });
    }
    let share = operations / (USERS.len() - 1) / PIECES;
    for _ in 0..PIECES {
        let (listener, active) = players.split_last_mut().expect("players");
        join_all(active.iter_mut().map(|actor| async move {
            for _ in 0..share {
                actor.play().await;
            }
        }))
        .await;
        listener.watcher.follow().await;
        let ids = pool.lock().conversations.clone();
        let mut watchers: Vec<&mut Watcher> = players.iter_mut().map(|p| &mut p.watcher).collect();
        if let Err(report) = settle(&mut watchers, &ids).await {
            panic!("the replicas differ from what REST answers:\n{report}");
        }
    }
    // Expiry and scheduled sends may continue for some seconds.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let truths = read_expected(front.sandbox()).await;
        let mut report = String::new();
        for actor in &mut players {
            actor.watcher.follow().await;
            report.push_str(&what_is_wrong(actor, &truths));
        }
        if report.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{report}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let came = |name: &str| {
        let actor = players.iter().find(|actor| actor.watcher.user.id == name);
        actor.map_or(0, |actor| actor.watcher.came.len())
    };
    assert_eq!(came("nobody"), 0, "who is in nothing hears nothing");
    let pool = pool.lock();
    assert!(
        pool.messages.len() * 30 > operations && pool.conversations.len() > 4 && came("ann") > 20,
        "little happened: {} messages in {} conversations",
        pool.messages.len(),
        pool.conversations.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_random_session_every_replica_equals_rest() {
    let seed = random_seed();
    let operations = std::env::var("SESSION_OPERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(OPERATIONS);
    // Runs in a task, so that a failure is reported with its seed.
    let session = tokio::spawn(play_session(seed, operations));
    if let Err(error) = session.await {
        panic!("SEED={seed} SESSION_OPERATIONS={operations}: {error}");
    }
}
