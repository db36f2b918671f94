//! The loops of a worker: events, digests that are due, batches that another process left, and pushes.

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::{CancellationToken, HostError, PluginContext};
use tokio::sync::Semaphore;

use crate::{Notifications, batches, digests, push};

/// Time between two searches for batches that were left.
const BATCH_PERIOD: Duration = Duration::from_secs(2);
/// Maximum time between two searches for digests that are due.
const DIGEST_PERIOD: Duration = Duration::from_secs(1);
/// Number of digests that are made at once.
const DIGESTS_AT_ONCE: u32 = 8;

/// Runs all loops until `context.stop`.
///
/// # Errors
/// [`HostError`] if a loop cannot begin; the plugin is then restarted.
pub async fn run(plugin: Arc<Notifications>, context: PluginContext) -> Result<(), HostError> {
    digests::declare(&plugin.host).await?;
    let stop = &context.stop;
    let pushes = async {
        match &plugin.pushing {
            Some(pushing) => push::work::run(&plugin, pushing, stop.clone()).await,
            None => Ok(()),
        }
    };
    let loops = async {
        let (pushes, (), (), ()) = tokio::join!(
            pushes,
            digests::run(&plugin, stop.clone()),
            make_digests(&plugin, stop),
            serve_batches(&plugin, stop),
        );
        pushes
    };
    context.beat_while(loops).await
}

async fn make_digests(plugin: &Arc<Notifications>, stop: &CancellationToken) {
    let slots = Arc::new(Semaphore::new(DIGESTS_AT_ONCE as usize));
    while let Some(Ok(slot)) = stop
        .run_until_cancelled(Arc::clone(&slots).acquire_owned())
        .await
    {
        let taken = plugin.digests.take().await;
        if let Ok(Some(state)) = taken {
            let plugin = Arc::clone(plugin);
            tokio::spawn(async move {
                if let Err(error) = digests::make(&plugin, state).await {
                    tracing::warn!(%error, "digest could not be made");
                }
                drop(slot);
            });
            continue;
        }
        drop(slot);
        if let Err(error) = taken {
            tracing::warn!(%error, "digests that are due could not be read");
        }
        let pause = plugin.digests.time_to_next().min(DIGEST_PERIOD);
        let wait = plugin.digests.wait(pause);
        if stop.run_until_cancelled(wait).await.is_none() {
            break;
        }
    }
    let _ = slots.acquire_many(DIGESTS_AT_ONCE).await;
}

async fn serve_batches(plugin: &Arc<Notifications>, stop: &CancellationToken) {
    loop {
        let pause = tokio::time::sleep(BATCH_PERIOD);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
        while let Ok(permit) = Arc::clone(&plugin.serving).try_acquire_owned() {
            match plugin.batches.take().await {
                Ok(Some(batch)) => batches::begin(plugin, batch, permit),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "batches that are due could not be read");
                    break;
                }
            }
        }
    }
}
