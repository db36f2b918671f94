//! `examples/plugin-rust`, beside a real service: polls, their votes, and who may see them.

use std::panic::AssertUnwindSafe;

use chat_plugin_polls::PLUGIN as POLLS;
use chat_sdk::Timestamp;
use futures_util::{FutureExt, future::join_all};
use mongodb::bson::doc;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    hooks::sample,
    support::{Answer, Service, User, eventually},
};

async fn with_polls() -> Service {
    Service::builder()
        .env("PLUGINS", "polls")
        .start_with([POLLS])
        .await
}

fn in_millis(millis: i64) -> String {
    Timestamp::from_millis(Timestamp::now().as_millis() + millis).to_string()
}

fn poll_in(conversation: &str) -> Value {
    json!({ "conversationId": conversation, "question": "Which colour?", "options": ["red", "blue", "green"] })
}

async fn create(user: &User, conversation: &str) -> String {
    let poll = user
        .post("/api/polls", poll_in(conversation))
        .await
        .expect(201);
    poll["id"].as_str().expect("an id").to_owned()
}

async fn vote(user: &User, poll: &str, option: u64) -> Answer {
    let path = format!("/api/polls/{poll}/vote");
    let body = json!({ "option": option });
    user.request(Method::PUT, &path, Some(body)).await
}

async fn close(user: &User, poll: &str) -> Answer {
    user.post(&format!("/api/polls/{poll}/close"), Value::Null)
        .await
}

async fn read(user: &User, poll: &str) -> Answer {
    user.get(&format!("/api/polls/{poll}")).await
}

/// Number of votes of each option.
fn counts(poll: &Value) -> Vec<u64> {
    let options = poll["options"].as_array().expect("options");
    let counts = options.iter().map(|option| option["voteCount"].as_u64());
    counts.map(|count| count.expect("a number")).collect()
}

#[tokio::test]
async fn members_create_vote_change_and_close_a_poll_and_see_its_results_live() {
    let service = with_polls().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    let mut body = poll_in(&conversation);
    body["clientMessageId"] = json!("p-1");
    let poll = alice.post("/api/polls", body.clone()).await.expect(201);
    let id = poll["id"].as_str().expect("an id");
    assert_eq!(
        (counts(&poll), &poll["isClosed"]),
        (vec![0, 0, 0], &json!(false))
    );
    let frame = socket.next("message:new").await;
    assert_eq!(frame["data"]["id"], id);
    assert_eq!(frame["data"]["content"], "Which colour?\nred\nblue\ngreen");
    let again = alice.post("/api/polls", body.clone()).await.expect(200);
    assert_eq!(again, poll, "a repetition is the same poll");
    body["question"] = json!("Which size?");
    alice
        .post("/api/polls", body)
        .await
        .expect_error(409, "CONFLICT");

    let voted = vote(&bob, id, 0).await.expect(200);
    assert_eq!(
        (counts(&voted), &voted["myOption"]),
        (vec![1, 0, 0], &json!(0))
    );
    let frame = socket.next("polls:updated").await;
    assert_eq!(frame["data"]["pollId"], id);
    assert_eq!(frame["data"]["conversationId"], conversation.as_str());
    assert_eq!(frame["data"]["voteCounts"], json!([1, 0, 0]));
    assert!(
        !frame["data"].to_string().contains("bob"),
        "votes are secret: {frame}"
    );
    let cursor = socket.cursor();
    socket.vanish();

    let changed = vote(&bob, id, 2).await.expect(200);
    assert_eq!(counts(&changed), [0, 0, 1], "a member has one vote");
    vote(&alice, id, 2).await.expect(200);
    let of_alice = read(&alice, id).await.expect(200);
    assert_eq!(
        (counts(&of_alice), &of_alice["myOption"]),
        (vec![0, 0, 2], &json!(2))
    );
    let withdrawn = alice
        .delete(&format!("/api/polls/{id}/vote"))
        .await
        .expect(200);
    assert_eq!(
        (counts(&withdrawn), &withdrawn["myOption"]),
        (vec![0, 0, 1], &Value::Null)
    );
    close(&bob, id).await.expect_error(403, "FORBIDDEN");
    let closed = close(&alice, id).await.expect(200);
    assert_eq!(closed["isClosed"], true);
    assert!(closed["closedAt"].is_string(), "{closed}");
    assert_eq!(
        close(&alice, id).await.expect(200),
        closed,
        "it is closed once"
    );
    vote(&bob, id, 0).await.expect_error(409, "CONFLICT");
    let path = format!("/api/polls/{id}/vote");
    bob.delete(&path).await.expect_error(409, "CONFLICT");

    // Results that were missed are resumed as every entry of the log.
    let mut resumed = bob.resume(&cursor).await;
    let missed = [
        json!([0, 0, 1]),
        json!([0, 0, 2]),
        json!([0, 0, 1]),
        json!([0, 0, 1]),
    ];
    for expected in missed {
        let frame = resumed.next("polls:updated").await;
        assert_eq!(frame["data"]["voteCounts"], expected, "{frame}");
        assert_eq!(
            frame["data"]["isClosed"].as_bool(),
            Some(frame["data"]["closedAt"].is_string())
        );
    }
}

