//! What lost packets do to a stream, in every world: each costs a round trip, and all of them together a share of the rate.

use std::time::Duration;

use sta_core::model::rng::Rng;

use crate::scenario::dist::below_million;
use crate::scenario::units::Ppm;

/// Bytes of one packet: loss is of packets.
const PACKET_BYTES: u64 = 1_460;

/// The share of packets that are lost on the way from one host to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss(Ppm);

impl Loss {
    /// None.
    pub const NONE: Self = Self(Ppm::NONE);

    /// Of a way between two hosts that lose so many each.
    #[must_use]
    pub fn between(a: Ppm, b: Ppm) -> Self {
        let kept = |loss: Ppm| u64::from(Ppm::ALL.0 - loss.0);
        let all = u64::from(Ppm::ALL.0);
        Self(Ppm((all - kept(a) * kept(b) / all) as u32))
    }

    /// The rate that TCP reaches by itself where bytes take `one_way` to arrive, bytes a second; `None` if nothing is lost.
    ///
    /// Source: Mathis, Semke, Mahdavi, Ott, "The macroscopic behavior of the TCP congestion avoidance
    /// algorithm", 1997: `MSS / RTT * sqrt(3 / 2) / sqrt(p)`.
    #[must_use]
    pub fn rate(self, one_way: Duration) -> Option<u64> {
        if self == Self::NONE {
            return None;
        }
        let micros = (one_way.as_micros() as u64 * 2).max(1_000);
        // sqrt(1.5 / p) in thousandths, p in parts per million.
        let factor = (1_500_000 * 1_000_000 / u64::from(self.0.0)).isqrt();
        Some((PACKET_BYTES * factor * 1_000 / micros).max(1))
    }

    /// How much later `bytes` that are sent at once arrive, if a packet of them is lost and sent again: a round trip.
    pub fn delay(self, bytes: u64, one_way: Duration, rng: &mut Rng) -> Duration {
        let packets = if self == Self::NONE { 0 } else { bytes.div_ceil(PACKET_BYTES) };
        let lost = (0..packets).any(|_| below_million(rng) < self.0.0);
        if lost { one_way * 2 } else { Duration::ZERO }
    }
}
