//! Integers as JSON Schema defines them: `60.0` and `6e1` are the integer 60.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// 2^63, the first number that is too large.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;

/// Converts `number` to an integer if it has no fraction and fits.
pub fn from_float(number: f64) -> Option<i64> {
    // The conversion is exact within the bounds.
    let is_whole = number.fract() == 0.0 && (-TOO_LARGE..TOO_LARGE).contains(&number);
    is_whole.then_some(number as i64)
}

/// Parses an integer that is written with a decimal point or an exponent.
pub fn from_text(text: &str) -> Option<i64> {
    text.parse().ok().and_then(from_float)
}

/// Deserializes an optional integer, for `#[serde(default, deserialize_with = "whole_number::optional")]`.
///
/// # Errors
/// If the number has a fraction or does not fit into `T`.
pub fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let Some(Whole(number)) = Option::deserialize(deserializer)? else {
        return Ok(None);
    };
    T::try_from(number).map(Some).map_err(|_| {
        de::Error::invalid_value(de::Unexpected::Signed(number), &"a whole number in range")
    })
}

struct Whole(i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number in range")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
                i64::try_from(number)
                    .map(Whole)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
                from_float(number)
                    .map(Whole)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "optional")]
        number: Option<u32>,
    }

    fn read(text: &str) -> Option<Option<u32>> {
        let text = format!(r#"{{"number":{text}}}"#);
        serde_json::from_str::<Body>(&text)
            .ok()
            .map(|body| body.number)
    }

    #[test]
    fn integral_floats_are_whole_numbers() {
        for (text, number) in [
            ("60", 60),
            ("60.0", 60),
            ("6e1", 60),
            ("1E3", 1000),
            ("-0.0", 0),
        ] {
            assert_eq!(read(text), Some(Some(number)), "{text}");
        }
        assert_eq!(read("null"), Some(None));
        for text in [
            "1.5",
            "-1",
            "1e300",
            "9223372036854775808",
            "4294967296",
            "true",
            "\"1\"",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(
            serde_json::from_str::<Body>("{}")
                .ok()
                .map(|body| body.number),
            Some(None)
        );
    }
}
