//! Timers of plugins: on time, once, on one process, and not lost by crashes.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    Timestamp,
    http::{ApiError, AsHost, Json, Query},
    plugin::{
        BoxFuture, Collection, DueTimer, Filter, Host, HostError, MAX_TIMERS, Order, Plugin,
        PluginContext, PluginFactory, Query as Find, Routes, RoutesDocument, Timer, TimerFault,
        TimerHandler,
    },
};
use mongodb::bson::{DateTime, doc};
use poem_openapi::{OpenApi, Tags};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{Node, Service, eventually_within};

/// Maximum time to wait for a timer.
const PATIENT: Duration = Duration::from_secs(40);

/// Plugin that sets timers as a test asks, and records every attempt in its collection.
const PLUGIN: PluginFactory = PluginFactory {
    document: RoutesDocument::of::<ClockApi>,
    ..PluginFactory::new("clock", |_| {
        Some(Box::new(|host| {
            Arc::new(Clock {
                attempts: host.collection("attempts"),
                host,
            })
        }))
    })
};

struct Clock {
    host: Host,
    attempts: Collection<Attempt>,
}

/// Attempt of a timer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    #[serde(rename = "_id")]
    id: String,
    key: String,
    attempt: u32,
    payload: Value,
    due: i64,
    began: i64,
}

impl Plugin for Clock {
    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(ClockApi(self))
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(async move {
            let timers = Arc::clone(&self.host.timers);
            let work = timers.run(self, context.stop.clone());
            context.beat_while(work).await;
            Ok(())
        })
    }
}

