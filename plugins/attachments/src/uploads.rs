//! Uploads: their creation, their pieces, and the completion that makes a file of them.
//!
//! A piece is one request of at most 1 MiB, and one object. It is stored whole or not at all, so the offset of an upload is always the number of bytes that
//! have safely arrived, whichever process asks. This module knows nothing of HTTP but its errors.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chat_sdk::{
    UserId,
    http::ApiError,
    plugin::{ChatError, ChatFault},
};
use sha2::{Digest, Sha256};

use crate::{
    Attachments,
    files::{self, Content, Piece, State, StoredFile, in_seconds},
    objects::ObjectsError,
    pictures, sniff,
};

/// Maximum number of bytes of a piece.
pub const MAX_PIECE: usize = 1 << 20;
/// Minimum number of bytes of a piece that is not the last one.
pub const MIN_PIECE: usize = 1 << 16;

/// Seconds after which a worker looks at a file with stale objects.
const STALE_SECONDS: u32 = 60;

/// Returns the SHA-256 of `bytes` in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the error for something that exceeds a limit.
pub fn too_large(message: String) -> ApiError {
    ChatError {
        status: 413,
        code: "PAYLOAD_TOO_LARGE".to_owned(),
        message,
        ..ChatError::default()
    }
    .into()
}

/// Returns the error for a piece at a wrong offset, with the right one.
fn wrong_offset(right: i64) -> ApiError {
    ChatError {
        status: 409,
        code: "CONFLICT".to_owned(),
        message: format!("The upload continues at the offset {right}."),
        details: vec![ChatFault {
            field: "offset".to_owned(),
            message: format!("must be {right}"),
        }],
        retry_after: None,
    }
    .into()
}

/// Returns the error of an upload that the caller does not have.
pub fn no_upload() -> ApiError {
    ApiError::NotFound("There is no such upload.".into())
}

/// Logs a fault of the store and returns its error.
pub fn store_fault(error: &ObjectsError) -> ApiError {
    tracing::warn!(%error, "store of attachments failed");
    ApiError::Unavailable("The store of files did not answer in time; repeat the request.".into())
}

impl Attachments {
    /// Creates an upload of `size` bytes.
    pub async fn begin_upload(
        &self,
        user: UserId,
        name: String,
        size: i64,
    ) -> Result<StoredFile, ApiError> {
        let most = self.settings.max_bytes;
        if size > most {
            return Err(too_large(format!("A file may have at most {most} bytes.")));
        }
        if !self.quota.reserve(&user, size).await? {
            let quota = self.settings.quota;
            return Err(too_large(format!(
                "All your files together may have at most {quota} bytes."
            )));
        }
        let check_at = in_seconds(self.settings.table.unfinished_seconds);
        let file = StoredFile::new(user, name, size, check_at);
        if let Err(error) = self.files.insert(&file).await {
            // The reservation is given back as far as possible; the insertion may have succeeded.
            tracing::warn!(%error, "upload could not be stored");
            return Err(error.into());
        }
        Ok(file)
    }

    /// Returns an upload of `user`.
    pub async fn upload_of(&self, user: &UserId, id: &str) -> Result<StoredFile, ApiError> {
        if !files::is_id(id) {
            return Err(no_upload());
        }
        let file = self.files.find(id).await?;
        file.filter(|file| file.owner_id == *user && file.state != State::Removing)
            .ok_or_else(no_upload)
    }

