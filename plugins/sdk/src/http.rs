//! Building blocks of a plugin's operations: guards, bodies, answers and errors, in the shape that all operations of the service have.
//!
//! The core implements them: it attaches a [`Gate`] to every request.

use std::{borrow::Cow, fmt, marker::PhantomData, net::IpAddr, sync::Arc, time::Duration};

use poem::{IntoResponse, Request, RequestBody, Response, error::ResponseError, http::StatusCode};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, MetaResponse, MetaResponses, Registry},
    types::{ParseFromParameter, Type},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use crate::upserted::Upserted;
use crate::{
    UserId,
    commands::Command,
    plugin::{BoxFuture, ChatError},
    whole_number,
};

/// Name of the security scheme for users in the OpenAPI document.
pub const BEARER: &str = "bearer";
/// Name of the security scheme for the host's backend in the OpenAPI document.
pub const INTERNAL: &str = "internalSecret";

/// Authentication and validation that the core does for the operations of plugins.
pub trait Gate: Send + Sync {
    /// Fails unless the request comes from the host's backend.
    fn host<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, poem::Result<()>>;
    /// Returns the calling user, or the user that the host acts for.
    fn user<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, poem::Result<UserId>>;
    /// Returns the address of the client, behind all trusted proxies; for IPv6 the network that one client can hold.
    fn address(&self, request: &Request) -> poem::Result<IpAddr>;
    /// Reads a body and validates it against the published schema of that name.
    fn body<'a>(
        &'a self,
        request: &'a Request,
        body: &'a mut RequestBody,
        schema: &'a str,
    ) -> BoxFuture<'a, poem::Result<Value>>;
}

/// Handle of the gate, which the core attaches to requests.
#[derive(Clone)]
pub struct GateHandle(pub Arc<dyn Gate>);

fn gate(request: &Request) -> poem::Result<&GateHandle> {
    request
        .data::<GateHandle>()
        .ok_or_else(|| ApiError::internal("no gate is attached to the request").into())
}

/// Guard: the host's backend, without an acting user.
pub struct AsHost;

/// Guard: a user, or the host with an acting user.
pub struct AsUser(pub UserId);

impl<'a> ApiExtractor<'a> for AsHost {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn security_schemes() -> Vec<&'static str> {
        vec![INTERNAL]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        gate(request)?.0.host(request).await?;
        Ok(Self)
    }
}

impl<'a> ApiExtractor<'a> for AsUser {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn security_schemes() -> Vec<&'static str> {
        vec![BEARER, INTERNAL]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(gate(request)?.0.user(request).await?))
    }
}

/// Address of the client, for limits of operations without a token: an IPv4 address, or the /64 of an IPv6 address.
///
/// It follows `TRUSTED_PROXIES`. A request that comes from no connection has an unspecified address.
pub struct ClientAddress(pub IpAddr);

impl<'a> ApiExtractor<'a> for ClientAddress {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::PoemExtractor];

    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(gate(request)?.0.address(request)?))
    }
}

/// Returns the description of a required JSON body for the document.
pub fn json_body_meta<T: Type>() -> MetaRequest {
    MetaRequest {
        description: None,
        content: vec![json_media::<T>()],
        required: true,
    }
}

fn json_media<T: Type>() -> MetaMediaType {
    MetaMediaType {
        content_type: "application/json",
        schema: T::schema_ref(),
    }
}

/// Implements the extractor `$name<T>` of one parameter in `$place` of the request. `$parse` returns a `T` for the name of the parameter.
#[macro_export]
macro_rules! parameter {
    ($name:ident, $bound:path, $place:ident, $parse:path) => {
        impl<'a, T: $bound> poem_openapi::ApiExtractor<'a> for $name<T> {
            const TYPES: &'static [poem_openapi::ApiExtractorType] =
                &[poem_openapi::ApiExtractorType::Parameter];
            const PARAM_IS_REQUIRED: bool = T::IS_REQUIRED;

            type ParamType = T;
            type ParamRawType = T::RawValueType;

            fn register(registry: &mut poem_openapi::registry::Registry) {
                T::register(registry);
            }

            fn param_in() -> Option<poem_openapi::registry::MetaParamIn> {
                Some(poem_openapi::registry::MetaParamIn::$place)
            }

            fn param_schema_ref() -> Option<poem_openapi::registry::MetaSchemaRef> {
                Some(T::schema_ref())
            }

            fn param_raw_type(&self) -> Option<&Self::ParamRawType> {
                self.0.as_raw_value()
            }

            async fn from_request(
                request: &'a poem::Request,
                _body: &mut poem::RequestBody,
                options: poem_openapi::ExtractParamOptions<T>,
            ) -> poem::Result<Self> {
                $parse(request, options.name).map(Self)
            }
        }
    };
}

