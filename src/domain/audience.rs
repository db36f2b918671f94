//! Recipients of new messages: the members whom messages concern, after every rule that keeps a message from notifying a member.

use std::collections::{BTreeSet, HashMap, HashSet};

use chat_sdk::{
    ConversationId, MessageId, NotificationLevel, Timestamp, UserId,
    plugin::{
        MAX_NEWS_MEMBERS, MAX_NEWS_MESSAGES, News, NewsMembers, NewsMessage, NewsQuery, Recipient,
    },
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Context,
    unread::{self, Room},
};
use crate::{
    model::{
        error::Result,
        receipts::{Marker, MarkerScope},
        state::{ConversationFields, Member},
        visibility::is_member_at,
    },
    store::NewMessage,
};

/// Number of recipients whose unread messages are counted concurrently.
const COUNTED_AT_ONCE: usize = 16;
/// Number of users that are looked up at once.
const USERS_AT_ONCE: usize = 1000;

/// Returns the seq of the newest message of a conversation; `None` if the conversation does not exist or was deleted.
///
/// # Errors
/// [`crate::model::DomainError::Unavailable`].
pub async fn newest_seq(ctx: &Context, conversation: &ConversationId) -> Result<Option<u64>> {
    let fields = ctx.store.find_conversation_fields(conversation).await?;
    Ok(fields.map(|fields| fields.last_message_seq))
}

/// Returns those of `users` that do not exist or were deleted, in their order.
///
/// # Errors
/// [`crate::model::DomainError::Unavailable`].
pub async fn missing_users(ctx: &Context, users: Vec<UserId>) -> Result<Vec<UserId>> {
    let mut missing = Vec::new();
    for some in users.chunks(USERS_AT_ONCE) {
        let ids: Vec<&UserId> = some.iter().collect();
        let known = ctx.store.find_existing_users(&ids).await?;
        let unknown = some.iter().filter(|id| !known.contains_key(*id));
        missing.extend(unknown.cloned());
    }
    Ok(missing)
}

/// Returns the messages of `query` and the members who are to be notified of them; `None` if the conversation does not exist or was deleted.
///
/// # Errors
/// [`crate::model::DomainError::Unavailable`].
pub async fn news(ctx: &Context, query: NewsQuery) -> Result<Option<News>> {
    let Some(fields) = ctx
        .store
        .find_conversation_fields(&query.conversation)
        .await?
    else {
        return Ok(None);
    };
    let mut news = News {
        name: fields.settings.name.clone(),
        kind: fields.kind,
        participant_count: fields.participant_count,
        messages: Vec::new(),
        too_old: 0,
        recipients: Vec::new(),
        next: None,
    };
    if query.until <= query.after {
        return Ok(Some(news));
    }
    let range = (query.after + 1, query.until);
    let limit = MAX_NEWS_MESSAGES as u32;
    let found = ctx
        .store
        .find_new_messages(&query.conversation, range, query.not_before, limit)
        .await?;
    news.too_old = u32::try_from(found.too_old).unwrap_or(u32::MAX);
    if found.messages.is_empty() {
        return Ok(Some(news));
    }
    let (members, next) = considered(ctx, &query, &fields, &found.messages).await?;
    news.next = next;
    let round = Round::read(ctx, &query, &fields, &found.messages, members).await?;
    news.recipients = round.recipients(ctx).await?;
    let names = ctx.store.find_names(&round.senders).await?;
    news.messages = found
        .messages
        .iter()
        .map(|new| shown(new, &names))
        .collect();
    Ok(Some(news))
}

fn shown(new: &NewMessage, names: &HashMap<UserId, String>) -> NewsMessage {
    let message = &new.message;
    let sender = message.sender().cloned();
    NewsMessage {
        id: message.id.clone(),
        seq: message.seq,
        sender_name: sender.as_ref().and_then(|id| names.get(id).cloned()),
        sender,
        content: message.content().to_owned(),
        attachments: message.as_sent().attachments.len(),
        created_at: message.as_sent().created_at,
    }
}

type Members = Vec<(UserId, Member)>;

/// Returns the members to consider, and the last of them if more follow.
async fn considered(
    ctx: &Context,
    query: &NewsQuery,
    fields: &ConversationFields,
    messages: &[NewMessage],
) -> Result<(Members, Option<UserId>)> {
    let is_large = fields.participant_count >= query.large_from;
    let is_named = |user: &UserId| messages.iter().any(|new| new.names(user));
    let limit = MAX_NEWS_MEMBERS as u32;
    let after = match &query.members {
        NewsMembers::Only(user) => {
            if is_large && !is_named(user) {
                return Ok((Vec::new(), None));
            }
            let only = std::slice::from_ref(user);
            let found = ctx
                .store
                .find_audience_members(&query.conversation, None, Some(only), 1)
                .await?;
            return Ok((found, None));
        }
        NewsMembers::After(after) => after.as_ref(),
    };
    let named: Option<Vec<UserId>> = is_large.then(|| {
        let named: BTreeSet<&UserId> = messages.iter().flat_map(NewMessage::named).collect();
        named.into_iter().cloned().collect()
    });
    let mut members = ctx
        .store
        .find_audience_members(&query.conversation, after, named.as_deref(), limit + 1)
        .await?;
    let has_more = members.len() > limit as usize;
    members.truncate(limit as usize);
    let next = members.last().filter(|_| has_more);
    let next = next.map(|(user, _)| user.clone());
    Ok((members, next))
}

