//! `examples/client/javascript`.

use super::run_node;
use crate::support::Service;

const NAME: &str = "examples/client/javascript";

#[tokio::test]
async fn generated_types_and_the_single_file_are_up_to_date_and_the_client_is_small() {
    run_node(NAME, &["node_modules/typescript/bin/tsc", "--noEmit"], None).await;
    run_node(NAME, &["scripts/generate.mjs", "--check"], None).await;
    run_node(NAME, &["scripts/build.mjs", "--check"], None).await;
}

#[tokio::test]
async fn the_client_passes_its_own_tests_through_a_faulty_connection() {
    let service = Service::builder().all_plugins().start().await;
    run_node(NAME, &["scripts/test.mjs"], Some(&service)).await;
}