    /// Stores a piece at `offset` and returns the upload as it is then.
    pub async fn append(
        &self,
        file: StoredFile,
        offset: i64,
        bytes: Bytes,
    ) -> Result<StoredFile, ApiError> {
        if file.state != State::Uploading || file.offset != offset {
            return Err(wrong_offset(file.offset));
        }
        let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let rest = file.size - offset;
        if length > rest {
            return Err(ApiError::invalid(
                "body",
                format!("has {length} bytes; only {rest} are missing"),
            ));
        }
        if length == 0 || (length < rest && bytes.len() < MIN_PIECE) {
            return Err(ApiError::invalid(
                "body",
                format!("must have at least {MIN_PIECE} bytes, except for the last piece"),
            ));
        }
        let piece = self.store_piece(&file.id, bytes).await?;
        let check_at = in_seconds(self.settings.table.unfinished_seconds);
        let appended = self
            .files
            .append(&file.id, offset, &piece, check_at)
            .await?;
        if !appended {
            // Another request was faster with this offset.
            if let Err(error) = self.objects.delete(&piece.key).await {
                tracing::warn!(%error, "superfluous piece could not be removed");
            }
        }
        let now = self.files.find(&file.id).await?.ok_or_else(no_upload)?;
        if appended {
            Ok(now)
        } else {
            Err(wrong_offset(now.offset))
        }
    }

    async fn store_piece(&self, id: &str, bytes: Bytes) -> Result<Piece, ApiError> {
        let piece = Piece {
            key: StoredFile::new_key(id),
            length: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            sha256: sha256(&bytes),
        };
        let stored = self.objects.put(&piece.key, bytes).await;
        stored.map_err(|error| store_fault(&error))?;
        Ok(piece)
    }

    /// Returns the bytes of a piece, checked against its digest.
    pub async fn load(&self, piece: &Piece) -> Result<Bytes, ApiError> {
        let bytes = self.objects.get(&piece.key).await;
        let bytes = bytes.map_err(|error| store_fault(&error))?;
        match bytes {
            Some(bytes) if sha256(&bytes) == piece.sha256 => Ok(bytes),
            Some(_) => {
                tracing::error!(key = piece.key, "stored piece has another digest");
                Err(ApiError::Unavailable(
                    "The file is damaged in the store.".into(),
                ))
            }
            None => Err(ApiError::Unavailable(
                "The file is not in the store any more.".into(),
            )),
        }
    }

    /// Makes a file of an upload whose bytes have all arrived. A repetition returns the file.
    pub async fn complete(self: &Arc<Self>, file: StoredFile) -> Result<StoredFile, ApiError> {
        if file.state == State::Ready {
            return Ok(file);
        }
        if file.offset != file.size {
            return Err(wrong_offset(file.offset));
        }
        let check_at = in_seconds(self.settings.table.unfinished_seconds);
        if !self.files.begin_completion(&file.id, check_at).await? {
            return match self.files.find(&file.id).await? {
                Some(file) if file.state == State::Ready => Ok(file),
                Some(file) if file.state == State::Uploading => Err(ApiError::Conflict(
                    "Another request completes this upload; repeat the request.".into(),
                )),
                _ => Err(no_upload()),
            };
        }
        // The work goes on if the client leaves, so that its result is there for the next request.
        let plugin = Arc::clone(self);
        let work = tokio::spawn(async move { plugin.finish(file).await });
        work.await.unwrap_or_else(|_| {
            Err(ApiError::internal(
                "the completion of an upload ended without a result",
            ))
        })
    }

    async fn finish(self: Arc<Self>, file: StoredFile) -> Result<StoredFile, ApiError> {
        let id = file.id.clone();
        let made = self.make_file(file).await;
        match &made {
            Ok(file) => {
                self.remove_stale(file).await;
            }
            Err(ApiError::Invalid(_)) => {
                // The bytes will not become better: the next request gets 404.
                self.files.end_completion(&id, files::now()).await?;
                self.files.discard(&id, "uploading").await?;
            }
            Err(_) => {
                let check_at = in_seconds(self.settings.table.unfinished_seconds);
                self.files.end_completion(&id, check_at).await?;
            }
        }
        made
    }

