//! Checks every answer against the committed OpenAPI document: the status must be documented for the operation, and the body must match the schema, without
//! unknown fields.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};

use jsonschema::Validator;
use serde_json::{Value, json};

/// Routes that no document lists, because they serve the documents.
const UNDOCUMENTED: [&str; 3] = ["/api/docs", "/api/docs-json", "/api/docs-yaml"];

/// The committed document.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
        let text = std::fs::read_to_string(path).expect("openapi/openapi.json is committed");
        serde_json::from_str(&text).expect("openapi/openapi.json is JSON")
    })
}

/// One operation of the document.
#[derive(Debug, Clone)]
pub struct Operation {
    /// In upper case.
    pub method: String,
    /// With `{name}` for each parameter.
    pub path: String,
    /// The OpenAPI description of the operation.
    pub says: Value,
}

impl Operation {
    /// The path with every part that varies filled in.
    pub fn path_with(&self, fill: impl Fn(&str) -> String) -> String {
        let parts = self.path.split('/').map(|part| {
            match part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'))
            {
                Some(name) => fill(name),
                None => part.to_owned(),
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// True if the operation requires authentication.
    pub fn is_guarded(&self) -> bool {
        self.says["security"]
            .as_array()
            .is_some_and(|schemes| !schemes.is_empty())
    }

    /// True if the operation takes a body.
    pub fn takes_body(&self) -> bool {
        self.says["requestBody"].is_object()
    }
}

/// Every operation of the document.
pub fn operations() -> Vec<Operation> {
    const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
    let paths = document()["paths"]
        .as_object()
        .expect("the document has paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| {
            item.get(method).map(|says| Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                says: says.clone(),
            })
        })
    });
    operations.collect()
}

/// Operations of plugins that tests add: they are in the document of their own program, not in the committed one.
const OF_ADDED_PLUGINS: [&str; 10] = [
    "/api/admin/trail",
    "/api/admin/faulty",
    "/api/admin/hooked",
    "/api/bell",
    "/api/clock",
    "/api/polls",
    "/api/relay",
    "/api/sample",
    "/api/wordgame",
    "/auth/relay",
];

/// Fails the test if the document does not allow the answer.
///
/// `path` may have a query. Only paths under `/api` are checked: every role answers `/health`, but only one role has the document.
pub fn check(method: &str, path: &str, status: u16, content_type: Option<&str>, body: &[u8]) {
    let bare = path.split(['?', '#']).next().unwrap_or_default();
    if !bare.starts_with("/api/") && !bare.starts_with("/auth/")
        || UNDOCUMENTED.contains(&bare) && status == 200
    {
        return;
    }
    let at = format!("{method} {path} answered {status}");
    let is_json = content_type.is_some_and(|of| of.starts_with("application/json"));
    if status >= 400 {
        assert!(is_json, "{at} with {content_type:?} instead of JSON");
        check_error(&at, status, body);
    }
    // A wrong method is no operation, even if the path matches another one's pattern.
    if status == 405 {
        return;
    }
    let Some(operation) = find(method, bare) else {
        assert!(
            status >= 400
                || method == "OPTIONS"
                || method == "HEAD"
                || OF_ADDED_PLUGINS.iter().any(|path| bare.starts_with(path)),
            "{at}, but the document has no such operation"
        );
        return;
    };
    let responses = &operation.says["responses"];
    let response = resolved(&responses[status.to_string()]);
    assert!(
        response.is_object(),
        "{at}, which is not documented; documented: {:?}",
        responses
            .as_object()
            .map(|known| known.keys().collect::<Vec<_>>())
    );
    let content = response["content"].as_object();
    match content {
        None => assert!(body.is_empty(), "{at} with a body, but none is documented"),
        Some(content) if content.contains_key("application/json") => {
            assert!(is_json, "{at} with {content_type:?} instead of JSON");
            let value: Value = serde_json::from_slice(body).unwrap_or_else(|_| {
                panic!(
                    "{at} with what is no JSON: {}",
                    String::from_utf8_lossy(body)
                )
            });
            check_body(&at, &operation, status, &value);
        }
        Some(content) => {
            let documented: Vec<&str> = content
                .keys()
                .map(|of| of.split(';').next().unwrap_or_default())
                .collect();
            let sent = content_type
                .unwrap_or_default()
                .split(';')
                .next()
                .unwrap_or_default();
            assert!(
                documented.contains(&sent),
                "{at} with {sent}; documented: {documented:?}"
            );
        }
    }
}

