//! Ways to hooks in other processes: over NATS, and over HTTP with signed requests.
//!
//! Requests over HTTP are signed exactly as webhooks are, and reach the same addresses.

use std::{sync::Arc, time::Duration};

use chat_sdk::outbound::{
    address::{AddressPolicy, GuardedResolver, SystemLookup},
    sign::{self, Key, Keys},
};
use chat_sdk::{
    ConversationType, EventId, Role, Timestamp, UserId,
    plugin::{
        BoxFuture, FailurePolicy, Hook, HookFault, HookPoint, HookRequest, HookSpec, HookVerdict,
        MAX_ANSWER, Secrets,
    },
    settings::Secret,
};
use reqwest::{Client, header::CONTENT_TYPE, redirect, retry};
use serde::Deserialize;

use crate::{
    bus::{Bus, hooks::NatsHook},
    domain::registrations::{Draft, Reach},
    model::{
        DomainError, Result,
        plugins::{RegisteredPlugin, SigningSecret},
    },
};

/// Time for which an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Ways to the hooks of a deployment.
pub struct RemoteHooks {
    bus: Bus,
    client: Client,
    addresses: AddressPolicy,
    secrets: Arc<dyn Secrets>,
}

impl RemoteHooks {
    /// Creates the ways over `bus`, and over HTTP to `addresses`. `secrets` encrypts the secrets of hooks over HTTP.
    ///
    /// # Errors
    /// Fails if the system's certificates cannot be read.
    pub fn new(
        bus: Bus,
        addresses: AddressPolicy,
        secrets: Arc<dyn Secrets>,
    ) -> reqwest::Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("chat-service-hooks/", env!("CARGO_PKG_VERSION")))
            // A proxy variable of the environment must not divert requests and their content.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .http1_only()
            .pool_idle_timeout(IDLE)
            .dns_resolver(Arc::new(GuardedResolver::new(
                addresses,
                Arc::new(SystemLookup),
            )))
            .build()?;
        Ok(Self {
            bus,
            client,
            addresses,
            secrets,
        })
    }

    fn over_http(&self, plugin: &RegisteredPlugin, url: &str) -> Result<HttpHook> {
        let internal = |text: String| DomainError::Internal(text.into());
        let secret = match &plugin.secret {
            Some(SigningSecret::Plain(secret)) => secret.expose_text().to_owned(),
            Some(SigningSecret::Sealed(sealed)) => {
                let secret = self.secrets.unseal(sealed);
                let secret = secret.map_err(|error| internal(error.to_string()))?;
                String::from_utf8(secret).map_err(|_| internal("the secret is no text".into()))?
            }
            None => return Err(internal("the hook has no secret".into())),
        };
        Ok(HttpHook {
            client: self.client.clone(),
            addresses: self.addresses,
            url: url.to_owned(),
            keys: Keys {
                newest: Key::new(&secret),
                previous: None,
            },
            spec: plugin.spec.clone(),
        })
    }
}

impl Reach for RemoteHooks {
    fn fault_of_url(&self, url: &str) -> Option<String> {
        self.addresses.check_url(url).err()
    }

    fn new_secret(&self) -> Result<(String, String)> {
        let secret = sign::new_secret();
        let sealed = self.secrets.seal(secret.as_bytes()).map_err(|_| {
            DomainError::Conflict("Hooks over HTTP need SECRETS_KEY, which is not set.".into())
        })?;
        Ok((secret, sealed))
    }

    fn hook(&self, plugin: &RegisteredPlugin) -> Result<Arc<dyn Hook>> {
        Ok(match &plugin.url {
            Some(url) => Arc::new(self.over_http(plugin, url)?),
            None => Arc::new(NatsHook::new(self.bus.clone(), plugin.spec.clone())),
        })
    }

    fn probe(&self, plugin: RegisteredPlugin) -> BoxFuture<'_, std::result::Result<(), HookFault>> {
        Box::pin(async move {
            match &plugin.url {
                None => {
                    let hook = NatsHook::new(self.bus.clone(), plugin.spec.clone());
                    hook.probe().await
                }
                Some(url) => match self.over_http(&plugin, url) {
                    Ok(hook) => hook.probe().await,
                    Err(_) => Err(HookFault::new("its secret cannot be decrypted")),
                },
            }
        })
    }
}

