//! A host's link in one direction: serves bytes at a rate, its connections taking turns.
//!
//! Decides how long bytes occupy the link and whose turn is next. Knows nothing of what lies behind the link.
//!
//! Invariant: over any stretch of uninterrupted service, time is bytes over rate to the nanosecond: the remainder of
//! each division is carried into the next.

use std::collections::VecDeque;
use std::time::Duration;

use super::FlowId;

/// Most bytes of one turn: small against a block, so that turns are short; large enough to keep turns few.
pub const TURN_BYTES_MAX: u64 = 16 << 10;
/// Fewest bytes of one turn: what one Ethernet frame carries.
pub const TURN_BYTES_MIN: u64 = 1_460;
/// A turn on a slow link takes about a hundredth of a second.
const TURNS_PER_SECOND: u64 = 100;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// One direction of a host's link.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// Bytes a second; `None` is without limit.
    rate: Option<u64>,
    /// What the last division left: less than `rate`, in billionths of a byte.
    remainder: u64,
    /// Bytes served since the start.
    pub(super) served: u64,
    /// Whether a turn is being served.
    pub(super) busy: bool,
    /// Whose turn is next. A flow is in here at most once.
    pub(super) turns: VecDeque<FlowId>,
}

impl Pipe {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate, ..Self::default() }
    }

    pub(super) fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// From the next turn on.
    pub(super) fn set_rate(&mut self, rate: Option<u64>) {
        (self.rate, self.remainder) = (rate, 0);
    }

    /// Most bytes that one turn may take.
    pub(super) fn turn_bytes(&self) -> u64 {
        self.rate.map_or(TURN_BYTES_MAX, |rate| {
            (rate / TURNS_PER_SECOND).clamp(TURN_BYTES_MIN, TURN_BYTES_MAX)
        })
    }

    /// How long `bytes`, at most one turn of them, occupy the link.
    pub(super) fn serve(&mut self, bytes: u64) -> Duration {
        self.served += bytes;
        let Some(rate) = self.rate else { return Duration::ZERO };
        // A link of rate 0 passes a byte a second: slower than any timeout, and no division by zero.
        let rate = rate.max(1);
        let work = bytes * NANOS_PER_SECOND + self.remainder;
        self.remainder = work % rate;
        Duration::from_nanos(work / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::Pipe;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn turns_add_up_to_bytes_over_rate(rate in 1u64..20_000_000_000, turns in prop::collection::vec(1u64..16_384, 1..200)) {
            let mut pipe = Pipe::new(Some(rate));
            let took: u128 = turns.iter().map(|&bytes| pipe.serve(bytes).as_nanos()).sum();
            let bytes: u128 = turns.iter().copied().map(u128::from).sum();
            prop_assert_eq!(took, bytes * 1_000_000_000 / u128::from(rate));
        }
    }
}
