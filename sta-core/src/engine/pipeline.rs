//! How much to ask of a peer ahead of its answers, and in blocks of which size.
//!
//! The bytes in flight follow rate times delay, as a TCP window does, with a margin: a peer that serves many takes a
//! while to come round to us, and must still find requests waiting. More in flight does nothing for throughput and harms
//! the schedule: what waits at one peer is not asked of another who could send it now, and a piece that lies half here
//! is passed on to nobody. So it begins small and, like a TCP window, doubles with every round trip until answers take
//! longer than the distance explains: from then on requests wait there, and the rate is the peer's and not the window's
//! (the delay criterion of HyStart, Ha and Rhee 2011).

use std::time::Duration;

use super::rate::Rate;
use crate::model::limits;
use crate::model::time::Time;

/// How long a peer may serve others before our requests run out. Found in the flow world: 64 receivers at 100 Mbit/s need 1.08
/// bounds with 30 ms, 1.09 with 120 ms, 1.13 with 250 ms and two pieces at the least.
const MARGIN: Duration = Duration::from_millis(30);
/// Where answers come fast, so much is in flight at the least, and up to [`AHEAD_BYTES`]: a peer that is shared by ten sends two of the
/// larger blocks before it comes round again. Found in the flow world.
const AHEAD: Duration = Duration::from_millis(100);
const AHEAD_BYTES: u64 = 128 << 10;
/// A block that is larger than the link asks for should not take its peer longer than this; over slow links the last blocks would be
/// waited for.
const LARGE_BLOCK_TIME: Duration = Duration::from_millis(800);
/// Until the rate of a peer is known, no block is larger: as much as is asked for until then.
const FIRST_BLOCKS_MAX: u32 = limits::IN_FLIGHT_BYTES_MIN as u32;
/// A delay measured beyond this is waiting in a queue and not distance.
const DELAY_MAX: Duration = Duration::from_secs(1);

/// The answers of one peer.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    down: Rate,
    /// Least time from a request to its answer: the round trip and one block's transmission.
    delay: Option<Duration>,
    last_answer: Option<Time>,
    /// The longest time from a request to its answer; an eighth is forgotten with every answer.
    slowest: Duration,
    /// What the window has grown by since the first answer.
    grown: u64,
    /// Answers have begun to wait for something at the peer: the window follows the rate.
    follows: bool,
    /// The highest rate that was seen: what the peer can do, also after it had nothing to do.
    best_rate: u64,
}

impl Pipeline {
    /// A block of `bytes` has come that was asked for at `asked`.
    pub fn answered(&mut self, bytes: u32, asked: Time, now: Time) {
        self.down.add(bytes.into(), now);
        let took = now.since(asked);
        let delay = self.delay.unwrap_or(DELAY_MAX).min(took);
        self.delay = Some(delay);
        self.grown += u64::from(bytes);
        self.follows |= took > 2 * delay + MARGIN;
        self.slowest = took.max(self.slowest * 7 / 8);
        self.last_answer = Some(now);
        self.best_rate = self.best_rate.max(self.rate(now));
    }

    /// Bytes per second, of late.
    #[must_use]
    pub fn rate(&self, now: Time) -> u64 {
        self.down.per_second(now)
    }

    /// The same for a person: [`Rate::shown`].
    #[must_use]
    pub fn shown_rate(&self, now: Time) -> u64 {
        self.down.shown(now)
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

    /// How long the slowest answer of late took, if one has come.
    #[must_use]
    pub fn slowest(&self) -> Option<Duration> {
        self.last_answer.map(|_| self.slowest)
    }

    /// The least time from request to answer that was seen.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay.unwrap_or_default()
    }

