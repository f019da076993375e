//! Engines of several nodes, joined in memory: virtual time, one latency, no bytes.
//!
//! Every connection delivers in order after the latency; a block takes `len / rate` on top, one at a time per
//! sender. Good for stories about the protocol; what depends on exact bandwidth is for the simulator's flow world.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use crate::engine::interface::{ConnId, Input, Output, Torrent};
use crate::engine::node::Node;
use crate::model::address::Address;
use crate::model::bitfield::Bitfield;
use crate::model::config::EngineConfig;
use crate::model::event::{Event, Record};
use crate::model::ids::{InfoHash, NodeId};
use crate::model::layout::{Block, Layout};
use crate::model::rng::Seed;
use crate::model::time::Time;

/// The torrent of every mesh.
pub const TORRENT: InfoHash = InfoHash([7; 20]);

/// Nodes `n0`, `n1`, … and the network between them.
pub struct Mesh {
    /// The moment it is.
    pub now: Time,
    /// Everything that was observed, in order.
    pub records: Vec<Record>,
    /// Nodes whose stores hold wrong bytes: what they send fails its hash.
    pub corrupt: BTreeSet<usize>,
    /// Nodes that neither send nor receive any more, and whose peers are not told.
    pub silent: BTreeSet<usize>,
    hosts: Vec<Host>,
    layout: Layout,
    latency: Duration,
    rate: u64,
    links: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    accepted: u32,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    deliveries: BTreeMap<u64, (usize, Input, bool)>,
    /// Whether the block that is being delivered is wrong.
    wrong: bool,
    sequence: u64,
}

struct Host {
    id: NodeId,
    node: Node,
    link_free: Time,
    tainted: BTreeSet<Block>,
}

impl Mesh {
    /// `haves.len()` nodes, of which node `n` begins with the pieces that `haves[n]` names (`"1101"`), all of which
    /// know each other. Pieces have 64 KiB, links `rate` bytes per second.
    pub fn new(haves: &[&str], latency: Duration, rate: u64, config: &EngineConfig) -> Self {
        let pieces = haves[0].len() as u32;
        let layout = Layout::new(u64::from(pieces) << 16, 1 << 16).expect("a small torrent");
        let host = |n: usize| {
            let id: NodeId = format!("n{n}").parse().expect("a plain name");
            let node = Node::new(id.clone(), 6881, config.clone(), Seed(n as u64));
            Host { id, node, link_free: Time::ZERO, tainted: BTreeSet::new() }
        };
        let mut mesh = Self {
            now: Time::ZERO,
            records: Vec::new(),
            corrupt: BTreeSet::new(),
            silent: BTreeSet::new(),
            hosts: (0..haves.len()).map(host).collect(),
            layout,
            latency,
            rate,
            links: BTreeMap::new(),
            accepted: 0,
            queue: BinaryHeap::new(),
            deliveries: BTreeMap::new(),
            wrong: false,
            sequence: 0,
        };
        for (n, row) in haves.iter().enumerate() {
            let mut have = Bitfield::empty(pieces);
            for (piece, _) in (0..).zip(row.bytes()).filter(|(_, digit)| *digit == b'1') {
                have.insert(piece);
            }
            let peers = (n + 1..haves.len()).map(|other| address(other).into()).collect();
            mesh.give(n, Input::Add(Box::new(mesh.torrent(have, peers))));
        }
        mesh
    }

    /// The torrent, as a node that has `have` and knows `peers` takes part in it.
    #[must_use]
    pub fn torrent(&self, have: Bitfield, peers: Vec<Address>) -> Torrent {
        let layout = self.layout;
        Torrent { info_hash: TORRENT, layout, have, trackers: Vec::new(), peers, fetch: true }
    }

