//! Operations on complete files.

use std::sync::Arc;

use chat_sdk::http::{ApiError, AsUser, Fails, Json, NoContent, Query, Status};
use poem::Request;
use poem_openapi::{OpenApi, param::Path};

use super::{
    Tag,
    shapes::{AttachmentFile, AttachmentLink, FileBytes},
};
use crate::{
    Attachments,
    download::{self, missing},
    files::{State, StoredFile, is_id},
    links::Variant,
};

/// Operations on complete files.
pub struct FilesApi(pub Arc<Attachments>);

/// Error of an operation on one file.
type NotFound = Fails<Status<404>>;

/// Error of a download, which has no guard.
type NoBytes = Fails<Status<403, 404, 503>>;

impl FilesApi {
    async fn readable(
        &self,
        user: &AsUser,
        id: &str,
        message: Option<&str>,
    ) -> Result<StoredFile, ApiError> {
        let file = self.0.readable(id, &user.0, message).await?;
        file.ok_or_else(missing)
    }

    async fn bytes(
        &self,
        request: &Request,
        id: &str,
        variant: Variant,
        expires: i64,
        signature: &str,
    ) -> Result<FileBytes, NoBytes> {
        let seconds = self.0.links.check(id, variant, expires, signature);
        let Some(seconds) = seconds.filter(|_| is_id(id)) else {
            return Err(ApiError::Forbidden(
                "The link is invalid or has expired; get a new one.".into(),
            )
            .into());
        };
        let file = self.0.files.find(id).await?;
        let file = file.filter(|file| file.state == State::Ready);
        let file = file.ok_or_else(missing)?;
        let response =
            download::answer(&self.0, &file, variant, seconds, request.headers()).await?;
        Ok(FileBytes(response))
    }
}

#[OpenApi(tag = "Tag::Attachments")]
impl FilesApi {
    /// Get a file
    ///
    /// Returns the facts of a file: to its owner before a message carries it, then to everyone who can read a message that carries it.
    ///
    /// Fails with 404 if there is no such file for the caller.
    #[oai(
        path = "/api/attachments/:id",
        method = "get",
        operation_id = "getAttachment"
    )]
    async fn get(
        &self,
        user: AsUser,
        /// Id of the file.
        id: Path<String>,
        /// Id of a message that carries the file. A client that has just received the message should name it. Default: none.
        #[oai(name = "messageId", validator(max_length = 64))]
        message_id: Query<Option<String>>,
    ) -> Result<Json<AttachmentFile>, NotFound> {
        let file = self.readable(&user, &id.0, message_id.0.as_deref()).await?;
        Ok(Json(AttachmentFile::new(file).ok_or_else(missing)?))
    }

    /// Get links to a file
    ///
    /// Returns links to the bytes of the file and of its thumbnail, which work without a token for five minutes, or `link_seconds` of the configuration.
    ///
    /// Fails with 404 if there is no such file for the caller.
    #[oai(
        path = "/api/attachments/:id/link",
        method = "get",
        operation_id = "getAttachmentLink"
    )]
    async fn link(
        &self,
        user: AsUser,
        /// Id of the file.
        id: Path<String>,
        /// Id of a message that carries the file. A client that has just received the message should name it. Default: none.
        #[oai(name = "messageId", validator(max_length = 64))]
        message_id: Query<Option<String>>,
    ) -> Result<Json<AttachmentLink>, NotFound> {
        let file = self.readable(&user, &id.0, message_id.0.as_deref()).await?;
        Ok(Json(AttachmentLink::new(&file, &self.0.links)))
    }

    /// Delete a file
    ///
    /// Deletes a file of the caller that no message has carried.
    ///
    /// Fails with 404 if there is no such file for the caller, and with 409 if a message has carried it: delete the message then.
    #[oai(
        path = "/api/attachments/:id",
        method = "delete",
        operation_id = "deleteAttachment"
    )]
    async fn delete(
        &self,
        user: AsUser,
        /// Id of the file.
        id: Path<String>,
    ) -> Result<NoContent, Fails<Status<404, 409>>> {
        let file = self.readable(&user, &id.0, None).await?;
        if file.owner_id != user.0 {
            return Err(missing().into());
        }
        if self.0.files.discard(&file.id, "ready").await? {
            Ok(NoContent)
        } else {
            Err(ApiError::Conflict("A message carries the file; delete the message.".into()).into())
        }
    }

    /// Download a file
    ///
    /// Returns the bytes of a file for a link of `GET /api/attachments/{id}/link`, with ranges, `ETag` and the name of the file. Only pictures, sound and film
    /// are shown in place.
    ///
    /// Fails with 403 if the link is invalid or has expired.
    #[oai(
        path = "/api/attachments/:id/content",
        method = "get",
        operation_id = "downloadAttachment"
    )]
    async fn content(
        &self,
        request: &Request,
        /// Id of the file.
        id: Path<String>,
        /// Time at which the link expires, in seconds since 1970.
        #[oai(validator(minimum(value = "0"), maximum(value = "99999999999")))]
        expires: Query<i64>,
        /// Signature of the link.
        #[oai(validator(max_length = 64))]
        signature: Query<String>,
    ) -> Result<FileBytes, NoBytes> {
        self.bytes(request, &id.0, Variant::File, expires.0, &signature.0)
            .await
    }

    /// Download a thumbnail
    ///
    /// Returns the thumbnail of a picture for a link of `GET /api/attachments/{id}/link`. It fits in 320 × 320 pixels.
    ///
    /// Fails with 403 if the link is invalid or has expired.
    #[oai(
        path = "/api/attachments/:id/thumbnail",
        method = "get",
        operation_id = "downloadThumbnail"
    )]
    async fn thumbnail(
        &self,
        request: &Request,
        /// Id of the file.
        id: Path<String>,
        /// Time at which the link expires, in seconds since 1970.
        #[oai(validator(minimum(value = "0"), maximum(value = "99999999999")))]
        expires: Query<i64>,
        /// Signature of the link.
        #[oai(validator(max_length = 64))]
        signature: Query<String>,
    ) -> Result<FileBytes, NoBytes> {
        self.bytes(request, &id.0, Variant::Thumbnail, expires.0, &signature.0)
            .await
    }
}
