//! How peers treat each other: nothing is sent or taken that was not asked for, nothing is asked of who cannot have it
//! or has choked the asker, nothing is served to who is choked, and every block lies inside its piece.
//!
//! Judged only between nodes that behave as the product does. Word travels: an asker may not know yet of a choke, or of a
//! restart of its peer, so what it asks is held against its own session, and a choke against it after [`CHOKE_NEWS`] on
//! an undisturbed network. Who chokes may still send the blocks that its connection was handed before, [`AHEAD_MAX`] of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sta_core::engine::uploads::AHEAD_MAX;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::layout::Block;
use sta_core::model::time::Time;

use super::{Account, Findings, Judgement, Rule};
use crate::runlog::{Detail, Entry};

/// By then a choke has reached the peer, even behind a queue of blocks on a slow link.
pub const CHOKE_NEWS: Duration = Duration::from_secs(10);

/// One direction of a session: the asker, then who is asked.
type Way = (NodeId, NodeId, InfoHash);

/// The rule.
#[derive(Default)]
pub struct Manners {
    findings: Findings,
    /// Requests that the asker waits for.
    waits: BTreeMap<Way, BTreeMap<Block, u32>>,
    /// Requests that may be answered: those of an ended session too, until the answerer knows.
    owed: BTreeMap<Way, BTreeMap<Block, u32>>,
    /// Whom the second of the pair serves.
    unchoked: BTreeSet<Way>,
    /// Blocks that the second of the pair may still send to the first, which it has choked.
    leaving: BTreeMap<Way, usize>,
    /// When the second of the pair choked the first.
    choked: BTreeMap<Way, Time>,
    /// When the session of the first with the second began, as the first says.
    since: BTreeMap<Way, Time>,
    asked: u64,
}

impl Rule for Manners {
    fn needs(&self) -> Detail {
        Detail::Blocks
    }

