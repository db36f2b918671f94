//! Every subject of the product. No id of a conversation or user is ever part of one that is stored: many subjects cost the server its indexes, and a user's
//! id may contain what NATS gives a meaning.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use async_nats::Subject;
use chat_sdk::EventType;

use crate::domain::entry::{Owner, SHARDS};

/// Event type of markers, which are no events and lie beside them.
const MARKER: &str = "marker";

/// The one type of event without a verb.
const NOOP: &str = "noop";

fn noun_of(kind: &str) -> &str {
    kind.split('.').next().unwrap_or_default()
}

/// The subjects under one prefix. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Subjects {
    prefix: Arc<str>,
    /// Where events are published, by shard and type; each is put together once.
    events: Arc<[OnceLock<Subject>]>,
}

impl Subjects {
    /// Subjects that begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        let events = usize::from(SHARDS) * EventType::ALL.len();
        Self {
            prefix: prefix.into(),
            events: (0..events).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The name of the event stream.
    pub fn stream(&self) -> String {
        format!("{}_EVENTS", self.prefix.to_uppercase())
    }

    /// What the event stream keeps: events, and what hosts do not see: the relay's markers, and events that were put in again for one durable.
    pub fn stored(&self) -> Vec<String> {
        vec![
            format!("{}.events.>", self.prefix),
            format!("{}.relay.>", self.prefix),
            format!("{}.replay.>", self.prefix),
        ]
    }

    /// Where an event is published.
    pub fn event(&self, owner: &Owner, kind: EventType) -> Subject {
        let shard = owner.shard();
        // Types are numbered in the order of the catalogue.
        let index = usize::from(shard) * EventType::ALL.len() + kind as usize;
        let make = || format!("{}.events.s{shard:02}.{kind}", self.prefix).into();
        self.events[index].get_or_init(make).clone()
    }

    /// What a durable reads that gets the events of `kinds` (all without), and what is put in again for it. No two of them overlap: the server refuses that.
    pub fn of_durable(&self, durable: &str, kinds: Option<&[EventType]>) -> Vec<String> {
        let mut subjects = vec![self.replay(durable)];
        match kinds {
            None => subjects.push(format!("{}.events.>", self.prefix)),
            Some(kinds) => {
                let all: BTreeSet<&str> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
                let wanted: BTreeSet<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                let nouns: BTreeSet<&str> = wanted.iter().map(|kind| noun_of(kind)).collect();
                for noun in nouns {
                    let of_noun = |kind: &&&str| noun_of(kind) == noun;
                    // A noun that is wanted whole is one filter: many cost the server more.
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

    /// The events of users' logs, and users' latest values.
    pub fn events_of_users(&self) -> String {
        format!("{}.events.*.user.*", self.prefix)
    }

    /// Where events are put in again for one durable.
    pub fn replay(&self, durable: &str) -> String {
        format!("{}.replay.{durable}", self.prefix)
    }

    /// The durable whose subject for events that were put in again `subject` is.
    pub fn durable_of_replay<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject
            .strip_prefix(&*self.prefix)?
            .strip_prefix(".replay.")
            .filter(|name| !name.contains(['.', '*', '>']))
    }

    /// Where the relay puts its markers.
    pub fn marker(&self) -> String {
        format!("{}.relay.{MARKER}", self.prefix)
    }

    /// The type of event that a stored subject carries; `None` for a marker and for what this version does not know.
    pub fn kind_of(&self, subject: &str) -> Option<EventType> {
        self.type_of(subject)?.parse().ok()
    }

    /// The same as text; also for types that this version does not know.
    pub fn type_of<'a>(&self, subject: &'a str) -> Option<&'a str> {
        let rest = subject
            .strip_prefix(&*self.prefix)?
            .strip_prefix(".events.s")?;
        rest.split_once('.').map(|(_, kind)| kind)
    }

    /// Where commands for the writer of process `node` go.
    pub fn commands(&self, node: &str) -> String {
        format!("{}.cmd.{node}", self.prefix)
    }

    /// Where process `node` is asked to bring documents to where the log is.
    pub fn settling(&self, node: &str) -> String {
        format!("{}.cmd.{node}.settle", self.prefix)
    }

    /// Everything that a host may ask for.
    pub fn host_commands(&self, host: &str) -> String {
        format!("{}.api.{host}.>", self.prefix)
    }

    /// Where a host asks for one thing.
    pub fn host_command(&self, host: &str, command: &str) -> String {
        format!("{}.api.{host}.{command}", self.prefix)
    }

    /// The host and the command of such a subject.
    pub fn command_of<'a>(&self, subject: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = subject.strip_prefix(&*self.prefix)?.strip_prefix(".api.")?;
        rest.split_once('.')
    }

    /// What every subject begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where processes tell one another that they live.
    pub fn nodes(&self) -> String {
        format!("{}.eph.nodes", self.prefix)
    }

    /// Where processes tell one another which users they have.
    pub fn presence(&self) -> String {
        format!("{}.eph.presence", self.prefix)
    }

    /// Where processes tell one another that something was scheduled.
    pub fn due(&self) -> String {
        format!("{}.eph.due", self.prefix)
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
    fn a_durable_is_known_by_what_it_alone_reads() {
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
