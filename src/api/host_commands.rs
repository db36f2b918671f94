//! Commands of hosts: operations that a backend calls by name with one JSON object, instead of method, path and body. Each command becomes a request
//! to the same operation in this process, so that checks, errors, limits and repetition are the same over REST and NATS.

use bytes::Bytes;
use chat_sdk::plugin::BoxFuture;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use poem::{
    Endpoint, Request, Response,
    endpoint::BoxEndpoint,
    error::ResponseError,
    http::{HeaderValue, Method, header},
};
use serde_json::{Map, Value};

use super::{
    auth::{ACTING_HEADER, SECRET_HEADER},
    error::{ApiError, Code, too_large},
    strict,
};
use crate::{
    commands::{Answer, Command, Commands, Described},
    config::Secret,
    domain::{DomainError, FieldError},
    edge::request_id,
};

/// A command and the REST operation behind it.
pub struct Row {
    /// Name of the command.
    pub name: &'static str,
    /// One sentence that says what the command does.
    pub about: &'static str,
    /// `operationId` in the OpenAPI document.
    pub operation: &'static str,
    method: Method,
    /// Path of the operation; each `{field}` is taken out of the object.
    path: &'static str,
    /// True if the other fields of the object are the body of the operation; if false, other fields are rejected.
    pub has_body: bool,
}

const fn row(
    name: &'static str,
    about: &'static str,
    operation: &'static str,
    method: Method,
    path: &'static str,
) -> Row {
    let has_body = !matches!(method, Method::DELETE);
    Row {
        name,
        about,
        operation,
        method,
        path,
        has_body,
    }
}

/// All commands of hosts.
pub static COMMANDS: [Row; 14] = [
    row(
        "messages.send",
        "Sends a message to a conversation.",
        "sendMessage",
        Method::POST,
        "/api/conversations/{conversationId}/messages",
    ),
    row(
        "messages.sendDirect",
        "Sends a message to a user.",
        "sendDirectMessage",
        Method::POST,
        "/api/messages",
    ),
    row(
        "messages.schedule",
        "Schedules a message.",
        "scheduleMessage",
        Method::POST,
        "/api/scheduled",
    ),
    row(
        "scheduled.change",
        "Changes a scheduled message.",
        "updateScheduledMessage",
        Method::PATCH,
        "/api/scheduled/{scheduledId}",
    ),
    row(
        "scheduled.cancel",
        "Cancels a scheduled message.",
        "cancelScheduledMessage",
        Method::DELETE,
        "/api/scheduled/{scheduledId}",
    ),
    row(
        "messages.edit",
        "Changes a message's text.",
        "editMessage",
        Method::PATCH,
        "/api/messages/{messageId}",
    ),
    row(
        "messages.delete",
        "Deletes a message.",
        "deleteMessage",
        Method::DELETE,
        "/api/messages/{messageId}",
    ),
    row(
        "conversations.create",
        "Creates a conversation.",
        "createConversation",
        Method::POST,
        "/api/conversations",
    ),
    row(
        "conversations.change",
        "Changes a conversation's settings.",
        "updateConversation",
        Method::PATCH,
        "/api/conversations/{conversationId}",
    ),
    row(
        "participants.add",
        "Adds users to a conversation.",
        "addParticipants",
        Method::POST,
        "/api/conversations/{conversationId}/participants",
    ),
    row(
        "participants.remove",
        "Removes a member from a conversation.",
        "removeParticipant",
        Method::DELETE,
        "/api/conversations/{conversationId}/participants/{userId}",
    ),
    row(
        "users.sync",
        "Creates a user, or overwrites the profile.",
        "syncUser",
        Method::POST,
        "/api/users/sync",
    ),
    row(
        "users.syncBatch",
        "Creates or overwrites up to 1,000 users.",
        "syncUsers",
        Method::POST,
        "/api/users/sync/batch",
    ),
    row(
        "users.delete",
        "Deletes a user; the messages stay, anonymised.",
        "deleteUser",
        Method::DELETE,
        "/api/users/{userId}",
    ),
];

impl Row {
    /// Returns the fields of the object that are path parameters.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('{')
            .skip(1)
            .filter_map(|piece| piece.split_once('}').map(|(field, _)| field))
    }

    /// Returns path and body of the request for `object`.
    fn request(&self, mut object: Map<String, Value>) -> Result<(String, Vec<u8>), ApiError> {
        let mut faults = Vec::new();
        let mut path = self.path.to_owned();
        for field in self.fields() {
            match object.remove(field) {
                Some(Value::String(id)) if !id.is_empty() => {
                    let id = utf8_percent_encode(&id, NON_ALPHANUMERIC).to_string();
                    path = path.replace(&format!("{{{field}}}"), &id);
                }
                Some(Value::String(_)) => {
                    faults.push(FieldError::new(field, "must have at least 1 character"));
                }
                Some(_) => faults.push(FieldError::new(field, "must be a string")),
                None => faults.push(FieldError::new(field, "is required")),
            }
        }
        if !self.has_body {
            let unknown = object.keys().take(strict::MAX_FAULTS);
            faults.extend(
                unknown.map(|name| FieldError::new(strict::shown(name), "is not a known field")),
            );
        }
        if !faults.is_empty() {
            return Err(DomainError::Validation(faults).into());
        }
        let body = match self.has_body {
            true => serde_json::to_vec(&object).map_err(ApiError::internal)?,
            false => Vec::new(),
        };
        Ok((path, body))
    }
}

