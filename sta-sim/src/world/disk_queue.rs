//! What takes a disk's time: requests, one after the other, each as long as its bytes take at the disk's speed. A change of speed
//! counts from then on, for what is left of the request under way too. The same in every world.

use std::collections::VecDeque;

use sta_core::model::time::Time;

use crate::scenario::driver::DiskState;

/// What a disk has to do; `T` is what follows once a request is done.
#[derive(Debug)]
pub struct DiskQueue<T> {
    state: DiskState,
    /// What it has yet to do, and what follows. The first is under way.
    requests: VecDeque<(Request, T)>,
    /// When the first is done, and how often that was set: what was said before counts no more.
    done_at: Time,
    turn: u64,
}

/// Something that takes a disk's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// So many bytes are read.
    Read(u64),
    /// So many bytes are written.
    Write(u64),
    /// What was written before is looked at.
    Look,
}

impl<T> DiskQueue<T> {
    /// Nothing to do.
    #[must_use]
    pub const fn new(state: DiskState) -> Self {
        Self { state, requests: VecDeque::new(), done_at: Time::ZERO, turn: 0 }
    }

    /// How the disk is.
    #[must_use]
    pub const fn state(&self) -> DiskState {
        self.state
    }

    /// Nothing is left to do.
    pub fn forget(&mut self) {
        self.requests.clear();
        self.turn += 1;
    }

    /// Asks for something. Gives `then` back if it takes no time, and nothing is before it.
    pub fn ask(&mut self, request: Request, then: T, now: Time) -> Option<T> {
        let idle = self.requests.is_empty();
        if idle && self.takes_time(request).is_none() {
            return Some(then);
        }
        self.requests.push_back((request, then));
        if idle {
            self.begin(now);
        }
        None
    }

    /// When the request under way is done, and the number of that word; `None` if there is none.
    #[must_use]
    pub fn due(&self) -> Option<(Time, u64)> {
        (!self.requests.is_empty()).then_some((self.done_at, self.turn))
    }

    /// The request is done of which [`Self::due`] gave the number: what follows. Another one begins.
    pub fn done(&mut self, turn: u64, now: Time) -> Option<T> {
        if turn != self.turn {
            return None;
        }
        let (_, then) = self.requests.pop_front()?;
        self.begin(now);
        Some(then)
    }

    /// It is so from now on. What is left of the request under way takes its time by that.
    pub fn set(&mut self, state: DiskState, now: Time) {
        let left = self.done_at.since(now).as_nanos();
        let first = self.requests.front().map(|(request, _)| *request);
        let before = first.and_then(|request| self.rate(request));
        self.state = state;
        if let (Some(request), Some(before)) = (first, before) {
            let bytes = left * u128::from(before) / 1_000_000_000;
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.set_first(self.time_for(request, bytes), now);
        }
    }

    fn begin(&mut self, now: Time) {
        if let Some(&(request, _)) = self.requests.front() {
            self.set_first(self.takes_time(request), now);
        }
    }

    fn set_first(&mut self, takes: Option<u64>, now: Time) {
        self.turn += 1;
        self.done_at = Time::from_nanos(now.as_nanos().saturating_add(takes.unwrap_or(0)));
    }

    fn rate(&self, request: Request) -> Option<u64> {
        match request {
            Request::Read(_) => self.state.read,
            Request::Write(_) => self.state.write,
            Request::Look => None,
        }
    }

    /// Nanoseconds that it takes; `None` if the disk has no such speed.
    fn takes_time(&self, request: Request) -> Option<u64> {
        match request {
            Request::Read(bytes) | Request::Write(bytes) => self.time_for(request, bytes),
            Request::Look => None,
        }
    }

    fn time_for(&self, request: Request, bytes: u64) -> Option<u64> {
        let rate = self.rate(request)?;
        let took = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        Some(u64::try_from(took).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DiskQueue, DiskState, Request, Time};

    #[test]
    fn a_change_of_speed_counts_from_then_on() {
        let rates = |read, write| DiskState { read: Some(read), write: Some(write), full: false };
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut disk = DiskQueue::new(rates(100, 10));
        assert_eq!(disk.ask(Request::Look, "at once", at(0)), Some("at once"));
        assert_eq!(disk.ask(Request::Write(100), "written", at(0)), None);
        assert_eq!(disk.ask(Request::Read(100), "read", at(0)), None);
        assert_eq!(disk.ask(Request::Look, "looked", at(0)), None);
        let (done, old) = disk.due().expect("it writes");
        assert_eq!(done, at(10));
        disk.set(rates(50, 60), at(4));
        let (done, turn) = disk.due().expect("it writes");
        assert_eq!(done, at(5), "60 bytes are left");
        assert_eq!(disk.done(old, at(10)), None, "that word counts no more");
        assert_eq!(disk.done(turn, at(5)), Some("written"));
        let (done, turn) = disk.due().expect("it reads");
        assert_eq!((done, disk.done(turn, at(7))), (at(7), Some("read")));
        let (done, turn) = disk.due().expect("it looks");
        assert_eq!((done, disk.done(turn, at(7))), (at(7), Some("looked")));
        assert_eq!(disk.due(), None);
    }
}
