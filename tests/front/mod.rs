//! nginx in front of the service: forwarded requests, own errors and their form, headers for the nodes, and secrets that must not be logged.

mod deployment;
mod forwarding;
mod nodes;
mod pages;
mod passes;
mod refuses;
mod secrets;

use crate::support::{Front, Service};

/// A service with all roles behind nginx.
async fn start() -> (Service, Front) {
    let service = Service::start().await;
    let front = Front::before(&[&service], &[&service]).await;
    (service, front)
}
