//! Success responses, which the core and plugins share. They are serialised directly from the resources, so that fields keep their order and nothing is copied.

pub use chat_sdk::http::{Created, Json, NoContent, Upserted};

#[cfg(test)]
mod tests {
    use poem::{IntoResponse, Response, error::ResponseError, http::StatusCode};
    use serde::Serialize;

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
