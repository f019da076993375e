//! Hosts with their processes on a network of flows: carries what the engine's machines say to where it belongs.
//!
//! It decides nothing that the product decides: a node's outputs become messages, writes and events, and what comes of
//! them becomes its inputs. Work inside a process takes no time. Invariant: what happens depends on the plan, its seed and
//! what [`Cluster`]'s caller did, and on nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use sta_core::engine::interface::{ConnId, Input, Output, Torrent};
use sta_core::engine::registry;
use sta_core::io::observer::Observer;
use sta_core::model::address::Address;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::config::EngineConfig;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::InfoHash;
use sta_core::model::layout::{Block, Layout};
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;

use super::letter::Letter;
use super::machine::{Machine, Process, Told, address, host_at};
use super::net::{Call, ConnIx, Happening, HostIx, NO_CAP, Net, Postage, Side, UNLIMITED_RATE};
use super::timers::Timers;
use super::way::{Passage, Why};
use crate::scenario::dist::below_million;
use crate::scenario::driver::DiskState;
use crate::scenario::network::{Edge, Link, Network};
use crate::scenario::plan::{Behaviour, ContentIx, HostPlan, Plan, Role};
use crate::world::behaviour::up_of;

/// How much of what happens is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Not what happens to single blocks and pieces.
    Milestones,
    /// Not what happens to single blocks.
    Pieces,
    /// Everything.
    Blocks,
}

/// A content of the plan, as a torrent.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// What it is known by.
    pub info_hash: InfoHash,
    /// How it is cut.
    pub layout: Layout,
}

/// All hosts.
pub struct Cluster {
    now: Time,
    net: Net<Letter>,
    machines: Vec<Machine>,
    plans: Vec<HostPlan>,
    contents: Vec<Content>,
    by_hash: BTreeMap<InfoHash, ContentIx>,
    /// What each end of a connection is to its process.
    labels: Vec<[Label; 2]>,
    wakes: Timers,
    /// What a disk does later, and for which life of which host.
    later: BinaryHeap<Reverse<(Time, u64)>>,
    chores: BTreeMap<u64, (HostIx, u32, Chore)>,
    chores_made: u64,
    core_latency: Duration,
    edges: Vec<Edge>,
    /// The faults under way, once there has been one.
    network: Option<Network>,
    observer: Box<dyn Observer>,
    detail: Detail,
    tally: Tally,
    /// Bytes that each host has verified, and that it takes part in.
    progress: Vec<[u64; 2]>,
    /// By host: the contents that it has said to be complete.
    finished: Vec<BTreeSet<ContentIx>>,
    /// Nodes that have not said so of everything they take part in.
    incomplete: BTreeSet<HostIx>,
    /// Whose process was told something last.
    active: HostIx,
}

/// Counts kept of everything, recorded or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Things that happened: messages, timers, departures.
    pub events: u64,
    /// Per host: payload bytes sent, received, and received in vain.
    pub payload: Vec<[u64; 3]>,
    /// Per host: when it was complete, the first time.
    pub complete: Vec<Option<Time>>,
    /// Per host: messages that reached it as a tracker.
    pub heard: Vec<u64>,
}

#[derive(Clone, Debug)]
enum Label {
    None,
    Peer(ConnId),
    Tracker(Address),
    Client,
}

#[derive(Debug)]
enum Chore {
    Tell(Input),
    Post { conn: ConnIx, side: Side, letter: Letter },
}

