//! Routes of a plugin and their part of the OpenAPI document.

use std::{collections::HashMap, marker::PhantomData};

use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    OpenApi, OpenApiService,
    registry::{MetaApi, Registry},
};
use serde_json::{Map, Value, json};

/// Endpoints by path and method.
type Table = HashMap<String, HashMap<Method, BoxEndpoint<'static>>>;

/// Routes of a running plugin. Their [`RoutesDocument`] describes them.
#[derive(Default)]
pub struct Routes(Table);

impl Routes {
    /// Returns the routes of `operations`. Each operation must have an id, a summary and a tag.
    pub fn new(operations: impl OpenApi) -> Self {
        let mut table = Table::new();
        operations.add_routes(&mut table);
        Self(table)
    }

    /// Adds the routes of another plugin. An operation that both have stays as it is.
    pub fn extend(&mut self, other: Self) {
        add(other.0, &mut self.0);
    }
}

fn add(routes: Table, table: &mut Table) {
    for (path, methods) in routes {
        let known = table.entry(path).or_default();
        for (method, endpoint) in methods {
            known.entry(method).or_insert(endpoint);
        }
    }
}

/// The core mounts the routes beside its own operations. Their description comes from [`RoutesDocument`], which needs no running plugin.
impl OpenApi for Routes {
    fn meta() -> Vec<MetaApi> {
        Vec::new()
    }

    fn register(_registry: &mut Registry) {}

    fn add_routes(self, table: &mut Table) {
        // An operation of the core stays as it is.
        add(self.0, table);
    }
}

/// Operations without their state: enough for a document, without routes.
pub struct Described<T>(PhantomData<fn() -> T>);

impl<T> Default for Described<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _table: &mut Table) {}
}

/// Part of the OpenAPI document that describes the routes of a plugin: operations, schemas, tags and examples.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutesDocument(Value);

impl RoutesDocument {
    /// Returns the part of a plugin without routes.
    pub fn none() -> Self {
        Self(json!({}))
    }

    /// Returns the part of the operations `T`.
    pub fn of<T: OpenApi>() -> Self {
        let service = OpenApiService::new(Described::<T>::default(), "", "");
        let document = serde_json::from_str(&service.spec());
        Self(document.expect("poem-openapi writes JSON"))
    }

    /// Adds an example to every body, by the name of its schema.
    pub fn examples(mut self, example: fn(&str) -> Option<Value>) -> Self {
        illustrate(&mut self.0, example);
        self
    }

    /// Returns the part as JSON, in the form of OpenAPI 3.0 that poem-openapi writes.
    pub fn into_json(self) -> Value {
        self.0
    }
}

/// Applies `change` to every operation of an OpenAPI document.
pub fn each_operation(document: &mut Value, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    let items = document["paths"].as_object_mut().into_iter().flatten();
    for (_, item) in items {
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                change(operation);
            }
        }
    }
}

/// Adds an example to every request body and response of an OpenAPI document, by the name of its schema.
pub fn illustrate(document: &mut Value, example: fn(&str) -> Option<Value>) {
    each_operation(document, &mut |operation| {
        if let Some(body) = operation.get_mut("requestBody") {
            illustrate_content(body, example);
        }
        let responses = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut);
        for (_, response) in responses.into_iter().flatten() {
            illustrate_content(response, example);
        }
    });
}

/// Adds `example` of its schema to each content of a request body or a response.
fn illustrate_content(body: &mut Value, example: fn(&str) -> Option<Value>) {
    let content = body.get_mut("content").and_then(Value::as_object_mut);
    for (_, media) in content.into_iter().flatten() {
        let name = media["schema"]["$ref"]
            .as_str()
            .and_then(|name| name.strip_prefix("#/components/schemas/"));
        if let Some(example) = name.and_then(example) {
            media["example"] = example;
        }
    }
}
