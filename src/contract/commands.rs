//! Payloads of commands: their schemas, built from the declarations of the sdk, and the parser that sockets use.
//!
//! A payload is parsed in one pass to its type. Only a payload that is invalid, or whose command failed, is parsed again against its schema, which
//! reports all faults at once, as REST does.

use std::{collections::HashMap, sync::LazyLock};

use chat_sdk::commands::{self, COMMANDS, Command, Declared, Parts, Payload};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::{
    faults, json_parser, normalise, openapi31,
    openapi31::SCHEMA_PREFIX,
    validation::{self, MAX_FAULTS},
};
use crate::model::{DomainError, FieldError, Result};

/// Schemas of the payloads and answers of all commands.
pub struct Contract {
    /// Schemas that payloads and answers refer to, by name.
    pub schemas: Value,
    /// Schema of the payload of each command, in the order of [`COMMANDS`].
    pub payloads: Vec<Value>,
    /// Schema of the answer of each command, in the order of [`COMMANDS`]; `None` without an answer.
    pub answers: Vec<Option<Value>>,
    validators: HashMap<&'static str, (usize, Validator)>,
}

/// Returns the schemas of all commands.
pub fn contract() -> &'static Contract {
    static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::new);
    &CONTRACT
}

impl Contract {
    fn new() -> Self {
        let (schemas, parts) = commands::schemas();
        let reference = |name: &Option<String>| match name {
            Some(name) => json!({ "$ref": format!("{SCHEMA_PREFIX}{name}") }),
            None => Value::Null,
        };
        let refs = |part: fn(&Parts) -> &Option<String>| -> Vec<Value> {
            parts.iter().map(|parts| reference(part(parts))).collect()
        };
        // One operation with every payload and answer: requests are closed, responses are open.
        let mut document = json!({
            "components": { "schemas": schemas },
            "paths": { "/": { "post": {
                "requestBody": [refs(|of| &of.path), refs(|of| &of.body)],
                "responses": refs(|of| &of.answer),
            } } },
        });
        openapi31::to_31(&mut document);
        openapi31::close_requests(&mut document);
        validation::hide_system(&mut document);
        let operation = document["paths"]["/"]["post"].take();
        let schemas = document["components"]["schemas"].take();
        let object = |reference: &Value| {
            let name = reference["$ref"].as_str()?.strip_prefix(SCHEMA_PREFIX)?;
            schemas.get(name).cloned()
        };
        let [paths, bodies] = [0_usize, 1].map(|part| operation["requestBody"][part].as_array());
        let payloads: Vec<Value> = paths
            .into_iter()
            .flatten()
            .zip(bodies.into_iter().flatten())
            .map(|(path, body)| merged(object(path), object(body)))
            .collect();
        let answers = operation["responses"].as_array().into_iter().flatten();
        let answers = answers
            .map(|answer| Some(answer).filter(|answer| answer.is_object()).cloned())
            .collect();
        let validators = validators(&schemas, &payloads);
        Self {
            schemas,
            payloads,
            answers,
            validators,
        }
    }

    /// Returns the object with the fields of an ack to a command beside `success`; `None` if it has none.
    pub fn ack(&self, index: usize, command: &Declared) -> Option<Value> {
        let answer = self.answers[index].as_ref()?;
        Some(match command.declaration.ack_field {
            Some(field) => json!({ "properties": { field: answer }, "required": [field] }),
            None => {
                let name = answer["$ref"].as_str()?.strip_prefix(SCHEMA_PREFIX)?;
                let schema = &self.schemas[name];
                json!({ "properties": schema["properties"], "required": schema["required"] })
            }
        })
    }
}

