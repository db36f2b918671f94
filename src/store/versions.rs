//! Earlier texts of a message, read from the log.

use chat_sdk::MessageId;
use mongodb::bson::doc;

use super::{
    Store, documents::number, facets::StoredMessage, pieces::Listing, reactions::number_cursor,
};
use crate::model::{
    Result,
    entry::{Body, Entry},
    messages::Version,
    page::{Page, PageRequest, Piece},
};

impl Store {
    /// Lists the texts of `message`, oldest first, as of the seq `as_of`; none if it is deleted by then.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Validation`] if the cursor is unknown.
    pub async fn find_version_page(
        &self,
        message: &StoredMessage,
        as_of: Option<u64>,
        request: &PageRequest,
    ) -> Result<Page<Version>> {
        let after = number_cursor(request)?;
        let facets = match as_of {
            Some(as_of) if message.changed_after(as_of) => {
                self.read_facets(&message.id, as_of).await?
            }
            _ => message.facets.clone(),
        };
        if facets.deleted.is_some_and(|deleted| !deleted.is_restored) {
            return Ok(Page::of(Piece::empty(), |_| String::new()));
        }
        let mut versions = Vec::new();
        let mut newest = message.created.content.clone();
        if after < message.seq {
            versions.push(Version {
                seq: message.seq,
                content: newest.clone(),
                at: message.created.created_at,
            });
        } else if let Some(text) = self.find_text_at(&message.id, after).await? {
            newest = text;
        }
        let mut after = after;
        let mut has_more = true;
        // The loop repeats only if all edits of a page left the text unchanged.
        while has_more && (versions.is_empty() || after < message.seq) {
            let edits = self
                .read_edits(&message.id, (after, as_of), request)
                .await?;
            after = after.max(message.seq);
            has_more = edits.has_more;
            for entry in edits.items {
                after = entry.seq;
                // An edit of the metadata alone made no new text.
                if let Body::MessageUpdated(edit) = entry.body
                    && edit.content != newest
                {
                    newest.clone_from(&edit.content);
                    versions.push(Version {
                        seq: entry.seq,
                        at: entry.at,
                        content: edit.content,
                    });
                }
            }
        }
        has_more |= versions.len() > request.limit as usize;
        versions.truncate(request.limit as usize);
        let piece = Piece {
            items: versions,
            has_more,
            bytes: 0,
        };
        Ok(Page::of(piece, Version::cursor))
    }

    /// Reads the edits of a message after the first seq of `range`, as many as fit a page.
    ///
    /// It stops at the second seq, if there is one.
    async fn read_edits(
        &self,
        message: &MessageId,
        range: (u64, Option<u64>),
        request: &PageRequest,
    ) -> Result<Piece<Entry>> {
        let mut seqs = doc! { "$gt": number(range.0) };
        if let Some(as_of) = range.1 {
            seqs.insert("$lte", number(as_of));
        }
        let listing = Listing {
            filter: doc! {
                "data.messageId": message.as_str(), "type": "message.updated", "seq": seqs,
            },
            sort: doc! { "seq": 1 },
            hint: None,
            limit: request.limit,
            max_bytes: request.max_bytes,
        };
        let piece = self.read_piece(&self.log, listing).await?;
        piece.try_map(|document| document.entry())
    }

    /// Returns the text of the newest edit of a message up to `seq`, if there is one.
    async fn find_text_at(&self, message: &MessageId, seq: u64) -> Result<Option<String>> {
        let listing = Listing {
            filter: doc! {
                "data.messageId": message.as_str(),
                "type": "message.updated",
                "seq": { "$lte": number(seq) },
            },
            sort: doc! { "seq": -1 },
            limit: 1,
            ..Listing::default()
        };
        let found = self.read_piece(&self.log, listing).await?.items.pop();
        let entry = found.map(|document| document.entry()).transpose()?;
        Ok(entry.and_then(|entry| match entry.body {
            Body::MessageUpdated(edit) => Some(edit.content),
            _ => None,
        }))
    }
}
