//! Roles, disabled accounts and the audit log: the operations of the host.

use serde_json::json;

use super::{PASSWORD, Tokens, audit, log_in, refresh, register, with_accounts};

#[tokio::test]
async fn the_host_sets_roles_and_disables_accounts() {
    let service = with_accounts().start().await;
    register(&service, "ann@shop.example").await;
    let ann = log_in(&service, "ann@shop.example").await;
    let host = service.internal();
    let path = format!("/api/admin/accounts/{}", ann.user);
    let account = host.get(&path).await.expect(200);
    assert_eq!(account["roles"], json!([]));
    let changed = host.patch(&path, json!({ "roles": ["seller"] })).await;
    assert_eq!(changed.expect(200)["roles"], json!(["seller"]));
    let user = ann.at(&service).get("/api/users/me").await.expect(200);
    assert_eq!(user["roles"], json!(["seller"]));
    let next = Tokens::of(&refresh(&service, &ann.refresh).await.expect(200));
    let claims = next.access.split('.').nth(1).expect("claims");
    let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims);
    let claims: serde_json::Value = serde_json::from_slice(&claims.expect("base64")).expect("JSON");
    assert_eq!(claims["roles"], json!(["seller"]));
    assert_eq!(claims["sid"], next.session.as_str());
    let lifetime = claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat");
    assert_eq!(lifetime, 900);

    let mut socket = next.socket(&service).await;
    let disabled = host.patch(&path, json!({ "isDisabled": true })).await;
    assert_eq!(disabled.expect(200)["isDisabled"], true);
    assert_eq!(socket.closed().await, 4401);
    assert!(!next.is_accepted(&service).await);
    refresh(&service, &next.refresh)
        .await
        .expect_error(401, "UNAUTHORIZED");
    let login = json!({ "login": "ann@shop.example", "password": PASSWORD });
    let anonymous = service.anonymous();
    let answer = anonymous.post_repeating("/auth/login", login).await;
    answer.expect_error(401, "UNAUTHORIZED");
    host.patch(&path, json!({ "isDisabled": false }))
        .await
        .expect(200);
    log_in(&service, "ann@shop.example").await;
    let kinds = audit(&service, &ann.user).await;
    let changes = kinds.iter().filter(|kind| *kind == "changed_by_host");
    assert_eq!(changes.count(), 3);

    for (body, field) in [
        (json!({ "roles": [""] }), "roles[0]"),
        (json!({ "roles": vec!["x"; 51] }), "roles"),
        (json!({ "roles": ["x".repeat(65)] }), "roles[0]"),
    ] {
        let error = host
            .patch(&path, body)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], field);
    }
    for path in [
        "/api/admin/accounts/nobody",
        "/api/admin/accounts/nobody/audit",
    ] {
        host.get(path).await.expect_error(404, "NOT_FOUND");
        ann.at(&service)
            .get(path)
            .await
            .expect_error(401, "UNAUTHORIZED");
    }
    let first = host.get(&format!("{path}/audit?limit=1")).await.expect(200);
    assert_eq!(first["hasMore"], true);
    let cursor = first["nextCursor"].as_str().expect("a cursor");
    let rest = host
        .get(&format!("{path}/audit?before={cursor}"))
        .await
        .expect(200);
    let (first, rest) = (&first["entries"][0]["id"], &rest["entries"][0]["id"]);
    assert!(rest.as_str() < first.as_str(), "{rest} follows {first}");
}
