//! A cluster of three, with TLS between the nodes and for clients, and the loss of one of them.

use std::{path::Path, process::Child, time::Duration};

use async_nats::ConnectOptions;
use serde_json::json;

use super::{
    STREAM, durable,
    tls::{certify, quoted},
};
use crate::support::{Service, configure, configured, eventually_within, free_port};

const LONG: Duration = Duration::from_secs(60);

struct Member {
    port: u16,
    child: Option<Child>,
}

impl Member {
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three nodes with the file `name` of `nats/`.
fn start(folder: &Path, name: &str) -> Vec<Member> {
    configure(&folder.join("conf"), &["shop"]);
    let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let listed: Vec<String> = routes
        .iter()
        .map(|port| format!("\"nats-route://route:test_route@localhost:{port}\""))
        .collect();
    let start = |(index, route): (usize, &u16)| {
        let port = free_port();
        let store = folder.join(format!("data-{index}"));
        let child = configured(&folder.join("conf"), name, &store)
            .env("BROKER_NAME", format!("chat-{index}"))
            .env("BROKER_HOST", "127.0.0.1")
            .env("BROKER_PORT", port.to_string())
            .env("BROKER_CLUSTER_PORT", route.to_string())
            .env("BROKER_HTTP", format!("\"127.0.0.1:{}\"", free_port()))
            .env("BROKER_CLUSTER_PASSWORD", "test_route")
            .env("BROKER_ROUTES", format!("[{}]", listed.join(", ")))
            .env("BROKER_TLS_CERT", quoted(&folder.join("cert.pem")))
            .env("BROKER_TLS_KEY", quoted(&folder.join("key.pem")))
            .env("BROKER_TLS_CA", quoted(&folder.join("authority.pem")))
            .spawn()
            .expect("nats-server starts");
        Member {
            port,
            child: Some(child),
        }
    };
    routes.iter().enumerate().map(start).collect()
}

fn urls(members: &[Member], scheme: &str, login: &str) -> Vec<String> {
    let url = |member: &Member| format!("{scheme}://{login}localhost:{}", member.port);
    members.iter().map(url).collect()
}

async fn survives(name: &str, scheme: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    certify(folder);
    let mut members = start(folder, name);
    let authority = folder.join("authority.pem");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connect = |user: &str, password: &str| {
        let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
            .add_root_certificates(authority.clone());
        let addresses: Vec<async_nats::ServerAddr> = urls(&members, scheme, "")
            .iter()
            .map(|url| url.parse().expect("an address"))
            .collect();
        async move { options.connect(addresses).await.ok() }
    };
    let ops = eventually_within(LONG, "the nodes are there", || {
        connect("chat", "test_broker")
    })
    .await;
    let jetstream = async_nats::jetstream::new(ops);
    eventually_within(LONG, "the nodes have chosen a leader", || {
        let jetstream = jetstream.clone();
        async move { jetstream.query_account().await.ok() }
    })
    .await;
    let service = Service::builder()
        .env(
            "NATS_URL",
            &urls(&members, scheme, "chat:test_broker@").join(","),
        )
        .env("NATS_SUBJECT_PREFIX", "chat")
        .env("NATS_REPLICAS", "3")
        .env("SSL_CERT_FILE", &authority.display().to_string())
        .spawn()
        .await;
    durable(&service, "shop", json!({ "events": ["message.created"] })).await;
    let shop = eventually_within(LONG, "the host is let in", || connect("shop", "test_host")).await;
    let shop = super::Host {
        name: "shop".to_owned(),
        client: shop,
        refused: Default::default(),
    };
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    alice.say(&conversation, "before").await;
    let mut stream = jetstream.get_stream(STREAM).await.expect("the stream");
    let info = stream.info().await.expect("its state");
    assert_eq!(info.config.num_replicas, 3);
    let leader = info
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.leader.clone());
    let leader: usize = leader
        .and_then(|name| name.strip_prefix("chat-")?.parse().ok())
        .expect("a leader");
    // The one that matters most.
    members[leader].kill();
    for n in 0..20 {
        alice.say(&conversation, &format!("without it {n}")).await;
    }
    let mut contents = std::collections::BTreeSet::new();
    let deadline = std::time::Instant::now() + LONG;
    while contents.len() < 21 {
        assert!(
            std::time::Instant::now() < deadline,
            "{} of 21 came: {contents:?}",
            contents.len()
        );
        let events = shop.take(50).await;
        contents.extend(
            events
                .iter()
                .filter_map(|event| Some(event["data"]["content"].as_str()?.to_owned())),
        );
    }
    assert!(contents.contains("before") && contents.contains("without it 19"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_with_three_replicas_survives_the_loss_of_its_leader() {
    survives("cluster.conf", "nats").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_with_tls_everywhere() {
    survives("cluster-tls.conf", "tls").await;
}
