//! Changes of sent messages: edit, delete, restore.

use chat_sdk::{Message, MessageId, MessageType, Metadata, UserId};

use super::{
    access_message,
    draft::{check_content, check_metadata, is_empty},
    get,
};
use crate::{
    domain::{
        Context,
        command::{Command, Request, WantedEdit},
        entry::{MessageEdit, MessageRemoval},
        error::{DomainError, Faults, Result},
        patch::Patch,
    },
    store::StoredMessage,
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
    let mut faults = Faults::default();
    faults.when(
        edit.content.is_keep() && edit.metadata.is_keep(),
        "content",
        "or metadata must be given",
    );
    check_content(
        ctx,
        edit.content.value().map_or("", String::as_str),
        &mut faults,
    );
    check_metadata(edit.metadata.value(), &mut faults);
    faults.into_result()?;
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
