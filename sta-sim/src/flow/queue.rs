//! What happens when, of what is not moved once it is planned: a radix heap (Ahuja, Mehlhorn, Orlin and Tarjan, Faster
//! algorithms for the shortest path problem, 1990).
//!
//! Time does not go back, so what is due need not be kept in order, only by how far its moment agrees with the present: bucket `b`
//! holds the moments whose highest bit that is another than the present's is bit `b`. When the present reaches a bucket,
//! what is in it goes to lower ones. Memory is written and read in order, however much there is, where a binary heap jumps.
//!
//! Invariants: of what is due at one moment, what was planned first comes first; what is due next is in the lowest bucket.

use std::collections::VecDeque;

use sta_core::model::time::Time;

/// Buckets: a bit of a moment each.
const BITS: usize = u64::BITS as usize;

/// What is planned, by its moment.
#[derive(Debug)]
pub struct Queue<T> {
    /// The latest moment of which something was taken.
    present: u64,
    /// What is due at the present moment.
    due: VecDeque<T>,
    buckets: [Bucket<T>; BITS],
    /// Which buckets hold something: bit `b` for the one at `b`.
    filled: u64,
}

#[derive(Debug)]
struct Bucket<T> {
    planned: Vec<(u64, T)>,
    earliest: u64,
}

impl<T> Default for Bucket<T> {
    fn default() -> Self {
        Self { planned: Vec::new(), earliest: u64::MAX }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            present: 0,
            due: VecDeque::new(),
            buckets: std::array::from_fn(|_| Bucket::default()),
            filled: 0,
        }
    }
}

impl<T: Copy> Queue<T> {
    /// `what` is due at `at`, which is not before anything that was taken.
    pub fn plan(&mut self, at: Time, what: T) {
        let at = at.as_nanos();
        debug_assert!(at >= self.present, "time does not go back");
        match (at ^ self.present).checked_ilog2() {
            None => self.due.push_back(what),
            Some(bit) => {
                let bucket = &mut self.buckets[bit as usize];
                bucket.earliest = bucket.earliest.min(at);
                bucket.planned.push((at, what));
                self.filled |= 1 << bit;
            }
        }
    }

    /// When the next is due; the far future if nothing is planned.
    #[must_use]
    pub fn next_at(&self) -> Time {
        if !self.due.is_empty() {
            return Time::from_nanos(self.present);
        }
        self.lowest().map_or(Time::FAR_FUTURE, |bit| Time::from_nanos(self.buckets[bit].earliest))
    }

    /// Takes the next, which is due at [`Self::next_at`].
    pub fn take(&mut self) -> Option<T> {
        if self.due.is_empty() {
            self.advance();
        }
        let what = self.due.pop_front();
        if self.due.is_empty() {
            // It begins anew at the start of its memory.
            self.due.clear();
        }
        what
    }

    fn lowest(&self) -> Option<usize> {
        (self.filled != 0).then(|| self.filled.trailing_zeros() as usize)
    }

    /// Makes the moment of the next the present one.
    fn advance(&mut self) {
        let Some(bit) = self.lowest() else { return };
        let Bucket { planned, earliest } = std::mem::take(&mut self.buckets[bit]);
        self.filled &= !(1 << bit);
        self.present = earliest;
        for &(at, what) in &planned {
            self.plan(Time::from_nanos(at), what);
        }
        // Its memory is used again.
        self.buckets[bit].planned = planned;
        self.buckets[bit].planned.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Queue, Time};

    #[test]
    fn far_moments_come_in_their_turn() {
        let mut queue = Queue::default();
        assert_eq!((queue.next_at(), queue.take()), (Time::FAR_FUTURE, None));
        let moments = [u64::MAX - 1, 5, 1 << 63, 5, 0, (1 << 63) + 1];
        moments.iter().zip(0..).for_each(|(&at, what)| queue.plan(Time::from_nanos(at), what));
        let taken: Vec<i32> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken, [4, 1, 3, 2, 5, 0]);
    }

    proptest! {
        /// As a list that is always in order, in which what comes later goes behind what is due at the same moment.
        #[test]
        fn the_earliest_comes_first_and_of_one_moment_the_first_planned(
            steps in prop::collection::vec(prop::option::of(0..40u64), 0..300),
        ) {
            let (mut queue, mut model, mut now) = (Queue::default(), Vec::new(), 0);
            for (what, step) in steps.into_iter().enumerate() {
                match step {
                    Some(after) => {
                        queue.plan(Time::from_nanos(now + after), what);
                        let place = model.partition_point(|&(at, _)| at <= now + after);
                        model.insert(place, (now + after, what));
                    }
                    None => {
                        let first = (!model.is_empty()).then(|| model.remove(0));
                        now = first.map_or(now, |(at, _)| at);
                        prop_assert_eq!(queue.take(), first.map(|(_, what)| what));
                    }
                }
                let next = model.first().map_or(Time::FAR_FUTURE, |&(at, _)| Time::from_nanos(at));
                prop_assert_eq!(queue.next_at(), next);
            }
        }
    }
}
