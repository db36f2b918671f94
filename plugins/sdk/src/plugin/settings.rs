//! Settings of a plugin: its variables, and its table of `chat.toml`.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::PluginFactory;
use crate::settings::{Fault, Texts};

/// Settings of one plugin, with the faults that the plugin finds in them.
///
/// All faults are reported at once, so a plugin reads every setting before it returns for a missing one.
pub struct PluginSettings<'a> {
    factory: PluginFactory,
    table: Option<&'a Value>,
    texts: &'a Texts,
    is_production: bool,
    can_issue_tokens: bool,
    faults: Vec<Fault>,
    warnings: Vec<String>,
}

impl<'a> PluginSettings<'a> {
    /// Creates the settings of the plugin of `factory`: its table of `chat.toml`, and the texts of the plugins' variables.
    pub fn new(
        factory: PluginFactory,
        table: Option<&'a Value>,
        texts: &'a Texts,
        is_production: bool,
    ) -> Self {
        Self {
            factory,
            table,
            texts,
            is_production,
            can_issue_tokens: false,
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Declares that the deployment has a secret to sign tokens with, or that it has none.
    pub fn with_token_secret(self, can_issue_tokens: bool) -> Self {
        Self {
            can_issue_tokens,
            ..self
        }
    }

    /// True if the deployment has a secret to sign tokens with (`AUTH_JWT_SECRET`), so that the plugin can issue some.
    pub fn can_issue_tokens(&self) -> bool {
        self.can_issue_tokens
    }

    /// True in production (`APP_ENV`).
    pub fn is_production(&self) -> bool {
        self.is_production
    }

    /// Returns the text of a variable that the plugin declares: the one that is set, or the default.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let mut own = self.factory.variables.iter();
        let variable = own.find(|variable| variable.name == name)?;
        self.texts.0.get(variable.name).map(String::as_str)
    }

    /// Reads an optional variable with `rule`; the outer `None` comes with a fault.
    pub fn optional<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.text(name).map(rule) {
            None => Some(None),
            Some(Ok(value)) => Some(Some(value)),
            Some(Err(problem)) => {
                self.fault(name, problem);
                None
            }
        }
    }

    /// Reads a variable that has a default with `rule`; `None` comes with a fault.
    pub fn read<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.optional(name, rule)?;
        if value.is_none() {
            self.fault(name, "is required; set it");
        }
        value
    }

    /// Reads the table `[plugins.<name>]` as `T`, which should reject unknown fields; `None` comes with a fault.
    pub fn table<T: DeserializeOwned + Default>(&mut self) -> Option<T> {
        let Some(table) = self.table else {
            return Some(T::default());
        };
        // The error names the field and not the value, except for a word that is not one of a fixed set.
        match serde_json::from_value(table.clone()) {
            Ok(table) => Some(table),
            Err(error) => {
                self.table_fault(format!("cannot be read: {error}"));
                None
            }
        }
    }

    /// Reports a fault of the variable `name`, as a sentence that can follow the name.
    pub fn fault(&mut self, name: &str, problem: impl Into<String>) {
        self.faults.push(Fault {
            subject: name.to_owned(),
            problem: problem.into(),
        });
    }

    /// Reports a fault of the table.
    pub fn table_fault(&mut self, problem: impl Into<String>) {
        self.fault(&format!("[plugins.{}]", self.factory.name), problem);
    }

    /// Adds a warning about the variable `name` to the log.
    pub fn warn(&mut self, name: &str, text: &str) {
        self.warnings.push(format!("{name}: {text}"));
    }

    /// Returns the faults and the warnings.
    pub fn into_findings(self) -> (Vec<Fault>, Vec<String>) {
        (self.faults, self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Variable, parse};

    const VARIABLES: &[Variable] = &[Variable::number("SAMPLE_DEPTH", "3")];

    const FACTORY: PluginFactory = PluginFactory {
        variables: VARIABLES,
        ..PluginFactory::new("sample", |_| None)
    };

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Table {
        depth: u32,
    }

    #[test]
    fn table_with_an_unknown_field_is_a_fault() {
        let texts = Texts::default();
        let read = |table: Option<&Value>| {
            let mut settings = PluginSettings::new(FACTORY, table, &texts, false);
            let table: Option<Table> = settings.table();
            (table, settings.into_findings().0)
        };
        assert_eq!(read(None), (Some(Table { depth: 0 }), Vec::new()));
        let table = serde_json::json!({ "depth": 3 });
        assert_eq!(read(Some(&table)), (Some(Table { depth: 3 }), Vec::new()));
        let table = serde_json::json!({ "deph": 3 });
        let (table, faults) = read(Some(&table));
        assert_eq!(table, None);
        assert_eq!(faults[0].subject, "[plugins.sample]");
        assert!(faults[0].problem.contains("deph"));
    }

    #[test]
    fn only_declared_variables_can_be_read() {
        let texts = [("SAMPLE_DEPTH", "x"), ("OTHER_SECRET", "y")];
        let texts = Texts(texts.map(|(name, text)| (name, text.to_owned())).into());
        let mut settings = PluginSettings::new(FACTORY, None, &texts, false);
        assert_eq!(settings.text("OTHER_SECRET"), None);
        let rule = |text: &str| parse::small(text, 1..=9, "levels");
        assert_eq!(settings.read("SAMPLE_DEPTH", rule), None);
        let (faults, _) = settings.into_findings();
        let expected = "SAMPLE_DEPTH: is \"x\"; it must be a whole number of levels from 1 to 9";
        assert_eq!(faults[0].to_string(), expected);
    }
}
