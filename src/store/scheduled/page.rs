//! List of an author's scheduled messages, sorted by time.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{ScheduledId, Timestamp, UserId};
use mongodb::bson::{DateTime, doc};

use super::{
    super::{Store, documents::date, pieces::Listing},
    own,
};
use crate::model::{
    DomainError, Result,
    page::{Page, PageRequest},
    scheduled::Scheduled,
};

/// Returns the cursor of a position in the list, which is sorted by time.
fn cursor_of(scheduled: &Scheduled) -> String {
    scheduled_cursor(scheduled.send_at, &scheduled.id)
}

/// Returns the cursor that continues after the scheduled message of that time and id.
pub fn scheduled_cursor(send_at: Timestamp, id: &ScheduledId) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{}:{id}", send_at.as_millis()))
}

fn parse_cursor(text: &str) -> Option<(DateTime, ScheduledId)> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (at, id) = text.split_once(':')?;
    Some((DateTime::from_millis(at.parse().ok()?), id.parse().ok()?))
}

impl Store {
    /// Lists the scheduled messages of `actor`, soonest first.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is unknown.
    pub async fn find_scheduled_page(
        &self,
        actor: &UserId,
        request: &PageRequest,
    ) -> Result<Page<Scheduled>> {
        let mut filter = own(actor);
        // The list has one direction: the cursor continues it, whichever parameter carries it.
        let cursor = [("after", &request.after), ("before", &request.before)]
            .into_iter()
            .find_map(|(field, cursor)| cursor.as_ref().map(|cursor| (field, cursor)));
        if let Some((field, cursor)) = cursor {
            let (at, id) = self.scheduled_position(actor, field, cursor).await?;
            filter.insert(
                "$or",
                vec![
                    doc! { "sendAt": { "$gt": at } },
                    doc! { "sendAt": at, "_id": { "$gt": id.as_str() } },
                ],
            );
        }
        let collection = self.scheduled();
        let listing = Listing {
            filter,
            sort: doc! { "sendAt": 1, "_id": 1 },
            hint: None,
            limit: request.limit,
            max_bytes: request.max_bytes,
        };
        let piece = self.read_piece(&collection, listing).await?;
        let piece = piece.try_map(|document| Ok(document.scheduled()))?;
        Ok(Page::of(piece, cursor_of))
    }

    async fn scheduled_position(
        &self,
        actor: &UserId,
        field: &'static str,
        cursor: &str,
    ) -> Result<(DateTime, ScheduledId)> {
        if let Some(position) = parse_cursor(cursor) {
            return Ok(position);
        }
        let unknown = || DomainError::invalid(field, "is no cursor or id of this list");
        let id: ScheduledId = cursor.parse().map_err(|_| unknown())?;
        let found = self.find_scheduled(actor, &id).await?.ok_or_else(unknown)?;
        Ok((date(found.send_at), id))
    }
}
