//! The stream: its configuration is declared here and nowhere else.

use std::time::Duration;

use async_nats::{
    header::NATS_MESSAGE_ID,
    jetstream::stream::{
        Config, DiscardPolicy, RawMessageError, RawMessageErrorKind, RetentionPolicy, StorageType,
        Stream,
    },
};
use time::format_description::well_known::Rfc3339;

use super::Bus;
use crate::model::bounds;

/// Time in which the server recognises a repeated event by its id.
///
/// The relay may repeat later: readers deduplicate by (owner, seq).
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// Maximum size of a stored message in bytes, as the server counts.
const MAX_MESSAGE_BYTES: i32 = bounds::STREAM_MESSAGE as i32;

/// Reason why the stream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// JetStream refused the request or did not answer.
    #[error("JetStream: {0}")]
    Api(String),
    /// The stream's message size limit is smaller than an event, and cannot be changed.
    #[error(
        "the max_msg_size of the stream {name} is {found} bytes, and at least {MAX_MESSAGE_BYTES} are needed; raise it"
    )]
    MessageSize {
        /// Name of the stream.
        name: String,
        /// Current limit in bytes.
        found: i32,
    },
    /// A stream of that name exists whose configuration cannot be changed to ours.
    #[error(
        "the stream {name} differs from what this program needs in {fields}; remove or rename it, or choose another NATS_SUBJECT_PREFIX"
    )]
    Drift {
        /// Name of the stream.
        name: String,
        /// Names of the settings that differ.
        fields: String,
    },
}

impl Bus {
    fn stream_config(&self) -> Config {
        Config {
            name: self.subjects.stream(),
            description: Some("Chat Service: everything that happened, for a while".to_owned()),
            subjects: self.subjects.stored(),
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            max_age: self.options.retention,
            max_bytes: self.options.max_bytes,
            max_message_size: MAX_MESSAGE_BYTES,
            num_replicas: self.options.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            deny_delete: true,
            deny_purge: true,
            ..Config::default()
        }
    }

    /// Creates the stream, or updates it to the declared configuration. Safe from many processes at once.
    ///
    /// # Errors
    /// [`StreamError::Drift`] if a stream of our name has another storage or retention: these cannot be changed.
    pub async fn declare_stream(&self) -> Result<Stream, StreamError> {
        let wanted = self.stream_config();
        let name = wanted.name.clone();
        let api = |error: &dyn std::fmt::Display| StreamError::Api(error.to_string());
        let stream = self
            .jetstream
            .get_or_create_stream(wanted.clone())
            .await
            .map_err(|error| api(&error))?;
        let found = &stream.cached_info().config;
        let fixed: Vec<&str> = [
            ("storage", found.storage != wanted.storage),
            ("retention", found.retention != wanted.retention),
        ]
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect();
        if !fixed.is_empty() {
            return Err(StreamError::Drift {
                name,
                fields: fixed.join(" and "),
            });
        }
        let drifted: Vec<&str> = [
            ("subjects", found.subjects != wanted.subjects),
            ("max_age", found.max_age != wanted.max_age),
            ("max_bytes", found.max_bytes != wanted.max_bytes),
            (
                "max_message_size",
                found.max_message_size != wanted.max_message_size,
            ),
            ("num_replicas", found.num_replicas != wanted.num_replicas),
            (
                "duplicate_window",
                found.duplicate_window != wanted.duplicate_window,
            ),
        ]
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect();
        if drifted.is_empty() {
            return Ok(stream);
        }
        tracing::warn!(stream = %name, fields = ?drifted, "the stream differs from what is declared; changing it");
        self.jetstream
            .update_stream(wanted)
            .await
            .map_err(|error| api(&error))?;
        let stream = self.jetstream.get_stream(&name).await;
        let stream = stream.map_err(|error| api(&error))?;
        let found = stream.cached_info().config.max_message_size;
        // 0 and less mean no limit.
        if (1..MAX_MESSAGE_BYTES).contains(&found) {
            return Err(StreamError::MessageSize { name, found });
        }
        Ok(stream)
    }

    /// Returns the identity of the stream: its creation time.
    ///
    /// # Errors
    /// If JetStream does not answer.
    pub async fn stream_created(&self) -> Result<String, super::BusError> {
        Ok(stream_name(&self.declare_stream().await?))
    }

    /// Removes the stream with all its messages and durables.
    ///
    /// # Errors
    /// If JetStream does not answer.
    pub async fn remove_stream(&self) -> Result<(), StreamError> {
        self.jetstream
            .delete_stream(self.subjects.stream())
            .await
            .map_err(|error| StreamError::Api(error.to_string()))?;
        Ok(())
    }

    /// Returns the id of the message at `sequence`; `None` if there is none. Asks the stream's leader.
    ///
    /// # Errors
    /// If JetStream does not answer.
    pub async fn stored_id(&self, sequence: u64) -> Result<Option<String>, super::BusError> {
        let api = |error: String| super::BusError::Stream(StreamError::Api(error));
        let name = self.subjects.stream();
        let stream = self.jetstream.get_stream_no_info(name).await;
        let stream = stream.map_err(|error| api(error.to_string()))?;
        let found = match id_at(&stream, sequence).await {
            // The stream may no longer exist.
            Err(error) if error.kind() != RawMessageErrorKind::NoMessageFound => {
                id_at(&self.declare_stream().await?, sequence).await
            }
            found => found,
        };
        match found {
            Ok(id) => Ok(id),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(api(error.to_string())),
        }
    }
}

/// Returns the creation time of a stream as text, which identifies the stream.
pub(super) fn stream_name(stream: &Stream) -> String {
    let created = stream.cached_info().created;
    created.format(&Rfc3339).unwrap_or_default()
}

async fn id_at<I>(stream: &Stream<I>, sequence: u64) -> Result<Option<String>, RawMessageError> {
    let message = stream.get_raw_message(sequence).await?;
    let id = message.headers.get(NATS_MESSAGE_ID);
    Ok(id.map(|id| id.as_str().to_owned()))
}
