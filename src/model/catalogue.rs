//! Conversion of log entries to the published events of the catalogue.

use chat_sdk::{
    Conversation, ConversationId, Envelope, Message, Patch, Timestamp, User, UserId,
    events::{
        ConversationDeleted, ENVELOPE_VERSION, EventData, MessageDeleted, MessagePin,
        MessageRestored, MessageUpdated, Noop, ParticipantUpdated, ParticipantsAdded,
        ParticipantsRemoved, ReactionChanged, UserBlock, UserDeleted, UserDisconnected,
    },
};

use super::{
    entry::{Body, ConversationSnapshot, Entry, MessageCreated, Owner, Profile},
    state::ConversationFields,
};

/// Returns the event of an entry.
///
/// It needs nothing but the entry, so that a sweep can publish what a writer could not.
pub fn envelope(entry: &Entry) -> Envelope<EventData> {
    let (conversation_id, user_id) = match &entry.owner {
        Owner::Conversation(id) => (Some(id.clone()), None),
        Owner::User(id) => (None, Some(id.clone())),
    };
    Envelope {
        id: entry.id.clone(),
        kind: entry.body.kind(),
        version: ENVELOPE_VERSION,
        timestamp: entry.at,
        seq: Some(entry.seq),
        actor_id: entry.actor.clone(),
        data: match &entry.owner {
            Owner::Conversation(id) => conversation_data(entry, id),
            Owner::User(id) => user_data(entry, id),
        },
        conversation_id,
        user_id,
    }
}

fn conversation_data(entry: &Entry, id: &ConversationId) -> EventData {
    match &entry.body {
        Body::MessageCreated(_)
        | Body::MessageUpdated(_)
        | Body::MessageDeleted(_)
        | Body::MessageRestored(_)
        | Body::MessagePinned(_)
        | Body::MessageUnpinned(_)
        | Body::ReactionAdded(_)
        | Body::ReactionRemoved(_) => message_data(entry, id),
        Body::ConversationCreated(created) => {
            let mut conversation = conversation(entry, id, &created.conversation);
            // Readers of the stream learn all first members from this event.
            conversation.participant_ids = created
                .members
                .iter()
                .map(|member| member.user_id.clone())
                .collect();
            EventData::Conversation(Box::new(conversation))
        }
        Body::ConversationUpdated(snapshot) => {
            EventData::Conversation(Box::new(conversation(entry, id, snapshot)))
        }
        Body::ConversationDeleted => EventData::ConversationDeleted(ConversationDeleted {
            conversation_id: id.clone(),
            timestamp: entry.at,
        }),
        Body::ParticipantAdded(joined) => match joined.user_ids.first() {
            Some(first) => EventData::ParticipantsAdded(ParticipantsAdded {
                conversation_id: id.clone(),
                user_id: first.clone(),
                user_ids: joined.user_ids.clone(),
                role: joined.role,
                timestamp: entry.at,
                conversation: Box::new(conversation(entry, id, &joined.conversation)),
            }),
            None => EventData::Noop(Noop {}),
        },
        Body::ParticipantRemoved(left) => match left.user_ids.first() {
            Some(first) => EventData::ParticipantsRemoved(ParticipantsRemoved {
                conversation_id: id.clone(),
                user_id: first.clone(),
                user_ids: left.user_ids.clone(),
                timestamp: entry.at,
            }),
            None => EventData::Noop(Noop {}),
        },
        Body::ParticipantUpdated(change) => EventData::ParticipantUpdated(ParticipantUpdated {
            conversation_id: id.clone(),
            user_id: change.user_id.clone(),
            role: change.role,
            preferences: change.preferences.clone(),
            timestamp: entry.at,
        }),
        Body::UserSynced(_)
        | Body::UserUpdated(_)
        | Body::UserDeleted
        | Body::UserBlocked(_)
        | Body::UserUnblocked(_)
        | Body::UserDisconnected(_)
        | Body::Noop => EventData::Noop(Noop {}),
        Body::Plugin(event) => EventData::Plugin(event.data.clone()),
    }
}

