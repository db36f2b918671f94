//! Devices of users that receive pushes.
//!
//! A device belongs to one user: the address of a push service is known to the device alone, so a later registration of the same address by another user
//! takes the device over.

use super::encrypt::is_public_key;
use crate::ids;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{
    Timestamp, UserId,
    plugin::{Collection, Filter, HostError, Index, Order, Query, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Maximum number of devices of a user; the oldest is removed for a new one.
pub const MAX_PER_USER: usize = 20;
/// Number of refusals (400 to 499) in a row after which a device is removed.
pub const MAX_REFUSALS: i64 = 10;

/// Service that reaches a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Web Push: a browser.
    Web,
    /// Firebase Cloud Messaging, by the host's gateway.
    Fcm,
    /// Apple Push Notification service, by the host's gateway.
    Apns,
}

/// Device as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Id, which follows from the address.
    #[serde(rename = "_id")]
    pub id: String,
    /// Id of the user.
    pub user_id: UserId,
    /// Service that reaches it.
    pub platform: Platform,
    /// URL of the push service for Web Push, else the token.
    pub address: String,
    /// Public key of the browser, in base64 for URLs; empty for other platforms.
    pub p256dh: String,
    /// Secret of the browser, in base64 for URLs; empty for other platforms.
    pub auth: String,
    /// Public key of this deployment with which the browser subscribed; empty for other platforms.
    pub vapid: String,
    /// Time of the registration, in milliseconds since 1970.
    pub created_at: i64,
    /// Number of refusals (400 to 499) in a row.
    #[serde(default)]
    pub refusals: i64,
    /// Time until which nothing is sent, in milliseconds since 1970.
    #[serde(default)]
    pub blocked_until: i64,
    /// Number of failures in a row.
    #[serde(default)]
    pub failures: i64,
}

/// Checks the keys of a browser.
///
/// # Errors
/// The name of the field and its fault.
pub fn check_keys(p256dh: &str, auth: &str) -> Result<(), (&'static str, &'static str)> {
    let bytes = |text: &str| {
        BASE64_URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .ok()
    };
    if bytes(p256dh).is_none_or(|point| !is_public_key(&point)) {
        return Err((
            "keys.p256dh",
            "must be a public key of the curve P-256: 65 bytes in base64 for URLs",
        ));
    }
    if bytes(auth).is_none_or(|auth| auth.len() != 16) {
        return Err(("keys.auth", "must be 16 bytes in base64 for URLs"));
    }
    Ok(())
}

/// Collection of devices.
pub struct Devices(Collection<Device>);

impl Devices {
    /// Uses `collection` for the devices.
    pub fn new(collection: Collection<Device>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let of_user = [
            ("userId", Order::Ascending),
            ("createdAt", Order::Ascending),
        ];
        self.0.create_indexes([Index::new("user", &of_user)]).await
    }

    /// Returns the id of a device.
    pub fn id(platform: Platform, address: &str) -> String {
        match platform {
            Platform::Web => ids::subscription(address),
            Platform::Fcm => ids::subscription(&format!("fcm:{address}")),
            Platform::Apns => ids::subscription(&format!("apns:{address}")),
        }
    }

    /// Stores a device, in place of an earlier registration of the same address, and returns the ids of devices that were removed for it.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn put(&self, device: &Device) -> Result<(Device, Vec<String>), HostError> {
        let mut fields = serde_json::to_value(device).unwrap_or_default();
        let created = json!({ "createdAt": device.created_at });
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("_id");
            fields.remove("createdAt");
        }
        let update = Update::one(Filter::id(device.id.as_str()))
            .set(fields)
            .or_insert(created);
        let stored = self.0.find_and_update(update).await?;
        let mut others = self.of(&device.user_id).await?;
        others.retain(|other| other.id != device.id);
        let excess = (others.len() + 1).saturating_sub(MAX_PER_USER);
        let mut removed = Vec::new();
        for old in others.into_iter().take(excess) {
            self.remove(&old.id).await?;
            removed.push(old.id);
        }
        Ok((stored.unwrap_or_else(|| device.clone()), removed))
    }

    /// Returns the devices of `user`, oldest first.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn of(&self, user: &UserId) -> Result<Vec<Device>, HostError> {
        let filter = Filter::all().is("userId", user.as_str());
        let query = Query::from(filter).sort("createdAt", Order::Ascending);
        Ok(self.0.find(query.limit(2 * MAX_PER_USER)).await?.items)
    }

    /// Returns the devices of `users`.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn of_all<'a>(
        &self,
        users: impl Iterator<Item = &'a UserId>,
    ) -> Result<Vec<Device>, HostError> {
        let users: Vec<&str> = users.map(UserId::as_str).collect();
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let most = users.len() * MAX_PER_USER;
        let filter = Filter::all().any_of("userId", users);
        Ok(self.0.find(Query::from(filter).limit(most)).await?.items)
    }

    /// Returns a device.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn get(&self, id: &str) -> Result<Option<Device>, HostError> {
        self.0.first(Filter::id(id)).await
    }

    /// Removes a device of `user`. Returns true if it existed.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn remove_of(&self, user: &UserId, id: &str) -> Result<bool, HostError> {
        let filter = Filter::id(id).is("userId", user.as_str());
        Ok(self.0.delete(filter).await? > 0)
    }

    /// Removes a device.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn remove(&self, id: &str) -> Result<(), HostError> {
        self.0.delete(Filter::id(id)).await.map(drop)
    }

    /// Removes the devices that a deleted user registered up to `until` (milliseconds since 1970), and returns their ids.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn forget(&self, user: &str, until: i64) -> Result<Vec<String>, HostError> {
        let filter = || {
            Filter::all()
                .is("userId", user)
                .below("createdAt", until + 1)
        };
        let found = self.0.find(filter()).await?;
        self.0.delete(filter()).await?;
        Ok(found.items.into_iter().map(|device| device.id).collect())
    }

    /// Records that a push was accepted.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn accepted(&self, device: &Device) -> Result<(), HostError> {
        if device.refusals == 0 && device.failures == 0 && device.blocked_until == 0 {
            return Ok(());
        }
        let fields = json!({ "refusals": 0, "failures": 0, "blockedUntil": 0 });
        let update = Update::one(Filter::id(device.id.as_str())).set(fields);
        self.0.update(update).await.map(drop)
    }

    /// Records that a push failed: nothing is sent to the device until `blocked_until` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn failed(
        &self,
        device: &Device,
        is_refusal: bool,
        blocked_until: i64,
    ) -> Result<(), HostError> {
        let mut update = Update::one(Filter::id(device.id.as_str()))
            .increment("failures", 1)
            .set(json!({ "blockedUntil": blocked_until }));
        if is_refusal {
            update = update.increment("refusals", 1);
        }
        self.0.update(update).await.map(drop)
    }
}

/// Returns the time now, in milliseconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_millis()
}
