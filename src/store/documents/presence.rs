//! Presence of users, as it is stored.

use chat_sdk::{ChosenStatus, PresenceStatus, UserId};
use mongodb::bson::DateTime;
use serde::{Deserialize, Serialize};

use crate::model::presence::Chosen;

/// Stored presence of a user. Fields that were never set are absent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceDocument {
    #[serde(rename = "_id")]
    pub(in crate::store) user: UserId,
    pub(in crate::store) chosen: Option<ChosenStatus>,
    pub(in crate::store) text: Option<String>,
    /// Time of the choice, in milliseconds since 1970.
    pub(in crate::store) chosen_at: Option<i64>,
    pub(in crate::store) last_seen: Option<DateTime>,
    /// True if the user was last published as online.
    #[serde(default)]
    pub(in crate::store) is_online: bool,
    pub(in crate::store) told_status: Option<PresenceStatus>,
    pub(in crate::store) told_text: Option<String>,
}

impl PresenceDocument {
    pub(in crate::store) fn chosen(&self) -> Option<Chosen> {
        Some(Chosen {
            status: self.chosen?,
            text: self.text.clone(),
            at: self.chosen_at?,
        })
    }
}
