//! Another user's id gets the answer of an id that does not exist, wherever an id is taken: paths, parameters, bodies, cursors, socket commands.

use serde_json::{Value, json};

use super::super::{ask, id};
use crate::support::{Service, Socket, User, in_an_hour};

const NO_CONVERSATION: &str = "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6";
const NO_MESSAGE: &str = "msg_01hzx3v7k9q2m4n6p8r0s2t4v6";
const NO_SCHEDULED: &str = "sch_01hzx3v7k9q2m4n6p8r0s2t4v6";
/// The placeholder for an id in the tables.
const ID: &str = "{id}";

/// Everything that belongs to other users, and `mallory`'s own resources.
struct Sandbox {
    service: Service,
    mallory: User,
    /// Conversations of others: a group, a direct one, one that was deleted, one that mallory has left.
    conversations: Vec<String>,
    /// Messages that mallory does not see: of others' conversations, a reply, a pinned one, one from before she joined.
    messages: Vec<String>,
    scheduled: String,
    /// Mallory's own group, and a message there.
    own: String,
    own_message: String,
    /// The group in which mallory sees nothing of the time before she joined.
    joined: String,
}

impl Sandbox {
    async fn new() -> Self {
        let service = Service::builder()
            .env("RATE_LIMIT_API", "off")
            .env("RATE_LIMIT_MESSAGES", "off")
            .env("RATE_LIMIT_TYPING", "off")
            .start()
            .await;
        let alice = service.user("alice").await;
        let bob = service.user("bob").await;
        let mallory = service.user("mallory").await;
        let group = service.group(&alice, &[&bob]).await;
        let direct = service.direct(&alice, &bob).await;
        let deleted = service.group(&alice, &[&bob]).await;
        let left = service.group(&alice, &[&mallory]).await;
        let leave = format!("/api/conversations/{left}/leave");
        mallory.post(&leave, Value::Null).await.expect(204);
        let root = id(&alice.say(&group, "root").await);
        let path = format!("/api/conversations/{group}/messages");
        let reply = json!({ "content": "reply", "threadId": root });
        let reply = id(&alice.post(&path, reply).await.expect(201));
        let of_direct = id(&bob.say(&direct, "hello").await);
        let later = json!({ "conversationId": group, "content": "later", "sendAt": in_an_hour() });
        let scheduled = id(&alice.post("/api/scheduled", later).await.expect(201));
        let settings = json!({ "historyVisibility": "joined" });
        let joined = service.group_with(&alice, &[&bob], settings).await;
        let before = id(&alice.say(&joined, "before").await);
        for message in [&root, &before] {
            let pin = format!("/api/messages/{message}/pin");
            ask(&alice, "PUT", &pin, None).await.expect(200);
        }
        let participants = format!("/api/conversations/{joined}/participants");
        let add = json!({ "userIds": ["mallory"] });
        alice.post(&participants, add).await.expect(201);
        let gone = format!("/api/conversations/{deleted}");
        alice.delete(&gone).await.expect(204);
        let own = service.group(&mallory, &[]).await;
        let own_message = id(&mallory.say(&own, "mine").await);
        Self {
            service,
            mallory,
            conversations: vec![group, direct, deleted, left],
            messages: vec![root, reply, of_direct, before],
            scheduled,
            own,
            own_message,
            joined,
        }
    }

    /// Fills in mallory's own ids.
    fn fill(&self, text: &str) -> String {
        text.replace("{own}", &self.own)
            .replace("{ownMessage}", &self.own_message)
            .replace("{joined}", &self.joined)
    }

    async fn rest(&self, method: &str, path: &str, body: &Value, id: &str) -> (u16, String) {
        let path = self.fill(path).replace(ID, id);
        let body = if body.is_null() {
            None
        } else {
            Some(filled(&self.fill(&body.to_string()), id))
        };
        let answer = ask(&self.mallory, method, &path, body).await;
        (answer.status, answer.text.replace(id, ID))
    }

