//! Lists in pages, the same for every resource. A page is bounded in items and in bytes.

use std::io;

use serde::Serialize;

use super::error::{Faults, Result};
use crate::bounds;

/// Which piece of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items, 1 to 100.
    pub limit: u32,
    /// Items that come earlier in time than this id or cursor.
    pub before: Option<String>,
    /// Items that come later in time than this id or cursor.
    pub after: Option<String>,
    /// Items on both sides of this id.
    pub around: Option<String>,
    /// The most bytes of JSON that the items may have.
    pub max_bytes: usize,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            limit: Self::DEFAULT_LIMIT,
            before: None,
            after: None,
            around: None,
            max_bytes: bounds::PAGE,
        }
    }
}

impl PageRequest {
    /// The most items of a page.
    pub const MAX_LIMIT: u32 = 100;
    /// How many items a page has where the caller does not say.
    pub const DEFAULT_LIMIT: u32 = 50;

    /// A request with its limit checked.
    ///
    /// # Errors
    /// [`super::DomainError::Validation`] for a limit out of range or more than one of the three directions.
    pub fn new(
        limit: Option<i64>,
        before: Option<String>,
        after: Option<String>,
        around: Option<String>,
    ) -> Result<Self> {
        let limit = limit.unwrap_or(i64::from(Self::DEFAULT_LIMIT));
        let mut faults = Faults::default();
        faults.when(
            !(1..=i64::from(Self::MAX_LIMIT)).contains(&limit),
            "limit",
            "must be between 1 and 100",
        );
        let directions = [&before, &after, &around]
            .iter()
            .filter(|d| d.is_some())
            .count();
        faults.when(
            directions > 1,
            "before",
            "cannot be combined with after or around; give one of them",
        );
        faults.into_result()?;
        Ok(Self {
            limit: limit as u32,
            before,
            after,
            around,
            max_bytes: bounds::PAGE,
        })
    }

    /// The same request for a page of at most `max_bytes` of JSON.
    pub fn within(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Refuses `around`, for lists that go one way.
    ///
    /// # Errors
    /// [`super::DomainError::Validation`].
    pub fn check_one_way(&self) -> Result<()> {
        let mut faults = Faults::default();
        faults.when(self.around.is_some(), "around", "is not for this list");
        faults.into_result()
    }
}

/// Items as they were read for a page, in the page's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether more follow in that direction.
    pub has_more: bool,
    /// About how many bytes they have in the store.
    pub bytes: usize,
}

impl<T> Piece<T> {
    /// No items.
    pub const fn empty() -> Self {
        Self {
            items: Vec::new(),
            has_more: false,
            bytes: 0,
        }
    }

