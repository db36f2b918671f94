//! Every subject of the product. No id of a conversation or user is ever part of one that is stored: many subjects cost the server its indexes, and a user's
//! id may contain what NATS gives a meaning.

use chat_sdk::EventType;

use crate::domain::entry::Owner;

/// Event type of markers, which are no events and lie beside them.
const MARKER: &str = "marker";

/// The subjects under one prefix.
#[derive(Debug, Clone)]
pub struct Subjects {
    prefix: String,
}

impl Subjects {
    /// Subjects that begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The name of the event stream.
    pub fn stream(&self) -> String {
        format!("{}_EVENTS", self.prefix.to_uppercase())
    }

    /// What the event stream keeps: events, and the relay's markers, which hosts do not see.
    pub fn stored(&self) -> Vec<String> {
        vec![
            format!("{}.events.>", self.prefix),
            format!("{}.relay.>", self.prefix),
        ]
    }

    /// Where an event is published.
    pub fn event(&self, owner: &Owner, kind: EventType) -> String {
        format!("{}.events.s{:02}.{kind}", self.prefix, owner.shard())
    }

    /// Where the relay puts its markers.
    pub fn marker(&self) -> String {
        format!("{}.relay.{MARKER}", self.prefix)
    }

    /// The type of event that a stored subject carries; `None` for a marker and for what this version does not know.
    pub fn kind_of(&self, subject: &str) -> Option<EventType> {
        let rest = subject
            .strip_prefix(&self.prefix)?
            .strip_prefix(".events.s")?;
        let (_, kind) = rest.split_once('.')?;
        kind.parse().ok()
    }

    /// Where commands for a shard's writer go.
    pub fn commands(&self, shard: u8) -> String {
        format!("{}.cmd.s{shard:02}", self.prefix)
    }

    /// Where processes tell one another that they live.
    pub fn nodes(&self) -> String {
        format!("{}.eph.nodes", self.prefix)
    }

    /// Where processes tell one another which users they have.
    pub fn presence(&self) -> String {
        format!("{}.eph.presence", self.prefix)
    }

    /// Where nodes tell one another who is typing or recording.
    pub fn typing(&self) -> String {
        format!("{}.eph.typing", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_sdk::UserId;

    #[test]
    fn no_users_id_changes_the_shape_of_a_subject() {
        let subjects = Subjects::new("chat");
        for id in ["a.b", "*", ">", "$SYS", "_INBOX.x", "a b", "名前"] {
            let owner = Owner::from(id.parse::<UserId>().expect("valid"));
            let subject = subjects.event(&owner, EventType::UserSynced);
            assert_eq!(subject.split('.').count(), 5, "{subject}");
            assert!(
                subject.is_ascii() && !subject.contains(['*', '>', ' ', '$']),
                "{subject}"
            );
            assert_eq!(subjects.kind_of(&subject), Some(EventType::UserSynced));
        }
        assert_eq!(subjects.kind_of(&subjects.marker()), None);
    }
}
