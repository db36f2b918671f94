//! The OpenAPI document: built from the operations, converted to version 3.1 and completed with the error responses. Requests are checked against it,
//! and the paths of the router come from the same operations.

use std::{
    collections::{BTreeMap, HashMap},
    marker::PhantomData,
    sync::{LazyLock, OnceLock},
};

use jsonschema::{Draft, Validator};
use poem::{PathPattern, endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    LicenseObject, OpenApi, OpenApiService, ServerObject,
    registry::{MetaApi, Registry},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::text::{self, Documents};
use super::{
    CoreOperations, METRICS_PATH, Operations, catalogue, docs, examples, faults, fixup, normalise,
    responses,
};
use crate::domain::FieldError;

const DESCRIPTION: &str = "A pluggable real-time chat microservice. Ids are opaque, times are ISO 8601 in UTC with milliseconds, and a field \
    without a value is omitted. Unknown fields in a body are rejected. Every error has the format of `ErrorResponse`. Lists are newest first, with `after` oldest first.";

/// Schema of a batch body and the path of its items, which are checked one by one so that each fails alone.
const CHECKED_BY_ITEM: (&str, &str) = ("SyncUsers", "/properties/users");

/// Message type that only the host can send, without `X-Acting-User`.
const SYSTEM: &str = "system";

/// Parts of the document in reading order.
#[derive(Serialize)]
struct Ordered<'a> {
    openapi: &'a Value,
    info: &'a Value,
    servers: &'a Value,
    tags: &'a Value,
    paths: &'a Value,
    components: &'a Value,
}

struct Published {
    documents: Documents,
    page: String,
    bodies: HashMap<String, Validator>,
    schemas: Value,
    routes: HashMap<String, RouteFacts>,
}

struct RouteFacts {
    path: String,
    allow: String,
}

/// Operations without their state: enough for a document, without routes.
struct Described<T>(PhantomData<fn() -> T>);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

/// Additions of an external plugin to the document, beside its operations.
#[derive(Clone, Copy)]
pub struct DocExtras {
    /// Returns the example of a body of its operations, by the name of the schema.
    pub example: fn(&str) -> Option<Value>,
    /// Its operations that can return 409.
    pub conflicting: &'static [&'static str],
}

const NO_WORDS: DocExtras = DocExtras {
    example: |_| None,
    conflicting: &[],
};

/// Document with all built-in plugins; the committed one.
static PUBLISHED: LazyLock<Published> = LazyLock::new(|| publish::<Operations>(NO_WORDS));
/// Document of a process without plugins.
static BARE: LazyLock<Published> = LazyLock::new(|| publish::<CoreOperations>(NO_WORDS));
/// Document of a process with an external plugin; a program has at most one.
static WITH_GUEST: OnceLock<Published> = OnceLock::new();

/// Returns the committed documents; needs no running server.
pub fn documents() -> Documents {
    PUBLISHED.documents.clone()
}

/// Document that a process serves.
#[derive(Clone, Copy)]
pub struct OpenApiDoc(&'static Published);

impl OpenApiDoc {
    /// Returns the document of a process with or without the built-in plugins.
    pub fn new(has_plugins: bool) -> Self {
        Self(if has_plugins { &PUBLISHED } else { &BARE })
    }

    /// Returns the document of a process that also has an external plugin, and registers its schemas: bodies are checked against them from now on.
    pub fn with_guest<X: OpenApi>(has_plugins: bool, words: DocExtras) -> Self {
        Self(WITH_GUEST.get_or_init(|| match has_plugins {
            true => publish::<(Operations, X)>(words),
            false => publish::<(CoreOperations, X)>(words),
        }))
    }

    /// Returns the document as text.
    pub fn documents(self) -> Documents {
        self.0.documents.clone()
    }

    /// Returns the HTML page that shows the document and sends requests to the service.
    pub fn page(self) -> String {
        self.0.page.clone()
    }
}

/// Returns the document with every operation of this process.
fn known() -> &'static Published {
    WITH_GUEST.get().unwrap_or(&PUBLISHED)
}

