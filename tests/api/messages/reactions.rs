//! `/api/messages/{id}/reactions`.

use serde_json::{Value, json};

use super::super::{column, faults, id, read_all};
use super::Group;
use crate::support::{Seen, User};

const HEART: &str = "\u{2764}";
const RED_HEART: &str = "\u{2764}\u{fe0f}";

fn encoded(emoji: &str) -> String {
    emoji.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The path of the reactions to `message`, or of one of them.
fn path(message: &str, emoji: &str) -> String {
    let encoded = encoded(emoji);
    let separator = if encoded.is_empty() { "" } else { "/" };
    format!("/api/messages/{message}/reactions{separator}{encoded}")
}

async fn react(user: &User, message: &str, emoji: &str) -> Value {
    let answer = user
        .post(&path(message, ""), json!({ "emoji": emoji }))
        .await;
    answer.expect(200)["reactions"].clone()
}

async fn take_back(user: &User, message: &str, emoji: &str) -> Value {
    let answer = user.delete(&path(message, emoji)).await;
    answer.expect(200)["reactions"].clone()
}

async fn message(user: &User, id: &str) -> Value {
    user.get(&format!("/api/messages/{id}")).await.expect(200)
}

fn summary(emoji: &str, users: &[&str], is_mine: bool) -> Value {
    json!({ "emoji": emoji, "count": users.len(), "userIds": users, "reactedByMe": is_mine })
}

async fn seq(group: &Group) -> u64 {
    let path = format!("/api/conversations/{}", group.id);
    group.alice.get(&path).await.expect(200)["seq"]
        .as_u64()
        .expect("a number")
}

#[tokio::test]
async fn a_reaction_is_shown_with_its_message_and_taken_back() {
    let group = Group::of_two().await;
    let sent = group.alice.say(&group.id, "parcel is here").await;
    let of = id(&sent);
    assert_eq!(
        react(&group.bob, &of, "👍").await,
        json!([summary("👍", &["bob"], true)])
    );
    assert_eq!(
        react(&group.alice, &of, "👍").await,
        json!([summary("👍", &["bob", "alice"], true)])
    );
    react(&group.alice, &of, ":party_parrot:").await;
    let all = json!([
        summary("👍", &["bob", "alice"], true),
        summary(":party_parrot:", &["alice"], false)
    ]);
    assert_eq!(message(&group.bob, &of).await["reactions"], all);
    assert_eq!(group.bob.history(&group.id).await[0]["reactions"], all);
    let shown = message(&group.bob, &of).await;
    for kept in ["content", "isEdited", "updatedAt", "seq"] {
        assert_eq!(shown[kept], sent[kept], "{kept}: a reaction is no edit");
    }

    take_back(&group.alice, &of, ":party_parrot:").await;
    assert_eq!(
        take_back(&group.alice, &of, "👍").await,
        json!([summary("👍", &["bob"], false)])
    );
    assert_eq!(take_back(&group.bob, &of, "👍").await, json!([]));
}

#[tokio::test]
async fn reacting_twice_or_taking_back_what_is_not_there_changes_nothing() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "hello").await);
    let once = react(&group.bob, &of, "👍").await;
    let before = seq(&group).await;
    assert_eq!(react(&group.bob, &of, "👍").await, once);
    assert_eq!(take_back(&group.bob, &of, "🎉").await, once);
    take_back(&group.alice, &of, "👍").await;
    assert_eq!(seq(&group).await, before);
    let twice = (0..20).map(|_| react(&group.alice, &of, "👍"));
    for reactions in futures_util::future::join_all(twice).await {
        assert_eq!(reactions, json!([summary("👍", &["bob", "alice"], true)]));
    }
    assert_eq!(seq(&group).await, before + 1, "one entry for twenty tries");
}

