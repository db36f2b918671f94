//! Operations on users. They are in the users' own logs, which NATS carries and sockets do not.

use chat_sdk::EventType as Event;
use futures_util::FutureExt;
use serde_json::json;

use super::table::{NOBODY, Row, Setting, rest};

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "a member changes their profile",
        scene: Setting::Group,
        ways: &[rest("updateMe", |scene| {
            async move {
                let body = json!({ "name": "Another", "avatarUrl": "https://files.example/c.png" });
                scene.member.patch("/api/users/me", body).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::UserUpdated],
        pushed: NOBODY,
    },
    Row {
        name: "the host tells of a new user and of a known one",
        scene: Setting::Group,
        ways: &[rest("syncUser", |scene| {
            async move {
                let new = format!("new-{}", scene.owner.id);
                let body = json!({ "externalUserId": new, "name": "New" });
                scene.host().post("/api/users/sync", body).await.expect(201);
                let body = json!({ "externalUserId": scene.member.id, "name": "Renamed" });
                scene.host().post("/api/users/sync", body).await.expect(200);
            }
            .boxed()
        })],
        events: &[Event::UserSynced, Event::UserSynced],
        pushed: NOBODY,
    },
    Row {
        name: "the host tells of a user what it told before",
        scene: Setting::Group,
        ways: &[rest("syncUser", |scene| {
            async move {
                let id = &scene.member.id;
                let body = json!({ "externalUserId": id, "name": id });
                scene.host().post("/api/users/sync", body).await.expect(200);
            }
            .boxed()
        })],
        events: &[],
        pushed: NOBODY,
    },
    Row {
        name: "the host tells of several users",
        scene: Setting::Group,
        ways: &[rest("syncUsers", |scene| {
            async move {
                let users = ["batch-a", "batch-b"].map(|name| {
                    json!({ "externalUserId": format!("{name}-{}", scene.owner.id), "name": name })
                });
                let body = json!({ "users": users });
                scene
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
