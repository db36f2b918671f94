//! Operations that a host has no permission for, each attempted on a real nats-server with the configuration of `nats/`.

use std::{fs, time::Duration};

use async_nats::{HeaderMap, Subscriber};
use futures_util::StreamExt;
use serde_json::json;

use super::{Host, STREAM, durable, service_on};
use crate::support::{Nats, Service, User, configure, configured, eventually};

/// Forbidden publications: the effect that each would have, the subject, the payload.
pub const FORBIDDEN: &[(&str, &str, &str)] = &[
    (
        "put an event into the stream",
        "chat.events.s00.message.created",
        r#"{"id":"evt_00000000000000000000000000","type":"message.created"}"#,
    ),
    ("put a marker of the relay in", "chat.relay.marker", "{}"),
    ("put an event in for a durable", "chat.replay.shop", "{}"),
    ("give a command to a writer", "chat.cmd.s00", "[]"),
    ("claim to be a node", "chat.eph.presence", "{}"),
    ("pretend that somebody types", "chat.eph.typing", "{}"),
    (
        "send another host's command",
        "chat.api.game.users.sync",
        r#"{"externalUserId":"mallory","name":"Mallory"}"#,
    ),
    ("purge the stream", "$JS.API.STREAM.PURGE.CHAT_EVENTS", ""),
    ("delete the stream", "$JS.API.STREAM.DELETE.CHAT_EVENTS", ""),
    (
        "change the stream",
        "$JS.API.STREAM.UPDATE.CHAT_EVENTS",
        r#"{"name":"CHAT_EVENTS","subjects":["x"]}"#,
    ),
    (
        "make a stream",
        "$JS.API.STREAM.CREATE.MINE",
        r#"{"name":"MINE","subjects":["mine.>"]}"#,
    ),
    (
        "ask about the stream",
        "$JS.API.STREAM.INFO.CHAT_EVENTS",
        "",
    ),
    ("list the streams", "$JS.API.STREAM.NAMES", ""),
    (
        "read a message by its number",
        "$JS.API.STREAM.MSG.GET.CHAT_EVENTS",
        r#"{"seq":1}"#,
    ),
    (
        "read a message directly",
        "$JS.API.DIRECT.GET.CHAT_EVENTS",
        r#"{"seq":1}"#,
    ),
    (
        "delete a message",
        "$JS.API.STREAM.MSG.DELETE.CHAT_EVENTS",
        r#"{"seq":1}"#,
    ),
    (
        "copy the stream away",
        "$JS.API.STREAM.SNAPSHOT.CHAT_EVENTS",
        r#"{"deliver_subject":"_INBOX.x"}"#,
    ),
    (
        "make a consumer",
        "$JS.API.CONSUMER.CREATE.CHAT_EVENTS.mine",
        r#"{"stream_name":"CHAT_EVENTS","config":{"name":"mine","ack_policy":"none","deliver_subject":"chat.cmd.s00"}}"#,
    ),
    (
        "make a durable",
        "$JS.API.CONSUMER.DURABLE.CREATE.CHAT_EVENTS.shop",
        r#"{"stream_name":"CHAT_EVENTS","config":{"durable_name":"shop","ack_policy":"explicit"}}"#,
    ),
    (
        "delete its own durable",
        "$JS.API.CONSUMER.DELETE.CHAT_EVENTS.shop",
        "",
    ),
    (
        "delete another's durable",
        "$JS.API.CONSUMER.DELETE.CHAT_EVENTS.game",
        "",
    ),
    (
        "pause its durable",
        "$JS.API.CONSUMER.PAUSE.CHAT_EVENTS.shop",
        r#"{"pause_until":"2100-01-01T00:00:00Z"}"#,
    ),
    (
        "list the consumers",
        "$JS.API.CONSUMER.NAMES.CHAT_EVENTS",
        "",
    ),
    (
        "ask about another's durable by its own road",
        "$JS.chat.API.CONSUMER.INFO.CHAT_EVENTS.game",
        "",
    ),
    (
        "ask about the stream by its own road",
        "$JS.chat.API.STREAM.INFO.CHAT_EVENTS",
        "",
    ),
    (
        "ask about another's durable",
        "$JS.API.CONSUMER.INFO.CHAT_EVENTS.game",
        "",
    ),
    (
        "take another's events",
        "$JS.API.CONSUMER.MSG.NEXT.CHAT_EVENTS.game",
        "1",
    ),
    (
        "settle another's events",
        "$JS.ACK.CHAT_EVENTS.game.1.1.1.1.0",
        "+ACK",
    ),
    ("ask about the account", "$JS.API.INFO", ""),
    ("find services", "$SRV.PING", ""),
    ("ask the server", "$SYS.REQ.SERVER.PING", ""),
    ("answer somebody else's request", "_R_.x.y", "{}"),
    ("write into an inbox", "_INBOX.x.y", "{}"),
];

