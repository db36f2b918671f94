//! Which trace the work at hand belongs to. What a request causes finds it here and takes it along: into the command, the event, the webhook.

use chat_sdk::TraceParent;

tokio::task_local! {
    static CURRENT: TraceParent;
}

/// Does `work` as a part of `trace`.
pub async fn within<F: Future>(trace: TraceParent, work: F) -> F::Output {
    CURRENT.scope(trace, work).await
}

/// The trace that the task at hand is a part of, if any.
pub fn current() -> Option<TraceParent> {
    CURRENT.try_with(|trace| *trace).ok()
}

/// The step that a request begins: in the caller's trace, where it names one as it should, else in a new one.
pub fn of(headers: &hyper::HeaderMap) -> TraceParent {
    headers
        .get(TraceParent::HEADER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<TraceParent>().ok())
        .map_or_else(TraceParent::begin, TraceParent::next_step)
}
