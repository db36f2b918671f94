//! Compares every frame of a test's socket with the committed AsyncAPI document: commands, their acks, and pushed events.

use std::{collections::HashMap, sync::OnceLock};

use jsonschema::Validator;
use serde_json::Value;

/// Validators of the messages of the socket, by key in the document.
struct Frames {
    /// Validators of pushed events, by name; `ack` is the ack to a command that is not known.
    events: HashMap<String, Validator>,
    /// Validators of commands, by name.
    commands: HashMap<String, Validator>,
    /// Validators of acks, by the name of the command.
    acks: HashMap<String, Validator>,
}

fn frames() -> &'static Frames {
    static FRAMES: OnceLock<Frames> = OnceLock::new();
    FRAMES.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/asyncapi.json");
        let text = std::fs::read_to_string(path).expect("openapi/asyncapi.json is committed");
        let document: Value = serde_json::from_str(&text).expect("openapi/asyncapi.json is JSON");
        let messages = document["components"]["messages"]
            .as_object()
            .expect("messages");
        let validator = |key: &str| {
            let mut schema = messages[key]["payload"].clone();
            schema["components"] = document["components"].clone();
            jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{key}: {error}"))
        };
        let name = |key: &str| messages[key]["name"].as_str().expect("a name").to_owned();
        let named = |prefix: &str| -> HashMap<String, Validator> {
            let keys = messages.keys().filter(|key| key.starts_with(prefix));
            keys.map(|key| (name(key), validator(key))).collect()
        };
        let mut events = named("Push");
        events.insert("ack".to_owned(), validator("Ack"));
        let operations = document["operations"].as_object().expect("operations");
        let acks = operations.values().filter_map(|operation| {
            let key = |messages: &Value| {
                let path = messages[0]["$ref"].as_str()?;
                Some(path.rsplit('/').next()?.to_owned())
            };
            let ack =
                key(&operation["reply"]["messages"]).filter(|key| key.starts_with("AckOf"))?;
            Some((name(&key(&operation["messages"])?), validator(&ack)))
        });
        Frames {
            acks: acks.collect(),
            commands: named("Command"),
            events,
        }
    })
}

#[track_caller]
fn check(what: &str, validator: Option<&Validator>, frame: &Value) {
    let Some(validator) = validator else {
        panic!("{what} is in no document: {frame}");
    };
    if let Some(fault) = validator.iter_errors(frame).next() {
        panic!("{what} is not as documented: {fault} in {frame}");
    }
}

/// Panics if `frame` does not match the document's schema of its event.
pub fn check_frame(frame: &Value) {
    let event = frame["event"].as_str().unwrap_or_default();
    if crate::support::is_of_added_plugin(event) {
        return;
    }
    check(event, frames().events.get(event), frame);
}

/// Panics if `frame` does not match the document's schema of an ack to `command`.
pub fn check_ack(command: &str, frame: &Value) {
    match frames().acks.get(command) {
        None => check_frame(frame),
        validator => check(&format!("the ack to {command}"), validator, frame),
    }
}

/// Panics if `frame` is not a command as the document describes it.
#[track_caller]
pub fn check_command(frame: &Value) {
    let command = frame["event"].as_str().unwrap_or_default();
    check(command, frames().commands.get(command), frame);
}
