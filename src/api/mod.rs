//! The REST API: each operation parses the request, calls one function of the domain and wraps the result.
//!
//! Structure: a file per resource has its operations and the types of their bodies. Guards (`auth`) are arguments of the operations. Bodies (`json`)
//! are checked against their published schema. All errors have one format (`error`). The router and the clients are both built from the OpenAPI
//! document (`document`), so that neither can differ from the other.
//!
//! This module is the only one of the core that uses poem. It does not depend on sockets, the broker or the database.

mod access_log;
mod auth;
mod blocks;
pub mod catalogue;
mod consumers;
mod conversations;
mod docs;
mod document;
mod erasure;
mod error;
mod events;
mod examples;
mod faults;
mod fixup;
mod gate;
mod health;
mod host_commands;
mod json;
mod limits;
mod log;
mod messages;
mod normalise;
mod page;
mod participants;
mod path;
mod pins;
mod presence;
mod reactions;
mod receipts;
mod reply;
mod responses;
mod scheduled;
mod serve;
mod strict;
mod text;
mod unread;
mod users;

use std::{panic::AssertUnwindSafe, sync::Arc};

use chat_sdk::{
    http::{GateHandle, Mounted},
    plugin::Plugin,
};
use futures_util::FutureExt;
use poem::{
    Endpoint, EndpointExt, IntoEndpoint, IntoResponse, Request, Response, Route,
    endpoint::BoxEndpoint,
    error::ResponseError,
    get,
    http::{StatusCode, header},
};
use poem_openapi::Tags;
use tracing::Instrument;

pub use document::documents;
pub use error::{ApiError, Code, ErrorBody, FieldFault};
pub use host_commands::HostCommands;
pub use serve::answer;
pub use text::Documents;

use crate::{
    auth::Verifier,
    config::{Origins, Secret},
    domain::{Context, consumers::Consumers},
    edge::{cors, request_id},
    health::Probe,
    limits::RateLimits,
    plugins::{self, Plugins},
    trace,
};

/// Groups of operations in the OpenAPI document.
#[derive(Tags)]
enum Tag {
    /// Health, status and metrics of the service.
    Health,
    /// Users as the host manages them: sync, deletion, export. For the host's backend.
    #[oai(rename = "Users (Internal)")]
    UsersInternal,
    /// Profiles, blocks and status of users.
    Users,
    /// Conversations, their members, settings and logs.
    Conversations,
    /// Messages, threads, pins and scheduled messages.
    Messages,
    /// Reactions to messages.
    Reactions,
    /// Presence of users.
    Presence,
    /// Read and delivery receipts, and unread counts.
    #[oai(rename = "Read Receipts")]
    ReadReceipts,
    /// Live events as Server-Sent Events.
    Events,
    /// Durable consumers of hosts that receive events from NATS.
    #[oai(rename = "Admin/Consumers")]
    AdminConsumers,
}

/// Shared state of the HTTP API.
pub struct ApiState {
    /// Context of the domain functions.
    pub ctx: Context,
    /// Verifier of users' tokens.
    pub verifier: Verifier,
    /// Secret of the host's backend.
    pub internal_secret: Secret,
    /// Rate limits of the callers.
    pub limits: Arc<RateLimits>,
    /// Origins of the pages that may call from a browser.
    pub origins: Origins,
    /// Health probe of the process.
    pub health: Arc<Probe>,
    /// Maximum size of a body, in bytes.
    pub max_body_bytes: usize,
    /// Built-in plugins, which add operations.
    pub plugins: Plugins,
    /// Durable consumers of hosts.
    pub consumers: Consumers,
}

/// All operations of the core.
type CoreOperations = (
    health::HealthApi,
    users::UsersApi,
    conversations::ConversationsApi,
    participants::ParticipantsApi,
    messages::MessagesApi,
    reactions::ReactionsApi,
    pins::PinsApi,
    blocks::BlocksApi,
    scheduled::ScheduledApi,
    receipts::ReceiptsApi,
    unread::UnreadApi,
    log::LogApi,
    presence::PresenceApi,
    events::EventsApi,
    (erasure::ErasureApi, consumers::ConsumersApi),
);

