//! Plugin `wordgame`: users write `!wordgame TEXT` in a conversation, and members read the list of these messages.
//!
//! It has one of each part of a plugin: settings (here), a collection (`entries`), a durable and an event (`listener`), a hook (`hook`) and an operation
//! (`api`). Replace them by your own. The plugin depends on no other part of the service than `chat_sdk`.

mod api;
mod entries;
mod hook;
mod listener;

use std::sync::Arc;

use chat_sdk::plugin::{
    BoxFuture, CreatePlugin, Hook, Host, HostError, Plugin, PluginContext, PluginEvent,
    PluginFactory, PluginSettings, Routes,
};
use serde::Deserialize;

use api::{WordGameApi, WordGameEntry};
use entries::Entries;
use hook::Length;

/// Type of the event about a new entry.
const ADDED: &str = "wordgame.added";

const EVENTS: &[PluginEvent] = &[PluginEvent::of_conversation::<WordGameEntry>(
    ADDED,
    "A member added an entry to the list of the conversation.",
)
.frame("wordgame:added")];

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    events: EVENTS,
    document: api::document,
    ..PluginFactory::new("wordgame", configure)
};

/// The table `[plugins.wordgame]` of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Number of days for which entries are kept, 1 to 3,650; default 90.
    keep_days: u32,
    /// Maximum length of the text after the command in characters, 1 to 1,000; default 200.
    max_characters: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_days: 90,
            max_characters: 200,
        }
    }
}

/// Checks the settings. The returned function creates the plugin.
fn configure(settings: &mut PluginSettings<'_>) -> Option<CreatePlugin> {
    let table: Settings = settings.table()?;
    let bounds = [
        ("keep_days", table.keep_days, 3650),
        ("max_characters", table.max_characters, 1000),
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
            Arc::new(WordGamePlugin {
                entries: Entries::new(host.collection("entries")),
                settings: table,
                host,
            })
        })
    })
}

/// The plugin.
struct WordGamePlugin {
    settings: Settings,
    host: Host,
    entries: Entries,
}

impl Plugin for WordGamePlugin {
    fn prepare(&self) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(self.entries.prepare(self.settings.keep_days))
    }

    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(WordGameApi(self))
    }

    fn hooks(self: Arc<Self>) -> Vec<Arc<dyn Hook>> {
        vec![Arc::new(Length {
            max_characters: self.settings.max_characters,
        })]
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(listener::run(self, context))
    }
}

#[cfg(test)]
mod tests {
    use chat_sdk::settings::Texts;
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_out_of_bounds_are_reported() {
        let texts = Texts::default();
        let table = json!({ "keep_days": 0, "max_characters": 1001 });
        let mut settings = PluginSettings::new(PLUGIN, Some(&table), &texts, false);
        assert!(configure(&mut settings).is_none());
        let (faults, _) = settings.into_findings();
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "[plugins.wordgame]: keep_days is 0; it must be from 1 to 3650",
                "[plugins.wordgame]: max_characters is 1001; it must be from 1 to 1000",
            ]
        );
    }

    #[test]
    fn the_document_has_the_operation_with_an_example() {
        let document = api::document().into_json();
        let operation = &document["paths"]["/api/wordgame/conversations/{id}/entries"]["get"];
        assert_eq!(operation["operationId"], "listWordGame");
        let shown = &operation["responses"]["200"]["content"]["application/json"]["example"];
        assert_eq!(shown["hasMore"], false);
    }
}
