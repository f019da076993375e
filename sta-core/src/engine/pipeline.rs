//! How much to ask of a peer ahead of its answers, and in blocks of which size.
//!
//! The bytes in flight follow rate times delay, as a TCP window does, with a margin: a peer that serves
//! piece by piece pauses between them, and must still find requests waiting when our turn comes. Too much in
//! flight is harmless to throughput but not to the schedule: what waits at one peer is not asked of another. So it
//! begins with two pieces and, like a TCP window, doubles with every round trip until the rate no longer follows.

use std::time::Duration;

use super::rate::Rate;
use crate::model::limits;
use crate::model::time::Time;

/// How long a peer may serve others before our requests run out.
const MARGIN: Duration = Duration::from_millis(250);
/// A delay measured beyond this is waiting in a queue and not distance.
const DELAY_MAX: Duration = Duration::from_secs(1);

/// The answers of one peer.
#[derive(Clone, Debug)]
pub struct Pipeline {
    down: Rate,
    /// Least time from a request to its answer: the round trip and one block's transmission.
    delay: Option<Duration>,
    /// Window when little is known, and at the least: two pieces, so that one is asked while one comes.
    floor: u64,
    last_answer: Option<Time>,
    /// The highest rate that was seen: what the peer can do, also after it had nothing to do.
    best_rate: u64,
}

impl Pipeline {
    /// Nothing was asked yet. Pieces have `piece_bytes`.
    #[must_use]
    pub fn new(piece_bytes: u32) -> Self {
        let floor = 2 * u64::from(piece_bytes);
        let floor = floor.clamp(limits::IN_FLIGHT_BYTES_MIN, limits::IN_FLIGHT_BYTES_FLOOR_MAX);
        Self { down: Rate::default(), delay: None, floor, last_answer: None, best_rate: 0 }
    }

    /// A block of `bytes` has come that was asked for at `asked`.
    pub fn answered(&mut self, bytes: u32, asked: Time, now: Time) {
        self.down.add(bytes.into(), now);
        let took = now.since(asked).min(DELAY_MAX);
        self.delay = Some(self.delay.map_or(took, |least| least.min(took)));
        self.last_answer = Some(now);
        self.best_rate = self.best_rate.max(self.rate(now));
    }

    /// Bytes per second, of late.
    #[must_use]
    pub fn rate(&self, now: Time) -> u64 {
        self.down.per_second(now)
    }

    /// Bytes per second that may be hoped for: half the best, where less was asked of late than it could give.
    #[must_use]
    pub fn hoped_rate(&self, now: Time) -> u64 {
        self.rate(now).max(self.best_rate / 2)
    }

    /// Bytes received in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.down.total()
    }

    /// When the last block came.
    #[must_use]
    pub const fn last_answer(&self) -> Option<Time> {
        self.last_answer
    }

    /// The least time from request to answer that was seen.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay.unwrap_or_default()
    }

    /// How many bytes to have in flight.
    #[must_use]
    pub fn window(&self, now: Time) -> u64 {
        let Some(delay) = self.delay else { return self.floor };
        let ahead = 2 * delay + MARGIN;
        let window = u128::from(self.rate(now)) * ahead.as_nanos() / 1_000_000_000;
        u64::try_from(window).unwrap_or(u64::MAX).clamp(self.floor, limits::IN_FLIGHT_BYTES_MAX)
    }

    /// How large the blocks of the next piece should be: a power of two that does not hold the link long.
    #[must_use]
    pub fn block_bytes(&self, now: Time) -> u32 {
        if self.delay.is_none() {
            return limits::BLOCK_BYTES_DEFAULT;
        }
        let held = u128::from(self.rate(now)) * limits::BLOCK_LINK_TIME.as_nanos() / 1_000_000_000;
        let bytes = u32::try_from(held).unwrap_or(u32::MAX);
        let power = 1 << bytes.max(1).ilog2();
        power.clamp(limits::BLOCK_BYTES_MIN, limits::BLOCK_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pipeline;
    use crate::model::limits;
    use crate::model::time::Time;

    /// A peer that has sent `rate` bytes per second for four seconds, each block `delay_ms` after it was asked.
    fn steady(rate: u32, delay_ms: u64) -> (Pipeline, Time) {
        let mut pipeline = Pipeline::new(256 << 10);
        let mut now = Time::ZERO;
        for tenth in 10..50 {
            now = Time::ZERO + Duration::from_millis(100 * tenth);
            pipeline.answered(rate / 10, now - Duration::from_millis(delay_ms), now);
        }
        (pipeline, now)
    }

    #[test]
    fn the_window_follows_rate_times_delay() {
        // (bytes per second, delay) -> (least, most) window
        let table = [
            ((25_000_000, 100), (11_000_000, 12_000_000)),
            ((12_500_000, 10), (3_000_000, 3_500_000)),
            ((100_000, 10), (512 << 10, 512 << 10)),
            ((1_000_000_000, 1), (limits::IN_FLIGHT_BYTES_MAX, limits::IN_FLIGHT_BYTES_MAX)),
        ];
        for ((rate, delay), (least, most)) in table {
            let (pipeline, now) = steady(rate, delay);
            let window = pipeline.window(now);
            assert!((least..=most).contains(&window), "{rate} B/s, {delay} ms: {window}");
        }
    }

    #[test]
    fn blocks_do_not_hold_the_link() {
        let table = [
            (100_000, 16 << 10),
            (12_500_000, 512 << 10),
            (1_000_000, 32 << 10),
            (1_000_000_000, 1 << 20),
        ];
        for (rate, block) in table {
            let (pipeline, now) = steady(rate, 10);
            assert_eq!(pipeline.block_bytes(now), block, "{rate} B/s");
        }
        assert_eq!(Pipeline::new(16 << 10).block_bytes(Time::ZERO), limits::BLOCK_BYTES_DEFAULT);
    }

    #[test]
    fn until_an_answer_the_window_is_two_pieces() {
        for (piece, window) in [(16 << 10, 256 << 10), (1 << 20, 2 << 20), (16 << 20, 4 << 20)] {
            assert_eq!(Pipeline::new(piece).window(Time::ZERO), window);
        }
    }

    #[test]
    fn the_window_doubles_with_every_round_trip_until_the_rate_is_reached() {
        let (delay, link) = (Duration::from_millis(100), 25_000_000);
        let (mut pipeline, mut now) = (Pipeline::new(128 << 10), Time::ZERO);
        for _ in 0..6 {
            let asked = now;
            now += delay;
            let answered = pipeline.window(now).min(link / 10);
            pipeline.answered(answered as u32, asked, now);
        }
        assert!(pipeline.window(now) >= link / 10, "the link is full after six round trips");
    }
}
