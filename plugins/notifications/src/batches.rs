//! Batches: a call of the host with all its recipients, stored before it is answered and then carried out in pieces.
//!
//! Ids of notifications, events and pushes follow from the batch and the recipient. A piece that is carried out again after a crash therefore changes
//! nothing that is done already. The process that accepted the call begins at once; any worker takes over when its lease ends.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    Timestamp, UserId,
    plugin::{Collection, Filter, HostError, Index, Order, StoredDate, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Notifications, ids,
    items::{Content, Item},
};

/// Maximum number of recipients of a call.
pub const MAX_RECIPIENTS: usize = 10_000;
/// Number of recipients that are served at once.
const PIECE: usize = 250;
/// Time after which a worker takes over a batch without progress.
const LEASE: Duration = Duration::from_secs(10);
/// Time for which a finished batch is remembered, so that a repeated call makes nothing new.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Number of batches that a process carries out at once.
pub const AT_ONCE: usize = 4;

/// Batch as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Hash of the idempotency key, or the id of the batch if there is none.
    #[serde(rename = "_id")]
    key: String,
    /// Id of the batch.
    pub id: String,
    /// Hash of the call, which tells a repetition from another call under the same key.
    hash: String,
    content: Content,
    /// Recipients; empty when the batch is finished.
    user_ids: Vec<UserId>,
    /// Number of recipients.
    pub total: u64,
    /// Number of recipients that are served.
    next: u64,
    /// End of the lease of the process that serves it, in milliseconds since 1970; 0 if the batch is finished.
    due_at: i64,
    /// Time of the call, in milliseconds since 1970.
    pub created_at: i64,
    /// Time at which its notifications expire, in milliseconds since 1970.
    expires_at: i64,
    /// Time at which the database removes it.
    remove_at: StoredDate,
}

/// A checked call of the host.
pub struct Call {
    /// Key under which a repetition is recognised.
    pub key: Option<String>,
    /// Recipients, each once.
    pub users: Vec<UserId>,
    /// Content of the notifications.
    pub content: Content,
    /// Time for which the notifications are kept.
    pub keep: Duration,
}

/// Result of accepting a call.
pub enum Accepted {
    /// The batch is new.
    New(Batch),
    /// The same call was accepted before.
    Repeated(Batch),
    /// Another call was accepted under the same key.
    OtherCall,
}

/// Collection of batches.
pub struct Batches(Collection<Batch>);

fn now() -> i64 {
    Timestamp::now().as_millis()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Batches {
    /// Uses `collection` for the batches.
    pub fn new(collection: Collection<Batch>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let indexes = [
            Index::new("due", &[("dueAt", Order::Ascending)]),
            Index::expiry("expiry", "removeAt", Duration::ZERO),
        ];
        self.0.create_indexes(indexes).await
    }

    /// Stores a call, which this process serves at once if `is_taken`.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; the outcome is then unknown, and a repetition under the same key is safe.
    pub async fn accept(&self, call: Call, is_taken: bool) -> Result<Accepted, HostError> {
        let id = ids::new_batch();
        let hash = call.hash();
        let key = match &call.key {
            Some(key) => ids::hash_text(&[key.as_bytes()]),
            None => id.clone(),
        };
        let now = now();
        let keep = millis(call.keep);
        let batch = Batch {
            key,
            id,
            hash,
            total: call.users.len() as u64,
            content: call.content,
            user_ids: call.users,
            next: 0,
            due_at: if is_taken { now + millis(LEASE) } else { now },
            created_at: now,
            expires_at: now + keep,
            remove_at: StoredDate(Timestamp::from_millis(now + millis(KEPT).max(keep))),
        };
        if self.0.insert(&batch).await? {
            return Ok(Accepted::New(batch));
        }
        let filter = Filter::id(batch.key.as_str());
        match self.0.first(filter).await? {
            Some(known) if known.hash == batch.hash => Ok(Accepted::Repeated(known)),
            Some(_) => Ok(Accepted::OtherCall),
            None => Err(HostError::Unavailable("a batch was removed".to_owned())),
        }
    }

    /// Takes a batch whose lease has ended; `None` if there is none.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn take(&self) -> Result<Option<Batch>, HostError> {
        let now = now();
        let filter = Filter::all().at_least("dueAt", 1).below("dueAt", now + 1);
        let update = Update::one(filter).set(json!({ "dueAt": now + millis(LEASE) }));
        self.0.find_and_update(update).await
    }

    /// Stores the progress of a batch and renews the lease. Returns false if another process has taken it.
    async fn advance(&self, batch: &mut Batch, served: u64) -> Result<bool, HostError> {
        let filter = Filter::id(batch.key.as_str()).is("dueAt", batch.due_at);
        let is_finished = served >= batch.total;
        let due_at = if is_finished {
            0
        } else {
            now() + millis(LEASE)
        };
        let mut fields = json!({ "dueAt": due_at, "next": served });
        if is_finished {
            fields["userIds"] = json!([]);
        }
        let is_mine = self.0.update(Update::one(filter).set(fields)).await? > 0;
        batch.due_at = due_at;
        batch.next = served;
        Ok(is_mine)
    }
}

impl Call {
    fn hash(&self) -> String {
        let content = serde_json::to_vec(&self.content).unwrap_or_default();
        let keep = self.keep.as_secs().to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&content, &keep];
        parts.extend(self.users.iter().map(|user| user.as_str().as_bytes()));
        ids::hash_text(&parts)
    }
}

/// Serves a batch in the background.
pub fn begin(plugin: &Arc<Notifications>, batch: Batch, permit: OwnedSemaphorePermit) {
    let plugin = Arc::clone(plugin);
    tokio::spawn(async move {
        if let Err(error) = serve(&plugin, batch).await {
            tracing::warn!(%error, "notifications could not be made; a worker continues");
        }
        drop(permit);
    });
}

/// Serves the recipients of a batch, piece by piece, until it is finished or another process has taken it.
///
/// # Errors
/// [`HostError`]; a worker continues when the lease ends.
async fn serve(plugin: &Arc<Notifications>, mut batch: Batch) -> Result<(), HostError> {
    while batch.next < batch.total {
        let from = usize::try_from(batch.next).unwrap_or(usize::MAX);
        let piece: Vec<UserId> = batch
            .user_ids
            .iter()
            .skip(from)
            .take(PIECE)
            .cloned()
            .collect();
        let served = batch.next + piece.len() as u64;
        if batch.expires_at > now() && !piece.is_empty() {
            serve_piece(plugin, &batch, piece).await?;
        }
        let is_mine = plugin.batches.advance(&mut batch, served).await?;
        if !is_mine {
            return Ok(());
        }
    }
    metrics::counter!("chat_notifications_batches_total").increment(1);
    Ok(())
}

async fn serve_piece(
    plugin: &Arc<Notifications>,
    batch: &Batch,
    users: Vec<UserId>,
) -> Result<(), HostError> {
    // A user may have been deleted since the call.
    let missing = plugin.host.audience.missing_users(users.clone()).await?;
    let users = users.into_iter().filter(|user| !missing.contains(user));
    let items: Vec<Item> = users
        .map(|user| Item {
            id: ids::notification(&batch.id, &user),
            user_id: user,
            content: batch.content.clone(),
            created_at: batch.created_at,
            expires_at: batch.expires_at,
            is_read: false,
            read_at: None,
        })
        .collect();
    plugin.items.put(&items).await?;
    plugin.announce_created(&items).await?;
    plugin.push_items(&items).await?;
    metrics::counter!("chat_notifications_created_total").increment(items.len() as u64);
    Ok(())
}
