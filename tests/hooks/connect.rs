//! `user.before_connect`: sockets and event streams.

use serde_json::json;

use super::sample::service;
use crate::support::{Connect, ConnectError, TokenBy};

const HOOK: &str = r#"{ name = "door", points = ["user.before_connect"] }"#;

#[tokio::test]
async fn a_refused_user_gets_no_socket_and_no_stream_but_rest() {
    let service = service(HOOK).await;
    let refused = service.user("refused").await;
    for token_by in [TokenBy::Header, TokenBy::FirstFrame] {
        let how = Connect {
            token_by,
            ..Connect::default()
        };
        let error = refused.try_connect(how).await.err();
        assert_eq!(error, Some(ConnectError::Closed(4403)), "{token_by:?}");
    }
    let error = refused
        .get("/api/events")
        .await
        .expect_error(403, "FORBIDDEN");
    assert_eq!(
        error["details"],
        json!([{ "field": "hook", "message": "BAD_WORD" }])
    );
    refused.get("/api/conversations").await.expect(200);
    let mut alice = service.user("alice").await.connect().await;
    assert!(alice.is_alive().await);
}
