//! A plugin that fails in every way must not affect anything else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_sdk::{
    EventType,
    http::{ApiError, AsHost, Json},
    plugin::{
        BoxFuture, Consumer, ConsumerSpec, Delivery, Host, HostError, Plugin, PluginContext,
        PluginFactory, Routes, RoutesDocument, Verdict,
    },
};
use poem_openapi::{OpenApi, Tags};

use crate::support::{Service, eventually_within};

/// Number of starts and the received events, over all runs of the plugin.
#[derive(Default)]
struct Counts {
    lives: AtomicUsize,
    given: AtomicUsize,
    handled: AtomicUsize,
}

struct Faulty {
    host: Host,
    counts: Arc<Counts>,
}

#[derive(Tags)]
enum Tag {
    Faulty,
}

struct FaultyApi(Arc<Faulty>);

#[OpenApi(tag = "Tag::Faulty")]
impl FaultyApi {
    /// Panic
    #[oai(
        path = "/api/admin/faulty/panic",
        method = "get",
        operation_id = "panicFaulty"
    )]
    async fn panic(&self, _host: AsHost) -> Result<Json<String>, ApiError> {
        panic!("as the test wants it, with a secret in it")
    }

    /// How often it was begun, was given an event, and handled one
    #[oai(
        path = "/api/admin/faulty",
        method = "get",
        operation_id = "countFaulty"
    )]
    async fn counts(&self, _host: AsHost) -> Result<Json<Vec<u64>>, ApiError> {
        let counts = &self.0.counts;
        let all = [&counts.lives, &counts.given, &counts.handled];
        Ok(Json(
            all.map(|count| count.load(Ordering::SeqCst) as u64)
                .to_vec(),
        ))
    }
}

/// Entry of the plugin in the list of a program.
const PLUGIN: PluginFactory = PluginFactory {
    document: RoutesDocument::of::<FaultyApi>,
    ..PluginFactory::new("faulty", |_| {
        Some(Box::new(|host| {
            Arc::new(Faulty {
                host,
                counts: Arc::default(),
            })
        }))
    })
};

impl Faulty {
    fn spec() -> ConsumerSpec {
        ConsumerSpec {
            name: "all".to_owned(),
            events: Some(vec![EventType::MessageCreated]),
            concurrency: 4,
            max_pending: 100,
            ack_wait: Duration::from_secs(5),
        }
    }
}

impl Plugin for Faulty {
    fn heartbeat_timeout(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(FaultyApi(self))
    }

    /// Panics in its first life, returns from its second, hangs in its third, and works in its fourth.
    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(async move {
            let durables = &self.host.events;
            durables.declare(Self::spec()).await?;
            match self.counts.lives.fetch_add(1, Ordering::SeqCst) {
                0 => panic!("as the test wants it"),
                1 => return Ok(()),
                2 => return std::future::pending().await,
                _ => {}
            }
            let consumer: Arc<dyn Consumer> = Arc::new(Clumsy(Arc::clone(&self.counts)));
            let work = durables.run(Self::spec(), consumer, context.stop.clone());
            context.beat_while(work).await;
            Ok(())
        })
    }
}

/// Panics over the first event that it is given, before and inside its future.
struct Clumsy(Arc<Counts>);

impl Consumer for Clumsy {
    fn handle(self: Arc<Self>, _delivery: Delivery) -> BoxFuture<'static, Verdict> {
        let before = self.0.given.fetch_add(1, Ordering::SeqCst);
        assert!(before != 0, "as the test wants it");
        Box::pin(async move {
            assert!(before != 1, "as the test wants it");
            self.0.handled.fetch_add(1, Ordering::SeqCst);
            Verdict::Done
        })
    }
}

#[tokio::test]
async fn a_plugin_that_panics_returns_or_hangs_is_restarted_without_side_effects() {
    let service = Service::builder()
        .env("PLUGINS", "webhooks,faulty")
        .start_with([PLUGIN])
        .await;
    let host = service.internal();
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    let mut said = 0;
    // The plugin dies three times, with pauses of one, two and four seconds; everything else continues meanwhile.
    eventually_within(Duration::from_secs(40), "its fourth life begins", || {
        said += 1;
        let content = format!("meanwhile {said}");
        let (alice, conversation, host) = (&alice, &conversation, &host);
        async move {
            alice.say(conversation, &content).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            let counts = host.get("/api/admin/faulty").await.expect(200);
            (counts[0] == 4).then_some(())
        }
    })
    .await;
    for n in 1..=said {
        let frame = socket.next("message:new").await;
        assert_eq!(frame["data"]["content"], format!("meanwhile {n}"));
    }
    // Both ways to panic over an event: it comes again, ten seconds later each time.
    eventually_within(
        Duration::from_secs(60),
        "every event is handled",
        || async {
            let counts = host.get("/api/admin/faulty").await.expect(200);
            (counts[2] == said).then_some(())
        },
    )
    .await;
    let counts = host.get("/api/admin/faulty").await.expect(200);
    assert_eq!(counts[1], said + 2, "given twice more than there are");
    assert_eq!(counts[0], 4, "a consumer that panics ends no life");

    let error = host
        .get("/api/admin/faulty/panic")
        .await
        .expect_error(500, "INTERNAL_ERROR");
    assert!(!error.to_string().contains("secret"), "{error}");
    let metrics = service.anonymous().get("/metrics").await.text;
    for line in [
        "chat_plugin_restarts_total{plugin=\"faulty\"} 3",
        "chat_plugin_running{plugin=\"faulty\"} 1",
        "chat_plugin_running{plugin=\"webhooks\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}
