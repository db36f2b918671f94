//! Types of the events that plugins declare.
//!
//! A type is known by its name for the whole life of a process: one of a plugin that does not run here is still read from the log and the stream.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{OnceLock, PoisonError, RwLock},
};

use poem_openapi::{registry::Registry, types::Type};

/// Maximum number of types that a process knows; further ones are unknown.
const MAX_KINDS: usize = 10_000;
/// Maximum length of a name in bytes.
const MAX_NAME: usize = 64;

/// Owner of the log that holds the events of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOwner {
    /// A conversation: its members receive the event.
    Conversation,
    /// A user, who alone receives it.
    User,
}

/// Event that a plugin declares in its factory. It is part of the catalogue, the AsyncAPI document and the JSON Schemas.
#[derive(Clone, Copy)]
pub struct PluginEvent {
    /// Type: the name of the plugin, or a prefix that its factory declares, a dot, and a verb: lower-case letters, digits and `_`.
    pub kind: &'static str,
    /// Name of the event over sockets; `None` if no socket receives it.
    pub frame: Option<&'static str>,
    /// One sentence that says when it is sent.
    pub about: &'static str,
    /// Owner of the log.
    pub owner: EventOwner,
    /// True if it is an entry of the log: numbered, resumable and delivered to hosts and webhooks. False if it goes to connected sockets only and is
    /// stored nowhere.
    pub is_logged: bool,
    /// Registers the schema of its data and returns the name of the schema.
    pub data: fn(&mut Registry) -> Cow<'static, str>,
}

impl PluginEvent {
    /// Returns an event in the log of a conversation, with data of the type `T`.
    pub const fn of_conversation<T: Type>(kind: &'static str, about: &'static str) -> Self {
        Self {
            kind,
            frame: None,
            about,
            owner: EventOwner::Conversation,
            is_logged: true,
            data: register::<T>,
        }
    }

    /// Returns an event in the log of a user, with data of the type `T`.
    pub const fn of_user<T: Type>(kind: &'static str, about: &'static str) -> Self {
        Self {
            owner: EventOwner::User,
            ..Self::of_conversation::<T>(kind, about)
        }
    }

    /// Sets the name of the event over sockets.
    pub const fn frame(mut self, frame: &'static str) -> Self {
        self.frame = Some(frame);
        self
    }

    /// Makes it an event that goes to connected sockets only.
    pub const fn ephemeral(mut self) -> Self {
        self.is_logged = false;
        self
    }
}

impl fmt::Debug for PluginEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PluginEvent").field(&self.kind).finish()
    }
}

fn register<T: Type>(registry: &mut Registry) -> Cow<'static, str> {
    T::register(registry);
    T::name()
}

/// A type that the process knows.
#[derive(Debug)]
struct Known {
    name: &'static str,
    declared: OnceLock<(PluginEvent, &'static str)>,
}

/// Type of an event of a plugin.
#[derive(Clone, Copy)]
pub struct PluginKind(&'static Known);

/// All types that the process knows, by name.
static KNOWN: RwLock<Option<HashMap<&'static str, PluginKind>>> = RwLock::new(None);

impl PluginKind {
    /// Returns the name.
    pub const fn as_str(self) -> &'static str {
        self.0.name
    }

    /// Returns the declaration, if a plugin of this program has declared it.
    pub fn declared(self) -> Option<PluginEvent> {
        self.0.declared.get().map(|(event, _)| *event)
    }

    /// Returns the name of the schema of its data.
    pub fn data_name(self) -> &'static str {
        self.0.declared.get().map_or("object", |(_, name)| name)
    }

    /// Makes `event` known to this process. The first declaration of a type stays.
    pub fn declare(event: PluginEvent) {
        let Some(kind) = Self::of(event.kind) else {
            return;
        };
        kind.0.declared.get_or_init(|| {
            let name = (event.data)(&mut Registry::new()).into_owned();
            // A program has few declarations, and they last as long as the process.
            (event, name.leak())
        });
    }

