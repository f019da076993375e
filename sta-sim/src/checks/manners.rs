//! How peers treat each other: nothing is sent or taken that was not asked for, nothing is asked of who cannot have it
//! or has choked the asker, nothing is served to who is choked, every block lies inside its piece, and nobody is banned but who
//! sent wrong blocks.
//!
//! Judged only between nodes that behave as the product does. Word travels: an asker may not know yet of a choke, or of a
//! restart of its peer, so what it asks is held against the session that both have, and a choke against it after [`CHOKE_NEWS`] on
//! an undisturbed network. Who chokes may still send the blocks that its connection was handed before, [`AHEAD_MAX`] of them.

use std::time::Duration;

use sta_core::engine::uploads::AHEAD_MAX;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::NodeId;
use sta_core::model::layout::Block;
use sta_core::model::time::Time;

use super::account::{About, Host, Number, Part};
use super::{Account, Findings, Judgement, Rule, few};
use crate::runlog::{Detail, Entry};

/// By then a choke has reached the peer, even behind a queue of blocks on a slow link.
pub const CHOKE_NEWS: Duration = Duration::from_secs(10);

/// One direction of a session: the asker, then who is asked, then of which torrent.
type Way = (Number, Number, Number);
/// The same without the asker.
type Asked = (Number, Number);

/// The rule.
#[derive(Default)]
pub struct Manners {
    findings: Findings,
    ways: Ways,
    asked: u64,
}

/// By asker's number: whom it asks for which torrent, in the order in which they met.
#[derive(Default)]
struct Ways(Vec<Vec<(Asked, State)>>);

impl Ways {
    fn of(&mut self, (asker, asked, torrent): Way) -> &mut State {
        let asker = asker as usize;
        if asker >= self.0.len() {
            self.0.resize_with(asker + 1, Vec::new);
        }
        let met = &mut self.0[asker];
        let known = few::place(met, |(way, _)| *way == (asked, torrent));
        let place = known.unwrap_or_else(|| {
            met.push(((asked, torrent), State::default()));
            met.len() - 1
        });
        &mut met[place].1
    }
}

/// What is known of one direction of a session.
#[derive(Default)]
struct State {
    /// Requests that the asker waits for.
    waits: Requests,
    /// Requests that may be answered: those of an ended session too, until the answerer knows.
    owed: Requests,
    /// Whether the asker is served.
    unchoked: bool,
    /// Blocks that may still be sent to the asker, which was choked.
    leaving: usize,
    /// When the asker was choked.
    choked: Option<Time>,
    /// When the session began, as the asker says.
    since: Option<Time>,
}

/// Blocks that were asked for, some perhaps more than once, in the order in which they were: few of them are recent, and what is
/// answered is recent. Those that were never answered lie before.
#[derive(Default)]
struct Requests(Vec<Block>);

impl Requests {
    /// Takes one of `block` out; false if there was none.
    fn take(&mut self, block: Block) -> bool {
        let at = self.0.iter().rposition(|asked| *asked == block);
        at.map(|at| self.0.remove(at)).is_some()
    }
}

impl Rule for Manners {
    fn needs(&self) -> Detail {
        Detail::Blocks
    }

