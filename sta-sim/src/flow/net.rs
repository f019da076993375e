//! Hosts and connections between them, as flows: a message has a size and takes its time, and nothing is copied.
//!
//! A connection is a queue of messages each way. While something waits in it, a way is one flow from the sender's uplink to the
//! receiver's downlink, and across the links of their sites if those differ, at the max-min fair rate of [`super::fair`]; a message arrives its delay after its last byte has left.
//! Several messages may be under way at once: delay does not queue.
//!
//! A message of at most [`PACKET_BYTES`] that finds nothing before it is one packet. It leaves at once, at the speed of the
//! slowest link, as it would in any fair queue, and takes no part in the sharing; its bytes are added to those of the next
//! longer message on each of these links, so that none carries more than it can.
//!
//! | file | holds |
//! | --- | --- |
//! | here | hosts, the state of all, and what happens next |
//! | `conns` | connections: how they begin, and how they end |
//! | `traffic` | messages that wait, leave and arrive |
//!
//! It knows no node, no message and no fault: its driver says how long each message is delayed, which ways are
//! open, and what a closed way means. Invariant: of the events of one moment, arrivals come before departures, and
//! of two arrivals the one that was sent first.

use sta_core::model::time::Time;

use super::fair::{Fair, FlowId, LinkId, UNLIMITED};
use super::queue::Queue;
use super::timers::Timers;
use super::way::{Passage, Progress, Way, Why};
use crate::scenario::site::{Core, SiteIx};

mod conns;
mod traffic;

use conns::Conn;

/// The payload of one packet on an Ethernet.
pub const PACKET_BYTES: u64 = 1_460;

/// Bytes per second of a link that nothing limits: a terabyte, so that even then nothing takes no time.
pub const UNLIMITED_RATE: u64 = 1 << 40;
/// No cap on a way but its links'.
pub const NO_CAP: u64 = UNLIMITED;

/// Index of a host, in the order they were added.
pub type HostIx = u32;
/// A connection. Never used again.
pub type ConnIx = u32;
/// An end of a connection: 0 dialled, 1 was dialled.
pub type Side = usize;

/// What a driver is told.
#[derive(Debug)]
pub enum Happening<M> {
    /// A dial has succeeded.
    Opened(ConnIx),
    /// Somebody has dialled this connection's other end. Comes with [`Self::Opened`], after it.
    Accepted(ConnIx),
    /// A message has arrived at this end.
    Arrived(ConnIx, Side, M),
    /// The kernel of this end has taken all of a message that asked for it.
    Taken(ConnIx, Side),
    /// The connection is no more, or the dial has failed; told to the end that did not close it.
    Closed(ConnIx, Side, Why),
}

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub struct Postage {
    /// Its size, in bytes.
    pub bytes: u64,
    /// From its last byte leaving to its last byte arriving, in nanoseconds.
    pub delay: u64,
    /// Whether to say [`Happening::Taken`].
    pub tell: bool,
}

/// How somebody is dialled.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// One way, in nanoseconds.
    pub delay: u64,
    /// A fault refuses it, whoever listens.
    pub refused: bool,
    /// What passes from the dialling side, and back.
    pub passages: [Passage; 2],
    /// Bytes per second that one way carries at the most: its window over its round trip.
    pub caps: [u64; 2],
}

/// Hosts, connections, and what is to happen.
#[derive(Debug)]
pub struct Net<M> {
    now: Time,
    hosts: Vec<Host>,
    /// By site: its uplink and its downlink, where they limit anything.
    sites: Vec<Site>,
    conns: Vec<Conn>,
    fair: Fair,
    /// By the flow of each way, [`flow_of`]: what is on it,
    ways: Vec<Way<M>>,
    /// how far its first message is,
    progress: Vec<Progress>,
    /// and when it has left, or one has been taken by the kernel.
    leaving: Timers,
    queue: Queue<Planned>,
    /// Ways whose flow has nothing to send, unless something comes at the same moment.
    drained: Vec<(ConnIx, Side)>,
    settled: bool,
}

#[derive(Debug)]
struct Site {
    links: [Option<LinkId>; 2],
    /// Bytes of packets to be charged to longer messages: of the uplink, of the downlink.
    owed: [u64; 2],
}

#[derive(Debug)]
struct Host {
    up: LinkId,
    down: LinkId,
    site: Option<SiteIx>,
    /// Bytes of packets to be charged to longer messages: of the uplink, of the downlink.
    owed: [u64; 2],
    door: Door,
    conns: Vec<ConnIx>,
}

/// What becomes of dials to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Somebody listens.
    Open,
    /// Nobody does: they are refused.
    Shut,
    /// The machine is off: they are not answered.
    Dark,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// The first message of a flow has left, or one has been taken by the kernel.
    Departure(FlowId),
    /// What was planned first.
    Planned,
}

#[derive(Clone, Copy, Debug)]
enum Planned {
    /// The dial reaches the other side.
    Knock(ConnIx),
    /// The answer reaches the dialling side.
    Answer(ConnIx, bool),
    GiveUp(ConnIx),
    /// The acceptance is known on the other side.
    Accept(ConnIx),
    /// The kernel has room for a message at once.
    Take(ConnIx, u8),
    Arrive(ConnIx, u8),
}

impl<M> Default for Net<M> {
    fn default() -> Self {
        Self {
            now: Time::ZERO,
            hosts: Vec::new(),
            sites: Vec::new(),
            conns: Vec::new(),
            fair: Fair::default(),
            ways: Vec::new(),
            progress: Vec::new(),
            leaving: Timers::default(),
            queue: Queue::default(),
            drained: Vec::new(),
            settled: true,
        }
    }
}

