//! The network as the faults under way leave it: what passes between two hosts, and how fast.
//!
//! Faults overlap: two cuts of the same link are two, and the link is whole when both have ended. A world does not
//! keep account of that; when the driver says [`super::driver::Do::Network`] it asks here. Faults that are alike are kept as one
//! that has several causes, since an event may happen ten thousand times at the same moment.

use std::sync::Arc;
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
    /// The last fault begun that slows it; none that limits what is limited as much already.
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

/// Faults that are alike.
#[derive(Clone, Debug)]
struct Fault {
    /// What they are parts of, in the order in which they began; never empty.
    causes: Vec<OccurrenceIx>,
    kind: Kind,
    both_ways: bool,
    from: Vec<bool>,
    to: Vec<bool>,
}

/// Every network fault under way. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Network {
    edges: Arc<[Edge]>,
    faults: Arc<Vec<Fault>>,
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
        Self { edges: hosts.iter().map(edge).collect(), faults: Arc::default() }
    }

    /// The way from `from` to `to`. A host reaches itself whatever happens.
    #[must_use]
    pub fn link(&self, from: HostIx, to: HostIx) -> Link {
        let mut link = Link::default();
        if from == to {
            return link;
        }
        let mut clogged_by = None;
        for fault in self.faults.iter().filter(|fault| fault.touches(from, to)) {
            let last = fault.causes.last().copied();
            match fault.kind {
                Kind::Cut => link.cut = true,
                Kind::Hold => link.held = true,
                Kind::Refuse => link.refused = true,
                Kind::Clog(delay) if last > clogged_by => {
                    (link.clog, clogged_by) = (Some(delay), last);
                }
                Kind::Clog(_) => {}
                Kind::Slow(_) => continue,
            }
            link.cause = link.cause.max(last);
        }
        link
    }

    /// The edge of the network at `host`.
    #[must_use]
    pub fn edge(&self, host: HostIx) -> Edge {
        let mut edge = self.edges[host];
        for fault in self.faults.iter().filter(|fault| fault.from[host]) {
            let Kind::Slow(slow) = fault.kind else { continue };
            // Each adds what it adds; of those that limit alike the first has done it.
            let changes = match slow.adds() {
                true => fault.causes.last(),
                false => fault.causes.first().filter(|_| slow.limits(edge.up, edge.down)),
            };
            let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
            edge.up = least(edge.up, slow.up);
            edge.down = least(edge.down, slow.down);
            let times = u32::try_from(fault.causes.len()).unwrap_or(u32::MAX);
            let latency = slow.latency.unwrap_or_default().saturating_mul(times);
            edge.latency = edge.latency.saturating_add(latency);
            let loss = slow.loss.unwrap_or_default().0.saturating_mul(times);
            edge.loss = Ppm(edge.loss.0.saturating_add(loss).min(Ppm::ALL.0));
            edge.cause = edge.cause.max(changes.copied());
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
        let faults = Arc::make_mut(&mut self.faults);
        let like = |fault: &&mut Fault| {
            (fault.kind, fault.both_ways) == (kind, both_ways)
                && (&fault.from, &fault.to) == (&from, &to)
        };
        match faults.iter_mut().find(like) {
            Some(fault) => fault.causes.push(cause),
            None => faults.push(Fault { causes: vec![cause], kind, both_ways, from, to }),
        }
    }

    /// Ends the fault with this cause. Returns the hosts it touched, ascending; none if it was over already.
    pub(super) fn end(&mut self, cause: OccurrenceIx) -> Vec<HostIx> {
        let mut touched = vec![false; self.edges.len()];
        let faults = Arc::make_mut(&mut self.faults);
        for fault in faults.iter_mut() {
            let before = fault.causes.len();
            fault.causes.retain(|other| *other != cause);
            if fault.causes.len() < before {
                (0..touched.len()).for_each(|h| touched[h] |= fault.from[h] || fault.to[h]);
            }
        }
        faults.retain(|fault| !fault.causes.is_empty());
        (0..touched.len()).filter(|&host| touched[host]).collect()
    }

    /// The causes of the faults that touch one of `hosts`, in the order they began.
    pub(super) fn causes_at(&self, hosts: &[HostIx]) -> Vec<OccurrenceIx> {
        let at = |fault: &&Fault| hosts.iter().any(|&host| fault.from[host] || fault.to[host]);
        let causes = self.faults.iter().filter(at).flat_map(|fault| &fault.causes);
        let mut causes: Vec<OccurrenceIx> = causes.copied().collect();
        causes.sort_unstable();
        causes
    }
}

