//! Changes of sent messages: edit, delete, restore.

use chat_sdk::{
    Message, MessageId, MessageType, Metadata, Patch, UserId,
    plugin::{HookChange, HookData, HookEdit, HookFault, HookPoint},
};

use super::{access, access_message, get};
use crate::{
    domain::{
        Context,
        hooks::{Asked, Subject, change_or_refuse},
    },
    model::{
        command::{Command, Request, WantedEdit},
        entry::{MessageEdit, MessageRemoval},
        error::{DomainError, Faults, Result},
        fields::check_metadata,
        messages::{check_content, is_empty},
    },
    store::{AccessQuery, StoredMessage},
};

/// Maximum number of attempts of an edit that keeps the text and conflicts with another edit.
const EDIT_ATTEMPTS: usize = 5;

/// A change of a message. An absent field stays as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edit {
    /// Text of the message.
    pub content: Patch<String>,
    /// Data that the host attaches.
    pub metadata: Patch<Metadata>,
}

/// Edits a message's text, metadata or both. Only its sender may.
///
/// The result must be a valid message. An edit that changes nothing is not stored.
///
/// # Errors
/// [`DomainError::NotFound`]; [`DomainError::Forbidden`]; [`DomainError::Conflict`] if it is deleted; [`DomainError::Validation`] with every error.
pub async fn edit(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    edit: Edit,
) -> Result<Message> {
    check_edit(ctx.limits.max_message_bytes, &edit)?;
    let edit = ask_before_edit(ctx, actor, message, edit).await?;
    let mut attempt = 1;
    loop {
        let stored = access_message(ctx, actor, message).await?;
        let wanted = wanted_edit(&stored, edit.clone())?;
        let may_meet_another = wanted.keeps_content && !stored.is_deleted();
        let request = Request::new(
            stored.conversation_id.clone(),
            Some(actor.clone()),
            Command::EditMessage(wanted),
        );
        match ctx.append(request).await {
            Err(DomainError::Conflict(_)) if may_meet_another && attempt < EDIT_ATTEMPTS => {
                attempt += 1;
            }
            outcome => {
                outcome?;
                return get(ctx, actor, message).await;
            }
        }
    }
}

fn check_edit(max_bytes: usize, edit: &Edit) -> Result<()> {
    let mut faults = Faults::default();
    faults.when(
        edit.content.is_keep() && edit.metadata.is_keep(),
        "content",
        "or metadata must be given",
    );
    check_content(
        max_bytes,
        edit.content.value().map_or("", String::as_str),
        &mut faults,
    );
    check_metadata(edit.metadata.value(), &mut faults);
    faults.into_result()
}

/// An edit that hooks may change.
#[derive(Clone)]
struct Changeable {
    edit: Edit,
    stored: StoredMessage,
    max_bytes: usize,
}

impl Subject for Changeable {
    fn data(&self) -> HookData {
        let (stored, edit) = (&self.stored, &self.edit);
        HookData::Edit(HookEdit {
            message_id: stored.id.clone(),
            content: match &edit.content {
                Patch::Keep => stored.content().to_owned(),
                Patch::Clear => String::new(),
                Patch::Set(content) => content.clone(),
            },
            metadata: match &edit.metadata {
                Patch::Keep => stored.metadata().cloned(),
                patch => patch.value().cloned(),
            },
        })
    }

    fn change(&mut self, change: HookChange) -> std::result::Result<(), HookFault> {
        let HookChange {
            content,
            metadata,
            attachments: Patch::Keep,
            mentions: Patch::Keep,
            silent: Patch::Keep,
            ttl_seconds: Patch::Keep,
            name: Patch::Keep,
            avatar_url: Patch::Keep,
        } = change
        else {
            return Err(HookFault::new("an edit has only a text and metadata"));
        };
        if !content.is_keep() {
            self.edit.content = content;
        }
        if !metadata.is_keep() {
            self.edit.metadata = metadata;
        }
        check_edit(self.max_bytes, &self.edit)
            .and_then(|()| wanted_edit(&self.stored, self.edit.clone()).map(drop))
            .map_err(|_| HookFault::new("the changed edit is invalid"))
    }
}