/// Table `[hooks.<name>]` of the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    points: Vec<HookPoint>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    timeout_ms: Option<u32>,
    #[serde(default)]
    failure: Option<FailurePolicy>,
    #[serde(default)]
    order: i32,
    #[serde(default)]
    conversation_types: Vec<ConversationType>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    shadow: bool,
    #[serde(default)]
    bots: Vec<UserId>,
}

/// Returns the plugin `name` of the configuration.
///
/// # Errors
/// The fault of its table, without the text of a secret.
pub fn configured(
    name: &str,
    table: &serde_json::Value,
    reach: &dyn Reach,
) -> std::result::Result<RegisteredPlugin, String> {
    // The error names the field and not the value, except for a word that is not one of a fixed set.
    let table: Table = serde_json::from_value(table.clone())
        .map_err(|error| format!("cannot be read: {error}"))?;
    let secret = match (&table.url, &table.secret) {
        (None, None) => None,
        (Some(_), Some(secret)) => {
            let secret = Secret::strong(secret).map_err(|problem| format!("secret {problem}"))?;
            Some(SigningSecret::Plain(secret))
        }
        (Some(_), None) => return Err("a hook with a url needs a secret".to_owned()),
        (None, Some(_)) => return Err("a hook over NATS has no secret; give a url".to_owned()),
    };
    let draft = Draft {
        name: name.to_owned(),
        description: table.description,
        url: table.url,
        points: table.points,
        timeout_ms: table.timeout_ms,
        failure: table.failure,
        order: table.order,
        conversation_types: table.conversation_types,
        roles: table.roles,
        is_shadow: table.shadow,
        bots: table.bots,
    };
    let plugin = draft.check(reach).map_err(|fault| fault.to_string())?;
    Ok(RegisteredPlugin { secret, ..plugin })
}

/// Hook over HTTP.
struct HttpHook {
    client: Client,
    addresses: AddressPolicy,
    url: String,
    keys: Keys,
    spec: HookSpec,
}

impl HttpHook {
    async fn probe(&self) -> std::result::Result<(), HookFault> {
        let id = EventId::generate();
        let body = br#"{"probe":true}"#.to_vec();
        self.send(id.as_str(), "probe", body).await.map(drop)
    }

    async fn send(
        &self,
        id: &str,
        event: &str,
        body: Vec<u8>,
    ) -> std::result::Result<HookVerdict, HookFault> {
        // The resolver is not called for a literal address, so the URL is checked here.
        let url = self.addresses.check_url(&self.url);
        let url = url.map_err(|problem| HookFault::new(format!("the URL {problem}")))?;
        let at = Timestamp::now();
        let seconds = at.as_millis().div_euclid(1000);
        let request = self
            .client
            .post(url)
            .timeout(self.spec.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header("X-Webhook-Id", id)
            .header("X-Webhook-Event", event)
            .header("X-Webhook-Timestamp", at.to_string())
            .header("X-Webhook-Signature", self.keys.newest.sign_body(&body))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", self.keys.sign(id, seconds, &body))
            .body(body);
        let mut response = request.send().await.map_err(|error| {
            // Without the URL, which may contain a secret.
            HookFault::new(if error.is_timeout() {
                "it did not answer in time"
            } else {
                "it could not be reached"
            })
        })?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(HookFault::new(format!(
                "it answered {status} instead of 200"
            )));
        }
        let mut answer = Vec::new();
        let broken = |_| HookFault::new("its answer broke off");
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            answer.extend_from_slice(&chunk);
            if answer.len() > MAX_ANSWER {
                return Err(HookFault::new("the answer is too large"));
            }
        }
        HookVerdict::parse(&answer)
    }
}

impl Hook for HttpHook {
    fn spec(&self) -> HookSpec {
        self.spec.clone()
    }

    fn ask(
        self: Arc<Self>,
        request: HookRequest,
    ) -> BoxFuture<'static, std::result::Result<HookVerdict, HookFault>> {
        Box::pin(async move {
            let body = serde_json::to_vec(&request)
                .map_err(|_| HookFault::new("the request cannot be encoded"))?;
            self.send(&request.id, request.point.as_str(), body).await
        })
    }
}
