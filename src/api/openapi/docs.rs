//! HTTP endpoints of the OpenAPI document: a page for people, JSON and YAML for programs.

use bytes::Bytes;
use poem::{Route, endpoint::make_sync, get, http::header};

use super::document;

/// Paths of this module. They are in no document because they serve the document.
pub const PATHS: [&str; 3] = ["/api/docs", "/api/docs-json", "/api/docs-yaml"];

/// Adds the paths of the documents to `route`.
pub fn add_to(route: Route, shown: document::OpenApiDoc) -> Route {
    let [page, json, yaml] = PATHS;
    let documents = shown.documents();
    route
        .at(page, get(serve("text/html; charset=utf-8", shown.page())))
        .at(json, get(serve("application/json", documents.json)))
        .at(
            yaml,
            get(serve("application/yaml; charset=utf-8", documents.yaml)),
        )
}

fn serve(content_type: &'static str, text: String) -> impl poem::Endpoint {
    let text = Bytes::from(text);
    make_sync(move |_| {
        poem::Response::builder()
            .content_type(content_type)
            .header(header::CACHE_CONTROL, "no-cache")
            .body(text.clone())
    })
}
