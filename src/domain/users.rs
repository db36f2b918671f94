//! Users: profiles that the host syncs, and changes by the users themselves.

use std::collections::HashMap;

use chat_sdk::{Timestamp, User, UserId, commands::users::UpdateUser, ids::is_session_id, text};
use futures_util::{StreamExt, stream};

use super::{
    Context, erasure,
    known_users::{Revocation, TokenIssue},
};
use crate::model::{
    command::{Command, Request},
    entry::{Disconnection, Profile},
    error::{DomainError, Faults, FieldError, Result},
    page::{Page, PageRequest},
    state::UserFacts,
    users::{changed, check_profile},
};

/// Maximum number of users in one batch.
pub const MAX_BATCH: usize = 1000;
/// Maximum length of a search query in characters.
const MAX_QUERY: usize = 100;
/// Number of users of a batch that are written concurrently: the size of a group commit.
const BATCH_CONCURRENCY: usize = 128;

/// Data of one user that the host syncs.
#[derive(Debug, Clone, PartialEq)]
pub struct Sync {
    /// Id of the user.
    pub id: UserId,
    /// Profile of the user.
    pub profile: Profile,
}

/// Result of the sync of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synced {
    /// The user was created.
    Created,
    /// The profile was changed.
    Updated,
    /// The profile was already the same.
    Unchanged,
}

/// Result of the check of a valid token against revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The token is accepted.
    Admitted,
    /// The user was disconnected or deleted after the token was issued.
    Revoked,
}

/// Makes sure that the user of a valid token exists.
///
/// Creates a new user with `profile`. A user that the host deleted stays deleted until the host syncs them again.
///
/// # Errors
/// [`DomainError::Unavailable`] if the store does not answer.
pub async fn admit(
    ctx: &Context,
    user: &UserId,
    token: &TokenIssue,
    profile: Profile,
) -> Result<Admission> {
    if ctx.known_users.accepts(user, token).is_none() {
        match ctx.store.find_user_fields(user).await? {
            Some(fields) if fields.is_deleted => return Ok(Admission::Revoked),
            Some(fields) => ctx.known_users.learn(user.clone(), fields.facts()),
            None => {
                let command = Command::EnsureUser(profile);
                ctx.append(Request::new(user.clone(), Some(user.clone()), command))
                    .await?;
                // Since the first read another process may have created the user, and the host may have revoked tokens.
                match ctx.store.find_user_fields(user).await? {
                    Some(fields) if !fields.is_deleted => {
                        ctx.known_users.learn(user.clone(), fields.facts());
                    }
                    _ => return Ok(Admission::Revoked),
                }
            }
        }
    }
    Ok(if is_admitted(ctx, user, token) {
        Admission::Admitted
    } else {
        Admission::Revoked
    })
}

/// Returns true if this process has learned nothing since [`admit`] that invalidates the token.
pub fn is_admitted(ctx: &Context, user: &UserId, token: &TokenIssue) -> bool {
    !ctx.known_users.refuses(user, token)
}

/// Closes the sockets and event streams of `user`, and revokes the tokens issued until now: all, or those of the session with the id `session`.
///
/// # Errors
/// [`DomainError::NotFound`]; [`DomainError::Validation`] if `session` cannot be the id of a session.
pub async fn disconnect(ctx: &Context, user: &UserId, session: Option<String>) -> Result<()> {
    if session.as_deref().is_some_and(|id| !is_session_id(id)) {
        let problem = "must be 1 to 128 characters of visible ASCII";
        return Err(DomainError::invalid("sessionId", problem));
    }
    let tokens_valid_from = Timestamp::now().as_millis();
    let command = Command::DisconnectUser(Disconnection {
        tokens_valid_from,
        session_id: session.clone(),
    });
    ctx.append(Request::new(user.clone(), None, command))
        .await?;
    let revocation = match session {
        Some(id) => Revocation::Session(id),
        None => Revocation::Before(tokens_valid_from),
    };
    ctx.known_users.revoke(user, revocation);
    Ok(())
}

/// Creates or overwrites a user with the host's data. Returns the user and the result.
///
/// # Errors
/// [`DomainError::Validation`] with every error of the data.
pub async fn sync(ctx: &Context, sync: Sync) -> Result<(User, Synced)> {
    if !sync.id.names_a_user() {
        return Err(DomainError::invalid(
            "externalUserId",
            "must not be @all or @here, which mention many users",
        ));
    }
    check_profile(&sync.profile)?;
    let before = ctx.store.find_user_fields(&sync.id).await?;
    let was_known = before.as_ref().is_some_and(|fields| !fields.is_deleted);
    let deleted = before.filter(|fields| fields.is_deleted);
    if deleted.is_some() {
        erasure::check_finished(ctx, &sync.id).await?;
        erasure::sever(ctx, &sync.id).await?;
    }
    let revives = deleted.map(|fields| fields.updated_at);
    let outcome = ctx
        .append(Request::new(
            sync.id.clone(),
            None,
            Command::SyncUser {
                profile: sync.profile,
                revives,
            },
        ))
        .await?;
    let synced = match (outcome.entry, was_known) {
        (None, _) => Synced::Unchanged,
        (Some(_), false) => Synced::Created,
        (Some(_), true) => Synced::Updated,
    };
    Ok((get(ctx, &sync.id).await?, synced))
}

