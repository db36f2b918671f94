//! Operations that are in no log: receipts, typing, scheduled messages, presence.

use std::time::Duration;

use chat_sdk::{EventType as Event, Timestamp};
use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    scenario::Scenario,
    table::{NOBODY, Pushed, Row, Setting, members, rest, socket},
};
use crate::support::eventually_within;

async fn put(scenario: &Scenario, path: &str, body: Option<Value>) {
    let answer = scenario.owner.request(Method::PUT, path, body).await;
    answer.expect(200);
}

/// The first message of the conversation; the member's is the newest.
async fn first_message(scenario: &Scenario) -> String {
    let history = scenario.owner.history(&scenario.conversation).await;
    history[0]["id"].as_str().expect("an id").to_owned()
}

/// A member sends `start`, then `stop`.
async fn signal(scenario: &mut Scenario, start: &str, stop: &str) {
    let data = json!({ "conversationId": scenario.conversation });
    scenario.member.socket.ok(start, data.clone()).await;
    let event = format!("user:{}", start.split(':').next().unwrap_or_default());
    let is_it = |frame: &Value| frame["event"] == *event;
    // Only an indicator that was shown can be seen to end.
    for watcher in [&mut scenario.owner, &mut scenario.admin] {
        let frame = watcher.socket.find("the signal", is_it).await;
        assert_eq!(frame["data"]["isActive"], true, "{frame}");
    }
    scenario.member.socket.ok(stop, data).await;
}

async fn schedule(scenario: &Scenario, millis: i64) -> String {
    let at = Timestamp::from_millis(Timestamp::now().as_millis() + millis);
    let body = json!({ "conversationId": scenario.conversation, "content": "later", "sendAt": at });
    let placed = scenario
        .owner
        .post("/api/scheduled", body)
        .await
        .expect(201);
    format!("/api/scheduled/{}", placed["id"].as_str().expect("an id"))
}

