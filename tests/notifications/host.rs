//! Notifications that the host sends.

use reqwest::Method;
use serde_json::{Value, json};

use super::{listed, notify, service};
use crate::support::{Service, User, eventually};

async fn unread(user: &User) -> u64 {
    let count = user
        .get("/api/notifications/unread-count")
        .await
        .expect(200);
    count["unreadCount"].as_u64().expect("a number")
}

async fn put(user: &User, path: &str) -> Value {
    user.request(Method::PUT, path, None).await.expect(200)
}

#[tokio::test]
async fn a_notification_is_live_for_a_user_who_is_online() {
    let service = service(0, "").start().await;
    let alice = service.user("alice").await;
    let mut socket = alice.connect().await;
    let sent = notify(
        &service,
        &["alice"],
        json!({ "body": "Carol likes it.", "data": { "photoId": 17 } }),
    )
    .await;
    assert_eq!(sent["recipientCount"], 1);
    let frame = socket.next("notification").await;
    let data = &frame["data"];
    assert_eq!(
        (&data["kind"], &data["title"]),
        (&json!("LIKE"), &json!("New like"))
    );
    assert_eq!(data["data"], json!({ "photoId": 17 }));
    assert_eq!(data["isRead"], false);
    let items = listed(&alice, 1).await;
    assert_eq!(items[0]["id"], data["id"]);
    assert_eq!(items[0]["body"], "Carol likes it.");
}

#[tokio::test]
async fn a_notification_for_an_offline_user_arrives_on_reconnect_once_by_the_same_cursor() {
    let service = service(0, "").start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = alice.connect().await;
    bob.say(&conversation, "before").await;
    socket.next("message:new").await;
    let cursor = socket.cursor();
    socket.vanish();
    notify(&service, &["alice"], json!({ "kind": "COMMENT" })).await;
    listed(&alice, 1).await;
    bob.say(&conversation, "after").await;
    let mut socket = alice.resume(&cursor).await;
    let frame = socket.next("notification").await;
    assert_eq!(frame["data"]["kind"], "COMMENT");
    let cursor = loop {
        let frame = socket.next("message:new").await;
        if frame["data"]["content"] == "after" {
            break socket.cursor();
        }
    };
    socket.vanish();
    // It arrives once: the next resume does not repeat it.
    bob.say(&conversation, "last").await;
    let mut socket = alice.resume(&cursor).await;
    let frames = socket
        .find("the last message", |frame| {
            frame["data"]["content"] == "last"
        })
        .await;
    assert_eq!(frames["event"], "message:new");
    let arrived = socket.take_arrived();
    assert!(
        arrived.iter().all(|frame| frame["event"] != "notification"),
        "{arrived:?}"
    );
}

#[tokio::test]
async fn users_list_count_read_and_delete_their_own_notifications_only() {
    let service = service(0, "").start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    for kind in ["A", "B", "C"] {
        notify(
            &service,
            &["alice", "bob", "alice"],
            json!({ "kind": kind }),
        )
        .await;
        eventually("it is there", || async {
            let page = alice.get("/api/notifications?limit=1").await.expect(200);
            (page["notifications"][0]["kind"] == kind).then_some(())
        })
        .await;
    }
    let kinds = |page: &Value| -> Vec<String> {
        let items = page["notifications"].as_array().expect("a list").iter();
        items
            .map(|item| item["kind"].as_str().expect("a kind").to_owned())
            .collect()
    };
    let first = alice.get("/api/notifications?limit=2").await.expect(200);
    assert_eq!(
        (kinds(&first), &first["hasMore"]),
        (vec!["C".to_owned(), "B".to_owned()], &json!(true))
    );
    let cursor = first["nextCursor"].as_str().expect("a cursor");
    let rest = alice
        .get(&format!("/api/notifications?before={cursor}"))
        .await
        .expect(200);
    assert_eq!(
        (kinds(&rest), &rest["hasMore"]),
        (vec!["A".to_owned()], &json!(false))
    );
    assert_eq!(unread(&alice).await, 3);

    let id = first["notifications"][0]["id"].as_str().expect("an id");
    let path = format!("/api/notifications/{id}");
    // Another user's notification is like a missing one.
    let foreign = bob
        .request(Method::PUT, &format!("{path}/read"), None)
        .await;
    let foreign = foreign.expect_error(404, "NOT_FOUND");
    let missing = "/api/notifications/ntf_00000000000000000000000000";
    let missing = bob
        .request(Method::PUT, &format!("{missing}/read"), None)
        .await;
    assert_eq!(
        foreign["message"],
        missing.expect_error(404, "NOT_FOUND")["message"]
    );
    bob.delete(&path).await.expect_error(404, "NOT_FOUND");

    let read = put(&alice, &format!("{path}/read")).await;
    assert_eq!(read["isRead"], true);
    let again = put(&alice, &format!("{path}/read")).await;
    assert_eq!(
        again["readAt"], read["readAt"],
        "a repetition changes nothing"
    );
    assert_eq!(unread(&alice).await, 2);
    let page = alice
        .get("/api/notifications?unread=true")
        .await
        .expect(200);
    assert_eq!(kinds(&page), ["B", "A"]);
    assert_eq!(
        put(&alice, "/api/notifications/read").await,
        json!({ "count": 2 })
    );
    eventually("nothing is unread", || async {
        (unread(&alice).await == 0).then_some(())
    })
    .await;
    assert_eq!(unread(&bob).await, 3);
    alice.delete(&path).await.expect(204);
    alice.delete(&path).await.expect_error(404, "NOT_FOUND");
    assert_eq!(listed(&alice, 2).await.len(), 2);
}

