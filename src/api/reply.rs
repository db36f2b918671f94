//! Success responses. They are serialised directly from the resources, so that fields keep their order and nothing is copied.
//!
//! Responses that plugins return too are in the sdk; this module has those of the core alone.

use chat_sdk::http::{described, respond};
use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse,
    registry::{MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

pub use chat_sdk::http::{Created, Json, NoContent};

/// Response 201 with a new resource, or 200 with an existing one.
pub struct Upserted<T> {
    /// True if this request created the resource.
    pub is_new: bool,
    /// The resource.
    pub body: T,
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
                described::<T>(StatusCode::CREATED, "The new resource."),
                described::<T>(StatusCode::OK, "The existing resource."),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use poem::error::ResponseError;

    use super::*;
    use crate::api::ApiError;

    struct Unencodable;

    impl Serialize for Unencodable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("cannot be encoded"))
        }
    }

    async fn parts(response: Response) -> (StatusCode, Option<String>, String) {
        let content_type = response.content_type().map(str::to_owned);
        let status = response.status();
        let text = response.into_body().into_string().await.expect("a text");
        (status, content_type, text)
    }

    #[tokio::test]
    async fn a_response_that_cannot_be_encoded_is_a_standard_error() {
        let told = parts(Json(Unencodable).into_response()).await;
        let shape = parts(ApiError::internal("a test").as_response()).await;
        assert_eq!(told, shape);
    }
}