    async fn make_file(&self, mut file: StoredFile) -> Result<StoredFile, ApiError> {
        let first = file.pieces.first().ok_or_else(no_upload)?;
        let head = self.load(first).await?;
        let kind = sniff::media_type(&head);
        if !self.settings.accepts(kind) {
            return Err(ApiError::invalid(
                "body",
                format!("is a file of the type {kind}, which is not accepted here"),
            ));
        }
        if sniff::is_picture(kind) {
            self.make_picture(&mut file, kind).await?;
        } else {
            let mut digest = Sha256::new();
            digest.update(&head);
            for piece in file.pieces.iter().skip(1) {
                digest.update(self.load(piece).await?);
            }
            file.content = Some(Content {
                mime_type: kind.to_owned(),
                sha256: hex(&digest.finalize()),
                is_inline: sniff::is_inline(kind),
                width: None,
                height: None,
                blurhash: None,
                thumbnail: None,
                thumbnail_type: None,
            });
        }
        file.state = State::Ready;
        let kept = self.settings.table.unattached_seconds;
        file.keep_until = in_seconds(kept);
        // The worker looks earlier at a file with stale objects, because this process may die before it has removed them.
        file.check_at = if file.stale.is_empty() {
            file.keep_until
        } else {
            in_seconds(kept.min(STALE_SECONDS))
        };
        if !self.files.complete(&file).await? {
            return Err(no_upload());
        }
        metrics::counter!("chat_attachments_files_total").increment(1);
        metrics::counter!("chat_attachments_bytes_total").increment(file.size.unsigned_abs());
        Ok(file)
    }

    async fn make_picture(
        &self,
        file: &mut StoredFile,
        kind: &'static str,
    ) -> Result<(), ApiError> {
        let most = self.settings.table.image_max_bytes;
        if file.size > i64::from(most) {
            return Err(ApiError::invalid(
                "body",
                format!("is a picture; it may have at most {most} bytes"),
            ));
        }
        let permit = Arc::clone(&self.decoding).acquire_owned().await;
        let permit = permit.map_err(|_| ApiError::internal("no permit for a picture"))?;
        let mut bytes = BytesMut::new();
        for piece in &file.pieces {
            bytes.extend_from_slice(&self.load(piece).await?);
        }
        let max_pixels = self.settings.table.image_max_pixels;
        let treated = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            pictures::treat(kind, bytes.into(), max_pixels)
        });
        let treated = treated.await.ok().flatten();
        let picture = treated.ok_or_else(|| {
            ApiError::invalid("body", format!("is no whole picture of the type {kind}"))
        })?;
        file.stale = file.pieces.iter().map(|piece| piece.key.clone()).collect();
        file.size = i64::try_from(picture.bytes.len()).unwrap_or(i64::MAX);
        let digest = sha256(&picture.bytes);
        let bytes = Bytes::from(picture.bytes);
        let mut pieces = Vec::new();
        for start in (0..bytes.len()).step_by(MAX_PIECE) {
            let end = bytes.len().min(start + MAX_PIECE);
            pieces.push(self.store_piece(&file.id, bytes.slice(start..end)).await?);
        }
        file.pieces = pieces;
        let mut content = Content {
            mime_type: kind.to_owned(),
            sha256: digest,
            is_inline: picture.decoded.is_some(),
            width: None,
            height: None,
            blurhash: None,
            thumbnail: None,
            thumbnail_type: None,
        };
        if let Some(decoded) = picture.decoded {
            content.width = Some(decoded.width);
            content.height = Some(decoded.height);
            content.blurhash = decoded.blurhash;
            if let Some((bytes, kind)) = decoded.thumbnail {
                content.thumbnail = Some(self.store_piece(&file.id, bytes.into()).await?);
                content.thumbnail_type = Some(kind.to_owned());
            }
        }
        file.content = Some(content);
        Ok(())
    }

    /// Removes the objects that a complete file does not need. Returns false if the worker must repeat it.
    pub async fn remove_stale(&self, file: &StoredFile) -> bool {
        for key in &file.stale {
            if let Err(error) = self.objects.delete(key).await {
                tracing::warn!(%error, "piece of a picture could not be removed yet");
                return false;
            }
        }
        if file.stale.is_empty() {
            return true;
        }
        match self.files.forget_stale(&file.id).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "removed pieces could not be noted");
                false
            }
        }
    }
}
