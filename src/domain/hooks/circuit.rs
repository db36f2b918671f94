//! Circuit of one hook: after several failures in a row the hook is left alone for a while, so that no operation waits for it in vain.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Number of failures in a row after which the hook is left alone.
const FAILURES: u32 = 5;
/// First pause.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// State of the circuit.
#[derive(Debug, Default)]
struct State {
    /// Failures since the last success.
    failures: u32,
    /// Time until which the hook is not asked; `None` while the circuit is closed.
    open_until: Option<Instant>,
    /// Last pause.
    pause: Duration,
    /// True while a trial call runs.
    is_trial: bool,
}

/// Circuit of one hook.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

impl Circuit {
    /// Returns true if the hook may be asked. After a pause one call is admitted as a trial, which may take `trial`; the others still are not.
    pub fn admits(&self, trial: Duration) -> bool {
        let mut state = self.0.lock();
        let Some(until) = state.open_until else {
            return true;
        };
        let now = Instant::now();
        if now < until {
            return false;
        }
        // A trial whose caller is gone has no outcome; then the next one begins after this time.
        state.open_until = Some(now + trial + FIRST_PAUSE);
        state.is_trial = true;
        true
    }

    /// Records a success. Returns true if it closed the circuit.
    pub fn succeeded(&self) -> bool {
        let mut state = self.0.lock();
        let was_open = state.open_until.is_some();
        *state = State::default();
        was_open
    }

    /// Records a failure. Returns the pause if the circuit is open now.
    pub fn failed(&self) -> Option<Duration> {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return None;
        }
        // Calls that began before the circuit opened fail after it; they lengthen no pause.
        if state.open_until.is_none() || state.is_trial {
            state.pause = (state.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            state.open_until = Some(Instant::now() + state.pause);
            state.is_trial = false;
        }
        Some(state.pause)
    }

    /// Returns true while the hook is left alone.
    pub fn is_open(&self) -> bool {
        self.0.lock().open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circuit_opens_after_failures_in_a_row_and_closes_with_a_success() {
        let circuit = Circuit::default();
        let trial = Duration::from_millis(1);
        for _ in 1..FAILURES {
            assert_eq!(circuit.failed(), None);
        }
        assert!(!circuit.succeeded(), "it was closed");
        for _ in 1..FAILURES {
            assert_eq!(circuit.failed(), None);
        }
        assert!(circuit.admits(trial));
        assert_eq!(circuit.failed(), Some(FIRST_PAUSE));
        assert!(!circuit.admits(trial) && circuit.is_open());
        circuit.0.lock().open_until = Some(Instant::now());
        assert!(circuit.admits(trial), "one trial");
        assert!(!circuit.admits(trial), "and no second one");
        assert_eq!(circuit.failed(), Some(FIRST_PAUSE * 2));
        for _ in 0..20 {
            circuit.0.lock().open_until = Some(Instant::now());
            assert!(circuit.admits(trial));
            circuit.failed();
        }
        assert_eq!(circuit.failed(), Some(LONGEST_PAUSE));
        assert!(circuit.succeeded());
        assert!(circuit.admits(trial) && !circuit.is_open());
    }
}
