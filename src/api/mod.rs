//! The REST API: each operation parses the request, calls one function of the domain and wraps the result.
//!
//! Structure: a file per resource has its operations and the types of their bodies. Guards (`auth`) are arguments of the operations. Bodies
//! (`parts::body`) are checked against their published schema. All errors have one format (`error`). The router and the clients are both built from
//! the OpenAPI document (`openapi`), so that neither can differ from the other.
//!
//! This module is the only one of the core that uses poem. It does not depend on sockets, the broker or the database.

mod auth;
mod blocks;
pub mod catalogue;
mod consumers;
mod conversations;
mod erasure;
mod error;
mod events;
mod failure;
mod gate;
mod health;
mod held;
mod host_commands;
mod local;
mod log;
mod messages;
mod openapi;
mod operations;
mod participants;
mod parts;
mod pins;
mod plugins;
mod presence;
mod reactions;
mod receipts;
mod scheduled;
mod serve;
mod state;
mod unread;
mod users;

use std::sync::Arc;

use chat_sdk::http::GateHandle;
use poem::{EndpointExt, IntoEndpoint, Response, Route, endpoint::BoxEndpoint, get};

pub use error::{ApiError, Code, ErrorBody, FieldFault};
pub use host_commands::HostCommands;
pub use local::LocalOperations;
pub use openapi::document::documents;
pub use openapi::text::Documents;
pub use serve::answer;
pub use state::ApiState;

use crate::http::health::METRICS_PATH;

/// Returns the HTTP endpoint of the role `api`, with the routes of the plugins.
pub fn endpoint(state: ApiState) -> BoxEndpoint<'static, Response> {
    let shown = openapi::document::OpenApiDoc::of(&state.plugins.factories());
    let described = openapi::document::service(operations::operations(&state)).into_endpoint();
    let metrics = health::metrics(state.health.clone());
    let route = openapi::docs::add_to(Route::new(), shown)
        .at(METRICS_PATH, get(metrics))
        .nest_no_strip("/", described);
    route
        .data(Arc::new(state))
        .data(GateHandle(Arc::new(gate::CoreGate)))
        .boxed()
}
