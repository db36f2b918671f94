//! Operations that are in no log: receipts, typing, scheduled messages, presence.

use std::time::Duration;

use chat_sdk::{EventType as Event, Timestamp};
use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    scene::Scene,
    table::{NOBODY, Pushed, Row, Setting, members, rest, socket},
};
use crate::support::eventually_within;

async fn put(scene: &Scene, path: &str, body: Option<Value>) {
    let answer = scene.owner.request(Method::PUT, path, body).await;
    answer.expect(200);
}

/// The first message of the conversation; the member's is the newest.
async fn first_message(scene: &Scene) -> String {
    let history = scene.owner.history(&scene.conversation).await;
    history[0]["id"].as_str().expect("an id").to_owned()
}

/// A member sends `start`, then `stop`.
async fn signal(scene: &mut Scene, start: &str, stop: &str) {
    let data = json!({ "conversationId": scene.conversation });
    scene.member.socket.ok(start, data.clone()).await;
    let event = format!("user:{}", start.split(':').next().unwrap_or_default());
    let is_it = |frame: &Value| frame["event"] == *event;
    // Only an indicator that was shown can be seen to end.
    for watcher in [&mut scene.owner, &mut scene.admin] {
        let frame = watcher.socket.find("the signal", is_it).await;
        assert_eq!(frame["data"]["isActive"], true, "{frame}");
    }
    scene.member.socket.ok(stop, data).await;
}

async fn schedule(scene: &Scene, millis: i64) -> String {
    let at = Timestamp::from_millis(Timestamp::now().as_millis() + millis);
    let body = json!({ "conversationId": scene.conversation, "content": "later", "sendAt": at });
    let placed = scene.owner.post("/api/scheduled", body).await.expect(201);
    format!("/api/scheduled/{}", placed["id"].as_str().expect("an id"))
}

async fn change_and_cancel(scene: &Scene) {
    let path = schedule(scene, 3_600_000).await;
    let body = json!({ "content": "much later" });
    scene.owner.patch(&path, body).await.expect(200);
    scene.owner.delete(&path).await.expect(204);
}

const READ: Pushed = Pushed {
    owner: &["message:read", "conversation:read"],
    ..members(&["message:read"])
};