impl Cluster {
    /// The hosts of `plan`, with what is on their disks. Nothing runs yet. `observer` is told what happens, up to `detail`.
    #[must_use]
    pub fn new(plan: &Plan, observer: Box<dyn Observer>, detail: Detail) -> Self {
        let seed = Seed(plan.seed);
        let contents: Vec<Content> = plan
            .contents
            .iter()
            .enumerate()
            .map(|(ix, content)| Content { info_hash: info_hash(ix), layout: content.layout })
            .collect();
        let by_hash = contents.iter().zip(0..).map(|(c, ix)| (c.info_hash, ix)).collect();
        let hosts = plan.hosts.len();
        let tally = Tally {
            payload: vec![[0; 3]; hosts],
            complete: vec![None; hosts],
            heard: vec![0; hosts],
            ..Tally::default()
        };
        let mut cluster = Self {
            now: Time::ZERO,
            net: Net::default(),
            machines: Vec::with_capacity(hosts),
            plans: plan.hosts.clone(),
            contents,
            by_hash,
            labels: Vec::new(),
            wakes: Timers::default(),
            later: BinaryHeap::new(),
            chores: BTreeMap::new(),
            chores_made: 0,
            core_latency: plan.core_latency,
            edges: Vec::with_capacity(hosts),
            network: None,
            observer,
            detail,
            tally,
            progress: vec![[0; 2]; hosts],
            finished: vec![BTreeSet::new(); hosts],
            incomplete: BTreeSet::new(),
            active: 0,
        };
        for host in &plan.hosts {
            cluster.add(host, seed);
        }
        cluster
    }

    fn add(&mut self, plan: &HostPlan, seed: Seed) {
        let mut machine = Machine::new(plan, seed);
        for take in &plan.takes {
            let mut have = Bitfield::empty(self.contents[take.content].layout.pieces());
            take.have.iter().for_each(|&range| have.insert_range(range, |_| {}));
            machine.disk.hold(take.content, have);
        }
        self.machines.push(machine);
        self.edges.push(Edge {
            up: plan.up,
            down: plan.down,
            latency: plan.latency,
            jitter: plan.jitter,
            loss: plan.loss,
            cause: None,
        });
        let host = self.net.add_host(UNLIMITED_RATE, UNLIMITED_RATE);
        self.apply_rates(host);
        self.count_progress(host);
    }

    /// The moment it is.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Counts of what happened.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The contents as torrents.
    #[must_use]
    pub fn contents(&self) -> &[Content] {
        &self.contents
    }

    /// Bytes that `host` has verified and kept, and bytes it takes part in.
    #[must_use]
    pub fn progress(&self, host: HostIx) -> [u64; 2] {
        self.progress[host as usize]
    }

    /// The nodes that have not said that they lack nothing, running or not.
    pub fn incomplete(&self) -> impl Iterator<Item = HostIx> {
        self.incomplete.iter().copied()
    }

    /// Whose process was told something last: whose code panicked, if one did.
    #[must_use]
    pub const fn active(&self) -> HostIx {
        self.active
    }

    /// Messages that `host` has received as a tracker.
    #[must_use]
    pub fn tracker_heard(&self, host: HostIx) -> u64 {
        self.tally.heard[host as usize]
    }

    /// The pieces of `content` that `host` says it has, and those of them whose bytes are wrong, ascending.
    #[must_use]
    pub fn claims(&self, host: HostIx, content: ContentIx) -> Option<(Bitfield, Vec<u32>)> {
        let machine = &self.machines[host as usize];
        let kept = machine.disk.kept(content)?;
        let claims = machine.claims(kept);
        let wrong = claims.iter().filter(|&piece| !kept.is_right(piece)).collect();
        Some((claims, wrong))
    }

    /// Bytes per second that `host` sends and receives at this moment.
    #[must_use]
    pub fn used(&self, host: HostIx) -> [u64; 2] {
        self.net.used(host)
    }

    /// When something happens next, if nothing is done before; the far future if nothing will.
    pub fn next_at(&mut self) -> Time {
        let chore = self.later.peek().map_or(Time::FAR_FUTURE, |Reverse((at, _))| *at);
        // The network is asked last: it makes its rates fair before it looks beyond this moment.
        self.wakes.next_at().min(chore).min(self.net.next_at())
    }

    /// Lets happen what happens at `now`, which [`Self::next_at`] gave or which is before that.
    pub fn run_to(&mut self, now: Time) {
        self.now = now;
        self.net.advance(now);
        loop {
            if let Some(happening) = self.net.next(now) {
                self.tally.events += 1;
                self.happened(happening);
            } else if let Some(Reverse((at, chore))) = self.later.peek().copied()
                && at <= now
            {
                self.later.pop();
                self.do_chore(chore);
            } else if let Some((at, host)) = self.wakes.first()
                && at <= now
            {
                self.tally.events += 1;
                self.wake(host);
            } else {
                return;
            }
        }
    }