#[tokio::test]
async fn other_devices_learn_what_was_read() {
    let service = service(0, "").start().await;
    let alice = service.user("alice").await;
    let mut phone = alice.connect().await;
    notify(&service, &["alice"], json!({})).await;
    let id = phone.next("notification").await["data"]["id"].clone();
    let id = id.as_str().expect("an id");
    put(&alice, &format!("/api/notifications/{id}/read")).await;
    let frame = phone.next("notification:read").await;
    assert_eq!(frame["data"]["notificationId"], id);
    notify(&service, &["alice"], json!({})).await;
    phone.next("notification").await;
    put(&alice, "/api/notifications/read").await;
    let frame = phone.next("notification:read").await;
    assert!(frame["data"]["upTo"].is_string(), "{frame}");
}

#[tokio::test]
async fn a_repeated_call_sends_nothing_and_another_call_with_its_key_conflicts() {
    let service = service(0, "").start().await;
    let alice = service.user("alice").await;
    let host = service.internal();
    let body = json!({ "userIds": ["alice"], "kind": "LIKE", "idempotencyKey": "like-1" });
    let first = host
        .post("/api/notifications", body.clone())
        .await
        .expect(201);
    let again = host
        .post("/api/notifications", body.clone())
        .await
        .expect(200);
    assert_eq!(again, first);
    let mut other = body;
    other["kind"] = json!("COMMENT");
    host.post("/api/notifications", other)
        .await
        .expect_error(409, "CONFLICT");
    notify(&service, &["alice"], json!({ "kind": "LAST" })).await;
    let items = listed(&alice, 2).await;
    assert_eq!(items.len(), 2, "{items:?}");
}

#[tokio::test]
async fn a_refused_call_has_no_effect() {
    let service = service(0, "").start().await;
    let alice = service.user("alice").await;
    let host = service.internal();
    let refused = |change: Value| {
        let mut body = json!({ "userIds": ["alice"], "kind": "LIKE" });
        for (name, value) in change.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let host = &host;
        async move {
            let answer = host.post("/api/notifications", body).await;
            answer.expect_error(400, "VALIDATION_ERROR")["details"][0]["field"].clone()
        }
    };
    assert_eq!(
        refused(json!({ "userIds": ["alice", "nobody"] })).await,
        "userIds[1]"
    );
    for (field, value) in [
        ("userIds", json!([])),
        ("kind", json!("two words")),
        ("kind", json!("x".repeat(65))),
        ("title", json!("x".repeat(201))),
        ("title", json!("two\nlines")),
        ("body", json!("x".repeat(2001))),
        ("data", json!({ "x": "y".repeat(5000) })),
        ("ttlSeconds", json!(1)),
        ("idempotencyKey", json!("")),
    ] {
        assert_eq!(refused(json!({ field: value })).await, field);
    }
    let users: Vec<String> = (0..10_001).map(|n| format!("u{n}")).collect();
    refused(json!({ "userIds": users })).await;
    let body = json!({ "userIds": ["alice"], "kind": "LIKE" });
    alice
        .post("/api/notifications", body)
        .await
        .expect_error(401, "UNAUTHORIZED");
    let page = alice.get("/api/notifications").await.expect(200);
    assert_eq!(page, json!({ "notifications": [], "hasMore": false }));
}

#[tokio::test]
async fn a_page_ends_when_it_is_full() {
    let service = service(0, "").start().await;
    let alice = service.user("alice").await;
    let body = "ä".repeat(2000);
    for _ in 0..5 {
        notify(
            &service,
            &["alice"],
            json!({ "body": body, "data": { "x": "y".repeat(4000) } }),
        )
        .await;
    }
    let page = eventually("all are there", || async {
        let page = alice.get("/api/notifications?limit=5").await.expect(200);
        (page["notifications"].as_array()?.len() == 5).then_some(page)
    })
    .await;
    assert!(page.to_string().len() < 1 << 20);
}

#[tokio::test]
async fn a_deleted_user_and_the_next_holder_of_the_id_have_no_notifications() {
    let service = service(0, "").start().await;
    let (alice, host) = (service.user("alice").await, service.internal());
    notify(&service, &["alice"], json!({ "body": "a private text" })).await;
    listed(&alice, 1).await;
    host.delete("/api/users/alice").await;
    eventually("the text is erased from the log", || async {
        let log = service.sandbox().text("log").await;
        (!log.contains("a private text")).then_some(())
    })
    .await;
    eventually("the notifications are removed", || async {
        let items = service.sandbox().collection("notifications_items").await;
        let count = items
            .count_documents(mongodb::bson::doc! { "userId": "alice" })
            .await;
        (count.expect("answers") == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_plugin_is_off_by_default() {
    let service = Service::start().await;
    // A request past the check of the document, which has the operations of all plugins.
    let answer = reqwest::get(format!("{}/api/notifications", service.api_url())).await;
    assert_eq!(answer.expect("an answer").status(), 404);
}