#[tokio::test]
async fn an_emoji_is_the_same_with_and_without_its_variation_selector() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "hello").await);
    react(&group.alice, &of, HEART).await;
    let reactions = react(&group.bob, &of, RED_HEART).await;
    assert_eq!(
        reactions,
        json!([summary(RED_HEART, &["alice", "bob"], true)])
    );
    for spelling in [HEART, RED_HEART] {
        let query = format!("{}?emoji={}", path(&of, ""), encoded(spelling));
        let listed = group.alice.get(&query).await.expect(200);
        assert_eq!(column(&listed["users"], "userId"), ["alice", "bob"]);
    }
    take_back(&group.alice, &of, RED_HEART).await;
    assert_eq!(take_back(&group.bob, &of, HEART).await, json!([]));
}

#[tokio::test]
async fn every_emoji_and_shortcode_works_in_paths_and_bodies() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "hello").await);
    let all = ["👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "#️⃣", "*️⃣", "1️⃣", ":+1:", ":a_b-c:"];
    for emoji in all {
        react(&group.bob, &of, emoji).await;
    }
    let shown = message(&group.alice, &of).await;
    let mut found = column(&shown["reactions"], "emoji");
    let mut expected = all.map(str::to_owned).to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    for emoji in all {
        take_back(&group.bob, &of, emoji).await;
    }
    assert_eq!(message(&group.alice, &of).await["reactions"], json!([]));
}

#[tokio::test]
async fn an_invalid_emoji_is_refused_by_name() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "hello").await);
    let long = format!(":{}:", "x".repeat(65));
    for emoji in [
        "", "a", "👍👍", "👍 ", "::", ":a b:", ":$where:", ":a.b:", &long,
    ] {
        let answer = group
            .bob
            .post(&path(&of, ""), json!({ "emoji": emoji }))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["emoji".to_owned()]),
            "{emoji}"
        );
    }
    for body in [json!({}), json!({ "emoji": null }), json!({ "emoji": 7 })] {
        let answer = group.bob.post(&path(&of, ""), body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["emoji".to_owned()])
        );
    }
    for encoded in ["abc", "%ff", "%F0%9F%91%8D%F0%9F%91%8D"] {
        let answer = group
            .bob
            .delete(&format!("{}/{encoded}", path(&of, "")))
            .await;
        // Bytes that are not UTF-8 match no path.
        assert!(matches!(answer.status, 400 | 404), "{answer}");
    }
    let listed = group.bob.get(&format!("{}?emoji=x", path(&of, ""))).await;
    assert_eq!(
        (listed.status, faults(&listed)),
        (400, vec!["emoji".to_owned()])
    );
    let listed = group.bob.get(&format!("{}?after=x", path(&of, ""))).await;
    assert_eq!(
        (listed.status, faults(&listed)),
        (400, vec!["after".to_owned()])
    );
}

#[tokio::test]
async fn a_message_has_at_most_fifty_different_reactions() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "hello").await);
    for n in 0..50 {
        react(&group.alice, &of, &format!(":e{n}:")).await;
    }
    group
        .bob
        .post(&path(&of, ""), json!({ "emoji": "👍" }))
        .await
        .expect_error(409, "CONFLICT");
    react(&group.bob, &of, ":e7:").await;
    take_back(&group.alice, &of, ":e8:").await;
    let reactions = react(&group.bob, &of, "👍").await;
    assert_eq!(reactions.as_array().map(Vec::len), Some(50));
}

#[tokio::test]
async fn a_deleted_message_takes_no_reactions_and_shows_none() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "hello").await);
    react(&group.bob, &of, "👍").await;
    group
        .alice
        .delete(&format!("/api/messages/{of}"))
        .await
        .expect(204);
    group
        .bob
        .post(&path(&of, ""), json!({ "emoji": "👍" }))
        .await
        .expect_error(409, "CONFLICT");
    group
        .bob
        .delete(&path(&of, "👍"))
        .await
        .expect_error(409, "CONFLICT");
    assert_eq!(message(&group.bob, &of).await["reactions"], json!([]));
    let listed = group.bob.get(&path(&of, "")).await.expect(200);
    assert_eq!(
        listed,
        json!({ "reactions": [], "users": [], "hasMore": false })
    );
}

