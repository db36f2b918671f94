//! Rotation of refresh tokens: races, lost answers, and replays.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use mongodb::bson::doc;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{Tokens, audit, log_in, refresh, register, with_accounts};
use crate::support::{Answer, Node, eventually};

const EMAIL: &str = "ann@shop.example";

#[tokio::test]
async fn parallel_refreshes_of_one_token_give_one_successor_and_end_no_session() {
    let service = with_accounts()
        .env("ACCOUNTS_REFRESH_GRACE_SECONDS", "60")
        .start()
        .await;
    let other = with_accounts()
        .env("ACCOUNTS_REFRESH_GRACE_SECONDS", "60")
        .roles("api")
        .database(&service)
        .start()
        .await;
    register(&service, EMAIL).await;
    let first = log_in(&service, EMAIL).await;
    let mut token = first.refresh.clone();
    for round in 0..10 {
        let ask = |n: usize| {
            let node: &Node = if n.is_multiple_of(2) {
                &service
            } else {
                &other
            };
            refresh(node, &token)
        };
        let answers: Vec<Answer> = join_all((0..20).map(ask)).await;
        let next: BTreeSet<String> = answers
            .into_iter()
            .map(|answer| Tokens::of(&answer.expect(200)).refresh)
            .collect();
        assert_eq!(next.len(), 1, "round {round}: {} successors", next.len());
        token = next.into_iter().next().expect("a token");
    }
    let spent = service.sandbox().collection("accounts_spent_tokens").await;
    assert_eq!(spent.count_documents(doc! {}).await.expect("a count"), 10);
    assert_eq!(audit(&service, &first.user).await, ["logged_in"]);
    assert!(first.is_accepted(&other).await);
}

/// Sends a refresh, and closes the connection without reading the answer when the rotation is stored.
async fn lose_the_answer(node: &Node, token: &str) {
    let address = node.api_url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let body = json!({ "refreshToken": token }).to_string();
    let request = format!(
        "POST /auth/refresh HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is sent");
    let spent = node.sandbox().collection("accounts_spent_tokens").await;
    eventually("the rotation is stored", || async {
        let count = spent.count_documents(doc! {}).await.expect("a count");
        (count == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_lost_the_answer_gets_the_same_successor_until_it_is_used() {
    let service = with_accounts()
        .env("ACCOUNTS_REFRESH_GRACE_SECONDS", "60")
        .start()
        .await;
    register(&service, EMAIL).await;
    let first = log_in(&service, EMAIL).await;
    lose_the_answer(&service, &first.refresh).await;
    let second = Tokens::of(&refresh(&service, &first.refresh).await.expect(200));
    let again = Tokens::of(&refresh(&service, &first.refresh).await.expect(200));
    assert_eq!(second.refresh, again.refresh);
    let third = Tokens::of(&refresh(&service, &second.refresh).await.expect(200));
    // The direct predecessor alone has a grace: the first token is a grandparent now.
    refresh(&service, &first.refresh)
        .await
        .expect_error(401, "UNAUTHORIZED");
    refresh(&service, &third.refresh)
        .await
        .expect_error(401, "UNAUTHORIZED");
    assert!(!third.is_accepted(&service).await);
    assert_eq!(
        audit(&service, &first.user).await,
        ["token_replayed", "logged_in"]
    );
}

#[tokio::test]
async fn a_token_that_is_used_again_after_the_grace_ends_its_session_and_no_other() {
    let service = with_accounts()
        .env("ACCOUNTS_REFRESH_GRACE_SECONDS", "1")
        .start()
        .await;
    register(&service, EMAIL).await;
    let (victim, other) = (log_in(&service, EMAIL).await, log_in(&service, EMAIL).await);
    let thief = Tokens::of(&refresh(&service, &victim.refresh).await.expect(200));
    let (mut of_thief, mut of_other) = (thief.socket(&service).await, other.socket(&service).await);
    // The database knows when the rotation was; the test need not wait for the grace to pass.
    let sessions = service.sandbox().collection("accounts_sessions").await;
    let earlier = doc! { "$inc": { "rotatedAt": -5_000_i64 } };
    let of_victim = doc! { "_id": &victim.session };
    sessions
        .update_one(of_victim, earlier)
        .await
        .expect("it is changed");

    let replays = join_all((0..5).map(|_| refresh(&service, &victim.refresh))).await;
    for replay in replays {
        replay.expect_error(401, "UNAUTHORIZED");
    }
    assert_eq!(of_thief.closed().await, 4401);
    for tokens in [&victim, &thief] {
        assert!(!tokens.is_accepted(&service).await, "an access token works");
        refresh(&service, &tokens.refresh)
            .await
            .expect_error(401, "UNAUTHORIZED");
    }
    of_other.ok("ping", json!({})).await;
    assert!(other.is_accepted(&service).await);
    refresh(&service, &other.refresh).await.expect(200);
    let kinds = audit(&service, &victim.user).await;
    assert_eq!(kinds, ["token_replayed", "logged_in", "logged_in"]);
}

#[tokio::test]
async fn only_hashes_of_tokens_and_passwords_are_stored() {
    let service = with_accounts().start().await;
    register(&service, EMAIL).await;
    let first = log_in(&service, EMAIL).await;
    let second = Tokens::of(&refresh(&service, &first.refresh).await.expect(200));
    for name in [
        "accounts",
        "sessions",
        "spent_tokens",
        "audit",
        "attempts",
        "outbox",
        "links",
    ] {
        let text = service.sandbox().text(&format!("accounts_{name}")).await;
        // The last 43 characters of a refresh token are its secret part.
        for secret in [
            &first.refresh[first.refresh.len() - 43..],
            &second.refresh[second.refresh.len() - 43..],
            &second.access,
            super::PASSWORD,
        ] {
            assert!(!text.contains(secret), "{name} has a secret");
        }
    }
    let accounts = service.sandbox().text("accounts_accounts").await;
    assert!(
        accounts.contains("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{accounts}"
    );
}

#[tokio::test]
async fn a_new_login_ends_the_oldest_of_too_many_sessions() {
    let service = with_accounts().start().await;
    register(&service, EMAIL).await;
    let first = log_in(&service, EMAIL).await;
    let sessions = service.sandbox().collection("accounts_sessions").await;
    let session = sessions
        .find_one(doc! {})
        .await
        .expect("an answer")
        .expect("a session");
    let copies = (0..49).map(|n| {
        let mut copy = session.clone();
        copy.insert("_id", format!("ses_{n:026}"));
        copy.insert("current", format!("{n}"));
        copy.insert("rotatedAt", i64::MAX - n);
        copy
    });
    sessions.insert_many(copies).await.expect("they are stored");
    let last = log_in(&service, EMAIL).await;
    refresh(&service, &first.refresh)
        .await
        .expect_error(401, "UNAUTHORIZED");
    refresh(&service, &last.refresh).await.expect(200);
    let live = doc! { "isEnded": false };
    assert_eq!(sessions.count_documents(live).await.expect("a count"), 50);
}
