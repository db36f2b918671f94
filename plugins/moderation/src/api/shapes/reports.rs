//! Bodies of the operations on reports.

use chat_sdk::{ConversationId, GivenUserId, MessageId, Timestamp, UserId, http::ApiError};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{Faults, check_text};
use crate::{
    decisions::DecisionAction,
    reports::{Evidence, Report, ReportStatus},
};

/// Maximum length of a reason or note, in characters.
const MAX_TEXT: usize = 1000;

/// A report of a message.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ReportMessage {
    /// Id of the message, which the caller can read and has not sent.
    pub message_id: MessageId,
    /// Reason for the reviewers, at most 1,000 characters. Default: none.
    #[oai(validator(max_length = 1000))]
    pub reason: Option<String>,
}

impl ReportMessage {
    /// Checks the texts.
    ///
    /// # Errors
    /// [`ApiError::Invalid`].
    pub fn check(&self) -> Result<(), ApiError> {
        check_one("reason", self.reason.as_deref())
    }
}

/// Checks one optional text.
///
/// # Errors
/// [`ApiError::Invalid`].
pub fn check_one(name: &str, text: Option<&str>) -> Result<(), ApiError> {
    let mut faults = Faults::new();
    check_text(&mut faults, name, text, MAX_TEXT);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::Invalid(faults))
    }
}

/// The caller's own report.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct OwnReport {
    /// Id of the report.
    pub id: String,
    /// Id of the reported message.
    pub message_id: MessageId,
    /// Time of the report.
    pub created_at: Timestamp,
}

impl From<Report> for OwnReport {
    fn from(report: Report) -> Self {
        Self {
            id: report.id,
            message_id: report.message_id,
            created_at: Timestamp::from_millis(report.created_at),
        }
    }
}

/// A report for reviewers.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ModerationReport {
    /// Id of the report.
    pub id: String,
    /// Id of the reported message.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// Id of the user who sent the message.
    pub author_id: UserId,
    /// Id of the user who reported it; absent if a rule did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reporter_id: Option<UserId>,
    /// Name of the rule that reported it; absent if a user did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Reason of the reporter; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The message as it was at the time of the report; absent after its author was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// State of the report.
    pub status: ReportStatus,
    /// Reviewer who works on it; absent if nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<UserId>,
    /// Time until which the reviewer has it alone; absent if it was never claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_until: Option<Timestamp>,
    /// Id of the decision; absent while the report is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// Time of the report.
    pub created_at: Timestamp,
}

impl From<Report> for ModerationReport {
    fn from(report: Report) -> Self {
        Self {
            reporter_id: report.reporter(),
            rule: report.rule().map(str::to_owned),
            id: report.id,
            message_id: report.message_id,
            conversation_id: report.conversation_id,
            author_id: report.author_id,
            reason: report.reason,
            evidence: report.evidence,
            status: report.status,
            claimed_by: report.claimed_by,
            claimed_until: (report.claimed_until > 0)
                .then(|| Timestamp::from_millis(report.claimed_until)),
            decision_id: report.decision_id,
            created_at: Timestamp::from_millis(report.created_at),
        }
    }
}

/// Page of reports.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ModerationReportPage {
    /// Reports of the page, oldest first.
    pub reports: Vec<ModerationReport>,
    /// Value of `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more reports.
    pub has_more: bool,
}

/// Reviewer who takes a report.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ClaimReport {
    /// Id of the reviewer in the host's terms; it need not be a user of the service.
    pub reviewer_id: GivenUserId,
}

/// Decision about a report.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct DecideReport {
    /// Id of the reviewer in the host's terms; it need not be a user of the service.
    pub reviewer_id: GivenUserId,
    /// Action: `dismiss`, `remove` (the message is deleted), `mute` or `ban` (the author).
    pub action: DecisionAction,
    /// Duration of a mute or ban in seconds, 1 to 315,360,000. Default: no end.
    #[oai(validator(minimum(value = "1"), maximum(value = "315360000")))]
    pub duration_seconds: Option<i64>,
    /// True if a mute or ban holds everywhere, not only in the conversation. Default: false.
    pub everywhere: Option<bool>,
    /// Note for other reviewers, at most 1,000 characters. Default: none.
    #[oai(validator(max_length = 1000))]
    pub note: Option<String>,
}

impl DecideReport {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`ApiError::Invalid`].
    pub fn check(&self) -> Result<(), ApiError> {
        let is_restriction = matches!(self.action, DecisionAction::Mute | DecisionAction::Ban);
        for (field, is_given) in [
            ("durationSeconds", self.duration_seconds.is_some()),
            ("everywhere", self.everywhere.is_some()),
        ] {
            if is_given && !is_restriction {
                return Err(ApiError::invalid(
                    field,
                    "is allowed with mute and ban only",
                ));
            }
        }
        check_one("note", self.note.as_deref())
    }
}
