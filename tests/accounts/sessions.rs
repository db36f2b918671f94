//! Sessions: what a login gives, and what each way to end one ends.

use std::time::Duration;

use serde_json::json;

use super::{
    PASSWORD, Tokens, audit, log_in, log_in_with, refresh, register, register_verified, token_of,
    with_accounts, with_mail,
};
use crate::support::{Connect, ConnectError, Node, Socket, User};

/// Maximum time until sockets of an ended session are closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// A device: its tokens and its socket.
struct Device(Tokens, Socket);

async fn devices(node: &Node, email: &str) -> [Device; 3] {
    let device = async || {
        let tokens = log_in(node, email).await;
        let socket = tokens.socket(node).await;
        Device(tokens, socket)
    };
    [device().await, device().await, device().await]
}

impl Device {
    async fn is_ended(&mut self, node: &Node) {
        assert_eq!(self.1.closed_within(CLOSED_WITHIN).await, 4401);
        assert!(!self.0.is_accepted(node).await, "its access token works");
        let answer = refresh(node, &self.0.refresh).await;
        answer.expect_error(401, "UNAUTHORIZED");
    }

    async fn goes_on(&mut self, node: &Node) {
        self.1.ok("ping", json!({})).await;
        assert!(self.0.is_accepted(node).await);
        let next = refresh(node, &self.0.refresh).await.expect(200);
        self.0 = Tokens::of(&next);
        assert!(self.0.is_accepted(node).await);
        self.1.ok("ping", json!({})).await;
    }
}

