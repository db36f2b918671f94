//! Clients that are generated from the committed document, without changes by hand: they compile, and every call that a host makes first works.
//!
//! The programs are those of `examples/client-python` and `examples/client-typescript`. `./dev test` brings the generators.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{INTERNAL_SECRET, Service, mortal};

/// The lines that each program prints, in this order; a step may print several lines.
const STEPS: [&str; 9] = [
    "sync", "create", "send", "schedule", "list", "react", "read", "unread", "export",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A copy of an example, in a folder of its own.
fn copy(example: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let source = root().join("examples").join(example);
    for entry in fs::read_dir(source).expect("the example").flatten() {
        if entry.path().is_file() {
            let target = folder.path().join(entry.file_name());
            fs::copy(entry.path(), target).expect("is copied");
        }
    }
    folder
}

/// The output of `command`, which must succeed without a warning.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !format!("{told}{errors}").contains("Warning"),
        "{command:?}: {}\n{told}\n{errors}",
        output.status
    );
    told
}

/// Runs `program` against a service, and fails unless it took every step.
async fn takes_every_step(mut program: Command) {
    let service = Service::start().await;
    program
        .env("BASE_URL", service.api_url())
        .env("INTERNAL_API_SECRET", INTERNAL_SECRET);
    let told = tokio::task::spawn_blocking(move || run(&mut program))
        .await
        .expect("it ends");
    let mut steps: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    steps.dedup();
    assert_eq!(steps, STEPS, "{told}");
}

#[tokio::test]
async fn a_client_of_openapi_python_client_works_as_it_is_generated() {
    let libraries =
        PathBuf::from(std::env::var("TEST_CLIENT_PYTHON").expect("./dev test brings it"));
    let folder = copy("client-python");
    let python = || {
        let mut command = mortal("python3");
        let programs = std::env::var("PATH").unwrap_or_default();
        command
            .current_dir(folder.path())
            .env("PYTHONPATH", &libraries)
            .env("PYTHONWARNINGS", "ignore")
            .env(
                "PATH",
                format!("{}:{programs}", libraries.join("bin").display()),
            );
        command
    };
    let mut generate = python();
    generate
        .args(["-m", "openapi_python_client", "generate", "--meta", "none"])
        .args(["--output-path", "chat_client", "--path"])
        .arg(root().join("openapi/openapi.json"));
    run(&mut generate);
    let mut program = python();
    program.arg("host.py");
    takes_every_step(program).await;
}

#[tokio::test]
async fn a_client_of_openapi_fetch_compiles_and_works_as_it_is_generated() {
    let libraries = std::env::var("TEST_CLIENT_NODE").expect("./dev test brings it");
    let modules = Path::new(&libraries).join("node_modules");
    let folder = copy("client-typescript");
    std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).expect("a link");
    let tool = |name: &str| {
        let mut command = mortal(&modules.join(".bin").join(name).display().to_string());
        command.current_dir(folder.path());
        command
    };
    let mut generate = tool("openapi-typescript");
    generate
        .arg(root().join("openapi/openapi.json"))
        .args(["-o", "schema.d.ts"]);
    run(&mut generate);
    run(&mut tool("tsc"));
    let mut program = mortal("node");
    program.current_dir(folder.path()).arg("build/host.js");
    takes_every_step(program).await;
}