/// Returns one object with the fields of both.
fn merged(path: Option<Value>, body: Option<Value>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for part in [path, body].into_iter().flatten() {
        if let Some(fields) = part["properties"].as_object() {
            properties.extend(fields.clone());
        }
        required.extend(part["required"].as_array().cloned().unwrap_or_default());
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn validators(schemas: &Value, payloads: &[Value]) -> HashMap<&'static str, (usize, Validator)> {
    let components = json!({ "schemas": schemas });
    let components = validation::with_system(components);
    let mut validators = HashMap::new();
    for (index, (command, payload)) in COMMANDS.iter().zip(payloads).enumerate() {
        let Declared { declaration, .. } = command;
        for name in [declaration.socket, declaration.host].into_iter().flatten() {
            let validator = validation::validator(payload, &components);
            validators.insert(name, (index, validator));
        }
    }
    validators
}

/// Normalises `value`, the payload of the command `name`, and returns all its faults.
pub fn find_faults(name: &str, value: &mut Value) -> Vec<FieldError> {
    let contract = contract();
    let Some((index, validator)) = contract.validators.get(name) else {
        return Vec::new();
    };
    normalise::normalise(value, &contract.payloads[*index], &contract.schemas);
    let mut found = faults::find(validator, value);
    faults::find_nul("", value, &mut found);
    found
}

/// Parses the payload of a command over a socket.
///
/// # Errors
/// [`DomainError::Validation`] with every fault, in the words of REST.
pub fn parse<C: Command>(data: &str) -> Result<Payload<C>> {
    match serde_json::from_str(data) {
        Ok(payload) => Ok(payload),
        Err(_) => parse_checked::<C>(data),
    }
}

/// Parses the payload of a rare command over a socket: always against its schema.
///
/// # Errors
/// [`DomainError::Validation`] with every fault, in the words of REST.
pub fn parse_checked<C: Command>(data: &str) -> Result<Payload<C>> {
    let value = check(C::DECLARATION.socket.unwrap_or_default(), data)?;
    serde_json::from_value(value).map_err(|_| {
        // The error text may quote the content.
        DomainError::invalid(
            "data",
            "does not have the form that asyncapi.json describes",
        )
    })
}

/// Parses the payload of the command `name` of sockets against its schema.
///
/// # Errors
/// [`DomainError::Validation`] with every fault, in the words of REST.
pub fn check(name: &str, data: &str) -> Result<Value> {
    let of_data = |fault: FieldError| {
        if fault.field == "body" {
            FieldError::new("data", fault.message)
        } else {
            fault
        }
    };
    let parsed = json_parser::parse(data.as_bytes());
    let (mut value, mut found) =
        parsed.map_err(|fault| DomainError::Validation(vec![of_data(fault)]))?;
    found.extend(find_faults(name, &mut value));
    found.truncate(MAX_FAULTS);
    if found.is_empty() {
        Ok(value)
    } else {
        Err(DomainError::Validation(
            found.into_iter().map(of_data).collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use chat_sdk::commands::{
        messages::{EditMessage, SendOnSocket},
        reactions::RemoveReaction,
        sockets::Ping,
    };

    use super::*;

    const MESSAGE: &str = "msg_01hzx3v7k9q2m4n6p8r0s2t4v6";

    fn faults<C: Command>(data: &str) -> Vec<(String, String)> {
        match parse::<C>(data) {
            Err(DomainError::Validation(faults)) => faults
                .into_iter()
                .map(|fault| (fault.field, fault.message.into_owned()))
                .collect(),
            Err(error) => panic!("{error}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn every_command_is_known_by_all_its_names() {
        let names = COMMANDS
            .iter()
            .flat_map(|of| [of.declaration.socket, of.declaration.host])
            .flatten();
        let names: Vec<&str> = names.collect();
        assert_eq!(
            contract().validators.len(),
            names.len(),
            "a name is used twice"
        );
        assert_eq!(contract().payloads.len(), COMMANDS.len());
        assert!(names.contains(&"message:send") && names.contains(&"messages.send"));
    }

    #[test]
    fn all_faults_of_a_payload_are_reported_at_once() {
        let mut found = faults::<SendOnSocket>(
            r#"{"conversationId":"cnv_x","content":7,"attachments":[{"url":"","x":1}],"colour":1,"mentions":["me"],"silent":1,"silent":2}"#,
        );
        found.sort();
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "attachments[0].url",
                "attachments[0].x",
                "colour",
                "content",
                "conversationId",
                "mentions[0]",
                "silent",
                "silent",
            ]
        );
        assert!(
            faults::<EditMessage>("{}")
                .iter()
                .any(|(field, text)| field == "messageId" && text == "is required")
        );
        assert_eq!(
            faults::<EditMessage>("[]"),
            [("data".to_owned(), "must be an object".to_owned())]
        );
        assert_eq!(faults::<Ping>(r#"{"x":1}"#)[0].0, "x");
    }

    #[test]
    fn numbers_and_null_have_several_forms() {
        let text = format!(r#"{{"messageId":"{MESSAGE}","content":null,"metadata":{{"a":1.0}}}}"#);
        let payload = parse::<EditMessage>(&text).expect("valid");
        assert_eq!(payload.body.content, chat_sdk::Patch::Clear);
        let text = r#"{"receiverId":"bob","conversationId":null,"ttlSeconds":6e1,"attachments":[{"url":"a","size":1E3}]}"#;
        let payload = parse::<SendOnSocket>(text).expect("valid");
        assert_eq!(payload.body.ttl_seconds, Some(60));
        assert!(payload.path.conversation_id.is_none());
        let text = format!(r#"{{"messageId":"{MESSAGE}","emoji":"x"}}"#);
        assert_eq!(
            parse::<RemoveReaction>(&text).expect("valid").path.emoji,
            "x"
        );
    }
}