    fn see(&mut self, entry: &Entry, account: &Account) {
        let Entry::Said(Record { at, who, event }) = entry else { return };
        let About { who: from, peer: to, torrent } = account.about();
        if !account.honest(from) {
            return;
        }
        // Of a node's own requests, and of those of its peer.
        let (asking, asked) = ((from, to, torrent), (to, from, torrent));
        match event {
            Event::PeerConnected { .. } => {
                let own = self.ways.of(asking);
                (own.since, own.choked) = (Some(*at), None);
                let theirs = self.ways.of(asked);
                (theirs.unchoked, theirs.leaving) = (false, 0);
            }
            Event::PeerLost { .. } => {
                let own = self.ways.of(asking);
                own.waits.0.clear();
                own.choked = None;
            }
            Event::Unchoked { .. } => {
                let theirs = self.ways.of(asked);
                (theirs.unchoked, theirs.choked) = (true, None);
            }
            Event::Choked { .. } => {
                let theirs = self.ways.of(asked);
                (theirs.unchoked, theirs.leaving) = (false, AHEAD_MAX);
                theirs.choked = Some(*at);
            }
            Event::BlockAsked { peer, block, .. } => {
                self.block_asked(account, (who, peer), asking, *block);
            }
            Event::BlockSent { peer, block, .. } => {
                self.block_sent(account, (who, peer), asked, *block);
            }
            Event::PeerBanned { peer, why, .. } if account.honest(to) => {
                let rotten = |node| account.host_of(node).is_some_and(|host| host.rotten);
                if !rotten(from) && !rotten(to) {
                    self.findings.add(account, Some(who), || {
                        format!("{who} banned {peer} for nothing: {why}")
                    });
                }
            }
            Event::BlockReceived { peer, block, .. } if account.honest(to) => {
                self.block_received(account, (who, peer), asking, *block);
            }
            _ => {}
        }
    }

    fn finish(&mut self, _: &Account) -> Judgement {
        self.findings.judge(format!("{} requests", self.asked))
    }
}

impl Manners {
    fn block_asked(
        &mut self,
        account: &Account,
        (who, peer): (&NodeId, &NodeId),
        way: Way,
        block: Block,
    ) {
        self.asked += 1;
        let (asker, asked, torrent) = way;
        let anew = account.host_of(asked).is_some_and(Host::has_started_anew);
        let theirs = if anew { self.ways.of((asked, asker, torrent)).since } else { None };
        let state = self.ways.of(way);
        if let Some(why) = state.impolite(account, (who, peer), way, theirs, block) {
            self.findings.add(account, Some(who), || {
                format!("{who} asked {peer} for {}, {why}", words(block))
            });
        }
        state.waits.0.push(block);
        state.owed.0.push(block);
    }

    fn block_received(
        &mut self,
        account: &Account,
        (who, peer): (&NodeId, &NodeId),
        way: Way,
        block: Block,
    ) {
        if !self.ways.of(way).waits.take(block) {
            self.findings.add(account, Some(peer), || {
                format!("{who} received {} from {peer} without having asked", words(block))
            });
        }
    }

    fn block_sent(
        &mut self,
        account: &Account,
        (who, peer): (&NodeId, &NodeId),
        way: Way,
        block: Block,
    ) {
        let state = self.ways.of(way);
        if !state.unchoked && !state.leaves() {
            self.findings.add(account, Some(who), || {
                format!("{who} sent {} to {peer}, which it chokes", words(block))
            });
        }
        if account.honest(way.0) && !state.owed.take(block) {
            self.findings.add(account, Some(who), || {
                format!("{who} sent {} to {peer}, which had not asked for it", words(block))
            });
        }
    }
}

impl State {
    /// What is wrong with a request, if anything is. `theirs` is since when a peer that has started anew has had a session with
    /// the asker, as it says.
    fn impolite(
        &self,
        account: &Account,
        (who, peer): (&NodeId, &NodeId),
        (asker, asked, torrent): Way,
        theirs: Option<Time>,
        block: Block,
    ) -> Option<String> {
        if account.layout(torrent).is_some_and(|layout| !layout.contains(block)) {
            return Some("which is not a block of the torrent".to_owned());
        }
        let lost = |part: &Part| part.lost.contains(block.piece);
        if account.has(asker, torrent, block.piece)
            && !account.part(asker, torrent).is_some_and(lost)
        {
            return Some("which it has verified".to_owned());
        }
        if !account.honest(asked) {
            return None;
        }
        let host = account.host_of(asked).filter(|host| host.has_started_anew());
        // What a process said may arrive when the next one runs already: so both must have met since then. Who asks without any
        // session is not excused.
        let met_since = |start: Time| {
            self.since.is_none_or(|since| since >= start && theirs.is_some_and(|met| met >= start))
        };
        let same_process = host.and_then(|host| host.last_start).is_none_or(met_since);
        if same_process && !account.offers(asked, torrent, block.piece) {
            return Some("which the peer has never had".to_owned());
        }
        let choked = self.choked?;
        let for_long = account.now().since(choked) > CHOKE_NEWS;
        (for_long && !account.parted_since(choked, who, peer))
            .then(|| format!("which choked it at {choked}"))
    }

