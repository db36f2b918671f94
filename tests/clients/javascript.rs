//! `examples/client/javascript`. Its tests run in Node; `./dev test` installs what they need.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

use crate::support::{INTERNAL_SECRET, JWT_SECRET, Service, mortal};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/client/javascript")
}

/// Runs one of the client's scripts, without blocking the runtime that the service runs beside.
async fn node(arguments: &'static [&'static str], service: Option<&Service>) -> Output {
    let folder = folder();
    assert!(
        folder.join("node_modules").exists(),
        "the client's tools are missing; ./dev test installs them"
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
    tokio::task::spawn_blocking(move || command.output().expect("node runs"))
        .await
        .expect("a task")
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

#[tokio::test]
async fn generated_types_and_the_single_file_are_up_to_date_and_the_client_is_small() {
    assert_success(&node(&["node_modules/typescript/bin/tsc", "--noEmit"], None).await);
    assert_success(&node(&["scripts/generate.mjs", "--check"], None).await);
    assert_success(&node(&["scripts/build.mjs", "--check"], None).await);
}

#[tokio::test]
async fn the_client_passes_its_own_tests_through_a_faulty_connection() {
    let service = Service::start().await;
    assert_success(&node(&["scripts/test.mjs"], Some(&service)).await);
}
