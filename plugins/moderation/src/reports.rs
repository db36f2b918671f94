//! Reports of messages, as they are stored, and their queue. This module carries out no decision.

use std::time::Duration;

use chat_sdk::{
    Attachment, ConversationId, MessageId, Timestamp, UserId,
    plugin::{Collection, Filter, Found, HostError, Index, Order, Query, StoredDate, Update},
};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{pages, rules::now};

/// State of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum ReportStatus {
    /// No decision was made, or it was undone.
    Open,
    /// A decision was made.
    Decided,
}

impl ReportStatus {
    /// Returns the name of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Decided => "decided",
        }
    }
}

/// The reported message as it was at the time of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Evidence {
    /// Text of the message at the time of the report.
    pub content: String,
    /// Files of the message at that time.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// True if the message was edited before the report.
    pub is_edited: bool,
    /// Time of the version that was reported: of the last edit, or of the send.
    pub version_at: Timestamp,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Id of the report.
    #[serde(rename = "_id")]
    pub id: String,
    /// Id of the reported message.
    pub message_id: MessageId,
    /// Conversation of the message.
    pub conversation_id: ConversationId,
    /// User who sent the message.
    pub author_id: UserId,
    /// Maker of the report: `user:` and an id, or `rule:` and a name. A message has one report of each.
    pub source: String,
    /// Words of the reporter.
    #[serde(default)]
    pub reason: Option<String>,
    /// The reported version; `None` after the author was erased.
    #[serde(default)]
    pub evidence: Option<Evidence>,
    /// State.
    pub status: ReportStatus,
    /// Reviewer who works on it.
    #[serde(default)]
    pub claimed_by: Option<UserId>,
    /// Time until which it is claimed, in milliseconds since 1970; 0 if it is not.
    #[serde(default)]
    pub claimed_until: i64,
    /// The decision.
    #[serde(default)]
    pub decision_id: Option<String>,
    /// Time of the report, in milliseconds since 1970.
    pub created_at: i64,
}

/// Beginning of the source of a report by a user.
pub const BY_USER: &str = "user:";
/// Beginning of the source of a report by a rule.
pub const BY_RULE: &str = "rule:";

impl Report {
    /// Returns the user who made the report.
    pub fn reporter(&self) -> Option<UserId> {
        self.source.strip_prefix(BY_USER)?.parse().ok()
    }

    /// Returns the rule that made the report.
    pub fn rule(&self) -> Option<&str> {
        self.source.strip_prefix(BY_RULE)
    }
}

/// Outcome of an attempt to claim or to decide a report.
#[derive(Debug)]
pub enum Taken {
    /// It succeeded; the report as it is now.
    Done(Box<Report>),
    /// There is no such report.
    Missing,
    /// The report was decided.
    Decided,
    /// Another reviewer works on it.
    Claimed,
}

/// Collection of reports.
pub struct Reports {
    stored: Collection<Report>,
    /// Time for which a decided report is kept.
    keep: Duration,
}

impl Reports {
    /// Uses `stored` for the reports, and keeps decided ones for `keep`.
    pub fn new(stored: Collection<Report>, keep: Duration) -> Self {
        Self { stored, keep }
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let up = |field| (field, Order::Ascending);
        self.stored
            .create_indexes([
                Index::new("source", &[up("messageId"), up("source")]).unique(),
                Index::new("queue", &[up("status"), up("_id")]),
                Index::new("author", &[up("authorId"), up("createdAt")]),
                Index::new("maker", &[up("source"), up("createdAt")]),
                Index::expiry("expiry", "removeAt", Duration::ZERO),
            ])
            .await
    }

    /// Stores a report, unless its maker has reported the message before. Returns the stored report, and true if it is new.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition is safe.
    pub async fn put(&self, report: Report) -> Result<(Report, bool), HostError> {
        if self.stored.insert(&report).await? {
            return Ok((report, true));
        }
        let filter = Filter::all().is("messageId", report.message_id.as_str());
        let filter = filter.is("source", report.source.as_str());
        let found = self.stored.first(filter).await?;
        Ok((found.unwrap_or(report), false))
    }

    /// Returns a report.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn get(&self, id: &str) -> Result<Option<Report>, HostError> {
        self.stored.first(Filter::id(id)).await
    }

    /// Returns the reports in a state, oldest first, after the one with the id `after`.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn page(
        &self,
        status: ReportStatus,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Found<Report>, HostError> {
        let mut filter = Filter::all().is("status", status.as_str());
        if let Some(after) = after {
            filter = filter.at_least("_id", format!("{after}0"));
        }
        let query = Query::from(filter).sort("_id", Order::Ascending);
        self.stored.find(pages::bound(query, limit)).await
    }

    /// Changes an open report that no other reviewer has claimed.
    async fn take(
        &self,
        id: &str,
        reviewer: &UserId,
        change: impl Fn(Filter) -> Update,
    ) -> Result<Taken, HostError> {
        let open = || Filter::id(id).is("status", ReportStatus::Open.as_str());
        let own = open().is("claimedBy", reviewer.as_str());
        let free = open().below("claimedUntil", now());
        for filter in [own, free] {
            if let Some(report) = self.stored.find_and_update(change(filter)).await? {
                return Ok(Taken::Done(Box::new(report)));
            }
        }
        Ok(match self.get(id).await? {
            None => Taken::Missing,
            Some(report) if report.status == ReportStatus::Decided => Taken::Decided,
            Some(_) => Taken::Claimed,
        })
    }

    /// Claims an open report for a reviewer for `seconds`.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn claim(
        &self,
        id: &str,
        reviewer: &UserId,
        seconds: i64,
    ) -> Result<Taken, HostError> {
        let until = now().saturating_add(seconds.saturating_mul(1000));
        self.take(id, reviewer, |filter| {
            let fields = json!({ "claimedBy": reviewer.as_str(), "claimedUntil": until });
            Update::one(filter).set(fields)
        })
        .await
    }

    /// Marks an open report as decided. If several decisions are made at once, one succeeds.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn decide(
        &self,
        id: &str,
        reviewer: &UserId,
        decision: &str,
    ) -> Result<Taken, HostError> {
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let removal = Timestamp::from_millis(now().saturating_add(keep));
        self.take(id, reviewer, |filter| {
            Update::one(filter).set(json!({
                "status": ReportStatus::Decided.as_str(), "decisionId": decision,
                "removeAt": StoredDate(removal),
            }))
        })
        .await
    }

    /// Opens a report again whose decision was undone.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition is safe.
    pub async fn reopen(&self, id: &str, decision: &str) -> Result<(), HostError> {
        let filter = Filter::id(id).is("decisionId", decision);
        let fields = json!({
            "status": ReportStatus::Open.as_str(), "decisionId": null, "removeAt": null,
            "claimedBy": null, "claimedUntil": 0,
        });
        self.stored
            .find_and_update(Update::one(filter).set(fields))
            .await
            .map(drop)
    }

    /// Erases the words of a deleted user in reports up to `until` (milliseconds since 1970): evidence of the user's messages, and reasons.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition is safe.
    pub async fn forget(&self, user: &str, until: i64) -> Result<(), HostError> {
        let of = |field, value: String| {
            Filter::all()
                .is(field, value)
                .below("createdAt", until.saturating_add(1))
        };
        let evidence = Update::all(of("authorId", user.to_owned()));
        let reason = Update::all(of("source", format!("{BY_USER}{user}")));
        let updates = vec![
            evidence.set(json!({ "evidence": null })),
            reason.set(json!({ "reason": null })),
        ];
        self.stored.update_each(updates).await.map(drop)
    }
}
