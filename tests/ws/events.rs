//! Recipients of the events about a conversation and its members, and users who must not receive them.

use serde_json::{Value, json};

use crate::support::{Seen, Service, Socket, User};

/// Sends a message to `fence` and takes everything that `socket` got before it: whatever happened earlier has arrived by then.
async fn until_fence(sender: &User, fence: &str, socket: &mut Socket) -> Vec<Value> {
    let id = sender.say(fence, "fence").await["id"].clone();
    let last = socket
        .find("the fence", |frame| frame["data"]["id"] == id)
        .await;
    let mut frames = socket.take_arrived();
    frames.retain(|frame| frame["seq"] != last["seq"] || frame["data"]["id"] != id);
    frames
}

/// The frames about `conversation`. A socket that connects right after a conversation was created may still receive its first events.
fn about<'a>(frames: &'a [Value], conversation: &str) -> Vec<&'a Value> {
    let found = frames.iter().filter(|frame| {
        let data = &frame["data"];
        data["conversationId"] == conversation || data["id"] == conversation
    });
    found.collect()
}

#[tokio::test]
async fn a_new_conversation_is_pushed_only_to_its_members() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let mallory = service.user("mallory").await;
    let fence = service.group(&alice, &[&mallory]).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    let mut m = mallory.connect().await;
    let conversation = service.group(&alice, &[&bob]).await;
    for socket in [&mut a, &mut b] {
        let new = socket.next("conversation:new").await;
        assert_eq!(new["data"]["id"], conversation.as_str());
        assert_eq!(new["data"]["type"], "group");
        assert_eq!(new["seq"], 1);
    }
    // They are in its room from that moment.
    alice.say(&conversation, "hello").await;
    assert_eq!(b.next("message:new").await["data"]["content"], "hello");
    let frames = until_fence(&alice, &fence, &mut m).await;
    assert_eq!(about(&frames, &conversation), Vec::<&Value>::new());
}

#[tokio::test]
async fn an_added_member_receives_events_from_that_entry_on() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let fence = service.group(&alice, &[&carol]).await;
    let mut b = bob.connect().await;
    let mut c = carol.connect().await;
    alice.say(&conversation, "before").await;
    let path = format!("/api/conversations/{conversation}/participants");
    let answer = alice.post(&path, json!({ "userIds": ["carol"] })).await;
    assert!(matches!(answer.status, 200 | 201), "{answer}");
    alice.say(&conversation, "after").await;

    let joined = c.next("conversation:joined").await;
    assert_eq!(joined["data"]["id"], conversation.as_str());
    assert_eq!(joined["seq"], 3);
    let mut seen = Seen::default();
    seen.note([joined]);
    seen.note(until_fence(&alice, &fence, &mut c).await);
    seen.assert_complete(&conversation, 3, 4);

    let added = b.next("participant:added").await;
    let data = &added["data"];
    assert_eq!(data["conversationId"], conversation.as_str());
    assert_eq!(
        (&data["userId"], &data["role"]),
        (&json!("carol"), &json!("member"))
    );
    assert!(data["timestamp"].is_string());
}

#[tokio::test]
async fn a_removed_member_receives_the_removal_and_nothing_after_it() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let conversation = service.group(&alice, &[&bob, &carol]).await;
    let fence = service.group(&alice, &[&carol]).await;
    let mut b = bob.connect().await;
    let mut c = carol.connect().await;
    let path = format!("/api/conversations/{conversation}/participants/carol");
    alice.delete(&path).await.expect(204);
    alice.say(&conversation, "secret").await;

    let removed = c.skip_to("conversation:removed").await;
    assert_eq!(removed["data"]["conversationId"], conversation.as_str());
    assert_eq!(removed["seq"], 2);
    let frames = until_fence(&alice, &fence, &mut c).await;
    assert_eq!(about(&frames, &conversation), Vec::<&Value>::new());
    let error = c
        .refused("room:join", json!({ "conversationId": conversation }))
        .await;
    assert_eq!(error["code"], "NOT_FOUND", "there is no way back in");

    let removed = b.next("participant:removed").await;
    assert_eq!(removed["data"]["userId"], "carol");
    assert_eq!(removed["data"]["conversationId"], conversation.as_str());
    assert_eq!(b.next("message:new").await["data"]["content"], "secret");
}

