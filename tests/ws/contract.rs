//! Holds every frame that a socket is sent against the committed AsyncAPI document: the event must be documented, and its frame of that form.

use std::{collections::HashMap, sync::OnceLock};

use jsonschema::Validator;
use serde_json::Value;

/// A validator for each event, by name.
fn frames() -> &'static HashMap<String, Validator> {
    static FRAMES: OnceLock<HashMap<String, Validator>> = OnceLock::new();
    FRAMES.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/asyncapi.json");
        let text = std::fs::read_to_string(path).expect("openapi/asyncapi.json is committed");
        let document: Value = serde_json::from_str(&text).expect("openapi/asyncapi.json is JSON");
        let messages = document["components"]["messages"]
            .as_object()
            .expect("messages");
        messages
            .iter()
            .filter(|(key, _)| key.starts_with("Push") || *key == "Ack")
            .map(|(_, message)| {
                let name = message["name"].as_str().expect("a name").to_owned();
                let mut schema = message["payload"].clone();
                schema["components"] = document["components"].clone();
                let validator = jsonschema::draft202012::new(&schema)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                (name, validator)
            })
            .collect()
    })
}

/// Panics if `frame` does not match the document's schema of its event.
pub fn check_frame(frame: &Value) {
    let event = frame["event"].as_str().unwrap_or_default();
    let Some(validator) = frames().get(event) else {
        panic!("the event {event} is in no document: {frame}");
    };
    if let Some(fault) = validator.iter_errors(frame).next() {
        panic!("{event} is not as documented: {fault} in {frame}");
    }
}