/// Forbidden subscriptions.
const DEAF: &[&str] = &[
    ">",
    "*.*.>",
    "chat.>",
    "chat.cmd.>",
    "chat.eph.>",
    "chat.relay.>",
    "chat.replay.>",
    "chat.api.>",
    "$JS.>",
    "$SYS.>",
    "$SRV.>",
    "_R_.>",
];

struct Scenario {
    nats: Nats,
    service: Service,
    alice: User,
    conversation: String,
}

impl Scenario {
    async fn set() -> Self {
        Self::set_on(Nats::with_hosts(&["shop", "game"]).await).await
    }

    async fn set_on(nats: Nats) -> Self {
        let service = service_on(&nats).await;
        for host in ["shop", "game"] {
            durable(&service, host, json!({})).await;
        }
        let (alice, bob) = (service.user("alice").await, service.user("bob").await);
        let conversation = service.group(&alice, &[&bob]).await;
        alice.say(&conversation, "hello").await;
        Self {
            nats,
            service,
            alice,
            conversation,
        }
    }

    /// The broker as the service's own account sees it.
    async fn spy(&self) -> async_nats::Client {
        self.service.sandbox().nats().await
    }

    /// Messages, consumers and their positions, which no host may have changed.
    async fn state(&self) -> (String, Vec<(String, u64, u64)>) {
        use futures_util::TryStreamExt;
        let jetstream = self.service.sandbox().jetstream().await;
        let mut stream = jetstream.get_stream(STREAM).await.expect("the stream");
        let info = stream.info().await.expect("its state").clone();
        let mut consumers: Vec<(String, u64, u64)> = stream
            .consumers()
            .map_ok(|one| {
                (
                    one.name,
                    one.ack_floor.stream_sequence,
                    one.delivered.consumer_sequence,
                )
            })
            .try_filter(|(name, ..)| std::future::ready(!name.starts_with("tail-")))
            .try_collect()
            .await
            .expect("the consumers");
        consumers.sort();
        let mut config = info.config.clone();
        // Its order is another one each time.
        config.metadata.clear();
        let config = format!("{config:?} {}", info.state.first_sequence);
        (config, consumers)
    }
}

/// Messages on the subjects in `wanted` that arrive within a while.
async fn arrivals(spy: &mut Subscriber, wanted: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(300), spy.next()).await
    {
        if wanted.contains(&message.subject.as_str()) {
            found.push(message.subject.to_string());
        }
    }
    found
}