/// Returns the operations as a service that can describe and route them.
pub fn service<T: OpenApi>(operations: T) -> OpenApiService<T, ()> {
    OpenApiService::new(operations, "Chat Service", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license(LicenseObject::new("Apache-2.0").identifier("Apache-2.0"))
        .server(ServerObject::new("http://localhost:8080").description("Development, behind nginx"))
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

fn publish<T: OpenApi>(words: DocExtras) -> Published {
    let described = service(Described::<T>(PhantomData));
    let source = described.spec();
    let document = complete(&source, words);
    let documents = write(&document);
    // The page embeds the uncorrected document as text in a script; replace it with the corrected one.
    let page = described
        .swagger_ui_html()
        .replace(&source, &shown(&document).replace("</", "<\\/"));
    Published {
        page,
        bodies: bodies(&document),
        schemas: document["components"]["schemas"].clone(),
        routes: routes(&document),
        documents,
    }
}

fn complete(source: &str, words: DocExtras) -> Value {
    let mut document = serde_json::from_str(source).expect("poem-openapi writes JSON");
    fixup::to_31(&mut document);
    catalogue::fill_events(&mut document);
    fixup::close_requests(&mut document);
    // Users cannot send it; `bodies` allows it for the host.
    let types = document["components"]["schemas"]["MessageType"]["enum"].as_array_mut();
    if let Some(types) = types {
        types.retain(|kind| kind != SYSTEM);
    }
    fixup::describe_answers(&mut document);
    responses::complete(&mut document, words.conflicting);
    examples::add(&mut document, words.example);
    document
}

/// Returns the document for the page, with the server of the page itself: a token must not be sent to another deployment.
fn shown(document: &Value) -> String {
    let mut document = document.clone();
    document["servers"] =
        json!([{ "url": "/", "description": "The service that serves this page" }]);
    write(&document).json
}

fn write(document: &Value) -> Documents {
    text::write(Ordered {
        openapi: &document["openapi"],
        info: &document["info"],
        servers: &document["servers"],
        tags: &document["tags"],
        paths: &document["paths"],
        components: &document["components"],
    })
}

/// Returns a validator for each schema of a request body or of an item of one.
fn bodies(document: &Value) -> HashMap<String, Validator> {
    let mut document = document.clone();
    let types = &mut document["components"]["schemas"]["MessageType"];
    if types.is_object() {
        // For the host without `X-Acting-User`; the domain rejects it from users.
        *types = json!({ "anyOf": [types.take(), { "const": SYSTEM }] });
    }
    let schemas = document["components"]["schemas"].as_object();
    let closed = schemas
        .into_iter()
        .flatten()
        .filter(|(_, schema)| schema["additionalProperties"] == Value::Bool(false));
    closed
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            if name == CHECKED_BY_ITEM.0
                && let Some(list) = schema.pointer_mut(CHECKED_BY_ITEM.1)
            {
                list["items"] = json!({});
            }
            schema["components"] = document["components"].clone();
            (name.clone(), validator(&schema))
        })
        .collect()
}

fn validator(schema: &Value) -> Validator {
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
        .build(schema)
        .expect("a schema of our own types is valid, as the tests show")
}

fn routes(document: &Value) -> HashMap<String, RouteFacts> {
    let mut methods: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        let names = operations.as_object().into_iter().flatten();
        methods.insert(
            path.clone(),
            names.map(|(method, _)| method.to_uppercase()).collect(),
        );
    }
    for path in docs::PATHS.iter().chain([&METRICS_PATH]) {
        methods.insert((*path).to_owned(), vec!["GET".to_owned()]);
    }
    methods
        .into_iter()
        .map(|(path, mut allow)| {
            // The router answers HEAD for every path with GET.
            if allow.iter().any(|method| method == "GET") {
                allow.push("HEAD".to_owned());
            }
            allow.sort();
            let allow = allow.join(", ");
            (pattern(&path), RouteFacts { path, allow })
        })
        .collect()
}

