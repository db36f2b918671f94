//! JSON Schemas of the events.

use std::sync::LazyLock;

use chat_sdk::{
    EventType,
    events::{
        ENVELOPE_VERSION, EVENTS_OF_A_LOG, EVENTS_OF_WEBHOOKS, EventOwner, EventShapes, PluginKind,
    },
};
use poem_openapi::{OpenApi, OpenApiService, payload::Json, registry::Registry};
use serde_json::{Map, Value, json};

use crate::contract::openapi31;

/// Prefix of the references between schemas of a document.
const IN_DOCUMENT: &str = "#/components/schemas/";

struct Shapes;

#[OpenApi]
impl Shapes {
    /// Never routed: it registers the types.
    #[oai(path = "/shapes", method = "post")]
    async fn shapes(&self, _shapes: Json<EventShapes>) {}
}

/// Schemas of the data of all events. The plugins of the program declare theirs before the first use.
static SCHEMAS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let source = OpenApiService::new(Shapes, "Shapes", "1").spec();
    let mut document: Value = serde_json::from_str(&source).expect("poem-openapi writes JSON");
    let mut registry = Registry::new();
    for event in PluginKind::all_events() {
        (event.data)(&mut registry);
    }
    for (name, schema) in registry.schemas {
        document["components"]["schemas"][name] = json!(schema);
    }
    openapi31::to_31(&mut document);
    let mut schemas = match document["components"]["schemas"].take() {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    };
    schemas.remove("EventShapes");
    let known = Value::Object(schemas.clone());
    for (_, schema) in &mut schemas {
        openapi31::open_enums(schema, &known);
    }
    schemas.retain(|_, schema| schema["enum"].is_null());
    schemas
});

/// Replaces the placeholder schemas of "an event" by a choice of the events of the catalogue; see [`chat_sdk::events::any_event`].
pub fn fill_events(document: &mut Value) {
    let Some(components) = document["components"]["schemas"].as_object_mut() else {
        return;
    };
    let (mut used, mut told_apart) = (Vec::new(), Vec::new());
    for (_, schema) in components.iter_mut() {
        let kinds: Vec<EventType> = match schema["format"].as_str() {
            Some(EVENTS_OF_A_LOG) => EventType::all()
                .filter(|kind| kind.is_logged() && !is_of_a_user(*kind))
                .collect(),
            Some(EVENTS_OF_WEBHOOKS) => EventType::all()
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
        // Without a constant type this shape would match the events of every other one.
        if let Some(schema) = name.and_then(|name| components.get_mut(name)) {
            schema["properties"]["type"]["const"] = json!(kind);
        }
    }
    for kind in used {
        let mut schema = envelope(kind);
        // Client generators name a class after the title, and support numbers better than constants.
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("title");
        }
        schema["properties"]["version"] = json!({
            "type": "integer", "format": "int32", "minimum": 1, "description": "Version of the format of the event.",
        });
        let mut definitions = Map::new();
        collect(&schema, &mut definitions);
        components.insert(schema_name(kind), schema);
        for (name, definition) in definitions {
            components.entry(name).or_insert(definition);
        }
    }
}

/// Returns the name of the schema of events of `kind`, for example `MessageCreatedEvent`.
fn schema_name(kind: EventType) -> String {
    format!("{}Event", key("", kind.as_str()))
}

fn is_of_a_user(kind: EventType) -> bool {
    match kind {
        EventType::Plugin(kind) => kind
            .declared()
            .is_some_and(|event| event.owner == EventOwner::User),
        kind => kind.as_str().starts_with("user."),
    }
}

/// Returns the schemas of the data of all events, by name.
pub fn schemas() -> &'static Map<String, Value> {
    &SCHEMAS
}

/// Returns the schema of the envelope of events of `kind`, with references to the components of a document.
pub(super) fn envelope(kind: EventType) -> Value {
    let mut properties = json!({
        "id": { "type": "string", "format": "event-id", "description": "Id of the event, the same for every delivery." },
        "type": { "type": "string", "const": kind.as_str() },
        "version": { "const": ENVELOPE_VERSION, "description": "Version of the format of the event." },
        "timestamp": { "type": "string", "format": "date-time", "description": "Time at which the event happened." },
        "actorId": { "type": "string", "description": "Id of the user who caused the event; absent if the host caused it without `X-Acting-User`." },
        "data": { "$ref": format!("{IN_DOCUMENT}{}", kind.data_name()) },
    });
    let mut required = vec!["id", "type", "version", "timestamp", "data"];
    if is_of_a_user(kind) {
        properties["userId"] =
            json!({ "type": "string", "description": "Id of the user whose log has the event." });
        required.push("userId");
    } else if kind == EventType::Noop {
        for name in ["conversationId", "userId"] {
            properties[name] = json!({ "type": "string" });
        }
    } else {
        properties["conversationId"] = json!({
            "type": "string", "format": "conversation-id", "description": "Id of the conversation whose log has the event.",
        });
        required.push("conversationId");
    }
    if kind.is_logged() {
        properties["seq"] = json!({
            "type": "integer", "format": "int64", "minimum": 1, "description": "Seq of the entry in that log, dense, from 1.",
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

/// Returns one JSON Schema per type of event, for the envelope, by file name.
pub fn schema_files() -> Vec<(String, String)> {
    EventType::all()
        .map(|kind| {
            let mut schema = envelope(kind);
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

/// Adds the schemas to which `value` refers, directly or indirectly.
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

/// Returns a name that can be a key of components: only letters and digits.
pub(super) fn key(prefix: &str, name: &str) -> String {
    let mut key = prefix.to_owned();
    for part in name.split(['.', ':']) {
        let mut letters = part.chars();
        key.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        key.push_str(letters.as_str());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
