//! Times after which a user counts as away and typing ends by itself.

use std::time::Duration;

use super::Variable;
use super::parse;
use super::reader::Reader;

pub(super) const VARIABLES: &[Variable] = &[
    Variable::number("AWAY_THRESHOLD_SECONDS", "300"),
    Variable::number("TYPING_TTL_SECONDS", "5"),
    Variable::number("RECORDING_TTL_SECONDS", "30"),
];

/// Times of presence and typing.
#[derive(Debug, Clone)]
pub struct Presence {
    /// `AWAY_THRESHOLD_SECONDS`: seconds without activity until away, 1-86400; default 300.
    pub away_threshold: Duration,
    /// `TYPING_TTL_SECONDS`: seconds after which typing ends by itself, 1-300; default 5.
    pub typing_ttl: Duration,
    /// `RECORDING_TTL_SECONDS`: seconds after which recording ends by itself, 1-3600; default 30.
    pub recording_ttl: Duration,
}

impl Presence {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let away_threshold = reader.read("AWAY_THRESHOLD_SECONDS", |text| {
            parse::seconds(text, 1..=86_400)
        });
        let typing_ttl = reader.read("TYPING_TTL_SECONDS", |text| parse::seconds(text, 1..=300));
        let recording_ttl = reader.read("RECORDING_TTL_SECONDS", |text| {
            parse::seconds(text, 1..=3_600)
        });
        Some(Self {
            away_threshold: away_threshold?,
            typing_ttl: typing_ttl?,
            recording_ttl: recording_ttl?,
        })
    }
}
