//! Notifications plugin: notifications that the host sends to its users, notifications of messages, and pushes of both to devices.
//!
//! `items` has the notifications of users, `batches` the calls of the host, which are carried out in pieces. `digests` decides when members are notified of new
//! messages, `announce` publishes events, and `push` reaches devices. `api` has the operations, `work` the loops of a worker, `ids` the derived ids.
//!
//! This crate depends on no other part of the service than `chat_sdk`.

mod announce;
mod api;
mod batches;
mod digests;
mod ids;
mod items;
mod push;
mod settings;
mod work;

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::{BoxFuture, Host, HostError, Plugin, PluginContext, PluginFactory, Routes};
use tokio::sync::{Notify, Semaphore};

use batches::Batches;
use digests::{Digests, Page};
use items::{Item, Items};
use push::{
    keys::Keys,
    queue::{NewPush, Queue, Subject},
    subscriptions::Devices,
};
use settings::{PushSettings, Settings};

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    variables: settings::VARIABLES,
    events: announce::EVENTS,
    event_prefixes: announce::PREFIXES,
    document: api::document,
    ..PluginFactory::new("notifications", |settings| {
        let settings = Settings::read(settings)?;
        Some(Box::new(move |host| {
            Arc::new(Notifications::new(settings, host))
        }))
    })
};

/// The notifications plugin.
struct Notifications {
    settings: Settings,
    host: Host,
    items: Items,
    batches: Batches,
    digests: Digests,
    pushing: Option<Arc<Pushing>>,
    /// Permits for batches that this process serves.
    serving: Arc<Semaphore>,
}

/// Parts that send pushes.
struct Pushing {
    settings: PushSettings,
    keys: Keys,
    devices: Devices,
    queue: Queue,
    /// Wakes the worker of this process.
    wake: Notify,
}

impl Notifications {
    fn new(settings: Settings, host: Host) -> Self {
        let ttl = Duration::from_secs(u64::from(settings.table.push_ttl_seconds));
        let pushing = settings.push.clone().map(|push| {
            Arc::new(Pushing {
                keys: Keys::new(
                    host.collection("keys"),
                    push.key.clone(),
                    push.subject.clone(),
                ),
                devices: Devices::new(host.collection("devices")),
                queue: Queue::new(host.collection("pushes"), ttl),
                wake: Notify::new(),
                settings: push,
            })
        });
        Self {
            items: Items::new(host.collection("items")),
            batches: Batches::new(host.collection("batches")),
            digests: Digests::new(host.collection("conversations"), &settings.table),
            pushing,
            serving: Arc::new(Semaphore::new(batches::AT_ONCE)),
            settings,
            host,
        }
    }

    /// Queues the pushes of new notifications.
    async fn push_items(&self, items: &[Item]) -> Result<(), HostError> {
        let Some(pushing) = &self.pushing else {
            return Ok(());
        };
        let devices = pushing
            .devices
            .of_all(items.iter().map(|item| &item.user_id))
            .await?;
        let pushes: Vec<NewPush<'_>> = devices
            .iter()
            .filter_map(|device| {
                let item = items.iter().find(|item| item.user_id == device.user_id)?;
                Some(NewPush {
                    device,
                    subject: Subject::Notification {
                        notification: item.id.clone(),
                    },
                    range: (0, 1),
                    is_urgent: true,
                })
            })
            .collect();
        pushing.add(&pushes).await
    }

    /// Queues the pushes of a page of a digest.
    async fn push_messages(&self, page: &Page<'_>) -> Result<(), HostError> {
        let Some(pushing) = &self.pushing else {
            return Ok(());
        };
        let recipients = &page.news.recipients;
        let users = recipients.iter().map(|recipient| &recipient.user);
        let devices = pushing.devices.of_all(users).await?;
        let pushes: Vec<NewPush<'_>> = devices
            .iter()
            .filter_map(|device| {
                let recipient = recipients.iter().find(|one| one.user == device.user_id)?;
                Some(NewPush {
                    device,
                    subject: Subject::Messages {
                        conversation: page.conversation.clone(),
                    },
                    range: (page.after, page.until),
                    is_urgent: recipient.is_mentioned,
                })
            })
            .collect();
        pushing.add(&pushes).await
    }

    /// Removes the devices that a deleted user registered up to `until` (milliseconds since 1970).
    async fn forget_devices(&self, user: &str, until: i64) -> Result<(), HostError> {
        let Some(pushing) = &self.pushing else {
            return Ok(());
        };
        for device in pushing.devices.forget(user, until).await? {
            pushing.queue.forget(&device).await?;
        }
        Ok(())
    }
}

impl Pushing {
    async fn add(&self, pushes: &[NewPush<'_>]) -> Result<(), HostError> {
        if pushes.is_empty() {
            return Ok(());
        }
        self.queue.put(pushes).await?;
        self.wake.notify_one();
        Ok(())
    }
}

impl Plugin for Notifications {
    fn prepare(&self) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async {
            self.items.prepare().await?;
            self.batches.prepare().await?;
            self.digests.prepare().await?;
            if let Some(pushing) = &self.pushing {
                pushing.devices.prepare().await?;
                pushing.queue.prepare().await?;
            }
            Ok(())
        })
    }

    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(api::operations(self))
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(work::run(self, context))
    }
}
