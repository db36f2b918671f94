//! Restrictions of users and conversations: mute, ban, freeze and slow mode; and the claims of slow mode.
//!
//! Every operation reads them from the database, so a restriction holds in every process at once and across restarts. This module knows no rule.

use std::time::Duration;

use chat_sdk::{
    ConversationId, Timestamp, UserId,
    plugin::{Collection, Filter, Found, HostError, Index, Order, Query, StoredDate, Update},
};
use poem_openapi::Enum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{ids, rules::now};

/// Maximum interval of slow mode, in seconds.
pub const MAX_INTERVAL: i64 = 21_600;
/// Time for which an ended restriction stays stored, so that a clock that is behind does not bring it back.
const KEPT: Duration = Duration::from_secs(3600);
/// End of a restriction without an end, in milliseconds since 1970: the last moment of the year 9999.
const NEVER: i64 = 253_402_300_799_999;

/// Kind of a restriction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub enum RestrictionKind {
    /// The user cannot send or edit messages.
    Mute,
    /// The user cannot send, edit, react or become a member; everywhere also not connect or create conversations.
    Ban,
    /// Members cannot send, edit or react, except owners and admins.
    Freeze,
    /// Members send one message per interval, except owners and admins.
    SlowMode,
}

impl RestrictionKind {
    /// Returns the name of the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Ban => "ban",
            Self::Freeze => "freeze",
            Self::SlowMode => "slowMode",
        }
    }
}

/// A restriction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restriction {
    /// Id, which follows from the kind, the user and the conversation.
    #[serde(rename = "_id")]
    pub id: String,
    /// Kind.
    pub kind: RestrictionKind,
    /// User whom it restricts; `None` for one of a conversation.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// Conversation in which it holds; `None` for everywhere.
    #[serde(default)]
    pub conversation_id: Option<ConversationId>,
    /// Seconds between two messages, with slow mode.
    #[serde(default)]
    pub interval_seconds: Option<i64>,
    /// Reason, which the user is shown.
    #[serde(default)]
    pub reason: Option<String>,
    /// Decision that made it.
    #[serde(default)]
    pub decision_id: Option<String>,
    /// Time of the creation or the last change, in milliseconds since 1970.
    pub created_at: i64,
    /// End, in milliseconds since 1970.
    expires_at: i64,
}

impl Restriction {
    /// Returns a restriction that begins now and lasts `duration` seconds.
    pub fn new(
        kind: RestrictionKind,
        user: Option<UserId>,
        conversation: Option<ConversationId>,
        duration: Option<i64>,
    ) -> Self {
        let now = now();
        let end = duration.map(|seconds| now.saturating_add(seconds.saturating_mul(1000)));
        Self {
            id: ids::restriction(kind.as_str(), user.as_ref(), conversation.as_ref()),
            kind,
            user_id: user,
            conversation_id: conversation,
            interval_seconds: None,
            reason: None,
            decision_id: None,
            created_at: now,
            expires_at: end.unwrap_or(NEVER),
        }
    }

    /// Returns the end; `None` if there is none.
    pub fn end(&self) -> Option<Timestamp> {
        (self.expires_at < NEVER).then(|| Timestamp::from_millis(self.expires_at))
    }
}

/// Time of a user's last message in a conversation with slow mode.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    #[serde(rename = "_id")]
    id: String,
    last_at: i64,
    request_id: String,
}

/// Restrictions and claims.
pub struct Restrictions {
    stored: Collection<Restriction>,
    claims: Collection<Claim>,
}

impl Restrictions {
    /// Uses these collections.
    pub fn new(stored: Collection<Restriction>, claims: Collection<Claim>) -> Self {
        Self { stored, claims }
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let by = |field| [(field, Order::Ascending), ("_id", Order::Ascending)];
        self.stored
            .create_indexes([
                Index::new("user", &by("userId")),
                Index::new("conversation", &by("conversationId")),
                Index::expiry("expiry", "removeAt", KEPT),
            ])
            .await?;
        self.claims
            .create_indexes([Index::expiry("expiry", "removeAt", Duration::ZERO)])
            .await
    }