    /// Returns the logged type `name`, if a plugin of this program has declared it.
    pub fn find(name: &str) -> Option<Self> {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        let kind = known.as_ref()?.get(name).copied()?;
        kind.declared()?.is_logged.then_some(kind)
    }

    /// Returns all logged types that the plugins of this program declare, by name.
    pub fn all_declared() -> Vec<Self> {
        let events = Self::all_events().into_iter();
        let logged = events.filter(|event| event.is_logged);
        logged.filter_map(|event| Self::of(event.kind)).collect()
    }

    /// Returns all events that the plugins of this program declare, by the name of their type; also those that are in no log.
    pub fn all_events() -> Vec<PluginEvent> {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        let kinds = known.iter().flat_map(HashMap::values);
        let mut events: Vec<PluginEvent> = kinds.filter_map(|kind| kind.declared()).collect();
        events.sort_by_key(|event| event.kind);
        events
    }

    /// Returns the type `name`; `None` if it does not have the form of one, or if there are too many.
    pub fn of(name: &str) -> Option<Self> {
        if let Some(kind) = KNOWN
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .and_then(|known| known.get(name))
        {
            return Some(*kind);
        }
        if !is_fit(name) {
            return None;
        }
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(kind) = known.get(name) {
            return Some(*kind);
        }
        if known.len() >= MAX_KINDS {
            return None;
        }
        // Bounded by `MAX_KINDS`, and used until the process ends.
        let name: &'static str = name.to_owned().leak();
        let kind = Self(Box::leak(Box::new(Known {
            name,
            declared: OnceLock::new(),
        })));
        known.insert(name, kind);
        Some(kind)
    }
}

/// True if `name` has the form of a type: two parts of lower-case letters, digits and `_`.
fn is_fit(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    name.len() <= MAX_NAME
        && name
            .split_once('.')
            .is_some_and(|(noun, verb)| is_part(noun) && is_part(verb))
}

impl PartialEq for PluginKind {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for PluginKind {}

impl Hash for PluginKind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventType, Presence, patterns};

    #[test]
    fn a_declared_type_is_part_of_the_catalogue() {
        assert!("sample.updated".parse::<EventType>().is_err());
        let event = PluginEvent::of_conversation::<Presence>("sample.updated", "A sample changed.")
            .frame("sample:updated");
        PluginKind::declare(event);
        let signal =
            PluginEvent::of_user::<Presence>("sample.waved", "Somebody waved.").ephemeral();
        PluginKind::declare(signal);
        let kind: EventType = "sample.updated".parse().expect("it is declared");
        assert_eq!(kind.as_str(), "sample.updated");
        assert_eq!(kind.socket_event(), Some("sample:updated"));
        assert_eq!(
            (kind.data_name(), kind.about()),
            ("Presence", "A sample changed.")
        );
        assert!(EventType::all().any(|other| other == kind));
        assert!(
            "sample.waved".parse::<EventType>().is_err(),
            "it is in no log"
        );
        let patterns = patterns::expand(&["sample.*".to_owned()]);
        assert_eq!(patterns, Ok(Some(vec![kind])));
    }

    #[test]
    fn a_stored_type_of_another_program_is_read_by_its_name() {
        let kind = EventType::stored("elsewhere.happened").expect("it has the form");
        assert_eq!(
            kind,
            EventType::stored("elsewhere.happened").expect("again")
        );
        assert_eq!(
            (kind.as_str(), kind.socket_event()),
            ("elsewhere.happened", None)
        );
        assert!("elsewhere.happened".parse::<EventType>().is_err());
        for wrong in [
            "",
            "a",
            "a.b.c",
            "A.b",
            "a.",
            ".b",
            "a b.c",
            &"x".repeat(70),
        ] {
            assert!(EventType::stored(wrong).is_err(), "{wrong}");
        }
    }
}
