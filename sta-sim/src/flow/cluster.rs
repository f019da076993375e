//! Hosts with their processes on a network of flows: carries what the engine's machines say to where it belongs.
//!
//! It decides nothing that the product decides: a node's outputs become messages, writes and events, and what comes of
//! them becomes its inputs. Work inside a process takes no time. Invariant: what happens depends on the plan, its seed and
//! what [`Cluster`]'s caller did, and on nothing else.
//!
//! | file | holds |
//! | --- | --- |
//! | here | the hosts, whose turn is next, and what the outputs of a process become |
//! | `hosts` | what is done to a host from outside: starts, deaths, faults |
//! | `calls` | connections: who is dialled, what travels, who learns that it ended |
//! | `route` | what becomes of messages between two hosts |
//! | `record` | what is kept of what happened: events, counts, progress, and which faults have touched something |

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use sta_core::engine::interface::{ConnId, Input, Output};
use sta_core::engine::registry;
use sta_core::io::lease_store::LeaseStore;
use sta_core::io::observer::Observer;
use sta_core::model::address::Address;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::ids::InfoHash;
use sta_core::model::layout::Layout;
use sta_core::model::leaves::LeafHashes;
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;

use super::disk::Request;
use super::letter::Letter;
use super::machine::{Machine, Process, Told};
use super::net::{self, ConnIx, HostIx, Net, Side, UNLIMITED_RATE};
use super::timers::Timers;
use crate::scenario::network::{Edge, Network, OccurrenceIx};
use crate::scenario::plan::{ContentIx, HostPlan, Plan, Role};
use crate::scenario::site::Core;

mod calls;
mod hosts;
mod record;
mod route;

pub use crate::runlog::Detail;
pub use record::Tally;
use route::Route;

/// Things that may happen at one moment. More than every message of a large swarm at once, so only machines that
/// answer each other for ever get there.
const EVENTS_AT_ONCE_MAX: u64 = 100_000_000;

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
    /// By connection.
    ends: Vec<[End; 2]>,
    wakes: Timers,
    /// What a disk does later, and for which life of which host.
    later: BinaryHeap<Reverse<(Time, u64)>>,
    chores: BTreeMap<u64, (HostIx, u32, Chore)>,
    chores_made: u64,
    core: Core,
    edges: Vec<Edge>,
    /// The faults under way, once there has been one.
    network: Option<Network>,
    /// By host: the fault that keeps it from writing.
    disk_causes: Vec<Option<OccurrenceIx>>,
    /// How often each fault has touched something, since it was last asked.
    touches: BTreeMap<OccurrenceIx, u64>,
    observer: Box<dyn Observer>,
    detail: Detail,
    tally: Tally,
    /// How many things had happened when the present moment began.
    events_before: u64,
    /// How many may happen at one moment: [`EVENTS_AT_ONCE_MAX`].
    pub(super) events_at_once_max: u64,
    /// Bytes that each host has verified, and that it takes part in.
    progress: Vec<[u64; 2]>,
    /// By host: the contents that it has said to be complete.
    finished: Vec<BTreeSet<ContentIx>>,
    /// Nodes that have not said so of everything they take part in, ascending.
    incomplete: Vec<HostIx>,
    /// Whose process was told something last.
    active: HostIx,
    /// The queue that every process speaks through, and what the disk answers at once. Empty between two events.
    outputs: VecDeque<Output>,
    answers: VecDeque<Input>,
    /// By their number: what stands for hashes of leaves.
    leaf_hashes: BTreeMap<u16, LeafHashes>,
}

/// One end of a connection.
struct End {
    /// What it is to the process.
    label: Label,
    /// What becomes of messages that are sent from it.
    route: Route,
}

#[derive(Clone, Debug)]
enum Label {
    None,
    Peer(ConnId),
    Tracker(Box<Address>),
    Client,
}

#[derive(Debug)]
pub(super) enum Chore {
    Tell(Input),
    Post {
        conn: ConnIx,
        side: Side,
        letter: Letter,
    },
    /// The disk has done what it was doing, if this is still its turn.
    Disk {
        turn: u64,
    },
    Nothing,
}

