//! Trace from a request to all its effects, as a `traceparent` of W3C Trace Context.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::EventId;

/// Position in a trace: the trace, and the step that caused whatever carries this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    trace: u128,
    step: u64,
    is_sampled: bool,
}

impl TraceParent {
    /// Name of the header, in HTTP and NATS.
    pub const HEADER: &'static str = "traceparent";

    /// Returns the first step of a new trace.
    pub fn begin() -> Self {
        Self {
            trace: ulid::Ulid::generate().0.max(1),
            step: random_step(),
            is_sampled: false,
        }
    }

    /// Returns the trace of an event whose request is unknown. All attempts to deliver the event get the same trace.
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

    /// Returns a new step of the same trace.
    pub fn next_step(self) -> Self {
        Self {
            step: random_step(),
            ..self
        }
    }

    /// Returns the id of the trace, for logs: 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

fn random_step() -> u64 {
    // The low 80 bits of a ULID are random.
    (ulid::Ulid::generate().0 as u64).max(1)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.step)
    }
}

/// Error for a text that is not a valid `traceparent`; such a header must be ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTraceParent;

impl fmt::Display for NoTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a valid traceparent of W3C Trace Context")
    }
}

impl std::error::Error for NoTraceParent {}

/// Parses exactly `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_hex))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    /// Parses every version whose beginning has the form of version 00, as the standard requires.
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
            // 16 hexadecimal digits fit into 64 bits.
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
    fn traceparent_is_parsed_and_written_unchanged() {
        let trace: TraceParent = GIVEN.parse().expect("valid");
        assert_eq!(trace.to_string(), GIVEN);
        assert_eq!(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what-comes";
        assert_eq!(
            later.parse(),
            Ok(trace),
            "the known fields of a later version"
        );
    }

    #[test]
    fn invalid_traceparent_is_rejected() {
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
    fn next_step_keeps_the_trace_and_the_trace_of_an_event_is_stable() {
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
