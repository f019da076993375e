//! What was measured of each node of a run, and of each group: told where it is asked for (`--hosts`), since of thousands of nodes
//! it is far more than all the rest.
//!
//! Its own pass over the log: a run of which nobody asks it does not pay for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::NodeId;
use sta_core::model::time::Time;

use crate::checks::liveness::Stall;
use crate::checks::{Account, Rule};
use crate::outcome::some_nanos;
use crate::quantiles::quantiles;
use crate::runlog::{Detail, Entry, RunLog};
use crate::scenario::plan::{HostIx, Plan};

/// What was measured of every node.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Each node, in the order of the file.
    pub hosts: Vec<OfHost>,
    /// Each group that has nodes: by the name of a figure, how it is spread. What none of its nodes has is left out.
    pub groups: BTreeMap<String, BTreeMap<&'static str, Spread>>,
}

/// What was measured of a node. `None` is what it did not come to, or what is not in the log of a run so large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfHost {
    /// As selectors call it: `leech[3]`.
    pub host: String,
    /// As the log calls it: `leech-3`.
    pub node: NodeId,
    /// Its group.
    pub group: String,
    /// When it first started.
    pub started: Option<Time>,
    /// Since when it has everything that it takes part in. A source has it from its start; of a liar nobody knows.
    pub complete: Option<Time>,
    /// Payload bytes that came, those in vain included,
    pub received: Option<u64>,
    /// and those that it sent.
    pub sent: Option<u64>,
    /// Different pieces of which it sent something.
    pub pieces_sent: Option<u64>,
    /// The longest that it ran, lacked something and verified no piece, as `stall` counts it.
    #[serde(serialize_with = "some_nanos")]
    pub longest_wait: Option<Duration>,
}

/// How a figure is spread over the nodes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The nodes that have it.
    pub of: usize,
    /// The least of them.
    pub min: u64,
    /// The one in the middle.
    pub median: u64,
    /// Nine tenths are no more.
    pub p90: u64,
    /// The most.
    pub max: u64,
}

/// A figure of a node, in whole units.
type Figure = fn(&OfHost) -> Option<u64>;

/// Counts what a node did.
struct Counts {
    received: u64,
    sent: u64,
    pieces_sent: BTreeSet<(u32, u32)>,
    wait: Stall,
}

/// What was measured of the nodes of a run of `plan`.
#[must_use]
pub fn figures(plan: &Arc<Plan>, log: &RunLog) -> Figures {
    let mut account = Account::new(Arc::clone(plan));
    let counts = |host| Counts {
        received: 0,
        sent: 0,
        pieces_sent: BTreeSet::new(),
        wait: Stall::new(vec![host], Duration::MAX),
    };
    let mut all: Vec<Counts> = (0..plan.hosts.len()).map(counts).collect();
    for entry in &log.entries {
        account.see(entry);
        if let Some(host) = account.host_ix_of(account.about().who) {
            all[host].see(entry, &account);
        }
    }
    account.close(log.end);
    let hosts: Vec<OfHost> =
        account.nodes().map(|host| all[host].of_host(&account, host)).collect();
    let mut groups: BTreeMap<String, Vec<&OfHost>> = BTreeMap::new();
    for host in &hosts {
        groups.entry(host.group.clone()).or_default().push(host);
    }
    let groups = groups.into_iter().map(|(group, hosts)| (group, spreads(&hosts))).collect();
    Figures { hosts, groups }
}

impl Counts {
    /// An entry about this node.
    fn see(&mut self, entry: &Entry, account: &Account) {
        self.wait.see(entry, account);
        let Entry::Said(Record { event, .. }) = entry else { return };
        match event {
            Event::BlockReceived { block, .. } => self.received += u64::from(block.len),
            Event::BlockSent { block, .. } => {
                self.sent += u64::from(block.len);
                self.pieces_sent.insert((account.about().torrent, block.piece));
            }
            _ => {}
        }
    }

