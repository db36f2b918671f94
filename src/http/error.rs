//! The one format of all HTTP errors, and the mapping of other errors to it.
//!
//! The derived schemas are part of the OpenAPI document; nothing here depends on the framework of a role.

use std::{borrow::Cow, fmt};

use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use poem_openapi::{Enum, Object};
use serde::Serialize;

use super::{
    Response,
    limits::RateLimited,
    listener::{BODY_TIMEOUT, MIN_BODY_RATE},
};
use crate::{
    auth::AuthError,
    model::{DomainError, FieldError},
};

/// Time after which a caller should repeat a request that got 503, in seconds.
const RETRY_AFTER_SECONDS: u64 = 2;

/// Error code, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[oai(rename = "ErrorCode", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The token or the internal secret is missing or invalid.
    Unauthorized,
    /// The caller can see the resource but is not allowed to do this.
    Forbidden,
    /// The resource does not exist or is not visible to the caller.
    NotFound,
    /// The path does not support the method; the header `Allow` names the supported ones.
    MethodNotAllowed,
    /// The state of the resource does not allow the operation.
    Conflict,
    /// The request is invalid; `details` names every invalid field.
    ValidationError,
    /// The request took too long to arrive.
    RequestTimeout,
    /// The body is too large, or the event of the change would be.
    PayloadTooLarge,
    /// The Content-Type of the body is not JSON, or the body is compressed.
    UnsupportedMediaType,
    /// The caller exceeds a rate limit; wait for `Retry-After`.
    RateLimited,
    /// A dependency is temporarily unavailable; wait for `Retry-After`.
    Unavailable,
    /// The service failed; its log has the cause.
    InternalError,
}

impl Code {
    /// Returns the code of the errors with the HTTP status that operations declare.
    pub fn of_status(status: u16) -> Option<Self> {
        match status {
            403 => Some(Self::Forbidden),
            404 => Some(Self::NotFound),
            409 => Some(Self::Conflict),
            413 => Some(Self::PayloadTooLarge),
            _ => None,
        }
    }

    /// Returns the HTTP status of the code.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::ValidationError => StatusCode::BAD_REQUEST,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Problem of one field of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[oai(rename = "FieldError")]
pub struct FieldFault {
    /// Path of the field, for example `participantIds[2]`, `attachments[0].url`, `limit`; `body` for the whole body.
    pub field: String,
    /// Problem as a text that can be read after the name of the field.
    pub message: String,
}

/// Error response.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(
    rename = "ErrorResponse",
    rename_all = "camelCase",
    skip_serializing_if_is_none
)]
pub struct ErrorBody {
    /// HTTP status code.
    pub status_code: u16,
    /// Name of the HTTP status.
    pub error: String,
    /// Error code, for programs.
    pub code: Code,
    /// Error message, for people.
    pub message: String,
    /// Problems of the request, one per field; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<FieldFault>>,
}

