//! The tracker forgets the dead and remembers the living; and how much it is asked.
//!
//! A lease is expected of every node that runs and has a torrent, from `within` after it could first have reached the
//! tracker; and none from `within` after a node went, in order or not. "Could have reached": both run, and no fault has
//! been in force upon either, or between both, since. The dead are to be forgotten whatever befell them, and however slow the tracker's link is. Who was
//! wrong for longer, and excused all the while, was not put to the test. What a tracker remembered across its own restart it says
//! with `restored`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::time::Time;

use super::{Account, Findings, Judgement, Rule, seconds};
use crate::runlog::{Entry, Note, Noted};
use crate::scenario::plan::Role;

/// What a tracker that forgets nobody is excused by, if nothing comes between it and the node.
const STANDS_STILL: &str = "pause";

/// The rule.
pub struct Registry {
    within: Duration,
    trackers: Vec<NodeId>,
    nodes: BTreeMap<NodeId, Known>,
    findings: Findings,
    granted: u64,
}

/// What is true of a node, and what trackers hold to be true.
#[derive(Default)]
struct Known {
    /// The torrents it takes part in, while it runs.
    joined: BTreeSet<InfoHash>,
    /// The leases that trackers keep for it.
    leases: BTreeSet<(NodeId, InfoHash)>,
    /// About which a tracker is wrong, as far as it runs.
    wrong: BTreeMap<(NodeId, InfoHash), Wrong>,
}

#[derive(Clone, Copy, Debug)]
struct Wrong {
    /// Since when,
    first: Time,
    /// and without an excuse.
    since: Time,
    /// The line that made it so.
    line: u64,
    /// It has been said.
    told: bool,
}

impl Registry {
    /// So soon.
    #[must_use]
    pub fn new(within: Duration) -> Self {
        Self {
            within,
            trackers: Vec::new(),
            nodes: BTreeMap::new(),
            findings: Findings::default(),
            granted: 0,
        }
    }

    fn said(&mut self, Record { who, event, .. }: &Record, account: &Account) {
        match event {
            Event::TrackerStarted { restored, .. } => {
                if !self.trackers.contains(who) {
                    self.trackers.push(who.clone());
                }
                if *restored == 0 {
                    let forget =
                        |known: &mut Known| known.leases.retain(|(tracker, _)| tracker != who);
                    self.nodes.values_mut().for_each(forget);
                }
                self.compare_all(account);
            }
            Event::LeaseGranted { torrent, node } => {
                self.granted += 1;
                self.change(account, node, |known| known.leases.insert((who.clone(), *torrent)));
            }
            Event::LeaseEnded { torrent, node, .. } => {
                self.change(account, node, |known| known.leases.remove(&(who.clone(), *torrent)));
            }
            Event::TorrentAdded { torrent, .. } => {
                self.change(account, who, |known| known.joined.insert(*torrent));
            }
            Event::TorrentRemoved { torrent } => {
                self.change(account, who, |known| known.joined.remove(torrent));
            }
            Event::NodeStarted { .. } | Event::NodeStopped => self.gone(account, who),
            _ => {}
        }
    }

    fn gone(&mut self, account: &Account, who: &NodeId) {
        if account.host_ix(who).is_some_and(|ix| account.plan().hosts[ix].role == Role::Node) {
            self.change(account, who, |known| {
                known.joined.clear();
                true
            });
        }
    }

    /// What was wrong until now is judged before `change` may set it right.
    fn change(
        &mut self,
        account: &Account,
        node: &NodeId,
        change: impl FnOnce(&mut Known) -> bool,
    ) {
        self.compare(account, node);
        change(self.nodes.entry(node.clone()).or_default());
        self.compare(account, node);
    }

    fn compare_all(&mut self, account: &Account) {
        let nodes: Vec<NodeId> = self.nodes.keys().cloned().collect();
        nodes.iter().for_each(|node| self.compare(account, node));
    }

