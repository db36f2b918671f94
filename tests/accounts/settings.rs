//! Settings without which the plugin does not start.

use std::process::Command;

use crate::support::Sandbox;

/// Runs `config check` with the plugin and further settings. Returns its exit code and output.
async fn check(further: &[(&str, &str)]) -> (Option<i32>, String) {
    let place = Sandbox::new();
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-service"));
    command
        .args(["config", "check"])
        .env_clear()
        .envs(place.settings())
        .env("PLUGINS", "accounts")
        .envs(further.iter().copied())
        .current_dir(folder.path());
    for (name, _) in further.iter().filter(|(_, value)| value.is_empty()) {
        command.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("it runs").expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test]
async fn each_missing_or_wrong_setting_is_one_line_that_names_it() {
    let url = ("ACCOUNTS_PUBLIC_URL", "https://shop.example");
    let jwks = [
        ("AUTH_JWT_SECRET", ""),
        ("AUTH_JWKS_URL", "http://127.0.0.1:9/jwks.json"),
    ];
    let from = if cfg!(feature = "smtp") {
        "ACCOUNTS_MAIL_FROM: is required"
    } else {
        "ACCOUNTS_MAIL_URL: names an SMTP server, but this program was built without SMTP"
    };
    let cases: [(&[(&str, &str)], &str); 7] = [
        (
            &[("ACCOUNTS_PUBLIC_URL", "")],
            "ACCOUNTS_PUBLIC_URL: is required",
        ),
        (
            &[("ACCOUNTS_PUBLIC_URL", "shop")],
            "ACCOUNTS_PUBLIC_URL: is not a URL",
        ),
        (
            &[url, jwks[0], jwks[1]],
            "AUTH_JWT_SECRET: is required by the plugin accounts",
        ),
        (
            &[url, ("ACCOUNTS_MAIL_URL", "smtp://mail.example")],
            "ACCOUNTS_MAIL_URL: must be encrypted",
        ),
        (&[url, ("ACCOUNTS_MAIL_URL", "smtps://mail.example")], from),
        (
            &[url, ("ACCOUNTS_MAIL_URL", "https://mail.example")],
            "ACCOUNTS_MAIL_SECRET: is required",
        ),
        (
            &[url, ("ACCOUNTS_MAX_HASHES", "0")],
            "ACCOUNTS_MAX_HASHES: is \"0\"",
        ),
    ];
    for (settings, line) in cases {
        let (code, said) = check(settings).await;
        assert_eq!(code, Some(78), "{said}");
        let named: Vec<&str> = said.lines().filter(|said| said.starts_with(line)).collect();
        assert_eq!(named.len(), 1, "{line}\n{said}");
    }
    let (code, said) = check(&[url]).await;
    assert_eq!(code, Some(0), "{said}");
}
