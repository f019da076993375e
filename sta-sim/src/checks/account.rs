//! The swarm as the stream tells it, up to the latest entry: who runs, who holds what, which faults are in force.
//!
//! Every rule and every chart reads from here, so that they agree on what a restart or a wipe means. It believes what
//! nodes say; whether that is true is for the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sta_core::model::bitfield::{Bitfield, PieceRange};
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::layout::Layout;
use sta_core::model::time::Time;

use crate::runlog::{Detail, Entry, Note, Noted};
use crate::scenario::driver::Origin;
use crate::scenario::effect::Effect;
use crate::scenario::network::OccurrenceIx;
use crate::scenario::plan::{Behaviour, ContentIx, HostIx, Plan, Role};

/// The swarm, as told so far.
pub struct Account {
    plan: Arc<Plan>,
    nodes: Nodes,
    torrents: Torrents,
    about: About,
    hosts: Vec<Host>,
    faults: Vec<Fault>,
    detail: Detail,
    line: u64,
    now: Time,
}

/// A node or a torrent of the stream. A host of the plan has its index; strangers come after the hosts.
pub type Number = u32;

/// Whom and what an entry is about. Rules keep what they know by these numbers: names are compared once an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Who says it, or whom a note is about.
    pub who: Number,
    /// The other node.
    pub peer: Number,
    /// Which torrent.
    pub torrent: Number,
}

/// The number of what an entry does not name.
const NOBODY: Number = Number::MAX;

impl Default for About {
    fn default() -> Self {
        Self { who: NOBODY, peer: NOBODY, torrent: NOBODY }
    }
}

/// Numbers for nodes.
struct Nodes {
    by_id: BTreeMap<NodeId, Number>,
    /// Names seen of late, each at a place that follows from where its text lies: the same few texts come again and again.
    recent: Vec<Option<(NodeId, Number)>>,
}

/// Places for [`Nodes::recent`]; more than the names that a small run goes about with.
const RECENT: usize = 1024;

impl Nodes {
    fn new(plan: &Plan) -> Self {
        let numbered = plan.hosts.iter().zip(0..).map(|(host, number)| (host.id.clone(), number));
        Self { by_id: numbered.collect(), recent: vec![None; RECENT] }
    }

    fn number(&mut self, id: &NodeId) -> Number {
        let text = id.as_str();
        let recent = &mut self.recent[text.as_ptr().addr() / size_of::<usize>() % RECENT];
        if let Some((known, number)) = recent
            && std::ptr::eq(known.as_str(), text)
        {
            return *number;
        }
        let next = self.by_id.len() as Number;
        let number = *self.by_id.entry(id.clone()).or_insert(next);
        *recent = Some((id.clone(), number));
        number
    }
}

/// Numbers for torrents.
#[derive(Default)]
struct Torrents {
    by_hash: BTreeMap<InfoHash, Number>,
    contents: Vec<Option<ContentIx>>,
    latest: Option<(InfoHash, Number)>,
}

impl Torrents {
    fn number(&mut self, hash: &InfoHash) -> Number {
        if let Some((latest, number)) = self.latest
            && latest == *hash
        {
            return number;
        }
        let next = self.contents.len() as Number;
        let number = *self.by_hash.entry(*hash).or_insert(next);
        if number == next {
            self.contents.push(None);
        }
        self.latest = Some((*hash, number));
        number
    }
}

/// A host, as told so far.
#[derive(Debug, Default)]
pub struct Host {
    /// Whether its process runs.
    pub running: bool,
    /// When it first started.
    pub first_start: Option<Time>,
    /// When it last started.
    pub last_start: Option<Time>,
    /// When it last went, in order or not.
    pub gone: Option<Time>,
    /// Whether it has behaved as the product does throughout.
    pub honest: bool,
    /// Whether the world has destroyed bytes on its disk.
    pub rotten: bool,
    /// Its part in each content it has added.
    pub parts: BTreeMap<ContentIx, Part>,
    /// The line of the entry that last brought it further: a piece verified, a torrent added or complete. 0 before that.
    pub moved: u64,
}

impl Host {
    /// Whether its process is not the first.
    #[must_use]
    pub fn has_started_anew(&self) -> bool {
        self.first_start != self.last_start
    }
}

