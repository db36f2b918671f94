//! `openapi/postman`: the collection is up to date, and its requests and tests pass against a fresh service, twice.

use super::run_node;
use crate::support::Service;

const NAME: &str = "scripts/postman";

#[tokio::test]
async fn the_postman_collection_is_generated_from_the_document() {
    run_node(NAME, &["generate.mjs", "--check"], None).await;
}

#[tokio::test]
async fn every_request_of_the_postman_collection_passes_and_passes_again() {
    let service = Service::builder().all_plugins().start().await;
    run_node(NAME, &["run.mjs"], Some(&service)).await;
}
