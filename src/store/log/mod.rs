//! The log: every change of a conversation or user is one numbered entry.
//!
//! This module writes the entries and applies them to the documents.
//!
//! # Modules
//! - [`Backend`]: the few primitives that the log needs of a database. [`mongo::MongoBackend`] is the real one. `tests/simulation` has a model of one that
//!   can be late, lose a connection, or leave an outcome unknown.
//! - [`writer`]: accepts commands, checks each against the fold of everything before it, allocates seqs by inserting, commits groups, and applies.
//! - [`apply`]: brings documents up to date with the log, for the writer, repair and the sweep. [`repair`] does so for readers.
//!
//! # Invariants
//! - The insert allocates the seq: the unique index on (owner, seq) decides which entry was first. There is no counter.
//! - A seq is guessed only from entries known to be committed by a majority. After any outcome but success or a decided duplicate, the state that the
//!   guess was based on is dropped and read again.
//! - Nothing is written after a rejected entry of the same owner: an insert with two entries of one owner is ordered.
//! - An owner's document at `applied` is the fold of its entries up to there; every other document of a run is written before it.
//! - A caller gets success after its entry is committed by a majority and applied. Only the activity of a new message may be applied later; readers
//!   wait for it with a read barrier.

pub mod apply;
pub mod backend;
pub mod mongo;
mod owners;
pub mod repair;
mod statement;
pub mod writer;

pub use backend::{Backend, Conflict, InsertOutcome, Unavailable};
pub use writer::Writer;
