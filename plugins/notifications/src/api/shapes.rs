//! Bodies of the operations.

use std::{collections::HashSet, time::Duration};

use chat_sdk::{
    GivenUserId, Metadata, Timestamp,
    http::ApiError,
    text::{Shape, fault},
};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::{
    batches::{Batch, Call, MAX_RECIPIENTS},
    items::{Content, Item},
    push::subscriptions::{Device, Platform},
};

/// Maximum length of a title, in characters.
const MAX_TITLE: usize = 200;
/// Maximum length of a text, in characters.
const MAX_BODY: usize = 2000;
/// Maximum size of the host's data as JSON, in bytes.
const MAX_DATA: usize = 4096;
/// Maximum length of an idempotency key, in characters.
const MAX_KEY: usize = 128;

/// Notification to send.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct SendNotification {
    /// Ids of the recipients, 1 to 10,000; each gets the notification once.
    #[oai(validator(min_items = 1, max_items = 10000))]
    pub user_ids: Vec<GivenUserId>,
    /// Kind of the notification in the host's terms, for example `LIKE`: 1 to 64 letters, digits, `_`, `-`, `.` and `:`.
    #[oai(validator(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.:-]+$"))]
    pub kind: String,
    /// Title for people, at most 200 characters. Default: none.
    #[oai(validator(max_length = 200))]
    pub title: Option<String>,
    /// Text for people, at most 2,000 characters. Default: none.
    #[oai(validator(max_length = 2000))]
    pub body: Option<String>,
    /// Data of the host, at most 4 KiB. Default: none.
    pub data: Option<Metadata>,
    /// Key of this call, 1 to 128 characters. For seven days another call with the same key and content sends nothing and gets the first one's response.
    /// Default: none.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub idempotency_key: Option<String>,
    /// Time for which the notification is kept, in seconds: 60 to 31,536,000. Default: 30 days, or `keep_days` of the configuration.
    #[oai(validator(minimum(value = "60"), maximum(value = "31536000")))]
    pub ttl_seconds: Option<i64>,
}

impl SendNotification {
    /// Checks the fields and returns the call; `keep` is the default time for which notifications are kept.
    ///
    /// # Errors
    /// [`ApiError::Invalid`].
    pub fn into_call(self, keep: Duration) -> Result<Call, ApiError> {
        let mut faults = Vec::new();
        let texts = [
            ("title", &self.title, Shape::Line, MAX_TITLE),
            ("body", &self.body, Shape::Lines, MAX_BODY),
            (
                "idempotencyKey",
                &self.idempotency_key,
                Shape::Line,
                MAX_KEY,
            ),
        ];
        for (name, text, shape, most) in texts {
            let fault = text.as_deref().and_then(|text| fault(text, shape, most));
            faults.extend(fault.map(|fault| (name.to_owned(), fault.into())));
        }
        if self
            .data
            .as_ref()
            .is_some_and(|data| data.json_len() > MAX_DATA)
        {
            faults.push((
                "data".to_owned(),
                "must have at most 4096 bytes as JSON".into(),
            ));
        }
        if !faults.is_empty() {
            return Err(ApiError::Invalid(faults));
        }
        let mut seen = HashSet::with_capacity(self.user_ids.len().min(MAX_RECIPIENTS));
        let users = self.user_ids.into_iter().map(|given| given.0);
        let ttl = self.ttl_seconds.and_then(|ttl| u64::try_from(ttl).ok());
        Ok(Call {
            key: self.idempotency_key,
            users: users.filter(|user| seen.insert(user.clone())).collect(),
            content: Content {
                kind: self.kind,
                title: self.title,
                body: self.body,
                data: self.data.and_then(|data| serde_json::to_string(&data).ok()),
            },
            keep: ttl.map_or(keep, Duration::from_secs),
        })
    }
}

/// An accepted notification. Its recipients get it within seconds, also if processes of the service die meanwhile.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct NotificationBatch {
    /// Id of the call.
    pub id: String,
    /// Number of recipients, each counted once.
    pub recipient_count: u64,
    /// Time of the call.
    pub created_at: Timestamp,
}

impl From<Batch> for NotificationBatch {
    fn from(batch: Batch) -> Self {
        Self {
            id: batch.id,
            recipient_count: batch.total,
            created_at: Timestamp::from_millis(batch.created_at),
        }
    }
}

