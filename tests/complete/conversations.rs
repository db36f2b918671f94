//! Operations on conversations.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use serde_json::json;

use super::table::{NOBODY, Pushed, Row, Setting, members, rest};

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "a member makes a group with all settings",
        scene: Setting::Group,
        ways: &[rest("createConversation", |scene| {
            async move {
                let body = json!({
                    "type": "group", "participantIds": [scene.stranger.id, scene.admin.id],
                    "name": "New", "avatarUrl": "https://files.example/a.png",
                    "metadata": { "order": 7 }, "historyVisibility": "joined",
                });
                let made = scene.member.post("/api/conversations", body).await;
                scene
                    .ids
                    .push(made.expect(201)["id"].as_str().expect("an id").to_owned());
            }
            .boxed()
        })],
        events: &[Event::ConversationCreated],
        pushed: Pushed {
            admin: &["conversation:new"],
            member: &["conversation:new"],
            stranger: &["conversation:new"],
            ..NOBODY
        },
    },
    Row {
        name: "a group is made with more members than one entry may name",
        scene: Setting::Group,
        ways: &[rest("createConversation", |scene| {
            async move {
                let mut ids = scene.crowd().await;
                ids.extend([scene.admin.id.clone(), scene.stranger.id.clone()]);
                let body = json!({ "type": "group", "participantIds": ids });
                let made = scene.member.post("/api/conversations", body).await;
                scene
                    .ids
                    .push(made.expect(201)["id"].as_str().expect("an id").to_owned());
            }
            .boxed()
        })],
        events: &[Event::ConversationCreated, Event::ParticipantAdded],
        pushed: Pushed {
            admin: &["conversation:new", "participant:added"],
            member: &["conversation:new", "participant:added"],
            // By the order of the ids this one is in the second entry.
            stranger: &["conversation:joined"],
            ..NOBODY
        },
    },
    Row {
        name: "a member makes a direct conversation",
        scene: Setting::Group,
        ways: &[rest("createConversation", |scene| {
            async move {
                let body = json!({ "type": "direct", "participantIds": [scene.former.id] });
                let made = scene.member.post("/api/conversations", body).await;
                scene
                    .ids
                    .push(made.expect(201)["id"].as_str().expect("an id").to_owned());
            }
            .boxed()
        })],
        events: &[Event::ConversationCreated],
        pushed: Pushed {
            member: &["conversation:new"],
            former: &["conversation:new"],
            ..NOBODY
        },
    },
    Row {
        name: "a direct conversation that is there already is found, by the other one too",
        scene: Setting::Group,
        ways: &[rest("createConversation", |scene| {
            async move {
                let body = json!({ "type": "direct", "participantIds": [scene.former.id] });
                let made = scene.member.post("/api/conversations", body.clone()).await;
                scene.have(Some(&made.expect(201)["id"])).await;
                scene
                    .member
                    .post("/api/conversations", body)
                    .await
                    .expect(200);
                let body = json!({ "type": "direct", "participantIds": [scene.member.id] });
                scene
                    .former
                    .post("/api/conversations", body)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "an admin changes the settings",
        scene: Setting::Group,
        ways: &[rest("updateConversation", |scene| {
            async move {
                let body = json!({
                    "name": "Renamed", "avatarUrl": "https://files.example/b.png", "metadata": { "x": [{}] },
                });
                scene.admin.patch(&scene.path(""), body).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::ConversationUpdated],
        pushed: members(&["conversation:updated"]),
    },
    Row {
        name: "an owner clears settings",
        scene: Setting::Group,
        ways: &[rest("updateConversation", |scene| {
            async move {
                let body =
                    json!({ "metadata": { "x": 1 }, "avatarUrl": "https://files.example/b.png" });
                scene.owner.patch(&scene.path(""), body).await.expect(200);
                scene.have(None).await;
                let body = json!({ "name": null, "avatarUrl": null, "metadata": null });
                scene.owner.patch(&scene.path(""), body).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::ConversationUpdated],
        pushed: members(&["conversation:updated"]),
    },
    Row {
        name: "settings are set to what they are",
        scene: Setting::Group,
        ways: &[rest("updateConversation", |scene| {
            async move {
                let body = json!({ "name": "The same" });
                scene
                    .owner
                    .patch(&scene.path(""), body.clone())
                    .await
                    .expect(200);
                scene.have(None).await;
                scene.owner.patch(&scene.path(""), body).await.expect(200);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "a history is hidden from those who joined later",
        scene: Setting::Group,
        ways: &[rest("updateConversation", |scene| {
            async move {
                let body = json!({ "userIds": [scene.stranger.id] });
                let path = scene.path("/participants");
                scene.owner.post(&path, body).await.expect(201);
                scene.stranger.say(&scene.conversation, "late").await;
                scene.have(None).await;
                let body = json!({ "historyVisibility": "joined" });
                scene.owner.patch(&scene.path(""), body).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::ConversationUpdated],
        pushed: Pushed {
            stranger: &["conversation:updated"],
            ..members(&["conversation:updated"])
        },
    },
    Row {
        name: "a history is opened to those who joined later",
        scene: Setting::JoinedGroup,
        ways: &[rest("updateConversation", |scene| {
            async move {
                let body = json!({ "userIds": [scene.stranger.id] });
                let path = scene.path("/participants");
                scene.owner.post(&path, body).await.expect(201);
                scene.have(None).await;
                let body = json!({ "historyVisibility": "full" });
                scene.owner.patch(&scene.path(""), body).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::ConversationUpdated],
        pushed: Pushed {
            stranger: &["conversation:updated"],
            ..members(&["conversation:updated"])
        },
    },
    Row {
        name: "one of two changes the metadata of their direct conversation",
        scene: Setting::Group,
        ways: &[rest("updateConversation", |scene| {
            async move {
                let body = json!({ "type": "direct", "participantIds": [scene.former.id] });
                let made = scene
                    .member
                    .post("/api/conversations", body)
                    .await
                    .expect(201);
                scene.have(Some(&made["id"])).await;
                let path = format!("/api/conversations/{}", made["id"].as_str().expect("an id"));
                let body = json!({ "metadata": { "topic": "parcel" } });
                scene.former.patch(&path, body).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::ConversationUpdated],
        pushed: Pushed {
            member: &["conversation:updated"],
            former: &["conversation:updated"],
            ..NOBODY
        },
    },
    Row {
        name: "an owner deletes the conversation",
        scene: Setting::Group,
        ways: &[rest("deleteConversation", |scene| {
            async move {
                scene.owner.delete(&scene.path("")).await.expect(204);
            }
            .boxed()
        })],
        events: &[Event::ConversationDeleted],
        pushed: members(&["conversation:removed"]),
    },
];
