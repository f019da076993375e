//! How fast something moves, of late: bytes counted in a sliding window of time.
//!
//! A window rather than an exponential mean: it forgets a burst completely, and a run of equal input gives the
//! same integer everywhere.

use std::time::Duration;

use crate::model::time::Time;

/// Slices of the window. More slices slide more smoothly and cost more.
const SLICES: usize = 10;
/// A window of 2 s follows a change within a second and bridges the pauses between pieces.
const SLICE: Duration = Duration::from_millis(200);
const SLICES_PER_SECOND: u64 = 1_000 / SLICE.as_millis() as u64;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Bytes per second over the last 2 s; no more than 21 GB/s. Small, since there are two for every session.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    slices: [u32; SLICES],
    /// The slice, counted from [`Time::ZERO`], that bytes are added to now.
    current: u32,
    /// The slice in which the first byte ever came.
    first: Option<u32>,
    sum: u64,
    total: u64,
}

impl Rate {
    /// `bytes` have moved.
    pub fn add(&mut self, bytes: u64, now: Time) {
        self.slide(now);
        self.first.get_or_insert(self.current);
        let slice = &mut self.slices[self.current as usize % SLICES];
        let room = u64::from(u32::MAX - *slice);
        *slice += bytes.min(room) as u32;
        self.sum += bytes.min(room);
        self.total += bytes;
    }

    /// Bytes per second, of late. In the first two seconds, over the time since the first byte.
    #[must_use]
    pub fn per_second(&self, now: Time) -> u64 {
        let Some(first) = self.first else { return 0 };
        let (current, steps) = self.ahead(now);
        let past: u64 = (1..=steps).map(|step| u64::from(self.slices[self.slot(step)])).sum();
        let rate = |slices: u64| (self.sum - past) * SLICES_PER_SECOND / slices;
        // Nearly always the window is full, and to divide by what is known beforehand takes a fraction of the time.
        match u64::from(current - first) + 1 {
            slices if slices < SLICES as u64 => rate(slices),
            _ => rate(SLICES as u64),
        }
    }

    /// The same for a person: the slice that runs counts for as long as it has run. [`Self::per_second`], by which a node goes, takes it for
    /// a whole one, and so says up to a tenth less.
    #[must_use]
    pub fn shown(&self, now: Time) -> u64 {
        let Some(first) = self.first else { return 0 };
        let (current, steps) = self.ahead(now);
        let past: u64 = (1..=steps).map(|step| u64::from(self.slices[self.slot(step)])).sum();
        let whole = u64::from(current - first).min(SLICES as u64 - 1);
        let slice = SLICE.as_nanos() as u64;
        // At the very start a moment tells nothing yet.
        let window = (whole * slice + now.as_nanos() % slice).max(slice / 4);
        (u128::from(self.sum - past) * NANOS_PER_SECOND / u128::from(window)) as u64
    }

    /// Bytes in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    fn slide(&mut self, now: Time) {
        let (current, steps) = self.ahead(now);
        for step in 1..=steps {
            let slot = self.slot(step);
            self.sum -= u64::from(std::mem::take(&mut self.slices[slot]));
        }
        self.current = current;
    }

    /// The slice that `now` is in, and how many of those that are counted are over by then.
    fn ahead(&self, now: Time) -> (u32, u32) {
        let slice = u32::try_from(now.as_nanos() / SLICE.as_nanos() as u64).unwrap_or(u32::MAX);
        let current = slice.max(self.current);
        (current, (current - self.current).min(SLICES as u32))
    }

    /// Where the slice `step` after the current one lies, and until then the one that it takes the place of.
    const fn slot(&self, step: u32) -> usize {
        (self.current as usize + step as usize) % SLICES
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Rate;
    use crate::model::time::Time;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_steady_flow_is_its_own_rate() {
        let mut rate = Rate::default();
        for tenth in 0..100 {
            rate.add(1_000, at(tenth * 100));
        }
        assert_eq!(rate.per_second(at(9_999)), 10_000);
        assert_eq!(rate.total(), 100_000);
    }

    /// Where a line is written every five seconds, each fell on the start of a slice, and said a tenth too little.
    #[test]
    fn a_person_is_shown_a_steady_flow_as_it_is_at_any_moment() {
        let mut rate = Rate::default();
        for millis in 0..5_130 {
            rate.add(1_000, at(millis));
            if millis > 100 {
                let shown = rate.shown(at(millis));
                assert!((950_000..=1_050_000).contains(&shown), "{shown} at {millis} ms");
            }
        }
        assert_eq!(rate.shown(at(10_000)), 0);
        assert_eq!(Rate::default().shown(at(1)), 0);
    }

    #[test]
    fn silence_is_forgotten_after_the_window() {
        let mut rate = Rate::default();
        rate.add(1_000_000, at(0));
        assert_eq!(rate.per_second(at(100)), 5_000_000, "over the first slice alone");
        assert_eq!(rate.per_second(at(1_000)), 833_333);
        assert_eq!(rate.per_second(at(2_000)), 0);
        rate.add(400, at(60_000));
        assert_eq!(rate.per_second(at(60_100)), 200);
    }

    #[test]
    fn more_than_can_be_counted_is_the_most_that_can() {
        let mut rate = Rate::default();
        (0..3).for_each(|_| rate.add(3 << 30, at(0)));
        assert_eq!((rate.per_second(at(0)), rate.total()), (u64::from(u32::MAX) * 5, 9 << 30));
        assert_eq!(rate.per_second(Time::FAR_FUTURE), 0);
    }

    #[test]
    fn nothing_is_zero() {
        assert_eq!(Rate::default().per_second(at(5_000)), 0);
    }
}