#[tokio::test]
async fn with_reactions_off_new_ones_are_refused_and_existing_ones_stay() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "hello").await);
    let before = react(&group.bob, &of, "👍").await;
    let settings = format!("/api/conversations/{}", group.id);
    let off = json!({ "features": { "reactions": false } });
    group.alice.patch(&settings, off).await.expect(200);
    for user in [&group.alice, &group.bob] {
        user.post(&path(&of, ""), json!({ "emoji": "🎉" }))
            .await
            .expect_error(403, "FORBIDDEN");
    }
    group
        .bob
        .delete(&path(&of, "👍"))
        .await
        .expect_error(403, "FORBIDDEN");
    assert_eq!(message(&group.bob, &of).await["reactions"], before);
    let on = json!({ "features": { "reactions": true } });
    group.alice.patch(&settings, on).await.expect(200);
    take_back(&group.bob, &of, "👍").await;
}

#[tokio::test]
async fn reacting_users_are_paged_in_the_order_of_their_reactions() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "hello").await);
    react(&group.bob, &of, "👍").await;
    react(&group.alice, &of, "🎉").await;
    react(&group.alice, &of, "👍").await;
    react(&group.bob, &of, "🎉").await;
    take_back(&group.bob, &of, "👍").await;
    react(&group.bob, &of, "👍").await;
    for limit in [1, 2, 100] {
        let users = read_all(&group.bob, &path(&of, ""), "users", "after", limit).await;
        let shown: Vec<(String, String)> = users
            .iter()
            .map(|user| {
                (
                    super::super::text(user, "emoji"),
                    super::super::text(user, "userId"),
                )
            })
            .collect();
        let expected = [
            ("🎉", "alice"),
            ("👍", "alice"),
            ("🎉", "bob"),
            ("👍", "bob"),
        ];
        let expected = expected.map(|(emoji, user)| (emoji.to_owned(), user.to_owned()));
        assert_eq!(shown, expected, "in pieces of {limit}");
    }
    let only = format!("{}?emoji=%F0%9F%91%8D", path(&of, ""));
    let listed = group.bob.get(&only).await.expect(200);
    assert_eq!(column(&listed["users"], "userId"), ["alice", "bob"]);
    assert_eq!(listed["reactions"].as_array().map(Vec::len), Some(2));
    assert!(listed["users"][0]["createdAt"].is_string());
}

#[tokio::test]
async fn two_hundred_concurrent_reactions_all_count() {
    let group = Group::of_two().await;
    let names: Vec<String> = (0..200).map(|n| format!("fan{n}")).collect();
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({ "externalUserId": name, "name": name }))
        .collect();
    let host = group.service.internal();
    host.post("/api/users/sync/batch", json!({ "users": items }))
        .await
        .expect(200);
    let members = format!("/api/conversations/{}/participants", group.id);
    group
        .alice
        .post(&members, json!({ "userIds": names }))
        .await
        .expect(201);
    let of = id(&group.alice.say(&group.id, "a goal").await);
    let mut socket = group.bob.connect().await;
    let fans: Vec<User> = names
        .iter()
        .map(|name| group.service.known_user(name))
        .collect();
    let (give, take) = (path(&of, ""), path(&of, "⚽"));
    let all = fans
        .iter()
        .map(|fan| fan.post(&give, json!({ "emoji": "⚽" })));
    for answer in futures_util::future::join_all(all).await {
        let reactions = answer.expect(200)["reactions"].clone();
        assert_eq!(reactions[0]["reactedByMe"], true, "{reactions}");
    }

    let mut seen = Seen::default();
    for expected in 1..=200 {
        let frame = socket.next("reaction:added").await;
        assert_eq!(
            frame["data"]["totalCount"],
            json!(expected),
            "dense, in order"
        );
        seen.note([frame]);
    }
    seen.assert_complete(&group.id, 4, 203);
    // A user who is not among the first twenty still sees their own reaction marked.
    let shown = message(&fans[7], &of).await["reactions"][0].clone();
    assert_eq!(
        (&shown["count"], &shown["reactedByMe"]),
        (&json!(200), &json!(true))
    );
    assert_eq!(shown["userIds"].as_array().map(Vec::len), Some(20));
    assert_eq!(
        message(&group.bob, &of).await["reactions"][0]["reactedByMe"],
        false
    );
    for fan in &fans {
        let page = fan
            .get(&format!("{}?limit=1", group.messages))
            .await
            .expect(200);
        assert_eq!(
            page["messages"][0]["reactions"][0]["reactedByMe"], true,
            "{}",
            fan.id
        );
    }
    let listed = read_all(&group.bob, &path(&of, ""), "users", "after", 100).await;
    assert_eq!(listed.len(), 200);

    let all = fans[..150].iter().map(|fan| fan.delete(&take));
    for answer in futures_util::future::join_all(all).await {
        answer.expect(200);
    }
    let shown = message(&group.bob, &of).await["reactions"][0].clone();
    assert_eq!(shown["count"], 50);
    let listed = read_all(&group.bob, &path(&of, ""), "users", "after", 100).await;
    assert_eq!(listed.len(), 50);
}

