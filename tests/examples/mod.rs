//! The examples in JavaScript and the Postman collection: each is checked and tested by its own tools, against a real service.

mod browser;
mod generated;
mod javascript;
mod postman;
mod react;
mod server;

use std::{
    path::Path,
    process::{Output, Stdio},
};

use crate::support::{INTERNAL_SECRET, JWT_SECRET, Node, mortal};

/// Runs a script of the folder `name` in Node, without blocking the runtime of the service; fails with the script's output.
async fn run_node(name: &'static str, arguments: &'static [&'static str], service: Option<&Node>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    assert!(
        folder.join("node_modules").exists(),
        "the tools of {name} are missing; ./dev test installs them"
    );
    let mut command = mortal("node");
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    if let Some(service) = service {
        command
            .env("BASE_URL", service.api_url())
            .env("WS_URL", service.ws_url())
            .env("AUTH_JWT_SECRET", JWT_SECRET)
            .env("INTERNAL_API_SECRET", INTERNAL_SECRET);
    }
    let output = tokio::task::spawn_blocking(move || command.output().expect("node runs"))
        .await
        .expect("a task");
    assert_success(&output);
}

#[track_caller]
fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
