//! Reports, decisions, their undo and appeals.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{builder, code, id, path, restrict, set_rule, try_say};
use crate::support::{Client, Node, User, eventually};

async fn report(user: &User, message: &str) -> Value {
    let body = json!({ "messageId": message, "reason": "An insult." });
    user.post(&path("reports"), body).await.expect(201)
}

/// The reports in a state.
async fn reports(host: &Client, status: &str) -> Vec<Value> {
    let page = host
        .get(&path(&format!("reports?status={status}")))
        .await
        .expect(200);
    page["reports"].as_array().expect("a list").clone()
}

async fn decide(host: &Client, report: &Value, body: Value) -> Value {
    let mut body = body;
    body["reviewerId"] = json!("rita");
    let path = path(&format!("reports/{}/decide", id(report)));
    host.post(&path, body).await.expect(200)
}

/// A service with a group of alice, the owner, bob, who wrote a message, and carol. Returns the message's id.
async fn scenario(node: &Node) -> (User, User, User, String, String) {
    let (alice, bob, carol) = (
        node.user("alice").await,
        node.user("bob").await,
        node.user("carol").await,
    );
    let conversation = node.group(&alice, &[&bob, &carol]).await;
    let message = id(&bob.say(&conversation, "the first version").await);
    (alice, bob, carol, conversation, message)
}

#[tokio::test]
async fn reviewers_see_the_version_at_the_time_of_the_report() {
    let service = builder().start().await;
    let (alice, bob, carol, conversation, message) = scenario(&service).await;
    let first = report(&carol, &message).await;
    let own = format!("/api/messages/{message}");
    bob.patch(&own, json!({ "content": "harmless" }))
        .await
        .expect(200);
    report(&alice, &message).await;
    bob.delete(&own).await.expect(204);
    // A message that expires.
    let messages = format!("/api/conversations/{conversation}/messages");
    let short = json!({ "content": "gone soon", "ttlSeconds": 1 });
    let short = id(&bob.post(&messages, short).await.expect(201));
    report(&carol, &short).await;
    eventually("it expires", || async {
        (carol.get(&format!("/api/messages/{short}")).await.status == 404).then_some(())
    })
    .await;
    let all = reports(&service.internal(), "open").await;
    let texts: Vec<&Value> = all.iter().map(|one| &one["evidence"]["content"]).collect();
    assert_eq!(texts, ["the first version", "harmless", "gone soon"]);
    assert_eq!(all[0]["id"], first["id"]);
    assert_eq!(
        (&all[0]["authorId"], &all[0]["reporterId"]),
        (&json!("bob"), &json!("carol"))
    );
    assert_eq!(
        (&all[0]["reason"], &all[1]["evidence"]["isEdited"]),
        (&json!("An insult."), &json!(true))
    );
}

#[tokio::test]
async fn a_report_needs_a_message_that_the_caller_can_read() {
    let service = builder().start().await;
    let (_alice, bob, carol, _, message) = scenario(&service).await;
    let eve = service.user("eve").await;
    let body = json!({ "messageId": message });
    let foreign = eve
        .post(&path("reports"), body.clone())
        .await
        .expect_error(404, "NOT_FOUND");
    let missing = json!({ "messageId": "msg_00000000000000000000000000" });
    let missing = eve
        .post(&path("reports"), missing)
        .await
        .expect_error(404, "NOT_FOUND");
    assert_eq!(foreign["message"], missing["message"]);
    let error = bob
        .post(&path("reports"), body.clone())
        .await
        .expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "messageId");
    let long = json!({ "messageId": message, "reason": "x".repeat(1001) });
    let error = carol
        .post(&path("reports"), long)
        .await
        .expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "reason");
    let first = report(&carol, &message).await;
    let again = carol.post(&path("reports"), body).await.expect(200);
    assert_eq!(again["id"], first["id"]);
    assert_eq!(reports(&service.internal(), "open").await.len(), 1);
    bob.delete(&format!("/api/messages/{message}"))
        .await
        .expect(204);
    let dave = service.known_user("alice");
    let error = dave
        .post(&path("reports"), json!({ "messageId": message }))
        .await;
    let error = error.expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "messageId");
}