/// A query parameter. An empty value counts as absent, as for all parameters of the service.
pub struct Query<T>(pub T);

parameter!(Query, ParseFromParameter, Query, parse_query);

fn parse_query<T: ParseFromParameter>(request: &Request, name: &str) -> poem::Result<T> {
    let query: Vec<(String, String)> = request.params().unwrap_or_default();
    let refused = |problem: &'static str| ApiError::invalid(name, problem);
    let value = query_text(&query, name).map_err(refused)?;
    let parsed = T::parse_from_parameters(value);
    // A client may write an integer with an exponent or a decimal point.
    let parsed = match (parsed, value.and_then(whole_number::from_text)) {
        (Err(_), Some(number)) => T::parse_from_parameters([number.to_string()]),
        (parsed, _) => parsed,
    };
    Ok(parsed.map_err(|fault| refused(query_problem(value.is_none(), &fault.into_message())))?)
}

/// Returns the text of the parameter `name`; `None` if it is absent or empty.
///
/// # Errors
/// The fault of the parameter, if it is repeated or contains U+0000.
pub fn query_text<'q>(
    query: &'q [(String, String)],
    name: &str,
) -> Result<Option<&'q str>, &'static str> {
    let mut values = query
        .iter()
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.as_str());
    // Called by its full name, because `Type` has an `is_empty` too, which is never true.
    let value = values.next().filter(|value| !str::is_empty(value));
    if values.next().is_some() {
        return Err("must be given once");
    }
    match value {
        Some(value) if value.contains('\0') => Err("must not contain the character U+0000"),
        value => Ok(value),
    }
}

/// Returns the fault of a parameter, as a sentence without its value, from the `reason` of poem-openapi.
pub fn query_problem(is_absent: bool, reason: &str) -> &'static str {
    if is_absent {
        "is required"
    } else if reason.contains("enumeration") {
        "must be one of the values that /api/docs lists"
    } else if reason.contains("\"integer") {
        "must be a whole number, not below 0 and not too large"
    } else if reason.contains("\"boolean") {
        "must be true or false"
    } else {
        "has the wrong form or is out of range"
    }
}

/// A request body of type `T`, validated against the published schema.
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
        let name = T::name();
        let value = gate(request)?.0.body(request, body, &name).await?;
        // The error itself may quote the content of the body, so it is not returned.
        serde_json::from_value(value).map(Self).map_err(|_| {
            ApiError::invalid("body", "does not have the form that /api/docs describes").into()
        })
    }
}

