//! Differences between two pieces of JSON, readable for people.

use serde_json::Value;

/// One line per place: the replica's value, then the one that REST answers.
pub fn differences(own: &Value, fresh: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    collect("", own, fresh, &mut lines);
    lines
}

fn collect(path: &str, own: &Value, fresh: &Value, lines: &mut Vec<String>) {
    match (own, fresh) {
        (Value::Object(one), Value::Object(other)) => {
            let names: std::collections::BTreeSet<&String> =
                one.keys().chain(other.keys()).collect();
            for name in names {
                let path = format!("{path}.{name}");
                let missing = Value::Null;
                let one = one.get(name).unwrap_or(&missing);
                let other = other.get(name).unwrap_or(&missing);
                collect(&path, one, other, lines);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                collect(&format!("{path}[{index}]"), one, other, lines);
            }
        }
        (one, other) if one == other => {}
        (one, other) => lines.push(format!(
            "{path}: by the events {}, by REST {}",
            short(one),
            short(other)
        )),
    }
}

fn short(value: &Value) -> String {
    let mut text = match value {
        Value::Array(items) => format!("{} items {value}", items.len()),
        _ => value.to_string(),
    };
    if text.len() > 300 {
        text.truncate(text.floor_char_boundary(300));
        text.push('…');
    }
    text
}
