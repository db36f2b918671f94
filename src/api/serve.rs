//! Converts requests of hyper to those of poem, for the ports of this service.

use std::sync::Arc;

use poem::{
    Body, Endpoint, RequestParts,
    endpoint::BoxEndpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};

use super::{error, openapi::published};
use crate::http::{ApiError, Client, Request, Response};

/// Answers one request.
///
/// # Errors
/// Returns the error of the operation, or that of the router.
pub async fn answer(
    endpoint: Arc<BoxEndpoint<'static, poem::Response>>,
    request: Request,
) -> Result<Response, ApiError> {
    let client = Arc::clone(Client::of(request.extensions())?);
    let (parts, body) = request.into_parts();
    // The addresses stay empty: they would be those of the connection, which may belong to a proxy.
    let addresses = (LocalAddr::default(), RemoteAddr::default());
    let parts: RequestParts = (parts, addresses.0, addresses.1, Scheme::HTTP).into();
    let answered = endpoint
        .call(poem::Request::from_parts(parts, Body::from(body)))
        .await;
    let pattern = match &answered {
        Ok(response) => response.data(),
        Err(error) => error.data(),
    };
    if let Some(route) = published::route(pattern) {
        client.matched(route);
    }
    answered.map(Into::into).map_err(error::from_poem)
}