#[tokio::test]
async fn concurrent_votes_over_two_processes_count_once_per_member() {
    let one = with_polls().await;
    let builder = Service::builder().env("PLUGINS", "polls").database(&one);
    let two = builder.start_with([POLLS]).await;
    let alice = one.user("alice").await;
    let mut users = Vec::new();
    for number in 0..5 {
        users.push(one.user(&format!("user-{number}")).await);
    }
    let others: Vec<&User> = users.iter().collect();
    let conversation = one.group(&alice, &others).await;
    let id = create(&alice, &conversation).await;
    let mut socket = alice.connect().await;
    let nodes = [&one, &two];
    let votes = users.iter().flat_map(|user| {
        (0..8_usize).map(move |round| (user.at(nodes[round % 2]), round as u64 % 3))
    });
    let id_of = &id;
    let votes = votes.map(|(user, option)| async move {
        vote(&user, id_of, option).await.expect(200);
    });
    join_all(votes).await;
    let stored = one.sandbox().collection("polls_votes").await;
    let documents = stored.count_documents(doc! {}).await.expect("answers");
    assert_eq!(documents, users.len() as u64);
    let poll = read(&alice, &id).await.expect(200);
    assert_eq!(
        counts(&poll).iter().sum::<u64>(),
        users.len() as u64,
        "{poll}"
    );
    let mut expected = vec![0; 3];
    for user in &users {
        let own = read(user, &id).await.expect(200);
        let option = own["myOption"].as_u64().expect("a vote");
        expected[usize::try_from(option).expect("small")] += 1;
    }
    assert_eq!(
        counts(&poll),
        expected,
        "each member's own vote is the one that counts"
    );
    // The results with the highest version are those.
    let newest = socket
        .find("the last results", |frame| {
            frame["event"] == "polls:updated" && frame["data"]["version"] == poll["version"]
        })
        .await;
    assert_eq!(newest["data"]["voteCounts"], json!(expected));
    // A second document of a member is impossible.
    let copy = doc! { "pollId": &id, "userId": "user-0", "option": 1_i64 };
    assert!(stored.insert_one(copy).await.is_err());
}

