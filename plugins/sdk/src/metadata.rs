//! The host's own data on a noun.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

/// Free JSON that a host attaches to a message, conversation or user; the service stores and returns it unread.
///
/// In JSON it is an object. In a binary format (BSON) it is the object's text, so that no key or number of the host's can mean
/// anything to a database.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata(Arc<Map<String, Value>>);

impl Metadata {
    /// The most bytes that metadata may have as JSON text.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// How many bytes this is as JSON text.
    pub fn json_len(&self) -> usize {
        serde_json::to_string(&*self.0).map_or(usize::MAX, |text| text.len())
    }

    /// The object itself.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl From<Map<String, Value>> for Metadata {
    fn from(map: Map<String, Value>) -> Self {
        Self(Arc::new(map))
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            let text = serde_json::to_string(&*self.0).map_err(serde::ser::Error::custom)?;
            serializer.serialize_str(&text)
        }
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = if deserializer.is_human_readable() {
            Map::deserialize(deserializer)?
        } else {
            let text = String::deserialize(deserializer)?;
            serde_json::from_str(&text).map_err(de::Error::custom)?
        };
        Ok(Self(Arc::new(map)))
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
        schema.description = Some("Free JSON of the host, at most 16 KiB.");
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
        Some(Value::Object((*self.0).clone()))
    }
}
