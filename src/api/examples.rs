//! An example of every body, by the name of its schema. A test validates each example against its schema.

use serde_json::{Map, Value, json};

use super::fixup::each_operation;

const REF: &str = "#/components/schemas/";

/// Adds an example to every request body and response.
///
/// `further` returns the examples of an external plugin.
pub fn add(document: &mut Value, further: fn(&str) -> Option<Value>) {
    each_operation(document, &mut |operation| {
        if let Some(body) = operation.get_mut("requestBody") {
            illustrate(body, further);
        }
        let responses = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut);
        for (_, response) in responses.into_iter().flatten() {
            illustrate(response, further);
        }
    });
}

fn illustrate(body: &mut Value, further: fn(&str) -> Option<Value>) {
    let content = body.get_mut("content").and_then(Value::as_object_mut);
    for (_, media) in content.into_iter().flatten() {
        let name = media["schema"]["$ref"]
            .as_str()
            .and_then(|name| name.strip_prefix(REF));
        if let Some(example) = name.and_then(|name| example(name).or_else(|| further(name))) {
            media["example"] = example;
        }
    }
}

/// Returns the example of a schema.
fn example(schema: &str) -> Option<Value> {
    Some(match schema {
        "SyncUser" => sync_user(),
        "SyncUsers" => {
            json!({ "users": [sync_user(), { "externalUserId": "bob", "name": "Bob" }] })
        }
        "CreateConsumer" => json!({
            "name": "shop", "events": ["message.*", "conversation.created"], "description": "Orders",
        }),
        "HostConsumer" => host_consumer(),
        "ConsumerPage" => json!({ "consumers": [host_consumer()], "hasMore": false }),
        "SyncUsersResult" => json!({ "results": [
            { "externalUserId": "alice", "status": "created" },
            { "externalUserId": "bob", "status": "unchanged" },
        ] }),
        "User" => user(),
        "UserPage" => json!({ "users": [public_user()], "hasMore": false }),
        "UpdateUser" => json!({ "name": "Alice L.", "avatarUrl": null }),
        "CreateConversation" => json!({
            "type": "group", "participantIds": ["bob"], "name": "Order 4711",
            "metadata": { "orderId": "4711" },
        }),
        "UpdateConversation" => json!({ "name": "Order 4711, delivered" }),
        "Conversation" => conversation(),
        "ConversationPage" => json!({
            "conversations": [conversation()], "nextCursor": CONVERSATION, "hasMore": true,
        }),
        "AddParticipants" => json!({ "userIds": ["carol"], "role": "member" }),
        "AddedParticipants" => json!({ "participants": [participant("carol", "member")] }),
        "Participant" => participant("carol", "admin"),
        "ParticipantPage" => json!({
            "participants": [participant("alice", "owner"), participant("bob", "member")], "hasMore": false,
        }),
        "UpdateParticipant" => json!({ "role": "admin" }),
        "SetStatus" | "UserStatus" => json!({ "status": "busy", "text": "On the phone" }),
        "Presence" => presence(),
        "PresenceBatchRequest" => json!({ "userIds": ["alice", "bob"] }),
        "PresenceBatch" => json!({ "presence": [presence(), absence()] }),
        "PresencePage" => json!({ "presence": [presence(), absence()], "hasMore": false }),
        "SendMessage" => send_message(),
        "SendDirectMessage" => {
            let mut body = send_message();
            body["receiverId"] = json!("bob");
            body
        }
        "ForwardMessage" => {
            json!({ "conversationIds": [CONVERSATION], "clientMessageId": "9b2f0c1e-2" })
        }
        "ForwardedMessages" => json!({ "messages": [forwarded()] }),
        "AddReaction" => json!({ "emoji": "👍" }),
        "Reactions" => json!({ "reactions": [reaction()] }),
        "ReactionPage" => json!({
            "reactions": [reaction()],
            "users": [{ "emoji": "👍", "userId": "bob", "createdAt": TIME }], "hasMore": false,
        }),
        "UpdatePreferences" => json!({ "mutedUntil": "2026-01-16T08:00:00.000Z", "pinned": true }),
        "Preferences" => json!({
            "muted": true, "mutedUntil": "2026-01-16T08:00:00.000Z", "archived": false, "pinned": true,
            "hidden": false, "notificationLevel": "all",
        }),
        "BlockedUserPage" => json!({
            "users": [{ "userId": "mallory", "createdAt": TIME }], "hasMore": false,
        }),
        "ScheduleMessage" => json!({
            "conversationId": CONVERSATION, "sendAt": "2026-01-16T08:00:00.000Z", "content": "Good morning!",
            "clientMessageId": "9b2f0c1e-3",
        }),
        "ScheduledMessage" => scheduled_message(),
        "ScheduledPage" => json!({ "scheduled": [scheduled_message()], "hasMore": false }),
        "UpdateScheduledMessage" => {
            json!({ "sendAt": "2026-01-16T09:00:00.000Z", "metadata": null })
        }
        "EditMessage" => json!({ "content": "Where is my parcel now?" }),
        "Message" => message(),
        "MessagePage" => json!({ "messages": [message()], "nextCursor": MESSAGE, "hasMore": true }),
        "MessageHistory" => json!({ "versions": [
            { "content": "Where is my parcel?", "createdAt": TIME },
            { "content": "Where is my parcel now?", "createdAt": "2026-01-15T10:31:00.000Z" },
        ], "hasMore": false }),
        "ReadAt" => json!({ "readAt": TIME }),
        "DeliveredAt" => json!({ "deliveredAt": TIME }),
        "MarkConversationRead" => json!({ "upToMessageId": MESSAGE }),
        "NewlyReadCount" => json!({ "count": 3 }),
        "ReadReceiptPage" => json!({
            "receipts": [{ "userId": "bob", "readAt": TIME }], "hasMore": false,
        }),
        "DeliveryReceiptPage" => json!({
            "receipts": [{ "userId": "bob", "deliveredAt": TIME }], "hasMore": false,
        }),
        "UnreadCount" => json!({ "unreadCount": 3, "mentionCount": 1 }),
        "UnreadPage" => json!({
            "conversations": [{ "conversationId": CONVERSATION, "unreadCount": 3, "mentionCount": 1 }],
            "hasMore": false,
        }),
        "LogPage" => json!({
            "entries": [{ "seq": 41, "type": "skip" }, {
                "seq": 42, "type": "message.created", "id": "evt_01hzx3v7k9q2m4n6p8r0s2t4v6", "version": 1,
                "timestamp": TIME, "conversationId": CONVERSATION, "actorId": "alice", "data": message(),
            }],
            "nextAfter": 42, "hasMore": false,
        }),
        "ErasureReport" => json!({
            "externalUserId": "alice", "messages": "erase", "status": "done",
            "startedAt": TIME, "finishedAt": "2026-01-15T10:30:02.000Z",
            "removed": {
                "profileEntries": 2, "blocks": 1, "markers": 3, "reads": 0, "scheduled": 0, "presence": 1,
                "reactions": 4, "memberships": 2, "messages": 17, "edits": 3,
            },
        }),
        "Health" => json!({ "status": "up" }),
        "HealthReport" => json!({ "status": "up", "dependencies": [
            { "name": "mongodb", "status": "up", "latencyMs": 0.4, "isRequired": true },
            { "name": "nats", "status": "up", "latencyMs": 0.2, "isRequired": false },
        ] }),
        "ServiceStatus" => json!({
            "version": env!("CARGO_PKG_VERSION"), "roles": ["api", "ws", "webhooks"], "uptimeSeconds": 86400,
            "events": { "isRunning": true, "position": 120034, "pending": 0 },
            "tasks": [{ "name": "writer", "state": "running", "restarts": 0 }],
            "consumers": [{
                "name": "webhooks-whk_01hzx3v7k9q2m4n6p8r0s2t4v6", "pending": 12, "toPutBack": 0, "inFlight": 32,
                "retrying": 3, "oldestAgeMs": 41250,
            }],
        }),
        other => return crate::plugins::example(other),
    })
}

