//! Prints responses of the service: in columns for people, as JSON for programs.

use std::io::{self, Write};

use serde_json::Value;

use super::service::Failure;

/// A column: its heading, and the function that reads its cell from an item.
pub(super) type Column = (&'static str, fn(&Value) -> String);

/// Columns of the list of endpoints.
pub(super) const ENDPOINTS: &[Column] = &[
    ("ENDPOINT", |item| text(&item["id"])),
    ("STATE", state),
    ("WAITING", |item| text(&item["lag"]["pending"])),
    ("IN FLIGHT", |item| text(&item["lag"]["inFlight"])),
    ("RETRYING", |item| text(&item["lag"]["retrying"])),
    ("EVENTS", |item| joined(&item["events"])),
    ("URL", |item| match &item["url"] {
        Value::Null => "none: its events are pulled".to_owned(),
        url => text(url),
    }),
];

/// Columns of the list of deliveries.
pub(super) const DELIVERIES: &[Column] = &[
    ("EVENT", |item| text(&item["eventId"])),
    ("TYPE", |item| text(&item["type"])),
    ("STATUS", |item| text(&item["status"])),
    ("ATTEMPTS", |item| text(&item["attempts"])),
    ("LAST ATTEMPT", |item| text(&item["lastAttempt"]["at"])),
    ("CAME TO", |item| came_to(&item["lastAttempt"])),
    ("NEXT ATTEMPT", |item| text(&item["nextAttemptAt"])),
];

/// Columns of the list of attempts.
pub(super) const ATTEMPTS: &[Column] = &[
    ("ATTEMPT", |item| text(&item["number"])),
    ("AT", |item| text(&item["at"])),
    ("TOOK MS", |item| text(&item["durationMs"])),
    ("CAME TO", came_to),
    ("ANSWER", |item| text(&item["answer"])),
];

/// Columns of the list of dead letters.
pub(super) const DEAD_LETTERS: &[Column] = &[
    ("LETTER", |item| text(&item["id"])),
    ("ENDPOINT", |item| text(&item["endpointId"])),
    ("TYPE", |item| text(&item["type"])),
    ("ATTEMPTS", |item| text(&item["attempts"])),
    ("GIVEN UP", |item| text(&item["diedAt"])),
    ("REPLAYED", |item| text(&item["replayedAt"])),
    ("REASON", |item| text(&item["reason"])),
];

/// Returns a value on one line, without control characters: the response of an endpoint must not move the cursor of the terminal.
fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(120).map(shown).collect()
}

fn joined(value: &Value) -> String {
    let items = value.as_array().into_iter().flatten();
    items.map(text).collect::<Vec<_>>().join(",")
}

fn state(endpoint: &Value) -> String {
    if endpoint["isEnabled"] != true {
        return match &endpoint["disabledReason"] {
            Value::Null => "disabled".to_owned(),
            reason => format!("disabled: {}", text(reason)),
        };
    }
    match endpoint["lag"]["pausedForMs"].as_u64() {
        Some(ms) => format!("rests {} s", ms.div_ceil(1000)),
        None if endpoint["unknownEvents"].is_array() => {
            format!("enabled; unknown: {}", joined(&endpoint["unknownEvents"]))
        }
        None => "enabled".to_owned(),
    }
}

fn came_to(attempt: &Value) -> String {
    match (&attempt["error"], &attempt["status"]) {
        (Value::Null, status) => text(status),
        (error, _) => text(error),
    }
}

/// Prints a list as a table or as JSON.
pub(super) fn list(is_json: bool, items: Value, columns: &[Column]) -> Result<(), Failure> {
    if is_json {
        return one(&items);
    }
    let items: Vec<&Value> = items.as_array().into_iter().flatten().collect();
    if items.is_empty() {
        return print("none\n");
    }
    let mut rows = vec![columns.iter().map(|(head, _)| (*head).to_owned()).collect()];
    rows.extend(
        items
            .iter()
            .map(|item| columns.iter().map(|(_, cell)| cell(item)).collect()),
    );
    print(&aligned(&rows))
}

/// Prints one item in full.
pub(super) fn one(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    print(&format!("{text}\n"))
}

/// Prints a text.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that closes the pipe early (`| head`) is not an error.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Refused(format!(
            "the output cannot be written: {error}"
        ))),
        _ => Ok(()),
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_endpoints_state_is_one_word_and_why() {
        assert_eq!(state(&json!({ "isEnabled": true, "lag": {} })), "enabled");
        let rests = json!({ "isEnabled": true, "lag": { "pausedForMs": 1200 } });
        assert_eq!(state(&rests), "rests 2 s");
        let gone = json!({ "isEnabled": false, "disabledReason": "it answered 410 Gone" });
        assert_eq!(state(&gone), "disabled: it answered 410 Gone");
    }

    #[test]
    fn a_response_cannot_move_the_cursor() {
        assert_eq!(text(&json!("a\u{1b}[2Jb\nc")), "a [2Jb c");
        assert_eq!(text(&json!("x".repeat(500))).len(), 120);
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["A".to_owned(), "B".to_owned()],
            vec!["long".to_owned(), "-".to_owned()],
        ];
        assert_eq!(aligned(&rows), "A     B\nlong  -\n");
    }
}
