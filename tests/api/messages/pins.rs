//! `PUT` and `DELETE /api/messages/{id}/pin`, `GET /api/conversations/{id}/pins`.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{column, faults, id, read_all};
use super::Group;
use crate::support::User;

async fn pin(user: &User, message: &str) -> crate::support::Answer {
    user.request(Method::PUT, &format!("/api/messages/{message}/pin"), None)
        .await
}

async fn unpin(user: &User, message: &str) {
    user.delete(&format!("/api/messages/{message}/pin"))
        .await
        .expect(204);
}

impl Group {
    fn pins(&self) -> String {
        format!("/api/conversations/{}/pins", self.id)
    }

    async fn pinned(&self, user: &User) -> Vec<String> {
        let pins = read_all(user, &self.pins(), "messages", "before", 2).await;
        column(&json!(pins), "content")
    }
}

#[tokio::test]
async fn pinned_messages_are_listed_newest_pin_first_in_pieces() {
    let group = Group::of_two().await;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(id(&group.bob.say(&group.id, &format!("{n}")).await));
    }
    for n in [3, 0, 5, 1, 4] {
        let shown = pin(&group.alice, &ids[n]).await.expect(200);
        assert_eq!(shown["pinnedBy"], "alice");
        assert!(shown["pinnedAt"].is_string(), "{shown}");
    }
    assert_eq!(group.pinned(&group.bob).await, ["4", "1", "5", "0", "3"]);
    unpin(&group.alice, &ids[5]).await;
    assert_eq!(group.pinned(&group.bob).await, ["4", "1", "0", "3"]);
    pin(&group.alice, &ids[3]).await.expect(200);
    assert_eq!(
        group.pinned(&group.bob).await,
        ["4", "1", "0", "3"],
        "what is pinned stays where it is"
    );
    unpin(&group.alice, &ids[3]).await;
    pin(&group.alice, &ids[3]).await.expect(200);
    assert_eq!(group.pinned(&group.bob).await, ["3", "4", "1", "0"]);

    // A cursor stays valid after its message is unpinned.
    let path = format!("{}?limit=2", group.pins());
    let first = group.bob.get(&path).await.expect(200);
    let cursor = first["nextCursor"].as_str().expect("a cursor");
    unpin(&group.alice, &ids[4]).await;
    let second = group
        .bob
        .get(&format!("{path}&before={cursor}"))
        .await
        .expect(200);
    assert_eq!(column(&second["messages"], "content"), ["1", "0"]);
    let by_id = group
        .bob
        .get(&format!("{path}&before={}", ids[1]))
        .await
        .expect(200);
    assert_eq!(column(&by_id["messages"], "content"), ["0"]);
    for cursor in [
        "nonsense",
        "0",
        &ids[5],
        &ids[4],
        "msg_00000000000000000000000000",
    ] {
        let answer = group.bob.get(&format!("{path}&before={cursor}")).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["before".to_owned()]),
            "{cursor}"
        );
    }
}

#[tokio::test]
async fn pinning_twice_or_unpinning_what_is_not_pinned_changes_nothing() {
    let group = Group::of_two().await;
    let of = id(&group.bob.say(&group.id, "rules").await);
    unpin(&group.alice, &of).await;
    let once = pin(&group.alice, &of).await.expect(200);
    assert_eq!(pin(&group.alice, &of).await.expect(200), once);
    unpin(&group.alice, &of).await;
    unpin(&group.alice, &of).await;
    let log = group.service.sandbox().log(&group.id).await;
    let kinds: Vec<&str> = log.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(kinds[2..], ["message.pinned", "message.unpinned"]);
    let shown = group
        .bob
        .get(&format!("/api/messages/{of}"))
        .await
        .expect(200);
    assert!(shown.get("pinnedAt").is_none() && shown.get("pinnedBy").is_none());
}

#[tokio::test]
async fn a_deleted_message_cannot_be_pinned_and_leaves_the_list() {
    let group = Group::of_two().await;
    let of = id(&group.bob.say(&group.id, "rules").await);
    pin(&group.alice, &of).await.expect(200);
    let path = format!("/api/messages/{of}");
    group.bob.delete(&path).await.expect(204);
    assert!(group.pinned(&group.bob).await.is_empty());
    assert!(
        group
            .bob
            .get(&path)
            .await
            .expect(200)
            .get("pinnedAt")
            .is_none()
    );
    pin(&group.alice, &of).await.expect_error(409, "CONFLICT");
    group
        .alice
        .post(&format!("{path}/restore"), Value::Null)
        .await
        .expect(200);
    assert_eq!(
        group.pinned(&group.bob).await,
        ["rules"],
        "it comes back pinned"
    );
}

#[tokio::test]
async fn a_former_member_sees_the_pins_of_their_membership() {
    let group = Group::of_two().await;
    let (one, two) = (
        id(&group.bob.say(&group.id, "one").await),
        id(&group.bob.say(&group.id, "two").await),
    );
    pin(&group.alice, &one).await.expect(200);
    let then = group.bob.history(&group.id).await;
    let leave = format!("/api/conversations/{}/leave", group.id);
    group.bob.post(&leave, Value::Null).await.expect(204);
    unpin(&group.alice, &one).await;
    pin(&group.alice, &two).await.expect(200);
    assert_eq!(group.bob.history(&group.id).await, then);
    group
        .bob
        .get(&group.pins())
        .await
        .expect_error(404, "NOT_FOUND");
}
