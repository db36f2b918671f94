//! All subjects of the product. The subject of a stored message never contains the id of a conversation or user: many subjects cost the server its indexes,
//! and a user's id may contain characters with a meaning in NATS.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use async_nats::Subject;
use chat_sdk::EventType;

use crate::model::entry::{Owner, SHARDS};

/// Type token of markers, which are not events and have a subject beside them.
const MARKER: &str = "marker";

/// The one event type without a verb part.
const NOOP: &str = "noop";

fn noun_of(kind: &str) -> &str {
    kind.split('.').next().unwrap_or_default()
}

/// The subjects under one prefix. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Subjects {
    prefix: Arc<str>,
    /// Subjects of events by shard and type, each built once.
    events: Arc<[OnceLock<Subject>]>,
}

impl Subjects {
    /// Returns the subjects that begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        let events = usize::from(SHARDS) * EventType::ALL.len();
        Self {
            prefix: prefix.into(),
            events: (0..events).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Returns the name of the event stream.
    pub fn stream(&self) -> String {
        format!("{}_EVENTS", self.prefix.to_uppercase())
    }

    /// Returns the subjects that the event stream stores.
    ///
    /// They are the events, and two kinds that hosts do not see: the relay's markers, and events published again for one durable.
    pub fn stored(&self) -> Vec<String> {
        vec![
            format!("{}.events.>", self.prefix),
            format!("{}.relay.>", self.prefix),
            format!("{}.replay.>", self.prefix),
        ]
    }

    /// Returns the subject on which an event is published.
    pub fn event(&self, owner: &Owner, kind: EventType) -> Subject {
        let shard = owner.shard();
        let make = || format!("{}.events.s{shard:02}.{kind}", self.prefix).into();
        match kind.place() {
            Some(place) => {
                let index = usize::from(shard) * EventType::ALL.len() + place;
                self.events[index].get_or_init(make).clone()
            }
            None => make(),
        }
    }

    /// Returns the subjects of a durable: events of `kinds` (all if `None`), and its replay subject.
    ///
    /// No two of them overlap: the server refuses that.
    pub fn of_durable(&self, durable: &str, kinds: Option<&[EventType]>) -> Vec<String> {
        let mut subjects = vec![self.replay(durable)];
        match kinds {
            None => subjects.push(format!("{}.events.>", self.prefix)),
            Some(kinds) => {
                let all: BTreeSet<&str> = EventType::all().map(EventType::as_str).collect();
                let wanted: BTreeSet<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                let nouns: BTreeSet<&str> = wanted.iter().map(|kind| noun_of(kind)).collect();
                for noun in nouns {
                    let of_noun = |kind: &&&str| noun_of(kind) == noun;
                    // All types of a noun together are one filter: many filters cost the server more.
                    if all.iter().filter(of_noun).all(|kind| wanted.contains(kind)) && noun != NOOP
                    {
                        subjects.push(format!("{}.events.*.{noun}.*", self.prefix));
                    } else {
                        let kinds = wanted.iter().filter(of_noun);
                        subjects
                            .extend(kinds.map(|kind| format!("{}.events.*.{kind}", self.prefix)));
                    }
                }
            }
        }
        subjects
    }

    /// Returns the subject of events of users' logs and of users' latest values.
    pub fn events_of_users(&self) -> String {
        format!("{}.events.*.user.*", self.prefix)
    }

    /// Returns the subject on which events are published again for one durable.
    pub fn replay(&self, durable: &str) -> String {
        format!("{}.replay.{durable}", self.prefix)
    }

    /// Returns the durable to which a replay subject belongs.
    pub fn durable_of_replay<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject
            .strip_prefix(&*self.prefix)?
            .strip_prefix(".replay.")
            .filter(|name| !name.contains(['.', '*', '>']))
    }

    /// Returns the subject of the relay's markers.
    pub fn marker(&self) -> String {
        format!("{}.relay.{MARKER}", self.prefix)
    }

    /// Returns the event type of a stored subject; `None` for a marker or an unknown type.
    pub fn kind_of(&self, subject: &str) -> Option<EventType> {
        EventType::stored(self.type_of(subject)?).ok()
    }

    /// Returns the event type of a stored subject as text, including types unknown to this version.
    pub fn type_of<'a>(&self, subject: &'a str) -> Option<&'a str> {
        let rest = subject
            .strip_prefix(&*self.prefix)?
            .strip_prefix(".events.s")?;
        rest.split_once('.').map(|(_, kind)| kind)
    }

    /// Returns the subject of commands for the writer of process `node`.
    pub fn commands(&self, node: &str) -> String {
        format!("{}.cmd.{node}", self.prefix)
    }

    /// Returns the subject on which process `node` is asked to apply entries to the documents.
    pub fn apply_now(&self, node: &str) -> String {
        format!("{}.cmd.{node}.apply", self.prefix)
    }

    /// Returns the wildcard subject of all commands of a host.
    pub fn host_commands(&self, host: &str) -> String {
        format!("{}.api.{host}.>", self.prefix)
    }

    /// Returns the subject of one command of a host.
    pub fn host_command(&self, host: &str, command: &str) -> String {
        format!("{}.api.{host}.{command}", self.prefix)
    }

    /// Returns the host and the command of a host command's subject.
    pub fn command_of<'a>(&self, subject: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = subject.strip_prefix(&*self.prefix)?.strip_prefix(".api.")?;
        rest.split_once('.')
    }

    /// Returns the subject on which a plugin is asked for the verdict of its hook.
    pub fn hook(&self, plugin: &str) -> String {
        format!("{}.hook.{plugin}", self.prefix)
    }

    /// Returns the prefix of every subject.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the subject on which processes announce their users.
    pub fn presence(&self) -> String {
        format!("{}.eph.presence", self.prefix)
    }

    /// Returns the subject of ephemeral events of plugins.
    pub fn signals(&self) -> String {
        format!("{}.eph.signals", self.prefix)
    }

    /// Returns the subject on which nodes send typing and recording indicators.
    pub fn typing(&self) -> String {
        format!("{}.eph.typing", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_sdk::UserId;

    #[test]
    fn a_durable_reads_with_few_filters() {
        let subjects = Subjects::new("chat");
        assert_eq!(
            subjects.of_durable("webhooks-a", None),
            ["chat.replay.webhooks-a", "chat.events.>"]
        );
        let kinds: Vec<EventType> = EventType::ALL
            .iter()
            .copied()
            .filter(|kind| {
                kind.as_str().starts_with("reaction.") || *kind == EventType::MessageCreated
            })
            .collect();
        assert_eq!(
            subjects.of_durable("x", Some(&kinds)),
            [
                "chat.replay.x",
                "chat.events.*.message.created",
                "chat.events.*.reaction.*",
            ]
        );
    }

    #[test]
    fn durable_is_identified_by_its_replay_subject() {
        let subjects = Subjects::new("chat");
        let own = subjects.replay("webhooks-a");
        assert_eq!(subjects.durable_of_replay(&own), Some("webhooks-a"));
        for other in [
            "chat.events.>",
            "chat.replay.>",
            "chat.replay.a.b",
            "x.replay.a",
        ] {
            assert_eq!(subjects.durable_of_replay(other), None, "{other}");
        }
    }

    #[test]
    fn user_ids_do_not_change_the_shape_of_a_subject() {
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
