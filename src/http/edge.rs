//! The edge of every port: from the outside in request id, log and metrics, CORS, headers of the rate limits, errors and panics.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use hyper::{StatusCode, body::Body, header};
use tracing::Instrument;

use super::{Client, Request, Response, access_log::Line, body, cors, error::ApiError, finish};
use crate::{config::Origins, http::request_id, trace};

/// Answers a request of `client` with `role`, also after an error or a panic inside.
pub async fn answer<Fut>(
    origins: &Origins,
    mut request: Request,
    client: Client,
    role: impl FnOnce(Request) -> Fut,
) -> Response
where
    Fut: Future<Output = Result<Response, ApiError>>,
{
    let client = Arc::new(client);
    request.extensions_mut().insert(Arc::clone(&client));
    let id = request_id::of(request.headers());
    let trace = trace::of(request.headers());
    let span = tracing::info_span!("request", id, trace = %trace.trace_id());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let line = Line::begin(request.method());
    let mut response = trace::within(trace, async {
        let response = match cors::preflight(origins, request.method(), request.headers()) {
            Some(headers) => {
                let mut response = Response::new(body(""));
                *response.status_mut() = StatusCode::NO_CONTENT;
                *response.headers_mut() = headers;
                response
            }
            None => {
                // Unwind safety: shared state has no intermediate states, so a panic leaves nothing behind that another request could see.
                let outcome = AssertUnwindSafe(role(request)).catch_unwind().await;
                outcome
                    .unwrap_or_else(|_| Err(ApiError::internal("a handler panicked")))
                    .unwrap_or_else(|error| error.response())
            }
        };
        line.end(client.route(), response.status());
        // Streams have no size in advance; their own pace bounds them.
        let bytes = response.body().size_hint().exact().unwrap_or(0);
        client.charge(usize::try_from(bytes).unwrap_or(usize::MAX));
        response
    })
    .instrument(span)
    .await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let headers = response.headers_mut();
        client.tell(headers);
        finish(headers, origins, origin.as_ref(), id);
    }
    response
}
