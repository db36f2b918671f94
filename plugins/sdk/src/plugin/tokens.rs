//! Tokens of users that a plugin issues, for products whose login is a plugin.

use std::{fmt, time::Duration};

use crate::UserId;

/// Maximum lifetime of a token.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(31 * 86_400);

/// Claims of a token to issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClaims {
    /// User whom the token is for (`sub`).
    pub user: UserId,
    /// Display name of the user (`name`). It is used if the service does not know the user yet.
    pub name: Option<String>,
    /// Roles of the user at the host (`roles`). They are used if the service does not know the user yet.
    pub roles: Vec<String>,
    /// Id of the session that the token belongs to (`sid`), 1 to 128 bytes of visible ASCII. `POST /api/users/{id}/disconnect?sessionId=` ends its tokens.
    pub session_id: Option<String>,
    /// Lifetime of the token: 1 s to [`MAX_TOKEN_LIFETIME`].
    pub lifetime: Duration,
}

/// Issuer of tokens that the service accepts as those of the host.
pub trait Tokens: Send + Sync {
    /// Issues a token, signed with `AUTH_JWT_SECRET`, with the configured issuer and audience.
    ///
    /// # Errors
    /// [`TokenError::NoSharedSecret`] if the deployment has only public keys, [`TokenError::Claims`] if the claims are invalid.
    fn issue(&self, claims: &TokenClaims) -> Result<String, TokenError>;

    /// True if the deployment has a shared secret, so that [`Tokens::issue`] can work.
    fn can_issue(&self) -> bool;
}

/// Reason why no token was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// `AUTH_JWT_SECRET` is not set: the service has no key to sign with.
    NoSharedSecret,
    /// The claims are invalid: the problem, as a sentence.
    Claims(&'static str),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSharedSecret => f.write_str(
                "AUTH_JWT_SECRET is not set: the service cannot sign tokens with public keys",
            ),
            Self::Claims(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for TokenError {}
