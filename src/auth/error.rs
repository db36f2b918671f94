//! Why a token is not believed.

use thiserror::Error;

/// Why a token is not believed. Each sentence may be shown to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// There is no token.
    #[error("a token is required")]
    Missing,
    /// It is no token that this service reads: not a signed JWT, too long, or with claims of the wrong kind.
    #[error("the token is malformed")]
    Malformed,
    /// No accepted key and algorithm made its signature.
    #[error("the token's signature is not valid")]
    BadSignature,
    /// Its time is over; a new one is needed.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come: `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is not the configured issuer.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// `aud` does not name this service.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `sub` is missing, or is not a user id.
    #[error("the token's subject is not a user id")]
    BadSubject,
    /// The host ended the user's sessions or deleted the user after it was issued.
    #[error("the token was revoked, a new one is needed")]
    Revoked,
    /// The host's keys cannot be fetched now, so nothing can be said about the token: try again.
    #[error("the keys to check tokens with are not available, try again")]
    KeysUnavailable,
}

impl AuthError {
    /// Whether the service, not the token, is at fault: answer 503 instead of 401.
    pub fn is_unavailable(self) -> bool {
        self == Self::KeysUnavailable
    }
}

impl From<jsonwebtoken::errors::Error> for AuthError {
    fn from(error: jsonwebtoken::errors::Error) -> Self {
        use jsonwebtoken::errors::ErrorKind as Kind;
        match error.kind() {
            Kind::ExpiredSignature => Self::Expired,
            Kind::ImmatureSignature => Self::NotYetValid,
            Kind::InvalidIssuer => Self::WrongIssuer,
            Kind::InvalidAudience => Self::WrongAudience,
            Kind::InvalidSubject => Self::BadSubject,
            Kind::MissingRequiredClaim(claim) => match claim.as_str() {
                "iss" => Self::WrongIssuer,
                "aud" => Self::WrongAudience,
                _ => Self::Malformed,
            },
            Kind::InvalidToken
            | Kind::InvalidClaimFormat(_)
            | Kind::Base64(_)
            | Kind::Json(_)
            | Kind::Utf8(_) => Self::Malformed,
            _ => Self::BadSignature,
        }
    }
}

/// Why no verifier can be made of a configuration.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The public key cannot be read.
    #[error("AUTH_JWT_PUBLIC_KEY: holds no RSA, EC or Ed25519 public key in PEM form")]
    PublicKey,
    /// The address of the key set is not a URL.
    #[error("AUTH_JWKS_URL: is not a URL; write https://host/.well-known/jwks.json")]
    JwksUrl,
    /// The HTTP client for the key set cannot be made.
    #[error("AUTH_JWKS_URL: the HTTP client cannot be made: {0}")]
    Client(#[source] reqwest::Error),
}
