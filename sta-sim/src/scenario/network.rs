//! The network as the faults under way leave it: what passes between two hosts, and how fast.
//!
//! Faults overlap: two cuts of the same link are two, and the link is whole when both have ended. A world does not
//! keep account of that; when the driver says [`super::driver::Do::Network`] it asks here.

use std::time::Duration;

use super::dist::Dist;
use super::plan::{HostIx, HostPlan, SlowPlan};
use super::units::Ppm;

/// Index of an entry in [`super::driver::Driver::log`]: which fault is the cause.
pub type OccurrenceIx = usize;

/// What happens on the way from one host to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Nothing passes; streams stall and resume, connects time out.
    pub cut: bool,
    /// Everything waits and comes in one burst; connects wait too.
    pub held: bool,
    /// New connects are refused at once.
    pub refused: bool,
    /// Added to the delay of every message, drawn per message; the last one begun where several overlap.
    pub clog: Option<Dist>,
    /// The last fault begun that touches this link.
    pub cause: Option<OccurrenceIx>,
}

impl Link {
    /// Whether bytes pass.
    #[must_use]
    pub const fn passes(&self) -> bool {
        !self.cut && !self.held
    }
}

/// A host's own part of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Bytes sent per second, at most.
    pub up: Option<u64>,
    /// Bytes received per second, at most.
    pub down: Option<u64>,
    /// One-way delay to the core.
    pub latency: Duration,
    /// Added to the delay of each message sent, in nanoseconds.
    pub jitter: Dist,
    /// Packets lost.
    pub loss: Ppm,
    /// The last fault begun that slows it.
    pub cause: Option<OccurrenceIx>,
}

/// A kind of network fault that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cut,
    Hold,
    Refuse,
    Clog(Dist),
    Slow(SlowPlan),
}

#[derive(Clone, Debug)]
struct Fault {
    cause: OccurrenceIx,
    kind: Kind,
    both_ways: bool,
    from: Vec<bool>,
    to: Vec<bool>,
}

/// Every network fault under way.
#[derive(Clone, Debug)]
pub struct Network {
    edges: Vec<Edge>,
    faults: Vec<Fault>,
}

impl Network {
    pub(super) fn new(hosts: &[HostPlan]) -> Self {
        let edge = |host: &HostPlan| Edge {
            up: host.up,
            down: host.down,
            latency: host.latency,
            jitter: host.jitter,
            loss: host.loss,
            cause: None,
        };
        Self { edges: hosts.iter().map(edge).collect(), faults: Vec::new() }
    }

    /// The way from `from` to `to`. A host reaches itself whatever happens.
    #[must_use]
    pub fn link(&self, from: HostIx, to: HostIx) -> Link {
        let mut link = Link::default();
        if from == to {
            return link;
        }
        for fault in self.faults.iter().filter(|fault| fault.touches(from, to)) {
            match fault.kind {
                Kind::Cut => link.cut = true,
                Kind::Hold => link.held = true,
                Kind::Refuse => link.refused = true,
                Kind::Clog(delay) => link.clog = Some(delay),
                Kind::Slow(_) => continue,
            }
            link.cause = Some(fault.cause);
        }
        link
    }

    /// The edge of the network at `host`.
    #[must_use]
    pub fn edge(&self, host: HostIx) -> Edge {
        let mut edge = self.edges[host];
        for fault in self.faults.iter().filter(|fault| fault.from[host]) {
            let Kind::Slow(slow) = fault.kind else { continue };
            let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
            edge.up = least(edge.up, slow.up);
            edge.down = least(edge.down, slow.down);
            edge.latency += slow.latency.unwrap_or_default();
            edge.loss = Ppm((edge.loss.0 + slow.loss.unwrap_or_default().0).min(Ppm::ALL.0));
            edge.cause = Some(fault.cause);
        }
        edge
    }

    /// Begins a fault on the ways from each of `from` to each of `to` (and back). `Slow` looks at `from` alone.
    pub(super) fn begin(
        &mut self,
        cause: OccurrenceIx,
        kind: Kind,
        both_ways: bool,
        (from, to): (&[HostIx], &[HostIx]),
    ) {
        let set = |hosts: &[HostIx]| {
            let mut set = vec![false; self.edges.len()];
            hosts.iter().for_each(|&host| set[host] = true);
            set
        };
        let (from, to) = (set(from), set(to));
        self.faults.push(Fault { cause, kind, both_ways, from, to });
    }

    /// Ends the fault with this cause. Returns the hosts it touched, ascending; none if it was over already.
    pub(super) fn end(&mut self, cause: OccurrenceIx) -> Vec<HostIx> {
        let mut touched = vec![false; self.edges.len()];
        self.faults.retain(|fault| {
            if fault.cause == cause {
                (0..touched.len()).for_each(|h| touched[h] |= fault.from[h] || fault.to[h]);
            }
            fault.cause != cause
        });
        (0..touched.len()).filter(|&host| touched[host]).collect()
    }

    /// The causes of the faults that touch one of `hosts`, in the order they began.
    pub(super) fn causes_at(&self, hosts: &[HostIx]) -> Vec<OccurrenceIx> {
        let at = |fault: &&Fault| hosts.iter().any(|&host| fault.from[host] || fault.to[host]);
        self.faults.iter().filter(at).map(|fault| fault.cause).collect()
    }
}

impl Fault {
    fn touches(&self, from: HostIx, to: HostIx) -> bool {
        self.from[from] && self.to[to] || self.both_ways && self.from[to] && self.to[from]
    }
}