    /// Returns those of the restrictions with these ids that hold now.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn active(&self, ids: Vec<String>) -> Result<Vec<Restriction>, HostError> {
        let filter = Filter::all()
            .any_of("_id", ids)
            .at_least("expiresAt", now() + 1);
        Ok(self.stored.find(filter).await?.items)
    }

    /// Stores a restriction; it replaces the one of the same kind, user and conversation. Returns true if none held before.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition is safe.
    pub async fn put(&self, restriction: &Restriction) -> Result<bool, HostError> {
        let before = self.active(vec![restriction.id.clone()]).await?;
        let mut fields = serde_json::to_value(restriction).unwrap_or_default();
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("_id");
            let remove_at = restriction.end().map(|end| Value::from(StoredDate(end)));
            fields.insert("removeAt".to_owned(), remove_at.unwrap_or_default());
        }
        let update = Update::one(Filter::id(restriction.id.as_str()))
            .set(fields)
            .or_insert(json!({}));
        // Unlike a plain update, this is confirmed by a majority, so the next operation sees it.
        self.stored.find_and_update(update).await?;
        Ok(before.is_empty())
    }

    /// Returns the restrictions that hold now, after the one with the id `after`, in the order of their ids.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn page(
        &self,
        user: Option<&UserId>,
        conversation: Option<&ConversationId>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Found<Restriction>, HostError> {
        let mut filter = Filter::all().at_least("expiresAt", now() + 1);
        if let Some(user) = user {
            filter = filter.is("userId", user.as_str());
        }
        if let Some(conversation) = conversation {
            filter = filter.is("conversationId", conversation.as_str());
        }
        if let Some(after) = after {
            filter = filter.at_least("_id", format!("{after}0"));
        }
        let query = Query::from(filter).sort("_id", Order::Ascending);
        self.stored.find(query.limit(limit)).await
    }

    /// Ends a restriction. Returns true if it held.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn end(&self, id: &str) -> Result<bool, HostError> {
        let filter = Filter::id(id).at_least("expiresAt", now() + 1);
        Ok(self.stored.delete(filter).await? > 0)
    }

    /// Ends the restriction that a decision made, unless another one has replaced it.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn end_of_decision(&self, decision: &str, user: &UserId) -> Result<(), HostError> {
        let filter = Filter::all().is("userId", user.as_str());
        let filter = filter.is("decisionId", decision);
        self.stored.delete(filter).await.map(drop)
    }

    /// Removes the restrictions of a deleted user that were made up to `until` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn forget(&self, user: &str, until: i64) -> Result<(), HostError> {
        let filter = Filter::all().is("userId", user);
        let filter = filter.below("createdAt", until + 1);
        self.stored.delete(filter).await.map(drop)
    }

    /// Claims the next message of a user in a conversation with slow mode. One of several processes that claim at once succeeds.
    ///
    /// Returns the milliseconds to wait if the last message is younger than `interval` seconds; the wait does not begin again. The request that has claimed
    /// may claim again, so that an operation whose process died can be repeated.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn claim(
        &self,
        conversation: &ConversationId,
        user: &UserId,
        interval: i64,
        request: &str,
    ) -> Result<Result<(), i64>, HostError> {
        let (now, wait) = (now(), interval.saturating_mul(1000));
        let id = format!("{conversation}:{user}");
        let removal = Timestamp::from_millis(now.saturating_add(MAX_INTERVAL * 1000));
        let update = Update::one(Filter::id(id.as_str()).below("lastAt", now - wait + 1))
            .set(json!({ "lastAt": now, "requestId": request, "removeAt": StoredDate(removal) }))
            .or_insert(json!({}));
        // An insertion that would repeat the id changes nothing: the last message is too young.
        let claim = self.claims.find_and_update(update).await?;
        if claim.is_some_and(|claim| claim.request_id == request) {
            return Ok(Ok(()));
        }
        let last = self.claims.first(Filter::id(id)).await?;
        Ok(match last {
            Some(last) if last.request_id == request => Ok(()),
            Some(last) => Err((last.last_at + wait - now).clamp(1, wait)),
            None => Err(wait),
        })
    }
}
