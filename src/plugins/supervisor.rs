//! Supervision of plugins: one that fails, panics or hangs is restarted and affects nothing else.
//!
//! [`crate::tasks`] makes the pauses; this module detects whether a plugin still works.

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::{Heartbeat, Plugin, PluginContext, Role};
use futures_util::{FutureExt, future::BoxFuture};
use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;

use super::running::{PREPARE, PluginPhase, PluginState, prepare};
use crate::tasks::{OnEnd, StopPhase, Task};

/// Time between two checks of a plugin's heartbeat.
const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// Maximum time that a plugin may take to finish.
const DRAIN: Duration = Duration::from_secs(25);

/// Plugin as a task: restarted whatever it does.
pub struct PluginTask {
    name: &'static str,
    plugin: Arc<dyn Plugin>,
    state: Arc<PluginState>,
    /// True if the process has one of the plugin's roles.
    runs_here: bool,
}

impl PluginTask {
    /// Returns the task of the plugin `name`. It prepares the plugin in every process, and runs it if `runs_here`.
    pub fn new(
        name: &'static str,
        plugin: Arc<dyn Plugin>,
        state: Arc<PluginState>,
        runs_here: bool,
    ) -> Self {
        Self {
            name,
            plugin,
            state,
            runs_here,
        }
    }
}

impl Task for PluginTask {
    fn name(&self) -> &'static str {
        self.name
    }

    fn roles(&self) -> &'static [Role] {
        Role::ALL
    }

    fn on_end(&self) -> OnEnd {
        OnEnd::Restart
    }

    fn stop_phase(&self) -> StopPhase {
        StopPhase::Signal
    }

    fn run(&self, stop: CancellationToken) -> BoxFuture<'static, Result<(), String>> {
        let (name, plugin) = (self.name, Arc::clone(&self.plugin));
        let (state, runs_here) = (Arc::clone(&self.state), self.runs_here);
        async move {
            let outcome = live_once(name, plugin, &state, runs_here, &stop).await;
            if let Err(failure) = &outcome {
                state.fail(failure);
                counter!("chat_plugin_restarts_total", "plugin" => name).increment(1);
            }
            outcome
        }
        .boxed()
    }
}

/// Prepares the plugin if that is still due, then runs it until `stop`.
///
/// # Errors
/// The reason for its end.
async fn live_once(
    name: &'static str,
    plugin: Arc<dyn Plugin>,
    state: &PluginState,
    runs_here: bool,
    stop: &CancellationToken,
) -> Result<(), String> {
    if !state.is_prepared() {
        state.enter(PluginPhase::Preparing);
        let prepared = prepare(Arc::clone(&plugin), PREPARE);
        match stop.run_until_cancelled(prepared).await {
            Some(prepared) => prepared?,
            None => return Ok(()),
        }
    }
    state.set_prepared();
    if !runs_here {
        state.enter(PluginPhase::Ready);
        stop.cancelled().await;
        return Ok(());
    }
    state.enter(PluginPhase::Running);
    gauge!("chat_plugin_running", "plugin" => name).set(1.0);
    let failure = run_once(plugin, stop).await;
    gauge!("chat_plugin_running", "plugin" => name).set(0.0);
    failure.map_or(Ok(()), Err)
}