#[tokio::test]
async fn votes_at_the_time_of_the_closing_count_if_they_were_accepted() {
    let service = with_polls().await;
    let alice = service.user("alice").await;
    let mut users = Vec::new();
    for number in 0..8 {
        users.push(service.user(&format!("user-{number}")).await);
    }
    let others: Vec<&User> = users.iter().collect();
    let conversation = service.group(&alice, &others).await;
    let id = create(&alice, &conversation).await;
    let votes = join_all(users.iter().map(|user| vote(user, &id, 1)));
    let (votes, closed) = tokio::join!(votes, close(&alice, &id));
    closed.expect(200);
    let accepted = votes.iter().filter(|answer| answer.status == 200).count();
    assert!(
        votes
            .iter()
            .all(|answer| matches!(answer.status, 200 | 409))
    );
    let poll = read(&alice, &id).await.expect(200);
    assert_eq!(counts(&poll), [0, accepted as u64, 0]);
}

#[tokio::test]
async fn strangers_and_former_members_get_what_a_missing_poll_returns() {
    let service = with_polls().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let (carol, eve) = (service.user("carol").await, service.user("eve").await);
    let settings = json!({ "historyVisibility": "joined" });
    let conversation = service.group_with(&alice, &[&bob], settings).await;
    let id = create(&alice, &conversation).await;
    vote(&bob, &id, 1).await.expect(200);
    let path = format!("/api/conversations/{conversation}");
    bob.post(&format!("{path}/leave"), Value::Null)
        .await
        .expect(204);
    let add = json!({ "userIds": ["carol"] });
    alice
        .post(&format!("{path}/participants"), add)
        .await
        .expect(201);

    let missing = "msg_00000000000000000000000000";
    let plain = id_of(&alice.say(&conversation, "no poll").await);
    // Eve never was a member, bob is none any more, and carol joined after the poll.
    for (user, poll) in [(&eve, &id), (&bob, &id), (&carol, &id), (&alice, &plain)] {
        let expected = read(user, missing).await.expect_error(404, "NOT_FOUND");
        for answer in [
            read(user, poll).await,
            vote(user, poll, 0).await,
            close(user, poll).await,
            user.delete(&format!("/api/polls/{poll}/vote")).await,
        ] {
            assert_eq!(
                answer.expect_error(404, "NOT_FOUND"),
                expected,
                "{}",
                user.id
            );
        }
    }
    let list = format!("/api/polls?conversationId={conversation}");
    for user in [&eve, &bob] {
        user.get(&list).await.expect_error(404, "NOT_FOUND");
        let body = poll_in(&conversation);
        user.post("/api/polls", body)
            .await
            .expect_error(404, "NOT_FOUND");
    }
    let listed = async |user: &User| {
        let page = user.get(&list).await.expect(200);
        page["polls"].as_array().expect("a list").len()
    };
    assert_eq!((listed(&carol).await, listed(&alice).await), (0, 1));
    let second = create(&carol, &conversation).await;
    let first = alice.get(&format!("{list}&limit=1")).await.expect(200);
    assert_eq!(
        (&first["polls"][0]["id"], &first["hasMore"]),
        (&json!(second), &json!(true))
    );
    let cursor = first["nextCursor"].as_str().expect("a cursor");
    let rest = alice
        .get(&format!("{list}&before={cursor}"))
        .await
        .expect(200);
    assert_eq!(
        (&rest["polls"][0]["id"], &rest["hasMore"]),
        (&json!(id), &json!(false))
    );
    assert_eq!(
        counts(&rest["polls"][0]),
        [0, 1, 0],
        "the vote of a former member stays"
    );
    service
        .anonymous()
        .get(&list)
        .await
        .expect_error(401, "UNAUTHORIZED");
}

