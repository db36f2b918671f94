//! Guards: the authenticated caller as an argument of a handler. A handler without a guard is open to all callers.
//!
//! A user authenticates with a token of the host; the backend of the host authenticates
//! with its secret, and names the user for whom it acts in `X-Acting-User`.

use std::sync::Arc;

use chat_sdk::UserId;
use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderValue, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use super::{
    ApiState,
    error::{ApiError, Code},
    limits::{self, Counted},
};
use crate::{
    auth::{AuthError, Claims, internal_secret_matches},
    domain::{
        AddedBy, DomainError,
        entry::Profile,
        users::{self, Admission},
    },
};

/// Name of the security scheme of users in the OpenAPI document.
pub const BEARER: &str = chat_sdk::http::BEARER;
/// Name of the security scheme of the host in the OpenAPI document.
pub const INTERNAL: &str = chat_sdk::http::INTERNAL;
/// Header with the secret of the host.
pub const SECRET_HEADER: &str = "X-Internal-Secret";
/// Header with the id of the user for whom the host acts.
pub const ACTING_HEADER: &str = "X-Acting-User";

/// Guard: a user, or the host acting for one.
pub struct AsUser(pub UserId);

/// Guard: a user, or the host acting for one, who sends a message. The request counts against the limit of messages instead of that of requests.
pub struct AsSender(pub UserId);

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
        Ok(Self(match request.headers().contains_key(SECRET_HEADER) {
            true => AddedBy::Host,
            false => AddedBy::User,
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

impl SenderOrHost {
    async fn find(request: &Request) -> Result<Self, ApiError> {
        Caller::find_for(request, Counted::Message).await.map(Self)
    }
}

impl AsHost {
    /// Accepts only the secret: a token of a user gives no access to operations of the host.
    pub(super) async fn find(request: &Request) -> Result<Self, ApiError> {
        let state = state(request)?;
        let Some(secret) = request.headers().get(SECRET_HEADER) else {
            limits::count_stranger(state, request)?;
            return Err(ApiError::new(
                Code::Unauthorized,
                "This is for the host's backend only, with X-Internal-Secret.",
            ));
        };
        check_secret(state, request, secret)?;
        Ok(Self)
    }
}

impl Caller {
    async fn find(request: &Request) -> Result<Self, ApiError> {
        Self::find_for(request, Counted::Request).await
    }

    /// A secret must be valid if it is given, whatever other credentials the request
    /// has. Requests of the host are not counted, not even those for a user.
    async fn find_for(request: &Request, what: Counted) -> Result<Self, ApiError> {
        let state = state(request)?;
        match request.headers().get(SECRET_HEADER) {
            Some(secret) => {
                check_secret(state, request, secret)?;
                acting_user(state, request).await
            }
            None => user(state, request, what).await.map(Self::User),
        }
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

fn required(caller: Caller) -> Result<UserId, ApiError> {
    match caller {
        Caller::User(user) => Ok(user),
        Caller::Host => {
            let problem = "is required here: name the user for whom you act";
            Err(DomainError::invalid(ACTING_HEADER, problem).into())
        }
    }
}

fn check_secret(state: &ApiState, request: &Request, given: &HeaderValue) -> Result<(), ApiError> {
    if internal_secret_matches(state.internal_secret.expose(), given.as_bytes()) {
        return Ok(());
    }
    limits::failed_proof(state, request)?;
    Err(ApiError::new(
        Code::Unauthorized,
        "X-Internal-Secret is not the internal secret of this service.",
    ))
}

async fn acting_user(state: &ApiState, request: &Request) -> Result<Caller, ApiError> {
    let Some(given) = request.headers().get(ACTING_HEADER) else {
        return Ok(Caller::Host);
    };
    let user: UserId = percent_decode(given.as_bytes())
        .ok_or("must be UTF-8, percent-encoded".to_owned())
        .and_then(|text| text.parse().map_err(|fault| format!("{fault}")))
        .map_err(|fault| DomainError::invalid(ACTING_HEADER, fault))?;
    users::check_known(&state.ctx, ACTING_HEADER, std::slice::from_ref(&user)).await?;
    Ok(Caller::User(user))
}

async fn user(state: &ApiState, request: &Request, what: Counted) -> Result<UserId, ApiError> {
    let (user, claims) = proven(state, request)
        .await
        .map_err(|error| limits::refuse_token(state, request, error))?;
    limits::count(state, request, &user, what)?;
    let issued_at = claims.issued_at;
    match users::admit(&state.ctx, &user, issued_at, profile(claims)).await? {
        Admission::Admitted => Ok(user),
        Admission::Revoked => Err(AuthError::Revoked.into()),
    }
}

async fn proven(state: &ApiState, request: &Request) -> Result<(UserId, Claims), AuthError> {
    let token = request
        .header(header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(AuthError::Missing)?;
    let claims = state.verifier.verify(token).await?;
    let user = claims.subject.clone();
    Ok((user, claims))
}

fn profile(claims: Claims) -> Profile {
    users::fitting(Profile {
        name: claims.name,
        avatar_url: claims.avatar_url,
        roles: claims.roles,
        ..Profile::default()
    })
}

/// Percent-decodes a header, which may hold visible ASCII only; `None` if the result is not UTF-8.
fn percent_decode(text: &[u8]) -> Option<String> {
    let decoded = percent_encoding::percent_decode(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
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
guard!(AsSender, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(SenderOrHost, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(Unchecked, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(Caller, [register_bearer: BEARER, register_internal: INTERNAL]);
guard!(AsHost, [register_internal: INTERNAL]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acting_users_are_percent_decoded() {
        for (given, id) in [
            ("alice", Some("alice")),
            ("auth0|5f7", Some("auth0|5f7")),
            ("%E5%90%8D", Some("名")),
            ("100%25", Some("100%")),
            ("50%", Some("50%")),
            ("%zz", Some("%zz")),
            ("%ff", None),
        ] {
            assert_eq!(percent_decode(given.as_bytes()).as_deref(), id, "{given}");
        }
    }

    #[test]
    fn invalid_claims_of_a_token_are_omitted() {
        let profile = profile(Claims {
            subject: "alice".parse().expect("an id"),
            issued_at: None,
            expires_at: 0,
            name: Some("x".repeat(321)),
            avatar_url: Some("https://shop.example/a.png".to_owned()),
            roles: vec!["buyer".to_owned(), "a\nb".to_owned()],
        });
        assert_eq!(profile.name, None);
        assert!(profile.avatar_url.is_some());
        assert_eq!(profile.roles, ["buyer"]);
    }
}
