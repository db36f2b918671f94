//! Examples of all bodies, by the name of the schema.

use serde_json::{Value, json};

const TIME: &str = "2026-01-15T10:30:00.000Z";
const WEBHOOK: &str = "whk_01hzx3v7k9q2m4n6p8r0s2t4v6";
const LETTER: &str = "dlq_01hzx3v7k9q2m4n6p8r0s2t4v6";
const EVENT: &str = "evt_01hzx3v7k9q2m4n6p8r0s2t4v6";

/// Returns the example of a schema.
pub fn example(schema: &str) -> Option<Value> {
    Some(match schema {
        "CreateWebhook" => json!({
            "url": "https://shop.example/hooks/chat", "events": ["message.*", "conversation.created"],
            "description": "Orders",
        }),
        "UpdateWebhook" => json!({ "events": ["message.created"], "retrySchedule": [5, 60, 600] }),
        "Webhook" => webhook(),
        "WebhookWithSecret" => json!({
            "id": WEBHOOK, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=", "webhook": webhook(),
        }),
        "WebhookPage" => json!({ "webhooks": [webhook()], "hasMore": false }),
        "WebhookTest" => json!({ "eventId": EVENT }),
        "WebhookDeliveryPage" => json!({
            "deliveries": [{
                "eventId": EVENT, "type": "message.created", "status": "retrying", "attempts": 1,
                "lastAttempt": attempt(), "nextAttemptAt": "2026-01-15T10:30:05.000Z", "updatedAt": TIME,
            }],
            "nextCursor": EVENT, "hasMore": true,
        }),
        "DeliveryAttempts" => json!({ "attempts": [attempt()] }),
        "DeadLetter" => letter(),
        "DeadLetterPage" => json!({ "deadLetters": [letter()], "hasMore": false }),
        "ReplayDeadLetters" => json!({ "endpointId": WEBHOOK, "since": TIME }),
        "BackfillWebhook" => json!({ "since": TIME }),
        "ReplayResult" => json!({ "replayed": 12, "hasMore": false }),
        "PulledEvents" => json!({
            "events": [{ "ackId": "JEpTLkFDSy5DSEFUX0VWRU5UUy4x", "attempt": 1, "event": event() }],
        }),
        "AcknowledgeEvents" => json!({ "ackIds": ["JEpTLkFDSy5DSEFUX0VWRU5UUy4x"] }),
        "AcknowledgedEvents" => json!({ "acknowledged": 1 }),
        _ => return None,
    })
}

fn webhook() -> Value {
    json!({
        "id": WEBHOOK, "url": "https://shop.example/hooks/chat", "events": ["message.*", "conversation.created"],
        "description": "Orders", "ordered": false, "isEnabled": true, "createdAt": TIME, "updatedAt": TIME,
        "lag": { "pending": 0, "inFlight": 1, "retrying": 0 },
    })
}

fn attempt() -> Value {
    json!({ "number": 1, "at": TIME, "durationMs": 41, "status": 500, "error": "answered 500", "answer": "oops" })
}

fn event() -> Value {
    json!({
        "id": EVENT, "type": "message.deleted", "version": 1, "timestamp": TIME,
        "conversationId": "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6", "seq": 42, "actorId": "alice",
        "data": {
            "messageId": "msg_01hzx3v7k9q2m4n6p8r0s2t4v6", "conversationId": "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6",
            "deletedAt": TIME,
        },
    })
}

fn letter() -> Value {
    json!({
        "id": LETTER, "endpointId": WEBHOOK, "eventId": EVENT, "type": "message.deleted", "attempts": 9,
        "reason": "answered 500", "diedAt": TIME, "event": event(),
    })
}
