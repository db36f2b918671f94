//! `PATCH /api/conversations/{id}/me`: a member's preferences. Also the permissions of a conversation.

use serde_json::{Value, json};

use super::super::{column, faults};
use crate::support::Service;

fn plain() -> Value {
    json!({
        "muted": false, "archived": false, "pinned": false, "hidden": false, "notificationLevel": "all",
    })
}

fn with(changes: Value) -> Value {
    let mut preferences = plain();
    for (name, value) in changes.as_object().expect("an object") {
        preferences[name] = value.clone();
    }
    preferences
}

#[tokio::test]
async fn preferences_change_separately_and_are_private() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}");
    let me = format!("{path}/me");
    let of_bob = bob.get(&path).await.expect(200);
    assert_eq!(of_bob["preferences"], plain());
    let change = async |body: Value| alice.patch(&me, body).await.expect(200);
    let until = "2099-01-01T00:00:00.000Z";
    assert_eq!(change(json!({})).await, plain());
    assert_eq!(
        change(json!({ "pinned": true })).await,
        with(json!({ "pinned": true }))
    );
    assert_eq!(
        change(json!({ "mutedUntil": until, "notificationLevel": "mentions" })).await,
        with(
            json!({ "pinned": true, "muted": true, "mutedUntil": until, "notificationLevel": "mentions" })
        )
    );
    assert_eq!(
        change(json!({ "mutedUntil": null, "pinned": false, "notificationLevel": "all" })).await,
        with(json!({ "muted": true })),
        "without an end it is muted for good"
    );
    change(json!({ "mutedUntil": until })).await;
    assert_eq!(
        change(json!({ "muted": false })).await,
        plain(),
        "an end of nothing is none"
    );
    let archived = change(json!({ "archived": true })).await;
    assert_eq!(alice.get(&path).await.expect(200)["preferences"], archived);
    assert_eq!(bob.get(&path).await.expect(200)["preferences"], plain());
    assert_eq!(
        bob.get(&path).await.expect(200)["lastActivityAt"],
        of_bob["lastActivityAt"],
        "a member's own affair is nothing that happened"
    );
    for (body, field) in [
        (
            json!({ "mutedUntil": "2020-01-01T00:00:00.000Z" }),
            "mutedUntil",
        ),
        (json!({ "mutedUntil": "tomorrow" }), "mutedUntil"),
        (json!({ "muted": "yes" }), "muted"),
        (json!({ "notificationLevel": "some" }), "notificationLevel"),
        (json!({ "role": "owner" }), "role"),
        (json!({ "isBlocking": true }), "isBlocking"),
    ] {
        let answer = alice.patch(&me, body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_hidden_conversation_is_shown_again_by_the_next_message() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let direct = service.direct(&alice, &bob).await;
    let path = format!("/api/conversations/{direct}");
    let hide = async || {
        alice
            .patch(&format!("{path}/me"), json!({ "hidden": true }))
            .await
            .expect(200)
    };
    let hidden = async || alice.get(&path).await.expect(200)["preferences"]["hidden"].clone();
    bob.say(&direct, "hello").await;
    assert_eq!(hide().await["hidden"], true);
    assert_eq!(hidden().await, true);
    bob.patch(&path, json!({ "metadata": { "topic": "tea" } }))
        .await
        .expect(200);
    assert_eq!(hidden().await, true, "no message, no return");
    bob.say(&direct, "are you there?").await;
    assert_eq!(hidden().await, false);
    assert_eq!(hide().await["hidden"], true, "hidden once more");
    assert_eq!(hidden().await, true);
}

#[tokio::test]
async fn preferences_are_reset_on_rejoining() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}");
    bob.patch(&format!("{path}/me"), json!({ "muted": true }))
        .await
        .expect(200);
    bob.post(&format!("{path}/leave"), Value::Null)
        .await
        .expect(204);
    bob.patch(&format!("{path}/me"), json!({ "muted": false }))
        .await
        .expect_error(404, "NOT_FOUND");
    let add = json!({ "userIds": ["bob"] });
    alice
        .post(&format!("{path}/participants"), add)
        .await
        .expect(201);
    assert_eq!(bob.get(&path).await.expect(200)["preferences"], plain());
}

#[tokio::test]
async fn the_log_shows_preferences_only_to_their_member() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}");
    alice
        .patch(&format!("{path}/me"), json!({ "archived": true }))
        .await
        .expect(200);
    let log = async |user: &crate::support::User| {
        let log = user.get(&format!("{path}/log")).await.expect(200);
        log["entries"].clone()
    };
    let own = log(&alice).await;
    assert_eq!(
        column(&own, "type"),
        ["conversation.created", "participant.updated"]
    );
    assert_eq!(own[1]["data"]["preferences"]["archived"], true);
    assert_eq!(log(&bob).await[1], json!({ "seq": 2, "type": "skip" }));
}

