//! Limits that a node keeps for its own sake: sessions of one torrent, and bytes asked of one peer and not yet here.
//!
//! What is in flight is told from the asker's events. A request that was rejected, cancelled or given up leaves no
//! trace of its own there, so a request counts until its block came from anybody, its piece was verified, the session
//! ended, the peer choked, or the asker's request timeout passed: never more than the asker knows of.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sta_core::model::event::{Event, Record};
use sta_core::model::ids::NodeId;
use sta_core::model::layout::Block;
use sta_core::model::limits;
use sta_core::model::time::Time;

use super::account::{About, Number};
use super::{Account, Findings, Judgement, Rule, few};
use crate::runlog::{Detail, Entry, Note, Noted};

/// The limits of `model/limits.rs`.
#[derive(Default)]
pub struct Bounds {
    findings: Findings,
    sessions: Sessions,
    /// By asker's number: what it asked for, by torrent.
    asked: Vec<Vec<(Number, InFlight)>>,
    most_sessions: usize,
    most_bytes: u64,
}

/// What a node asked its peers for.
#[derive(Default)]
struct InFlight {
    /// Ascending.
    requests: Vec<Request>,
    /// By peer, in the order in which they were first asked: bytes of its requests.
    bytes: Vec<(Number, u64)>,
}

struct Request {
    what: What,
    at: Time,
}

/// A block, and who was asked for it: one number, so that all of it is compared at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct What(u128);

impl What {
    fn new(Block { piece, offset, len }: Block, of: Number) -> Self {
        let parts = [piece, offset, len, of];
        Self(parts.into_iter().fold(0, |all, part| all << u32::BITS | u128::from(part)))
    }

    const fn piece(self) -> u32 {
        (self.0 >> (3 * u32::BITS)) as u32
    }

    const fn bytes(self) -> u64 {
        (self.0 >> u32::BITS) as u32 as u64
    }

    const fn of(self) -> Number {
        self.0 as Number
    }
}

/// Sessions that stand, by node and torrent, from the events of each side.
#[derive(Default)]
struct Sessions(BTreeMap<(Number, Number), BTreeSet<Number>>);

impl Rule for Bounds {
    fn sees(&self) -> Detail {
        Detail::Blocks
    }

    fn see(&mut self, entry: &Entry, account: &Account) {
        let who = account.about().who;
        if entry.kind().detail() == Detail::Milestones {
            self.sessions.see(entry, account.about());
        }
        match entry {
            Entry::Said(record) if account.honest(who) => self.said(record, account),
            Entry::Noted(Noted { note: Note::ProcessDied { .. }, .. }) => {
                self.forget(who);
            }
            _ => {}
        }
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        let (sessions, kib) = (self.most_sessions, self.most_bytes >> 10);
        // In a log without single blocks nobody asks for any.
        let in_flight = match account.detail() {
            Detail::Blocks => format!("{kib} KiB in flight from a peer"),
            _ => "what was in flight is not known".to_owned(),
        };
        self.findings.judge(format!("at most {sessions} sessions of a torrent, {in_flight}"))
    }
}

impl Bounds {
    fn said(&mut self, Record { at, who, event }: &Record, account: &Account) {
        let About { who: node, peer: other, torrent } = account.about();
        match event {
            Event::PeerConnected { .. } => {
                let count = self.sessions.of(node, torrent);
                self.most_sessions = self.most_sessions.max(count);
                if count > limits::PEERS_PER_TORRENT_MAX {
                    self.findings.add(account, Some(who), || {
                        let most = limits::PEERS_PER_TORRENT_MAX;
                        format!("{who} has {count} sessions of one torrent, more than {most}")
                    });
                }
            }
            Event::PeerLost { .. } => {
                self.of(node, torrent).given_up(other, Time::FAR_FUTURE);
            }
            Event::BlockAsked { peer, block, .. } => {
                self.block_asked(account, *at, (who, peer), *block);
            }
            Event::BlockReceived { block, .. } => {
                self.of(node, torrent).came(*block);
            }
            Event::PieceVerified { piece, .. } | Event::PieceFailed { piece, .. } => {
                self.of(node, torrent).ended(*piece);
            }
            Event::Choked { .. } => {
                self.of(other, torrent).given_up(node, Time::FAR_FUTURE);
            }
            Event::NodeStarted { .. } | Event::NodeStopped => {
                self.forget(node);
            }
            _ => {}
        }
    }

