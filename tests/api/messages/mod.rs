//! `/api/messages` and `/api/conversations/{id}/messages`.

mod change;
mod edit;
mod expiring;
mod former_members;
mod forward;
mod history;
mod kinds;
mod pins;
mod reactions;
mod repeat;
mod restore;
mod scheduled;
mod send;
mod threads;
mod to_a_user;

use crate::support::{Service, User};

/// A group of two.
struct Group {
    service: Service,
    alice: User,
    bob: User,
    id: String,
    /// Path of the conversation's messages.
    messages: String,
}

impl Group {
    async fn of_two() -> Self {
        Self::with(serde_json::json!({})).await
    }

    async fn with(settings: serde_json::Value) -> Self {
        let service = Service::start().await;
        let (alice, bob) = (service.user("alice").await, service.user("bob").await);
        let id = service.group_with(&alice, &[&bob], settings).await;
        let messages = format!("/api/conversations/{id}/messages");
        Self {
            service,
            alice,
            bob,
            id,
            messages,
        }
    }
}
