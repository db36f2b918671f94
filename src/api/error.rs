//! Errors of poem as errors of the service, and the schema of errors in the OpenAPI document.

use std::io::ErrorKind;

use poem::{
    Response,
    error::{MethodNotAllowedError, NotFoundError, ParsePathError, ReadBodyError, ResponseError},
    http::StatusCode,
};
use poem_openapi::{
    ApiResponse,
    error::ParseParamError,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use super::openapi::published;
use crate::model::DomainError;

pub use crate::http::error::{ApiError, Code, ErrorBody, FieldFault};

/// Converts the error of an endpoint.
pub fn from_poem(error: poem::Error) -> ApiError {
    if error.is::<NotFoundError>() || error.is::<ParsePathError>() {
        return ApiError::new(
            Code::NotFound,
            "There is nothing at this path; /api/docs lists every path.",
        );
    }
    if error.is::<MethodNotAllowedError>() {
        return ApiError::method_not_allowed(&published::allowed_methods(error.data()));
    }
    if let Some(fault) = error.downcast_ref::<ParseParamError>() {
        let problem = chat_sdk::http::query_problem(false, &fault.reason);
        return DomainError::invalid(fault.name, problem).into();
    }
    if let Some(fault) = error.downcast_ref::<ReadBodyError>() {
        return match fault {
            ReadBodyError::PayloadTooLarge => ApiError::body_too_large(),
            ReadBodyError::Io(error) if error.kind() == ErrorKind::TimedOut => {
                ApiError::body_too_slow()
            }
            _ => DomainError::invalid("body", "could not be read to its end").into(),
        };
    }
    let error = match error.downcast::<chat_sdk::http::ApiError>() {
        Ok(refusal) => return refusal.into(),
        Err(error) => error,
    };
    error.downcast().unwrap_or_else(ApiError::internal)
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn as_response(&self) -> Response {
        self.response().into()
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
