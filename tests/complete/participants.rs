//! Operations on membership and roles.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use serde_json::json;

use super::table::{NOBODY, Pushed, Row, Setting, members, rest};

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "an owner adds who never was in and who left, as admins",
        scenario: Setting::Group,
        ways: &[rest("addParticipants", |scenario| {
            async move {
                let ids = [
                    &scenario.stranger.id,
                    &scenario.former.id,
                    &scenario.member.id,
                ];
                let body = json!({ "userIds": ids, "role": "admin" });
                scenario
                    .owner
                    .post(&scenario.path("/participants"), body)
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
        scenario: Setting::JoinedGroup,
        ways: &[rest("addParticipants", |scenario| {
            async move {
                scenario.member.say(&scenario.conversation, "between").await;
                scenario.have(None).await;
                let body = json!({ "userIds": [scenario.stranger.id, scenario.former.id] });
                scenario
                    .admin
                    .post(&scenario.path("/participants"), body)
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
        scenario: Setting::Group,
        ways: &[rest("addParticipants", |scenario| {
            async move {
                let body = json!({ "userIds": [scenario.stranger.id], "role": "owner" });
                scenario
                    .host()
                    .post(&scenario.path("/participants"), body)
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
        scenario: Setting::Group,
        ways: &[rest("addParticipants", |scenario| {
            async move {
                let body = json!({ "userIds": scenario.crowd().await });
                scenario
                    .owner
                    .post(&scenario.path("/participants"), body)
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
        scenario: Setting::Group,
        ways: &[rest("addParticipants", |scenario| {
            async move {
                let body = json!({ "userIds": [scenario.member.id], "role": "admin" });
                scenario
                    .owner
                    .post(&scenario.path("/participants"), body)
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
        scenario: Setting::Group,
        ways: &[rest("removeParticipant", |scenario| {
            async move {
                let path = scenario.path(&format!("/participants/{}", scenario.member.id));
                scenario.admin.delete(&path).await.expect(204);
                // A former member does not receive later messages.
                scenario.owner.say(&scenario.conversation, "among us").await;
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
        scenario: Setting::JoinedGroup,
        ways: &[rest("removeParticipant", |scenario| {
            async move {
                let path = scenario.path(&format!("/participants/{}", scenario.admin.id));
                scenario.host().delete(&path).await.expect(204);
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
        scenario: Setting::Group,
        ways: &[rest("updateParticipant", |scenario| {
            async move {
                let path = |id: &str| scenario.path(&format!("/participants/{id}"));
                let (first, second) = (path(&scenario.member.id), path(&scenario.owner.id));
                scenario
                    .owner
                    .patch(&first, json!({ "role": "owner" }))
                    .await
                    .expect(200);
                scenario
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
        scenario: Setting::Group,
        ways: &[rest("updateParticipant", |scenario| {
            async move {
                let path = scenario.path(&format!("/participants/{}", scenario.member.id));
                scenario
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
        scenario: Setting::Group,
        ways: &[rest("leaveConversation", |scenario| {
            async move {
                let path = scenario.path("/leave");
                scenario.member.post(&path, json!({})).await.expect(204);
                // A former member's view does not change.
                let changed = json!({ "name": "without them" });
                scenario
                    .owner
                    .patch(&scenario.path(""), changed)
                    .await
                    .expect(200);
                scenario
                    .owner
                    .delete(&scenario.message_path())
                    .await
                    .expect(204);
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
        scenario: Setting::Public,
        ways: &[rest("joinConversation", |scenario| {
            async move {
                let path = scenario.path("/join");
                scenario.stranger.post(&path, json!({})).await.expect(200);
                scenario.former.post(&path, json!({})).await.expect(200);
                scenario.former.say(&scenario.conversation, "back").await;
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
        scenario: Setting::JoinedPublic,
        ways: &[rest("joinConversation", |scenario| {
            async move {
                let path = scenario.path("/join");
                scenario.stranger.post(&path, json!({})).await.expect(200);
                scenario.former.post(&path, json!({})).await.expect(200);
                scenario
                    .stranger
                    .say(&scenario.conversation, "new here")
                    .await;
                let path = scenario.path("/leave");
                scenario.stranger.post(&path, json!({})).await.expect(204);
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
        scenario: Setting::Public,
        ways: &[rest("joinConversation", |scenario| {
            async move {
                let path = scenario.path("/join");
                scenario.member.post(&path, json!({})).await.expect(200);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
];