impl<M> Net<M> {
    /// A site whose hosts send `up` and receive `down` bytes per second at the most, all together, to and from others; `None` is
    /// without limit.
    pub fn add_site(&mut self, up: Option<u64>, down: Option<u64>) -> SiteIx {
        let links = [up, down].map(|rate| rate.map(|rate| self.fair.add_link(rate)));
        self.sites.push(Site { links, owed: [0; 2] });
        self.sites.len() - 1
    }

    /// A host of `site` that sends `up` and receives `down` bytes per second at the most. Nobody listens on it yet.
    pub fn add_host(&mut self, site: Option<SiteIx>, up: u64, down: u64) -> HostIx {
        let (up, down) = (self.fair.add_link(up), self.fair.add_link(down));
        self.hosts.push(Host { up, down, site, owed: [0; 2], door: Door::Shut, conns: Vec::new() });
        self.hosts.len() as HostIx - 1
    }

    /// From now on `host` has these rates, in bytes per second.
    pub fn set_rates(&mut self, host: HostIx, up: u64, down: u64) {
        let Host { up: up_link, down: down_link, .. } = self.hosts[host as usize];
        self.fair.set_capacity(up_link, up);
        self.fair.set_capacity(down_link, down);
        self.settled = false;
    }

    /// Whether dials to `host`, which is on, are taken.
    pub fn listen(&mut self, host: HostIx, listens: bool) {
        self.hosts[host as usize].door = if listens { Door::Open } else { Door::Shut };
    }

    /// Bytes per second that `host` sends and receives at this moment.
    #[must_use]
    pub fn used(&self, host: HostIx) -> [u64; 2] {
        let host = &self.hosts[host as usize];
        [self.fair.used(host.up), self.fair.used(host.down)]
    }

    /// The hosts at the two ends of `conn`.
    #[must_use]
    pub fn ends(&self, conn: ConnIx) -> [HostIx; 2] {
        self.conns[conn as usize].hosts
    }

    /// Which end of `conn` is at `host`.
    #[must_use]
    pub fn side_of(&self, conn: ConnIx, host: HostIx) -> Side {
        usize::from(self.ends(conn)[0] != host)
    }

    /// What happens next, and when, as long as rates are what they are; the far future if nothing does.
    #[must_use]
    pub fn due(&self) -> (Time, Next) {
        let planned = self.queue.next_at();
        match self.leaving.first() {
            Some((at, flow)) if at < planned => (at, Next::Departure(FlowId(flow))),
            _ => (planned, Next::Planned),
        }
    }

    /// Lets happen what is due at this moment. It may be that nobody need be told.
    pub fn happen(&mut self, next: Next) -> Option<Happening<M>> {
        match next {
            Next::Departure(flow) => self.departure(flow),
            Next::Planned => {
                let planned = self.queue.take()?;
                self.carry_out(planned)
            }
        }
    }

    /// Lets time pass to what happens next and is to be told, by `until`: for who has nothing but a network.
    pub fn next(&mut self, until: Time) -> Option<(Time, Happening<M>)> {
        loop {
            let (mut at, mut next) = self.due();
            if at > self.now && self.settle() {
                (at, next) = self.due();
            }
            if at > until || at == Time::FAR_FUTURE {
                return None;
            }
            self.advance(at);
            if let Some(happening) = self.happen(next) {
                return Some((at, happening));
            }
        }
    }

    /// Sets the time: nothing happens between the last event and `now`.
    pub fn advance(&mut self, now: Time) {
        self.now = now;
    }

    fn plan(&mut self, after: u64, planned: Planned) {
        let at = Time::from_nanos(self.now.as_nanos().saturating_add(after));
        self.plan_at(at, planned);
    }

    fn plan_at(&mut self, at: Time, planned: Planned) {
        self.queue.plan(at, planned);
    }

    fn carry_out(&mut self, planned: Planned) -> Option<Happening<M>> {
        match planned {
            Planned::Knock(ix) => {
                self.knock(ix);
                None
            }
            Planned::Answer(ix, accepted) => self.answer(ix, accepted),
            Planned::Accept(ix) => self.accept(ix),
            Planned::GiveUp(ix) => self.give_up(ix),
            Planned::Take(ix, side) => {
                let side = usize::from(side);
                self.conns[ix as usize].open[side].then_some(Happening::Taken(ix, side))
            }
            Planned::Arrive(ix, side) => self.arrival(ix, side.into()),
        }
    }

    /// What limits what goes from one host to another beside their own links: a site's uplink, and another's downlink.
    fn crossed(&self, from: HostIx, to: HostIx) -> [Option<(SiteIx, LinkId)>; 2] {
        if self.sites.is_empty() {
            return [None; 2];
        }
        let site = |host: HostIx| self.hosts[host as usize].site;
        let [near, far] = Core::crossed(site(from), site(to));
        let link = |site: Option<SiteIx>, hop: usize| Some((site?, self.sites[site?].links[hop]?));
        [link(near, 0), link(far, 1)]
    }

    fn way(&mut self, conn: ConnIx, side: Side) -> &mut Way<M> {
        &mut self.ways[flow_of(conn, side).0 as usize]
    }
}

/// What the way from the end `side` of a connection is among the flows.
const fn flow_of(conn: ConnIx, side: Side) -> FlowId {
    FlowId(2 * conn + side as u32)
}

/// The way that is this flow.
const fn way_of(FlowId(flow): FlowId) -> (ConnIx, Side) {
    (flow / 2, flow as usize % 2)
}

#[cfg(test)]
mod tests;
