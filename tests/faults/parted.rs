//! Processes without sockets, which read only the necessary part of the stream, beside processes with sockets.

use std::{sync::Arc, time::Duration};

use super::nats::has_every_entry;
use crate::support::{Nats, Node, Service, eventually_within, insert_orphan_text};

/// A counter of a process; 0 where it was never counted.
async fn counted(node: &Node, name: &str) -> u64 {
    let url = format!("{}/metrics", node.api_url());
    let answer = reqwest::get(url).await.expect("an answer");
    let text = answer.text().await.expect("a text");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_without_sockets_puts_back_what_is_missing_and_nothing_else() {
    let api = Service::builder().roles("api").spawn().await;
    let ws = Service::builder().roles("ws").database(&api).spawn().await;
    let alice = api.user("alice").await.between(&api, &ws);
    let bob = api.user("bob").await.between(&api, &ws);
    let conversation = api.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    for n in 0..40 {
        alice.say(&conversation, &format!("m{n}")).await;
    }
    let (id, seq) = insert_orphan_text(api.sandbox(), &conversation, "orphan").await;
    let limit = Duration::from_secs(15);
    let pushed = socket
        .find_within(limit, "the orphan", |frame| frame["id"] == id)
        .await;
    assert_eq!(pushed["seq"], seq);
    // The sweep that found it has looked at all that was before.
    assert_eq!(counted(&api, "chat_relay_published_total").await, 1);
    let told = api.sandbox().events("message.created").await;
    assert_eq!(told.len(), 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_takes_over_has_looked_at_the_stream_first() {
    let mut goes = Service::builder().roles("api").spawn().await;
    let limit = Duration::from_secs(15);
    eventually_within(limit, "the first holds the lease", || async {
        (counted(&goes, "chat_relay_is_holder").await == 1).then_some(())
    })
    .await;
    let stays = Service::builder()
        .roles("api")
        .database(&goes)
        .spawn()
        .await;
    let ws = Service::builder().roles("ws").database(&goes).spawn().await;
    let alice = stays.user("alice").await.between(&stays, &ws);
    let bob = stays.user("bob").await.between(&stays, &ws);
    let conversation = stays.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    for n in 0..40 {
        alice.say(&conversation, &format!("m{n}")).await;
    }
    goes.kill();
    let (id, seq) = insert_orphan_text(stays.sandbox(), &conversation, "orphan").await;
    let pushed = socket
        .find_within(limit, "the orphan", |frame| frame["id"] == id)
        .await;
    assert_eq!(pushed["seq"], seq);
    assert_eq!(counted(&stays, "chat_relay_published_total").await, 1);
    let told = stays.sandbox().events("message.created").await;
    assert_eq!(told.len(), 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_deleted_is_filled_again_by_a_relay_without_sockets() {
    let nats = Nats::start().await;
    let api = Service::builder().roles("api").nats(&nats).spawn().await;
    let ws = Service::builder().roles("ws").database(&api).spawn().await;
    let alice = api.user("alice").await.between(&api, &ws);
    let bob = api.user("bob").await.between(&api, &ws);
    let conversation = api.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    for n in 0..20 {
        alice.say(&conversation, &format!("m{n}")).await;
    }
    let place = Arc::clone(api.sandbox());
    // A sweep has passed them, so that only the loss makes it look at them again.
    let relay = place.collection("relay").await;
    eventually_within(Duration::from_secs(20), "a marker is there", || async {
        let state = relay.find_one(mongodb::bson::doc! {}).await.ok()??;
        let markers = state.get_array("markers").ok()?;
        (!markers.is_empty()).then_some(())
    })
    .await;
    let deleted = place.jetstream().await.delete_stream(place.stream()).await;
    deleted.expect("is deleted");
    for n in 20..40 {
        alice.say(&conversation, &format!("m{n}")).await;
    }
    has_every_entry(&place, std::slice::from_ref(&conversation)).await;
    for n in 0..40 {
        let pushed = socket.next("message:new").await;
        assert_eq!(pushed["data"]["content"], format!("m{n}"));
    }
}
