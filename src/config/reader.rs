//! Reads single variables from the layers and collects the faults.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::Fault;
use super::Variable;
use super::source::{Group, Layers, Origin, Setting, Sources};
use chat_sdk::settings::Texts;

/// Overlaid layers, and the findings so far.
pub(super) struct Reader {
    layers: Layers,
    /// Groups of the core's variables.
    core: &'static [Group],
    dir: PathBuf,
    /// Variables that already have a fault: they are not reported as missing as well.
    faulty: HashSet<String>,
}

impl Reader {
    /// Reads the layers. `core` has the variables of the core; those of plugins are in `sources`.
    pub(super) fn new(sources: &Sources, core: &'static [Group]) -> Self {
        let layers = Layers::read(sources, core);
        let subjects = layers.faults.iter().map(|fault| fault.subject.clone());
        Self {
            faulty: subjects.collect(),
            layers,
            core,
            dir: sources.dir.clone(),
        }
    }

    /// Returns the text of a variable, if one of the layers has it.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.layers.texts.get(name).map(|(text, _)| text.as_str())
    }

    /// True if a file, `.env` or the environment sets the variable.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.origin(name) != Origin::Default || self.faulty.contains(name)
    }

    /// Returns the layer of a variable; [`Origin::Default`] if none sets it.
    fn origin(&self, name: &str) -> Origin {
        let text = self.layers.texts.get(name);
        text.map_or(Origin::Default, |(_, origin)| *origin)
    }

    /// Reads a required variable: `None` comes with a fault.
    ///
    /// The fault of a missing variable includes `remedy`.
    pub(super) fn require<T>(
        &mut self,
        name: &str,
        remedy: &str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.optional(name, rule)? {
            Some(value) => Some(value),
            None => {
                self.fault(name, format!("is required; {remedy}"));
                None
            }
        }
    }

    /// Reads a variable with a default: `None` comes with a fault.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.require(name, "set it", rule)
    }

    /// Reads an optional variable: the outer `None` comes with a fault.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        if self.faulty.contains(name) {
            return None;
        }
        match self.text(name).map(rule) {
            None => Some(None),
            Some(Ok(value)) => Some(Some(value)),
            Some(Err(problem)) => {
                self.fault(name, problem);
                None
            }
        }
    }

    pub(super) fn fault(&mut self, name: &str, problem: impl Into<String>) {
        self.faulty.insert(name.to_owned());
        self.layers.faults.push(Fault {
            subject: name.to_owned(),
            problem: problem.into(),
        });
    }

    pub(super) fn warn(&mut self, name: &str, text: &str) {
        self.layers.warnings.push(format!("{name}: {text}"));
    }

    /// Returns the directory that relative paths start from.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn plugin_tables(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.layers.plugins
    }

    /// Returns the tables of hooks by the names of their keys.
    pub(super) fn hook_tables(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.layers.hooks
    }

    /// Returns the texts of the plugins' variables that are set or have a default.
    pub(super) fn plugin_texts(&self) -> Texts {
        let mut texts = self.layers.texts.clone();
        for (_, variables) in self.core {
            for variable in *variables {
                texts.remove(variable.name);
            }
        }
        let texts = texts.into_iter().map(|(name, (text, _))| (name, text));
        Texts(texts.collect())
    }

    /// Returns a variable's printable value and its origin.
    pub(super) fn shown(&self, variable: &Variable) -> (Option<String>, Origin) {
        let value = self
            .text(variable.name)
            .map(|text| chat_sdk::settings::shown(text, variable.show));
        (value, self.origin(variable.name))
    }

    /// Returns the plugins' tables by the names of their keys.
    ///
    /// The values stay hidden, because this module does not know which are secrets.
    pub(super) fn shown_plugin_tables(&self) -> Vec<Setting> {
        self.layers
            .plugins
            .iter()
            .map(|(name, table)| {
                let keys: Vec<&str> = table
                    .as_object()
                    .map(|table| table.keys().map(String::as_str).collect())
                    .unwrap_or_default();
                Setting {
                    group: "Plugins",
                    name: format!("[plugins.{name}]"),
                    value: Some(keys.join(", ")),
                    origin: Origin::File,
                }
            })
            .collect()
    }

    pub(super) fn into_findings(self) -> (Vec<Fault>, Vec<String>) {
        (self.layers.faults, self.layers.warnings)
    }
}
