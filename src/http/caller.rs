//! Authentication of callers, the same on every port.
//!
//! A user authenticates with a token of the host; the backend of the host authenticates
//! with its secret, and names the user for whom it acts in `X-Acting-User`.

use std::{sync::Arc, time::Duration};

use chat_sdk::{Timestamp, UserId};
use hyper::{HeaderMap, header};
use tokio::time::Instant;

use super::{
    Client,
    error::{ApiError, Code},
    limits::RateLimits,
};
use crate::{
    auth::{AuthError, Claims, Verifier, internal_secret_matches},
    config::Secret,
    domain::{
        Context,
        known_users::TokenIssue,
        users::{self, Admission},
    },
    model::{DomainError, entry::Profile, users::fitting_profile},
};

/// Header with the secret of the host.
pub const SECRET_HEADER: &str = "X-Internal-Secret";
/// Header with the id of the user for whom the host acts.
pub const ACTING_HEADER: &str = "X-Acting-User";

/// Caller of a request that a part of this process makes, as an extension of the request. Requests from a connection never have it.
#[derive(Debug, Clone)]
pub enum Local {
    /// The host.
    Host,
    /// The host for a user.
    ActingFor(UserId),
    /// A user, whose request was counted.
    User(UserId),
}

impl Local {
    /// Returns the user for whom the request is made.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Host => None,
            Self::ActingFor(user) | Self::User(user) => Some(user),
        }
    }

    /// True if the host makes the request.
    pub fn is_host(&self) -> bool {
        !matches!(self, Self::User(_))
    }
}

/// Limit of a user that a request counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Limit `RATE_LIMIT_API`.
    Request,
    /// Limit `RATE_LIMIT_MESSAGES`.
    Message,
}

/// A user with a valid token.
#[derive(Debug)]
pub struct Session {
    /// Id of the user.
    pub user: UserId,
    /// Time at which the token expires, including the leeway.
    pub expires_at: Instant,
    /// Issue of the token.
    pub token: TokenIssue,
}

/// Credentials that the process accepts, and the limits of their use.
pub struct Callers {
    /// Context of the domain's operations.
    pub ctx: Context,
    /// Verifier of users' tokens.
    pub verifier: Verifier,
    /// Secret of the host's backend.
    pub secret: Secret,
    /// Rate limits of the callers.
    pub limits: Arc<RateLimits>,
    /// Time between a token's expiry and the end of its session (`AUTH_JWT_LEEWAY_SECONDS`).
    pub leeway: Duration,
}

impl Callers {
    /// Returns true if the request has the secret of the host, false if it has no secret.
    ///
    /// # Errors
    /// A secret must be valid if it is given, whatever other credentials the request has.
    pub fn is_host(&self, headers: &HeaderMap, client: &Client) -> Result<bool, ApiError> {
        let Some(given) = headers.get(SECRET_HEADER) else {
            return Ok(false);
        };
        if internal_secret_matches(self.secret.expose(), given.as_bytes()) {
            return Ok(true);
        }
        client.count(self.limits.failed_proof(client.address))?;
        Err(ApiError::new(
            Code::Unauthorized,
            "X-Internal-Secret is not the internal secret of this service.",
        ))
    }

    /// Returns the user for whom the host acts; `None` if the request names nobody.
    ///
    /// # Errors
    /// Fails if the header is not the id of a known user.
    pub async fn acting_user(&self, headers: &HeaderMap) -> Result<Option<UserId>, ApiError> {
        let Some(given) = headers.get(ACTING_HEADER) else {
            return Ok(None);
        };
        let user: UserId = percent_decode(given.as_bytes())
            .ok_or("must be UTF-8, percent-encoded".to_owned())
            .and_then(|text| text.parse().map_err(|fault| format!("{fault}")))
            .map_err(|fault| DomainError::invalid(ACTING_HEADER, fault))?;
        self.check_known(&user).await?;
        Ok(Some(user))
    }

    /// Fails unless `user`, for whom a request is made, is known.
    ///
    /// # Errors
    /// An invalid `X-Acting-User`.
    pub async fn check_known(&self, user: &UserId) -> Result<(), ApiError> {
        users::check_known(&self.ctx, ACTING_HEADER, std::slice::from_ref(user)).await?;
        Ok(())
    }