fn id_of(message: &Value) -> String {
    message["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn texts_numbers_and_times_have_bounds() {
    let service = Service::builder()
        .env("PLUGINS", "polls")
        .toml("[plugins.polls]\nmax_open = 2\n")
        .start_with([POLLS])
        .await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let wide: Vec<String> = (0..10).map(|n| format!("{n}{}", "🂡".repeat(99))).collect();
    for (field, change) in [
        ("question", json!({ "question": "" })),
        ("question", json!({ "question": "\u{200b}" })),
        ("question", json!({ "question": "two\nlines" })),
        ("question", json!({ "question": "q".repeat(301) })),
        ("options", json!({ "options": ["one"] })),
        ("options", json!({ "options": vec!["x"; 11] })),
        ("options[1]", json!({ "options": ["a", "A"] })),
        ("options[1]", json!({ "options": ["a", "x".repeat(101)] })),
        (
            "options",
            json!({ "options": wide, "question": "🂡".repeat(300) }),
        ),
        ("closesAt", json!({ "closesAt": in_millis(-1000) })),
        (
            "closesAt",
            json!({ "closesAt": in_millis(367 * 86_400_000) }),
        ),
        (
            "clientMessageId",
            json!({ "clientMessageId": "x".repeat(129) }),
        ),
    ] {
        let mut body = poll_in(&conversation);
        for (name, value) in change.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let error = alice
            .post("/api/polls", body)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], field, "{error}");
    }
    assert!(
        alice.history(&conversation).await.is_empty(),
        "nothing was sent"
    );
    let id = create(&alice, &conversation).await;
    for option in [3, 9, 10, 5_000_000_000] {
        let error = vote(&alice, &id, option)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], "option", "{error}");
    }
    let mut body = poll_in(&conversation);
    body["clientMessageId"] = json!("second");
    alice.post("/api/polls", body.clone()).await.expect(201);
    let full = alice.post("/api/polls", poll_in(&conversation)).await;
    full.expect_error(409, "CONFLICT");
    alice.post("/api/polls", body).await.expect(200);
    close(&alice, &id).await.expect(200);
    create(&alice, &conversation).await;

    for (table, named) in [
        ("max_open = 0", "max_open is 0; it must be from 1 to 1000"),
        (
            "keep_deleted_days = 400",
            "keep_deleted_days is 400; it must be from 1 to 365",
        ),
    ] {
        let toml = format!("[plugins.polls]\n{table}\n");
        let start = Service::builder()
            .env("PLUGINS", "polls")
            .toml(&toml)
            .start_with([POLLS]);
        let Err(panic) = AssertUnwindSafe(start).catch_unwind().await else {
            panic!("it started with {table}");
        };
        let said = panic.downcast_ref::<String>().expect("a text");
        assert!(said.contains(named), "{said}");
    }
}

#[tokio::test]
async fn hooks_refuse_change_and_hold_polls_by_their_texts() {
    let hook = r#"[plugins.hooked]
hooks = [{ name = "words" }]
"#;
    let service = Service::builder()
        .env("PLUGINS", "hooked,polls")
        .toml(hook)
        .start_with([sample::PLUGIN, POLLS])
        .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let with = |option: &str| {
        let mut body = poll_in(&conversation);
        body["options"][1] = json!(option);
        body
    };
    let refused = alice.post("/api/polls", with("refuse")).await;
    let refused = refused.expect_error(403, "FORBIDDEN");
    assert_eq!(
        refused["details"],
        json!([{ "field": "hook", "message": "BAD_WORD" }])
    );
    let changed = alice.post("/api/polls", with("change")).await.expect(201);
    assert_eq!(changed["options"][1]["text"], "changed");
    // The changed option is too long, so the message is no poll any more.
    let mangled = alice.post("/api/polls", with(&"change ".repeat(14))).await;
    mangled.expect_error(409, "CONFLICT");
    let history = alice.history(&conversation).await;
    let shown: Vec<&Value> = history
        .iter()
        .filter(|message| message["isDeleted"] == false)
        .collect();
    assert_eq!(shown.len(), 1, "{shown:?}");

    let held = alice.post("/api/polls", with("hold")).await.expect(201);
    assert_eq!(held["isHeld"], true);
    let id = held["id"].as_str().expect("an id");
    for user in [&alice, &bob] {
        vote(user, id, 0).await.expect_error(404, "NOT_FOUND");
    }
    let release = format!("/api/held/{id}/release");
    service
        .internal()
        .post(&release, Value::Null)
        .await
        .expect(200);
    assert_eq!(counts(&vote(&bob, id, 1).await.expect(200)), [0, 1, 0]);
}

