//! Holds every event that a test provokes against the committed JSON Schema of its type. Fields that the schema does not name are faults, too.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, OnceLock},
};

use futures_util::StreamExt;
use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Event that a webhook endpoint receives on request. It is not in the catalogue, because it reports no change.
const TEST_EVENT: &str = "webhook.test";

/// Events of plugins that tests add: they are in the documents of their own program, not in the committed ones.
const OF_ADDED_PLUGINS: [&str; 4] = ["bell", "ding", "polls", "wordgame"];

/// True if `name`, the type of an event or the name of its frame, belongs to a plugin that a test adds.
pub fn is_of_added_plugin(name: &str) -> bool {
    let owner = name.split(['.', ':']).next().unwrap_or_default();
    OF_ADDED_PLUGINS.contains(&owner)
}

/// The validator of a type; `None` for one that is in no document. Made when it is first needed: each test is a process of its own.
fn validator(kind: &str) -> Option<Arc<Validator>> {
    static MADE: OnceLock<Mutex<HashMap<String, Option<Arc<Validator>>>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock();
    if let Some(known) = made.get(kind) {
        return known.clone();
    }
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/schemas"));
    let is_plain = kind
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b == b'.' || b == b'_');
    let text = is_plain
        .then(|| std::fs::read_to_string(folder.join(format!("{kind}.schema.json"))).ok())
        .flatten();
    let found = text.map(|text| {
        let mut schema: Value = serde_json::from_str(&text).expect("a schema is JSON");
        close(&mut schema);
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        Arc::new(validator)
    });
    made.insert(kind.to_owned(), found.clone());
    found
}

/// Allows in an object only the fields that its schema names.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("properties").is_some_and(Value::is_object)
                && !map.contains_key("additionalProperties")
            {
                map.insert("additionalProperties".to_owned(), json!(false));
            }
            map.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

/// The difference between an event and its documentation; `None` if there is none.
pub fn fault(event: &Value) -> Option<String> {
    let kind = event["type"].as_str().unwrap_or_default();
    if kind == TEST_EVENT || is_of_added_plugin(kind) {
        return None;
    }
    let Some(validator) = validator(kind) else {
        return Some(format!("the type {kind:?} is in no document: {event}"));
    };
    let fault = validator.iter_errors(event).next()?;
    Some(format!(
        "{kind} is not as documented: {fault} at {} in {event}",
        fault.instance_path()
    ))
}

/// The differences between a stream's events and their documentation; an event that can no longer be read counts as correct.
pub async fn faults(client: async_nats::Client, stream: &str, prefix: &str) -> Vec<String> {
    use async_nats::jetstream::consumer::{AckPolicy, pull};
    let jetstream = async_nats::jetstream::new(client);
    let Ok(stream) = jetstream.get_stream(stream).await else {
        return Vec::new();
    };
    let reader = pull::Config {
        ack_policy: AckPolicy::None,
        filter_subjects: vec![format!("{prefix}.events.>"), format!("{prefix}.replay.>")],
        ..pull::Config::default()
    };
    let Ok(mut reader) = stream.create_consumer(reader).await else {
        return Vec::new();
    };
    let mut left = reader.info().await.map_or(0, |info| info.num_pending);
    let mut faults = Vec::new();
    while left > 0 {
        let Ok(mut messages) = reader.fetch().max_messages(1000).messages().await else {
            break;
        };
        let before = left;
        while let Some(Ok(message)) = messages.next().await {
            left = left.saturating_sub(1);
            let headers = message.headers.as_ref();
            if headers.is_some_and(|headers| headers.get("Chat-Reference").is_some()) {
                // The event is in the log alone.
                faults.extend(
                    (!message.payload.is_empty()).then(|| "a reference with a payload".to_owned()),
                );
                continue;
            }
            let event = serde_json::from_slice(&message.payload).unwrap_or_default();
            faults.extend(fault(&event));
            faults.extend(misfiled(&message, &event, prefix));
        }
        if left == before {
            break;
        }
    }
    faults
}

/// An event's subject and id are those of its envelope.
fn misfiled(
    message: &async_nats::jetstream::Message,
    event: &Value,
    prefix: &str,
) -> Option<String> {
    let kind = event["type"].as_str().unwrap_or_default();
    let rest = message.subject.strip_prefix(&format!("{prefix}.events."));
    let Some((_, filed)) = rest.and_then(|rest| rest.split_once('.')) else {
        // Put in again for one durable: the subject is the durable's.
        return None;
    };
    let id = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get(async_nats::header::NATS_MESSAGE_ID));
    let is_same = filed == kind && id.is_some_and(|id| Some(id.as_str()) == event["id"].as_str());
    (!is_same).then(|| format!("{kind} lies under {} as {id:?}", message.subject))
}

/// Fails the test for `faults`, unless it is failing already.
pub fn complain(faults: &[String]) {
    if faults.is_empty() || std::thread::panicking() {
        return;
    }
    let few: Vec<&str> = faults.iter().take(5).map(String::as_str).collect();
    panic!("{} events are wrong:\n{}", faults.len(), few.join("\n"));
}

#[test]
fn events_that_differ_from_their_schema_are_noticed() {
    let event = json!({
        "id": "evt_01hzx3v7k9q2m4n6p8r0s2t4v6", "type": "user.deleted", "version": 1,
        "timestamp": "2026-01-15T10:30:00.000Z", "seq": 2, "userId": "alice",
        "data": { "externalUserId": "alice", "timestamp": "2026-01-15T10:30:00.000Z" },
    });
    assert_eq!(fault(&event), None);
    for (path, value) in [
        ("/type", json!("user.forgotten")),
        ("/type", json!("../openapi")),
        ("/version", json!(2)),
        ("/timestamp", json!("yesterday")),
        ("/seq", json!("2")),
        ("/data", json!({})),
        ("/data/externalUserId", json!("")),
        ("/data/timestamp", json!(1)),
    ] {
        let mut wrong = event.clone();
        *wrong.pointer_mut(path).expect("it is there") = value;
        assert!(fault(&wrong).is_some(), "{wrong}");
    }
    let mut more = event;
    more["data"]["more"] = json!(1);
    assert!(fault(&more).is_some(), "{more}");
}
