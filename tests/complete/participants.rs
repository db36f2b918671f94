//! Operations on membership and roles.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use serde_json::json;

use super::table::{NOBODY, Pushed, Row, Setting, members, rest};

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "an owner adds who never was in and who left, as admins",
        scene: Setting::Group,
        ways: &[rest("addParticipants", |scene| {
            async move {
                let ids = [&scene.stranger.id, &scene.former.id, &scene.member.id];
                let body = json!({ "userIds": ids, "role": "admin" });
                scene
                    .owner
                    .post(&scene.path("/participants"), body)
                    .await
                    .expect(201);
            }
            .boxed()
        })],
        events: &[Event::ParticipantAdded],
        pushed: Pushed {
            former: &["conversation:joined"],
            stranger: &["conversation:joined"],
            ..members(&["participant:added"])
        },
    },
    Row {
        name: "an admin adds to a group in which one sees what came after joining",
        scene: Setting::JoinedGroup,
        ways: &[rest("addParticipants", |scene| {
            async move {
                scene.member.say(&scene.conversation, "between").await;
                scene.have(None).await;
                let body = json!({ "userIds": [scene.stranger.id, scene.former.id] });
                scene
                    .admin
                    .post(&scene.path("/participants"), body)
                    .await
                    .expect(201);
            }
            .boxed()
        })],
        events: &[Event::ParticipantAdded],
        pushed: Pushed {
            former: &["conversation:joined"],
            stranger: &["conversation:joined"],
            ..members(&["participant:added"])
        },
    },
    Row {
        name: "the host adds a member in nobody's name",
        scene: Setting::Group,
        ways: &[rest("addParticipants", |scene| {
            async move {
                let body = json!({ "userIds": [scene.stranger.id], "role": "owner" });
                scene
                    .host()
                    .post(&scene.path("/participants"), body)
                    .await
                    .expect(201);
            }
            .boxed()
        })],
        events: &[Event::ParticipantAdded],
        pushed: Pushed {
            stranger: &["conversation:joined"],
            ..members(&["participant:added"])
        },
    },
    Row {
        name: "more users are added than one entry may name",
        scene: Setting::Group,
        ways: &[rest("addParticipants", |scene| {
            async move {
                let body = json!({ "userIds": scene.crowd().await });
                scene
                    .owner
                    .post(&scene.path("/participants"), body)
                    .await
                    .expect(201);
            }
            .boxed()
        })],
        events: &[Event::ParticipantAdded, Event::ParticipantAdded],
        pushed: members(&["participant:added", "participant:added"]),
    },
    Row {
        name: "who is in already is added",
        scene: Setting::Group,
        ways: &[rest("addParticipants", |scene| {
            async move {
                let body = json!({ "userIds": [scene.member.id], "role": "admin" });
                scene
                    .owner
                    .post(&scene.path("/participants"), body)
                    .await
                    .expect(201);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "an admin removes a member",
        scene: Setting::Group,
        ways: &[rest("removeParticipant", |scene| {
            async move {
                let path = scene.path(&format!("/participants/{}", scene.member.id));
                scene.admin.delete(&path).await.expect(204);
                // A former member does not receive later messages.
                scene.owner.say(&scene.conversation, "among us").await;
            }
            .boxed()
        })],
        events: &[Event::ParticipantRemoved, Event::MessageCreated],
        pushed: Pushed {
            member: &["conversation:removed"],
            ..members(&["participant:removed", "message:new"])
        },
    },
    Row {
        name: "the host removes an admin",
        scene: Setting::JoinedGroup,
        ways: &[rest("removeParticipant", |scene| {
            async move {
                let path = scene.path(&format!("/participants/{}", scene.admin.id));
                scene.host().delete(&path).await.expect(204);
            }
            .boxed()
        })],
        events: &[Event::ParticipantRemoved],
        pushed: Pushed {
            admin: &["conversation:removed"],
            ..members(&["participant:removed"])
        },
    },
    Row {
        name: "an owner makes a member an owner and themselves a member",
        scene: Setting::Group,
        ways: &[rest("updateParticipant", |scene| {
            async move {
                let path = |id: &str| scene.path(&format!("/participants/{id}"));
                let (first, second) = (path(&scene.member.id), path(&scene.owner.id));
                scene
                    .owner
                    .patch(&first, json!({ "role": "owner" }))
                    .await
                    .expect(200);
                scene
                    .owner
                    .patch(&second, json!({ "role": "member" }))
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[Event::ParticipantUpdated, Event::ParticipantUpdated],
        pushed: members(&["participant:updated", "participant:updated"]),
    },
    Row {
        name: "a role is set to what it is",
        scene: Setting::Group,
        ways: &[rest("updateParticipant", |scene| {
            async move {
                let path = scene.path(&format!("/participants/{}", scene.member.id));
                scene
                    .owner
                    .patch(&path, json!({ "role": "member" }))
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "a member leaves",
        scene: Setting::Group,
        ways: &[rest("leaveConversation", |scene| {
            async move {
                let path = scene.path("/leave");
                scene.member.post(&path, json!({})).await.expect(204);
                // A former member's view does not change.
                let changed = json!({ "name": "without them" });
                scene
                    .owner
                    .patch(&scene.path(""), changed)
                    .await
                    .expect(200);
                scene.owner.delete(&scene.message_path()).await.expect(204);
            }
            .boxed()
        })],
        events: &[
            Event::ParticipantRemoved,
            Event::ConversationUpdated,
            Event::MessageDeleted,
        ],
        pushed: Pushed {
            member: &["conversation:removed"],
            ..members(&[
                "participant:removed",
                "conversation:updated",
                "message:deleted",
            ])
        },
    },
    Row {
        name: "a stranger joins, who left joins again, and both hear what comes",
        scene: Setting::Public,
        ways: &[rest("joinConversation", |scene| {
            async move {
                let path = scene.path("/join");
                scene.stranger.post(&path, json!({})).await.expect(200);
                scene.former.post(&path, json!({})).await.expect(200);
                scene.former.say(&scene.conversation, "back").await;
            }
            .boxed()
        })],
        events: &[
            Event::ParticipantAdded,
            Event::ParticipantAdded,
            Event::MessageCreated,
        ],
        pushed: Pushed {
            stranger: &["conversation:joined", "participant:added", "message:new"],
            former: &["conversation:joined", "message:new"],
            ..members(&["participant:added", "participant:added", "message:new"])
        },
    },
    Row {
        name: "one joins where one sees what came after joining, and leaves again",
        scene: Setting::JoinedPublic,
        ways: &[rest("joinConversation", |scene| {
            async move {
                let path = scene.path("/join");
                scene.stranger.post(&path, json!({})).await.expect(200);
                scene.former.post(&path, json!({})).await.expect(200);
                scene.stranger.say(&scene.conversation, "new here").await;
                let path = scene.path("/leave");
                scene.stranger.post(&path, json!({})).await.expect(204);
            }
            .boxed()
        })],
        events: &[
            Event::ParticipantAdded,
            Event::ParticipantAdded,
            Event::MessageCreated,
            Event::ParticipantRemoved,
        ],
        pushed: Pushed {
            stranger: &[
                "conversation:joined",
                "participant:added",
                "message:new",
                "conversation:removed",
            ],
            former: &["conversation:joined", "message:new", "participant:removed"],
            ..members(&[
                "participant:added",
                "participant:added",
                "message:new",
                "participant:removed",
            ])
        },
    },
    Row {
        name: "who is in joins",
        scene: Setting::Public,
        ways: &[rest("joinConversation", |scene| {
            async move {
                let path = scene.path("/join");
                scene.member.post(&path, json!({})).await.expect(200);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
];
