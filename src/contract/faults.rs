//! Converts violations of a JSON Schema to sentences for the sender. They never quote the sent content.

use chat_sdk::{ConversationId, EventId, IdError, MessageId, ScheduledId, UserId};
use jsonschema::{
    ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind as Kind},
    paths::{Location, LocationSegment},
};
use serde_json::Value;

use super::json_parser::{MAX_FAULTS, shown};
use crate::model::FieldError;

/// Returns why `text` is not an id of the kind `format`; `None` if it is valid or `format` is not a kind of id.
pub fn id_fault(format: &str, text: &str) -> Option<IdError> {
    match format {
        "user-id" => text.parse::<UserId>().err(),
        "conversation-id" => text.parse::<ConversationId>().err(),
        "message-id" => text.parse::<MessageId>().err(),
        "event-id" => text.parse::<EventId>().err(),
        "scheduled-id" => text.parse::<ScheduledId>().err(),
        _ => None,
    }
}

/// Kinds of id that [`id_fault`] supports, as the `format` of a schema, each with the equivalent pattern for other programs.
pub const ID_FORMATS: [(&str, &str); 5] = [
    ("user-id", r"^[^\u0000-\u001F\u007F-\u009F]{1,128}$"),
    ("conversation-id", "^cnv_[0-9a-z]{26}$"),
    ("message-id", "^msg_[0-9a-z]{26}$"),
    ("event-id", "^evt_[0-9a-z]{26}$"),
    ("scheduled-id", "^sch_[0-9a-z]{26}$"),
];

const NUL: &str = "must not contain the character U+0000";

/// Returns the violations of `schema` in `value`, one fault per place.
pub fn find(schema: &Validator, value: &Value) -> Vec<FieldError> {
    let mut faults = Vec::new();
    for error in schema.iter_errors(value) {
        explain(&error, &mut faults);
        if faults.len() >= MAX_FAULTS {
            break;
        }
    }
    faults
}

/// Adds a fault for every string and field name in `value` that contains U+0000, which no store accepts. `place` is the path of `value`.
pub fn find_nul(place: &str, value: &Value, faults: &mut Vec<FieldError>) {
    match value {
        Value::String(text) if text.contains('\0') => {
            note(faults, place.to_owned(), NUL.to_owned())
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_nul(&format!("{place}[{index}]"), item, faults);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let place = join(place, name);
                if name.contains('\0') {
                    note(faults, place.clone(), NUL.to_owned());
                }
                find_nul(&place, field, faults);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn explain(error: &ValidationError<'_>, faults: &mut Vec<FieldError>) {
    let place = place(error.instance_path());
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            for name in unexpected {
                note(
                    faults,
                    join(&place, name),
                    "is not a known field".to_owned(),
                );
            }
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            note(faults, join(&place, name), "is required".to_owned());
        }
        // The choices are always "this or null", so only the faults of the first one are relevant.
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            for error in context.iter().flatten().take(1) {
                explain(error, faults);
            }
        }
        Kind::Format { format } => note(faults, place, form_problem(error, format)),
        Kind::Pattern { pattern } => {
            let format = ID_FORMATS.iter().find(|(_, known)| known == pattern);
            let problem = form_problem(error, format.map_or("", |(format, _)| format));
            note(faults, place, problem);
        }
        kind => note(faults, place, problem(kind)),
    }
}

fn form_problem(error: &ValidationError<'_>, format: &str) -> String {
    let text = error.instance().as_str().unwrap_or_default();
    id_fault(format, text).map_or("has the wrong form".to_owned(), |fault| fault.to_string())
}

fn note(faults: &mut Vec<FieldError>, place: String, problem: String) {
    let field = if place.is_empty() {
        "body".to_owned()
    } else {
        shown(&place)
    };
    if faults.iter().all(|fault| fault.field != field) {
        faults.push(FieldError::new(field, problem));
    }
}

fn problem(kind: &Kind) -> String {
    match kind {
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::Enum { options } => {
            let options: Vec<&str> = options
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            format!("must be one of {}", options.join(", "))
        }
        Kind::MinLength { limit } => format!("must have at least {}", counted(*limit, "character")),
        Kind::MaxLength { limit } => format!("must have at most {}", counted(*limit, "character")),
        Kind::MinItems { limit } => format!("must have at least {}", counted(*limit, "item")),
        Kind::MaxItems { limit } => format!("must have at most {}", counted(*limit, "item")),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::UniqueItems => "must not have the same item twice".to_owned(),
        _ => "has the wrong form".to_owned(),
    }
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn types(kind: &TypeKind) -> String {
    let name = |name: String| match name.as_str() {
        "array" => "a list".to_owned(),
        "integer" => "a whole number".to_owned(),
        "object" => "an object".to_owned(),
        "boolean" => "true or false".to_owned(),
        "null" => "null".to_owned(),
        other => format!("a {other}"),
    };
    match kind {
        TypeKind::Single(one) => name(one.to_string()),
        TypeKind::Multiple(some) => {
            let mut names: Vec<String> = some.iter().map(|one| name(one.to_string())).collect();
            // Sort null last: "a string or null" is easier to read.
            names.sort_by_key(|name| name == "null");
            names.join(" or ")
        }
    }
}

fn place(location: &Location) -> String {
    location
        .iter()
        .fold(String::new(), |path, segment| match segment {
            LocationSegment::Property(name) => join(&path, &name),
            LocationSegment::Index(index) => format!("{path}[{index}]"),
        })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
