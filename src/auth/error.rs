//! Why a token is not believed.

use thiserror::Error;

/// Why a token is not believed. Each sentence may be shown to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// There is no token.
    #[error("a token is required")]
    Missing,
    /// It is no token that this service reads: not a signed JWT, or too long.
    #[error("the token is malformed")]
    Malformed,
    /// No accepted key and algorithm made its signature.
    #[error("the token's signature is not valid")]
    BadSignature,
    /// The claims behind a valid signature cannot be read.
    #[error(
        "the token's claims are not a JSON object with each claim once, or its sub is not a text"
    )]
    BadClaims,
    /// A claim is missing or has the wrong kind or range. The text never quotes its value.
    #[error("the token's {claim} {problem}")]
    BadClaim {
        /// The claim's name.
        claim: &'static str,
        /// What is wrong with it: the end of a sentence.
        problem: &'static str,
    },
    /// `exp` is over; a new token is needed.
    #[error("the token has expired (exp)")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet: its {claim} lies in the future")]
    NotYetValid {
        /// Which of the two.
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

    /// Whether it may be an attempt to be somebody else. All other errors are found behind a signature that is the host's own, or where there is no token.
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
