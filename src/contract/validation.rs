//! Validators of bodies and payloads from their schemas.

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use super::faults;

pub use super::json_parser::MAX_FAULTS;

/// Message type that only the host can send, without `X-Acting-User`.
const SYSTEM: &str = "system";

/// Removes the message type of the host from a document, because users cannot send it.
pub fn hide_system(document: &mut Value) {
    let types = document["components"]["schemas"]["MessageType"]["enum"].as_array_mut();
    if let Some(types) = types {
        types.retain(|kind| kind != SYSTEM);
    }
}

/// Allows the message type of the host in the components that validators refer to; the domain rejects it from users.
pub fn with_system(mut components: Value) -> Value {
    let types = &mut components["schemas"]["MessageType"];
    if types.is_object() {
        *types = json!({ "anyOf": [types.take(), { "const": SYSTEM }] });
    }
    components
}

/// Returns the validator of `schema`, which refers to `components`.
pub fn validator(schema: &Value, components: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = components.clone();
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true);
    faults::ID_FORMATS
        .iter()
        .fold(options, |options, (format, _)| {
            options.with_format(*format, |text: &str| {
                faults::id_fault(format, text).is_none()
            })
        })
        .build(&schema)
        .expect("a schema of our own types is valid, as the tests show")
}
