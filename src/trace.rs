//! Trace of the current work, which is passed on to commands, events and webhooks.

use chat_sdk::TraceParent;

tokio::task_local! {
    static CURRENT: TraceParent;
}

/// Runs `work` as part of `trace`.
pub async fn within<F: Future>(trace: TraceParent, work: F) -> F::Output {
    CURRENT.scope(trace, work).await
}

/// Returns the trace of the current task, if any.
pub fn current() -> Option<TraceParent> {
    CURRENT.try_with(|trace| *trace).ok()
}

/// Returns the trace context of a request: a new step in the caller's trace if the request names a valid one, else in a new trace.
pub fn of(headers: &hyper::HeaderMap) -> TraceParent {
    headers
        .get(TraceParent::HEADER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<TraceParent>().ok())
        .map_or_else(TraceParent::begin, TraceParent::next_step)
}
