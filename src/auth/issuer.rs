//! Issues tokens for a product whose login is a plugin: they are ordinary tokens, which [`super::Verifier`] accepts.

use chat_sdk::{
    Timestamp,
    ids::is_session_id,
    plugin::{MAX_TOKEN_LIFETIME, TokenClaims, TokenError},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use crate::config::{Auth, TokenKey};

/// Maximum length of a token in bytes. The header of a request must have room for it.
const MAX_TOKEN_BYTES: usize = 4096;

/// Signs tokens with the secret that the service shares with the host.
pub struct Issuer {
    key: EncodingKey,
    algorithm: Algorithm,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Issuer {
    /// Returns the issuer of a deployment; `None` without a shared secret.
    pub fn from_config(auth: &Auth) -> Option<Self> {
        let TokenKey::Secret(secret) = &auth.key else {
            return None;
        };
        Some(Self {
            key: EncodingKey::from_secret(secret.expose()),
            algorithm: auth.algorithms.first().copied().unwrap_or_default(),
            issuer: auth.issuer.clone(),
            audience: auth.audience.first().cloned(),
        })
    }

    /// Issues a token.
    ///
    /// # Errors
    /// [`TokenError::Claims`] if the claims are invalid.
    pub fn issue(&self, claims: &TokenClaims) -> Result<String, TokenError> {
        let lifetime = claims.lifetime.as_secs();
        if lifetime == 0 || claims.lifetime > MAX_TOKEN_LIFETIME {
            return Err(TokenError::Claims(
                "The lifetime of a token is 1 second to 31 days.",
            ));
        }
        if !claims.user.names_a_user() {
            return Err(TokenError::Claims("The id names no single user."));
        }
        let session = claims.session_id.as_deref();
        if !session.is_none_or(is_session_id) {
            return Err(TokenError::Claims("The id of the session is invalid."));
        }
        let now = Timestamp::now().as_millis() / 1000;
        let expires_at = now.saturating_add_unsigned(lifetime);
        let mut object = Map::new();
        let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
        set("sub", json!(claims.user));
        set("iat", json!(now));
        set("exp", json!(expires_at));
        // No two tokens are equal.
        set("jti", json!(ulid::Ulid::generate().to_string()));
        for (name, text) in [
            ("iss", &self.issuer),
            ("aud", &self.audience),
            ("name", &claims.name),
            ("sid", &claims.session_id),
        ] {
            if let Some(text) = text {
                set(name, json!(text));
            }
        }
        if !claims.roles.is_empty() {
            set("roles", json!(claims.roles));
        }
        let token = encode(&Header::new(self.algorithm), &object, &self.key)
            .map_err(|_| TokenError::Claims("The claims cannot be encoded."))?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Claims("The name and the roles are too long."));
        }
        Ok(token)
    }
}
