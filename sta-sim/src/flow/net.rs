//! Hosts and connections between them, as flows: a message has a size and takes its time, and nothing is copied.
//!
//! A connection is a queue of messages each way. While something waits in it, a way is one flow from the sender's uplink to the
//! receiver's downlink, at the max-min fair rate of [`super::fair`]; a message arrives its delay after its last byte has left.
//! Several messages may be under way at once: delay does not queue.
//!
//! A message of at most [`PACKET_BYTES`] that finds nothing before it is one packet. It leaves at once, at the speed of the
//! slower link, as it would in any fair queue, and takes no part in the sharing; its bytes are added to those of the next
//! longer message on each of its two links, so that no link carries more than it can.
//!
//! It knows no node, no message and no fault: its driver says how long each message is delayed, which ways are
//! open, and what a closed way means. Invariant: of the events of one moment, arrivals come before departures, and
//! of two arrivals the one that was sent first.

use sta_core::model::limits;
use sta_core::model::time::Time;

use super::fair::{Fair, FlowId, LinkId, UNLIMITED};
use super::queue::Queue;
use super::timers::Timers;
use super::way::{Freight, PARTS, Parcel, Passage, Progress, Way, Why};

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
struct Host {
    up: LinkId,
    down: LinkId,
    /// Bytes of packets to be charged to longer messages: of the uplink, of the downlink.
    owed: [u64; 2],
    listens: bool,
    conns: Vec<ConnIx>,
}