    /// How many bytes to have in flight, in blocks of `block_bytes` at [`Self::rate`]: two of them at the least, since with one alone
    /// the link is idle for a round trip between every two.
    #[must_use]
    pub fn window(&self, block_bytes: u32, rate: u64) -> u64 {
        let floor = limits::IN_FLIGHT_BYTES_MIN.max(2 * u64::from(block_bytes));
        if !self.follows {
            return (floor + self.grown).min(limits::IN_FLIGHT_BYTES_MAX);
        }
        let floor = floor.max(sent_in(AHEAD, rate).min(AHEAD_BYTES));
        sent_in(2 * self.delay() + MARGIN, rate).clamp(floor, limits::IN_FLIGHT_BYTES_MAX)
    }

    /// How large the blocks of a piece should be at [`Self::rate`]: a power of two that does not hold the link long; and then so many
    /// `times` as much, and a whole `leaf` at the least, where that does not take the peer long either: no part of a leaf can be
    /// passed on.
    #[must_use]
    pub fn block_bytes(&self, times: u32, leaf: u32, rate: u64) -> u32 {
        if self.delay.is_none() {
            return leaf.clamp(limits::BLOCK_BYTES_MIN, FIRST_BLOCKS_MAX);
        }
        let block = |time: Duration, least: u32, most: u32| {
            let bytes = u32::try_from(sent_in(time, rate)).unwrap_or(u32::MAX);
            let power: u32 = 1 << bytes.max(1).ilog2();
            power.clamp(least, most.min(limits::BLOCK_BYTES_MAX))
        };
        let bytes =
            block(limits::BLOCK_LINK_TIME, limits::BLOCK_BYTES_MIN, limits::BLOCK_BYTES_MAX);
        block(LARGE_BLOCK_TIME, bytes, (times * bytes).max(leaf))
    }
}