/// Asks the hooks of `message.before_edit`, unless the edit cannot succeed or changes nothing. Returns the edit with their changes.
async fn ask_before_edit(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    edit: Edit,
) -> Result<Edit> {
    let point = HookPoint::MessageBeforeEdit;
    if !ctx.hooks.has(point) {
        return Ok(edit);
    }
    let query = AccessQuery::Message(message.clone(), actor.clone());
    let (stored, access) = access(ctx, query).await?;
    let (fields, member) = access.membership.require_member()?;
    let is_rejected = stored.sender() != Some(actor) || stored.is_deleted();
    if is_rejected || wanted_edit(&stored, edit.clone())?.is_unchanged {
        return Ok(edit);
    }
    let conversation = stored.conversation_id.clone();
    let asked = Asked {
        role: Some(member.role),
        conversation: Some(&conversation),
        kind: Some(fields.kind),
        ..Asked::new(point, actor)
    };
    let subject = Changeable {
        edit,
        stored,
        max_bytes: ctx.limits.max_message_bytes,
    };
    Ok(change_or_refuse(&ctx.hooks, asked, subject).await?.edit)
}

/// Returns the edit of `stored` that `edit` results in.
fn wanted_edit(stored: &StoredMessage, edit: Edit) -> Result<WantedEdit> {
    let keeps_content = edit.content.is_keep();
    let content = match edit.content {
        Patch::Keep => stored.content().to_owned(),
        Patch::Clear => String::new(),
        Patch::Set(content) => content,
    };
    let sent = stored.as_sent();
    let may_be_empty = sent.kind == MessageType::Custom || !sent.attachments.is_empty();
    // The writer rejects the edit of a deleted message, whose text may be gone.
    if !keeps_content && !may_be_empty && !stored.is_deleted() && is_empty(&content) {
        return Err(DomainError::invalid("content", "must not be empty"));
    }
    let is_metadata_same = match &edit.metadata {
        Patch::Keep => true,
        patch => patch.value() == stored.metadata(),
    };
    let is_unchanged = is_metadata_same && content == stored.content();
    let metadata = match (edit.metadata, stored.earlier_edit_metadata()) {
        (Patch::Keep, Some(earlier)) => Patch::Set(earlier.clone()),
        (metadata, _) => metadata,
    };
    Ok(WantedEdit {
        edit: MessageEdit {
            message_id: stored.id.clone(),
            content,
            metadata,
            message_seq: None,
        },
        read_edit_seq: stored.edit_seq(),
        keeps_content,
        is_unchanged,
    })
}

/// Deletes a message; a tombstone keeps its place. Requires its sender, an admin or an owner.
///
/// # Errors
/// [`DomainError::NotFound`], [`DomainError::Forbidden`].
pub async fn delete(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<()> {
    let stored = access_message(ctx, actor, message).await?;
    ctx.append(Request::new(
        stored.conversation_id.clone(),
        Some(actor.clone()),
        Command::DeleteMessage(MessageRemoval {
            message_id: message.clone(),
            is_expired: false,
            message_seq: None,
        }),
    ))
    .await?;
    Ok(())
}

/// Restores a deleted message. Requires an admin or an owner.
///
/// # Errors
/// [`DomainError::NotFound`]; [`DomainError::Forbidden`]; [`DomainError::Conflict`] if it expired or its content was erased.
pub async fn restore(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Message> {
    let stored = access_message(ctx, actor, message).await?;
    if stored.is_erased() {
        return Err(DomainError::Conflict(
            "The content of the message was erased; it cannot be restored.".into(),
        ));
    }
    let restored = stored.clone().into_restored();
    ctx.append(Request::new(
        stored.conversation_id.clone(),
        Some(actor.clone()),
        Command::RestoreMessage(Box::new(restored)),
    ))
    .await?;
    get(ctx, actor, message).await
}
