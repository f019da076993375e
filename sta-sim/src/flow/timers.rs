//! One moment per slot (a flow's end, a node's deadline), and which of them is next.
//!
//! A binary heap that knows where each slot stands in it, so that a moment is moved rather than cancelled: the heap holds
//! one entry per slot that waits, however often rates change. Ties go to the lower slot.

use std::cmp::Ordering;

use sta_core::model::time::Time;

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// A moment, and below it the slot: one number, so that both are compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u128);

impl Entry {
    fn new(at: Time, slot: u32) -> Self {
        Self(u128::from(at.as_nanos()) << u32::BITS | u128::from(slot))
    }

    const fn at(self) -> Time {
        Time::from_nanos((self.0 >> u32::BITS) as u64)
    }

    const fn slot(self) -> u32 {
        self.0 as u32
    }
}

/// The moments of slots `0..`.
#[derive(Debug, Default)]
pub struct Timers {
    heap: Vec<Entry>,
    /// Where in the heap each slot stands.
    places: Vec<u32>,
}

impl Timers {
    /// From now on `slot` is due at `at`, and not when it was due before; never, if that is the far future.
    pub fn set(&mut self, slot: u32, at: Time) {
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, NOWHERE);
        }
        let place = self.places[slot as usize];
        match (place, at) {
            (NOWHERE, Time::FAR_FUTURE) => {}
            (NOWHERE, _) => {
                self.heap.push(Entry::new(at, slot));
                self.rise(self.heap.len() - 1);
            }
            (_, Time::FAR_FUTURE) => self.remove(place as usize),
            (_, _) => {
                let entry = Entry::new(at, slot);
                let before = std::mem::replace(&mut self.heap[place as usize], entry);
                match entry.cmp(&before) {
                    Ordering::Less => self.rise(place as usize),
                    Ordering::Equal => {}
                    Ordering::Greater => self.sink(place as usize),
                }
            }
        }
    }

    /// The moment that is next, and whose it is.
    #[must_use]
    pub fn first(&self) -> Option<(Time, u32)> {
        self.heap.first().map(|entry| (entry.at(), entry.slot()))
    }

    /// When the next slot is due; the far future if none waits.
    #[must_use]
    pub fn next_at(&self) -> Time {
        self.first().map_or(Time::FAR_FUTURE, |(at, _)| at)
    }

    fn remove(&mut self, place: usize) {
        let gone = self.heap.swap_remove(place);
        self.places[gone.slot() as usize] = NOWHERE;
        if let Some(moved) = self.heap.get(place).copied() {
            self.rise(place);
            self.sink(self.places[moved.slot() as usize] as usize);
        }
    }

    fn rise(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 && entry < self.heap[(place - 1) / 2] {
            self.put(place, self.heap[(place - 1) / 2]);
            place = (place - 1) / 2;
        }
        self.put(place, entry);
    }

    fn sink(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let left = 2 * place + 1;
            let right = left + 1;
            // Without a branch: which of two is less is not to be foreseen.
            let right_is_less = right < self.heap.len() && self.heap[right] < self.heap[left];
            let least = left + usize::from(right_is_less);
            if least >= self.heap.len() || entry <= self.heap[least] {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.places[entry.slot() as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Time, Timers};

    proptest! {
        #[test]
        fn the_first_is_the_least_of_all(steps in prop::collection::vec((0..12u32, prop::option::of(0..9u64)), 0..200)) {
            let (mut timers, mut model) = (Timers::default(), BTreeMap::new());
            for (slot, at) in steps {
                let at = at.map_or(Time::FAR_FUTURE, Time::from_nanos);
                timers.set(slot, at);
                model.insert(slot, at);
                let waiting = model.iter().filter(|(_, at)| **at != Time::FAR_FUTURE);
                prop_assert_eq!(timers.first(), waiting.map(|(&slot, &at)| (at, slot)).min());
            }
        }
    }
}
