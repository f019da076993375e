//! The network of a world: hosts with rates, links with delays, and every fault that a network can have.
//!
//! A pure machine: it is told the time and asked what may pass; it moves no bytes and knows no sockets. A
//! connection that is shaped asks it how much may be written and read now, and is woken when that changes.
//!
//! Bytes of a connection wait for a turn on the sender's link, then on those of the two sites if these differ, travel for a delay
//! of their own (so that messages sent together do not queue behind one another's latency), and wait for a turn on the receiver's
//! link. Turns go round: one sender and k receivers get 1/k each, and so do k senders and one receiver. A connection that has its
//! window in flight takes no turns, so a slow receiver does not hold up the others.
//!
//! Invariant: everything happens at exact nanoseconds, in order of (time, sequence); the same calls give the same answers.

mod endings;
mod faults;
mod flow;
mod link;
mod pipe;
#[cfg(test)]
mod tests;
mod turns;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::SocketAddr;
use std::task::{Poll, Waker};
use std::time::Duration;

use sta_core::model::rng::Seed;
use sta_core::model::time::Time;

use crate::scenario::dist::Dist;
use crate::scenario::site::{Core, SiteIx, SitePlan};
use crate::scenario::units::Ppm;

pub use flow::{WINDOW_BYTES_MAX, WINDOW_BYTES_MIN};
pub use link::Fault;
pub use pipe::{TURN_BYTES_MAX, TURN_BYTES_MIN};

use flow::{End, Fin, Flow};
use link::Link;
use pipe::Pipe;

/// A host, by the order in which hosts were added.
pub type HostId = usize;
/// One direction of a connection; the other one's number differs in the last bit.
pub type FlowId = usize;

/// How a host is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The site that it is of. Never another.
    pub site: Option<SiteIx>,
    /// Bytes a second that it can send; `None` is without limit.
    pub up: Option<u64>,
    /// Bytes a second that it can receive; `None` is without limit.
    pub down: Option<u64>,
    /// One-way delay of its link.
    pub latency: Duration,
    /// Added to the delay of each message that it sends, in nanoseconds.
    pub jitter: Dist,
    /// Packets lost.
    pub loss: Ppm,
}

impl Default for Edge {
    /// A perfect one.
    fn default() -> Self {
        Self {
            site: None,
            up: None,
            down: None,
            latency: Duration::ZERO,
            jitter: Dist::ZERO,
            loss: Ppm(0),
        }
    }
}

/// What a host's machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    /// The process runs.
    Up,
    /// The process is gone; the kernel refuses in its place.
    Down,
    /// Nothing answers.
    Dark,
}

#[derive(Debug)]
struct Host {
    name: String,
    edge: Edge,
    up: Pipe,
    down: Pipe,
    machine: Machine,
    /// The process stands still; the kernel answers.
    paused: bool,
    /// How often somebody was dialled from here, or from elsewhere here.
    dials: u64,
    /// Waits for connections to claim.
    acceptors: Vec<Waker>,
}

/// Something that will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A turn on the sender's link ends.
    UpDone { host: HostId, flow: FlowId, bytes: u64 },
    /// A turn ends on the uplink (0) or the downlink (1) of a site.
    SiteDone { site: SiteIx, hop: usize, flow: FlowId, bytes: u64 },
    /// Bytes arrive at the receiver's link.
    Arrive { flow: FlowId, bytes: u64 },
    /// A turn on the receiver's link ends.
    DownDone { host: HostId, flow: FlowId, bytes: u64 },
    /// The end of a stream arrives.
    FinArrives { flow: FlowId },
    /// Word arrives at the sender of `flow` that the connection is no more.
    ResetArrives { flow: FlowId },
    /// Losses allow the flow its next turn.
    Paced { flow: FlowId },
}

/// Whether a connection can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Nothing comes back; it may change.
    Blocked,
    /// The other side's kernel says no, after one round trip.
    Refused(Duration),
    /// It can be; how long the way there and the way back take.
    Open(Duration, Duration),
}

/// What a reader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// So many bytes, not 0.
    Bytes(u64),
    /// The sender has finished, and everything was read.
    End,
}

