//! Accounts plugin: login with an e-mail address or a user name and a password, for products without a login of their own.
//!
//! Its access tokens are ordinary tokens of the service, so everything else works with them unchanged. `identity` compares addresses and names,
//! `password` hashes on a bounded number of blocking threads, `attempts` limits guesses, `accounts` and `sessions` store, `links` has the single-use tokens
//! of e-mails, `outbox` and `mailer` send these e-mails outside of requests, `flows` combines all of them, `service` calls the core, and `api` has the
//! operations.
//!
//! No answer tells whether an address has an account: the flows do the same work for known and unknown addresses.
//!
//! This crate depends on no other part of the service than `chat_sdk`.

mod accounts;
mod api;
mod attempts;
mod audit;
mod flows;
mod identity;
mod links;
mod mailer;
mod outbox;
mod password;
mod secrets;
mod service;
mod sessions;
mod settings;
mod smtp;

use std::sync::Arc;

use chat_sdk::plugin::{BoxFuture, Host, HostError, Plugin, PluginContext, PluginFactory, Routes};

use accounts::AccountStore;
use attempts::{AddressLimit, Attempts};
use audit::Audit;
use links::Links;
use mailer::Mailer;
use outbox::Outbox;
use password::Hasher;
use sessions::Sessions;
use settings::Settings;

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    variables: settings::VARIABLES,
    document: api::document,
    ..PluginFactory::new("accounts", |settings| {
        let settings = Settings::read(settings)?;
        Some(Box::new(move |host| {
            Arc::new(Accounts::new(settings, host))
        }))
    })
};

/// The accounts plugin.
struct Accounts {
    settings: Settings,
    host: Host,
    store: AccountStore,
    sessions: Sessions,
    attempts: Attempts,
    addresses: AddressLimit,
    links: Links,
    outbox: Outbox,
    audit: Audit,
    hasher: Hasher,
}

impl Accounts {
    fn new(settings: Settings, host: Host) -> Self {
        Self {
            store: AccountStore::new(&host),
            sessions: Sessions::new(&host),
            attempts: Attempts::new(host.collection("attempts")),
            addresses: AddressLimit::new(settings.rate_limit),
            links: Links::new(host.collection("links")),
            outbox: Outbox::new(host.collection("outbox")),
            audit: Audit::new(host.collection("audit")),
            hasher: Hasher::new(settings.max_hashes),
            settings,
            host,
        }
    }
}

impl Plugin for Accounts {
    fn prepare(&self) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async {
            self.store.prepare().await?;
            self.sessions.prepare().await?;
            self.attempts.prepare().await?;
            self.links.prepare().await?;
            self.outbox.prepare().await?;
            self.audit.prepare().await
        })
    }

    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(api::operations(self))
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(async move {
            match &self.settings.mail {
                Some(mail) => {
                    let mailer = Mailer::new(mail, &self.settings.public_url)?;
                    context
                        .beat_while(outbox::run(&self, &mailer, &context.stop))
                        .await;
                }
                None => context.beat_while(context.stop.cancelled()).await,
            }
            Ok(())
        })
    }
}
