//! `examples/client/react`.

use super::run_node;
use crate::support::Service;

#[tokio::test]
async fn the_bindings_render_only_what_changed_and_open_one_socket() {
    run_node(
        "client/react",
        &["node_modules/typescript/bin/tsc", "--noEmit"],
        None,
    )
    .await;
    let service = Service::start().await;
    run_node("client/react", &["scripts/test.mjs"], Some(&service)).await;
}
