//! Password hashes are bounded in number, whatever comes from however many addresses.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{PASSWORD, log_in, register, with_accounts};

/// Number of hashes at once.
const MAX_HASHES: f64 = 2.0;

fn running(metrics: &str) -> f64 {
    let line = metrics
        .lines()
        .find(|line| line.starts_with("chat_accounts_hashes_running"));
    let number = line.and_then(|line| line.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

#[tokio::test]
async fn a_flood_of_logins_that_disconnect_never_exceeds_the_hashes() {
    let service = with_accounts()
        .env("ACCOUNTS_MAX_HASHES", "2")
        .start()
        .await;
    register(&service, "ann@shop.example").await;
    let stop = CancellationToken::new();
    let most: Arc<Mutex<f64>> = Arc::default();
    let watch = {
        let (client, stop, most) = (service.anonymous(), stop.clone(), Arc::clone(&most));
        tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            while !stop.is_cancelled() {
                let now = running(&client.get("/metrics").await.text);
                {
                    let mut most = most.lock();
                    *most = most.max(now);
                }
                let began = Instant::now();
                client.get("/health/ready").await.expect(200);
                slowest = slowest.max(began.elapsed());
            }
            slowest
        })
    };
    let login = |n: usize| {
        let address = format!("198.51.{}.{}", n % 500 / 250, n % 250);
        let client = service.anonymous().with("X-Forwarded-For", &address);
        let body = json!({ "login": format!("user{n}@shop.example"), "password": PASSWORD });
        // Every second client gives up after 10 ms; its hash goes on and still counts.
        let patience = Duration::from_millis(if n.is_multiple_of(2) { 10 } else { 10_000 });
        async move {
            let answer = client.try_post("/auth/login", body);
            let answer = tokio::time::timeout(patience, answer).await.ok()?.ok()?;
            Some((answer.status, answer.header("Retry-After").to_owned()))
        }
    };
    let answers: Vec<Option<(u16, String)>> = stream::iter((0..1000).map(login))
        .buffer_unordered(200)
        .collect()
        .await;
    stop.cancel();
    let slowest = watch.await.expect("it does not panic");
    assert!(slowest < Duration::from_secs(5), "health took {slowest:?}");
    assert!(
        *most.lock() <= MAX_HASHES,
        "{} hashes ran at once",
        most.lock()
    );
    let answered: Vec<(u16, String)> = answers.into_iter().flatten().collect();
    let busy = answered.iter().filter(|(status, _)| *status == 503);
    assert!(busy.clone().count() > 0, "the excess is refused");
    assert!(
        busy.clone()
            .all(|(_, wait)| wait.parse::<u64>().is_ok_and(|wait| wait > 0))
    );
    let known = |(status, _): &(u16, String)| matches!(*status, 401 | 503);
    assert!(answered.iter().all(known), "{answered:?}");
    log_in(&service, "ann@shop.example").await;
}

#[tokio::test]
async fn requests_of_one_address_are_limited_and_those_of_others_are_not() {
    let service = with_accounts()
        .env("ACCOUNTS_RATE_LIMIT", "5")
        .start()
        .await;
    let from = |address: &str| service.anonymous().with("X-Forwarded-For", address);
    let ask = |address: &str| {
        let client = from(address);
        let body = json!({ "refreshToken": "rt_unknown" });
        async move { client.post("/auth/refresh", body).await }
    };
    for _ in 0..5 {
        ask("203.0.113.7").await.expect_error(401, "UNAUTHORIZED");
    }
    let refused = ask("203.0.113.7").await;
    assert!(
        refused
            .header("Retry-After")
            .parse::<u64>()
            .is_ok_and(|wait| wait > 0)
    );
    refused.expect_error(429, "RATE_LIMITED");
    ask("203.0.113.8").await.expect_error(401, "UNAUTHORIZED");
    // A network of IPv6 is one client.
    for n in 0..5 {
        ask(&format!("2001:db8::{n}"))
            .await
            .expect_error(401, "UNAUTHORIZED");
    }
    ask("2001:db8::ffff")
        .await
        .expect_error(429, "RATE_LIMITED");
    ask("2001:db8:0:1::1")
        .await
        .expect_error(401, "UNAUTHORIZED");
}
