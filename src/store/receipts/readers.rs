//! Receipts: the users who read or got a message, with times.

use std::collections::HashMap;

use chat_sdk::{Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{self, Bson, DateTime, Document, doc};
use serde::Deserialize;

use super::document::{AdvanceDocument, MarkerDocument, find_by_ids, letter, marker_id};
use crate::{
    model::{
        Result,
        page::{Page, PageRequest},
        receipts::{MarkerScope, Receipt, ReceiptKind},
        state::ConversationFields,
        visibility::Audience,
    },
    store::{
        Store, bounded,
        documents::{ParticipantDocument, moment, number},
        facets::StoredMessage,
    },
};

/// Number of markers read at once for one page. Those of former members are skipped.
const SCAN: i64 = 200;

fn field(kind: ReceiptKind) -> &'static str {
    match kind {
        ReceiptKind::Read => "readSeq",
        ReceiptKind::Delivered => "deliveredSeq",
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimedMarker {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    read_at: Option<DateTime>,
    #[serde(default)]
    delivered_at: Option<DateTime>,
    #[serde(default)]
    reads: Vec<AdvanceDocument>,
    #[serde(default)]
    deliveries: Vec<AdvanceDocument>,
}

impl TimedMarker {
    fn at(&self, kind: ReceiptKind) -> Option<Timestamp> {
        let first = |steps: &[AdvanceDocument]| steps.first().map(|step| step.at);
        let read = first(&self.reads);
        let at = match kind {
            // A crash lost the step: the marker knows when it last moved.
            ReceiptKind::Read => read.or(self.read_at),
            // A message that was read had been delivered.
            ReceiptKind::Delivered => read
                .into_iter()
                .chain(first(&self.deliveries))
                .min()
                .or(self.delivered_at)
                .or(self.read_at),
        };
        at.map(moment)
    }
}

impl Store {
    /// Lists the members who read or got `message`, by user id, without its sender.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_receipt_page(
        &self,
        message: &StoredMessage,
        fields: &ConversationFields,
        kind: ReceiptKind,
        request: &PageRequest,
    ) -> Result<Page<Receipt>> {
        let prefix = format!("{}:", message.conversation_id);
        // The list has one direction: the cursor continues it, whichever parameter carries it.
        let cursor = [&request.after, &request.before].into_iter().flatten();
        let mut last = cursor
            .map(|user| format!("{prefix}{user}"))
            .next()
            .unwrap_or_else(|| prefix.clone());
        let mut readers: Vec<UserId> = Vec::new();
        loop {
            let ids = self
                .find_markers_at(&last, &prefix, kind, message.seq)
                .await?;
            let members = self.find_members(&ids).await?;
            readers.extend(ids.iter().filter_map(|id| {
                let document = members.get(id)?;
                let member = document.member();
                let counts = member.is_active()
                    && Some(&document.user_id) != message.sender()
                    && Audience::of(fields, &member).sees(message.seq);
                counts.then(|| document.user_id.clone())
            }));
            let is_end = (ids.len() as i64) < SCAN;
            match ids.into_iter().next_back() {
                Some(id) if !is_end && readers.len() <= request.limit as usize => last = id,
                _ => break,
            }
        }
        let page = Page::cut(readers, request.limit, UserId::to_string);
        let place = MarkerScope::Conversation(message.conversation_id.clone());
        let times = self
            .find_times(&place, &page.items, kind, message.seq)
            .await?;
        Ok(Page {
            items: page
                .items
                .into_iter()
                .filter_map(|user| {
                    let at = *times.get(&marker_id(&place, &user))?;
                    Some(Receipt { user, at })
                })
                .collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }

    /// Returns the time at which `user` first read or got the message at `seq`, if they did.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_receipt_time(
        &self,
        place: &MarkerScope,
        user: &UserId,
        kind: ReceiptKind,
        seq: u64,
    ) -> Result<Option<Timestamp>> {
        let users = std::slice::from_ref(user);
        let times = self.find_times(place, users, kind, seq).await?;
        Ok(times.into_values().next())
    }

    /// Finds the `_id`s after `last` of the markers that are at `seq` or beyond.
    async fn find_markers_at(
        &self,
        last: &str,
        prefix: &str,
        kind: ReceiptKind,
        seq: u64,
    ) -> Result<Vec<String>> {
        // A semicolon is the character after a colon.
        let end = format!("{};", prefix.trim_end_matches(':'));
        let mut filter = doc! { "_id": { "$gt": last, "$lt": end } };
        filter.insert(field(kind), doc! { "$gte": number(seq) });
        let found: Vec<MarkerDocument> = bounded(async {
            self.markers
                .documents
                .find(filter)
                .projection(doc! { "_id": 1 })
                .sort(doc! { "_id": 1 })
                .limit(SCAN)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found.into_iter().map(|marker| marker.id).collect())
    }

    /// Finds the memberships with these `_id`s, which are equal to those of the markers.
    async fn find_members(&self, ids: &[String]) -> Result<HashMap<String, ParticipantDocument>> {
        Ok(find_by_ids(&self.participants, ids)
            .await?
            .into_iter()
            .map(|member| {
                let id = ParticipantDocument::id(&member.conversation_id, &member.user_id);
                (id, member)
            })
            .collect())
    }

    /// Finds the times at which the markers of `users` first were at `seq` or beyond, by `_id`.
    async fn find_times(
        &self,
        place: &MarkerScope,
        users: &[UserId],
        kind: ReceiptKind,
        seq: u64,
    ) -> Result<HashMap<String, Timestamp>> {
        if users.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<String> = users.iter().map(|user| marker_id(place, user)).collect();
        let at_seq = doc! { "_id": { "$in": ids }, field(kind): { "$gte": number(seq) } };
        let mut pipeline = vec![doc! { "$match": at_seq }];
        pipeline.push(first_step("reads", ReceiptKind::Read, seq));
        if kind == ReceiptKind::Delivered {
            pipeline.push(first_step("deliveries", ReceiptKind::Delivered, seq));
        }
        let found: Vec<Document> = bounded(async {
            self.markers
                .documents
                .aggregate(pipeline)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found
            .into_iter()
            .filter_map(|document| bson::deserialize_from_document::<TimedMarker>(document).ok())
            .filter_map(|marker| Some((marker.id.clone(), marker.at(kind)?)))
            .collect())
    }
}

/// Builds the stage that puts the first step of each marker to `seq` or beyond into the field `name`.
fn first_step(name: &str, kind: ReceiptKind, seq: u64) -> Document {
    let bound = |seq: Bson| doc! { "m": "$$marker", "k": letter(kind), "s": seq };
    let (low, high) = (bound(number(seq).into()), bound(Bson::MaxKey));
    let steps =
        doc! { "$expr": { "$and": [{ "$gte": ["$_id", low] }, { "$lte": ["$_id", high] }] } };
    doc! { "$lookup": {
        "from": "reads",
        "let": { "marker": "$_id" },
        "pipeline": [{ "$match": steps }, { "$sort": { "_id": 1 } }, { "$limit": 1 }],
        "as": name,
    } }
}
