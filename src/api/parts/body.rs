//! Request bodies. Each body is checked against its published schema, so that the document is always correct, and all faults are reported at once.

use chat_sdk::http::json_body_meta;
use poem::{
    Body, Request, RequestBody,
    http::{HeaderMap, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    payload::{Json, Payload},
    registry::{MetaRequest, Registry},
    types::Type,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    api::{
        error::{ApiError, Code},
        openapi::published,
    },
    contract::json_parser::{self, MAX_FAULTS},
    model::{DomainError, FieldError, bounds},
};

/// Request body of type `T`.
pub struct ValidJson<T>(pub T);

impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for ValidJson<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(json_body_meta::<T>())
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let text = receive(request, body).await?;
        Ok(Self(parse(&text).map_err(ApiError::from)?))
    }
}

/// Request body of type `T` with only optional fields; the body itself is optional.
pub struct OptionalJson<T>(pub T);

impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for OptionalJson<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        ValidJson::<T>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            required: false,
            ..json_body_meta::<T>()
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let headers = request.headers();
        let text = collect(headers, body.take()?).await?;
        // Clients send an absent body in several ways: no body, an empty one with a media type, or `null`.
        if matches!(text.trim_ascii(), b"" | b"null") {
            return Ok(Self(parse(b"{}").map_err(ApiError::from)?));
        }
        check_content_type(headers)?;
        Ok(Self(parse(&text).map_err(ApiError::from)?))
    }
}

/// Receives a JSON body within the size limit.
///
/// # Errors
/// Fails if the Content-Type is not JSON, the body is too large, or the client stops sending.
pub async fn receive(request: &Request, body: &mut RequestBody) -> poem::Result<Vec<u8>> {
    check_content_type(request.headers())?;
    collect(request.headers(), body.take()?).await
}

/// Parses a body with the published schema `schema`.
///
/// # Errors
/// [`DomainError::Validation`] with every fault.
pub fn read(text: &[u8], schema: &str) -> Result<Value, DomainError> {
    let (mut value, mut faults) =
        json_parser::parse(text).map_err(|fault| DomainError::Validation(vec![fault]))?;
    published::normalise(schema, &mut value);
    faults.extend(published::find_faults(schema, &value));
    faults.truncate(MAX_FAULTS);
    if faults.is_empty() {
        Ok(value)
    } else {
        Err(DomainError::Validation(faults))
    }
}

/// Parses a body of type `T`.
///
/// # Errors
/// [`DomainError::Validation`] with every fault.
pub fn parse<T: Type + DeserializeOwned>(text: &[u8]) -> Result<T, DomainError> {
    let (value, faults) =
        json_parser::parse(text).map_err(|fault| DomainError::Validation(vec![fault]))?;
    check(value, faults)
}

/// Converts `value`, in which `faults` were found already, to a `T`.
///
/// # Errors
/// [`DomainError::Validation`] with every fault.
pub fn check<T: Type + DeserializeOwned>(
    mut value: Value,
    mut faults: Vec<FieldError>,
) -> Result<T, DomainError> {
    published::normalise(&T::name(), &mut value);
    faults.extend(published::find_faults(&T::name(), &value));
    if faults.is_empty() {
        match serde_json::from_value(value) {
            Ok(body) => return Ok(body),
            // The error text may quote the content.
            Err(_) => faults.push(FieldError::new(
                "body",
                "does not have the form that /api/docs describes",
            )),
        }
    }
    faults.truncate(MAX_FAULTS);
    Err(DomainError::Validation(faults))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(<Json<Value> as Payload>::check_content_type);
    if is_json && !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::UnsupportedMediaType,
        "The body must be JSON without compression: send it with Content-Type: application/json.",
    ))
}

async fn collect(headers: &HeaderMap, body: Body) -> poem::Result<Vec<u8>> {
    let limit = bounds::REQUEST_BODY;
    if announced_length(headers).is_some_and(|length| length > limit as u64) {
        return Err(ApiError::body_too_large().into());
    }
    Ok(body.into_bytes_limit(limit).await?.into())
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    length.parse().ok()
}

#[cfg(test)]
mod tests {
    use chat_sdk::commands::{
        conversations::{CreateConversation, UpdateConversation},
        messages::{SendDirectMessage, SendMessage},
    };

    use super::*;
    use crate::api::openapi::published::tests::register;

    fn parse<T: Type + DeserializeOwned>(text: &[u8]) -> Result<T, DomainError> {
        register();
        super::parse(text)
    }

    fn faults<T: Type + DeserializeOwned>(text: &str) -> Vec<(String, String)> {
        match parse::<T>(text.as_bytes()) {
            Err(DomainError::Validation(faults)) => faults
                .into_iter()
                .map(|fault| (fault.field, fault.message.into_owned()))
                .collect(),
            Err(error) => panic!("{error}"),
            Ok(_) => Vec::new(),
        }
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn all_faults_are_reported_at_once_without_quotes() {
        let mut found = faults::<CreateConversation>(
            r#"{"type":"secret","participantIds":["bob",7,"me","a\u0000b"],"name":"","colour":"red",
                "metadata":[],"historyVisibility":null,"avatarUrl":1,"avatarUrl":"x"}"#,
        );
        found.sort();
        assert_eq!(
            found,
            pairs(&[
                ("avatarUrl", "must be given once"),
                ("colour", "is not a known field"),
                ("metadata", "must be an object"),
                ("name", "must have at least 1 character"),
                ("participantIds[1]", "must be a string"),
                (
                    "participantIds[2]",
                    "must not be one of the reserved words me, search, sync, system, all, here, . and .."
                ),
                (
                    "participantIds[3]",
                    "must be a user id without control characters"
                ),
                ("type", "must be one of direct, group, public"),
            ])
        );
    }

