//! Hooks of the program's plugins, as the operations of the domain ask them.

use std::sync::Arc;

use chat_sdk::plugin::{Plugin, PluginFactory};

use super::chat::bots_of;
use crate::domain::hooks::{Hooks, Registered};

/// Source of these hooks.
const SOURCE: &str = "plugins";

/// Adds the hooks of `plugins` to `hooks`.
///
/// Operations ask them in the process that they enter, so every process has them, whatever roles the plugin has.
pub(super) fn add(plugins: &[(PluginFactory, Arc<dyn Plugin>)], hooks: &Hooks) {
    let all = plugins.iter().flat_map(|(factory, plugin)| {
        let own = Arc::clone(plugin).hooks().into_iter();
        own.map(|hook| Arc::new(Registered::new(factory.name, hook)))
    });
    hooks.replace(SOURCE, all.collect());
    let names = plugins.iter().map(|(factory, _)| factory.name);
    hooks.exempt(names.map(bots_of).collect());
}
