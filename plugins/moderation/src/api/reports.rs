//! Operations on reports.

use std::sync::Arc;

use chat_sdk::{
    UserId,
    http::{ApiError, AsHost, AsUser, Fails, Json, Query, Status, Upserted, ValidJson},
};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Tag,
    shapes::{
        decisions::ModerationDecision,
        reports::{
            ClaimReport, DecideReport, ModerationReport, ModerationReportPage, OwnReport,
            ReportMessage,
        },
    },
};
use crate::{
    Moderation,
    decisions::{AppealStatus, Decision, Effect},
    ids, pages,
    reports::{BY_USER, Evidence, Report, ReportStatus, Taken},
    rules::now,
};

/// Operations on reports.
pub struct ReportsApi(pub Arc<Moderation>);

/// Error of an operation on one report.
type ReportError = Fails<Status<404, 409, 413>>;

fn missing() -> ApiError {
    ApiError::NotFound("There is no such report.".into())
}

/// Returns the report that was taken.
fn taken(taken: Taken) -> Result<Report, ApiError> {
    match taken {
        Taken::Done(report) => Ok(*report),
        Taken::Missing => Err(missing()),
        Taken::Decided => Err(ApiError::Conflict("The report was decided already.".into())),
        Taken::Claimed => Err(ApiError::Conflict(
            "Another reviewer works on the report.".into(),
        )),
    }
}

