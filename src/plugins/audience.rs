//! Recipients of messages for plugins: calls of the domain, with errors in the terms of plugins.

use std::sync::OnceLock;

use chat_sdk::{
    ConversationId, UserId,
    plugin::{Audience, BoxFuture, HostError, News, NewsQuery},
};

use crate::domain::{Context, audience};

/// Answers of the domain to plugins. The domain's context is built after the plugins, and only in processes that serve.
#[derive(Default)]
pub struct PluginAudience(OnceLock<Context>);

impl PluginAudience {
    /// Sets the context; calls before fail.
    pub fn set(&self, ctx: &Context) {
        let _ = self.0.set(ctx.clone());
    }

    fn context(&self) -> Result<&Context, HostError> {
        self.0.get().ok_or_else(|| {
            HostError::Unavailable("members are not known before the process serves".to_owned())
        })
    }
}

fn unavailable(error: impl std::fmt::Display) -> HostError {
    HostError::Unavailable(error.to_string())
}

impl Audience for PluginAudience {
    fn newest_seq<'a>(
        &'a self,
        conversation: &'a ConversationId,
    ) -> BoxFuture<'a, Result<Option<u64>, HostError>> {
        Box::pin(async move {
            let found = audience::newest_seq(self.context()?, conversation).await;
            found.map_err(unavailable)
        })
    }

    fn news(&self, query: NewsQuery) -> BoxFuture<'_, Result<Option<News>, HostError>> {
        Box::pin(async move {
            let news = audience::news(self.context()?, query).await;
            news.map_err(unavailable)
        })
    }

    fn missing_users(&self, users: Vec<UserId>) -> BoxFuture<'_, Result<Vec<UserId>, HostError>> {
        Box::pin(async move {
            let missing = audience::missing_users(self.context()?, users).await;
            missing.map_err(unavailable)
        })
    }
}
