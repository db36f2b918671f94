//! Examples of all bodies, by the name of the schema.

use serde_json::{Value, json};

const ID: &str = "att_01hzx3v7k9q2m4n6p8r0s2t4v6";

/// Returns the example of a schema.
pub fn example(schema: &str) -> Option<Value> {
    Some(match schema {
        "CreateUpload" => json!({ "name": "label.png", "size": 20480, "mimeType": "image/png" }),
        "AttachmentUpload" => json!({
            "id": ID, "name": "label.png", "size": 20480, "offset": 0, "minPieceSize": 65536,
            "maxPieceSize": 1_048_576, "expiresAt": "2026-01-16T10:30:00.000Z",
        }),
        "AttachmentFile" => json!({
            "id": ID, "url": format!("/api/attachments/{ID}"), "name": "label.png", "size": 20312,
            "mimeType": "image/png",
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "width": 640, "height": 480, "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
            "hasThumbnail": true, "createdAt": "2026-01-15T10:30:00.000Z",
        }),
        "AttachmentLink" => json!({
            "url": format!("/api/attachments/{ID}/content?expires=1768473300&signature=q1w2e3"),
            "thumbnailUrl": format!("/api/attachments/{ID}/thumbnail?expires=1768473300&signature=r4t5z6"),
            "expiresAt": "2026-01-15T10:35:00.000Z",
        }),
        "UnsatisfiableRange" => json!({
            "statusCode": 416, "error": "Range Not Satisfiable", "code": "VALIDATION_ERROR",
            "message": "The file has no byte of this range; Content-Range names its size.",
        }),
        _ => return None,
    })
}