    /// Starts the process of `host` on its disk as it is.
    pub fn start(&mut self, host: HostIx) {
        if self.machines[host as usize].process.is_some() {
            return;
        }
        self.machines[host as usize].disk.restart(self.now);
        self.count_progress(host);
        let torrents = self.torrents_of(host);
        let restored = self.machines[host as usize].start(torrents, self.now);
        self.net.listen(host, true);
        if std::mem::take(&mut self.machines[host as usize].was_off) {
            self.net.revive(host);
        }
        let listen = Address::from(address(host));
        match self.machines[host as usize].role {
            Role::Node => self.observe(host, Event::NodeStarted { listen }),
            Role::Tracker => self.observe(host, Event::TrackerStarted { listen, restored }),
        }
        self.drain(host);
    }

    /// Stops the process of `host` in order.
    pub fn leave(&mut self, host: HostIx) {
        self.resume(host);
        match self.machines[host as usize].role {
            Role::Node => self.tell(host, Told::Node(Input::Stop)),
            Role::Tracker => self.tell(host, Told::Tracker(registry::Input::Stop)),
        }
        self.end_process(host);
        for conn in self.net.conns(host) {
            let side = self.side_of(conn, host);
            self.net.close(conn, side);
        }
    }

    /// The process of `host` dies; the kernel closes its connections.
    pub fn crash(&mut self, host: HostIx) {
        self.end_process(host);
        for conn in self.net.conns(host) {
            let side = self.side_of(conn, host);
            self.net.abort(conn, side);
        }
    }

    /// The machine goes silent.
    pub fn power_off(&mut self, host: HostIx) {
        self.end_process(host);
        self.machines[host as usize].was_off = true;
        self.net.silence(host);
    }

    /// Nothing is on the disk of `host`, whose process does not run.
    pub fn empty_disk(&mut self, host: HostIx) {
        self.machines[host as usize].empty_disk();
        self.count_progress(host);
    }

    /// The disk of `host` is so from now on.
    pub fn set_disk(&mut self, host: HostIx, state: DiskState) {
        self.machines[host as usize].disk.state = state;
    }

    /// `host` behaves so from now on. Returns whether its process must start again for that.
    pub fn behave(&mut self, host: HostIx, behaviour: Behaviour) -> bool {
        let of_the_link = |behaviour| {
            matches!(behaviour, Behaviour::Honest | Behaviour::Corrupt(_) | Behaviour::Slowloris(_))
        };
        let machine = &mut self.machines[host as usize];
        let was = std::mem::replace(&mut machine.behaviour, behaviour);
        let restart = was != behaviour && !(of_the_link(was) && of_the_link(behaviour));
        self.apply_rates(host);
        restart && self.runs(host)
    }

    /// The engine of `host` has these knobs from its next start on. Returns whether that is another thing now.
    pub fn set_engine(&mut self, host: HostIx, engine: EngineConfig) -> bool {
        let was = std::mem::replace(&mut self.machines[host as usize].engine, engine);
        was != self.machines[host as usize].engine && self.runs(host)
    }

    fn runs(&self, host: HostIx) -> bool {
        self.machines[host as usize].process.is_some()
    }

    /// Time passes, and nothing happens.
    pub fn advance(&mut self, now: Time) {
        self.now = now;
        self.net.advance(now);
    }

    /// The process of `host` stands still.
    pub fn pause(&mut self, host: HostIx) {
        self.machines[host as usize].paused = self.machines[host as usize].process.is_some();
        self.rearm(host);
    }

    /// The process of `host` goes on.
    pub fn resume(&mut self, host: HostIx) {
        self.machines[host as usize].paused = false;
        for told in std::mem::take(&mut self.machines[host as usize].backlog) {
            self.tell(host, told);
        }
        self.rearm(host);
    }

