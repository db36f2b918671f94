//! Decisions about reports, as they are stored: the log of the review, with undo and appeal. The effects are in `effects`.

use std::time::Duration;

use chat_sdk::{
    ConversationId, MessageId, Timestamp, UserId,
    plugin::{Collection, Filter, Found, HostError, Index, Order, Query, StoredDate, Update},
};
use poem_openapi::Enum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{pages, rules::now};

/// Time after which a worker carries out an effect that another process has begun.
const LEFT_AFTER: i64 = 10_000;

/// Decision about a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum DecisionAction {
    /// Nothing happens.
    Dismiss,
    /// The message is deleted.
    Remove,
    /// The author is muted.
    Mute,
    /// The author is banned.
    Ban,
}

/// State of the effect of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum Effect {
    /// It is being carried out; a process that dies leaves this to another one.
    Pending,
    /// It was carried out.
    Applied,
    /// It is being undone.
    Undoing,
    /// It was undone.
    Undone,
    /// It could not be carried out or undone; `problem` has the reason.
    Failed,
}

/// State of the appeal of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum AppealStatus {
    /// The author has not appealed.
    None,
    /// An appeal waits for a second reviewer.
    Open,
    /// The appeal was approved, and the decision undone.
    Approved,
    /// The appeal was rejected.
    Rejected,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Id of the decision.
    #[serde(rename = "_id")]
    pub id: String,
    /// Id of the report.
    pub report_id: String,
    /// Id of the reported message.
    pub message_id: MessageId,
    /// Conversation of the message.
    pub conversation_id: ConversationId,
    /// Author of the message, whom the decision concerns.
    pub user_id: UserId,
    /// User who made the report, if one did.
    #[serde(default)]
    pub reporter_id: Option<UserId>,
    /// The action.
    pub action: DecisionAction,
    /// Duration of a restriction in seconds; `None` for no end.
    #[serde(default)]
    pub duration_seconds: Option<i64>,
    /// True if a restriction holds everywhere.
    #[serde(default)]
    pub is_everywhere: bool,
    /// Reviewer who decided.
    pub reviewer_id: UserId,
    /// Note of the reviewer.
    #[serde(default)]
    pub note: Option<String>,
    /// State of the effect.
    pub effect: Effect,
    /// Time of the last attempt of the effect, in milliseconds since 1970.
    #[serde(default)]
    pub effect_at: i64,
    /// True if the message was there when the decision began to delete it, so that an undo restores it.
    #[serde(default)]
    pub has_removed: bool,
    /// Code of the error that the effect met.
    #[serde(default)]
    pub problem: Option<String>,
    /// Time of the decision, in milliseconds since 1970.
    pub decided_at: i64,
    /// Reviewer who undid it.
    #[serde(default)]
    pub undone_by: Option<UserId>,
    /// Time at which it was undone, in milliseconds since 1970; 0 if it was not.
    #[serde(default)]
    pub undone_at: i64,
    /// State of the appeal.
    pub appeal: AppealStatus,
    /// Words of the author.
    #[serde(default)]
    pub appeal_reason: Option<String>,
    /// Reviewer who resolved the appeal.
    #[serde(default)]
    pub resolved_by: Option<UserId>,
    /// Time of the resolution, in milliseconds since 1970; 0 if there is none.
    #[serde(default)]
    pub resolved_at: i64,
}

/// Collection of decisions.
pub struct Decisions {
    stored: Collection<Decision>,
    /// Time for which a decision is kept.
    keep: Duration,
}

impl Decisions {
    /// Uses `stored` for the decisions, and keeps them for `keep`.
    pub fn new(stored: Collection<Decision>, keep: Duration) -> Self {
        Self { stored, keep }
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let up = |field| (field, Order::Ascending);
        self.stored
            .create_indexes([
                Index::new("user", &[up("userId"), ("_id", Order::Descending)]),
                Index::new("appeals", &[up("appeal"), ("_id", Order::Descending)]),
                Index::new("effects", &[up("effect"), up("effectAt")]),
                Index::expiry("expiry", "removeAt", Duration::ZERO),
            ])
            .await
    }

