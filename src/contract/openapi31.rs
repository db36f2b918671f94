//! Corrections to the document of poem-openapi, which is written for OpenAPI 3.0 and describes request bodies less strictly than the types do.

use std::collections::BTreeSet;

use chat_sdk::plugin::each_operation;
use serde_json::{Map, Value, json};

use super::faults::ID_FORMATS;

type Schema = Map<String, Value>;

/// Converts a document of OpenAPI 3.0 to 3.1.
pub fn to_31(document: &mut Value) {
    document["openapi"] = json!("3.1.0");
    each_schema(document, &mut |schema| {
        unwrap_all_of(schema);
        if schema.remove("nullable") == Some(Value::Bool(true)) {
            allow_null(schema);
        }
        for bound in ["Minimum", "Maximum"] {
            let (exclusive, plain) = (format!("exclusive{bound}"), bound.to_lowercase());
            if schema.remove(&exclusive) == Some(Value::Bool(true))
                && let Some(limit) = schema.remove(&plain)
            {
                schema.insert(exclusive.clone(), limit);
            }
            for key in [exclusive, plain] {
                if let Some(limit) = schema.get_mut(&key)
                    && let Some(number) = limit.as_f64()
                    && number.fract() == 0.0
                {
                    *limit = json!(number as i64);
                }
            }
        }
        if let Some(example) = schema.remove("example") {
            schema.insert("examples".to_owned(), json!([example]));
        }
        // `null` as a default means that there is none, and would not match the type.
        if schema.get("default") == Some(&Value::Null) {
            schema.remove("default");
        }
        schema.remove("title");
        describe_id(schema);
        sign_format(schema);
    });
}

/// Replaces unsigned formats: client generators support only `int32` and `int64`, and some make 32 bits of `uint64`.
fn sign_format(schema: &mut Schema) {
    let signed = match schema.get("format").and_then(Value::as_str) {
        Some("uint64") => "int64",
        Some("uint32" | "uint16" | "uint8") => "int32",
        _ => return,
    };
    schema.insert("format".to_owned(), json!(signed));
    if !schema.contains_key("exclusiveMinimum") {
        schema.entry("minimum").or_insert(json!(0));
    }
}

/// Adds the bounds of its format to an integer of a request, unless the type has bounds.
fn bound(schema: &mut Schema) {
    let is_integer = match schema.get("type") {
        Some(Value::String(kind)) => kind == "integer",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "integer"),
        _ => false,
    };
    if !is_integer {
        return;
    }
    let (least, most) = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    };
    if !schema.contains_key("exclusiveMinimum") {
        schema.entry("minimum").or_insert(json!(least));
    }
    if !schema.contains_key("exclusiveMaximum") {
        schema.entry("maximum").or_insert(json!(most));
    }
}

/// Replaces `allOf` by a reference. poem-openapi describes a field of a named
/// type by `allOf` of the type and the description; 3.1 allows both side by side.
fn unwrap_all_of(schema: &mut Schema) {
    let name = schema
        .get("allOf")
        .and_then(|parts| parts.get(0)?.get("$ref").cloned());
    if let Some(name) = name {
        schema.remove("allOf");
        schema.insert("$ref".to_owned(), name);
    }
}

/// Adds the JSON Schema pattern of an id.
fn describe_id(schema: &mut Schema) {
    let format = schema.get("format").and_then(Value::as_str);
    if let Some((_, pattern)) = ID_FORMATS.iter().find(|(known, _)| format == Some(known)) {
        schema.insert("pattern".to_owned(), json!(pattern));
    }
}

fn allow_null(schema: &mut Schema) {
    if let Some(name) = schema.remove("$ref") {
        schema.insert(
            "anyOf".to_owned(),
            json!([{ "$ref": name }, { "type": "null" }]),
        );
    } else if let Some(Value::String(kind)) = schema.get("type") {
        let kinds = json!([kind, "null"]);
        schema.insert("type".to_owned(), kinds);
    }
    if let Some(Value::Array(options)) = schema.get_mut("enum") {
        options.push(Value::Null);
    }
}

/// Closes the schemas of requests and opens those of responses.
///
/// An object in a request body accepts no other fields, and its integers have bounds. If responses have the object too, it stays open there, so that
/// responses can grow, and requests use a copy. An enumeration is closed in requests. In responses it is a string with known values, so that a new
/// value does not break a client that was generated before.
pub fn close_requests(document: &mut Value) {
    let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
    each_operation(document, &mut |operation| {
        if let Some(body) = operation.get("requestBody") {
            collect_refs(body, &mut asked);
        }
        if let Some(answers) = operation.get("responses") {
            collect_refs(answers, &mut answered);
        }
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            if let Some(schema) = parameter["schema"].as_object_mut() {
                bound(schema);
            }
        }
    });
    let schemas = document["components"]["schemas"].clone();
    let asked = closure(&schemas, asked);
    let answered = closure(&schemas, answered);
    let objects: Vec<&String> = asked
        .iter()
        .filter(|name| schemas[name.as_str()]["properties"].is_object())
        .collect();
    let renamed: Vec<&String> = objects
        .iter()
        .copied()
        .filter(|name| answered.contains(*name))
        .collect();
    for name in &objects {
        let mut schema = schemas[name.as_str()].clone();
        close(&mut schema);
        rename_refs(&mut schema, &renamed);
        document["components"]["schemas"][input_name(name, &renamed)] = schema;
    }
    each_operation(document, &mut |operation| {
        if let Some(body) = operation.get_mut("requestBody") {
            rename_refs(body, &renamed);
        }
    });
    for name in answered
        .iter()
        .filter(|name| renamed.contains(name) || !asked.contains(*name))
    {
        open_enums(
            &mut document["components"]["schemas"][name.as_str()],
            &schemas,
        );
    }
    drop_unused(document);
}

