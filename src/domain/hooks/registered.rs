//! One hook of this process: asked within its time limit, counted, and left alone while it does not answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{
    UserId,
    plugin::{FailurePolicy, Hook, HookFault, HookPoint, HookRequest, HookSpec, HookVerdict},
};
use metrics::{counter, gauge, histogram};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::{chain::Asked, circuit::Circuit};
use crate::model::{DomainError, Result};

/// Maximum number of calls of one hook that run at once in this process.
const MAX_CALLS: usize = 512;
/// Maximum number of calls of one shadow hook that run at once in this process.
const MAX_SHADOW_CALLS: usize = 64;
/// Bounds of a time limit.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(5));

/// A hook and its state in this process.
///
/// The state follows the last call or probe, so it is right also while no operation reaches the hook.
pub struct Registered {
    /// Name of the plugin.
    plugin: String,
    spec: HookSpec,
    hook: Arc<dyn Hook>,
    circuit: Circuit,
    calls: Arc<Semaphore>,
    history: Mutex<History>,
}

/// Calls and probes of a hook, as far as this process made them.
#[derive(Debug, Clone, Default)]
struct History {
    /// Outcome of the last call or probe; `None` before the first.
    is_answering: Option<bool>,
    failures: u64,
    last_failure: Option<String>,
}

/// State of a hook in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPhase {
    /// It was neither called nor probed yet.
    Unknown,
    /// It answered the last call or probe.
    Answering,
    /// It failed at the last call or probe.
    Failing,
    /// It failed several times in a row, and no operation waits for it now.
    LeftAlone,
}

/// State of a hook, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookReport {
    /// Name of the plugin.
    pub plugin: String,
    /// Name of the hook.
    pub hook: String,
    /// State of the hook.
    pub phase: HookPhase,
    /// Consequence of a failure.
    pub policy: FailurePolicy,
    /// True if its verdicts are only counted and logged.
    pub is_shadow: bool,
    /// Number of failed calls and probes since the start of the process.
    pub failures: u64,
    /// Reason of the last failure.
    pub last_failure: Option<String>,
}

impl Registered {
    /// Returns the hook of the plugin `plugin`, as it declares itself. Its time limit is brought between 1 ms and 5 s.
    pub fn new(plugin: impl Into<String>, hook: Arc<dyn Hook>) -> Self {
        let mut spec = hook.spec();
        spec.timeout = spec.timeout.clamp(TIMEOUTS.0, TIMEOUTS.1);
        let calls = if spec.is_shadow {
            MAX_SHADOW_CALLS
        } else {
            MAX_CALLS
        };
        Self {
            plugin: plugin.into(),
            spec,
            hook,
            circuit: Circuit::default(),
            calls: Arc::new(Semaphore::new(calls)),
            history: Mutex::default(),
        }
    }

    /// Returns the declaration.
    pub fn spec(&self) -> &HookSpec {
        &self.spec
    }

    /// Returns the name of the plugin.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Returns the hook's state.
    pub fn report(&self) -> HookReport {
        let history = self.history.lock().clone();
        HookReport {
            plugin: self.plugin.clone(),
            hook: self.spec.name.clone(),
            phase: match history.is_answering {
                _ if self.circuit.is_open() => HookPhase::LeftAlone,
                None => HookPhase::Unknown,
                Some(true) => HookPhase::Answering,
                Some(false) => HookPhase::Failing,
            },
            policy: self.spec.failure,
            is_shadow: self.spec.is_shadow,
            failures: history.failures,
            last_failure: history.last_failure,
        }
    }

    /// Records the outcome of a probe, which decides nothing.
    pub fn probed(&self, outcome: std::result::Result<(), HookFault>) {
        match outcome {
            Ok(()) => self.history.lock().is_answering = Some(true),
            Err(fault) => self.remember(&fault),
        }
    }

    fn remember(&self, fault: &HookFault) {
        let mut history = self.history.lock();
        history.is_answering = Some(false);
        history.failures += 1;
        history.last_failure = Some(fault.to_string());
    }

    /// Returns true if the hook is asked about an operation.
    pub(super) fn concerns(&self, asked: &Asked<'_>) -> bool {
        self.spec.points.contains(&asked.point)
            && !self.is_bot(asked.actor)
            && self.spec.filter.matches(asked.kind, asked.role)
    }

    fn is_bot(&self, user: &UserId) -> bool {
        self.spec.bots.contains(user)
    }

