//! Properties of the OpenAPI document that client generators depend on. `tests/clients` runs two of them; these rules keep the others working.

use std::collections::BTreeSet;

use serde_json::Value;

use super::contract::{document, operations};

/// Calls `check` with every object inside `value`, and its location.
fn each_object(place: &str, value: &Value, check: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            check(place, value);
            for (name, field) in fields {
                each_object(&format!("{place}/{name}"), field, check);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_object(&format!("{place}/{index}"), item, check);
            }
        }
        _ => {}
    }
}

fn schema(name: &str) -> &'static Value {
    &document()["components"]["schemas"][name]
}

fn reference(value: &Value) -> Option<&str> {
    value["$ref"]
        .as_str()?
        .strip_prefix("#/components/schemas/")
}

/// `from` and every schema that it refers to, directly or not.
fn reached(from: &Value) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from.clone()]);
    while let Some(value) = open.pop() {
        each_object("", &value, &mut |_, object| {
            if let Some(name) = reference(object)
                && found.insert(name.to_owned())
            {
                open.push(schema(name).clone());
            }
        });
    }
    found
}

#[test]
fn an_operation_has_one_shape_of_success() {
    for operation in operations() {
        let responses = operation.says["responses"].as_object().expect("an object");
        let shapes: BTreeSet<String> = responses
            .iter()
            .filter(|(status, _)| status.starts_with('2'))
            .map(|(_, response)| match response["content"].as_object() {
                Some(content) => content
                    .iter()
                    .map(|(kind, media)| format!("{kind} {}", media["schema"]))
                    .collect(),
                None => String::new(),
            })
            .collect();
        assert_eq!(shapes.len(), 1, "{} {}", operation.method, operation.path);
    }
}

#[test]
fn null_is_offered_in_bodies_of_patch_only() {
    let mut with_null = BTreeSet::new();
    for operation in operations() {
        let mut shown = vec![&operation.says["responses"]];
        if operation.method != "PATCH" {
            shown.push(&operation.says["requestBody"]);
        }
        for part in shown {
            for name in reached(part) {
                each_object("", schema(&name), &mut |place, object| {
                    let kinds = object["type"].as_array();
                    let is_null = object["type"] == "null"
                        || kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"));
                    if is_null {
                        with_null.insert(format!("{name}{place}"));
                    }
                });
            }
        }
    }
    assert_eq!(with_null, BTreeSet::new());
}

#[test]
fn whole_numbers_are_signed_and_have_bounds_in_requests() {
    each_object("", document(), &mut |place, object| {
        if object["type"] == "integer" {
            let format = object["format"].as_str().unwrap_or("int64");
            assert!(["int32", "int64"].contains(&format), "{place}: {format}");
        }
    });
    let has_bound = |object: &Value, bound: &str, exclusive: &str| {
        !object[bound].is_null() || !object[exclusive].is_null()
    };
    let mut check = |place: &str, object: &Value| {
        if object["type"] == "integer" {
            assert!(has_bound(object, "minimum", "exclusiveMinimum"), "{place}");
            assert!(has_bound(object, "maximum", "exclusiveMaximum"), "{place}");
        }
    };
    for operation in operations() {
        let place = format!("{} {}", operation.method, operation.path);
        each_object(&place, &operation.says["parameters"], &mut check);
        for name in reached(&operation.says["requestBody"]) {
            each_object(&name, schema(&name), &mut check);
        }
    }
}

#[test]
fn enumerations_are_closed_in_requests_and_open_in_answers() {
    for operation in operations() {
        for name in reached(&operation.says["responses"]) {
            each_object(&name, schema(&name), &mut |place, object| {
                assert!(object["enum"].is_null(), "{place} breaks when it grows");
            });
        }
        for name in reached(&operation.says["requestBody"]) {
            each_object(&name, schema(&name), &mut |place, object| {
                assert!(object["x-extensible-enum"].is_null(), "{place} is open");
            });
        }
    }
    let types = &schema("MessageType")["enum"];
    assert_eq!(*types, serde_json::json!(["text", "custom"]));
    let role = &schema("Participant")["properties"]["role"];
    assert_eq!(role["type"], "string");
    assert_eq!(role["x-extensible-enum"].as_array().map(Vec::len), Some(3));
}

#[test]
fn every_event_has_its_schema_and_no_field_is_untyped() {
    for (name, property, union) in [
        ("DeadLetter", "event", "WebhookEvent"),
        ("PulledEvent", "event", "WebhookEvent"),
    ] {
        assert_eq!(
            reference(&schema(name)["properties"][property]),
            Some(union),
            "{name}"
        );
    }
    for union in ["LogEntry", "WebhookEvent"] {
        let choices = schema(union)["oneOf"].as_array().expect("choices");
        let mapping = schema(union)["discriminator"]["mapping"]
            .as_object()
            .expect("a mapping");
        assert_eq!(choices.len(), mapping.len(), "{union}");
        for (kind, target) in mapping {
            let target = target.as_str().expect("a reference");
            let name = target.rsplit('/').next().expect("a name");
            assert_eq!(
                schema(name)["properties"]["type"]["const"],
                kind.as_str(),
                "{name}"
            );
        }
    }
    let schemas = document()["components"]["schemas"]
        .as_object()
        .expect("schemas");
    for (name, schema) in schemas {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_typed = ["type", "$ref", "oneOf", "anyOf"]
                .iter()
                .any(|key| !property[*key].is_null());
            assert!(is_typed, "{name}.{field} is of any type");
        }
    }
}

#[test]
fn names_of_parameters_stay_apart_in_every_style() {
    let plain = |name: &str| -> String {
        let letters = name.chars().filter(|c| c.is_ascii_alphanumeric());
        letters.collect::<String>().to_lowercase()
    };
    for operation in operations() {
        let mut seen = BTreeSet::new();
        for parameter in operation.says["parameters"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let parameter = match parameter["$ref"].as_str() {
                Some(path) => document()
                    .pointer(path.trim_start_matches('#'))
                    .expect("the parameter"),
                None => parameter,
            };
            let name = parameter["name"].as_str().expect("a name");
            assert!(
                seen.insert(plain(name)),
                "{} {}: {name}",
                operation.method,
                operation.path
            );
        }
    }
}

#[test]
fn an_acting_user_is_explained_and_a_download_is_a_binary_stream() {
    let acting = &document()["components"]["parameters"]["ActingUser"];
    let about = acting["description"].as_str().unwrap_or_default();
    assert!(about.contains("percent-encoded"), "{about}");
    assert_eq!(acting["example"], "J%C3%BCrgen%20M");
    let export = operations()
        .into_iter()
        .find(|operation| operation.says["operationId"] == "exportUser")
        .expect("the export");
    let media = &export.says["responses"]["200"]["content"]["application/octet-stream"];
    assert_eq!(media["schema"]["format"], "binary");
}
