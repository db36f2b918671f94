//! Users: profiles that the host syncs, and changes by the users themselves.

use std::collections::HashMap;

use chat_sdk::{
    Timestamp, User, UserId,
    text::{self, Shape},
};
use futures_util::{StreamExt, stream};

use super::{
    Context, UserFacts,
    command::{Command, Decision, ProfilePatch, Request},
    conversations::{MAX_URL, check_url, is_program},
    entry::{Body, Disconnection, Profile},
    erasure,
    error::{DomainError, Faults, FieldError, Result},
    messages::check_metadata,
    page::{Page, PageRequest},
    state::{UserFields, UserState},
};

/// Maximum number of users in one batch.
pub const MAX_BATCH: usize = 1000;
/// Maximum length of a name or an e-mail address in characters.
const MAX_TEXT: usize = 320;
/// Maximum length of a search query in characters.
const MAX_QUERY: usize = 100;
/// Maximum length of a role in characters.
const MAX_ROLE: usize = 100;
/// Maximum number of roles of a user.
const MAX_ROLES: usize = 50;
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

/// Makes sure that the user of a valid token, issued at `issued_at` (seconds since 1970), exists.
///
/// Creates a new user with `profile`. A user that the host deleted stays deleted until the host syncs them again.
///
/// # Errors
/// [`DomainError::Unavailable`] if the store does not answer.
pub async fn admit(
    ctx: &Context,
    user: &UserId,
    issued_at: Option<i64>,
    profile: Profile,
) -> Result<Admission> {
    if ctx.known_users.accepts(user, issued_at).is_none() {
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
    Ok(match is_admitted(ctx, user, issued_at) {
        true => Admission::Admitted,
        false => Admission::Revoked,
    })
}

/// Returns true if this process has learned nothing since [`admit`] that invalidates the token.
pub fn is_admitted(ctx: &Context, user: &UserId, issued_at: Option<i64>) -> bool {
    !ctx.known_users.refuses(user, issued_at)
}

/// Closes all sockets and event streams of `user`, and revokes the tokens issued until now.
///
/// # Errors
/// [`DomainError::NotFound`].
pub async fn disconnect(ctx: &Context, user: &UserId) -> Result<()> {
    let tokens_valid_from = Timestamp::now().as_millis();
    let command = Command::DisconnectUser(Disconnection { tokens_valid_from });
    ctx.append(Request::new(user.clone(), None, command))
        .await?;
    ctx.known_users.revoke(user, tokens_valid_from);
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
pub async fn change(ctx: &Context, user: &UserId, patch: ProfilePatch) -> Result<User> {
    let mut faults = Faults::default();
    faults.text("name", patch.name.value(), Shape::Line, MAX_TEXT);
    check_url("avatarUrl", patch.avatar_url.value(), &mut faults);
    check_metadata(patch.metadata.value(), &mut faults);
    faults.into_result()?;
    ctx.append(Request::new(
        user.clone(),
        Some(user.clone()),
        Command::ChangeProfile(patch),
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
        ctx.known_users.learn(id.clone(), *facts);
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
        ctx.known_users.learn(user.clone(), *facts);
    }
    // A direct conversation with a deleted user stays with its other user.
    let deleted = match users.iter().all(|user| found.contains_key(*user)) {
        true => HashMap::new(),
        false => ctx.store.find_incarnations(users).await?,
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

/// Returns the profile of a token's claims without the values that exceed a limit.
///
/// They are dropped and not rejected, because the bearer of a token cannot correct it.
pub fn fitting(profile: Profile) -> Profile {
    let fits = |text: &String, most| text::fault(text, Shape::Line, most).is_none();
    Profile {
        name: profile.name.filter(|name| fits(name, MAX_TEXT)),
        avatar_url: profile
            .avatar_url
            .filter(|url| fits(url, MAX_URL) && !is_program(url)),
        roles: profile
            .roles
            .into_iter()
            .filter(|role| fits(role, MAX_ROLE))
            .take(MAX_ROLES)
            .collect(),
        ..Profile::default()
    }
}

fn check_profile(profile: &Profile) -> Result<()> {
    let mut faults = Faults::default();
    faults.text("name", profile.name.as_ref(), Shape::Line, MAX_TEXT);
    check_url("avatarUrl", profile.avatar_url.as_ref(), &mut faults);
    faults.text("email", profile.email.as_ref(), Shape::Line, MAX_TEXT);
    faults.when(
        profile.roles.len() > MAX_ROLES,
        "roles",
        "must have at most 50 items",
    );
    for (index, role) in profile.roles.iter().enumerate() {
        faults.text(format!("roles[{index}]"), Some(role), Shape::Line, MAX_ROLE);
    }
    check_metadata(profile.metadata.as_ref(), &mut faults);
    faults.into_result()
}

pub(super) fn check_ensure(
    state: &UserState,
    profile: &Profile,
    at: Timestamp,
) -> Result<Decision> {
    match &state.fields {
        Some(_) => Ok(Decision::Nothing),
        None => Ok(Decision::Append(Body::UserSynced(Profile {
            created_at: at.as_millis(),
            ..profile.clone()
        }))),
    }
}

pub(super) fn check_sync(
    state: &UserState,
    profile: &Profile,
    revives: Option<Timestamp>,
    at: Timestamp,
) -> Result<Decision> {
    let is_other_deletion = |fields: &UserFields| revives != Some(fields.updated_at);
    if state.living().is_none() && state.fields.as_ref().is_some_and(is_other_deletion) {
        return Err(erasure::unfinished());
    }
    // A new holder of the id gets the time of this entry.
    let created_at = state
        .living()
        .map_or(at.as_millis(), |fields| fields.profile.created_at);
    let profile = Profile {
        created_at,
        ..profile.clone()
    };
    if state
        .living()
        .is_some_and(|fields| fields.profile == profile)
    {
        return Ok(Decision::Nothing);
    }
    Ok(Decision::Append(Body::UserSynced(profile)))
}

pub(super) fn check_change(state: &UserState, patch: ProfilePatch) -> Result<Decision> {
    let fields = state.living().ok_or_else(DomainError::no_user)?;
    let mut profile = fields.profile.clone();
    patch.name.apply(&mut profile.name);
    patch.avatar_url.apply(&mut profile.avatar_url);
    patch.metadata.apply(&mut profile.metadata);
    if profile == fields.profile {
        return Ok(Decision::Nothing);
    }
    Ok(Decision::Append(Body::UserUpdated(profile)))
}

pub(super) fn check_delete(state: &UserState) -> Result<Decision> {
    match state.living() {
        Some(_) => Ok(Decision::Append(Body::UserDeleted)),
        None => Ok(Decision::Nothing),
    }
}

pub(super) fn check_disconnect(
    state: &UserState,
    disconnection: &Disconnection,
) -> Result<Decision> {
    state.living().ok_or_else(DomainError::no_user)?;
    Ok(Decision::Append(Body::UserDisconnected(
        disconnection.clone(),
    )))
}
