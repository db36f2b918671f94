//! Checks of the writer for conversations, and the limits of their settings.

use chat_sdk::{
    ConversationSettings, ConversationType, Patch, Role, Timestamp, UserId,
    commands::conversations::UpdateConversation, text::Shape,
};

use super::{
    access::{self, Standing},
    command::Decision,
    entry::{Body, ConversationCreated, ConversationSnapshot, NewMember},
    error::{DomainError, Faults, Result},
    fields::{check_metadata, check_url},
    state::{ConversationFields, ConversationState, SHOWN_MEMBERS},
};

/// Maximum length of a conversation's name in characters.
const MAX_NAME: usize = 200;

/// Allowed range of `retentionSeconds`: one minute to ten years.
const RETENTION_SECONDS: std::ops::RangeInclusive<u32> = 60..=315_360_000;

pub(crate) fn check_settings(settings: &ConversationSettings, faults: &mut Faults) {
    faults.text("name", settings.name.as_ref(), Shape::Line, MAX_NAME);
    check_url("avatarUrl", settings.avatar_url.as_ref(), faults);
    check_metadata(settings.metadata.as_ref(), faults);
    let retention = settings.retention_seconds;
    faults.when(
        retention.is_some_and(|seconds| !RETENTION_SECONDS.contains(&seconds)),
        "retentionSeconds",
        "must be between 60 (one minute) and 315360000 (ten years)",
    );
}

/// Checks an update that the state does not matter for.
pub(crate) fn check_update(update: &UpdateConversation, faults: &mut Faults) {
    for (field, is_cleared) in [
        (
            "historyVisibility",
            matches!(update.history_visibility, Patch::Clear),
        ),
        ("features", matches!(update.features, Patch::Clear)),
    ] {
        faults.when(
            is_cleared,
            field,
            "must not be null; leave it out to keep it",
        );
    }
    let mut set = ConversationSettings::default();
    update.clone().apply(&mut set);
    check_settings(&set, faults);
}

pub(super) fn check_create(
    state: &ConversationState,
    kind: ConversationType,
    settings: &ConversationSettings,
    created_by: &UserId,
    members: &[NewMember],
    at: Timestamp,
) -> Result<Decision> {
    if state.fields.is_some() {
        return Ok(Decision::Nothing);
    }
    let mut ids: Vec<UserId> = members
        .iter()
        .map(|member| member.user_id.clone())
        .collect();
    ids.sort();
    ids.truncate(SHOWN_MEMBERS);
    Ok(Decision::Append(Body::ConversationCreated(
        ConversationCreated {
            conversation: ConversationSnapshot {
                kind,
                settings: settings.clone(),
                created_by: created_by.clone(),
                created_at: at.as_millis(),
                participant_count: members.len() as u32,
                participant_ids: ids,
            },
            members: members.to_vec(),
        },
    )))
}

pub(super) fn check_change(
    state: &ConversationState,
    actor: Option<&UserId>,
    update: &UpdateConversation,
) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor)?;
    let before = &fields.settings;
    let mut settings = before.clone();
    update.clone().apply(&mut settings);
    // A request may repeat the present values.
    if fields.kind == ConversationType::Direct
        && (settings.name != before.name
            || settings.avatar_url != before.avatar_url
            || settings.history_visibility != before.history_visibility)
    {
        return Err(DomainError::Forbidden(
            "The name, avatarUrl and historyVisibility of a direct conversation cannot be changed."
                .into(),
        ));
    }
    if fields.kind != ConversationType::Direct {
        standing.require(Role::Admin)?;
    }
    access::not_blocked(state, actor)?;
    if settings == *before {
        return Ok(Decision::Nothing);
    }
    check_may_shorten(fields, &standing, &settings)?;
    Ok(Decision::Append(Body::ConversationUpdated(
        state.snapshot(fields, settings),
    )))
}

/// Fails if the change shortens the retention of other members' messages without the right to.
///
/// The two members of a direct conversation have equal rights, so neither of them has this one.
fn check_may_shorten(
    fields: &ConversationFields,
    standing: &Standing<'_>,
    settings: &ConversationSettings,
) -> Result<()> {
    let (before, after) = (
        fields.settings.retention_seconds,
        settings.retention_seconds,
    );
    let is_shorter = after.is_some_and(|after| before.is_none_or(|before| after < before));
    if !is_shorter || standing.member().is_none() {
        return Ok(());
    }
    if fields.kind == ConversationType::Direct {
        return Err(only_the_host_shortens());
    }
    if standing.role() < Role::Owner {
        return Err(DomainError::Forbidden(
            "Only an owner of the conversation, or the host, may shorten retentionSeconds.".into(),
        ));
    }
    Ok(())
}

/// Fails if a member sets the retention of a new direct conversation.
pub(crate) fn check_direct(settings: &ConversationSettings) -> Result<()> {
    match settings.retention_seconds {
        Some(_) => Err(only_the_host_shortens()),
        None => Ok(()),
    }
}

fn only_the_host_shortens() -> DomainError {
    DomainError::Forbidden(
        "In a direct conversation only the host may shorten retentionSeconds.".into(),
    )
}

pub(super) fn check_delete(state: &ConversationState, actor: Option<&UserId>) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor)?;
    if fields.kind == ConversationType::Direct {
        return Err(DomainError::Forbidden(
            "A direct conversation cannot be deleted, because it also belongs to the other user."
                .into(),
        ));
    }
    standing.require(Role::Owner)?;
    Ok(Decision::Append(Body::ConversationDeleted))
}
