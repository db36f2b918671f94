//! Tables of the socket protocol: the events that the service pushes, and the commands that clients send.

/// Event that the service pushes to sockets.
pub struct Pushed {
    /// Name of the event.
    pub name: &'static str,
    /// Name of the schema of its data; `None` if [`Pushed::fields`] describe it.
    pub data: Option<&'static str>,
    /// Fields of its data: name, type, and true if the field is always present.
    pub fields: &'static [(&'static str, &'static str, bool)],
    /// One sentence that says what the event means.
    pub about: &'static str,
    /// True if the event has a seq and a cursor.
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

/// All events that the service pushes to sockets.
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
        "The socket is connected, and all missed events were sent. With hasMoreRooms, more rooms follow as events `rooms`.",
        false,
    ),
    plain(
        "rooms",
        &[("rooms", "array", true), ("hasMore", "boolean", true)],
        "More conversations that the socket receives events of, at most 1,000; sent after `connected` and before live events.",
        false,
    ),
    plain(
        "error",
        &[
            ("code", "string", true),
            ("message", "string", true),
            ("timestamp", "string", true),
        ],
        "A frame of the client is invalid.",
        false,
    ),
    plain(
        "seq:skip",
        &[("conversationId", "string", true)],
        "Seq of a log entry that is not visible to the reader.",
        true,
    ),
    plain(
        "sync:reset",
        &[("reason", "string", true)],
        "The cursor cannot be used to resume: reload over REST.",
        false,
    ),
    plain(
        "reconnect",
        &[
            ("reason", "string", true),
            ("retryAfterMs", "integer", true),
        ],
        "The node will close the socket: connect again after the given time.",
        false,
    ),
    of("message:new", "Message", "A message was sent."),
    of("message:updated", "MessageUpdated", "A message was edited."),
    of(
        "message:deleted",
        "MessageDeleted",
        "A message was deleted, or it expired.",
    ),
    of(
        "message:restored",
        "MessageRestored",
        "A deleted message was restored.",
    ),
    of("message:pinned", "MessagePin", "A message was pinned."),
    of("message:unpinned", "MessagePin", "A message was unpinned."),
    of(
        "reaction:added",
        "ReactionChanged",
        "A user reacted to a message.",
    ),
    of(
        "reaction:removed",
        "ReactionChanged",
        "A user removed a reaction.",
    ),
    of(
        "conversation:new",
        "Conversation",
        "A conversation with the reader was created.",
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
        "The reader is no longer a member: the conversation was deleted, or the reader left or was removed.",
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
        "Other users became members.",
        true,
    ),
    of(
        "participant:removed",
        "ParticipantsRemoved",
        "Other users are no longer members.",
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
        "All messages up to one arrived at a device of a member.",
    ),
    live(
        "conversation:read",
        "ConversationRead",
        "The reader marked messages as read or unread on another device.",
    ),
    live(
        "draft:updated",
        "DraftUpdated",
        "The reader set or cleared a draft on another device.",
    ),
    live("user:online", "UserPresence", "A user is online or busy."),
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

/// Command of a client: name, description, fields, and the fields of its ack beside `success`.
pub type CommandRow = (
    &'static str,
    &'static str,
    &'static [(&'static str, bool)],
    &'static [&'static str],
);

/// All commands of sockets: name, description, fields (true if required), and the fields of the ack.
pub const COMMANDS: &[CommandRow] = &[
    (
        "authenticate",
        "Authenticate the socket if the handshake had no token.",
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
        "List the messages after a message.",
        &[
            ("conversationId", true),
            ("lastMessageId", false),
            ("limit", false),
        ],
        &["messages", "hasMore"],
    ),
    (
        "messages:list",
        "List messages of a conversation in pages.",
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
        "Remove a reaction.",
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
        "Notify members that the user is typing.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "typing:stop",
        "Notify members that the user stopped typing.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "recording:start",
        "Notify members that the user is recording.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "recording:stop",
        "Notify members that the user stopped recording.",
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
        "Resume receiving events of a conversation on this socket.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "room:leave",
        "Stop receiving events of a conversation on this socket.",
        &[("conversationId", true)],
        &[],
    ),
    (
        "presence:subscribe",
        "Receive the presence of users without a shared conversation.",
        &[("userIds", true)],
        &["presence"],
    ),
    (
        "presence:unsubscribe",
        "Stop receiving the presence of users.",
        &[("userIds", true)],
        &[],
    ),
    (
        "token:refresh",
        "Replace the token of the socket.",
        &[("token", true)],
        &["expiresAt"],
    ),
    (
        "ping",
        "Check that the connection works.",
        &[],
        &["pong", "timestamp"],
    ),
];
