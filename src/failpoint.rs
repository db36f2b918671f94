//! Named points at which a test kills the process or makes a task panic.
//!
//! Empty without the `failpoints` feature.

/// Ends the process at once, as a crash would, if `CHAT_FAILPOINT` names this point.
///
/// The value is `name` or `name:count`; the process ends at the `count`th call (the first without a count).
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };
    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let setting = std::env::var("CHAT_FAILPOINT").ok()?;
        let (name, count) = setting.split_once(':').unwrap_or((&setting, "1"));
        Some((name.to_owned(), AtomicU64::new(count.parse().ok()?)))
    });
    if let Some((armed_name, left)) = armed
        && armed_name == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

/// Does nothing in a build without fail points.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) {}

/// Runs `work` of the task `name`, and makes it panic if `CHAT_FAIL_TASK` names it.
///
/// The value is `name` or `name:count`; the task panics 5 s after each of its first `count` starts (one without a count).
#[cfg(feature = "failpoints")]
pub async fn within<T>(name: &str, work: impl Future<Output = T>) -> T {
    use std::{
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };
    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let setting = std::env::var("CHAT_FAIL_TASK").ok()?;
        let (name, count) = setting.split_once(':').unwrap_or((&setting, "1"));
        Some((name.to_owned(), AtomicU64::new(count.parse().ok()?)))
    });
    let is_armed = armed.as_ref().is_some_and(|(armed_name, left)| {
        let take = |left: u64| left.checked_sub(1);
        armed_name == name
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
    });
    if !is_armed {
        return work.await;
    }
    let fail = tokio::time::sleep(Duration::from_secs(5));
    tokio::select! {
        done = work => done,
        () = fail => panic!("the test lets the task {name} fail"),
    }
}

/// Runs `work`.
#[cfg(not(feature = "failpoints"))]
pub fn within<T>(_name: &str, work: impl Future<Output = T>) -> impl Future<Output = T> {
    work
}
