//! The catalogue of events as documents: JSON Schemas, and one AsyncAPI 3 document for sockets, NATS and webhooks. Made from the types of the sdk, so that
//! none can differ from what is sent.
//!
//! It lives with the OpenAPI document, whose words it shares. It knows no socket and no broker: only what is said there.

mod asyncapi;
mod hosts;
mod sockets;

use std::sync::LazyLock;

use chat_sdk::{
    EventType,
    events::{ENVELOPE_VERSION, EVENTS_OF_A_LOG, EVENTS_OF_WEBHOOKS, EventShapes},
};
use poem_openapi::{OpenApi, OpenApiService, payload::Json};
use serde_json::{Map, Value, json};

use super::fixup;

pub use asyncapi::documents;

/// Where the schemas refer to one another inside a document.
const IN_DOCUMENT: &str = "#/components/schemas/";

struct Shapes;

#[OpenApi]
impl Shapes {
    /// Never routed: it makes the types known.
    #[oai(path = "/shapes", method = "post")]
    async fn shapes(&self, _shapes: Json<EventShapes>) {}
}

static SCHEMAS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let source = OpenApiService::new(Shapes, "Shapes", "1").spec();
    let mut document: Value = serde_json::from_str(&source).expect("poem-openapi writes JSON");
    fixup::to_31(&mut document);
    let mut schemas = match document["components"]["schemas"].take() {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    };
    schemas.remove("EventShapes");
    let known = Value::Object(schemas.clone());
    for (_, schema) in &mut schemas {
        fixup::open_enums(schema, &known);
    }
    schemas.retain(|_, schema| schema["enum"].is_null());
    schemas
});

/// Fills in the schemas that stand for "an event", with the events of the catalogue as choices; see [`chat_sdk::events::any_event`].
pub fn fill_events(document: &mut Value) {
    let Some(components) = document["components"]["schemas"].as_object_mut() else {
        return;
    };
    let (mut used, mut told_apart) = (Vec::new(), Vec::new());
    for (_, schema) in components.iter_mut() {
        let kinds: Vec<EventType> = match schema["format"].as_str() {
            Some(EVENTS_OF_A_LOG) => EventType::ALL
                .iter()
                .copied()
                .filter(|kind| kind.is_logged() && !is_of_a_user(*kind))
                .collect(),
            Some(EVENTS_OF_WEBHOOKS) => EventType::ALL
                .iter()
                .copied()
                .filter(|kind| *kind != EventType::Noop)
                .collect(),
            _ => continue,
        };
        let mut mapping = match schema["discriminator"]["mapping"].take() {
            Value::Object(mapping) => mapping,
            _ => Map::new(),
        };
        let others: Vec<Value> = mapping.values().cloned().collect();
        told_apart.extend(mapping.clone());
        let mut choices = Vec::new();
        for kind in &kinds {
            let name = json!(format!("{IN_DOCUMENT}{}", schema_name(*kind)));
            mapping.insert(kind.to_string(), name.clone());
            choices.push(name);
        }
        choices.extend(others);
        let choices: Vec<Value> = choices.iter().map(|name| json!({ "$ref": name })).collect();
        *schema = json!({
            "description": schema["description"],
            "oneOf": choices,
            "discriminator": { "propertyName": "type", "mapping": mapping },
        });
        used.extend(kinds);
    }
    for (kind, schema) in told_apart {
        let name = schema
            .as_str()
            .and_then(|name| name.strip_prefix(IN_DOCUMENT));
        // An open text would take the events of every other shape for one of this.
        if let Some(schema) = name.and_then(|name| components.get_mut(name)) {
            schema["properties"]["type"]["const"] = json!(kind);
        }
    }
    for kind in used {
        let mut schema = envelope(kind);
        // Generators name a class after the title, and know numbers better than constant ones.
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("title");
        }
        schema["properties"]["version"] = json!({
            "type": "integer", "format": "int32", "minimum": 1, "description": "The version of the event's shape.",
        });
        let mut definitions = Map::new();
        collect(&schema, &mut definitions);
        components.insert(schema_name(kind), schema);
        for (name, definition) in definitions {
            components.entry(name).or_insert(definition);
        }
    }
}

/// The name of the schema of events of `kind`: `MessageCreatedEvent`.
fn schema_name(kind: EventType) -> String {
    format!("{}Event", asyncapi::key("", kind.as_str()))
}

fn is_of_a_user(kind: EventType) -> bool {
    kind.as_str().starts_with("user.")
}

/// The schemas of all data that events carry, by name.
pub fn schemas() -> &'static Map<String, Value> {
    &SCHEMAS
}