    fn of_host(&mut self, account: &Account, host: HostIx) -> OfHost {
        let plan = &account.plan().hosts[host];
        let blocks = account.detail() >= Detail::Blocks;
        self.wait.finish(account);
        OfHost {
            host: plan.name.clone(),
            node: plan.id.clone(),
            group: plan.group.clone(),
            started: account.hosts()[host].first_start,
            complete: account.complete_since(host).filter(|_| account.is_believed(host)),
            received: blocks.then_some(self.received),
            sent: blocks.then_some(self.sent),
            pieces_sent: blocks.then_some(self.pieces_sent.len() as u64),
            longest_wait: self.wait.longest().filter(|_| account.detail() >= self.wait.needs()),
        }
    }
}

/// How each figure is spread over these nodes.
fn spreads(hosts: &[&OfHost]) -> BTreeMap<&'static str, Spread> {
    let figures: [(&'static str, Figure); 6] = [
        ("started", |host| host.started.map(Time::as_nanos)),
        ("complete", |host| host.complete.map(Time::as_nanos)),
        ("received", |host| host.received),
        ("sent", |host| host.sent),
        ("pieces_sent", |host| host.pieces_sent),
        ("longest_wait", |host| host.longest_wait.map(|wait| wait.as_nanos() as u64)),
    ];
    let spread = |of: Figure| {
        let samples: Vec<f64> = hosts.iter().filter_map(|host| Some(of(host)? as f64)).collect();
        let [min, median, p90, max] = quantiles(&samples)?.map(|x| x.round() as u64);
        Some(Spread { of: samples.len(), min, median, p90, max })
    };
    figures.into_iter().filter_map(|(name, of)| Some((name, spread(of)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sta_core::io::observer::Observer;
    use sta_core::model::time::Time;

    use super::{Spread, figures};
    use crate::checks::story;
    use crate::runlog::{Ended, Entry, Recorder};

    #[test]
    fn each_node_is_told_of_and_each_group() {
        let recorder = Recorder::new();
        let told = "0 seed-0 added 2/2 | 0 leech-0 added 0/2 | 0 leech-1 added 0/2 \
            | 4 seed-0 sent leech-0 0 | 5 leech-0 got seed-0 0 | 6 leech-0 verified 0 \
            | 7 leech-0 sent leech-1 0 | 8 leech-0 sent leech-2 0 | 9 leech-1 got leech-0 0 \
            | 9 leech-1 verified 0 | 20 leech-0 got seed-0 1 | 21 leech-0 verified 1 | 21 leech-0 complete \
            | 30 leech-1 dies";
        for entry in story::entries(told) {
            match entry {
                Entry::Said(record) => recorder.observe(&record),
                Entry::Noted(noted) => recorder.note(noted.at, noted.note),
            }
        }
        let log = recorder.finish(Time::from_nanos(50_000_000), Ended::Done, vec![]);
        let figures = figures(&Arc::new(story::plan(2)), &log);
        let of = |node: &str| {
            let host = figures.hosts.iter().find(|host| host.node.as_str() == node);
            let host = host.unwrap_or_else(|| panic!("no {node}"));
            let millis = |time: Option<Time>| time.map(|time| time.as_nanos() / 1_000_000);
            let (received, sent) = (host.received.expect("blocks"), host.sent.expect("blocks"));
            let pieces = |bytes: u64| bytes / u64::from(story::PIECE);
            let wait = host.longest_wait.map(|wait| wait.as_millis());
            (
                millis(host.complete),
                pieces(received),
                pieces(sent),
                host.pieces_sent.expect("blocks"),
                wait,
            )
        };
        assert_eq!(of("seed-0"), (Some(0), 0, 1, 1, None));
        assert_eq!(of("leech-0"), (Some(21), 2, 2, 1, Some(15)), "one piece to two");
        assert_eq!(of("leech-1"), (None, 1, 0, 0, Some(21)), "it waited until it went");
        assert_eq!(of("leech-3"), (None, 0, 0, 0, None), "it never came");
        let leech = &figures.groups["leech"];
        let (of, piece) = (4, u64::from(story::PIECE));
        let received = Spread { of, min: 0, median: piece / 2, p90: 111_411, max: 2 * piece };
        assert_eq!(leech["received"], received);
        assert_eq!((leech["complete"].of, leech["longest_wait"].of), (1, 2));
        assert!(!figures.groups.contains_key("tracker"), "a tracker downloads nothing");
    }
}
