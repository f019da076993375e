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
    /// Bytes per second, since the last change.
    pub(super) const fn rate(&self) -> u64 {
        self.rate
    }

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
    /// What is under way, in the order in which it arrives, and behind it what waits to be sent.
    parcels: VecDeque<Parcel<M>>,
    /// How many of them are under way.
    flying: u32,
    /// Arrivals that found the way closed.
    pub stuck: u32,
    /// Bytes of all parcels so far.
    posted: u64,
    /// The latest arrival so far: a stream does not overtake itself.
    latest: Time,
    pub passage: Passage,
    /// Whether it takes part in the sharing of the links.
    pub flows: bool,
    /// Bytes of those that have left.
    gone: u64,
    /// Where in the stream, in bytes, those parcels end whose sender waits for the kernel to take them.
    untold: VecDeque<u64>,
}

impl<M> Way<M> {
    /// Nothing is on it, and `passage` passes.
    pub(super) fn new(passage: Passage) -> Self {
        Self {
            parcels: VecDeque::new(),
            flying: 0,
            stuck: 0,
            posted: 0,
            latest: Time::ZERO,
            passage,
            flows: false,
            gone: 0,
            untold: VecDeque::new(),
        }
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.parcels.len() == self.flying as usize
    }

    /// The parcel that is being sent.
    fn first(&self) -> Option<&Parcel<M>> {
        self.parcels.get(self.flying as usize)
    }

    /// Puts `parcel` behind the others. Returns whether its sender is to be told at once that the kernel has it.
    pub(super) fn push(&mut self, parcel: Parcel<M>, progress: &mut Progress, now: Time) -> bool {
        let waits = self.waiting(progress, now) + u128::from(parcel.bytes) * u128::from(PARTS);
        let fits = waits <= u128::from(KERNEL_BYTES) * u128::from(PARTS);
        self.posted += parcel.bytes;
        let tell = parcel.tell && fits;
        if parcel.tell && !fits {
            self.untold.push_back(self.posted);
        }
        self.parcels.push_back(parcel);
        self.look_ahead(progress);
        tell
    }

    /// Parts that have not been sent.
    fn waiting(&self, progress: &Progress, now: Time) -> u128 {
        let Some(first) = self.first() else { return 0 };
        let behind = self.posted - self.gone - first.bytes;
        let left = u128::from(progress.left).saturating_sub(progress.sent(now));
        left + u128::from(behind) * u128::from(PARTS)
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        self.parcels.truncate(self.flying as usize);
        self.untold.clear();
        self.gone = self.posted;
    }

    /// The first parcel that waits begins to be sent, and `owed` bytes with it.
    pub(super) fn begin(&mut self, owed: u64, progress: &mut Progress, now: Time) {
        let bytes = self.first().map_or(0, |parcel| parcel.bytes);
        progress.left = ((bytes + owed) * PARTS).saturating_sub(progress.surplus);
        progress.surplus = 0;
        progress.since = now;
        self.look_ahead(progress);
    }

    /// Finds when, in the course of the first parcel, the kernel has room for the first one that waits for it.
    fn look_ahead(&self, progress: &mut Progress) {
        let Some(end) = self.untold.front() else {
            progress.told_at = 0;
            return;
        };
        // What lies behind the first parcel until there; the kernel takes so much of all that waits.
        let behind = end - self.gone - self.first().map_or(0, |parcel| parcel.bytes);
        let room = KERNEL_BYTES.checked_sub(behind);
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

    /// The first parcel has left now, and is under way: when it arrives.
    pub(super) fn take_off(&mut self, progress: &mut Progress, now: Time) -> Option<Time> {
        progress.change_rate(progress.rate, now);
        let &Parcel { bytes, delay, .. } = self.first()?;
        self.gone += bytes;
        self.flying += 1;
        self.latest = self.latest.max(Time::from_nanos(now.as_nanos().saturating_add(delay)));
        Some(self.latest)
    }

    /// `freight` is under way without having waited, behind which nothing does: when it arrives, at `at` if nothing that has left
    /// before arrives later.
    pub(super) fn fly(&mut self, freight: Freight<M>, at: Time) -> Time {
        debug_assert!(self.is_idle(), "what waits would be overtaken");
        self.parcels.push_back(Parcel { freight, bytes: 0, delay: 0, tell: false });
        self.flying += 1;
        self.latest = self.latest.max(at);
        self.latest
    }

    /// What arrives now.
    pub(super) fn land(&mut self) -> Option<Freight<M>> {
        self.flying = self.flying.checked_sub(1)?;
        let parcel = self.parcels.pop_front()?;
        if self.parcels.is_empty() {
            // It begins anew at the start of its memory, which is warmer than what lies ahead.
            self.parcels.clear();
        }
        Some(parcel.freight)
    }
}