/// Replaces every reference of `schema` to an enumeration of `schemas` by a string with known values.
pub fn open_enums(schema: &mut Value, schemas: &Value) {
    visit(schema, &mut |part| {
        // An optional field is "the enumeration or null" in some places; responses have no null.
        let name = part.get("$ref").and_then(Value::as_str);
        let Some(values) = name
            .and_then(|name| name.strip_prefix(SCHEMA_PREFIX))
            .and_then(|name| schemas[name]["enum"].as_array())
        else {
            return;
        };
        let known: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        let about = part.get("description").and_then(Value::as_str);
        let about = about.unwrap_or_default().trim_end_matches('.');
        let gap = if about.is_empty() { "" } else { ". " };
        let text = format!(
            "{about}{gap}Known values: {}; there may be more later.",
            known.join(", ")
        );
        part.insert("x-extensible-enum".to_owned(), json!(known));
        part.insert("description".to_owned(), json!(text));
        part.insert("type".to_owned(), json!("string"));
        part.remove("$ref");
    });
}

/// Removes the schemas without a reference.
fn drop_unused(document: &mut Value) {
    let paths = document["paths"].clone();
    retain_used(&mut document["components"]["schemas"], &paths);
}

/// Removes the schemas to which `roots` does not refer, directly or indirectly.
pub fn retain_used(schemas: &mut Value, roots: &Value) {
    let mut used = BTreeSet::new();
    collect_refs(roots, &mut used);
    let used = closure(schemas, used);
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.retain(|name, _| used.contains(name));
    }
}

/// Describes every response by the description of its schema.
pub fn describe_answers(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    each_operation(document, &mut |operation| {
        let Some(answers) = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut)
        else {
            return;
        };
        let is_made = answers.contains_key("201");
        for (status, answer) in answers {
            let name = answer["content"]["application/json"]["schema"]["$ref"]
                .as_str()
                .and_then(|name| name.strip_prefix(SCHEMA_PREFIX));
            let Some(about) = name.and_then(|name| schemas[name]["description"].as_str()) else {
                continue;
            };
            let text = match (status.as_str(), is_made) {
                ("200", true) => format!("It existed before this request. {about}"),
                _ => about.to_owned(),
            };
            answer["description"] = json!(text);
        }
    });
}

fn input_name(name: &str, renamed: &[&String]) -> String {
    if renamed.iter().any(|other| *other == name) {
        format!("{name}Input")
    } else {
        name.to_owned()
    }
}

fn close(schema: &mut Value) {
    visit(schema, &mut bound);
    schema["additionalProperties"] = Value::Bool(false);
}

/// Returns `names` and the schemas to which they refer, directly or indirectly.
fn closure(schemas: &Value, names: BTreeSet<String>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut open: Vec<String> = names.into_iter().collect();
    while let Some(name) = open.pop() {
        let mut found = BTreeSet::new();
        collect_refs(&schemas[name.as_str()], &mut found);
        if all.insert(name) {
            open.extend(found);
        }
    }
    all
}

/// Prefix of a reference to a schema of the document.
pub const SCHEMA_PREFIX: &str = "#/components/schemas/";

fn collect_refs(value: &Value, names: &mut BTreeSet<String>) {
    if let Some(name) = value["$ref"]
        .as_str()
        .and_then(|name| name.strip_prefix(SCHEMA_PREFIX))
    {
        names.insert(name.to_owned());
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|field| collect_refs(field, names)),
        Value::Array(items) => items.iter().for_each(|item| collect_refs(item, names)),
        _ => {}
    }
}

fn rename_refs(value: &mut Value, renamed: &[&String]) {
    if let Some(Value::String(name)) = value.get_mut("$ref")
        && let Some(plain) = name.strip_prefix(SCHEMA_PREFIX)
    {
        *name = format!("{SCHEMA_PREFIX}{}", input_name(plain, renamed));
    }
    match value {
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| rename_refs(field, renamed)),
        Value::Array(items) => items.iter_mut().for_each(|item| rename_refs(item, renamed)),
        _ => {}
    }
}

/// Applies `change` to every schema of the document, inner ones first.
fn each_schema(document: &mut Value, change: &mut dyn FnMut(&mut Schema)) {
    let schemas = document["components"]["schemas"].as_object_mut();
    for (_, schema) in schemas.into_iter().flatten() {
        visit(schema, change);
    }
    find_schemas(&mut document["paths"], change);
}

