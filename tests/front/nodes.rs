//! Nodes are added and removed behind nginx; clients keep one address.

use serde_json::json;

use super::start;
use crate::support::{Front, Node, Service, eventually};

/// The node that received the last request to `path`.
fn last_upstream(front: &Front, path: &str) -> String {
    let lines = front.access_log();
    let line = lines.iter().rev().find(|line| line["path"] == path);
    line.map(|line| line["upstream"].to_string())
        .unwrap_or_default()
}

fn authority(node: &Node) -> String {
    format!("\"{}\"", node.api_url().trim_start_matches("http://"))
}

#[tokio::test]
async fn a_reload_brings_other_nodes_and_cuts_no_open_socket() {
    let (one, front) = start().await;
    let alice = front.user("alice").await;
    let conversation = front.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    let two = Service::builder().database(&one).start().await;
    front.reload(&[&two], &[&two]);
    eventually("new requests go to the new node", || async {
        alice.get("/api/users/me").await.expect(200);
        (last_upstream(&front, "/api/users/me") == authority(&two)).then_some(())
    })
    .await;
    // The old socket lives on at the old node, both ways.
    let body = json!({ "conversationId": conversation, "content": "from the old socket" });
    let sent = socket.ok("message:send", body).await;
    assert_eq!(socket.next("message:new").await["data"], sent["message"]);
    let said = alice.say(&conversation, "from the new node").await;
    assert_eq!(socket.next("message:new").await["data"], said);
    // A new socket reaches the new node, and both sockets receive the same events.
    let mut newer = alice.connect().await;
    let said = alice.say(&conversation, "to both").await;
    assert_eq!(newer.next("message:new").await["data"], said);
    assert_eq!(socket.next("message:new").await["data"], said);
}

#[tokio::test]
async fn a_node_that_is_gone_costs_no_request_and_its_sockets_resume_at_the_other() {
    let one = Service::start().await;
    let two = Service::builder().database(&one).start().await;
    let front = Front::before(&[&one, &two], &[&one, &two]).await;
    let alice = front.user("alice").await;
    let conversation = front.group(&alice, &[]).await;
    // As many sockets as it takes to have some at either.
    let mut sockets = Vec::new();
    for _ in 0..6 {
        sockets.push(alice.connect().await);
    }
    alice.say(&conversation, "before").await;
    for socket in &mut sockets {
        socket.next("message:new").await;
    }
    two.crash();
    for number in 0..20 {
        alice.get("/api/users/me").await.expect(200);
        // No request was carried out, because no node accepted the connection.
        alice.say(&conversation, &number.to_string()).await;
    }
    let mut cut = 0;
    for mut socket in sockets {
        if socket.is_alive().await {
            continue;
        }
        let came = socket.take_arrived();
        cut += 1;
        let mut back = alice.resume(&socket.cursor()).await;
        assert_eq!(back.connected["resumed"], true);
        let frames = came.into_iter().chain(back.drain().await);
        let numbers: Vec<u64> = frames.filter_map(|frame| frame["seq"].as_u64()).collect();
        let expected: Vec<u64> = (3..=22).collect();
        assert_eq!(numbers, expected);
    }
    assert!(cut > 0, "no socket was at the node that is gone");
}
