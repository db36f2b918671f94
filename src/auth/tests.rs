//! Hostile tokens, all of which must be refused, and the few that must pass.

#![allow(clippy::too_many_lines, reason = "tables of hostile tokens")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::testkit::*;
use super::*;

#[tokio::test]
async fn a_good_token_gives_its_claims() {
    let mut claims = claims();
    claims["iat"] = json!(now());
    claims["nbf"] = json!(now() - 1);
    claims["aud"] = json!("somebody else, but none is configured");
    claims["name"] = json!("Alice");
    claims["avatarUrl"] = json!("https://host/a.png");
    claims["roles"] = json!(["agent", 7, "admin"]);
    let got = verifier(&with_secret())
        .verify(&plain(&claims))
        .await
        .expect("good");
    assert_eq!(got.subject.as_str(), "alice");
    assert_eq!(got.expires_at, claims["exp"].as_i64().expect("a number"));
    assert_eq!(got.issued_at, claims["iat"].as_i64());
    assert_eq!(got.name.as_deref(), Some("Alice"));
    assert_eq!(got.avatar_url.as_deref(), Some("https://host/a.png"));
    assert_eq!(got.roles, ["agent", "admin"]);
}

#[tokio::test]
async fn forms_that_must_pass() {
    let verifier = verifier(&with_secret());
    let alg = "HS256";
    for (why, header, claims) in [
        ("no typ", json!({ "alg": alg }), claims()),
        (
            "access token type",
            json!({ "alg": alg, "typ": "application/at+JWT" }),
            claims(),
        ),
        (
            "a kid beside one key",
            json!({ "alg": alg, "kid": "k" }),
            claims(),
        ),
        (
            "just expired, within the leeway",
            json!({ "alg": alg }),
            claims_with("exp", json!(now() - 3)),
        ),
        (
            "nbf within the leeway",
            json!({ "alg": alg }),
            claims_with("nbf", json!(now() + 3)),
        ),
        (
            "times with a fraction",
            json!({ "alg": alg }),
            json!({
                "sub": "alice", "exp": now() as f64 + 60.5, "iat": now() as f64 - 0.25, "nbf": now() as f64 - 1.75,
            }),
        ),
        (
            "times that are whole, written as a fraction",
            json!({ "alg": alg }),
            json!({ "sub": "alice", "exp": now() as f64 + 60.0, "iat": now() as f64, "nbf": 0.0 }),
        ),
        (
            "iat within the leeway",
            json!({ "alg": alg }),
            claims_with("iat", json!(now() + 3)),
        ),
        (
            "128 characters of subject",
            json!({ "alg": alg }),
            claims_with("sub", json!("é".repeat(128))),
        ),
        (
            "subject with subject tokens",
            json!({ "alg": alg }),
            claims_with("sub", json!("a.b*>$SYS / me")),
        ),
        (
            "a list of audiences, none configured",
            json!({ "alg": alg }),
            claims_with("aud", json!(["a", "b"])),
        ),
        (
            "roles of another kind",
            json!({ "alg": alg }),
            claims_with("roles", json!("admin")),
        ),
    ] {
        assert!(
            verifier.verify(&hs256(&header, &claims)).await.is_ok(),
            "{why}"
        );
    }
}

