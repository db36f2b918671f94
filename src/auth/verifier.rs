//! Verifier: converts a token into its claims.

use std::{sync::Arc, time::Duration};

use chat_sdk::Timestamp;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, Header, Validation, dangerous::insecure_decode,
    decode, decode_header,
};
use tokio_util::sync::CancellationToken;

use super::claims::{Claims, RawClaims};
use super::error::{AuthError, SetupError};
use super::jwks::Jwks;
use crate::config::{Auth, TokenKey};

/// Maximum length of a token in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Maximum length of a `kid` that is looked up, in bytes.
const MAX_KID_BYTES: usize = 256;

/// Checks tokens against one configuration. Clones share the fetched keys.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Keys,
    algorithms: Vec<Algorithm>,
    issuer: Option<String>,
    audience: Vec<String>,
    leeway: Duration,
}

enum Keys {
    Fixed(DecodingKey),
    Published(Jwks),
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithms", &self.inner.algorithms)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Creates a verifier. It fetches nothing yet and needs no runtime.
    ///
    /// # Errors
    /// Fails if a public key or an address cannot be read; a checked configuration has neither.
    pub fn from_config(auth: &Auth) -> Result<Self, SetupError> {
        let keys = match &auth.key {
            TokenKey::Secret(secret) => Keys::Fixed(DecodingKey::from_secret(secret.expose())),
            TokenKey::PublicKey(pem) => Keys::Fixed(public_key(pem, &auth.algorithms)?),
            TokenKey::Jwks(url) => Keys::Published(Jwks::new(url.expose())?),
        };
        Ok(Self::new(keys, auth))
    }

    fn new(keys: Keys, auth: &Auth) -> Self {
        Self {
            inner: Arc::new(Inner {
                keys,
                algorithms: auth.algorithms.clone(),
                issuer: auth.issuer.clone(),
                audience: auth.audience.clone(),
                leeway: auth.leeway,
            }),
        }
    }

    /// Creates a verifier with a key set that a test has made.
    #[cfg(test)]
    pub(super) fn with_jwks(jwks: Jwks, auth: &Auth) -> Self {
        Self::new(Keys::Published(jwks), auth)
    }

    /// Fetches the key set if one is configured and not yet loaded, so that a start finds problems early.
    ///
    /// # Errors
    /// [`AuthError::KeysUnavailable`] if the fetch fails; later calls of [`Verifier::verify`] retry by themselves.
    pub async fn warm(&self) -> Result<(), AuthError> {
        match &self.inner.keys {
            Keys::Fixed(_) => Ok(()),
            Keys::Published(jwks) => jwks.current().await.map(drop),
        }
    }

    /// Returns true if the keys are published by the host, so that [`Verifier::keep_fresh`] must run.
    pub fn has_published_keys(&self) -> bool {
        matches!(self.inner.keys, Keys::Published(_))
    }

