//! Commands of hosts: operations that a backend calls by name with one JSON object, instead of method, path and body. Each command becomes a request
//! to the same operation in this process, so that checks, errors, limits and repetition are the same over REST and NATS.

use std::sync::Arc;

use chat_sdk::{
    commands::{COMMANDS, Declared, Rest},
    plugin::BoxFuture,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use poem::{
    Request, Response,
    endpoint::BoxEndpoint,
    http::{HeaderValue, Method, header},
};
use serde_json::{Map, Value};

use super::{
    auth::{ACTING_HEADER, SECRET_HEADER},
    error::{ApiError, Code},
    local,
};
use crate::{
    config::Secret,
    contract::{commands::find_faults, json_parser},
    http::request_id,
    model::{
        DomainError, bounds,
        host_commands::{Answer, Command, Commands, Described},
    },
};

/// A command of hosts and the REST operation behind it.
struct Row {
    name: &'static str,
    about: &'static str,
    rest: Rest,
}

/// Returns all commands of hosts.
fn rows() -> impl Iterator<Item = Row> {
    COMMANDS.iter().filter_map(|Declared { declaration, .. }| {
        Some(Row {
            name: declaration.host?,
            about: declaration.about,
            rest: declaration.rest?,
        })
    })
}

impl Row {
    /// Returns the fields of the object that are path parameters.
    fn fields(&self) -> impl Iterator<Item = &'static str> {
        self.rest
            .path
            .split('{')
            .skip(1)
            .filter_map(|piece| piece.split_once('}').map(|(field, _)| field))
    }

    fn method(&self) -> Result<Method, ApiError> {
        Method::from_bytes(self.rest.method.as_bytes()).map_err(ApiError::internal)
    }

    /// True if the other fields of the object are the body of the operation; if false, other fields are rejected.
    fn has_body(&self) -> bool {
        self.rest.method != "DELETE"
    }

    /// Returns path and body of the request for `object`.
    ///
    /// The operation itself checks the body. If the fields of the path are faulty, the whole object is checked here, so that all faults are reported at
    /// once. The form of an id is not: an invalid id gets the same 404 as a missing resource.
    fn request(&self, mut object: Map<String, Value>) -> Result<(String, Vec<u8>), ApiError> {
        let is_named = |field: &str| {
            object
                .get(field)
                .is_some_and(|id| id.as_str().is_some_and(|id| !id.is_empty()))
        };
        let is_too_much = !self.has_body() && object.len() > self.fields().count();
        if is_too_much || !self.fields().all(is_named) {
            let faults = find_faults(self.name, &mut Value::Object(object));
            return Err(DomainError::Validation(faults).into());
        }
        let mut path = self.rest.path.to_owned();
        for field in self.fields() {
            if let Some(Value::String(id)) = object.remove(field) {
                let id = utf8_percent_encode(&id, NON_ALPHANUMERIC).to_string();
                path = path.replace(&format!("{{{field}}}"), &id);
            }
        }
        let body = if self.has_body() {
            serde_json::to_vec(&object).map_err(ApiError::internal)?
        } else {
            Vec::new()
        };
        Ok((path, body))
    }
}

/// Executes commands with the operations behind `endpoint`.
pub struct HostCommands {
    endpoint: Arc<BoxEndpoint<'static, Response>>,
    secret: Secret,
}

impl HostCommands {
    /// Creates the commands for `endpoint`, whose internal secret is `secret`.
    pub fn new(endpoint: Arc<BoxEndpoint<'static, Response>>, secret: Secret) -> Self {
        Self { endpoint, secret }
    }

    fn read(&self, command: &Command) -> Result<Request, ApiError> {
        let Some(row) = rows().find(|row| row.name == command.name) else {
            let names: Vec<&str> = rows().map(|row| row.name).collect();
            let text = format!("There is no such command; there are {}.", names.join(", "));
            return Err(ApiError::new(Code::NotFound, text));
        };
        if command.payload.len() > bounds::REQUEST_BODY {
            return Err(ApiError::body_too_large());
        }
        let (mut value, mut faults) = json_parser::parse(&command.payload)
            .map_err(|fault| DomainError::Validation(vec![fault]))?;
        if !faults.is_empty() {
            faults.extend(find_faults(row.name, &mut value));
            return Err(DomainError::Validation(faults).into());
        }
        let Value::Object(object) = value else {
            return Err(DomainError::invalid("body", "must be an object").into());
        };
        let (path, body) = row.request(object)?;
        let mut request = Request::builder()
            .method(row.method()?)
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
        rows()
            .map(|row| Described {
                name: row.name,
                about: row.about,
            })
            .collect()
    }

    fn answer(&self, command: Command) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match self.read(&command) {
                Ok(request) => {
                    let client = local::client(request.method().clone());
                    local::send(Arc::clone(&self.endpoint), request, client).await
                }
                Err(error) => local::read(error.response()).await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    fn find(name: &str) -> Row {
        rows().find(|row| row.name == name).expect("a command")
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
        let mut fields: Vec<&str> = details.iter().map(|fault| fault.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["conversationId", "userId", "x"]);
        let Err(error) = find("messages.edit").request(object(r#"{"content":7,"x":1}"#)) else {
            panic!("it was taken");
        };
        let details = error.body().details.expect("details");
        assert_eq!(
            details.len(),
            3,
            "faults of the path and of the body: {details:?}"
        );
    }
}