    /// Compares every tracker's word on `node` with what is true. What was wrong for too long becomes a finding.
    fn compare(&mut self, account: &Account, node: &NodeId) {
        let Some(known) = self.nodes.get_mut(node) else { return };
        let (now, line, within) = (account.now(), account.line(), self.within);
        let pairs =
            known.leases.iter().cloned().chain(self.trackers.iter().flat_map(|tracker| {
                known.joined.iter().map(|torrent| (tracker.clone(), *torrent))
            }));
        for pair in pairs.chain(known.wrong.keys().cloned()).collect::<BTreeSet<_>>() {
            let alive = known.joined.contains(&pair.1);
            if known.leases.contains(&pair) == alive {
                known.wrong.remove(&pair);
                continue;
            }
            let tracker = &pair.0;
            let new = Wrong { first: now, since: now, line, told: false };
            let wrong = known.wrong.entry(pair.clone()).or_insert(new);
            let listens = account.host(tracker).is_some_and(|host| host.running);
            // What stopped a node is no excuse for remembering it, nor is a slow link for not noticing.
            let excused = match alive {
                true => account.parted_since(now, tracker, node),
                false => account.disturbances_since(now).any(|fault| {
                    fault.is_between(tracker, node)
                        || fault.is_upon(tracker) && fault.verb == STANDS_STILL
                }),
            };
            if !listens {
                *wrong = new;
            } else if excused {
                (wrong.since, wrong.line) = (now, line);
            } else if now.since(wrong.since) > within && !std::mem::replace(&mut wrong.told, true) {
                let (who, within) = (Some(tracker), seconds(within));
                self.findings.add_at(wrong.since, wrong.line, who, || match alive {
                    true => format!(
                        "{tracker} knew nothing of {node}, which was there, for over {within}"
                    ),
                    false => format!("{tracker} still knew {node}, which was gone, after {within}"),
                });
            }
        }
    }

    /// About whom a tracker that runs is wrong, and has been for too long, but was excused.
    fn excused(&self, account: &Account) -> Option<(&NodeId, &NodeId)> {
        let too_long = |wrong: &Wrong| account.now().since(wrong.first) > self.within;
        let runs = |tracker: &NodeId| account.host(tracker).is_some_and(|host| host.running);
        for (node, known) in &self.nodes {
            let wrong = known.wrong.iter().filter(|(_, wrong)| too_long(wrong));
            if let Some(((tracker, _), _)) = wrong.into_iter().find(|((by, _), _)| runs(by)) {
                return Some((tracker, node));
            }
        }
        None
    }
}

impl Rule for Registry {
    fn see(&mut self, entry: &Entry, account: &Account) {
        match entry {
            Entry::Said(record) => self.said(record, account),
            Entry::Noted(Noted { note, .. }) => match note {
                Note::ProcessDied { who } => {
                    self.compare_all(account);
                    self.gone(account, who);
                }
                Note::FaultBegan { .. } | Note::FaultEnded { .. } => self.compare_all(account),
                _ => {}
            },
        }
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        self.compare_all(account);
        if self.granted == 0 {
            return Judgement::unasked("no tracker granted a lease");
        }
        if self.findings.count() == 0
            && let Some((tracker, node)) = self.excused(account)
        {
            return Judgement::unasked(&format!(
                "{tracker} was wrong about {node} at the end, and a fault between them excused it"
            ));
        }
        let (granted, trackers) = (self.granted, self.trackers.len());
        self.findings.judge(format!("{granted} leases granted by {trackers} trackers"))
    }
}

/// Which second a count is about that was noted at `at`: the one before, where it was noted as that ended.
#[must_use]
pub const fn second_heard(at: Time) -> u64 {
    at.as_nanos().saturating_sub(1) / 1_000_000_000
}

/// Requests to the trackers, second by second: an expectation of a scenario.
pub struct Requests {
    per_1000s: u64,
    seconds: BTreeMap<u64, (u64, u64)>,
}

impl Requests {
    /// No second has more than this, counted over a thousand of them.
    #[must_use]
    pub const fn new(per_1000s: u64) -> Self {
        Self { per_1000s, seconds: BTreeMap::new() }
    }
}

