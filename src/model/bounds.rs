//! All bounds in bytes, in one table.
//!
//! A part is bounded where it is checked (the text of a message, its attachments); values composed of parts are bounded here. Each bound leaves room
//! inside the next one for the data around it. The compiler checks the order; at its start a process compares the table with the real limits of
//! MongoDB and NATS. docs/OPERATIONS.md shows the table.
//!
//! This module imports nothing, so that all other modules can use it.

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Maximum number of ended sessions in a user's document; beyond it all of the user's tokens are revoked.
pub const MAX_ENDED_SESSIONS: usize = 64;

/// Maximum size of an event, encoded as JSON in its envelope. A command whose event would be larger is rejected.
pub const EVENT: usize = 128 * KIB;
/// Maximum size of the user ids of `@here`, which are stored with a message and are not part of its event.
pub const HERE: usize = 64 * KIB;
/// Maximum size of the user ids in one entry of a conversation log: more members become several entries.
pub const MEMBERS: usize = 64 * KIB;
/// Maximum size of a frame of a client: a command with all the data that an event may carry.
pub const CLIENT_FRAME: usize = 192 * KIB;
/// Maximum size of a message of the stream: an event and its headers.
pub const STREAM_MESSAGE: usize = 160 * KIB;
/// Maximum size of a message between processes, and of the reply to a command of a host: forwarded commands, users in a presence message.
pub const NATS_GROUP: usize = 240 * KIB;
/// Size that the NATS server must accept (`max_payload`): a group with its headers. A larger limit of the server changes nothing.
pub const NATS_PAYLOAD: usize = 256 * KIB;
/// Maximum size of the data that waits for a slow reader of a socket or event stream.
pub const SOCKET_QUEUE: usize = 512 * KIB;
/// Maximum size of a page over a socket, and of a frame `rooms`; the reply fits into the queue of a socket.
pub const SOCKET_PAGE: usize = 256 * KIB;
/// Maximum size of the entries that one resume holds at a time.
pub const RESUME_CHUNK: usize = 256 * KIB;
/// Maximum size of a page; a full page ends early with `hasMore`.
pub const PAGE: usize = MIB;
/// Maximum size of the body of a request.
pub const REQUEST_BODY: usize = MIB;
/// Maximum size of the entries or updates of one statement to MongoDB, and of entries that are read at once.
pub const LOG_BATCH: usize = 4 * MIB;
/// Maximum size of documents over 8 KiB that the pages of a process read at a time.
pub const LARGE_READS: usize = 32 * MIB;
/// Maximum size of the events that wait in the hub for an earlier one of their conversation.
pub const HELD_EVENTS: usize = 8 * MIB;
/// Maximum size of the recent events that a process with sockets caches for resumes.
pub const EVENT_MEMORY: usize = 64 * MIB;
/// Maximum size of the drafts, receipts and presence that are kept while NATS does not accept them.
pub const LATEST_KEPT: usize = 32 * MIB;
/// Maximum size of the events that wait for NATS or for its acknowledgement; the sweep publishes further ones.
pub const PUBLISH_QUEUE: usize = 64 * MIB;
/// Size that MongoDB must accept as one document (`maxBsonObjectSize`): a statement is one.
pub const MONGODB_DOCUMENT: usize = 16 * MIB;
/// Size that MongoDB must accept as one message (`maxMessageSizeBytes`).
pub const MONGODB_MESSAGE: usize = 48_000_000;

/// Maximum size of the headers of an event: ids and names of at most 128 characters, percent-encoded, and a trace.
const EVENT_HEADERS: usize = 16 * KIB;
/// Maximum size of a conversation in an entry about its members.
const SNAPSHOT: usize = 56 * KIB;
/// Maximum size of the data around a command or an outcome between processes: ids, hashes, the lists of a snapshot beside the event.
const COMMAND_OVERHEAD: usize = 32 * KIB;
/// Maximum size of the data that one log entry has beside its event: the stored lists of `@here` and of first members.
const ENTRY_OVERHEAD: usize = HERE + 128 * KIB;

const _: () = {
    assert!(EVENT + EVENT_HEADERS < STREAM_MESSAGE);
    // An entry about members carries, beside the ids, the conversation: its name, link, metadata and first members.
    assert!(MEMBERS + SNAPSHOT < EVENT);
    assert!(EVENT < CLIENT_FRAME && CLIENT_FRAME < NATS_PAYLOAD);
    assert!(STREAM_MESSAGE < NATS_GROUP);
    assert!(EVENT + HERE + COMMAND_OVERHEAD < NATS_GROUP);
    assert!(NATS_GROUP + EVENT_HEADERS <= NATS_PAYLOAD);
    assert!(EVENT < SOCKET_PAGE && SOCKET_PAGE < SOCKET_QUEUE);
    assert!(EVENT < RESUME_CHUNK && RESUME_CHUNK < SOCKET_QUEUE);
    assert!(NATS_PAYLOAD < SOCKET_QUEUE && SOCKET_QUEUE < PAGE);
    assert!(NATS_PAYLOAD < REQUEST_BODY);
    assert!(PAGE < LOG_BATCH && LOG_BATCH < HELD_EVENTS);
    assert!(HELD_EVENTS < LARGE_READS && LARGE_READS < EVENT_MEMORY);
    // A batch is closed once it is full, so its last entry may exceed the bound.
    assert!(LOG_BATCH + EVENT + ENTRY_OVERHEAD < MONGODB_DOCUMENT);
    assert!(MONGODB_DOCUMENT < MONGODB_MESSAGE);
    assert!(LOG_BATCH < LATEST_KEPT && LOG_BATCH < PUBLISH_QUEUE);
};

/// Rows of the table: the name of a bound in docs/OPERATIONS.md, and its bytes.
pub const TABLE: [(&str, usize); 20] = [
    ("event", EVENT),
    ("members of an entry", MEMBERS),
    ("users of `@here`", HERE),
    ("stream message", STREAM_MESSAGE),
    ("client frame", CLIENT_FRAME),
    ("NATS group", NATS_GROUP),
    ("NATS payload", NATS_PAYLOAD),
    ("socket page", SOCKET_PAGE),
    ("socket queue", SOCKET_QUEUE),
    ("resume chunk", RESUME_CHUNK),
    ("page", PAGE),
    ("request body", REQUEST_BODY),
    ("log batch", LOG_BATCH),
    ("large reads", LARGE_READS),
    ("held events", HELD_EVENTS),
    ("event memory", EVENT_MEMORY),
    ("latest values", LATEST_KEPT),
    ("publish queue", PUBLISH_QUEUE),
    ("MongoDB document", MONGODB_DOCUMENT),
    ("MongoDB message", MONGODB_MESSAGE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_bounds_are_those_of_the_code() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md");
        let text = std::fs::read_to_string(path).expect("readable");
        let section = text.split("## Limits in bytes").nth(1).expect("a section");
        let section = section.split("\n## ").next().expect("its text");
        let documented: Vec<(String, usize)> = section
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| ")?.split(" | ");
                let (name, bytes) = (cells.next()?, cells.next()?);
                Some((name.to_owned(), bytes.replace(',', "").parse().ok()?))
            })
            .collect();
        let expected: Vec<(String, usize)> = TABLE
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), *bytes))
            .collect();
        assert_eq!(documented, expected);
    }
}
