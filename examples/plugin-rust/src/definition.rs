//! Texts of a poll, their limits, and the message that carries them.
//!
//! The first line of the message is the question, and each further line an option: so hooks and filters of the core see every text, and a client that knows
//! no polls shows them. The metadata of the message has `poll`, an object with `closesAt`, if that is set.

use std::collections::HashMap;

use chat_sdk::{
    Message, MessageType, Metadata, Timestamp,
    text::{Shape, fault, search_key},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Maximum length of a question in characters.
const MAX_QUESTION: usize = 300;
/// Minimum number of options.
const MIN_OPTIONS: usize = 2;
/// Maximum number of options.
pub const MAX_OPTIONS: usize = 10;
/// Maximum length of an option in characters.
const MAX_OPTION: usize = 100;
/// Maximum size of the question and all options together, in bytes.
const MAX_BYTES: usize = 4096;
/// Maximum time between the creation and `closesAt`, in milliseconds: 366 days.
const MAX_OPEN_TIME: i64 = 366 * 86_400_000;
/// Key of the metadata that makes a message a poll.
const KEY: &str = "poll";

/// Texts and end of a poll.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Question.
    pub question: String,
    /// Texts of the options.
    pub options: Vec<String>,
    /// Time at which it closes by itself; `None` for never.
    pub closes_at: Option<Timestamp>,
}

/// Value of the metadata's key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mark {
    #[serde(skip_serializing_if = "Option::is_none")]
    closes_at: Option<Timestamp>,
}

/// Faults by field.
type Faults = Vec<(String, String)>;

impl Definition {
    /// Returns the faults of the texts, each with its field.
    pub fn text_faults(&self) -> Faults {
        let mut faults = Faults::new();
        let question = fault(&self.question, Shape::Line, MAX_QUESTION);
        faults.extend(question.map(|problem| ("question".to_owned(), problem)));
        if !(MIN_OPTIONS..=MAX_OPTIONS).contains(&self.options.len()) {
            let problem = format!("must have {MIN_OPTIONS} to {MAX_OPTIONS} items");
            faults.push(("options".to_owned(), problem));
            return faults;
        }
        let mut known: HashMap<String, usize> = HashMap::new();
        for (index, option) in self.options.iter().enumerate() {
            let mut problem = fault(option, Shape::Line, MAX_OPTION);
            if problem.is_none()
                && let Some(first) = known.insert(search_key(option), index)
            {
                problem = Some(format!("is the same as options[{first}]"));
            }
            faults.extend(problem.map(|problem| (format!("options[{index}]"), problem)));
        }
        if self.content().len() > MAX_BYTES {
            let problem = format!("must have at most {MAX_BYTES} bytes, together with question");
            faults.push(("options".to_owned(), problem));
        }
        faults
    }

    /// Returns all faults of a new poll at the time `now`.
    pub fn faults(&self, now: Timestamp) -> Faults {
        let mut faults = self.text_faults();
        let opened = self.closes_at.map(|at| at.as_millis() - now.as_millis());
        if opened.is_some_and(|time| !(1..=MAX_OPEN_TIME).contains(&time)) {
            let problem = "must be in the future, at most 366 days ahead".to_owned();
            faults.push(("closesAt".to_owned(), problem));
        }
        faults
    }

