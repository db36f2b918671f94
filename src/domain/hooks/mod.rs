//! Hooks: plugins decide about operations before these take effect.
//!
//! The operations of the domain ask here, after their own checks and before a command is submitted, so that every way into the service is covered once:
//! REST, sockets, commands of hosts, scheduled and forwarded messages. Modules: `registry` holds the hooks of this process; `registered` asks one hook
//! within its limits; `circuit` spares operations a hook that does not answer; `chain` asks all hooks of a point.
//!
//! This module knows neither how a hook is reached nor what the operations do with the verdict.

mod chain;
mod circuit;
mod registered;
mod registry;

use chat_sdk::{
    UserId,
    plugin::{HookConnection, HookData, HookPoint},
};

pub(in crate::domain) use chain::{
    Asked, Fixed, Subject, Verdict, ask, change_or_refuse, pass_or_refuse,
};
pub use registered::{HookPhase, HookReport, Registered};
pub use registry::Hooks;

use super::Context;
use crate::model::Result;

/// Asks the hooks of `user.before_connect` whether `user` may get a socket or an event stream.
///
/// # Errors
/// [`crate::model::DomainError::Refused`] with the reason of the hook; [`crate::model::DomainError::Unavailable`] if a hook failed that fails closed.
pub async fn before_connect(ctx: &Context, user: &UserId) -> Result<()> {
    let point = HookPoint::UserBeforeConnect;
    if !ctx.hooks.has(point) {
        return Ok(());
    }
    let data = HookData::Connection(HookConnection {
        user_id: user.clone(),
    });
    pass_or_refuse(&ctx.hooks, Asked::new(point, user), Fixed(data)).await
}
