//! Named points at which a test kills the process, to prove that nothing answered is lost. Empty without the `failpoints` feature.

/// Ends the process at once, as a crash would, when the environment variable `CHAT_FAILPOINT` is `name` or `name:count` and this is the `count`th time
/// (the first without a count).
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
