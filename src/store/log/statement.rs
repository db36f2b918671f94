//! Splits updates into statements that MongoDB accepts: bounded in number and in bytes.

use mongodb::bson::{RawArrayBuf, RawDocumentBuf};

use crate::model::bounds;

/// Maximum number of updates per statement.
///
/// Large changes are written in pieces, so that mongod can serve other requests in between.
pub(super) const MAX_UPDATES: usize = 500;

/// Updates of one statement, each with its subject.
pub(super) struct Statement<T> {
    pub(super) updates: RawArrayBuf,
    pub(super) about: Vec<T>,
}

impl<T> Statement<T> {
    /// Splits `updates` into statements, in order.
    ///
    /// A statement is closed once it has [`bounds::LOG_BATCH`] bytes.
    pub(super) fn cut(updates: Vec<(RawDocumentBuf, T)>) -> Vec<Self> {
        let mut statements: Vec<Self> = Vec::new();
        let mut bytes = 0;
        for (update, about) in updates {
            let is_full =
                |last: &Self| last.about.len() >= MAX_UPDATES || bytes >= bounds::LOG_BATCH;
            if statements.last().is_none_or(is_full) {
                bytes = 0;
                statements.push(Self {
                    updates: RawArrayBuf::new(),
                    about: Vec::new(),
                });
            }
            bytes += update.as_bytes().len();
            if let Some(last) = statements.last_mut() {
                last.updates.push(update);
                last.about.push(about);
            }
        }
        statements
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::rawdoc;

    use super::*;

    fn updates(count: usize, bytes: usize) -> Vec<(RawDocumentBuf, usize)> {
        let text = "x".repeat(bytes);
        (0..count)
            .map(|index| {
                (
                    rawdoc! { "q": {}, "u": { "$set": { "x": text.as_str() } } },
                    index,
                )
            })
            .collect()
    }

    #[test]
    fn statements_are_bounded_in_bytes_and_keep_the_order() {
        let statements = Statement::cut(updates(500, 100 * 1024));
        assert!(statements.len() > 10, "{}", statements.len());
        for statement in &statements {
            let bytes = statement.updates.as_bytes().len();
            assert!(bytes < bounds::LOG_BATCH + 128 * 1024, "{bytes}");
        }
        let order: Vec<usize> = statements.into_iter().flat_map(|one| one.about).collect();
        assert_eq!(order, (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn statements_are_bounded_in_their_number_of_updates() {
        let sizes: Vec<usize> = Statement::cut(updates(1250, 1))
            .iter()
            .map(|statement| statement.about.len())
            .collect();
        assert_eq!(sizes, [500, 500, 250]);
    }
}
