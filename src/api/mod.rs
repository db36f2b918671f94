//! The REST API: parse, one verb of the domain, wrap.
//!
//! Cast: a file per noun with its operations and the shapes of its bodies; guards (`auth`) as arguments of the operations; bodies (`json`) checked
//! against the schema that is published for them; one shape of errors (`error`); the OpenAPI document (`document`), from which the router and the
//! clients are both made, so that neither can differ from the other.
//!
//! This room is the only one of the core that knows poem. It knows no socket, no broker and no database.

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

/// The groups of operations in the document.
#[derive(Tags)]
enum Tag {
    /// Whether the service works.
    Health,
    /// For the host's backend.
    #[oai(rename = "Users (Internal)")]
    UsersInternal,
    /// People who write and read.
    Users,
    /// Where they do it, and who is in.
    Conversations,
    /// What they write.
    Messages,
    /// What others make of it.
    Reactions,
    /// Whether they are there.
    Presence,
    /// Who read and got what, and what is unread.
    #[oai(rename = "Read Receipts")]
    ReadReceipts,
    /// What happens, as it happens.
    Events,
    /// Hosts that take events from NATS.
    #[oai(rename = "Admin/Consumers")]
    AdminConsumers,
}

/// What the surface works with.
pub struct ApiState {
    /// For the verbs.
    pub ctx: Context,
    /// Checks users' tokens.
    pub verifier: Verifier,
    /// What the host's backend shows.
    pub internal_secret: Secret,
    /// How much each caller may ask for.
    pub limits: Arc<RateLimits>,
    /// Which pages may call from a browser.
    pub origins: Origins,
    /// How the process is.
    pub health: Arc<Probe>,
    /// The most bytes of a body.
    pub max_body_bytes: usize,
    /// The plugins, which bring operations of their own.
    pub plugins: Plugins,
    /// The hosts that take events from the broker.
    pub consumers: Consumers,
}

/// Every operation of the core.
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

/// Every operation that is in the committed document.
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

/// The path beside the documents that is in no document: nginx passes it to nobody.
const METRICS_PATH: &str = "/metrics";

/// The whole HTTP surface of the `api` role, with the operations of a plugin from outside. It answers every request, whatever happens inside.
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

/// What surrounds every operation. From the outside in: request id, log and metrics, CORS, rate limits' headers, errors and panics.
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
        // A request that panicked leaves nothing behind that another one sees: what is shared has no half-made states.
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
