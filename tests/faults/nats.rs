//! NATS away, empty, or reset to an earlier state. Promise 7: sends succeed, and delivery catches up.

use std::{sync::Arc, time::Duration};

use chat_sdk::{ConversationId, EventId, Timestamp};
use chat_service::{
    bus::{Bus, BusOptions, announcer::Announcer},
    model::{
        entry::{Body, Entry},
        writers::Announce,
    },
    worker::StreamedEntries,
};
use reqwest::Method;
use serde_json::json;
use time::OffsetDateTime;

use super::traffic::{Listener, Outcome, Traffic, check_history};
use crate::support::{Nats, Sandbox, Seen, Service, User, eventually_within};

struct Scenario {
    nats: Nats,
    service: Service,
    senders: Vec<User>,
    listener: User,
    /// Away from the beginning to the end.
    sleeper: User,
    asleep_at: String,
    conversations: Vec<String>,
    listening: Listener,
}

impl Scenario {
    async fn set() -> Self {
        let nats = Nats::start().await;
        let service = Service::builder().nats(&nats).start().await;
        let mut senders = Vec::new();
        for n in 0..6 {
            senders.push(service.user(&format!("s{n}")).await);
        }
        let listener = service.user("listener").await;
        let sleeper = service.user("sleeper").await;
        let mut others: Vec<&User> = senders.iter().collect();
        others.push(&sleeper);
        let mut conversations = Vec::new();
        for _ in 0..3 {
            conversations.push(service.group(&listener, &others).await);
        }
        let asleep_at = sleeper.connect().await.cursor();
        let listening = Listener::start(vec![listener.clone()]).await;
        Self {
            nats,
            service,
            senders,
            listener,
            sleeper,
            asleep_at,
            conversations,
            listening,
        }
    }

    fn traffic(&self) -> Traffic {
        Traffic::start(&self.senders, &self.conversations)
    }

