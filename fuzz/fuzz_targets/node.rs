//! A node's engine among peers and trackers that say whatever they like, in any order. It serves nothing that it has not
//! verified, keeps nothing that it was not given, finishes nothing that is not whole, and always has something to wait for.

#![no_main]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sta_core::engine::interface::{ConnId, Input, Output, Torrent};
use sta_core::engine::node::Node;
use sta_core::model::address::Address;
use sta_core::model::bitfield::{Bitfield, PieceRange};
use sta_core::model::config::EngineConfig;
use sta_core::model::event::Event;
use sta_core::model::ids::InfoHash;
use sta_core::model::layout::{Block, Layout};
use sta_core::model::leaves::LeafHashes;
use sta_core::model::limits::BLOCK_BYTES_MIN;
use sta_core::model::rng::Seed;
use sta_core::model::status::StoreError;
use sta_core::model::time::Time;
use sta_core::wire::peer::{PeerMessage, RejectReason, VERSION};
use sta_core::wire::tracker::{FromTracker, PeerAddress};

/// Longer than any story needs: an engine that asks for more at one moment goes round in circles.
const ROUNDS_MAX: usize = 10_000;

#[derive(Arbitrary, Debug)]
struct Story {
    seed: u64,
    /// Pieces there at the start.
    have: u16,
    /// The last piece is shorter by so much.
    short: u16,
    /// Pieces have 16 KiB, doubled so many times; and so have blocks, unless they are to be chosen.
    piece_doubled: u8,
    block_doubled: Option<u8>,
    upload_slots: u8,
    known_peers: u8,
    has_tracker: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Accepted {
        from: u8,
    },
    /// A peer that has some pieces says all that one says at first.
    Greets {
        node: u8,
        have: u16,
    },
    /// The oldest dial succeeds or fails.
    Dialled {
        works: bool,
    },
    Hello {
        conn: u8,
        node: u8,
        right: bool,
    },
    Says {
        conn: u8,
        what: Said,
    },
    /// The answer to a request, as it should be.
    Answer {
        request: u8,
    },
    /// So many of the oldest requests are answered, and the disk does all it is told.
    GoesWell {
        requests: u8,
    },
    /// Any block at all.
    Block {
        conn: u8,
        id: u8,
        block: AnyBlock,
    },
    Sent {
        conn: u8,
    },
    /// The oldest block that a connection is to send cannot be read.
    Unreadable {
        conn: u8,
    },
    HangsUp {
        conn: u8,
    },
    /// The disk has done the next thing that it was told.
    Disk {
        right: bool,
        fails: bool,
    },
    Tracker(Tracked),
    Waits {
        millis: u16,
    },
    /// Until something is due.
    WaitsForDeadline,
    Remove,
    AddAgain {
        fetch: bool,
    },
    Stop,
}

#[derive(Arbitrary, Debug)]
enum Said {
    Have(Vec<(u8, u8)>),
    HaveBeyond(u32, u32),
    Coming(u32),
    Leaves { piece: u8, hashes: u8 },
    Choke,
    Unchoke,
    Get { id: u8, block: AnyBlock },
    GetUnit { id: u8, piece: u8, unit: u8 },
    Reject { id: u8, why: u8 },
    Cancel { id: u8 },
    Ping,
    Bye,
    Unknown,
}

#[derive(Arbitrary, Debug)]
struct AnyBlock {
    piece: u8,
    /// In units of 4 KiB, and bytes beside.
    offset: (u8, u8),
    len: (u8, u8),
}

#[derive(Arbitrary, Debug)]
enum Tracked {
    Opened,
    Closed,
    Welcome { lease: u32 },
    Peers(Vec<u8>),
    Pong,
    Error,
    Unknown,
}

impl AnyBlock {
    fn block(&self) -> Block {
        let bytes = |(pages, bytes): (u8, u8)| u32::from(pages) * 4096 + u32::from(bytes);
        Block { piece: self.piece.into(), offset: bytes(self.offset), len: bytes(self.len) }
    }
}

/// What a disk still has to answer.
enum Errand {
    Keep(Block),
    Forget(u32, u32),
    Check(u32),
    Digest(u32, u64, usize),
    CheckLeaves(u32, u32),
    Finish,
}

