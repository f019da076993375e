//! The way from one host to another: its delay, and what a fault does to it.

use std::time::Duration;

use sta_core::model::rng::Rng;

use super::Event;
use crate::scenario::dist::Dist;
use crate::world::loss::Loss;

/// What a fault does to a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Nothing passes.
    pub cut: bool,
    /// Everything waits at the far end, to come in one burst.
    pub held: bool,
    /// New connections this way are refused.
    pub refused: bool,
    /// Added to the delay of each message, in nanoseconds.
    pub clog: Option<Dist>,
}

/// One direction between two hosts. The other direction is a link of its own with the same base delay.
#[derive(Debug)]
pub(super) struct Link {
    /// The delay of every message.
    pub(super) base: Duration,
    /// Added to it, drawn for every message.
    pub(super) jitter: Dist,
    /// Packets that are lost, of both hosts' edges together.
    pub(super) loss: Loss,
    /// Draws of this link alone.
    pub(super) rng: Rng,
    /// What is wrong with it now.
    pub(super) fault: Fault,
    /// What met the cut or the hold, in order.
    pub(super) parked: Vec<Event>,
    /// Messages and connects that `fault` delayed, stopped or refused since it was asked.
    pub(super) touched: u64,
}

impl Link {
    /// Whether nothing arrives over this link now.
    pub(super) fn blocked(&self) -> bool {
        self.fault.cut || self.fault.held
    }

    /// How long the next `bytes` take. A lost packet is sent again: one more round trip.
    pub(super) fn delay(&mut self, bytes: u64) -> Duration {
        let mut nanos = self.jitter.draw(&mut self.rng);
        if let Some(clog) = self.fault.clog {
            nanos = nanos.saturating_add(clog.draw(&mut self.rng));
            self.touched += 1;
        }
        let resent = self.loss.delay(bytes, self.base, &mut self.rng);
        self.base + resent + Duration::from_nanos(nanos)
    }

    /// A delay that is seldom exceeded, faults aside.
    pub(super) fn typical_max(&self) -> Duration {
        let jitter = match self.jitter {
            Dist::Lognormal { p99, .. } => p99,
            other => other.max(),
        };
        self.base + Duration::from_nanos(jitter.min(JITTER_BRIDGED.as_nanos() as u64))
    }

    /// The rate that TCP reaches over this link by itself, bytes a second.
    pub(super) fn loss_rate(&self) -> Option<u64> {
        self.loss.rate(self.base)
    }
}

/// Most of a jitter that a window bridges: a rare long delay is felt.
const JITTER_BRIDGED: Duration = Duration::from_millis(100);
