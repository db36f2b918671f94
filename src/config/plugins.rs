//! Enabled plugins, their tables and their variables.
//!
//! Only names are checked here: the plugin checks its own settings.

use std::collections::BTreeMap;

use chat_sdk::settings::Texts;

use super::Variable;
use super::parse;
use super::reader::Reader;

pub(super) const VARIABLES: &[Variable] = &[Variable::list("PLUGINS", Some("webhooks"))];

/// Enabled plugins, their tables and their variables.
#[derive(Debug, Clone)]
pub struct Plugins {
    /// `PLUGINS`: names separated by commas, `none` for none; default webhooks.
    ///
    /// In `chat.toml` the key is `plugins_enabled`, because `plugins` holds the tables there.
    pub enabled: Vec<String>,
    /// `[plugins.<name>]` of `chat.toml` by name, as JSON objects; also of plugins that are not enabled.
    pub tables: BTreeMap<String, serde_json::Value>,
    /// Texts of the variables that plugins declare.
    pub texts: Texts,
}

impl Plugins {
    /// Returns true if the switch `name`, which a plugin declares, is on.
    pub fn is_set(&self, name: &str) -> bool {
        self.texts.0.get(name).is_some_and(|text| text == "true")
    }

    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let enabled = reader.read("PLUGINS", names)?;
        let tables = reader.plugin_tables().clone();
        for name in tables.keys().filter(|name| !enabled.contains(name)) {
            let hint = parse::did_you_mean(name, enabled.iter().cloned());
            reader.warn(
                "PLUGINS",
                &format!("does not name \"{name}\", so [plugins.{name}] is not used{hint}"),
            );
        }
        Some(Self {
            enabled,
            tables,
            texts: reader.plugin_texts(),
        })
    }
}

fn names(text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in parse::list(text) {
        if !(1..=32).contains(&name.len())
            || !name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        {
            return Err(format!(
                "holds \"{}\"; write names such as webhooks,search",
                parse::short(name)
            ));
        }
        if names.iter().any(|known| known == name) {
            return Err(format!("names \"{name}\" twice; once is enough"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}
