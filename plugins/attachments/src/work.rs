//! The loops of a worker: it learns which messages carry files, and removes files that nobody needs.
//!
//! The messages themselves are the truth: an event only sets the time at which a worker looks at a file, and the worker then asks for the messages. So an
//! event that arrives twice, late or out of order removes nothing that is needed. A removal is repeated until the store has no object of the file.

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::{
    BoxFuture, Caller, CancellationToken, ChatError, Consumer, ConsumerSpec, Delivery, HostError,
    PluginContext, Verdict,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Attachments,
    access::{self, PATH, carried_by},
    files::{self, State, StoredFile, in_seconds},
    objects::ObjectsError,
};

/// Time between two looks for files that are due.
const PERIOD: Duration = Duration::from_secs(1);
/// Time until an event that could not be handled is delivered again.
const AFTER_FAULT: Duration = Duration::from_secs(2);
/// Seconds until a look at a file that failed is repeated.
const RETRY_SECONDS: u32 = 5;
/// Seconds between the first and the second removal: a piece that arrived during the first one is found then.
const AGAIN_SECONDS: u32 = 120;
/// Minimum number of seconds between the deletion of a message and the look at its files: the database may show the message for a moment.
const SETTLED_SECONDS: u32 = 1;
/// Seconds until the next look at a file that a message carries. It finds what no event told.
const REGULAR_SECONDS: u32 = 7 * 86_400;
/// Seconds after which a file that was attached is looked at once, because the deletion of its message may have been handled first.
const CONFIRM_SECONDS: u32 = 600;

fn spec() -> ConsumerSpec {
    use chat_sdk::EventType::{
        ConversationDeleted, MessageCreated, MessageDeleted, MessageRestored, UserDeleted,
    };
    ConsumerSpec {
        name: "messages".to_owned(),
        events: Some(vec![
            MessageCreated,
            MessageRestored,
            MessageDeleted,
            ConversationDeleted,
            UserDeleted,
        ]),
        concurrency: 32,
        max_pending: 1000,
        ack_wait: Duration::from_secs(30),
    }
}

/// Runs all loops until `context.stop`.
///
/// # Errors
/// [`HostError`] if the durable cannot be declared; the plugin is then restarted.
pub async fn run(plugin: Arc<Attachments>, context: PluginContext) -> Result<(), HostError> {
    let events = &plugin.host.events;
    events.declare(spec()).await?;
    let consumer = Arc::new(Messages(Arc::clone(&plugin)));
    let follow = events.run(spec(), consumer, context.stop.clone());
    let loops = async { tokio::join!(follow, sweep(&plugin, &context.stop)) };
    context.beat_while(loops).await;
    Ok(())
}

/// Consumer of the plugin's durable.
struct Messages(Arc<Attachments>);

/// Parts of an envelope that the consumer reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    timestamp: chat_sdk::Timestamp,
    #[serde(default)]
    conversation_id: String,
    data: Value,
}

impl Consumer for Messages {
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict> {
        Box::pin(async move {
            match self.0.handle(&delivery).await {
                Ok(()) => Verdict::Done,
                Err(error) => {
                    tracing::warn!(%error, kind = delivery.kind, "event could not be handled");
                    Verdict::RetryAfter(AFTER_FAULT)
                }
            }
        })
    }
}

impl Attachments {
    async fn handle(&self, delivery: &Delivery) -> Result<(), HostError> {
        let is_about_files = || {
            let payload = std::str::from_utf8(&delivery.payload);
            payload.is_ok_and(|payload| payload.contains(PATH))
        };
        let is_new = matches!(
            delivery.kind.as_str(),
            "message.created" | "message.restored"
        );
        // Nearly all messages carry no file of this plugin; they are not parsed.
        if is_new && !is_about_files() {
            return Ok(());
        }
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&delivery.payload) else {
            return Ok(());
        };
        let data = &envelope.data;
        let text = |field: &str| data[field].as_str().unwrap_or_default();
        match delivery.kind.as_str() {
            "message.created" => self.attached(text("id"), &envelope).await,
            "message.restored" => self.attached(text("messageId"), &envelope).await,
            "message.deleted" => {
                let files = self.references.of_message(text("messageId")).await?;
                let is_final = data["isExpired"] == true;
                let deleted = self.settings.table.deleted_seconds.max(SETTLED_SECONDS);
                let at = in_seconds(if is_final { SETTLED_SECONDS } else { deleted });
                self.check(&files, at).await
            }
            "conversation.deleted" => self.conversation_deleted(&envelope.conversation_id).await,
            "user.deleted" => {
                let user = delivery.owner.strip_prefix("user:").unwrap_or_default();
                let until = envelope.timestamp.as_millis();
                self.files.forget_owner(user, until).await
            }
            _ => Ok(()),
        }
    }

    async fn check(&self, files: &[String], at: i64) -> Result<(), HostError> {
        if files.is_empty() {
            return Ok(());
        }
        let gone_at = in_seconds(SETTLED_SECONDS);
        self.files.check(files, at.max(gone_at), gone_at).await
    }

    async fn attached(&self, message: &str, envelope: &Envelope) -> Result<(), HostError> {
        let files = carried_by(&envelope.data);
        if message.is_empty() || files.is_empty() {
            return Ok(());
        }
        self.references
            .add(message, &envelope.conversation_id, &files)
            .await?;
        self.files.attach(&files, in_seconds(CONFIRM_SECONDS)).await
    }

    async fn conversation_deleted(&self, conversation: &str) -> Result<(), HostError> {
        loop {
            let found = self.references.of_conversation(conversation).await?;
            if found.is_empty() {
                return Ok(());
            }
            let files: Vec<String> = found.iter().map(|one| one.file_id.clone()).collect();
            self.check(&files, files::now()).await?;
            self.references.remove(&found).await?;
        }
    }
}