    async fn compare(&self, rows: &[(&str, &str, Value)], foreign: &[String], unknown: &str) {
        for (method, path, body) in rows {
            let expected = self.rest(method, path, body, unknown).await;
            for id in foreign {
                let answered = self.rest(method, path, body, id).await;
                assert_eq!(answered, expected, "{method} {path} {body} with {id}");
            }
        }
    }

    async fn compare_commands(
        &self,
        socket: &mut Socket,
        rows: &[(&str, Value)],
        foreign: &[String],
        unknown: &str,
    ) {
        for (event, data) in rows {
            let data = self.fill(&data.to_string());
            let expected = socket.send(event, filled(&data, unknown)).await;
            for id in foreign {
                let answered = socket.send(event, filled(&data, id)).await;
                assert_eq!(
                    plain(&answered, id),
                    plain(&expected, unknown),
                    "{event} {data} with {id}"
                );
            }
        }
    }
}

fn filled(body: &str, id: &str) -> Value {
    serde_json::from_str(&body.replace(ID, id)).expect("JSON")
}

/// An answer without the id that was asked for.
fn plain(answer: &Value, id: &str) -> String {
    answer.to_string().replace(id, ID)
}

#[tokio::test]
async fn a_foreign_conversation_answers_like_a_missing_one() {
    let place = Sandbox::new().await;
    let mut rows = Vec::new();
    for list in [
        "/api/conversations?limit=1",
        "/api/conversations?archived=true",
        "/api/conversations/public?limit=1",
        "/api/unread?limit=1",
        "/api/scheduled?limit=1",
    ] {
        for parameter in ["before", "after", "around"] {
            let path = format!("{list}&{parameter}={ID}");
            rows.push(("GET", path, Value::Null));
        }
    }
    for (method, path, body) in [
        ("GET", "", Value::Null),
        ("PATCH", "", json!({ "name": "x" })),
        ("PATCH", "", json!({ "retentionSeconds": 60 })),
        ("DELETE", "", Value::Null),
        ("POST", "/join", Value::Null),
        ("POST", "/leave", Value::Null),
        ("GET", "/participants", Value::Null),
        ("POST", "/participants", json!({ "userIds": ["mallory"] })),
        ("PATCH", "/participants/alice", json!({ "role": "admin" })),
        ("DELETE", "/participants/alice", Value::Null),
        ("DELETE", "/participants/mallory", Value::Null),
        ("PATCH", "/me", json!({ "muted": true })),
        ("PATCH", "/me", json!({ "draft": "x" })),
        ("PUT", "/read", json!({})),
        ("GET", "/presence", Value::Null),
        ("GET", "/unread-count", Value::Null),
        ("GET", "/pins", Value::Null),
        ("POST", "/messages", json!({ "content": "x" })),
    ] {
        rows.push((method, format!("/api/conversations/{ID}{path}"), body));
    }
    rows.push((
        "POST",
        "/api/scheduled".to_owned(),
        json!({ "conversationId": ID, "content": "x", "sendAt": in_an_hour() }),
    ));
    rows.push((
        "POST",
        "/api/messages/{ownMessage}/forward".to_owned(),
        json!({ "conversationIds": [ID] }),
    ));
    let rows: Vec<(&str, &str, Value)> = rows
        .iter()
        .map(|(method, path, body)| (*method, path.as_str(), body.clone()))
        .collect();
    place
        .compare(&rows, &place.conversations, NO_CONVERSATION)
        .await;
    // Former members can still read a conversation, so its existence is no secret to them.
    let strange = &place.conversations[..3];
    let reads = ["/messages", "/log"].map(|path| format!("/api/conversations/{ID}{path}"));
    let reads: Vec<(&str, &str, Value)> = reads
        .iter()
        .map(|path| ("GET", path.as_str(), Value::Null))
        .collect();
    place.compare(&reads, strange, NO_CONVERSATION).await;

    let mut socket = place.mallory.connect().await;
    let commands = [
        (
            "message:send",
            json!({ "conversationId": ID, "content": "x" }),
        ),
        (
            "message:schedule",
            json!({ "conversationId": ID, "content": "x", "sendAt": in_an_hour() }),
        ),
        ("conversation:read", json!({ "conversationId": ID })),
        ("typing:start", json!({ "conversationId": ID })),
        ("typing:stop", json!({ "conversationId": ID })),
        ("recording:start", json!({ "conversationId": ID })),
        ("recording:stop", json!({ "conversationId": ID })),
        ("room:join", json!({ "conversationId": ID })),
        ("room:leave", json!({ "conversationId": ID })),
    ];
    place
        .compare_commands(
            &mut socket,
            &commands,
            &place.conversations,
            NO_CONVERSATION,
        )
        .await;
    let reads = [
        ("messages:list", json!({ "conversationId": ID })),
        ("messages:sync", json!({ "conversationId": ID })),
    ];
    place
        .compare_commands(&mut socket, &reads, strange, NO_CONVERSATION)
        .await;
}