#[tokio::test]
async fn permissions_of_a_conversation_are_set_one_by_one() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let settings = json!({ "features": { "typing": false }, "retentionSeconds": 86400 });
    let group = service.group_with(&alice, &[], settings).await;
    let path = format!("/api/conversations/{group}");
    let made = alice.get(&path).await.expect(200);
    assert_eq!(
        made["features"],
        json!({ "typing": false, "reads": true, "reactions": true, "threads": true })
    );
    assert_eq!(made["retentionSeconds"], 86400);
    let changed = alice
        .patch(
            &path,
            json!({ "features": { "reads": false, "typing": true }, "retentionSeconds": null }),
        )
        .await
        .expect(200);
    assert_eq!(
        changed["features"],
        json!({ "typing": true, "reads": false, "reactions": true, "threads": true })
    );
    assert!(changed.get("retentionSeconds").is_none());
    let changed = alice
        .patch(
            &path,
            json!({ "features": { "reads": null, "threads": false } }),
        )
        .await
        .expect(200);
    assert_eq!(
        changed["features"],
        json!({ "typing": true, "reads": true, "reactions": true, "threads": false }),
        "null is on again, as where nothing was ever said"
    );
    let with_null = json!({ "features": { "typing": null, "reactions": false } });
    let other = service.group_with(&alice, &[], with_null).await;
    let other = alice.get(&format!("/api/conversations/{other}")).await;
    assert_eq!(
        other.expect(200)["features"],
        json!({ "typing": true, "reads": true, "reactions": false, "threads": true })
    );
    for (body, field) in [
        (json!({ "features": { "polls": true } }), "features.polls"),
        (json!({ "features": { "typing": "no" } }), "features.typing"),
        (json!({ "retentionSeconds": 59 }), "retentionSeconds"),
        (
            json!({ "retentionSeconds": 315_360_001 }),
            "retentionSeconds",
        ),
    ] {
        let answer = alice.patch(&path, body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
}

/// The moment `millis` from now.
fn in_millis(millis: i64) -> String {
    let now = chat_sdk::Timestamp::now().as_millis();
    chat_sdk::Timestamp::from_millis(now + millis).to_string()
}

#[tokio::test]
async fn a_mute_ends_at_its_time_and_preferences_round_trip() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{group}");
    let me = format!("{path}/me");
    let until = in_millis(1500);
    let read = alice
        .patch(&me, json!({ "mutedUntil": until, "pinned": true }))
        .await
        .expect(200);
    assert_eq!(
        read,
        with(json!({ "muted": true, "mutedUntil": until, "pinned": true }))
    );
    assert_eq!(alice.patch(&me, read.clone()).await.expect(200), read);
    let seq = async || alice.get(&path).await.expect(200)["seq"].clone();
    let before = seq().await;
    let over = with(json!({ "pinned": true }));
    crate::support::eventually("it is muted no more", || async {
        let conversation = alice.get(&path).await.expect(200);
        (conversation["preferences"] == over).then_some(())
    })
    .await;
    let listed = alice.get("/api/conversations").await.expect(200);
    assert_eq!(listed["conversations"][0]["preferences"], over);
    assert_eq!(
        alice.patch(&me, read).await.expect(200),
        over,
        "it was right when it was read"
    );
    assert_eq!(seq().await, before, "nothing changed");
    let answer = alice
        .patch(&me, json!({ "mutedUntil": in_millis(-1000) }))
        .await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["mutedUntil".to_owned()])
    );
    let all =
        json!({ "pinned": true, "archived": true, "hidden": true, "notificationLevel": "none" });
    alice.patch(&me, all).await.expect(200);
    let null = json!({ "muted": null, "mutedUntil": null, "pinned": null, "archived": null, "hidden": null, "notificationLevel": null });
    assert_eq!(
        alice.patch(&me, null).await.expect(200),
        plain(),
        "null clears"
    );
    alice
        .patch(&me, json!({ "pinned": true }))
        .await
        .expect(200);
    // A mute without an end does not keep the end of an earlier one.
    let muted = alice.patch(&me, json!({ "muted": true })).await.expect(200);
    assert_eq!(muted, with(json!({ "muted": true, "pinned": true })));
}

#[tokio::test]
async fn a_refused_change_keeps_no_draft() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{group}");
    let me = format!("{path}/me");
    let wrong = json!({ "draft": "half", "mutedUntil": "2020-01-01T00:00:00.000Z" });
    alice.patch(&me, wrong).await.expect(400);
    let wrong = json!({ "draft": "x".repeat(16_385), "pinned": true });
    let answer = alice.patch(&me, wrong).await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["draft".to_owned()])
    );
    let after = alice.get(&path).await.expect(200);
    assert_eq!(
        (after.get("draft"), &after["preferences"]),
        (None, &plain())
    );
}
