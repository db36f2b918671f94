//! Operations on rules.

use std::sync::Arc;

use chat_sdk::{
    http::{ApiError, AsHost, Fails, Json, NoContent, Query, Status, Upserted, ValidJson},
    plugin::LogPosition,
};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Tag,
    shapes::rules::{ModerationRule, ModerationRulePage, SetRule, TriedRule, TryRule},
};
use crate::{
    Moderation, dry_run,
    matcher::{CompiledRule, EntryFault},
    pages,
    rules::{MAX_RULES, Rule},
};

/// Operations on rules.
pub struct RulesApi(pub Arc<Moderation>);

/// Compiles a rule away from the threads that serve requests: many large patterns take a while.
async fn compile(
    rule: SetRule,
    name: String,
    prefix: &'static str,
) -> Result<(Rule, CompiledRule), ApiError> {
    tokio::task::spawn_blocking(move || rule.compile(&name, prefix))
        .await
        .map_err(|_| ApiError::internal("a rule could not be compiled"))?
}

/// Checks the name of a rule.
fn check_name(field: &str, name: &str) -> Result<(), ApiError> {
    let is_name = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if is_name {
        Ok(())
    } else {
        Err(ApiError::invalid(
            field,
            "must have 1 to 64 lower-case letters, digits, - and _",
        ))
    }
}

fn missing() -> ApiError {
    ApiError::NotFound("There is no such rule.".into())
}

impl RulesApi {
    /// Returns the faults of the active form of a rule.
    async fn faults(&self, name: &str) -> Result<Vec<EntryFault>, ApiError> {
        let rules = self.0.rules.current().await?;
        let rule = rules.iter().find(|rule| rule.name == name);
        Ok(rule.map(|rule| rule.faults.clone()).unwrap_or_default())
    }
}

#[OpenApi(tag = "Tag::Moderation")]
impl RulesApi {
    /// Set a moderation rule
    ///
    /// Creates the rule of this name (201), or replaces it (200). The rule is active in every process within about a second.
    ///
    /// Fails with 400 that names each invalid entry by its index; the previous rule then stays active. Fails with 409 if there are 50 rules.
    #[oai(
        path = "/api/moderation/rules/:name",
        method = "put",
        operation_id = "setModerationRule"
    )]
    async fn set(
        &self,
        _host: AsHost,
        /// Name of the rule: 1 to 64 lower-case letters, digits, `-` and `_`.
        name: Path<String>,
        body: ValidJson<SetRule>,
    ) -> Result<Upserted<ModerationRule>, Fails<Status<409, 413>>> {
        check_name("name", &name.0)?;
        let (rule, _) = compile(body.0, name.0.clone(), "").await?;
        let is_new = self.0.rules.get(&name.0).await?.is_none();
        if is_new && self.0.rules.count().await? >= MAX_RULES {
            let problem = "There are 50 rules already; delete one first.";
            return Err(ApiError::Conflict(problem.into()).into());
        }
        let stored = self.0.rules.put(rule).await?;
        Ok(Upserted {
            is_new,
            body: ModerationRule::of(stored, &[], true),
        })
    }

    /// List moderation rules
    ///
    /// Returns the rules by name, without their entries. `invalidEntries` names stored entries that this version cannot compile.
    #[oai(
        path = "/api/moderation/rules",
        method = "get",
        operation_id = "listModerationRules"
    )]
    async fn list(
        &self,
        _host: AsHost,
        /// Maximum number of rules, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the rules after it.
        after: Query<Option<String>>,
    ) -> Result<Json<ModerationRulePage>, ApiError> {
        let after = after.0.as_deref();
        if let Some(after) = after {
            check_name("after", after)
                .map_err(|_| ApiError::invalid("after", "is no cursor of this list"))?;
        }
        let found = self.0.rules.page(after, pages::size(limit.0)).await?;
        let next_cursor = pages::next(&found, |rule| rule.name.clone());
        let mut rules = Vec::with_capacity(found.items.len());
        for rule in found.items {
            let faults = self.faults(&rule.name).await?;
            rules.push(ModerationRule::of(rule, &faults, false));
        }
        Ok(Json(ModerationRulePage {
            rules,
            next_cursor,
            has_more: found.has_more,
        }))
    }

    /// Get a moderation rule
    ///
    /// Returns the rule with its entries. Fails with 404 if there is no rule of this name.
    #[oai(
        path = "/api/moderation/rules/:name",
        method = "get",
        operation_id = "getModerationRule"
    )]
    async fn get(
        &self,
        _host: AsHost,
        /// Name of the rule.
        name: Path<String>,
    ) -> Result<Json<ModerationRule>, Fails<Status<404>>> {
        let rule = self.0.rules.get(&name.0).await?.ok_or_else(missing)?;
        let faults = self.faults(&name.0).await?;
        Ok(Json(ModerationRule::of(rule, &faults, true)))
    }

    /// Delete a moderation rule
    ///
    /// Deletes the rule. Reports that it made stay. Fails with 404 if there is no rule of this name.
    #[oai(
        path = "/api/moderation/rules/:name",
        method = "delete",
        operation_id = "deleteModerationRule"
    )]
    async fn delete(
        &self,
        _host: AsHost,
        /// Name of the rule.
        name: Path<String>,
    ) -> Result<NoContent, Fails<Status<404>>> {
        if self.0.rules.remove(&name.0).await? {
            Ok(NoContent)
        } else {
            Err(missing().into())
        }
    }

    /// Try a rule on past messages
    ///
    /// Searches past messages and edits with a rule that is not stored, and returns counts and the ids of some matches. It changes nothing. A call ends after
    /// `limit` messages or about 4 seconds; continue with `nextCursor`.
    #[oai(
        path = "/api/moderation/dry-run",
        method = "post",
        operation_id = "tryModerationRule"
    )]
    async fn dry_run(
        &self,
        _host: AsHost,
        body: ValidJson<TryRule>,
    ) -> Result<Json<TriedRule>, Fails<Status<413>>> {
        let body = body.0;
        let (_, rule) = compile(body.rule, "dry-run".to_owned(), "rule.").await?;
        let after = match (&body.cursor, body.since) {
            (Some(cursor), _) => cursor
                .parse()
                .map(LogPosition)
                .map_err(|_| ApiError::invalid("cursor", "is no cursor of this operation"))?,
            (None, Some(since)) => LogPosition::before(since),
            (None, None) => LogPosition::default(),
        };
        let limit = body.limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(1000).clamp(1, dry_run::MAX_MESSAGES);
        let conversations = body.conversation_ids.unwrap_or_default();
        let found = dry_run::run(&self.0.host, rule, conversations, after, limit).await?;
        Ok(Json(found.into()))
    }
}
