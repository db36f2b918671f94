//! Settings of the plugin: a mistake stops the start with one line that names it.

use std::process::Command;

use crate::support::{LINK_SECRET, Sandbox};

async fn check(place: &Sandbox, further: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-service"));
    command
        .args(["config", "check"])
        .env_clear()
        .envs(place.settings())
        .env("PLUGINS", "attachments")
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
async fn a_wrong_setting_stops_the_start() {
    let place = Sandbox::new();
    let secret = ("ATTACHMENTS_LINK_SECRET", LINK_SECRET);
    let (code, said) = check(&place, &[secret]).await;
    assert_eq!(code, Some(0), "{said}");
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], "ATTACHMENTS_LINK_SECRET: is required"),
        (
            &[("ATTACHMENTS_LINK_SECRET", "short")],
            "ATTACHMENTS_LINK_SECRET: is 5 characters long",
        ),
        (
            &[secret, ("ATTACHMENTS_TYPES", "png")],
            "ATTACHMENTS_TYPES: has \"png\"",
        ),
        (
            &[secret, ("ATTACHMENTS_MAX_BYTES", "0")],
            "ATTACHMENTS_MAX_BYTES: is \"0\"",
        ),
        (
            &[
                secret,
                ("ATTACHMENTS_S3_BUCKET", "files"),
                ("ATTACHMENTS_S3_ACCESS_KEY_ID", "id"),
            ],
            "ATTACHMENTS_S3_SECRET_ACCESS_KEY: is required",
        ),
    ];
    for (settings, expected) in cases {
        let (code, said) = check(&place, settings).await;
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains(LINK_SECRET), "{said}");
    }
}
