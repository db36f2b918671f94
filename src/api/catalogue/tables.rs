//! Tables of the documents in Markdown: events, commands and rate limits.

use chat_sdk::{
    EventType,
    commands::{COMMANDS, Declaration, RateLimit},
};
use serde_json::Value;

use super::commands::{Documented, of_sockets};
use crate::{api::error::Code, contract::commands::contract, plugins::BUILT_IN};

/// Returns the table of all events.
pub fn events() -> String {
    table_of(EventType::all())
}

/// Returns the table of the events that a webhook endpoint can receive.
pub fn events_of_webhooks() -> String {
    let mut text = table_of(EventType::all().filter(|kind| *kind != EventType::Noop));
    text.push_str("| `webhook.test` | no | `{ webhookId }` | You asked for a test. |\n");
    text
}

fn table_of(kinds: impl Iterator<Item = EventType>) -> String {
    let mut text = String::from("| type | in the log | data | told when |\n|---|---|---|---|\n");
    for kind in kinds {
        let logged = if kind.is_logged() { "yes" } else { "no" };
        text.push_str(&format!(
            "| `{kind}` | {logged} | `{}` | {}. |\n",
            kind.data_name(),
            kind.about().trim_end_matches('.')
        ));
    }
    text
}

/// Returns the table of the commands of sockets.
pub fn socket_commands() -> String {
    let mut text =
        String::from("| command | effect | data | answer | errors |\n|---|---|---|---|---|\n");
    for Documented {
        name,
        index,
        command,
        ..
    } in of_sockets()
    {
        let answer = contract().ack(index, command);
        let answer = answer.map_or("–".to_owned(), |answer| fields_of(&answer));
        text.push_str(&format!(
            "| `{name}` | {} | {} | {answer} | {} |\n",
            command.declaration.about,
            fields_of(&contract().payloads[index]),
            errors_of(&command.declaration),
        ));
    }
    text
}

/// Returns the table of the rate limits and the commands of sockets that they count.
pub fn rate_limits() -> String {
    let mut text = String::from("| setting | commands |\n|---|---|\n");
    for limit in [RateLimit::Messages, RateLimit::Typing] {
        let counted: Vec<String> = of_sockets()
            .filter(|of| of.command.declaration.limit == limit)
            .map(|of| format!("`{}`", of.name))
            .collect();
        text.push_str(&format!(
            "| `{}` | {} |\n",
            limit.setting(),
            counted.join(", ")
        ));
    }
    text.push_str(&format!(
        "| `{}` | all others |\n",
        RateLimit::Api.setting()
    ));
    text
}

/// Returns the table of the commands of hosts.
pub fn host_commands() -> String {
    let document: Value =
        serde_json::from_str(&crate::api::documents(BUILT_IN).json).expect("the document is JSON");
    let mut text = String::from(
        "| command | effect | REST operation | fields | errors |\n|---|---|---|---|---|\n",
    );
    for (command, payload) in COMMANDS.iter().zip(&contract().payloads) {
        let declaration = &command.declaration;
        let (Some(name), Some(rest)) = (declaration.host, declaration.rest) else {
            continue;
        };
        text.push_str(&format!(
            "| `{name}` | {} | `{} {}` | {} | {} |\n",
            declaration.about,
            rest.method,
            path_of(&document, rest.operation),
            fields_of(payload),
            errors_of(declaration),
        ));
    }
    text
}

/// Returns the path of an operation as the OpenAPI document writes it.
fn path_of<'d>(document: &'d Value, operation: &str) -> &'d str {
    let paths = document["paths"].as_object().into_iter().flatten();
    let mut found = paths.filter(|(_, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations
            .into_iter()
            .any(|(_, one)| one["operationId"] == *operation)
    });
    found.next().map_or("", |(path, _)| path.as_str())
}

/// Returns the names of an object's fields, the required ones first, the others with `?`.
fn fields_of(object: &Value) -> String {
    let is_required = |name: &str| {
        let required = object["required"].as_array().into_iter().flatten();
        required.into_iter().any(|required| required == name)
    };
    let names = object["properties"].as_object().into_iter().flatten();
    let (required, optional): (Vec<&String>, Vec<&String>) = names
        .map(|(name, _)| name)
        .partition(|name| is_required(name));
    let required = required.into_iter().map(|name| format!("`{name}`"));
    let optional = optional.into_iter().map(|name| format!("`{name}?`"));
    let names: Vec<String> = required.chain(optional).collect();
    if names.is_empty() {
        "–".to_owned()
    } else {
        names.join(", ")
    }
}

/// Returns the error codes that a command declares.
fn errors_of(declaration: &Declaration) -> String {
    let codes: Vec<String> = declaration
        .errors
        .iter()
        .filter_map(|status| Code::of_status(*status))
        .map(|code| {
            format!(
                "`{}`",
                serde_json::to_value(code)
                    .unwrap_or_default()
                    .as_str()
                    .unwrap_or_default()
            )
        })
        .collect();
    if codes.is_empty() {
        "–".to_owned()
    } else {
        codes.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::catalogue;

    /// Returns the row of a table that begins with `name`.
    fn row<'t>(table: &'t str, name: &str) -> &'t str {
        let begin = format!("| `{name}` |");
        let found = table.lines().find(|line| line.starts_with(&begin));
        found.unwrap_or_else(|| panic!("{name} has no row"))
    }

    /// Returns the schema of the body of a REST operation.
    fn body_of<'d>(document: &'d Value, operation: &str) -> &'d Value {
        let item = &document["paths"][path_of(document, operation)];
        let operations = item.as_object().into_iter().flatten();
        let mut found = operations.filter(|(_, one)| one["operationId"] == *operation);
        let (_, found) = found.next().expect("an operation");
        let schema = &found["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let path = schema.as_str().expect("a schema").trim_start_matches('#');
        document.pointer(path).expect("a schema")
    }

    /// Returns the message of a command in the AsyncAPI document.
    fn message<'d>(document: &'d Value, name: &str) -> &'d Value {
        let messages = document["components"]["messages"]
            .as_object()
            .expect("messages");
        let found = messages.values().find(|message| message["name"] == *name);
        &found.expect("a message")["payload"]["properties"]
    }

    #[test]
    fn every_field_of_a_declaration_is_in_all_documents() {
        let openapi: Value =
            serde_json::from_str(&crate::api::documents(BUILT_IN).json).expect("JSON");
        let asyncapi: Value = serde_json::from_str(&catalogue::documents().json).expect("JSON");
        let (sockets, hosts) = (socket_commands(), host_commands());
        for (command, payload) in COMMANDS.iter().zip(&contract().payloads) {
            let declaration = &command.declaration;
            for field in payload["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name)
            {
                if let Some(rest) = declaration.rest
                    && !rest.path.contains(&format!("{{{field}}}"))
                {
                    let body = body_of(&openapi, rest.operation);
                    assert!(
                        !body["properties"][field].is_null(),
                        "{field} of {}",
                        rest.operation
                    );
                }
                if let Some(name) = declaration.socket {
                    let data = &message(&asyncapi, name)["data"]["properties"];
                    assert!(!data[field].is_null(), "{field} of {name}");
                    assert!(row(&sockets, name).contains(field), "{field} of {name}");
                }
                if let Some(name) = declaration.host {
                    assert!(
                        !message(&asyncapi, name)[field].is_null(),
                        "{field} of {name}"
                    );
                    assert!(row(&hosts, name).contains(field), "{field} of {name}");
                }
            }
        }
    }
}
