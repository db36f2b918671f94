//! Hostile requests, each with the answer that docs/ACCOUNTS.md promises. None has an effect.

use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, audit, log_in, refresh, register, with_accounts};

/// A request and its answer: status, code, and the invalid field if there is one.
struct Case {
    path: &'static str,
    body: String,
    answer: (u16, &'static str, &'static str),
}

fn case(path: &'static str, body: Value, answer: (u16, &'static str, &'static str)) -> Case {
    Case {
        path,
        body: body.to_string(),
        answer,
    }
}

fn raw(path: &'static str, body: &str, answer: (u16, &'static str, &'static str)) -> Case {
    Case {
        path,
        body: body.to_owned(),
        answer,
    }
}

const INVALID: u16 = 400;

fn registrations() -> Vec<Case> {
    let by = |email: &str, password: &str| json!({ "email": email, "password": password });
    let refused =
        |body: Value, field| case("/auth/register", body, (INVALID, "VALIDATION_ERROR", field));
    vec![
        refused(by("new@shop.example", "short"), "password"),
        refused(by("new@shop.example", ""), "password"),
        refused(by("new@shop.example", "aaaaaaaaaaaaaaaa"), "password"),
        refused(by("new@shop.example", "new@shop.example"), "password"),
        refused(by("new@shop.example", "a\u{0}bcdefghij"), "password"),
        refused(by("new@shop.example", &"x".repeat(300)), "password"),
        refused(by("new@shop.example", &"\u{1f512}".repeat(65)), "password"),
        refused(by("new@shop.example", &"x".repeat(60_000)), "password"),
        refused(by("", PASSWORD), "email"),
        refused(by("new", PASSWORD), "email"),
        refused(by("new@localhost", PASSWORD), "email"),
        refused(
            by("new@shop.example\r\nBcc: x@shop.example", PASSWORD),
            "email",
        ),
        refused(by("new@[127.0.0.1]", PASSWORD), "email"),
        refused(
            by(&format!("{}@shop.example", "x".repeat(65)), PASSWORD),
            "email",
        ),
        // Look-alikes of ann@shop.example: Cyrillic letters, an invisible one, a change of direction.
        refused(by("\u{430}nn@shop.example", PASSWORD), "email"),
        refused(by("\u{430}\u{441}\u{435}@shop.example", PASSWORD), "email"),
        refused(by("a\u{202e}nn@shop.example", PASSWORD), "email"),
        refused(
            json!({ "email": "new@shop.example", "password": PASSWORD, "roles": ["admin"] }),
            "roles",
        ),
        refused(
            json!({ "email": "new@shop.example", "password": PASSWORD, "userId": "usr_1" }),
            "userId",
        ),
        refused(
            json!({ "email": { "$gt": "" }, "password": PASSWORD }),
            "email",
        ),
        refused(
            json!({ "email": ["ann@shop.example"], "password": PASSWORD }),
            "email",
        ),
        refused(
            json!({ "email": "new@shop.example", "password": PASSWORD, "name": "" }),
            "name",
        ),
    ]
}

fn logins() -> Vec<Case> {
    let by = |login: &str, password: &str| json!({ "login": login, "password": password });
    let refused = (401, "UNAUTHORIZED", "");
    let invalid =
        |body: Value, field| case("/auth/login", body, (INVALID, "VALIDATION_ERROR", field));
    vec![
        case(
            "/auth/login",
            by("ann@shop.example", "wrong horse"),
            refused,
        ),
        case(
            "/auth/login",
            by("ann@shop.example", &PASSWORD.to_uppercase()),
            refused,
        ),
        case(
            "/auth/login",
            by("ann@shop.example", &format!("{PASSWORD} ")),
            refused,
        ),
        case("/auth/login", by("unknown@shop.example", PASSWORD), refused),
        case(
            "/auth/login",
            by("\u{430}nn@shop.example", PASSWORD),
            refused,
        ),
        case("/auth/login", by("", PASSWORD), refused),
        case(
            "/auth/login",
            by("usr_01hzx3v7k9q2m4n6p8r0s2t4v6", PASSWORD),
            refused,
        ),
        invalid(by("ann@shop.example", ""), "password"),
        invalid(by("ann@shop.example", &"x".repeat(60_000)), "password"),
        invalid(
            json!({ "login": "ann@shop.example", "password": { "$ne": 1 } }),
            "password",
        ),
        invalid(json!({ "login": "ann@shop.example" }), "password"),
        invalid(by(&"é".repeat(1000), PASSWORD), "login"),
        raw("/auth/login", "{", (INVALID, "VALIDATION_ERROR", "body")),
        raw("/auth/login", "[]", (INVALID, "VALIDATION_ERROR", "body")),
        raw("/auth/login", "", (INVALID, "VALIDATION_ERROR", "body")),
        raw(
            "/auth/login",
            r#"{"login":"ann@shop.example","login":"bob@shop.example","password":"correct horse battery"}"#,
            (INVALID, "VALIDATION_ERROR", "login"),
        ),
    ]
}

