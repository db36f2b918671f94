//! Issuer and audience of tokens, and public keys that must check only their own algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::testkit::*;
use super::*;
use crate::config::TokenKey;

#[tokio::test]
async fn issuer_and_audience_are_required_when_configured() {
    use AuthError::{WrongAudience, WrongIssuer};
    let mut auth = with_secret();
    auth.issuer = Some("https://host".to_owned());
    auth.audience = vec!["chat".to_owned(), "chat-2".to_owned()];
    let verifier = verifier(&auth);
    let token = |iss: Value, aud: Value| {
        let mut claims = claims_with("iss", iss);
        claims["aud"] = aud;
        plain(&claims)
    };
    for aud in [json!("chat"), json!("chat-2"), json!(["other", "chat"])] {
        assert!(
            verifier
                .verify(&token(json!("https://host"), aud))
                .await
                .is_ok()
        );
    }
    let table = [
        (json!("https://evil"), json!("chat"), WrongIssuer),
        (json!("https://host/"), json!("chat"), WrongIssuer),
        (json!(["https://host"]), json!("chat"), WrongIssuer),
        (json!(7), json!("chat"), WrongIssuer),
        (Value::Null, json!("chat"), WrongIssuer),
        (json!("https://host"), json!("shop"), WrongAudience),
        (json!("https://host"), json!(["shop"]), WrongAudience),
        (json!("https://host"), json!([]), WrongAudience),
        (json!("https://host"), json!(7), WrongAudience),
        (json!("https://host"), Value::Null, WrongAudience),
    ];
    for (iss, aud, expected) in table {
        let why = format!("iss {iss}, aud {aud}");
        assert_eq!(
            verifier.verify(&token(iss, aud)).await,
            Err(expected),
            "{why}"
        );
    }
    let neither = verifier
        .verify(&plain(&claims()))
        .await
        .expect_err("neither");
    assert!(matches!(neither, WrongIssuer | WrongAudience));
}

#[tokio::test]
async fn public_keys_check_their_own_algorithm_only() {
    let ((rsa, rsa_pem), (ec, ec_pem), (ed, ed_pem)) = (rsa(), ec(), ed());
    let body = claims().to_string();
    for (key, pem, algorithm) in [
        (&rsa, &rsa_pem, Algorithm::RS256),
        (&ec, &ec_pem, Algorithm::ES256),
        (&ed, &ed_pem, Algorithm::EdDSA),
    ] {
        let verifier = verifier(&auth(TokenKey::PublicKey(pem.clone()), &[algorithm]));
        let header = format!(r#"{{"alg":"{algorithm:?}"}}"#);
        let token = sign_raw(&header, &body, key, algorithm);
        assert_eq!(
            verifier
                .verify(&token)
                .await
                .expect("good")
                .subject
                .as_str(),
            "alice"
        );

        // The public key as the secret of an HMAC: the classic confusion.
        let secret = EncodingKey::from_secret(pem.as_bytes());
        let confused = sign_raw(r#"{"alg":"HS256"}"#, &body, &secret, Algorithm::HS256);
        assert_eq!(
            verifier.verify(&confused).await,
            Err(AuthError::BadSignature),
            "{algorithm:?} as HS256"
        );

        let (message, _) = token.rsplit_once('.').expect("a signature");
        let zero = format!("{message}.{}", URL_SAFE_NO_PAD.encode([0_u8; 64]));
        assert_eq!(
            verifier.verify(&zero).await,
            Err(AuthError::BadSignature),
            "{algorithm:?}, signature of zeros"
        );
        assert_eq!(
            verifier.verify(&format!("{message}.")).await,
            Err(AuthError::BadSignature),
            "no signature"
        );
    }
    // PS256 with the right key is still not the configured algorithm.
    let verifier = verifier(&auth(TokenKey::PublicKey(rsa_pem), &[Algorithm::RS256]));
    let token = sign_raw(r#"{"alg":"PS256"}"#, &body, &rsa, Algorithm::PS256);
    assert_eq!(verifier.verify(&token).await, Err(AuthError::BadSignature));
}

#[test]
fn a_public_key_never_becomes_a_secret() {
    let (_, pem) = rsa();
    assert!(Verifier::from_config(&auth(TokenKey::PublicKey(pem), &[Algorithm::HS256])).is_err());
}

#[test]
fn internal_secrets_are_compared_whole() {
    assert!(internal_secret_matches(b"right", b"right"));
    for wrong in ["", "righ", "right ", "Right", "wrong"] {
        assert!(
            !internal_secret_matches(b"right", wrong.as_bytes()),
            "{wrong:?}"
        );
    }
    assert!(!internal_secret_matches(b"", b""));
}

#[test]
fn errors_are_one_plain_line_and_only_one_is_ours() {
    use AuthError::*;
    for error in [
        Missing,
        Malformed,
        BadSignature,
        Expired,
        NotYetValid { claim: "nbf" },
        WrongIssuer,
        WrongAudience,
        BadSubject,
        KeysUnavailable,
    ] {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'));
        assert_eq!(error.is_unavailable(), error == KeysUnavailable);
    }
}
