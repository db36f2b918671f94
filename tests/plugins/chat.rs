//! The chat for plugins: operations with the checks, limits and errors of REST, bots, tokens, and routes outside `/api`.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    ConversationId, UserId,
    commands::{
        Empty, OfConversation, OfMessage,
        messages::{DeleteMessage, EditMessage, SendMessage},
    },
    http::{ApiError, Json, Query},
    plugin::{
        Bot, BoxFuture, Caller, ChatError, Host, HostError, Plugin, PluginContext, PluginFactory,
        Role, Routes, RoutesDocument, TokenClaims,
    },
};
use poem_openapi::{OpenApi, Tags};
use serde_json::{Value, json};

use crate::support::{Client, Sandbox, Service, eventually};

/// Plugin that passes what a test asks for to the chat.
const PLUGIN: PluginFactory = PluginFactory {
    document: RoutesDocument::of::<RelayApi>,
    ..PluginFactory::new("relay", |_| Some(Box::new(|host| Arc::new(Relay { host }))))
};

struct Relay {
    host: Host,
}

#[derive(Tags)]
enum Tag {
    Relay,
}

struct RelayApi(Arc<Relay>);

/// Returns the caller that a test names: `host`, `bot:<name>` or the id of a user.
fn caller(name: &str) -> Caller {
    match name.strip_prefix("bot:") {
        Some(bot) => Caller::Bot(bot.to_owned()),
        None if name == "host" => Caller::Host,
        None => Caller::User(name.parse().expect("an id")),
    }
}

/// Returns the outcome of a call as a test reads it.
fn shown<T: serde::Serialize>(outcome: Result<T, ChatError>) -> Json<String> {
    let json = match outcome {
        Ok(answer) => json!({ "answer": answer }),
        Err(error) => json!({
            "status": error.status, "code": error.code, "message": error.message,
            "field": error.details.first().map(|fault| &fault.field),
            "retryAfter": error.retry_after.map(|time| time.as_secs()),
        }),
    };
    Json(json.to_string())
}

#[OpenApi(tag = "Tag::Relay")]
impl RelayApi {
    /// Send a message
    #[oai(path = "/api/relay/send", method = "get", operation_id = "sendRelay")]
    async fn send(
        &self,
        by: Query<String>,
        to: Query<String>,
        text: Query<String>,
    ) -> Result<Json<String>, ApiError> {
        Ok(shown(self.0.send(caller(&by.0), &to.0, &text.0).await))
    }

    /// Edit a message, then delete it
    #[oai(path = "/api/relay/end", method = "get", operation_id = "endRelay")]
    async fn end(&self, by: Query<String>, id: Query<String>) -> Result<Json<String>, ApiError> {
        let chat = &self.0.host.chat;
        let path = || OfMessage {
            message_id: id.0.parse().expect("an id"),
        };
        let edit = EditMessage {
            content: chat_sdk::Patch::Set("edited".to_owned()),
            ..EditMessage::default()
        };
        let edited = chat.call::<EditMessage>(caller(&by.0), path(), edit).await;
        let edited = match edited {
            Ok(message) => message,
            Err(error) => return Ok(shown::<Value>(Err(error))),
        };
        let deleted = chat
            .call::<DeleteMessage>(caller(&by.0), path(), Empty {})
            .await;
        Ok(shown(deleted.map(|_| edited)))
    }

    /// Read the messages of a conversation
    #[oai(path = "/api/relay/read", method = "get", operation_id = "readRelay")]
    async fn read(&self, by: Query<String>, of: Query<String>) -> Result<Json<String>, ApiError> {
        let path = ["api", "conversations", &of.0, "messages"];
        let read = self
            .0
            .host
            .chat
            .get(caller(&by.0), &path, &[("limit", "2")]);
        Ok(shown(read.await))
    }

    /// Set the profile of a bot
    #[oai(path = "/api/relay/bot", method = "get", operation_id = "setRelayBot")]
    async fn bot(
        &self,
        name: Query<String>,
        title: Query<String>,
    ) -> Result<Json<String>, ApiError> {
        let bot = Bot {
            name: name.0,
            display_name: Some(title.0),
            ..Bot::default()
        };
        Ok(shown(self.0.host.chat.bot(bot).await))
    }

    /// Issue a token
    #[oai(path = "/auth/relay", method = "get", operation_id = "loginRelay")]
    async fn login(&self, user: Query<String>) -> Result<Json<String>, ApiError> {
        let claims = TokenClaims {
            user: user.0.parse().expect("an id"),
            name: Some("Of the relay".to_owned()),
            roles: vec!["buyer".to_owned()],
            session_id: None,
            lifetime: Duration::from_secs(60),
        };
        Ok(Json(match self.0.host.tokens.issue(&claims) {
            Ok(token) => token,
            Err(error) => error.to_string(),
        }))
    }
}

