//! Messages: send, edit, delete, read.
//!
//! Modules: `send` sends a message to a conversation or a user; `forward` copies it to others; `change` edits, deletes and restores; `repeat` recognises a repeated
//! send; `hooked` asks hooks about a send and stores what they hold; `order` keeps the order of sends meanwhile; `read` returns messages to callers who may see them.

mod change;
mod forward;
mod hooked;
mod order;
mod read;
mod repeat;
mod send;

pub use change::{Edit, delete, edit, restore};
pub use forward::{Forwarded, MAX_FORWARDS, forward};
pub(super) use hooked::{Decided, Sending, decide, hold};
pub use order::SendOrder;
pub(super) use read::{access, access_message, view, visible_message};
pub use read::{get, history, list, replies};
pub(super) use repeat::sent_earlier;
pub use send::{Sent, send, send_as_host, send_direct};
pub(super) use send::{check_may_begin, check_quote};
