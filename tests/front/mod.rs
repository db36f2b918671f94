//! nginx before the service: what passes, what it refuses itself and in which form, what it tells the nodes, and what it must never write down.

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
