//! Rules of the authentication variables, and what may be printed.

use jsonwebtoken::Algorithm;

use super::tests::Place;
use super::tests_rules::{config, fault, refused};
use super::*;

#[test]
fn secrets_must_be_long_and_real() {
    assert_eq!(
        fault(&[("AUTH_JWT_SECRET", "hunter2")]),
        "AUTH_JWT_SECRET: is 7 characters long; at least 32 are needed (openssl rand -hex 32)"
    );
    for name in ["AUTH_JWT_SECRET", "INTERNAL_API_SECRET", "SECRETS_KEY"] {
        refused(&[
            (name, "x", "is 1 character long"),
            (
                name,
                "changeme-0f1e2d3c4b5a69788796a5b4c3d2",
                "example text \"changeme\"",
            ),
            (
                name,
                "Please-Change-Me-0f1e2d3c4b5a6978",
                "example text \"change-me\"",
            ),
            (
                name,
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "short piece repeated",
            ),
            (
                name,
                "secretsecretsecretsecretsecretsecret",
                "short piece repeated",
            ),
            (
                name,
                "0123456789abcdef0123456789abcdef",
                "short piece repeated",
            ),
            (
                name,
                "abcabcbabcbcabcbabcabcbbcabcabbacb",
                "only 3 different characters",
            ),
        ]);
    }
    let same = "5b2d4860f1e2d3c4b5a697883f1c9a7e";
    let both = fault(&[("AUTH_JWT_SECRET", same), ("INTERNAL_API_SECRET", same)]);
    assert!(
        both.starts_with("INTERNAL_API_SECRET: is the same as AUTH_JWT_SECRET;"),
        "{both}"
    );
    let both = fault(&[("SECRETS_KEY", same), ("INTERNAL_API_SECRET", same)]);
    assert!(
        both.starts_with("SECRETS_KEY: is the same as INTERNAL_API_SECRET;"),
        "{both}"
    );
}

const EC_PEM: &str = "-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\
    \\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\\n-----END PUBLIC KEY-----";