/// Error that becomes an HTTP response.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    code: Code,
    status: StatusCode,
    message: Cow<'static, str>,
    details: Vec<FieldError>,
    /// Headers beside those of every response.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// Creates an error with a message for people.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let error = Self {
            code,
            status: code.status(),
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
        };
        match code {
            Code::Unauthorized => error.with_header(header::WWW_AUTHENTICATE, "Bearer"),
            // Close the connection: the rest of the body would be read as the next request.
            Code::RequestTimeout => error.with_header(header::CONNECTION, "close"),
            Code::Unavailable | Code::RateLimited => error.with_retry_after(RETRY_AFTER_SECONDS),
            _ => error,
        }
    }

    /// Sets another status than that of the code.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Sets a header of the response.
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.retain(|(known, _)| *known != name);
            self.headers.push((name, value));
        }
        self
    }

    /// Sets the time in seconds after which the caller may try again.
    pub fn with_retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// Sets the problems of the fields.
    pub fn with_details(self, details: Vec<FieldError>) -> Self {
        Self { details, ..self }
    }

    /// Creates an internal error. `log` goes to the log and never to the caller.
    pub fn internal(log: impl fmt::Display) -> Self {
        tracing::error!(error = %log, "request failed");
        Self::new(
            Code::InternalError,
            "Something went wrong in the service; its log has more under the X-Request-Id of this answer.",
        )
    }

    /// Creates the error for a path that supports only the methods `allow`, in the form of the header `Allow`.
    pub fn method_not_allowed(allow: &str) -> Self {
        let message = format!("This path takes {allow} only.");
        Self::new(Code::MethodNotAllowed, message).with_header(header::ALLOW, allow)
    }

    /// Creates the error for a page of an origin that may not connect.
    pub fn foreign_origin() -> Self {
        Self::new(Code::Forbidden, "Pages of this origin may not connect.")
    }

    /// Creates the error for a body that arrives too slowly.
    pub fn body_too_slow() -> Self {
        let message = format!(
            "The body took too long to arrive: send it within {} s, and at least {MIN_BODY_RATE} bytes per second.",
            BODY_TIMEOUT.as_secs(),
        );
        Self::new(Code::RequestTimeout, message)
    }

    /// Creates the error for a body beyond the limit.
    pub fn body_too_large() -> Self {
        Self::new(
            Code::PayloadTooLarge,
            "The body is too large; send less at once.",
        )
    }

    /// Returns the error code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the body of the response.
    pub fn body(&self) -> ErrorBody {
        let details = self
            .details
            .iter()
            .map(|fault| FieldFault {
                field: fault.field.clone(),
                message: fault.message.clone().into_owned(),
            })
            .collect();
        ErrorBody {
            status_code: self.status.as_u16(),
            error: self
                .status
                .canonical_reason()
                .unwrap_or_default()
                .to_owned(),
            code: self.code,
            message: self.message.clone().into_owned(),
            details: Some(details).filter(|details: &Vec<_>| !details.is_empty()),
        }
    }

    /// Returns the headers and the body of the response.
    pub fn parts(&self) -> (HeaderMap, Vec<u8>) {
        let mut headers: HeaderMap = self.headers.iter().cloned().collect();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        // Serialising a struct of strings and numbers cannot fail.
        (
            headers,
            serde_json::to_vec(&self.body()).unwrap_or_default(),
        )
    }

    /// Returns the response.
    pub fn response(&self) -> Response {
        let (headers, body) = self.parts();
        let mut response = Response::new(super::body(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<DomainError> for ApiError {
    fn from(error: DomainError) -> Self {
        let message = error.public_message();
        let details = error.details();
        match error {
            DomainError::NotFound(_) => Self::new(Code::NotFound, message),
            DomainError::Forbidden(_) | DomainError::Refused { .. } => {
                Self::new(Code::Forbidden, message).with_details(details)
            }
            DomainError::Conflict(_) => Self::new(Code::Conflict, message),
            DomainError::TooLarge { .. } => Self::new(Code::PayloadTooLarge, message),
            DomainError::Unavailable(_) => Self::new(Code::Unavailable, message),
            DomainError::Internal(text) => Self::internal(text),
            DomainError::Validation(_) => {
                Self::new(Code::ValidationError, message).with_details(details)
            }
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let code = if error.is_unavailable() {
            Code::Unavailable
        } else {
            Code::Unauthorized
        };
        Self::new(code, sentence(&error.to_string()))
    }
}

impl From<RateLimited> for ApiError {
    fn from(refused: RateLimited) -> Self {
        Self::new(Code::RateLimited, refused.to_string())
            .with_retry_after(refused.retry_after_seconds())
    }
}

/// Returns the text with a capital first letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: impl Into<ApiError>) -> (u16, Code) {
        let body = error.into().body();
        (body.status_code, body.code)
    }

    #[test]
    fn every_domain_error_has_its_status() {
        assert_eq!(of(DomainError::no_message()), (404, Code::NotFound));
        assert_eq!(
            of(DomainError::Forbidden("no".into())),
            (403, Code::Forbidden)
        );
        assert_eq!(
            of(DomainError::Conflict("no".into())),
            (409, Code::Conflict)
        );
        let too_large = DomainError::TooLarge { size: 2, limit: 1 };
        assert_eq!(of(too_large), (413, Code::PayloadTooLarge));
        assert_eq!(
            of(DomainError::store_unavailable()),
            (503, Code::Unavailable)
        );
        assert_eq!(
            of(DomainError::invalid("a", "b")),
            (400, Code::ValidationError)
        );
        assert_eq!(of(AuthError::Expired), (401, Code::Unauthorized));
        assert_eq!(of(AuthError::KeysUnavailable), (503, Code::Unavailable));
    }

    #[test]
    fn internal_errors_do_not_reach_the_caller() {
        let body = ApiError::from(DomainError::Internal("password 123".into())).body();
        assert_eq!(body.status_code, 500);
        assert!(!body.message.contains("123"));
    }

    #[test]
    fn validation_errors_have_the_format_of_the_contract() {
        let error = ApiError::from(DomainError::invalid(
            "participantIds[2]",
            "is not a known user",
        ));
        let json = serde_json::to_value(error.body()).expect("serialises");
        assert_eq!(
            json,
            serde_json::json!({
                "statusCode": 400, "error": "Bad Request", "code": "VALIDATION_ERROR",
                "message": "participantIds[2] is not a known user.",
                "details": [{ "field": "participantIds[2]", "message": "is not a known user" }],
            })
        );
    }

    #[test]
    fn errors_have_their_headers() {
        for (error, name, value) in [
            (
                DomainError::store_unavailable().into(),
                header::RETRY_AFTER,
                "2",
            ),
            (
                AuthError::Missing.into(),
                header::WWW_AUTHENTICATE,
                "Bearer",
            ),
            (
                ApiError::method_not_allowed("GET, HEAD"),
                header::ALLOW,
                "GET, HEAD",
            ),
        ] {
            assert_eq!(error.response().headers()[name], value);
        }
    }
}