#[tokio::test]
async fn a_foreign_message_answers_like_a_missing_one() {
    let place = Sandbox::new().await;
    let mut rows = Vec::new();
    for list in [
        "/api/conversations/{own}/messages?limit=1",
        "/api/conversations/{joined}/messages?limit=1",
        "/api/conversations/{own}/pins?limit=1",
        "/api/conversations/{joined}/pins?limit=1",
        "/api/messages/{ownMessage}/replies?limit=1",
        "/api/messages/{ownMessage}/reactions?limit=1",
        "/api/messages/{ownMessage}/read?limit=1",
    ] {
        for parameter in ["before", "after", "around"] {
            rows.push(("GET", format!("{list}&{parameter}={ID}"), Value::Null));
        }
    }
    for (method, path, body) in [
        ("GET", "", Value::Null),
        ("PATCH", "", json!({ "content": "x" })),
        ("DELETE", "", Value::Null),
        ("GET", "/replies", Value::Null),
        ("GET", "/history", Value::Null),
        ("GET", "/reactions", Value::Null),
        ("POST", "/reactions", json!({ "emoji": "👍" })),
        ("DELETE", "/reactions/%F0%9F%91%8D", Value::Null),
        ("POST", "/restore", Value::Null),
        ("PUT", "/pin", Value::Null),
        ("DELETE", "/pin", Value::Null),
        ("PUT", "/read", Value::Null),
        ("DELETE", "/read", Value::Null),
        ("GET", "/read", Value::Null),
        ("PUT", "/delivered", Value::Null),
        ("POST", "/forward", json!({ "conversationIds": ["{own}"] })),
    ] {
        rows.push((method, format!("/api/messages/{ID}{path}"), body));
    }
    let messages = "/api/conversations/{own}/messages".to_owned();
    let into_joined = "/api/conversations/{joined}/messages".to_owned();
    for reference in ["replyTo", "threadId"] {
        for path in [&messages, &into_joined] {
            let body = json!({ "content": "x", reference: ID });
            rows.push(("POST", path.clone(), body));
        }
        for conversation in ["{own}", "{joined}"] {
            rows.push((
                "POST",
                "/api/scheduled".to_owned(),
                json!({ "conversationId": conversation, "content": "x", reference: ID, "sendAt": in_an_hour() }),
            ));
        }
        rows.push((
            "POST",
            "/api/messages".to_owned(),
            json!({ "receiverId": "alice", "content": "x", reference: ID }),
        ));
    }
    for conversation in ["{own}", "{joined}"] {
        rows.push((
            "PUT",
            format!("/api/conversations/{conversation}/read"),
            json!({ "upToMessageId": ID }),
        ));
    }
    let rows: Vec<(&str, &str, Value)> = rows
        .iter()
        .map(|(method, path, body)| (*method, path.as_str(), body.clone()))
        .collect();
    place.compare(&rows, &place.messages, NO_MESSAGE).await;

    let mut socket = place.mallory.connect().await;
    let mut commands = vec![
        ("message:edit", json!({ "messageId": ID, "content": "x" })),
        ("message:delete", json!({ "messageId": ID })),
        ("message:read", json!({ "messageId": ID })),
        ("message:delivered", json!({ "messageId": ID })),
        ("reaction:add", json!({ "messageId": ID, "emoji": "👍" })),
        ("reaction:remove", json!({ "messageId": ID, "emoji": "👍" })),
    ];
    for conversation in ["{own}", "{joined}"] {
        for parameter in ["before", "after", "around"] {
            commands.push((
                "messages:list",
                json!({ "conversationId": conversation, parameter: ID }),
            ));
        }
        commands.push((
            "messages:sync",
            json!({ "conversationId": conversation, "lastMessageId": ID }),
        ));
        commands.push((
            "conversation:read",
            json!({ "conversationId": conversation, "upToMessageId": ID }),
        ));
        for reference in ["replyTo", "threadId"] {
            commands.push((
                "message:send",
                json!({ "conversationId": conversation, "content": "x", reference: ID }),
            ));
            commands.push((
                "message:schedule",
                json!({ "conversationId": conversation, "content": "x", reference: ID, "sendAt": in_an_hour() }),
            ));
        }
    }
    place
        .compare_commands(&mut socket, &commands, &place.messages, NO_MESSAGE)
        .await;
    let sync = json!({ "conversationId": place.own, "lastMessageId": NO_MESSAGE });
    let refused = socket.refused("messages:sync", sync).await;
    assert_eq!(refused["details"][0]["field"], "lastMessageId");
}

