//! Operations on messages.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{
    scenario::Scenario,
    table::{NOBODY, Pushed, Row, Setting, members, rest, socket},
};

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "a member sends a message with everything in it",
        scenario: Setting::Group,
        ways: &[
            rest("sendMessage", |scenario| {
                async move {
                    let draft = full_draft(scenario);
                    let path = scenario.path("/messages");
                    scenario.member.post(&path, draft).await.expect(201);
                }
                .boxed()
            }),
            socket("message:send", |scenario| {
                async move {
                    let mut draft = full_draft(scenario);
                    draft["conversationId"] = json!(scenario.conversation);
                    scenario.member.socket.ok("message:send", draft).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageCreated],
        pushed: members(&["message:new"]),
    },
    Row {
        name: "a member repeats a send",
        scenario: Setting::Group,
        ways: &[
            rest("sendMessage", |scenario| {
                async move {
                    let draft = full_draft(scenario);
                    let path = scenario.path("/messages");
                    scenario.member.post(&path, draft.clone()).await.expect(201);
                    scenario.have(None).await;
                    scenario.member.post(&path, draft).await.expect(200);
                }
                .boxed()
            }),
            socket("message:send", |scenario| {
                async move {
                    let mut draft = full_draft(scenario);
                    draft["conversationId"] = json!(scenario.conversation);
                    let socket = &mut scenario.member.socket;
                    socket.ok("message:send", draft.clone()).await;
                    scenario.have(None).await;
                    scenario.member.socket.ok("message:send", draft).await;
                }
                .boxed()
            }),
        ],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "a member sends a message to a user with whom they have no conversation",
        scenario: Setting::Group,
        ways: &[
            rest("sendDirectMessage", |scenario| {
                async move {
                    let body = json!({ "receiverId": scenario.former.id, "content": "psst" });
                    let sent = scenario
                        .member
                        .post("/api/messages", body)
                        .await
                        .expect(201);
                    scenario.ids.push(text(&sent["conversationId"]));
                }
                .boxed()
            }),
            socket("message:send", |scenario| {
                async move {
                    let body = json!({ "receiverId": scenario.former.id, "content": "psst" });
                    let sent = scenario.member.socket.ok("message:send", body).await;
                    scenario.ids.push(text(&sent["message"]["conversationId"]));
                }
                .boxed()
            }),
        ],
        events: &[Event::ConversationCreated, Event::MessageCreated],
        pushed: Pushed {
            member: &["conversation:new", "message:new"],
            former: &["conversation:new", "message:new"],
            ..NOBODY
        },
    },
    Row {
        name: "the sender changes text and metadata of a message",
        scenario: Setting::Group,
        ways: &[
            rest("editMessage", |scenario| {
                async move {
                    let body = json!({ "content": "changed", "metadata": { "a": [1, null] } });
                    let path = scenario.message_path();
                    scenario.member.patch(&path, body).await.expect(200);
                }
                .boxed()
            }),
            socket("message:edit", |scenario| {
                async move {
                    let body = json!({
                        "messageId": scenario.message, "content": "changed", "metadata": { "a": 1.5 },
                    });
                    scenario.member.socket.ok("message:edit", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageUpdated],
        pushed: members(&["message:updated"]),
    },
    Row {
        name: "the sender changes the text once more and leaves the metadata",
        scenario: Setting::Group,
        ways: &[
            rest("editMessage", |scenario| {
                async move {
                    let path = scenario.message_path();
                    let first = json!({ "content": "changed", "metadata": { "kept": true } });
                    scenario.member.patch(&path, first).await.expect(200);
                    scenario.have(None).await;
                    let body = json!({ "content": "changed again" });
                    scenario.member.patch(&path, body).await.expect(200);
                }
                .boxed()
            }),
            socket("message:edit", |scenario| {
                async move {
                    let path = scenario.message_path();
                    let first = json!({ "content": "changed", "metadata": { "kept": true } });
                    scenario.member.patch(&path, first).await.expect(200);
                    scenario.have(None).await;
                    let body = json!({ "messageId": scenario.message, "content": "changed again" });
                    scenario.member.socket.ok("message:edit", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageUpdated],
        pushed: members(&["message:updated"]),
    },
    Row {
        name: "the sender deletes a message that has everything in it and was changed",
        scenario: Setting::Group,
        ways: &[
            rest("deleteMessage", |scenario| {
                async move {
                    let path = format!("/api/messages/{}", full_message(scenario).await);
                    scenario.member.delete(&path).await.expect(204);
                }
                .boxed()
            }),
            socket("message:delete", |scenario| {
                async move {
                    let body = json!({ "messageId": full_message(scenario).await });
                    scenario.member.socket.ok("message:delete", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageDeleted],
        pushed: members(&["message:deleted"]),
    },
    Row {
        name: "an admin deletes the newest message of a member",
        scenario: Setting::Group,
        ways: &[
            rest("deleteMessage", |scenario| {
                async move {
                    let path = scenario.message_path();
                    scenario.admin.delete(&path).await.expect(204);
                }
                .boxed()
            }),
            socket("message:delete", |scenario| {
                async move {
                    let body = json!({ "messageId": scenario.message });
                    scenario.admin.socket.ok("message:delete", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageDeleted],
        pushed: members(&["message:deleted"]),
    },
    Row {
        name: "a deleted message is deleted again",
        scenario: Setting::Group,
        ways: &[rest("deleteMessage", |scenario| {
            async move {
                let path = scenario.message_path();
                scenario.member.delete(&path).await.expect(204);
                scenario.have(None).await;
                scenario.owner.delete(&path).await.expect(204);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "who left changes and deletes their message in vain",
        scenario: Setting::Group,
        ways: &[rest("editMessage", |scenario| {
            async move {
                let own = scenario.former.history(&scenario.conversation).await;
                let path = format!("/api/messages/{}", text(&own[0]["id"]));
                let body = json!({ "content": "after leaving" });
                let answer = scenario.former.patch(&path, body).await;
                answer.expect_error(404, "NOT_FOUND");
                let answer = scenario.former.delete(&path).await;
                answer.expect_error(404, "NOT_FOUND");
                let said = json!({ "content": "after leaving" });
                let answer = scenario
                    .stranger
                    .post(&scenario.path("/messages"), said)
                    .await;
                answer.expect_error(404, "NOT_FOUND");
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
];

/// Everything that a message may have.
fn full_draft(scenario: &Scenario) -> Value {
    json!({
        "content": "with everything",
        "type": "custom",
        "attachments": [{
            "url": "https://files.example/1.png", "mimeType": "image/png", "name": "1.png", "size": 7,
            "thumbnailUrl": "https://files.example/1-small.png",
        }],
        "replyTo": scenario.message,
        "mentions": [scenario.owner.id, scenario.admin.id],
        "metadata": { "order": 1042, "deep": { "list": [1, "two", null] } },
        "clientMessageId": "mine-1",
    })
}

/// A message with everything in it, changed once. Returns its id.
async fn full_message(scenario: &mut Scenario) -> String {
    let draft = full_draft(scenario);
    let path = scenario.path("/messages");
    let sent = scenario.member.post(&path, draft).await.expect(201);
    let id = text(&sent["id"]);
    let path = format!("/api/messages/{id}");
    let body = json!({ "content": "changed", "metadata": { "b": 2 } });
    scenario.member.patch(&path, body).await.expect(200);
    scenario.have(None).await;
    id
}

/// A text.
fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
