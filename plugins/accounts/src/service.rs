//! Calls to the core: users, sessions and tokens.

use std::time::Duration;

use chat_sdk::{
    Timestamp, UserId,
    commands::RateLimit,
    http::ApiError,
    plugin::{Caller, ChatError, ChatRequest, Host, TokenClaims},
};
use serde_json::{Value, json};

use crate::accounts::Account;

/// Lifetime of an access token.
pub const ACCESS_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Messages of a deleted user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// They stay, without their sender.
    Anonymise,
    /// They are erased.
    Erase,
}

fn failed(error: ChatError) -> ApiError {
    if error.is_temporary() {
        return ApiError::Unavailable(
            "The chat did not answer in time; repeat the request.".into(),
        );
    }
    ApiError::internal(format!("the core refused a call with {}", error.status))
}

async fn call(
    host: &Host,
    method: &'static str,
    path: String,
    body: Option<Value>,
) -> Result<(), ChatError> {
    let request = ChatRequest {
        caller: Caller::Host,
        method,
        path,
        body: body.map(|body| body.to_string()).unwrap_or_default().into(),
        limit: RateLimit::Api,
    };
    host.chat.request(request).await.map(drop)
}

/// Creates the user of an account in the chat, or overwrites the profile.
pub async fn sync_user(host: &Host, account: &Account) -> Result<(), ApiError> {
    let name = account.name.as_ref().or(account.username.as_ref());
    let mut user = json!({
        "externalUserId": account.id,
        "name": name.map_or("New user", String::as_str),
        "roles": account.roles,
        "metadata": {},
    });
    if let Some(username) = &account.username {
        user["metadata"]["username"] = json!(username);
    }
    let synced = call(host, "POST", "/api/users/sync".to_owned(), Some(user)).await;
    synced.map_err(failed)
}

/// Ends the sockets and access tokens of a user: of one session, or all of them. A user that the chat does not know has none.
pub async fn disconnect(host: &Host, user: &str, session: Option<&str>) -> Result<(), ApiError> {
    let query = session.map_or_else(String::new, |id| format!("?sessionId={id}"));
    let path = format!("/api/users/{user}/disconnect{query}");
    match call(host, "POST", path, None).await {
        Err(error) if error.status == 404 => Ok(()),
        ended => ended.map_err(failed),
    }
}

/// Deletes a user from the chat.
pub async fn delete_user(host: &Host, user: &str, messages: Messages) -> Result<(), ApiError> {
    let messages = match messages {
        Messages::Anonymise => "anonymise",
        Messages::Erase => "erase",
    };
    let path = format!("/api/users/{user}?messages={messages}");
    match call(host, "DELETE", path, None).await {
        Err(error) if error.status == 404 => Ok(()),
        deleted => deleted.map_err(failed),
    }
}

/// Issues an access token of a session.
///
/// A token of the same second as a revocation would be refused, so it waits for the next second then.
pub async fn issue(host: &Host, account: &Account, session_id: &str) -> Result<String, ApiError> {
    let now = Timestamp::now().as_millis();
    let next_second = (account.revoked_at / 1000 + 1) * 1000;
    if account.revoked_at > 0 && (now..now + 1000).contains(&next_second) {
        let wait = u64::try_from(next_second - now).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let user: UserId = account
        .id
        .parse()
        .map_err(|_| ApiError::internal("the id of an account is not that of a user"))?;
    let claims = TokenClaims {
        user,
        name: account.name.clone(),
        roles: account.roles.clone(),
        lifetime: ACCESS_LIFETIME,
        session_id: Some(session_id.to_owned()),
    };
    host.tokens
        .issue(&claims)
        .map_err(|error| ApiError::internal(error.to_string()))
}
