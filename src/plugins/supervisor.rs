//! Keeping plugins alive: one that fails, panics or hangs is ended and started again, with growing pauses, and nobody else notices.

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::{Life, Plugin, Pulse};
use metrics::{counter, gauge};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The pause before a plugin is started again; it doubles with every failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After so long without a failure the pauses begin small again.
const GOOD_TIME: Duration = Duration::from_secs(300);
/// How often a plugin's sign of life is looked at.
const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// How long a plugin may take to finish.
const DRAIN: Duration = Duration::from_secs(25);

/// Runs `plugin` until `stop`, whatever it does.
pub async fn keep_alive<P: Plugin>(plugin: Arc<P>, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let started = Instant::now();
        gauge!("chat_plugin_running", "plugin" => P::NAME).set(1.0);
        let failure = run_once(Arc::clone(&plugin), &stop).await;
        gauge!("chat_plugin_running", "plugin" => P::NAME).set(0.0);
        let Some(failure) = failure else {
            return;
        };
        counter!("chat_plugin_restarts_total", "plugin" => P::NAME).increment(1);
        if started.elapsed() >= GOOD_TIME {
            pause = FIRST_PAUSE;
        }
        tracing::error!(
            plugin = P::NAME,
            %failure,
            pause_seconds = pause.as_secs(),
            "a plugin ended; it is started again"
        );
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One life of the plugin. Answers why it ended, `None` when it was told to.
async fn run_once<P: Plugin>(plugin: Arc<P>, stop: &CancellationToken) -> Option<String> {
    let pulse = Pulse::default();
    // Its own: what it started ends with this life.
    let own_stop = stop.child_token();
    let life = Life {
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
                    // What a panic says may quote content.
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
                if pulse.silence() > P::PATIENCE {
                    own_stop.cancel();
                    work.abort();
                    return Some(format!("it said nothing for {} s", P::PATIENCE.as_secs()));
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

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fate {
        Panics,
        Fails,
        Hangs,
        Works,
    }

    /// Meets its fates one after the other.
    struct Unlucky {
        fates: Vec<Fate>,
        lives: AtomicUsize,
        starts: Mutex<Vec<Instant>>,
        is_drained: AtomicUsize,
    }

    impl Plugin for Unlucky {
        const NAME: &'static str = "unlucky";
        const PATIENCE: Duration = Duration::from_millis(50);
        type Api = NoRoutes;

        fn api(self: Arc<Self>) -> NoRoutes {
            NoRoutes
        }

        async fn run(self: Arc<Self>, life: Life) -> Result<(), HostError> {
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
        let alive = tokio::spawn(keep_alive(Arc::clone(&plugin), stop.clone()));
        let deadline = Instant::now() + Duration::from_secs(30);
        while plugin.lives.load(Ordering::SeqCst) < 4 {
            assert!(Instant::now() < deadline, "it was started four times");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // It works now, and longer than its patience.
        tokio::time::sleep(Unlucky::PATIENCE * 3).await;
        stop.cancel();
        alive.await.expect("the supervisor does not panic");
        assert_eq!(plugin.lives.load(Ordering::SeqCst), 4);
        assert_eq!(
            plugin.is_drained.load(Ordering::SeqCst),
            1,
            "it could finish"
        );
        let starts = plugin.starts.lock();
        let pauses: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            pauses[0] >= FIRST_PAUSE && pauses[1] >= FIRST_PAUSE * 2,
            "{pauses:?}"
        );
        assert!(pauses[2] >= FIRST_PAUSE * 4, "{pauses:?}");
    }
}