/// Executes commands with the operations behind `endpoint`.
pub struct HostCommands {
    endpoint: std::sync::Arc<BoxEndpoint<'static, Response>>,
    secret: Secret,
    max_bytes: usize,
}

impl HostCommands {
    /// Creates the commands for `endpoint`, whose internal secret is `secret`; an object has at most `max_bytes` bytes.
    pub fn new(
        endpoint: std::sync::Arc<BoxEndpoint<'static, Response>>,
        secret: Secret,
        max_bytes: usize,
    ) -> Self {
        Self {
            endpoint,
            secret,
            max_bytes,
        }
    }

    fn read(&self, command: &Command) -> Result<Request, ApiError> {
        let Some(row) = COMMANDS.iter().find(|row| row.name == command.name) else {
            let names: Vec<&str> = COMMANDS.iter().map(|row| row.name).collect();
            let text = format!("There is no such command; there are {}.", names.join(", "));
            return Err(ApiError::new(Code::NotFound, text));
        };
        if command.payload.len() > self.max_bytes {
            return Err(too_large());
        }
        let (value, faults) = strict::parse(&command.payload)
            .map_err(|fault| DomainError::Validation(vec![fault]))?;
        if !faults.is_empty() {
            return Err(DomainError::Validation(faults).into());
        }
        let Value::Object(object) = value else {
            return Err(DomainError::invalid("body", "must be an object").into());
        };
        let (path, body) = row.request(object)?;
        let mut request = Request::builder()
            .method(row.method.clone())
            .uri_str(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        let headers = request.headers_mut();
        let mut secret =
            HeaderValue::from_bytes(self.secret.expose()).map_err(ApiError::internal)?;
        secret.set_sensitive(true);
        headers.insert(SECRET_HEADER, secret);
        if let Some(user) = &command.acting_user {
            let user = HeaderValue::from_str(user).map_err(|_| {
                DomainError::invalid(ACTING_HEADER, "must be UTF-8, percent-encoded")
            })?;
            headers.insert(ACTING_HEADER, user);
        }
        // A value that is not a valid header cannot be a request id: the edge makes a new one.
        if let Some(id) = command
            .request_id
            .as_ref()
            .and_then(|id| HeaderValue::from_str(id).ok())
        {
            headers.insert(request_id::HEADER, id);
        }
        Ok(request)
    }
}

impl Commands for HostCommands {
    fn described(&self) -> Vec<Described> {
        let describe = |row: &Row| Described {
            name: row.name,
            about: row.about,
        };
        COMMANDS.iter().map(describe).collect()
    }

    fn answer(&self, command: Command) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let response = match self.read(&command) {
                Ok(request) => self.endpoint.get_response(request).await,
                Err(error) => error.as_response(),
            };
            let text = |name: header::HeaderName| {
                let value = response.headers().get(name)?.to_str().ok()?;
                Some(value.to_owned())
            };
            let (status, retry_after) = (response.status().as_u16(), text(header::RETRY_AFTER));
            let request_id = text(request_id::HEADER);
            let body = response.into_body().into_bytes().await;
            Answer {
                status,
                body: body.unwrap_or_else(|_| Bytes::new()),
                retry_after,
                request_id,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::documents;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    fn find(name: &str) -> &'static Row {
        COMMANDS
            .iter()
            .find(|row| row.name == name)
            .expect("a command")
    }

    #[test]
    fn every_command_matches_its_operation() {
        let document: Value = serde_json::from_str(&documents().json).expect("JSON");
        for row in &COMMANDS {
            let path = row.path.replace("{conversationId}", "{id}");
            let path = path
                .replace("{messageId}", "{id}")
                .replace("{scheduledId}", "{id}")
                .replace("/api/users/{userId}", "/api/users/{id}");
            let operation = &document["paths"][&path][row.method.as_str().to_lowercase()];
            assert_eq!(operation["operationId"], row.operation, "{path}");
            assert_eq!(operation["requestBody"].is_object(), row.has_body, "{path}");
        }
    }

    #[test]
    fn ids_go_into_the_path_and_the_rest_is_the_body() {
        let (path, body) = find("messages.edit")
            .request(object(r#"{"messageId":"msg_1","content":"hi"}"#))
            .expect("a request");
        assert_eq!(
            (path.as_str(), body.as_slice()),
            ("/api/messages/msg%5F1", &br#"{"content":"hi"}"#[..])
        );
        let (path, body) = find("participants.remove")
            .request(object(r#"{"conversationId":"c","userId":"../a b/?x"}"#))
            .expect("a request");
        assert!(
            path.ends_with("/participants/%2E%2E%2Fa%20b%2F%3Fx"),
            "{path}"
        );
        assert!(body.is_empty());
    }

    #[test]
    fn missing_and_unknown_fields_are_named() {
        let Err(error) = find("participants.remove").request(object(r#"{"userId":7,"x":1}"#))
        else {
            panic!("it was taken");
        };
        let details = error.body().details.expect("details");
        let fields: Vec<&str> = details.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["conversationId", "userId", "x"]);
    }
}