impl Fault {
    fn touches(&self, from: HostIx, to: HostIx) -> bool {
        self.from[from] && self.to[to] || self.both_ways && self.from[to] && self.to[from]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Kind, Network};
    use crate::scenario::dist::Dist;
    use crate::scenario::plan::SlowPlan;
    use crate::scenario::tests::{RIGHT, plan};
    use crate::scenario::units::Ppm;

    #[test]
    fn faults_that_are_alike_are_one_until_the_last_of_them_ends() {
        let mut network = Network::new(&plan(RIGHT, 0).hosts);
        let clog = |nanos| Kind::Clog(Dist::Const { value: nanos });
        for cause in 0..10_000 {
            network.begin(cause, Kind::Cut, true, (&[1], &[2]));
        }
        network.begin(10_000, clog(5), true, (&[1], &[2]));
        network.begin(10_001, clog(7), true, (&[1], &[2]));
        network.begin(10_002, clog(5), true, (&[1], &[2]));
        assert_eq!(network.faults.len(), 3);
        let link = network.link(2, 1);
        assert!(link.cut);
        assert_eq!((link.clog, link.cause), (Some(Dist::Const { value: 5 }), Some(10_002)));
        assert_eq!(network.end(10_002), [1, 2]);
        assert_eq!(network.link(1, 2).clog, Some(Dist::Const { value: 7 }), "the last begun");
        assert_eq!(network.causes_at(&[2]), (0..10_002).collect::<Vec<_>>());
        for cause in 0..9_999 {
            network.end(cause);
        }
        assert!(network.link(1, 2).cut);
        network.end(9_999);
        assert!(!network.link(1, 2).cut);
        assert!(network.end(9_999).is_empty(), "it was over already");
    }

    #[test]
    fn what_slows_twice_slows_twice() {
        let mut network = Network::new(&plan(RIGHT, 0).hosts);
        let before = network.edge(1);
        let slow = SlowPlan {
            latency: Some(Duration::from_millis(3)),
            loss: Some(Ppm(600_000)),
            ..SlowPlan::default()
        };
        network.begin(4, Kind::Slow(slow), false, (&[1], &[]));
        network.begin(5, Kind::Slow(slow), false, (&[1], &[]));
        let edge = network.edge(1);
        assert_eq!(edge.latency, before.latency + Duration::from_millis(6));
        assert_eq!((edge.loss, edge.cause), (Ppm::ALL, Some(5)));
        network.end(5);
        assert_eq!((network.edge(1).loss, network.edge(1).cause), (Ppm(600_000), Some(4)));
    }

    #[test]
    fn what_changes_nothing_is_no_cause() {
        let mut network = Network::new(&plan(RIGHT, 0).hosts);
        let limit = |up| Kind::Slow(SlowPlan { up: Some(up), ..SlowPlan::default() });
        network.begin(1, limit(1_000_000), false, (&[1], &[]));
        assert_eq!(network.edge(1).cause, None, "it has 8 Mbit/s by itself");
        network.begin(2, limit(900), false, (&[1], &[]));
        network.begin(3, limit(900), false, (&[1], &[]));
        network.begin(4, limit(901), false, (&[1], &[]));
        assert_eq!((network.edge(1).up, network.edge(1).cause), (Some(900), Some(2)));
        network.end(2);
        assert_eq!(network.edge(1).cause, Some(3));
        network.end(3);
        assert_eq!((network.edge(1).up, network.edge(1).cause), (Some(901), Some(4)));
    }
}
