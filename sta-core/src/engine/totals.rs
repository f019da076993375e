//! How many bytes of one torrent have moved, and which of that the trackers have not been told.

use std::time::Duration;

use super::rate::Rate;
use crate::model::time::Time;

/// How often trackers are told.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Bytes of payload, over all sessions.
#[derive(Debug)]
pub struct Totals {
    /// Received.
    pub down: Rate,
    /// Sent.
    pub up: Rate,
    /// Received in vain, in bytes: twice, or wrong.
    pub wasted: u64,
    told: (u64, u64),
    next_told: Time,
}

impl Totals {
    /// Nothing has moved.
    #[must_use]
    pub fn new(now: Time) -> Self {
        let (down, up) = (Rate::default(), Rate::default());
        Self { down, up, wasted: 0, told: (0, 0), next_told: now + TOLD_EVERY }
    }

    /// What trackers are told now and then: if something has moved since they last were.
    pub fn tell_if_due(&mut self, now: Time) -> Option<(u64, u64)> {
        if now < self.next_told || self.told == self.moved() {
            return None;
        }
        self.next_told = now + TOLD_EVERY;
        Some(self.tell())
    }

    /// What trackers are told at once: bytes sent, and received.
    pub fn tell(&mut self) -> (u64, u64) {
        self.told = self.moved();
        self.told
    }

    const fn moved(&self) -> (u64, u64) {
        (self.up.total(), self.down.total())
    }
}

#[cfg(test)]
mod tests {
    use super::{TOLD_EVERY, Time, Totals};

    #[test]
    fn trackers_are_told_now_and_then_of_what_they_have_not_been() {
        let (start, later) = (Time::ZERO, Time::ZERO + TOLD_EVERY);
        let mut totals = Totals::new(start);
        assert_eq!(totals.tell_if_due(later), None, "nothing has moved");
        totals.up.add(3, start);
        assert_eq!(totals.tell_if_due(start), None, "that can wait");
        assert_eq!(totals.tell_if_due(later), Some((3, 0)));
        totals.up.add(1, later);
        assert_eq!(totals.tell_if_due(later), None, "they were told just now");
        assert_eq!(totals.tell(), (4, 0));
        assert_eq!(totals.tell_if_due(later + TOLD_EVERY), None, "they know");
        totals.down.add(2, later);
        assert_eq!(totals.tell_if_due(later + TOLD_EVERY), Some((4, 2)));
    }
}