    /// Asks the hook and applies `apply` to the verdict. Returns `None` if the hook failed and the operation goes on.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the hook failed and fails closed.
    pub(super) async fn decide<T>(
        &self,
        request: HookRequest,
        apply: impl FnOnce(HookVerdict) -> std::result::Result<T, HookFault>,
    ) -> Result<Option<T>> {
        let point = request.point;
        if !self.circuit.admits(self.spec.timeout) {
            self.count(point, "skipped");
            return self.failed();
        }
        let began = Instant::now();
        let answer = self.call(request).await;
        histogram!("chat_hook_seconds", "plugin" => self.plugin.clone(), "hook" => self.spec.name.clone())
            .record(began.elapsed().as_secs_f64());
        let action = answer.as_ref().map_or("fault", HookVerdict::action);
        match answer.and_then(apply) {
            Ok(applied) => {
                self.history.lock().is_answering = Some(true);
                if self.circuit.succeeded() {
                    self.show_circuit(false);
                    tracing::info!(
                        plugin = self.plugin,
                        hook = self.spec.name,
                        "hook answers again"
                    );
                }
                self.count(point, action);
                Ok(Some(applied))
            }
            Err(fault) => {
                self.count(point, "fault");
                self.note(point, &fault, began.elapsed());
                self.failed()
            }
        }
    }

    /// Asks a shadow hook in the background; its verdict is only counted and logged.
    pub(super) fn watch(self: &Arc<Self>, request: HookRequest) {
        let point = request.point;
        let Ok(permit) = Arc::clone(&self.calls).try_acquire_owned() else {
            self.count(point, "skipped");
            return;
        };
        if !self.circuit.admits(self.spec.timeout) {
            self.count(point, "skipped");
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let began = Instant::now();
            match this.run(request).await {
                Ok(verdict) => {
                    this.history.lock().is_answering = Some(true);
                    if this.circuit.succeeded() {
                        this.show_circuit(false);
                    }
                    let action = verdict.action();
                    this.count(point, action);
                    tracing::info!(
                        plugin = this.plugin,
                        hook = this.spec.name,
                        point = point.as_str(),
                        action,
                        "shadow hook decided"
                    );
                }
                Err(fault) => {
                    this.count(point, "fault");
                    this.note(point, &fault, began.elapsed());
                }
            }
            drop(permit);
        });
    }

    async fn call(&self, request: HookRequest) -> std::result::Result<HookVerdict, HookFault> {
        let Ok(_permit) = self.calls.try_acquire() else {
            return Err(HookFault::new("too many calls of the hook are running"));
        };
        self.run(request).await
    }

    async fn run(&self, request: HookRequest) -> std::result::Result<HookVerdict, HookFault> {
        let hook = Arc::clone(&self.hook);
        // A task of its own: a panic of the hook ends only the task, and `ask` itself may panic too.
        let task = tokio::spawn(async move { hook.ask(request).await });
        match tokio::time::timeout(self.spec.timeout, AbortOnDropHandle::new(task)).await {
            Ok(Ok(answer)) => {
                let verdict = answer?;
                verdict.check()?;
                Ok(verdict)
            }
            // The message of a panic may quote content.
            Ok(Err(_)) => Err(HookFault::new("it panicked")),
            Err(_) => Err(HookFault::new("it did not answer in time")),
        }
    }

    /// Returns the consequence of a failure.
    fn failed<T>(&self) -> Result<Option<T>> {
        match self.spec.failure {
            FailurePolicy::Open => Ok(None),
            FailurePolicy::Closed => Err(DomainError::Unavailable(
                "A required check is not available; repeat the request, with the same clientMessageId for a message."
                    .into(),
            )),
        }
    }

    fn note(&self, point: HookPoint, fault: &HookFault, elapsed: Duration) {
        self.remember(fault);
        let pause = self.circuit.failed();
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(
            plugin = self.plugin,
            hook = self.spec.name,
            point = point.as_str(),
            elapsed_ms,
            %fault,
            policy = ?self.spec.failure,
            left_alone_ms = pause.map(|pause| pause.as_millis()),
            "hook failed"
        );
        if pause.is_some() {
            self.show_circuit(true);
        }
    }

    fn show_circuit(&self, is_open: bool) {
        gauge!("chat_hook_left_alone", "plugin" => self.plugin.clone(), "hook" => self.spec.name.clone())
            .set(if is_open { 1.0 } else { 0.0 });
    }

    fn count(&self, point: HookPoint, outcome: &'static str) {
        counter!(
            "chat_hook_calls_total",
            "plugin" => self.plugin.clone(),
            "hook" => self.spec.name.clone(),
            "point" => point.as_str(),
            "outcome" => outcome,
            "shadow" => if self.spec.is_shadow { "true" } else { "false" }
        )
        .increment(1);
    }
}