#[tokio::test]
async fn hostile_headers_and_shapes_are_refused() {
    use AuthError::{BadClaims, BadSignature, Malformed, Missing};
    let good = plain(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let head = |header: Value| hs256(&header, &claims());
    let flipped = {
        let mut bytes = good.clone().into_bytes();
        let at = bytes.len() - 10;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("text")
    };
    let long = claims_with("pad", json!("x".repeat(1_000_000)));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let bytes = |claims: &[u8]| {
        let message = format!("{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims));
        format!(
            "{message}.{}",
            jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed")
        )
    };
    let other = EncodingKey::from_secret(b"another secret of thirty-two byt");
    let body = claims().to_string();
    let table = vec![
        ("nothing", String::new(), Missing),
        ("one word", "x".to_owned(), Malformed),
        ("two parts", format!("{}.{}", parts[0], parts[1]), Malformed),
        ("four parts", format!("{good}.x"), Malformed),
        (
            "five parts, encrypted",
            "e30.e30.e30.e30.e30".to_owned(),
            Malformed,
        ),
        ("white space", format!(" {good}"), Malformed),
        ("padding", format!("{good}="), Malformed),
        ("alg none", unsigned(&json!({ "alg": "none" })), Malformed),
        ("alg None", unsigned(&json!({ "alg": "None" })), Malformed),
        ("alg nOnE", unsigned(&json!({ "alg": "nOnE" })), Malformed),
        (
            "alg HS256, no signature",
            unsigned(&json!({ "alg": "HS256" })),
            BadSignature,
        ),
        ("alg hs256", head(json!({ "alg": "hs256" })), Malformed),
        ("no alg", head(json!({ "typ": "JWT" })), Malformed),
        (
            "alg is a list",
            head(json!({ "alg": ["HS256"] })),
            Malformed,
        ),
        (
            "alg twice",
            sign_raw(
                r#"{"alg":"none","alg":"HS256"}"#,
                &body,
                &key,
                Algorithm::HS256,
            ),
            Malformed,
        ),
        (
            "HS512 where HS256 is configured",
            sign_raw(r#"{"alg":"HS512"}"#, &body, &key, Algorithm::HS512),
            BadSignature,
        ),
        (
            "HS512's signature under the name HS256",
            sign_raw(r#"{"alg":"HS256"}"#, &body, &key, Algorithm::HS512),
            BadSignature,
        ),
        (
            "another secret",
            sign_raw(r#"{"alg":"HS256"}"#, &body, &other, Algorithm::HS256),
            BadSignature,
        ),
        ("a changed signature", flipped, BadSignature),
        (
            "changed claims",
            format!(
                "{}.{}.{}",
                parts[0],
                URL_SAFE_NO_PAD.encode(claims_with("sub", json!("eve")).to_string()),
                parts[2]
            ),
            BadSignature,
        ),
        (
            "RS256 asked of a secret",
            head(json!({ "alg": "RS256" })),
            BadSignature,
        ),
        (
            "crit",
            head(json!({ "alg": "HS256", "crit": ["exp"] })),
            Malformed,
        ),
        (
            "crit, empty",
            head(json!({ "alg": "HS256", "crit": [] })),
            Malformed,
        ),
        (
            "crit with b64",
            head(json!({ "alg": "HS256", "crit": ["b64"], "b64": false })),
            Malformed,
        ),
        (
            "another type of token",
            head(json!({ "alg": "HS256", "typ": "logout+jwt" })),
            Malformed,
        ),
        (
            "an event",
            head(json!({ "alg": "HS256", "typ": "secevent+jwt" })),
            Malformed,
        ),
        (
            "kid is a list",
            head(json!({ "alg": "HS256", "kid": ["a"] })),
            Malformed,
        ),
        (
            "kid is very long",
            head(json!({ "alg": "HS256", "kid": "k".repeat(300) })),
            Malformed,
        ),
        ("1 MB", plain(&long), Malformed),
        (
            "a token in a token",
            sign_raw(
                r#"{"alg":"HS256","cty":"JWT"}"#,
                &good,
                &key,
                Algorithm::HS256,
            ),
            BadClaims,
        ),
        (
            "claims are a list",
            plain(&json!(["sub", "alice"])),
            BadClaims,
        ),
        (
            "claims are not UTF-8",
            bytes(b"{\"sub\":\"\xff\xfe\",\"exp\":9999999999}"),
            BadClaims,
        ),
        ("claims are nothing", bytes(b""), BadClaims),
        (
            "sub twice",
            bytes(format!(r#"{{"sub":"alice","sub":"eve","exp":{}}}"#, now() + 60).as_bytes()),
            BadClaims,
        ),
        (
            "exp twice",
            bytes(format!(r#"{{"sub":"alice","exp":1,"exp":{}}}"#, now() + 60).as_bytes()),
            BadClaims,
        ),
        (
            "nested too deep",
            bytes(
                format!(
                    r#"{{"sub":"alice","exp":{},"name":{}}}"#,
                    now() + 60,
                    "[".repeat(2_000)
                )
                .as_bytes(),
            ),
            BadClaims,
        ),
    ];
    let verifier = verifier(&with_secret());
    for (why, token, expected) in table {
        assert_eq!(verifier.verify(&token).await, Err(expected), "{why}");
    }
}

#[tokio::test]
async fn hostile_claims_are_refused() {
    use AuthError::{BadSubject, Expired, NotYetValid};
    let bad = |claim, problem| AuthError::BadClaim { claim, problem };
    let no_number = "must be a number of seconds since 1970";
    let too_large = "must be in seconds since 1970, not milliseconds";
    let negative = "must not be negative";
    let verifier = verifier(&with_secret());
    let soon = now() + 60;
    let table = vec![
        (
            "exp is missing",
            json!({ "sub": "alice" }),
            bad("exp", "is missing"),
        ),
        (
            "exp is null",
            claims_with("exp", Value::Null),
            bad("exp", "is missing"),
        ),
        (
            "exp is a text",
            claims_with("exp", json!(soon.to_string())),
            bad("exp", no_number),
        ),
        (
            "exp is huge",
            claims_with("exp", json!(u64::MAX)),
            bad("exp", too_large),
        ),
        (
            "exp is larger than any number",
            claims_with("exp", json!(1e300)),
            bad("exp", too_large),
        ),
        (
            "exp is in milliseconds",
            claims_with("exp", json!(soon * 1_000)),
            bad("exp", too_large),
        ),
        (
            "exp is negative",
            claims_with("exp", json!(-1)),
            bad("exp", negative),
        ),
        (
            "exp is a list",
            claims_with("exp", json!([soon])),
            bad("exp", no_number),
        ),
        (
            "exp is true",
            claims_with("exp", json!(true)),
            bad("exp", no_number),
        ),
        ("exp is 0", claims_with("exp", json!(0)), Expired),
        (
            "exp is past the leeway",
            claims_with("exp", json!(now() - 7)),
            Expired,
        ),
        (
            "exp is past the leeway by a fraction",
            claims_with("exp", json!(now() as f64 - 6.5)),
            Expired,
        ),
        (
            "nbf is to come, with a fraction",
            claims_with("nbf", json!(now() as f64 + 60.25)),
            NotYetValid { claim: "nbf" },
        ),
        (
            "nbf is to come",
            claims_with("nbf", json!(now() + 60)),
            NotYetValid { claim: "nbf" },
        ),
        (
            "nbf is a text",
            claims_with("nbf", json!("0")),
            bad("nbf", no_number),
        ),
        (
            "iat is to come",
            claims_with("iat", json!(now() + 60)),
            NotYetValid { claim: "iat" },
        ),
        (
            "iat is a text",
            claims_with("iat", json!("0")),
            bad("iat", no_number),
        ),
        (
            "iat is negative",
            claims_with("iat", json!(-5)),
            bad("iat", negative),
        ),
        ("sub is missing", json!({ "exp": soon }), BadSubject),
        ("sub is empty", claims_with("sub", json!("")), BadSubject),
        ("sub is a number", claims_with("sub", json!(7)), BadSubject),
        (
            "sub is a list",
            claims_with("sub", json!(["alice"])),
            BadSubject,
        ),
        ("sub is null", claims_with("sub", Value::Null), BadSubject),
        (
            "sub has 129 characters",
            claims_with("sub", json!("a".repeat(129))),
            BadSubject,
        ),
        (
            "sub has a NUL",
            claims_with("sub", json!("a\u{0}b")),
            BadSubject,
        ),
        (
            "sub has a line break",
            claims_with("sub", json!("a\nb")),
            BadSubject,
        ),
        (
            "sub has a C1 control character",
            claims_with("sub", json!("a\u{85}b")),
            BadSubject,
        ),
        ("sub is me", claims_with("sub", json!("me")), BadSubject),
        (
            "sub is search",
            claims_with("sub", json!("search")),
            BadSubject,
        ),
        ("sub is sync", claims_with("sub", json!("sync")), BadSubject),
        (
            "sub is system",
            claims_with("sub", json!("system")),
            BadSubject,
        ),
        ("sub is @all", claims_with("sub", json!("@all")), BadSubject),
    ];
    for (why, claims, expected) in table {
        assert_eq!(
            verifier.verify(&plain(&claims)).await,
            Err(expected),
            "{why}"
        );
    }
}

#[test]
fn only_a_token_that_may_be_forged_counts_as_a_failed_proof() {
    use AuthError::*;
    let bad_claim = BadClaim {
        claim: "exp",
        problem: "is missing",
    };
    assert!(Malformed.is_forgery() && BadSignature.is_forgery());
    for error in [
        Missing,
        BadClaims,
        bad_claim,
        Expired,
        NotYetValid { claim: "nbf" },
        WrongIssuer,
        WrongAudience,
        BadSubject,
        Revoked,
        KeysUnavailable,
    ] {
        assert!(!error.is_forgery(), "{error}");
    }
}
