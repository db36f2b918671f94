//! Strict JSON parser: rejects documents that two parsers could understand differently, and names the place.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::model::FieldError;

/// Maximum nesting of arrays and objects.
const MAX_DEPTH: usize = 64;
/// Maximum number of reported faults.
pub const MAX_FAULTS: usize = 100;
/// Maximum length of a reported place, in characters.
const MAX_PLACE: usize = 200;

/// Parses a document. Repeated fields are reported as faults; invalid JSON or too deep nesting stops the parser.
///
/// # Errors
/// The single fault of a document that cannot be parsed. It never quotes the document.
pub fn parse(text: &[u8]) -> Result<(Value, Vec<FieldError>), FieldError> {
    let mut place = Place::default();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let parsed = Reader { place: &mut place }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    match parsed {
        Ok(value) => Ok((value, place.faults)),
        Err(_) if place.is_too_deep => Err(FieldError::new(
            "body",
            format!("must not be nested more than {MAX_DEPTH} levels deep"),
        )),
        Err(_) if text.trim_ascii().is_empty() => {
            Err(FieldError::new("body", "must not be empty; send JSON"))
        }
        Err(error) => Err(FieldError::new(
            "body",
            format!(
                "is not valid JSON: see line {}, column {}",
                error.line(),
                error.column()
            ),
        )),
    }
}

/// Returns a place for display: of bounded length, on one line.
pub fn shown(place: &str) -> String {
    place
        .chars()
        .take(MAX_PLACE)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Position of the parser, and the faults so far.
#[derive(Default)]
struct Place {
    path: String,
    depth: usize,
    is_too_deep: bool,
    faults: Vec<FieldError>,
}

impl Place {
    fn note(&mut self, message: &'static str) {
        if self.faults.len() < MAX_FAULTS {
            let field = if self.path.is_empty() {
                "body".to_owned()
            } else {
                shown(&self.path)
            };
            self.faults.push(FieldError::new(field, message));
        }
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        self.is_too_deep = self.depth > MAX_DEPTH;
        if self.is_too_deep {
            Err(E::custom("too deep"))
        } else {
            Ok(())
        }
    }
}

struct Reader<'p> {
    place: &'p mut Place,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.place.enter()?;
        let length = self.place.path.len();
        let mut values = Vec::new();
        loop {
            self.place.path.push_str(&format!("[{}]", values.len()));
            let item = items.next_element_seed(Reader { place: self.place })?;
            self.place.path.truncate(length);
            match item {
                Some(value) => values.push(value),
                None => break,
            }
        }
        self.place.depth -= 1;
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        self.place.enter()?;
        let length = self.place.path.len();
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if length > 0 {
                self.place.path.push('.');
            }
            self.place.path.push_str(&key);
            let value = fields.next_value_seed(Reader { place: self.place })?;
            if map.insert(key, value).is_some() {
                self.place.note("must be given once");
            }
            self.place.path.truncate(length);
        }
        self.place.depth -= 1;
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(String, String)> {
        let faults = match parse(text.as_bytes()) {
            Ok((_, faults)) => faults,
            Err(fault) => vec![fault],
        };
        faults
            .into_iter()
            .map(|fault| (fault.field, fault.message.into_owned()))
            .collect()
    }

    #[test]
    fn parses_like_serde_json() {
        let text = r#"{"a":[1,-2,3.5,null,true,"x"],"b":{"c":{}}}"#;
        let (value, faults) = parse(text.as_bytes()).expect("valid JSON");
        assert_eq!(
            value,
            serde_json::from_str::<Value>(text).expect("valid JSON")
        );
        assert!(faults.is_empty());
    }

    #[test]
    fn repeated_fields_are_reported_with_their_places() {
        let found = faults(r#"{"a":{"b":[{"c":1,"c":2}]},"d":["x"],"a":1}"#);
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["a.b[0].c", "a"]);
    }

    #[test]
    fn deep_nesting_is_rejected() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(faults(&nested(64)).is_empty());
        for depth in [65, 128, 100_000] {
            assert!(faults(&nested(depth))[0].1.contains("64 levels"), "{depth}");
        }
    }

    #[test]
    fn invalid_documents_are_not_quoted() {
        for text in [
            r#"{"secret":"#,
            r#"{"secret":1}x"#,
            "secret",
            "\"\u{1}secret\"",
            "",
        ] {
            let found = faults(text);
            assert_eq!(found[0].0, "body", "{text:?}");
            assert!(!found[0].1.contains("secret"), "{text:?}");
        }
    }
}