/// Members who are considered together, and what decides for each of them.
struct Round<'a> {
    query: &'a NewsQuery,
    fields: &'a ConversationFields,
    messages: &'a [NewMessage],
    members: Members,
    /// Markers in the conversation, by member.
    markers: HashMap<UserId, Marker>,
    /// Seqs up to which members have read threads.
    threads: HashMap<(MessageId, UserId), u64>,
    senders: Vec<&'a UserId>,
    /// Pairs of a sender and a member with a block in either direction.
    blocked: HashSet<(UserId, UserId)>,
}

impl<'a> Round<'a> {
    async fn read(
        ctx: &Context,
        query: &'a NewsQuery,
        fields: &'a ConversationFields,
        messages: &'a [NewMessage],
        members: Members,
    ) -> Result<Self> {
        let users: Vec<UserId> = members.iter().map(|(user, _)| user.clone()).collect();
        let place = MarkerScope::Conversation(query.conversation.clone());
        let markers = ctx.store.find_markers_in(&place, &users).await?;
        let roots: BTreeSet<&MessageId> = messages
            .iter()
            .filter_map(|new| new.message.thread_id())
            .collect();
        let mut threads = HashMap::new();
        for root in roots {
            let place = MarkerScope::Thread(root.clone());
            let read = ctx.store.find_markers_in(&place, &users).await?.into_iter();
            threads.extend(read.map(|(user, marker)| ((root.clone(), user), marker.read_seq)));
        }
        let senders: BTreeSet<&UserId> = messages
            .iter()
            .filter_map(|new| new.message.sender())
            .collect();
        let mut blocked = HashSet::new();
        for sender in &senders {
            let (blockers, blocked_by) = tokio::try_join!(
                ctx.store.find_blockers(&users, sender),
                ctx.store.find_blocked_among(sender, &users),
            )?;
            let pairs = blockers.into_iter().chain(blocked_by);
            blocked.extend(pairs.map(|user| ((*sender).clone(), user)));
        }
        Ok(Self {
            query,
            fields,
            messages,
            members,
            markers,
            threads,
            senders: senders.into_iter().collect(),
            blocked,
        })
    }

    /// Returns true if `new` is to notify the member.
    fn concerns(&self, new: &NewMessage, user: &UserId, member: &Member, now: Timestamp) -> bool {
        let message = &new.message;
        let marker = self.markers.get(user);
        let is_read = marker.is_some_and(|marker| marker.read_seq >= message.seq)
            || message.thread_id().is_some_and(|root| {
                let read = self.threads.get(&(root.clone(), user.clone()));
                read.is_some_and(|seq| *seq >= message.seq)
            });
        let is_blocked = message.sender().is_some_and(|sender| {
            sender == user || self.blocked.contains(&(sender.clone(), user.clone()))
        });
        let preferences = member.shown_preferences(self.fields.last_message_seq, now);
        let is_wanted = match preferences.notification_level {
            NotificationLevel::None => false,
            NotificationLevel::All if !preferences.muted => true,
            NotificationLevel::All | NotificationLevel::Mentions => new.mentions(user),
        };
        let is_large = self.fields.participant_count >= self.query.large_from;
        is_wanted
            && !is_read
            && !is_blocked
            && is_member_at(&member.intervals, message.seq)
            && (!is_large || new.names(user))
    }

    /// Returns the members who are to be notified, with their unread counts.
    async fn recipients(&self, ctx: &Context) -> Result<Vec<Recipient>> {
        let now = Timestamp::now();
        let none = Marker::default();
        let concerned: Vec<_> = self
            .members
            .iter()
            .filter_map(|(user, member)| {
                let messages = self.messages.iter().enumerate();
                let messages: Vec<usize> = messages
                    .filter(|(_, new)| self.concerns(new, user, member, now))
                    .map(|(index, _)| index)
                    .collect();
                (!messages.is_empty()).then_some((user, member, messages))
            })
            .collect();
        let counted = concerned.into_iter().map(|(user, member, messages)| {
            let marker = self.markers.get(user).unwrap_or(&none);
            self.counted(ctx, (user, member), marker, messages)
        });
        let counted: Vec<_> = counted.collect();
        stream::iter(counted)
            .buffered(COUNTED_AT_ONCE)
            .try_collect()
            .await
    }

    async fn counted(
        &self,
        ctx: &Context,
        (user, member): (&UserId, &Member),
        marker: &Marker,
        messages: Vec<usize>,
    ) -> Result<Recipient> {
        let room = Room {
            id: &self.query.conversation,
            fields: self.fields,
            member,
        };
        let counts = unread::count(ctx, user, &[room], std::slice::from_ref(marker)).await?;
        let counts = counts.first().copied().unwrap_or_default();
        Ok(Recipient {
            is_mentioned: messages
                .iter()
                .any(|index| self.messages[*index].mentions(user)),
            user: user.clone(),
            messages,
            unread: counts.unread,
            mentions: counts.mentions,
        })
    }
}
