//! Operations of members on messages (reactions, pins, threads, forwarding, restoring), and on their private settings.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use reqwest::Method;
use serde_json::json;

use super::{
    scene::Scene,
    table::{NOBODY, Pushed, Row, Setting, members, rest, socket},
};

async fn react(scene: &mut Scene) {
    let path = format!("{}/reactions", scene.message_path());
    let body = json!({ "emoji": "👍" });
    scene.owner.post(&path, body).await.expect(200);
}

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "a member reacts to a message",
        scene: Setting::Group,
        ways: &[
            rest("addReaction", |scene| react(scene).boxed()),
            socket("reaction:add", |scene| {
                async move {
                    let body = json!({ "messageId": scene.message, "emoji": ":tada:" });
                    scene.owner.socket.ok("reaction:add", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::ReactionAdded],
        pushed: members(&["reaction:added"]),
    },
    Row {
        name: "a member takes a reaction back",
        scene: Setting::Group,
        ways: &[
            rest("removeReaction", |scene| {
                async move {
                    react(scene).await;
                    scene.have(None).await;
                    let path = format!("{}/reactions/%F0%9F%91%8D", scene.message_path());
                    scene.owner.delete(&path).await.expect(200);
                }
                .boxed()
            }),
            socket("reaction:remove", |scene| {
                async move {
                    react(scene).await;
                    scene.have(None).await;
                    let body = json!({ "messageId": scene.message, "emoji": "👍" });
                    scene.owner.socket.ok("reaction:remove", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::ReactionRemoved],
        pushed: members(&["reaction:removed"]),
    },
    Row {
        name: "an admin pins a message",
        scene: Setting::Group,
        ways: &[rest("pinMessage", |scene| {
            async move {
                let path = format!("{}/pin", scene.message_path());
                scene
                    .admin
                    .request(Method::PUT, &path, None)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[Event::MessagePinned],
        pushed: members(&["message:pinned"]),
    },
    Row {
        name: "an admin pins a message no more",
        scene: Setting::Group,
        ways: &[rest("unpinMessage", |scene| {
            async move {
                let path = format!("{}/pin", scene.message_path());
                scene
                    .admin
                    .request(Method::PUT, &path, None)
                    .await
                    .expect(200);
                scene.have(None).await;
                scene.admin.delete(&path).await.expect(204);
            }
            .boxed()
        })],
        events: &[Event::MessageUnpinned],
        pushed: members(&["message:unpinned"]),
    },
    Row {
        name: "a message is brought back with its reactions",
        scene: Setting::Group,
        ways: &[rest("restoreMessage", |scene| {
            async move {
                react(scene).await;
                scene.member.delete(&scene.message_path()).await.expect(204);
                scene.have(None).await;
                let path = format!("{}/restore", scene.message_path());
                scene.admin.post(&path, json!({})).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::MessageRestored],
        pushed: members(&["message:restored"]),
    },
    Row {
        name: "a member replies in a thread",
        scene: Setting::Group,
        ways: &[rest("sendMessage", |scene| {
            async move {
                let body = json!({ "content": "a reply", "threadId": scene.message });
                let path = scene.path("/messages");
                scene.owner.post(&path, body).await.expect(201);
            }
            .boxed()
        })],
        events: &[Event::MessageCreated],
        pushed: members(&["message:new"]),
    },
    Row {
        name: "a member sends a message on",
        scene: Setting::Group,
        ways: &[rest("forwardMessage", |scene| {
            async move {
                let body = json!({ "conversationIds": [scene.conversation] });
                let path = format!("{}/forward", scene.message_path());
                scene.owner.post(&path, body).await.expect(201);
            }
            .boxed()
        })],
        events: &[Event::MessageCreated],
        pushed: members(&["message:new"]),
    },
    Row {
        name: "a member changes what is their own, and nobody else is told",
        scene: Setting::Group,
        ways: &[rest("updatePreferences", |scene| {
            async move {
                let body =
                    json!({ "muted": true, "pinned": true, "notificationLevel": "mentions" });
                scene
                    .member
                    .patch(&scene.path("/me"), body)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[Event::ParticipantUpdated],
        pushed: Pushed {
            owner: &["seq:skip"],
            admin: &["seq:skip"],
            member: &["participant:updated"],
            ..NOBODY
        },
    },
    Row {
        name: "a member begins to write",
        scene: Setting::Group,
        ways: &[rest("updatePreferences", |scene| {
            async move {
                let body = json!({ "draft": "half a sentence" });
                scene
                    .member
                    .patch(&scene.path("/me"), body)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[Event::DraftUpdated],
        pushed: Pushed {
            member: &["draft:updated"],
            ..NOBODY
        },
    },
    Row {
        name: "a user blocks another and lets it be",
        scene: Setting::Group,
        ways: &[
            rest("blockUser", |scene| block_and_unblock(scene).boxed()),
            rest("unblockUser", |scene| block_and_unblock(scene).boxed()),
        ],
        events: &[Event::UserBlocked, Event::UserUnblocked],
        pushed: NOBODY,
    },
];

async fn block_and_unblock(scene: &mut Scene) {
    let path = format!("/api/users/me/blocks/{}", scene.stranger.id);
    scene
        .member
        .request(Method::PUT, &path, None)
        .await
        .expect(204);
    scene.member.delete(&path).await.expect(204);
}
