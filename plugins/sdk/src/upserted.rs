//! The response of an operation that creates a resource or finds it.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse,
    registry::{MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

use crate::http::{described, respond};

/// Response 201 with a new resource, or 200 with an existing one.
pub struct Upserted<T> {
    /// True if this request created the resource.
    pub is_new: bool,
    /// The resource.
    pub body: T,
}

impl<T: Serialize + Send> IntoResponse for Upserted<T> {
    fn into_response(self) -> Response {
        let status = if self.is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        respond(status, &self.body)
    }
}

impl<T: Type> ApiResponse for Upserted<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![
                described::<T>(StatusCode::CREATED, "The new resource."),
                described::<T>(StatusCode::OK, "The existing resource."),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}
