//! Reasons for refusing a token.

use thiserror::Error;

/// Reason for refusing a token. Each text may be shown to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// There is no token.
    #[error("a token is required")]
    Missing,
    /// It is not a token that this service reads: not a signed JWT, or too long.
    #[error("the token is malformed")]
    Malformed,
    /// The signature does not match any accepted key and algorithm.
    #[error("the token's signature is not valid")]
    BadSignature,
    /// The signature is valid, but the claims cannot be read.
    #[error(
        "the token's claims are not a JSON object with each claim once, or its sub is not a text"
    )]
    BadClaims,
    /// A claim is missing or has the wrong type or range. The text never quotes its value.
    #[error("the token's {claim} {problem}")]
    BadClaim {
        /// Name of the claim.
        claim: &'static str,
        /// Problem with the claim, as the end of a sentence.
        problem: &'static str,
    },
    /// `exp` is in the past; a new token is needed.
    #[error("the token has expired (exp)")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("the token is not valid yet: its {claim} lies in the future")]
    NotYetValid {
        /// Name of the claim.
        claim: &'static str,
    },
    /// `iss` is not the configured issuer.
    #[error("the token is from another issuer (iss)")]
    WrongIssuer,
    /// `aud` does not name this service.
    #[error("the token is for another audience (aud)")]
    WrongAudience,
    /// `sub` is missing, or is not a user id.
    #[error("the token's subject (sub) is not a user id")]
    BadSubject,
    /// The host ended the user's sessions or deleted the user after the token was issued.
    #[error("the token was revoked, a new one is needed")]
    Revoked,
    /// The host's keys cannot be fetched now, so the token cannot be checked: try again.
    #[error("the keys to check tokens with are not available, try again")]
    KeysUnavailable,
}

impl AuthError {
    /// True if the service, not the token, is at fault: answer 503 instead of 401.
    pub fn is_unavailable(self) -> bool {
        self == Self::KeysUnavailable
    }

    /// True if the token may be an attempt to impersonate a user.
    ///
    /// All other errors occur after the host's own signature was verified, or without a token.
    pub fn is_forgery(self) -> bool {
        matches!(self, Self::Malformed | Self::BadSignature)
    }
}

impl From<jsonwebtoken::errors::Error> for AuthError {
    fn from(error: jsonwebtoken::errors::Error) -> Self {
        use jsonwebtoken::errors::ErrorKind as Kind;
        match error.kind() {
            Kind::InvalidIssuer => Self::WrongIssuer,
            Kind::InvalidAudience => Self::WrongAudience,
            Kind::MissingRequiredClaim(claim) => match claim.as_str() {
                "iss" => Self::WrongIssuer,
                "aud" => Self::WrongAudience,
                _ => Self::Malformed,
            },
            // The header was read before, and the signature is checked before the claims are.
            Kind::Json(_) => Self::BadClaims,
            Kind::InvalidToken | Kind::Base64(_) | Kind::Utf8(_) => Self::Malformed,
            _ => Self::BadSignature,
        }
    }
}

/// Reason why a configuration cannot be turned into a verifier.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The public key cannot be read.
    #[error("AUTH_JWT_PUBLIC_KEY: holds no RSA, EC or Ed25519 public key in PEM form")]
    PublicKey,
    /// The address of the key set is not a URL.
    #[error("AUTH_JWKS_URL: is not a URL; write https://host/.well-known/jwks.json")]
    JwksUrl,
    /// The HTTP client for the key set cannot be created.
    #[error("AUTH_JWKS_URL: the HTTP client cannot be made: {0}")]
    Client(#[source] reqwest::Error),
}
