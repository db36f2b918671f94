//! Check of the files of a message before it is sent: a sender may attach only files that the sender may read.
//!
//! An edit changes no attachments, so it needs no check.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    Patch,
    plugin::{
        BoxFuture, FailurePolicy, Hook, HookChange, HookData, HookFault, HookMessage, HookPoint,
        HookRequest, HookSpec, HookVerdict,
    },
};

use crate::{
    Attachments,
    access::{named_by, url_of},
    files::{StoredFile, in_seconds},
};

/// Time for all questions about one message.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The hook.
pub struct Binding(pub Arc<Attachments>);

impl Hook for Binding {
    fn spec(&self) -> HookSpec {
        HookSpec {
            timeout: TIMEOUT,
            // A message that was not checked could open another user's file to its readers.
            failure: FailurePolicy::Closed,
            // Other hooks may change the attachments before this one.
            order: 1000,
            ..HookSpec::new("files", &[HookPoint::MessageBeforeSend])
        }
    }

    fn ask(
        self: Arc<Self>,
        request: HookRequest,
    ) -> BoxFuture<'static, Result<HookVerdict, HookFault>> {
        Box::pin(async move {
            match &request.data {
                HookData::Message(message) => self.0.bind(&request, message).await,
                _ => Ok(HookVerdict::Pass),
            }
        })
    }
}

/// Returns the refusal of an attachment: the same for every reason, so that it tells nothing about files of others.
fn unknown(index: usize) -> HookVerdict {
    HookVerdict::Refuse {
        code: "UNKNOWN_ATTACHMENT".to_owned(),
        reason: format!("attachments[{index}].url names a file that does not exist."),
    }
}

impl Attachments {
    async fn bind(
        &self,
        request: &HookRequest,
        message: &HookMessage,
    ) -> Result<HookVerdict, HookFault> {
        let fault = |text: String| HookFault::new(text);
        let named: Vec<(usize, String)> = message
            .attachments
            .iter()
            .enumerate()
            .filter_map(|(index, attachment)| Some((index, named_by(&attachment.url)?.to_owned())))
            .collect();
        if named.is_empty() {
            return Ok(HookVerdict::Pass);
        }
        let ids: Vec<String> = named.iter().map(|(_, id)| id.clone()).collect();
        let found = self.files.ready(&ids).await;
        let found = found.map_err(|error| fault(error.to_string()))?;
        let origin = message.forwarded_from.as_ref();
        let origin = origin.map(|origin| origin.message_id.to_string());
        let mut attachments = message.attachments.clone();
        for (index, id) in &named {
            let Some(file) = found.iter().find(|file| file.id == *id) else {
                return Ok(unknown(*index));
            };
            let may_read = self
                .may_read(file, &request.actor_id, origin.as_deref())
                .await
                .map_err(|error| fault(format!("a message could not be read: {}", error.status)))?;
            if !may_read {
                return Ok(unknown(*index));
            }
            describe(&mut attachments[*index], file);
        }
        // The worker must not remove the files before it learns of the message.
        let keep = self
            .files
            .keep(&ids, in_seconds(self.settings.table.unattached_seconds));
        keep.await.map_err(|error| fault(error.to_string()))?;
        if attachments == message.attachments {
            return Ok(HookVerdict::Pass);
        }
        Ok(HookVerdict::Change(Box::new(HookChange {
            attachments: Patch::Set(attachments),
            ..HookChange::default()
        })))
    }
}

/// Replaces the sender's facts of a file by the stored ones; the sender's name for it stays.
fn describe(attachment: &mut chat_sdk::Attachment, file: &StoredFile) {
    let Some(content) = &file.content else { return };
    attachment.mime_type = Some(content.mime_type.clone());
    attachment.size = Some(file.size);
    attachment.thumbnail_url = content
        .thumbnail
        .as_ref()
        .map(|_| format!("{}/thumbnail", url_of(&file.id)));
    if attachment.name.is_none() {
        attachment.name = Some(file.name.clone());
    }
}