    fn see(&mut self, entry: &Entry, account: &Account) {
        let Entry::Said(Record { at, who, event }) = entry else { return };
        if !account.honest(who) {
            return;
        }
        match event {
            Event::PeerConnected { torrent, peer } => {
                self.since.insert(way(who, peer, torrent), *at);
                self.unchoked.remove(&way(peer, who, torrent));
                self.leaving.remove(&way(peer, who, torrent));
                self.choked.remove(&way(who, peer, torrent));
            }
            Event::PeerLost { torrent, peer, .. } => {
                self.waits.remove(&way(who, peer, torrent));
                self.choked.remove(&way(who, peer, torrent));
            }
            Event::Unchoked { torrent, peer } => {
                self.unchoked.insert(way(peer, who, torrent));
                self.choked.remove(&way(peer, who, torrent));
            }
            Event::Choked { torrent, peer } => {
                let way = way(peer, who, torrent);
                self.unchoked.remove(&way);
                self.leaving.insert(way.clone(), AHEAD_MAX);
                self.choked.insert(way, *at);
            }
            Event::BlockAsked { torrent, peer, block } => {
                self.block_asked(account, way(who, peer, torrent), *block);
            }
            Event::BlockSent { torrent, peer, block } => {
                self.block_sent(account, &way(peer, who, torrent), *block);
            }
            Event::BlockReceived { torrent, peer, block, .. } if account.honest(peer) => {
                let waits = self.waits.entry(way(who, peer, torrent)).or_default();
                if !take_one(waits, *block) {
                    self.findings.add(account, Some(peer), || {
                        format!("{who} received {} from {peer} without having asked", words(*block))
                    });
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, _: &Account) -> Judgement {
        self.findings.judge(format!("{} requests", self.asked))
    }
}

impl Manners {
    fn block_asked(&mut self, account: &Account, way: Way, block: Block) {
        self.asked += 1;
        let (who, peer, _) = &way;
        if let Some(why) = self.impolite(account, &way, block) {
            self.findings.add(account, Some(who), || {
                format!("{who} asked {peer} for {}, {why}", words(block))
            });
        }
        *self.waits.entry(way.clone()).or_default().entry(block).or_default() += 1;
        *self.owed.entry(way).or_default().entry(block).or_default() += 1;
    }

    /// What is wrong with a request, if anything is.
    fn impolite(&self, account: &Account, way: &Way, block: Block) -> Option<String> {
        let (who, peer, torrent) = way;
        if account.layout(torrent).is_some_and(|layout| !layout.contains(block)) {
            return Some("which is not a block of the torrent".to_owned());
        }
        if account.has(who, torrent, block.piece) {
            return Some("which it has verified".to_owned());
        }
        if !account.honest(peer) {
            return None;
        }
        let restarted = account.host(peer).and_then(|host| host.last_start);
        let same_process =
            self.since.get(way).zip(restarted).is_none_or(|(since, at)| at <= *since);
        if same_process && !account.has(peer, torrent, block.piece) {
            return Some("which the peer has never had".to_owned());
        }
        let choked = *self.choked.get(way)?;
        let for_long = account.now().since(choked) > CHOKE_NEWS;
        (for_long && !account.disturbed_since(choked, &[who, peer]))
            .then(|| format!("which choked it at {choked}"))
    }

    /// Counts a block that was handed over before the choke, as far as that may be.
    fn leaves(&mut self, way: &Way) -> bool {
        let left = self.leaving.get_mut(way).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }

    fn block_sent(&mut self, account: &Account, way: &Way, block: Block) {
        let (peer, who, _) = way;
        if !self.unchoked.contains(way) && !self.leaves(way) {
            self.findings.add(account, Some(who), || {
                format!("{who} sent {} to {peer}, which it chokes", words(block))
            });
        }
        let honest = account.honest(peer);
        let owed = self.owed.entry(way.clone()).or_default();
        if honest && !take_one(owed, block) {
            self.findings.add(account, Some(who), || {
                format!("{who} sent {} to {peer}, which had not asked for it", words(block))
            });
        }
    }
}

fn way(asker: &NodeId, asked: &NodeId, torrent: &InfoHash) -> Way {
    (asker.clone(), asked.clone(), *torrent)
}

/// Takes one of `block` out; false if there was none.
fn take_one(blocks: &mut BTreeMap<Block, u32>, block: Block) -> bool {
    match blocks.get_mut(&block) {
        Some(count) if *count > 1 => *count -= 1,
        Some(_) => drop(blocks.remove(&block)),
        None => return false,
    }
    true
}

fn words(Block { piece, offset, len }: Block) -> String {
    format!("block {piece}+{offset} ({len} bytes)")
}

#[cfg(test)]
mod tests {
    use super::Manners;
    use crate::checks::story::{breaks, holds};

    const MET: &str = "0 seed-0 added 2/2 | 0 leech-0 added 0/2 | 1 seed-0 connected leech-0 \
        | 1 leech-0 connected seed-0 | 1 seed-0 unchoked leech-0";

    fn rule() -> Box<Manners> {
        Box::default()
    }

    #[test]
    fn what_is_asked_for_is_sent_and_taken_once() {
        let asked = format!("{MET} | 2 leech-0 asked seed-0 0");
        holds(rule(), &format!("{asked} | 3 seed-0 sent leech-0 0 | 4 leech-0 got seed-0 0"));
        breaks(rule(), &format!("{MET} | 3 seed-0 sent leech-0 0"), "which had not asked for it");
        let twice = format!("{asked} | 3 seed-0 sent leech-0 0 | 3 seed-0 sent leech-0 0");
        breaks(rule(), &twice, "which had not asked for it");
        breaks(
            rule(),
            &format!("{asked} | 4 leech-0 got seed-1 0"),
            "from seed-1 without having asked",
        );
        let late = format!("{asked} | 3 leech-0 lost seed-0 | 4 leech-0 got seed-0 0");
        breaks(rule(), &late, "without having asked");
    }

    #[test]
    fn a_block_lies_inside_its_piece_and_is_no_larger_than_blocks_are() {
        breaks(
            rule(),
            &format!("{MET} | 2 leech-0 asked seed-0 0 65537"),
            "not a block of the torrent",
        );
        breaks(rule(), &format!("{MET} | 2 leech-0 asked seed-0 2"), "not a block of the torrent");
    }

    #[test]
    fn nothing_is_asked_that_is_here_or_that_the_peer_cannot_have() {
        let has = format!("{MET} | 2 leech-0 verified 0 | 3 leech-0 asked seed-0 0");
        breaks(rule(), &has, "which it has verified");
        let lacks = "0 leech-0 added 0/2 | 0 leech-1 added 0/2 | 1 leech-0 connected leech-1";
        breaks(
            rule(),
            &format!("{lacks} | 2 leech-0 asked leech-1 0"),
            "which the peer has never had",
        );
        holds(rule(), &format!("{lacks} | 2 leech-1 verified 0 | 3 leech-0 asked leech-1 0"));
        let wiped = "2 leech-1 verified 0 | 3 leech-1 dies | 4 leech-1 added 0/2 | 5 leech-0 asked leech-1 0";
        holds(rule(), &format!("{lacks} | {wiped}"));
    }

    #[test]
    fn the_choked_are_not_served_and_soon_know() {
        let asks = "2 leech-0 asked seed-0 0 | 2 leech-0 asked seed-0 1";
        let asked = format!("{MET} | {asks} | 3 seed-0 choked leech-0");
        let left = format!("{asked} | 4 seed-0 sent leech-0 0");
        holds(rule(), &left);
        breaks(rule(), &format!("{left} | 4 seed-0 sent leech-0 1"), "which it chokes");
        holds(rule(), &format!("{asked} | 4 leech-0 asked seed-0 1"));
        breaks(
            rule(),
            &format!("{asked} | 11000 leech-0 asked seed-0 1"),
            "which choked it at 0.003s",
        );
        holds(rule(), &format!("{asked} | 5 fault cut seed-0 | 11000 leech-0 asked seed-0 1"));
        holds(
            rule(),
            &format!("{asked} | 9 seed-0 unchoked leech-0 | 11000 leech-0 asked seed-0 1"),
        );
    }
}
