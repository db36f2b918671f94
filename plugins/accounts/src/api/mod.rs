//! Operations: for strangers (`enter`), for users (`own`) and for the host (`manage`).

mod enter;
mod examples;
mod manage;
mod own;
mod shapes;

use std::sync::Arc;

use chat_sdk::{
    http::{Fails, Status},
    plugin::RoutesDocument,
};
use poem_openapi::Tags;

use crate::Accounts;
use enter::EnterApi;
use manage::ManageApi;
use own::OwnApi;

#[derive(Tags)]
enum Tag {
    /// Login with a password, for products without a login of their own.
    #[oai(rename = "Accounts")]
    Accounts,
    /// Accounts, for the host.
    #[oai(rename = "Admin/Accounts")]
    Admin,
}

/// Errors of operations for strangers.
type Open = Fails<Status<429, 503>>;
/// Errors of operations that check a password or a token.
type Proving = Fails<Status<401, 429, 503>>;
/// Errors of operations of users that check the password.
type Confirming = Fails<Status<403, 404, 409>>;

/// All operations of the plugin.
type AccountsApi = (EnterApi, OwnApi, ManageApi);

/// Returns the OpenAPI part of the operations.
pub fn document() -> RoutesDocument {
    RoutesDocument::of::<AccountsApi>().examples(examples::example)
}

/// Returns the operations of `plugin`.
pub fn operations(plugin: Arc<Accounts>) -> AccountsApi {
    (
        EnterApi(Arc::clone(&plugin)),
        OwnApi(Arc::clone(&plugin)),
        ManageApi(plugin),
    )
}
