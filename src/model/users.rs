//! Checks of the writer for users, and the limits of their profiles.

use chat_sdk::{
    Timestamp,
    commands::users::UpdateUser,
    text::{self, Shape},
};

use super::{
    bounds::MAX_ENDED_SESSIONS,
    command::Decision,
    entry::{Body, Disconnection, Profile},
    erasure,
    error::{DomainError, Faults, Result},
    fields::{MAX_URL, check_metadata, check_url, is_program},
    state::{UserFields, UserState},
};

/// Maximum length of a name or an e-mail address in characters.
const MAX_TEXT: usize = 320;

/// Maximum length of a role in characters.
const MAX_ROLE: usize = 100;

/// Maximum number of roles of a user.
const MAX_ROLES: usize = 50;

/// Returns the profile of a token's claims without the values that exceed a limit.
///
/// They are dropped and not rejected, because the bearer of a token cannot correct it.
pub fn fitting_profile(profile: Profile) -> Profile {
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

pub(crate) fn check_profile(profile: &Profile) -> Result<()> {
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

/// Returns `profile` with a user's update applied.
pub(crate) fn changed(mut profile: Profile, update: &UpdateUser) -> Profile {
    let update = update.clone();
    update.name.apply(&mut profile.name);
    update.avatar_url.apply(&mut profile.avatar_url);
    update.metadata.apply(&mut profile.metadata);
    profile
}

pub(super) fn check_change(state: &UserState, update: &UpdateUser) -> Result<Decision> {
    let fields = state.living().ok_or_else(DomainError::no_user)?;
    let profile = changed(fields.profile.clone(), update);
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
    let fields = state.living().ok_or_else(DomainError::no_user)?;
    let mut disconnection = disconnection.clone();
    if let Some(session) = &disconnection.session_id {
        if fields.ended_sessions.contains(session) {
            return Ok(Decision::Nothing);
        }
        // Beyond the limit all tokens are revoked instead, so that no ended session is forgotten.
        if fields.ended_sessions.len() >= MAX_ENDED_SESSIONS {
            disconnection.session_id = None;
        }
    }
    Ok(Decision::Append(Body::UserDisconnected(disconnection)))
}