#[tokio::test]
async fn forbidden_operations_of_a_host_are_refused_and_change_nothing() {
    let scenario = Scenario::set().await;
    let before = scenario.state().await;
    let shop = Host::connect(&scenario.nats, "shop").await;
    for (what, subject, payload) in FORBIDDEN {
        let inbox = shop.client.new_inbox();
        let published = shop.client.publish_with_reply(
            (*subject).to_owned(),
            inbox,
            (*payload).as_bytes().into(),
        );
        published.await.expect("the client takes it");
        shop.client.flush().await.expect("the server reads it");
        let wanted = format!("publish to \"{subject}\"").to_lowercase();
        eventually(&format!("to {what} is refused"), || async {
            let refused = shop.refused.lock();
            let is_told = |text: &String| text.to_lowercase().contains(&wanted);
            refused.iter().any(is_told).then_some(())
        })
        .await;
    }
    for subject in DEAF {
        let _subscriber = shop.client.subscribe(*subject).await.expect("is asked");
        shop.client.flush().await.expect("the server reads it");
        let wanted = format!("subscription to \"{subject}\"").to_lowercase();
        eventually(&format!("to listen to {subject} is refused"), || async {
            let refused = shop.refused.lock();
            let is_told = |text: &String| text.to_lowercase().contains(&wanted);
            refused.iter().any(is_told).then_some(())
        })
        .await;
    }
    assert_eq!(scenario.state().await, before);
    scenario
        .service
        .internal()
        .get("/api/users/mallory")
        .await
        .expect(404);
}

#[tokio::test]
async fn a_user_of_the_account_without_permissions_of_their_own_still_reaches_nothing_of_the_service()
 {
    // The account is the boundary; its permissions only make refusals explicit.
    let nats = {
        let mut nats = Nats::with_hosts(&["shop", "game"]).await;
        let file = nats.configuration().join("hosts/shop.conf");
        let text = fs::read_to_string(&file).expect("the file");
        let user = "users: [\n    { user: \"open\", password: $SHOP_PASSWORD }\n";
        fs::write(&file, text.replacen("users: [\n", user, 1)).expect("is written");
        nats.restart().await;
        nats
    };
    let scenario = Scenario::set_on(nats).await;
    let before = scenario.state().await;
    let spy = scenario.spy().await;
    let mut heard = spy.subscribe(">").await.expect("a subscription");
    spy.flush().await.expect("it is there");
    let open = Host::connect_as(&scenario.nats, "shop", "open").await;
    let mut answers = open.client.subscribe("mine.>").await.expect("its own");
    for (index, (_, subject, payload)) in FORBIDDEN.iter().enumerate() {
        let reply = format!("mine.{index}");
        let published = open.client.publish_with_reply(
            (*subject).to_owned(),
            reply,
            (*payload).as_bytes().into(),
        );
        published.await.expect("the client takes it");
    }
    open.client.flush().await.expect("the server reads it");
    let subjects: Vec<&str> = FORBIDDEN
        .iter()
        .map(|(_, subject, _)| *subject)
        // Nodes tell one another all the time that they live.
        .filter(|subject| *subject != "chat.eph.presence" && *subject != "chat.relay.marker")
        .collect();
    assert_eq!(arrivals(&mut heard, &subjects).await, [""; 0]);
    while let Ok(Some(answer)) =
        tokio::time::timeout(Duration::from_millis(300), answers.next()).await
    {
        // The server itself answers that there is no responder, or that the account has no streams.
        let text = String::from_utf8_lossy(&answer.payload);
        let is_nobody = answer.status == Some(async_nats::StatusCode::NO_RESPONDERS);
        assert!(
            is_nobody || text.contains("not enabled"),
            "{}: {text}",
            answer.subject
        );
    }
    assert_eq!(scenario.state().await, before);
    assert!(open.refused.lock().is_empty());
}

