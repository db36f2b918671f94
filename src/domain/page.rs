//! Lists in pieces, the same for every noun.

use super::error::{Faults, Result};

/// Which piece of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageRequest {
    /// How many items, 1 to 100.
    pub limit: u32,
    /// Items that come earlier in time than this id or cursor.
    pub before: Option<String>,
    /// Items that come later in time than this id or cursor.
    pub after: Option<String>,
    /// Items on both sides of this id.
    pub around: Option<String>,
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
        })
    }
}

impl PageRequest {
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

/// A piece of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to give as `before` (as `after`, when this piece was asked for with `after`) to go on; `None` at the end.
    pub next_cursor: Option<String>,
    /// Whether there is more in that direction.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// The piece of at most `limit` items out of `items`, of which one more than the limit was fetched if there was more.
    pub fn cut(mut items: Vec<T>, limit: u32, cursor_of: impl Fn(&T) -> String) -> Self {
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        Self {
            next_cursor: items.last().filter(|_| has_more).map(cursor_of),
            items,
            has_more,
        }
    }
}