/// See the module's text.
#[derive(Debug)]
pub struct Fabric {
    seed: Seed,
    core: Core,
    /// By site: its uplink and its downlink.
    sites: Vec<[Pipe; 2]>,
    now: Time,
    sequence: u64,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    hosts: Vec<Host>,
    /// From, then to.
    links: Vec<Vec<Link>>,
    flows: Vec<Option<Box<Flow>>>,
    /// Connections that the accepting side has not claimed, by the dialler's and the acceptor's address.
    unclaimed: BTreeMap<(SocketAddr, SocketAddr), FlowId>,
    /// Who waits for a path that is blocked.
    diallers: Vec<Waker>,
}

impl Fabric {
    /// A network without hosts. One-way, each message takes what `core` says and the latency of both edges; what is
    /// drawn is drawn from `seed`, a stream for each link.
    #[must_use]
    pub fn new(seed: Seed, core: Core) -> Self {
        let pipes = |site: &SitePlan| [site.up, site.down].map(Pipe::new);
        Self {
            seed,
            sites: core.sites.iter().map(pipes).collect(),
            core,
            now: Time::ZERO,
            sequence: 0,
            events: BinaryHeap::new(),
            hosts: Vec::new(),
            links: Vec::new(),
            flows: Vec::new(),
            unclaimed: BTreeMap::new(),
            diallers: Vec::new(),
        }
    }

    /// Adds a host that is up.
    pub fn add_host(&mut self, name: &str, edge: Edge) -> HostId {
        let id = self.hosts.len();
        self.hosts.push(Host {
            name: name.to_owned(),
            up: Pipe::new(edge.up),
            down: Pipe::new(edge.down),
            edge,
            machine: Machine::Up,
            paused: false,
            dials: 0,
            acceptors: Vec::new(),
        });
        self.links.push((0..id).map(|to| self.new_link(id, to)).collect());
        for from in 0..=id {
            let link = self.new_link(from, id);
            self.links[from].push(link);
        }
        id
    }

