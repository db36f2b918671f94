//! Operations on messages.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{
    scene::Scene,
    table::{NOBODY, Pushed, Row, Setting, members, rest, socket},
};

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "a member sends a message with everything in it",
        scene: Setting::Group,
        ways: &[
            rest("sendMessage", |scene| {
                async move {
                    let draft = full_draft(scene);
                    let path = scene.path("/messages");
                    scene.member.post(&path, draft).await.expect(201);
                }
                .boxed()
            }),
            socket("message:send", |scene| {
                async move {
                    let mut draft = full_draft(scene);
                    draft["conversationId"] = json!(scene.conversation);
                    scene.member.socket.ok("message:send", draft).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageCreated],
        pushed: members(&["message:new"]),
    },
    Row {
        name: "a member repeats a send",
        scene: Setting::Group,
        ways: &[
            rest("sendMessage", |scene| {
                async move {
                    let draft = full_draft(scene);
                    let path = scene.path("/messages");
                    scene.member.post(&path, draft.clone()).await.expect(201);
                    scene.have(None).await;
                    scene.member.post(&path, draft).await.expect(200);
                }
                .boxed()
            }),
            socket("message:send", |scene| {
                async move {
                    let mut draft = full_draft(scene);
                    draft["conversationId"] = json!(scene.conversation);
                    let socket = &mut scene.member.socket;
                    socket.ok("message:send", draft.clone()).await;
                    scene.have(None).await;
                    scene.member.socket.ok("message:send", draft).await;
                }
                .boxed()
            }),
        ],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "a member sends a message to a user with whom they have no conversation",
        scene: Setting::Group,
        ways: &[
            rest("sendDirectMessage", |scene| {
                async move {
                    let body = json!({ "receiverId": scene.former.id, "content": "psst" });
                    let sent = scene.member.post("/api/messages", body).await.expect(201);
                    scene.ids.push(text(&sent["conversationId"]));
                }
                .boxed()
            }),
            socket("message:send", |scene| {
                async move {
                    let body = json!({ "receiverId": scene.former.id, "content": "psst" });
                    let sent = scene.member.socket.ok("message:send", body).await;
                    scene.ids.push(text(&sent["message"]["conversationId"]));
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
        scene: Setting::Group,
        ways: &[
            rest("editMessage", |scene| {
                async move {
                    let body = json!({ "content": "changed", "metadata": { "a": [1, null] } });
                    let path = scene.message_path();
                    scene.member.patch(&path, body).await.expect(200);
                }
                .boxed()
            }),
            socket("message:edit", |scene| {
                async move {
                    let body = json!({
                        "messageId": scene.message, "content": "changed", "metadata": { "a": 1.5 },
                    });
                    scene.member.socket.ok("message:edit", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageUpdated],
        pushed: members(&["message:updated"]),
    },
    Row {
        name: "the sender changes the text once more and leaves the metadata",
        scene: Setting::Group,
        ways: &[
            rest("editMessage", |scene| {
                async move {
                    let path = scene.message_path();
                    let first = json!({ "content": "changed", "metadata": { "kept": true } });
                    scene.member.patch(&path, first).await.expect(200);
                    scene.have(None).await;
                    let body = json!({ "content": "changed again" });
                    scene.member.patch(&path, body).await.expect(200);
                }
                .boxed()
            }),
            socket("message:edit", |scene| {
                async move {
                    let path = scene.message_path();
                    let first = json!({ "content": "changed", "metadata": { "kept": true } });
                    scene.member.patch(&path, first).await.expect(200);
                    scene.have(None).await;
                    let body = json!({ "messageId": scene.message, "content": "changed again" });
                    scene.member.socket.ok("message:edit", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageUpdated],
        pushed: members(&["message:updated"]),
    },
    Row {
        name: "the sender deletes a message that has everything in it and was changed",
        scene: Setting::Group,
        ways: &[
            rest("deleteMessage", |scene| {
                async move {
                    let path = format!("/api/messages/{}", full_message(scene).await);
                    scene.member.delete(&path).await.expect(204);
                }
                .boxed()
            }),
            socket("message:delete", |scene| {
                async move {
                    let body = json!({ "messageId": full_message(scene).await });
                    scene.member.socket.ok("message:delete", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageDeleted],
        pushed: members(&["message:deleted"]),
    },
    Row {
        name: "an admin deletes the newest message of a member",
        scene: Setting::Group,
        ways: &[
            rest("deleteMessage", |scene| {
                async move {
                    let path = scene.message_path();
                    scene.admin.delete(&path).await.expect(204);
                }
                .boxed()
            }),
            socket("message:delete", |scene| {
                async move {
                    let body = json!({ "messageId": scene.message });
                    scene.admin.socket.ok("message:delete", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageDeleted],
        pushed: members(&["message:deleted"]),
    },
    Row {
        name: "a deleted message is deleted again",
        scene: Setting::Group,
        ways: &[rest("deleteMessage", |scene| {
            async move {
                let path = scene.message_path();
                scene.member.delete(&path).await.expect(204);
                scene.have(None).await;
                scene.owner.delete(&path).await.expect(204);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "who left changes and deletes their message in vain",
        scene: Setting::Group,
        ways: &[rest("editMessage", |scene| {
            async move {
                let own = scene.former.history(&scene.conversation).await;
                let path = format!("/api/messages/{}", text(&own[0]["id"]));
                let body = json!({ "content": "after leaving" });
                let answer = scene.former.patch(&path, body).await;
                answer.expect_error(404, "NOT_FOUND");
                let answer = scene.former.delete(&path).await;
                answer.expect_error(404, "NOT_FOUND");
                let said = json!({ "content": "after leaving" });
                let answer = scene.stranger.post(&scene.path("/messages"), said).await;
                answer.expect_error(404, "NOT_FOUND");
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
];

/// Everything that a message may have.
fn full_draft(scene: &Scene) -> Value {
    json!({
        "content": "with everything",
        "type": "custom",
        "attachments": [{
            "url": "https://files.example/1.png", "mimeType": "image/png", "name": "1.png", "size": 7,
            "thumbnailUrl": "https://files.example/1-small.png",
        }],
        "replyTo": scene.message,
        "mentions": [scene.owner.id, scene.admin.id],
        "metadata": { "order": 1042, "deep": { "list": [1, "two", null] } },
        "clientMessageId": "mine-1",
    })
}

/// A message with everything in it, changed once. Returns its id.
async fn full_message(scene: &mut Scene) -> String {
    let draft = full_draft(scene);
    let path = scene.path("/messages");
    let sent = scene.member.post(&path, draft).await.expect(201);
    let id = text(&sent["id"]);
    let path = format!("/api/messages/{id}");
    let body = json!({ "content": "changed", "metadata": { "b": 2 } });
    scene.member.patch(&path, body).await.expect(200);
    scene.have(None).await;
    id
}

/// A text.
fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
