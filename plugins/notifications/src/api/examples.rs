//! Examples of all bodies, by the name of the schema.

use serde_json::{Value, json};

const TIME: &str = "2026-01-15T10:30:00.000Z";
const EXPIRY: &str = "2026-02-14T10:30:00.000Z";
const KEY: &str =
    "BLn9b-VR0ca83knDNZ32dCHGyjJp-1riX9ZTN40MqV8K_LpQmLqxC_DoHvqvFXO_nGdAB4W9dogZb_sM-uV4JbY";

/// Returns the example of a schema.
pub fn example(schema: &str) -> Option<Value> {
    Some(match schema {
        "SendNotification" => json!({
            "userIds": ["alice", "bob"], "kind": "LIKE", "title": "New like",
            "body": "Carol likes your photo.", "data": { "photoId": "p-17" }, "idempotencyKey": "like-4711",
        }),
        "NotificationBatch" => json!({
            "id": "ntb_01hzx3v7k9q2m4n6p8r0s2t4v6", "recipientCount": 2, "createdAt": TIME,
        }),
        "Notification" => notification(),
        "NotificationPage" => json!({ "notifications": [notification()], "hasMore": false }),
        "NotificationUnreadCount" => json!({ "unreadCount": 3 }),
        "NotificationsRead" => json!({ "count": 3 }),
        "RegisterPush" => json!({
            "endpoint": "https://push.example/send/f1a2b3",
            "keys": { "p256dh": KEY, "auth": "_ordMnz7uTCmrpBTeUV4Bw" },
        }),
        "PushServerKey" => json!({ "applicationServerKey": KEY }),
        "PushSubscription" => subscription(),
        "PushSubscriptionPage" => json!({ "subscriptions": [subscription()], "hasMore": false }),
        _ => return None,
    })
}

fn notification() -> Value {
    json!({
        "id": "ntf_01hzx3v7k9q2m4n6p8r0s2t4v6", "kind": "LIKE", "title": "New like",
        "body": "Carol likes your photo.", "data": { "photoId": "p-17" }, "isRead": false,
        "createdAt": TIME, "expiresAt": EXPIRY,
    })
}

fn subscription() -> Value {
    json!({
        "id": "psh_01hzx3v7k9q2m4n6p8r0s2t4v6", "platform": "web", "applicationServerKey": KEY,
        "createdAt": TIME,
    })
}
