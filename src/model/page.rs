//! Lists in pages, the same for every resource. A page is bounded in items and in bytes.

use chat_sdk::json_len;
use serde::Serialize;

use super::error::{Faults, Result};
use crate::model::bounds;

/// Part of a list that is requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Maximum number of items, 1 to 100.
    pub limit: u32,
    /// Cursor or id; the page has items that are earlier in time.
    pub before: Option<String>,
    /// Cursor or id; the page has items that are later in time.
    pub after: Option<String>,
    /// Id of the item that the page surrounds.
    pub around: Option<String>,
    /// Maximum size of the items as JSON, in bytes.
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
    /// Maximum number of items of a page.
    pub const MAX_LIMIT: u32 = 100;
    /// Default number of items of a page.
    pub const DEFAULT_LIMIT: u32 = 50;

    /// Returns a request with a checked limit.
    ///
    /// # Errors
    /// [`super::DomainError::Validation`] if the limit is out of range, or if more than one of the three directions is given.
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

    /// Returns the same request for a page of at most `max_bytes` of JSON.
    pub fn within(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Fails if `around` is given, for lists that do not support it.
    ///
    /// # Errors
    /// [`super::DomainError::Validation`].
    pub fn check_one_way(&self) -> Result<()> {
        let mut faults = Faults::default();
        faults.when(
            self.around.is_some(),
            "around",
            "is not supported by this list",
        );
        faults.into_result()
    }
}

/// Items read for a page, in the page's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece<T> {
    /// The items.
    pub items: Vec<T>,
    /// True if more items follow in that direction.
    pub has_more: bool,
    /// Approximate size of the items in the store, in bytes.
    pub bytes: usize,
}

impl<T> Piece<T> {
    /// Returns a piece without items.
    pub const fn empty() -> Self {
        Self {
            items: Vec::new(),
            has_more: false,
            bytes: 0,
        }
    }

    /// Returns the same piece with every item converted.
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
    /// Value of `before` for the next page; `None` at the end.
    ///
    /// It is the value of `after` if this page was requested with `after`.
    pub next_cursor: Option<String>,
    /// True if more items follow in that direction.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Returns the page of a piece.
    pub fn of(piece: Piece<T>, cursor_of: impl Fn(&T) -> String) -> Self {
        let last = piece.items.last();
        Self {
            next_cursor: last.filter(|_| piece.has_more).map(cursor_of),
            items: piece.items,
            has_more: piece.has_more,
        }
    }

    /// Returns the page of at most `limit` items; `items` has one more than that if more follow.
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

    /// Returns the same page with every item converted.
    pub fn map<U>(self, convert: impl Fn(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(convert).collect(),
            next_cursor: self.next_cursor,
            has_more: self.has_more,
        }
    }

    /// Ends the page before its JSON would exceed `max_bytes`; the first item always stays.
    ///
    /// `cursor_at` returns the cursor after an item, given with its index.
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

    /// Does the same as [`Self::fit`] for a page around the item at index `center`.
    ///
    /// That item always stays, and the items before it take at most half of the bytes.
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

/// Returns the number of `items`, from the first on, whose JSON takes at most `max_bytes`.
pub fn fitting<T: Serialize>(items: &[T], max_bytes: usize) -> usize {
    let mut bytes = 0;
    items
        .iter()
        .take_while(|item| {
            bytes = json_len(item).saturating_add(bytes + 1);
            bytes <= max_bytes
        })
        .count()
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
    fn a_full_page_ends_early_with_the_cursor_of_its_last_item() {
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
    fn a_full_page_around_an_item_includes_that_item() {
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