struct World {
    node: Node,
    now: Time,
    layout: Layout,
    conns: Vec<ConnId>,
    accepted: u32,
    dials: VecDeque<ConnId>,
    requests: Vec<(ConnId, u64, Block)>,
    sending: BTreeMap<ConnId, VecDeque<(u64, u32)>>,
    /// Pieces that could not be read: nothing of them is sent before they are offered again.
    unreadable: BTreeSet<u32>,
    disk: VecDeque<Errand>,
    /// Whether the engine has the torrent.
    takes_part: bool,
    /// The pieces that the engine says it has.
    held: BTreeSet<u32>,
    /// The pieces that were found right and not been written to since.
    sound: BTreeSet<u32>,
    /// Bytes from the start of a piece that were found right and stay so.
    right: BTreeMap<u32, u32>,
    /// The block that the engine is just told of.
    given: Option<Block>,
    stopped: bool,
}

fn torrent() -> InfoHash {
    "00".repeat(20).parse().expect("digits")
}

fn address(of: u8) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, of).into(), 7000)
}

fn peer(of: u8) -> Address {
    address(of).to_string().parse().expect("an address")
}

fn tracker() -> Address {
    "10.1.1.1:6081".parse().expect("an address")
}

impl World {
    fn new(story: &Story) -> Self {
        let doubled = |times: u8| (16 << 10) << (times % 6);
        let piece: u32 = doubled(story.piece_doubled);
        let total = u64::from(piece) * 9 - u64::from(story.short).min(u64::from(piece) - 1);
        let layout = Layout::new(total, piece).expect("in bounds");
        let config = EngineConfig {
            upload_slots: u32::from(story.upload_slots),
            block_bytes: story.block_doubled.map_or(0, doubled),
            ..EngineConfig::default()
        };
        let node = Node::new("node".parse().expect("a name"), 7000, config, Seed(story.seed));
        let mut world = Self {
            node,
            now: Time::ZERO,
            layout,
            conns: Vec::new(),
            accepted: 0,
            dials: VecDeque::new(),
            requests: Vec::new(),
            sending: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            disk: VecDeque::new(),
            takes_part: false,
            held: BTreeSet::new(),
            sound: (0..layout.pieces()).filter(|piece| story.have >> piece & 1 == 1).collect(),
            right: BTreeMap::new(),
            given: None,
            stopped: false,
        };
        world.add(story, true);
        world
    }

    fn add(&mut self, story: &Story, fetch: bool) {
        let mut have = Bitfield::empty(self.layout.pieces());
        // A torrent that is there already changes nothing, whatever is on the disk.
        if !std::mem::replace(&mut self.takes_part, true) {
            self.held = self.sound.clone();
        }
        for &piece in &self.held {
            have.insert(piece);
        }
        self.give(Input::Add(Box::new(Torrent {
            info_hash: torrent(),
            layout: self.layout,
            have,
            trackers: story.has_tracker.then(tracker).into_iter().collect(),
            peers: (0..story.known_peers % 8).map(peer).collect(),
            fetch,
        })));
    }

    fn give(&mut self, input: Input) {
        self.node.handle(input, self.now);
        for _ in 0..ROUNDS_MAX {
            let Some(output) = self.node.poll_output() else { return };
            self.perform(output);
        }
        panic!("no end of outputs");
    }

