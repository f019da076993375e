//! How many peers to serve at the same time.
//!
//! As many as the uplink fills at the rate at which this node is itself served, which is what a peer can expect of another. A
//! slow uplink thus serves few peers, and what it gives is soon whole and can be passed on. But a peer may take no more than
//! its own downlink can: when only half as much leaves with fewer slots as left before, there are more again, and they stay a
//! while. Not for good: what left before may be what the kernels took in when nothing waited there yet, and a slow uplink
//! that seemed fast would serve everybody thinly to the end.

use std::time::Duration;

use crate::model::time::Time;

/// A change shows in the rates, which look back so far, that late.
const SETTLES: Duration = Duration::from_secs(2);

/// What leaves varies by itself, since peers come to want something else; a fall by this part is more than that.
const FELL: u64 = 2;

/// How long more slots than the uplink seems to fill stay the first time, before fewer are tried again; then twice as long.
const STAYS: Duration = Duration::from_secs(10);

/// The number, and what it was tried against.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    least: usize,
    now: usize,
    /// Bytes per second that left before the number was lowered; 0 if that is not known.
    before: u64,
    changed: Option<Time>,
    /// Until then there are at least `least`.
    stays_until: Time,
    stays: Duration,
}

impl Slots {
    /// `most` to begin with.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        let (stays_until, stays) = (Time::ZERO, STAYS);
        Self { most, least: 0, now: most, before: 0, changed: None, stays_until, stays }
    }

    /// The number from now on. `up` bytes leave per second, and each peer that serves us does so with `served` per second.
    pub fn fit(&mut self, up: u64, served: u64, now: Time) -> usize {
        if up == 0 || served == 0 {
            return self.now;
        }
        let since = *self.changed.get_or_insert(now);
        if now.since(since) < SETTLES {
            return self.now;
        }
        if self.least > 0 && now >= self.stays_until {
            (self.least, self.before) = (0, 0);
            self.stays *= 2;
        }
        let fills = usize::try_from(up.div_ceil(served)).unwrap_or(usize::MAX);
        let next = if up <= self.before - self.before / FELL {
            let least = (2 * self.now).min(self.most);
            if least > self.least {
                (self.least, self.stays_until) = (least, now + self.stays);
            }
            least
        } else {
            self.before = up;
            fills.max(self.least).min(self.most)
        };
        if next != self.now {
            (self.now, self.changed) = (next, Some(now));
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Slots;
    use crate::model::time::Time;

    /// The numbers in half a minute, looked at twice a second, when `up` bytes per second leave with so many slots.
    fn story(up: impl Fn(usize) -> u64, served: u64) -> Vec<usize> {
        story_in_time(|slots, _| up(slots), served, 30)
    }

    /// The same for so many `seconds`, when what leaves changes as they pass.
    fn story_in_time(up: impl Fn(usize, u64) -> u64, served: u64, seconds: u64) -> Vec<usize> {
        let (mut slots, mut numbers) = (Slots::new(16), vec![16]);
        for half in 1..=2 * seconds {
            let now = Time::ZERO + Duration::from_millis(500 * half);
            let up = up(*numbers.last().expect("one"), half / 2);
            numbers.push(slots.fit(up, served, now));
        }
        numbers.dedup();
        numbers
    }

    #[test]
    fn a_slow_uplink_serves_few() {
        assert_eq!(story(|_| 250_000, 200_000), [16, 2]);
    }

    #[test]
    fn an_uplink_like_the_others_serves_all_its_neighbours() {
        assert_eq!(story(|_| 12_500_000, 1_250_000), [16, 10]);
        assert_eq!(story(|_| 100_000_000, 1_250_000), [16]);
    }

    #[test]
    fn peers_that_cannot_take_more_are_served_side_by_side_all_the_same() {
        // Peers of 1 MB/s each at most, and a source that serves us with 20.
        let takes = |peers: usize| move |slots: usize| slots.min(peers) as u64 * 1_000_000;
        // Fewer are tried again, ever more seldom: 80 s bring 10, 20 and 40 with all of them.
        let fewer = [1, 2, 4, 8, 16];
        let tried = story_in_time(|slots, _| takes(16)(slots), 20_000_000, 80);
        assert_eq!(tried, [&[16], &fewer[..], &fewer[..], &fewer[..]].concat());
        assert_eq!(
            story(takes(3), 20_000_000),
            [16, 1, 2, 1, 2],
            "more than half of what could leave does"
        );
    }

    #[test]
    fn a_slow_uplink_that_seemed_fast_serves_few_after_all() {
        // The kernels take in what leaves in the first three seconds; the link carries 2 Mbit/s.
        let fills = |_: usize, second: u64| if second < 3 { 4_000_000 } else { 250_000 };
        assert_eq!(story_in_time(fills, 500_000, 20), [16, 8, 16, 1]);
    }

    #[test]
    fn without_slots_nobody_is_served() {
        assert_eq!(Slots::new(0).fit(1, 1, Time::FAR_FUTURE), 0);
    }
}
