//! Operations on decisions.

use std::sync::Arc;

use chat_sdk::http::{ApiError, AsHost, AsUser, Created, Fails, Json, Query, Status, ValidJson};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Tag,
    shapes::{
        decisions::{
            AppealDecision, ModerationDecision, ModerationDecisionPage, OwnDecision,
            OwnDecisionPage, ResolveAppeal, UndoDecision,
        },
        reports::check_one,
    },
};
use crate::{
    Moderation,
    decisions::{AppealStatus, Decision, DecisionAction},
    ids, pages,
};

/// Operations on decisions.
pub struct DecisionsApi(pub Arc<Moderation>);

/// Error of an operation on one decision.
type DecisionError = Fails<Status<404, 409, 413>>;

fn missing() -> ApiError {
    ApiError::NotFound("There is no such decision.".into())
}

impl DecisionsApi {
    /// Returns a decision.
    async fn get(&self, id: &str) -> Result<Decision, ApiError> {
        self.0.decisions.get(id).await?.ok_or_else(missing)
    }
}

#[OpenApi(tag = "Tag::Moderation")]
impl DecisionsApi {
    /// List decisions
    ///
    /// Returns the log of the review, newest first: every decision with its undo and its appeal. A decision is kept for `keep_days`.
    #[oai(
        path = "/api/moderation/decisions",
        method = "get",
        operation_id = "listModerationDecisions"
    )]
    async fn list(
        &self,
        _host: AsHost,
        /// Maximum number of decisions, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the decisions after it.
        after: Query<Option<String>>,
        /// State of the appeal; returns the decisions in this state only.
        appeal: Query<Option<AppealStatus>>,
    ) -> Result<Json<ModerationDecisionPage>, ApiError> {
        let after = after.0.as_deref();
        pages::check(after, ids::DECISION)?;
        let limit = pages::size(limit.0);
        let found = self.0.decisions.page(None, appeal.0, after, limit).await?;
        Ok(Json(ModerationDecisionPage {
            next_cursor: pages::next(&found, |decision| decision.id.clone()),
            has_more: found.has_more,
            decisions: found.items.into_iter().map(Into::into).collect(),
        }))
    }

    /// Undo a decision
    ///
    /// Undoes the effect: the deleted message returns with its id, position and reactions, or the restriction ends. The report is open again.
    ///
    /// A message that expired, was erased, or is in a direct conversation cannot return; `effect` is `failed` then. Fails with 404 if there is no such decision,
    /// and with 409 if it was undone.
    #[oai(
        path = "/api/moderation/decisions/:id/undo",
        method = "post",
        operation_id = "undoModerationDecision"
    )]
    async fn undo(
        &self,
        _host: AsHost,
        /// Id of the decision.
        id: Path<String>,
        body: ValidJson<UndoDecision>,
    ) -> Result<Json<ModerationDecision>, DecisionError> {
        let reviewer = &body.0.reviewer_id.0;
        let Some(decision) = self.0.decisions.undo(&id.0, reviewer).await? else {
            self.get(&id.0).await?;
            return Err(ApiError::Conflict("The decision was undone already.".into()).into());
        };
        Ok(Json(self.0.carried_out(decision).await.into()))
    }

    /// Resolve an appeal
    ///
    /// A second reviewer approves or rejects the appeal. An approved one undoes the decision; the report stays decided.
    ///
    /// Fails with 403 if the reviewer is the one who decided, with 404 if there is no such decision, and with 409 if it has no open appeal.
    #[oai(
        path = "/api/moderation/decisions/:id/appeal/resolve",
        method = "post",
        operation_id = "resolveModerationAppeal"
    )]
    async fn resolve(
        &self,
        _host: AsHost,
        /// Id of the decision.
        id: Path<String>,
        body: ValidJson<ResolveAppeal>,
    ) -> Result<Json<ModerationDecision>, Fails<Status<403, 404, 409>>> {
        let reviewer = &body.0.reviewer_id.0;
        let decision = self.get(&id.0).await?;
        if decision.reviewer_id == *reviewer {
            let problem = "The reviewer who decided cannot resolve the appeal.";
            return Err(ApiError::Forbidden(problem.into()).into());
        }
        let resolved = self
            .0
            .decisions
            .resolve(&id.0, reviewer, body.0.approve)
            .await?;
        let Some(decision) = resolved else {
            return Err(ApiError::Conflict("The decision has no open appeal.".into()).into());
        };
        Ok(Json(self.0.carried_out(decision).await.into()))
    }

    /// List decisions about own messages
    ///
    /// Returns the decisions about the caller's messages, newest first. Dismissed reports are left out, so a page may have fewer items than `limit`.
    #[oai(
        path = "/api/moderation/me/decisions",
        method = "get",
        operation_id = "listOwnModerationDecisions"
    )]
    async fn own(
        &self,
        user: AsUser,
        /// Maximum number of decisions, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the decisions after it.
        after: Query<Option<String>>,
    ) -> Result<Json<OwnDecisionPage>, ApiError> {
        let after = after.0.as_deref();
        pages::check(after, ids::DECISION)?;
        let limit = pages::size(limit.0);
        let decisions = &self.0.decisions;
        let found = decisions.page(Some(&user.0), None, after, limit).await?;
        let next_cursor = pages::next(&found, |decision| decision.id.clone());
        let visible = found
            .items
            .into_iter()
            .filter(|decision| decision.action != DecisionAction::Dismiss);
        Ok(Json(OwnDecisionPage {
            next_cursor,
            has_more: found.has_more,
            decisions: visible.map(OwnDecision::from).collect(),
        }))
    }

    /// Appeal a decision
    ///
    /// Asks a second reviewer to look at a decision about a message of the caller. A decision can be appealed once.
    ///
    /// Fails with 404 if there is no such decision about the caller, and with 409 if it was appealed or undone before.
    #[oai(
        path = "/api/moderation/decisions/:id/appeal",
        method = "post",
        operation_id = "appealModerationDecision"
    )]
    async fn appeal(
        &self,
        user: AsUser,
        /// Id of the decision.
        id: Path<String>,
        body: ValidJson<AppealDecision>,
    ) -> Result<Created<OwnDecision>, DecisionError> {
        check_one("reason", Some(&body.0.reason))?;
        let decision = self.get(&id.0).await?;
        if decision.user_id != user.0 || decision.action == DecisionAction::Dismiss {
            return Err(missing().into());
        }
        let decisions = &self.0.decisions;
        match decisions.appeal(&id.0, &user.0, &body.0.reason).await? {
            Some(decision) => Ok(Created(decision.into())),
            None => Err(
                ApiError::Conflict("The decision was appealed or undone already.".into()).into(),
            ),
        }
    }
}