const TIME: &str = "2026-01-15T10:30:00.000Z";
const CONVERSATION: &str = "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6";
const MESSAGE: &str = "msg_01hzx3v7k9q2m4n6p8r0s2t4v6";

fn presence() -> Value {
    json!({ "userId": "alice", "status": "busy", "text": "On the phone" })
}

fn absence() -> Value {
    json!({ "userId": "bob", "status": "offline", "lastSeen": TIME })
}

fn host_consumer() -> Value {
    json!({
        "name": "shop", "stream": "CHAT_EVENTS", "events": ["message.*", "conversation.created"],
        "description": "Orders", "ackWaitSeconds": 30, "maxPending": 1000,
        "createdAt": "2026-01-15T10:30:00.000Z", "updatedAt": "2026-01-15T10:30:00.000Z",
        "lag": { "pending": 0, "inFlight": 0, "redelivered": 0 },
    })
}

fn sync_user() -> Value {
    json!({
        "externalUserId": "alice", "name": "Alice", "avatarUrl": "https://shop.example/alice.png",
        "email": "alice@shop.example", "roles": ["buyer"], "metadata": { "tier": "gold" },
    })
}

fn public_user() -> Value {
    json!({
        "externalUserId": "alice", "name": "Alice", "avatarUrl": "https://shop.example/alice.png",
        "createdAt": TIME, "updatedAt": TIME,
    })
}