    /// Counts a block that was handed over before the choke, as far as that may be.
    fn leaves(&mut self) -> bool {
        let may = self.leaving > 0;
        self.leaving -= usize::from(may);
        may
    }
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

    /// Who fetched again what its disk had lost was told that it had it.
    #[test]
    fn what_a_disk_could_not_read_is_asked_for_again() {
        let verified = format!(
            "{MET} | 2 leech-0 asked seed-0 0 | 3 seed-0 sent leech-0 0 | 4 leech-0 got seed-0 0 \
             | 5 leech-0 verified 0"
        );
        let again = "7 leech-0 asked seed-0 0";
        breaks(rule(), &format!("{verified} | {again}"), "which it has verified");
        holds(rule(), &format!("{verified} | 6 leech-0 unreadable 0 | {again}"));
        // It does not look whether it can be read again.
        let for_a_while = "6 leech-0 unreadable 0 | 6 leech-0 unreadable -";
        holds(rule(), &format!("{verified} | {for_a_while} | {again}"));
        let anew =
            format!("{verified} | {for_a_while} | 7 leech-0 verified 0 | 8 leech-0 asked seed-0 0");
        breaks(rule(), &anew, "which it has verified");
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
        holds(rule(), &format!("{lacks} | 2 leech-1 right 0 1 | 3 leech-0 asked leech-1 0"));
        let wiped = "2 leech-1 verified 0 | 3 leech-1 dies | 4 leech-1 added 0/2 | 5 leech-0 asked leech-1 0";
        holds(rule(), &format!("{lacks} | {wiped}"));
        // The word of a former life, which was on its way; and that of the present one.
        let former = "0 leech-0 added 0/2 | 0 leech-1 added 0/2 | 2 leech-1 dies | 3 leech-1 added 0/2 | 4 leech-0 connected leech-1";
        holds(rule(), &format!("{former} | 5 leech-0 asked leech-1 0"));
        breaks(
            rule(),
            &format!("{former} | 4 leech-1 connected leech-0 | 5 leech-0 asked leech-1 0"),
            "which the peer has never had",
        );
        let never_met = former.replace("| 4 leech-0 connected leech-1", "");
        breaks(
            rule(),
            &format!("{never_met} | 5 leech-0 asked leech-1 0"),
            "which the peer has never had",
        );
    }

    #[test]
    fn nobody_is_banned_for_nothing() {
        let banned = |peer: &str| format!("{MET} | 2 leech-0 banned {peer}");
        breaks(rule(), &banned("seed-0"), "leech-0 banned seed-0 for nothing");
        holds(rule(), &banned("liar-0"));
        let rotten = format!("{MET} | 1 fault corrupt-disk seed-0 | 2 leech-0 banned seed-0");
        holds(rule(), &rotten);
        // Whatever has made it so: a random fault was not looked at.
        let turned = format!("{MET} | 1 fault set seed-0 | 2 leech-0 banned seed-0");
        holds(rule(), &turned);
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
        // What lasts excuses what comes later, and what is over at once does not.
        let before = |verb: &str| {
            format!(
                "{MET} | {asks} | 2 fault {verb} seed-0 | 3 seed-0 choked leech-0 | 11000 leech-0 asked seed-0 1"
            )
        };
        for verb in ["cut", "power-off", "torn-write"] {
            holds(rule(), &before(verb));
        }
        // Whose disk cannot be read hears and says everything all the same.
        for verb in ["reset", "corrupt-disk", "disk-unreadable"] {
            breaks(rule(), &before(verb), "which choked it at 0.003s");
        }
        holds(
            rule(),
            &format!("{asked} | 9 seed-0 unchoked leech-0 | 11000 leech-0 asked seed-0 1"),
        );
    }
}
