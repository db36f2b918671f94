//! Resuming by the id of the last event: nothing is lost, nothing comes twice.

use std::{io::Read, process::Stdio};

use serde_json::json;

use crate::support::{EventStream, Parser, Seen, Service, mortal};

#[tokio::test]
async fn last_event_id_resumes_missed_events_without_repetition() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut seen = Seen::default();
    let (mut stream, _) = EventStream::follow(&service, &bob, None).await;
    for round in 0..5 {
        for n in 0..3 {
            alice
                .say(&conversation, &format!("{round}, heard {n}"))
                .await;
            seen.note([stream.find("message:new").await.data]);
        }
        let cursor = stream.last_id();
        drop(stream);
        for n in 0..10 {
            alice
                .say(&conversation, &format!("{round}, missed {n}"))
                .await;
        }
        let (resumed, missed) = EventStream::follow(&service, &bob, Some(&cursor)).await;
        seen.note(missed.into_iter().map(|event| event.data));
        stream = resumed;
        while seen.last(&conversation) < 1 + (round + 1) * 13 {
            seen.note([stream.next().await.expect("an event").data]);
        }
    }
    seen.assert_complete(&conversation, 2, 66);
    assert_eq!(seen.repeats, 0);
}

#[tokio::test]
async fn a_stream_resumes_on_another_node_and_from_a_sockets_cursor() {
    let first = Service::start().await;
    let second = Service::builder().database(&first).start().await;
    let alice = first.user("alice").await;
    let bob = first.user("bob").await;
    let conversation = first.group(&alice, &[&bob]).await;
    let mut seen = Seen::default();
    let (mut stream, _) = EventStream::follow(&first, &bob, None).await;
    alice.say(&conversation, "on the first").await;
    seen.note([stream.find("message:new").await.data]);
    let mut cursor = stream.last_id();
    drop(stream);
    let mut expected = 2;
    for round in 0..6 {
        let node = [&second, &first][round % 2];
        for n in 0..4 {
            alice.say(&conversation, &format!("{round}.{n}")).await;
        }
        expected += 4;
        let (mut stream, missed) = EventStream::follow(node, &bob, Some(&cursor)).await;
        seen.note(missed.into_iter().map(|event| event.data));
        while seen.last(&conversation) < expected {
            seen.note([stream.next().await.expect("an event").data]);
        }
        cursor = stream.last_id();
    }
    seen.assert_complete(&conversation, 2, expected);
    assert_eq!(seen.repeats, 0);
    // One cursor for both ways.
    alice.say(&conversation, "to the socket").await;
    let mut socket = bob.resume(&cursor).await;
    let message = socket.next("message:new").await;
    assert_eq!(message["data"]["content"], "to the socket");
    let cursor = socket.cursor();
    socket.vanish();
    alice.say(&conversation, "to the stream").await;
    let (mut stream, missed) = EventStream::follow(&second, &bob, Some(&cursor)).await;
    let message = match missed.into_iter().next() {
        Some(event) => event,
        None => stream.next().await.expect("an event"),
    };
    assert_eq!(message.data["data"]["content"], "to the stream");
}

#[tokio::test]
async fn the_query_resumes_too_and_the_header_has_precedence() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let (mut stream, _) = EventStream::follow(&service, &alice, None).await;
    let old = stream.last_id();
    alice.say(&conversation, "one").await;
    stream.find("message:new").await;
    let new = stream.last_id();
    drop(stream);
    alice.say(&conversation, "two").await;
    let query = format!("?token={}&lastEventId={old}", alice.token);
    for (headers, expected) in [
        (vec![], "one"),
        (vec![("Last-Event-ID", new.as_str())], "two"),
    ] {
        let mut stream = EventStream::open(&service.ws_base(), &query, &headers)
            .await
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let event = stream.find("message:new").await;
        assert_eq!(event.data["data"]["content"], expected);
    }
}

#[tokio::test]
async fn an_unknown_id_tells_the_client_to_reload() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let (stream, _) = EventStream::follow(&service, &bob, None).await;
    let of_bob = stream.last_id();
    for id in ["no-cursor", &of_bob] {
        let (_stream, before) = EventStream::follow(&service, &alice, Some(id)).await;
        let [reset] = before.as_slice() else {
            panic!("{before:?}");
        };
        assert_eq!(reset.name, "sync:reset");
        assert_eq!(reset.data["data"]["reason"], "unknown-cursor");
        assert_eq!(reset.id, None);
    }
}

/// Runs `curl -N` until its output satisfies `is_enough`, then kills it. Returns what it printed.
async fn curl(arguments: Vec<String>, is_enough: fn(&str) -> bool) -> String {
    let reading = tokio::task::spawn_blocking(move || {
        let mut child = mortal("curl")
            .args(["-N", "-sS", "--max-time", "10"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is there");
        let mut out = child.stdout.take().expect("an output");
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while !is_enough(&text) {
            let count = out.read(&mut buffer).expect("reads");
            assert!(count > 0, "curl ended early: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        let _ = child.kill();
        let _ = child.wait();
        text
    });
    reading.await.expect("curl ran")
}

#[tokio::test]
async fn a_plain_curl_follows_and_resumes() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let url = format!("{}/api/events", service.ws_base());
    let bearer = format!("Authorization: Bearer {}", alice.token);
    let arguments = |last: Option<&str>| {
        let mut arguments = vec!["-H".to_owned(), bearer.clone()];
        if let Some(last) = last {
            arguments.extend(["-H".to_owned(), format!("Last-Event-ID: {last}")]);
        }
        arguments.push(url.clone());
        arguments
    };
    let text = curl(arguments(None), |text| {
        text.contains("event: connected") && text.ends_with("\n\n")
    })
    .await;
    let mut parser = Parser::default();
    parser.take(&text);
    let cursor = parser.last_id.expect("an id");
    for n in 1..=3 {
        alice.say(&conversation, &format!("missed {n}")).await;
    }
    let text = curl(arguments(Some(&cursor)), |text| {
        text.matches("\nevent: message:new").count() == 3 && text.ends_with("\n\n")
    })
    .await;
    let contents: Vec<_> = Parser::default()
        .take(&text)
        .into_iter()
        .filter(|event| event.name == "message:new")
        .map(|event| event.data["data"]["content"].clone())
        .collect();
    assert_eq!(
        contents,
        [json!("missed 1"), json!("missed 2"), json!("missed 3")]
    );
}
