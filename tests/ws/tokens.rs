//! Expiry of a token, and its renewal in time.

use std::time::Duration;

use serde_json::json;

use crate::support::{Connect, Service};

#[tokio::test]
async fn a_socket_ends_with_its_token_unless_a_new_one_comes() {
    let service = Service::builder()
        .env("AUTH_JWT_LEEWAY_SECONDS", "0")
        .start()
        .await;
    let alice = service.user("alice").await;
    let short = || Connect {
        token: Some(service.token("alice").expires_in(8).sign()),
        ..Connect::default()
    };
    let mut ends = alice.connect_with(short()).await;
    let mut stays = alice.connect_with(short()).await;
    let token = service.token("alice").expires_in(60).sign();
    let ack = stays.ok("token:refresh", json!({ "token": token })).await;
    assert!(
        ack["expiresAt"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z')),
        "{ack}"
    );
    assert_eq!(ends.closed_within(Duration::from_secs(12)).await, 4401);
    stays.ok("ping", json!({})).await;
}

#[tokio::test]
async fn only_a_valid_token_of_the_same_user_refreshes() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    service.user("bob").await;
    let mut socket = alice.connect().await;
    for (what, token) in [
        ("of another user", service.token("bob").sign()),
        ("expired", service.token("alice").expires_in(-60).sign()),
        (
            "of another host",
            service
                .token("alice")
                .secret("another secret of 32 characters!")
                .sign(),
        ),
        ("garbage", "garbage".to_owned()),
    ] {
        let error = socket
            .refused("token:refresh", json!({ "token": token }))
            .await;
        assert_eq!(error["code"], "UNAUTHORIZED", "{what}");
    }
    let error = socket.refused("token:refresh", json!({})).await;
    assert_eq!(error["code"], "VALIDATION_ERROR");
    socket.ok("ping", json!({})).await;
}