impl TimerHandler for Clock {
    /// Fails, panics or hangs in the first attempts if the payload says so.
    fn fire(self: Arc<Self>, timer: DueTimer) -> BoxFuture<'static, Result<(), TimerFault>> {
        Box::pin(async move {
            let began = Timestamp::now().as_millis();
            let attempt = Attempt {
                id: format!("{} {} {began}", timer.key, timer.attempt),
                key: timer.key,
                attempt: timer.attempt,
                payload: timer.payload.clone(),
                due: timer.at.as_millis(),
                began,
            };
            self.attempts.insert(&attempt).await?;
            let until = |name: &str| timer.payload[name].as_u64().unwrap_or_default();
            let attempt = u64::from(timer.attempt);
            assert!(attempt > until("panics"), "as the test wants it");
            if attempt <= until("fails") {
                return Err(TimerFault("as the test wants it".to_owned()));
            }
            if attempt <= until("hangs") {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
}

#[derive(Tags)]
enum Tag {
    Clock,
}

struct ClockApi(Arc<Clock>);

#[OpenApi(tag = "Tag::Clock")]
impl ClockApi {
    /// Set a timer; a number as the payload stands for a text of this length
    #[oai(path = "/api/clock/set", method = "get", operation_id = "setClock")]
    async fn set(
        &self,
        _host: AsHost,
        key: Query<String>,
        at: Query<i64>,
        payload: Query<Option<String>>,
    ) -> Result<Json<String>, ApiError> {
        let payload = payload.0.unwrap_or_else(|| "null".to_owned());
        let payload: Value = match serde_json::from_str(&payload).expect("JSON") {
            Value::Number(length) => {
                let length = length.as_u64().expect("a length");
                "p".repeat(usize::try_from(length).expect("a length"))
                    .into()
            }
            payload => payload,
        };
        let timer = Timer::new(key.0, Timestamp::from_millis(at.0)).payload(&payload);
        let set = self.0.host.timers.set(timer).await;
        Ok(Json(set.map_or_else(
            |error| error.to_string(),
            |()| "set".to_owned(),
        )))
    }

    /// Cancel a timer
    #[oai(
        path = "/api/clock/cancel",
        method = "get",
        operation_id = "cancelClock"
    )]
    async fn cancel(&self, _host: AsHost, key: Query<String>) -> Result<Json<bool>, ApiError> {
        Ok(Json(self.0.host.timers.cancel(&key.0).await?))
    }

    /// List the attempts of timers
    #[oai(path = "/api/clock", method = "get", operation_id = "listClock")]
    async fn list(&self, _host: AsHost) -> Result<Json<String>, ApiError> {
        let all = Find::from(Filter::all()).sort("began", Order::Ascending);
        let found = self.0.attempts.find(all).await?;
        Ok(Json(json!(found.items).to_string()))
    }
}

async fn start() -> Service {
    Service::builder()
        .env("PLUGINS", "clock")
        .env("RATE_LIMIT_API", "off")
        .start_with([PLUGIN])
        .await
}

async fn start_beside(first: &Service) -> Service {
    Service::builder()
        .env("PLUGINS", "clock")
        .database(first)
        .start_with([PLUGIN])
        .await
}

fn in_ms(after: i64) -> i64 {
    Timestamp::now().as_millis() + after
}

async fn set(node: &Node, key: &str, at: i64, payload: Value) -> String {
    let payload = payload.to_string().replace('"', "%22");
    let path = format!("/api/clock/set?key={key}&at={at}&payload={payload}");
    let said = node.internal().get(&path).await.expect(200);
    said.as_str().expect("a text").to_owned()
}

async fn attempts(node: &Node) -> Vec<Attempt> {
    let said = node.internal().get("/api/clock").await.expect(200);
    serde_json::from_str(said.as_str().expect("a text")).expect("attempts")
}

async fn attempts_of(node: &Node, key: &str) -> Vec<Attempt> {
    let all = attempts(node).await.into_iter();
    all.filter(|attempt| attempt.key == key).collect()
}

async fn wait_for(node: &Node, key: &str, count: usize) -> Vec<Attempt> {
    eventually_within(PATIENT, "the timer fires", || async {
        let found = attempts_of(node, key).await;
        (found.len() >= count).then_some(found)
    })
    .await
}

/// Waits until no timer is left.
async fn wait_empty(node: &Node) {
    let timers = node.sandbox().collection("timers").await;
    eventually_within(PATIENT, "no timer is left", || async {
        let left = timers.count_documents(doc! {}).await.expect("answers");
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_timer_fires_once_at_its_time_in_one_of_several_processes() {
    let first = start().await;
    let second = start_beside(&first).await;
    for n in 0..30 {
        let node = if n % 2 == 0 { &first } else { &second };
        let said = set(node, &format!("t{n}"), in_ms(1500), json!({ "n": n })).await;
        assert_eq!(said, "set");
    }
    wait_empty(&first).await;
    let found = attempts(&second).await;
    assert_eq!(found.len(), 30);
    for attempt in &found {
        assert!(attempt.began >= attempt.due, "{attempt:?}");
        assert_eq!(attempt.attempt, 1);
        assert_eq!(format!("t{}", attempt.payload["n"]), attempt.key);
    }
    let metrics = [
        first.anonymous().get("/metrics").await.text,
        second.anonymous().get("/metrics").await.text,
    ];
    let is_done = |line: &str| {
        line.starts_with("chat_plugin_timers_total{")
            && line.contains("plugin=\"clock\"")
            && line.contains("outcome=\"done\"")
    };
    let mut lines = metrics.iter().flat_map(|text| text.lines());
    assert!(lines.any(is_done), "{metrics:?}");
}

#[tokio::test]
async fn timers_survive_the_death_of_the_process_before_and_during_an_attempt() {
    let first = start().await;
    set(&first, "during", in_ms(0), json!({ "hangs": 1 })).await;
    wait_for(&first, "during", 1).await;
    let due = in_ms(2000);
    set(&first, "before", due, Value::Null).await;
    let place = Arc::clone(first.sandbox());
    first.crash();
    let second = Service::builder()
        .env("PLUGINS", "clock")
        .place_of(&place)
        .start_with([PLUGIN])
        .await;
    let before = wait_for(&second, "before", 1).await;
    assert!(
        before[0].began >= due && before[0].attempt == 1,
        "{before:?}"
    );
    let during = wait_for(&second, "during", 2).await;
    assert_eq!(
        during[1].attempt, 2,
        "the attempt of the dead process counts"
    );
    wait_empty(&second).await;
    assert_eq!(attempts(&second).await.len(), 3);
}

#[tokio::test]
async fn timers_can_be_moved_and_cancelled() {
    let service = start().await;
    set(&service, "moved", in_ms(3_600_000), json!("old")).await;
    let due = in_ms(300);
    set(&service, "moved", due, json!("new")).await;
    let moved = wait_for(&service, "moved", 1).await;
    assert_eq!((moved[0].due, &moved[0].payload), (due, &json!("new")));

    set(&service, "cancelled", in_ms(3_600_000), Value::Null).await;
    let cancel = "/api/clock/cancel?key=cancelled";
    let host = service.internal();
    assert_eq!(host.get(cancel).await.expect(200), true);
    assert_eq!(host.get(cancel).await.expect(200), false);
    wait_empty(&service).await;
    assert!(attempts_of(&service, "cancelled").await.is_empty());

    // One that is set again while it is handled fires again at the new time.
    set(&service, "again", in_ms(0), json!({ "hangs": 1 })).await;
    wait_for(&service, "again", 1).await;
    set(&service, "again", in_ms(0), json!("second")).await;
    let again = wait_for(&service, "again", 2).await;
    assert_eq!((again[1].attempt, &again[1].payload), (1, &json!("second")));
    wait_empty(&service).await;
    // The first attempt still runs, and a regular stop would wait for it.
    service.crash();
}

#[tokio::test]
async fn failed_attempts_are_repeated_with_growing_pauses() {
    let service = start().await;
    set(&service, "fails", in_ms(0), json!({ "fails": 3 })).await;
    set(&service, "panics", in_ms(0), json!({ "panics": 1 })).await;
    let found = wait_for(&service, "fails", 4).await;
    let pauses: Vec<i64> = found
        .windows(2)
        .map(|pair| pair[1].began - pair[0].began)
        .collect();
    for (pause, least) in pauses.iter().zip([1000, 2000, 4000]) {
        assert!(*pause >= least, "{pauses:?}");
    }
    let numbers: Vec<u32> = found.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    wait_for(&service, "panics", 2).await;
    wait_empty(&service).await;
    assert_eq!(attempts(&service).await.len(), 6);
}

#[tokio::test]
async fn timers_are_bounded_in_number_and_size() {
    let service = start().await;
    let far = in_ms(3_600_000);
    let said = set(&service, &"k".repeat(129), far, Value::Null).await;
    assert!(
        said.contains("has 129 bytes; it must have 1 to 128"),
        "{said}"
    );
    let said = set(&service, "large", far, json!(8191)).await;
    assert!(said.contains("it must have at most 8192"), "{said}");
    let timers = service.sandbox().collection("timers").await;
    let at = DateTime::from_millis(far);
    let many = (0..MAX_TIMERS).map(|n| {
        doc! {
            "_id": format!("clock:{n}"), "plugin": "clock", "key": n.to_string(), "at": at, "dueAt": at, "payload": "null",
            "attempts": 0_i64,
        }
    });
    timers.insert_many(many).await.expect("inserts");
    let said = set(&service, "more", far, Value::Null).await;
    assert!(said.contains("has 10000 timers; cancel some"), "{said}");
    // One that exists can still be moved, and one that is cancelled makes room.
    let due = in_ms(0);
    assert_eq!(set(&service, "7", due, Value::Null).await, "set");
    wait_for(&service, "7", 1).await;
    let host = service.internal();
    host.get("/api/clock/cancel?key=8").await.expect(200);
    assert_eq!(set(&service, "more", far, Value::Null).await, "set");
}