fn tokens(refresh: &str) -> Vec<Case> {
    let refused = (401, "UNAUTHORIZED", "");
    let by = |token: &str| case("/auth/refresh", json!({ "refreshToken": token }), refused);
    let (session, secret) = refresh.rsplit_once('_').unwrap_or_default();
    let mut flipped = secret.to_owned();
    flipped.replace_range(0..1, if secret.starts_with('A') { "B" } else { "A" });
    let link = |path, body: Value, field| case(path, body, (INVALID, "VALIDATION_ERROR", field));
    vec![
        by(""),
        by("rt_"),
        by(&format!("{session}_{flipped}")),
        by(&format!("{session}_{}", "A".repeat(43))),
        by(&refresh.replacen("rt_", "ses_", 1)),
        by("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ."),
        link(
            "/auth/refresh",
            json!({ "refreshToken": "x".repeat(10_000) }),
            "refreshToken",
        ),
        link(
            "/auth/refresh",
            json!({ "refreshToken": null }),
            "refreshToken",
        ),
        link(
            "/auth/verify",
            json!({ "token": "A".repeat(43), "password": PASSWORD }),
            "token",
        ),
        link(
            "/auth/reset",
            json!({ "token": "", "newPassword": PASSWORD }),
            "token",
        ),
        case(
            "/auth/reset/request",
            json!({ "email": "ann@shop.example" }),
            (409, "CONFLICT", ""),
        ),
    ]
}

#[tokio::test]
async fn hostile_requests_are_answered_as_documented_and_change_nothing() {
    let service = with_accounts()
        .env("ACCOUNTS_MAX_FAILED_LOGINS", "1000")
        .env("ACCOUNTS_MAX_HASHES", "8")
        .start()
        .await;
    register(&service, "ann@shop.example").await;
    let ann = log_in(&service, "ann@shop.example").await;
    let accounts = service.sandbox().text("accounts_accounts").await;
    let cases: Vec<Case> = registrations()
        .into_iter()
        .chain(logins())
        .chain(tokens(&ann.refresh))
        .collect();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let anonymous = service.anonymous();
    let mut faults = Vec::new();
    for case in &cases {
        let (status, code, field) = case.answer;
        let sent = anonymous
            .send(
                Method::POST,
                case.path,
                "application/json",
                Some(case.body.clone()),
            )
            .await;
        let first = sent.json["details"][0]["field"]
            .as_str()
            .unwrap_or_default();
        let is_right = (sent.status, &sent.json["code"], first) == (status, &json!(code), field);
        let echoes = sent.text.contains(PASSWORD) || sent.text.contains("wrong horse");
        if !is_right || echoes || sent.text.len() > 2000 {
            let body: String = case.body.chars().take(100).collect();
            faults.push(format!("{} {body} -> {sent}", case.path));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    // A body of a MiB is refused before it is parsed.
    let huge = json!({ "login": "ann@shop.example", "password": "x".repeat(1 << 20) }).to_string();
    let answer = anonymous
        .send(Method::POST, "/auth/login", "application/json", Some(huge))
        .await;
    assert!(matches!(answer.status, 400 | 413), "{answer}");
    let form = Some("login=ann%40shop.example".to_owned());
    let answer = anonymous
        .send(
            Method::POST,
            "/auth/login",
            "application/x-www-form-urlencoded",
            form,
        )
        .await;
    answer.expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    for (method, path, status) in [
        (Method::GET, "/auth/login", 405),
        (Method::GET, "/auth/unknown", 404),
        (Method::GET, "/auth/me", 401),
        (Method::POST, "/auth/logout/all", 401),
    ] {
        let answer = anonymous.request(method, path, None).await;
        assert_eq!(answer.status, status, "{answer}");
    }
    // A logout with somebody's session and a wrong secret ends nothing.
    let (session, _) = ann.refresh.rsplit_once('_').expect("a token");
    let guess = json!({ "refreshToken": format!("{session}_{}", "A".repeat(43)) });
    anonymous.post("/auth/logout", guess).await.expect(204);

    assert_eq!(service.sandbox().text("accounts_accounts").await, accounts);
    assert_eq!(audit(&service, &ann.user).await, ["logged_in"]);
    assert!(ann.is_accepted(&service).await);
    refresh(&service, &ann.refresh).await.expect(200);
}
