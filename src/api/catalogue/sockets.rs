//! What goes over sockets, in tables: the events that a client is pushed, and the commands that it sends.

/// An event that sockets are pushed.
pub struct Pushed {
    /// Its name.
    pub name: &'static str,
    /// The name of the schema of its data; `None` where [`Pushed::fields`] say it.
    pub data: Option<&'static str>,
    /// The fields of its data: name, type, whether always there.
    pub fields: &'static [(&'static str, &'static str, bool)],
    /// What it tells.
    pub about: &'static str,
    /// Whether it is numbered and carries a cursor.
    pub is_numbered: bool,
}

const fn of(name: &'static str, data: &'static str, about: &'static str) -> Pushed {
    Pushed {
        name,
        data: Some(data),
        fields: &[],
        about,
        is_numbered: true,
    }
}

const fn live(name: &'static str, data: &'static str, about: &'static str) -> Pushed {
    Pushed {
        name,
        data: Some(data),
        fields: &[],
        about,
        is_numbered: false,
    }
}

const fn plain(
    name: &'static str,
    fields: &'static [(&'static str, &'static str, bool)],
    about: &'static str,
    is_numbered: bool,
) -> Pushed {
    Pushed {
        name,
        data: None,
        fields,
        about,
        is_numbered,
    }
}

/// Every event that sockets are pushed.
pub const PUSHED: &[Pushed] = &[
    plain(
        "connected",
        &[
            ("userId", "string", true),
            ("socketId", "string", true),
            ("rooms", "array", true),
            ("hasMoreRooms", "boolean", true),
            ("resumed", "boolean", true),
            ("cursor", "string", true),
            ("timestamp", "string", true),
        ],
        "The socket is connected, and everything missed has come. With hasMoreRooms, more rooms follow as events `rooms`.",
        false,
    ),
    plain(
        "rooms",
        &[("rooms", "array", true), ("hasMore", "boolean", true)],
        "More of the conversations that the socket hears of, at most 1,000; they follow `connected` before anything live.",
        false,
    ),
    plain(
        "error",
        &[
            ("code", "string", true),
            ("message", "string", true),
            ("timestamp", "string", true),
        ],
        "A frame could not be read.",
        false,
    ),
    plain(
        "seq:skip",
        &[("conversationId", "string", true)],
        "A number of the log whose entry the reader may not see.",
        true,
    ),
    plain(
        "sync:reset",
        &[("reason", "string", true)],
        "The cursor cannot be resumed from: reload by REST.",
        false,
    ),
    plain(
        "reconnect",
        &[
            ("reason", "string", true),
            ("retryAfterMs", "integer", true),
        ],
        "The node is about to close the socket: connect again, after the given time.",
        false,
    ),
    of("message:new", "Message", "A message was sent."),
    of(
        "message:updated",
        "MessageUpdated",
        "A message's text was changed.",
    ),
    of(
        "message:deleted",
        "MessageDeleted",
        "A message was deleted, or its time was over.",
    ),
    of(
        "message:restored",
        "MessageRestored",
        "A deleted message is back.",
    ),
    of("message:pinned", "MessagePin", "A message was pinned."),
    of(
        "message:unpinned",
        "MessagePin",
        "A message is pinned no more.",
    ),
    of(
        "reaction:added",
        "ReactionChanged",
        "A user reacted to a message.",
    ),
    of(
        "reaction:removed",
        "ReactionChanged",
        "A user took a reaction back.",
    ),
    of(
        "conversation:new",
        "Conversation",
        "A conversation with the reader was made.",
    ),
    of(
        "conversation:joined",
        "Conversation",
        "The reader became a member.",
    ),
    of(
        "conversation:updated",
        "Conversation",
        "A conversation's settings were changed.",
    ),
    plain(
        "conversation:removed",
        &[("conversationId", "string", true)],
        "The conversation is gone for the reader: deleted, left, or removed from it.",
        true,
    ),
    plain(
        "participant:added",
        &[
            ("conversationId", "string", true),
            ("userId", "string", true),
            ("userIds", "array", true),
            ("role", "string", true),
            ("timestamp", "string", true),
        ],
        "Others became members.",
        true,
    ),
    of(
        "participant:removed",
        "ParticipantsRemoved",
        "Others ceased to be members.",
    ),
    of(
        "participant:updated",
        "ParticipantUpdated",
        "A member's role changed, or the reader's own settings.",
    ),
    live(
        "message:read",
        "MessageRead",
        "A member read up to a message.",
    ),
    live(
        "message:delivered",
        "MessageDelivered",
        "A member's device got everything up to a message.",
    ),
    live(
        "conversation:read",
        "ConversationRead",
        "The reader read on another device, or marked unread.",
    ),
    live(
        "draft:updated",
        "DraftUpdated",
        "The reader has begun to write on another device, or no more.",
    ),
    live(
        "user:online",
        "UserPresence",
        "A user came online, or is busy.",
    ),
    live("user:away", "UserPresence", "A user is away."),
    live("user:offline", "UserPresence", "A user is offline."),
    plain(
        "user:typing",
        SIGNAL,
        "A member is typing, or stopped.",
        false,
    ),
    plain(
        "user:recording",
        SIGNAL,
        "A member is recording, or stopped.",
        false,
    ),
];

