//! The OpenAPI document: built from the operations of the core and the parts of the plugins, converted to version 3.1 and completed with the error
//! responses. Requests are checked against it, and the paths of the router come from the same operations.

use std::collections::{BTreeMap, HashMap};

use chat_sdk::plugin::{Described, PluginFactory};
use jsonschema::Validator;
use parking_lot::Mutex;
use poem_openapi::{LicenseObject, OpenApi, OpenApiService, ServerObject};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    docs, examples,
    published::{self, CHECKED_BY_ITEM, Published, RouteFacts},
    responses,
    text::{self, Documents},
};
use crate::{
    api::{catalogue, operations::CoreOperations},
    contract::{openapi31, validation},
    http::health::METRICS_PATH,
    plugins::declare_events,
};

const DESCRIPTION: &str = "A pluggable real-time chat microservice. Ids are opaque, times are ISO 8601 in UTC with milliseconds, and a field \
    without a value is omitted. Unknown fields in a body are rejected. Every error has the format of `ErrorResponse`. Lists are newest first, with `after` oldest first.";

/// Tags in the order of the page. Tags of plugins follow, then administration.
const TAG_ORDER: [&str; 9] = [
    "Conversations",
    "Messages",
    "Reactions",
    "Read Receipts",
    "Presence",
    "Events",
    "Users",
    "Users (Internal)",
    "Health",
];

/// Changes to the page of Swagger UI: its title and icon, and its options.
const PAGE_CHANGES: [(&str, &str); 2] = [
    (
        "<title>Swagger UI</title>",
        "<title>Chat Service API</title>\n    <link rel=\"icon\" href=\"data:image/svg+xml,\
         %3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
         %3Cpath fill='%231a7f5a' d='M2 1h12v10H7l-4 4v-4H2z'/%3E%3C/svg%3E\">",
    ),
    (
        "deepLinking: true,",
        "deepLinking: true, docExpansion: 'none', persistAuthorization: true,",
    ),
];

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

/// Documents by the names of their plugins. They stay for the whole process, which has few sets of plugins.
static PUBLISHED: Mutex<BTreeMap<Vec<&str>, &Published>> = Mutex::new(BTreeMap::new());

/// All plugins that this process serves so far.
static SERVED: Mutex<Vec<PluginFactory>> = Mutex::new(Vec::new());

fn built(plugins: &[PluginFactory]) -> &'static Published {
    let names = plugins.iter().map(|plugin| plugin.name).collect();
    let mut built = PUBLISHED.lock();
    built
        .entry(names)
        .or_insert_with(|| Box::leak(Box::new(publish(plugins))))
}

/// Returns the documents with `plugins`, those with the built-in ones are committed. Needs no running server.
pub fn documents(plugins: &[PluginFactory]) -> Documents {
    built(plugins).documents.clone()
}

