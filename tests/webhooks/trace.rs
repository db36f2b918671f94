//! The trace of a request, in everything that the request causes.

use serde_json::{Value, json};

use super::{hook, scenario};
use crate::support::{Answering, Node, Receiver, Service, User, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const STEP: &str = "b7ad6b7169203331";

/// The trace and the step that a header names.
fn parts(header: &str) -> (&str, &str) {
    let parts: Vec<&str> = header.split('-').collect();
    let [version, trace, step, flags] = parts[..] else {
        panic!("four parts: {header:?}");
    };
    assert_eq!(
        (version, trace.len(), step.len(), flags.len()),
        ("00", 32, 16, 2)
    );
    (trace, step)
}

/// Sends a text in a trace. Returns the message.
async fn say(alice: &User, conversation: &str, content: &str, traceparent: &str) -> Value {
    alice
        .with("traceparent", traceparent)
        .post(
            &format!("/api/conversations/{conversation}/messages"),
            json!({ "content": content }),
        )
        .await
        .expect(201)
}

/// The header of the message in the stream that carries a text.
async fn in_stream(node: &Node, content: &str) -> String {
    eventually("the event is in the stream", || async {
        let stream = node
            .sandbox()
            .jetstream()
            .await
            .get_stream(node.sandbox().stream())
            .await;
        let mut stream = stream.expect("the stream");
        let last = stream.info().await.expect("an answer").state.last_sequence;
        for sequence in 1..=last {
            let message = stream.get_raw_message(sequence).await.expect("a message");
            let event: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            if event["data"]["content"] == content {
                let header = message.headers.get("traceparent").expect("a trace");
                return Some(header.as_str().to_owned());
            }
        }
        None
    })
    .await
}

#[tokio::test]
async fn a_request_takes_its_trace_to_the_stream_and_to_every_attempt_of_a_webhook() {
    let service = Service::start().await;
    let receiver = Receiver::answering(|_, before| match before {
        0 => Answering::with(500),
        _ => Answering::with(204),
    })
    .await;
    let ordered = Receiver::answering(|_, before| match before {
        0 => Answering::with(500),
        _ => Answering::with(204),
    })
    .await;
    hook(&service, &receiver, json!({})).await;
    hook(&service, &ordered, json!({ "ordered": true })).await;
    let (alice, conversation) = scenario(&service).await;
    say(
        &alice,
        &conversation,
        "traced",
        &format!("00-{TRACE}-{STEP}-01"),
    )
    .await;
    let stored = in_stream(&service, "traced").await;
    let (trace, cause) = parts(&stored);
    assert_eq!(trace, TRACE);
    assert_ne!(cause, STEP, "the request is a step of its own");
    assert!(
        stored.ends_with("-01"),
        "what the caller records is recorded on: {stored}"
    );
    for receiver in [&receiver, &ordered] {
        receiver.wait_taken("traced").await;
        let attempts = receiver.of("message.created");
        let headers: Vec<&str> = attempts
            .iter()
            .map(|one| one.header("traceparent"))
            .collect();
        let steps: Vec<(&str, &str)> = headers.iter().map(|header| parts(header)).collect();
        assert_eq!(steps.len(), 2);
        assert!(
            steps.iter().all(|(trace, _)| *trace == TRACE),
            "{headers:?}"
        );
        assert!(
            steps[0].1 != steps[1].1 && steps[0].1 != cause,
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn a_trace_is_created_if_there_is_no_valid_one() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    let zero = "0".repeat(32);
    alice.say(&conversation, "without").await;
    say(&alice, &conversation, "nonsense", "hello").await;
    say(
        &alice,
        &conversation,
        "zero",
        &format!("00-{zero}-{STEP}-01"),
    )
    .await;
    let mut socket = alice.connect().await;
    let data = json!({ "conversationId": conversation, "content": "by socket" });
    socket.ok("message:send", data).await;
    let mut traces = Vec::new();
    for content in ["without", "nonsense", "zero", "by socket"] {
        let taken = receiver.wait_taken(content).await;
        let (trace, _) = parts(taken.header("traceparent"));
        assert_ne!(trace, zero);
        assert_eq!(parts(&in_stream(&service, content).await).0, trace);
        traces.push(trace.to_owned());
    }
    traces.sort();
    traces.dedup();
    assert_eq!(traces.len(), 4, "each has its own");
}

#[tokio::test]
async fn a_command_that_another_process_writes_stays_in_its_trace_and_the_logs_name_it() {
    let one = Service::builder().env("LOG_LEVEL", "info").spawn().await;
    let two = Service::builder()
        .database(&one)
        .env("LOG_LEVEL", "info")
        .spawn()
        .await;
    let alice = one.user("alice").await;
    // Some of these conversations are written by the other process.
    for n in 0..8 {
        let conversation = one.group(&alice, &[]).await;
        let content = format!("traced {n}");
        let by = match n % 2 {
            0 => &one,
            _ => &two,
        };
        let trace = format!("{TRACE}-{STEP}-00");
        say(
            &alice.at(by),
            &conversation,
            &content,
            &format!("00-{trace}"),
        )
        .await;
        assert_eq!(parts(&in_stream(&one, &content).await).0, TRACE);
    }
    for process in [&one, &two] {
        let log = process.log();
        let mut lines = log.lines().filter(|line| line.contains("/messages"));
        assert!(lines.any(|line| line.contains(TRACE)), "{log}");
    }
}