const SIGNAL: &[(&str, &str, bool)] = &[
    ("conversationId", "string", true),
    ("userId", "string", true),
    ("type", "string", true),
    ("isActive", "boolean", true),
    ("timestamp", "string", true),
];

/// A command that clients send, what it takes, and what its ack has beside `success`.
pub type CommandRow = (
    &'static str,
    &'static str,
    &'static [(&'static str, bool)],
    &'static [&'static str],
);

/// Every command of a socket: name, what it does, its fields (and whether they must be there), the fields of its ack.
pub const COMMANDS: &[CommandRow] = &[
    (
        "authenticate",
        "Prove who you are, where the handshake did not.",
        &[("token", true), ("resume", false)],
        &[],
    ),
    (
        "message:send",
        "Send a message: the REST body, with conversationId or receiverId.",
        &[
            ("conversationId", false),
            ("receiverId", false),
            ("content", false),
            ("type", false),
            ("attachments", false),
            ("replyTo", false),
            ("threadId", false),
            ("mentions", false),
            ("metadata", false),
            ("clientMessageId", false),
            ("silent", false),
            ("ttlSeconds", false),
        ],
        &["message"],
    ),
    (
        "message:schedule",
        "Schedule a message: the body of POST /api/scheduled.",
        &[
            ("conversationId", false),
            ("receiverId", false),
            ("sendAt", true),
            ("content", false),
            ("type", false),
            ("attachments", false),
            ("replyTo", false),
            ("threadId", false),
            ("mentions", false),
            ("metadata", false),
            ("clientMessageId", false),
            ("silent", false),
            ("ttlSeconds", false),
        ],
        &["scheduled"],
    ),
    (
        "message:edit",
        "Change a message's text, metadata or both.",
        &[("messageId", true), ("content", false), ("metadata", false)],
        &["message"],
    ),
    (
        "message:delete",
        "Delete a message.",
        &[("messageId", true)],
        &[],
    ),
    (
        "messages:sync",
        "What came after a message.",
        &[
            ("conversationId", true),
            ("lastMessageId", false),
            ("limit", false),
        ],
        &["messages", "hasMore"],
    ),
    (
        "messages:list",
        "A piece of the history.",
        &[
            ("conversationId", true),
            ("before", false),
            ("after", false),
            ("around", false),
            ("limit", false),
        ],
        &["messages", "nextCursor", "hasMore"],
    ),
    (
        "reaction:add",
        "React to a message.",
        &[("messageId", true), ("emoji", true)],
        &["reactions"],
    ),
    (
        "reaction:remove",
        "Take a reaction back.",
        &[("messageId", true), ("emoji", true)],
        &["reactions"],
    ),
    (
        "message:read",
        "Mark everything up to a message as read.",
        &[("messageId", true)],
        &["readAt"],
    ),
    (
        "message:delivered",
        "Confirm that everything up to a message arrived.",
        &[("messageId", true)],
        &["deliveredAt"],
    ),
    (
        "conversation:read",
        "Mark a conversation as read.",
        &[("conversationId", true), ("upToMessageId", false)],
        &["count"],
    ),
    (
        "typing:start",
        "Say that the user is typing.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "typing:stop",
        "Say that the user stopped typing.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "recording:start",
        "Say that the user is recording.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "recording:stop",
        "Say that the user stopped recording.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "activity:ping",
        "Keep the user online instead of away.",
        &[],
        &[],
    ),
    (
        "room:join",
        "Hear again of a conversation on this socket.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "room:leave",
        "Hear no more of a conversation on this socket.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "presence:subscribe",
        "Hear of users without a shared conversation.",
        &[("userIds", true)],
        &["presence"],
    ),
    (
        "presence:unsubscribe",
        "Hear of them no more.",
        &[("userIds", true)],
        &[],
    ),
    (
        "token:refresh",
        "Go on with a new token.",
        &[("token", true)],
        &["expiresAt"],
    ),
    (
        "ping",
        "Ask for a sign of life.",
        &[],
        &["pong", "timestamp"],
    ),
];
