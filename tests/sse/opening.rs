//! Opening a stream: credentials, paths, and headers of the answer.

use serde_json::json;

use crate::support::{EventStream, Service, eventually};

async fn status(base: &str, query: &str, headers: &[(&str, &str)]) -> u16 {
    match EventStream::open(base, query, headers).await {
        Ok(_) => 200,
        Err((status, _)) => status,
    }
}

#[tokio::test]
async fn the_token_comes_by_header_or_in_the_query_and_must_be_good() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let good = format!("Bearer {}", alice.token);
    let old = service.token("alice").expires_in(-3600).sign();
    let foreign = service
        .token("alice")
        .secret("another secret of the right length, 32")
        .sign();
    for base in [service.ws_base(), service.api_url().to_owned()] {
        assert_eq!(status(&base, "", &[("Authorization", &good)]).await, 200);
        let query = format!("?token={}", alice.token);
        assert_eq!(status(&base, &query, &[]).await, 200);
        for query in [
            String::new(),
            "?token=".to_owned(),
            "?token=nonsense".to_owned(),
            format!("?token={old}"),
            format!("?token={foreign}"),
        ] {
            let Err((status, body)) = EventStream::open(&base, &query, &[]).await else {
                panic!("{query} was let in");
            };
            assert_eq!((status, &body["code"]), (401, &json!("UNAUTHORIZED")));
            assert!(
                body["message"].is_string() && body["statusCode"] == 401,
                "{body}"
            );
        }
    }
}

#[tokio::test]
async fn the_host_follows_in_a_users_name() {
    let service = Service::start().await;
    service.user("alice").await;
    let secret = ("X-Internal-Secret", crate::support::INTERNAL_SECRET);
    let base = service.ws_base();
    let mut stream = EventStream::open(&base, "", &[secret, ("X-Acting-User", "alice")])
        .await
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert_eq!(
        stream.find("connected").await.data["data"]["userId"],
        "alice"
    );
    for (acting, expected) in [(None, 400), (Some("ghost"), 400), (Some("%ff"), 400)] {
        let mut headers = vec![secret];
        headers.extend(acting.map(|user| ("X-Acting-User", user)));
        let Err((status, body)) = EventStream::open(&base, "", &headers).await else {
            panic!("{acting:?} was let in");
        };
        assert_eq!(status, expected, "{body}");
        assert_eq!(body["details"][0]["field"], "X-Acting-User", "{body}");
    }
    let wrong = [("X-Internal-Secret", "wrong"), ("X-Acting-User", "alice")];
    assert_eq!(status(&base, "", &wrong).await, 401);
}

#[tokio::test]
async fn a_listed_page_may_read_it_and_a_foreign_one_may_not() {
    let service = Service::builder()
        .env("ALLOWED_ORIGINS", "https://shop.example")
        .start()
        .await;
    let alice = service.user("alice").await;
    let query = format!("?token={}", alice.token);
    for base in [service.ws_base(), service.api_url().to_owned()] {
        let page = [("Origin", "https://shop.example")];
        let stream = EventStream::open(&base, &query, &page).await;
        let stream = stream.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert_eq!(
            stream.headers["access-control-allow-origin"],
            "https://shop.example"
        );
        assert_eq!(stream.headers["access-control-allow-credentials"], "true");
        let page = [("Origin", "https://evil.example")];
        let Err((status, body)) = EventStream::open(&base, &query, &page).await else {
            panic!("a foreign page was let in");
        };
        assert_eq!((status, &body["code"]), (403, &json!("FORBIDDEN")));
        // A page that sends its token in a header asks first.
        let asked = reqwest::Client::new()
            .request(reqwest::Method::OPTIONS, format!("{base}/api/events"))
            .header("Origin", "https://shop.example")
            .header("Access-Control-Request-Method", "GET")
            .header(
                "Access-Control-Request-Headers",
                "authorization, last-event-id",
            )
            .send()
            .await
            .expect("an answer");
        assert_eq!(asked.status().as_u16(), 204);
        let allowed = asked.headers()["access-control-allow-headers"]
            .to_str()
            .expect("a text")
            .to_lowercase();
        assert!(
            allowed.contains("last-event-id") && allowed.contains("authorization"),
            "{allowed}"
        );
    }
}

#[tokio::test]
async fn the_stream_is_neither_cached_nor_buffered() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let query = format!("?token={}", alice.token);
    let headers = [("X-Request-Id", "order-4711")];
    let stream = EventStream::open(&service.ws_base(), &query, &headers).await;
    let stream = stream.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let cache = stream.headers["cache-control"].to_str().expect("a text");
    assert!(cache.contains("no-store"), "{cache}");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    assert_eq!(stream.headers["x-content-type-options"], "nosniff");
    assert_eq!(stream.headers["x-request-id"], "order-4711");
}

#[tokio::test]
async fn other_methods_are_refused_and_head_opens_nothing() {
    let service = Service::builder()
        .env("MAX_SOCKETS_PER_USER", "1")
        .start()
        .await;
    let alice = service.user("alice").await;
    for _ in 0..3 {
        let head = alice
            .request(reqwest::Method::HEAD, "/api/events", None)
            .await;
        assert_eq!(head.status, 200);
    }
    let posted = alice.post("/api/events", json!({})).await;
    assert_eq!(posted.header("allow"), "GET, HEAD");
    posted.expect_error(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn streams_and_sockets_share_the_bound_of_a_user() {
    let service = Service::builder()
        .env("MAX_SOCKETS_PER_USER", "2")
        .start()
        .await;
    let alice = service.user("alice").await;
    let _socket = alice.connect().await;
    let (stream, _) = EventStream::follow(&service, &alice, None).await;
    let query = format!("?token={}", alice.token);
    let base = service.ws_base();
    let Err((refused, body)) = EventStream::open(&base, &query, &[]).await else {
        panic!("a third one was let in");
    };
    assert_eq!((refused, &body["code"]), (429, &json!("RATE_LIMITED")));
    drop(stream);
    eventually("a place is free again", || async {
        (status(&base, &query, &[]).await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_process_without_sockets_says_who_has_the_stream() {
    let service = Service::builder().roles("api").start().await;
    let alice = service.user("alice").await;
    let refused = alice.get("/api/events").await;
    assert_eq!(refused.header("retry-after"), "2");
    let error = refused.expect_error(503, "UNAVAILABLE");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("role ws")),
        "{error}"
    );
}
