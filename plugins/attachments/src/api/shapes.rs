//! Bodies of the operations.

use chat_sdk::{
    Timestamp,
    http::{ApiError, described},
    text::{Shape, fault},
};
use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse, Object,
    payload::{Binary, Payload},
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::{Deserialize, Serialize};

use crate::{
    access::url_of,
    files::StoredFile,
    links::{Links, Variant},
    uploads::{MAX_PIECE, MIN_PIECE},
};

/// Maximum length of a name, in characters.
const MAX_NAME: usize = 255;

/// Upload to create.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CreateUpload {
    /// Name of the file, 1 to 255 characters in one line. If it is a path, its last part is kept.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub name: String,
    /// Size of the file in bytes, at least 1 and at most `ATTACHMENTS_MAX_BYTES`.
    #[oai(validator(minimum(value = "1"), maximum(value = "2147483648")))]
    pub size: i64,
    /// Media type that the client expects, at most 255 characters. A type that is not accepted is rejected at once; the content decides later. Default: none.
    #[oai(validator(max_length = 255))]
    pub mime_type: Option<String>,
}

impl CreateUpload {
    /// Returns the name of the file.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] if the name is not one line.
    pub fn file_name(&self) -> Result<String, ApiError> {
        if let Some(problem) = fault(&self.name, Shape::Line, MAX_NAME) {
            return Err(ApiError::invalid("name", problem));
        }
        let last = self.name.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = last.trim();
        Ok(match name {
            "" | "." | ".." => "file".to_owned(),
            name => name.to_owned(),
        })
    }
}

/// An upload whose bytes arrive.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AttachmentUpload {
    /// Id of the upload, and of the file after it.
    pub id: String,
    /// Name of the file.
    pub name: String,
    /// Size of the file in bytes.
    pub size: i64,
    /// Number of bytes that have arrived; the next piece begins here.
    pub offset: i64,
    /// Minimum number of bytes of a piece that is not the last one.
    pub min_piece_size: i64,
    /// Maximum number of bytes of a piece.
    pub max_piece_size: i64,
    /// Time at which the upload is removed unless another piece arrives before.
    pub expires_at: Timestamp,
}

impl AttachmentUpload {
    /// Returns the upload; it is removed after `seconds` without a piece.
    pub fn new(file: StoredFile, seconds: u32) -> Self {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let expires_at = match file.check_at {
            0 => crate::files::in_seconds(seconds),
            at => at,
        };
        Self {
            id: file.id,
            name: file.name,
            size: file.size,
            offset: file.offset,
            min_piece_size: number(MIN_PIECE),
            max_piece_size: number(MAX_PIECE),
            expires_at: Timestamp::from_millis(expires_at),
        }
    }
}

/// A complete file.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct AttachmentFile {
    /// Id of the file.
    pub id: String,
    /// URL by which a message carries the file, in `attachments[].url`. `GET` of it returns these facts, not the bytes.
    pub url: String,
    /// Name of the file.
    pub name: String,
    /// Size in bytes, as it is stored.
    pub size: i64,
    /// Media type, found by the content.
    pub mime_type: String,
    /// SHA-256 of the stored bytes, in hexadecimal. That of a picture differs from the uploaded one, because metadata is removed.
    pub sha256: String,
    /// Width of a picture in pixels; absent for other files, and for pictures that were not decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height of a picture in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Blurred preview of a picture as a BlurHash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blurhash: Option<String>,
    /// True if the file has a thumbnail, which fits in 320 × 320 pixels.
    pub has_thumbnail: bool,
    /// Time of the creation of the upload.
    pub created_at: Timestamp,
}

impl AttachmentFile {
    /// Returns the facts of a complete file; `None` if it is not complete.
    pub fn new(file: StoredFile) -> Option<Self> {
        let content = file.content?;
        Some(Self {
            url: url_of(&file.id),
            id: file.id,
            name: file.name,
            size: file.size,
            mime_type: content.mime_type,
            sha256: content.sha256,
            width: content.width,
            height: content.height,
            blurhash: content.blurhash,
            has_thumbnail: content.thumbnail.is_some(),
            created_at: Timestamp::from_millis(file.created_at),
        })
    }
}

/// Links to the bytes of a file. They work without a token until they expire.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct AttachmentLink {
    /// Path and query of the file, below the address of the service.
    pub url: String,
    /// Path and query of the thumbnail; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail_url: Option<String>,
    /// Time at which the links expire.
    pub expires_at: Timestamp,
}

impl AttachmentLink {
    /// Returns links to `file`.
    pub fn new(file: &StoredFile, links: &Links) -> Self {
        let expires = links.expiry();
        let content = file.content.as_ref();
        let thumbnail = content.and_then(|content| content.thumbnail.as_ref());
        Self {
            url: links.sign(&file.id, Variant::File, expires),
            thumbnail_url: thumbnail.map(|_| links.sign(&file.id, Variant::Thumbnail, expires)),
            expires_at: Timestamp::from_millis(expires * 1000),
        }
    }
}

/// Response with bytes of a file.
pub struct FileBytes(pub Response);

impl IntoResponse for FileBytes {
    fn into_response(self) -> Response {
        self.0
    }
}

/// Error of a range that has no byte of the file, in the form of all errors.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UnsatisfiableRange {
    /// Status of the response: 416.
    pub status_code: u16,
    /// Name of the status.
    pub error: String,
    /// Code of the error: `VALIDATION_ERROR`.
    pub code: String,
    /// Sentence for people.
    pub message: String,
}

impl UnsatisfiableRange {
    /// Returns the error.
    pub fn new() -> Self {
        Self {
            status_code: 416,
            error: "Range Not Satisfiable".to_owned(),
            code: "VALIDATION_ERROR".to_owned(),
            message: "The file has no byte of this range; Content-Range names its size.".to_owned(),
        }
    }
}

impl ApiResponse for FileBytes {
    fn meta() -> MetaResponses {
        let response = |status: u16, description, content| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers: Vec::new(),
        };
        let bytes = || {
            vec![MetaMediaType {
                content_type: "application/octet-stream",
                schema: <Binary<Vec<u8>> as Payload>::schema_ref(),
            }]
        };
        let range = "The file has no byte of the range; `Content-Range` names its size.";
        MetaResponses {
            responses: vec![
                response(200, "The bytes of the file, with its media type.", bytes()),
                response(
                    206,
                    "The bytes of the range that the request names.",
                    bytes(),
                ),
                response(
                    304,
                    "The client has the file already, by its `If-None-Match`.",
                    Vec::new(),
                ),
                described::<UnsatisfiableRange>(StatusCode::RANGE_NOT_SATISFIABLE, range),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        UnsatisfiableRange::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_only_the_last_part_is_the_name() {
        let name = |name: &str| {
            let upload = CreateUpload {
                name: name.to_owned(),
                size: 1,
                mime_type: None,
            };
            upload.file_name().ok()
        };
        for (given, expected) in [
            ("a.txt", Some("a.txt")),
            ("../../x", Some("x")),
            ("C:\\temp\\y.doc", Some("y.doc")),
            ("..", Some("file")),
            ("a/", Some("file")),
            ("\u{8981}\u{6c42}.txt", Some("\u{8981}\u{6c42}.txt")),
            ("a\r\nSet-Cookie: x", None),
            ("", None),
        ] {
            assert_eq!(name(given).as_deref(), expected, "{given:?}");
        }
    }
}
