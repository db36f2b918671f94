//! Update statements that bring the documents of conversations and users up to date with their logs.
//!
//! A document is written only if it is at the seq that its run begins with. Otherwise it stays unchanged, and the reply's counts show it.

use mongodb::bson::{self, Document, RawArrayBuf, RawBson, RawDocumentBuf, cstr, doc, rawdoc};

use super::backend::Run;
use crate::{
    model::{entry::Owner, fold::DocumentChange},
    store::documents::{UserDocument, conversation_document, date, number, stored},
};

/// Maximum number of documents per statement. Each one is looked up in a list of all of them.
const MAX_TOGETHER: usize = 64;

/// Returns the collection of an owner's document.
pub(super) fn collection_of(owner: &Owner) -> &'static str {
    match owner {
        Owner::Conversation(_) => "conversations",
        Owner::User(_) => "users",
    }
}

/// Returns the `_id` of an owner's document.
pub(super) fn id_of(owner: &Owner) -> &str {
    match owner {
        Owner::Conversation(id) => id.as_str(),
        Owner::User(id) => id.as_str(),
    }
}

/// Builds the updates of the documents of `runs`, each with the indexes of the runs that it writes.
///
/// All runs are of one collection, each of another owner.
///
/// # Errors
/// Fails if a value cannot be encoded.
pub(super) fn owner_updates(
    runs: &[(usize, &Run)],
) -> bson::error::Result<Vec<(RawDocumentBuf, Vec<usize>)>> {
    let mut updates = Vec::new();
    let mut moved = Vec::with_capacity(runs.len());
    let mut moved_indexes = Vec::with_capacity(runs.len());
    for (index, run) in runs {
        match activity(run) {
            Some(set) => {
                moved.push((*run, set));
                moved_indexes.push(*index);
            }
            None => updates.push((RawDocumentBuf::try_from(&whole_update(run)?)?, vec![*index])),
        }
    }
    let indexes = moved_indexes.chunks(MAX_TOGETHER);
    for (together, indexes) in moved.chunks(MAX_TOGETHER).zip(indexes) {
        let update = match together {
            [(run, set)] => activity_update(run, set),
            several => activity_updates(several),
        };
        updates.push((update, indexes.to_vec()));
    }
    Ok(updates)
}

/// Returns the changed fields in the common case: only activity changes.
fn activity(run: &Run) -> Option<RawDocumentBuf> {
    let mut set = RawDocumentBuf::new();
    match &run.document {
        None => {}
        Some(DocumentChange::Activity { message, removal }) => {
            if let Some((at, seq)) = message {
                set.append(cstr!("lastActivityAt"), date(*at));
                set.append(cstr!("lastMessageSeq"), number(*seq));
            }
            if let Some(seq) = removal {
                set.append(cstr!("lastRemovalSeq"), number(*seq));
            }
        }
        Some(DocumentChange::Conversation(_) | DocumentChange::User(_)) => return None,
    }
    set.append(cstr!("applied"), number(run.to));
    Some(set)
}

/// Builds the update of one document for activity only.
///
/// mongod finds a document by its id alone three times as fast as by id and seq, so the update itself compares the seq. A document that does not
/// match stays unchanged. No text is placed where it could be taken for an expression.
fn activity_update(run: &Run, set: &RawDocumentBuf) -> RawDocumentBuf {
    let replacement = replaced_at(number(run.from), set.clone());
    rawdoc! { "q": { "_id": id_of(&run.owner) }, "u": [{ "$replaceWith": replacement }] }
}

/// Builds one update for the activity of many documents.
///
/// One statement for many documents costs mongod two thirds of one statement for each, because pipeline, plan and locks are made once.
/// Each document finds its id in a list; two other lists hold, at the same index, the seq that it must be at and its new fields.
fn activity_updates(runs: &[(&Run, RawDocumentBuf)]) -> RawDocumentBuf {
    let ids: RawArrayBuf = runs.iter().map(|(run, _)| id_of(&run.owner)).collect();
    let from: RawArrayBuf = runs.iter().map(|(run, _)| number(run.from)).collect();
    let sets: RawArrayBuf = runs.iter().map(|(_, set)| &**set).collect();
    let place = rawdoc! { "$indexOfArray": [{ "$literal": ids.clone() }, "$_id"] };
    let replacement = replaced_at(
        rawdoc! { "$arrayElemAt": [{ "$literal": from }, "$$place"] },
        rawdoc! { "$arrayElemAt": [{ "$literal": sets }, "$$place"] },
    );
    rawdoc! {
        "q": { "_id": { "$in": ids } },
        "u": [{ "$replaceWith": { "$let": { "vars": { "place": place }, "in": replacement } } }],
        "multi": true,
    }
}

/// Returns the document overlaid with `set` if it is at `from`, otherwise unchanged.
fn replaced_at(from: impl Into<RawBson>, set: RawDocumentBuf) -> RawDocumentBuf {
    // Resuming clients ask which conversations changed since a cluster time.
    let touched = rawdoc! { "touchedTs": "$$CLUSTER_TIME" };
    rawdoc! { "$cond": [
        { "$eq": ["$applied", from] },
        { "$mergeObjects": ["$$ROOT", set, touched] },
        "$$ROOT",
    ] }
}

/// Builds the update for a change of more than activity. It may create the document.
fn whole_update(run: &Run) -> bson::error::Result<Document> {
    let mut set = match (&run.document, &run.owner) {
        (Some(DocumentChange::Conversation(fields)), Owner::Conversation(_)) => {
            conversation_document(fields)?
        }
        (Some(DocumentChange::User(fields)), Owner::User(id)) => {
            stored(&UserDocument::new(id.clone(), fields))?
        }
        _ => Document::new(),
    };
    set.insert("applied", number(run.to));
    Ok(doc! {
        "q": { "_id": id_of(&run.owner), "applied": number(run.from) },
        "u": { "$set": set, "$currentDate": { "touchedTs": { "$type": "timestamp" } } },
        "upsert": run.from == 0,
    })
}
