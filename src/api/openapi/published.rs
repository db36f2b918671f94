//! The document that this process serves, as the answers to requests follow it: schemas of bodies, paths and their methods.
//!
//! It knows no operation: `document` builds it from them and registers it here.

use std::collections::HashMap;

use jsonschema::Validator;
use parking_lot::RwLock;
use poem::PathPattern;
use serde_json::Value;

use super::text::Documents;
use crate::{
    contract::{faults, normalise},
    model::FieldError,
};

/// Schema of a batch body and the path of its items, which are checked one by one so that each fails alone.
pub const CHECKED_BY_ITEM: (&str, &str) = ("SyncUsers", "/properties/users");

/// A complete document.
pub struct Published {
    /// The document as text.
    pub documents: Documents,
    /// The HTML page that shows the document.
    pub page: String,
    /// Validators of request bodies and of items of one, by the names of their schemas.
    pub bodies: HashMap<String, Validator>,
    /// All schemas.
    pub schemas: Value,
    /// Paths, by the patterns of the router.
    pub routes: HashMap<String, RouteFacts>,
}

/// Facts about a path.
pub struct RouteFacts {
    /// The path in the document.
    pub path: String,
    /// Its methods, in the form of the header `Allow`.
    pub allow: String,
}

/// Document with every operation of this process.
static KNOWN: RwLock<Option<&'static Published>> = RwLock::new(None);

/// Registers the document that requests are checked against from now on.
pub fn register(document: &'static Published) {
    *KNOWN.write() = Some(document);
}

/// Returns the document with every operation of this process.
fn known() -> &'static Published {
    let known = *KNOWN.read();
    known.expect("the endpoint registers its document before it answers")
}

/// Returns the path in the document for a pattern of the router.
pub fn route(pattern: Option<&PathPattern>) -> Option<&'static str> {
    facts(pattern).map(|facts| facts.path.as_str())
}

/// Returns the methods of a path in the form of the header `Allow`.
pub fn allowed_methods(pattern: Option<&PathPattern>) -> String {
    facts(pattern)
        .map(|facts| facts.allow.clone())
        .unwrap_or_default()
}

fn facts(pattern: Option<&PathPattern>) -> Option<&'static RouteFacts> {
    known().routes.get(pattern?.0.as_ref())
}

/// Converts `value`, a request body or an item of one with the schema `name`, to the form that its type reads.
pub fn normalise(name: &str, value: &mut Value) {
    let schemas = &known().schemas;
    // Items of a batch are normalised one by one.
    if name != CHECKED_BY_ITEM.0 {
        normalise::normalise(value, &schemas[name], schemas);
    }
}

/// Returns every problem of `value` against the schema `name` of a request body.
pub fn find_faults(name: &str, value: &Value) -> Vec<FieldError> {
    let mut found = match known().bodies.get(name) {
        Some(schema) => faults::find(schema, value),
        None => vec![FieldError::new(
            "body",
            "is of a kind that is not published",
        )],
    };
    if name != CHECKED_BY_ITEM.0 {
        faults::find_nul("", value, &mut found);
    }
    found
}

#[cfg(test)]
pub mod tests {
    /// Registers the committed document, as the endpoint does.
    pub fn register() {
        crate::api::openapi::document::OpenApiDoc::of(crate::plugins::BUILT_IN);
    }
}