#[test]
fn exactly_one_key_for_tokens() {
    let none = Place::valid().without("AUTH_JWT_SECRET").faults();
    assert_eq!(none.len(), 1);
    assert!(
        none[0]
            .starts_with("AUTH_JWT_SECRET: is required, or AUTH_JWT_PUBLIC_KEY, or AUTH_JWKS_URL"),
        "{none:?}"
    );
    assert_eq!(
        fault(&[("AUTH_JWKS_URL", "https://host/jwks")]),
        "AUTH_JWKS_URL: is set beside AUTH_JWT_SECRET; keep the one that the host signs with"
    );
    assert!(fault(&[("AUTH_JWT_PUBLIC_KEY", EC_PEM)]).contains("is set beside AUTH_JWT_SECRET"));

    let auth = config(&[]).auth;
    assert!(matches!(auth.key, TokenKey::Secret(_)));
    assert_eq!(auth.algorithms, [Algorithm::HS256]);
    let place = || Place::valid().without("AUTH_JWT_SECRET");
    let auth = place()
        .env(&[("AUTH_JWKS_URL", "https://host/jwks")])
        .config()
        .auth;
    assert_eq!(
        auth.algorithms,
        [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
    );
    let auth = place()
        .env(&[("AUTH_JWT_PUBLIC_KEY", EC_PEM)])
        .config()
        .auth;
    assert_eq!(auth.algorithms, [Algorithm::ES256]);
    let place = place()
        .file("key.pem", &EC_PEM.replace("\\n", "\n"))
        .env(&[("AUTH_JWT_PUBLIC_KEY", "key.pem")]);
    assert!(
        matches!(place.config().auth.key, TokenKey::PublicKey(pem) if pem.contains("BEGIN PUBLIC KEY"))
    );
}

#[test]
fn public_keys_and_key_sets() {
    let said = |pairs: &[(&str, &str)], said: &str| {
        let faults = Place::valid()
            .without("AUTH_JWT_SECRET")
            .env(pairs)
            .faults();
        assert_eq!(faults.len(), 1, "{pairs:?}: {faults:#?}");
        assert!(faults[0].contains(said), "{faults:?}");
    };
    said(
        &[("AUTH_JWT_PUBLIC_KEY", "missing.pem")],
        "neither a PEM text nor a readable file (\"missing.pem\"",
    );
    said(
        &[("AUTH_JWT_PUBLIC_KEY", "-----BEGIN PRIVATE KEY-----")],
        "holds a private key",
    );
    said(
        &[("AUTH_JWT_PUBLIC_KEY", "-----BEGIN CERTIFICATE-----")],
        "holds a certificate",
    );
    said(
        &[("AUTH_JWT_PUBLIC_KEY", "-----BEGIN PUBLIC KEY-----")],
        "holds no public key that can be read",
    );
    said(&[("AUTH_JWKS_URL", "host/jwks")], "is not a URL");
    said(
        &[("AUTH_JWKS_URL", "http://host/jwks")],
        "must start with https://",
    );
    said(
        &[("AUTH_JWKS_URL", "http://localhost.evil/jwks")],
        "must start with https://",
    );
    said(&[("AUTH_JWKS_URL", "file:///etc/jwks")], "names no host");
    let loopback = ("AUTH_JWKS_URL", "http://127.0.0.1:9/jwks");
    said(
        &[loopback, ("APP_ENV", "production")],
        "must start with https://",
    );
    let place = Place::valid()
        .without("AUTH_JWT_SECRET")
        .env(&[loopback, ("APP_ENV", "development")]);
    assert!(matches!(place.config().auth.key, TokenKey::Jwks(_)));
}

#[test]
fn algorithms_fit_the_key() {
    refused(&[
        ("AUTH_JWT_ALGORITHMS", "none", "names no algorithm"),
        ("AUTH_JWT_ALGORITHMS", "HS256,none", "holds \"none\""),
        (
            "AUTH_JWT_ALGORITHMS",
            "HS256,RS256",
            "RS256 does not work with AUTH_JWT_SECRET",
        ),
        ("AUTH_JWT_ALGORITHMS", ",", "names no algorithm"),
        ("AUTH_JWT_LEEWAY_SECONDS", "301", "seconds from 0 to 300"),
    ]);
    let auth = config(&[
        ("AUTH_JWT_ALGORITHMS", "HS512, HS256"),
        ("AUTH_JWT_AUDIENCE", "a, b"),
    ])
    .auth;
    assert_eq!(auth.algorithms, [Algorithm::HS512, Algorithm::HS256]);
    assert_eq!(auth.audience, ["a", "b"]);
    for (key, said) in [
        (
            ("AUTH_JWKS_URL", "https://host/jwks"),
            "HS256 works only with AUTH_JWT_SECRET",
        ),
        (
            ("AUTH_JWT_PUBLIC_KEY", EC_PEM),
            "HS256 works only with AUTH_JWT_SECRET",
        ),
    ] {
        let faults = Place::valid()
            .without("AUTH_JWT_SECRET")
            .env(&[key, ("AUTH_JWT_ALGORITHMS", "ES256,HS256")])
            .faults();
        assert!(faults.len() == 1 && faults[0].contains(said), "{faults:?}");
    }
    let place = Place::valid().without("AUTH_JWT_SECRET");
    let faults = place
        .env(&[
            ("AUTH_JWT_PUBLIC_KEY", EC_PEM),
            ("AUTH_JWT_ALGORITHMS", "RS256"),
        ])
        .faults();
    assert!(
        faults.len() == 1 && faults[0].contains("does not fit the kind of key"),
        "{faults:?}"
    );
}

#[test]
fn nothing_secret_is_printed() {
    let secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let uris = [
        (
            "MONGODB_URI",
            "mongodb://user:pa55@h1,h2/db?tlsCertificateKeyFilePassword=pa55&replicaSet=rs0",
        ),
        ("NATS_URL", "nats://pa55@a:4222,nats://user:pa55@b:4222"),
        ("WEBHOOK_URL", "https://host/hook?token=pa55"),
        ("WEBHOOK_SECRET", secret),
    ];
    let config = config(&uris);
    let debug = format!("{config:?}");
    assert!(
        !debug.contains("pa55") && !debug.contains(secret),
        "{debug}"
    );
    assert!(
        debug.contains(
            "mongodb://user:***@h1,h2/db?tlsCertificateKeyFilePassword=***&replicaSet=rs0"
        ),
        "{debug}"
    );
    assert_eq!(config.plugins.texts.0["WEBHOOK_SECRET"], secret);
    // Faults about the same variables quote nothing either.
    for (name, text) in [
        ("MONGODB_URI", "mongodb://user:pa55/@x y/db"),
        ("MONGODB_URI", "user:pa55@h"),
        ("NATS_URL", "nats://user:pa55@:x"),
        ("NATS_URL", "nats://user:pa,55@h"),
        ("AUTH_JWT_SECRET", "pa55"),
    ] {
        let fault = fault(&[(name, text)]);
        assert!(!fault.contains("pa55"), "{fault}");
    }
}
