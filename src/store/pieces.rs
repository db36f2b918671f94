//! Reads with a bound in bytes.
//!
//! A list is read in one query: small documents come whole, large ones only with their size. Once it is known how many fit, a second query reads the
//! large ones among them. So a read holds at most [`SMALL`] bytes for each item of the limit, plus the bytes asked for: never a hundred large
//! documents.

use futures_util::TryStreamExt;
use mongodb::{
    bson::{Bson, Document, Timestamp as ClusterTime, doc},
    options::Hint,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Collection, Store, bounded, log::Unavailable};
use crate::{model::page::Piece, store::LARGE_READS_KIB};

/// Maximum size in bytes of a document that the first query returns whole.
const SMALL: i32 = 8 * 1024;

/// Query of a list.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) filter: Document,
    pub(super) sort: Document,
    /// Index to use if the planner may choose a worse one.
    pub(super) hint: Option<&'static str>,
    /// Maximum number of documents; 0 for all.
    pub(super) limit: u32,
    pub(super) max_bytes: usize,
}

/// Document of a list: whole if it is small, otherwise only the fields that decide about it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: DeserializeOwned")]
pub(super) struct SizedDocument<T> {
    #[serde(rename = "_id")]
    id: Bson,
    /// Owner of an entry of the log, and its seq.
    #[serde(default)]
    pub(super) conversation_id: String,
    #[serde(default)]
    pub(super) seq: i64,
    /// Cluster time at which mongod accepted an entry of the log.
    #[serde(default)]
    pub(super) ts: Option<ClusterTime>,
    size: i32,
    #[serde(default)]
    document: Option<T>,
}

impl<T> SizedDocument<T> {
    /// Returns its size in bytes.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.size).unwrap_or_default()
    }

    /// Returns the document, if it is small.
    pub(super) fn into_small(self) -> Option<T> {
        self.document
    }
}

impl Store {
    /// Finds the documents of `listing` in its order, without a bound in bytes: large ones as their size.
    pub(super) async fn find_sized<T>(
        &self,
        collection: &Collection<T>,
        listing: &Listing,
    ) -> Result<Vec<SizedDocument<T>>, Unavailable>
    where
        T: DeserializeOwned + Send + Sync + Unpin,
    {
        let size = doc! { "$bsonSize": "$$ROOT" };
        let is_small = doc! { "$lte": [size.clone(), SMALL] };
        let projection = doc! {
            "conversationId": 1,
            "seq": 1,
            "ts": 1,
            "size": size,
            "document": { "$cond": [is_small, "$$ROOT", "$$REMOVE"] },
        };
        let sized = collection.clone_with_type::<SizedDocument<T>>();
        bounded(async {
            let mut find = sized
                .find(listing.filter.clone())
                .sort(listing.sort.clone())
                .projection(projection);
            if let Some(hint) = listing.hint {
                find = find.hint(Hint::Name(hint.to_owned()));
            }
            if listing.limit > 0 {
                // All of it comes with the first answer.
                find = find
                    .limit(i64::from(listing.limit))
                    .batch_size(listing.limit + 1);
            }
            find.await?.try_collect().await
        })
        .await
    }

    /// Loads those of `found`, from the first on, that have `max_bytes` together, but at least one.
    pub(super) async fn load<T>(
        &self,
        collection: &Collection<T>,
        found: Vec<SizedDocument<T>>,
        max_bytes: usize,
    ) -> Result<Piece<T>, Unavailable>
    where
        T: DeserializeOwned + Send + Sync + Unpin,
    {
        let mut piece = Piece::empty();
        let mut rest = found.into_iter().peekable();
        // The loop repeats only if everything was removed between the two queries.
        while piece.items.is_empty() && rest.peek().is_some() {
            let mut wanted = Vec::new();
            while let Some(next) =
                rest.next_if(|next| wanted.is_empty() || piece.bytes + next.len() <= max_bytes)
            {
                piece.bytes += next.len();
                wanted.push(next);
            }
            piece.items = self.load_all(collection, wanted).await?;
        }
        piece.has_more = rest.peek().is_some();
        Ok(piece)
    }

    async fn load_all<T>(
        &self,
        collection: &Collection<T>,
        wanted: Vec<SizedDocument<T>>,
    ) -> Result<Vec<T>, Unavailable>
    where
        T: DeserializeOwned + Send + Sync + Unpin,
    {
        #[derive(Deserialize)]
        #[serde(bound = "T: DeserializeOwned")]
        struct Whole<T> {
            #[serde(rename = "_id")]
            id: Bson,
            document: T,
        }
        let is_large = |sized: &&SizedDocument<T>| sized.document.is_none();
        let ids: Vec<Bson> = wanted
            .iter()
            .filter(is_large)
            .map(|one| one.id.clone())
            .collect();
        let mut large: Vec<Whole<T>> = Vec::new();
        if !ids.is_empty() {
            let bytes: usize = wanted.iter().filter(is_large).map(SizedDocument::len).sum();
            let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
            // The semaphore is never closed.
            let _permit = self
                .large_reads
                .acquire_many(kib.min(LARGE_READS_KIB))
                .await;
            large = bounded(async {
                collection
                    .clone_with_type::<Whole<T>>()
                    .find(doc! { "_id": { "$in": ids } })
                    .projection(doc! { "document": "$$ROOT" })
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
        }
        let whole = wanted.into_iter().filter_map(|sized| {
            sized.document.or_else(|| {
                let at = large.iter().position(|whole| whole.id == sized.id)?;
                Some(large.swap_remove(at).document)
            })
        });
        Ok(whole.collect())
    }

    /// Reads the documents of `listing` up to its limit and its bytes, but at least one if there is one.
    pub(super) async fn read_piece<T>(
        &self,
        collection: &Collection<T>,
        listing: Listing,
    ) -> Result<Piece<T>, Unavailable>
    where
        T: DeserializeOwned + Send + Sync + Unpin,
    {
        let limit = listing.limit as usize;
        let more = Listing {
            limit: listing.limit + 1,
            ..listing
        };
        let mut found = self.find_sized(collection, &more).await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let mut piece = self.load(collection, found, more.max_bytes).await?;
        piece.has_more |= has_more;
        Ok(piece)
    }
}