#[tokio::test]
async fn one_reviewer_has_a_report_and_one_decision_is_made() {
    let service = builder().start().await;
    let (_alice, _bob, carol, _, message) = scenario(&service).await;
    let made = report(&carol, &message).await;
    let host = service.internal();
    let claim = path(&format!("reports/{}/claim", id(&made)));
    let claimed = host
        .post(&claim, json!({ "reviewerId": "rita" }))
        .await
        .expect(200);
    assert_eq!(claimed["claimedBy"], "rita");
    host.post(&claim, json!({ "reviewerId": "rita" }))
        .await
        .expect(200);
    host.post(&claim, json!({ "reviewerId": "sam" }))
        .await
        .expect_error(409, "CONFLICT");
    let decide = path(&format!("reports/{}/decide", id(&made)));
    let body = json!({ "reviewerId": "sam", "action": "dismiss" });
    host.post(&decide, body).await.expect_error(409, "CONFLICT");
    // Many decisions at once: one is made, and one is in the log.
    let calls = (0..6).map(|n| {
        let body = json!({ "reviewerId": "rita", "action": "dismiss", "note": format!("{n}") });
        host.post(&decide, body)
    });
    let statuses: Vec<u16> = join_all(calls)
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    let made = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(made, 1, "{statuses:?}");
    assert!(
        statuses.iter().all(|status| [200, 409].contains(status)),
        "{statuses:?}"
    );
    let log = host.get(&path("decisions")).await.expect(200);
    assert_eq!(log["decisions"].as_array().map(Vec::len), Some(1), "{log}");
    assert!(reports(&host, "open").await.is_empty());
    let decided = reports(&host, "decided").await;
    assert_eq!(decided[0]["decisionId"], log["decisions"][0]["id"]);
    host.post(&claim, json!({ "reviewerId": "rita" }))
        .await
        .expect_error(409, "CONFLICT");
    let nobody = path("reports/rep_00000000000000000000000000/claim");
    host.post(&nobody, json!({ "reviewerId": "rita" }))
        .await
        .expect_error(404, "NOT_FOUND");
    let body = json!({ "reviewerId": "rita", "action": "remove", "durationSeconds": 5 });
    let error = host
        .post(&decide, body)
        .await
        .expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "durationSeconds");
}

#[tokio::test]
async fn an_approved_appeal_returns_the_message_with_its_id_position_and_reactions() {
    let service = builder().start().await;
    let (alice, bob, carol, conversation, message) = scenario(&service).await;
    let own = format!("/api/messages/{message}");
    carol
        .post(&format!("{own}/reactions"), json!({ "emoji": "👍" }))
        .await
        .expect(200);
    bob.say(&conversation, "later").await;
    let before = carol.get(&own).await.expect(200);
    let host = service.internal();
    let decision = decide(
        &host,
        &report(&carol, &message).await,
        json!({ "action": "remove" }),
    )
    .await;
    assert_eq!(decision["effect"], "applied", "{decision}");
    assert_eq!(carol.get(&own).await.expect(200)["isDeleted"], true);

    let appeal = path(&format!("decisions/{}/appeal", id(&decision)));
    let reason = json!({ "reason": "A joke." });
    carol
        .post(&appeal, reason.clone())
        .await
        .expect_error(404, "NOT_FOUND");
    let mine = bob.get(&path("me/decisions")).await.expect(200);
    assert_eq!(
        (&mine["decisions"][0]["id"], &mine["decisions"][0]["appeal"]),
        (&decision["id"], &json!("none"))
    );
    assert_eq!(mine["decisions"][0]["reviewerId"], json!(null));
    let none = carol.get(&path("me/decisions")).await.expect(200);
    assert_eq!(none["decisions"], json!([]));
    bob.post(&appeal, reason.clone()).await.expect(201);
    bob.post(&appeal, reason.clone())
        .await
        .expect_error(409, "CONFLICT");
    let open = host.get(&path("decisions?appeal=open")).await.expect(200);
    assert_eq!(open["decisions"][0]["appealReason"], "A joke.");

    let resolve = format!("{appeal}/resolve");
    let by = |reviewer: &str| json!({ "reviewerId": reviewer, "approve": true });
    host.post(&resolve, by("rita"))
        .await
        .expect_error(403, "FORBIDDEN");
    let resolved = host.post(&resolve, by("sam")).await.expect(200);
    assert_eq!(
        (&resolved["effect"], &resolved["appeal"]),
        (&json!("undone"), &json!("approved")),
        "{resolved}"
    );
    let after = carol.get(&own).await.expect(200);
    for field in ["id", "seq", "content", "reactions", "createdAt"] {
        assert_eq!(after[field], before[field], "{field}: {after}");
    }
    assert_eq!(alice.history(&conversation).await[0]["id"], json!(message));
    host.post(&resolve, by("sam"))
        .await
        .expect_error(409, "CONFLICT");
    bob.post(&appeal, reason)
        .await
        .expect_error(409, "CONFLICT");
    // The report stays decided.
    assert!(reports(&host, "open").await.is_empty());
}

