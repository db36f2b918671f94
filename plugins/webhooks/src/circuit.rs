//! Circuit breaker of an endpoint: after some failures in a row its durable is paused, for longer each time, and the first delivery after a pause is the
//! probe. Each worker counts its own failures; the broker holds the pause, so it applies to all workers.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Maximum pause, as a multiple of the first pause.
const LONGEST: u32 = 20;

/// Circuit breaker of one endpoint.
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
    /// Creates a closed circuit that opens after `limit` failures in a row. `first` is the length of the first pause.
    pub fn new(limit: u32, first: Duration) -> Self {
        Self {
            limit,
            first,
            state: Mutex::default(),
        }
    }

    /// Records a successful delivery, which closes the circuit.
    pub fn succeeded(&self) {
        *self.state.lock() = State::default();
    }

    /// Records a failed delivery. Returns the pause that begins now, if this failure opens the circuit.
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
