//! Building blocks of a plugin's operations: guards, bodies, answers and errors, in the shape that all operations of the service have.
//!
//! The core implements them: it attaches a [`Gate`] to every request.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use poem::{
    IntoResponse, Request, RequestBody, Response,
    endpoint::BoxEndpoint,
    error::ResponseError,
    http::{Method, StatusCode},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi,
    registry::{
        MetaApi, MetaMediaType, MetaParamIn, MetaRequest, MetaResponse, MetaResponses,
        MetaSchemaRef, Registry,
    },
    types::{ParseFromParameter, Type},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{UserId, plugin::BoxFuture, whole_number};

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
        .ok_or_else(|| Refusal::internal("no gate is attached to the request").into())
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

/// A query parameter. An empty value counts as absent, as for all parameters of the service.
pub struct Query<T>(pub T);

impl<'a, T: ParseFromParameter> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = T::IS_REQUIRED;

    type ParamType = T;
    type ParamRawType = T::RawValueType;

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(T::schema_ref())
    }

    fn param_raw_type(&self) -> Option<&Self::ParamRawType> {
        self.0.as_raw_value()
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<T>,
    ) -> poem::Result<Self> {
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        let refused = |problem: &'static str| Refusal::invalid(options.name, problem);
        let value = query_text(&query, options.name).map_err(refused)?;
        let parsed = T::parse_from_parameters(value);
        // A client may write an integer with an exponent or a decimal point.
        let parsed = match (parsed, value.and_then(whole_number::from_text)) {
            (Err(_), Some(number)) => T::parse_from_parameters([number.to_string()]),
            (parsed, _) => parsed,
        };
        Ok(parsed
            .map(Self)
            .map_err(|fault| refused(query_problem(value.is_none(), &fault.into_message())))?)
    }
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
            Refusal::invalid("body", "does not have the form that /api/docs describes").into()
        })
    }
}

/// Error of a plugin's operation. The core returns it in the shape of all errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The resource does not exist for this caller (404).
    NotFound(Cow<'static, str>),
    /// The state of the resource forbids the operation (409).
    Conflict(Cow<'static, str>),
    /// Invalid fields, each with its fault (400).
    Invalid(Vec<(String, Cow<'static, str>)>),
    /// A component that the operation needs is temporarily unavailable (503).
    Unavailable(Cow<'static, str>),
    /// A fault of the service (500). The text is for the log only.
    Internal(Cow<'static, str>),
}

impl Refusal {
    /// Returns the error for one invalid field.
    pub fn invalid(field: impl Into<String>, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(vec![(field.into(), problem.into())])
    }

    /// Returns the error for a fault of the service; the text is for the log only.
    pub fn internal(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Internal(text.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(text)
            | Self::Conflict(text)
            | Self::Unavailable(text)
            | Self::Internal(text) => f.write_str(text),
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

impl std::error::Error for Refusal {}

impl ResponseError for Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<crate::plugin::HostError> for Refusal {
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

impl From<crate::plugin::DurableError> for Refusal {
    fn from(error: crate::plugin::DurableError) -> Self {
        crate::plugin::HostError::from(error).into()
    }
}

impl From<mongodb::error::Error> for Refusal {
    fn from(error: mongodb::error::Error) -> Self {
        crate::plugin::HostError::from(error).into()
    }
}

/// It declares no responses, because the core adds the error responses of all operations to the document.
impl ApiResponse for Refusal {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: Vec::new(),
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// Response 200 with a JSON body.
pub struct Json<T>(pub T);

/// Response 201 with the created resource as its JSON body.
pub struct Created<T>(pub T);

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

/// Operations of a plugin, or none if it does not run in this process. They are in the document either way.
pub struct Mounted<T>(pub Option<T>);

impl<T: OpenApi> OpenApi for Mounted<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        if let Some(operations) = self.0 {
            operations.add_routes(table);
        }
    }
}
