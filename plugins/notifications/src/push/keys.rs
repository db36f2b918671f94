//! Key pairs by which push services know this deployment (VAPID, RFC 8292).
//!
//! A browser binds its subscription to the public key that it was made with. So a pair stays for ever once it was used: a subscription is signed with its own
//! pair, also after another one became the current one.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::{
    agreement::{ECDH_P256, PrivateKey},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{
    Timestamp,
    plugin::{Collection, Filter, Host, HostError, Order, Query},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
/// Time for which a signature is valid. Push services accept at most 24 hours.
const VALID: Duration = Duration::from_secs(12 * 3600);
/// Time for which a signature is used again.
const REUSED: Duration = Duration::from_secs(3600);
/// Maximum number of signatures that are remembered.
const REMEMBERED: usize = 1000;
/// Name of the generated pair among all pairs.
const GENERATED: &str = "generated";

/// Key pair.
#[derive(Clone)]
pub struct VapidKey {
    private: [u8; 32],
    /// Public key as browsers take it: 65 bytes, in base64 for URLs.
    pub public: String,
}

impl std::fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.public)
    }
}

impl VapidKey {
    /// Returns the pair with this private key; `None` if the bytes are no key.
    fn new(private: [u8; 32]) -> Option<Self> {
        let key = PrivateKey::from_private_key(&ECDH_P256, &private).ok()?;
        let public = key.compute_public_key().ok()?;
        Some(Self {
            public: BASE64_URL_SAFE_NO_PAD.encode(public.as_ref()),
            private,
        })
    }

    fn generate() -> Self {
        loop {
            // Nearly every number of 32 bytes is a key.
            if let Some(key) = Self::new(rand::random()) {
                return key;
            }
        }
    }

    /// Parses a private key of 32 bytes in base64 for URLs.
    ///
    /// # Errors
    /// The fault, as a sentence that can follow the name.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        bytes.and_then(Self::new).ok_or_else(|| {
            "must be a private key of the curve P-256: 32 bytes in base64 for URLs".to_owned()
        })
    }

    /// Returns the private key in the form that signing takes.
    fn signing_key(&self) -> Option<EncodingKey> {
        let public = BASE64_URL_SAFE_NO_PAD.decode(&self.public).ok()?;
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &self.private, &public)
            .ok()?;
        let document = pair.to_pkcs8v1().ok()?;
        Some(EncodingKey::from_ec_der(document.as_ref()))
    }

    /// Returns the `Authorization` of a request to the push service with this origin.
    fn authorization(&self, audience: &str, subject: &str) -> Result<String, HostError> {
        #[derive(Serialize)]
        struct Claims<'a> {
            aud: &'a str,
            exp: u64,
            sub: &'a str,
        }
        let failed = || HostError::Unavailable("a push could not be signed".to_owned());
        let key = self.signing_key().ok_or_else(failed)?;
        let seconds = Timestamp::now().as_millis() / 1000;
        let claims = Claims {
            aud: audience,
            exp: u64::try_from(seconds).unwrap_or_default() + VALID.as_secs(),
            sub: subject,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key);
        let token = token.map_err(|_| failed())?;
        Ok(format!("vapid t={token}, k={}", self.public))
    }
}

/// Key pair as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredKey {
    /// `generated`, or the public key.
    #[serde(rename = "_id")]
    id: String,
    public: String,
    /// Sealed private key.
    sealed: String,
    created_at: i64,
}

/// Signatures by public key and origin, each with the time until which it is used.
type Signatures = HashMap<(String, String), (String, i64)>;

/// All key pairs of the deployment.
pub struct Keys {
    stored: Collection<StoredKey>,
    configured: Option<VapidKey>,
    subject: String,
    /// Pairs by public key.
    known: Mutex<HashMap<String, VapidKey>>,
    signatures: Mutex<Signatures>,
    current: Mutex<Option<VapidKey>>,
}

impl Keys {
    /// Uses `collection` for the pairs, and `configured` as the current one if it is set.
    pub fn new(
        collection: Collection<StoredKey>,
        configured: Option<VapidKey>,
        subject: String,
    ) -> Self {
        Self {
            stored: collection,
            configured,
            subject,
            known: Mutex::default(),
            signatures: Mutex::default(),
            current: Mutex::default(),
        }
    }