#[tokio::test]
async fn a_poll_closes_by_itself_and_late_results_are_published() {
    let service = with_polls().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    let mut body = poll_in(&conversation);
    body["closesAt"] = json!(in_millis(1500));
    let poll = alice.post("/api/polls", body).await.expect(201);
    let id = poll["id"].as_str().expect("an id");
    let frame = socket.next("polls:updated").await;
    assert_eq!(frame["data"]["isClosed"], true);
    assert_eq!(frame["data"]["closedAt"], poll["closesAt"]);
    vote(&bob, id, 0).await.expect_error(409, "CONFLICT");

    // A process died after it had stored a vote.
    let second = create(&alice, &conversation).await;
    vote(&bob, &second, 0).await.expect(200);
    socket.next("polls:updated").await;
    let set = |name: &str, fields: mongodb::bson::Document| {
        let (name, filter) = (
            name.to_owned(),
            doc! { "$or": [{ "_id": &second }, { "pollId": &second }] },
        );
        let place = service.sandbox();
        async move {
            let collection = place.collection(&name).await;
            let changed = collection.update_one(filter, doc! { "$set": fields }).await;
            assert_eq!(changed.expect("answers").matched_count, 1);
        }
    };
    set("polls_votes", doc! { "option": 2_i64 }).await;
    set("polls_polls", doc! { "staleSince": 1_i64 }).await;
    let frame = socket.next("polls:updated").await;
    assert_eq!(frame["data"]["voteCounts"], json!([0, 0, 1]));

    // A process died after it had sent the message: the poll begins when it is read.
    let path = format!("/api/conversations/{conversation}/messages");
    let body =
        json!({ "content": "Lunch?\nYes\nNo", "type": "custom", "metadata": { "poll": {} } });
    let message = id_of(&alice.post(&path, body).await.expect(201));
    assert_eq!(counts(&vote(&bob, &message, 1).await.expect(200)), [0, 1]);
}

#[tokio::test]
async fn deletions_hide_polls_and_remove_votes() {
    let service = with_polls().await;
    service.sandbox().wait_for_durable("polls-deleted").await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let host = service.internal();
    let conversation = service.group(&alice, &[&bob]).await;
    let id = create(&alice, &conversation).await;
    vote(&alice, &id, 0).await.expect(200);
    vote(&bob, &id, 0).await.expect(200);
    let polls = service.sandbox().collection("polls_polls").await;
    let votes = service.sandbox().collection("polls_votes").await;

    let path = format!("/api/messages/{id}");
    alice.delete(&path).await.expect(204);
    read(&alice, &id).await.expect_error(404, "NOT_FOUND");
    eventually("its removal is planned", || async {
        let planned = polls
            .count_documents(doc! { "removeAt": { "$gt": 0 } })
            .await;
        (planned.ok()? == 1).then_some(())
    })
    .await;
    alice
        .post(&format!("{path}/restore"), Value::Null)
        .await
        .expect(200);
    assert_eq!(counts(&read(&alice, &id).await.expect(200)), [2, 0, 0]);

    host.delete("/api/users/bob").await.expect(204);
    eventually("the vote of the deleted user is removed", || async {
        let poll = read(&alice, &id).await.expect(200);
        (counts(&poll) == [1, 0, 0]).then_some(())
    })
    .await;
    let path = format!("/api/conversations/{conversation}");
    alice.delete(&path).await.expect(204);
    eventually("everything of the conversation is removed", || async {
        let left = polls.count_documents(doc! {}).await.ok()?
            + votes.count_documents(doc! {}).await.ok()?;
        (left == 0).then_some(())
    })
    .await;
}