    /// Returns the session of the user whose `token` the request has.
    ///
    /// Requests of the host are not counted, not even those for a user.
    ///
    /// # Errors
    /// Fails without a valid token, or if a rate limit is exceeded.
    pub async fn user(
        &self,
        token: Option<&str>,
        client: &Client,
        counted: Counted,
    ) -> Result<Session, ApiError> {
        let claims = match token {
            Some(token) => self.verifier.verify(token).await,
            None => Err(AuthError::Missing),
        };
        let claims = claims.map_err(|error| self.refuse(error, client))?;
        client.count(match counted {
            Counted::Request => self.limits.api(&claims.subject),
            Counted::Message => self.limits.messages(&claims.subject),
        })?;
        if counted == Counted::Request {
            client.counted_for(&claims.subject, &self.limits);
        }
        self.admit(claims).await
    }

    /// Returns the session of a socket's token. `client` is `None` if the host opened the socket: then a forged token is not counted.
    ///
    /// # Errors
    /// Fails if the token is not valid, or if too many forged ones came from the client's address.
    pub async fn session(&self, token: &str, client: Option<&Client>) -> Result<Session, ApiError> {
        let claims = self.verifier.verify(token).await;
        let claims = claims.map_err(|error| match client {
            Some(client) if error.is_forgery() => self.refuse(error, client),
            _ => error.into(),
        })?;
        self.admit(claims).await
    }

    /// Counts a request without a user.
    ///
    /// # Errors
    /// [`Code::RateLimited`] if the limit is exceeded; it replaces the original error.
    pub fn count_stranger(&self, client: &Client) -> Result<(), ApiError> {
        client.count(self.limits.api_from(client.address))
    }

    /// Returns the error for a request with a rejected token.
    ///
    /// Only a token that may be forged counts as a failed authentication. A token that is missing, expired, revoked or has a wrong claim counts as a
    /// request from the address. So a client always learns why its token is rejected, whatever other clients behind the same address do.
    fn refuse(&self, error: AuthError, client: &Client) -> ApiError {
        let counted = match error {
            AuthError::KeysUnavailable => Ok(()),
            error if error.is_forgery() => client.count(self.limits.failed_proof(client.address)),
            _ => self.count_stranger(client),
        };
        counted.err().unwrap_or_else(|| error.into())
    }

    async fn admit(&self, claims: Claims) -> Result<Session, ApiError> {
        let session = Session {
            user: claims.subject.clone(),
            expires_at: expiry(&claims, self.leeway),
            token: TokenIssue {
                at: claims.issued_at,
                session_id: claims.session_id.as_deref().map(Into::into),
            },
        };
        let (user, token) = (&session.user, &session.token);
        match users::admit(&self.ctx, user, token, profile(claims)).await? {
            Admission::Admitted => Ok(session),
            Admission::Revoked => Err(AuthError::Revoked.into()),
        }
    }
}

/// Returns the error for a host that must name a user.
pub fn no_acting_user() -> ApiError {
    let problem = "is required here: name the user for whom you act";
    DomainError::invalid(ACTING_HEADER, problem).into()
}

/// Returns the token of the `Authorization` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Percent-decodes a header, which may hold visible ASCII only; `None` if the result is not UTF-8.
fn percent_decode(text: &[u8]) -> Option<String> {
    let decoded = percent_encoding::percent_decode(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

fn profile(claims: Claims) -> Profile {
    fitting_profile(Profile {
        name: claims.name,
        avatar_url: claims.avatar_url,
        roles: claims.roles,
        ..Profile::default()
    })
}

fn expiry(claims: &Claims, leeway: Duration) -> Instant {
    let now = Timestamp::now().as_millis() / 1000;
    let left = claims
        .expires_at
        .saturating_sub(now)
        .clamp(0, 10 * 365 * 86_400);
    Instant::now() + Duration::from_secs(left.unsigned_abs()) + leeway
}

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
            session_id: None,
            name: Some("x".repeat(321)),
            avatar_url: Some("https://shop.example/a.png".to_owned()),
            roles: vec!["buyer".to_owned(), "a\nb".to_owned()],
        });
        assert_eq!(profile.name, None);
        assert!(profile.avatar_url.is_some());
        assert_eq!(profile.roles, ["buyer"]);
    }
}
