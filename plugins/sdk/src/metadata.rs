//! Data of the host that is attached to a resource.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::Patch;

/// JSON object that a host attaches to a message, conversation or user.
///
/// The service stores and returns it and never interprets it. In JSON it is an object. In a binary format (BSON) it is the object's text, so that no key or
/// number of the host has a meaning for the database.
#[derive(Clone, Default)]
pub struct Metadata(Arc<Inner>);

#[derive(Default)]
struct Inner {
    map: Map<String, Value>,
    /// Length of the map as JSON text, in bytes. Counted once, because a message is measured several times on its way.
    json_len: OnceLock<usize>,
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map.fmt(f)
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.0.map == other.0.map
    }
}

/// Writer that counts the bytes written to it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the length of `value` as JSON text, in bytes; [`usize::MAX`] if it cannot be encoded, because then it cannot be sent either.
pub fn json_len(value: &impl Serialize) -> usize {
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

impl Metadata {
    /// Maximum length of metadata as JSON text, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Returns the length of the object as JSON text, in bytes.
    pub fn json_len(&self) -> usize {
        *self.0.json_len.get_or_init(|| json_len(&self.0.map))
    }

    /// Returns the object.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0.map
    }
}

impl From<Map<String, Value>> for Metadata {
    fn from(map: Map<String, Value>) -> Self {
        Self(Arc::new(Inner {
            map,
            json_len: OnceLock::new(),
        }))
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.map.serialize(serializer)
        } else {
            let text = serde_json::to_string(&self.0.map).map_err(serde::ser::Error::custom)?;
            serializer.serialize_str(&text)
        }
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map: Map<String, Value> = if deserializer.is_human_readable() {
            Map::deserialize(deserializer)?
        } else {
            let text = String::deserialize(deserializer)?;
            serde_json::from_str(&text).map_err(de::Error::custom)?
        };
        Ok(map.into())
    }
}

/// Maximum nesting of metadata in a body; the body around it is one more level.
const MAX_DEPTH: usize = 63;

/// Deserializes metadata in the body of a caller, strictly: repeated keys, U+0000 and deep nesting are rejected.
///
/// # Errors
/// If the value is neither `null` nor such an object.
pub(crate) fn given<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Metadata>, D::Error> {
    Ok(Option::deserialize(d)?.map(|Given(metadata)| metadata))
}

/// Deserializes a change of metadata like [`given`].
///
/// # Errors
/// If the value is neither `null` nor such an object.
pub(crate) fn given_patch<'de, D: Deserializer<'de>>(d: D) -> Result<Patch<Metadata>, D::Error> {
    Ok(given(d)?.map_or(Patch::Clear, Patch::Set))
}

struct Given(Metadata);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match (Strict { depth: 0 }).deserialize(deserializer)? {
            Value::Object(map) => Ok(Self(map.into())),
            _ => Err(de::Error::custom("must be an object")),
        }
    }
}

/// Reader of a value at `depth`.
struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: de::Error>(&self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth <= MAX_DEPTH {
            Ok(Self { depth })
        } else {
            Err(E::custom("is nested too deep"))
        }
    }
}

fn without_nul<E: de::Error>(text: String) -> Result<String, E> {
    if text.contains('\0') {
        Err(E::custom("must not contain the character U+0000"))
    } else {
        Ok(text)
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        without_nul(value).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self.inner()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = fields.next_key()? {
            let key = without_nul(key)?;
            if map
                .insert(key, fields.next_value_seed(self.inner()?)?)
                .is_some()
            {
                return Err(de::Error::custom("a key must be given once"));
            }
        }
        Ok(Value::Object(map))
    }
}

impl poem_openapi::types::Type for Metadata {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> std::borrow::Cow<'static, str> {
        "metadata".into()
    }

    fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
        let mut schema = poem_openapi::registry::MetaSchema::new("object");
        schema.description = Some(
            "JSON object of the host, at most 16 KiB as text. The service does not interpret it.",
        );
        schema.additional_properties =
            Some(Box::new(poem_openapi::registry::MetaSchemaRef::Inline(
                Box::new(poem_openapi::registry::MetaSchema::ANY),
            )));
        poem_openapi::registry::MetaSchemaRef::Inline(Box::new(schema))
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        Some(self)
    }

    fn raw_element_iter<'a>(
        &'a self,
    ) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl poem_openapi::types::ParseFromJSON for Metadata {
    fn parse_from_json(value: Option<Value>) -> poem_openapi::types::ParseResult<Self> {
        match value.unwrap_or_default() {
            Value::Object(map) => Ok(map.into()),
            other => Err(poem_openapi::types::ParseError::expected_type(other)),
        }
    }
}

impl poem_openapi::types::ToJSON for Metadata {
    fn to_json(&self) -> Option<Value> {
        Some(Value::Object(self.0.map.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "given")]
        metadata: Option<Metadata>,
    }

    fn read(metadata: &str) -> Result<Option<Metadata>, serde_json::Error> {
        let text = format!(r#"{{"metadata":{metadata}}}"#);
        serde_json::from_str::<Body>(&text).map(|body| body.metadata)
    }

    #[test]
    fn metadata_of_a_caller_is_parsed_strictly() {
        let text = r#"{"a":[1,-2,3.5,null,true,"x"],"b":{"c":{}}}"#;
        let metadata = read(text).expect("valid").expect("an object");
        assert_eq!(Value::Object(metadata.as_map().clone()).to_string(), text);
        assert_eq!(read("null").expect("valid"), None);
        let nested = |depth| format!("{}{}", r#"{"a":"#.repeat(depth), "1") + &"}".repeat(depth);
        assert!(read(&nested(63)).is_ok());
        for text in [
            "[]".to_owned(),
            "1".to_owned(),
            r#"{"a":1,"a":2}"#.to_owned(),
            r#"{"a":{"b":1,"b":1}}"#.to_owned(),
            r#"{"a":"\u0000"}"#.to_owned(),
            r#"{"\u0000":1}"#.to_owned(),
            nested(64),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
