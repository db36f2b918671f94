//! Normalises a request body to the form that its type reads: JSON has several forms for the same value.
//!
//! An optional field may be `null`, unless `null` clears it, because many serialisers write absent fields so. An integer may have a decimal point or
//! an exponent, as JSON Schema defines integers. `metadata` of the host stays unchanged.

use chat_sdk::whole_number;
use serde_json::{Value, json};

const PREFIX: &str = "#/components/schemas/";

/// Normalises `value` to `schema`; `schemas` are those of the document.
pub fn normalise(value: &mut Value, schema: &Value, schemas: &Value) {
    let schema = resolved(schema, schemas);
    match value {
        Value::Object(fields) => {
            let Some(properties) = schema["properties"].as_object() else {
                return;
            };
            let is_required = |name: &str| {
                let required = schema["required"].as_array();
                required.is_some_and(|names| names.iter().any(|required| required == name))
            };
            fields.retain(|name, field| {
                !field.is_null() || is_required(name) || properties.get(name).is_none_or(takes_null)
            });
            for (name, field) in fields {
                if let Some(property) = properties.get(name) {
                    normalise(field, property, schemas);
                }
            }
        }
        Value::Array(items) => {
            let schema = &schema["items"];
            if schema.is_object() {
                items
                    .iter_mut()
                    .for_each(|item| normalise(item, schema, schemas));
            }
        }
        Value::Number(number) if is_of_type(schema, "integer") => {
            let whole = number.as_f64().filter(|_| number.is_f64());
            if let Some(whole) = whole.and_then(whole_number::from_float) {
                *value = json!(whole);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the schema behind a reference, or behind "this or null".
fn resolved<'s>(schema: &'s Value, schemas: &'s Value) -> &'s Value {
    let schema = match schema["anyOf"].as_array() {
        Some(choices) => choices.first().unwrap_or(schema),
        None => schema,
    };
    match schema["$ref"]
        .as_str()
        .and_then(|name| name.strip_prefix(PREFIX))
    {
        Some(name) => &schemas[name],
        None => schema,
    }
}

fn takes_null(property: &Value) -> bool {
    let choices = property["anyOf"].as_array();
    is_of_type(property, "null")
        || choices.is_some_and(|choices| choices.iter().any(|choice| is_of_type(choice, "null")))
        || property
            .as_object()
            .is_some_and(|property| property.is_empty())
}

fn is_of_type(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == kind,
        Value::Array(kinds) => kinds.iter().any(|one| one == kind),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_absent_unless_it_clears_and_integers_have_one_form() {
        let schemas = json!({ "File": {
            "properties": { "size": { "type": "integer" }, "name": { "type": "string" } },
        } });
        let schema = json!({
            "required": ["id"],
            "properties": {
                "id": { "type": "string" }, "name": { "type": "string" }, "text": { "type": ["string", "null"] },
                "file": { "anyOf": [{ "$ref": "#/components/schemas/File" }, { "type": "null" }] },
                "files": { "type": "array", "items": { "$ref": "#/components/schemas/File" } },
                "metadata": { "type": "object" },
            },
        });
        let mut value = json!({
            "id": null, "name": null, "text": null, "unknown": null, "metadata": { "a": null, "b": 1.0 },
            "file": { "size": 1e3 }, "files": [{ "size": 2.0, "name": null }, { "size": 2.5 }],
        });
        normalise(&mut value, &schema, &schemas);
        assert_eq!(
            value,
            json!({
                "id": null, "text": null, "unknown": null, "metadata": { "a": null, "b": 1.0 },
                "file": { "size": 1000 }, "files": [{ "size": 2 }, { "size": 2.5 }],
            })
        );
        assert!(value["metadata"]["b"].is_f64());
    }
}
