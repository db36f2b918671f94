//! Several writers over a model of the database, with faults between them, on a simulated clock.
//!
//! # Modules
//! - `tables`, `database`, `faults`: the database. Its indexes, guards and majorities behave as MongoDB's; the fate of each command is drawn from a seed.
//! - `process`: the connection of one process to the database.
//! - `cluster`: processes with a `Writer` each, and a record of every request and answer.
//! - `actors`: clients, a sweeper, and a task that kills processes.
//! - `observer`, `checks`: the invariants of every moment, and those of the end.
//! - `scripted`: one interleaving per rule of the log.
//!
//! Runs are deterministic: the same seed gives the same run. `CHAT_SIM_SEEDS` sets the number of seeds to run, `CHAT_SIM_FIRST` the first one.

mod actors;
mod checks;
mod cluster;
mod database;
mod faults;
mod observer;
mod process;
mod scripted;
mod tables;

use std::{collections::BTreeMap, sync::Arc};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::runtime::Builder;

use actors::Workload;
use cluster::Cluster;
use faults::{Faults, Mutant};

/// Default number of seeds: about 20 seconds with a debug build.
const SEEDS: u64 = 400;

/// Runs `scenario` on a simulated clock, which advances as soon as every task waits.
fn on_own_clock<T>(scenario: impl Future<Output = T>) -> T {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime starts")
        .block_on(scenario)
}

/// Returns the violations in the run of `seed`.
fn run(seed: u64, mutant: Option<Mutant>) -> (Vec<String>, Arc<Cluster>) {
    on_own_clock(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let faults = Faults::draw(&mut rng);
        let cluster = Cluster::new(rng.random(), faults, mutant, rng.random_range(1..=4));
        let workload = Workload {
            conversations: rng.random_range(1..=3),
            steps: rng.random_range(6..16),
            pause: *[0, 5, 40, 200].choose(&mut rng).expect("four"),
        };
        let clients: Vec<_> = (0..rng.random_range(2..8))
            .map(|index| tokio::spawn(actors::client(Arc::clone(&cluster), index, workload)))
            .collect();
        let mut others = Vec::new();
        if rng.random_bool(0.5) {
            others.push(tokio::spawn(actors::sweeper(
                Arc::clone(&cluster),
                workload.conversations,
            )));
        }
        if rng.random_bool(0.5) {
            others.push(tokio::spawn(actors::killer(Arc::clone(&cluster))));
        }
        for client in clients {
            client.await.expect("a client does not panic");
        }
        others.iter().for_each(tokio::task::JoinHandle::abort);
        cluster.heal().await;
        (checks::check(&cluster), cluster)
    })
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn many_seeds() {
    let first = setting("CHAT_SIM_FIRST").unwrap_or(0);
    let count = setting("CHAT_SIM_SEEDS").unwrap_or(SEEDS);
    let mut kinds: BTreeMap<String, (u64, u64, String)> = BTreeMap::new();
    for seed in first..first + count {
        let (faults, _) = run(seed, None);
        for fault in faults {
            let kind = fault.split(':').next().unwrap_or_default();
            let kind: String = kind.chars().filter(|c| !c.is_ascii_digit()).collect();
            kinds.entry(kind).or_insert((0, seed, fault)).0 += 1;
        }
    }
    let report: Vec<String> = kinds
        .values()
        .map(|(count, seed, fault)| format!("{count} times, first with seed {seed}: {fault}"))
        .collect();
    assert!(report.is_empty(), "{}", report.join("\n"));
}

/// Seeds that once violated an invariant, and the invariant of each.
const REGRESSIONS: [(u64, &str); 5] = [
    (
        8,
        "a refusal rested on a state that another process had left behind",
    ),
    (
        17,
        "a command handed over twice was found unnecessary by its own effect",
    ),
    (
        46,
        "a repeated message was refused, because its sender had left since",
    ),
    (
        144,
        "a command was found unnecessary by a state that another process had left behind",
    ),
    (
        285,
        "a command handed over twice was refused by its own effect",
    ),
];

#[test]
fn regressions() {
    for (seed, promise) in REGRESSIONS {
        let (faults, _) = run(seed, None);
        assert!(
            faults.is_empty(),
            "seed {seed}, {promise}:\n{}",
            faults.join("\n")
        );
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let runs = [(); 2].map(|()| {
            let (_, cluster) = run(seed, None);
            let attempts = cluster.attempts.lock();
            let told: Vec<_> = attempts
                .iter()
                .map(|attempt| {
                    (
                        attempt.request.event_id.clone(),
                        attempt.process,
                        attempt.asked_at,
                        attempt.answered_at,
                    )
                })
                .collect();
            told
        });
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}

#[test]
fn defects_of_the_database_are_noticed() {
    for mutant in Mutant::ALL {
        // A member overwritten by an older version takes the most runs to occur.
        let is_noticed = (0..600).any(|seed| !run(seed, Some(mutant)).0.is_empty());
        assert!(is_noticed, "nothing noticed {mutant:?}");
    }
}
