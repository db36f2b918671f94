//! `chat-service migrate`: the database is prepared for the plugins too.

use std::process::Command;

use crate::support::Sandbox;

async fn migrate(place: &Sandbox, further: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-service"));
    command
        .arg("migrate")
        .env_clear()
        .envs(place.settings())
        .envs(further.iter().copied())
        .current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("it runs")
        .expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

async fn indexes(place: &Sandbox, collection: &str) -> Vec<String> {
    let collection = place.collection(collection).await;
    collection.list_index_names().await.unwrap_or_default()
}

#[tokio::test]
async fn migrate_creates_the_indexes_of_plugins_without_a_broker() {
    let place = Sandbox::new();
    // Nobody is there.
    let nobody = ("NATS_URL", "nats://127.0.0.1:1");
    for _ in 0..2 {
        let (code, said) = migrate(&place, &[nobody]).await;
        assert_eq!(
            (code, said.as_str()),
            (Some(0), "the database is prepared\n")
        );
    }
    for (collection, index) in [
        ("webhooks_deliveries", "expiry"),
        ("webhooks_deliveries", "newest"),
        ("webhooks_dead_letters", "event"),
    ] {
        let names = indexes(&place, collection).await;
        assert!(
            names.iter().any(|name| name == index),
            "{collection}: {names:?}"
        );
    }
}

#[tokio::test]
async fn migrate_creates_nothing_for_plugins_that_do_not_run() {
    let place = Sandbox::new();
    let (code, said) = migrate(&place, &[("PLUGINS", "none")]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        !indexes(&place, "log").await.is_empty(),
        "the core is prepared"
    );
    assert!(indexes(&place, "webhooks_deliveries").await.is_empty());
    let (code, said) = migrate(&place, &[("PLUGINS", "webhook")]).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("PLUGINS: names \"webhook\""), "{said}");
}
