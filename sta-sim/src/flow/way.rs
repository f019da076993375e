//! One direction of a connection: what waits to be sent, how much of the first is left, and what is under way.
//!
//! It knows its own rate and no other flow. Progress is settled lazily: what is left counts from the moment of the last change
//! of rate. Bytes are counted in parts of 10^-9, so that a rate in bytes per second times nanoseconds is exact. What a change of
//! rate needs is `Progress`, apart from the rest: rates of many ways change whenever one of them begins or ends.

use std::collections::VecDeque;

use sta_core::model::time::Time;

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

/// How far the first parcel of a way is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Parts of the first parcel still to be sent, at `since`.
    left: u64,
    /// Of those, how many are left when the kernel has taken a later parcel whose sender waits for that.
    told_at: u64,
    /// Parts sent beyond the end of a parcel, because it ended inside a nanosecond. Of use to the next at once.
    surplus: u64,
    rate: u64,
    since: Time,
}

impl Progress {
    /// Counts what was sent since the last change, and goes on at `rate`.
    pub(super) fn change_rate(&mut self, rate: u64, now: Time) {
        let sent = self.sent(now);
        self.surplus = sent.saturating_sub(self.left.into()) as u64;
        self.left = u128::from(self.left).saturating_sub(sent) as u64;
        (self.rate, self.since) = (rate, now);
    }

    /// Parts sent since the last change.
    fn sent(&self, now: Time) -> u128 {
        u128::from(self.rate) * now.since(self.since).as_nanos()
    }

    /// When the first parcel has left, or the kernel has taken one that waits for it, if the rate stays; never without a
    /// rate.
    pub(super) fn next_at(&self) -> Time {
        match self.rate {
            0 => Time::FAR_FUTURE,
            rate => {
                let parts = self.left.saturating_sub(self.told_at);
                Time::from_nanos(self.since.as_nanos().saturating_add(parts.div_ceil(rate)))
            }
        }
    }

    /// Nothing is sent any more, from `now` on.
    pub(super) fn rest(&mut self, now: Time) {
        self.change_rate(0, now);
        self.surplus = 0;
    }
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
    flying: VecDeque<Freight<M>>,
    /// Arrivals that found the way closed.
    pub stuck: u32,
    pub passage: Passage,
    /// Whether it takes part in the sharing of the links.
    pub flows: bool,
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
            flows: false,
            latest: Time::ZERO,
        }
    }
}

impl<M> Way<M> {
    /// Puts `parcel` behind the others. Returns whether its sender is to be told at once that the kernel has it.
    pub(super) fn push(&mut self, parcel: Parcel<M>, progress: &mut Progress, now: Time) -> bool {
        let waits = self.waiting(progress, now) + u128::from(parcel.bytes) * u128::from(PARTS);
        let fits = waits <= u128::from(KERNEL_BYTES) * u128::from(PARTS);
        self.posted += parcel.bytes;
        let tell = parcel.tell && fits;
        if parcel.tell && !fits {
            self.untold.push_back(self.posted);
        }
        self.queue.push_back(parcel);
        self.look_ahead(progress);
        tell
    }

    /// Parts that have not been sent.
    fn waiting(&self, progress: &Progress, now: Time) -> u128 {
        let Some(first) = self.queue.front() else { return 0 };
        let behind = self.posted - self.gone - first.bytes;
        let left = u128::from(progress.left).saturating_sub(progress.sent(now));
        left + u128::from(behind) * u128::from(PARTS)
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.untold.clear();
        self.gone = self.posted;
    }

    /// The first parcel of the queue begins to be sent, and `owed` bytes with it.
    pub(super) fn begin(&mut self, owed: u64, progress: &mut Progress, now: Time) {
        let bytes = self.queue.front().map_or(0, |parcel| parcel.bytes);
        progress.left = ((bytes + owed) * PARTS).saturating_sub(progress.surplus);
        progress.surplus = 0;
        progress.since = now;
        self.look_ahead(progress);
    }

    /// Finds when, in the course of the first parcel, the kernel has room for the first one that waits for it.
    fn look_ahead(&self, progress: &mut Progress) {
        let first = self.queue.front().map_or(0, |parcel| parcel.bytes);
        // What lies behind the first parcel until there; the kernel takes so much of all that waits.
        let behind = self.untold.front().map(|end| end - self.gone - first);
        let room = behind.and_then(|behind| KERNEL_BYTES.checked_sub(behind));
        progress.told_at = room.map_or(0, |room| room * PARTS);
    }

    /// Whether the kernel has taken one more parcel that waits for it, now that [`Progress::next_at`] has come.
    pub(super) fn told(&mut self, progress: &mut Progress) -> bool {
        let told = progress.told_at > 0 && self.untold.pop_front().is_some();
        if told {
            self.look_ahead(progress);
        }
        told
    }

    /// The first parcel has left now.
    pub(super) fn take_first(&mut self, progress: &mut Progress, now: Time) -> Option<Parcel<M>> {
        progress.change_rate(progress.rate, now);
        let parcel = pop_front(&mut self.queue)?;
        self.gone += parcel.bytes;
        Some(parcel)
    }

    /// What arrives now.
    pub(super) fn land(&mut self) -> Option<Freight<M>> {
        pop_front(&mut self.flying)
    }

    /// `freight` is under way: when it arrives.
    pub(super) fn fly(&mut self, freight: Freight<M>, at: Time) -> Time {
        self.latest = self.latest.max(at);
        self.flying.push_back(freight);
        self.latest
    }
}

/// Takes the first. A queue that is empty then begins anew at the start of its memory, which is warmer than what lies ahead.
fn pop_front<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() {
        queue.clear();
    }
    first
}
