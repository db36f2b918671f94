//! An example of every body, by the name of its schema. A test validates each example against its schema.

use chat_sdk::plugin::illustrate;
use serde_json::{Map, Value, json};

/// Adds an example to every request body and response of the core. The parts of plugins have theirs already.
pub fn add(document: &mut Value) {
    illustrate(document, example);
}

/// Returns the example of a schema.
fn example(schema: &str) -> Option<Value> {
    of_users(schema)
        .or_else(|| of_conversations(schema))
        .or_else(|| of_messages(schema))
        .or_else(|| of_service(schema))
}

fn of_users(schema: &str) -> Option<Value> {
    Some(match schema {
        "SyncUser" => sync_user(),
        "SyncUsers" => {
            json!({ "users": [sync_user(), { "externalUserId": "bob", "name": "Bob" }] })
        }
        "SyncUsersResult" => json!({ "results": [
            { "externalUserId": "alice", "status": "created" },
            { "externalUserId": "bob", "status": "unchanged" },
        ] }),
        "User" => user(),
        "UserPage" => json!({ "users": [public_user()], "hasMore": false }),
        "UpdateUser" => json!({ "name": "Alice L.", "avatarUrl": null }),
        "SetStatus" | "UserStatus" => json!({ "status": "busy", "text": "On the phone" }),
        "Presence" => presence(),
        "PresenceBatchRequest" => json!({ "userIds": ["alice", "bob"] }),
        "PresenceBatch" => json!({ "presence": [presence(), absence()] }),
        "PresencePage" => json!({ "presence": [presence(), absence()], "hasMore": false }),
        "BlockedUserPage" => json!({
            "users": [{ "userId": "mallory", "createdAt": TIME }], "hasMore": false,
        }),
        "ErasureReport" => json!({
            "externalUserId": "alice", "messages": "erase", "status": "done",
            "startedAt": TIME, "finishedAt": "2026-01-15T10:30:02.000Z",
            "removed": {
                "profileEntries": 2, "blocks": 1, "markers": 3, "reads": 0, "scheduled": 0, "held": 0, "presence": 1,
                "reactions": 4, "memberships": 2, "messages": 17, "edits": 3,
            },
        }),
        _ => return None,
    })
}

fn of_conversations(schema: &str) -> Option<Value> {
    Some(match schema {
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
        "UpdatePreferences" => json!({ "mutedUntil": "2026-01-16T08:00:00.000Z", "pinned": true }),
        "Preferences" => json!({
            "muted": true, "mutedUntil": "2026-01-16T08:00:00.000Z", "archived": false, "pinned": true,
            "hidden": false, "notificationLevel": "all",
        }),
        "MarkConversationRead" => json!({ "upToMessageId": MESSAGE }),
        "NewlyReadCount" => json!({ "count": 3 }),
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
        _ => return None,
    })
}

fn of_messages(schema: &str) -> Option<Value> {
    Some(match schema {
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
        "ScheduleMessage" => json!({
            "conversationId": CONVERSATION, "sendAt": "2026-01-16T08:00:00.000Z", "content": "Good morning!",
            "clientMessageId": "9b2f0c1e-3",
        }),
        "RegisterPlugin" => json!({
            "name": "words", "points": ["message.before_send", "message.before_edit"], "timeoutMs": 500, "bots": ["words-bot"],
        }),
        "RegisteredPlugin" => {
            let mut plugin = registered_plugin();
            plugin["isAnswering"] = true.into();
            plugin
        }
        "RegisteredPlugins" => json!({ "plugins": [registered_plugin()] }),
        "HeldMessage" => held_message(),
        "HeldPage" => json!({ "held": [held_message()], "hasMore": false }),
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
        "ReadReceiptPage" => json!({
            "receipts": [{ "userId": "bob", "readAt": TIME }], "hasMore": false,
        }),
        "DeliveryReceiptPage" => json!({
            "receipts": [{ "userId": "bob", "deliveredAt": TIME }], "hasMore": false,
        }),
        _ => return None,
    })
}

fn of_service(schema: &str) -> Option<Value> {
    Some(match schema {
        "CreateConsumer" => json!({
            "name": "shop", "events": ["message.*", "conversation.created"], "description": "Orders",
        }),
        "HostConsumer" => host_consumer(),
        "ConsumerPage" => json!({ "consumers": [host_consumer()], "hasMore": false }),
        "Health" => json!({ "status": "up" }),
        "HealthReport" => json!({ "status": "up", "dependencies": [
            { "name": "mongodb", "status": "up", "latencyMs": 0.4, "isRequired": true },
            { "name": "nats", "status": "up", "latencyMs": 0.2, "isRequired": false },
        ] }),
        "ServiceStatus" => json!({
            "version": env!("CARGO_PKG_VERSION"), "roles": ["api", "ws", "webhooks"], "uptimeSeconds": 86400,
            "events": { "isRunning": true, "position": 120034, "pending": 0 },
            "tasks": [{ "name": "writer", "state": "running", "restarts": 0 }],
            "plugins": [{ "name": "webhooks", "state": "running", "failures": 0 }],
            "hooks": [{
                "plugin": "words", "name": "words", "state": "answering", "failure": "open", "shadow": false, "failures": 0,
            }],
            "consumers": [{
                "name": "webhooks-whk_01hzx3v7k9q2m4n6p8r0s2t4v6", "pending": 12, "toPutBack": 0, "inFlight": 32,
                "retrying": 3, "oldestAgeMs": 41250,
            }],
        }),
        _ => return None,
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

fn registered_plugin() -> Value {
    json!({
        "name": "words", "points": ["message.before_send", "message.before_edit"], "timeoutMs": 500, "failure": "open",
        "order": 0, "conversationTypes": [], "roles": [], "shadow": false, "bots": ["words-bot"],
        "createdAt": TIME, "updatedAt": TIME,
    })
}

fn held_message() -> Value {
    let mut message = message();
    message["seq"] = 0.into();
    message["isHeld"] = true.into();
    json!({ "message": message, "heldAt": "2026-01-15T10:30:00.000Z" })
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
        let document: Value =
            serde_json::from_str(&documents(crate::plugins::BUILT_IN).json).expect("valid JSON");
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