impl Relay {
    async fn send(
        &self,
        caller: Caller,
        to: &str,
        text: &str,
    ) -> Result<chat_sdk::Message, ChatError> {
        let conversation_id: ConversationId = to.parse().expect("an id");
        let body = SendMessage {
            content: Some(text.to_owned()),
            ..SendMessage::default()
        };
        let path = OfConversation { conversation_id };
        self.host.chat.call::<SendMessage>(caller, path, body).await
    }
}

impl Plugin for Relay {
    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(RelayApi(self))
    }
}

async fn with_relay() -> Service {
    Service::builder()
        .env("PLUGINS", "relay")
        .env("RATE_LIMIT_MESSAGES", "3/60s")
        .start_with([PLUGIN])
        .await
}

/// Calls the plugin, and returns the outcome of its call to the chat.
async fn call(service: &Service, path: &str) -> Value {
    let text = service.internal().get(path).await.expect(200);
    serde_json::from_str(text.as_str().expect("a text")).expect("JSON")
}

fn with_token(service: &Service, token: &str) -> Client {
    let anonymous = service.anonymous();
    anonymous.with("Authorization", &format!("Bearer {token}"))
}

fn now_seconds() -> i64 {
    chat_sdk::Timestamp::now().as_millis() / 1000
}

#[tokio::test]
async fn a_plugin_acts_as_the_host_and_as_users_with_the_checks_of_rest() {
    let service = with_relay().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let eve = service.user("eve").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;

    let send =
        |by: &str, text: &str| format!("/api/relay/send?by={by}&to={conversation}&text={text}");
    let sent = call(&service, &send("alice", "hello")).await;
    assert_eq!(sent["answer"]["senderId"], "alice", "{sent}");
    let frame = socket.next("message:new").await;
    assert_eq!(frame["data"]["id"], sent["answer"]["id"]);
    let system = call(&service, &send("host", "maintenance")).await;
    assert_eq!(system["answer"]["senderId"], "system", "{system}");

    // A stranger gets what REST returns.
    let refused = call(&service, &send("eve", "hello")).await;
    let path = format!("/api/conversations/{conversation}/messages");
    let rest = eve.post(&path, json!({ "content": "hello" })).await;
    let rest = rest.expect_error(404, "NOT_FOUND");
    assert_eq!(
        (&refused["status"], &refused["code"], &refused["message"]),
        (&json!(404), &json!("NOT_FOUND"), &rest["message"])
    );
    let long = "x".repeat(5000);
    let faulty = call(&service, &send("nobody", &long)).await;
    assert_eq!(
        (&faulty["status"], &faulty["field"]),
        (&json!(400), &json!("X-Acting-User"))
    );

    let id = sent["answer"]["id"].as_str().expect("an id");
    let ended = call(&service, &format!("/api/relay/end?by=bob&id={id}")).await;
    assert_eq!(ended["code"], "FORBIDDEN", "{ended}");
    let ended = call(&service, &format!("/api/relay/end?by=alice&id={id}")).await;
    assert_eq!(ended["answer"]["content"], "edited", "{ended}");
    socket.next("message:updated").await;
    socket.next("message:deleted").await;

    let page = call(
        &service,
        &format!("/api/relay/read?by=bob&of={conversation}"),
    )
    .await;
    assert_eq!(
        page["answer"]["messages"].as_array().map(Vec::len),
        Some(2),
        "{page}"
    );
    let hidden = call(
        &service,
        &format!("/api/relay/read?by=eve&of={conversation}"),
    )
    .await;
    assert_eq!(hidden["status"], 404);
    let odd = call(&service, "/api/relay/read?by=bob&of=..%2F..%2Fstatus").await;
    assert_eq!(odd["status"], 404, "{odd}");
}

