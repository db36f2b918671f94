//! Faults that a run can have, and deliberate defects that prove that the checks notice them.

use rand::{Rng, rngs::StdRng};

/// Probability of each fault, per command unless stated otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A read fails.
    pub read_fails: f64,
    /// The command never reaches the server, and the client gets an error.
    pub lost: f64,
    /// The server executes a part of the command, and the client gets an error.
    pub cut: f64,
    /// The server executes the command, and the client gets an error.
    pub deaf: f64,
    /// The client gets an error, and the server executes the command up to a second later.
    pub late: f64,
    /// The command or its answer is slow.
    pub slow: f64,
    /// The primary steps down, per replication step; writes without a majority are rolled back.
    pub rollback: f64,
    /// The majority lags far behind, per replication step.
    pub lag: f64,
    /// A duplicate-key error is answered before a majority has the conflicting entry.
    pub early_refusal: f64,
}

impl Faults {
    /// Returns random probabilities of all faults; occasionally none.
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

    /// Draws the fault of one command of `statements` statements.
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

/// Fate of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// The client gets no answer; the server executes the first `statements` after `delay` milliseconds.
    Failed {
        delay: u64,
        statements: usize,
    },
}

/// Deliberate defect of the database, which the checks must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// An entry acknowledged as written is missing.
    DropsAnEntry,
    /// The index on (owner, seq) is missing.
    NumberTwice,
    /// The index on (owner, actor, clientMessageId) is missing.
    NoMessageIndex,
    /// A change of a member is not written.
    SkipsAMember,
    /// A change of a message is not written.
    SkipsAFacet,
    /// Writes are acknowledged before a majority has them.
    AnswersEarly,
    /// Reads return writes that no majority has.
    ReadsDirty,
    /// An ordered insert continues after an error.
    IgnoresOrder,
    /// Members are overwritten by older versions.
    NoMemberGuard,
    /// Records of former members are not found.
    HidesFormerMembers,
    /// An owner's document is overwritten based on a seq other than its current one.
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