fn user() -> Value {
    let mut user: Map<String, Value> = sync_user().as_object().cloned().unwrap_or_default();
    user.extend(public_user().as_object().cloned().unwrap_or_default());
    user.into()
}

fn participant(user: &str, role: &str) -> Value {
    json!({ "userId": user, "role": role, "joinedAt": TIME })
}

fn conversation() -> Value {
    json!({
        "id": CONVERSATION, "type": "group", "name": "Order 4711", "metadata": { "orderId": "4711" },
        "historyVisibility": "full",
        "features": { "typing": true, "reads": true, "reactions": true, "threads": true },
        "createdBy": "alice", "createdAt": TIME, "updatedAt": TIME, "lastActivityAt": TIME, "participantCount": 2, "participantIds": ["alice", "bob"], "seq": 42,
        "lastMessage": message(), "myRole": "owner", "readSeq": 39, "unreadCount": 3, "mentionCount": 1,
        "preferences": {
            "muted": false, "archived": false, "pinned": false, "hidden": false, "notificationLevel": "all",
        },
    })
}

fn send_message() -> Value {
    json!({
        "content": "Where is my parcel?", "mentions": ["bob"],
        "attachments": [{ "url": "https://shop.example/label.png", "mimeType": "image/png", "size": 20480 }],
        "clientMessageId": "9b2f0c1e-1",
    })
}

fn reaction() -> Value {
    json!({ "emoji": "👍", "count": 1, "userIds": ["bob"], "reactedByMe": false })
}

fn forwarded() -> Value {
    let mut message = message();
    message["clientMessageId"] = json!("9b2f0c1e-2");
    message["mentions"] = json!([]);
    message["forwardedFrom"] = json!({ "messageId": MESSAGE, "senderId": "alice" });
    message
}

fn message() -> Value {
    json!({
        "id": MESSAGE, "conversationId": CONVERSATION, "seq": 42, "senderId": "alice",
        "content": "Where is my parcel?", "type": "text",
        "attachments": [{ "url": "https://shop.example/label.png", "mimeType": "image/png", "size": 20480 }],
        "replyCount": 0, "mentions": ["bob"], "silent": false, "clientMessageId": "9b2f0c1e-1",
        "reactions": [],
        "isEdited": false, "isDeleted": false, "createdAt": TIME, "updatedAt": TIME,
    })
}

fn scheduled_message() -> Value {
    json!({
        "id": "sch_01hzx3v7k9q2m4n6p8r0s2t4v6", "conversationId": CONVERSATION, "senderId": "alice",
        "content": "Good morning!", "type": "text", "attachments": [], "mentions": [],
        "sendAt": "2026-01-16T08:00:00.000Z", "status": "pending", "createdAt": TIME, "updatedAt": TIME,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::documents;

    fn each_media(value: &Value, check: &mut dyn FnMut(&Value)) {
        match value {
            Value::Object(fields) => {
                if fields.contains_key("example") && fields.contains_key("schema") {
                    check(value);
                }
                fields.values().for_each(|field| each_media(field, check));
            }
            Value::Array(items) => items.iter().for_each(|item| each_media(item, check)),
            _ => {}
        }
    }

    #[test]
    fn every_example_matches_its_schema() {
        let document: Value = serde_json::from_str(&documents().json).expect("valid JSON");
        let mut count = 0;
        each_media(&document, &mut |media| {
            let mut schema = media["schema"].clone();
            schema["components"] = document["components"].clone();
            let validator = jsonschema::validator_for(&schema).expect("a valid schema");
            if let Err(error) = validator.validate(&media["example"]) {
                panic!("{}: {error} at {}", media["schema"], error.instance_path());
            }
            count += 1;
        });
        assert!(count > 40, "{count} examples");
    }
}