/// Runs [`sync`] for each item separately; the results are in the order of the items.
pub async fn sync_batch(ctx: &Context, items: Vec<Sync>) -> Vec<Result<(User, Synced)>> {
    stream::iter(items)
        .map(|item| sync(ctx, item))
        .buffered(BATCH_CONCURRENCY)
        .collect()
        .await
}

/// Returns one user.
///
/// # Errors
/// [`DomainError::NotFound`].
pub async fn get(ctx: &Context, user: &UserId) -> Result<User> {
    ctx.store
        .find_user(user)
        .await?
        .ok_or_else(DomainError::no_user)
}

/// Returns the key of a name search. Adds an error if the query is blank or too long.
pub(super) fn check_query(query: &str, faults: &mut Faults) -> String {
    let query = query.trim();
    let key = text::search_key(query);
    faults.when(
        key.is_empty() || query.chars().count() > MAX_QUERY,
        "q",
        "must have 1 to 100 characters, one of them visible",
    );
    key
}

/// Returns the users whose id, name or a word of it begins with `query`.
///
/// [`text::search_key`] defines which texts match.
///
/// # Errors
/// [`DomainError::Validation`] if the query is empty or too long.
pub async fn search(ctx: &Context, query: &str, request: &PageRequest) -> Result<Page<User>> {
    let mut faults = Faults::default();
    let key = check_query(query, &mut faults);
    faults.into_result()?;
    ctx.store.find_user_page(&key, request).await
}

/// Changes the caller's own profile.
///
/// # Errors
/// [`DomainError::Validation`] with every error of the change.
pub async fn change(ctx: &Context, user: &UserId, update: UpdateUser) -> Result<User> {
    check_profile(&changed(Profile::default(), &update))?;
    ctx.append(Request::new(
        user.clone(),
        Some(user.clone()),
        Command::UpdateUser(update),
    ))
    .await?;
    get(ctx, user).await
}

/// Fails if a list has users unknown to the service.
///
/// # Errors
/// [`DomainError::Validation`] with `field[index]` for every unknown user (`field` alone for a single `receiverId`).
pub async fn check_known(ctx: &Context, field: &str, ids: &[UserId]) -> Result<()> {
    let missing = find_unknown(ctx, field, ids).await?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(DomainError::Validation(missing))
    }
}

/// Returns one error for each user of a list that is unknown to the service.
///
/// # Errors
/// [`DomainError::Unavailable`].
pub(super) async fn find_unknown(
    ctx: &Context,
    field: &str,
    ids: &[UserId],
) -> Result<Vec<FieldError>> {
    let asked: Vec<&UserId> = ids
        .iter()
        .filter(|id| !ctx.known_users.contains(id))
        .collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let found: HashMap<UserId, UserFacts> = ctx.store.find_existing_users(&asked).await?;
    for (id, facts) in &found {
        ctx.known_users.learn(id.clone(), facts.clone());
    }
    Ok(ids
        .iter()
        .enumerate()
        .filter(|(_, id)| !found.contains_key(*id) && !ctx.known_users.contains(id))
        .map(|(index, _)| {
            let place = if field.ends_with("Ids") {
                format!("{field}[{index}]")
            } else {
                field.to_owned()
            };
            FieldError::new(place, UNKNOWN)
        })
        .collect())
}

/// Returns the incarnation of each user's id, as far as this process knows; 0 for unknown users.
///
/// # Errors
/// [`DomainError::Unavailable`].
pub(super) async fn incarnations(ctx: &Context, users: &[&UserId]) -> Result<Vec<u64>> {
    let known: Vec<Option<u64>> = users
        .iter()
        .map(|user| ctx.known_users.incarnation(user))
        .collect();
    if let Some(known) = known.iter().copied().collect::<Option<Vec<u64>>>() {
        return Ok(known);
    }
    let found = ctx.store.find_existing_users(users).await?;
    for (user, facts) in &found {
        ctx.known_users.learn(user.clone(), facts.clone());
    }
    // A direct conversation with a deleted user stays with its other user.
    let deleted = if users.iter().all(|user| found.contains_key(*user)) {
        HashMap::new()
    } else {
        ctx.store.find_incarnations(users).await?
    };
    let incarnation = |user: &UserId| match found.get(user) {
        Some(facts) => facts.incarnation,
        None => deleted.get(user).copied().unwrap_or_default(),
    };
    Ok(users.iter().map(|user| incarnation(user)).collect())
}

/// Error text for an unknown user.
pub(super) const UNKNOWN: &str = "is not a known user; sync the user first";

/// Returns the error for one unknown user.
pub(super) fn unknown(field: &str) -> DomainError {
    DomainError::invalid(field, UNKNOWN)
}
