//! Former members keep the messages of their membership as they were when they left. New members see what `historyVisibility` allows.

use serde_json::{Value, json};

use super::super::{column, id};
use super::Group;
use crate::support::User;

impl Group {
    async fn leave(&self, user: &User) {
        user.post(
            &format!("/api/conversations/{}/leave", self.id),
            Value::Null,
        )
        .await
        .expect(204);
    }

    async fn add(&self, user: &User) {
        let path = format!("/api/conversations/{}/participants", self.id);
        self.alice
            .post(&path, json!({ "userIds": [user.id] }))
            .await
            .expect(201);
    }

    async fn texts(&self, user: &User) -> Vec<String> {
        column(&json!(user.history(&self.id).await), "content")
    }
}

#[tokio::test]
async fn changes_after_leaving_are_not_visible() {
    let group = Group::of_two().await;
    let edited_before = id(&group
        .alice
        .post(
            &group.messages,
            json!({ "content": "1", "metadata": { "v": 1 } }),
        )
        .await
        .expect(201));
    let edited_after = id(&group.alice.say(&group.id, "2").await);
    let deleted_before = id(&group.alice.say(&group.id, "3").await);
    let deleted_after = id(&group.alice.say(&group.id, "4").await);
    let path = |id: &str| format!("/api/messages/{id}");
    let edit = async |id: &str, body: Value| group.alice.patch(&path(id), body).await.expect(200);
    edit(
        &edited_before,
        json!({ "content": "1b", "metadata": { "v": 2 } }),
    )
    .await;
    edit(&edited_before, json!({ "content": "1c" })).await;
    group.alice.delete(&path(&deleted_before)).await.expect(204);
    let as_it_was = group.bob.history(&group.id).await;

    group.leave(&group.bob).await;
    edit(
        &edited_before,
        json!({ "content": "1d", "metadata": { "v": 3 } }),
    )
    .await;
    edit(&edited_after, json!({ "content": "2b" })).await;
    group.alice.delete(&path(&deleted_after)).await.expect(204);
    group.alice.say(&group.id, "5, which bob never sees").await;

    assert_eq!(group.texts(&group.bob).await, ["1c", "2", "", "4"]);
    assert_eq!(
        group.bob.history(&group.id).await,
        as_it_was,
        "to the last field"
    );
    assert_eq!(
        group.texts(&group.alice).await,
        ["1d", "2b", "", "", "5, which bob never sees"]
    );
    for message in &as_it_was {
        assert_eq!(
            group.bob.get(&path(&id(message))).await.expect(200),
            *message
        );
    }
    let versions = async |user: &User, id: &str| {
        let history = user
            .get(&format!("/api/messages/{id}/history"))
            .await
            .expect(200);
        column(&history["versions"], "content")
    };
    assert_eq!(
        versions(&group.bob, &edited_before).await,
        ["1", "1b", "1c"]
    );
    assert_eq!(
        versions(&group.alice, &edited_before).await,
        ["1", "1b", "1c", "1d"]
    );
    assert_eq!(versions(&group.bob, &deleted_after).await, ["4"]);
}