    /// Returns the text of the message.
    pub fn content(&self) -> String {
        let lines = std::iter::once(&self.question).chain(&self.options);
        lines.map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Returns the metadata of the message.
    pub fn metadata(&self) -> Metadata {
        let mark = json!(Mark {
            closes_at: self.closes_at
        });
        Map::from_iter([(KEY.to_owned(), mark)]).into()
    }

    /// Returns the poll that a message defines; `None` if the message is no poll, is deleted or was edited.
    ///
    /// An edited message defines none, because votes are for the options that the members saw.
    pub fn of(message: &Message) -> Option<Self> {
        if message.kind != MessageType::Custom || message.is_deleted || message.is_edited {
            return None;
        }
        let mark: &Value = message.metadata.as_ref()?.as_map().get(KEY)?;
        let mark = Mark::deserialize(mark).ok()?;
        let mut lines = message.content.split('\n').map(str::to_owned);
        let definition = Self {
            question: lines.next()?,
            options: lines.collect(),
            closes_at: mark.closes_at,
        };
        definition.text_faults().is_empty().then_some(definition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(question: &str, options: &[&str]) -> Definition {
        Definition {
            question: question.to_owned(),
            options: options.iter().map(|text| (*text).to_owned()).collect(),
            closes_at: None,
        }
    }

    fn fields(definition: &Definition) -> Vec<String> {
        let faults = definition.faults(Timestamp::now()).into_iter();
        faults.map(|(field, _)| field).collect()
    }

    #[test]
    fn texts_are_bounded_in_number_characters_and_bytes() {
        let options: Vec<String> = (0..MAX_OPTIONS).map(|number| number.to_string()).collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        assert!(fields(&definition(&"q".repeat(MAX_QUESTION), &options)).is_empty());
        let long = "o".repeat(MAX_OPTION + 1);
        let more = [options.as_slice(), &["more"]].concat();
        let wide: Vec<String> = (0..MAX_OPTIONS)
            .map(|number| format!("{number}{}", "🂡".repeat(MAX_OPTION - 1)))
            .collect();
        let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
        let question = "q".repeat(MAX_QUESTION + 1);
        let large = "🂡".repeat(MAX_QUESTION);
        let cases: [(&str, &[&str], &str); 13] = [
            ("", &["a", "b"], "question"),
            (" \u{200b}", &["a", "b"], "question"),
            ("two\nlines", &["a", "b"], "question"),
            (&question, &["a", "b"], "question"),
            ("q", &[], "options"),
            ("q", &["a"], "options"),
            ("q", &more, "options"),
            ("q", &wide[..9], ""),
            (&large, &wide, "options"),
            ("q", &["a", ""], "options[1]"),
            ("q", &["a", "b\u{2028}c"], "options[1]"),
            ("q", &["a", &long], "options[1]"),
            ("q", &["Yes", "no", "ＹＥＳ"], "options[2]"),
        ];
        for (question, options, field) in cases {
            let expected: Vec<&str> = Some(field)
                .filter(|field| !field.is_empty())
                .into_iter()
                .collect();
            assert_eq!(
                fields(&definition(question, options)),
                expected,
                "{question} {options:?}"
            );
        }
    }

    #[test]
    fn the_end_is_in_the_future_and_not_far() {
        let now = Timestamp::now();
        for (after, is_good) in [
            (1, true),
            (MAX_OPEN_TIME, true),
            (0, false),
            (-1000, false),
            (MAX_OPEN_TIME + 1, false),
        ] {
            let poll = Definition {
                closes_at: Some(Timestamp::from_millis(now.as_millis() + after)),
                ..definition("q", &["a", "b"])
            };
            assert_eq!(poll.faults(now).is_empty(), is_good, "{after}");
        }
    }

    #[test]
    fn a_message_carries_the_poll_until_it_is_changed() {
        let poll = Definition {
            closes_at: Some(Timestamp::from_millis(1_768_473_000_007)),
            ..definition("Which colour?", &["red", "blue"])
        };
        let message = json!({
            "id": "msg_01hzx3v7k9q2m4n6p8r0s2t4v6", "conversationId": "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6",
            "seq": 7, "senderId": "alice", "content": poll.content(), "type": "custom", "attachments": [],
            "replyCount": 0, "mentions": [], "metadata": poll.metadata(), "reactions": [], "isEdited": false,
            "isDeleted": false, "createdAt": "2026-01-15T10:30:00.000Z", "updatedAt": "2026-01-15T10:30:00.000Z",
        });
        let of = |change: Value| {
            let mut message = message.clone();
            for (name, value) in change.as_object().into_iter().flatten() {
                message[name] = value.clone();
            }
            let message: Message = serde_json::from_value(message).expect("a message");
            Definition::of(&message)
        };
        assert_eq!(of(json!({})), Some(poll.clone()));
        let without_end = Definition {
            closes_at: None,
            ..poll
        };
        assert_eq!(
            of(json!({ "metadata": { "poll": {}, "other": 1 } })),
            Some(without_end)
        );
        for change in [
            json!({ "type": "text" }),
            json!({ "isEdited": true }),
            json!({ "isDeleted": true }),
            json!({ "metadata": {} }),
            json!({ "metadata": { "poll": { "winner": 1 } } }),
            json!({ "content": "Which colour?" }),
            json!({ "content": "Which colour?\nred\n" }),
        ] {
            assert_eq!(of(change.clone()), None, "{change}");
        }
    }
}