#[tokio::test]
async fn a_rejected_appeal_changes_nothing_and_is_the_last_one() {
    let service = builder().start().await;
    let (_alice, bob, carol, conversation, message) = scenario(&service).await;
    let host = service.internal();
    let mute = json!({ "action": "mute", "durationSeconds": 600 });
    let decision = decide(&host, &report(&carol, &message).await, mute).await;
    let appeal = path(&format!("decisions/{}/appeal", id(&decision)));
    bob.post(&appeal, json!({ "reason": "Please." }))
        .await
        .expect(201);
    let body = json!({ "reviewerId": "sam", "approve": false });
    let rejected = host
        .post(&format!("{appeal}/resolve"), body)
        .await
        .expect(200);
    assert_eq!(
        (&rejected["appeal"], &rejected["effect"]),
        (&json!("rejected"), &json!("applied"))
    );
    assert_eq!(rejected["undoneAt"], json!(null));
    let answer = try_say(&bob, &conversation, "x").await;
    assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "MUTED");
    bob.post(&appeal, json!({ "reason": "Please." }))
        .await
        .expect_error(409, "CONFLICT");
}

#[tokio::test]
async fn an_undone_decision_opens_the_report_again() {
    let service = builder().start().await;
    let (_alice, bob, carol, conversation, message) = scenario(&service).await;
    let host = service.internal();
    let made = report(&carol, &message).await;
    let undo_path = |decision: &Value| path(&format!("decisions/{}/undo", id(decision)));
    let by = json!({ "reviewerId": "rita" });

    let mute = decide(&host, &made, json!({ "action": "mute" })).await;
    let answer = try_say(&bob, &conversation, "x").await;
    assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "MUTED");
    let undone = host.post(&undo_path(&mute), by.clone()).await.expect(200);
    assert_eq!(
        (&undone["effect"], &undone["undoneBy"]),
        (&json!("undone"), &json!("rita"))
    );
    bob.say(&conversation, "free").await;
    host.post(&undo_path(&mute), by.clone())
        .await
        .expect_error(409, "CONFLICT");
    assert_eq!(reports(&host, "open").await.len(), 1);

    // The undo of a decision leaves a restriction that replaced its own.
    let ban = decide(
        &host,
        &made,
        json!({ "action": "mute", "everywhere": true }),
    )
    .await;
    restrict(&service, json!({ "kind": "mute", "userId": "bob" })).await;
    host.post(&undo_path(&ban), by.clone()).await.expect(200);
    let answer = try_say(&bob, &conversation, "x").await;
    assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "MUTED");

    // A message that its author deleted does not return.
    bob.delete(&format!("/api/messages/{message}"))
        .await
        .expect(204);
    let removal = decide(&host, &made, json!({ "action": "remove" })).await;
    assert_eq!(removal["effect"], "applied");
    let undone = host
        .post(&undo_path(&removal), by.clone())
        .await
        .expect(200);
    assert_eq!(undone["effect"], "undone");
    assert_eq!(
        carol
            .get(&format!("/api/messages/{message}"))
            .await
            .expect(200)["isDeleted"],
        true
    );
    let log = host.get(&path("decisions?limit=2")).await.expect(200);
    assert_eq!(
        (log["decisions"].as_array().map(Vec::len), &log["hasMore"]),
        (Some(2), &json!(true))
    );
    let next = log["nextCursor"].as_str().expect("a cursor");
    let rest = host
        .get(&path(&format!("decisions?after={next}")))
        .await
        .expect(200);
    assert_eq!(
        (rest["decisions"].as_array().map(Vec::len), &rest["hasMore"]),
        (Some(1), &json!(false))
    );
    let missing = path("decisions/dec_00000000000000000000000000/undo");
    host.post(&missing, by).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_ban_by_decision_removes_the_author() {
    let service = builder().start().await;
    let (_alice, bob, carol, conversation, message) = scenario(&service).await;
    let host = service.internal();
    let decision = decide(
        &host,
        &report(&carol, &message).await,
        json!({ "action": "ban" }),
    )
    .await;
    assert_eq!(decision["effect"], "applied", "{decision}");
    try_say(&bob, &conversation, "x")
        .await
        .expect_error(404, "NOT_FOUND");
    let page = host.get(&path("restrictions?userId=bob")).await.expect(200);
    assert_eq!(page["restrictions"][0]["decisionId"], decision["id"]);
}

