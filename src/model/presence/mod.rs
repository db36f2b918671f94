//! Presence of users: what the nodes tell each other, and what others see of it.

mod gossip;
mod publication;
mod table;
#[cfg(test)]
mod tests_table;

use std::time::Duration;

use chat_sdk::{ChosenStatus, EventType, PresenceStatus};
use serde::{Deserialize, Serialize};

pub use gossip::{Change, Entry, GossipEnvelope, GossipMessage};
pub use publication::Transition;
pub use table::PresenceTable;

/// Interval between heartbeats of a process, which carry the version number of its last change.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// Time after which a silent process takes no commands any more.
///
/// Shorter than [`LEASE`]: a writer that is wrongly taken for dead costs rejected numbers, a wrong departure is visible to users.
pub const WRITER_LEASE: Duration = Duration::from_secs(4);

/// Time after which the users of a silent process count as offline.
pub const LEASE: Duration = Duration::from_secs(7);

/// Time after its last socket closed in which a user still counts as online.
///
/// A quick return is not a departure.
pub const GRACE: Duration = Duration::from_secs(3);

/// Number of members from which presence and typing are not sent to a conversation's members.
pub const LARGE_CONVERSATION: u32 = 1000;

/// Status that a user chose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    /// The chosen status.
    pub status: ChosenStatus,
    /// Status text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Time of the choice (milliseconds since 1970); 0 if the user never chose.
    pub at: i64,
}

/// Presence of a user, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VisiblePresence {
    /// The status.
    pub status: PresenceStatus,
    /// Status text; `None` while offline.
    pub text: Option<String>,
}

impl VisiblePresence {
    /// Returns true if the user looks offline.
    pub fn is_offline(&self) -> bool {
        self.status == PresenceStatus::Offline
    }

    /// Returns the type of the event that publishes it.
    pub fn kind(&self) -> EventType {
        match self.status {
            PresenceStatus::Online | PresenceStatus::Busy => EventType::UserOnline,
            PresenceStatus::Away => EventType::UserAway,
            PresenceStatus::Offline => EventType::UserOffline,
        }
    }
}

/// Relation of the viewer to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Another user, for whom invisible users are offline.
    Other,
    /// The user themselves.
    Own,
}

/// Returns the presence of a user with `entries` on the living nodes.
///
/// The newest choice counts; if the user has several devices, one active device is enough.
pub fn shown<'a>(entries: impl Iterator<Item = &'a Entry>, viewer: Viewer) -> VisiblePresence {
    let mut chosen: Option<&Chosen> = None;
    let mut is_active = false;
    for entry in entries {
        is_active |= entry.is_active;
        if chosen.is_none_or(|newest| entry.chosen.at > newest.at) {
            chosen = Some(&entry.chosen);
        }
    }
    let Some(chosen) = chosen else {
        return VisiblePresence::default();
    };
    let status = match chosen.status {
        ChosenStatus::Invisible if viewer == Viewer::Other => return VisiblePresence::default(),
        ChosenStatus::Busy => PresenceStatus::Busy,
        ChosenStatus::Away => PresenceStatus::Away,
        ChosenStatus::Online | ChosenStatus::Invisible if is_active => PresenceStatus::Online,
        ChosenStatus::Online | ChosenStatus::Invisible => PresenceStatus::Away,
    };
    VisiblePresence {
        status,
        text: chosen.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(is_active: bool, status: ChosenStatus, at: i64) -> Entry {
        Entry {
            is_active,
            chosen: Chosen {
                status,
                text: Some(format!("since {at}")),
                at,
            },
            since: 0,
        }
    }

    fn status(entries: &[Entry], viewer: Viewer) -> PresenceStatus {
        shown(entries.iter(), viewer).status
    }

    #[test]
    fn a_user_without_a_socket_is_offline_without_a_status_text() {
        assert_eq!(
            shown([].into_iter(), Viewer::Other),
            VisiblePresence::default()
        );
    }

    #[test]
    fn one_active_device_makes_a_user_online() {
        let idle = entry(false, ChosenStatus::Online, 0);
        let used = entry(true, ChosenStatus::Online, 0);
        assert_eq!(
            status(std::slice::from_ref(&idle), Viewer::Other),
            PresenceStatus::Away
        );
        assert_eq!(status(&[idle, used], Viewer::Other), PresenceStatus::Online);
    }

    #[test]
    fn the_newest_chosen_status_counts_whatever_the_devices_do() {
        let old = entry(true, ChosenStatus::Away, 1);
        let new = entry(false, ChosenStatus::Busy, 2);
        let both = shown([&old, &new].into_iter(), Viewer::Other);
        assert_eq!(both.status, PresenceStatus::Busy);
        assert_eq!(both.text.as_deref(), Some("since 2"));
        assert_eq!(
            status(std::slice::from_ref(&old), Viewer::Other),
            PresenceStatus::Away
        );
    }

    #[test]
    fn invisible_users_look_offline_to_all_others() {
        let hidden = [entry(true, ChosenStatus::Invisible, 1)];
        assert_eq!(
            shown(hidden.iter(), Viewer::Other),
            VisiblePresence::default()
        );
        assert_eq!(status(&hidden, Viewer::Own), PresenceStatus::Online);
    }
}