#[tokio::test]
async fn a_former_member_sees_the_reactions_of_their_membership() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "hello").await);
    react(&group.alice, &of, "👍").await;
    react(&group.bob, &of, "👍").await;
    react(&group.alice, &of, "🎉").await;
    let then = message(&group.bob, &of).await;
    let listed = group.bob.get(&path(&of, "")).await.expect(200);
    let leave = format!("/api/conversations/{}/leave", group.id);
    group.bob.post(&leave, Value::Null).await.expect(204);
    take_back(&group.alice, &of, "👍").await;
    react(&group.alice, &of, "🚀").await;

    assert_eq!(message(&group.bob, &of).await, then);
    assert_eq!(group.bob.get(&path(&of, "")).await.expect(200), listed);
    for limit in [1, 2] {
        let users = read_all(&group.bob, &path(&of, ""), "users", "after", limit).await;
        assert_eq!(json!(users), listed["users"]);
    }
    group
        .bob
        .post(&path(&of, ""), json!({ "emoji": "👍" }))
        .await
        .expect_error(404, "NOT_FOUND");
    group
        .bob
        .delete(&path(&of, "👍"))
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn reading_a_page_asks_for_reactions_only_where_the_answer_needs_them() {
    let group = Group::of_two().await;
    let few = id(&group.alice.say(&group.id, "few").await);
    react(&group.bob, &few, "👍").await;
    let reads = group.service.sandbox().count_reads("reactions").await;
    group.bob.history(&group.id).await;
    group.alice.history(&group.id).await;
    assert_eq!(
        reads.count().await,
        0,
        "all who reacted stand with the message"
    );

    let fans: Vec<User> = {
        let mut fans = Vec::new();
        for n in 0..25 {
            fans.push(group.service.user(&format!("fan{n}")).await);
        }
        fans
    };
    let members = format!("/api/conversations/{}/participants", group.id);
    let ids: Vec<&str> = fans.iter().map(|fan| fan.id.as_str()).collect();
    group
        .alice
        .post(&members, json!({ "userIds": ids }))
        .await
        .expect(201);
    let many = id(&group.alice.say(&group.id, "many").await);
    for fan in &fans {
        react(fan, &many, "👍").await;
    }
    let reads = group.service.sandbox().count_reads("reactions").await;
    group.alice.get(&group.messages).await.expect(200);
    assert_eq!(reads.count().await, 1, "one read for the whole page");
}

#[tokio::test]
async fn an_emoji_in_text_presentation_is_the_same_emoji() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "news").await);
    let text_heart = "\u{2764}\u{fe0e}";
    assert_eq!(
        react(&group.bob, &of, text_heart).await,
        json!([summary(RED_HEART, &["bob"], true)])
    );
    assert_eq!(
        react(&group.alice, &of, RED_HEART).await,
        json!([summary(RED_HEART, &["bob", "alice"], true)])
    );
    assert_eq!(
        take_back(&group.bob, &of, text_heart).await,
        json!([summary(RED_HEART, &["alice"], false)])
    );
    for bad in ["\u{fe0e}", "a\u{fe0e}", "\u{fe0e}\u{2764}"] {
        let body = json!({ "emoji": bad });
        let answer = group.alice.post(&path(&of, ""), body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["emoji".to_owned()])
        );
    }
}