#[tokio::test]
async fn a_hosts_reply_subject_is_in_its_own_account() {
    let scenario = Scenario::set().await;
    let spy = scenario.spy().await;
    let shop = Host::connect(&scenario.nats, "shop").await;
    let targets = [
        "chat.cmd.s00",
        "chat.events.s00.message.created",
        "chat.api.game.users.sync",
        "evil.x",
        "$JS.API.STREAM.PURGE.CHAT_EVENTS",
    ];
    let mut heard = spy.subscribe(">").await.expect("a subscription");
    spy.flush().await.expect("it is there");
    let messages = |spied: &Scenario| {
        let place = spied.service.sandbox().clone();
        async move {
            let jetstream = place.jetstream().await;
            let mut stream = jetstream.get_stream(STREAM).await.expect("the stream");
            stream.info().await.expect("its state").state.first_sequence
        }
    };
    let first = messages(&scenario).await;
    for target in targets {
        for subject in [
            "$JS.chat.API.CONSUMER.MSG.NEXT.CHAT_EVENTS.shop",
            "$JS.chat.API.CONSUMER.INFO.CHAT_EVENTS.shop",
            "chat.api.shop.users.sync",
        ] {
            let published =
                shop.client
                    .publish_with_reply(subject.to_owned(), target.to_owned(), "1".into());
            published.await.expect("the client takes it");
        }
        // A server can be asked to report on the way of a message, wherever one likes.
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Trace-Dest", target);
        let traced =
            shop.client
                .publish_with_headers("chat.api.shop.users.sync", headers, "{}".into());
        traced.await.expect("the client takes it");
    }
    shop.client.flush().await.expect("the server reads it");
    assert_eq!(arrivals(&mut heard, &targets).await, [""; 0]);
    assert_eq!(messages(&scenario).await, first);
}

#[tokio::test]
async fn a_host_reads_its_durable_and_receives_live_events() {
    let scenario = Scenario::set().await;
    let shop = Host::connect(&scenario.nats, "shop").await;
    let mut live = shop
        .client
        .subscribe("chat.events.*.message.created")
        .await
        .expect("a subscription");
    shop.client.flush().await.expect("it is there");
    let message = scenario.alice.say(&scenario.conversation, "live").await;
    let heard = tokio::time::timeout(Duration::from_secs(5), live.next())
        .await
        .expect("it comes")
        .expect("a message");
    let event: serde_json::Value = serde_json::from_slice(&heard.payload).expect("JSON");
    assert_eq!(event["data"]["id"], message["id"]);
    let mut contents: Vec<String> = Vec::new();
    while contents.len() < 2 {
        let events = shop.take(50).await;
        contents.extend(
            events
                .iter()
                .filter_map(|event| Some(event["data"]["content"].as_str()?.to_owned())),
        );
    }
    assert_eq!(contents, ["hello", "live"]);
    assert!(shop.refused.lock().is_empty(), "{:?}", shop.refused.lock());
}

#[tokio::test]
async fn a_server_whose_host_imports_foreign_subjects_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let conf = folder.path().join("conf");
    for (import, is_fine) in [
        ("$JS.API.CONSUMER.INFO.CHAT_EVENTS.shop", true),
        ("$JS.API.CONSUMER.INFO.CHAT_EVENTS.game", false),
        ("$JS.API.CONSUMER.MSG.NEXT.CHAT_EVENTS.*", false),
        ("$JS.ACK.CHAT_EVENTS.game.>", false),
        ("chat.api.game.>", false),
        ("chat.api.>", false),
        ("chat.cmd.s00", false),
        ("$JS.API.>", false),
        ("$JS.API.STREAM.INFO.CHAT_EVENTS", false),
        ("$SRV.PING", false),
    ] {
        configure(&conf, &["shop"]);
        let file = conf.join("hosts/shop.conf");
        let text = fs::read_to_string(&file).expect("the file");
        let imports =
            format!("imports: [\n    {{ service: {{ account: CHAT, subject: \"{import}\" }} }}\n");
        let text = if is_fine {
            text
        } else {
            text.replacen("imports: [\n", &imports, 1)
        };
        fs::write(&file, text).expect("is written");
        let status = configured(&conf, "nats.conf", &folder.path().join("data"))
            .arg("-t")
            .status()
            .expect("nats-server runs");
        assert_eq!(status.success(), is_fine, "{import}");
    }
}
