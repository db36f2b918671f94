//! Documents of files, from the first piece of the upload to the removal.
//!
//! A file is `uploading`, then `ready`, then `removing`. Each change names the state that it expects, so that of two processes one succeeds. `checkAt` is the
//! time at which a worker looks at the file; 0 stands for never. This module knows no bytes and no messages.

use std::time::Duration;

use chat_sdk::{
    Timestamp, UserId,
    plugin::{Collection, Filter, HostError, Index, Order, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;

/// Prefix of the ids of files.
const PREFIX: &str = "att_";
/// Maximum number of pieces of a file.
const MAX_PIECES: usize = 100_000;
/// Time for which a worker has a file for itself.
const LEASE: Duration = Duration::from_secs(60);
/// Time for which a completion has an upload for itself.
const COMPLETION: Duration = Duration::from_secs(300);

/// State of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its pieces arrive.
    Uploading,
    /// It is complete.
    Ready,
    /// Its bytes are being removed, or were removed a short time ago.
    Removing,
}

/// Object that holds a part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// Key of the object.
    pub key: String,
    /// Number of bytes.
    pub length: i64,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
}

/// Facts of a complete file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Media type, found by the content.
    pub mime_type: String,
    /// SHA-256 of the stored bytes, in hexadecimal.
    pub sha256: String,
    /// True if a browser may show it in place.
    pub is_inline: bool,
    /// Width in pixels; only of a picture that was decoded.
    pub width: Option<u32>,
    /// Height in pixels; only of a picture that was decoded.
    pub height: Option<u32>,
    /// Blurred preview as a text; only of a picture that was decoded.
    pub blurhash: Option<String>,
    /// Thumbnail; only of a picture that was decoded.
    pub thumbnail: Option<Piece>,
    /// Media type of the thumbnail.
    pub thumbnail_type: Option<String>,
}

/// File, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredFile {
    /// Id of the file.
    #[serde(rename = "_id")]
    pub id: String,
    /// Id of the user who uploads it.
    pub owner_id: UserId,
    /// Name, for people.
    pub name: String,
    /// State.
    pub state: State,
    /// Declared size, then size of the stored bytes.
    pub size: i64,
    /// Number of bytes that count against the owner's quota.
    pub reserved: i64,
    /// Number of bytes that have arrived.
    pub offset: i64,
    /// Objects with the bytes, in order.
    pub pieces: Vec<Piece>,
    /// Keys of objects that the complete file does not need any more.
    pub stale: Vec<String>,
    /// Facts of the complete file.
    pub content: Option<Content>,
    /// True as soon as a message has carried it.
    pub is_attached: bool,
    /// True if its owner was deleted.
    pub is_owner_gone: bool,
    /// Time of the creation, in milliseconds since 1970.
    pub created_at: i64,
    /// Time at which a worker looks at it, in milliseconds since 1970; 0 for never.
    pub check_at: i64,
    /// Time until which it is kept although no message carries it, in milliseconds since 1970.
    pub keep_until: i64,
    /// Time until which a completion has it for itself, in milliseconds since 1970.
    pub busy_until: i64,
    /// Number of times that its objects were removed.
    pub removals: i64,
}

impl StoredFile {
    /// Returns a file without bytes.
    pub fn new(owner_id: UserId, name: String, size: i64, check_at: i64) -> Self {
        Self {
            id: format!("{PREFIX}{}", ulid()),
            owner_id,
            name,
            state: State::Uploading,
            size,
            reserved: size,
            offset: 0,
            pieces: Vec::new(),
            stale: Vec::new(),
            content: None,
            is_attached: false,
            is_owner_gone: false,
            created_at: now(),
            check_at,
            keep_until: 0,
            busy_until: 0,
            removals: 0,
        }
    }

    /// Returns a new key for an object of the file with this id.
    pub fn new_key(id: &str) -> String {
        format!("{id}/{}", ulid())
    }
}

fn ulid() -> String {
    Ulid::generate().to_string().to_ascii_lowercase()
}

/// Returns the current time in milliseconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_millis()
}

/// Returns the time that is `seconds` from now.
pub fn in_seconds(seconds: u32) -> i64 {
    now() + i64::from(seconds) * 1000
}

