//! Bodies of the operations on decisions.

use chat_sdk::{ConversationId, GivenUserId, MessageId, Timestamp, UserId};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use crate::decisions::{AppealStatus, Decision, DecisionAction, Effect};

fn time(millis: i64) -> Option<Timestamp> {
    (millis > 0).then(|| Timestamp::from_millis(millis))
}

/// A decision for reviewers: an entry of the log of the review.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ModerationDecision {
    /// Id of the decision.
    pub id: String,
    /// Id of the report.
    pub report_id: String,
    /// Id of the reported message.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// Id of the author of the message.
    pub user_id: UserId,
    /// The action.
    pub action: DecisionAction,
    /// Duration of a mute or ban in seconds; absent if it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    /// True if a mute or ban holds everywhere.
    pub is_everywhere: bool,
    /// Id of the reviewer who decided.
    pub reviewer_id: UserId,
    /// Note of the reviewer; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// State of the effect.
    pub effect: Effect,
    /// Code of the error that the effect met, for example `NOT_FOUND` for a message that expired; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Time of the decision.
    pub decided_at: Timestamp,
    /// Id of the reviewer who undid it; absent if nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<UserId>,
    /// Time at which it was undone; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<Timestamp>,
    /// State of the author's appeal.
    pub appeal: AppealStatus,
    /// Reason of the appeal; absent without one, and after its author was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appeal_reason: Option<String>,
    /// Id of the reviewer who resolved the appeal; absent if nobody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<UserId>,
    /// Time of the resolution; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
}

impl From<Decision> for ModerationDecision {
    fn from(decision: Decision) -> Self {
        Self {
            id: decision.id,
            report_id: decision.report_id,
            message_id: decision.message_id,
            conversation_id: decision.conversation_id,
            user_id: decision.user_id,
            action: decision.action,
            duration_seconds: decision.duration_seconds,
            is_everywhere: decision.is_everywhere,
            reviewer_id: decision.reviewer_id,
            note: decision.note,
            effect: decision.effect,
            problem: decision.problem,
            decided_at: Timestamp::from_millis(decision.decided_at),
            undone_by: decision.undone_by,
            undone_at: time(decision.undone_at),
            appeal: decision.appeal,
            appeal_reason: decision.appeal_reason,
            resolved_by: decision.resolved_by,
            resolved_at: time(decision.resolved_at),
        }
    }
}

/// Page of decisions.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ModerationDecisionPage {
    /// Decisions of the page, newest first.
    pub decisions: Vec<ModerationDecision>,
    /// Value of `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more decisions.
    pub has_more: bool,
}

/// A decision about the caller's own message.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct OwnDecision {
    /// Id of the decision.
    pub id: String,
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// The action.
    pub action: DecisionAction,
    /// Time of the decision.
    pub decided_at: Timestamp,
    /// Time at which it was undone; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<Timestamp>,
    /// State of the appeal.
    pub appeal: AppealStatus,
}

impl From<Decision> for OwnDecision {
    fn from(decision: Decision) -> Self {
        Self {
            id: decision.id,
            message_id: decision.message_id,
            conversation_id: decision.conversation_id,
            action: decision.action,
            decided_at: Timestamp::from_millis(decision.decided_at),
            undone_at: time(decision.undone_at),
            appeal: decision.appeal,
        }
    }
}

/// Page of decisions about the caller's own messages.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct OwnDecisionPage {
    /// Decisions of the page, newest first. Dismissed reports are left out.
    pub decisions: Vec<OwnDecision>,
    /// Value of `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more decisions.
    pub has_more: bool,
}

/// Reviewer who undoes a decision.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UndoDecision {
    /// Id of the reviewer in the host's terms; it need not be a user of the service.
    pub reviewer_id: GivenUserId,
}

/// Appeal of a decision.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AppealDecision {
    /// Reason for the second reviewer, 1 to 1,000 characters.
    #[oai(validator(min_length = 1, max_length = 1000))]
    pub reason: String,
}

/// Resolution of an appeal.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ResolveAppeal {
    /// Id of the reviewer, who must not be the one who decided.
    pub reviewer_id: GivenUserId,
    /// True if the appeal is approved: the decision is undone.
    pub approve: bool,
}