    #[test]
    fn faults_of_nested_objects_have_their_place() {
        let text = r#"{"attachments":[{"url":"","size":-1,"colour":1},{}],"replyTo":"msg_1","type":"loud",
            "mentions":["a","a"],"metadata":{"a":{"b":["x\u0000"]}}}"#;
        let mut found = faults::<SendMessage>(text);
        found.sort();
        assert_eq!(
            found,
            pairs(&[
                ("attachments[0].colour", "is not a known field"),
                ("attachments[0].size", "must be at least 0"),
                ("attachments[0].url", "must have at least 1 character"),
                ("attachments[1].url", "is required"),
                ("mentions", "must not have the same item twice"),
                ("metadata.a.b[0]", "must not contain the character U+0000"),
                (
                    "replyTo",
                    "must be a message id: msg_ and 26 lower-case letters or digits"
                ),
                ("type", "must be one of text, custom"),
            ])
        );
    }

    #[test]
    fn a_body_of_the_wrong_kind_is_one_fault() {
        assert_eq!(
            faults::<SendMessage>("[]"),
            pairs(&[("body", "must be an object")])
        );
        assert_eq!(
            faults::<SendMessage>(" "),
            pairs(&[("body", "must not be empty; send JSON")])
        );
        assert_eq!(
            faults::<SendDirectMessage>("{}"),
            pairs(&[("receiverId", "is required")])
        );
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_point_or_an_exponent() {
        let body: SendMessage = parse(
            br#"{"ttlSeconds":6e1,"attachments":[{"url":"a","size":1E3}],"metadata":{"a":[1.0]}}"#,
        )
        .expect("valid");
        assert_eq!(body.ttl_seconds, Some(60));
        assert_eq!(body.attachments.expect("attachments")[0].size, Some(1000));
        let metadata = body.metadata.expect("metadata");
        assert!(metadata.as_map()["a"][0].is_f64(), "the host's own stays");
        let body: SendMessage = parse(
            br#"{"attachments":[{"url":"a","size":9223372036854775807},{"url":"b","size":1e18}]}"#,
        )
        .expect("valid");
        let sizes: Vec<_> = body.attachments.expect("attachments");
        assert_eq!(
            (sizes[0].size, sizes[1].size),
            (Some(i64::MAX), Some(1_000_000_000_000_000_000))
        );
        for (text, problem) in [
            (r#"{"ttlSeconds":1.5}"#, "must be a whole number"),
            (r#"{"ttlSeconds":1e300}"#, "must be at most 31622400"),
            (
                r#"{"ttlSeconds":18446744073709551616}"#,
                "must be at most 31622400",
            ),
        ] {
            assert_eq!(
                faults::<SendMessage>(text),
                pairs(&[("ttlSeconds", problem)])
            );
        }
        for number in ["9223372036854775808", "9223372036854775808.0", "1e300"] {
            let text = format!(r#"{{"attachments":[{{"url":"a","size":{number}}}]}}"#);
            let problem = "must be at most 9223372036854775807";
            assert_eq!(
                faults::<SendMessage>(&text),
                pairs(&[("attachments[0].size", problem)]),
                "{number}"
            );
        }
    }

    #[test]
    fn null_counts_as_absent_except_where_it_clears() {
        let body: SendMessage = parse(
            br#"{"content":null,"type":null,"metadata":null,"attachments":[{"url":"a","name":null}]}"#,
        )
        .expect("valid");
        assert!(body.content.is_none() && body.metadata.is_none());
        assert_eq!(
            faults::<SendDirectMessage>(r#"{"receiverId":null}"#).len(),
            1
        );
        let body: CreateConversation = parse(
            br#"{"type":"group","participantIds":[],"features":{"reads":null,"typing":false}}"#,
        )
        .expect("valid");
        let features = body.features.expect("features");
        assert_eq!((features.reads, features.typing), (None, Some(false)));
    }

    #[test]
    fn valid_bodies_are_parsed_completely() {
        let body: SendDirectMessage =
            parse(br#"{"receiverId":"bob","content":"hi","type":null,"clientMessageId":"1"}"#)
                .expect("valid");
        assert_eq!(body.receiver_id.0.as_str(), "bob");
        assert_eq!(body.message.content.as_deref(), Some("hi"));
        let change: UpdateConversation =
            parse(br#"{"name":null,"metadata":{"a":1}}"#).expect("valid");
        assert_eq!(change.name, chat_sdk::Patch::Clear);
        assert!(change.avatar_url.is_keep());
        assert!(change.metadata.value().is_some());
    }
}