fn after(time: Duration) -> i64 {
    now() + i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Returns true if `text` has the form of an id of a file.
pub fn is_id(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == 26
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    })
}

/// Collection of files.
pub struct Files(Collection<StoredFile>);

fn in_state(id: &str, state: &str) -> Filter {
    Filter::id(id).is("state", state)
}

impl Files {
    /// Uses `collection` for the files.
    pub fn new(collection: Collection<StoredFile>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let due = [("checkAt", Order::Ascending)];
        let owner = [("ownerId", Order::Ascending), ("_id", Order::Ascending)];
        let indexes = [Index::new("due", &due), Index::new("owner", &owner)];
        self.0.create_indexes(indexes).await
    }

    /// Stores a new file.
    pub async fn insert(&self, file: &StoredFile) -> Result<(), HostError> {
        self.0.insert(file).await.map(|_| ())
    }

    /// Returns a file.
    pub async fn find(&self, id: &str) -> Result<Option<StoredFile>, HostError> {
        self.0.first(Filter::id(id)).await
    }

    /// Returns those of the files that are complete.
    pub async fn ready(&self, ids: &[String]) -> Result<Vec<StoredFile>, HostError> {
        let filter = Filter::all()
            .any_of("_id", ids.iter().cloned())
            .is("state", "ready");
        Ok(self.0.find(filter).await?.items)
    }

    /// Appends a piece at `offset`, and moves the removal to `check_at`. Returns false if the upload is not at this offset.
    pub async fn append(
        &self,
        id: &str,
        offset: i64,
        piece: &Piece,
        check_at: i64,
    ) -> Result<bool, HostError> {
        let filter = in_state(id, "uploading").is("offset", offset);
        let update = Update::one(filter)
            .set(json!({ "checkAt": check_at }))
            .increment("offset", piece.length)
            .append("pieces", piece, MAX_PIECES);
        Ok(self.0.update(update).await? > 0)
    }

    /// Takes a complete upload for one completion, and moves the removal to `check_at`. Returns false if another one has it.
    pub async fn begin_completion(&self, id: &str, check_at: i64) -> Result<bool, HostError> {
        let filter = in_state(id, "uploading").below("busyUntil", now() + 1);
        let set = json!({ "busyUntil": after(COMPLETION), "checkAt": check_at });
        Ok(self.0.update(Update::one(filter).set(set)).await? > 0)
    }

    /// Gives an upload back after a fault.
    pub async fn end_completion(&self, id: &str, check_at: i64) -> Result<(), HostError> {
        let set = json!({ "busyUntil": 0, "checkAt": check_at });
        let update = Update::one(in_state(id, "uploading")).set(set);
        self.0.update(update).await.map(|_| ())
    }

    /// Stores a complete file. Returns false if it is not an upload any more.
    pub async fn complete(&self, file: &StoredFile) -> Result<bool, HostError> {
        let set = json!({
            "state": "ready", "busyUntil": 0, "checkAt": file.check_at, "size": file.size,
            "keepUntil": file.keep_until, "pieces": file.pieces, "stale": file.stale, "content": file.content,
        });
        let update = Update::one(in_state(&file.id, "uploading")).set(set);
        Ok(self.0.update(update).await? > 0)
    }

    /// Notes that the stale objects of a file are removed.
    pub async fn forget_stale(&self, id: &str) -> Result<(), HostError> {
        let update = Update::one(Filter::id(id)).set(json!({ "stale": [] }));
        self.0.update(update).await.map(|_| ())
    }

    /// Keeps complete files until `check_at`, because a message is about to carry them.
    pub async fn keep(&self, ids: &[String], check_at: i64) -> Result<(), HostError> {
        let filter = Filter::all()
            .any_of("_id", ids.iter().cloned())
            .is("state", "ready");
        let set = json!({ "checkAt": check_at, "keepUntil": check_at });
        self.0
            .update(Update::all(filter).set(set))
            .await
            .map(|_| ())
    }

    /// Notes that a message carries the files.
    pub async fn attach(&self, ids: &[String], check_at: i64) -> Result<(), HostError> {
        let filter = Filter::all()
            .any_of("_id", ids.iter().cloned())
            .is("state", "ready");
        let set = json!({ "isAttached": true, "checkAt": check_at });
        self.0
            .update(Update::all(filter).set(set))
            .await
            .map(|_| ())
    }

