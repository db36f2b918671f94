//! No answer and no time tells whether an address has an account.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{Document, doc},
};
use serde_json::{Value, json};

use super::{PASSWORD, log_in, register, register_verified, registration, with_mail};
use crate::support::{Answer, Client};

/// Number of samples per group.
const SAMPLES: usize = 60;
/// Largest z of a rank test that counts as equal: chance exceeds it once in 30,000 comparisons.
const MAX_Z: f64 = 4.2;

/// Returns the body of a group's request in a round.
type Body = Box<dyn Fn(usize) -> Value>;

/// Returns a group that sends the same body in every round.
fn group(name: &str, body: Value) -> (&str, Body) {
    (name, Box::new(move |_| body.clone()))
}

/// Everything in an answer that could differ between accounts.
fn face(answer: &Answer) -> String {
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    format!("{} {headers:?} {}", answer.status, answer.text)
}

/// Returns z of Mann and Whitney: how far the ranks of `one` are from those of `other`.
fn separation(one: &[Duration], other: &[Duration]) -> f64 {
    let (n, m) = (one.len() as f64, other.len() as f64);
    let wins: f64 = one
        .iter()
        .flat_map(|a| other.iter().map(move |b| (a, b)))
        .map(|(a, b)| match a.cmp(b) {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 1.0,
        })
        .sum();
    (wins - n * m / 2.0).abs() / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

/// Sends each body in turn, many times. Compares the answers and the times of all groups.
async fn compare(client: &Client, path: &str, groups: &[(&str, Body)]) {
    let mut times = vec![Vec::new(); groups.len()];
    let mut faces = std::collections::BTreeSet::new();
    for round in 0..=SAMPLES {
        let mut order: Vec<_> = groups.iter().enumerate().collect();
        // The work of the service after an answer would slow the same group every time.
        if round % 2 == 1 {
            order.reverse();
        }
        for (group, (_, body)) in order {
            let began = Instant::now();
            let answer = client.post(path, body(round)).await;
            // The first round opens connections and fills caches.
            if round > 0 {
                times[group].push(began.elapsed());
            }
            faces.insert(face(&answer));
        }
    }
    assert_eq!(faces.len(), 1, "{path}: {faces:#?}");
    for (one, (name, _)) in groups.iter().enumerate() {
        for (other, (other_name, _)) in groups.iter().enumerate().skip(one + 1) {
            let z = separation(&times[one], &times[other]);
            assert!(z < MAX_Z, "{path}: {name} and {other_name} differ by {z}");
        }
    }
}

/// Sets the counters of all accounts to many failed logins: in the present window and in the next ones, because a new one may begin during the test.
async fn lock(attempts: &Collection<Document>) {
    let found = attempts.find(doc! {}).await.expect("an answer");
    let found: Vec<Document> = found.try_collect().await.expect("counters");
    attempts.delete_many(doc! {}).await.expect("none is left");
    for counter in found {
        let id = counter.get_str("_id").expect("an id");
        let (subject, window) = id.split_once(':').expect("a window");
        let window: i64 = window.parse().expect("a number");
        for window in window..window + 3 {
            let mut locked = counter.clone();
            locked.insert("_id", format!("{subject}:{window}"));
            locked.insert("count", 1_000_000_i64);
            attempts.insert_one(locked).await.expect("it is stored");
        }
    }
}

#[tokio::test]
async fn logins_fail_alike_for_every_reason() {
    let (builder, receiver) = with_mail().await;
    let service = builder
        .env("ACCOUNTS_MAX_FAILED_LOGINS", "1000")
        .start()
        .await;
    let anonymous = service.anonymous();
    for email in [
        "ann@shop.example",
        "locked@shop.example",
        "gone@shop.example",
        "off@shop.example",
    ] {
        register_verified(&service, &receiver, email).await;
    }
    register(&service, "unverified@shop.example").await;
    let gone = log_in(&service, "gone@shop.example").await;
    let body = json!({ "password": PASSWORD });
    gone.at(&service)
        .post_repeating("/auth/me/delete", body)
        .await
        .expect(204);
    let off = log_in(&service, "off@shop.example").await;
    let path = format!("/api/admin/accounts/{}", off.user);
    service
        .internal()
        .patch(&path, json!({ "isDisabled": true }))
        .await
        .expect(200);
    let login = |email: &str, password: &str| json!({ "login": email, "password": password });
    let attempts = service.sandbox().collection("accounts_attempts").await;
    attempts.delete_many(doc! {}).await.expect("none is left");
    let wrong = login("locked@shop.example", "wrong horse");
    anonymous.post("/auth/login", wrong).await.expect(401);
    lock(&attempts).await;
    let groups = [
        group("unknown", login("unknown@shop.example", PASSWORD)),
        group("wrong password", login("ann@shop.example", "wrong horse")),
        group("unverified", login("unverified@shop.example", PASSWORD)),
        group("locked", login("locked@shop.example", PASSWORD)),
        group("deleted", login("gone@shop.example", PASSWORD)),
        group("disabled", login("off@shop.example", PASSWORD)),
    ];
    compare(&anonymous, "/auth/login", &groups).await;
}

#[tokio::test]
async fn registrations_and_requests_for_emails_are_answered_alike() {
    let (builder, receiver) = with_mail().await;
    let service = builder.start().await;
    register_verified(&service, &receiver, "known@shop.example").await;
    register(&service, "pending@shop.example").await;
    let anonymous = service.anonymous();
    let email = |email: &str| json!({ "email": email });
    for path in ["/auth/reset/request", "/auth/verify/request"] {
        let groups = [
            group("known", email("known@shop.example")),
            group("pending", email("pending@shop.example")),
            group("unknown", email("unknown@shop.example")),
        ];
        compare(&anonymous, path, &groups).await;
    }
    let new = |round| registration(&format!("new{round}@shop.example"));
    let groups = [
        group("known", registration("known@shop.example")),
        group("pending", registration("pending@shop.example")),
        ("new", Box::new(new) as Body),
    ];
    compare(&anonymous, "/auth/register", &groups).await;
}
