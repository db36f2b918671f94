//! Settings of the plugin: a mistake stops the start with one line that names it.

use std::process::Command;

use crate::support::Sandbox;

async fn start(place: &Sandbox, further: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-service"));
    command
        .args(["config", "check"])
        .env_clear()
        .envs(place.settings())
        .env("PLUGINS", "notifications")
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

#[tokio::test]
async fn a_contact_that_push_services_refuse_stops_the_start() {
    let place = Sandbox::new();
    let (code, said) = start(&place, &[]).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("PUSH_SUBJECT: is required for pushes"),
        "{said}"
    );
    for subject in ["admin@x", "mailto:x@localhost", "http://shop.example"] {
        let (code, said) = start(&place, &[("PUSH_SUBJECT", subject)]).await;
        assert_eq!(code, Some(78), "{said}");
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("PUSH_SUBJECT"))
            .collect();
        assert_eq!(lines.len(), 1, "{said}");
        assert!(lines[0].contains("must be mailto:"), "{said}");
    }
    let (code, said) = start(&place, &[("PUSH_SUBJECT", "mailto:ops@shop.example")]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = start(&place, &[("PUSH_ENABLED", "false")]).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn keys_and_the_gateway_are_checked() {
    let place = Sandbox::new();
    let subject = ("PUSH_SUBJECT", "mailto:ops@shop.example");
    for (name, value, named) in [
        (
            "PUSH_VAPID_PRIVATE_KEY",
            "not-a-key",
            "PUSH_VAPID_PRIVATE_KEY: must be a private key",
        ),
        (
            "PUSH_GATEWAY_URL",
            "https://gateway.example/",
            "PUSH_GATEWAY_SECRET: is required",
        ),
        (
            "PUSH_GATEWAY_URL",
            "ftp://gateway.example/",
            "PUSH_GATEWAY_URL: must start with",
        ),
        ("PUSH_TIMEOUT_MS", "1", "PUSH_TIMEOUT_MS: is \"1\""),
    ] {
        let (code, said) = start(&place, &[subject, (name, value)]).await;
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(named), "{said}");
        assert!(!said.contains("not-a-key"), "{said}");
    }
}
