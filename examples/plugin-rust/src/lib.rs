//! Polls in conversations: members create polls, vote, change their vote and close polls; the results reach all members live.
//!
//! A poll is a message of the type `custom`: the core checks who may send it, asks the hooks about its texts, numbers and delivers it. This plugin adds the
//! votes. `definition` has the texts and their limits, `polls` and `votes` the collections, `service` the operations, `api` and `shapes` their REST form, and
//! `upkeep` the work in the background. It depends on no other part of the service than `chat_sdk`.

mod api;
mod definition;
mod polls;
mod service;
mod shapes;
mod upkeep;
mod votes;

use std::sync::Arc;

use chat_sdk::plugin::{
    BoxFuture, CreatePlugin, Host, HostError, Plugin, PluginContext, PluginEvent, PluginFactory,
    PluginSettings, Routes,
};
use serde::Deserialize;

use api::PollsApi;
use polls::Polls;
use shapes::PollState;
use votes::Votes;

/// Type of the event with the results of a poll.
const UPDATED: &str = "polls.updated";

const EVENTS: &[PluginEvent] = &[PluginEvent::of_conversation::<PollState>(
    UPDATED,
    "The votes of a poll changed, or it was closed.",
)
.frame("polls:updated")];

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    events: EVENTS,
    document: api::document,
    ..PluginFactory::new("polls", configure)
};

/// The table `[plugins.polls]` of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Maximum number of open polls in a conversation, 1 to 1,000; default 100.
    max_open: u32,
    /// Number of days for which the votes on a deleted message are kept, in case it is restored: 1 to 365; default 30.
    keep_deleted_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_open: 100,
            keep_deleted_days: 30,
        }
    }
}

/// Checks the settings. The returned function creates the plugin.
fn configure(settings: &mut PluginSettings<'_>) -> Option<CreatePlugin> {
    let table: Settings = settings.table()?;
    let bounds = [
        ("max_open", table.max_open, 1000),
        ("keep_deleted_days", table.keep_deleted_days, 365),
    ];
    let mut is_good = true;
    for (name, value, most) in bounds {
        if !(1..=most).contains(&value) {
            settings.table_fault(format!("{name} is {value}; it must be from 1 to {most}"));
            is_good = false;
        }
    }
    is_good.then(|| -> CreatePlugin {
        Box::new(move |host| {
            Arc::new(PollsPlugin {
                polls: Polls::new(host.collection("polls")),
                votes: Votes::new(host.collection("votes")),
                settings: table,
                host,
            })
        })
    })
}

/// The polls plugin.
struct PollsPlugin {
    settings: Settings,
    host: Host,
    polls: Polls,
    votes: Votes,
}

impl Plugin for PollsPlugin {
    fn prepare(&self) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async {
            self.polls.prepare().await?;
            self.votes.prepare().await
        })
    }

    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(PollsApi(self))
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(upkeep::run(self, context))
    }
}