    /// Returns the pair for new subscriptions. The first call of a deployment makes it, unless it is configured.
    ///
    /// # Errors
    /// [`HostError::NoKey`] if it has to be stored and `SECRETS_KEY` is not set.
    pub async fn current(&self, host: &Host) -> Result<VapidKey, HostError> {
        if let Some(current) = self.current.lock().clone() {
            return Ok(current);
        }
        let current = match &self.configured {
            Some(configured) => {
                // It is kept for its subscriptions, in case that another one is configured later.
                match self
                    .store(host, configured.public.clone(), configured)
                    .await
                {
                    Ok(_) | Err(HostError::NoKey) => configured.clone(),
                    Err(error) => return Err(error),
                }
            }
            None => match self.stored.first(Filter::id(GENERATED)).await? {
                Some(stored) => Self::open(host, &stored)?,
                None => {
                    let new = VapidKey::generate();
                    let stored = self.store(host, GENERATED.to_owned(), &new).await?;
                    Self::open(host, &stored)?
                }
            },
        };
        *self.current.lock() = Some(current.clone());
        Ok(current)
    }

    /// Stores a pair unless one exists under this id, and returns the stored one.
    async fn store(&self, host: &Host, id: String, key: &VapidKey) -> Result<StoredKey, HostError> {
        let new = StoredKey {
            id,
            public: key.public.clone(),
            sealed: host.secrets.seal(&key.private)?,
            created_at: Timestamp::now().as_millis(),
        };
        if self.stored.insert(&new).await? {
            return Ok(new);
        }
        let found = self.stored.first(Filter::id(new.id.as_str())).await?;
        found.ok_or_else(|| HostError::Unavailable("a key was removed".to_owned()))
    }

    fn open(host: &Host, stored: &StoredKey) -> Result<VapidKey, HostError> {
        let bytes = host.secrets.unseal(&stored.sealed)?;
        let key = bytes.try_into().ok().and_then(VapidKey::new);
        key.ok_or(HostError::Sealed)
    }

    /// Returns true if a subscription may be made with this public key.
    ///
    /// # Errors
    /// As [`Self::current`].
    pub async fn is_known(&self, host: &Host, public: &str) -> Result<bool, HostError> {
        Ok(self.find(host, public).await?.is_some())
    }

    async fn find(&self, host: &Host, public: &str) -> Result<Option<VapidKey>, HostError> {
        let known = self.known.lock().get(public).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let current = self.current(host).await?;
        let found = if current.public == public {
            Some(current)
        } else {
            let filter = Filter::all().is("public", public);
            let query = Query::from(filter).sort("_id", Order::Ascending);
            let stored = self.stored.first(query).await?;
            stored.map(|stored| Self::open(host, &stored)).transpose()?
        };
        if let Some(found) = &found {
            self.known.lock().insert(public.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// Returns the `Authorization` of a request to `origin` for a subscription that was made with the key `public`; `None` if the pair is lost.
    ///
    /// # Errors
    /// As [`Self::current`].
    pub async fn authorization(
        &self,
        host: &Host,
        public: &str,
        origin: &str,
    ) -> Result<Option<String>, HostError> {
        let now = Timestamp::now().as_millis();
        let name = (public.to_owned(), origin.to_owned());
        if let Some((known, until)) = self.signatures.lock().get(&name)
            && *until > now
        {
            return Ok(Some(known.clone()));
        }
        let Some(key) = self.find(host, public).await? else {
            return Ok(None);
        };
        let made = key.authorization(origin, &self.subject)?;
        let until = now + i64::try_from(REUSED.as_millis()).unwrap_or(i64::MAX);
        let mut signatures = self.signatures.lock();
        if signatures.len() >= REMEMBERED {
            signatures.clear();
        }
        signatures.insert(name, (made.clone(), until));
        Ok(Some(made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_keys_are_private_keys_of_the_curve() {
        let key = VapidKey::generate();
        let text = BASE64_URL_SAFE_NO_PAD.encode(key.private);
        let read = VapidKey::from_text(&text).expect("a key");
        assert_eq!(read.public, key.public);
        assert!(!format!("{key:?}").contains(&text));
        for text in ["", "x", "AAAA", &BASE64_URL_SAFE_NO_PAD.encode([0; 32])] {
            assert!(VapidKey::from_text(text).is_err(), "{text}");
        }
    }
}
