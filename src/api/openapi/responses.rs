//! Error responses of the operations and shared parameters, defined once in the OpenAPI document.

use chat_sdk::plugin::each_operation;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        auth::{ACTING_HEADER, BEARER, INTERNAL},
        error::{ApiError, Code},
    },
    model::{FieldError, page::PageRequest},
};

/// Error responses: status, name, description, error code and the message of the example.
const REFUSALS: [(&str, &str, &str, Code, &str); 11] = [
    (
        "400",
        "BadRequest",
        "The request is invalid; `details` names every invalid field.",
        Code::ValidationError,
        "",
    ),
    (
        "401",
        "Unauthorized",
        "The token or the internal secret is missing or invalid.",
        Code::Unauthorized,
        "The token has expired.",
    ),
    (
        "403",
        "Forbidden",
        "The caller can see the resource but is not allowed to do this.",
        Code::Forbidden,
        "Only an owner or admin of the conversation may do this.",
    ),
    (
        "404",
        "NotFound",
        "The resource does not exist or is not visible to the caller.",
        Code::NotFound,
        "There is no such conversation.",
    ),
    (
        "408",
        "RequestTimeout",
        "The body arrived too slowly; the request was not executed.",
        Code::RequestTimeout,
        "The body took too long to arrive: send it within 30 s, and at least 1024 bytes per second.",
    ),
    (
        "409",
        "Conflict",
        "The state of the resource does not allow the operation.",
        Code::Conflict,
        "The message was deleted.",
    ),
    (
        "413",
        "PayloadTooLarge",
        "The body is too large, or the event of the change would be.",
        Code::PayloadTooLarge,
        "The body is too large; send less at once.",
    ),
    (
        "415",
        "UnsupportedMediaType",
        "The Content-Type of the body is not JSON, or the body is compressed.",
        Code::UnsupportedMediaType,
        "The body must be JSON without compression: send it with Content-Type: application/json.",
    ),
    (
        "429",
        "RateLimited",
        "The caller exceeds a rate limit; the request was not executed.",
        Code::RateLimited,
        "Too many requests: at most 600 in 60 s. Try again in 1 s.",
    ),
    (
        "500",
        "InternalError",
        "The service failed; its log has the cause.",
        Code::InternalError,
        "Something went wrong in the service; its log has more under the X-Request-Id of this answer.",
    ),
    (
        "503",
        "Unavailable",
        "A dependency of the service is temporarily unavailable. The outcome of the request is unknown; it is safe to repeat.",
        Code::Unavailable,
        "The store did not answer in time; repeat the request, with the same clientMessageId for a message.",
    ),
];

/// Names of the parameters of a list, in the order of the document.
const PAGE_PARAMETERS: [&str; 4] = ["Limit", "Before", "After", "Around"];

/// Adds the error responses and the shared parameters to every operation.
///
/// Responses that follow from the form of an operation are added here; the others are declared at the operation, see [`crate::api::failure`].
pub fn complete(document: &mut Value) {
    document["components"]["responses"] = refusals();
    document["components"]["parameters"] = parameters();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            add_refusals(path, operation);
        }
    }
    each_operation(document, &mut share_parameters);
}

fn add_refusals(path: &str, operation: &mut Value) {
    let is_guarded = operation["security"].is_array();
    let has_body = operation["requestBody"].is_object();
    let has_query = operation["parameters"]
        .as_array()
        .is_some_and(|parameters| parameters.iter().any(|one| one["in"] == "query"));
    let is_declared = |status: &str| !operation["responses"][status].is_null();
    let applies = |status: &str| match status {
        "400" => has_body || has_query || accepts(operation, BEARER),
        "401" => is_guarded || is_declared(status),
        "429" => is_guarded || is_declared(status) || path.contains("health"),
        "403" | "409" => is_declared(status),
        "404" => path.contains('{') || is_declared(status),
        "413" => has_body || is_declared(status),
        "408" | "415" => has_body,
        "503" => {
            is_guarded
                || is_declared(status)
                || (path.contains("health") && !path.ends_with("live"))
        }
        _ => true,
    };
    let statuses: Vec<(&str, &str)> = REFUSALS
        .iter()
        .filter(|(status, ..)| applies(status))
        .map(|(status, name, ..)| (*status, *name))
        .collect();
    for (status, name) in statuses {
        operation["responses"][status] =
            json!({ "$ref": format!("#/components/responses/{name}") });
    }
}

