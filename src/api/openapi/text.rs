//! Documents as text: the form in which they are committed and served.

use futures_util::FutureExt;
use poem::IntoResponse;
use serde::Serialize;

/// A document as JSON and YAML.
#[derive(Debug, Clone)]
pub struct Documents {
    /// The document as JSON.
    pub json: String,
    /// The document as YAML.
    pub yaml: String,
}

/// Serialises a document whose parts are in reading order.
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