    fn of(&mut self, who: Number, torrent: Number) -> &mut InFlight {
        let who = who as usize;
        if who >= self.asked.len() {
            self.asked.resize_with(who + 1, Vec::new);
        }
        entry(&mut self.asked[who], torrent)
    }

    fn forget(&mut self, who: Number) {
        if let Some(asked) = self.asked.get_mut(who as usize) {
            asked.clear();
        }
    }

    fn block_asked(
        &mut self,
        account: &Account,
        at: Time,
        (who, peer): (&NodeId, &NodeId),
        block: Block,
    ) {
        let About { who: node, peer: other, torrent } = account.about();
        let timeout = account
            .host_ix_of(node)
            .map_or_else(Default::default, |ix| account.plan().hosts[ix].engine.request_timeout);
        let in_flight = self.of(node, torrent);
        let mut bytes = in_flight.insert(Request { what: What::new(block, other), at });
        if bytes > limits::IN_FLIGHT_BYTES_MAX {
            bytes = in_flight.given_up(other, at - timeout);
        }
        self.most_bytes = self.most_bytes.max(bytes);
        if bytes > limits::IN_FLIGHT_BYTES_MAX {
            self.findings.add(account, Some(who), || {
                let most = limits::IN_FLIGHT_BYTES_MAX;
                format!("{who} waits for {bytes} bytes from {peer}, more than {most}")
            });
        }
    }
}

impl InFlight {
    /// Adds a request, in place of an earlier one for the same. Says how many bytes its peer was asked for then.
    fn insert(&mut self, request: Request) -> u64 {
        let what = request.what;
        let bytes = entry(&mut self.bytes, what.of());
        match self.requests.binary_search_by_key(&what, |asked| asked.what) {
            Ok(at) => self.requests[at] = request,
            Err(at) => {
                self.requests.insert(at, request);
                *bytes += what.bytes();
            }
        }
        *bytes
    }

    /// `block` has come, from anybody.
    fn came(&mut self, block: Block) {
        let (least, most) = (What::new(block, 0), What::new(block, Number::MAX));
        let first = self.requests.partition_point(|asked| asked.what < least);
        let of_block = self.requests[first..].iter().take_while(|asked| asked.what <= most);
        self.forget(first..first + of_block.count());
    }

    /// Nothing of `piece` is waited for any more.
    fn ended(&mut self, piece: u32) {
        let first = self.requests.partition_point(|asked| asked.what.piece() < piece);
        let end = self.requests.partition_point(|asked| asked.what.piece() <= piece);
        self.forget(first..end);
    }

    /// Nothing is waited for of `peer` that was asked before `since`. Says how many bytes are left.
    fn given_up(&mut self, peer: Number, since: Time) -> u64 {
        self.requests.retain(|asked| asked.what.of() != peer || asked.at >= since);
        let left = self.requests.iter().filter(|asked| asked.what.of() == peer);
        let left = left.map(|asked| asked.what.bytes()).sum();
        *entry(&mut self.bytes, peer) = left;
        left
    }

    fn forget(&mut self, range: Range<usize>) {
        for Request { what, .. } in self.requests.drain(range) {
            *entry(&mut self.bytes, what.of()) -= what.bytes();
        }
    }
}

/// What is kept in a short list for `number`.
fn entry<T: Default>(all: &mut Vec<(Number, T)>, number: Number) -> &mut T {
    let known = few::place(all, |(known, _)| *known == number);
    let place = known.unwrap_or_else(|| {
        all.push((number, T::default()));
        all.len() - 1
    });
    &mut all[place].1
}

impl Sessions {
    fn see(&mut self, entry: &Entry, About { who, peer, torrent }: About) {
        match entry {
            Entry::Said(Record { event, .. }) => match event {
                Event::PeerConnected { .. } => {
                    self.0.entry((who, torrent)).or_default().insert(peer);
                }
                Event::PeerLost { .. } => {
                    if let Some(peers) = self.0.get_mut(&(who, torrent)) {
                        peers.remove(&peer);
                    }
                }
                Event::NodeStarted { .. } | Event::NodeStopped => {
                    self.0.retain(|(node, _), _| *node != who);
                }
                _ => {}
            },
            Entry::Noted(Noted { note: Note::ProcessDied { .. }, .. }) => {
                self.0.retain(|(node, _), _| *node != who);
            }
            Entry::Noted(_) => {}
        }
    }

