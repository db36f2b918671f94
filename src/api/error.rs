//! The one format of all HTTP errors, and the mapping of other errors to it.

use std::{borrow::Cow, fmt, io::ErrorKind};

use poem::{
    Response,
    error::{MethodNotAllowedError, NotFoundError, ParsePathError, ReadBodyError, ResponseError},
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Enum, Object,
    error::ParseParamError,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

use crate::{
    auth::AuthError,
    domain::{DomainError, FieldError},
    listener::{BODY_TIMEOUT, MIN_BODY_RATE},
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
    message: Cow<'static, str>,
    details: Vec<FieldError>,
    allow: Option<String>,
    retry_after: u64,
}

impl ApiError {
    /// Creates an error with a message for people.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            allow: None,
            retry_after: RETRY_AFTER_SECONDS,
        }
    }

    /// Sets the time in seconds after which the caller may try again.
    pub fn with_retry_after(self, retry_after: u64) -> Self {
        Self {
            retry_after,
            ..self
        }
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

    /// Converts the error of an endpoint; `allow` returns the methods of the path that matched.
    pub fn from_poem(error: poem::Error, allow: impl FnOnce(&poem::Error) -> String) -> Self {
        if error.is::<NotFoundError>() || error.is::<ParsePathError>() {
            return Self::new(
                Code::NotFound,
                "There is nothing at this path; /api/docs lists every path.",
            );
        }
        if error.is::<MethodNotAllowedError>() {
            let allow = allow(&error);
            return Self {
                message: format!("This path takes {allow} only.").into(),
                allow: Some(allow),
                ..Self::new(Code::MethodNotAllowed, "")
            };
        }
        if let Some(fault) = error.downcast_ref::<ParseParamError>() {
            let problem = chat_sdk::http::query_problem(false, &fault.reason);
            return DomainError::invalid(fault.name, problem).into();
        }
        if let Some(fault) = error.downcast_ref::<ReadBodyError>() {
            return match fault {
                ReadBodyError::PayloadTooLarge => too_large(),
                ReadBodyError::Io(error) if error.kind() == ErrorKind::TimedOut => too_slow(),
                _ => DomainError::invalid("body", "could not be read to its end").into(),
            };
        }
        let error = match error.downcast::<chat_sdk::http::Refusal>() {
            Ok(refusal) => return refusal.into(),
            Err(error) => error,
        };
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::internal(error),
        }
    }

    /// Returns the error code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the body of the response.
    pub fn body(&self) -> ErrorBody {
        let status = self.code.status();
        let details = self
            .details
            .iter()
            .map(|fault| FieldFault {
                field: fault.field.clone(),
                message: fault.message.clone().into_owned(),
            })
            .collect();
        ErrorBody {
            status_code: status.as_u16(),
            error: status.canonical_reason().unwrap_or_default().to_owned(),
            code: self.code,
            message: self.message.clone().into_owned(),
            details: Some(details).filter(|details: &Vec<_>| !details.is_empty()),
        }
    }
}

/// Error for a body that arrives too slowly.
fn too_slow() -> ApiError {
    let message = format!(
        "The body took too long to arrive: send it within {} s, and at least {MIN_BODY_RATE} bytes per second.",
        BODY_TIMEOUT.as_secs(),
    );
    ApiError::new(Code::RequestTimeout, message)
}

/// Error for a body beyond the limit.
pub fn too_large() -> ApiError {
    ApiError::new(
        Code::PayloadTooLarge,
        "The body is too large; send less at once.",
    )
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.code.status()
    }

    fn as_response(&self) -> Response {
        let mut response = Response::builder()
            .status(self.code.status())
            .content_type("application/json");
        if self.code == Code::Unauthorized {
            response = response.header(header::WWW_AUTHENTICATE, "Bearer");
        }
        if matches!(self.code, Code::Unavailable | Code::RateLimited) {
            response = response.header(header::RETRY_AFTER, self.retry_after);
        }
        if self.code == Code::RequestTimeout {
            // Close the connection: the rest of the body would be read as the next request.
            response = response.header(header::CONNECTION, "close");
        }
        if let Some(allow) = &self.allow {
            response = response.header(header::ALLOW, allow);
        }
        // Serialising a struct of strings and numbers cannot fail.
        response.body(serde_json::to_vec(&self.body()).unwrap_or_default())
    }
}

impl From<DomainError> for ApiError {
    fn from(error: DomainError) -> Self {
        let message = error.public_message();
        match error {
            DomainError::NotFound(_) => Self::new(Code::NotFound, message),
            DomainError::Forbidden(_) => Self::new(Code::Forbidden, message),
            DomainError::Conflict(_) => Self::new(Code::Conflict, message),
            DomainError::TooLarge { .. } => Self::new(Code::PayloadTooLarge, message),
            DomainError::Unavailable(_) => Self::new(Code::Unavailable, message),
            DomainError::Internal(text) => Self::internal(text),
            DomainError::Validation(faults) => {
                Self::new(Code::ValidationError, message).with_details(faults)
            }
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let code = match error.is_unavailable() {
            true => Code::Unavailable,
            false => Code::Unauthorized,
        };
        Self::new(code, sentence(&error.to_string()))
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

impl ApiResponse for ApiError {
    /// Returns one response, so that the document has the schema. The builder of the document adds the statuses of each operation.
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The service failed; its log has the cause.",
                status: Some(StatusCode::INTERNAL_SERVER_ERROR.as_u16()),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: "application/json",
                    schema: ErrorBody::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        ErrorBody::register(registry);
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
        let response = ApiError::from(DomainError::store_unavailable()).as_response();
        assert_eq!(response.header("retry-after"), Some("2"));
        let response = ApiError::from(AuthError::Missing).as_response();
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        let refused = poem::Error::from(MethodNotAllowedError);
        let response = ApiError::from_poem(refused, |_| "GET, HEAD".to_owned()).as_response();
        assert_eq!(response.header("allow"), Some("GET, HEAD"));
    }
}
