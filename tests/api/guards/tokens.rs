//! Forged, altered and expired tokens: each is refused with the same 401, and none creates a user.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384};

use super::super::wire;
use crate::support::Service;

const SECRET: &str = "a-secret-of-this-test-only-0123456789abcdef";

fn part(json: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

/// A token of exactly these texts, signed with HMAC-SHA256.
fn signed(header: &str, claims: &str, secret: &str) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(message.as_bytes());
    format!(
        "{message}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn claims() -> Value {
    json!({ "sub": "mallory", "exp": now() + 600 })
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    signed(HS256, &claims.to_string(), SECRET)
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn hostile_tokens() -> Vec<(&'static str, String)> {
    let good = claims().to_string();
    let valid = signed(HS256, &good, SECRET);
    let (head, signature) = valid.rsplit_once('.').expect("three parts");
    let unsigned = |alg: &str| {
        format!(
            "{}.{}.",
            part(&format!(r#"{{"alg":"{alg}"}}"#)),
            part(&good)
        )
    };
    let header = |header: &str| signed(header, &good, SECRET);
    let hs384 = {
        let message = format!("{}.{}", part(r#"{"alg":"HS384"}"#), part(&good));
        let mut mac = Hmac::<Sha384>::new_from_slice(SECRET.as_bytes()).expect("a key");
        mac.update(message.as_bytes());
        format!(
            "{message}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        )
    };
    vec![
        ("garbage", "garbage".to_owned()),
        ("two dots", "..".to_owned()),
        ("four parts", format!("{valid}.x")),
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg nOnE", unsigned("nOnE")),
        (
            "alg none with a signature",
            signed(r#"{"alg":"none"}"#, &good, SECRET),
        ),
        ("no signature", format!("{head}.")),
        ("a cut signature", format!("{head}.{}", &signature[..20])),
        ("a zero signature", format!("{head}.{}", "A".repeat(43))),
        (
            "another secret",
            signed(HS256, &good, "another-secret-of-the-same-length-012345678"),
        ),
        ("the empty secret", signed(HS256, &good, "")),
        (
            "RS256 signed as HS256",
            header(r#"{"alg":"RS256","typ":"JWT"}"#),
        ),
        (
            "ES256 with a zero signature",
            format!(
                "{}.{}.{}",
                part(r#"{"alg":"ES256"}"#),
                part(&good),
                "A".repeat(86)
            ),
        ),
        ("an algorithm that is not configured", hs384),
        (
            "another type of token",
            header(r#"{"alg":"HS256","typ":"logout+jwt"}"#),
        ),
        ("crit", header(r#"{"alg":"HS256","crit":["exp"]}"#)),
        ("no header", signed("{}", &good, SECRET)),
        ("a header that is a list", signed("[]", &good, SECRET)),
        ("claims that are a list", signed(HS256, "[]", SECRET)),
        ("claims that are no JSON", signed(HS256, "{", SECRET)),
        (
            "no sub",
            signed(HS256, &json!({ "exp": now() + 600 }).to_string(), SECRET),
        ),
        ("sub a number", with("sub", json!(42))),
        ("sub an operator", with("sub", json!({ "$ne": null }))),
        ("sub me", with("sub", json!("me"))),
        (
            "sub with a zero character",
            with("sub", json!("mal\u{0}lory")),
        ),
        ("sub too long", with("sub", json!("m".repeat(10_000)))),
        (
            "sub twice",
            signed(
                HS256,
                &format!(r#"{{"sub":"alice","sub":"mallory","exp":{}}}"#, now() + 600),
                SECRET,
            ),
        ),
        ("no exp", signed(HS256, r#"{"sub":"mallory"}"#, SECRET)),
        ("exp null", with("exp", Value::Null)),
        ("exp a text", with("exp", json!((now() + 600).to_string()))),
        ("exp negative", with("exp", json!(-1))),
        (
            "exp in milliseconds beyond all time",
            with("exp", json!(u64::MAX)),
        ),
        ("expired", with("exp", json!(now() - 60))),
        ("nbf in the future", with("nbf", json!(now() + 300))),
        ("iat in the future", with("iat", json!(now() + 300))),
        ("one mebibyte", with("pad", json!("x".repeat(20_000)))),
    ]
}

#[tokio::test]
async fn a_forged_token_is_401_and_creates_no_user() {
    let service = Service::builder()
        .env("AUTH_JWT_SECRET", SECRET)
        .start()
        .await;
    let anyone = service.anonymous();
    for (name, token) in hostile_tokens() {
        let answer = anyone
            .with("Authorization", &format!("Bearer {token}"))
            .get("/api/users/me")
            .await;
        assert_eq!(answer.status, 401, "{name}: {answer}");
        assert_eq!(answer.json["code"], "UNAUTHORIZED", "{name}");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{name}");
        let shown = answer.json.to_string();
        assert!(
            token.is_empty() || !shown.contains(&token),
            "{name}: the token is repeated"
        );
        assert!(
            !shown.contains("mallory") && !shown.contains(SECRET),
            "{name}: {shown}"
        );
    }
    service
        .internal()
        .get("/api/users/mallory")
        .await
        .expect(404);
    // The same with nothing wrong is taken.
    let valid = signed(HS256, &claims().to_string(), SECRET);
    anyone
        .with("Authorization", &format!("Bearer {valid}"))
        .get("/api/users/me")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_token_is_taken_from_the_authorization_header_only() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let anyone = service.anonymous();
    let token = &alice.token;
    for path in [
        format!("/api/users/me?token={token}"),
        format!("/api/users/me?access_token={token}"),
    ] {
        anyone.get(&path).await.expect_error(401, "UNAUTHORIZED");
    }
    anyone
        .with("Cookie", &format!("token={token}"))
        .get("/api/users/me")
        .await
        .expect(401);
    for (value, status) in [
        (format!("Bearer {token}"), 200),
        (format!("bearer {token}"), 200),
        (format!("Bearer  {token}"), 200),
        (token.clone(), 401),
        (format!("Basic {token}"), 401),
        (format!("Bearer{token}"), 401),
        ("Bearer".to_owned(), 401),
        ("Bearer ".to_owned(), 401),
        (String::new(), 401),
        (format!("Bearer {token} {token}"), 401),
    ] {
        let answer = anyone
            .with("Authorization", &value)
            .get("/api/users/me")
            .await;
        assert_eq!(answer.status, status, "{value}");
    }
    let bytes = [("authorization", "Bearer \u{e4}\u{f6}")];
    assert_eq!(
        wire::send(&service, "GET", "/api/users/me", &bytes, b"")
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn small_clock_skew_is_tolerated() {
    let service = Service::builder()
        .env("AUTH_JWT_SECRET", SECRET)
        .start()
        .await;
    let get = async |token: String| {
        let client = service
            .anonymous()
            .with("Authorization", &format!("Bearer {token}"));
        client.get("/api/users/me").await.status
    };
    assert_eq!(get(with("exp", json!(now() - 2))).await, 200);
    assert_eq!(get(with("iat", json!(now() + 3))).await, 200);
    assert_eq!(get(with("nbf", json!(now() + 3))).await, 200);
    assert_eq!(get(with("exp", json!(now() - 10))).await, 401);
}

#[tokio::test]
async fn times_may_have_a_fraction_and_a_wrong_claim_is_named() {
    let service = Service::builder()
        .env("AUTH_JWT_SECRET", SECRET)
        .start()
        .await;
    let get = async |token: String| {
        let client = service
            .anonymous()
            .with("Authorization", &format!("Bearer {token}"));
        client.get("/api/users/me").await
    };
    let seconds = now() as f64;
    for (claim, value) in [
        ("exp", json!(seconds + 600.5)),
        ("iat", json!(seconds - 0.25)),
        ("nbf", json!(seconds - 1.75)),
    ] {
        get(with(claim, value)).await.expect(200);
    }
    for (claim, value, problem) in [
        ("exp", json!("soon"), "must be a number"),
        ("exp", Value::Null, "is missing"),
        ("exp", json!((now() + 600) * 1_000), "not milliseconds"),
        ("iat", json!("4711-secret"), "must be a number"),
        ("iat", json!(-1), "must not be negative"),
        ("nbf", json!([1]), "must be a number"),
        ("nbf", json!(seconds + 600.5), "lies in the future"),
        ("iat", json!(seconds + 600.5), "lies in the future"),
        ("exp", json!(seconds - 600.5), "has expired"),
        ("sub", json!(""), "is not a user id"),
    ] {
        let answer = get(with(claim, value.clone())).await;
        let message = answer.json["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(claim) && message.contains(problem),
            "{claim} {value}: {message}"
        );
        assert!(!message.contains("4711"), "{message}");
        answer.expect_error(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn issuer_and_audience_are_checked_if_configured() {
    let service = Service::builder()
        .env("AUTH_JWT_ISSUER", "https://shop.example")
        .env("AUTH_JWT_AUDIENCE", "chat")
        .start()
        .await;
    let get = async |iss: Value, aud: Value| {
        let mut token = service.token("alice");
        for (name, value) in [("iss", iss), ("aud", aud)] {
            if !value.is_null() {
                token = token.claim(name, value);
            }
        }
        let client = service
            .anonymous()
            .with("Authorization", &format!("Bearer {}", token.sign()));
        client.get("/api/users/me").await.status
    };
    let (iss, aud) = (json!("https://shop.example"), json!("chat"));
    assert_eq!(get(iss.clone(), aud.clone()).await, 200);
    assert_eq!(get(iss.clone(), json!(["other", "chat"])).await, 200);
    for wrong in [
        json!("https://shop.example/"),
        json!("https://evil.example"),
        json!(["https://shop.example"]),
        json!(7),
        Value::Null,
    ] {
        assert_eq!(get(wrong.clone(), aud.clone()).await, 401, "iss {wrong}");
    }
    for wrong in [
        json!("Chat"),
        json!("chat2"),
        json!([]),
        json!(["other"]),
        json!({ "$ne": null }),
        Value::Null,
    ] {
        assert_eq!(get(iss.clone(), wrong.clone()).await, 401, "aud {wrong}");
    }
}
