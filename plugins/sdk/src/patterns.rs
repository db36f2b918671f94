//! Patterns that select the events of an endpoint or a host.

use crate::EventType;

/// Returns the event types that match the patterns: names, `resource.*`, or `*` for all, which is `None`.
///
/// # Errors
/// The index of the first invalid pattern, and what is wrong with it.
pub fn expand(patterns: &[String]) -> Result<Option<Vec<EventType>>, (usize, String)> {
    let mut kinds: Vec<EventType> = Vec::new();
    let mut is_all = false;
    for (index, pattern) in patterns.iter().enumerate() {
        if pattern == "*" || pattern == "all" {
            is_all = true;
            continue;
        }
        let is_meant = |kind: &&EventType| match pattern.strip_suffix(".*") {
            Some(noun) => kind
                .as_str()
                .split_once('.')
                .is_some_and(|(known, _)| known == noun),
            None => kind.as_str() == pattern && **kind != EventType::Noop,
        };
        let before = kinds.len();
        kinds.extend(EventType::ALL.iter().filter(is_meant));
        if kinds.len() == before {
            return Err((
                index,
                "must be the name of an event, a resource followed by .*, or *".to_owned(),
            ));
        }
    }
    kinds.sort_by_key(|kind| kind.as_str());
    kinds.dedup();
    Ok((!is_all && !kinds.is_empty()).then_some(kinds))
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
}
