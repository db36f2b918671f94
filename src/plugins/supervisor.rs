//! Supervision of plugins: one that fails, panics or hangs is restarted and affects nothing else.
//!
//! [`crate::tasks`] makes the pauses; this module detects whether a plugin still works.

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::{Heartbeat, Plugin, PluginContext};
use futures_util::{FutureExt, future::BoxFuture};
use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;

use crate::tasks::{OnEnd, Task};

/// Time between two checks of a plugin's heartbeat.
const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// Maximum time that a plugin may take to finish.
const DRAIN: Duration = Duration::from_secs(25);

/// Plugin as a task: restarted whatever it does.
pub struct PluginTask<P>(pub Arc<P>);

impl<P: Plugin> Task for PluginTask<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn on_end(&self) -> OnEnd {
        OnEnd::Restart
    }

    /// A faulty plugin takes no requests away from the core.
    fn is_required(&self) -> bool {
        false
    }

    fn run(&self, stop: CancellationToken) -> BoxFuture<'static, Result<(), String>> {
        let plugin = Arc::clone(&self.0);
        async move {
            gauge!("chat_plugin_running", "plugin" => P::NAME).set(1.0);
            let failure = run_once(plugin, &stop).await;
            gauge!("chat_plugin_running", "plugin" => P::NAME).set(0.0);
            let Some(failure) = failure else {
                return Ok(());
            };
            counter!("chat_plugin_restarts_total", "plugin" => P::NAME).increment(1);
            Err(failure)
        }
        .boxed()
    }
}

/// Runs the plugin once. Returns the reason for its end, or `None` if it was told to stop.
async fn run_once<P: Plugin>(plugin: Arc<P>, stop: &CancellationToken) -> Option<String> {
    let pulse = Heartbeat::default();
    // Its own token: everything that it started ends with this run.
    let own_stop = stop.child_token();
    let life = PluginContext {
        stop: own_stop.clone(),
        pulse: pulse.clone(),
    };
    let _ends = own_stop.clone().drop_guard();
    let mut work = tokio::spawn(async move { plugin.run(life).await });
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
                if pulse.silence() > P::HEARTBEAT_TIMEOUT {
                    own_stop.cancel();
                    work.abort();
                    return Some(format!("it said nothing for {} s", P::HEARTBEAT_TIMEOUT.as_secs()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use chat_sdk::plugin::{HostError, NoRoutes};
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

    impl Plugin for Unlucky {
        const NAME: &'static str = "unlucky";
        const HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(50);
        type Api = NoRoutes;

        fn api(self: Arc<Self>) -> NoRoutes {
            NoRoutes
        }

        async fn run(self: Arc<Self>, life: PluginContext) -> Result<(), HostError> {
            self.starts.lock().push(Instant::now());
            let fate = self.fates[self.lives.fetch_add(1, Ordering::SeqCst)];
            match fate {
                Fate::Panics => panic!("as the test wants it"),
                Fate::Fails => return Err(HostError::NoKey),
                Fate::Hangs => std::future::pending::<()>().await,
                Fate::Works => {
                    while life
                        .stop
                        .run_until_cancelled(tokio::time::sleep(Duration::from_millis(5)))
                        .await
                        .is_some()
                    {
                        life.pulse.beat();
                    }
                    self.is_drained.fetch_add(1, Ordering::SeqCst);
                }
            }
            Ok(())
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
        let tasks = Arc::new(Tasks::default());
        let alive = tasks.supervise(PluginTask(Arc::clone(&plugin)), stop.clone());
        let alive = tokio::spawn(alive);
        let deadline = Instant::now() + Duration::from_secs(30);
        while plugin.lives.load(Ordering::SeqCst) < 4 {
            assert!(Instant::now() < deadline, "it was started four times");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // It works now, for longer than its heartbeat timeout.
        tokio::time::sleep(Unlucky::HEARTBEAT_TIMEOUT * 3).await;
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