impl Rule for Requests {
    fn see(&mut self, entry: &Entry, account: &Account) {
        if let Entry::Noted(Noted { at, note: Note::TrackerHeard { messages, .. } }) = entry {
            let (count, line) = self.seconds.entry(second_heard(*at)).or_default();
            *count += u64::from(*messages);
            *line = account.line();
        }
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        let Some((&second, &(most, line))) =
            self.seconds.iter().max_by_key(|(_, (count, _))| *count)
        else {
            return Judgement::unasked("no request to a tracker was counted");
        };
        let all: u64 = self.seconds.values().map(|(count, _)| count).sum();
        let mean = all as f64 / account.now().as_secs_f64().max(1.0);
        let mut findings = Findings::default();
        if most * 1_000 > self.per_1000s {
            let at = Time::from_nanos(second * 1_000_000_000);
            let limit = self.per_1000s as f64 / 1_000.0;
            findings.add_at(at, line, None, || {
                format!("the trackers had {most} requests in one second, more than {limit}")
            });
        }
        findings.judge(format!("at most {most} a second, {mean:.1} on average"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Registry, Requests};
    use crate::checks::Held;
    use crate::checks::story::{breaks, holds, judge};

    const KNOWN: &str =
        "0 tracker-0 tracks 0 | 10 leech-0 added 0/2 | 20 tracker-0 granted leech-0";

    fn rule() -> Box<Registry> {
        Box::new(Registry::new(Duration::from_secs(5)))
    }

    #[test]
    fn the_dead_are_forgotten() {
        let dead = format!("{KNOWN} | 1000 leech-0 dies");
        holds(
            rule(),
            &format!("{dead} | 5000 tracker-0 expired leech-0 | 9000 seed-0 announced 0"),
        );
        breaks(rule(), &format!("{dead} | 7000 tracker-0 expired leech-0"), "still knew leech-0");
        breaks(rule(), &format!("{dead} | 9000 seed-0 announced 0"), "still knew leech-0");
        holds(rule(), &format!("{dead} | 3000 leech-0 added 0/2 | 9000 seed-0 announced 0"));
        let dark = format!("{KNOWN} | 1000 fault power-off leech-0 | 1000 leech-0 dies");
        breaks(rule(), &format!("{dark} | 9000 seed-0 announced 0"), "still knew leech-0");
        let stopped = format!("{KNOWN} | 1000 leech-0 stopped");
        breaks(rule(), &format!("{stopped} | 9000 seed-0 announced 0"), "still knew leech-0");
    }

    #[test]
    fn the_living_are_remembered() {
        let lost = format!("{KNOWN} | 1000 tracker-0 expired leech-0");
        holds(
            rule(),
            &format!("{lost} | 2000 tracker-0 granted leech-0 | 9000 seed-0 announced 0"),
        );
        breaks(rule(), &format!("{lost} | 9000 seed-0 announced 0"), "knew nothing of leech-0");
        let never = "0 tracker-0 tracks 0 | 0 leech-1 added 0/2";
        breaks(
            rule(),
            &format!("{never} | 0 tracker-0 granted seed-0 | 9000 seed-0 announced 0"),
            "leech-1",
        );
    }

    #[test]
    fn who_cannot_reach_the_tracker_is_excused_for_as_long() {
        let cut = format!("{KNOWN} | 500 fault cut leech-0 | 1000 tracker-0 expired leech-0");
        let excused = judge(rule(), &format!("{cut} | 9000 seed-0 announced 0"));
        assert!(matches!(excused.held, Held::Unasked(_)), "to the end: {excused:?}");
        holds(rule(), &format!("{cut} | 5000 tracker-0 granted leech-0 | 9000 seed-0 announced 0"));
        breaks(
            rule(),
            &format!("{cut} | 9000 ended 0 | 9001 seed-0 announced 0 | 15000 seed-0 announced 0"),
            "leech-0",
        );
        let down = format!("{KNOWN} | 1000 tracker-0 dies | 2000 leech-0 dies");
        holds(rule(), &format!("{down} | 9000 seed-0 announced 0"));
        breaks(
            rule(),
            &format!("{down} | 9000 tracker-0 tracks 1 | 15000 seed-0 announced 0"),
            "still knew",
        );
        holds(rule(), &format!("{down} | 9000 tracker-0 tracks 0 | 15000 seed-0 announced 0"));
    }

    /// A millisecond more on the tracker's link, or a cut between two others, excused everything.
    #[test]
    fn what_keeps_nobody_from_anybody_is_no_excuse() {
        let gone = |fault: &str| {
            format!("{KNOWN} | 500 fault {fault} | 1000 leech-0 dies | 9000 seed-0 announced 0")
        };
        for fault in [
            "slow tracker-0",
            "disk-unreadable tracker-0",
            "cut leech-1 against tracker-0",
            "cut seed-0 against leech-0",
        ] {
            breaks(rule(), &gone(fault), "still knew leech-0");
        }
        for fault in ["pause tracker-0", "cut leech-0 against tracker-0"] {
            let judgement = judge(rule(), &gone(fault));
            assert!(matches!(judgement.held, Held::Unasked(_)), "{fault}: {judgement:?}");
        }
    }

    #[test]
    fn requests_are_counted_by_the_second() {
        let requests = |per_1000s| Box::new(Requests::new(per_1000s));
        let story = "0 leech-0 added 0/1 | 100 tracker-0 heard 2 | 900 tracker-0 heard 1 | 2000 tracker-0 heard 2";
        assert_eq!(holds(requests(3_000), story).measured, "at most 3 a second, 2.5 on average");
        breaks(requests(2_999), story, "3 requests in one second");
        let whole = "0 leech-0 added 0/1 | 1000 tracker-0 heard 2 | 1500 tracker-0 heard 2";
        assert_eq!(holds(requests(2_000), whole).measured, "at most 2 a second, 2.7 on average");
        assert!(matches!(judge(requests(1), "0 leech-0 added 0/1").held, Held::Unasked(_)));
    }
}