/// Returns the data of an event of a message.
fn message_data(entry: &Entry, id: &ConversationId) -> EventData {
    match &entry.body {
        Body::MessageCreated(body) => EventData::Message(Box::new(message(entry, body))),
        Body::MessageUpdated(edit) => EventData::MessageUpdated(MessageUpdated {
            message_id: edit.message_id.clone(),
            conversation_id: id.clone(),
            content: edit.content.clone(),
            is_edited: true,
            updated_at: entry.at,
            metadata: edit.metadata.value().cloned(),
            is_metadata_cleared: matches!(edit.metadata, Patch::Clear).then_some(true),
            message_seq: edit.message_seq,
        }),
        Body::MessageDeleted(removal) => EventData::MessageDeleted(MessageDeleted {
            message_id: removal.message_id.clone(),
            conversation_id: id.clone(),
            deleted_at: entry.at,
            is_expired: removal.is_expired,
            message_seq: removal.message_seq,
        }),
        Body::MessageRestored(restored) => EventData::MessageRestored(Box::new(MessageRestored {
            message_id: restored.message_id.clone(),
            conversation_id: id.clone(),
            content: restored.content.clone(),
            attachments: restored.attachments.clone(),
            mentions: restored.mentions.clone(),
            metadata: restored.metadata.clone(),
            updated_at: entry.at,
            message_seq: restored.message_seq,
        })),
        Body::MessagePinned(target) | Body::MessageUnpinned(target) => {
            EventData::MessagePin(MessagePin {
                message_id: target.message_id.clone(),
                conversation_id: id.clone(),
                user_id: entry.actor.clone(),
                timestamp: entry.at,
                message_seq: target.message_seq,
            })
        }
        Body::ReactionAdded(reaction) | Body::ReactionRemoved(reaction) => {
            EventData::ReactionChanged(ReactionChanged {
                message_id: reaction.message_id.clone(),
                conversation_id: id.clone(),
                emoji: reaction.emoji.clone(),
                user_id: reaction.user_id.clone(),
                total_count: reaction.total_count,
                timestamp: entry.at,
                message_seq: reaction.message_seq,
            })
        }
        _ => EventData::Noop(Noop {}),
    }
}

fn user_data(entry: &Entry, id: &UserId) -> EventData {
    match &entry.body {
        Body::UserSynced(profile) | Body::UserUpdated(profile) => {
            EventData::User(Box::new(user(id, profile, entry.at)))
        }
        Body::UserDeleted => EventData::UserDeleted(UserDeleted {
            external_user_id: id.clone(),
            timestamp: entry.at,
        }),
        Body::UserBlocked(block) | Body::UserUnblocked(block) => EventData::UserBlock(UserBlock {
            external_user_id: id.clone(),
            blocked_user_id: block.user_id.clone(),
            timestamp: entry.at,
        }),
        Body::UserDisconnected(disconnection) => EventData::UserDisconnected(UserDisconnected {
            external_user_id: id.clone(),
            tokens_valid_from: Timestamp::from_millis(disconnection.tokens_valid_from),
            session_id: disconnection.session_id.clone(),
            timestamp: entry.at,
        }),
        Body::Plugin(event) => EventData::Plugin(event.data.clone()),
        _ => EventData::Noop(Noop {}),
    }
}

/// Returns the message that an entry created, as it was then.
pub fn message(entry: &Entry, body: &MessageCreated) -> Message {
    let conversation_id = match &entry.owner {
        Owner::Conversation(id) => id.clone(),
        // Messages are only in logs of conversations: the check rejects them elsewhere.
        Owner::User(_) => ConversationId::generate(),
    };
    Message {
        id: entry.id.to_message_id(),
        conversation_id,
        seq: entry.seq,
        sender_id: entry.actor.clone().unwrap_or_else(UserId::system),
        content: body.content.clone(),
        kind: body.kind,
        attachments: body.attachments.clone(),
        reply_to: body.reply_to.clone(),
        thread_id: body.thread_id.clone(),
        reply_count: 0,
        last_reply_at: None,
        mentions: body.mentions.clone(),
        metadata: body.metadata.clone(),
        forwarded_from: body.forwarded_from.clone(),
        silent: body.silent.then_some(true),
        expires_at: body.expires_at.map(Timestamp::from_millis),
        pinned_at: None,
        pinned_by: None,
        client_message_id: body.client_message_id.clone(),
        reactions: Vec::new(),
        is_edited: false,
        is_deleted: false,
        is_held: None,
        created_at: entry.at,
        updated_at: entry.at,
    }
}

fn conversation(
    entry: &Entry,
    id: &ConversationId,
    snapshot: &ConversationSnapshot,
) -> Conversation {
    ConversationFields::new(snapshot, entry.at).into_resource(id.clone(), entry.seq)
}

/// Returns a user as the API shows it, from the stored profile.
pub fn user(id: &UserId, profile: &Profile, updated_at: Timestamp) -> User {
    User {
        external_user_id: id.clone(),
        name: profile.name.clone(),
        avatar_url: profile.avatar_url.clone(),
        email: profile.email.clone(),
        roles: Some(profile.roles.clone()),
        metadata: profile.metadata.clone(),
        created_at: Timestamp::from_millis(profile.created_at),
        updated_at,
    }
}
