//! Encoding of a socket's frame as a Server-Sent Event.

use serde::Deserialize;

/// The parts of a socket's frame for which an event stream has fields.
#[derive(Deserialize)]
struct FrameParts<'a> {
    event: &'a str,
    #[serde(borrow)]
    cursor: Option<&'a str>,
    #[serde(borrow, default)]
    data: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Connected<'a> {
    #[serde(borrow)]
    cursor: Option<&'a str>,
}

/// Appends a socket's frame as an event: its name, its cursor as the id, and the frame as the data.
pub(super) fn encode(text: &str, out: &mut String) {
    let Ok(parts) = serde_json::from_str::<FrameParts<'_>>(text) else {
        return;
    };
    let cursor = parts.cursor.or_else(|| {
        let data = parts.data.filter(|_| parts.event == "connected")?;
        serde_json::from_str::<Connected<'_>>(data.get())
            .ok()?
            .cursor
    });
    out.push_str("event: ");
    out.push_str(parts.event);
    if let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) {
        out.push_str("\nid: ");
        out.push_str(cursor);
    }
    // A line break inside a frame is JSON white space; in an event it would end the field.
    for line in text.split(['\n', '\r']) {
        out.push_str("\ndata: ");
        out.push_str(line);
    }
    out.push_str("\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> String {
        let mut out = String::new();
        encode(text, &mut out);
        out
    }

    #[test]
    fn a_frame_is_an_event_with_its_cursor_as_the_id() {
        let text = r#"{"event":"message:new","id":"evt_1","seq":4,"data":{"content":"a"},"cursor":"Abc_-"}"#;
        assert_eq!(
            encoded(text),
            format!("event: message:new\nid: Abc_-\ndata: {text}\n\n")
        );
    }

    #[test]
    fn frame_without_cursor_has_no_id() {
        let text = r#"{"event":"user:typing","data":{"cursor":"no"}}"#;
        assert_eq!(
            encoded(text),
            format!("event: user:typing\ndata: {text}\n\n")
        );
        let text = r#"{"event":"connected","data":{"cursor":"yes"}}"#;
        assert!(encoded(text).contains("\nid: yes\n"));
    }

    #[test]
    fn a_frame_over_several_lines_stays_one_event() {
        let text = "{\"event\":\"x\",\"data\":{\"a\":\r\n1}}";
        let event = encoded(text);
        let data: Vec<&str> = event
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        let frame: serde_json::Value =
            serde_json::from_str(&data.join("\n")).expect("is JSON again");
        assert_eq!(frame["data"]["a"], 1);
        assert_eq!(event.matches("\n\n").count(), 1);
    }
}
