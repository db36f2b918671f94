//! What the log needs of a database.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use chat_sdk::{ConversationId, EventId, MessageId, UserId};

use crate::domain::{
    entry::{Entry, Owner},
    fold::{BlockChange, DocumentChange, Effects, Facet, ReactionChange},
    state::{Member, State, Target, TargetState},
};

/// The database could not be asked, or did not answer in time. A write may or may not have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// What became of an insert.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertOutcome {
    /// All entries but those listed are committed by a majority.
    Decided {
        /// Entries that were refused, by index; ascending.
        conflicts: Vec<(usize, Conflict)>,
        /// From here on nothing was tried (an ordered insert stops at its first conflict).
        not_tried_from: usize,
    },
    /// Nobody knows which entries were written.
    Unknown,
}

/// Which unique index refused an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Somebody else has this number.
    Seq,
    /// The same command is there already.
    Id,
    /// The same sender has a message under this `clientMessageId` in this conversation.
    ClientMessageId,
}

/// Entries of one owner that follow one another, merged into what has to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Whose.
    pub owner: Owner,
    /// The number that the documents are at.
    pub from: u64,
    /// The number that the documents will be at.
    pub to: u64,
    /// Members whose document changes, as they are at the end; each is guarded by its number.
    pub members: BTreeMap<UserId, Member>,
    /// Messages whose document changes, with the key of what changes of them; as it is at the end.
    pub facets: BTreeMap<(MessageId, (u8, String)), Facet>,
    /// Reactions whose document changes, oldest first; each is guarded by its number.
    pub reactions: Vec<ReactionChange>,
    /// Blocks whose document changes, oldest first; each is guarded by its number.
    pub blocks: Vec<BlockChange>,
    /// What changes in the owner's document; `None` when only the number does.
    pub document: Option<DocumentChange>,
}

impl Run {
    /// An empty run at `from`.
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

    /// Whether all that is to be written is that something happened.
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

    /// The facets in the order of their entries: one may rest on another of the same message.
    pub fn facets_in_order(&self) -> Vec<(&MessageId, &Facet)> {
        let facets = self.facets.iter();
        let mut facets: Vec<_> = facets.map(|((id, _), facet)| (id, facet)).collect();
        facets.sort_by_key(|(_, facet)| facet.seq());
        facets
    }

    /// Whether it changes so many documents that others would notice, if they waited for it.
    pub fn is_large(&self) -> bool {
        self.changes() > 100
    }

    /// How many documents change.
    pub fn changes(&self) -> usize {
        self.members.len() + self.facets.len() + self.reactions.len() + self.blocks.len() + 1
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

/// Entries of one log that follow one another.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// The entries, ascending.
    pub entries: Vec<Arc<Entry>>,
    /// Whether the page is full: there may be more after its last entry.
    pub has_more: bool,
}

/// The primitives. Every read sees only what a majority has committed; every write answers after a majority has it.
pub trait Backend: Send + Sync + 'static {
    /// Inserts entries. `ordered` stops at the first conflict.
    fn insert(
        &self,
        entries: &[Arc<Entry>],
        ordered: bool,
    ) -> impl Future<Output = InsertOutcome> + Send;

    /// The documents of an owner: `applied`, and the state they say, with those who are members now. Members may be ahead of `applied`, never behind.
    fn read_documents(
        &self,
        owner: &Owner,
    ) -> impl Future<Output = Result<State, Unavailable>> + Send;

    /// The stored records of those of `users` who are or were members of `conversation`.
    fn find_members(
        &self,
        conversation: &ConversationId,
        users: &[UserId],
    ) -> impl Future<Output = Result<Vec<(UserId, Member)>, Unavailable>> + Send;

    /// The numbers that the documents of `owners` are at, in their order; 0 where there is no document.
    fn read_applied(
        &self,
        owners: &[Owner],
    ) -> impl Future<Output = Result<Vec<u64>, Unavailable>> + Send;

    /// Entries of an owner after number `after`, at most `limit`, and about [`crate::bounds::LOG_BATCH`] bytes of them. A page with more to come has at least one.
    fn read_log(
        &self,
        owner: &Owner,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<LogPage, Unavailable>> + Send;

    /// The entry of an id.
    fn find_by_id(
        &self,
        id: &EventId,
    ) -> impl Future<Output = Result<Option<Arc<Entry>>, Unavailable>> + Send;

    /// The message that `actor` (`None`: the host) sent to `owner` under `client_message_id`.
    fn find_by_client_message_id(
        &self,
        owner: &Owner,
        actor: Option<&UserId>,
        client_message_id: &str,
    ) -> impl Future<Output = Result<Option<Arc<Entry>>, Unavailable>> + Send;

    /// What commands are about, as its documents say, in their order.
    fn find_targets(
        &self,
        targets: &[Target],
    ) -> impl Future<Output = Result<Vec<TargetState>, Unavailable>> + Send;

    /// Writes runs: members and facets first, each guarded by its number; then the owners' documents, each only where it is at the run's `from`.
    /// Answers for each run whether its document was.
    fn write(&self, runs: &[Run]) -> impl Future<Output = Result<Vec<bool>, Unavailable>> + Send;
}
