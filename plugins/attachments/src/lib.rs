//! Attachments plugin: resumable uploads, stored files, signed downloads, and the clean-up of files that no message carries.
//!
//! `uploads` receives pieces and makes files of them, `sniff` finds the type of a file, `strip` and `pictures` treat pictures. `files`, `references` and `quota`
//! are the documents, `objects` holds the bytes. `hook` checks the files of a new message, `access` decides who reads a file, `links` signs and `download`
//! answers links, and `work` removes what nobody needs. `api` has the operations.
//!
//! This crate depends on no other part of the service than `chat_sdk`.

mod access;
mod api;
mod download;
mod files;
mod hook;
mod links;
mod objects;
mod pictures;
mod quota;
mod references;
mod settings;
mod sniff;
mod strip;
mod uploads;
mod work;

use std::sync::Arc;

use chat_sdk::plugin::{
    BoxFuture, Hook, Host, HostError, Plugin, PluginContext, PluginFactory, Routes,
};
use tokio::sync::Semaphore;

use files::Files;
use links::Links;
use objects::Objects;
use quota::Quota;
use references::References;
use settings::Settings;

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    variables: settings::VARIABLES,
    document: api::document,
    ..PluginFactory::new("attachments", |settings| {
        let settings = Settings::read(settings)?;
        Some(Box::new(move |host| {
            Arc::new(Attachments::new(settings, host))
        }))
    })
};

/// The attachments plugin.
struct Attachments {
    settings: Settings,
    host: Host,
    files: Files,
    references: References,
    quota: Quota,
    objects: Arc<dyn Objects>,
    links: Links,
    /// Permits for pictures that are decoded in this process.
    decoding: Arc<Semaphore>,
}

impl Attachments {
    fn new(settings: Settings, host: Host) -> Self {
        Self {
            files: Files::new(host.collection("files")),
            references: References::new(host.collection("references")),
            quota: Quota::new(host.collection("usage"), settings.quota),
            objects: objects::open(&settings.place),
            links: Links::new(settings.secret.clone(), settings.table.link_seconds),
            decoding: Arc::new(Semaphore::new(settings.table.image_concurrency as usize)),
            settings,
            host,
        }
    }
}

impl Plugin for Attachments {
    fn prepare(&self) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async {
            self.files.prepare().await?;
            self.references.prepare().await
        })
    }

    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(api::operations(self))
    }

    fn hooks(self: Arc<Self>) -> Vec<Arc<dyn Hook>> {
        vec![Arc::new(hook::Binding(self))]
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(work::run(self, context))
    }
}