/// Typing events go to the other members and appear in no REST answer, so the replicas ignore them and still equal REST.
const fn to_others(events: &'static [&'static str]) -> Pushed {
    Pushed {
        member: &[],
        ..members(events)
    }
}

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "a member reads the newest message",
        scene: Setting::Group,
        ways: &[
            rest("markMessageRead", |scene| {
                async move {
                    put(scene, &format!("{}/read", scene.message_path()), None).await;
                }
                .boxed()
            }),
            rest("markConversationRead", |scene| {
                async move { put(scene, &scene.path("/read"), Some(json!({}))).await }.boxed()
            }),
            socket("message:read", |scene| {
                async move {
                    let body = json!({ "messageId": scene.message });
                    scene.owner.socket.ok("message:read", body).await;
                }
                .boxed()
            }),
            socket("conversation:read", |scene| {
                async move {
                    let body = json!({ "conversationId": scene.conversation });
                    scene.owner.socket.ok("conversation:read", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageRead, Event::ConversationRead],
        pushed: READ,
    },
    Row {
        name: "a member reads the newest message again",
        scene: Setting::Group,
        ways: &[rest("markMessageRead", |scene| {
            async move {
                let path = format!("{}/read", scene.message_path());
                put(scene, &path, None).await;
                put(scene, &path, None).await;
            }
            .boxed()
        })],
        events: &[Event::MessageRead, Event::ConversationRead],
        pushed: READ,
    },
    Row {
        name: "a member marks a message as unread",
        scene: Setting::Group,
        ways: &[rest("markMessageUnread", |scene| {
            async move {
                let path = format!("/api/messages/{}/read", first_message(scene).await);
                put(scene, &path, None).await;
                scene.owner.delete(&path).await.expect(204);
            }
            .boxed()
        })],
        events: &[
            Event::MessageRead,
            Event::ConversationRead,
            Event::ConversationRead,
        ],
        pushed: Pushed {
            owner: &["message:read", "conversation:read", "conversation:read"],
            ..members(&["message:read"])
        },
    },
    Row {
        name: "a message arrives at a member's device",
        scene: Setting::Group,
        ways: &[
            rest("markMessageDelivered", |scene| {
                async move {
                    put(scene, &format!("{}/delivered", scene.message_path()), None).await;
                }
                .boxed()
            }),
            socket("message:delivered", |scene| {
                async move {
                    let body = json!({ "messageId": scene.message });
                    scene.owner.socket.ok("message:delivered", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageDelivered],
        pushed: members(&["message:delivered"]),
    },
    Row {
        name: "a member reads a thread, and nobody is told",
        scene: Setting::Group,
        ways: &[rest("markThreadRead", |scene| {
            async move {
                let body = json!({ "content": "a reply", "threadId": scene.message });
                let path = scene.path("/messages");
                scene.member.post(&path, body).await.expect(201);
                scene.have(None).await;
                put(
                    scene,
                    &format!("{}/replies/read", scene.message_path()),
                    None,
                )
                .await;
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "a member writes and stops",
        scene: Setting::Group,
        ways: &[
            socket("typing:start", |scene| {
                signal(scene, "typing:start", "typing:stop").boxed()
            }),
            socket("typing:stop", |scene| {
                signal(scene, "typing:start", "typing:stop").boxed()
            }),
        ],
        events: &[],
        pushed: to_others(&["user:typing"]),
    },
    Row {
        name: "a member records and stops",
        scene: Setting::Group,
        ways: &[
            socket("recording:start", |scene| {
                signal(scene, "recording:start", "recording:stop").boxed()
            }),
            socket("recording:stop", |scene| {
                signal(scene, "recording:start", "recording:stop").boxed()
            }),
        ],
        events: &[],
        pushed: to_others(&["user:recording"]),
    },
    Row {
        name: "what waits for its time is changed and cancelled, and nobody is told",
        scene: Setting::Group,
        ways: &[
            rest("scheduleMessage", |scene| change_and_cancel(scene).boxed()),
            socket("message:schedule", |scene| {
                async move {
                    let at = Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000);
                    let body = json!({ "conversationId": scene.conversation, "content": "later", "sendAt": at });
                    let ack = scene.owner.socket.ok("message:schedule", body).await;
                    let id = ack["scheduled"]["id"].as_str().expect("an id").to_owned();
                    let path = format!("/api/scheduled/{id}");
                    scene.owner.delete(&path).await.expect(204);
                }
                .boxed()
            }),
            rest("updateScheduledMessage", |scene| {
                change_and_cancel(scene).boxed()
            }),
            rest("cancelScheduledMessage", |scene| {
                change_and_cancel(scene).boxed()
            }),
        ],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "what waited is sent at its time",
        scene: Setting::Group,
        ways: &[rest("sendMessage", |scene| {
            async move {
                let path = schedule(scene, 1_000).await;
                let limit = Duration::from_secs(10);
                eventually_within(limit, "it was sent", || async {
                    (scene.owner.get(&path).await.status == 404).then_some(())
                })
                .await;
            }
            .boxed()
        })],
        events: &[Event::MessageCreated],
        pushed: members(&["message:new"]),
    },
    Row {
        name: "a member says how they are",
        scene: Setting::Group,
        ways: &[rest("setMyStatus", |scene| {
            async move {
                let body = json!({ "status": "busy", "text": "on the phone" });
                put(scene, "/api/users/me/status", Some(body)).await;
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "a user is disconnected",
        scene: Setting::Group,
        ways: &[rest("disconnectUser", |scene| {
            async move {
                let path = format!("/api/users/{}/disconnect", scene.stranger.id);
                let answer = scene.host().request(Method::POST, &path, None).await;
                answer.expect(204);
                assert_eq!(scene.stranger.socket.closed().await, 4401);
                scene.stranger.is_gone = true;
            }
            .boxed()
        })],
        events: &[Event::UserDisconnected],
        pushed: NOBODY,
    },
    Row {
        name: "a user is deleted with all that they wrote",
        scene: Setting::Group,
        ways: &[rest("deleteUser", |scene| {
            async move {
                let path = format!("/api/users/{}", scene.member.id);
                let host = scene.host();
                let erase = format!("{path}?messages=erase");
                host.delete(&erase).await.expect(204);
                scene.member.is_gone = true;
                // An expired message is erased for former members too, but they are not notified: nothing outside a membership is pushed.
                scene.former.replica.without.insert("messages");
                let limit = Duration::from_secs(30);
                let report = format!("{path}/erasure");
                eventually_within(limit, "the erasure is done", || async {
                    let report = host.get(&report).await.expect(200);
                    (report["status"] == "done").then_some(())
                })
                .await;
            }
            .boxed()
        })],
        events: &[
            Event::UserDeleted,
            Event::ParticipantRemoved,
            Event::MessageDeleted,
        ],
        pushed: members(&["participant:removed", "message:deleted"]),
    },
];
