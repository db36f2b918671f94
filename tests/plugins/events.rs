//! Events of a plugin's own types: numbered in the logs of conversations and users, resumed, sent to hosts, and ephemeral ones.

use std::sync::Arc;

use chat_sdk::{
    http::{ApiError, Json, Query},
    plugin::{
        ChatError, Host, NewEvent, Plugin, PluginEvent, PluginFactory, Routes, RoutesDocument,
        Target,
    },
};
use poem_openapi::{Object, OpenApi, Tags};
use serde::Serialize;
use serde_json::{Value, json};

use crate::support::{Service, eventually};

/// Data of all events of the plugin.
#[derive(Debug, Serialize, Object)]
pub struct BellRing {
    /// Text of the ring.
    text: String,
}

const EVENTS: &[PluginEvent] = &[
    PluginEvent::of_conversation::<BellRing>("bell.rang", "The bell of a conversation rang.")
        .frame("bell:rang"),
    PluginEvent::of_user::<BellRing>("ding.noted", "The bell of a user rang.").frame("ding"),
    PluginEvent::of_user::<BellRing>("bell.hinted", "The bell may ring soon.")
        .frame("bell:hint")
        .ephemeral(),
    PluginEvent::of_conversation::<BellRing>("bell.swung", "The bell swings.")
        .frame("bell:swing")
        .ephemeral(),
];

/// Plugin that publishes what a test asks for.
const PLUGIN: PluginFactory = PluginFactory {
    document: RoutesDocument::of::<BellApi>,
    events: EVENTS,
    event_prefixes: &["ding"],
    ..PluginFactory::new("bell", |_| Some(Box::new(|host| Arc::new(Bell { host }))))
};

struct Bell {
    host: Host,
}

impl Plugin for Bell {
    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(BellApi(self))
    }
}

#[derive(Tags)]
enum Tag {
    Bell,
}

struct BellApi(Arc<Bell>);

/// Returns the declared type `name`.
fn kind(name: &str) -> &'static str {
    let mut events = EVENTS.iter();
    let found = events.find(|event| event.kind == name);
    found.map_or("bell.unknown", |event| event.kind)
}

fn target(name: &str) -> Target {
    match name.strip_prefix("user:") {
        Some(user) => Target::User(user.parse().expect("an id")),
        None => Target::Conversation(name.parse().expect("an id")),
    }
}

fn shown<T: Serialize>(outcome: Result<T, ChatError>) -> Json<String> {
    Json(
        match outcome {
            Ok(answer) => json!({ "answer": answer }),
            Err(error) => json!({ "status": error.status, "code": error.code }),
        }
        .to_string(),
    )
}

#[OpenApi(tag = "Tag::Bell")]
impl BellApi {
    /// Publish an event
    #[oai(path = "/api/bell/ring", method = "get", operation_id = "ringBell")]
    async fn ring(
        &self,
        event: Query<String>,
        to: Query<String>,
        text: Query<String>,
        key: Query<Option<String>>,
    ) -> Result<Json<String>, ApiError> {
        let data = BellRing { text: text.0 };
        let mut event = NewEvent::new(kind(&event.0), target(&to.0), &data);
        event.key = key.0;
        let published = self.0.host.publisher.publish(event).await;
        Ok(shown(
            published.map(|place| json!({ "id": place.id, "seq": place.seq })),
        ))
    }

