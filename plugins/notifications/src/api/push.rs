//! Operations on devices that receive pushes.

use std::sync::Arc;

use chat_sdk::{
    http::{ApiError, AsUser, Fails, Json, NoContent, Status, ValidJson},
    text::{Shape, fault},
};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Tag,
    shapes::{PushPlatform, PushServerKey, PushSubscription, PushSubscriptionPage, RegisterPush},
};
use crate::{
    Notifications, Pushing,
    push::subscriptions::{Device, Devices, check_keys, now},
};

/// Maximum length of a token, in characters.
const MAX_TOKEN: usize = 4096;

/// Operations on devices.
pub struct PushApi(pub Arc<Notifications>);

type Conflicting = Fails<Status<409>>;

#[OpenApi(tag = "Tag::Notifications")]
impl PushApi {
    /// Get the key for Web Push
    ///
    /// Returns the public key with which a browser subscribes. It stays the same for the life of the deployment unless the operator configures another one.
    ///
    /// Fails with 409 if pushes are off or the service has no `SECRETS_KEY`.
    #[oai(
        path = "/api/notifications/push/key",
        method = "get",
        operation_id = "getPushKey"
    )]
    async fn key(&self, _user: AsUser) -> Result<Json<PushServerKey>, Conflicting> {
        let key = self.pushing()?.keys.current(&self.0.host).await?;
        Ok(Json(PushServerKey {
            application_server_key: key.public,
        }))
    }

    /// Register a device for pushes
    ///
    /// Registers a browser or another device for the caller, and returns its subscription. A repetition changes nothing. A device that was registered by
    /// another user belongs to the caller afterwards. A user has at most 20 devices; the oldest is removed for a new one.
    ///
    /// Fails with 400 if the endpoint leads to an address that is not allowed, and with 409 if pushes are off, or if there is no gateway for the platform.
    #[oai(
        path = "/api/notifications/push/subscriptions",
        method = "put",
        operation_id = "registerPush"
    )]
    async fn register(
        &self,
        user: AsUser,
        body: ValidJson<RegisterPush>,
    ) -> Result<Json<PushSubscription>, Conflicting> {
        let pushing = self.pushing()?;
        let mut device = match body.0.platform.unwrap_or(PushPlatform::Web) {
            PushPlatform::Web => self.browser(pushing, body.0).await?,
            platform => self.token(pushing, platform, body.0)?,
        };
        device.user_id = user.0;
        let (stored, removed) = pushing.devices.put(&device).await?;
        for removed in removed {
            pushing.queue.forget(&removed).await?;
        }
        Ok(Json(stored.into()))
    }

    /// List devices for pushes
    ///
    /// Returns the caller's devices, oldest first, without their addresses.
    ///
    /// Fails with 409 if pushes are off.
    #[oai(
        path = "/api/notifications/push/subscriptions",
        method = "get",
        operation_id = "listPushSubscriptions"
    )]
    async fn list(&self, user: AsUser) -> Result<Json<PushSubscriptionPage>, Conflicting> {
        let devices = self.pushing()?.devices.of(&user.0).await?;
        Ok(Json(PushSubscriptionPage {
            subscriptions: devices.into_iter().map(PushSubscription::from).collect(),
            has_more: false,
        }))
    }

    /// Remove a device
    ///
    /// Removes the device; pushes that wait for it are not sent any more.
    ///
    /// Fails with 404 if the caller has no such device, and with 409 if pushes are off.
    #[oai(
        path = "/api/notifications/push/subscriptions/:id",
        method = "delete",
        operation_id = "deletePushSubscription"
    )]
    async fn remove(
        &self,
        user: AsUser,
        /// Id of the subscription.
        id: Path<String>,
    ) -> Result<NoContent, Fails<Status<404, 409>>> {
        let pushing = self.pushing()?;
        if !pushing.devices.remove_of(&user.0, &id.0).await? {
            return Err(ApiError::NotFound("There is no such device.".into()).into());
        }
        pushing.queue.forget(&id.0).await?;
        Ok(NoContent)
    }
}

impl PushApi {
    fn pushing(&self) -> Result<&Arc<Pushing>, ApiError> {
        self.0.pushing.as_ref().ok_or_else(|| {
            ApiError::Conflict("Pushes are off (PUSH_ENABLED) in this deployment.".into())
        })
    }

    /// Returns the browser of a registration, without its user.
    async fn browser(&self, pushing: &Pushing, body: RegisterPush) -> Result<Device, ApiError> {
        if body.token.is_some() {
            return Err(ApiError::invalid(
                "token",
                "must not be given for a browser",
            ));
        }
        let required = |field: &str| ApiError::invalid(field, "is required for a browser");
        let endpoint = body.endpoint.ok_or_else(|| required("endpoint"))?;
        let keys = body.keys.ok_or_else(|| required("keys"))?;
        let reach = pushing.settings.reach;
        let url = reach.check_url(&endpoint);
        let url = url.map_err(|problem| ApiError::invalid("endpoint", problem))?;
        if url.scheme() != "https" && !reach.is_private_allowed {
            return Err(ApiError::invalid("endpoint", "must start with https://"));
        }
        check_keys(&keys.p256dh, &keys.auth)
            .map_err(|(field, problem)| ApiError::invalid(field, problem))?;
        let current = pushing.keys.current(&self.0.host).await?.public;
        let vapid = match body.application_server_key {
            None => current,
            Some(given) => {
                let given = given.trim_end_matches('=').to_owned();
                if !pushing.keys.is_known(&self.0.host, &given).await? {
                    return Err(ApiError::invalid(
                        "applicationServerKey",
                        "is no key of this service; get the key and subscribe again",
                    ));
                }
                given
            }
        };
        Ok(Device {
            p256dh: keys.p256dh,
            auth: keys.auth,
            vapid,
            ..device(PushPlatform::Web, endpoint)
        })
    }

    /// Returns the device of a registration with a token, without its user.
    fn token(
        &self,
        pushing: &Pushing,
        platform: PushPlatform,
        body: RegisterPush,
    ) -> Result<Device, ApiError> {
        if pushing.settings.gateway.is_none() {
            return Err(ApiError::Conflict(
                "There is no gateway for this platform (PUSH_GATEWAY_URL).".into(),
            ));
        }
        let given = [
            ("endpoint", body.endpoint.is_some()),
            ("keys", body.keys.is_some()),
            (
                "applicationServerKey",
                body.application_server_key.is_some(),
            ),
        ];
        if let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            return Err(ApiError::invalid(field, "must be given for a browser only"));
        }
        let token = body.token;
        let token =
            token.ok_or_else(|| ApiError::invalid("token", "is required for this platform"))?;
        if let Some(problem) = fault(&token, Shape::Line, MAX_TOKEN) {
            return Err(ApiError::invalid("token", problem));
        }
        Ok(device(platform, token))
    }
}

/// Returns a device with an address alone.
fn device(platform: PushPlatform, address: String) -> Device {
    let platform = platform.into();
    Device {
        id: Devices::id(platform, &address),
        user_id: chat_sdk::UserId::system(),
        platform,
        address,
        p256dh: String::new(),
        auth: String::new(),
        vapid: String::new(),
        created_at: now(),
        refusals: 0,
        blocked_until: 0,
        failures: 0,
    }
}