    /// Stores a new decision.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition is safe.
    pub async fn put(&self, decision: &Decision) -> Result<(), HostError> {
        let mut fields = serde_json::to_value(decision).unwrap_or_default();
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("_id");
            let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
            let removal = Timestamp::from_millis(decision.decided_at.saturating_add(keep));
            fields.insert("removeAt".to_owned(), Value::from(StoredDate(removal)));
        }
        let update = Update::one(Filter::id(decision.id.as_str())).or_insert(fields);
        // Unlike a plain update, this is confirmed by a majority, so the next read sees it.
        self.stored.find_and_update(update).await.map(drop)
    }

    /// Removes a decision that lost against another one of the same report.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn withdraw(&self, id: &str) -> Result<(), HostError> {
        self.stored.delete(Filter::id(id)).await.map(drop)
    }

    /// Returns a decision.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn get(&self, id: &str) -> Result<Option<Decision>, HostError> {
        self.stored.first(Filter::id(id)).await
    }

    /// Returns decisions, newest first, after the one with the id `after`.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn page(
        &self,
        user: Option<&UserId>,
        appeal: Option<AppealStatus>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Found<Decision>, HostError> {
        let mut filter = Filter::all();
        if let Some(user) = user {
            filter = filter.is("userId", user.as_str());
        }
        if let Some(appeal) = appeal {
            filter = filter.is("appeal", serde_json::to_value(appeal).unwrap_or_default());
        }
        if let Some(after) = after {
            filter = filter.below("_id", after);
        }
        let query = Query::from(filter).sort("_id", Order::Descending);
        self.stored.find(pages::bound(query, limit)).await
    }

    /// Changes a decision that is not undone; `None` if there is none of this id.
    async fn change(&self, filter: Filter, fields: Value) -> Result<Option<Decision>, HostError> {
        let update = Update::one(filter.is("undoneAt", 0)).set(fields);
        self.stored.find_and_update(update).await
    }

    /// Marks a decision as undone by a reviewer; `None` if it was undone before. The effect is still to be undone.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn undo(&self, id: &str, reviewer: &UserId) -> Result<Option<Decision>, HostError> {
        let fields = json!({
            "undoneBy": reviewer.as_str(), "undoneAt": now(), "effect": Effect::Undoing, "effectAt": now(),
        });
        self.change(Filter::id(id), fields).await
    }

    /// Stores the appeal of the author; `None` if there was one before, or if the decision was undone.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn appeal(
        &self,
        id: &str,
        user: &UserId,
        reason: &str,
    ) -> Result<Option<Decision>, HostError> {
        let filter = Filter::id(id)
            .is("userId", user.as_str())
            .is("appeal", "none");
        let fields = json!({ "appeal": AppealStatus::Open, "appealReason": reason });
        self.change(filter, fields).await
    }

    /// Resolves an open appeal; `None` if there is none. An approved one marks the decision as undone.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn resolve(
        &self,
        id: &str,
        reviewer: &UserId,
        is_approved: bool,
    ) -> Result<Option<Decision>, HostError> {
        let now = now();
        let mut fields = json!({ "resolvedBy": reviewer.as_str(), "resolvedAt": now });
        if is_approved {
            fields["appeal"] = json!(AppealStatus::Approved);
            fields["undoneBy"] = json!(reviewer.as_str());
            fields["undoneAt"] = json!(now);
            fields["effect"] = json!(Effect::Undoing);
            fields["effectAt"] = json!(now);
        } else {
            fields["appeal"] = json!(AppealStatus::Rejected);
        }
        self.change(Filter::id(id).is("appeal", "open"), fields)
            .await
    }

    /// Stores that the message was there when its deletion began.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn begin_removal(&self, id: &str) -> Result<(), HostError> {
        let update = Update::one(Filter::id(id)).set(json!({ "hasRemoved": true }));
        self.stored.find_and_update(update).await.map(drop)
    }

    /// Stores the outcome of the effect that was `before`, and returns the decision as it is then.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn finish(
        &self,
        id: &str,
        before: Effect,
        after: Effect,
        problem: Option<&str>,
    ) -> Result<Option<Decision>, HostError> {
        let before = serde_json::to_value(before).unwrap_or_default();
        let filter = Filter::id(id).is("effect", before);
        let fields = json!({ "effect": after, "problem": problem });
        let changed = self
            .stored
            .find_and_update(Update::one(filter).set(fields))
            .await?;
        match changed {
            Some(decision) => Ok(Some(decision)),
            None => self.get(id).await,
        }
    }

    /// Takes a decision whose effect a process has left; `None` if there is none.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn take_left(&self) -> Result<Option<Decision>, HostError> {
        let now = now();
        for effect in [Effect::Pending, Effect::Undoing] {
            let effect = serde_json::to_value(effect).unwrap_or_default();
            let filter = Filter::all()
                .is("effect", effect)
                .below("effectAt", now - LEFT_AFTER);
            let update = Update::one(filter).set(json!({ "effectAt": now }));
            if let Some(decision) = self.stored.find_and_update(update).await? {
                return Ok(Some(decision));
            }
        }
        Ok(None)
    }

    /// Erases the words of a deleted user in decisions up to `until` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition is safe.
    pub async fn forget(&self, user: &str, until: i64) -> Result<(), HostError> {
        let filter = Filter::all()
            .is("userId", user)
            .below("decidedAt", until.saturating_add(1));
        let update = Update::all(filter).set(json!({ "appealReason": null }));
        self.stored.update(update).await.map(drop)
    }
}