    /// Makes a worker look at complete files at `gone_at` if their owner was deleted, and else at `check_at`.
    pub async fn check(
        &self,
        ids: &[String],
        check_at: i64,
        gone_at: i64,
    ) -> Result<(), HostError> {
        let of = |is_gone: bool, at: i64| {
            let filter = Filter::all()
                .any_of("_id", ids.iter().cloned())
                .is("state", "ready")
                .is("isOwnerGone", is_gone);
            Update::all(filter).set(json!({ "checkAt": at }))
        };
        let updates = vec![of(false, check_at), of(true, gone_at)];
        self.0.update_each(updates).await.map(|_| ())
    }

    /// Makes a worker look at all files that a deleted user created up to `until`.
    pub async fn forget_owner(&self, owner: &str, until: i64) -> Result<(), HostError> {
        let of = || {
            Filter::all()
                .is("ownerId", owner)
                .below("createdAt", until + 1)
        };
        let seen = of().any_of("state", ["uploading", "ready"]);
        let update =
            Update::all(seen).set(json!({ "isOwnerGone": true, "keepUntil": 0, "checkAt": now() }));
        self.0.update(update).await.map(|_| ())
    }

    /// Takes a file at which a worker must look; `None` if there is none.
    pub async fn take_due(&self) -> Result<Option<StoredFile>, HostError> {
        let filter = Filter::all()
            .at_least("checkAt", 1)
            .below("checkAt", now() + 1);
        let update = Update::one(filter).set(json!({ "checkAt": after(LEASE) }));
        self.0.find_and_update(update).await
    }

    /// Returns the number of files at which a worker must look now.
    pub async fn backlog(&self) -> Result<u64, HostError> {
        let filter = Filter::all()
            .at_least("checkAt", 1)
            .below("checkAt", now() + 1);
        self.0.count(filter).await
    }

    /// Sets the time of the next look at a file that a worker has taken; later changes of others stay.
    pub async fn settle(&self, taken: &StoredFile, check_at: i64) -> Result<(), HostError> {
        let filter = Filter::id(taken.id.as_str()).is("checkAt", taken.check_at);
        let update = Update::one(filter).set(json!({ "checkAt": check_at }));
        self.0.update(update).await.map(|_| ())
    }

    /// Begins the removal of a file that a worker has taken. Returns false if somebody needs it since then.
    pub async fn begin_removal(&self, taken: &StoredFile) -> Result<bool, HostError> {
        let filter = Filter::id(taken.id.as_str())
            .is("checkAt", taken.check_at)
            .below("busyUntil", now() + 1);
        let update = Update::one(filter).set(json!({ "state": "removing", "checkAt": now() }));
        Ok(self.0.update(update).await? > 0)
    }

    /// Begins the removal of a file in this state that no message carries. Returns false if there is none.
    pub async fn discard(&self, id: &str, state: &str) -> Result<bool, HostError> {
        let filter = in_state(id, state)
            .is("isAttached", false)
            .below("busyUntil", now() + 1);
        let update = Update::one(filter).set(json!({ "state": "removing", "checkAt": now() }));
        Ok(self.0.update(update).await? > 0)
    }

    /// Notes that the objects of a file were removed, and looks again at `check_at`. Returns false if that was noted before.
    pub async fn note_removal(&self, id: &str, check_at: i64) -> Result<bool, HostError> {
        let filter = in_state(id, "removing").is("removals", 0);
        let set = json!({ "removals": 1, "checkAt": check_at });
        Ok(self.0.update(Update::one(filter).set(set)).await? > 0)
    }

    /// Removes the document of a file.
    pub async fn forget(&self, id: &str) -> Result<(), HostError> {
        self.0.delete(in_state(id, "removing")).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generated_ids_have_the_form_of_ids() {
        let user: UserId = "alice".parse().expect("an id");
        let file = StoredFile::new(user, "a".to_owned(), 1, 0);
        assert!(is_id(&file.id));
        for text in [
            "",
            "att_",
            "att_../../../../../../etc/pass",
            "msg_00000000000000000000000000",
        ] {
            assert!(!is_id(text), "{text}");
        }
    }
}
