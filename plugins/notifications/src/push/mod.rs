//! Pushes to devices: browsers by Web Push, other devices by the host's gateway for FCM and APNs.
//!
//! `keys` has the key pair by which push services know this deployment, `subscriptions` the devices of users, `queue` the pushes that wait, `payload` what they
//! say, `encrypt` and `send` one request, and `work` the worker that sends them.
//!
//! A push says what is true when it is sent: it is made from the message or the notification at that moment. A queued push therefore has no text.

pub mod encrypt;
pub mod keys;
pub mod payload;
pub mod queue;
pub mod send;
pub mod subscriptions;
pub mod work;