async fn sweep(plugin: &Arc<Attachments>, stop: &CancellationToken) {
    loop {
        match plugin.files.take_due().await {
            Ok(Some(file)) => {
                if let Err(error) = plugin.look(&file).await {
                    tracing::warn!(error, file = file.id, "file could not be cleaned up yet");
                    // If this fails too, the lease ends and another look follows.
                    let _ = plugin.files.settle(&file, in_seconds(RETRY_SECONDS)).await;
                }
                if !stop.is_cancelled() {
                    continue;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "files that are due could not be read"),
        }
        if let Ok(backlog) = plugin.files.backlog().await {
            metrics::gauge!("chat_attachments_backlog").set(backlog as f64);
        }
        let pause = tokio::time::sleep(PERIOD);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

fn host_text(error: HostError) -> String {
    error.to_string()
}

impl Attachments {
    /// Looks at a file that is due: removes it, or sets the time of the next look.
    async fn look(&self, file: &StoredFile) -> Result<(), String> {
        match file.state {
            State::Removing => self.remove(file).await,
            State::Uploading => self.begin_removal(file).await,
            State::Ready => {
                if !self.remove_stale(file).await {
                    return Err("a stale object could not be removed".to_owned());
                }
                if !file.is_attached && file.keep_until > files::now() {
                    let kept = self.files.settle(file, file.keep_until).await;
                    return kept.map_err(host_text);
                }
                match self.is_needed(file).await {
                    Ok(true) => {
                        let next = in_seconds(REGULAR_SECONDS);
                        self.files.settle(file, next).await.map_err(host_text)
                    }
                    Ok(false) => self.begin_removal(file).await,
                    Err(error) => Err(format!("a message could not be read: {}", error.status)),
                }
            }
        }
    }

    /// Returns true if a message carries the file. References of other messages are removed.
    async fn is_needed(&self, file: &StoredFile) -> Result<bool, ChatError> {
        loop {
            let found = self.references.of_file(&file.id).await;
            let found = found.map_err(access::later)?;
            if found.is_empty() {
                return Ok(false);
            }
            for reference in &found {
                if self
                    .carries(Caller::Host, &reference.message_id, &file.id)
                    .await?
                {
                    return Ok(true);
                }
            }
            let removed = self.references.remove(&found).await;
            removed.map_err(access::later)?;
        }
    }

    async fn begin_removal(&self, file: &StoredFile) -> Result<(), String> {
        // If the document has changed since, somebody needs the file, and has set another time.
        self.files
            .begin_removal(file)
            .await
            .map(|_| ())
            .map_err(host_text)
    }

    async fn remove(&self, file: &StoredFile) -> Result<(), String> {
        let objects = |error: ObjectsError| error.to_string();
        let thumbnail = file.content.as_ref().and_then(|one| one.thumbnail.as_ref());
        let known = file.pieces.iter().chain(thumbnail);
        let known = known.map(|piece| piece.key.clone());
        let mut keys: Vec<String> = known.chain(file.stale.iter().cloned()).collect();
        // Pieces of requests that broke are in no list of the document.
        keys.extend(self.objects.list(&file.id).await.map_err(objects)?);
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            self.objects.delete(&key).await.map_err(objects)?;
        }
        if file.removals > 0 {
            return self.files.forget(&file.id).await.map_err(host_text);
        }
        self.references.forget(&file.id).await.map_err(host_text)?;
        let again = in_seconds(AGAIN_SECONDS);
        if self
            .files
            .note_removal(&file.id, again)
            .await
            .map_err(host_text)?
        {
            let released = self.quota.release(&file.owner_id, file.reserved).await;
            released.map_err(host_text)?;
            metrics::counter!("chat_attachments_removed_total").increment(1);
        }
        Ok(())
    }
}
