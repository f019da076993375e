//! What the swarm's bytes were spent on: payload received in vain, and copies sent by a source.
//!
//! Waste is payload that came twice or failed its hash, over payload that became verified pieces. It is 0 where
//! everything came once; what is fetched again after a disk has lost it was needed again. Copies are payload bytes sent over the bytes of what the
//! senders were sources of: of each content once, however many of them had it.

use std::collections::{BTreeMap, BTreeSet};

use sta_core::model::event::{Event, Record};

use super::account::{About, Part};
use super::{Account, Findings, Judgement, Rule, factor, percent, ppm};
use crate::runlog::{Detail, Entry};
use crate::scenario::plan::{ContentIx, HostIx};
use crate::scenario::units::Ppm;

/// Payload received in vain, by some hosts together.
pub struct Waste {
    hosts: BTreeSet<HostIx>,
    at_most: Ppm,
    wasted: BTreeMap<HostIx, u64>,
    needed: u64,
}

impl Waste {
    /// At most this share of what was needed.
    #[must_use]
    pub fn new(hosts: Vec<HostIx>, at_most: Ppm) -> Self {
        Self { hosts: hosts.into_iter().collect(), at_most, wasted: BTreeMap::new(), needed: 0 }
    }

    /// The share so far, in parts per million; `None` if nothing was received.
    #[must_use]
    pub fn share(&self) -> Option<u64> {
        let wasted: u64 = self.wasted.values().sum();
        let received = wasted > 0 || self.needed > 0;
        received.then(|| ppm(wasted.into(), self.needed.into()).unwrap_or(u64::MAX))
    }
}

impl Rule for Waste {
    fn needs(&self) -> Detail {
        Detail::Blocks
    }

    fn see(&mut self, entry: &Entry, account: &Account) {
        let Entry::Said(Record { event, .. }) = entry else { return };
        let piece_len = |piece| {
            let layout = account.layout(account.about().torrent);
            layout.map_or(0, |layout| u64::from(layout.piece_len(piece)))
        };
        let (wasted, needed) = match event {
            Event::BlockReceived { block, useful: false, .. } => (u64::from(block.len), 0),
            Event::PieceFailed { piece, .. } => (piece_len(*piece), 0),
            Event::PieceVerified { piece, .. } => (0, piece_len(*piece)),
            _ => return,
        };
        let host = account.host_ix_of(account.about().who);
        let Some(host) = host.filter(|host| self.hosts.contains(host)) else { return };
        self.needed += needed;
        if wasted > 0 {
            *self.wasted.entry(host).or_default() += wasted;
        }
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        let Some(share) = self.share() else {
            return Judgement::unasked("these hosts received nothing");
        };
        let wasted: u64 = self.wasted.values().sum();
        let measured = format!("{} ({wasted} of {} bytes)", percent(share), self.needed);
        let mut findings = Findings::default();
        if share > self.at_most.0.into() {
            let worst = self.wasted.iter().max_by_key(|(_, bytes)| **bytes);
            let who = worst.map(|(host, _)| account.id(*host));
            let most = worst.map_or(0, |(_, bytes)| *bytes);
            findings.add(account, who, || {
                let (limit, name) =
                    (percent(self.at_most.0.into()), who.map_or("", |id| id.as_str()));
                format!(
                    "{measured} received in vain, more than {limit}; most by {name}: {most} bytes"
                )
            });
        }
        findings.judge(measured)
    }
}

/// Copies sent by sources.
pub struct Copies {
    hosts: BTreeSet<HostIx>,
    at_most: u64,
    sent: u64,
}

impl Copies {
    /// At most so many parts per million of one copy.
    #[must_use]
    pub fn new(hosts: Vec<HostIx>, at_most: u64) -> Self {
        Self { hosts: hosts.into_iter().collect(), at_most, sent: 0 }
    }
}

/// Whether it had everything from the start: what it passes on without that is no copy of a source's.
fn had_everything(part: &Part) -> bool {
    part.wanted == Some(0)
}

impl Rule for Copies {
    fn needs(&self) -> Detail {
        Detail::Blocks
    }

    fn see(&mut self, entry: &Entry, account: &Account) {
        let About { who, torrent, .. } = account.about();
        if let Entry::Said(Record { event: Event::BlockSent { block, .. }, .. }) = entry
            && account.host_ix_of(who).is_some_and(|ix| self.hosts.contains(&ix))
            && account.part(who, torrent).is_some_and(had_everything)
        {
            self.sent += u64::from(block.len);
        }
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        let plan = account.plan();
        let parts = self.hosts.iter().flat_map(|&host| &account.hosts()[host].parts);
        let had = parts.filter(|(_, part)| had_everything(part)).map(|(content, _)| *content);
        let had: BTreeSet<ContentIx> = had.collect();
        let copy: u64 = had.into_iter().map(|content| plan.contents[content].layout.total()).sum();
        let Some(copies) = ppm(self.sent.into(), copy.into()) else {
            return Judgement::unasked("none of these hosts was a source of anything");
        };
        let measured = format!("{} copies", factor(copies));
        let mut findings = Findings::default();
        if copies > self.at_most {
            findings.add(account, None, || {
                format!("the sources sent {measured}, more than {}", factor(self.at_most))
            });
        }
        findings.judge(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::{Copies, Waste};
    use crate::checks::Held;
    use crate::checks::story::{LEECHES, breaks, holds, judge};
    use crate::scenario::units::Ppm;

    fn waste(ppm: u32) -> Box<Waste> {
        Box::new(Waste::new(LEECHES.collect(), Ppm(ppm)))
    }

    #[test]
    fn waste_is_what_came_twice_or_wrong() {
        let once = "0 leech-0 added 0/2 | 1 leech-0 got seed-0 0 | 2 leech-0 verified 0";
        assert!(holds(waste(0), once).measured.starts_with("0%"));
        let twice = format!("{once} | 3 leech-0 wasted seed-1 0");
        holds(waste(1_000_000), &twice);
        breaks(waste(999_999), &twice, "most by leech-0: 65536 bytes");
        let failed = format!("{once} | 3 leech-0 got seed-0 1 | 4 leech-0 failed 1");
        breaks(waste(20_000), &failed, "more than 2%");
        holds(waste(0), &format!("{once} | 3 seed-0 wasted seed-1 0"));
    }

    #[test]
    fn who_received_nothing_was_not_put_to_the_test() {
        let judgement = judge(waste(0), "0 leech-0 added 0/2");
        assert!(matches!(judgement.held, Held::Unasked(_)), "{judgement:?}");
    }

    #[test]
    fn a_source_that_sends_a_piece_twice_sends_more_than_a_copy() {
        let copies = || Box::new(Copies::new(vec![1], 1_100_000));
        let once = "0 seed-0 added 2/2 | 1 seed-0 sent leech-0 0 | 1 seed-0 sent leech-1 1";
        assert_eq!(holds(copies(), once).measured, "1.00 copies");
        breaks(copies(), &format!("{once} | 2 seed-0 sent leech-1 0"), "sent 1.50 copies");
        let two = Box::new(Copies::new(vec![1, 2], 1_100_000));
        let each = "0 seed-0 added 2/2 | 0 seed-1 added 2/2 | 1 seed-0 sent leech-0 0 \
            | 1 seed-1 sent leech-0 1";
        assert_eq!(holds(two, each).measured, "1.00 copies", "two sources of one content");
        let judgement = judge(copies(), "0 seed-0 added 0/2 | 1 seed-1 sent leech-0 0");
        assert!(matches!(judgement.held, Held::Unasked(_)), "{judgement:?}");
    }
}