    fn perform(&mut self, output: Output) {
        assert!(!self.stopped, "{output:?} after the end");
        match output {
            Output::Dial { conn, .. } => self.dials.push_back(conn),
            Output::Send { conn, message } => match message {
                PeerMessage::Get { id, block } => {
                    let block = block.into();
                    assert!(self.layout.contains(block) && !self.held.contains(&block.piece));
                    self.requests.push((conn, id, block));
                }
                PeerMessage::Have { p } => p.iter().for_each(|&range| self.offered(range)),
                _ => {}
            },
            Output::SendBlock { conn, id, block, .. } => {
                assert!(self.layout.contains(block), "{block:?}");
                assert!(!self.unreadable.contains(&block.piece), "{block:?} cannot be read");
                let right = self.right.get(&block.piece).copied().unwrap_or_default();
                let whole = self.held.contains(&block.piece);
                assert!(whole || block.offset + block.len <= right, "{block:?} is not verified");
                self.sending.entry(conn).or_default().push_back((id, block.piece));
            }
            Output::Close { conn, .. } => self.forget(conn),
            Output::Keep { block, .. } => {
                assert_eq!(self.given.take(), Some(block), "only what was given can be kept");
                assert!(self.layout.contains(block) && !self.held.contains(&block.piece));
                self.disk.push_back(Errand::Keep(block));
            }
            Output::Check { piece, .. } => self.disk.push_back(Errand::Check(piece)),
            Output::Digest { piece, number, blocks, .. } => {
                assert!(blocks.iter().all(|b| b.piece == piece && self.layout.contains(*b)));
                self.disk.push_back(Errand::Digest(piece, number, blocks.len()));
            }
            Output::CheckLeaves { piece, bytes, .. } => {
                assert!(bytes <= self.layout.piece_len(piece));
                self.disk.push_back(Errand::CheckLeaves(piece, bytes));
            }
            Output::KeepLeaves { piece, .. } => assert!(piece < self.layout.pieces()),
            Output::Forget { piece, keep, .. } => {
                let right = self.right.get(&piece).copied().unwrap_or_default();
                assert!(keep <= right, "what was not found right is kept");
                // Of a piece that was right only one that cannot be read any more is fetched again.
                assert!(!self.held.remove(&piece) || self.unreadable.contains(&piece));
                self.disk.push_back(Errand::Forget(piece, keep));
            }
            Output::Event(Event::PieceVerified { piece, .. }) => {
                let to_be_written =
                    |errand: &Errand| matches!(errand, Errand::Keep(block) if block.piece == piece);
                assert!(self.sound.contains(&piece) && !self.disk.iter().any(to_be_written));
                self.held.insert(piece);
                self.unreadable.remove(&piece);
            }
            Output::Finish { .. } => {
                assert!(self.unreadable.is_empty(), "what cannot be read is not complete");
                assert_eq!(self.held.len(), self.layout.pieces() as usize);
                self.disk.push_back(Errand::Finish);
            }
            Output::Stopped => self.stopped = true,
            Output::TrackerDial { .. }
            | Output::TrackerSend { .. }
            | Output::TrackerClose { .. }
            | Output::Event(_) => {}
        }
    }

    /// What a source could not read it offers again some time later.
    fn offered(&mut self, PieceRange(first, last): PieceRange) {
        let (was, pieces) = (self.unreadable.len(), self.layout.pieces() as usize);
        self.unreadable.retain(|piece| !(first..=last).contains(piece));
        assert!(self.unreadable.len() == was || self.held.len() == pieces, "something is fetched");
    }

    fn forget(&mut self, conn: ConnId) {
        self.conns.retain(|other| *other != conn);
        self.dials.retain(|other| *other != conn);
        self.requests.retain(|(other, ..)| *other != conn);
        self.sending.remove(&conn);
    }

    fn conn(&self, number: u8) -> Option<ConnId> {
        self.conns.get(usize::from(number) % self.conns.len().max(1)).copied()
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..ROUNDS_MAX {
            if self.node.deadline() > self.now {
                return;
            }
            self.give(Input::Tick);
        }
        panic!("it waits for what is over: {:?} at {:?}", self.node.deadline(), self.now);
    }

