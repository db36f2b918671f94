//! Shared parts of this module's tests: keys, tokens, and a host that publishes its keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::Verifier;
use crate::config::{Auth, Secret, TokenKey};

pub(super) const SECRET: &str = "7b0f9c1de2a3485966f0e1d2c3b4a596";

pub(super) fn auth(key: TokenKey, algorithms: &[Algorithm]) -> Auth {
    Auth {
        key,
        algorithms: algorithms.to_vec(),
        issuer: None,
        audience: Vec::new(),
        leeway: Duration::from_secs(5),
        internal_secret: Secret::new("an internal secret for the tests"),
        secrets_key: None,
    }
}

pub(super) fn with_secret() -> Auth {
    auth(TokenKey::Secret(Secret::new(SECRET)), &[Algorithm::HS256])
}

pub(super) fn verifier(auth: &Auth) -> Verifier {
    Verifier::from_config(auth).expect("a verifier")
}

pub(super) fn now() -> i64 {
    i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time")
}

pub(super) fn claims() -> Value {
    json!({ "sub": "alice", "exp": now() + 60 })
}

pub(super) fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// Builds a token of exactly these texts, signed or unsigned as `key` says.
pub(super) fn sign_raw(
    header: &str,
    claims: &str,
    key: &EncodingKey,
    algorithm: Algorithm,
) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).expect("signed");
    format!("{message}.{signature}")
}

pub(super) fn hs256(header: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    sign_raw(
        &header.to_string(),
        &claims.to_string(),
        &key,
        Algorithm::HS256,
    )
}

pub(super) fn plain(claims: &Value) -> String {
    hs256(&json!({ "alg": "HS256", "typ": "JWT" }), claims)
}

pub(super) fn unsigned(header: &Value) -> String {
    format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    )
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

/// Generates an RSA key of 2048 bits: the signing key, and the public half as PEM.
pub(super) fn rsa() -> (EncodingKey, String) {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let private: Pkcs8V1Der<'_> = pair.as_der().expect("private half");
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("public half");
    let private = pem("PRIVATE KEY", private.as_ref());
    (
        EncodingKey::from_rsa_pem(private.as_bytes()).expect("signs"),
        pem("PUBLIC KEY", public.as_ref()),
    )
}

/// Generates a P-256 key: the signing key, and the public half as PEM.
pub(super) fn ec() -> (EncodingKey, String) {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    let random = aws_lc_rs::rand::SystemRandom::new();
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())
        .expect("a pair");
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("public half");
    (
        EncodingKey::from_ec_der(document.as_ref()),
        pem("PUBLIC KEY", public.as_ref()),
    )
}

/// Generates an Ed25519 key: the signing key, and the public half as PEM.
pub(super) fn ed() -> (EncodingKey, String) {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    let random = aws_lc_rs::rand::SystemRandom::new();
    let document = Ed25519KeyPair::generate_pkcs8v1(&random).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document.as_ref()).expect("a pair");
    // The fixed prefix of every Ed25519 public key in DER (RFC 8410).
    let mut public = vec![
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    public.extend_from_slice(pair.public_key().as_ref());
    (
        EncodingKey::from_ed_der(document.as_ref()),
        pem("PUBLIC KEY", &public),
    )
}

pub(super) const PATH: &str = "/jwks.json";

/// Server that answers every request with its current text.
pub(super) struct Host {
    pub(super) url: String,
    pub(super) answer: Arc<Mutex<String>>,
    requests: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Host {
    pub(super) async fn start(answer: String) -> Self {
        Self::serve(
            TcpListener::bind("127.0.0.1:0").await.expect("a port"),
            answer,
        )
    }

    pub(super) fn serve(listener: TcpListener, answer: String) -> Self {
        let url = format!(
            "http://{}{PATH}",
            listener.local_addr().expect("an address")
        );
        let (answer, requests) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (held, counted) = (Arc::clone(&answer), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = held.lock().clone();
                tokio::spawn(async move {
                    let mut request = [0; 2048];
                    let _ = stream.read(&mut request).await;
                    // Long enough for other requests to arrive while it runs.
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self {
            url,
            answer,
            requests,
            task,
        }
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        *self.answer.lock() = ok(keys);
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn ok(keys: &[Value]) -> String {
    http("200 OK", &json!({ "keys": keys }).to_string())
}

pub(super) fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
