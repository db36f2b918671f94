//! Bodies of the operations on restrictions.

use chat_sdk::{ConversationId, GivenUserId, Timestamp, UserId, http::ApiError};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{Faults, check_text};
use crate::restrictions::{Restriction, RestrictionKind};

/// Maximum length of a reason, in characters.
const MAX_REASON: usize = 200;

/// A restriction of a user or of a conversation.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct Restrict {
    /// Kind: `mute` and `ban` restrict a user, `freeze` and `slowMode` a conversation.
    pub kind: RestrictionKind,
    /// Id of the user; required with `mute` and `ban`, and not allowed otherwise.
    pub user_id: Option<GivenUserId>,
    /// Id of the conversation; required with `freeze` and `slowMode`. A `mute` or `ban` without it holds everywhere.
    pub conversation_id: Option<ConversationId>,
    /// Duration in seconds, 1 to 315,360,000. Default: no end.
    #[oai(validator(minimum(value = "1"), maximum(value = "315360000")))]
    pub duration_seconds: Option<i64>,
    /// Seconds between two messages of a member, 1 to 21,600; required with `slowMode`, and not allowed otherwise.
    #[oai(validator(minimum(value = "1"), maximum(value = "21600")))]
    pub interval_seconds: Option<i64>,
    /// Reason that a restricted user is shown, at most 200 characters. Default: none.
    #[oai(validator(max_length = 200))]
    pub reason: Option<String>,
}

impl Restrict {
    /// Checks the fields and returns the restriction.
    ///
    /// # Errors
    /// [`ApiError::Invalid`].
    pub fn into_restriction(self) -> Result<Restriction, ApiError> {
        let mut faults = Faults::new();
        check_text(&mut faults, "reason", self.reason.as_deref(), MAX_REASON);
        let is_of_user = matches!(self.kind, RestrictionKind::Mute | RestrictionKind::Ban);
        let mut fault = |field: &str, problem: &'static str| {
            faults.push((field.to_owned(), problem.into()));
        };
        match (is_of_user, self.user_id.is_some()) {
            (true, false) => fault("userId", "is required with this kind"),
            (false, true) => fault("userId", "is allowed with mute and ban only"),
            _ => {}
        }
        if !is_of_user && self.conversation_id.is_none() {
            fault("conversationId", "is required with this kind");
        }
        match (self.kind, self.interval_seconds.is_some()) {
            (RestrictionKind::SlowMode, false) => {
                fault("intervalSeconds", "is required with slowMode");
            }
            (RestrictionKind::SlowMode, true) | (_, false) => {}
            (_, true) => fault("intervalSeconds", "is allowed with slowMode only"),
        }
        if !faults.is_empty() {
            return Err(ApiError::Invalid(faults));
        }
        let user = self.user_id.map(|given| given.0);
        let duration = self.duration_seconds;
        let mut restriction = Restriction::new(self.kind, user, self.conversation_id, duration);
        restriction.interval_seconds = self.interval_seconds;
        restriction.reason = self.reason;
        Ok(restriction)
    }
}

/// A restriction that holds.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ModerationRestriction {
    /// Id of the restriction. It follows from the kind, the user and the conversation.
    pub id: String,
    /// Kind of the restriction.
    pub kind: RestrictionKind,
    /// Id of the restricted user; absent for a restriction of a conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Id of the conversation; absent if it holds everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Seconds between two messages; absent unless the kind is `slowMode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<i64>,
    /// Reason that a restricted user is shown; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Id of the decision that made it; absent if the host made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// Time of the creation or the last change.
    pub created_at: Timestamp,
    /// End; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl From<Restriction> for ModerationRestriction {
    fn from(restriction: Restriction) -> Self {
        Self {
            expires_at: restriction.end(),
            id: restriction.id,
            kind: restriction.kind,
            user_id: restriction.user_id,
            conversation_id: restriction.conversation_id,
            interval_seconds: restriction.interval_seconds,
            reason: restriction.reason,
            decision_id: restriction.decision_id,
            created_at: Timestamp::from_millis(restriction.created_at),
        }
    }
}

/// Page of restrictions.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ModerationRestrictionPage {
    /// Restrictions of the page, in the order of their ids.
    pub restrictions: Vec<ModerationRestriction>,
    /// Value of `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more restrictions.
    pub has_more: bool,
}
