//! The members whom new messages of a conversation concern, each with what decides whether they are notified.

use super::{BoxFuture, HostError};
use crate::{ConversationId, ConversationType, MessageId, Timestamp, UserId};

/// Maximum number of messages in one [`News`].
pub const MAX_NEWS_MESSAGES: usize = 20;
/// Maximum number of members in one [`News`].
pub const MAX_NEWS_MEMBERS: usize = 100;

/// Access to the recipients of messages and to the known users.
///
/// The core applies every rule: membership, visible history, blocks, read positions, notification levels and muting. A plugin needs no copy of the settings.
pub trait Audience: Send + Sync {
    /// Returns the seq of the newest message of a conversation; `None` if the conversation does not exist or was deleted.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] if the database does not answer.
    fn newest_seq<'a>(
        &'a self,
        conversation: &'a ConversationId,
    ) -> BoxFuture<'a, Result<Option<u64>, HostError>>;

    /// Returns the messages of `query` and the members who are to be notified of them; `None` if the conversation does not exist or was deleted.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] if the database does not answer.
    fn news(&self, query: NewsQuery) -> BoxFuture<'_, Result<Option<News>, HostError>>;

    /// Returns those of `users`, at most 10,000, that do not exist or were deleted, in their order.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] if the database does not answer.
    fn missing_users(&self, users: Vec<UserId>) -> BoxFuture<'_, Result<Vec<UserId>, HostError>>;
}

/// Selection of messages and members.
#[derive(Debug, Clone)]
pub struct NewsQuery {
    /// Id of the conversation.
    pub conversation: ConversationId,
    /// Seq after which the messages lie.
    pub after: u64,
    /// Seq of the last message, inclusive.
    pub until: u64,
    /// Time before which messages are left out.
    pub not_before: Timestamp,
    /// Number of members from which only members are considered whom a message mentions by id.
    pub large_from: u32,
    /// Members to consider.
    pub members: NewsMembers,
}

/// Members to consider.
#[derive(Debug, Clone)]
pub enum NewsMembers {
    /// The next [`MAX_NEWS_MEMBERS`] members after this one in the order of their ids; `None` begins with the first.
    After(Option<UserId>),
    /// This member only.
    Only(UserId),
}

/// New messages of a conversation and their recipients, as they are at the time of the call.
#[derive(Debug, Clone)]
pub struct News {
    /// Name of the conversation; `None` if it has none.
    pub name: Option<String>,
    /// Type of the conversation.
    pub kind: ConversationType,
    /// Number of members.
    pub participant_count: u32,
    /// The newest of the messages, oldest first: at most [`MAX_NEWS_MESSAGES`]. Deleted, expired, silent and system messages are left out.
    pub messages: Vec<NewsMessage>,
    /// Number of messages of the range that were left out because of their age.
    pub too_old: u32,
    /// Members who are to be notified, by user id.
    pub recipients: Vec<Recipient>,
    /// Last member that was considered, if more members follow.
    pub next: Option<UserId>,
}

/// Message that recipients are notified of.
#[derive(Debug, Clone)]
pub struct NewsMessage {
    /// Id of the message.
    pub id: MessageId,
    /// Seq of the message.
    pub seq: u64,
    /// Id of the sender; `None` if the host sent it.
    pub sender: Option<UserId>,
    /// Name of the sender, if one is set.
    pub sender_name: Option<String>,
    /// Text as it is now, edits included.
    pub content: String,
    /// Number of attachments.
    pub attachments: usize,
    /// Time at which it was sent.
    pub created_at: Timestamp,
}

/// Member who is to be notified.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// Id of the member.
    pub user: UserId,
    /// Indexes into [`News::messages`] of the messages that concern the member, ascending.
    pub messages: Vec<usize>,
    /// True if one of these messages mentions the member.
    pub is_mentioned: bool,
    /// Number of unread messages in the conversation.
    pub unread: u64,
    /// Number of these that mention the member.
    pub mentions: u64,
}
