//! One direction of a connection: what waits to be sent, how much of the first is left, and what is under way.
//!
//! It knows its own rate and no other flow. Progress is settled lazily: what is left counts from the moment of the last change
//! of rate. Bytes are counted in parts of 10^-9, so that a rate in bytes per second times nanoseconds is exact.

use std::collections::VecDeque;

use sta_core::model::time::Time;

use super::fair::FlowId;

/// Parts of a byte.
pub(super) const PARTS: u64 = 1_000_000_000;

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
    /// Whether the sender wants to know when it has left.
    pub tell: bool,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Way<M> {
    pub queue: VecDeque<Parcel<M>>,
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

    /// When the first parcel has left, if the rate stays; never without a rate.
    pub(super) fn leaves_at(&self) -> Time {
        match self.rate {
            0 => Time::FAR_FUTURE,
            rate => {
                Time::from_nanos(self.since.as_nanos().saturating_add(self.left.div_ceil(rate)))
            }
        }
    }

    /// The first parcel has left now.
    pub(super) fn take_first(&mut self, now: Time) -> Option<Parcel<M>> {
        self.change_rate(self.rate, now);
        self.queue.pop_front()
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