/// A host's part in a content.
#[derive(Debug)]
pub struct Part {
    /// What it has verified, or was there when it started.
    pub have: Bitfield,
    /// What lies on its disk, and cannot be read.
    pub unreadable: Bitfield,
    /// What could not be read at some moment since it was verified: its process may have found that, and fetch it again.
    pub lost: Bitfield,
    /// Pieces that came to it, of which it has verified the first leaves.
    pub coming: BTreeSet<u32>,
    /// When this process added the torrent.
    pub added: Time,
    /// Bytes it lacked when it first added the torrent; `None` before that.
    pub wanted: Option<u64>,
    /// Since when it has been complete without a break.
    pub complete: Option<Time>,
    /// When it last verified a piece, or added the torrent.
    pub progressed: Time,
    on_disk: Option<Bitfield>,
}

/// Something that the driver has begun.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its index in the driver's log.
    pub number: OccurrenceIx,
    /// As in the driver's log.
    pub id: String,
    /// What wanted it.
    pub origin: Origin,
    /// What is done.
    pub verb: String,
    /// What that does to a host.
    pub effect: Effect,
    /// To whom.
    pub on: Vec<NodeId>,
    /// The other side, where it has two: what it does it does between them.
    pub against: Vec<NodeId>,
    /// When it began.
    pub began: Time,
    /// When it was undone.
    pub ended: Option<Time>,
}

impl Fault {
    /// To whom, and the other side.
    pub fn targets(&self) -> impl Iterator<Item = &NodeId> {
        self.on.iter().chain(&self.against)
    }

    /// Whether it comes between these two, as the two sides of it.
    #[must_use]
    pub fn is_between(&self, a: &NodeId, b: &NodeId) -> bool {
        let parts = |a, b| self.on.contains(a) && self.against.contains(b);
        parts(a, b) || parts(b, a)
    }

    /// Whether it is upon `node` and has no other side.
    #[must_use]
    pub fn is_upon(&self, node: &NodeId) -> bool {
        self.against.is_empty() && self.on.contains(node)
    }

    /// Whether it was in force at any time since `since`.
    #[must_use]
    pub fn in_force_since(&self, since: Time) -> bool {
        let over = self.ended.or_else(|| self.effect.is_over_at_once().then_some(self.began));
        over.is_none_or(|over| over >= since)
    }
}