async fn change_and_cancel(scenario: &Scenario) {
    let path = schedule(scenario, 3_600_000).await;
    let body = json!({ "content": "much later" });
    scenario.owner.patch(&path, body).await.expect(200);
    scenario.owner.delete(&path).await.expect(204);
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
        scenario: Setting::Group,
        ways: &[
            rest("markMessageRead", |scenario| {
                async move {
                    put(scenario, &format!("{}/read", scenario.message_path()), None).await;
                }
                .boxed()
            }),
            rest("markConversationRead", |scenario| {
                async move { put(scenario, &scenario.path("/read"), Some(json!({}))).await }.boxed()
            }),
            socket("message:read", |scenario| {
                async move {
                    let body = json!({ "messageId": scenario.message });
                    scenario.owner.socket.ok("message:read", body).await;
                }
                .boxed()
            }),
            socket("conversation:read", |scenario| {
                async move {
                    let body = json!({ "conversationId": scenario.conversation });
                    scenario.owner.socket.ok("conversation:read", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageRead, Event::ConversationRead],
        pushed: READ,
    },
    Row {
        name: "a member reads the newest message again",
        scenario: Setting::Group,
        ways: &[rest("markMessageRead", |scenario| {
            async move {
                let path = format!("{}/read", scenario.message_path());
                put(scenario, &path, None).await;
                put(scenario, &path, None).await;
            }
            .boxed()
        })],
        events: &[Event::MessageRead, Event::ConversationRead],
        pushed: READ,
    },
    Row {
        name: "a member marks a message as unread",
        scenario: Setting::Group,
        ways: &[rest("markMessageUnread", |scenario| {
            async move {
                let path = format!("/api/messages/{}/read", first_message(scenario).await);
                put(scenario, &path, None).await;
                scenario.owner.delete(&path).await.expect(204);
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
        scenario: Setting::Group,
        ways: &[
            rest("markMessageDelivered", |scenario| {
                async move {
                    put(
                        scenario,
                        &format!("{}/delivered", scenario.message_path()),
                        None,
                    )
                    .await;
                }
                .boxed()
            }),
            socket("message:delivered", |scenario| {
                async move {
                    let body = json!({ "messageId": scenario.message });
                    scenario.owner.socket.ok("message:delivered", body).await;
                }
                .boxed()
            }),
        ],
        events: &[Event::MessageDelivered],
        pushed: members(&["message:delivered"]),
    },
    Row {
        name: "a member reads a thread, and nobody is told",
        scenario: Setting::Group,
        ways: &[rest("markThreadRead", |scenario| {
            async move {
                let body = json!({ "content": "a reply", "threadId": scenario.message });
                let path = scenario.path("/messages");
                scenario.member.post(&path, body).await.expect(201);
                scenario.have(None).await;
                put(
                    scenario,
                    &format!("{}/replies/read", scenario.message_path()),
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
        scenario: Setting::Group,
        ways: &[
            socket("typing:start", |scenario| {
                signal(scenario, "typing:start", "typing:stop").boxed()
            }),
            socket("typing:stop", |scenario| {
                signal(scenario, "typing:start", "typing:stop").boxed()
            }),
        ],
        events: &[],
        pushed: to_others(&["user:typing"]),
    },
    Row {
        name: "a member records and stops",
        scenario: Setting::Group,
        ways: &[
            socket("recording:start", |scenario| {
                signal(scenario, "recording:start", "recording:stop").boxed()
            }),
            socket("recording:stop", |scenario| {
                signal(scenario, "recording:start", "recording:stop").boxed()
            }),
        ],
        events: &[],
        pushed: to_others(&["user:recording"]),
    },
    Row {
        name: "what waits for its time is changed and cancelled, and nobody is told",
        scenario: Setting::Group,
        ways: &[
            rest("scheduleMessage", |scenario| {
                change_and_cancel(scenario).boxed()
            }),
            socket("message:schedule", |scenario| {
                async move {
                    let at = Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000);
                    let body = json!({ "conversationId": scenario.conversation, "content": "later", "sendAt": at });
                    let ack = scenario.owner.socket.ok("message:schedule", body).await;
                    let id = ack["scheduled"]["id"].as_str().expect("an id").to_owned();
                    let path = format!("/api/scheduled/{id}");
                    scenario.owner.delete(&path).await.expect(204);
                }
                .boxed()
            }),
            rest("updateScheduledMessage", |scenario| {
                change_and_cancel(scenario).boxed()
            }),
            rest("cancelScheduledMessage", |scenario| {
                change_and_cancel(scenario).boxed()
            }),
        ],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "what waited is sent at its time",
        scenario: Setting::Group,
        ways: &[rest("sendMessage", |scenario| {
            async move {
                let path = schedule(scenario, 1_000).await;
                let limit = Duration::from_secs(10);
                eventually_within(limit, "it was sent", || async {
                    (scenario.owner.get(&path).await.status == 404).then_some(())
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
        scenario: Setting::Group,
        ways: &[rest("setMyStatus", |scenario| {
            async move {
                let body = json!({ "status": "busy", "text": "on the phone" });
                put(scenario, "/api/users/me/status", Some(body)).await;
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "a user is disconnected",
        scenario: Setting::Group,
        ways: &[rest("disconnectUser", |scenario| {
            async move {
                let path = format!("/api/users/{}/disconnect", scenario.stranger.id);
                let answer = scenario.host().request(Method::POST, &path, None).await;
                answer.expect(204);
                assert_eq!(scenario.stranger.socket.closed().await, 4401);
                scenario.stranger.is_gone = true;
            }
            .boxed()
        })],
        events: &[Event::UserDisconnected],
        pushed: NOBODY,
    },
    Row {
        name: "a user is deleted with all that they wrote",
        scenario: Setting::Group,
        ways: &[rest("deleteUser", |scenario| {
            async move {
                let path = format!("/api/users/{}", scenario.member.id);
                let host = scenario.host();
                let erase = format!("{path}?messages=erase");
                host.delete(&erase).await.expect(204);
                scenario.member.is_gone = true;
                // An expired message is erased for former members too, but they are not notified: nothing outside a membership is pushed.
                scenario.former.replica.without.insert("messages");
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