    /// Fetches published keys again every 10 minutes, until `stop`.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        match &self.inner.keys {
            Keys::Fixed(_) => stop.cancelled().await,
            Keys::Published(jwks) => jwks.keep_fresh(stop).await,
        }
    }

    /// Checks a token: its signature, times, issuer, audience and subject.
    ///
    /// With a fixed key it waits for nothing. With a key set it may wait for one fetch, 5 seconds at most.
    ///
    /// # Errors
    /// Fails with the reason for refusing the token; [`AuthError::is_unavailable`] tells 503 from 401.
    pub async fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        // Before anything is parsed, because parsing costs time in proportion to the length.
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Malformed);
        }
        let header = decode_header(token).map_err(|_| AuthError::Malformed)?;
        self.check_header(&header)?;
        match &self.inner.keys {
            Keys::Fixed(key) => self.check_with(token, header.alg, key),
            Keys::Published(jwks) => self.check_with_published(token, &header, jwks).await,
        }
    }

    fn check_header(&self, header: &Header) -> Result<(), AuthError> {
        // An extension that must be understood is not supported here (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(AuthError::Malformed);
        }
        // Logout tokens, security events and the like have the same signature but another meaning (RFC 8725, 3.11).
        if header
            .typ
            .as_deref()
            .is_some_and(|typ| !is_access_token(typ))
        {
            return Err(AuthError::Malformed);
        }
        if header
            .kid
            .as_ref()
            .is_some_and(|kid| kid.len() > MAX_KID_BYTES)
        {
            return Err(AuthError::Malformed);
        }
        if !self.inner.algorithms.contains(&header.alg) {
            return Err(AuthError::BadSignature);
        }
        Ok(())
    }

    async fn check_with_published(
        &self,
        token: &str,
        header: &Header,
        jwks: &Jwks,
    ) -> Result<Claims, AuthError> {
        let kid = header.kid.as_deref();
        let keys = jwks.current().await?;
        let result = self.try_each(token, header.alg, keys.candidates(kid, header.alg));
        let unknown = match kid {
            Some(_) => !keys.knows(kid, header.alg),
            None => result == Err(AuthError::BadSignature),
        };
        if !unknown {
            return result;
        }
        // The host may have changed its keys since they were fetched.
        let keys = jwks.newer_than(&keys).await?;
        self.try_each(token, header.alg, keys.candidates(kid, header.alg))
    }

    /// Returns the answer of the first key that made the signature, otherwise [`AuthError::BadSignature`].
    fn try_each<'a>(
        &self,
        token: &str,
        algorithm: Algorithm,
        keys: impl Iterator<Item = &'a DecodingKey>,
    ) -> Result<Claims, AuthError> {
        for key in keys {
            match self.check_with(token, algorithm, key) {
                Err(AuthError::BadSignature) => {}
                decided => return decided,
            }
        }
        Err(AuthError::BadSignature)
    }

    fn check_with(
        &self,
        token: &str,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<Claims, AuthError> {
        // Exactly one algorithm, which the caller has found among the configured ones.
        let mut validation = Validation::new(algorithm);
        // The times are checked with the other claims, so that an error can name the claim.
        validation.validate_exp = false;
        let mut required = Vec::new();
        if let Some(issuer) = &self.inner.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if self.inner.audience.is_empty() {
            validation.validate_aud = false;
        } else {
            validation.set_audience(&self.inner.audience);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        let check = |claims: RawClaims| {
            claims.check(
                self.inner.issuer.as_deref(),
                Timestamp::now().as_millis() as f64 / 1000.0,
                self.inner.leeway.as_secs_f64(),
            )
        };
        match decode::<RawClaims>(token, key, &validation).map_err(AuthError::from) {
            Ok(token) => check(token.claims),
            // The signature is valid, but jsonwebtoken failed on a claim of another type: only the claim's name is still unknown.
            Err(AuthError::BadClaims) => match insecure_decode::<RawClaims>(token) {
                Ok(token) => check(token.claims).and(Err(AuthError::BadClaims)),
                Err(_) => Err(AuthError::BadClaims),
            },
            Err(error) => Err(error),
        }
    }
}

fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(
        typ.strip_prefix("application/").unwrap_or(&typ),
        "jwt" | "at+jwt"
    )
}

fn public_key(pem: &str, algorithms: &[Algorithm]) -> Result<DecodingKey, SetupError> {
    let pem = pem.as_bytes();
    match algorithms.first().map(|algorithm| algorithm.family()) {
        Some(AlgorithmFamily::Rsa) => DecodingKey::from_rsa_pem(pem),
        Some(AlgorithmFamily::Ec) => DecodingKey::from_ec_pem(pem),
        Some(AlgorithmFamily::Ed) => DecodingKey::from_ed_pem(pem),
        // A public key must never become the secret of an HMAC.
        Some(AlgorithmFamily::Hmac) | None => return Err(SetupError::PublicKey),
    }
    .map_err(|_| SetupError::PublicKey)
}