/// Runs the plugin once. Returns the reason for its end, or `None` if it was told to stop.
async fn run_once(plugin: Arc<dyn Plugin>, stop: &CancellationToken) -> Option<String> {
    let pulse = Heartbeat::default();
    // Its own token: everything that it started ends with this run.
    let own_stop = stop.child_token();
    let context = PluginContext {
        stop: own_stop.clone(),
        pulse: pulse.clone(),
    };
    let timeout = plugin.heartbeat_timeout();
    let _ends = own_stop.clone().drop_guard();
    // `run` itself is called in the task, because it may panic too.
    let mut work = tokio::spawn(async move { plugin.run(context).await });
    let mut watch = tokio::time::interval(WATCH_PERIOD);
    loop {
        tokio::select! {
            ended = &mut work => {
                return match ended {
                    _ if stop.is_cancelled() => None,
                    Ok(Ok(())) => Some("it returned".to_owned()),
                    Ok(Err(error)) => Some(error.to_string()),
                    // The message of a panic may quote content.
                    Err(error) if error.is_panic() => Some("it panicked".to_owned()),
                    Err(_) => Some("it was ended".to_owned()),
                };
            }
            () = stop.cancelled() => {
                if tokio::time::timeout(DRAIN, &mut work).await.is_err() {
                    work.abort();
                }
                return None;
            }
            _ = watch.tick() => {
                if pulse.silence() > timeout {
                    own_stop.cancel();
                    work.abort();
                    return Some(format!("it said nothing for {} s", timeout.as_secs()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use chat_sdk::plugin::HostError;
    use parking_lot::Mutex;
    use tokio::time::Instant;

    use super::*;
    use crate::tasks::Tasks;

    /// First pause of a supervisor.
    const PAUSE: Duration = Duration::from_secs(1);

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fate {
        Panics,
        Fails,
        Hangs,
        Works,
    }

    /// Test plugin that meets its outcomes one after the other.
    struct Unlucky {
        fates: Vec<Fate>,
        lives: AtomicUsize,
        starts: Mutex<Vec<Instant>>,
        is_drained: AtomicUsize,
    }

    /// Heartbeat timeout of [`Unlucky`].
    const TIMEOUT: Duration = Duration::from_millis(50);

    impl Plugin for Unlucky {
        fn heartbeat_timeout(&self) -> Duration {
            TIMEOUT
        }

        fn run(
            self: Arc<Self>,
            context: PluginContext,
        ) -> BoxFuture<'static, Result<(), HostError>> {
            self.starts.lock().push(Instant::now());
            let fate = self.fates[self.lives.fetch_add(1, Ordering::SeqCst)];
            assert!(fate != Fate::Panics, "as the test wants it");
            async move {
                match fate {
                    Fate::Panics => unreachable!("it has panicked"),
                    Fate::Fails => return Err(HostError::NoKey),
                    Fate::Hangs => std::future::pending::<()>().await,
                    Fate::Works => {
                        let pause = || tokio::time::sleep(Duration::from_millis(5));
                        while context.stop.run_until_cancelled(pause()).await.is_some() {
                            context.pulse.beat();
                        }
                        self.is_drained.fetch_add(1, Ordering::SeqCst);
                    }
                }
                Ok(())
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn a_plugin_that_fails_panics_or_hangs_is_started_again_with_growing_pauses() {
        let plugin = Arc::new(Unlucky {
            fates: vec![Fate::Panics, Fate::Fails, Fate::Hangs, Fate::Works],
            lives: AtomicUsize::new(0),
            starts: Mutex::default(),
            is_drained: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        let state = PluginState::new("unlucky");
        let tasks = Arc::new(Tasks::default());
        let alive = tasks.supervise(
            Box::new(PluginTask::new(
                "unlucky",
                Arc::clone(&plugin) as _,
                Arc::clone(&state),
                true,
            )),
            stop.clone(),
        );
        let alive = tokio::spawn(alive);
        let deadline = Instant::now() + Duration::from_secs(30);
        while plugin.lives.load(Ordering::SeqCst) < 4 {
            assert!(Instant::now() < deadline, "it was started four times");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // It works now, for longer than its heartbeat timeout.
        tokio::time::sleep(TIMEOUT * 3).await;
        stop.cancel();
        alive.await.expect("the supervisor does not panic");
        assert_eq!(plugin.lives.load(Ordering::SeqCst), 4);
        assert_eq!(tasks.report()[0].restarts, 3);
        assert_eq!(
            plugin.is_drained.load(Ordering::SeqCst),
            1,
            "it could finish"
        );
        let starts = plugin.starts.lock();
        let pauses: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[0] >= PAUSE && pauses[1] >= PAUSE * 2, "{pauses:?}");
        assert!(pauses[2] >= PAUSE * 4, "{pauses:?}");
    }
}
