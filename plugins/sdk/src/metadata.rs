//! Data of the host that is attached to a resource.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

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

impl Metadata {
    /// Maximum length of metadata as JSON text, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Returns the length of the object as JSON text, in bytes.
    pub fn json_len(&self) -> usize {
        *self.0.json_len.get_or_init(|| {
            let mut counter = Counter(0);
            // Counting cannot fail, and the keys of the map are texts.
            match serde_json::to_writer(&mut counter, &self.0.map) {
                Ok(()) => counter.0,
                Err(_) => usize::MAX,
            }
        })
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