/// Bytes that are sent in this time at so many a second. Times here are seconds and rates at the most what [`Rate`] counts, so that no
/// product overflows.
const fn sent_in(time: Duration, rate: u64) -> u64 {
    rate.saturating_mul(time.as_micros() as u64) / 1_000_000
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AHEAD_BYTES, Pipeline};
    use crate::model::limits;
    use crate::model::time::Time;

    /// A peer that has sent `rate` bytes per second for four seconds, each block `delay_ms` after it was asked.
    fn steady(rate: u32, delay_ms: u64) -> (Pipeline, Time) {
        let (mut pipeline, mut now) = (Pipeline::default(), Time::ZERO + Duration::from_secs(1));
        pipeline.answered(0, Time::ZERO, now);
        assert!(!pipeline.follows, "nothing is known of its distance yet");
        pipeline.follows = true;
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
            ((25_000_000, 100), (5_700_000, 5_800_000)),
            ((12_500_000, 10), (600_000, 650_000)),
            ((100_000, 10), (64 << 10, 64 << 10)),
            ((1_000_000, 1), (95_000, 105_000)),
            ((2_500_000, 1), (AHEAD_BYTES, AHEAD_BYTES)),
            ((2_000_000_000, 1), (limits::IN_FLIGHT_BYTES_MAX, limits::IN_FLIGHT_BYTES_MAX)),
        ];
        for ((rate, delay), (least, most)) in table {
            let (pipeline, now) = steady(rate, delay);
            let window = pipeline.window(16 << 10, pipeline.rate(now));
            assert!((least..=most).contains(&window), "{rate} B/s, {delay} ms: {window}");
        }
    }

    #[test]
    fn blocks_do_not_hold_the_link_and_are_larger_where_nobody_waits_for_them() {
        // bytes per second -> block as the link asks for it, four times as large, of pieces with leaves of 256 KiB
        let table = [
            (20_000, 16 << 10, 16 << 10, 16 << 10),
            (50_000, 16 << 10, 32 << 10, 32 << 10),
            (1_500_000, 16 << 10, 64 << 10, 256 << 10),
            (3_000_000, 32 << 10, 128 << 10, 256 << 10),
            (12_500_000, 128 << 10, 512 << 10, 256 << 10),
            (1_000_000_000, 1 << 20, 1 << 20, 1 << 20),
        ];
        let small = limits::BLOCK_BYTES_MIN;
        for (rate, once, four_times, leaf) in table {
            let (pipeline, now) = steady(rate, 10);
            let found = [(1, small), (4, small), (1, 256 << 10)]
                .map(|(times, leaf)| pipeline.block_bytes(times, leaf, pipeline.rate(now)));
            assert_eq!(found, [once, four_times, leaf], "{rate} B/s");
        }
        let first = |leaf| Pipeline::default().block_bytes(4, leaf, 0);
        assert_eq!([small, 32 << 10, 1 << 20].map(first), [small, 32 << 10, 64 << 10]);
    }

    #[test]
    fn until_an_answer_the_window_is_a_few_small_blocks() {
        assert_eq!(Pipeline::default().window(16 << 10, 0), limits::IN_FLIGHT_BYTES_MIN);
    }

    #[test]
    fn the_window_takes_two_blocks_whatever_their_size() {
        let (pipeline, now) = steady(100_000, 1);
        assert_eq!(pipeline.window(256 << 10, pipeline.rate(now)), 512 << 10);
        assert_eq!(Pipeline::default().window(256 << 10, 0), 512 << 10);
    }

    #[test]
    fn the_window_doubles_with_every_round_trip_until_the_rate_is_reached() {
        let (delay, link) = (Duration::from_millis(100), 25_000_000);
        let (mut pipeline, mut now) = (Pipeline::default(), Time::ZERO);
        for _ in 0..6 {
            let asked = now;
            now += delay;
            let answered = pipeline.window(16 << 10, pipeline.rate(now)).min(link / 10);
            pipeline.answered(answered as u32, asked, now);
        }
        assert!(
            pipeline.window(16 << 10, pipeline.rate(now)) >= link / 10,
            "the link is full after six round trips"
        );
    }

    #[test]
    fn the_window_stops_growing_when_answers_wait_at_the_peer() {
        // 1 MB/s, 1 ms away: whatever is asked beyond that waits.
        let (mut pipeline, mut asked, rate) = (Pipeline::default(), 0, 1_000_000);
        let mut waiting = std::collections::VecDeque::new();
        let mut most = 0;
        for block in 0..400 {
            let now = Time::ZERO + Duration::from_millis(1) + Duration::from_micros(16_384) * block;
            while asked + 16_384 <= pipeline.window(16 << 10, pipeline.rate(now)) {
                waiting.push_back(now);
                asked += 16_384;
            }
            let then = waiting.pop_front().expect("something is asked");
            asked -= 16_384;
            pipeline.answered(16_384, then, now + Duration::from_micros(16_384));
            most = most.max(pipeline.window(16 << 10, pipeline.rate(now)));
        }
        assert!(most <= rate / 5, "{most} bytes in flight are 200 ms");
    }
    #[test]
    fn a_link_that_takes_seconds_for_a_block_is_not_asked_for_ever_more() {
        let (mut pipeline, mut now) = (Pipeline::default(), Time::ZERO);
        for _ in 0..100 {
            let asked = now;
            now += Duration::from_secs(3);
            pipeline.answered(16 << 10, asked, now);
        }
        assert_eq!(pipeline.window(16 << 10, pipeline.rate(now)), limits::IN_FLIGHT_BYTES_MIN);
    }

    #[test]
    fn the_slowest_answer_is_forgotten_in_time() {
        let (mut pipeline, second) = (Pipeline::default(), Duration::from_secs(1));
        assert_eq!(pipeline.slowest(), None);
        pipeline.answered(1, Time::ZERO, Time::ZERO + 4 * second);
        assert_eq!(pipeline.slowest(), Some(4 * second));
        for _ in 0..40 {
            pipeline.answered(1, Time::ZERO + 3 * second, Time::ZERO + 4 * second);
        }
        assert_eq!(pipeline.slowest(), Some(second));
    }
}