/// Document that a process serves.
#[derive(Clone, Copy)]
pub struct OpenApiDoc(&'static Published);

impl OpenApiDoc {
    /// Returns the document of a process with `plugins`, and registers their schemas: bodies are checked against them from now on.
    pub fn of(plugins: &[PluginFactory]) -> Self {
        let mut served = SERVED.lock();
        for plugin in plugins {
            if !served.iter().any(|other| other.name == plugin.name) {
                served.push(*plugin);
            }
        }
        published::register(built(&served));
        Self(built(plugins))
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

/// Returns the operations as a service that can describe and route them.
pub fn service<T: OpenApi>(operations: T) -> OpenApiService<T, ()> {
    OpenApiService::new(operations, "Chat Service", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license(LicenseObject::new("Apache-2.0").identifier("Apache-2.0"))
        .server(ServerObject::new("http://localhost:8080").description("Development, behind nginx"))
}

fn publish(plugins: &[PluginFactory]) -> Published {
    declare_events(plugins);
    let described = service(Described::<CoreOperations>::default());
    let source = described.spec();
    let document = complete(&source, plugins);
    let documents = write(&document);
    let page = PAGE_CHANGES
        .iter()
        .fold(described.swagger_ui_html(), |page, (from, to)| {
            page.replacen(from, to, 1)
        });
    // The page embeds the uncorrected document as text in a script; replace it with the corrected one.
    let page = page.replace(&source, &shown(&document).replace("</", "<\\/"));
    Published {
        page,
        bodies: bodies(&document),
        schemas: document["components"]["schemas"].clone(),
        routes: routes(&document),
        documents,
    }
}

/// Adds the part of a plugin to `document`. A name that both have keeps its meaning in `document`.
fn merge(document: &mut Value, plugin: &PluginFactory) {
    let mut part = (plugin.document)().into_json();
    for pointer in ["/paths", "/components/schemas"] {
        let Some(Value::Object(part)) = part.pointer_mut(pointer).map(Value::take) else {
            continue;
        };
        let all = document.pointer_mut(pointer).and_then(Value::as_object_mut);
        let all = all.expect("the core has operations with schemas");
        for (name, value) in part {
            let known = all.entry(&name).or_insert_with(|| value.clone());
            if *known != value {
                let plugin = plugin.name;
                tracing::error!(
                    plugin,
                    name,
                    "the document has another definition of this name"
                );
            }
        }
    }
    if let (Some(all), Some(part)) = (document["tags"].as_array_mut(), part["tags"].as_array_mut())
    {
        all.append(part);
        all.sort_by_key(|tag| tag["name"].as_str().map(str::to_owned));
    }
}

fn complete(source: &str, plugins: &[PluginFactory]) -> Value {
    let mut document = serde_json::from_str(source).expect("poem-openapi writes JSON");
    for plugin in plugins {
        merge(&mut document, plugin);
    }
    openapi31::to_31(&mut document);
    catalogue::fill_events(&mut document);
    openapi31::close_requests(&mut document);
    validation::hide_system(&mut document);
    openapi31::describe_answers(&mut document);
    responses::complete(&mut document);
    examples::add(&mut document);
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.sort_by_key(|tag| {
            let name = tag["name"].as_str().unwrap_or_default();
            let place = TAG_ORDER.iter().position(|tag| *tag == name);
            (name.starts_with("Admin/"), place.unwrap_or(TAG_ORDER.len()))
        });
    }
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
    let components = validation::with_system(document["components"].clone());
    let schemas = components["schemas"].as_object();
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
            (name.clone(), validation::validator(&schema, &components))
        })
        .collect()
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
    use poem::PathPattern;

    use super::*;
    use crate::{
        api::openapi::published::{allowed_methods, route, tests::register},
        plugins::BUILT_IN,
    };

    fn document() -> Value {
        serde_json::from_str(&documents(BUILT_IN).json).expect("valid JSON")
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
    fn every_operation_is_in_the_document_once() {
        let core: usize = CoreOperations::meta()
            .iter()
            .flat_map(|api| &api.paths)
            .map(|path| path.operations.len())
            .sum();
        let of_plugins = BUILT_IN.iter().map(|plugin| {
            let part = (plugin.document)().into_json();
            let paths = part["paths"].as_object().cloned().unwrap_or_default();
            let operations = paths.values().filter_map(Value::as_object);
            operations.map(|methods| methods.len()).sum::<usize>()
        });
        assert_eq!(operations().len(), core + of_plugins.sum::<usize>());
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
            let bytes = &operation["requestBody"]["content"]["application/octet-stream"];
            if !operation["requestBody"].is_null() {
                assert!(
                    !body["example"].is_null() || !bytes.is_null(),
                    "{name} has no example of its body"
                );
                for status in ["400", "413", "415"] {
                    assert!(responses.contains_key(status), "{name} {status}");
                }
            }
            // An operation with credentials in its body may answer 401 without a guard.
            let may_refuse = !operation["security"].is_null() || name.contains("/auth/");
            assert!(may_refuse || !responses.contains_key("401"), "{name}");
            let is_guarded = !operation["security"].is_null();
            assert!(!is_guarded || responses.contains_key("401"), "{name}");
        }
    }

    #[test]
    fn routes_are_known_by_the_routers_patterns() {
        register();
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
        let page = OpenApiDoc::of(BUILT_IN).page();
        assert!(page.contains(r#""openapi": "3.1.0""#));
        assert!(!page.contains(r#""openapi": "3.0.0""#));
        assert!(page.contains(r#""url": "/""#));
        assert!(
            !page.contains("http://localhost:8080"),
            "tokens go nowhere else"
        );
    }

    #[test]
    fn the_page_begins_with_chat_is_collapsed_and_keeps_the_authorisation() {
        let page = OpenApiDoc::of(BUILT_IN).page();
        for (_, change) in PAGE_CHANGES {
            assert!(page.contains(change), "{change}");
        }
        let document = document();
        let tags = document["tags"].as_array().expect("a list");
        let names: Vec<_> = tags.iter().filter_map(|tag| tag["name"].as_str()).collect();
        assert_eq!(names[..TAG_ORDER.len()], TAG_ORDER);
        // Then come the parts of plugins.
        let of_plugin =
            |name: &&str| ["Accounts", "Attachments", "Moderation", "Notifications"].contains(name);
        let rest = &names[TAG_ORDER.len()..];
        assert!(
            rest.iter()
                .all(|name| name.starts_with("Admin/") || of_plugin(name)),
            "{rest:?}"
        );
    }

    #[test]
    fn a_process_without_plugins_describes_none_of_them() {
        let bare: Value =
            serde_json::from_str(&OpenApiDoc::of(&[]).documents().json).expect("JSON");
        let whole = document();
        let paths = |document: &Value| -> Vec<String> {
            let paths = document["paths"].as_object().expect("an object");
            paths.keys().cloned().collect()
        };
        let (all, core): (Vec<_>, Vec<_>) = (paths(&whole), paths(&bare));
        assert!(all.iter().any(|path| path.contains("/webhooks")));
        let left_out: Vec<&String> = all.iter().filter(|path| !core.contains(path)).collect();
        let of_plugins = [
            "/api/admin/webhooks",
            "/api/admin/accounts",
            "/api/attachments",
            "/api/moderation",
            "/api/notifications",
            "/auth/",
        ];
        for path in left_out {
            assert!(of_plugins.iter().any(|own| path.starts_with(own)), "{path}");
        }
        let text = bare.to_string();
        assert!(!text.contains("Webhook"), "neither tags nor schemas");
        for path in core {
            assert_eq!(bare["paths"][&path], whole["paths"][&path], "{path}");
        }
    }
}
