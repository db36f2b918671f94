//! Leaving a failing endpoint alone: after some failures in a row its durable is paused, for longer each time, and the first delivery after a pause is the
//! probe. Each worker counts for itself; the pause is the broker's, so it holds for all.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The longest pause, in first pauses.
const LONGEST: u32 = 20;

/// The circuit of one endpoint.
pub struct Circuit {
    limit: u32,
    first: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    pauses: u32,
    paused_until: Option<Instant>,
}

impl Circuit {
    /// A closed one that opens after `limit` failures in a row, for `first` at first.
    pub fn new(limit: u32, first: Duration) -> Self {
        Self {
            limit,
            first,
            state: Mutex::default(),
        }
    }

    /// A delivery succeeded.
    pub fn succeeded(&self) {
        *self.state.lock() = State::default();
    }

    /// A delivery failed. Answers for how long the endpoint is to be left alone from now on, if this failure is the one to decide it.
    pub fn failed(&self) -> Option<Duration> {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        let now = Instant::now();
        let is_paused = state.paused_until.is_some_and(|until| now < until);
        if state.failures < self.limit || is_paused {
            return None;
        }
        let factor = 1_u32.checked_shl(state.pauses).unwrap_or(LONGEST);
        let pause = self.first * factor.min(LONGEST);
        state.pauses = state.pauses.saturating_add(1);
        state.paused_until = Some(now + pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_longer_each_time() {
        let circuit = Circuit::new(3, Duration::from_millis(4));
        assert_eq!(circuit.failed(), None);
        circuit.succeeded();
        assert_eq!([circuit.failed(), circuit.failed()], [None, None]);
        assert_eq!(circuit.failed(), Some(Duration::from_millis(4)));
        assert_eq!(circuit.failed(), None, "it is paused already");
        std::thread::sleep(Duration::from_millis(6));
        assert_eq!(
            circuit.failed(),
            Some(Duration::from_millis(8)),
            "the probe failed"
        );
        for _ in 0..10 {
            circuit.state.lock().paused_until = None;
            circuit.failed();
        }
        circuit.state.lock().paused_until = None;
        assert_eq!(circuit.failed(), Some(Duration::from_millis(80)));
        circuit.succeeded();
        assert_eq!(circuit.failed(), None);
    }
}