    /// The links or the edge of `host` are now as `network` says. Returns how many of its connections that closes.
    pub fn set_network(&mut self, host: HostIx, network: &Network) -> u64 {
        let mut touched = 0;
        self.edges[host as usize] = network.edge(host as usize);
        self.network = Some(network.clone());
        self.apply_rates(host);
        for conn in self.net.conns(host) {
            let ends = self.net.ends(conn);
            let mut shut = false;
            for side in 0..2 {
                let link = self.link(ends[side], ends[1 - side]);
                shut |= !link.passes();
                self.net.set_passage(conn, side, passage(link));
            }
            touched += u64::from(shut);
        }
        touched
    }

    /// Breaks the connections between `host` and `peers` at both ends. Returns how many.
    pub fn reset(&mut self, host: HostIx, peers: &[usize]) -> u64 {
        let mut touched = 0;
        for conn in self.net.conns(host) {
            let side = self.side_of(conn, host);
            let other = self.net.ends(conn)[1 - side];
            if peers.contains(&(other as usize)) {
                self.net.abort(conn, side);
                self.end_told(conn, side, Why::Reset);
                touched += 1;
            }
        }
        touched
    }

    /// These pieces of `host` have other bytes from now on.
    pub fn rot(&mut self, host: HostIx, pieces: &[(ContentIx, u32)]) {
        for &(content, piece) in pieces {
            self.machines[host as usize].disk.rot(content, piece);
        }
    }

    /// The pieces of `content` that `host` holds, verified.
    #[must_use]
    pub fn holds(&self, host: HostIx, content: ContentIx) -> Option<&Bitfield> {
        self.machines[host as usize].disk.kept(content).map(|kept| &kept.have)
    }

    /// Bytes that `host` sends and receives at the most are what its edge says now.
    fn apply_rates(&mut self, host: HostIx) {
        let edge = &self.edges[host as usize];
        let up = up_of(self.machines[host as usize].behaviour, edge.up).unwrap_or(UNLIMITED_RATE);
        self.net.set_rates(host, up, edge.down.unwrap_or(UNLIMITED_RATE));
    }

    /// How much of what it takes part in `host` has.
    fn count_progress(&mut self, host: HostIx) {
        let count = |content: ContentIx| {
            let layout = self.contents[content].layout;
            let kept = self.machines[host as usize].disk.kept(content);
            let have = kept.into_iter().flat_map(|kept| kept.have.iter());
            [have.map(|piece| u64::from(layout.piece_len(piece))).sum(), layout.total()]
        };
        let takes = self.plans[host as usize].takes.iter().map(|take| count(take.content));
        let progress = takes.fold([0, 0], |[a, b], [have, of]: [u64; 2]| [a + have, b + of]);
        self.progress[host as usize] = progress;
        self.finished[host as usize].clear();
        if !self.plans[host as usize].takes.is_empty() {
            self.incomplete.insert(host);
        }
    }

    /// The node has said that a torrent is complete.
    fn finish(&mut self, host: HostIx, torrent: InfoHash) {
        let finished = &mut self.finished[host as usize];
        finished.extend(self.by_hash.get(&torrent));
        if finished.len() == self.plans[host as usize].takes.len() {
            self.incomplete.remove(&host);
        }
    }

    fn torrents_of(&self, host: HostIx) -> Vec<Torrent> {
        let trackers: Vec<Address> = (0..)
            .zip(&self.plans)
            .filter(|(_, plan)| plan.role == Role::Tracker)
            .map(|(ix, _)| address(ix).into())
            .collect();
        let torrent = |content: ContentIx| {
            let Content { info_hash, layout } = self.contents[content];
            let machine = &self.machines[host as usize];
            let kept = machine.disk.kept(content);
            let have = kept.map_or_else(|| Bitfield::empty(layout.pieces()), |k| machine.claims(k));
            let (trackers, peers) = (trackers.clone(), Vec::new());
            Torrent { info_hash, layout, have, trackers, peers, fetch: true }
        };
        self.plans[host as usize].takes.iter().map(|take| torrent(take.content)).collect()
    }