#[tokio::test]
async fn a_rule_reports_sent_and_edited_messages_once() {
    let service = builder().start().await;
    service
        .sandbox()
        .wait_for_durable("moderation-events")
        .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let direct = service.direct(&alice, &bob).await;
    let body = json!({ "kind": "words", "entries": ["dubious"], "action": "report", "conversationTypes": ["group"] });
    set_rule(&service, "watch", body).await.expect(201);
    bob.say(&direct, "dubious elsewhere").await;
    let sent = id(&bob.say(&conversation, "a dub||ious|| text").await);
    let edited = id(&bob.say(&conversation, "clean").await);
    bob.patch(
        &format!("/api/messages/{edited}"),
        json!({ "content": "dubious now" }),
    )
    .await
    .expect(200);
    bob.patch(
        &format!("/api/messages/{edited}"),
        json!({ "content": "dubious again" }),
    )
    .await
    .expect(200);
    let all = eventually("both are reported", || async {
        let all = reports(&service.internal(), "open").await;
        (all.len() >= 2).then_some(all)
    })
    .await;
    assert_eq!(all.len(), 2, "{all:?}");
    let mut ids: Vec<&str> = all
        .iter()
        .filter_map(|one| one["messageId"].as_str())
        .collect();
    let mut expected = [sent.as_str(), edited.as_str()];
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    for one in &all {
        assert_eq!(
            (&one["rule"], &one["reporterId"]),
            (&json!("watch"), &json!(null))
        );
        assert_eq!(one["authorId"], "bob");
    }
    let of_sent = all
        .iter()
        .find(|one| one["messageId"] == *sent)
        .expect("a report");
    assert_eq!(of_sent["evidence"]["content"], "a dub||ious|| text");
    // A reported message of no reporter is removed as the owner too.
    let decision = decide(&service.internal(), of_sent, json!({ "action": "remove" })).await;
    assert_eq!(decision["effect"], "applied", "{decision}");
}

#[tokio::test]
async fn the_words_of_a_deleted_user_are_erased_from_reports() {
    let service = builder().start().await;
    service
        .sandbox()
        .wait_for_durable("moderation-events")
        .await;
    let (_alice, bob, carol, _, message) = scenario(&service).await;
    let host = service.internal();
    let decision = decide(
        &host,
        &report(&carol, &message).await,
        json!({ "action": "remove" }),
    )
    .await;
    let appeal = path(&format!("decisions/{}/appeal", id(&decision)));
    bob.post(&appeal, json!({ "reason": "my own words" }))
        .await
        .expect(201);
    host.delete("/api/users/bob").await.expect(204);
    eventually("the words are gone", || async {
        let sandbox = service.sandbox();
        let stored =
            sandbox.text("moderation_reports").await + &sandbox.text("moderation_decisions").await;
        (!stored.contains("the first version") && !stored.contains("my own words")).then_some(())
    })
    .await;
    let decided = reports(&host, "decided").await;
    assert_eq!(
        (&decided[0]["evidence"], &decided[0]["authorId"]),
        (&json!(null), &json!("bob"))
    );
    host.delete("/api/users/carol").await.expect(204);
    eventually("the reason is gone", || async {
        let stored = service.sandbox().text("moderation_reports").await;
        (!stored.contains("An insult.")).then_some(())
    })
    .await;
}