#[tokio::test]
async fn tokens_of_a_login_work_everywhere_until_logout() {
    let service = with_accounts().start().await;
    register(&service, "ann@shop.example").await;
    register(&service, "bob@shop.example").await;
    let ann = log_in(&service, "ann@shop.example").await;
    let bob = log_in(&service, "bob@shop.example").await;

    let me = ann.at(&service).get("/auth/me").await.expect(200);
    assert_eq!(me["userId"], ann.user.as_str());
    assert_eq!(me["email"], "ann@shop.example");
    assert!(!me.to_string().contains("argon2"), "{me}");
    let user = ann.at(&service).get("/api/users/me").await.expect(200);
    assert_eq!(user["name"], "Ann");
    let mut socket = bob.socket(&service).await;
    let message = json!({ "receiverId": bob.user, "content": "hello" });
    let sent = ann.at(&service).post("/api/messages", message).await;
    let frame = socket.next("message:new").await;
    assert_eq!(frame["data"]["id"], sent.expect(201)["id"]);

    let next = Tokens::of(&refresh(&service, &ann.refresh).await.expect(200));
    assert_eq!((&next.user, &next.session), (&ann.user, &ann.session));
    assert_ne!(next.refresh, ann.refresh);
    let mut of_ann = next.socket(&service).await;
    let renewed = json!({ "token": next.access });
    of_ann.ok("token:refresh", renewed).await;

    let body = json!({ "refreshToken": next.refresh });
    let anonymous = service.anonymous();
    for _ in 0..2 {
        anonymous
            .post("/auth/logout", body.clone())
            .await
            .expect(204);
    }
    assert_eq!(of_ann.closed_within(CLOSED_WITHIN).await, 4401);
    assert!(!ann.is_accepted(&service).await && !next.is_accepted(&service).await);
    let how = Connect {
        token: Some(next.access.clone()),
        ..Connect::default()
    };
    let refused = Socket::connect(service.ws_url(), how).await;
    assert_eq!(refused.err(), Some(ConnectError::Closed(4401)));
    refresh(&service, &next.refresh)
        .await
        .expect_error(401, "UNAUTHORIZED");
    assert!(bob.is_accepted(&service).await);
    assert_eq!(
        audit(&service, &ann.user).await,
        ["logged_out", "logged_in"]
    );
    // A host's own tokens have no account.
    let host: User = service.user("carol").await;
    host.get("/auth/me").await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn logout_ends_its_own_session_and_logout_everywhere_all_on_every_node() {
    let service = with_accounts().start().await;
    let other = with_accounts().database(&service).start().await;
    register(&service, "ann@shop.example").await;
    let [mut first, mut second, mut third] = devices(&other, "ann@shop.example").await;

    let body = json!({ "refreshToken": first.0.refresh });
    service
        .anonymous()
        .post("/auth/logout", body)
        .await
        .expect(204);
    first.is_ended(&service).await;
    second.goes_on(&service).await;
    third.goes_on(&other).await;

    let client = second.0.at(&service);
    client
        .post("/auth/logout/all", json!(null))
        .await
        .expect(204);
    second.is_ended(&service).await;
    third.is_ended(&service).await;
    let again = log_in(&service, "ann@shop.example").await;
    assert!(again.is_accepted(&service).await, "a login right after it");
}

#[tokio::test]
async fn a_change_of_the_password_keeps_only_the_session_that_made_it() {
    let service = with_accounts().start().await;
    register(&service, "ann@shop.example").await;
    let [mut first, mut second, mut third] = devices(&service, "ann@shop.example").await;
    let change = |current: &str, refresh: &str| json!({ "currentPassword": current, "newPassword": "staple the battery", "refreshToken": refresh });
    let client = first.0.at(&service);
    let wrong = client.post("/auth/password", change("wrong horse", &first.0.refresh));
    wrong.await.expect_error(403, "FORBIDDEN");
    second.goes_on(&service).await;
    let body = change(PASSWORD, &first.0.refresh);
    client
        .post_repeating("/auth/password", body)
        .await
        .expect(204);
    second.is_ended(&service).await;
    third.is_ended(&service).await;
    first.goes_on(&service).await;

    let login = json!({ "login": "ann@shop.example", "password": PASSWORD });
    let answer = service
        .anonymous()
        .post_repeating("/auth/login", login)
        .await;
    answer.expect_error(401, "UNAUTHORIZED");
    let [mut fourth] = [log_in_with(&service, "ann@shop.example", "staple the battery").await];
    // Without a session to keep, all end: also by the refresh token of somebody else.
    register(&service, "bob@shop.example").await;
    let bob = log_in(&service, "bob@shop.example").await;
    let body = json!({
        "currentPassword": "staple the battery", "newPassword": PASSWORD, "refreshToken": bob.refresh,
    });
    let client = fourth.at(&service);
    client
        .post_repeating("/auth/password", body)
        .await
        .expect(204);
    assert_eq!(first.1.closed_within(CLOSED_WITHIN).await, 4401);
    assert!(!fourth.is_accepted(&service).await && bob.is_accepted(&service).await);
    fourth = log_in(&service, "ann@shop.example").await;
    assert!(fourth.is_accepted(&service).await);
}

#[tokio::test]
async fn a_reset_ends_all_sessions() {
    let (builder, receiver) = with_mail().await;
    let service = builder.start().await;
    register_verified(&service, &receiver, "ann@shop.example").await;
    let mut all = devices(&service, "ann@shop.example").await;
    let anonymous = service.anonymous();
    let ask = json!({ "email": "ann@shop.example" });
    anonymous.post("/auth/reset/request", ask).await.expect(204);
    let token = token_of(&receiver, "account.passwordReset", "ann@shop.example", 1).await;
    let body = json!({ "token": token, "newPassword": "staple the battery" });
    anonymous
        .post_repeating("/auth/reset", body.clone())
        .await
        .expect(204);
    for device in &mut all {
        device.is_ended(&service).await;
    }
    anonymous
        .post("/auth/reset", body)
        .await
        .expect_error(400, "VALIDATION_ERROR");
    let again = log_in_with(&service, "ann@shop.example", "staple the battery").await;
    assert!(again.is_accepted(&service).await);
    assert_eq!(audit(&service, &again.user).await[1], "password_reset");
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_its_user_and_its_address_is_free() {
    let service = with_accounts().start().await;
    register(&service, "ann@shop.example").await;
    let ann = log_in(&service, "ann@shop.example").await;
    let mut socket = ann.socket(&service).await;
    let client = ann.at(&service);
    let wrong = client.post("/auth/me/delete", json!({ "password": "wrong horse" }));
    wrong.await.expect_error(403, "FORBIDDEN");
    socket.ok("ping", json!({})).await;
    let body = json!({ "password": PASSWORD, "messages": "erase" });
    client
        .post_repeating("/auth/me/delete", body)
        .await
        .expect(204);
    assert_eq!(socket.closed_within(CLOSED_WITHIN).await, 4401);
    assert!(!ann.is_accepted(&service).await);
    refresh(&service, &ann.refresh)
        .await
        .expect_error(401, "UNAUTHORIZED");
    let host = service.internal();
    let path = format!("/api/users/{}", ann.user);
    host.get(&path).await.expect_error(404, "NOT_FOUND");
    register(&service, "ann@shop.example").await;
    let again = log_in(&service, "ann@shop.example").await;
    assert_ne!(again.user, ann.user);
}
