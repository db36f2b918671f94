//! Guards: who is calling, as an argument of the handler. A handler that takes none is open to everybody.
//!
//! A user proves who they are with the host's token; the host's backend with its secret, and names in `X-Acting-User` for whom it acts.

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

/// The name in the document of the scheme for users.
pub const BEARER: &str = chat_sdk::http::BEARER;
/// The name in the document of the scheme for the host's backend.
pub const INTERNAL: &str = chat_sdk::http::INTERNAL;
/// In which header the host's backend shows its secret.
pub const SECRET_HEADER: &str = "X-Internal-Secret";
/// In which header the host's backend names for whom it acts.
pub const ACTING_HEADER: &str = "X-Acting-User";

/// A user, or the host acting for one.
pub struct AsUser(pub UserId);

/// A user, or the host acting for one, who sends a message: it counts against the limit of messages instead of that of requests.
pub struct AsSender(pub UserId);

/// Either: who sends a message, or the host itself in nobody's name.
pub struct SenderOrHost(pub Caller);

/// The host's backend, acting for nobody.
pub struct AsHost;

/// Either: a user (or the host acting for one), or the host itself.
pub enum Caller {
    /// The host itself.
    Host,
    /// A user.
    User(UserId),
}

/// Whether it is the host that asks, in a user's name or in nobody's. Only beside a guard, which has checked the secret.
pub struct ByHost(pub AddedBy);

impl<'a> FromRequest<'a> for ByHost {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(match request.headers().contains_key(SECRET_HEADER) {
            true => AddedBy::Host,
            false => AddedBy::User,
        }))
    }
}

/// As [`AsUser`] in the document, but unchecked: for an operation that another part of the process does, which checks by itself.
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
    /// A user's token does not open what is the host's own.
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

    /// A secret that is shown must be right, whatever else is shown beside it. The host is not counted, not even where it acts for a user.
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

    /// The user, if it is one.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Host => None,
            Self::User(user) => Some(user),
        }
    }
}

/// What every part of the surface works with.
///
/// # Errors
/// [`Code::InternalError`] for a request that did not come through [`super::endpoint`].
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

/// Percent-decodes a header, which may hold visible ASCII only; `None` for what is no UTF-8 then.
fn percent_decode(text: &[u8]) -> Option<String> {
    let decoded = percent_encoding::percent_decode(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

fn register_bearer(registry: &mut Registry) {
    registry.create_security_scheme(
        BEARER,
        MetaSecurityScheme {
            ty: "http",
            description: Some("A token of the host; its `sub` is the host's own id of the user."),
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
                "The secret that the host's backend shares with the service (`INTERNAL_API_SECRET`). With `X-Acting-User` the host acts for a user.",
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
    fn what_does_not_fit_of_a_token_is_left_out() {
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
