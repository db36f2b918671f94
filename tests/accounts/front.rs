//! Every operation of the plugin, once through nginx with success.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    PASSWORD, Tokens, log_in_with, refresh, register, register_verified, token_of, with_mail,
};
use crate::{
    api::contract,
    support::{Front, record_of},
};

#[tokio::test]
async fn every_operation_of_accounts_succeeds_through_nginx() {
    let (builder, receiver) = with_mail().await;
    let service = builder.start().await;
    let front = Front::before(&[&service], &[&service]).await;
    let (anonymous, host) = (front.anonymous(), front.internal());
    let (email, new) = ("ann@shop.example", "staple the battery");
    register(&front, email).await;
    let ask = json!({ "email": email });
    let answer = anonymous.post("/auth/verify/request", ask.clone()).await;
    answer.expect(204);
    let token = token_of(&receiver, "account.verification", email, 1).await;
    let body = json!({ "token": token, "password": PASSWORD });
    anonymous
        .post_repeating("/auth/verify", body)
        .await
        .expect(204);
    anonymous.post("/auth/reset/request", ask).await.expect(204);
    let token = token_of(&receiver, "account.passwordReset", email, 1).await;
    let body = json!({ "token": token, "newPassword": PASSWORD });
    anonymous
        .post_repeating("/auth/reset", body)
        .await
        .expect(204);

    let first = log_in_with(&front, email, PASSWORD).await;
    let ann = Tokens::of(&refresh(&front, &first.refresh).await.expect(200));
    let client = ann.at(&front);
    client.get("/auth/me").await.expect(200);
    let names = json!({ "name": "Ann", "username": "ann.shop" });
    client.patch("/auth/me", names).await.expect(200);
    let path = format!("/api/admin/accounts/{}", ann.user);
    host.get(&path).await.expect(200);
    host.get(&format!("{path}/audit")).await.expect(200);
    let roles = json!({ "roles": ["buyer"] });
    host.patch(&path, roles).await.expect(200);
    let body = json!({
        "currentPassword": PASSWORD, "newPassword": new, "refreshToken": ann.refresh,
    });
    client
        .post_repeating("/auth/password", body)
        .await
        .expect(204);
    let body = json!({ "refreshToken": ann.refresh });
    anonymous.post("/auth/logout", body).await.expect(204);
    let again = log_in_with(&front, "ann.shop", new).await;
    let client = again.at(&front);
    let everywhere = client.post("/auth/logout/all", json!(null)).await;
    everywhere.expect(204);
    let last = log_in_with(&front, "ann.shop", new).await;
    let body = json!({ "password": new });
    let client = last.at(&front);
    let deleted = client.post_repeating("/auth/me/delete", body).await;
    deleted.expect(204);
    register_verified(&service, &receiver, "bob@shop.example").await;

    let done = record_of(front.api_url()).operations;
    let of_accounts = |path: &str| path.starts_with("/auth/") || path.contains("/accounts/");
    let missing: BTreeSet<String> = contract::operations()
        .iter()
        .filter(|operation| of_accounts(&operation.path))
        .map(|operation| {
            operation.says["operationId"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .filter(|id| !done.contains(id))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    // nginx passes the client's own address only.
    let forged = anonymous.with("X-Forwarded-For", "203.0.113.7");
    let login = json!({ "login": "nobody@shop.example", "password": PASSWORD });
    let answer = forged.post_repeating("/auth/login", login).await;
    answer.expect_error(401, "UNAUTHORIZED");
}
