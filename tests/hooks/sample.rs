//! A plugin whose hooks do what the text of a message says, and record what they were asked.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    ConversationType, Patch, Role as MemberRole,
    commands::{OfConversation, messages::SendMessage},
    http::{ApiError, AsHost, Json},
    plugin::{
        Bot, BoxFuture, Caller, FailurePolicy, Hook, HookChange, HookData, HookFault, HookFilter,
        HookPoint, HookRequest, HookSpec, HookVerdict, Host, Plugin, PluginFactory, Routes,
        RoutesDocument,
    },
};
use parking_lot::Mutex;
use poem_openapi::{OpenApi, Tags};
use serde::Deserialize;

use crate::support::{Builder, Service};

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    document: RoutesDocument::of::<SampleApi>,
    ..PluginFactory::new("hooked", |settings| {
        let table: Table = settings.table()?;
        Some(Box::new(move |host| {
            Arc::new(Sample {
                host,
                hooks: table.hooks,
                asked: Arc::default(),
            })
        }))
    })
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    hooks: Vec<Settings>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    name: String,
    points: Vec<String>,
    timeout_ms: Option<u64>,
    closed: bool,
    order: i32,
    shadow: bool,
    types: Vec<ConversationType>,
    roles: Vec<MemberRole>,
    bots: Vec<String>,
    /// Word before the action that the hook follows: `words:refuse`. Without it the plain action.
    prefix: String,
}

impl Settings {
    fn spec(&self) -> HookSpec {
        let points: Vec<HookPoint> = match self.points.as_slice() {
            [] => vec![HookPoint::MessageBeforeSend],
            points => points
                .iter()
                .map(|point| point.parse().expect("a point"))
                .collect(),
        };
        HookSpec {
            timeout: Duration::from_millis(self.timeout_ms.unwrap_or(2000)),
            failure: if self.closed {
                FailurePolicy::Closed
            } else {
                FailurePolicy::Open
            },
            order: self.order,
            is_shadow: self.shadow,
            filter: HookFilter {
                conversation_types: self.types.clone(),
                roles: self.roles.clone(),
            },
            bots: self
                .bots
                .iter()
                .map(|id| id.parse().expect("an id"))
                .collect(),
            ..HookSpec::new(&self.name, &points)
        }
    }
}

struct Sample {
    host: Host,
    hooks: Vec<Settings>,
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Tags)]
enum Tag {
    Hooked,
}

struct SampleApi(Arc<Sample>);

#[OpenApi(tag = "Tag::Hooked")]
impl SampleApi {
    /// List what the hooks were asked: name, point and text
    #[oai(
        path = "/api/admin/hooked/asked",
        method = "get",
        operation_id = "listHookedAsked"
    )]
    async fn asked(&self, _host: AsHost) -> Result<Json<Vec<String>>, ApiError> {
        Ok(Json(self.0.asked.lock().clone()))
    }

    /// Create the bot, and return its id
    #[oai(
        path = "/api/admin/hooked/bot",
        method = "post",
        operation_id = "createHookedBot"
    )]
    async fn bot(&self, _host: AsHost) -> Result<Json<String>, ApiError> {
        let bot = Bot {
            name: "helper".to_owned(),
            ..Bot::default()
        };
        let id = self.0.host.chat.bot(bot).await.expect("a bot");
        Ok(Json(id.to_string()))
    }
}

impl Plugin for Sample {
    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(SampleApi(self))
    }

    fn hooks(self: Arc<Self>) -> Vec<Arc<dyn Hook>> {
        let hooks = self.hooks.iter().map(|settings| {
            Arc::new(Obedient {
                host: self.host.clone(),
                settings: settings.clone(),
                asked: Arc::clone(&self.asked),
            }) as Arc<dyn Hook>
        });
        hooks.collect()
    }
}

/// A hook that obeys the text: `refuse`, `hold`, `change`, `break`, `fail`, `panic`, `stuck`, `slow`, `echo`.
struct Obedient {
    host: Host,
    settings: Settings,
    asked: Arc<Mutex<Vec<String>>>,
}

fn text_of(data: &HookData) -> String {
    match data {
        HookData::Message(message) => message.content.clone(),
        HookData::Edit(edit) => edit.content.clone(),
        HookData::Reaction(reaction) => reaction.emoji.clone(),
        HookData::Conversation(conversation) => conversation.name.clone().unwrap_or_default(),
        HookData::Participants(participants) => {
            let ids: Vec<&str> = participants.user_ids.iter().map(|id| id.as_str()).collect();
            ids.join(",")
        }
        HookData::Connection(connection) => connection.user_id.to_string(),
    }
}

impl Hook for Obedient {
    fn spec(&self) -> HookSpec {
        self.settings.spec()
    }

    fn ask(
        self: Arc<Self>,
        request: HookRequest,
    ) -> BoxFuture<'static, Result<HookVerdict, HookFault>> {
        let text = text_of(&request.data);
        let (name, point) = (&self.settings.name, request.point.as_str());
        self.asked.lock().push(format!("{name} {point} {text}"));
        let wants = |action: &str| text.contains(&format!("{}{action}", self.settings.prefix));
        let content = if wants("break") {
            "x".repeat(20_000)
        } else {
            text.replace("change", "changed")
        };
        let change = HookChange {
            content: Patch::Set(content),
            ..HookChange::default()
        };
        assert!(!wants("panic"), "as the text says");
        let verdict = if wants("refuse") {
            Ok(HookVerdict::Refuse {
                code: "BAD_WORD".to_owned(),
                reason: format!("The hook {name} does not like it."),
            })
        } else if wants("hold") {
            Ok(HookVerdict::Hold {
                reason: "Somebody looks at it.".to_owned(),
            })
        } else if wants("change") && !text.contains("changed") || wants("break") {
            Ok(HookVerdict::Change(Box::new(change)))
        } else if wants("fail") {
            Err(HookFault::new("as the text says"))
        } else {
            Ok(HookVerdict::Pass)
        };
        let pause = match () {
            () if wants("stuck") => Duration::from_secs(3600),
            () if wants("slow") => Duration::from_millis(300),
            () => Duration::ZERO,
        };
        let echo = wants("echo").then_some(request.conversation_id).flatten();
        let chat = Arc::clone(&self.host.chat);
        Box::pin(async move {
            if let Some(conversation_id) = echo {
                let message = SendMessage {
                    content: Some("echo by the bot".to_owned()),
                    ..SendMessage::default()
                };
                let path = OfConversation { conversation_id };
                let bot = Caller::Bot("helper".to_owned());
                let sent = chat.call::<SendMessage>(bot, path, message).await;
                sent.map_err(|error| HookFault::new(error.to_string()))?;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            verdict
        })
    }
}

/// Settings of a service with these hooks, as the table of the plugin.
pub fn builder(hooks: &str) -> Builder {
    Service::builder()
        .env("PLUGINS", "hooked")
        .toml(&format!("[plugins.hooked]\nhooks = [{hooks}]\n"))
}

/// Starts a service with these hooks.
pub async fn service(hooks: &str) -> Service {
    builder(hooks).start_with([PLUGIN]).await
}

/// Returns what the hooks of a service were asked.
pub async fn asked(service: &Service) -> Vec<String> {
    let asked = service.internal().get("/api/admin/hooked/asked").await;
    serde_json::from_value(asked.expect(200)).expect("texts")
}
