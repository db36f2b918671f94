//! Operations on users. They are in the users' own logs, which NATS carries and sockets do not.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use serde_json::json;

use super::table::{NOBODY, Row, Setting, rest};

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "a member changes their profile",
        scenario: Setting::Group,
        ways: &[rest("updateMe", |scenario| {
            async move {
                let body = json!({ "name": "Another", "avatarUrl": "https://files.example/c.png" });
                scenario
                    .member
                    .patch("/api/users/me", body)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[Event::UserUpdated],
        pushed: NOBODY,
    },
    Row {
        name: "the host tells of a new user and of a known one",
        scenario: Setting::Group,
        ways: &[rest("syncUser", |scenario| {
            async move {
                let new = format!("new-{}", scenario.owner.id);
                let body = json!({ "externalUserId": new, "name": "New" });
                scenario
                    .host()
                    .post("/api/users/sync", body)
                    .await
                    .expect(201);
                let body = json!({ "externalUserId": scenario.member.id, "name": "Renamed" });
                scenario
                    .host()
                    .post("/api/users/sync", body)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[Event::UserSynced, Event::UserSynced],
        pushed: NOBODY,
    },
    Row {
        name: "the host tells of a user what it told before",
        scenario: Setting::Group,
        ways: &[rest("syncUser", |scenario| {
            async move {
                let id = &scenario.member.id;
                let body = json!({ "externalUserId": id, "name": id });
                scenario
                    .host()
                    .post("/api/users/sync", body)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "the host tells of several users",
        scenario: Setting::Group,
        ways: &[rest("syncUsers", |scenario| {
            async move {
                let users = ["batch-a", "batch-b"].map(|name| {
                    json!({ "externalUserId": format!("{name}-{}", scenario.owner.id), "name": name })
                });
                let body = json!({ "users": users });
                scenario
                    .host()
                    .post("/api/users/sync/batch", body)
                    .await
                    .expect(200);
            }
            .boxed()
        })],
        events: &[Event::UserSynced, Event::UserSynced],
        pushed: NOBODY,
    },
];
