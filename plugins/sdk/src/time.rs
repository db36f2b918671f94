//! Timestamps in the format of the contract.

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::openapi::openapi_string;

/// Time in UTC with milliseconds, written `2026-01-15T10:30:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Returns the current time of this machine's clock.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    /// Returns the time `millis` milliseconds after 1970-01-01.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since 1970-01-01.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

/// Fills `digits` with `value`, with leading zeros.
fn write_digits(digits: &mut [u8], value: u32) {
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        // A remainder below ten fits into a byte.
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

impl Timestamp {
    /// Returns the time as text. Every event has several times, so this avoids the cost of the formatting machinery.
    fn text(self) -> [u8; 24] {
        let millis = self.0.rem_euclid(1000) as u32;
        let (moment, millis) = match OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000)) {
            // The standard allows only years from 0 to 9999.
            Ok(moment) if moment.year() >= 0 => (moment, millis),
            _ => (OffsetDateTime::UNIX_EPOCH, 0),
        };
        let mut text = *b"0000-00-00T00:00:00.000Z";
        write_digits(&mut text[..4], moment.year().unsigned_abs());
        write_digits(&mut text[5..7], u8::from(moment.month()).into());
        write_digits(&mut text[8..10], moment.day().into());
        write_digits(&mut text[11..13], moment.hour().into());
        write_digits(&mut text[14..16], moment.minute().into());
        write_digits(&mut text[17..19], moment.second().into());
        write_digits(&mut text[20..23], millis);
        text
    }
}

fn as_str(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("digits and signs of ASCII")
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(as_str(&self.text()))
    }
}

impl FromStr for Timestamp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| "must be a time such as 2026-01-15T10:30:00.000Z")?;
        i64::try_from(moment.unix_timestamp_nanos() / 1_000_000)
            .map(Self)
            .map_err(|_| "must be a time within the next centuries")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(as_str(&self.text()))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

openapi_string!(
    Timestamp,
    "timestamp",
    Some("date-time"),
    "2026-01-15T10:30:00.000Z",
    "Time in UTC, ISO 8601 with milliseconds."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_and_read_with_milliseconds() {
        let moment = Timestamp::from_millis(1_768_473_000_007);
        assert_eq!(moment.to_string(), "2026-01-15T10:30:00.007Z");
        assert_eq!("2026-01-15T10:30:00.007Z".parse(), Ok(moment));
        assert_eq!("2026-01-15T12:30:00.007+02:00".parse(), Ok(moment));
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (i64::MAX, "1970-01-01T00:00:00.000Z"),
            (i64::MIN, "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