    /// The same piece with every item converted.
    ///
    /// # Errors
    /// The first error of `convert`.
    pub fn try_map<U>(self, convert: impl Fn(T) -> Result<U>) -> Result<Piece<U>> {
        Ok(Piece {
            items: self.items.into_iter().map(convert).collect::<Result<_>>()?,
            has_more: self.has_more,
            bytes: self.bytes,
        })
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to give as `before` (as `after`, when this page was asked for with `after`) to go on; `None` at the end.
    pub next_cursor: Option<String>,
    /// Whether there is more in that direction.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// The page of a piece that was read.
    pub fn of(piece: Piece<T>, cursor_of: impl Fn(&T) -> String) -> Self {
        let last = piece.items.last();
        Self {
            next_cursor: last.filter(|_| piece.has_more).map(cursor_of),
            items: piece.items,
            has_more: piece.has_more,
        }
    }

    /// The page of at most `limit` items out of `items`, of which one more than the limit was fetched if there was more.
    pub fn cut(mut items: Vec<T>, limit: u32, cursor_of: impl Fn(&T) -> String) -> Self {
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let piece = Piece {
            items,
            has_more,
            bytes: 0,
        };
        Self::of(piece, cursor_of)
    }

    /// The same page with every item converted.
    pub fn map<U>(self, convert: impl Fn(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(convert).collect(),
            next_cursor: self.next_cursor,
            has_more: self.has_more,
        }
    }

    /// Ends the page before the item with which its JSON would exceed `max_bytes`; the first item always stays. `cursor_at` names the place after an
    /// item, given by its index.
    pub fn fit(mut self, max_bytes: usize, cursor_at: impl Fn(usize, &T) -> String) -> Self
    where
        T: Serialize,
    {
        let count = fitting(&self.items, max_bytes).max(1);
        if count < self.items.len() {
            self.items.truncate(count);
            self.has_more = true;
            self.next_cursor = self.items.last().map(|last| cursor_at(count - 1, last));
        }
        self
    }

    /// [`Self::fit`] for a page around the item at index `center`: that item always stays, and at most half of the bytes is before it.
    pub fn fit_around(
        mut self,
        max_bytes: usize,
        center: usize,
        cursor_of: impl Fn(&T) -> String,
    ) -> Self
    where
        T: Serialize,
    {
        let center = center.min(self.items.len());
        let nearest_first: Vec<&T> = self.items[..center].iter().rev().collect();
        let kept = fitting(&nearest_first, max_bytes / 2);
        self.items.drain(..center - kept);
        let before: usize = self.items[..kept].iter().map(json_len).sum();
        let rest = max_bytes.saturating_sub(before);
        let count = kept + fitting(&self.items[kept..], rest).max(1);
        if count < self.items.len() {
            self.items.truncate(count);
            self.has_more = true;
            self.next_cursor = self.items.last().map(cursor_of);
        }
        self
    }
}

/// How many of `items`, from the first on, have at most `max_bytes` of JSON.
pub fn fitting<T: Serialize>(items: &[T], max_bytes: usize) -> usize {
    let mut bytes = 0;
    items
        .iter()
        .take_while(|item| {
            bytes += json_len(item) + 1;
            bytes <= max_bytes
        })
        .count()
}

/// How many bytes `value` has as JSON.
pub fn json_len<T: Serialize>(value: &T) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // What cannot be encoded fails where it is written; here only what was counted matters.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: &[usize]) -> Page<String> {
        let items: Vec<String> = items.iter().map(|len| "x".repeat(*len)).collect();
        Page::cut(items, 100, String::clone)
    }

    fn lens(page: &Page<String>) -> Vec<usize> {
        page.items.iter().map(String::len).collect()
    }

    #[test]
    fn a_full_page_ends_early_and_names_the_place_after_its_last_item() {
        let fit = |items: &[usize], max_bytes| page(items).fit(max_bytes, |at, _| at.to_string());
        // Each item has two quotes, and a comma follows.
        let fitted = fit(&[7, 7, 7], 20);
        assert_eq!(lens(&fitted), [7, 7]);
        assert!(fitted.has_more);
        assert_eq!(fitted.next_cursor.as_deref(), Some("1"));
        let fitted = fit(&[7, 7], 20);
        assert_eq!((lens(&fitted), fitted.has_more), (vec![7, 7], false));
        assert_eq!(lens(&fit(&[100, 7], 20)), [100]);
        assert!(!fit(&[], 20).has_more);
    }

    #[test]
    fn a_full_page_around_an_item_has_that_item() {
        let fit = |items: &[usize], center| {
            lens(&page(items).fit_around(30, center, |item| item.len().to_string()))
        };
        assert_eq!(fit(&[1, 2, 3, 4, 5, 6], 3), [1, 2, 3, 4, 5]);
        assert_eq!(fit(&[30, 100, 3], 1), [100]);
        assert_eq!(fit(&[7, 7, 7, 7, 7, 7], 4), [7, 7, 7]);
        assert_eq!(fit(&[5, 6], 1), [5, 6]);
    }

    #[test]
    fn json_is_counted_as_it_is_written() {
        let value = serde_json::json!({ "text": "\u{1}\n\u{e9}", "list": [1, null] });
        assert_eq!(json_len(&value), value.to_string().len());
    }
}
