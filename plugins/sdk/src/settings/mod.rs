//! Settings of the service and of plugins: declarations of variables, secrets, and rules that read texts.
//!
//! It reads nothing from the process; the core passes the texts.

pub mod parse;
mod secret;
mod variable;

use std::{collections::BTreeMap, fmt};

pub use secret::{MIN_SECRET_BYTES, Secret, Uri, shown};
pub use variable::{Kind, Show, Variable};

/// One fault of the configuration: the variable, and the problem with its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Variable or table, or the file if the fault belongs to none.
    pub subject: String,
    /// Problem and its remedy.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.problem)
    }
}

/// Texts of variables by name. `Debug` prints the names alone, because a text may be a secret.
#[derive(Clone, Default)]
pub struct Texts(pub BTreeMap<&'static str, String>);

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
