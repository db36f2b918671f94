//! The durable of the plugin: rules with the action `report` search stored messages, and the words of deleted users are erased.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    Attachment, ConversationId, EventType, MessageId, Timestamp, UserId,
    plugin::{
        BoxFuture, CancellationToken, Consumer, ConsumerSpec, Delivery, HostError, NewsMembers,
        NewsQuery, Verdict,
    },
};
use serde::Deserialize;

use crate::{
    Moderation,
    fold::Folded,
    ids,
    matcher::Place,
    reports::{BY_RULE, Evidence, Report, ReportStatus},
    rules::{Action, now},
};

/// Time after which an event is delivered again that could not be handled.
const AFTER_FAULT: Duration = Duration::from_secs(2);

fn spec() -> ConsumerSpec {
    ConsumerSpec {
        name: "events".to_owned(),
        events: Some(vec![
            EventType::MessageCreated,
            EventType::MessageUpdated,
            EventType::UserDeleted,
        ]),
        concurrency: 16,
        max_pending: 1000,
        ack_wait: Duration::from_secs(30),
    }
}

/// Creates the durable, or changes it to the present form.
///
/// # Errors
/// [`HostError::Unavailable`].
pub async fn declare(plugin: &Moderation) -> Result<(), HostError> {
    Ok(plugin.host.events.declare(spec()).await?)
}

/// Handles events until `stop`.
pub fn run(plugin: &Arc<Moderation>, stop: CancellationToken) -> BoxFuture<'static, ()> {
    let consumer = Arc::new(Events(Arc::clone(plugin)));
    plugin.host.events.run(spec(), consumer, stop)
}

struct Events(Arc<Moderation>);

impl Consumer for Events {
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

/// Envelope of an event, as far as the plugin reads it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<D> {
    timestamp: Timestamp,
    #[serde(default)]
    actor_id: Option<UserId>,
    data: D,
}

/// Data of a message that was sent or edited.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Text {
    /// Id of the message: of a new one, or of an edited one.
    #[serde(alias = "messageId")]
    id: MessageId,
    #[serde(default)]
    sender_id: Option<UserId>,
    content: String,
    #[serde(default)]
    attachments: Vec<Attachment>,
    #[serde(default)]
    is_edited: bool,
}

/// Reads the message of an event of a conversation; `None` if it has none that this version reads.
pub fn text_of(payload: &[u8]) -> Option<(MessageId, String)> {
    let envelope: Envelope<Text> = serde_json::from_slice(payload).ok()?;
    let mut text = envelope.data.content;
    for file in envelope.data.attachments {
        text.push('\n');
        text.push_str(file.name.as_deref().unwrap_or_default());
    }
    Some((envelope.data.id, text))
}

impl Moderation {
    async fn handle(&self, delivery: &Delivery) -> Result<(), HostError> {
        if let Some(user) = delivery.owner.strip_prefix("user:") {
            return match serde_json::from_slice::<Envelope<serde_json::Value>>(&delivery.payload) {
                Ok(envelope) => self.forget(user, envelope.timestamp.as_millis()).await,
                Err(_) => Ok(()),
            };
        }
        let envelope = serde_json::from_slice::<Envelope<Text>>(&delivery.payload);
        match (delivery.owner.parse::<ConversationId>(), envelope) {
            (Ok(conversation), Ok(envelope)) => {
                self.report_matches(&conversation, delivery.seq.unwrap_or_default(), envelope)
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Erases what the plugin knows of a user who was deleted at this time.
    async fn forget(&self, user: &str, until: i64) -> Result<(), HostError> {
        self.reports.forget(user, until).await?;
        self.decisions.forget(user, until).await?;
        self.restrictions.forget(user, until).await
    }

    async fn report_matches(
        &self,
        conversation: &ConversationId,
        seq: u64,
        event: Envelope<Text>,
    ) -> Result<(), HostError> {
        let rules = self.rules.current().await?;
        if !rules.iter().any(|rule| rule.action == Action::Report) {
            return Ok(());
        }
        let sender = event.data.sender_id.clone().or(event.actor_id.clone());
        // A message of the host without an acting user is not moderated.
        let Some(author) = sender.filter(UserId::names_a_user) else {
            return Ok(());
        };
        let text = Folded::of(&event.data.content);
        let mut kind = None;
        for rule in rules.iter() {
            if rule.action != Action::Report || rule.find(&text).is_none() {
                continue;
            }
            if rule.needs_type() && kind.is_none() {
                kind = self.type_of(conversation, seq, &author).await?;
            }
            let place = Place {
                conversation: Some(conversation),
                kind,
            };
            if !rule.applies(place) {
                continue;
            }
            let report = Report {
                id: ids::new(ids::REPORT),
                message_id: event.data.id.clone(),
                conversation_id: conversation.clone(),
                author_id: author.clone(),
                source: format!("{BY_RULE}{}", rule.name),
                reason: None,
                evidence: Some(Evidence {
                    content: event.data.content.clone(),
                    attachments: event.data.attachments.clone(),
                    is_edited: event.data.is_edited,
                    version_at: event.timestamp,
                }),
                status: ReportStatus::Open,
                claimed_by: None,
                claimed_until: 0,
                decision_id: None,
                created_at: now(),
            };
            let (_, is_new) = self.reports.put(report).await?;
            if is_new {
                metrics::counter!("chat_moderation_reports_total", "source" => "rule").increment(1);
            }
        }
        Ok(())
    }

    /// Returns the type of a conversation; `None` if it was deleted.
    async fn type_of(
        &self,
        conversation: &ConversationId,
        seq: u64,
        member: &UserId,
    ) -> Result<Option<chat_sdk::ConversationType>, HostError> {
        let query = NewsQuery {
            conversation: conversation.clone(),
            after: seq.saturating_sub(1),
            until: seq,
            not_before: Timestamp::from_millis(0),
            large_from: u32::MAX,
            members: NewsMembers::Only(member.clone()),
        };
        Ok(self.host.audience.news(query).await?.map(|news| news.kind))
    }
}