    /// Delivery is complete for a client that stayed connected, for one that reconnects now, and on a node that starts now.
    async fn check(self, outcome: Outcome) {
        let place = Arc::clone(self.service.sandbox());
        check_history(
            &place,
            &self.listener,
            &self.conversations,
            &outcome.promises,
        )
        .await;
        self.listening.check(&place, &self.conversations).await;
        let second = Service::builder().database(&self.service).start().await;
        for node in [&self.service, &second] {
            let mut socket = self.sleeper.at(node).resume(&self.asleep_at).await;
            assert_eq!(socket.connected["resumed"], true);
            let mut seen = Seen::default();
            for conversation in &self.conversations {
                let last = place.log(conversation).await.len() as u64;
                seen.follow(&mut socket, conversation, last).await;
            }
            for conversation in &self.conversations {
                let last = place.log(conversation).await.len() as u64;
                seen.assert_dense(conversation);
                assert_eq!(seen.last(conversation), last);
                assert!(seen.numbers(conversation).contains(&2));
            }
        }
        // Delivery continues.
        let mut socket = self.listener.connect().await;
        self.senders[0]
            .at(&second)
            .say(&self.conversations[0], "still here")
            .await;
        socket
            .find("a live message", |frame| {
                frame["data"]["content"] == "still here"
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nats_away_sends_succeed_and_everything_is_delivered_after_its_return() {
    let mut scenario = Scenario::set().await;
    let traffic = scenario.traffic();
    traffic.go_on(50).await;
    scenario.nats.kill();
    traffic.go_on(300).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    traffic.go_on(50).await;
    scenario.nats.restart().await;
    traffic.go_on(50).await;
    let outcome = traffic.finish().await;
    assert_eq!(
        (outcome.refusals, outcome.broken),
        (0, 0),
        "no send noticed anything"
    );
    // A send does not wait for the broker; the rest of the bound is for a busy machine.
    assert!(
        outcome.slowest < Duration::from_secs(5),
        "{:?}",
        outcome.slowest
    );
    scenario.check(outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nats_frozen_sends_succeed_and_everything_is_delivered_afterwards() {
    let scenario = Scenario::set().await;
    let traffic = scenario.traffic();
    traffic.go_on(50).await;
    scenario.nats.freeze();
    traffic.go_on(300).await;
    scenario.nats.thaw();
    traffic.go_on(50).await;
    let outcome = traffic.finish().await;
    assert_eq!(
        (outcome.refusals, outcome.broken),
        (0, 0),
        "no send noticed anything"
    );
    scenario.check(outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_that_returns_empty_is_refilled_from_the_log() {
    let mut scenario = Scenario::set().await;
    let traffic = scenario.traffic();
    traffic.go_on(100).await;
    scenario.nats.kill();
    scenario.nats.lose_everything();
    traffic.go_on(100).await;
    scenario.nats.restart().await;
    traffic.go_on(100).await;
    let outcome = traffic.finish().await;
    let place = Arc::clone(scenario.service.sandbox());
    let logged: usize = {
        let mut count = 0;
        for conversation in &scenario.conversations {
            count += place.log(conversation).await.len();
        }
        count
    };
    // Hosts and plugins read the stream: every entry is in it again, under its own id.
    let jetstream = place.jetstream().await;
    let stream = place.stream();
    let ids = eventually_within(
        Duration::from_secs(60),
        "the stream has every entry again",
        || async {
            let ids = event_ids(&jetstream, &stream, &scenario.conversations).await?;
            (ids.len() >= logged).then_some(ids)
        },
    )
    .await;
    assert_eq!(ids.len(), logged);
    scenario.check(outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_reset_to_an_earlier_state_is_refilled_from_the_log() {
    let mut scenario = Scenario::set().await;
    let traffic = scenario.traffic();
    traffic.go_on(100).await;
    scenario.nats.kill();
    scenario.nats.keep_copy();
    scenario.nats.restart().await;
    traffic.go_on(200).await;
    // Long enough for the relay to have stored a marker that the copy does not have.
    let relay = scenario.service.sandbox().collection("relay").await;
    let markers = || async {
        let state = relay.find_one(mongodb::bson::doc! {}).await.ok()??;
        state
            .get_array("markers")
            .ok()
            .and_then(|markers| markers.last().cloned())
    };
    let before = markers().await;
    eventually_within(
        Duration::from_secs(20),
        "the relay stores another marker",
        || async {
            let now = markers().await;
            (now.is_some() && now != before).then_some(())
        },
    )
    .await;
    scenario.nats.kill();
    scenario.nats.rewind();
    traffic.go_on(100).await;
    scenario.nats.restart().await;
    traffic.go_on(100).await;
    let outcome = traffic.finish().await;
    let place = Arc::clone(scenario.service.sandbox());
    has_every_entry(&place, &scenario.conversations).await;
    scenario.check(outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_deleted_under_load_is_recreated_without_loss() {
    let scenario = Scenario::set().await;
    let traffic = scenario.traffic();
    let place = Arc::clone(scenario.service.sandbox());
    let jetstream = place.jetstream().await;
    for _ in 0..2 {
        traffic.go_on(100).await;
        jetstream
            .delete_stream(place.stream())
            .await
            .expect("is deleted");
        traffic.go_on(100).await;
        eventually_within(
            Duration::from_secs(20),
            "the stream is there again",
            || async { jetstream.get_stream(place.stream()).await.ok().map(drop) },
        )
        .await;
    }
    let outcome = traffic.finish().await;
    assert_eq!(
        (outcome.refusals, outcome.broken),
        (0, 0),
        "no send noticed anything"
    );
    scenario.check(outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_recreated_by_another_client_is_refilled_completely() {
    let scenario = Scenario::set().await;
    let traffic = scenario.traffic();
    let place = Arc::clone(scenario.service.sandbox());
    let jetstream = place.jetstream().await;
    for _ in 0..6 {
        traffic.go_on(100).await;
        let mut stream = jetstream
            .get_stream(place.stream())
            .await
            .expect("is there");
        let config = stream.info().await.expect("answers").config.clone();
        let deleted = jetstream.delete_stream(place.stream()).await;
        deleted.expect("is deleted");
        // No process of the service needs to have detected it yet.
        let made = jetstream.create_stream(config).await;
        assert!(made.is_ok() || jetstream.get_stream(place.stream()).await.is_ok());
        traffic.go_on(100).await;
    }
    let outcome = traffic.finish().await;
    has_every_entry(&place, &scenario.conversations).await;
    scenario.check(outcome).await;
}

#[tokio::test]
async fn a_socket_connects_while_nats_is_away_and_receives_missed_events_later() {
    let mut scenario = Scenario::set().await;
    scenario.nats.kill();
    let conversation = scenario.conversations[0].clone();
    scenario.senders[0]
        .say(&conversation, "unheard as yet")
        .await;
    let mut socket = scenario.sleeper.resume(&scenario.asleep_at).await;
    let message = scenario.senders[1].say(&conversation, "nor this").await;
    scenario.nats.restart().await;
    let last = message["seq"].as_u64().expect("a number");
    let mut seen = Seen::default();
    while seen.last(&conversation) < last {
        let what = format!("number {last}, after {:?}", seen.numbers(&conversation));
        let frame = socket
            .find_within(Duration::from_secs(30), &what, |frame| {
                frame["seq"].is_u64()
            })
            .await;
        seen.note([frame]);
    }
    seen.assert_dense(&conversation);
}

/// Waits until the stream has every entry of `conversations`.
pub(super) async fn has_every_entry(place: &Sandbox, conversations: &[String]) {
    let mut logged = 0;
    for conversation in conversations {
        logged += place.log(conversation).await.len();
    }
    let jetstream = place.jetstream().await;
    let stream = place.stream();
    eventually_within(
        Duration::from_secs(30),
        "the stream has every entry again",
        || async {
            let ids = event_ids(&jetstream, &stream, conversations).await?;
            (ids.len() >= logged).then_some(())
        },
    )
    .await;
}

/// The ids of the entries of `conversations` that lie in the stream.
async fn event_ids(
    jetstream: &async_nats::jetstream::Context,
    stream: &str,
    conversations: &[String],
) -> Option<std::collections::BTreeSet<String>> {
    use async_nats::jetstream::consumer::{AckPolicy, pull};
    use futures_util::StreamExt;
    let stream = jetstream.get_stream(stream).await.ok()?;
    let consumer = stream
        .create_consumer(pull::Config {
            ack_policy: AckPolicy::None,
            memory_storage: true,
            inactive_threshold: Duration::from_secs(10),
            ..pull::Config::default()
        })
        .await
        .ok()?;
    let mut ids = std::collections::BTreeSet::new();
    let mut messages = consumer
        .fetch()
        .max_messages(20_000)
        .messages()
        .await
        .ok()?;
    while let Some(Ok(message)) = messages.next().await {
        let payload: serde_json::Value =
            serde_json::from_slice(&message.payload).unwrap_or(json!(null));
        let conversation = payload["conversationId"].as_str().unwrap_or_default();
        if conversations.iter().any(|known| known == conversation) {
            ids.insert(payload["id"].as_str()?.to_owned());
        }
    }
    Some(ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_and_drafts_made_while_nats_is_away_are_pushed_after_its_return() {
    let mut nats = Nats::start().await;
    let service = Service::builder().nats(&nats).start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let mut messages = Vec::new();
    for n in 0..3 {
        messages.push(alice.say(&group, &format!("{n}")).await);
    }
    let mut author = alice.connect().await;
    let mut phone = bob.connect().await;
    nats.kill();
    let put = async |path: &str| bob.request(Method::PUT, path, None).await.expect(200);
    let id = |message: &serde_json::Value| message["id"].as_str().expect("an id").to_owned();
    for message in &messages[..2] {
        put(&format!("/api/messages/{}/read", id(message))).await;
    }
    put(&format!("/api/messages/{}/delivered", id(&messages[2]))).await;
    let own = format!("/api/conversations/{group}/me");
    for draft in ["half a", "half a sentence"] {
        let body = json!({ "draft": draft });
        bob.patch(&own, body).await.expect(200);
    }
    nats.restart().await;
    // The newest of each, once.
    let read = author.next("message:read").await;
    assert_eq!(read["data"]["messageId"], messages[1]["id"], "{read}");
    let delivered = author.next("message:delivered").await;
    assert_eq!(delivered["data"]["messageId"], messages[2]["id"]);
    let badge = phone.next("conversation:read").await;
    assert_eq!(badge["data"]["unreadCount"], 1, "{badge}");
    let draft = phone.next("draft:updated").await;
    assert_eq!(draft["data"]["draft"], "half a sentence", "{draft}");
    for kind in ["message.read", "conversation.read", "draft.updated"] {
        let told = service.sandbox().events(kind).await;
        assert_eq!(told.len(), 1, "{kind}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_at_once_are_in_the_stream_soon_and_in_order_and_can_be_read_again() {
    const COUNT: u64 = 12_000;
    let nats = Nats::start().await;
    let bus = Bus::connect(BusOptions {
        url: nats.url(),
        credentials: None,
        prefix: "chat".to_owned(),
        replicas: 1,
        retention: Duration::from_secs(600),
        max_bytes: 64 << 20,
    })
    .await
    .expect("NATS answers");
    let conversation = ConversationId::generate();
    let entries: Vec<Arc<Entry>> = (1..=COUNT)
        .map(|seq| {
            Arc::new(Entry {
                id: EventId::generate(),
                owner: conversation.clone().into(),
                seq,
                actor: None,
                at: Timestamp::now(),
                body: Body::Noop,
                trace: None,
            })
        })
        .collect();
    let (announcer, publisher) = Announcer::new(bus.clone());
    tokio::spawn(publisher.run());
    announcer.announce(&entries);
    eventually_within(Duration::from_secs(20), "all are stored", || async {
        let stream = bus.declare_stream().await.ok()?;
        (stream.cached_info().state.last_sequence >= COUNT).then_some(())
    })
    .await;
    for seq in [1, COUNT / 2, COUNT] {
        let id = bus.stored_id(seq).await.expect("NATS answers");
        let expected = &entries[seq as usize - 1].id;
        assert_eq!(id.as_deref(), Some(expected.as_str()));
    }
    // A process that starts later can load which entries the stream holds, and loads no others.
    let owner = conversation.into();
    let seen = StreamedEntries::default();
    let is_read = bus
        .read_stream_since(OffsetDateTime::now_utc(), &seen)
        .await;
    is_read.expect("NATS answers");
    assert!(!seen.contains(&owner, 1), "it was stored before");
    let since = OffsetDateTime::now_utc() - Duration::from_secs(60);
    bus.read_stream_since(since, &seen)
        .await
        .expect("NATS answers");
    for seq in 1..=COUNT {
        assert!(seen.contains(&owner, seq), "{seq}");
    }
    assert!(!seen.contains(&owner, COUNT + 1));
}
