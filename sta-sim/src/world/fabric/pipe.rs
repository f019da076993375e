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
/// A turn takes 4 ms at the most, unless a frame takes longer: a tick of turmoil. A connection waits for a turn of each of the others,
/// and has two turns more in flight than the link needs: with turns of a hundredth of a second its requests waited where they do on no
/// real link. Shorter ones are dearer, since there are more of them.
const TURNS_PER_SECOND: u64 = 250;

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

    /// From now on. How long the turn under way still takes, of which `rest` was left at the rate until now.
    pub(super) fn set_rate(&mut self, rate: Option<u64>, rest: Duration) -> Duration {
        if rate == self.rate {
            return rest;
        }
        let was = std::mem::replace(&mut self.rate, rate).map_or(0, |was| was.max(1));
        // A turn that is over leaves nothing to whatever is next.
        let part = if self.busy { std::mem::take(&mut self.remainder) } else { 0 };
        self.remainder = 0;
        self.work_off(rest.as_nanos() as u64 * was + part)
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
        let carried = std::mem::take(&mut self.remainder);
        self.work_off(bytes * NANOS_PER_SECOND + carried)
    }

    /// How long `work`, in billionths of a byte, occupies the link. What the division leaves is for the next.
    fn work_off(&mut self, work: u64) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        // A link of rate 0 passes a byte a second: slower than any timeout, and no division by zero.
        let rate = rate.max(1);
        self.remainder = work % rate;
        Duration::from_nanos(work / rate)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

        /// However often the rate changes within a turn, each stretch passes its time times its rate, and no more than is left.
        #[test]
        fn a_turn_goes_at_the_rate_of_the_moment(
            bytes in 1u64..16_384,
            changes in prop::collection::vec((1u64..20_000_000_000, 0u64..100), 1..20),
        ) {
            let mut pipe = Pipe::new(Some(1_000_000));
            let (mut rate, mut left) = (1_000_000u128, u128::from(bytes) * 1_000_000_000);
            let mut rest = pipe.serve(bytes);
            pipe.busy = true;
            for (next, percent) in changes {
                let passes = rest.as_nanos() * u128::from(percent) / 100;
                left -= passes * rate;
                rest = pipe.set_rate(Some(next), Duration::from_nanos((rest.as_nanos() - passes) as u64));
                rate = next.into();
                prop_assert_eq!(rest.as_nanos(), left / rate);
            }
        }
    }
}
