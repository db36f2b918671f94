//! Pages, cursors and ids in paths: valid requests, and errors that name the field.

use super::{faults, wire};
use crate::support::Service;

#[tokio::test]
async fn invalid_page_parameters_are_refused_by_field() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let message = super::id(&alice.say(&conversation, "hello").await);
    let lists = [
        "/api/conversations".to_owned(),
        "/api/conversations/public".to_owned(),
        "/api/users/search?q=a".to_owned(),
        format!("/api/conversations/{conversation}/messages"),
        format!("/api/conversations/{conversation}/participants"),
        format!("/api/conversations/{conversation}/pins"),
        format!("/api/messages/{message}/replies"),
        format!("/api/messages/{message}/reactions"),
        "/api/users/me/blocks".to_owned(),
    ];
    for list in &lists {
        for limit in [
            "0",
            "-1",
            "101",
            "1000000000",
            "99999999999999999999",
            "ten",
            "1.5",
            "0x10",
            "%31%30%30%30",
        ] {
            let answer = alice
                .get(&super::with_query(list, &format!("limit={limit}")))
                .await;
            assert_eq!(answer.status, 400, "{list} limit={limit}");
            assert_eq!(faults(&answer), ["limit"], "{list} limit={limit}");
        }
        for limit in [1, 100] {
            alice
                .get(&super::with_query(list, &format!("limit={limit}")))
                .await
                .expect(200);
        }
        for (query, field) in [
            ("before=a&after=b", "before"),
            ("limit=1&limit=2", "limit"),
            ("after=a%00b", "after"),
        ] {
            let answer = alice.get(&super::with_query(list, query)).await;
            assert_eq!(
                (answer.status, faults(&answer)),
                (400, vec![field.to_owned()]),
                "{list} {query}"
            );
        }
    }
}

#[tokio::test]
async fn an_unknown_cursor_is_refused_and_another_conversations_message_is_one() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let here = service.group(&alice, &[]).await;
    let there = service.group(&alice, &[]).await;
    let elsewhere = super::id(&alice.say(&there, "elsewhere").await);
    let messages = format!("/api/conversations/{here}/messages");
    for cursor in [
        "nonsense",
        "msg_00000000000000000000000000",
        "42",
        elsewhere.as_str(),
        here.as_str(),
    ] {
        for direction in ["before", "after", "around"] {
            let answer = alice.get(&format!("{messages}?{direction}={cursor}")).await;
            assert_eq!(answer.status, 400, "{direction}={cursor}");
            assert_eq!(faults(&answer), [direction], "{direction}={cursor}");
        }
    }
    for list in ["/api/conversations", "/api/conversations/public"] {
        for cursor in [
            "nonsense",
            "bm9uc2Vuc2U",
            "cnv_00000000000000000000000000",
            "msg_00000000000000000000000000",
        ] {
            for direction in ["before", "after"] {
                let answer = alice.get(&format!("{list}?{direction}={cursor}")).await;
                assert_eq!(answer.status, 400, "{list}?{direction}={cursor}");
                assert_eq!(faults(&answer), [direction], "{list}?{direction}={cursor}");
            }
        }
    }
}

#[tokio::test]
async fn an_impossible_id_answers_like_a_missing_resource() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [("authorization", bearer.as_str())];
    let missing = wire::send(
        &service,
        "GET",
        "/api/messages/msg_00000000000000000000000000",
        &headers,
        b"",
    )
    .await;
    for id in [
        "x",
        "msg_1",
        "MSG_00000000000000000000000000",
        "cnv_00000000000000000000000000",
        "%00",
        "%2e%2e",
        "..%2f..",
        "%ff",
        "%",
        "msg_0000000000000000000000000%20",
        "%7B%22$ne%22:null%7D",
    ] {
        let answer = wire::send(
            &service,
            "GET",
            &format!("/api/messages/{id}"),
            &headers,
            b"",
        )
        .await;
        assert_eq!(answer.status, 404, "{id}");
        // An id that is not UTF-8 matches no path.
        if !matches!(id, "%ff") {
            assert_eq!(answer.json(), missing.json(), "{id}");
        }
    }
    let missing = wire::send(
        &service,
        "GET",
        "/api/conversations/cnv_00000000000000000000000000",
        &headers,
        b"",
    )
    .await;
    for id in [
        "x",
        "cnv_",
        "msg_00000000000000000000000000",
        "cnv_0000000000000000000000000Z",
        "%00",
        "null",
    ] {
        let answer = wire::send(
            &service,
            "GET",
            &format!("/api/conversations/{id}"),
            &headers,
            b"",
        )
        .await;
        assert_eq!(answer.status, 404, "{id}");
        assert_eq!(answer.json(), missing.json(), "{id}");
    }
}