/// All operations of the committed document.
type Operations = (CoreOperations, plugins::Operations);

fn operations(state: &ApiState) -> Operations {
    let ctx = || state.ctx.clone();
    let core = (
        health::HealthApi(Arc::clone(&state.health)),
        users::UsersApi(ctx()),
        conversations::ConversationsApi(ctx()),
        participants::ParticipantsApi(ctx()),
        messages::MessagesApi(ctx()),
        reactions::ReactionsApi(ctx()),
        pins::PinsApi(ctx()),
        blocks::BlocksApi(ctx()),
        scheduled::ScheduledApi(ctx()),
        receipts::ReceiptsApi(ctx()),
        unread::UnreadApi(ctx()),
        log::LogApi(ctx()),
        presence::PresenceApi(ctx()),
        events::EventsApi,
        (
            erasure::ErasureApi(ctx()),
            consumers::ConsumersApi(state.consumers.clone()),
        ),
    );
    (core, state.plugins.operations())
}

/// Path of the metrics, which is in no document; nginx does not expose it.
const METRICS_PATH: &str = "/metrics";

/// Returns the HTTP endpoint of the role `api`, with the operations of an external
/// plugin. It answers every request, also after an error or a panic inside.
pub fn endpoint<P: Plugin>(
    state: ApiState,
    guest: Option<Arc<P>>,
) -> BoxEndpoint<'static, Response> {
    let has_plugins = state.plugins.has_operations();
    let shown = match guest {
        Some(_) => document::OpenApiDoc::with_guest::<P::Api>(
            has_plugins,
            document::DocExtras {
                example: P::example,
                conflicting: P::CONFLICTING,
            },
        ),
        None => document::OpenApiDoc::new(has_plugins),
    };
    let operations = (operations(&state), Mounted(guest.map(Plugin::api)));
    let described = document::service(operations).into_endpoint();
    let metrics = health::metrics(Arc::clone(&state.health));
    let route = docs::add_to(Route::new(), shown)
        .at(METRICS_PATH, get(metrics))
        .nest_no_strip("/", described);
    let origins = state.origins.clone();
    Edge {
        inner: route
            .data(Arc::new(state))
            .data(GateHandle(Arc::new(gate::CoreGate))),
        origins,
    }
    .boxed()
}

/// Wrapper of every operation. From the outside in: request id, log and metrics, CORS, headers of the rate limits, errors and panics.
struct Edge<E> {
    inner: E,
    origins: Origins,
}

impl<E: Endpoint<Output = Response>> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let meter = limits::Meter::attach(&mut request);
        let id = request_id::of(request.headers());
        let trace = trace::of(request.headers());
        let span = tracing::info_span!("request", id, trace = %trace.trace_id());
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut line = access_log::Line::begin(&request);
        let mut response = trace::within(trace, async {
            let response = match cors::preflight(&self.origins, request.method(), request.headers())
            {
                Some(headers) => {
                    let mut response = StatusCode::NO_CONTENT.into_response();
                    response.headers_mut().extend(headers);
                    response
                }
                None => self.answer(request, &mut line).await,
            };
            line.end(response.status());
            response
        })
        .instrument(span)
        .await;
        let headers = response.headers_mut();
        meter.tell(headers);
        crate::edge::finish(headers, &self.origins, origin.as_ref(), id);
        Ok(response)
    }
}

impl<E: Endpoint<Output = Response>> Edge<E> {
    async fn answer(&self, request: Request, line: &mut access_log::Line) -> Response {
        // Unwind safety: shared state has no intermediate states, so a panic leaves nothing behind that another request could see.
        let outcome = AssertUnwindSafe(self.inner.call(request))
            .catch_unwind()
            .await;
        match outcome {
            Ok(Ok(response)) => {
                line.matched(response.data());
                response
            }
            Ok(Err(error)) => {
                line.matched(error.data());
                let allow = |error: &poem::Error| document::allowed_methods(error.data());
                ApiError::from_poem(error, allow).as_response()
            }
            Err(_) => ApiError::internal("a handler panicked").as_response(),
        }
    }
}