    /// The host called `name`.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<HostId> {
        self.hosts.iter().position(|host| host.name == name)
    }

    /// The time up to which everything has happened.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Lets everything happen that is due by `now`.
    pub fn advance(&mut self, now: Time) {
        while let Some(Reverse((at, _, event))) = self.events.peek().copied() {
            if at > now {
                break;
            }
            self.events.pop();
            self.now = self.now.max(at);
            self.handle(event);
        }
        self.now = self.now.max(now);
    }

    /// Whether `from` can open a connection to `to` now. `waker` is told when a blocked path may have changed.
    pub fn path(&mut self, from: HostId, to: HostId, waker: &Waker) -> Path {
        let dark = self.hosts[to].machine == Machine::Dark;
        for (from, to) in [(from, to), (to, from)] {
            let link = &mut self.links[from][to];
            link.touched += u64::from(link.blocked());
        }
        if dark || self.links[from][to].blocked() || self.links[to][from].blocked() {
            self.diallers.push(waker.clone());
            return Path::Blocked;
        }
        self.hosts[from].dials += 1;
        self.hosts[to].dials += 1;
        let there = self.links[from][to].delay(0);
        let back = self.links[to][from].delay(0);
        let link = &mut self.links[from][to];
        link.touched += u64::from(link.fault.refused);
        if link.fault.refused || self.hosts[to].machine == Machine::Down {
            return Path::Refused(there + back);
        }
        Path::Open(there, back)
    }

    /// A connection has been opened by `from`. Its flow from the dialler; the other direction's is one more.
    pub fn open(
        &mut self,
        from: HostId,
        to: HostId,
        dialler: SocketAddr,
        acceptor: SocketAddr,
    ) -> FlowId {
        let flow = self.flows.len();
        for (from, to) in [(from, to), (to, from)] {
            let crossed = Core::crossed(self.hosts[from].edge.site, self.hosts[to].edge.site);
            self.flows.push(Some(Box::new(Flow::new(from, to, crossed))));
        }
        self.unclaimed.insert((dialler, acceptor), flow);
        self.hosts[to].acceptors.drain(..).for_each(Waker::wake);
        flow
    }

    /// The flow *to* the acceptor of a connection that was opened; `None`, and `waker` is told, until then.
    pub fn claim(
        &mut self,
        at: HostId,
        dialler: SocketAddr,
        acceptor: SocketAddr,
        waker: &Waker,
    ) -> Option<FlowId> {
        if self.hosts[at].paused {
            self.hosts[at].acceptors.push(waker.clone());
            return None;
        }
        let claimed = self.unclaimed.remove(&(dialler, acceptor));
        if claimed.is_none() {
            self.hosts[at].acceptors.push(waker.clone());
        }
        claimed
    }

    /// How many bytes may be written now; pending while none may.
    ///
    /// # Errors
    /// If the connection has broken.
    pub fn poll_room(&mut self, id: FlowId, waker: &Waker) -> Poll<io::Result<u64>> {
        let window = self.window(id);
        let Some(flow) = self.flows[id].as_deref_mut() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if flow.sender_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = window.saturating_sub(flow.written - flow.acked);
        if room == 0 || self.hosts[flow.from].paused {
            flow.writer_waker = Some(waker.clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(room))
    }

    /// `bytes` have been written.
    pub fn wrote(&mut self, id: FlowId, bytes: u64) {
        if let Some(flow) = self.flows[id].as_deref_mut() {
            flow.written += bytes;
            let link = &mut self.links[flow.from][flow.to];
            link.touched += u64::from(link.fault.cut);
            self.offer_up(id);
        }
    }

    /// What can be read now; pending while nothing can.
    ///
    /// # Errors
    /// If the connection has broken.
    pub fn poll_readable(&mut self, id: FlowId, waker: &Waker) -> Poll<io::Result<Readable>> {
        let Some(flow) = self.flows[id].as_deref_mut() else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        if !self.hosts[flow.to].paused {
            if flow.receiver_broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if flow.delivered > flow.consumed {
                return Poll::Ready(Ok(Readable::Bytes(flow.delivered - flow.consumed)));
            }
            if flow.ended() {
                return Poll::Ready(Ok(Readable::End));
            }
        }
        flow.reader_waker = Some(waker.clone());
        Poll::Pending
    }

    /// Whether the sender's machine went dark: nothing more comes, not even word that it is gone. Then `waker` is told when
    /// the connection breaks.
    pub fn is_silent(&mut self, id: FlowId, waker: &Waker) -> bool {
        let Some(flow) = self.flows[id].as_deref_mut() else { return false };
        let silent = flow.sender == End::Dark && !flow.receiver_broken;
        if silent {
            flow.reader_waker = Some(waker.clone());
        }
        silent
    }

    /// `bytes` have been read.
    pub fn consumed(&mut self, id: FlowId, bytes: u64) {
        if let Some(flow) = self.flows[id].as_deref_mut() {
            flow.consumed += bytes;
            self.acknowledge(id);
        }
    }

    /// The sender has let go of its half.
    pub fn close_send(&mut self, id: FlowId) {
        let Some(flow) = self.flows[id].as_deref_mut() else { return };
        if flow.sender != End::Held {
            return;
        }
        flow.sender = End::Closed;
        flow.fin = Fin::Queued;
        if flow.unsent() == 0 {
            self.send_fin(id);
        }
        self.let_go(id);
    }

    /// The receiver has let go of its half.
    pub fn close_recv(&mut self, id: FlowId) {
        let Some(flow) = self.flows[id].as_deref_mut() else { return };
        if flow.receiver != End::Held {
            return;
        }
        flow.receiver = End::Closed;
        self.let_go(id ^ 1);
    }

    fn new_link(&self, from: HostId, to: HostId) -> Link {
        let (base, jitter, loss) = self.way(from, to);
        let stream = format!("link/{}-{}", self.hosts[from].name, self.hosts[to].name);
        let rng = self.seed.stream(&stream);
        Link { base, jitter, loss, rng, fault: Fault::default(), parked: Vec::new(), touched: 0 }
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::UpDone { host, flow, bytes } => self.up_done(host, flow, bytes),
            Event::SiteDone { site, hop, flow, bytes } => self.site_done(site, hop, flow, bytes),
            Event::Arrive { flow, bytes } => self.arrive(flow, bytes),
            Event::DownDone { host, flow, bytes } => self.down_done(host, flow, bytes),
            Event::FinArrives { flow } => self.fin_arrives(flow),
            Event::ResetArrives { flow } => self.reset_arrives(flow),
            Event::Paced { flow } => {
                if let Some(flow) = self.flows[flow].as_deref_mut() {
                    flow.pacing = false;
                }
                self.offer_up(flow);
            }
        }
    }
}