/// The schema of the envelope of events of `kind`, with references into a document's components.
fn envelope(kind: EventType) -> Value {
    let mut properties = json!({
        "id": { "type": "string", "format": "event-id", "description": "The event's id, the same at every repetition." },
        "type": { "type": "string", "const": kind.as_str() },
        "version": { "const": ENVELOPE_VERSION, "description": "The version of the event's shape." },
        "timestamp": { "type": "string", "format": "date-time", "description": "When it happened." },
        "actorId": { "type": "string", "description": "Who did it; absent when the host did it in no user's name." },
        "data": { "$ref": format!("{IN_DOCUMENT}{}", kind.data_name()) },
    });
    let mut required = vec!["id", "type", "version", "timestamp", "data"];
    if is_of_a_user(kind) {
        properties["userId"] =
            json!({ "type": "string", "description": "The user in whose log it stands." });
        required.push("userId");
    } else if kind == EventType::Noop {
        for name in ["conversationId", "userId"] {
            properties[name] = json!({ "type": "string" });
        }
    } else {
        properties["conversationId"] = json!({
            "type": "string", "format": "conversation-id", "description": "The conversation in whose log it stands.",
        });
        required.push("conversationId");
    }
    if kind.is_logged() {
        properties["seq"] = json!({
            "type": "integer", "format": "int64", "minimum": 1, "description": "Its dense number in that log.",
        });
        required.push("seq");
    }
    json!({
        "type": "object",
        "title": kind.as_str(),
        "description": kind.about(),
        "properties": properties,
        "required": required,
    })
}

/// A JSON Schema of its own for the envelope of each type of event, by the name of its file.
pub fn schema_files() -> Vec<(String, String)> {
    EventType::ALL
        .iter()
        .map(|kind| {
            let mut schema = envelope(*kind);
            let mut definitions = Map::new();
            collect(&schema, &mut definitions);
            schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
            schema["$defs"] = Value::Object(definitions);
            point_to_definitions(&mut schema);
            let mut text = serde_json::to_string_pretty(&schema).expect("JSON values become text");
            text.push('\n');
            (format!("{kind}.schema.json"), text)
        })
        .collect()
}

/// Adds whatever `value` refers to, directly or not.
fn collect(value: &Value, definitions: &mut Map<String, Value>) {
    match value {
        Value::Object(object) => {
            let name = object
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|path| path.strip_prefix(IN_DOCUMENT));
            if let Some(name) = name
                && let Some(schema) = schemas().get(name)
                && !definitions.contains_key(name)
            {
                definitions.insert(name.to_owned(), schema.clone());
                collect(schema, definitions);
            }
            object
                .values()
                .for_each(|value| collect(value, definitions));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, definitions)),
        _ => {}
    }
}

fn point_to_definitions(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(path)) = object.get_mut("$ref")
                && let Some(name) = path.strip_prefix(IN_DOCUMENT)
            {
                *path = format!("#/$defs/{name}");
            }
            object.values_mut().for_each(point_to_definitions);
        }
        Value::Array(items) => items.iter_mut().for_each(point_to_definitions),
        _ => {}
    }
}

/// The catalogue as a table of Markdown, for the document on the stream.
pub fn table() -> String {
    table_of(EventType::ALL.iter().copied())
}

/// The same for the document on webhooks: what an endpoint can get.
pub fn webhooks_table() -> String {
    let mut text = table_of(
        EventType::ALL
            .iter()
            .copied()
            .filter(|kind| *kind != EventType::Noop),
    );
    text.push_str("| `webhook.test` | no | `{ webhookId }` | You asked for a test. |\n");
    text
}

fn table_of(kinds: impl Iterator<Item = EventType>) -> String {
    let mut text = String::from("| type | in the log | data | told when |\n|---|---|---|---|\n");
    for kind in kinds {
        let logged = if kind.is_logged() { "yes" } else { "no" };
        text.push_str(&format!(
            "| `{kind}` | {logged} | `{}` | {}. |\n",
            kind.data_name(),
            kind.about().trim_end_matches('.')
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn every_event_has_a_schema_of_its_data() {
        for kind in EventType::ALL {
            assert!(
                schemas().contains_key(kind.data_name()),
                "{kind} has no schema: {} is missing in EventShapes",
                kind.data_name()
            );
        }
    }

    #[test]
    fn every_schema_is_valid_and_complete() {
        for (name, text) in schema_files() {
            let schema: Value = serde_json::from_str(&text).expect("JSON");
            assert!(jsonschema::draft202012::meta::is_valid(&schema), "{name}");
            jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[test]
    fn the_committed_schemas_are_those_of_the_code() {
        let folder = root().join("openapi/schemas");
        let mut committed: Vec<String> = std::fs::read_dir(&folder)
            .expect("openapi/schemas is there")
            .map(|file| {
                file.expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        committed.sort();
        let mut names = Vec::new();
        for (name, text) in schema_files() {
            let found = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert!(
                found == text,
                "openapi/schemas/{name} is not what the code says; refresh all with: cargo run -- asyncapi --schemas openapi/schemas"
            );
            names.push(name);
        }
        names.sort();
        assert_eq!(committed, names, "a schema of no event is left over");
    }

    #[test]
    fn the_tables_of_the_documents_are_those_of_the_code() {
        for (file, table, option) in [
            ("docs/NATS.md", table(), "--table"),
            ("docs/WEBHOOKS.md", webhooks_table(), "--table webhooks"),
        ] {
            let text = std::fs::read_to_string(root().join(file)).expect("readable");
            assert!(
                text.contains(&table),
                "the table of events in {file} is not what the code says; print it with: cargo run -- asyncapi {option}"
            );
        }
    }
}