    fn step(&mut self, story: &Story, step: &Step) {
        match step {
            Step::Accepted { from } => {
                let conn = ConnId::accepted(self.accepted);
                self.accepted += 1;
                self.conns.push(conn);
                self.give(Input::Accepted { conn, remote: address(*from) });
            }
            Step::Greets { node, have } => {
                self.step(story, &Step::Accepted { from: *node });
                let Some(conn) = self.conns.len().checked_sub(1) else { return };
                let conn = conn as u8;
                self.step(story, &Step::Hello { conn, node: *node, right: true });
                let pieces =
                    (0..9).filter(|piece| have >> piece & 1 == 1).map(|piece| (piece, piece));
                self.step(story, &Step::Says { conn, what: Said::Have(pieces.collect()) });
                self.step(story, &Step::Says { conn, what: Said::Unchoke });
            }
            Step::Dialled { works } => {
                let Some(conn) = self.dials.pop_front() else { return };
                if *works {
                    self.conns.push(conn);
                    self.give(Input::Dialled { conn, remote: address(1) });
                } else {
                    self.give(Input::Closed { conn, why: "refused".to_owned() });
                }
            }
            Step::Hello { conn, node, right } => {
                let node = format!("peer-{node}").parse().expect("a name");
                let torrent =
                    if *right { torrent() } else { "11".repeat(20).parse().expect("digits") };
                self.say(*conn, PeerMessage::Hello { v: VERSION, node, torrent });
            }
            Step::Says { conn, what } => self.say(*conn, self.message(what)),
            Step::Answer { request } => {
                if self.requests.is_empty() {
                    return;
                }
                let request = usize::from(*request) % self.requests.len();
                let (conn, id, block) = self.requests.remove(request);
                self.block(conn, id, block);
            }
            Step::GoesWell { requests } => {
                for _ in 0..*requests {
                    self.step(story, &Step::Answer { request: 0 });
                    while !self.disk.is_empty() {
                        self.disk(true, false);
                    }
                }
            }
            Step::Block { conn, id, block } => {
                let Some(conn) = self.conn(*conn) else { return };
                self.block(conn, (*id).into(), block.block());
            }
            Step::Sent { conn } => {
                let Some(conn) = self.conn(*conn) else { return };
                if self.sending.get_mut(&conn).and_then(VecDeque::pop_front).is_some() {
                    self.give(Input::Sent { conn });
                }
            }
            Step::Unreadable { conn } => {
                let Some(conn) = self.conn(*conn) else { return };
                if let Some((id, piece)) = self.sending.get_mut(&conn).and_then(VecDeque::pop_front)
                {
                    self.unreadable.insert(piece);
                    let (path, reason) = ("disk".to_owned(), "gone".to_owned());
                    let why = StoreError { path, reason, passing: false };
                    self.give(Input::Unreadable { conn, id, why });
                }
            }
            Step::HangsUp { conn } => {
                let Some(conn) = self.conn(*conn) else { return };
                self.forget(conn);
                self.give(Input::Closed { conn, why: "reset".to_owned() });
            }
            Step::Disk { right, fails } => self.disk(*right, *fails),
            Step::Tracker(what) => self.tracker(what),
            Step::Waits { millis } => self.wait(Duration::from_millis((*millis).into())),
            Step::WaitsForDeadline => {
                let deadline = self.node.deadline();
                if deadline != Time::FAR_FUTURE {
                    self.wait(deadline.since(self.now));
                }
            }
            Step::Remove => {
                self.give(Input::Remove(torrent()));
                // Its driver answers nothing more, and looks at what is there before it is added again.
                self.disk.clear();
                self.takes_part = false;
                self.held.clear();
                self.right.clear();
                self.unreadable.clear();
            }
            Step::AddAgain { fetch } => self.add(story, *fetch),
            Step::Stop => self.give(Input::Stop),
        }
    }

    fn say(&mut self, conn: u8, message: PeerMessage) {
        let Some(conn) = self.conn(conn) else { return };
        self.give(Input::Message { conn, message });
    }