    /// Publish an event with a text of this length
    #[oai(
        path = "/api/bell/large",
        method = "get",
        operation_id = "ringLargeBell"
    )]
    async fn large(&self, to: Query<String>, size: Query<u64>) -> Result<Json<String>, ApiError> {
        let text = "x".repeat(usize::try_from(size.0).expect("a size"));
        let event = NewEvent::new("bell.rang", target(&to.0), &BellRing { text });
        let published = self.0.host.publisher.publish(event).await;
        Ok(shown(published.map(|place| place.seq)))
    }

    /// Send an ephemeral event
    #[oai(path = "/api/bell/tell", method = "get", operation_id = "tellBell")]
    async fn tell(
        &self,
        event: Query<String>,
        to: Query<String>,
    ) -> Result<Json<String>, ApiError> {
        let data = BellRing {
            text: "soon".to_owned(),
        };
        let event = NewEvent::new(kind(&event.0), target(&to.0), &data);
        Ok(shown(self.0.host.publisher.tell(event).await))
    }

    /// Publish an event to many users
    #[oai(
        path = "/api/bell/many",
        method = "get",
        operation_id = "ringManyBells"
    )]
    async fn many(&self, count: Query<u64>, key: Query<String>) -> Result<Json<String>, ApiError> {
        let events = (0..count.0).map(|index| {
            let data = BellRing {
                text: "all".to_owned(),
            };
            let target = target(&format!("user:user-{index}"));
            NewEvent::new("ding.noted", target, &data).once(key.0.clone())
        });
        let results = self.0.host.publisher.publish_many(events.collect()).await;
        let good = results.iter().filter(|result| result.is_ok()).count();
        Ok(Json(good.to_string()))
    }
}

async fn with_bell() -> Service {
    Service::builder()
        .env("PLUGINS", "bell")
        .start_with([PLUGIN])
        .await
}

async fn call(service: &Service, path: &str) -> Value {
    let text = service.internal().get(path).await.expect(200);
    serde_json::from_str(text.as_str().expect("a text")).expect("JSON")
}

#[tokio::test]
async fn an_event_in_a_conversation_is_numbered_resumed_and_appended_once() {
    let service = with_bell().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let eve = service.user("eve").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    let mut stranger = eve.connect().await;
    let ring = |text: &str, key: &str| {
        format!("/api/bell/ring?event=bell.rang&to={conversation}&text={text}&key={key}")
    };
    let first = call(&service, &ring("one", "a")).await;
    let frame = socket.next("bell:rang").await;
    assert_eq!(
        frame["data"],
        json!({ "text": "one", "conversationId": conversation })
    );
    assert_eq!(
        (&frame["id"], &frame["seq"]),
        (&first["answer"]["id"], &first["answer"]["seq"])
    );
    let cursor = socket.cursor();
    socket.vanish();

    assert_eq!(
        call(&service, &ring("again", "a")).await,
        first,
        "it is the same cause"
    );
    let second = call(&service, &ring("two", "b")).await;
    alice.say(&conversation, "after it").await;
    let mut resumed = bob.resume(&cursor).await;
    let frame = resumed.next("bell:rang").await;
    assert_eq!(
        (&frame["data"]["text"], &frame["seq"]),
        (&json!("two"), &second["answer"]["seq"])
    );
    let message = resumed.next("message:new").await;
    assert_eq!(
        message["seq"].as_u64(),
        frame["seq"].as_u64().map(|seq| seq + 1)
    );
    // A message of eve's own tells that nothing came before it.
    let own = service.group(&eve, &[]).await;
    eve.say(&own, "mine").await;
    let arrived = stranger.skip_to("message:new").await;
    assert_eq!(arrived["data"]["conversationId"], own.as_str());

    let log = alice
        .get(&format!("/api/conversations/{conversation}/log"))
        .await
        .expect(200);
    let kinds: Vec<&Value> = log["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| &entry["type"])
        .collect();
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "bell.rang").count(),
        2,
        "{log}"
    );
    let events = service.sandbox().events("bell.rang").await;
    assert_eq!(events.len(), 2, "hosts get it from the stream: {events:?}");
    assert_eq!(events[0]["data"]["text"], "one");

    let missing = format!(
        "/api/bell/ring?event=bell.rang&to={}&text=x",
        chat_sdk::ConversationId::generate()
    );
    assert_eq!(call(&service, &missing).await["code"], "NOT_FOUND");
    let unknown = format!("/api/bell/ring?event=bell.other&to={conversation}&text=x");
    assert_eq!(call(&service, &unknown).await["code"], "VALIDATION_ERROR");
    let misplaced = "/api/bell/ring?event=bell.rang&to=user:bob&text=x";
    assert_eq!(call(&service, misplaced).await["code"], "VALIDATION_ERROR");
    let large = format!("/api/bell/large?to={conversation}&size=2000000");
    assert_eq!(call(&service, &large).await["code"], "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn an_event_of_a_user_reaches_that_user_alone_once_live_or_after_a_reconnect() {
    let service = with_bell().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let (mut of_alice, mut of_bob) = (alice.connect().await, bob.connect().await);
    let ring = |text: &str| format!("/api/bell/ring?event=ding.noted&to=user:alice&text={text}");
    let live = call(&service, &ring("live")).await;
    let frame = of_alice.next("ding").await;
    assert_eq!(frame["data"]["text"], "live");
    assert_eq!(frame["seq"], live["answer"]["seq"]);
    let cursor = frame["cursor"].as_str().expect("a cursor").to_owned();
    of_alice.vanish();
    for text in ["one", "two"] {
        call(&service, &ring(text)).await;
    }
    let mut resumed = alice.resume(&cursor).await;
    for text in ["one", "two"] {
        assert_eq!(resumed.next("ding").await["data"]["text"], text);
    }
    call(&service, &ring("three")).await;
    assert_eq!(
        resumed.next("ding").await["data"]["text"],
        "three",
        "none is repeated"
    );
    // From the cursor of the greeting nothing is repeated either.
    let cursor = resumed.cursor();
    resumed.vanish();
    let mut again = alice.resume(&cursor).await;
    call(&service, &ring("four")).await;
    assert_eq!(again.next("ding").await["data"]["text"], "four");

    call(
        &service,
        "/api/bell/ring?event=ding.noted&to=user:bob&text=his",
    )
    .await;
    assert_eq!(
        of_bob.next("ding").await["data"]["text"],
        "his",
        "the first that bob gets"
    );
    let nobody = "/api/bell/ring?event=ding.noted&to=user:nobody&text=x";
    assert_eq!(call(&service, nobody).await["code"], "NOT_FOUND");
}