/// Error of a plugin's operation. The core returns it in the shape of all errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The caller did not prove an identity (401).
    Unauthorized(Cow<'static, str>),
    /// The caller is known and not allowed to do this (403).
    Forbidden(Cow<'static, str>),
    /// The caller exceeds a limit (429).
    RateLimited {
        /// Sentence for the caller.
        message: Cow<'static, str>,
        /// Time until the next request is accepted.
        retry_after: Duration,
    },
    /// The resource does not exist for this caller (404).
    NotFound(Cow<'static, str>),
    /// The state of the resource forbids the operation (409).
    Conflict(Cow<'static, str>),
    /// Invalid fields, each with its fault (400).
    Invalid(Vec<(String, Cow<'static, str>)>),
    /// A component that the operation needs is temporarily unavailable (503).
    Unavailable(Cow<'static, str>),
    /// The error of an operation of the core, with its status, code and details.
    Chat(Box<ChatError>),
    /// A fault of the service (500). The text is for the log only.
    Internal(Cow<'static, str>),
}

impl ApiError {
    /// Returns the error for one invalid field.
    pub fn invalid(field: impl Into<String>, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(vec![(field.into(), problem.into())])
    }

    /// Returns the error for a fault of the service; the text is for the log only.
    pub fn internal(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Internal(text.into())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized(text)
            | Self::Forbidden(text)
            | Self::RateLimited { message: text, .. }
            | Self::NotFound(text)
            | Self::Conflict(text)
            | Self::Unavailable(text)
            | Self::Internal(text) => f.write_str(text),
            Self::Chat(error) => f.write_str(&error.message),
            Self::Invalid(faults) => {
                let faults: Vec<String> = faults
                    .iter()
                    .map(|(field, problem)| format!("{field} {problem}"))
                    .collect();
                f.write_str(&faults.join("; "))
            }
        }
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Chat(error) => {
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        Self::Chat(Box::new(error))
    }
}

impl From<crate::plugin::HostError> for ApiError {
    fn from(error: crate::plugin::HostError) -> Self {
        use crate::plugin::HostError;
        match error {
            HostError::Unavailable(_) => Self::Unavailable(
                "The database or the broker did not answer in time; repeat the request.".into(),
            ),
            HostError::NoKey => Self::Conflict(
                "The service stores no secrets without SECRETS_KEY; set it and restart.".into(),
            ),
            HostError::Sealed => Self::Internal(error.to_string().into()),
        }
    }
}

impl From<crate::plugin::DurableError> for ApiError {
    fn from(error: crate::plugin::DurableError) -> Self {
        crate::plugin::HostError::from(error).into()
    }
}

/// It declares no responses, because the core adds the error responses of all operations to the document.
impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: Vec::new(),
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// Statuses of the errors that an operation can return beside those of every operation.
pub trait Declares {
    /// The statuses: 403, 404, 409 or 413; also 401, 429 and 503 if the operation has no guard.
    const STATUSES: &'static [u16];
}

/// Declaration of an operation that is no command, for example `Status<403, 409>`.
pub struct Status<const A: u16, const B: u16 = 0, const C: u16 = 0>;

impl<const A: u16, const B: u16, const C: u16> Declares for Status<A, B, C> {
    const STATUSES: &'static [u16] = &[A, B, C];
}

impl<T: Command> Declares for T {
    const STATUSES: &'static [u16] = T::DECLARATION.errors;
}

/// Error of an operation that declares its statuses: those of the command `D`, or a [`Status`].
///
/// The OpenAPI document takes the error responses of the operation from it.
pub struct Fails<D, E = ApiError>(E, PhantomData<fn() -> D>);

impl<D, E> Fails<D, E> {
    /// Wraps the error.
    pub fn new(error: E) -> Self {
        Self(error, PhantomData)
    }
}

impl<D, E: Into<poem::Error>> From<Fails<D, E>> for poem::Error {
    fn from(error: Fails<D, E>) -> Self {
        error.0.into()
    }
}

/// Error of a plugin's operation that can also fail because of the state of the resource (409).
pub type Conflicting = Fails<Status<409>>;

impl<D, E> From<E> for Fails<D>
where
    ApiError: From<E>,
{
    fn from(error: E) -> Self {
        Self::new(error.into())
    }
}

impl<D: Declares, E: ApiResponse> ApiResponse for Fails<D, E> {
    fn meta() -> MetaResponses {
        let declared = D::STATUSES.iter().filter(|status| **status != 0);
        let mut meta = E::meta();
        // The document replaces each by the error response that all operations share.
        meta.responses.extend(declared.map(|status| MetaResponse {
            description: "",
            status: Some(*status),
            status_range: None,
            content: Vec::new(),
            headers: Vec::new(),
        }));
        meta
    }

    fn register(registry: &mut Registry) {
        E::register(registry);
    }
}

/// Response 200 with a JSON body.
pub struct Json<T>(pub T);

/// Response 201 with the created resource as its JSON body.
pub struct Created<T>(pub T);

/// Response 202 with a JSON body: the request is accepted, and its outcome is not told.
pub struct Accepted<T>(pub T);

/// Response 204: success without a body.
pub struct NoContent;

/// Body of the response if a body cannot be encoded, in the shape of all errors.
const UNENCODABLE: &str = r#"{"statusCode":500,"error":"Internal Server Error","code":"INTERNAL_ERROR","message":"Something went wrong in the service; its log has more under the X-Request-Id of this answer."}"#;

/// Returns a response with a JSON body.
pub fn respond(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(json) => Response::builder()
            .status(status)
            .content_type("application/json")
            .body(json),
        Err(error) => {
            tracing::error!(%error, "response body could not be encoded");
            Response::builder()
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .content_type("application/json")
                .body(UNENCODABLE)
        }
    }
}

/// Returns the description of such a response for the document.
pub fn described<T: Type>(status: StatusCode, description: &'static str) -> MetaResponse {
    MetaResponse {
        description,
        status: Some(status.as_u16()),
        status_range: None,
        content: vec![json_media::<T>()],
        headers: Vec::new(),
    }
}

macro_rules! replies {
    ($($reply:ident, $status:ident, $description:literal;)*) => {$(
        impl<T: Serialize + Send> IntoResponse for $reply<T> {
            fn into_response(self) -> Response {
                respond(StatusCode::$status, &self.0)
            }
        }

        impl<T: Type> ApiResponse for $reply<T> {
            fn meta() -> MetaResponses {
                MetaResponses {
                    responses: vec![described::<T>(StatusCode::$status, $description)],
                }
            }

            fn register(registry: &mut Registry) {
                T::register(registry);
            }
        }
    )*};
}

replies! {
    Json, OK, "The result of the operation.";
    Created, CREATED, "The resource as it was created.";
    Accepted, ACCEPTED, "The request was accepted; its outcome is not told.";
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
                description: "Success, without a body.",
                status: Some(StatusCode::NO_CONTENT.as_u16()),
                status_range: None,
                content: Vec::new(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
