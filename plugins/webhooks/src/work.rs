//! The worker: reads the list of endpoints and serves each that is enabled and has a URL.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chat_sdk::plugin::{CancellationToken, HostError, PluginContext};
use metrics::gauge;
use tokio::task::JoinHandle;

use crate::{Webhooks, deliver::Deliverer, endpoints::Endpoint, ordered, send::Sender};

/// Time between two reads of the list of endpoints.
const PERIOD: Duration = Duration::from_secs(1);
/// Number of reads of the list per count of the parked events.
const COUNT_EVERY: u32 = 5;
/// Maximum time to wait for the deliveries in flight of an endpoint that changed.
const DRAIN: Duration = Duration::from_secs(20);

/// Running task of an endpoint, and the state of the endpoint for which it was started.
struct Served {
    revision: i64,
    overlap: bool,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Serves every endpoint until `life.stop`.
pub async fn run(plugin: Arc<Webhooks>, life: PluginContext) -> Result<(), HostError> {
    let settings = &plugin.settings;
    let sender = Sender::new(settings.reach, settings.timeout).map_err(|error| {
        HostError::Unavailable(format!("HTTP client could not be created: {error}"))
    })?;
    let sender = Arc::new(sender);
    let mut served: HashMap<String, Served> = HashMap::new();
    let writer = {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move { plugin.records.write().await })
    };
    // The writer ends with this run, however the run ends.
    let writer = AbortOnDrop(writer);
    let mut readings = 0_u32;
    loop {
        life.pulse.beat();
        if writer.0.is_finished() {
            // The restart of the plugin starts it again.
            return Err(HostError::Unavailable(
                "the writer of records has ended".to_owned(),
            ));
        }
        match plugin.endpoints.all().await {
            Ok(endpoints) => follow(&plugin, &sender, endpoints, &mut served, &life.stop).await,
            // The endpoints that are served already continue.
            Err(error) => tracing::warn!(%error, "list of webhook endpoints could not be read"),
        }
        gauge!("chat_webhooks_endpoints_served").set(served.len() as f64);
        let is_counted = readings.is_multiple_of(COUNT_EVERY);
        readings = readings.wrapping_add(1);
        if is_counted && let Ok(count) = ordered::parked_count(&plugin.host).await {
            gauge!("chat_webhooks_parked").set(count as f64);
        }
        let pause = tokio::time::sleep(PERIOD);
        if life.stop.run_until_cancelled(pause).await.is_none() {
            break;
        }
    }
    for (_, one) in served {
        one.stop.cancel();
        let _ = tokio::time::timeout(DRAIN, one.task).await;
    }
    drop(writer);
    plugin.records.write_rest().await;
    Ok(())
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(
    plugin: &Arc<Webhooks>,
    sender: &Arc<Sender>,
    endpoints: Vec<Endpoint>,
    served: &mut HashMap<String, Served>,
    stop: &CancellationToken,
) {
    let wanted: HashMap<String, Endpoint> = endpoints
        .into_iter()
        .filter(|endpoint| endpoint.is_enabled && endpoint.url.is_some())
        .map(|endpoint| (endpoint.id.clone(), endpoint))
        .collect();
    let over: Vec<String> = served
        .iter()
        .filter(|(id, one)| {
            one.task.is_finished()
                || wanted.get(*id).is_none_or(|endpoint| {
                    endpoint.revision != one.revision
                        || endpoint.overlap_until().is_some() != one.overlap
                })
        })
        .map(|(id, _)| id.clone())
        .collect();
    for id in over {
        if let Some(one) = served.remove(&id) {
            one.stop.cancel();
            // Deliveries in flight finish by themselves, so the next task may start meanwhile.
            tokio::spawn(async move {
                let _ = tokio::time::timeout(DRAIN, one.task).await;
            });
        }
    }
    for (id, endpoint) in wanted {
        served.entry(id).or_insert_with(|| {
            let stop = stop.child_token();
            Served {
                revision: endpoint.revision,
                overlap: endpoint.overlap_until().is_some(),
                task: tokio::spawn(serve(
                    Arc::clone(plugin),
                    endpoint,
                    Arc::clone(sender),
                    stop.clone(),
                )),
                stop,
            }
        });
    }
}

async fn serve(
    plugin: Arc<Webhooks>,
    endpoint: Endpoint,
    sender: Arc<Sender>,
    stop: CancellationToken,
) {
    let spec = endpoint.spec(&plugin.settings);
    let is_ordered = endpoint.ordered;
    if endpoint.is_of_environment() {
        // The API creates the durables of all other endpoints when it creates them.
        let durables = &plugin.host.events;
        while let Err(error) = durables.declare(spec.clone()).await {
            tracing::warn!(%error, "durable of the environment's endpoint could not be created; retrying");
            if stop
                .run_until_cancelled(tokio::time::sleep(PERIOD))
                .await
                .is_none()
            {
                return;
            }
        }
    }
    let deliverer = Arc::new(Deliverer::new(Arc::clone(&plugin), endpoint, sender));
    if is_ordered {
        ordered::serve(deliverer, stop).await;
    } else {
        plugin.host.events.run(spec, deliverer, stop).await;
    }
}
