//! What becomes of messages on their way between two hosts, beside waiting for links. Known of each way of a connection, since it
//! is asked for with every message.

use std::time::Duration;

use sta_core::model::rng::Rng;

use crate::flow::net::NO_CAP;
use crate::scenario::dist::Dist;
use crate::scenario::network::{Edge, Link, OccurrenceIx};
use crate::world::loss::Loss;

/// One way of a connection.
#[derive(Debug)]
pub(super) struct Route {
    /// Nanoseconds that everything takes.
    one_way: u64,
    /// What some messages suffer, if anything.
    trouble: Option<Box<Trouble>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    jitter: Dist,
    clog: Dist,
    loss: Loss,
    causes: [Option<OccurrenceIx>; 3],
}

impl Trouble {
    const NONE: Self =
        Self { jitter: Dist::ZERO, clog: Dist::ZERO, loss: Loss::NONE, causes: [None; 3] };
}

impl Route {
    /// From a host with the edge `near` across `middle` to one with the edge `far`, while faults do to it what `link` says.
    pub(super) fn new(near: &Edge, middle: Duration, far: &Edge, link: Link) -> Self {
        let parts = [near.latency, middle, far.latency];
        let one_way = parts.into_iter().map(nanos).fold(0, u64::saturating_add);
        let loss = Loss::between(near.loss, far.loss);
        // A fault that only refuses new connections does nothing to a message.
        let link_cause = link.cause.filter(|_| !link.passes() || link.clog.is_some());
        let causes = [link_cause, near.cause, far.cause];
        let clog = link.clog.unwrap_or(Dist::ZERO);
        let trouble = Trouble { jitter: near.jitter, clog, loss, causes };
        let is_calm = trouble == Trouble::NONE;
        Self { one_way, trouble: (!is_calm).then(|| Box::new(trouble)) }
    }

    /// Bytes per second that it carries at the most, whatever the links do.
    pub(super) fn cap(&self) -> u64 {
        let loss = self.trouble.as_ref().map_or(Loss::NONE, |trouble| trouble.loss);
        loss.rate(Duration::from_nanos(self.one_way)).unwrap_or(NO_CAP)
    }

    /// How many nanoseconds a message of so many bytes is on its way, once it has left.
    pub(super) fn delay(&self, bytes: u64, rng: &mut Rng) -> u64 {
        let Some(trouble) = &self.trouble else { return self.one_way };
        let jitter = trouble.jitter.draw(rng);
        let one_way = Duration::from_nanos(self.one_way);
        let resent = nanos(trouble.loss.delay(bytes, one_way, rng));
        let more = [resent, jitter, trouble.clog.draw(rng)];
        more.into_iter().fold(self.one_way, u64::saturating_add)
    }

    /// The faults that do something to every message.
    pub(super) fn causes(&self) -> impl Iterator<Item = OccurrenceIx> + use<> {
        let causes = self.trouble.as_ref().map(|trouble| trouble.causes);
        causes.into_iter().flatten().flatten()
    }
}

const fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(duration.subsec_nanos() as u64)
}
