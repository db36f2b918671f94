//! Successful answers. They are written straight from the nouns, so that their fields keep their order and nothing is copied on the way.

use poem::{IntoResponse, Response, error::ResponseError, http::StatusCode};
use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

use super::error::ApiError;

/// 200 with a body.
pub struct Json<T>(pub T);

/// 201 with what was made.
pub struct Created<T>(pub T);

/// 201 with what was made, or 200 with what was there already.
pub struct Upserted<T> {
    /// Whether it was made by this request.
    pub is_new: bool,
    /// The thing.
    pub body: T,
}

/// 204: done, and there is nothing to say about it.
pub struct NoContent;

pub(super) fn respond(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(json) => Response::builder()
            .status(status)
            .content_type("application/json")
            .body(json),
        Err(error) => ApiError::internal(error).as_response(),
    }
}

pub(super) fn described<T: Type>(status: StatusCode, description: &'static str) -> MetaResponse {
    MetaResponse {
        description,
        status: Some(status.as_u16()),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "application/json",
            schema: T::schema_ref(),
        }],
        headers: Vec::new(),
    }
}

impl<T: Serialize + Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        respond(StatusCode::OK, &self.0)
    }
}

impl<T: Type> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![described::<T>(StatusCode::OK, "What was asked for.")],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        respond(StatusCode::CREATED, &self.0)
    }
}

impl<T: Type> ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![described::<T>(StatusCode::CREATED, "What was made.")],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Upserted<T> {
    fn into_response(self) -> Response {
        let status = match self.is_new {
            true => StatusCode::CREATED,
            false => StatusCode::OK,
        };
        respond(status, &self.body)
    }
}

impl<T: Type> ApiResponse for Upserted<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![
                described::<T>(StatusCode::CREATED, "What was made."),
                described::<T>(StatusCode::OK, "What was there already."),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl ApiResponse for NoContent {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Done.",
                status: Some(StatusCode::NO_CONTENT.as_u16()),
                status_range: None,
                content: Vec::new(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
