//! Database operations that the log needs.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use chat_sdk::{ConversationId, EventId, MessageId, UserId};

use crate::model::{
    DomainError,
    entry::{Entry, Owner},
    fold::{BlockChange, DocumentChange, Effects, Facet, ReactionChange},
    state::{Member, State, Target, TargetState},
};

/// The database was unreachable or did not answer in time. A write may or may not have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

impl From<Unavailable> for DomainError {
    fn from(_: Unavailable) -> Self {
        DomainError::store_unavailable()
    }
}

/// Outcome of an insert.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertOutcome {
    /// All entries except the listed ones are committed by a majority.
    Decided {
        /// Rejected entries by index, ascending.
        conflicts: Vec<(usize, Conflict)>,
        /// Index from which nothing was tried (an ordered insert stops at its first conflict).
        not_tried_from: usize,
    },
    /// It is unknown which entries were written.
    Unknown,
}

/// Unique index that rejected an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Another entry has this seq.
    Seq,
    /// The same command is already in the log.
    Id,
    /// The same sender already has a message with this `clientMessageId` in this conversation.
    ClientMessageId,
}

/// Consecutive entries of one owner, merged into the writes that they require.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Owner of the entries.
    pub owner: Owner,
    /// Seq that the documents are at before the run.
    pub from: u64,
    /// Seq that the documents are at after the run.
    pub to: u64,
    /// Members whose document changes, in their final state; each write is guarded by its seq.
    pub members: BTreeMap<UserId, Member>,
    /// Messages whose document changes, with the key of the changed part, in their final state.
    pub facets: BTreeMap<(MessageId, (u8, String)), Facet>,
    /// Reactions whose document changes, oldest first; each write is guarded by its seq.
    pub reactions: Vec<ReactionChange>,
    /// Blocks whose document changes, oldest first; each write is guarded by its seq.
    pub blocks: Vec<BlockChange>,
    /// Change of the owner's document; `None` if only its seq changes.
    pub document: Option<DocumentChange>,
}

impl Run {
    /// Creates an empty run at `from`.
    pub fn at(owner: Owner, from: u64) -> Self {
        Self {
            owner,
            from,
            to: from,
            members: BTreeMap::new(),
            facets: BTreeMap::new(),
            reactions: Vec::new(),
            blocks: Vec::new(),
            document: None,
        }
    }

    /// Adds the effects of the next entry.
    pub fn push(&mut self, effects: Effects) {
        self.to += 1;
        self.members.extend(effects.members);
        if let Some((message, facet)) = effects.facet {
            let (kind, part) = facet.key();
            let key = (message, (kind, part.to_owned()));
            self.facets.insert(key, facet);
        }
        self.reactions.extend(effects.reaction);
        self.blocks.extend(effects.block);
        self.document = match (self.document.take(), effects.document) {
            (Some(earlier), Some(later)) => Some(earlier.then(later)),
            (earlier, later) => later.or(earlier),
        };
    }

    /// True if the run only records activity.
    pub fn is_activity(&self) -> bool {
        let Self {
            members,
            facets,
            reactions,
            blocks,
            document,
            ..
        } = self;
        members.is_empty()
            && facets.is_empty()
            && reactions.is_empty()
            && blocks.is_empty()
            && matches!(document, None | Some(DocumentChange::Activity { .. }))
    }

    /// Returns the facets in the order of their entries.
    ///
    /// One may depend on another of the same message.
    pub fn facets_in_order(&self) -> Vec<(&MessageId, &Facet)> {
        let facets = self.facets.iter();
        let mut facets: Vec<_> = facets.map(|((id, _), facet)| (id, facet)).collect();
        facets.sort_by_key(|(_, facet)| facet.seq());
        facets
    }

    /// True if the run changes so many documents that other owners should not wait for it.
    pub fn is_large(&self) -> bool {
        self.changes() > 100
    }

    /// Returns the number of documents that change.
    pub fn changes(&self) -> usize {
        self.members.len() + self.facets.len() + self.reactions.len() + self.blocks.len() + 1
    }

    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

/// Consecutive entries of one log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// Entries, ascending by seq.
    pub entries: Vec<Arc<Entry>>,
    /// True if the page is full, so that more entries may follow.
    pub has_more: bool,
}

/// Primitives of the log.
///
/// Reads see only what a majority has committed; writes answer after a majority has them.
pub trait Backend: Send + Sync + 'static {
    /// Inserts entries. An `ordered` insert stops at the first conflict.
    fn insert(
        &self,
        entries: &[Arc<Entry>],
        ordered: bool,
    ) -> impl Future<Output = InsertOutcome> + Send;

    /// Reads an owner's documents: `applied`, the state, and the current members.
    ///
    /// Members may be ahead of `applied`, never behind.
    fn read_documents(
        &self,
        owner: &Owner,
    ) -> impl Future<Output = Result<State, Unavailable>> + Send;

    /// Reads the stored records of those `users` who are or were members of `conversation`.
    fn find_members(
        &self,
        conversation: &ConversationId,
        users: &[UserId],
    ) -> impl Future<Output = Result<Vec<(UserId, Member)>, Unavailable>> + Send;

    /// Reads the seq that the documents of each of `owners` are at, in the same order.
    ///
    /// It is 0 without a document.
    fn read_applied(
        &self,
        owners: &[Owner],
    ) -> impl Future<Output = Result<Vec<u64>, Unavailable>> + Send;

    /// Reads an owner's entries after `after`.
    ///
    /// It reads at most `limit`, and about [`crate::model::bounds::LOG_BATCH`] bytes.
    ///
    /// If more entries follow, the page has at least one.
    fn read_log(
        &self,
        owner: &Owner,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<LogPage, Unavailable>> + Send;

    /// Finds an entry by id.
    fn find_by_id(
        &self,
        id: &EventId,
    ) -> impl Future<Output = Result<Option<Arc<Entry>>, Unavailable>> + Send;

    /// Finds the message that `actor` (`None`: the host) sent to `owner` with `client_message_id`.
    fn find_by_client_message_id(
        &self,
        owner: &Owner,
        actor: Option<&UserId>,
        client_message_id: &str,
    ) -> impl Future<Output = Result<Option<Arc<Entry>>, Unavailable>> + Send;

    /// Reads the targets of commands from their documents, in the same order.
    fn find_targets(
        &self,
        targets: &[Target],
    ) -> impl Future<Output = Result<Vec<TargetState>, Unavailable>> + Send;

    /// Writes runs and returns for each run whether its owner's document was written.
    ///
    /// Members and facets are written first, each guarded by its seq; then the owners' documents, each only if it is at the run's `from`.
    fn write(&self, runs: &[Run]) -> impl Future<Output = Result<Vec<bool>, Unavailable>> + Send;
}
