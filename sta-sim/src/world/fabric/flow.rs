//! One direction of a connection, as counters: how far its bytes have come.
//!
//! ```text
//! written >= departed >= arrived >= delivered >= consumed >= acked
//!         up link     latency   down link     reader      the sender knows
//! ```
//!
//! Between two sites what has departed waits at the links of both before it travels.
//!
//! Bytes are only counted here; they travel inside the connection that is shaped.

use std::task::Waker;
use std::time::Duration;

use sta_core::model::limits;
use sta_core::model::time::Time;

use super::HostId;
use crate::scenario::site::SiteIx;

/// How far the end of a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fin {
    /// The sender still sends.
    Open,
    /// The sender has finished; bytes of it have not departed.
    Queued,
    /// On its way.
    Sent,
    /// The receiver knows once it has read everything.
    Arrived,
}

/// What has become of the process at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It holds the connection, or half of it.
    Held,
    /// It has let go, and the kernel has said so or will.
    Closed,
    /// The machine went dark with the connection open: nothing is said, and after a restart nobody knows of it.
    Dark,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) from: HostId,
    pub(super) to: HostId,
    /// The site whose uplink it crosses, and the one whose downlink.
    pub(super) crossed: [Option<SiteIx>; 2],
    pub(super) written: u64,
    pub(super) departed: u64,
    pub(super) arrived: u64,
    pub(super) delivered: u64,
    pub(super) consumed: u64,
    pub(super) acked: u64,
    /// Bytes that wait at the links of the two sites.
    pub(super) at_sites: [u64; 2],
    /// When the last of its bytes arrives: order is kept.
    pub(super) last_arrival: Time,
    /// Losses allow the next turn only then.
    pub(super) paced_until: Time,
    /// Whether it waits for, or has, a turn on the sender's link.
    pub(super) on_up: bool,
    /// Whether it waits for, or has, a turn on the links of the two sites.
    pub(super) on_sites: [bool; 2],
    /// Whether it waits for, or has, a turn on the receiver's link.
    pub(super) on_down: bool,
    /// Whether an event will offer it for a turn when `paced_until` has come.
    pub(super) pacing: bool,
    pub(super) fin: Fin,
    pub(super) sender: End,
    pub(super) receiver: End,
    /// The connection broke, and the sending end knows.
    pub(super) sender_broken: bool,
    /// The connection broke, and the receiving end knows.
    pub(super) receiver_broken: bool,
    pub(super) reader_waker: Option<Waker>,
    pub(super) writer_waker: Option<Waker>,
}

impl Flow {
    pub(super) fn new(from: HostId, to: HostId, crossed: [Option<SiteIx>; 2]) -> Self {
        Self {
            from,
            to,
            crossed,
            at_sites: [0; 2],
            on_sites: [false; 2],
            written: 0,
            departed: 0,
            arrived: 0,
            delivered: 0,
            consumed: 0,
            acked: 0,
            last_arrival: Time::ZERO,
            paced_until: Time::ZERO,
            on_up: false,
            on_down: false,
            pacing: false,
            fin: Fin::Open,
            sender: End::Held,
            receiver: End::Held,
            sender_broken: false,
            receiver_broken: false,
            reader_waker: None,
            writer_waker: None,
        }
    }

    /// Bytes that wait for the sender's link.
    pub(super) fn queued_up(&self) -> u64 {
        self.written - self.departed
    }

    /// Bytes that do not travel yet.
    pub(super) fn unsent(&self) -> u64 {
        self.queued_up() + self.at_sites.iter().sum::<u64>()
    }

    /// Bytes that wait for the receiver's link.
    pub(super) fn queued_down(&self) -> u64 {
        self.arrived - self.delivered
    }

    /// Bytes that have left the sender and that it does not know to be read.
    pub(super) fn in_flight(&self) -> u64 {
        self.departed - self.acked
    }

    /// Whether the reader has seen everything, the end included.
    pub(super) fn ended(&self) -> bool {
        self.fin == Fin::Arrived && self.consumed == self.written
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader_waker.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer_waker.take() {
            waker.wake();
        }
    }
}

/// Fewest bytes that one connection may have in flight: twice the initial window of RFC 6928, and what a tenth of a link of
/// 100 Mbit/s has in a queue of 20 ms.
pub(super) const FLIGHT_BYTES_MIN: u64 = 32 << 10;
/// Most bytes that one connection may have in flight: Linux' largest receive buffer by default, rounded down.
pub(super) const FLIGHT_BYTES_MAX: u64 = 4 << 20;
/// Bytes that wait in the sender's kernel besides those in flight: what the real transport lets it keep of a link that is
/// shared. (On a fast one it is a block; there the flight is more than that.)
pub(super) const SEND_BUFFER_BYTES: u64 = limits::UNSENT_BYTES_MIN as u64;
/// Bytes that a sender can always hand in before the first is read.
pub const WINDOW_BYTES_MIN: u64 = FLIGHT_BYTES_MIN + SEND_BUFFER_BYTES;
/// Most bytes that a sender can hand in before the first is read.
pub const WINDOW_BYTES_MAX: u64 = FLIGHT_BYTES_MAX + SEND_BUFFER_BYTES;
/// What a reader takes to answer in a world of 4 ms ticks: it wakes at the end of one, whom it answers at the end of another, and
/// a little more.
const REACTION: Duration = Duration::from_millis(10);

/// How much one connection may have in flight: rate times delay, so that a link is kept full by one connection
/// and queues stay short when many share it.
pub(super) fn flight_bytes(rate: Option<u64>, latency: Duration, turn_bytes: u64) -> u64 {
    let Some(rate) = rate else { return FLIGHT_BYTES_MAX };
    let nanos = (latency + REACTION).as_nanos() as u64;
    // What does not fit is far more than the most.
    let bridged = rate.checked_mul(nanos).map_or(FLIGHT_BYTES_MAX, |work| work / 1_000_000_000);
    let bytes = bridged + 2 * turn_bytes;
    bytes.clamp(FLIGHT_BYTES_MIN, FLIGHT_BYTES_MAX)
}