fn find_schemas(value: &mut Value, change: &mut dyn FnMut(&mut Schema)) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match key.as_str() {
                    "schema" => visit(field, change),
                    _ => find_schemas(field, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| find_schemas(item, change)),
        _ => {}
    }
}

fn visit(schema: &mut Value, change: &mut dyn FnMut(&mut Schema)) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    for (key, part) in schema.iter_mut() {
        match key.as_str() {
            "properties" => part
                .as_object_mut()
                .into_iter()
                .flatten()
                .for_each(|(_, property)| visit(property, change)),
            "items" | "additionalProperties" => visit(part, change),
            "anyOf" | "oneOf" | "allOf" => part
                .as_array_mut()
                .into_iter()
                .flatten()
                .for_each(|choice| visit(choice, change)),
            _ => {}
        }
    }
    change(schema);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_converted_to_3_1() {
        let mut document = json!({ "openapi": "3.0.0", "paths": {}, "components": { "schemas": { "A": {
            "type": "object", "title": "A",
            "properties": {
                "a": { "type": "string", "nullable": true, "example": "x" },
                "b": { "allOf": [{ "$ref": "#/components/schemas/B" }, { "description": "b" }], "description": "b", "nullable": true },
                "c": { "type": "integer", "minimum": 1.0, "exclusiveMinimum": true, "maximum": 9.0, "exclusiveMaximum": false },
                "d": { "type": "string", "format": "message-id" },
            },
        } } } });
        to_31(&mut document);
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(
            document["components"]["schemas"]["A"]["properties"],
            json!({
                "a": { "type": ["string", "null"], "examples": ["x"] },
                "b": { "anyOf": [{ "$ref": "#/components/schemas/B" }, { "type": "null" }], "description": "b" },
                "c": { "type": "integer", "exclusiveMinimum": 1, "maximum": 9 },
                "d": { "type": "string", "format": "message-id", "pattern": "^msg_[0-9a-z]{26}$" },
            })
        );
    }

    #[test]
    fn enumerations_are_closed_in_requests_and_open_in_responses() {
        let reference = |name: &str| json!({ "$ref": format!("{SCHEMA_PREFIX}{name}") });
        let body = |name: &str| json!({ "content": { "application/json": { "schema": reference(name) } } });
        let mut document = json!({
            "paths": { "/a": { "post": { "requestBody": body("Ask"), "responses": { "200": body("Answer") } } } },
            "components": { "schemas": {
                "Ask": { "type": "object", "properties": { "role": reference("Role"), "size": { "type": "integer", "format": "uint32" } } },
                "Answer": { "type": "object", "properties": {
                    "role": { "$ref": format!("{SCHEMA_PREFIX}Role"), "description": "The role." }, "state": reference("State"),
                } },
                "Role": { "type": "string", "enum": ["member", "admin"] },
                "State": { "type": "string", "enum": ["on", "off"] },
            } },
        });
        to_31(&mut document);
        close_requests(&mut document);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Ask"]["properties"]["role"], reference("Role"));
        assert_eq!(
            schemas["Ask"]["properties"]["size"],
            json!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": i32::MAX })
        );
        assert_eq!(schemas["Role"]["enum"], json!(["member", "admin"]));
        assert_eq!(
            schemas["Answer"]["properties"]["role"],
            json!({
                "type": "string", "description": "The role. Known values: member, admin; there may be more later.",
                "x-extensible-enum": ["member", "admin"],
            })
        );
        assert!(schemas["State"].is_null(), "no request has it");
    }

    #[test]
    fn requests_are_closed_and_responses_are_open() {
        let reference =
            |name: &str| json!({ "schema": { "$ref": format!("{SCHEMA_PREFIX}{name}") } });
        let mut document = json!({
            "paths": { "/a": { "post": {
                "requestBody": { "content": { "application/json": reference("Ask") } },
                "responses": { "200": { "content": { "application/json": reference("Both") } } },
            } } },
            "components": { "schemas": {
                "Ask": { "type": "object", "required": ["both"], "properties": {
                    "both": { "$ref": format!("{SCHEMA_PREFIX}Both") }, "name": { "type": "string" },
                } },
                "Both": { "type": "object", "required": [], "properties": { "url": { "type": "string" } } },
            } },
        });
        close_requests(&mut document);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Ask"]["additionalProperties"], json!(false));
        assert_eq!(schemas["Ask"]["properties"]["name"]["type"], "string");
        assert_eq!(
            schemas["Ask"]["properties"]["both"]["$ref"],
            json!(format!("{SCHEMA_PREFIX}BothInput"))
        );
        assert_eq!(schemas["BothInput"]["additionalProperties"], json!(false));
        assert!(schemas["Both"]["additionalProperties"].is_null());
        let answer = &document["paths"]["/a"]["post"]["responses"]["200"];
        assert_eq!(answer["content"]["application/json"], reference("Both"));
    }
}