    fn end_process(&mut self, host: HostIx) {
        self.machines[host as usize].stop();
        self.net.listen(host, false);
        self.wakes.set(host, Time::FAR_FUTURE);
    }

    fn side_of(&self, conn: ConnIx, host: HostIx) -> Side {
        usize::from(self.net.ends(conn)[0] != host)
    }

    fn link(&self, from: HostIx, to: HostIx) -> Link {
        let network = self.network.as_ref();
        network.map_or_else(Link::default, |network| network.link(from as usize, to as usize))
    }

    /// How long a message sent now from `from` is on its way to `to`, once it has left.
    fn delay(&mut self, from: HostIx, to: HostIx) -> u64 {
        let (near, far) = (&self.edges[from as usize], &self.edges[to as usize]);
        let fixed = (near.latency + far.latency + self.core_latency).as_nanos() as u64;
        let clog = self.link(from, to).clog;
        let rng = &mut self.machines[from as usize].rng;
        let jitter = self.edges[from as usize].jitter;
        let jitter = jitter.constant().unwrap_or_else(|| jitter.draw(rng));
        fixed + jitter + clog.map_or(0, |clog| clog.draw(rng))
    }

    fn happened(&mut self, happening: Happening<Letter>) {
        match happening {
            Happening::Opened(conn) => self.opened(conn),
            Happening::Accepted(conn) => self.accepted(conn),
            Happening::Arrived(conn, side, letter) => self.arrived(conn, side, letter),
            Happening::Taken(conn, side) => {
                if let Label::Peer(id) = self.labels[conn as usize][side] {
                    let host = self.net.ends(conn)[side];
                    self.tell(host, Told::Node(Input::Sent { conn: id }));
                }
            }
            Happening::Closed(conn, side, why) => self.end_told(conn, side, why),
        }
    }

    fn opened(&mut self, conn: ConnIx) {
        let [from, to] = self.net.ends(conn);
        let remote = address(to);
        let input = match &self.labels[conn as usize][0] {
            Label::Peer(id) => Input::Dialled { conn: *id, remote },
            Label::Tracker(tracker) => Input::TrackerOpened { tracker: tracker.clone(), remote },
            Label::None | Label::Client => return,
        };
        self.tell(from, Told::Node(input));
    }

    fn accepted(&mut self, conn: ConnIx) {
        let [from, to] = self.net.ends(conn);
        let (remote, local) = (address(from), address(to));
        let label = &mut self.labels[conn as usize][1];
        let told = match &mut self.machines[to as usize].process {
            Some(Process::Node(process)) => {
                process.accepted += 1;
                let id = ConnId::Accepted(process.accepted);
                process.conns.insert(id, conn);
                *label = Label::Peer(id);
                Told::Node(Input::Accepted { conn: id, remote })
            }
            Some(Process::Tracker(_)) => {
                *label = Label::Client;
                let conn = registry::ConnId(conn.into());
                Told::Tracker(registry::Input::Opened { conn, remote, local })
            }
            None => return,
        };
        self.tell(to, told);
    }

    fn arrived(&mut self, conn: ConnIx, side: Side, letter: Letter) {
        let host = self.net.ends(conn)[side];
        let told = match (&self.labels[conn as usize][side], letter) {
            (Label::Peer(id), Letter::Peer(message)) => {
                Told::Node(Input::Message { conn: *id, message })
            }
            (Label::Peer(conn), Letter::Block { id, block, wrong }) => {
                self.machines[host as usize].disk.incoming = wrong;
                Told::Node(Input::Block { conn: *conn, id, block })
            }
            (Label::Tracker(tracker), Letter::FromTracker(message)) => {
                Told::Node(Input::TrackerMessage { tracker: tracker.clone(), message })
            }
            (Label::Client, Letter::ToTracker(message)) => {
                self.tally.heard[host as usize] += 1;
                let conn = registry::ConnId(conn.into());
                Told::Tracker(registry::Input::Message { conn, message })
            }
            // A node dialled what is a tracker, or the other way round: real ones would see garbage and hang up.
            _ => {
                self.net.close(conn, side);
                return self.end_told(conn, side, Why::Ended);
            }
        };
        self.tell(host, told);
    }

