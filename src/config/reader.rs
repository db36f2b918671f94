//! Reads single variables from the layers and collects the faults.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use figment::Figment;

use super::source::{self, Origin, Sources};
use super::variable::Variable;
use super::{Fault, Setting, secret};

/// Overlaid layers, and the findings so far.
pub(super) struct Reader {
    figment: Figment,
    plugin_tables: BTreeMap<String, serde_json::Value>,
    dir: PathBuf,
    faults: Vec<Fault>,
    warnings: Vec<String>,
    /// Variables that already have a fault: they are not reported as missing as well.
    faulty: HashSet<String>,
}

impl Reader {
    pub(super) fn new(sources: &Sources) -> Self {
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        let file = source::file(sources, &mut faults);
        let figment = Figment::new()
            .merge(source::defaults())
            .merge(file.layer)
            .merge(source::dotenv(sources, &mut faults, &mut warnings))
            .merge(source::environment(sources, &mut warnings));
        let faulty = faults.iter().map(|fault| fault.subject.clone()).collect();
        Self {
            figment,
            plugin_tables: file.plugins,
            dir: sources.dir.clone(),
            faults,
            warnings,
            faulty,
        }
    }

    /// Returns the text of a variable, if one of the layers has it.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.figment
            .find_value(name)
            .ok()
            .and_then(figment::value::Value::into_string)
    }

    /// True if a file, `.env` or the environment sets the variable.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.origin(name)
            .is_some_and(|origin| origin != Origin::Default)
            || self.faulty.contains(name)
    }

    fn origin(&self, name: &str) -> Option<Origin> {
        self.figment.find_metadata(name).map(Origin::of)
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
        match self.text(name).map(|text| rule(&text)) {
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
        self.faults.push(Fault {
            subject: name.to_owned(),
            problem: problem.into(),
        });
    }

    pub(super) fn warn(&mut self, name: &str, text: &str) {
        self.warnings.push(format!("{name}: {text}"));
    }

    /// Returns the directory that relative paths start from.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn plugin_tables(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.plugin_tables
    }

    /// Returns a variable's printable value and its origin.
    pub(super) fn shown(&self, variable: &Variable) -> (Option<String>, Origin) {
        let value = self
            .text(variable.name)
            .map(|text| secret::shown(&text, variable.show));
        (value, self.origin(variable.name).unwrap_or(Origin::Default))
    }

    /// Returns the plugins' tables by the names of their keys.
    ///
    /// The values stay hidden, because this module does not know which are secrets.
    pub(super) fn shown_plugin_tables(&self) -> Vec<Setting> {
        self.plugin_tables
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
        (self.faults, self.warnings)
    }
}
