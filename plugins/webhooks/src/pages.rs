//! Pages of stored documents, bounded in items and in bytes.

use chat_sdk::plugin::{Found, Query};
use serde::Serialize;

/// Maximum JSON size of the items of a page, in bytes: 1 MiB, as everywhere in the API. A single larger item is a page of its own.
const MAX_BYTES: usize = 1 << 20;

/// Limits a query to a page of at most `limit` documents and about 1 MiB of them.
pub fn bound(query: Query, limit: usize) -> Query {
    query.limit(limit).max_bytes(MAX_BYTES)
}

/// Converts what was found to the items of a response and the cursor of the next page. It cuts the items before their JSON exceeds 1 MiB.
pub fn show<T, S: Serialize>(
    found: Found<T>,
    shown: impl Fn(T) -> S,
    id: impl Fn(&S) -> String,
) -> (Vec<S>, Option<String>) {
    let mut items: Vec<S> = found.items.into_iter().map(shown).collect();
    let mut bytes = 0;
    let fitting = items.iter().take_while(|item| {
        bytes += serde_json::to_vec(item).map_or(0, |json| json.len()) + 1;
        bytes <= MAX_BYTES
    });
    let count = fitting.count().max(1).min(items.len());
    let has_more = found.has_more || count < items.len();
    items.truncate(count);
    let next_cursor = items.last().filter(|_| has_more).map(id);
    (items, next_cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lens: &[usize], has_more: bool) -> (Vec<usize>, bool) {
        let found = Found {
            items: lens.to_vec(),
            has_more,
        };
        let (items, cursor) = show(found, |len| "x".repeat(len), |_| "cursor".to_owned());
        (items.iter().map(String::len).collect(), cursor.is_some())
    }

    #[test]
    fn a_full_page_ends_early_but_has_one_item() {
        let half = MAX_BYTES / 2;
        assert_eq!(
            shown(&[half - 9, half - 9], false),
            (vec![half - 9, half - 9], false)
        );
        assert_eq!(shown(&[half, half, 1], false), (vec![half], true));
        assert_eq!(
            shown(&[2 * MAX_BYTES, 1], false),
            (vec![2 * MAX_BYTES], true)
        );
        assert_eq!(shown(&[2 * MAX_BYTES], false), (vec![2 * MAX_BYTES], false));
        assert_eq!(shown(&[1], true), (vec![1], true));
        assert_eq!(shown(&[], false), (vec![], false));
    }
}
