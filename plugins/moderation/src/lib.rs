//! Moderation plugin: rules for texts, restrictions of users and conversations, reports of messages and their review.
//!
//! `rules` stores rules, `matcher`, `patterns` and `links` search texts with them in the forms that `fold` makes. `restrictions` has mutes, bans, frozen conversations and
//! slow mode. `hooks` asks both before an operation. `reports` and `decisions` are the review; `effects` carries decisions out. `events` reports what matches a
//! rule and erases what deleted users wrote. `dry_run` searches past messages. `api` has the operations.
//!
//! This crate depends on no other part of the service than `chat_sdk`.

mod api;
mod decisions;
mod dry_run;
mod effects;
mod events;
mod fold;
mod hooks;
mod ids;
mod links;
mod matcher;
mod pages;
mod patterns;
mod reports;
mod restrictions;
mod rules;
mod settings;

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::{
    BoxFuture, CancellationToken, Hook, Host, HostError, Plugin, PluginContext, PluginFactory,
    Routes,
};

use decisions::Decisions;
use reports::Reports;
use restrictions::Restrictions;
use rules::Rules;
use settings::Settings;

/// Time between two searches for effects that another process has left.
const EFFECT_PERIOD: Duration = Duration::from_secs(5);

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    document: api::document,
    ..PluginFactory::new("moderation", |settings| {
        let settings = Settings::read(settings)?;
        Some(Box::new(move |host| {
            Arc::new(Moderation::new(settings, host))
        }))
    })
};

/// The moderation plugin.
struct Moderation {
    settings: Settings,
    host: Host,
    rules: Rules,
    restrictions: Restrictions,
    reports: Reports,
    decisions: Decisions,
}

impl Moderation {
    fn new(settings: Settings, host: Host) -> Self {
        Self {
            rules: Rules::new(host.collection("rules"), host.collection("versions")),
            restrictions: Restrictions::new(
                host.collection("restrictions"),
                host.collection("claims"),
            ),
            reports: Reports::new(host.collection("reports"), settings.keep()),
            decisions: Decisions::new(host.collection("decisions"), settings.keep()),
            settings,
            host,
        }
    }

    /// Carries out effects that another process has left, until `stop`.
    async fn finish_effects(&self, stop: &CancellationToken) {
        loop {
            let pause = tokio::time::sleep(EFFECT_PERIOD);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
            loop {
                let done = match self.decisions.take_left().await {
                    Ok(None) => break,
                    Ok(Some(decision)) => self.finish_left(decision).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = done {
                    tracing::warn!(%error, "effect of a decision could not be carried out");
                    break;
                }
            }
        }
    }
}

impl Plugin for Moderation {
    fn prepare(&self) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async {
            self.restrictions.prepare().await?;
            self.reports.prepare().await?;
            self.decisions.prepare().await
        })
    }

    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(api::operations(self))
    }

    fn hooks(self: Arc<Self>) -> Vec<Arc<dyn Hook>> {
        hooks::all(&self)
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(async move {
            events::declare(&self).await?;
            let work = async {
                tokio::join!(
                    events::run(&self, context.stop.clone()),
                    self.finish_effects(&context.stop),
                )
            };
            context.beat_while(work).await;
            Ok(())
        })
    }
}
