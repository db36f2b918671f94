//! Guards: the authenticated caller as an argument of a handler. A handler without a guard is open to all callers.

use std::sync::Arc;

use chat_sdk::UserId;
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use super::{
    error::{ApiError, Code},
    state::ApiState,
};
pub use crate::http::caller::{ACTING_HEADER, SECRET_HEADER};
use crate::{
    domain::AddedBy,
    http::{
        Client,
        caller::{self, Counted, Local},
    },
};

/// Name of the security scheme of users in the OpenAPI document.
pub const BEARER: &str = chat_sdk::http::BEARER;
/// Name of the security scheme of the host in the OpenAPI document.
pub const INTERNAL: &str = chat_sdk::http::INTERNAL;
/// Number of requests that joining or leaving a conversation counts as.
const JOIN_REQUESTS: u32 = 5;

/// Guard: a user, or the host acting for one.
pub struct AsUser(pub UserId);

/// Guard: a user, or the host acting for one, who sends a message. The request counts against the limit of messages instead of that of requests.
pub struct AsSender(pub UserId);

/// Guard: a user, or the host acting for one, who joins or leaves a conversation. This writes to the log and to documents of all members, and counts as
/// several requests.
pub struct AsJoiner(pub UserId);

/// Guard: a sender of a message, or the host without `X-Acting-User`.
pub struct SenderOrHost(pub Caller);

/// Guard: the host without `X-Acting-User`.
pub struct AsHost;

/// Guard: a user (or the host acting for one), or the host itself.
pub enum Caller {
    /// The host itself.
    Host,
    /// A user.
    User(UserId),
}

/// Tells requests of the host from those of users, with and without `X-Acting-User`. Valid only beside a guard, which has checked the secret.
pub struct ByHost(pub AddedBy);

impl<'a> FromRequest<'a> for ByHost {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let is_host = match local(request) {
            Some(local) => local.is_host(),
            None => request.headers().contains_key(SECRET_HEADER),
        };
        Ok(Self(if is_host {
            AddedBy::Host
        } else {
            AddedBy::User
        }))
    }
}

/// Guard like [`AsUser`] in the document, but without a check: for an operation of another part of the process, which checks by itself.
pub struct Unchecked;

impl Unchecked {
    async fn find(_request: &Request) -> Result<Self, ApiError> {
        Ok(Self)
    }
}

impl AsUser {
    pub(super) async fn find(request: &Request) -> Result<Self, ApiError> {
        required(Caller::find(request).await?).map(Self)
    }
}

impl AsSender {
    async fn find(request: &Request) -> Result<Self, ApiError> {
        required(Caller::find_for(request, Counted::Message).await?).map(Self)
    }
}

impl AsJoiner {
    async fn find(request: &Request) -> Result<Self, ApiError> {
        let AsUser(user) = AsUser::find(request).await?;
        client(request)?.owe(JOIN_REQUESTS - 1);
        Ok(Self(user))
    }
}

impl SenderOrHost {
    async fn find(request: &Request) -> Result<Self, ApiError> {
        Caller::find_for(request, Counted::Message).await.map(Self)
    }
}

impl AsHost {
    /// Accepts only the secret: a token of a user gives no access to operations of the host.
    pub(super) async fn find(request: &Request) -> Result<Self, ApiError> {
        let callers = &state(request)?.callers;
        let client = client(request)?;
        if local(request).is_some_and(Local::is_host) {
            return Ok(Self);
        }
        if callers.is_host(request.headers(), client)? {
            return Ok(Self);
        }
        callers.count_stranger(client)?;
        Err(ApiError::new(
            Code::Unauthorized,
            "This is for the host's backend only, with X-Internal-Secret.",
        ))
    }
}

impl Caller {
    async fn find(request: &Request) -> Result<Self, ApiError> {
        Self::find_for(request, Counted::Request).await
    }

    async fn find_for(request: &Request, what: Counted) -> Result<Self, ApiError> {
        let callers = &state(request)?.callers;
        if let Some(local) = local(request) {
            let Some(user) = local.user() else {
                return Ok(Self::Host);
            };
            callers.check_known(user).await?;
            return Ok(Self::User(user.clone()));
        }
        let (headers, client) = (request.headers(), client(request)?);
        if callers.is_host(headers, client)? {
            let user = callers.acting_user(headers).await?;
            return Ok(user.map_or(Self::Host, Self::User));
        }
        let session = callers.user(caller::bearer(headers), client, what).await?;
        Ok(Self::User(session.user))
    }

    /// Returns the user; `None` for the host.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Host => None,
            Self::User(user) => Some(user),
        }
    }
}

/// Returns the shared state of the HTTP API.
///
/// # Errors
/// [`Code::InternalError`] if the request did not come through [`super::endpoint`].
pub fn state(request: &Request) -> Result<&Arc<ApiState>, ApiError> {
    request
        .data()
        .ok_or_else(|| ApiError::internal("the state is not attached to the request"))
}

/// Returns the client of a request.
///
/// # Errors
/// [`Code::InternalError`] if the request did not come through the edge.
pub fn client(request: &Request) -> Result<&Client, ApiError> {
    Client::of(request.extensions()).map(Arc::as_ref)
}

/// Returns the caller of a request that a part of this process makes.
fn local(request: &Request) -> Option<&Local> {
    request.extensions().get()
}

fn required(caller: Caller) -> Result<UserId, ApiError> {
    match caller {
        Caller::User(user) => Ok(user),
        Caller::Host => Err(caller::no_acting_user()),
    }
}

fn register_bearer(registry: &mut Registry) {
    registry.create_security_scheme(
        BEARER,
        MetaSecurityScheme {
            ty: "http",
            description: Some(
                "Token that the host issues; its `sub` is the host's id of the user.",
            ),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: Some("JWT"),
            flows: None,
            openid_connect_url: None,
        },
    );
}

fn register_internal(registry: &mut Registry) {
    registry.create_security_scheme(
        INTERNAL,
        MetaSecurityScheme {
            ty: "apiKey",
            description: Some(
                "Secret that the host's backend shares with the service (`INTERNAL_API_SECRET`). With `X-Acting-User` the host acts for a user.",
            ),
            name: Some(SECRET_HEADER),
            key_in: Some("header"),
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        },
    );
}

macro_rules! guard {
    ($guard:ty, [$($register:ident: $scheme:expr),+]) => {
        impl<'a> ApiExtractor<'a> for $guard {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                $($register(registry);)+
            }

            fn security_schemes() -> Vec<&'static str> {
                vec![$($scheme),+]
            }

            async fn from_request(
                request: &'a Request,
                _body: &mut RequestBody,
                _options: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                Ok(<$guard>::find(request).await?)
            }
        }
    };
}

guard!(AsUser, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(AsJoiner, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(AsSender, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(SenderOrHost, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(Unchecked, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(Caller, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(AsHost, [register_internal: INTERNAL]);
