//! The chat and the tokens of one plugin.
//!
//! The operations are carried out by the API of this process, which is built after the plugins: until then the calls fail as unavailable.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use chat_sdk::{
    UserId,
    plugin::{
        Bot, BoxFuture, Caller, Chat, ChatError, ChatRequest, TokenClaims, TokenError, Tokens,
    },
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    auth::Issuer,
    model::{
        host_commands::Answer,
        local_requests::{KeptBot, LocalCaller, LocalRequest, LocalRequests},
    },
};

/// Maximum number of operations of a plugin at once: a plugin that floods leaves room for the others.
const MAX_CALLS: usize = 64;
/// Maximum time that an operation waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Maximum number of bots of a plugin.
const MAX_BOTS: usize = 100;
/// Maximum length of a bot's name.
const MAX_BOT_NAME: usize = 32;

/// Executor of the operations of this process. It is set when the API is built, which has the plugins: so it is not owned here.
pub type Operations = Arc<OnceLock<Weak<dyn LocalRequests>>>;

/// Chat of one plugin.
pub struct PluginChat {
    plugin: &'static str,
    operations: Operations,
    calls: Semaphore,
    /// Names of the bots that this process has made sure of.
    bots: Mutex<HashSet<String>>,
}

impl PluginChat {
    /// Creates the chat of the plugin `plugin`.
    pub fn new(plugin: &'static str, operations: Operations) -> Self {
        Self {
            plugin,
            operations,
            calls: Semaphore::new(MAX_CALLS),
            bots: Mutex::default(),
        }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, ChatError> {
        match tokio::time::timeout(TURN, self.calls.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(ChatError::unavailable(
                "This plugin has too many operations in flight.",
            )),
        }
    }

    async fn keep_bot(&self, bot: Bot, overwrites: bool) -> Result<UserId, ChatError> {
        let id = bot_id(self.plugin, &bot.name)?;
        let is_kept = {
            let bots = self.bots.lock();
            if bots.len() >= MAX_BOTS && !bots.contains(&bot.name) {
                return Err(ChatError::invalid("name", "is that of one bot too many"));
            }
            bots.contains(&bot.name)
        };
        if is_kept && !overwrites {
            return Ok(id);
        }
        let name = bot.name.clone();
        let operations = in_process(&self.operations)?;
        let kept = KeptBot {
            plugin: self.plugin,
            id: id.clone(),
            bot,
            overwrites,
        };
        if let Err(error) = operations.keep_bot(kept).await {
            return Err(failure(&operations.refusal(error).await));
        }
        self.bots.lock().insert(name);
        Ok(id)
    }

    async fn caller(&self, caller: Caller) -> Result<LocalCaller, ChatError> {
        Ok(match caller {
            Caller::Host => LocalCaller::Host,
            Caller::User(user) => LocalCaller::ActingFor(user),
            Caller::Bot(name) => {
                let bot = Bot {
                    name,
                    ..Bot::default()
                };
                LocalCaller::User(self.keep_bot(bot, false).await?)
            }
        })
    }
}

/// Returns the beginning of the ids of a plugin's bots.
pub(super) fn bots_of(plugin: &str) -> String {
    format!("bot:{plugin}:")
}

/// Returns the id of a bot.
fn bot_id(plugin: &str, name: &str) -> Result<UserId, ChatError> {
    let is_fit = (1..=MAX_BOT_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let problem = "must have 1 to 32 lower-case letters, digits and -";
    let id = is_fit.then(|| format!("{}{name}", bots_of(plugin)).parse().ok());
    id.flatten()
        .ok_or_else(|| ChatError::invalid("name", problem))
}

/// Returns the executor, while the process runs.
pub(super) fn in_process(operations: &Operations) -> Result<Arc<dyn LocalRequests>, ChatError> {
    operations.get().and_then(Weak::upgrade).ok_or_else(|| {
        ChatError::unavailable("The operations are available while the process runs only.")
    })
}

/// Returns the error in a response.
pub(super) fn failure(answer: &Answer) -> ChatError {
    let seconds = answer
        .retry_after
        .as_ref()
        .and_then(|text| text.parse().ok());
    ChatError::read(
        answer.status,
        &answer.body,
        seconds.map(Duration::from_secs),
    )
}

fn outcome(answer: &Answer) -> Result<Value, ChatError> {
    if answer.is_error() {
        return Err(failure(answer));
    }
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&answer.body).map_err(|_| ChatError::read(500, b"", None))
}

impl Chat for PluginChat {
    fn request(&self, request: ChatRequest) -> BoxFuture<'_, Result<Value, ChatError>> {
        Box::pin(async move {
            let _permit = self.turn().await?;
            let caller = self.caller(request.caller).await?;
            let local = LocalRequest {
                caller,
                method: request.method,
                path: request.path,
                body: request.body,
                limit: request.limit,
            };
            let operations = in_process(&self.operations)?;
            outcome(&operations.answer(local).await)
        })
    }

    fn bot(&self, bot: Bot) -> BoxFuture<'_, Result<UserId, ChatError>> {
        Box::pin(async move {
            let _permit = self.turn().await?;
            self.keep_bot(bot, true).await
        })
    }
}

/// Tokens of this deployment.
pub struct PluginTokens(Option<Issuer>);

impl PluginTokens {
    /// Creates the tokens of a deployment; `issuer` is `None` without a shared secret.
    pub fn new(issuer: Option<Issuer>) -> Self {
        Self(issuer)
    }
}

impl Tokens for PluginTokens {
    fn issue(&self, claims: &TokenClaims) -> Result<String, TokenError> {
        let issuer = self.0.as_ref().ok_or(TokenError::NoSharedSecret)?;
        issuer.issue(claims)
    }

    fn can_issue(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_bots_are_strict() {
        assert_eq!(
            bot_id("polls", "helper-2").expect("an id").as_str(),
            "bot:polls:helper-2"
        );
        for name in ["", "A", "a:b", "a b", "x".repeat(33).as_str()] {
            assert!(bot_id("polls", name).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn calls_before_the_start_fail_as_unavailable() {
        let chat: Arc<dyn Chat> = Arc::new(PluginChat::new("polls", Operations::default()));
        let error = chat
            .get(Caller::Host, &["api", "health"], &[])
            .await
            .expect_err("there is no API yet");
        assert_eq!((error.status, error.code.as_str()), (503, "UNAVAILABLE"));
        assert!(error.is_temporary());
    }
}
