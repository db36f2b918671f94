//! Answers of the event stream's path that are no stream.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};
use serde_json::json;

use super::super::{
    frame::FrameError,
    handshake::{Answer, refusal},
};
use crate::{auth::AuthError, domain::DomainError};

/// `Retry-After` of a refused client, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

pub(super) fn unauthorized(error: AuthError) -> Answer {
    let text = error.to_string();
    let mut message = text[..1].to_uppercase() + &text[1..];
    message.push('.');
    if error.is_unavailable() {
        return later(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", &message);
    }
    challenged(refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", &message))
}

/// Adds the `WWW-Authenticate` header to a 401.
pub(super) fn challenged(mut answer: Answer) -> Answer {
    if answer.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        let headers = answer.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

pub(super) fn later(status: StatusCode, code: &str, message: &str) -> Answer {
    let mut answer = refusal(status, code, message);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, RETRY_AFTER);
    answer
}

pub(super) fn of_domain(error: DomainError) -> Answer {
    let error = FrameError::from(error);
    match error.code {
        "VALIDATION_ERROR" => {
            let mut answer = refusal(StatusCode::BAD_REQUEST, error.code, &error.message);
            let body = json!({
                "statusCode": 400,
                "error": "Bad Request",
                "code": error.code,
                "message": error.message,
                "details": error.details,
            });
            let body = http_body_util::Full::new(Bytes::from(body.to_string()));
            *answer.body_mut() = body.map_err(|never| match never {}).boxed();
            answer
        }
        "UNAVAILABLE" => later(StatusCode::SERVICE_UNAVAILABLE, error.code, &error.message),
        code => refusal(StatusCode::INTERNAL_SERVER_ERROR, code, &error.message),
    }
}