/// Returns the router's pattern of a path: poem-openapi numbers the parameters.
fn pattern(path: &str) -> String {
    let mut count = 0;
    let segments = path.split('/').map(|segment| {
        if !segment.starts_with('{') {
            return segment.to_owned();
        }
        count += 1;
        format!(":param{}", count - 1)
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::from_str(&documents().json).expect("valid JSON")
    }

    fn operations() -> Vec<(String, Value)> {
        let document = document();
        let paths = document["paths"].as_object().expect("an object");
        paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .expect("an object")
                    .iter()
                    .map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
            })
            .collect()
    }

    #[test]
    fn the_committed_documents_are_those_of_the_code() {
        for (file, now) in [
            ("openapi/openapi.json", documents().json),
            ("openapi/openapi.yaml", documents().yaml),
        ] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == now,
                "{file} is not what the code says; refresh it with:\n  \
                 cargo run -- openapi --format {} > {file}",
                file.rsplit('.').next().unwrap_or_default()
            );
        }
    }

    #[test]
    fn every_operation_is_in_the_document_once() {
        let declared: usize = Operations::meta()
            .iter()
            .flat_map(|api| &api.paths)
            .map(|path| path.operations.len())
            .sum();
        assert_eq!(operations().len(), declared);
    }

    #[test]
    fn every_operation_is_documented_for_clients() {
        for (name, operation) in operations() {
            for key in ["operationId", "summary", "tags", "responses"] {
                assert!(!operation[key].is_null(), "{name} has no {key}");
            }
            let responses = operation["responses"].as_object().expect("an object");
            assert!(responses.contains_key("500"), "{name}");
            for (status, response) in responses {
                let content = &response["content"]["application/json"];
                if !content.is_null() {
                    assert!(
                        !content["example"].is_null(),
                        "{name} {status} has no example"
                    );
                }
            }
            let body = &operation["requestBody"]["content"]["application/json"];
            if !operation["requestBody"].is_null() {
                assert!(
                    !body["example"].is_null(),
                    "{name} has no example of its body"
                );
                for status in ["400", "413", "415"] {
                    assert!(responses.contains_key(status), "{name} {status}");
                }
            }
            assert_eq!(
                operation["security"].is_null(),
                !responses.contains_key("401"),
                "{name}"
            );
        }
    }

    #[test]
    fn routes_are_known_by_the_routers_patterns() {
        let pattern = PathPattern("/api/conversations/:param0/participants/:param1".into());
        assert_eq!(
            route(Some(&pattern)),
            Some("/api/conversations/{id}/participants/{userId}")
        );
        assert_eq!(allowed_methods(Some(&pattern)), "DELETE, PATCH");
        let pattern = PathPattern("/metrics".into());
        assert_eq!(allowed_methods(Some(&pattern)), "GET, HEAD");
    }

    #[test]
    fn the_page_shows_the_corrected_document() {
        let page = OpenApiDoc::new(true).page();
        assert!(page.contains(r#""openapi": "3.1.0""#));
        assert!(!page.contains(r#""openapi": "3.0.0""#));
        assert!(page.contains(r#""url": "/""#));
        assert!(
            !page.contains("http://localhost:8080"),
            "tokens go nowhere else"
        );
    }

    #[test]
    fn a_process_without_plugins_describes_none_of_them() {
        let bare: Value =
            serde_json::from_str(&OpenApiDoc::new(false).documents().json).expect("JSON");
        let whole = document();
        let paths = |document: &Value| -> Vec<String> {
            let paths = document["paths"].as_object().expect("an object");
            paths.keys().cloned().collect()
        };
        let (all, core): (Vec<_>, Vec<_>) = (paths(&whole), paths(&bare));
        assert!(all.iter().any(|path| path.contains("/webhooks")));
        let left_out: Vec<&String> = all.iter().filter(|path| !core.contains(path)).collect();
        assert!(
            left_out
                .iter()
                .all(|path| path.starts_with("/api/admin/webhooks"))
        );
        let text = bare.to_string();
        assert!(!text.contains("Webhook"), "neither tags nor schemas");
        for path in core {
            assert_eq!(bare["paths"][&path], whole["paths"][&path], "{path}");
        }
    }
}
