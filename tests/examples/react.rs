//! `examples/client/react`.

use super::run_node;
use crate::support::Service;

#[tokio::test]
async fn the_bindings_render_only_what_changed_and_open_one_socket() {
    run_node(
        "examples/client/react",
        &["node_modules/typescript/bin/tsc", "--noEmit"],
        None,
    )
    .await;
    let service = Service::builder().all_plugins().start().await;
    run_node(
        "examples/client/react",
        &["scripts/test.mjs"],
        Some(&service),
    )
    .await;
}
