//! Table of the events that the service pushes to sockets.

use chat_sdk::{EventType, events::PluginKind};

/// Event that the service pushes to sockets.
#[derive(Clone, Copy)]
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

/// Returns all events that the service pushes to sockets: those of the catalogue, and those that only sockets have.
pub fn pushed() -> Vec<Pushed> {
    let of_catalogue = EventType::all().filter_map(|kind| {
        let name = kind.socket_event()?;
        let is_other = OF_SOCKETS.iter().any(|pushed| pushed.name == name);
        (!is_other).then(|| Pushed {
            name,
            data: Some(kind.data_name()),
            fields: &[],
            about: kind.about(),
            is_numbered: kind.is_logged(),
        })
    });
    let signals = PluginKind::all_events().into_iter().filter_map(|event| {
        let data = PluginKind::of(event.kind)?.data_name();
        (!event.is_logged).then_some(Pushed {
            name: event.frame?,
            data: Some(data),
            fields: &[],
            about: event.about,
            is_numbered: false,
        })
    });
    of_catalogue
        .chain(signals)
        .chain(OF_SOCKETS.iter().copied())
        .collect()
}

/// Events that only sockets have, or whose data differs there.
const OF_SOCKETS: &[Pushed] = &[
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
    of(
        "conversation:joined",
        "Conversation",
        "The reader became a member.",
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
