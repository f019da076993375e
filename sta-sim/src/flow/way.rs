//! One direction of a connection: what waits to be sent, how much of the first is left, and what is under way.
//!
//! It knows its own rate and no other flow. Progress is settled lazily: what is left counts from the moment of the last change
//! of rate. Bytes are counted in parts of 10^-9, so that a rate in bytes per second times nanoseconds is exact.

use std::collections::VecDeque;

use sta_core::model::time::Time;

use super::fair::FlowId;
use crate::world::fabric::WINDOW_BYTES_MIN;

/// Parts of a byte.
pub(super) const PARTS: u64 = 1_000_000_000;

/// Bytes of one way that its sender's kernel keeps until they leave: what nobody can overtake or take back any more. As
/// much as in the worlds that have bytes.
pub const KERNEL_BYTES: u64 = WINDOW_BYTES_MIN;

/// Why a connection is no more, as the side that learns of it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Why {
    /// Nobody listens there, or a fault refuses connects.
    #[error("connection refused")]
    Refused,
    /// No answer to a dial.
    #[error("the connection timed out")]
    TimedOut,
    /// The other side has closed it, after all it had sent.
    #[error("the other side closed the connection")]
    Ended,
    /// It broke.
    #[error("connection reset by the other side")]
    Reset,
}

/// What passes on a way from one end to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    /// Everything.
    #[default]
    Open,
    /// Bytes leave, and arrive in one burst once it is open again.
    Held,
    /// Nothing; what was under way or waits goes on once it is open again.
    Cut,
}

/// What arrives.
#[derive(Clone, Debug)]
pub(super) enum Freight<M> {
    Message(M),
    End(Why),
}

/// Something to be sent.
#[derive(Debug)]
pub(super) struct Parcel<M> {
    pub freight: Freight<M>,
    pub bytes: u64,
    /// From its last byte leaving to its last byte arriving, in nanoseconds.
    pub delay: u64,
    /// Whether the sender wants to know when its kernel has all of it.
    pub tell: bool,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Way<M> {
    pub queue: VecDeque<Parcel<M>>,
    /// Where in the stream, in bytes, those parcels end whose sender waits for the kernel to take them.
    untold: VecDeque<u64>,
    /// Bytes of all parcels so far, and of those that have left.
    posted: u64,
    gone: u64,
    /// What is under way, in the order in which it arrives.
    pub flying: VecDeque<Freight<M>>,
    /// Arrivals that found the way closed.
    pub stuck: u32,
    pub passage: Passage,
    pub flow: Option<FlowId>,
    /// Parts of the first parcel still to be sent, at `since`.
    left: u64,
    /// Parts sent beyond the end of a parcel, because it ended inside a nanosecond. Of use to the next at once.
    surplus: u64,
    rate: u64,
    since: Time,
    /// The latest arrival so far: a stream does not overtake itself.
    latest: Time,
}

impl<M> Default for Way<M> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            untold: VecDeque::new(),
            posted: 0,
            gone: 0,
            flying: VecDeque::new(),
            stuck: 0,
            passage: Passage::Open,
            flow: None,
            left: 0,
            surplus: 0,
            rate: 0,
            since: Time::ZERO,
            latest: Time::ZERO,
        }
    }
}

impl<M> Way<M> {
    /// Puts `parcel` behind the others. Returns whether its sender is to be told at once that the kernel has it.
    pub(super) fn push(&mut self, parcel: Parcel<M>, now: Time) -> bool {
        let waits = self.waiting(now) + u128::from(parcel.bytes) * u128::from(PARTS);
        let fits = waits <= u128::from(KERNEL_BYTES) * u128::from(PARTS);
        self.posted += parcel.bytes;
        if parcel.tell && !fits {
            self.untold.push_back(self.posted);
        }
        let tell = parcel.tell && fits;
        self.queue.push_back(parcel);
        tell
    }

    /// Parts that have not been sent.
    fn waiting(&self, now: Time) -> u128 {
        let Some(first) = self.queue.front() else { return 0 };
        let sent = u128::from(self.rate) * now.since(self.since).as_nanos();
        let behind = self.posted - self.gone - first.bytes;
        u128::from(self.left).saturating_sub(sent) + u128::from(behind) * u128::from(PARTS)
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.untold.clear();
        self.gone = self.posted;
    }

    /// The first parcel of the queue begins to be sent, and `owed` bytes with it.
    pub(super) fn begin(&mut self, owed: u64, now: Time) {
        let bytes = self.queue.front().map_or(0, |parcel| parcel.bytes);
        self.left = ((bytes + owed) * PARTS).saturating_sub(self.surplus);
        self.surplus = 0;
        self.since = now;
    }

    /// Counts what was sent since the last change, and goes on at `rate`.
    pub(super) fn change_rate(&mut self, rate: u64, now: Time) {
        let sent = u128::from(self.rate) * now.since(self.since).as_nanos();
        let over = sent.saturating_sub(self.left.into());
        self.left = u128::from(self.left).saturating_sub(sent) as u64;
        self.surplus = over as u64;
        (self.rate, self.since) = (rate, now);
    }

    /// When the first parcel has left, or the kernel has taken one that waits for it, if the rate stays; never without a
    /// rate.
    pub(super) fn next_at(&self) -> Time {
        self.after(self.left.min(self.left_until_told().unwrap_or(u64::MAX)))
    }

    /// Whether the kernel has taken one more parcel that waits for it, now that [`Self::next_at`] has come.
    pub(super) fn told(&mut self, now: Time) -> bool {
        let told = self.left_until_told().is_some_and(|left| self.after(left) <= now);
        if told {
            self.untold.pop_front();
        }
        told
    }

    /// When so many parts have been sent.
    fn after(&self, parts: u64) -> Time {
        match self.rate {
            0 => Time::FAR_FUTURE,
            rate => Time::from_nanos(self.since.as_nanos().saturating_add(parts.div_ceil(rate))),
        }
    }

    /// Parts to be sent, from `since` on, until the kernel has room for the first parcel that waits for it.
    fn left_until_told(&self) -> Option<u64> {
        let end = *self.untold.front()?;
        let first = self.queue.front().map_or(0, |parcel| parcel.bytes);
        // What lies behind the first parcel until there; the kernel takes so much of all that waits.
        let behind = end - self.gone - first;
        let left = u128::from(self.left) + u128::from(behind) * u128::from(PARTS);
        let room = u128::from(KERNEL_BYTES) * u128::from(PARTS);
        Some(u64::try_from(left.saturating_sub(room)).unwrap_or(u64::MAX))
    }

    /// The first parcel has left now.
    pub(super) fn take_first(&mut self, now: Time) -> Option<Parcel<M>> {
        self.change_rate(self.rate, now);
        let parcel = self.queue.pop_front()?;
        self.gone += parcel.bytes;
        Some(parcel)
    }

    /// `freight` is under way: when it arrives.
    pub(super) fn fly(&mut self, freight: Freight<M>, at: Time) -> Time {
        self.latest = self.latest.max(at);
        self.flying.push_back(freight);
        self.latest
    }

    /// The flow has ended.
    pub(super) fn rest(&mut self) {
        (self.flow, self.rate, self.surplus) = (None, 0, 0);
    }
}
