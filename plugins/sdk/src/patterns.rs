//! Patterns that select the events of an endpoint or a host.

use crate::EventType;

/// Returns the event types that match the patterns: names, `resource.*`, or `*` for all, which is `None`.
///
/// # Errors
/// The index of the first invalid pattern, and what is wrong with it.
pub fn expand(patterns: &[String]) -> Result<Option<Vec<EventType>>, (usize, String)> {
    match patterns.iter().position(|pattern| is_unknown(pattern)) {
        Some(index) => Err((
            index,
            "must be the name of an event, a resource followed by .*, or *".to_owned(),
        )),
        None => Ok(expand_known(patterns)),
    }
}

/// Returns the event types that match stored patterns, which were valid when they were stored; `None` for all.
///
/// A pattern that the catalogue of this version does not know selects nothing.
pub fn expand_known(patterns: &[String]) -> Option<Vec<EventType>> {
    if patterns.is_empty() || patterns.iter().any(|pattern| is_all(pattern)) {
        return None;
    }
    let mut kinds: Vec<EventType> = patterns.iter().flat_map(|text| matching(text)).collect();
    kinds.sort_by_key(|kind| kind.as_str());
    kinds.dedup();
    Some(kinds)
}

/// Returns the stored patterns that the catalogue of this version does not know.
pub fn unknown(patterns: &[String]) -> Vec<String> {
    let unknown = patterns.iter().filter(|pattern| is_unknown(pattern));
    unknown.cloned().collect()
}

fn is_unknown(pattern: &str) -> bool {
    !is_all(pattern) && matching(pattern).next().is_none()
}

fn is_all(pattern: &str) -> bool {
    pattern == "*" || pattern == "all"
}

fn matching(pattern: &str) -> impl Iterator<Item = EventType> {
    let noun = pattern.strip_suffix(".*");
    let is_meant = move |kind: &EventType| match noun {
        Some(noun) => kind
            .as_str()
            .split_once('.')
            .is_some_and(|(known, _)| known == noun),
        None => kind.as_str() == pattern && *kind != EventType::Noop,
    };
    EventType::all().filter(is_meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(patterns: &[&str]) -> Result<Option<Vec<&'static str>>, usize> {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        expand(&patterns)
            .map(|kinds| kinds.map(|kinds| kinds.iter().map(|kind| kind.as_str()).collect()))
            .map_err(|(index, _)| index)
    }

    #[test]
    fn patterns_expand_to_types() {
        assert_eq!(expanded(&["*"]), Ok(None));
        assert_eq!(expanded(&[]), Ok(None));
        assert_eq!(
            expanded(&["reaction.*", "reaction.added", "message.created"]),
            Ok(Some(vec![
                "message.created",
                "reaction.added",
                "reaction.removed"
            ]))
        );
        for wrong in [
            "message",
            "message.exploded",
            "mess.*",
            ".*",
            "noop",
            "",
            "*.created",
        ] {
            assert_eq!(expanded(&["message.created", wrong]), Err(1), "{wrong}");
        }
    }

    #[test]
    fn stored_patterns_that_left_the_catalogue_select_nothing() {
        let stored = |patterns: &[&str]| -> Vec<String> {
            patterns.iter().map(|text| (*text).to_owned()).collect()
        };
        let mixed = stored(&["message.exploded", "message.created"]);
        assert_eq!(expand_known(&mixed), Some(vec![EventType::MessageCreated]));
        assert_eq!(unknown(&mixed), ["message.exploded"]);
        assert_eq!(expand_known(&stored(&["message.exploded"])), Some(vec![]));
        assert_eq!(expand_known(&stored(&["message.exploded", "*"])), None);
        assert_eq!(expand_known(&[]), None);
    }
}