#[tokio::test]
async fn a_foreign_scheduled_message_answers_like_a_missing_one() {
    let place = Sandbox::new().await;
    let rows = [
        ("GET", "/api/scheduled/{id}", Value::Null),
        ("PATCH", "/api/scheduled/{id}", json!({ "content": "x" })),
        ("DELETE", "/api/scheduled/{id}", Value::Null),
        ("GET", "/api/scheduled?before={id}", Value::Null),
        ("GET", "/api/scheduled?after={id}", Value::Null),
    ];
    let foreign = [place.scheduled.clone()];
    place.compare(&rows, &foreign, NO_SCHEDULED).await;
}

#[tokio::test]
async fn a_user_who_blocks_the_caller_answers_like_a_missing_one() {
    let place = Sandbox::new().await;
    let alice = place.service.known_user("alice");
    let block = "/api/users/me/blocks/mallory";
    ask(&alice, "PUT", block, None).await.expect(204);
    let rows = [
        (
            "POST",
            "/api/conversations",
            json!({ "type": "direct", "participantIds": [ID] }),
        ),
        (
            "POST",
            "/api/messages",
            json!({ "receiverId": ID, "content": "x" }),
        ),
        (
            "POST",
            "/api/scheduled",
            json!({ "receiverId": ID, "content": "x", "sendAt": in_an_hour() }),
        ),
        ("GET", "/api/users/{id}/presence", Value::Null),
        ("POST", "/api/presence/batch", json!({ "userIds": [ID] })),
        ("DELETE", "/api/users/me/blocks/{id}", Value::Null),
    ];
    place.compare(&rows, &["alice".to_owned()], "ghost").await;
    let mut socket = place.mallory.connect().await;
    let commands = [
        ("message:send", json!({ "receiverId": ID, "content": "x" })),
        (
            "message:schedule",
            json!({ "receiverId": ID, "content": "x", "sendAt": in_an_hour() }),
        ),
        ("presence:subscribe", json!({ "userIds": [ID] })),
    ];
    let foreign = ["alice".to_owned()];
    place
        .compare_commands(&mut socket, &commands, &foreign, "ghost")
        .await;
}
