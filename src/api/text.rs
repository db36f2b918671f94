//! The documents as text: the form in which they are committed and answered.

use futures_util::FutureExt;
use poem::IntoResponse;
use serde::Serialize;

/// A document as text.
#[derive(Debug, Clone)]
pub struct Documents {
    /// As JSON.
    pub json: String,
    /// As YAML.
    pub yaml: String,
}

/// Writes a document whose parts are in the order in which people read them.
pub fn write(ordered: impl Serialize + Send) -> Documents {
    let mut json = serde_json::to_string_pretty(&ordered).expect("JSON values become text");
    json.push('\n');
    let yaml = poem::web::Yaml(ordered)
        .into_response()
        .into_body()
        .into_string()
        .now_or_never()
        .expect("a body in memory is there at once")
        .expect("JSON values become YAML");
    Documents { json, yaml }
}