#[tokio::test]
async fn messages_sent_after_leaving_answer_like_missing_ones() {
    let group = Group::of_two().await;
    group.leave(&group.bob).await;
    let after = id(&group.alice.say(&group.id, "after").await);
    let seen = group.bob.get(&format!("/api/messages/{after}")).await;
    let missing = group
        .bob
        .get("/api/messages/msg_00000000000000000000000000")
        .await;
    assert_eq!((seen.status, seen.text), (404, missing.text));
    for direction in ["before", "after", "around"] {
        let path = format!("{}?{direction}={after}", group.messages);
        group
            .bob
            .get(&path)
            .await
            .expect_error(400, "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn a_removed_member_keeps_as_much_as_one_who_left() {
    let group = Group::of_two().await;
    group.alice.say(&group.id, "with bob").await;
    group
        .alice
        .delete(&format!("/api/conversations/{}/participants/bob", group.id))
        .await
        .expect(204);
    group.alice.say(&group.id, "without bob").await;
    assert_eq!(group.texts(&group.bob).await, ["with bob"]);
}

#[tokio::test]
async fn a_new_member_sees_the_full_history() {
    let group = Group::of_two().await;
    group.alice.say(&group.id, "before").await;
    let carol = group.service.user("carol").await;
    group.add(&carol).await;
    group.alice.say(&group.id, "after").await;
    assert_eq!(group.texts(&carol).await, ["before", "after"]);
}

#[tokio::test]
async fn under_joined_a_new_member_sees_only_later_messages() {
    let group = Group::with(json!({ "historyVisibility": "joined" })).await;
    let before = id(&group.alice.say(&group.id, "before").await);
    let carol = group.service.user("carol").await;
    group.add(&carol).await;
    group.alice.say(&group.id, "with carol").await;
    assert_eq!(group.texts(&carol).await, ["with carol"]);
    assert_eq!(
        group.texts(&group.bob).await,
        ["before", "with carol"],
        "bob was there from the start"
    );
    for path in [
        format!("/api/messages/{before}"),
        format!("/api/messages/{before}/history"),
    ] {
        carol.get(&path).await.expect_error(404, "NOT_FOUND");
    }
    carol
        .get(&format!("{}?after={before}", group.messages))
        .await
        .expect_error(400, "VALIDATION_ERROR");
    carol
        .patch(
            &format!("/api/messages/{before}"),
            json!({ "content": "x" }),
        )
        .await
        .expect_error(404, "NOT_FOUND");
    carol
        .delete(&format!("/api/messages/{before}"))
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn under_joined_a_rejoining_member_does_not_see_the_gap() {
    let group = Group::with(json!({ "historyVisibility": "joined" })).await;
    group.alice.say(&group.id, "first stay").await;
    group.leave(&group.bob).await;
    group.alice.say(&group.id, "away").await;
    group.add(&group.bob).await;
    group.alice.say(&group.id, "second stay").await;
    assert_eq!(group.texts(&group.bob).await, ["first stay", "second stay"]);
    let page = group
        .bob
        .get(&format!("{}?limit=1", group.messages))
        .await
        .expect(200);
    assert_eq!(page["hasMore"], true);
    let next = page["nextCursor"].as_str().expect("a cursor");
    let page = group
        .bob
        .get(&format!("{}?limit=1&before={next}", group.messages))
        .await
        .expect(200);
    assert_eq!(
        (column(&page["messages"], "content"), &page["hasMore"]),
        (vec!["first stay".to_owned()], &json!(false))
    );
}

#[tokio::test]
async fn under_full_a_rejoining_member_sees_the_gap() {
    let group = Group::of_two().await;
    group.alice.say(&group.id, "first stay").await;
    group.leave(&group.bob).await;
    let between = id(&group.alice.say(&group.id, "away").await);
    group
        .alice
        .patch(
            &format!("/api/messages/{between}"),
            json!({ "content": "away, changed" }),
        )
        .await
        .expect(200);
    group.add(&group.bob).await;
    assert_eq!(
        group.texts(&group.bob).await,
        ["first stay", "away, changed"]
    );
}

#[tokio::test]
async fn a_later_history_visibility_does_not_apply_to_former_members() {
    let group = Group::of_two().await;
    let settings = format!("/api/conversations/{}", group.id);
    let say_that_history_is = async |visibility: &str| {
        let change = json!({ "historyVisibility": visibility });
        group.alice.patch(&settings, change).await.expect(200);
    };
    let carol = group.service.user("carol").await;
    group.alice.say(&group.id, "before carol").await;
    group.add(&carol).await;
    group.alice.say(&group.id, "with carol").await;
    group.leave(&carol).await;
    let all = ["before carol", "with carol"];
    assert_eq!(group.texts(&carol).await, all);
    say_that_history_is("joined").await;
    assert_eq!(group.texts(&carol).await, all);

    // Conversely, messages that she never saw stay invisible.
    group.add(&carol).await;
    assert_eq!(group.texts(&carol).await, all[1..]);
    group.leave(&carol).await;
    say_that_history_is("full").await;
    assert_eq!(group.texts(&carol).await, all[1..]);
    group.add(&carol).await;
    assert_eq!(
        group.texts(&carol).await,
        all,
        "who is in sees what is said now"
    );
}