/// What happens next, due as it is.
#[derive(Clone, Copy)]
enum Next {
    Network(net::Next),
    /// A disk is done with something.
    Chore,
    /// A process is to be woken.
    Wake(HostIx),
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
            ends: Vec::new(),
            wakes: Timers::default(),
            later: BinaryHeap::new(),
            chores: BTreeMap::new(),
            chores_made: 0,
            core: plan.core.clone(),
            edges: Vec::with_capacity(hosts),
            network: None,
            disk_causes: vec![None; hosts],
            touches: BTreeMap::new(),
            observer,
            detail,
            tally,
            events_before: 0,
            events_at_once_max: EVENTS_AT_ONCE_MAX,
            progress: vec![[0; 2]; hosts],
            finished: vec![BTreeSet::new(); hosts],
            incomplete: Vec::new(),
            active: 0,
            outputs: VecDeque::new(),
            answers: VecDeque::new(),
            leaf_hashes: BTreeMap::new(),
        };
        for site in &plan.core.sites {
            cluster.net.add_site(site.up, site.down);
        }
        for host in &plan.hosts {
            cluster.add(host, seed);
        }
        cluster
    }

    fn add(&mut self, plan: &HostPlan, seed: Seed) {
        let mut machine = Machine::new(plan, seed);
        for take in &plan.takes {
            let layout = self.contents[take.content].layout;
            let mut have = Bitfield::empty(layout.pieces());
            take.have.iter().for_each(|&range| have.insert_range(range, |_| {}));
            machine.disk.hold(take.content, layout, have);
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
        let host = self.net.add_host(plan.site, UNLIMITED_RATE, UNLIMITED_RATE);
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
        self.next_moment().0
    }

    /// Lets happen what happens before `until`, moment by moment, as long as those who have not said that they lack nothing are the
    /// same.
    ///
    /// # Panics
    /// If a moment does not end.
    pub fn run_before(&mut self, until: Time) {
        let incomplete = self.incomplete.len();
        loop {
            let (at, next) = self.next_moment();
            if at > self.now {
                if at >= until || self.incomplete.len() != incomplete {
                    return;
                }
                self.reach(at);
            }
            self.happen(next);
        }
    }

    /// Lets happen what happens at `now`, which [`Self::next_at`] gave or which is before that.
    ///
    /// # Panics
    /// If the moment does not end.
    pub fn run_to(&mut self, now: Time) {
        self.reach(now);
        loop {
            let (at, next) = self.due();
            if at > now {
                return;
            }
            self.happen(next);
        }
    }

    /// What happens next, and when. Rates are made fair before anything looks beyond this moment.
    fn next_moment(&mut self) -> (Time, Next) {
        let due = self.due();
        if due.0 > self.now && self.net.settle() { self.due() } else { due }
    }

    /// What happens next, and when: of one moment first what the network does, then disks, then clocks.
    fn due(&self) -> (Time, Next) {
        let (at, next) = self.net.due();
        let mut due = (at, Next::Network(next));
        if let Some(&Reverse((at, _))) = self.later.peek()
            && at < due.0
        {
            due = (at, Next::Chore);
        }
        if let Some((at, host)) = self.wakes.first()
            && at < due.0
        {
            due = (at, Next::Wake(host));
        }
        due
    }

    fn reach(&mut self, now: Time) {
        if now > self.now {
            self.events_before = self.tally.events;
        }
        self.now = now;
        self.net.advance(now);
    }

    fn happen(&mut self, next: Next) {
        let (at_once, most) = (self.tally.events - self.events_before, self.events_at_once_max);
        assert!(at_once < most, "{at_once} events at {}: time stands still", self.now);
        match next {
            Next::Network(next) => {
                if let Some(happening) = self.net.happen(next) {
                    self.tally.events += 1;
                    self.happened(happening);
                }
            }
            Next::Chore => {
                if let Some(Reverse((_, chore))) = self.later.pop() {
                    self.do_chore(chore);
                }
            }
            Next::Wake(host) => {
                self.tally.events += 1;
                self.wake(host);
            }
        }
    }

    /// Whether the process of `host` is there, standing still or not.
    #[must_use]
    pub fn runs(&self, host: HostIx) -> bool {
        self.machines[host as usize].process.is_some()
    }

    /// Time passes, and nothing happens.
    pub fn advance(&mut self, now: Time) {
        self.now = now;
        self.net.advance(now);
    }

    /// The pieces of `content` that `host` holds, verified.
    #[must_use]
    pub fn holds(&self, host: HostIx, content: ContentIx) -> Option<&Bitfield> {
        self.machines[host as usize].disk.kept(content).map(|kept| &kept.have)
    }

    /// The content that is known by this hash.
    fn content(&self, torrent: &InfoHash) -> Option<ContentIx> {
        // There are few, and nearly always it is the first.
        self.contents.iter().position(|content| content.info_hash == *torrent)
    }

    fn wake(&mut self, host: HostIx) {
        self.wake_at(host, Time::FAR_FUTURE);
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
        let told = match told {
            Told::Block { conn, id, block, wrong } => {
                machine.disk.incoming = wrong;
                Told::Node(Input::Block { conn, id, block })
            }
            other => other,
        };
        match (&mut machine.process, told) {
            (Some(Process::Node(process)), Told::Node(input)) => {
                process.node.swap_outputs(&mut self.outputs);
                process.node.handle(input, self.now);
                process.node.swap_outputs(&mut self.outputs);
                self.perform_all(host);
            }
            (Some(Process::Tracker(registry)), Told::Tracker(input)) => {
                registry.handle(input, self.now);
                self.perform_tracker_all(host);
            }
            _ => return,
        }
        self.rearm(host);
    }

    /// Does all that the process of `host` wants done, which has just started.
    fn begin(&mut self, host: HostIx) {
        match &mut self.machines[host as usize].process {
            Some(Process::Node(process)) => {
                process.node.swap_outputs(&mut self.outputs);
                self.perform_all(host);
            }
            _ => self.perform_tracker_all(host),
        }
        self.rearm(host);
    }

    fn perform_tracker_all(&mut self, host: HostIx) {
        while let Some(Process::Tracker(registry)) = &mut self.machines[host as usize].process
            && let Some(output) = registry.poll_output()
        {
            self.perform_tracker(host, output);
        }
    }

    /// Does what the node of `host` has said that it wants done, and tells it what comes of it at once.
    fn perform_all(&mut self, host: HostIx) {
        loop {
            while let Some(output) = self.outputs.pop_front() {
                self.perform(host, output);
            }
            let Some(input) = self.answers.pop_front() else { return };
            if let Some(Process::Node(process)) = &mut self.machines[host as usize].process {
                process.node.swap_outputs(&mut self.outputs);
                process.node.handle(input, self.now);
                process.node.swap_outputs(&mut self.outputs);
            }
        }
    }

    fn rearm(&mut self, host: HostIx) {
        self.wake_at(host, self.machines[host as usize].deadline().max(self.now));
    }

    /// From now on the process of `host` is to be woken at `at`. Nearly always that is as it was.
    fn wake_at(&mut self, host: HostIx, at: Time) {
        if std::mem::replace(&mut self.machines[host as usize].wake, at) != at {
            self.wakes.set(host, at);
        }
    }

    fn perform_tracker(&mut self, host: HostIx, output: registry::Output) {
        match output {
            registry::Output::Send { conn, message } => {
                self.post(conn.0 as ConnIx, 1, Letter::FromTracker(Box::new(message)));
            }
            registry::Output::Close { conn, .. } => {
                self.ends[conn.0 as usize][1].label = Label::None;
                self.net.close(conn.0 as ConnIx, 1);
            }
            registry::Output::Persist(changes) => {
                let written = self.machines[host as usize].database.apply(changes);
                written.expect("memory does not fail");
            }
            registry::Output::Event(event) => self.observe(host, event),
        }
    }

    fn perform(&mut self, host: HostIx, output: Output) {
        match output {
            Output::Dial { conn, addr } => self.dial(host, &addr, Label::Peer(conn)),
            Output::TrackerDial { tracker } => {
                let label = Label::Tracker(Box::new(tracker.clone()));
                self.dial(host, &tracker, label);
            }
            Output::Send { conn, message } => {
                if let Some((conn, side)) = self.peer_conn(host, conn) {
                    self.post(conn, side, message.into());
                }
            }
            Output::SendBlock { conn, id, torrent, block, leaves } => {
                if let Some(end) = self.peer_conn(host, conn) {
                    self.send_block(host, (conn, end), id, torrent, block, leaves);
                }
            }
            Output::Close { conn, .. } => {
                if let Some((ix, side)) = self.peer_conn(host, conn) {
                    self.hang_up(host, ix, side);
                }
            }
            Output::TrackerSend { tracker, message } => {
                if let Some((conn, side)) = self.tracker_conn(host, &tracker) {
                    self.post(conn, side, Letter::ToTracker(Box::new(message)));
                }
            }
            Output::TrackerClose { tracker } => {
                if let Some((ix, side)) = self.tracker_conn(host, &tracker) {
                    self.hang_up(host, ix, side);
                }
            }
            Output::Keep { torrent, block } => {
                let Some(content) = self.content(&torrent) else { return };
                let disk = &mut self.machines[host as usize].disk;
                let then = match disk.write(content, block, disk.incoming) {
                    Ok(()) => Chore::Nothing,
                    Err(why) => {
                        self.touched(self.disk_causes[host as usize]);
                        Chore::Tell(Input::NotWritten { torrent, block, why })
                    }
                };
                self.ask_disk(host, Request::Write(block.len.into()), then);
            }
            Output::Check { torrent, piece } => {
                let Some(content) = self.content(&torrent) else { return };
                let result = Ok(self.machines[host as usize].disk.check(content, piece));
                let answer = Chore::Tell(Input::Checked { torrent, piece, result });
                self.ask_disk(host, Request::Look, answer);
            }
            Output::Digest { torrent, piece, number, blocks } => {
                let Some(content) = self.content(&torrent) else { return };
                let disk = &self.machines[host as usize].disk;
                let digests = blocks.iter().map(|block| disk.digest(content, *block)).collect();
                let answer = Chore::Tell(Input::Digested { torrent, piece, number, digests });
                self.ask_disk(host, Request::Look, answer);
            }
            Output::KeepLeaves { torrent, piece, .. } => {
                if let Some(content) = self.content(&torrent) {
                    self.machines[host as usize].disk.keep_leaves(content, piece);
                }
            }
            Output::CheckLeaves { torrent, piece, bytes } => {
                let Some(content) = self.content(&torrent) else { return };
                let disk = &mut self.machines[host as usize].disk;
                let right = disk.check_leaves(content, piece, bytes);
                let answer = Chore::Tell(Input::LeavesChecked { torrent, piece, right });
                self.ask_disk(host, Request::Look, answer);
            }
            Output::Finish { torrent } => {
                let Some(content) = self.content(&torrent) else { return };
                self.machines[host as usize].disk.settle(content);
                self.answers.push_back(Input::Finished { torrent, result: Ok(()) });
            }
            Output::Event(event) => self.observe(host, event),
            Output::Forget { .. } | Output::Stopped => {}
        }
    }

    /// Something for the disk to do, and what follows: at once, if it takes no time.
    fn ask_disk(&mut self, host: HostIx, request: Request, then: Chore) {
        let disk = &mut self.machines[host as usize].disk;
        let before = disk.due();
        match disk.ask(request, then, self.now) {
            Some(Chore::Tell(input)) => self.answers.push_back(input),
            Some(chore) => self.perform_chore(host, chore),
            None if before.is_none() => self.await_disk(host),
            None => {}
        }
    }

    /// What the disk does is done at some time.
    fn await_disk(&mut self, host: HostIx) {
        if let Some((at, turn)) = self.machines[host as usize].disk.due() {
            self.chore(host, at, Chore::Disk { turn });
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
            self.perform_chore(host, chore);
        }
    }

    fn perform_chore(&mut self, host: HostIx, chore: Chore) {
        match chore {
            Chore::Tell(input) => self.tell(host, Told::Node(input)),
            Chore::Post { conn, side, letter } => self.post(conn, side, letter),
            Chore::Disk { turn } => {
                if let Some(then) = self.machines[host as usize].disk.done(turn, self.now) {
                    self.await_disk(host);
                    self.perform_chore(host, then);
                }
            }
            Chore::Nothing => {}
        }
    }
}

/// What a content of a plan is known by: there are no bytes to hash.
fn info_hash(content: ContentIx) -> InfoHash {
    let mut hash = [0; 20];
    hash[..8].copy_from_slice(&(content as u64 + 1).to_be_bytes());
    InfoHash(hash)
}