    /// The end `side` learns that its connection is no more.
    fn end_told(&mut self, conn: ConnIx, side: Side, why: Why) {
        let host = self.net.ends(conn)[side];
        let label = std::mem::replace(&mut self.labels[conn as usize][side], Label::None);
        let process = self.machines[host as usize].process.as_mut();
        let why = why.to_string();
        let told = match (label, process) {
            (Label::Peer(id), Some(Process::Node(process))) => {
                process.conns.remove(&id);
                Told::Node(Input::Closed { conn: id, why })
            }
            (Label::Tracker(tracker), Some(Process::Node(process))) => {
                process.trackers.remove(&tracker);
                Told::Node(Input::TrackerClosed { tracker, why })
            }
            (Label::Client, Some(Process::Tracker(_))) => {
                Told::Tracker(registry::Input::Closed { conn: registry::ConnId(conn.into()) })
            }
            _ => return,
        };
        self.tell(host, told);
    }

    fn wake(&mut self, host: HostIx) {
        self.wakes.set(host, Time::FAR_FUTURE);
        match self.machines[host as usize].role {
            Role::Node => self.tell(host, Told::Node(Input::Tick)),
            Role::Tracker => self.tell(host, Told::Tracker(registry::Input::Tick)),
        }
    }

    /// Tells a process something, and does what it wants done.
    fn tell(&mut self, host: HostIx, told: Told) {
        self.active = host;
        let machine = &mut self.machines[host as usize];
        if machine.paused {
            machine.backlog.push_back(told);
            return;
        }
        match (&mut machine.process, told) {
            (Some(Process::Node(process)), Told::Node(input)) => {
                process.node.handle(input, self.now);
            }
            (Some(Process::Tracker(registry)), Told::Tracker(input)) => {
                registry.handle(input, self.now);
            }
            _ => return,
        }
        self.drain(host);
    }

    /// Does all that the process of `host` wants done.
    fn drain(&mut self, host: HostIx) {
        let mut answers = VecDeque::new();
        loop {
            match &mut self.machines[host as usize].process {
                Some(Process::Node(process)) => {
                    if let Some(output) = process.node.poll_output() {
                        self.perform(host, output, &mut answers);
                    } else if let Some(input) = answers.pop_front() {
                        process.node.handle(input, self.now);
                    } else {
                        break;
                    }
                }
                Some(Process::Tracker(registry)) => {
                    let Some(output) = registry.poll_output() else { break };
                    self.perform_tracker(host, output);
                }
                None => break,
            }
        }
        self.rearm(host);
    }

    fn rearm(&mut self, host: HostIx) {
        self.wakes.set(host, self.machines[host as usize].deadline().max(self.now));
    }

    fn perform_tracker(&mut self, host: HostIx, output: registry::Output) {
        match output {
            registry::Output::Send { conn, message } => {
                self.post(conn.0 as ConnIx, 1, Letter::FromTracker(message));
            }
            registry::Output::Close { conn, .. } => {
                self.labels[conn.0 as usize][1] = Label::None;
                self.net.close(conn.0 as ConnIx, 1);
            }
            registry::Output::Persist(changes) => {
                self.machines[host as usize].write_down(changes);
            }
            registry::Output::Event(event) => self.observe(host, event),
        }
    }

