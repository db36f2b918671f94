//! Payload of a command: path parameters and body in one JSON object, parsed in one pass.

use std::{borrow::Cow, fmt, marker::PhantomData};

use poem_openapi::registry::Registry;
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor,
        value::{MapAccessDeserializer, MapDeserializer},
    },
};
use serde_json::Value;

use super::{Command, Fields, PathFields};

/// Maximum number of fields of the first part; an array on the stack holds them.
const MAX_NAMES: usize = 3;

/// Part of a command without fields.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

impl Fields for Empty {
    fn register(_registry: &mut Registry) -> Option<Cow<'static, str>> {
        None
    }

    fn to_json(&self) -> Option<Value> {
        None
    }

    fn from_json(_json: Value) -> Option<Self> {
        Some(Self {})
    }
}

impl PathFields for Empty {
    const NAMES: &'static [&'static str] = &[];
}

/// Payload of a command over sockets. Unknown and repeated fields are rejected.
pub struct Payload<C: Command> {
    /// Path parameters.
    pub path: C::Path,
    /// Body.
    pub body: C::Body,
}

impl<'de, C: Command> Deserialize<'de> for Payload<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (path, body) = split(deserializer, C::Path::NAMES)?;
        Ok(Self { path, body })
    }
}

/// Deserializes one object to two types: the fields `names` to the first, all others to the second.
///
/// Both types can reject unknown fields, and only the few values of the first type are buffered. `#[serde(flatten)]` can do neither.
pub(super) fn split<'de, D, P, B>(
    deserializer: D,
    names: &'static [&'static str],
) -> Result<(P, B), D::Error>
where
    D: Deserializer<'de>,
    P: DeserializeOwned,
    B: Deserialize<'de>,
{
    deserializer.deserialize_map(Split {
        names,
        parts: PhantomData,
    })
}

struct Split<P, B> {
    names: &'static [&'static str],
    parts: PhantomData<fn() -> (P, B)>,
}

impl<'de, P: DeserializeOwned, B: Deserialize<'de>> Visitor<'de> for Split<P, B> {
    type Value = (P, B);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(P, B), A::Error> {
        let mut taken = [const { None }; MAX_NAMES];
        let rest = Rest {
            fields,
            names: self.names,
            taken: &mut taken,
        };
        let body = B::deserialize(MapAccessDeserializer::new(rest))?;
        let path = MapDeserializer::<_, serde_json::Error>::new(taken.into_iter().flatten());
        let path = P::deserialize(path).map_err(A::Error::custom)?;
        Ok((path, body))
    }
}

/// Fields of an object except `names`, whose values it moves to `taken`.
struct Rest<'t, A> {
    fields: A,
    names: &'static [&'static str],
    taken: &'t mut [Option<(&'static str, Value)>; MAX_NAMES],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(Key(key)) = self.fields.next_key()? {
            let index = self.names.iter().position(|name| *name == key);
            let Some((name, place)) = index.and_then(|index| {
                let place = self.taken.get_mut(index)?;
                Some((self.names[index], place))
            }) else {
                return seed.deserialize(key.into_deserializer()).map(Some);
            };
            if place.is_some() {
                return Err(A::Error::duplicate_field(name));
            }
            *place = Some((name, self.fields.next_value()?));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.fields.next_value_seed(seed)
    }
}

/// Name of a field. Unlike `Cow` itself, it borrows where it can.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{messages::EditMessage, scheduled::ScheduleMessage};

    const MESSAGE: &str = "msg_01hzx3v7k9q2m4n6p8r0s2t4v6";

    fn edit(text: &str) -> Result<Payload<EditMessage>, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn path_and_body_are_parsed_from_one_object() {
        let text = format!(r#"{{"content":"hi","message\u0049d":"{MESSAGE}"}}"#);
        let payload = edit(&text).expect("valid");
        assert_eq!(payload.path.message_id.as_str(), MESSAGE);
        assert_eq!(payload.body.content.value().map(String::as_str), Some("hi"));
        let value = serde_json::from_str::<Value>(&text).expect("JSON");
        assert!(serde_json::from_value::<Payload<EditMessage>>(value).is_ok());
    }

    #[test]
    fn missing_unknown_and_repeated_fields_are_rejected() {
        for text in [
            r#"{"content":"hi"}"#.to_owned(),
            format!(r#"{{"messageId":"{MESSAGE}","x":1}}"#),
            format!(r#"{{"messageId":"{MESSAGE}","messageId":"{MESSAGE}"}}"#),
            format!(r#"{{"messageId":"{MESSAGE}","content":"a","content":"b"}}"#),
            format!(r#"["{MESSAGE}","hi"]"#),
            r#"{"messageId":"msg_x"}"#.to_owned(),
        ] {
            assert!(edit(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_body_that_contains_another_body_rejects_unknown_fields() {
        let text = r#"{"receiverId":"bob","sendAt":"2026-01-16T08:00:00.000Z","content":"hi"}"#;
        let body: ScheduleMessage = serde_json::from_str(text).expect("valid");
        assert_eq!(body.message.content.as_deref(), Some("hi"));
        let unknown = text.replace("content", "text");
        assert!(serde_json::from_str::<ScheduleMessage>(&unknown).is_err());
    }
}