#[OpenApi(tag = "Tag::Moderation")]
impl ReportsApi {
    /// Report a message
    ///
    /// Stores a report with the message as it is now, so that a later edit or deletion hides nothing from the reviewers. A second report of the message by the
    /// same user returns the first one (200).
    ///
    /// Fails with 404 if the caller cannot read the message, and with 400 if the caller has sent it, or if it is deleted.
    #[oai(
        path = "/api/moderation/reports",
        method = "post",
        operation_id = "reportMessage"
    )]
    async fn create(
        &self,
        user: AsUser,
        body: ValidJson<ReportMessage>,
    ) -> Result<Upserted<OwnReport>, Fails<Status<403, 404, 413>>> {
        body.0.check()?;
        let message = self.0.message(&user.0, body.0.message_id.as_str()).await?;
        let refused = |problem: &'static str| ApiError::invalid("messageId", problem);
        if message.sender_id == user.0 {
            return Err(refused("names a message of your own").into());
        }
        if message.is_deleted {
            return Err(refused("names a deleted message").into());
        }
        let version_at = if message.is_edited {
            message.updated_at
        } else {
            message.created_at
        };
        let report = Report {
            id: ids::new(ids::REPORT),
            message_id: message.id,
            conversation_id: message.conversation_id,
            author_id: message.sender_id,
            source: format!("{BY_USER}{}", user.0),
            reason: body.0.reason,
            evidence: Some(Evidence {
                content: message.content,
                attachments: message.attachments,
                is_edited: message.is_edited,
                version_at,
            }),
            status: ReportStatus::Open,
            claimed_by: None,
            claimed_until: 0,
            decision_id: None,
            created_at: now(),
        };
        let (report, is_new) = self.0.reports.put(report).await?;
        if is_new {
            metrics::counter!("chat_moderation_reports_total", "source" => "user").increment(1);
        }
        Ok(Upserted {
            is_new,
            body: report.into(),
        })
    }

    /// List reports
    ///
    /// Returns the queue of the review: open reports, oldest first; or decided ones. A report is kept until it is decided, and then for `keep_days`.
    #[oai(
        path = "/api/moderation/reports",
        method = "get",
        operation_id = "listModerationReports"
    )]
    async fn list(
        &self,
        _host: AsHost,
        /// Maximum number of reports, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the reports after it.
        after: Query<Option<String>>,
        /// State of the reports. Default: `open`.
        status: Query<Option<ReportStatus>>,
    ) -> Result<Json<ModerationReportPage>, ApiError> {
        let after = after.0.as_deref();
        pages::check(after, ids::REPORT)?;
        let status = status.0.unwrap_or(ReportStatus::Open);
        let limit = pages::size(limit.0);
        let found = self.0.reports.page(status, after, limit).await?;
        Ok(Json(ModerationReportPage {
            next_cursor: pages::next(&found, |report| report.id.clone()),
            has_more: found.has_more,
            reports: found.items.into_iter().map(Into::into).collect(),
        }))
    }

    /// Claim a report
    ///
    /// Gives the report to a reviewer alone for `claim_seconds`; the same reviewer may claim it again. A claim is optional.
    ///
    /// Fails with 404 if there is no such report, and with 409 if another reviewer has claimed it or it was decided.
    #[oai(
        path = "/api/moderation/reports/:id/claim",
        method = "post",
        operation_id = "claimModerationReport"
    )]
    async fn claim(
        &self,
        _host: AsHost,
        /// Id of the report.
        id: Path<String>,
        body: ValidJson<ClaimReport>,
    ) -> Result<Json<ModerationReport>, ReportError> {
        let seconds = i64::from(self.0.settings.claim_seconds);
        let reviewer = &body.0.reviewer_id.0;
        let outcome = self.0.reports.claim(&id.0, reviewer, seconds).await?;
        Ok(Json(taken(outcome)?.into()))
    }

    /// Decide a report
    ///
    /// Decides about the report and carries the decision out: the message is deleted, or its author is muted or banned in the conversation or everywhere. A
    /// process that dies meanwhile leaves the effect to another one; `effect` tells its state.
    ///
    /// Fails with 404 if there is no such report, and with 409 if it was decided or another reviewer has claimed it.
    #[oai(
        path = "/api/moderation/reports/:id/decide",
        method = "post",
        operation_id = "decideModerationReport"
    )]
    async fn decide(
        &self,
        _host: AsHost,
        /// Id of the report.
        id: Path<String>,
        body: ValidJson<DecideReport>,
    ) -> Result<Json<ModerationDecision>, ReportError> {
        body.0.check()?;
        let report = self.0.reports.get(&id.0).await?.ok_or_else(missing)?;
        let decision = decision_of(&report, body.0);
        let reviewer: UserId = decision.reviewer_id.clone();
        // The decision is stored first, so that a decided report always has one.
        self.0.decisions.put(&decision).await?;
        let outcome = self
            .0
            .reports
            .decide(&id.0, &reviewer, &decision.id)
            .await?;
        if let Err(refusal) = taken(outcome) {
            self.0.decisions.withdraw(&decision.id).await?;
            return Err(refusal.into());
        }
        metrics::counter!("chat_moderation_decisions_total").increment(1);
        Ok(Json(self.0.carried_out(decision).await.into()))
    }
}

fn decision_of(report: &Report, body: DecideReport) -> Decision {
    let now = now();
    Decision {
        id: ids::new(ids::DECISION),
        report_id: report.id.clone(),
        message_id: report.message_id.clone(),
        conversation_id: report.conversation_id.clone(),
        user_id: report.author_id.clone(),
        reporter_id: report.reporter(),
        action: body.action,
        duration_seconds: body.duration_seconds,
        is_everywhere: body.everywhere.unwrap_or(false),
        reviewer_id: body.reviewer_id.0,
        note: body.note,
        effect: Effect::Pending,
        effect_at: now,
        has_removed: false,
        problem: None,
        decided_at: now,
        undone_by: None,
        undone_at: 0,
        appeal: AppealStatus::None,
        appeal_reason: None,
        resolved_by: None,
        resolved_at: 0,
    }
}

impl Moderation {
    /// Carries out or undoes a decision. If that fails now, a worker repeats it, and the decision stays as it is.
    pub async fn carried_out(&self, decision: Decision) -> Decision {
        match self.carry_out(decision.clone()).await {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(%error, "effect of a decision is left to a worker");
                decision
            }
        }
    }
}
