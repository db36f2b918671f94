//! Successful answers. They are written straight from the nouns, so that their fields keep their order and nothing is copied on the way.
//!
//! Those that plugins give too are in the sdk; here is what the core alone answers.

use chat_sdk::http::{described, respond};
use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse,
    registry::{MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

pub use chat_sdk::http::{Created, Json, NoContent};

/// 201 with what was made, or 200 with what was there already.
pub struct Upserted<T> {
    /// Whether it was made by this request.
    pub is_new: bool,
    /// The thing.
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
                described::<T>(StatusCode::CREATED, "What was made."),
                described::<T>(StatusCode::OK, "What was there already."),
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
    async fn an_answer_that_cannot_be_encoded_has_the_shape_of_all_errors() {
        let told = parts(Json(Unencodable).into_response()).await;
        let shape = parts(ApiError::internal("a test").as_response()).await;
        assert_eq!(told, shape);
    }
}
