//! Operations on uploads.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use chat_sdk::http::{ApiError, AsUser, Created, Fails, Json, NoContent, Query, Status, ValidJson};
use futures_util::StreamExt;
use poem::Body;
use poem_openapi::{OpenApi, param::Path, payload::Binary};

use super::{
    Tag,
    shapes::{AttachmentFile, AttachmentUpload, CreateUpload},
};
use crate::{
    Attachments,
    uploads::{MAX_PIECE, no_upload, too_large},
};

/// Operations on uploads.
pub struct UploadsApi(pub Arc<Attachments>);

impl UploadsApi {
    fn shape(&self, file: crate::files::StoredFile) -> AttachmentUpload {
        AttachmentUpload::new(file, self.0.settings.table.unfinished_seconds)
    }
}

#[OpenApi(tag = "Tag::Attachments")]
impl UploadsApi {
    /// Create an upload
    ///
    /// Reserves the size for the caller and returns the upload, whose pieces the client then sends in order.
    ///
    /// Fails with 413 if the file is larger than a file may be, or if all files of the caller together would exceed the quota.
    #[oai(
        path = "/api/attachments/uploads",
        method = "post",
        operation_id = "createUpload"
    )]
    async fn create(
        &self,
        user: AsUser,
        body: ValidJson<CreateUpload>,
    ) -> Result<Created<AttachmentUpload>, Fails<Status<413>>> {
        let body = body.0;
        let name = body.file_name()?;
        if let Some(kind) = &body.mime_type
            && !self.0.settings.accepts(&kind.to_ascii_lowercase())
        {
            return Err(
                ApiError::invalid("mimeType", "is a type that is not accepted here").into(),
            );
        }
        let file = self.0.begin_upload(user.0, name, body.size).await?;
        Ok(Created(self.shape(file)))
    }

    /// Get an upload
    ///
    /// Returns the upload with its offset: a client that lost its connection continues there.
    ///
    /// Fails with 404 if the caller has no such upload.
    #[oai(
        path = "/api/attachments/uploads/:id",
        method = "get",
        operation_id = "getUpload"
    )]
    async fn get(
        &self,
        user: AsUser,
        /// Id of the upload.
        id: Path<String>,
    ) -> Result<Json<AttachmentUpload>, Fails<Status<404>>> {
        let file = self.0.upload_of(&user.0, &id.0).await?;
        Ok(Json(self.shape(file)))
    }

    /// Send a piece of an upload
    ///
    /// Stores the body at the offset and returns the upload. A piece has 65,536 to 1,048,576 bytes, and the last one may be smaller. A piece of which the
    /// connection breaks is not stored; the client sends it again.
    ///
    /// Fails with 409 if the upload continues at another offset, which `details` names, and with 413 if the piece is too large.
    #[oai(
        path = "/api/attachments/uploads/:id",
        method = "put",
        operation_id = "sendPiece"
    )]
    async fn append(
        &self,
        user: AsUser,
        /// Id of the upload.
        id: Path<String>,
        /// Position of the first byte of the piece in the file.
        #[oai(validator(minimum(value = "0"), maximum(value = "2147483648")))]
        offset: Query<i64>,
        body: Binary<Body>,
    ) -> Result<Json<AttachmentUpload>, Fails<Status<404, 409, 413>>> {
        let file = self.0.upload_of(&user.0, &id.0).await?;
        let bytes = receive(body.0).await?;
        let file = self.0.append(file, offset.0, bytes).await?;
        Ok(Json(self.shape(file)))
    }

    /// Complete an upload
    ///
    /// Makes a file of the upload: finds its type by the content, removes the metadata of a picture, turns it upright and makes its thumbnail. A repetition
    /// returns the file.
    ///
    /// Fails with 400 if the type is not accepted or a picture is not whole; the upload is then removed. Fails with 409 if bytes are missing, or if another
    /// request completes the upload now.
    #[oai(
        path = "/api/attachments/uploads/:id/complete",
        method = "post",
        operation_id = "completeUpload"
    )]
    async fn complete(
        &self,
        user: AsUser,
        /// Id of the upload.
        id: Path<String>,
    ) -> Result<Created<AttachmentFile>, Fails<Status<404, 409>>> {
        let file = self.0.upload_of(&user.0, &id.0).await?;
        let file = self.0.complete(file).await?;
        let file = AttachmentFile::new(file);
        Ok(Created(file.ok_or_else(no_upload)?))
    }

    /// Cancel an upload
    ///
    /// Removes the upload and its bytes.
    ///
    /// Fails with 404 if the caller has no such upload, and with 409 if it is complete.
    #[oai(
        path = "/api/attachments/uploads/:id",
        method = "delete",
        operation_id = "cancelUpload"
    )]
    async fn cancel(
        &self,
        user: AsUser,
        /// Id of the upload.
        id: Path<String>,
    ) -> Result<NoContent, Fails<Status<404, 409>>> {
        let file = self.0.upload_of(&user.0, &id.0).await?;
        if self.0.files.discard(&file.id, "uploading").await? {
            Ok(NoContent)
        } else {
            Err(ApiError::Conflict("The upload is complete, or is being completed.".into()).into())
        }
    }
}

/// Receives the bytes of a piece.
///
/// # Errors
/// 413 if there are too many, 400 if the connection breaks or the client is too slow.
async fn receive(body: Body) -> Result<Bytes, ApiError> {
    let mut stream = body.into_bytes_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::invalid(
                "body",
                if error.kind() == io::ErrorKind::TimedOut {
                    "arrived too slowly"
                } else {
                    "could not be read"
                },
            )
        })?;
        if bytes.len() + chunk.len() > MAX_PIECE {
            return Err(too_large(format!(
                "A piece may have at most {MAX_PIECE} bytes."
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}