    fn message(&self, what: &Said) -> PeerMessage {
        match *what {
            Said::Have(ref ranges) => {
                let range = |(a, b): &(u8, u8)| PieceRange((*a % 9).into(), (*b % 9).into());
                PeerMessage::Have { p: ranges.iter().map(range).collect() }
            }
            Said::HaveBeyond(a, b) => {
                PeerMessage::Have { p: [PieceRange(a, b)].into_iter().collect() }
            }
            Said::Coming(i) => PeerMessage::Coming { i: if i > 255 { i } else { i % 9 } },
            Said::Leaves { piece, hashes } => {
                let h = LeafHashes::new(vec![piece; 32 * usize::from(hashes % 20)]);
                PeerMessage::Leaves { i: piece.into(), h }
            }
            Said::Choke => PeerMessage::Choke,
            Said::Unchoke => PeerMessage::Unchoke,
            Said::Get { id, ref block } => {
                PeerMessage::Get { id: id.into(), block: block.block().into() }
            }
            Said::GetUnit { id, piece, unit } => {
                let piece = u32::from(piece) % self.layout.pieces();
                let units = self.layout.piece_len(piece).div_ceil(BLOCK_BYTES_MIN);
                let offset = u32::from(unit) % units * BLOCK_BYTES_MIN;
                let block = self.layout.block_at(piece, offset, BLOCK_BYTES_MIN);
                PeerMessage::Get { id: id.into(), block: block.into() }
            }
            Said::Reject { id, why } => {
                let why = match why % 6 {
                    0 => RejectReason::Choked,
                    1 => RejectReason::Gone,
                    2 => RejectReason::Limit,
                    3 => RejectReason::Elsewhere,
                    4 => RejectReason::Cancelled,
                    _ => RejectReason::Unknown,
                };
                PeerMessage::Reject { id: id.into(), why }
            }
            Said::Cancel { id } => PeerMessage::Cancel { id: id.into() },
            Said::Ping => PeerMessage::Ping,
            Said::Bye => PeerMessage::Bye { why: "enough".to_owned() },
            Said::Unknown => PeerMessage::Unknown,
        }
    }

    fn block(&mut self, conn: ConnId, id: u64, block: Block) {
        self.given = Some(block);
        self.give(Input::Block { conn, id, block });
        self.given = None;
    }

    fn disk(&mut self, right: bool, fails: bool) {
        let torrent = torrent();
        let why = StoreError { path: "fuzz".to_owned(), reason: "full".to_owned(), passing: right };
        match self.disk.pop_front() {
            Some(Errand::Keep(block)) if fails => {
                self.sound.remove(&block.piece);
                self.give(Input::NotWritten { torrent, block, why });
            }
            Some(Errand::Keep(block)) => {
                self.sound.remove(&block.piece);
            }
            Some(Errand::Forget(piece, keep)) => {
                self.right.insert(piece, keep);
            }
            Some(Errand::Check(piece)) => {
                let result = if fails { Err(why) } else { Ok(right) };
                if result == Ok(true) {
                    self.sound.insert(piece);
                }
                self.give(Input::Checked { torrent, piece, result });
            }
            Some(Errand::Digest(piece, number, blocks)) => {
                let digests = if fails { Vec::new() } else { vec![[u8::from(right); 32]; blocks] };
                self.give(Input::Digested { torrent, piece, number, digests });
            }
            Some(Errand::CheckLeaves(piece, bytes)) => {
                let before = self.right.entry(piece).or_default();
                let found = if right { bytes } else { *before };
                *before = found.max(*before);
                self.give(Input::LeavesChecked { torrent, piece, right: found });
            }
            Some(Errand::Finish) => {
                let result = if fails { Err(why) } else { Ok(()) };
                self.give(Input::Finished { torrent, result });
            }
            None => {}
        }
    }

    fn tracker(&mut self, what: &Tracked) {
        let message = match what {
            Tracked::Opened => {
                return self.give(Input::TrackerOpened { tracker: tracker(), remote: address(0) });
            }
            Tracked::Closed => {
                let why = "reset".to_owned();
                return self.give(Input::TrackerClosed { tracker: tracker(), why });
            }
            Tracked::Welcome { lease } => FromTracker::Welcome { v: VERSION, lease: *lease },
            Tracked::Peers(peers) => {
                let node = |of| format!("peer-{of}").parse().expect("a name");
                let one = |&of: &u8| PeerAddress { node: node(of), addr: peer(of) };
                let peers = peers.iter().map(one).collect();
                FromTracker::Peers { torrent: torrent(), peers }
            }
            Tracked::Pong => FromTracker::Pong,
            Tracked::Error => FromTracker::Error { why: "no".to_owned() },
            Tracked::Unknown => FromTracker::Unknown,
        };
        self.give(Input::TrackerMessage { tracker: tracker(), message });
    }
}

fuzz_target!(|story: Story| {
    let mut world = World::new(&story);
    for step in &story.steps {
        if world.stopped {
            return;
        }
        world.step(&story, step);
    }
    let _ = world.node.status(world.now);
});