/// Notification of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Notification {
    /// Id of the notification.
    pub id: String,
    /// Kind of the notification in the host's terms.
    pub kind: String,
    /// Title for people; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Text for people; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Data of the host; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Metadata>,
    /// True if the user has read it.
    pub is_read: bool,
    /// Time at which the user read it; absent if they have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// Time of the host's call.
    pub created_at: Timestamp,
    /// Time after which it is gone.
    pub expires_at: Timestamp,
}

impl From<Item> for Notification {
    fn from(item: Item) -> Self {
        Self {
            data: item.content.data(),
            id: item.id,
            kind: item.content.kind,
            title: item.content.title,
            body: item.content.body,
            is_read: item.is_read,
            read_at: item.read_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(item.created_at),
            expires_at: Timestamp::from_millis(item.expires_at),
        }
    }
}

/// Page of notifications, newest first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct NotificationPage {
    /// Notifications of the page, at most 1 MiB of them.
    pub notifications: Vec<Notification>,
    /// Cursor of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more notifications.
    pub has_more: bool,
}

/// Number of unread notifications.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct NotificationUnreadCount {
    /// Number of unread notifications of the caller.
    pub unread_count: u64,
}

/// Result of marking all notifications as read.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct NotificationsRead {
    /// Number of notifications that were unread before.
    pub count: u64,
}

/// Service that reaches a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum PushPlatform {
    /// Web Push: a browser.
    Web,
    /// Firebase Cloud Messaging, by the host's gateway.
    Fcm,
    /// Apple Push Notification service, by the host's gateway.
    Apns,
}

impl From<PushPlatform> for Platform {
    fn from(platform: PushPlatform) -> Self {
        match platform {
            PushPlatform::Web => Self::Web,
            PushPlatform::Fcm => Self::Fcm,
            PushPlatform::Apns => Self::Apns,
        }
    }
}

/// Keys of a browser, as `PushSubscription.toJSON()` returns them.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PushKeys {
    /// Public key of the browser: 65 bytes in base64 for URLs.
    #[oai(validator(max_length = 100))]
    pub p256dh: String,
    /// Secret of the browser: 16 bytes in base64 for URLs.
    #[oai(validator(max_length = 32))]
    pub auth: String,
}

/// Device to register. A browser has `endpoint` and `keys`, any other device a `token`.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct RegisterPush {
    /// Service that reaches the device. Default: `web`.
    pub platform: Option<PushPlatform>,
    /// URL of the browser's push service: `https`, at most 2,048 bytes.
    #[oai(validator(max_length = 2048))]
    pub endpoint: Option<String>,
    /// Keys of the browser.
    pub keys: Option<PushKeys>,
    /// Public key with which the browser subscribed. Default: the current one of the service.
    #[oai(validator(max_length = 100))]
    pub application_server_key: Option<String>,
    /// Token of a device for FCM or APNs: 1 to 4,096 characters.
    #[oai(validator(min_length = 1, max_length = 4096))]
    pub token: Option<String>,
}

/// Public key for `PushManager.subscribe`.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PushServerKey {
    /// Public key of the service: 65 bytes in base64 for URLs. A subscription that was made with another key keeps its key; a client should subscribe again
    /// with this one.
    pub application_server_key: String,
}

/// Device of a user that receives pushes.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct PushSubscription {
    /// Id of the subscription.
    pub id: String,
    /// Service that reaches the device.
    pub platform: PushPlatform,
    /// Public key with which the browser subscribed; absent for other devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_server_key: Option<String>,
    /// Time of the first registration.
    pub created_at: Timestamp,
}

impl From<Device> for PushSubscription {
    fn from(device: Device) -> Self {
        let (platform, key) = match device.platform {
            Platform::Web => (PushPlatform::Web, Some(device.vapid)),
            Platform::Fcm => (PushPlatform::Fcm, None),
            Platform::Apns => (PushPlatform::Apns, None),
        };
        Self {
            id: device.id,
            platform,
            application_server_key: key,
            created_at: Timestamp::from_millis(device.created_at),
        }
    }
}

/// Devices of a user, oldest first, at most 20.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PushSubscriptionPage {
    /// Devices of the caller, oldest first.
    pub subscriptions: Vec<PushSubscription>,
    /// Always false: the list has all devices.
    pub has_more: bool,
}
