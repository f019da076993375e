//! One moment per slot (a flow's end, a node's deadline), and which of them is next.
//!
//! A binary heap that knows where each slot stands in it, so that a moment is moved rather than cancelled: the heap holds
//! one entry per slot that waits, however often rates change. Ties go to the lower slot.

use std::cmp::Ordering;

use sta_core::model::time::Time;

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// The moments of slots `0..`.
#[derive(Debug, Default)]
pub struct Timers {
    heap: Vec<(Time, u32)>,
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
                self.heap.push((at, slot));
                self.rise(self.heap.len() - 1);
            }
            (_, Time::FAR_FUTURE) => self.remove(place as usize),
            (_, _) => {
                let before = std::mem::replace(&mut self.heap[place as usize].0, at);
                match at.cmp(&before) {
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
        self.heap.first().copied()
    }

    /// When the next slot is due; the far future if none waits.
    #[must_use]
    pub fn next_at(&self) -> Time {
        self.first().map_or(Time::FAR_FUTURE, |(at, _)| at)
    }

    fn remove(&mut self, place: usize) {
        let (_, slot) = self.heap.swap_remove(place);
        self.places[slot as usize] = NOWHERE;
        if place < self.heap.len() {
            self.rise(place);
            let (_, moved) = self.heap[place];
            self.sink(self.places[moved as usize] as usize);
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
            let least = if right < self.heap.len() && self.heap[right] < self.heap[left] {
                right
            } else {
                left
            };
            if least >= self.heap.len() || entry <= self.heap[least] {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: (Time, u32)) {
        self.heap[place] = entry;
        self.places[entry.1 as usize] = place as u32;
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
