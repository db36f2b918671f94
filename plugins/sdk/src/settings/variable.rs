//! Declaration of a variable.

/// One variable of the contract: everything about it that needs no code.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Name in the environment; in `chat.toml` the same in lower case.
    pub name: &'static str,
    /// Default value, as it would be written.
    pub default: Option<&'static str>,
    /// Type in `chat.toml`.
    pub kind: Kind,
    /// Way in which it is printed.
    pub show: Show,
}

/// Types of a value in `chat.toml`; `.env` and the environment have only text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text in quotes.
    Text,
    /// A whole number, or text that holds one.
    Number,
    /// `true` or `false`, or text that holds one.
    Switch,
    /// An array of texts, or one text with commas.
    List,
}

/// Way in which `config show` prints a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Unchanged.
    Plain,
    /// Masked as three stars.
    Secret,
    /// A URI, or several with commas, without the secret parts.
    Uri,
    /// A key in PEM form or the path of one: the path is printed, the key never.
    Pem,
}

impl Variable {
    const fn new(
        name: &'static str,
        default: Option<&'static str>,
        kind: Kind,
        show: Show,
    ) -> Self {
        Self {
            name,
            default,
            kind,
            show,
        }
    }

    /// Returns a variable of any text.
    pub const fn text(name: &'static str, default: Option<&'static str>) -> Self {
        Self::new(name, default, Kind::Text, Show::Plain)
    }

    /// Returns a variable of a whole number.
    pub const fn number(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Some(default), Kind::Number, Show::Plain)
    }

    /// Returns a variable of true or false.
    pub const fn switch(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Some(default), Kind::Switch, Show::Plain)
    }

    /// Returns a variable of a list with commas.
    pub const fn list(name: &'static str, default: Option<&'static str>) -> Self {
        Self::new(name, default, Kind::List, Show::Plain)
    }

    /// Returns a variable whose value is never printed.
    pub const fn secret(name: &'static str) -> Self {
        Self::new(name, None, Kind::Text, Show::Secret)
    }

    /// Returns a variable of a URI, or of several, whose secret parts are never printed.
    pub const fn uri(name: &'static str, kind: Kind) -> Self {
        Self::new(name, None, kind, Show::Uri)
    }

    /// Returns a variable of a key in PEM form or of its path.
    pub const fn pem(name: &'static str) -> Self {
        Self::new(name, None, Kind::Text, Show::Pem)
    }

    /// Returns the key in `chat.toml`: the name in lower case.
    ///
    /// `PLUGINS` alone is called `plugins_enabled` there, because `plugins` holds the plugins' own tables.
    pub fn toml_key(&self) -> String {
        match self.name {
            "PLUGINS" => "plugins_enabled".to_owned(),
            name => name.to_ascii_lowercase(),
        }
    }
}
