//! Published keys, served by a real HTTP server: rotation, outages, wrong types, hostile headers.

use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::jwks::{Jwks, Timing};
use super::testkit::{Host, PATH, auth, claims, ec, hs256, http, ok, rsa, sign_raw};
use super::*;
use crate::config::{TokenKey, Uri};

fn timing() -> Timing {
    Timing {
        refresh: Duration::from_secs(600),
        unknown: Duration::from_millis(500),
        empty: Duration::from_millis(50),
        timeout: Duration::from_millis(500),
    }
}

fn verifier(url: &str, timing: Timing) -> Verifier {
    let algorithms = [Algorithm::RS256, Algorithm::ES256];
    let auth = auth(TokenKey::Jwks(Uri::new(url)), &algorithms);
    Verifier::with_jwks(Jwks::with_timing(url, timing).expect("a client"), &auth)
}

/// Returns a key in its published form.
fn published(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>) -> Value {
    let mut jwk =
        serde_json::to_value(Jwk::from_encoding_key(key, algorithm).expect("public half"))
            .expect("JSON");
    if let Some(kid) = kid {
        jwk["kid"] = json!(kid);
    }
    jwk
}

fn without_alg(mut jwk: Value) -> Value {
    jwk.as_object_mut().expect("an object").remove("alg");
    jwk
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

fn es256(key: &EncodingKey, mut header: Value) -> String {
    header["alg"] = json!("ES256");
    sign_raw(
        &header.to_string(),
        &claims().to_string(),
        key,
        Algorithm::ES256,
    )
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test]
async fn keys_rotate_and_old_ones_go() {
    let ((one, _), (two, _)) = (ec(), ec());
    let host = Host::start(ok(&[published(&one, Algorithm::ES256, Some("one"))])).await;
    let verifier = verifier(&host.url, timing());
    let (old, new) = (
        es256(&one, json!({ "kid": "one" })),
        es256(&two, json!({ "kid": "two" })),
    );
    assert_eq!(
        host.requests(),
        0,
        "nothing is fetched before the first use"
    );
    assert!(verifier.verify(&old).await.is_ok());
    assert_eq!(
        verifier.verify(&new).await,
        Err(AuthError::BadSignature),
        "not published yet"
    );
    assert_eq!(host.requests(), 1, "no second fetch so soon");

    host.publish(&[
        published(&one, Algorithm::ES256, Some("one")),
        published(&two, Algorithm::ES256, Some("two")),
    ]);
    pause(600).await;
    assert!(
        verifier.verify(&new).await.is_ok(),
        "an unknown kid asks for the keys again"
    );
    assert!(
        verifier.verify(&old).await.is_ok(),
        "both are good while both are published"
    );
    assert_eq!(host.requests(), 2);

    host.publish(&[published(&two, Algorithm::ES256, Some("two"))]);
    pause(600).await;
    assert_eq!(
        verifier.verify(&es256(&one, json!({ "kid": "x" }))).await,
        Err(AuthError::BadSignature)
    );
    assert_eq!(host.requests(), 3);
    assert_eq!(
        verifier.verify(&old).await,
        Err(AuthError::BadSignature),
        "gone with the refresh"
    );
    assert!(verifier.verify(&new).await.is_ok());
}

#[tokio::test]
async fn the_background_refresh_drops_old_keys_until_it_is_stopped() {
    let ((one, _), (two, _)) = (ec(), ec());
    let host = Host::start(ok(&[published(&one, Algorithm::ES256, Some("one"))])).await;
    let verifier = verifier(
        &host.url,
        Timing {
            refresh: Duration::from_millis(100),
            ..timing()
        },
    );
    let stop = CancellationToken::new();
    let refresh = tokio::spawn(verifier.clone().keep_fresh(stop.clone()));
    let old = es256(&one, json!({ "kid": "one" }));
    assert!(verifier.verify(&old).await.is_ok());
    host.publish(&[published(&two, Algorithm::ES256, Some("two"))]);
    pause(400).await;
    assert_eq!(verifier.verify(&old).await, Err(AuthError::BadSignature));
    stop.cancel();
    refresh.await.expect("it ends without a panic");
    let requests = host.requests();
    pause(300).await;
    assert_eq!(
        host.requests(),
        requests,
        "nothing is fetched after the stop"
    );
}

#[tokio::test]
async fn an_outage_at_the_start_ends_by_itself() {
    let (key, _) = ec();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let verifier = verifier(&format!("http://{address}{PATH}"), timing());
    let token = es256(&key, json!({ "kid": "k" }));
    let error = verifier.verify(&token).await.expect_err("down");
    assert!(error.is_unavailable());
    assert_eq!(verifier.warm().await, Err(AuthError::KeysUnavailable));
    let listener = TcpListener::bind(address).await.expect("the same port");
    let _host = Host::serve(
        listener,
        ok(&[published(&key, Algorithm::ES256, Some("k"))]),
    );
    pause(100).await;
    assert!(verifier.verify(&token).await.is_ok());
}

#[tokio::test]
async fn an_outage_later_keeps_the_keys() {
    let (key, _) = ec();
    let host = Host::start(ok(&[published(&key, Algorithm::ES256, Some("k"))])).await;
    let verifier = verifier(&host.url, timing());
    let known = es256(&key, json!({ "kid": "k" }));
    assert!(verifier.warm().await.is_ok());
    // Both of these would make the unknown key a known one, if they were followed and read to the end.
    let more = json!({ "keys": [published(&key, Algorithm::ES256, Some("new"))] }).to_string();
    let elsewhere = Host::start(http("200 OK", &more)).await;
    let redirect = format!("302 Found\r\nlocation: {}", elsewhere.url);
    for answer in [
        http("500 Internal Server Error", ""),
        http("200 OK", "<html>"),
        http("200 OK", "{}"),
        http("200 OK", &(more + &" ".repeat(300_000))),
        http(&redirect, ""),
        String::new(),
    ] {
        *host.answer.lock() = answer.clone();
        pause(600).await;
        let unknown = verifier.verify(&es256(&key, json!({ "kid": "new" }))).await;
        let start: String = answer.chars().take(40).collect();
        assert_eq!(
            unknown,
            Err(AuthError::KeysUnavailable),
            "nobody can say now: {start}"
        );
        assert!(
            verifier.verify(&known).await.is_ok(),
            "the old keys stay: {start}"
        );
    }
    assert_eq!(elsewhere.requests(), 0, "redirects are not followed");
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let verifier = verifier(
        &format!(
            "http://{}{PATH}",
            listener.local_addr().expect("an address")
        ),
        timing(),
    );
    let (key, _) = ec();
    let start = std::time::Instant::now();
    assert_eq!(
        verifier.verify(&es256(&key, json!({}))).await,
        Err(AuthError::KeysUnavailable)
    );
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn many_at_once_make_one_fetch() {
    let (key, _) = ec();
    let host = Host::start(ok(&[published(&key, Algorithm::ES256, Some("k"))])).await;
    let verifier = verifier(&host.url, timing());
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..50 {
        let (verifier, token) = (verifier.clone(), es256(&key, json!({ "kid": "k" })));
        let task = tasks.spawn(async move { verifier.verify(&token).await });
        if at == 0 {
            // The first caller may be dropped.
            task.abort();
        }
    }
    let results = tasks.join_all_lossy().await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(host.requests(), 1);

    pause(600).await;
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..50 {
        let (verifier, token) = (
            verifier.clone(),
            es256(&key, json!({ "kid": format!("unknown-{at}") })),
        );
        tasks.spawn(async move { verifier.verify(&token).await });
    }
    assert!(
        tasks
            .join_all_lossy()
            .await
            .iter()
            .all(|result| *result == Err(AuthError::BadSignature))
    );
    assert_eq!(host.requests(), 2);
}

trait JoinLossy<T> {
    /// Returns the results of the tasks that were not aborted.
    async fn join_all_lossy(&mut self) -> Vec<T>;
}

impl<T: Send + 'static> JoinLossy<T> for tokio::task::JoinSet<T> {
    async fn join_all_lossy(&mut self) -> Vec<T> {
        let mut results = Vec::new();
        while let Some(result) = self.join_next().await {
            results.extend(result.ok());
        }
        results
    }
}

#[tokio::test]
async fn only_keys_of_the_right_kind_are_used() {
    let ((ec_key, _), (rsa_key, _)) = (ec(), rsa());
    let ec_jwk = || published(&ec_key, Algorithm::ES256, Some("k"));
    let token = es256(&ec_key, json!({ "kid": "k" }));
    let refused = Err(AuthError::BadSignature);
    let oct = json!({ "kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXMtMTIzNA" });
    for (why, jwk, good) in [
        ("as it is", ec_jwk(), true),
        ("without alg", without_alg(ec_jwk()), true),
        ("for signatures", with(ec_jwk(), "use", json!("sig")), true),
        (
            "to verify",
            with(ec_jwk(), "key_ops", json!(["verify"])),
            true,
        ),
        ("for encryption", with(ec_jwk(), "use", json!("enc")), false),
        (
            "to wrap keys",
            with(ec_jwk(), "key_ops", json!(["wrapKey"])),
            false,
        ),
        (
            "with the alg of another kind",
            with(ec_jwk(), "alg", json!("RS256")),
            false,
        ),
        (
            "with an alg that is not configured",
            with(ec_jwk(), "alg", json!("ES384")),
            false,
        ),
        (
            "with an alg nobody knows",
            with(ec_jwk(), "alg", json!("XX1")),
            false,
        ),
        (
            "with another curve's name",
            with(ec_jwk(), "crv", json!("P-384")),
            false,
        ),
        (
            "with a broken point",
            with(ec_jwk(), "x", json!("AAAA")),
            false,
        ),
        ("a symmetric key", oct, false),
        ("not a key", json!("k"), false),
        (
            "an RSA key under the same kid",
            published(&rsa_key, Algorithm::RS256, Some("k")),
            false,
        ),
    ] {
        // Another key beside it, to check that one bad key does not spoil the set.
        let host = Host::start(ok(&[jwk, published(&rsa_key, Algorithm::RS256, Some("r"))])).await;
        let verifier = verifier(&host.url, timing());
        let result = verifier.verify(&token).await;
        if good {
            assert!(result.is_ok(), "{why}");
        } else {
            assert_eq!(result, refused, "{why}");
        }
        let rs = sign_raw(
            r#"{"alg":"RS256","kid":"r"}"#,
            &claims().to_string(),
            &rsa_key,
            Algorithm::RS256,
        );
        assert!(verifier.verify(&rs).await.is_ok(), "the key beside: {why}");
    }
}

#[tokio::test]
async fn games_with_the_kid_lead_nowhere() {
    let ((key, pem), (other, _)) = (ec(), ec());
    let jwk = without_alg(published(&key, Algorithm::ES256, Some("k")));
    let host = Host::start(ok(std::slice::from_ref(&jwk))).await;
    let verifier = verifier(&host.url, timing());
    for kid in [
        "../../etc/passwd",
        "' OR 1=1 --",
        "",
        "K",
        "k ",
        "k\u{0}",
        "%6b",
    ] {
        assert_eq!(
            verifier.verify(&es256(&key, json!({ "kid": kid }))).await,
            Err(AuthError::BadSignature),
            "{kid:?}"
        );
    }
    assert_eq!(
        verifier.verify(&es256(&other, json!({ "kid": "k" }))).await,
        Err(AuthError::BadSignature)
    );
    assert_eq!(
        verifier.verify(&es256(&other, json!({}))).await,
        Err(AuthError::BadSignature)
    );
    assert!(
        verifier.verify(&es256(&key, json!({}))).await.is_ok(),
        "without a kid every fitting key is tried"
    );

    // The published key as the secret of an HMAC, in each form an attacker could think of.
    for secret in [
        pem,
        jwk.to_string(),
        jwk["x"].as_str().expect("x").to_owned(),
        "k".to_owned(),
    ] {
        let secret = EncodingKey::from_secret(secret.as_bytes());
        let token = sign_raw(
            r#"{"alg":"HS256","kid":"k"}"#,
            &claims().to_string(),
            &secret,
            Algorithm::HS256,
        );
        assert_eq!(verifier.verify(&token).await, Err(AuthError::BadSignature));
    }
    assert_eq!(
        verifier
            .verify(&hs256(&json!({ "alg": "none", "kid": "k" }), &claims()))
            .await,
        Err(AuthError::Malformed)
    );

    let host = Host::start(ok(&[without_alg(published(&key, Algorithm::ES256, None))])).await;
    let verifier = self::verifier(&host.url, timing());
    assert!(
        verifier
            .verify(&es256(&key, json!({ "kid": "any" })))
            .await
            .is_ok(),
        "a set without ids"
    );
}

#[tokio::test]
async fn keys_and_addresses_in_a_token_are_never_used() {
    let ((key, _), (evil, _)) = (ec(), ec());
    let evil_jwk = published(&evil, Algorithm::ES256, Some("k"));
    let host = Host::start(ok(&[published(&key, Algorithm::ES256, Some("k"))])).await;
    let trap = Host::start(ok(std::slice::from_ref(&evil_jwk))).await;
    let verifier = verifier(&host.url, timing());
    for kid in ["k", "unknown"] {
        for header in [
            json!({ "kid": kid, "jku": trap.url }),
            json!({ "kid": kid, "x5u": trap.url }),
            json!({ "kid": kid, "jwk": evil_jwk }),
            json!({ "kid": kid, "x5c": ["MIIB"], "x5t": "AAAA" }),
            json!({ "kid": trap.url }),
        ] {
            let why = header.to_string();
            assert_eq!(
                verifier.verify(&es256(&evil, header)).await,
                Err(AuthError::BadSignature),
                "{why}"
            );
            pause(60).await;
        }
    }
    // Such a header does not spoil a good token either: it is simply ignored.
    assert!(
        verifier
            .verify(&es256(&key, json!({ "kid": "k", "jku": trap.url })))
            .await
            .is_ok()
    );
    assert_eq!(trap.requests(), 0, "nobody called the address in the token");
}
