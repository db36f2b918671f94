//! Bots: users of plugins that nobody can log in as.

use chat_sdk::{Metadata, plugin::Bot};
use serde_json::{Map, Value, json};

use super::{
    Context,
    known_users::Revocation,
    users::{self, Sync},
};
use crate::model::{
    command::{Command, Request},
    entry::{Disconnection, Profile},
    error::{DomainError, Result},
    local_requests::KeptBot,
    state::{NO_TOKENS, UserFields},
};

/// Role and key of the metadata that mark a bot.
const MARK: &str = "bot";

/// Makes sure that a bot exists and that no token of it is valid.
///
/// # Errors
/// [`DomainError::Validation`] if the profile is invalid, [`DomainError::Conflict`] if the id belongs to another user or was deleted by the host.
pub async fn keep(ctx: &Context, kept: KeptBot) -> Result<()> {
    let (id, profile) = (kept.id, profile(kept.plugin, kept.bot));
    let found = ctx.store.find_user_fields(&id).await?;
    match &found {
        Some(fields) if fields.is_deleted => {
            return Err(DomainError::Conflict(
                "The host has deleted this bot.".into(),
            ));
        }
        Some(fields) if !is_bot(fields, &profile) => {
            return Err(DomainError::Conflict(
                "The id of this bot belongs to a user.".into(),
            ));
        }
        _ => {}
    }
    if found.is_none() || kept.overwrites {
        let id = id.clone();
        users::sync(ctx, Sync { id, profile }).await?;
    }
    if found.is_none_or(|fields| fields.tokens_valid_from < NO_TOKENS) {
        let command = Command::DisconnectUser(Disconnection {
            tokens_valid_from: NO_TOKENS,
            session_id: None,
        });
        ctx.append(Request::new(id.clone(), None, command)).await?;
    }
    ctx.known_users.revoke(&id, Revocation::Before(NO_TOKENS));
    Ok(())
}

/// True if the user is this bot. The host may have overwritten its profile, but its tokens stay revoked. A start may have ended between the two changes.
fn is_bot(fields: &UserFields, profile: &Profile) -> bool {
    let mark = |profile: &Profile| {
        let metadata = profile.metadata.as_ref()?;
        metadata.as_map().get(MARK).cloned()
    };
    fields.tokens_valid_from >= NO_TOKENS || mark(&fields.profile) == mark(profile)
}

fn profile(plugin: &str, bot: Bot) -> Profile {
    let mut metadata: Map<String, Value> = bot
        .metadata
        .map(|metadata| metadata.as_map().clone())
        .unwrap_or_default();
    metadata.insert(
        MARK.to_owned(),
        json!({ "plugin": plugin, "name": bot.name }),
    );
    Profile {
        name: Some(bot.display_name.unwrap_or(bot.name)),
        avatar_url: bot.avatar_url,
        roles: vec![MARK.to_owned()],
        metadata: Some(Metadata::from(metadata)),
        ..Profile::default()
    }
}