impl Account {
    /// The account of a run that has not begun.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let hosts = plan.hosts.iter().map(|host| Host {
            honest: matches!(host.behaviour, Behaviour::Honest | Behaviour::Churner { .. }),
            ..Host::default()
        });
        Self {
            nodes: Nodes::new(&plan),
            torrents: Torrents::default(),
            about: About::default(),
            hosts: hosts.collect(),
            faults: Vec::new(),
            detail: Detail::Blocks,
            line: 0,
            now: Time::ZERO,
            plan,
        }
    }

    /// What was to happen.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How much of what happens the stream tells.
    #[must_use]
    pub const fn detail(&self) -> Detail {
        self.detail
    }

    /// The number of the latest entry, which is its line in `events.jsonl`.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// The moment of the latest entry, or the end of the run.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Whom and what the latest entry is about.
    #[must_use]
    pub const fn about(&self) -> About {
        self.about
    }

    /// Which host goes by this name. `None`: a stranger to the plan.
    #[must_use]
    pub fn host_ix(&self, id: &NodeId) -> Option<HostIx> {
        self.host_ix_of(*self.nodes.by_id.get(id)?)
    }

    /// Which host has this number. `None`: a stranger to the plan.
    #[must_use]
    pub fn host_ix_of(&self, node: Number) -> Option<HostIx> {
        Some(node as HostIx).filter(|ix| *ix < self.hosts.len())
    }

    /// The host of this number.
    #[must_use]
    pub fn host_of(&self, node: Number) -> Option<&Host> {
        self.hosts.get(node as usize)
    }

    /// The host of this name.
    #[must_use]
    pub fn host(&self, id: &NodeId) -> Option<&Host> {
        self.host_ix(id).map(|ix| &self.hosts[ix])
    }

    /// All hosts, in the order of the plan.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// What the host of this index is called.
    #[must_use]
    pub fn id(&self, host: HostIx) -> &NodeId {
        &self.plan.hosts[host].id
    }

    /// Whether the host of this number behaves as the product does.
    #[must_use]
    pub fn honest(&self, node: Number) -> bool {
        self.host_of(node).is_some_and(|host| host.honest)
    }

    /// Which content a torrent is.
    #[must_use]
    pub fn content(&self, torrent: &InfoHash) -> Option<ContentIx> {
        self.content_of(*self.torrents.by_hash.get(torrent)?)
    }

    /// Which content the torrent of this number is.
    #[must_use]
    pub fn content_of(&self, torrent: Number) -> Option<ContentIx> {
        self.torrents.contents.get(torrent as usize).copied().flatten()
    }

    /// How the torrent of this number is cut.
    #[must_use]
    pub fn layout(&self, torrent: Number) -> Option<Layout> {
        self.content_of(torrent).map(|content| self.plan.contents[content].layout)
    }

    /// A node's part in a torrent.
    #[must_use]
    pub fn part(&self, node: Number, torrent: Number) -> Option<&Part> {
        self.host_of(node)?.parts.get(&self.content_of(torrent)?)
    }

    /// Whether a node has said that it has a piece, or had it at its start.
    #[must_use]
    pub fn has(&self, node: Number, torrent: Number, piece: u32) -> bool {
        self.part(node, torrent).is_some_and(|part| part.have.contains(piece))
    }

    /// Whether a node has said that it has a piece, or that the piece is coming to it.
    #[must_use]
    pub fn offers(&self, node: Number, torrent: Number, piece: u32) -> bool {
        let offers = |part: &Part| part.have.contains(piece) || part.coming.contains(&piece);
        self.part(node, torrent).is_some_and(offers)
    }

    /// Every fault that has begun, in order.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether any fault has been in force at any time since `since` that could keep `a` and `b` from hearing each other: upon one of
    /// them, or between them. What parts one of them from others is none.
    #[must_use]
    pub fn parted_since(&self, since: Time, a: &NodeId, b: &NodeId) -> bool {
        self.disturbances_since(since)
            .any(|fault| fault.is_upon(a) || fault.is_upon(b) || fault.is_between(a, b))
    }

    /// The faults that have been in force at any time since `since`, and could keep somebody from hearing or saying something.
    pub fn disturbances_since(&self, since: Time) -> impl Iterator<Item = &Fault> {
        let disturbs = |fault: &&Fault| fault.effect != Effect::Withholds;
        self.faults.iter().filter(disturbs).filter(move |fault| fault.in_force_since(since))
    }

    /// The occurrence of the event of this id that ended last, and when. What does not last ends as it begins.
    ///
    /// # Errors
    /// If there is none: why, as a sentence without its end.
    pub fn last_ended(&self, id: &str) -> Result<(&Fault, Time), String> {
        let of_event = |fault: &&Fault| match fault.origin {
            Origin::Event(ix) => self.plan.timeline.get(ix).is_some_and(|event| event.id == id),
            Origin::Fault(ix) => self.plan.faults.get(ix).is_some_and(|fault| fault.id == id),
            Origin::Host | Origin::Churn | Origin::Healed => fault.id == id,
        };
        let began = || self.faults.iter().filter(of_event);
        let ended = began().filter_map(|fault| Some((fault, fault.ended?)));
        ended.max_by_key(|(_, ended)| *ended).ok_or_else(|| match began().next() {
            Some(_) => format!("{id} never ended"),
            None => format!("{id} never began"),
        })
    }

    /// Whether the host takes part, lacks nothing it takes part in, and when that came to be.
    #[must_use]
    pub fn complete_since(&self, host: HostIx) -> Option<Time> {
        let takes = &self.plan.hosts[host].takes;
        takes.iter().try_fold(Time::ZERO, |latest, take| {
            Some(latest.max(self.hosts[host].parts.get(&take.content)?.complete?))
        })
    }

    /// Whether the host says what it has: a liar's word that it has everything says nothing.
    #[must_use]
    pub fn is_believed(&self, host: HostIx) -> bool {
        !matches!(self.plan.hosts[host].behaviour, Behaviour::Liar(_))
    }

    /// Whether the host counts when it is asked who has finished: it is believed, and is there or had finished when it went.
    #[must_use]
    pub fn counts(&self, host: HostIx) -> bool {
        if !self.is_believed(host) {
            return false;
        }
        let away = !self.hosts[host].running && self.hosts[host].gone.is_some();
        !away || self.complete_since(host).is_some()
    }

    /// The indices of all nodes, trackers left out.
    pub fn nodes(&self) -> impl Iterator<Item = HostIx> + '_ {
        let is_node = |&ix: &HostIx| self.plan.hosts[ix].role == Role::Node;
        (0..self.hosts.len()).filter(is_node)
    }

    /// The run is over: now is `end`.
    pub fn close(&mut self, end: Time) {
        self.now = self.now.max(end);
    }

    /// Takes in the next entry.
    pub fn see(&mut self, entry: &Entry) {
        self.line += 1;
        self.now = entry.at();
        match entry {
            Entry::Said(record) => {
                self.about = About {
                    who: self.nodes.number(&record.who),
                    peer: record.event.peer().map_or(NOBODY, |peer| self.nodes.number(peer)),
                    torrent: record.event.torrent().map_or(NOBODY, |it| self.torrents.number(it)),
                };
                self.said(record);
            }
            Entry::Noted(noted) => {
                self.about = About::default();
                self.noted(noted);
            }
        }
    }

    fn said(&mut self, Record { at, event, .. }: &Record) {
        let About { who, torrent: number, .. } = self.about;
        let Some(ix) = self.host_ix_of(who) else { return };
        match event {
            Event::NodeStarted { .. } | Event::TrackerStarted { .. } => {
                let host = &mut self.hosts[ix];
                host.running = true;
                host.first_start.get_or_insert(*at);
                host.last_start = Some(*at);
            }
            Event::NodeStopped => self.gone(ix, *at),
            Event::TorrentAdded { have, .. } => self.added(ix, number, *have, *at),
            Event::LeavesVerified { piece, .. } => {
                if let Some(part) = self.part_mut(ix, number) {
                    part.coming.insert(*piece);
                }
            }
            Event::PieceVerified { piece, .. } => {
                self.hosts[ix].moved = self.line;
                if let Some(part) = self.part_mut(ix, number) {
                    part.have.insert(*piece);
                    // It was written anew.
                    part.unreadable.remove(*piece);
                    part.lost.remove(*piece);
                    part.progressed = *at;
                }
            }
            Event::TorrentComplete { .. } => {
                self.hosts[ix].moved = self.line;
                let pieces_are_told = self.detail >= Detail::Pieces;
                if let Some(part) = self.part_mut(ix, number) {
                    if !pieces_are_told {
                        part.have = Bitfield::full(part.have.len());
                    }
                    part.complete.get_or_insert(*at);
                }
            }
            _ => {}
        }
    }

    fn noted(&mut self, Noted { at, note }: &Noted) {
        match note {
            Note::Detail { detail } => self.detail = *detail,
            Note::Content { content, torrent } => {
                if *content < self.plan.contents.len() {
                    let number = self.torrents.number(torrent);
                    self.torrents.contents[number as usize] = Some(*content);
                }
            }
            Note::FaultBegan { fault, id, origin, verb, effect, on, against } => {
                self.fault_began(*effect, on);
                self.faults.push(Fault {
                    number: *fault,
                    id: id.to_string(),
                    origin: *origin,
                    verb: verb.to_string(),
                    effect: *effect,
                    on: on.to_vec(),
                    against: against.to_vec(),
                    began: *at,
                    ended: None,
                });
            }
            Note::FaultEnded { fault } => {
                if let Some(fault) = self.faults.get_mut(*fault) {
                    fault.ended.get_or_insert(*at);
                }
            }
            Note::ProcessDied { who } | Note::Panicked { who, .. } => {
                self.about.who = self.nodes.number(who);
                if let Some(ix) = self.host_ix_of(self.about.who) {
                    self.gone(ix, *at);
                }
            }
            Note::Disk { who, torrent, claimed, .. } => {
                self.about.who = self.nodes.number(who);
                self.about.torrent = self.torrents.number(torrent);
                let host = self.host_ix_of(self.about.who);
                let Some((ix, content)) = host.zip(self.content_of(self.about.torrent)) else {
                    return;
                };
                let disk = self.bits(content, claimed);
                self.part_of(ix, content).on_disk = Some(disk);
            }
            Note::Unreadable { who, torrent, pieces } => {
                self.about.who = self.nodes.number(who);
                self.about.torrent = self.torrents.number(torrent);
                let host = self.host_ix_of(self.about.who);
                let Some((ix, content)) = host.zip(self.content_of(self.about.torrent)) else {
                    return;
                };
                let unreadable = self.bits(content, pieces);
                let part = self.part_of(ix, content);
                pieces.iter().for_each(|range| part.lost.insert_range(*range, |_| {}));
                part.unreadable = unreadable;
            }
            Note::TrackerHeard { .. } | Note::Phase { .. } | Note::Mark { .. } => {}
        }
    }

    /// The process of a host is no more; it may not have come to say that it had started.
    fn gone(&mut self, ix: HostIx, at: Time) {
        let host = &mut self.hosts[ix];
        if host.running || host.gone.is_none() {
            host.running = false;
            host.gone = Some(at);
        }
    }

    /// What a node has at its start: all, nothing, or what the world says is on its disk; else what it had verified
    /// before, or what the plan gave it.
    fn added(&mut self, ix: HostIx, torrent: Number, have: u32, at: Time) {
        let Some(content) = self.content_of(torrent) else { return };
        let layout = self.plan.contents[content].layout;
        let planned = self.plan.hosts[ix].takes.iter().find(|take| take.content == content);
        let first = !self.hosts[ix].parts.contains_key(&content);
        let part =
            self.hosts[ix].parts.entry(content).or_insert_with(|| Part::new(layout.pieces()));
        if have == 0 {
            part.have = Bitfield::empty(layout.pieces());
        } else if have == layout.pieces() {
            part.have = Bitfield::full(layout.pieces());
        } else if let Some(disk) = part.on_disk.take() {
            part.have = disk;
        } else if first {
            let ranges = planned.map_or(&[][..], |take| &take.have);
            ranges.iter().for_each(|range| part.have.insert_range(*range, |_| {}));
        }
        let stays_complete = part.have.is_full() && part.complete.is_some();
        if part.have.is_full() {
            part.complete.get_or_insert(at);
        } else {
            part.complete = None;
        }
        part.on_disk = None;
        part.lost = part.unreadable.clone();
        part.coming.clear();
        part.wanted.get_or_insert_with(|| {
            let held: u64 = part.have.iter().map(|piece| u64::from(layout.piece_len(piece))).sum();
            layout.total() - held
        });
        part.added = at;
        part.progressed = at;
        if !stays_complete {
            self.hosts[ix].moved = self.line;
        }
    }

    fn fault_began(&mut self, effect: Effect, targets: &[NodeId]) {
        for target in targets {
            let Some(ix) = self.host_ix(target) else { continue };
            match effect {
                Effect::Turns => self.hosts[ix].honest = false,
                Effect::Rots => self.hosts[ix].rotten = true,
                Effect::Once | Effect::Lasts | Effect::Withholds => {}
            }
        }
    }

    /// These pieces of a content.
    fn bits(&self, content: ContentIx, ranges: &[PieceRange]) -> Bitfield {
        let mut bits = Bitfield::empty(self.plan.contents[content].layout.pieces());
        ranges.iter().for_each(|range| bits.insert_range(*range, |_| {}));
        bits
    }

    /// A host's part in a content, which the world may speak of before the host does.
    fn part_of(&mut self, ix: HostIx, content: ContentIx) -> &mut Part {
        let pieces = self.plan.contents[content].layout.pieces();
        self.hosts[ix].parts.entry(content).or_insert_with(|| Part::new(pieces))
    }

    fn part_mut(&mut self, ix: HostIx, torrent: Number) -> Option<&mut Part> {
        let content = self.content_of(torrent)?;
        self.hosts[ix].parts.get_mut(&content)
    }
}

impl Part {
    fn new(pieces: u32) -> Self {
        Self {
            have: Bitfield::empty(pieces),
            unreadable: Bitfield::empty(pieces),
            lost: Bitfield::empty(pieces),
            coming: BTreeSet::new(),
            added: Time::ZERO,
            wanted: None,
            complete: None,
            progressed: Time::ZERO,
            on_disk: None,
        }
    }
}