#[tokio::test]
async fn a_member_of_a_public_conversation_receives_only_events_of_their_memberships() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let carol = service.user("carol").await;
    let fence = service.group(&alice, &[&carol]).await;
    let body = json!({ "type": "public", "name": "Square", "participantIds": [] });
    let made = alice.post("/api/conversations", body).await.expect(201);
    let square = made["id"].as_str().expect("an id").to_owned();
    let mut c = carol.connect().await;
    let mut expected = Vec::new();
    let mut seq = 1;
    for round in 0..3 {
        alice.say(&square, "unheard").await;
        let answer = carol
            .post(&format!("/api/conversations/{square}/join"), json!({}))
            .await;
        assert!(matches!(answer.status, 200 | 201), "{answer}");
        alice.say(&square, &format!("heard {round}")).await;
        let answer = carol
            .post(&format!("/api/conversations/{square}/leave"), json!({}))
            .await;
        assert!(matches!(answer.status, 200 | 204), "{answer}");
        alice.say(&square, "unheard").await;
        expected.extend([seq + 2, seq + 3, seq + 4]);
        seq += 5;
    }
    let mut seen = Seen::default();
    seen.note(until_fence(&alice, &fence, &mut c).await);
    assert_eq!(seen.numbers(&square), expected);
    assert!(
        seen.frames(&square)
            .iter()
            .all(|frame| frame["data"]["content"] != "unheard")
    );
}

#[tokio::test]
async fn settings_roles_and_deletion_of_a_conversation_are_pushed() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let fence = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{conversation}");
    let mut b = bob.connect().await;

    alice
        .patch(&path, json!({ "name": "Renamed" }))
        .await
        .expect(200);
    let updated = b.next("conversation:updated").await;
    assert_eq!(
        (&updated["data"]["name"], &updated["seq"]),
        (&json!("Renamed"), &json!(2))
    );

    alice
        .patch(
            &format!("{path}/participants/bob"),
            json!({ "role": "admin" }),
        )
        .await
        .expect(200);
    let changed = b.next("participant:updated").await;
    assert_eq!(
        (&changed["data"]["userId"], &changed["data"]["role"]),
        (&json!("bob"), &json!("admin"))
    );
    assert_eq!(changed["seq"], 3);

    alice.delete(&path).await.expect(204);
    let removed = b.next("conversation:removed").await;
    assert_eq!(removed["data"]["conversationId"], conversation.as_str());
    assert_eq!(removed["seq"], 4);
    let frames = until_fence(&alice, &fence, &mut b).await;
    assert_eq!(about(&frames, &conversation), Vec::<&Value>::new());
    alice.get(&path).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_refused_command_is_pushed_to_nobody() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let fence = service.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    let path = format!("/api/conversations/{conversation}");
    bob.patch(&path, json!({ "name": "Mine" }))
        .await
        .expect_error(403, "FORBIDDEN");
    bob.delete(&path).await.expect_error(403, "FORBIDDEN");
    bob.delete(&format!("{path}/participants/alice"))
        .await
        .expect_error(403, "FORBIDDEN");
    let mut frames = until_fence(&alice, &fence, &mut a).await;
    frames.retain(|frame| frame["event"] != "conversation:new");
    assert_eq!(frames, Vec::<Value>::new());
    assert_eq!(
        service.sandbox().log(&conversation).await.len(),
        1,
        "and leaves no entry"
    );
}

#[tokio::test]
async fn random_membership_never_shows_an_entry_from_outside() {
    use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
    let seed = crate::support::random_seed();
    let mut random = StdRng::seed_from_u64(seed);
    let service = Service::start().await;
    let owner = service.user("owner").await;
    let mut users = Vec::new();
    for id in ["u1", "u2", "u3", "u4"] {
        users.push(service.user(id).await);
    }
    let everybody: Vec<&User> = users.iter().collect();
    let fence = service.group(&owner, &everybody).await;
    let conversation = service.group(&owner, &[]).await;
    let mut sockets = Vec::new();
    for user in &users {
        sockets.push(user.connect().await);
    }
    // The seqs that each user must receive, according to the answers.
    let mut is_in = vec![false; users.len()];
    let mut expected: Vec<Vec<u64>> = vec![Vec::new(); users.len()];
    let mut seq = 1_u64;
    let path = format!("/api/conversations/{conversation}/participants");
    for _ in 0..120 {
        let index = random.random_range(0..users.len());
        let kind = *["say", "add", "remove"]
            .choose(&mut random)
            .expect("one of them");
        let mut leaves = None;
        match kind {
            "add" if !is_in[index] => {
                let answer = owner
                    .post(&path, json!({ "userIds": [users[index].id] }))
                    .await;
                assert!(matches!(answer.status, 200 | 201), "seed {seed}: {answer}");
                is_in[index] = true;
            }
            "remove" if is_in[index] => {
                owner
                    .delete(&format!("{path}/{}", users[index].id))
                    .await
                    .expect(204);
                leaves = Some(index);
            }
            _ => drop(owner.say(&conversation, "x").await),
        }
        seq += 1;
        for (expected, _) in expected.iter_mut().zip(&is_in).filter(|(_, is_in)| **is_in) {
            expected.push(seq);
        }
        if let Some(index) = leaves {
            is_in[index] = false;
        }
    }
    for ((user, socket), expected) in users.iter().zip(&mut sockets).zip(expected) {
        let mut seen = Seen::default();
        seen.note(until_fence(&owner, &fence, socket).await);
        assert_eq!(
            seen.numbers(&conversation),
            expected,
            "seed {seed}, {}",
            user.id
        );
    }
}