    /// Runs until `done` holds or `limit` has passed; says whether it held.
    pub fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = Time::ZERO + limit;
        while !done(self) {
            let awake: Vec<_> =
                (0..self.hosts.len()).filter(|n| !self.silent.contains(n)).collect();
            let timers = awake.iter().map(|&n| self.hosts[n].node.deadline());
            let timer = timers.min().unwrap_or(Time::FAR_FUTURE);
            let next = self.queue.peek().map_or(Time::FAR_FUTURE, |Reverse((at, _))| *at);
            self.now = timer.min(next).max(self.now);
            if self.now > end {
                return false;
            }
            if next <= timer {
                let Some(Reverse((_, key))) = self.queue.pop() else { return false };
                if let Some((host, input, wrong)) = self.deliveries.remove(&key) {
                    self.wrong = wrong;
                    self.give(host, input);
                    self.wrong = false;
                }
            } else {
                for n in awake {
                    if self.hosts[n].node.deadline() <= self.now {
                        self.give(n, Input::Tick);
                    }
                }
            }
        }
        true
    }

    /// Whether node `n` has every piece and has said so.
    #[must_use]
    pub fn complete(&self, n: usize) -> bool {
        let done = |r: &Record| matches!(r.event, Event::TorrentComplete { .. });
        self.records.iter().any(|record| record.who == self.hosts[n].id && done(record))
    }

    /// How many of the events `matching` holds for.
    #[must_use]
    pub fn count(&self, matching: impl Fn(&Record) -> bool) -> usize {
        self.records.iter().filter(|record| matching(record)).count()
    }

    /// Gives node `n` an input and does what it says.
    pub fn give(&mut self, n: usize, input: Input) {
        if self.silent.contains(&n) {
            return;
        }
        self.hosts[n].node.handle(input, self.now);
        while let Some(output) = self.hosts[n].node.poll_output() {
            self.perform(n, output);
        }
    }

    fn perform(&mut self, n: usize, output: Output) {
        let soon = self.now + self.latency;
        match output {
            Output::Dial { conn, addr } => {
                let other = host_at(&addr);
                self.accepted += 1;
                let far = ConnId::accepted(self.accepted);
                self.links.insert((n, conn), (other, far));
                self.links.insert((other, far), (n, conn));
                self.later(soon, other, Input::Accepted { conn: far, remote: address(n) });
                let remote = address(other);
                self.later(soon + self.latency, n, Input::Dialled { conn, remote });
            }
            Output::Send { conn, message } => {
                if let Some(&(other, far)) = self.links.get(&(n, conn)) {
                    self.later(soon, other, Input::Message { conn: far, message });
                }
            }
            Output::SendBlock { conn, id, block, .. } => {
                let takes = Duration::from_nanos(u64::from(block.len) * 1_000_000_000 / self.rate);
                let sent = self.hosts[n].link_free.max(self.now) + takes;
                self.hosts[n].link_free = sent;
                self.later(sent, n, Input::Sent { conn });
                if let Some(&(other, far)) = self.links.get(&(n, conn)) {
                    self.later(sent + self.latency, other, Input::Block { conn: far, id, block });
                    if let Some(delivery) = self.deliveries.get_mut(&self.sequence) {
                        delivery.2 = self.corrupt.contains(&n);
                    }
                }
            }
            Output::Close { conn, why } => {
                if let Some((other, far)) = self.links.remove(&(n, conn)) {
                    self.links.remove(&(other, far));
                    self.later(soon, other, Input::Closed { conn: far, why });
                }
            }
            Output::Keep { block, .. } => {
                let tainted = &mut self.hosts[n].tainted;
                tainted.retain(|other| !overlap(other, &block));
                if self.wrong {
                    tainted.insert(block);
                }
            }
            Output::Check { torrent, piece } => {
                let result = Ok(!self.is_tainted(n, piece));
                self.later(self.now, n, Input::Checked { torrent, piece, result });
            }
            Output::Digest { torrent, piece, number, blocks } => {
                let tainted = &self.hosts[n].tainted;
                let is_wrong = |block| tainted.iter().any(|other| overlap(other, block));
                let digest = |block| [u8::from(is_wrong(block)); 32];
                let digests = blocks.iter().map(digest).collect();
                self.later(self.now, n, Input::Digested { torrent, piece, number, digests });
            }
            Output::CheckLeaves { torrent, piece, bytes } => {
                let right = if self.is_tainted(n, piece) { 0 } else { bytes };
                self.later(self.now, n, Input::LeavesChecked { torrent, piece, right });
            }
            Output::Finish { torrent } => {
                self.later(self.now, n, Input::Finished { torrent, result: Ok(()) });
            }
            Output::Event(event) => {
                let who = self.hosts[n].id.clone();
                self.records.push(Record { at: self.now, who, event });
            }
            Output::TrackerDial { .. }
            | Output::TrackerSend { .. }
            | Output::TrackerClose { .. }
            | Output::KeepLeaves { .. }
            | Output::Forget { .. }
            | Output::Stopped => {}
        }
    }

    /// Whether a block of `piece` that node `n` has stored is wrong.
    fn is_tainted(&self, n: usize, piece: u32) -> bool {
        self.hosts[n].tainted.iter().any(|block| block.piece == piece)
    }

    fn later(&mut self, at: Time, host: usize, input: Input) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.deliveries.insert(self.sequence, (host, input, false));
    }
}

fn overlap(a: &Block, b: &Block) -> bool {
    a.piece == b.piece && a.offset < b.offset + b.len && b.offset < a.offset + a.len
}

/// Where node `n` is: `10.0.0.n`.
fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n as u8], 6881))
}

fn host_at(addr: &Address) -> usize {
    match addr.socket_addr().map(|addr| addr.ip()) {
        Some(std::net::IpAddr::V4(ip)) => ip.octets()[3].into(),
        _ => unreachable!("a mesh only knows its own addresses"),
    }
}