#[derive(Debug)]
struct Conn {
    hosts: [HostIx; 2],
    state: State,
    /// Ends that take part: they are told, and may send.
    open: [bool; 2],
    /// Ends whose machine went silent.
    silent: [bool; 2],
    delay: u64,
    refused: bool,
    caps: [u64; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dialling,
    /// The dial waits for a held way.
    Waiting,
    Open,
    Over,
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
    /// A host that sends `up` and receives `down` bytes per second at the most. Nobody listens on it yet.
    pub fn add_host(&mut self, up: u64, down: u64) -> HostIx {
        let (up, down) = (self.fair.add_link(up), self.fair.add_link(down));
        self.hosts.push(Host { up, down, owed: [0; 2], listens: false, conns: Vec::new() });
        self.hosts.len() as HostIx - 1
    }

    /// From now on `host` has these rates, in bytes per second.
    pub fn set_rates(&mut self, host: HostIx, up: u64, down: u64) {
        let Host { up: up_link, down: down_link, .. } = self.hosts[host as usize];
        self.fair.set_capacity(up_link, up);
        self.fair.set_capacity(down_link, down);
        self.settled = false;
    }

    /// Whether dials to `host` are answered.
    pub fn listen(&mut self, host: HostIx, listens: bool) {
        self.hosts[host as usize].listens = listens;
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

    /// The connections of `host` that are not over, oldest first.
    pub fn conns(&mut self, host: HostIx) -> Vec<ConnIx> {
        let Self { hosts, conns, .. } = self;
        let mine = &mut hosts[host as usize].conns;
        mine.retain(|&conn| conns[conn as usize].state != State::Over);
        mine.clone()
    }

    /// `from` dials `to`. [`Happening::Opened`] or [`Happening::Closed`] follows.
    pub fn dial(&mut self, from: HostIx, to: HostIx, call: Call) -> ConnIx {
        let ix = self.conns.len() as ConnIx;
        self.ways.extend(call.passages.map(Way::new));
        self.conns.push(Conn {
            hosts: [from, to],
            state: State::Dialling,
            open: [true, false],
            silent: [false; 2],
            delay: call.delay,
            refused: call.refused,
            caps: call.caps,
        });
        self.progress.extend([Progress::default(), Progress::default()]);
        for host in [from, to] {
            let list = &mut self.hosts[host as usize].conns;
            // Those that are over go when the list is about to grow: each is looked at twice at the most.
            if list.len() == list.capacity() {
                let conns = &self.conns;
                list.retain(|&conn| conns[conn as usize].state != State::Over);
            }
            list.push(ix);
        }
        self.plan(call.delay, Planned::Knock(ix));
        self.plan(limits::DIAL_TIMEOUT.as_nanos() as u64, Planned::GiveUp(ix));
        ix
    }

    /// Sends `message` from the end `side` of `conn`, after all that was sent before. Nothing is sent on a connection that
    /// is over, or closed by this end.
    pub fn send(&mut self, conn: ConnIx, side: Side, message: M, postage: Postage) {
        let Postage { bytes, delay, tell } = postage;
        if self.conns[conn as usize].open[side] && self.conns[conn as usize].state == State::Open {
            let freight = Freight::Message(message);
            self.post(conn, side, Parcel { freight, bytes, delay, tell });
        }
    }

    /// The end `side` closes `conn` after what it has sent; it is told nothing any more.
    pub fn close(&mut self, conn: ConnIx, side: Side) {
        if self.leave(conn, side) {
            let delay = self.conns[conn as usize].delay;
            let freight = Freight::End(Why::Ended);
            self.post(conn, side, Parcel { freight, bytes: 0, delay, tell: false });
        }
    }

    /// The end `side` of `conn` is gone at once, with what waited to be sent; the other learns of it as soon as can be.
    pub fn abort(&mut self, conn: ConnIx, side: Side) {
        if self.leave(conn, side) {
            self.empty(conn, side);
            let at = self.now.as_nanos() + self.conns[conn as usize].delay;
            self.depart(conn, side, Freight::End(Why::Reset), Time::from_nanos(at));
        }
    }

    /// The machine `host` is off: its ends say nothing more, and nothing reaches them.
    pub fn silence(&mut self, host: HostIx) {
        self.listen(host, false);
        for conn in self.conns(host) {
            let side = self.side_of(conn, host);
            let state = self.conns[conn as usize].state;
            self.conns[conn as usize].open[side] = false;
            self.conns[conn as usize].silent[side] = true;
            self.empty(conn, side);
            if side == 0 && state != State::Open {
                self.conns[conn as usize].state = State::Over;
            } else {
                self.set_passage(conn, 1 - side, Passage::Cut);
            }
        }
    }

    /// The machine `host` is on again and knows nothing of its old connections: those who still use them learn it.
    pub fn revive(&mut self, host: HostIx) {
        for conn in self.conns(host) {
            let side = self.side_of(conn, host);
            if self.conns[conn as usize].silent[side] && !self.way(conn, 1 - side).is_idle() {
                self.reset_by(conn, side);
            }
        }
    }

    /// From now on this passes on the way from the end `side` of `conn`.
    pub fn set_passage(&mut self, conn: ConnIx, side: Side, passage: Passage) {
        let way = self.way(conn, side);
        let before = std::mem::replace(&mut way.passage, passage);
        if before == passage {
            return;
        }
        let idle = way.is_idle();
        if passage == Passage::Cut {
            self.stop_flow(conn, side);
        } else if before == Passage::Cut && !idle {
            self.start_flow(conn, side);
        }
        if passage == Passage::Open {
            let stuck = std::mem::take(&mut self.way(conn, side).stuck);
            (0..stuck).for_each(|_| self.plan(0, Planned::Arrive(conn, side as u8)));
            if self.conns[conn as usize].state == State::Waiting {
                self.conns[conn as usize].state = State::Dialling;
                self.plan(0, Planned::Knock(conn));
            }
        }
    }

    /// From now on the way from the end `side` of `conn` carries `cap` bytes per second at the most.
    pub fn set_cap(&mut self, conn: ConnIx, side: Side, cap: u64) {
        let before = std::mem::replace(&mut self.conns[conn as usize].caps[side], cap);
        if before != cap && self.way(conn, side).flows {
            self.stop_flow(conn, side);
            self.start_flow(conn, side);
        }
    }

    /// When something happens next; the far future if nothing does. Rates are made fair first if that is not now.
    pub fn next_at(&mut self) -> Time {
        let next = self.earliest();
        if next <= self.now || self.settled {
            return next;
        }
        self.settle();
        self.earliest()
    }

    /// What happens at `now`, one at a time until there is no more; [`Self::next_at`] has said so.
    pub fn next(&mut self, now: Time) -> Option<Happening<M>> {
        self.now = now;
        loop {
            let planned = self.queue.next_at();
            match self.leaving.first() {
                Some((at, flow)) if at <= now && at < planned => {
                    if let Some(happening) = self.departure(FlowId(flow)) {
                        return Some(happening);
                    }
                }
                _ if planned <= now => {
                    let planned = self.queue.take()?;
                    if let Some(happening) = self.happen(planned) {
                        return Some(happening);
                    }
                }
                _ => return None,
            }
        }
    }

    /// Sets the time: nothing happens between the last event and `now`.
    pub fn advance(&mut self, now: Time) {
        self.now = now;
    }

    fn earliest(&self) -> Time {
        self.queue.next_at().min(self.leaving.next_at())
    }

    fn settle(&mut self) {
        while let Some((conn, side)) = self.drained.pop() {
            if self.way(conn, side).is_idle() {
                self.stop_flow(conn, side);
            }
        }
        let Self { fair, progress, leaving, now, .. } = self;
        fair.settle(|flow, rate| {
            let progress = &mut progress[flow.0 as usize];
            if progress.rate() != rate {
                progress.change_rate(rate, *now);
                leaving.set(flow.0, progress.next_at());
            }
        });
        self.settled = true;
    }

    fn plan(&mut self, after: u64, planned: Planned) {
        let at = Time::from_nanos(self.now.as_nanos().saturating_add(after));
        self.plan_at(at, planned);
    }

    fn plan_at(&mut self, at: Time, planned: Planned) {
        self.queue.plan(at, planned);
    }

    fn happen(&mut self, planned: Planned) -> Option<Happening<M>> {
        match planned {
            Planned::Knock(ix) => {
                let conn = &mut self.conns[ix as usize];
                let dialling = conn.state == State::Dialling;
                let passages = [0, 1].map(|side| self.ways[flow_of(ix, side).0 as usize].passage);
                let shut = |passage| passages.contains(&passage);
                if !dialling || shut(Passage::Cut) || conn.silent[1] {
                    return None;
                }
                if shut(Passage::Held) {
                    conn.state = State::Waiting;
                    return None;
                }
                let accepted = self.hosts[conn.hosts[1] as usize].listens && !conn.refused;
                let delay = conn.delay;
                self.plan(delay, Planned::Answer(ix, accepted));
                None
            }
            Planned::Answer(ix, accepted) => {
                let conn = &mut self.conns[ix as usize];
                if conn.state != State::Dialling {
                    return None;
                }
                if !accepted || !self.hosts[conn.hosts[1] as usize].listens {
                    conn.state = State::Over;
                    return Some(Happening::Closed(ix, 0, Why::Refused));
                }
                (conn.state, conn.open) = (State::Open, [true; 2]);
                self.plan(0, Planned::Accept(ix));
                Some(Happening::Opened(ix))
            }
            Planned::Accept(ix) => {
                let conn = &self.conns[ix as usize];
                conn.open[1].then_some(Happening::Accepted(ix))
            }
            Planned::GiveUp(ix) => {
                let conn = &mut self.conns[ix as usize];
                let dialling = matches!(conn.state, State::Dialling | State::Waiting);
                dialling.then(|| {
                    conn.state = State::Over;
                    Happening::Closed(ix, 0, Why::TimedOut)
                })
            }
            Planned::Take(ix, side) => {
                let side = usize::from(side);
                self.conns[ix as usize].open[side].then_some(Happening::Taken(ix, side))
            }
            Planned::Arrive(ix, side) => self.arrival(ix, side.into()),
        }
    }

    fn arrival(&mut self, ix: ConnIx, side: Side) -> Option<Happening<M>> {
        let way = self.way(ix, side);
        if way.passage != Passage::Open {
            way.stuck += 1;
            return None;
        }
        let freight = way.land()?;
        let conn = &mut self.conns[ix as usize];
        if !conn.open[1 - side] {
            return None;
        }
        match freight {
            Freight::Message(message) => Some(Happening::Arrived(ix, 1 - side, message)),
            Freight::End(why) => {
                conn.open = [false; 2];
                conn.state = State::Over;
                self.empty(ix, 1 - side);
                Some(Happening::Closed(ix, 1 - side, why))
            }
        }
    }

    /// The first message of `flow` has left, or one has been taken by the kernel.
    fn departure(&mut self, flow: FlowId) -> Option<Happening<M>> {
        let (ix, side) = way_of(flow);
        let (way, progress) =
            (&mut self.ways[flow.0 as usize], &mut self.progress[flow.0 as usize]);
        if way.told(progress) {
            self.leaving.set(flow.0, progress.next_at());
            return Some(Happening::Taken(ix, side));
        }
        let at = way.take_off(progress, self.now)?;
        if way.is_idle() {
            self.leaving.set(flow.0, Time::FAR_FUTURE);
            self.drained.push((ix, side));
            self.settled = false;
        } else {
            self.begin(ix, side);
        }
        self.plan_at(at, Planned::Arrive(ix, side as u8));
        None
    }

    /// Sends what nothing waits before.
    fn depart(&mut self, ix: ConnIx, side: Side, freight: Freight<M>, at: Time) {
        let at = self.way(ix, side).fly(freight, at);
        self.plan_at(at, Planned::Arrive(ix, side as u8));
    }

    /// Puts something into the queue of a way.
    fn post(&mut self, ix: ConnIx, side: Side, parcel: Parcel<M>) {
        let conn = &self.conns[ix as usize];
        if conn.silent[1 - side] && self.hosts[conn.hosts[1 - side] as usize].listens {
            self.reset_by(ix, 1 - side);
            return;
        }
        let flow = flow_of(ix, side);
        let way = &mut self.ways[flow.0 as usize];
        let idle = way.is_idle();
        if idle && way.passage != Passage::Cut && parcel.bytes <= PACKET_BYTES && !parcel.tell {
            let [from, to] = if side == 0 { conn.hosts } else { [conn.hosts[1], conn.hosts[0]] };
            self.hosts[from as usize].owed[0] += parcel.bytes;
            self.hosts[to as usize].owed[1] += parcel.bytes;
            let (up, down) = (self.hosts[from as usize].up, self.hosts[to as usize].down);
            let rate = self.fair.capacity(up).min(self.fair.capacity(down)).max(1);
            let after = (parcel.bytes * PARTS).div_ceil(rate) + parcel.delay;
            let at = Time::from_nanos(self.now.as_nanos().saturating_add(after));
            self.depart(ix, side, parcel.freight, at);
            return;
        }
        let progress = &mut self.progress[flow.0 as usize];
        let taken = way.push(parcel, progress, self.now);
        if idle {
            let passes = way.passage != Passage::Cut;
            self.begin(ix, side);
            if passes {
                self.start_flow(ix, side);
            }
        } else if way.flows {
            self.leaving.set(flow.0, progress.next_at());
        }
        if taken {
            self.plan(0, Planned::Take(ix, side as u8));
        }
    }

    /// The first message in the queue of a way begins, with the packets that its links owe.
    fn begin(&mut self, ix: ConnIx, side: Side) {
        let conn = &mut self.conns[ix as usize];
        let up = std::mem::take(&mut self.hosts[conn.hosts[side] as usize].owed[0]);
        let down = std::mem::take(&mut self.hosts[conn.hosts[1 - side] as usize].owed[1]);
        let flow = flow_of(ix, side);
        let way = &mut self.ways[flow.0 as usize];
        let progress = &mut self.progress[flow.0 as usize];
        way.begin(up.max(down), progress, self.now);
        if way.flows {
            self.leaving.set(flow.0, progress.next_at());
        }
    }

    fn start_flow(&mut self, ix: ConnIx, side: Side) {
        if std::mem::replace(&mut self.way(ix, side).flows, true) {
            return;
        }
        let conn = &self.conns[ix as usize];
        let up = self.hosts[conn.hosts[side] as usize].up;
        let down = self.hosts[conn.hosts[1 - side] as usize].down;
        let flow = flow_of(ix, side);
        self.fair.start(flow, up, down, conn.caps[side]);
        self.progress[flow.0 as usize].change_rate(0, self.now);
        self.settled = false;
    }

    fn stop_flow(&mut self, ix: ConnIx, side: Side) {
        if std::mem::take(&mut self.way(ix, side).flows) {
            let flow = flow_of(ix, side);
            self.progress[flow.0 as usize].rest(self.now);
            self.fair.end(flow);
            self.leaving.set(flow.0, Time::FAR_FUTURE);
            self.settled = false;
        }
    }

    /// The end `side` takes no part any more. Returns whether there is another end to be told.
    fn leave(&mut self, ix: ConnIx, side: Side) -> bool {
        let conn = &mut self.conns[ix as usize];
        if !std::mem::replace(&mut conn.open[side], false) {
            return false;
        }
        let told = conn.state == State::Open && conn.open[1 - side];
        if !told {
            conn.state = State::Over;
            self.empty(ix, side);
        }
        self.empty(ix, 1 - side);
        told
    }

    /// What waits to be sent by the end `side` never will be.
    fn empty(&mut self, ix: ConnIx, side: Side) {
        self.way(ix, side).clear();
        self.stop_flow(ix, side);
    }

    /// The machine at the end `side` knows nothing of the connection: the other end learns it.
    fn reset_by(&mut self, ix: ConnIx, side: Side) {
        let conn = &mut self.conns[ix as usize];
        conn.silent[side] = false;
        let at = self.now.as_nanos().saturating_add(2 * conn.delay);
        self.way(ix, side).passage = Passage::Open;
        self.empty(ix, 1 - side);
        self.depart(ix, side, Freight::End(Why::Reset), Time::from_nanos(at));
    }

    fn way(&mut self, conn: ConnIx, side: Side) -> &mut Way<M> {
        &mut self.ways[flow_of(conn, side).0 as usize]
    }

    fn side_of(&self, conn: ConnIx, host: HostIx) -> Side {
        usize::from(self.conns[conn as usize].hosts[0] != host)
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
