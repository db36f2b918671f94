//! `./dev release` and `deploy.sh` against a host, which is this machine through an ssh server of the test. `deployment.py` describes what happens.

use crate::support::{Sandbox, mortal, program};

#[test]
fn a_release_is_deployed_refused_and_rolled_back_while_clients_are_served() {
    let place = Sandbox::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings: Vec<String> = place
        .settings()
        .into_iter()
        .filter(|(name, _)| !name.ends_with("PORT"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let output = mortal("python3")
        .arg(root.join("tests/front/deployment.py"))
        .env("SETTINGS", settings.join("\n"))
        .env("BINARY", env!("CARGO_BIN_EXE_chat-service"))
        .env("SSHD", program("SSHD"))
        .env("NGINX_PROGRAM", program("NGINX"))
        .env_remove("NGINX")
        .output()
        .expect("python3 runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