/// The part that a `$ref` of the document points to; any other part unchanged.
fn resolved(part: &Value) -> &Value {
    match part["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix('#'))
    {
        Some(pointer) => document().pointer(pointer).unwrap_or(&Value::Null),
        None => part,
    }
}

/// The one shape of every error.
fn check_error(at: &str, status: u16, body: &[u8]) {
    const CODES: [(&str, u16); 11] = [
        ("UNAUTHORIZED", 401),
        ("FORBIDDEN", 403),
        ("NOT_FOUND", 404),
        ("METHOD_NOT_ALLOWED", 405),
        ("CONFLICT", 409),
        ("VALIDATION_ERROR", 400),
        ("PAYLOAD_TOO_LARGE", 413),
        ("UNSUPPORTED_MEDIA_TYPE", 415),
        ("RATE_LIMITED", 429),
        ("UNAVAILABLE", 503),
        ("INTERNAL_ERROR", 500),
    ];
    if body.is_empty() {
        // The answer to HEAD.
        return;
    }
    let error: Value =
        serde_json::from_slice(body).unwrap_or_else(|_| panic!("{at} with what is no JSON"));
    assert_eq!(error["statusCode"], json!(status), "{at}: {error}");
    let code = error["code"].as_str().unwrap_or_default();
    assert!(CODES.contains(&(code, status)), "{at}: {error}");
    for field in ["error", "message"] {
        assert!(
            error[field].as_str().is_some_and(|text| !text.is_empty()),
            "{at}: {error}"
        );
    }
}

/// The `operationId` of a request, where the document has such an operation.
pub fn operation_id(method: &str, path: &str) -> Option<String> {
    let bare = path.split(['?', '#']).next().unwrap_or_default();
    let operation = find(method, bare)?;
    operation.says["operationId"].as_str().map(str::to_owned)
}

fn find(method: &str, path: &str) -> Option<Operation> {
    static OPERATIONS: OnceLock<Vec<Operation>> = OnceLock::new();
    let asked: Vec<&str> = path.split('/').collect();
    let is_variable = |part: &str| part.starts_with('{');
    OPERATIONS
        .get_or_init(operations)
        .iter()
        .filter(|operation| operation.method == method)
        .filter(|operation| {
            let known: Vec<&str> = operation.path.split('/').collect();
            known.len() == asked.len()
                && known.iter().zip(&asked).all(|(known, asked)| {
                    known == asked || (is_variable(known) && !asked.is_empty())
                })
        })
        // `/users/me` goes before `/users/{id}`.
        .min_by_key(|operation| operation.path.matches('{').count())
        .cloned()
}

fn check_body(at: &str, operation: &Operation, status: u16, value: &Value) {
    type Validators = Mutex<HashMap<(String, String, u16), Arc<Validator>>>;
    static VALIDATORS: OnceLock<Validators> = OnceLock::new();
    let key = (operation.method.clone(), operation.path.clone(), status);
    let validator = Arc::clone(
        VALIDATORS
            .get_or_init(Validators::default)
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .entry(key)
            .or_insert_with(|| {
                let content =
                    &resolved(&operation.says["responses"][status.to_string()])["content"];
                Arc::new(validator(&content["application/json"]["schema"]))
            }),
    );
    let is_of_added_plugin = |path: &str| {
        let entry = value.pointer(path).map(|entry| &entry["type"]);
        let kind = entry.and_then(Value::as_str);
        kind.is_some_and(crate::support::is_of_added_plugin)
    };
    let problems: Vec<String> = validator
        .iter_errors(value)
        .filter(|error| !is_of_added_plugin(error.instance_path().as_str()))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        problems.is_empty(),
        "{at} with an undocumented body: {problems:#?}\n{value:#}"
    );
}

fn validator(schema: &Value) -> Validator {
    let mut root = json!({
        "components": { "schemas": document()["components"]["schemas"] },
        "allOf": [schema],
    });
    close(&mut root);
    jsonschema::draft202012::options()
        .build(&root)
        .expect("the document's schemas are valid")
}

/// Makes schemas stricter: objects allow no additional fields, and open enumerations allow only their known values.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if let Some(known) = fields.get("x-extensible-enum").cloned() {
                fields.insert("enum".to_owned(), known);
            }
            let is_closed = fields.contains_key("properties")
                && fields.get("type").is_some()
                && !fields.contains_key("additionalProperties");
            if is_closed {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(status: u16, body: &Value) -> bool {
        let body = body.to_string();
        let checked = std::panic::catch_unwind(|| {
            check(
                "GET",
                "/api/users/alice",
                status,
                Some("application/json"),
                body.as_bytes(),
            );
        });
        checked.is_err()
    }

    /// A checker that never refuses would make every other test say less than it seems to.
    #[test]
    fn wrong_answers_are_noticed() {
        let user = json!({
            "externalUserId": "alice",
            "createdAt": "2026-01-15T10:30:00.000Z",
            "updatedAt": "2026-01-15T10:30:00.000Z",
        });
        let with = |field: &str, value: Value| {
            let mut user = user.clone();
            user[field] = value;
            user
        };
        assert!(!refuses(200, &user));
        assert!(
            refuses(200, &with("passwordHash", json!("x"))),
            "an unknown field"
        );
        assert!(refuses(200, &with("name", json!(7))), "a wrong type");
        assert!(refuses(200, &with("name", Value::Null)), "null");
        assert!(
            refuses(200, &json!({ "externalUserId": "alice" })),
            "a missing field"
        );
        assert!(refuses(202, &user), "an undocumented status");
        assert!(
            refuses(404, &json!({ "error": "x" })),
            "another error shape"
        );
    }
}
