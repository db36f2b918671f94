//! The one shape of every refusal and failure that leaves by HTTP, and the one mapping to it.

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

/// How long a caller should wait before repeating what could not be done, in seconds.
const RETRY_AFTER_SECONDS: u64 = 2;

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[oai(rename = "ErrorCode", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The caller did not prove who they are.
    Unauthorized,
    /// The caller may see the thing, but not do this to it.
    Forbidden,
    /// There is no such thing for this caller.
    NotFound,
    /// The path is right, the method is not; `Allow` names the right ones.
    MethodNotAllowed,
    /// The thing is in a state in which this cannot be done.
    Conflict,
    /// The request is wrong; `details` names every fault.
    ValidationError,
    /// The request took too long to arrive.
    RequestTimeout,
    /// The body is too large, or the event that it would make.
    PayloadTooLarge,
    /// The body is no JSON.
    UnsupportedMediaType,
    /// Too many requests; wait for `Retry-After`.
    RateLimited,
    /// Something that is needed is away for the moment; wait for `Retry-After`.
    Unavailable,
    /// A fault of the service.
    InternalError,
}

impl Code {
    /// The status that goes with the code.
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

/// A fault of one field of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[oai(rename = "FieldError")]
pub struct FieldFault {
    /// Where: `participantIds[2]`, `attachments[0].url`, `limit`; `body` for the whole body.
    pub field: String,
    /// What is wrong there; can be read after the field's name.
    pub message: String,
}

/// A refusal or failure.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(
    rename = "ErrorResponse",
    rename_all = "camelCase",
    skip_serializing_if_is_none
)]
pub struct ErrorBody {
    /// The HTTP status.
    pub status_code: u16,
    /// The HTTP status in words.
    pub error: String,
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong, for people.
    pub message: String,
    /// Every fault of the request that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<FieldFault>>,
}

/// A refusal or failure on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    code: Code,
    message: Cow<'static, str>,
    details: Vec<FieldError>,
    allow: Option<String>,
    retry_after: u64,
}

impl ApiError {
    /// A refusal with a sentence for people.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            allow: None,
            retry_after: RETRY_AFTER_SECONDS,
        }
    }

    /// The same with the seconds after which the caller may try again.
    pub fn with_retry_after(self, retry_after: u64) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// The same with the parts that are at fault.
    pub fn with_details(self, details: Vec<FieldError>) -> Self {
        Self { details, ..self }
    }

    /// A fault of the service. What is said to the log is never said to the caller.
    pub fn internal(log: impl fmt::Display) -> Self {
        tracing::error!(error = %log, "a request failed");
        Self::new(
            Code::InternalError,
            "Something went wrong in the service; its log has more under the X-Request-Id of this answer.",
        )
    }

    /// Whatever an endpoint failed with; `allow` gives the methods of the path that was matched.
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

    /// What went wrong, for programs.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The answer's body.
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

/// A body that arrives too slowly.
fn too_slow() -> ApiError {
    let message = format!(
        "The body took too long to arrive: send it within {} s, and at least {MIN_BODY_RATE} bytes per second.",
        BODY_TIMEOUT.as_secs(),
    );
    ApiError::new(Code::RequestTimeout, message)
}

/// A body beyond the limit.
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
            // The rest of the body would be taken for the next request.
            response = response.header(header::CONNECTION, "close");
        }
        if let Some(allow) = &self.allow {
            response = response.header(header::ALLOW, allow);
        }
        // A struct of texts and numbers always becomes JSON.
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

/// A capital letter in front and a full stop behind.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}

impl ApiResponse for ApiError {
    /// One entry, so that the shape is in the document; which statuses an operation has is added by the document's builder.
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "A fault of the service.",
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
    fn what_is_for_the_log_stays_there() {
        let body = ApiError::from(DomainError::Internal("password 123".into())).body();
        assert_eq!(body.status_code, 500);
        assert!(!body.message.contains("123"));
    }

    #[test]
    fn faults_are_named_in_the_contracts_shape() {
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
    fn headers_say_what_to_do_next() {
        let response = ApiError::from(DomainError::store_unavailable()).as_response();
        assert_eq!(response.header("retry-after"), Some("2"));
        let response = ApiError::from(AuthError::Missing).as_response();
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        let refused = poem::Error::from(MethodNotAllowedError);
        let response = ApiError::from_poem(refused, |_| "GET, HEAD".to_owned()).as_response();
        assert_eq!(response.header("allow"), Some("GET, HEAD"));
    }
}