fn accepts(operation: &Value, scheme: &str) -> bool {
    operation["security"]
        .as_array()
        .is_some_and(|schemes| schemes.iter().any(|one| !one[scheme].is_null()))
}

fn refusals() -> Value {
    let mut responses = Map::new();
    for (status, name, description, code, message) in REFUSALS {
        let error = match code {
            Code::ValidationError => crate::model::DomainError::Validation(vec![FieldError::new(
                "participantIds[2]",
                "is not a known user; sync the user first",
            )])
            .into(),
            code => ApiError::new(code, message),
        };
        let mut response = json!({
            "description": description,
            "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/ErrorResponse" },
                "example": error.body(),
            } },
        });
        if let Some(headers) = headers(status) {
            response["headers"] = headers;
        }
        responses.insert(name.to_owned(), response);
    }
    responses.into()
}

fn headers(status: &str) -> Option<Value> {
    match status {
        "401" => Some(json!({ "WWW-Authenticate": {
            "description": "Authentication scheme to use: `Bearer`.", "schema": { "type": "string" },
        } })),
        "429" => Some(json!({
            "Retry-After": {
                "description": "Time in seconds until the next request is accepted.",
                "schema": { "type": "integer", "minimum": 1 },
            },
            "RateLimit-Limit": {
                "description": "Number of requests that the limit allows in its period.",
                "schema": { "type": "integer", "minimum": 1 },
            },
            "RateLimit-Remaining": {
                "description": "Number of requests that are accepted now.",
                "schema": { "type": "integer", "minimum": 0 },
            },
            "RateLimit-Reset": {
                "description": "Time in seconds until the whole limit is available again.",
                "schema": { "type": "integer", "minimum": 0 },
            },
        })),
        "503" => Some(json!({ "Retry-After": {
            "description": "Time in seconds to wait before a repetition.", "schema": { "type": "integer" },
        } })),
        _ => None,
    }
}

fn parameters() -> Value {
    let cursor = |name: &str, description: &str| {
        json!({
            "name": name, "in": "query", "required": false, "description": description,
            "schema": { "type": "string" },
        })
    };
    json!({
        "Limit": {
            "name": "limit", "in": "query", "required": false, "description": "Maximum number of items, 1 to 100. Default: 50.",
            "schema": {
                "type": "integer", "minimum": 1, "maximum": PageRequest::MAX_LIMIT,
                "default": PageRequest::DEFAULT_LIMIT,
            },
        },
        "Before": cursor("before", "Returns items earlier than this id or `nextCursor`."),
        "After": cursor("after", "Returns items later than this id or `nextCursor`, oldest first."),
        "Around": cursor("around", "Returns items on both sides of this id."),
        "ActingUser": {
            "name": ACTING_HEADER, "in": "header", "required": false,
            "description": "Id of the user for whom the host acts; only with the internal secret. The value is the host's user id in UTF-8, \
                percent-encoded: `Jürgen M` is `J%C3%BCrgen%20M`.",
            "schema": { "type": "string" },
            "example": "J%C3%BCrgen%20M",
        },
    })
}

fn share_parameters(operation: &mut Map<String, Value>) {
    let acts = [BEARER, INTERNAL]
        .iter()
        .all(|scheme| accepts(&Value::Object(operation.clone()), scheme));
    let reference = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    let own = match operation.remove("parameters") {
        Some(Value::Array(own)) => own,
        _ => Vec::new(),
    };
    let mut all = Vec::new();
    for parameter in own {
        // The placeholder for the parameters of a list is an object; no other query parameter is one.
        if parameter["schema"]["type"] == "object" {
            all.extend(PAGE_PARAMETERS.iter().map(|name| reference(name)));
        } else {
            all.push(parameter);
        }
    }
    if acts {
        all.push(reference("ActingUser"));
    }
    if !all.is_empty() {
        operation.insert("parameters".to_owned(), all.into());
    }
}
