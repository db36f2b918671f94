//! The log: every change of a conversation or user as one numbered entry, and how it gets there.
//!
//! # Cast
//! - [`Backend`]: what a database must do for us, as few primitives as possible. [`mongo::MongoBackend`] is the real one; a test has a model of one, with
//!   all the ways in which a database can be late, lose a connection, or leave an outcome unknown.
//! - [`writer`]: takes commands, checks each against the fold of everything before it, allocates numbers by inserting, commits groups, applies.
//! - [`apply`]: brings documents to where the log is. The writer, repair and the sweep all use it.
//!
//! # Invariants
//! - The insert allocates the number: the unique index on (owner, seq) decides who was first. There is no counter.
//! - A number is guessed only from entries known to be committed by a majority. After any outcome but success or a decided duplicate, what was
//!   guessed from is dropped and read again.
//! - Nothing is written behind a refused entry of its own owner: inserts with two entries of one owner are ordered.
//! - An owner's document at `applied` is the fold of its entries up to there; every other document of a run is written before it.
//! - A caller hears of success after its entry is committed by a majority, and applied. Only that a message came may be applied later, and whoever
//!   reads it settles it first.

pub mod apply;
pub mod backend;
pub mod mongo;
mod owners;
mod statement;
pub mod writer;

#[cfg(test)]
mod simulation;

pub use backend::{Backend, Conflict, InsertOutcome, Unavailable};
pub use writer::Writer;
