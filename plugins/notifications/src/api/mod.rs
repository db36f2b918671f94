//! Operations of the plugin: the host sends notifications; users read them and register devices.

mod examples;
mod notifications;
mod push;
pub mod shapes;

use std::sync::Arc;

use chat_sdk::plugin::RoutesDocument;
use poem_openapi::Tags;

use crate::Notifications;
use notifications::NotificationsApi;
use push::PushApi;

#[derive(Tags)]
enum Tag {
    /// Notifications of users, and the devices that receive pushes.
    Notifications,
}

/// All operations of the plugin.
type Operations = (NotificationsApi, PushApi);

/// Returns the OpenAPI part of the operations.
pub fn document() -> RoutesDocument {
    RoutesDocument::of::<Operations>().examples(examples::example)
}

/// Returns the operations of `plugin`.
pub fn operations(plugin: Arc<Notifications>) -> Operations {
    (NotificationsApi(Arc::clone(&plugin)), PushApi(plugin))
}
