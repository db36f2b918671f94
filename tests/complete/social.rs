//! Operations of members on messages (reactions, pins, threads, forwarding, restoring), and on their private settings.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use reqwest::Method;
use serde_json::json;

use super::{
    scenario::Scenario,
    table::{NOBODY, Pushed, Row, Setting, members, rest, socket},
};

async fn react(scenario: &mut Scenario) {
    let path = format!("{}/reactions", scenario.message_path());
    let body = json!({ "emoji": "👍" });
    scenario.owner.post(&path, body).await.expect(200);
}

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "a member reacts to a message",
        scenario: Setting::Group,
        ways: &[
            rest("addReaction", |scenario| react(scenario).boxed()),
            socket("reaction:add", |scenario| {
                async move {
                    let body = json!({ "messageId": scenario.message, "emoji": ":tada:" });
                    scenario.owner.socket.ok("reaction:add", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::ReactionAdded],
        pushed: members(&["reaction:added"]),
    },
    Row {
        name: "a member takes a reaction back",
        scenario: Setting::Group,
        ways: &[
            rest("removeReaction", |scenario| {
                async move {
                    react(scenario).await;
                    scenario.have(None).await;
                    let path = format!("{}/reactions/%F0%9F%91%8D", scenario.message_path());
                    scenario.owner.delete(&path).await.expect(200);
                }
                .boxed()
            }),
            socket("reaction:remove", |scenario| {
                async move {
                    react(scenario).await;
                    scenario.have(None).await;
                    let body = json!({ "messageId": scenario.message, "emoji": "👍" });
                    scenario.owner.socket.ok("reaction:remove", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::ReactionRemoved],
        pushed: members(&["reaction:removed"]),
    },
    Row {
        name: "an admin pins a message",
        scenario: Setting::Group,
        ways: &[rest("pinMessage", |scenario| {
            async move {
                let path = format!("{}/pin", scenario.message_path());
                scenario
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
        scenario: Setting::Group,
        ways: &[rest("unpinMessage", |scenario| {
            async move {
                let path = format!("{}/pin", scenario.message_path());
                scenario
                    .admin
                    .request(Method::PUT, &path, None)
                    .await
                    .expect(200);
                scenario.have(None).await;
                scenario.admin.delete(&path).await.expect(204);
            }
            .boxed()
        })],
        events: &[Event::MessageUnpinned],
        pushed: members(&["message:unpinned"]),
    },
    Row {
        name: "a message is brought back with its reactions",
        scenario: Setting::Group,
        ways: &[rest("restoreMessage", |scenario| {
            async move {
                react(scenario).await;
                scenario
                    .member
                    .delete(&scenario.message_path())
                    .await
                    .expect(204);
                scenario.have(None).await;
                let path = format!("{}/restore", scenario.message_path());
                scenario.admin.post(&path, json!({})).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::MessageRestored],
        pushed: members(&["message:restored"]),
    },
    Row {
        name: "a member replies in a thread",
        scenario: Setting::Group,
        ways: &[rest("sendMessage", |scenario| {
            async move {
                let body = json!({ "content": "a reply", "threadId": scenario.message });
                let path = scenario.path("/messages");
                scenario.owner.post(&path, body).await.expect(201);
            }
            .boxed()
        })],
        events: &[Event::MessageCreated],
        pushed: members(&["message:new"]),
    },
    Row {
        name: "a member sends a message on",
        scenario: Setting::Group,
        ways: &[rest("forwardMessage", |scenario| {
            async move {
                let body = json!({ "conversationIds": [scenario.conversation] });
                let path = format!("{}/forward", scenario.message_path());
                scenario.owner.post(&path, body).await.expect(201);
            }
            .boxed()
        })],
        events: &[Event::MessageCreated],
        pushed: members(&["message:new"]),
    },
    Row {
        name: "a member changes what is their own, and nobody else is told",
        scenario: Setting::Group,
        ways: &[rest("updatePreferences", |scenario| {
            async move {
                let body =
                    json!({ "muted": true, "pinned": true, "notificationLevel": "mentions" });
                scenario
                    .member
                    .patch(&scenario.path("/me"), body)
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
        scenario: Setting::Group,
        ways: &[rest("updatePreferences", |scenario| {
            async move {
                let body = json!({ "draft": "half a sentence" });
                scenario
                    .member
                    .patch(&scenario.path("/me"), body)
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
        scenario: Setting::Group,
        ways: &[
            rest("blockUser", |scenario| block_and_unblock(scenario).boxed()),
            rest("unblockUser", |scenario| {
                block_and_unblock(scenario).boxed()
            }),
        ],
        events: &[Event::UserBlocked, Event::UserUnblocked],
        pushed: NOBODY,
    },
];

async fn block_and_unblock(scenario: &mut Scenario) {
    let path = format!("/api/users/me/blocks/{}", scenario.stranger.id);
    scenario
        .member
        .request(Method::PUT, &path, None)
        .await
        .expect(204);
    scenario.member.delete(&path).await.expect(204);
}
