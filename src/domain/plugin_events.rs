//! Events that plugins publish in the logs of conversations and users.

use futures_util::{StreamExt, stream};

use super::Context;
use crate::model::{
    error::Result,
    plugin_events::{Appended, NewPluginEvent},
};

/// Number of events of one call that are written concurrently: several group commits.
const CONCURRENCY: usize = 512;

/// Appends an event to its log. A repetition with the same key returns the first event.
///
/// # Errors
/// [`crate::model::DomainError::NotFound`] without the conversation or user, [`crate::model::DomainError::TooLarge`],
/// [`crate::model::DomainError::Unavailable`].
pub async fn publish(ctx: &Context, event: NewPluginEvent) -> Result<Appended> {
    let entry = ctx.append(event.into_request()).await?.into_entry()?;
    Ok(Appended {
        id: entry.id.clone(),
        seq: entry.seq,
    })
}

/// Runs [`publish`] for each event separately; the results are in the order of the events.
pub async fn publish_many(ctx: &Context, events: Vec<NewPluginEvent>) -> Vec<Result<Appended>> {
    stream::iter(events)
        .map(|event| publish(ctx, event))
        .buffered(CONCURRENCY)
        .collect()
        .await
}
