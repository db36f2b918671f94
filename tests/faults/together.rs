//! Documents of many conversations are written in one statement: each changes only from its expected seq.

use std::sync::Arc;

use chat_sdk::{ConversationId, Timestamp};
use chat_service::{
    model::{entry::Owner, fold::DocumentChange},
    store::{
        Store,
        log::{Backend, backend::Run, mongo::MongoBackend},
    },
};
use mongodb::bson::{DateTime, Document, doc};

use crate::support::Sandbox;

/// More than one statement takes.
const CONVERSATIONS: i64 = 150;

/// Seq that the document of conversation `index` has applied. The writer assumes an older one for every third document and a newer one for every fifth.
fn applied(index: i64) -> i64 {
    100 + index
}

fn from(index: i64) -> i64 {
    match index {
        index if index % 3 == 0 => applied(index) - 2,
        index if index % 5 == 0 => applied(index) + 1,
        index => applied(index),
    }
}

fn run(index: i64, id: &ConversationId) -> Run {
    let from = from(index).unsigned_abs();
    let message = (Timestamp::from_millis(1_000_000 + index), from + 1);
    Run {
        to: from + 2,
        // Nothing but a number, a message, a removal, and both.
        document: (index % 4 != 0).then_some(DocumentChange::Activity {
            message: (index % 4 != 1).then_some(message),
            removal: (index % 4 != 2).then_some(from + 2),
        }),
        ..Run::at(Owner::Conversation(id.clone()), from)
    }
}

/// The document as it must be afterwards.
fn expected(index: i64, before: &Document) -> Document {
    let mut after = before.clone();
    if from(index) == applied(index) {
        let kind = index % 4;
        if kind > 1 {
            let at = DateTime::from_millis(1_000_000 + index);
            after.insert("lastActivityAt", at);
            after.insert("lastMessageSeq", applied(index) + 1);
        }
        if kind == 1 || kind == 3 {
            after.insert("lastRemovalSeq", applied(index) + 2);
        }
        after.insert("applied", applied(index) + 2);
    }
    after
}

#[tokio::test]
async fn documents_that_are_written_together_move_only_from_where_they_must_be() {
    let place = Sandbox::new();
    let conversations = place.collection("conversations").await;
    let ids: Vec<ConversationId> = (0..CONVERSATIONS)
        .map(|_| ConversationId::generate())
        .collect();
    let before: Vec<Document> = (0..).zip(&ids).map(|(index, id)| doc! {
        "_id": id.as_str(),
        "name": "$applied", "metadata": "{\"$literal\":\"$$ROOT\"}", "participantIds": ["$_id"],
        "lastActivityAt": DateTime::from_millis(1), "lastMessageSeq": 1_i64, "lastRemovalSeq": 1_i64,
        "applied": applied(index),
    }).collect();
    let inserted = conversations.insert_many(&before).await;
    inserted.expect("the documents are inserted");

    let store = Store::connect(&place.mongodb_uri, &place.database).await;
    let backend = MongoBackend::new(Arc::new(store.expect("an address")));
    let runs: Vec<Run> = (0..).zip(&ids).map(|(index, id)| run(index, id)).collect();
    let written = backend.write(&runs).await.expect("MongoDB answers");

    for (index, before) in (0..).zip(&before) {
        let found = conversations.find_one(doc! { "_id": before.get_str("_id").expect("an id") });
        let mut found = found.await.expect("can be read").expect("is there");
        let touched = found.remove("touchedTs");
        let is_moved = from(index) == applied(index);
        assert_eq!(found, expected(index, before), "{index}");
        assert_eq!(
            touched.is_some_and(|at| at.as_timestamp().is_some_and(|at| at.time > 0)),
            is_moved,
            "{index}"
        );
        // A document that is at the end of the run or beyond it already contains the run's changes.
        let is_there = is_moved || applied(index) >= from(index) + 2;
        let position = usize::try_from(index).expect("small");
        assert_eq!(written[position], is_there, "{index}");
    }

    // One alone, at a wrong number and at the right one.
    let alone = |from: u64| Run {
        to: from + 1,
        ..Run::at(Owner::Conversation(ids[1].clone()), from)
    };
    let now = applied(1).unsigned_abs() + 2;
    assert_eq!(backend.write(&[alone(now + 1)]).await, Ok(vec![false]));
    assert_eq!(backend.write(&[alone(now)]).await, Ok(vec![true]));
    assert_eq!(
        backend.write(&[alone(now - 1)]).await,
        Ok(vec![true]),
        "is there already"
    );
}