#[tokio::test]
async fn ephemeral_events_reach_connected_sockets_and_no_log() {
    let service = with_bell().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    call(
        &service,
        &format!("/api/bell/tell?event=bell.swung&to={conversation}"),
    )
    .await;
    let frame = socket.next("bell:swing").await;
    assert_eq!(
        frame["data"],
        json!({ "text": "soon", "conversationId": conversation })
    );
    assert!(frame["seq"].is_null());
    call(&service, "/api/bell/tell?event=bell.hinted&to=user:bob").await;
    assert_eq!(socket.next("bell:hint").await["data"]["text"], "soon");
    let logged = format!("/api/bell/tell?event=bell.rang&to={conversation}");
    assert_eq!(call(&service, &logged).await["code"], "VALIDATION_ERROR");
    assert!(service.sandbox().events("bell.swung").await.is_empty());
}

#[tokio::test]
async fn thousands_of_users_get_an_event_in_one_call_and_a_repetition_appends_nothing() {
    let service = with_bell().await;
    let host = service.internal();
    let count = 2000;
    for start in (0..count).step_by(1000) {
        let users: Vec<Value> = (start..start + 1000)
            .map(|index| json!({ "externalUserId": format!("user-{index}"), "name": "Someone" }))
            .collect();
        let body = json!({ "users": users });
        host.post("/api/users/sync/batch", body).await.expect(200);
    }
    let path = format!("/api/bell/many?count={count}&key=first");
    let all = json!(count.to_string());
    eventually("all are appended", || async {
        (host.get(&path).await.expect(200) == all).then_some(())
    })
    .await;
    host.get(&path).await.expect(200);
    let log = service.sandbox().collection("log").await;
    let stored = log
        .count_documents(mongodb::bson::doc! { "type": "ding.noted" })
        .await
        .expect("a count");
    assert_eq!(stored, count as u64);
}

#[tokio::test]
async fn documents_of_the_program_describe_its_events() {
    let service = with_bell().await;
    let document = service.anonymous().get("/api/docs-json").await.expect(200);
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["BellRangEvent"]["properties"]["type"]["const"],
        "bell.rang"
    );
    assert!(schemas["BellRing"].is_object());
    let asyncapi: Value =
        serde_json::from_str(&chat_service::api::catalogue::documents().json).expect("JSON");
    let messages = &asyncapi["components"]["messages"];
    for name in ["EventBellRang", "PushBellRang", "PushDing", "PushBellHint"] {
        assert!(messages[name].is_object(), "{name}");
    }
}
