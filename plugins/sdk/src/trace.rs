//! The thread from a request to everything that follows from it, as W3C Trace Context writes it: `traceparent`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::EventId;

/// A place in a trace: the trace, and the step in it that caused what carries this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    trace: u128,
    step: u64,
    is_sampled: bool,
}

impl TraceParent {
    /// The header, of HTTP and of NATS.
    pub const HEADER: &'static str = "traceparent";

    /// The beginning of a new trace.
    pub fn begin() -> Self {
        Self {
            trace: ulid::Ulid::generate().0.max(1),
            step: random_step(),
            is_sampled: false,
        }
    }

    /// The trace of an event of which no request is known. Every attempt to deliver it finds the same.
    pub fn of(event: &EventId) -> Self {
        // FNV-1a.
        let trace = event.as_str().bytes().fold(
            0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128,
            |hash, byte| {
                (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
            },
        );
        Self {
            trace: trace.max(1),
            step: (trace as u64).max(1),
            is_sampled: false,
        }
    }

    /// The next step of the same trace.
    pub fn next_step(self) -> Self {
        Self {
            step: random_step(),
            ..self
        }
    }

    /// The trace's id, for a log: 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

fn random_step() -> u64 {
    // The low bits of such an id are random.
    (ulid::Ulid::generate().0 as u64).max(1)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.step)
    }
}

/// Why a text is no `traceparent`: it must be ignored then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTraceParent;

impl fmt::Display for NoTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no traceparent of W3C Trace Context")
    }
}

impl std::error::Error for NoTraceParent {}

/// `digits` lower-case hexadecimal digits as a number.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_hex))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    /// Reads every version that begins as version 00 does; the standard asks for that.
    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let mut parts = text.split('-');
        let mut next = |digits| parts.next().and_then(|part| hex(part, digits));
        let (version, trace, step, flags) = match (next(2), next(32), next(16), next(2)) {
            (Some(version), Some(trace), Some(step), Some(flags)) => (version, trace, step, flags),
            _ => return Err(NoTraceParent),
        };
        let is_over = parts.next().is_none();
        if version == 0xff || version == 0 && !is_over || trace == 0 || step == 0 {
            return Err(NoTraceParent);
        }
        Ok(Self {
            trace,
            // Sixteen digits fit.
            step: step as u64,
            is_sampled: flags & 1 == 1,
        })
    }
}

impl TryFrom<String> for TraceParent {
    type Error = NoTraceParent;

    fn try_from(text: String) -> Result<Self, NoTraceParent> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(trace: TraceParent) -> Self {
        trace.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_again() {
        let trace: TraceParent = GIVEN.parse().expect("valid");
        assert_eq!(trace.to_string(), GIVEN);
        assert_eq!(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what-comes";
        assert_eq!(
            later.parse(),
            Ok(trace),
            "of a later version, what is known"
        );
    }

    #[test]
    fn what_the_standard_calls_invalid_is_none() {
        for text in [
            "",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(NoTraceParent), "{text}");
        }
    }

    #[test]
    fn a_step_stays_in_its_trace_and_an_events_own_trace_is_always_the_same() {
        let trace: TraceParent = GIVEN.parse().expect("valid");
        let step = trace.next_step();
        assert_eq!(step.trace_id(), trace.trace_id());
        assert_ne!(step, trace);
        let event = EventId::generate();
        assert_eq!(TraceParent::of(&event), TraceParent::of(&event));
        assert_ne!(
            TraceParent::of(&event),
            TraceParent::of(&EventId::generate())
        );
        for made in [step, TraceParent::begin(), TraceParent::of(&event)] {
            assert_eq!(made.to_string().parse(), Ok(made));
        }
    }
}