#[tokio::test]
async fn a_bot_is_a_user_with_limits_that_nobody_can_log_in_as() {
    let service = with_relay().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let host = service.internal();
    let conversation = service.group(&alice, &[&bob]).await;
    let send = format!("/api/relay/send?by=bot:helper&to={conversation}&text=hi");
    // It is created, and is no member yet.
    assert_eq!(call(&service, &send).await["status"], 404);
    let id = "bot:relay:helper";
    let bot = host.get("/api/users/bot:relay:helper").await.expect(200);
    assert_eq!(
        (&bot["name"], &bot["roles"]),
        (&json!("helper"), &json!(["bot"]))
    );
    assert_eq!(
        bot["metadata"]["bot"],
        json!({ "plugin": "relay", "name": "helper" })
    );
    let add = format!("/api/conversations/{conversation}/participants");
    alice
        .post(&add, json!({ "userIds": [id] }))
        .await
        .expect(201);
    let sent = call(&service, &send).await;
    assert_eq!(sent["answer"]["senderId"], id, "{sent}");

    // It is counted as a user is.
    assert!(call(&service, &send).await["answer"].is_object());
    let limited = call(&service, &send).await;
    assert_eq!(
        (&limited["status"], &limited["code"]),
        (&json!(429), &json!("RATE_LIMITED"))
    );
    assert!(limited["retryAfter"].as_u64() > Some(0), "{limited}");

    // No token of its id works, whatever the host does with it.
    let refused = || async {
        let token = service.token(id).claim("iat", json!(now_seconds())).sign();
        let answer = with_token(&service, &token).get("/api/users/me").await;
        answer.expect_error(401, "UNAUTHORIZED");
    };
    refused().await;
    let profile = json!({ "externalUserId": id, "name": "Renamed" });
    host.post("/api/users/sync", profile.clone())
        .await
        .expect(200);
    refused().await;
    let path = "/api/users/bot:relay:helper/disconnect";
    host.post(path, json!({})).await.expect(204);
    refused().await;
    // Its profile is that of the host now, until the plugin sets it.
    let renamed = host.get("/api/users/bot:relay:helper").await.expect(200);
    assert_eq!(renamed["name"], "Renamed");
    let set = call(&service, "/api/relay/bot?name=helper&title=Helper").await;
    assert_eq!(set["answer"], id, "{set}");
    let again = host.get("/api/users/bot:relay:helper").await.expect(200);
    assert_eq!(again["name"], "Helper");
    // A user of the host is never taken for a bot.
    let taken = json!({ "externalUserId": "bot:relay:taken", "name": "A person" });
    host.post("/api/users/sync", taken).await.expect(201);
    let conflict = call(&service, "/api/relay/bot?name=taken&title=x").await;
    assert_eq!(conflict["code"], "CONFLICT", "{conflict}");
    let invalid = call(&service, "/api/relay/bot?name=A%20b&title=x").await;
    assert_eq!(invalid["code"], "VALIDATION_ERROR", "{invalid}");
    host.delete("/api/users/bot:relay:helper").await.expect(204);
    refused().await;
    assert_eq!(
        call(&service, "/api/relay/bot?name=helper&title=x").await["code"],
        "CONFLICT"
    );
}

#[tokio::test]
async fn a_plugin_issues_tokens_from_a_route_outside_the_api() {
    let service = with_relay().await;
    let token = service
        .anonymous()
        .get("/auth/relay?user=carol")
        .await
        .expect(200);
    let carol = with_token(&service, token.as_str().expect("a token"));
    let me = carol.get("/api/users/me").await.expect(200);
    assert_eq!(
        (&me["name"], &me["roles"]),
        (&json!("Of the relay"), &json!(["buyer"]))
    );
    let document = service.anonymous().get("/api/docs-json").await.expect(200);
    assert!(document["paths"]["/auth/relay"]["get"].is_object());
}

/// Worker that sends a message as its bot once it runs.
const WORKER: PluginFactory = PluginFactory::new("worker", |settings| {
    #[derive(Default, serde::Deserialize)]
    struct Table {
        to: String,
    }
    let table: Table = settings.table()?;
    Some(Box::new(move |host| {
        Arc::new(Worker {
            host,
            to: table.to.parse().expect("an id"),
        })
    }))
});

struct Worker {
    host: Host,
    to: UserId,
}

impl Plugin for Worker {
    fn roles(&self) -> &'static [Role] {
        &[Role::Webhooks]
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        use chat_sdk::commands::messages::SendDirectMessage;
        Box::pin(async move {
            let body = SendDirectMessage {
                receiver_id: self.to.as_str().parse().expect("an id"),
                message: SendMessage {
                    content: Some("from the worker".to_owned()),
                    client_message_id: Some("once".to_owned()),
                    ..SendMessage::default()
                },
            };
            let bot = Caller::Bot("greeter".to_owned());
            let sent = self
                .host
                .chat
                .call::<SendDirectMessage>(bot, Empty {}, body);
            if let Err(error) = sent.await {
                return Err(HostError::Unavailable(error.to_string()));
            }
            context.beat_while(context.stop.cancelled()).await;
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_process_without_the_api_carries_out_operations_too() {
    let place = Sandbox::new();
    let front = Service::builder()
        .place_of(&place)
        .roles("api,ws")
        .env("PLUGINS", "none")
        .start()
        .await;
    let dave = front.user("dave").await;
    let mut socket = dave.connect().await;
    let worker = Service::builder()
        .place_of(&place)
        .roles("webhooks")
        .env("PLUGINS", "worker")
        .toml("[plugins.worker]\nto = \"dave\"\n")
        .start_with([WORKER])
        .await;
    let frame = socket.next("message:new").await;
    assert_eq!(frame["data"]["content"], "from the worker");
    assert_eq!(frame["data"]["senderId"], "bot:worker:greeter");
    // A deletion reaches the process that only works, too.
    front.internal().delete("/api/users/dave").await.expect(204);
    eventually("it is ready", || async {
        let health = worker.anonymous().get("/health/ready").await;
        (health.status == 200).then_some(())
    })
    .await;
}