    fn perform(&mut self, host: HostIx, output: Output, answers: &mut VecDeque<Input>) {
        match output {
            Output::Dial { conn, addr } => self.dial(host, &addr, Label::Peer(conn)),
            Output::TrackerDial { tracker } => {
                let label = Label::Tracker(tracker.clone());
                self.dial(host, &tracker, label);
            }
            Output::Send { conn, message } => {
                if let Some((conn, side)) = self.peer_conn(host, conn) {
                    self.post(conn, side, Letter::Peer(message));
                }
            }
            Output::SendBlock { conn, id, torrent, block } => {
                if let Some((conn, side)) = self.peer_conn(host, conn) {
                    self.send_block(host, (conn, side), id, torrent, block);
                }
            }
            Output::Close { conn, .. } => {
                if let Some((ix, side)) = self.peer_conn(host, conn) {
                    self.hang_up(host, ix, side);
                }
            }
            Output::TrackerSend { tracker, message } => {
                if let Some((conn, side)) = self.tracker_conn(host, &tracker) {
                    self.post(conn, side, Letter::ToTracker(message));
                }
            }
            Output::TrackerClose { tracker } => {
                if let Some((ix, side)) = self.tracker_conn(host, &tracker) {
                    self.hang_up(host, ix, side);
                }
            }
            Output::Keep { torrent, block } => {
                let Some(&content) = self.by_hash.get(&torrent) else { return };
                let disk = &mut self.machines[host as usize].disk;
                let (at, result) = disk.write(content, block, disk.incoming, self.now);
                self.answer(host, at, Input::Written { torrent, block, result }, answers);
            }
            Output::Check { torrent, piece } => {
                let Some(&content) = self.by_hash.get(&torrent) else { return };
                let disk = &mut self.machines[host as usize].disk;
                let (at, right) = disk.check(content, piece, self.now);
                let result = Ok(right);
                self.answer(host, at, Input::Checked { torrent, piece, result }, answers);
            }
            Output::Finish { torrent } => {
                let input = Input::Finished { torrent, result: Ok(()) };
                self.answer(host, self.now, input, answers);
            }
            Output::Event(event) => self.observe(host, event),
            Output::Forget { .. } | Output::Stopped => {}
        }
    }

    /// An answer of the disk: now, or when it is ready.
    fn answer(&mut self, host: HostIx, at: Time, input: Input, answers: &mut VecDeque<Input>) {
        if at <= self.now {
            answers.push_back(input);
        } else {
            self.chore(host, at, Chore::Tell(input));
        }
    }

    fn chore(&mut self, host: HostIx, at: Time, chore: Chore) {
        self.chores_made += 1;
        self.later.push(Reverse((at, self.chores_made)));
        let life = self.machines[host as usize].life;
        self.chores.insert(self.chores_made, (host, life, chore));
    }

    fn do_chore(&mut self, chore: u64) {
        let Some((host, life, chore)) = self.chores.remove(&chore) else { return };
        if self.machines[host as usize].life == life {
            match chore {
                Chore::Tell(input) => self.tell(host, Told::Node(input)),
                Chore::Post { conn, side, letter } => self.post(conn, side, letter),
            }
        }
    }

    fn dial(&mut self, host: HostIx, addr: &Address, label: Label) {
        let Some(to) = host_at(addr, self.machines.len()) else {
            return self.unreachable(host, label);
        };
        let (there, back) = (self.link(host, to), self.link(to, host));
        let call = Call {
            delay: self.delay(host, to),
            refused: there.refused,
            passages: [passage(there), passage(back)],
            caps: [NO_CAP; 2],
        };
        let conn = self.net.dial(host, to, call);
        if let Some(Process::Node(process)) = &mut self.machines[host as usize].process {
            match &label {
                Label::Peer(id) => process.conns.insert(*id, conn),
                Label::Tracker(tracker) => process.trackers.insert(tracker.clone(), conn),
                Label::None | Label::Client => None,
            };
        }
        self.labels.push([label, Label::None]);
    }

    /// Nobody has the address that was dialled.
    fn unreachable(&mut self, host: HostIx, label: Label) {
        let why = "no route to host".to_owned();
        let input = match label {
            Label::Peer(conn) => Input::Closed { conn, why },
            Label::Tracker(tracker) => Input::TrackerClosed { tracker, why },
            Label::None | Label::Client => return,
        };
        self.chore(host, self.now + Duration::from_millis(1), Chore::Tell(input));
    }

    fn peer_conn(&self, host: HostIx, conn: ConnId) -> Option<(ConnIx, Side)> {
        let Some(Process::Node(process)) = &self.machines[host as usize].process else {
            return None;
        };
        let ix = *process.conns.get(&conn)?;
        Some((ix, self.side_of(ix, host)))
    }

