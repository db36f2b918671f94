//! The smallest plugin with a route and a consumer: it counts messages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_sdk::{
    EventType,
    http::{ApiError, AsUser, Json},
    plugin::{
        BoxFuture, Consumer, ConsumerSpec, Delivery, Host, HostError, Plugin, PluginContext,
        PluginFactory, Routes, RoutesDocument, Verdict,
    },
};
use poem_openapi::{OpenApi, Tags};

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    document: RoutesDocument::of::<SampleApi>,
    ..PluginFactory::new("sample", |_| {
        Some(Box::new(|host| {
            Arc::new(Sample {
                host,
                count: AtomicU64::new(0),
            })
        }))
    })
};

struct Sample {
    host: Host,
    count: AtomicU64,
}

#[derive(Tags)]
enum Tag {
    Sample,
}

struct SampleApi(Arc<Sample>);

#[OpenApi(tag = "Tag::Sample")]
impl SampleApi {
    /// Count the messages that this process has received
    #[oai(
        path = "/api/sample/count",
        method = "get",
        operation_id = "countSample"
    )]
    async fn count(&self, _user: AsUser) -> Result<Json<u64>, ApiError> {
        Ok(Json(self.0.count.load(Ordering::Relaxed)))
    }
}

impl Plugin for Sample {
    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(SampleApi(self))
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        let spec = ConsumerSpec {
            name: "messages".to_owned(),
            events: Some(vec![EventType::MessageCreated]),
            concurrency: 1,
            max_pending: 10,
            ack_wait: Duration::from_secs(30),
        };
        Box::pin(async move {
            let durables = &self.host.events;
            durables.declare(spec.clone()).await?;
            let work = durables.run(spec, Arc::clone(&self) as _, context.stop.clone());
            context.beat_while(work).await;
            Ok(())
        })
    }
}

impl Consumer for Sample {
    fn handle(self: Arc<Self>, _delivery: Delivery) -> BoxFuture<'static, Verdict> {
        self.count.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Verdict::Done))
    }
}
