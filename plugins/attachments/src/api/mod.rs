//! Operations of the plugin: users upload files, read their facts, and get links to them.

mod examples;
mod files;
pub mod shapes;
mod uploads;

use std::sync::Arc;

use chat_sdk::plugin::RoutesDocument;
use poem_openapi::Tags;

use crate::Attachments;
use files::FilesApi;
use uploads::UploadsApi;

#[derive(Tags)]
enum Tag {
    /// Files of users: uploads, and downloads for those who can read a message with the file.
    Attachments,
}

/// All operations of the plugin.
type Operations = (UploadsApi, FilesApi);

/// Returns the OpenAPI part of the operations.
pub fn document() -> RoutesDocument {
    RoutesDocument::of::<Operations>().examples(examples::example)
}

/// Returns the operations of `plugin`.
pub fn operations(plugin: Arc<Attachments>) -> Operations {
    (UploadsApi(Arc::clone(&plugin)), FilesApi(plugin))
}