    fn tracker_conn(&self, host: HostIx, tracker: &Address) -> Option<(ConnIx, Side)> {
        let Some(Process::Node(process)) = &self.machines[host as usize].process else {
            return None;
        };
        let ix = *process.trackers.get(tracker)?;
        Some((ix, self.side_of(ix, host)))
    }

    fn hang_up(&mut self, host: HostIx, conn: ConnIx, side: Side) {
        let label = std::mem::replace(&mut self.labels[conn as usize][side], Label::None);
        if let Some(Process::Node(process)) = &mut self.machines[host as usize].process {
            match label {
                Label::Peer(id) => process.conns.remove(&id),
                Label::Tracker(tracker) => process.trackers.remove(&tracker),
                Label::None | Label::Client => None,
            };
        }
        self.net.close(conn, side);
    }

    fn send_block(
        &mut self,
        host: HostIx,
        (conn, side): (ConnIx, Side),
        id: u64,
        torrent: InfoHash,
        block: Block,
    ) {
        let machine = &mut self.machines[host as usize];
        let kept = self.by_hash.get(&torrent).and_then(|&content| machine.disk.kept(content));
        let mut wrong = kept.is_some_and(|kept| !kept.is_right(block.piece));
        if let Behaviour::Corrupt(share) = machine.behaviour {
            wrong |= below_million(&mut machine.rng) < share.0;
        }
        let letter = Letter::Block { id, block, wrong };
        let at = machine.disk.read(block.len, self.now);
        if at <= self.now {
            self.post(conn, side, letter);
        } else {
            self.chore(host, at, Chore::Post { conn, side, letter });
        }
    }

    fn post(&mut self, conn: ConnIx, side: Side, letter: Letter) {
        let ends = self.net.ends(conn);
        let delay = self.delay(ends[side], ends[1 - side]);
        let tell = matches!(letter, Letter::Block { .. });
        let postage = Postage { bytes: letter.bytes(), delay, tell };
        self.net.send(conn, side, letter, postage);
    }

    /// A piece was verified: it is on the disk for good.
    fn keep(&mut self, host: HostIx, torrent: InfoHash, piece: u32) {
        let Some(&content) = self.by_hash.get(&torrent) else { return };
        if self.machines[host as usize].disk.keep(content, piece) {
            let length = self.contents[content].layout.piece_len(piece);
            self.progress[host as usize][0] += u64::from(length);
        }
    }

    fn observe(&mut self, host: HostIx, event: Event) {
        let payload = &mut self.tally.payload[host as usize];
        let level = match &event {
            Event::BlockSent { block, .. } => {
                payload[0] += u64::from(block.len);
                Detail::Blocks
            }
            Event::BlockReceived { block, useful, .. } => {
                payload[1] += u64::from(block.len);
                payload[2] += if *useful { 0 } else { u64::from(block.len) };
                Detail::Blocks
            }
            Event::BlockAsked { .. } => Detail::Blocks,
            Event::PieceAnnounced { .. } => Detail::Pieces,
            Event::PieceVerified { torrent, piece } => {
                self.keep(host, *torrent, *piece);
                Detail::Pieces
            }
            Event::TorrentAdded { torrent, pieces, have } if have == pieces => {
                self.finish(host, *torrent);
                Detail::Milestones
            }
            Event::TorrentComplete { torrent, .. } => {
                self.finish(host, *torrent);
                self.tally.complete[host as usize].get_or_insert(self.now);
                Detail::Milestones
            }
            _ => Detail::Milestones,
        };
        if level <= self.detail {
            let who = self.machines[host as usize].id.clone();
            self.observer.observe(&Record { at: self.now, who, event });
        }
    }
}

/// What a content of a plan is known by: there are no bytes to hash.
fn info_hash(content: ContentIx) -> InfoHash {
    let mut hash = [0; 20];
    hash[..8].copy_from_slice(&(content as u64 + 1).to_be_bytes());
    InfoHash(hash)
}

const fn passage(link: Link) -> Passage {
    if link.cut {
        Passage::Cut
    } else if link.held {
        Passage::Held
    } else {
        Passage::Open
    }
}
