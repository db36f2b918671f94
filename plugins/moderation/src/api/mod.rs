//! Operations of the plugin: the host manages rules, restrictions and the review; users report messages and appeal decisions.

mod decisions;
mod examples;
mod reports;
mod restrictions;
mod rules;
mod shapes;

use std::sync::Arc;

use chat_sdk::plugin::RoutesDocument;
use poem_openapi::Tags;

use crate::Moderation;
use decisions::DecisionsApi;
use reports::ReportsApi;
use restrictions::RestrictionsApi;
use rules::RulesApi;

#[derive(Tags)]
enum Tag {
    /// Rules for texts, restrictions of users and conversations, and the review of reported messages.
    Moderation,
}

/// All operations of the plugin.
type Operations = (RulesApi, RestrictionsApi, ReportsApi, DecisionsApi);

/// Returns the OpenAPI part of the operations.
pub fn document() -> RoutesDocument {
    RoutesDocument::of::<Operations>().examples(examples::example)
}

/// Returns the operations of `plugin`.
pub fn operations(plugin: Arc<Moderation>) -> Operations {
    (
        RulesApi(Arc::clone(&plugin)),
        RestrictionsApi(Arc::clone(&plugin)),
        ReportsApi(Arc::clone(&plugin)),
        DecisionsApi(plugin),
    )
}
