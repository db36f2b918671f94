//! What can go wrong in a run, and what is broken on purpose to see whether the checks notice.

use rand::{Rng, rngs::StdRng};

/// How likely each fault is, per command.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A read fails.
    pub read_fails: f64,
    /// A command never reaches the server, and the client hears that it failed.
    pub lost: f64,
    /// The server does a part of the command, and the client hears that it failed.
    pub cut: f64,
    /// The server does the command, and the client hears that it failed.
    pub deaf: f64,
    /// The client hears that the command failed, and the server does it up to a second later.
    pub late: f64,
    /// A command or its answer takes long.
    pub slow: f64,
    /// The primary steps down, per step of the replication; what no majority has is gone.
    pub rollback: f64,
    /// The majority is far behind, per step of the replication.
    pub lag: f64,
    /// A refusal by an index is answered before a majority has the entry that is in the way.
    pub early_refusal: f64,
}

impl Faults {
    /// Everything that can happen, as often as `rng` says; now and then nothing.
    pub fn draw(rng: &mut StdRng) -> Self {
        let mut chance = |most: f64| {
            if rng.random_bool(0.4) {
                0.0
            } else {
                rng.random_range(0.0..most)
            }
        };
        Self {
            read_fails: chance(0.08),
            lost: chance(0.08),
            cut: chance(0.1),
            deaf: chance(0.1),
            late: chance(0.15),
            slow: chance(0.1),
            rollback: chance(0.02),
            lag: chance(0.3),
            early_refusal: chance(0.5),
        }
    }

    /// The fault of one command of `statements` statements.
    pub fn of_command(&self, rng: &mut StdRng, statements: usize) -> Fate {
        let mut left = rng.random_range(0.0..1.0);
        let mut is = |chance: f64| {
            left -= chance;
            left < 0.0
        };
        if is(self.lost) {
            Fate::Failed {
                delay: 0,
                statements: 0,
            }
        } else if is(self.cut) {
            Fate::Failed {
                delay: 1,
                statements: rng.random_range(0..=statements),
            }
        } else if is(self.deaf) {
            Fate::Failed {
                delay: 1,
                statements,
            }
        } else if is(self.late) {
            let part = if rng.random_bool(0.8) {
                statements
            } else {
                rng.random_range(0..=statements)
            };
            Fate::Failed {
                delay: rng.random_range(1..1000),
                statements: part,
            }
        } else {
            Fate::Answered
        }
    }
}

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// The client hears nothing; the server does the first `statements` after `delay` milliseconds.
    Failed {
        delay: u64,
        statements: usize,
    },
}

/// A broken promise of the database, which the checks must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// An entry that was answered as written is not there.
    DropsAnEntry,
    /// The index on (owner, seq) is missing.
    NumberTwice,
    /// The index on (owner, actor, clientMessageId) is missing.
    NoMessageIndex,
    /// A change of a member is not written.
    SkipsAMember,
    /// A change of a message is not written.
    SkipsAFacet,
    /// Writes are answered before a majority has them.
    AnswersEarly,
    /// Reads see what no majority has.
    ReadsDirty,
    /// An ordered insert goes on after a refusal.
    IgnoresOrder,
    /// Members are overwritten by older ones.
    NoMemberGuard,
    /// Records of former members are not found.
    HidesFormerMembers,
    /// An owner's document is overwritten from another number than it is at.
    NoOwnerGuard,
}

impl Mutant {
    pub const ALL: [Self; 11] = [
        Self::DropsAnEntry,
        Self::NumberTwice,
        Self::NoMessageIndex,
        Self::SkipsAMember,
        Self::SkipsAFacet,
        Self::AnswersEarly,
        Self::ReadsDirty,
        Self::IgnoresOrder,
        Self::NoMemberGuard,
        Self::HidesFormerMembers,
        Self::NoOwnerGuard,
    ];
}
