//! Operations on conversations.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use serde_json::json;

use super::table::{NOBODY, Pushed, Row, Setting, members, rest};

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "a member makes a group with all settings",
        scenario: Setting::Group,
        ways: &[rest("createConversation", |scenario| {
            async move {
                let body = json!({
                    "type": "group", "participantIds": [scenario.stranger.id, scenario.admin.id],
                    "name": "New", "avatarUrl": "https://files.example/a.png",
                    "metadata": { "order": 7 }, "historyVisibility": "joined",
                });
                let made = scenario.member.post("/api/conversations", body).await;
                scenario
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
        scenario: Setting::Group,
        ways: &[rest("createConversation", |scenario| {
            async move {
                let mut ids = scenario.crowd().await;
                ids.extend([scenario.admin.id.clone(), scenario.stranger.id.clone()]);
                let body = json!({ "type": "group", "participantIds": ids });
                let made = scenario.member.post("/api/conversations", body).await;
                scenario
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
        scenario: Setting::Group,
        ways: &[rest("createConversation", |scenario| {
            async move {
                let body = json!({ "type": "direct", "participantIds": [scenario.former.id] });
                let made = scenario.member.post("/api/conversations", body).await;
                scenario
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
        scenario: Setting::Group,
        ways: &[rest("createConversation", |scenario| {
            async move {
                let body = json!({ "type": "direct", "participantIds": [scenario.former.id] });
                let made = scenario
                    .member
                    .post("/api/conversations", body.clone())
                    .await;
                scenario.have(Some(&made.expect(201)["id"])).await;
                scenario
                    .member
                    .post("/api/conversations", body)
                    .await
                    .expect(200);
                let body = json!({ "type": "direct", "participantIds": [scenario.member.id] });
                scenario
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
        scenario: Setting::Group,
        ways: &[rest("updateConversation", |scenario| {
            async move {
                let body = json!({
                    "name": "Renamed", "avatarUrl": "https://files.example/b.png", "metadata": { "x": [{}] },
                });
                scenario.admin.patch(&scenario.path(""), body).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::ConversationUpdated],
        pushed: members(&["conversation:updated"]),
    },
    Row {
        name: "an owner clears settings",
        scenario: Setting::Group,
        ways: &[rest("updateConversation", |scenario| {
            async move {
                let body =
                    json!({ "metadata": { "x": 1 }, "avatarUrl": "https://files.example/b.png" });
                scenario
                    .owner
                    .patch(&scenario.path(""), body)
                    .await
                    .expect(200);
                scenario.have(None).await;
                let body = json!({ "name": null, "avatarUrl": null, "metadata": null });
                scenario
                    .owner
                    .patch(&scenario.path(""), body)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[Event::ConversationUpdated],
        pushed: members(&["conversation:updated"]),
    },
    Row {
        name: "settings are set to what they are",
        scenario: Setting::Group,
        ways: &[rest("updateConversation", |scenario| {
            async move {
                let body = json!({ "name": "The same" });
                scenario
                    .owner
                    .patch(&scenario.path(""), body.clone())
                    .await
                    .expect(200);
                scenario.have(None).await;
                scenario
                    .owner
                    .patch(&scenario.path(""), body)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "a history is hidden from those who joined later",
        scenario: Setting::Group,
        ways: &[rest("updateConversation", |scenario| {
            async move {
                let body = json!({ "userIds": [scenario.stranger.id] });
                let path = scenario.path("/participants");
                scenario.owner.post(&path, body).await.expect(201);
                scenario.stranger.say(&scenario.conversation, "late").await;
                scenario.have(None).await;
                let body = json!({ "historyVisibility": "joined" });
                scenario
                    .owner
                    .patch(&scenario.path(""), body)
                    .await
                    .expect(200);
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
        scenario: Setting::JoinedGroup,
        ways: &[rest("updateConversation", |scenario| {
            async move {
                let body = json!({ "userIds": [scenario.stranger.id] });
                let path = scenario.path("/participants");
                scenario.owner.post(&path, body).await.expect(201);
                scenario.have(None).await;
                let body = json!({ "historyVisibility": "full" });
                scenario
                    .owner
                    .patch(&scenario.path(""), body)
                    .await
                    .expect(200);
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
        scenario: Setting::Group,
        ways: &[rest("updateConversation", |scenario| {
            async move {
                let body = json!({ "type": "direct", "participantIds": [scenario.former.id] });
                let made = scenario
                    .member
                    .post("/api/conversations", body)
                    .await
                    .expect(201);
                scenario.have(Some(&made["id"])).await;
                let path = format!("/api/conversations/{}", made["id"].as_str().expect("an id"));
                let body = json!({ "metadata": { "topic": "parcel" } });
                scenario.former.patch(&path, body).await.expect(200);
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
        scenario: Setting::Group,
        ways: &[rest("deleteConversation", |scenario| {
            async move {
                scenario.owner.delete(&scenario.path("")).await.expect(204);
            }
            .boxed()
        })],
        events: &[Event::ConversationDeleted],
        pushed: members(&["conversation:removed"]),
    },
];