    /// How many sessions `who` has of `torrent`.
    fn of(&self, who: Number, torrent: Number) -> usize {
        self.0.get(&(who, torrent)).map_or(0, BTreeSet::len)
    }

    /// How many sessions `who` has in all.
    fn all_of(&self, who: Number) -> usize {
        self.0.range((who, 0)..=(who, Number::MAX)).map(|(_, peers)| peers.len()).sum()
    }
}

/// Sessions of one host at the same time, over all its torrents: an expectation of a scenario.
pub struct Connections {
    at_most: u32,
    sessions: Sessions,
    most: usize,
    findings: Findings,
}

impl Connections {
    /// At most so many.
    #[must_use]
    pub fn new(at_most: u32) -> Self {
        Self { at_most, sessions: Sessions::default(), most: 0, findings: Findings::default() }
    }
}

impl Rule for Connections {
    fn see(&mut self, entry: &Entry, account: &Account) {
        self.sessions.see(entry, account.about());
        let Entry::Said(Record { who, event: Event::PeerConnected { .. }, .. }) = entry else {
            return;
        };
        let count = self.sessions.all_of(account.about().who);
        self.most = self.most.max(count);
        if count > self.at_most as usize {
            let most = self.at_most;
            self.findings.add(account, Some(who), || {
                format!("{who} has {count} sessions, more than {most}")
            });
        }
    }

    fn finish(&mut self, _: &Account) -> Judgement {
        if self.most == 0 {
            return Judgement::unasked("nobody connected with anybody");
        }
        self.findings.judge(format!("at most {} sessions of a host", self.most))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::{Bounds, Connections};
    use crate::checks::Held;
    use crate::checks::story::{breaks, holds, judge};

    #[test]
    fn sessions_of_a_torrent_are_counted_until_they_end() {
        let connect = |upto: u32| {
            (0..upto).fold("0 seed-0 added 1/1".to_owned(), |mut story, n| {
                write!(story, " | 1 seed-0 connected peer-{n}").expect("a String");
                story
            })
        };
        holds(Box::<Bounds>::default(), &connect(64));
        breaks(Box::<Bounds>::default(), &connect(65), "65 sessions of one torrent, more than 64");
        let replaced =
            format!("{} | 2 seed-0 lost peer-0 | 3 seed-0 connected peer-64", connect(64));
        holds(Box::<Bounds>::default(), &replaced);
    }

    #[test]
    fn in_flight_ends_with_the_block_the_session_the_choke_or_the_timeout() {
        let mib = 1 << 20;
        let ask = |from: u32, upto: u32, at: u32| {
            (from..upto).fold(String::new(), |mut story, piece| {
                write!(story, " | {at} leech-0 asked seed-0 {piece} {mib}").expect("a String");
                story
            })
        };
        let rule = Box::<Bounds>::default;
        let full = format!("0 leech-0 added 0/99{}", ask(0, 32, 1));
        holds(rule(), &full);
        breaks(rule(), &format!("{full}{}", ask(32, 33, 2)), "34603008 bytes from seed-0");
        holds(rule(), &format!("{full}{}", ask(31, 32, 2)));
        holds(rule(), &format!("{full} | 2 leech-0 verified 0{}", ask(32, 33, 3)));
        holds(rule(), &format!("{full} | 2 leech-0 lost seed-0{}", ask(32, 64, 3)));
        holds(rule(), &format!("{full} | 2 seed-0 choked leech-0{}", ask(32, 64, 3)));
        holds(rule(), &format!("{full}{}", ask(32, 64, 30_000)));
    }

    #[test]
    fn a_scenario_may_ask_for_fewer_sessions() {
        let rule = || Box::new(Connections::new(1));
        let one = "0 leech-0 added 0/1 | 1 leech-0 connected seed-0";
        holds(rule(), &format!("{one} | 1 seed-0 connected leech-0"));
        holds(
            rule(),
            &format!("{one} | 2 leech-0 dies | 3 leech-0 added 0/1 | 3 leech-0 connected seed-1"),
        );
        breaks(rule(), &format!("{one} | 1 leech-0 connected seed-1"), "leech-0 has 2 sessions");
        assert!(matches!(judge(rule(), "0 leech-0 added 0/1").held, Held::Unasked(_)));
    }
}
