//! Listens to every event of a run: writes it in the log, and keeps what the driver may look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sta_core::io::observer::Observer;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};

use crate::runlog::Recorder;
use crate::scenario::plan::{ContentIx, HostIx, Plan};
use crate::scenario::view::{Progress, View};

/// The observer of every node and tracker of a run. Cheap to clone.
#[derive(Clone)]
pub struct Watcher {
    recorder: Recorder,
    seen: Arc<Mutex<Seen>>,
}

/// What has been seen.
pub struct Seen {
    recorder: Recorder,
    /// By host and content: the pieces that are there, verified.
    holds: Vec<BTreeMap<ContentIx, Bitfield>>,
    totals: Vec<Progress>,
    /// Bytes of each content's pieces.
    layouts: Vec<sta_core::model::layout::Layout>,
    hosts: BTreeMap<NodeId, HostIx>,
    contents: BTreeMap<InfoHash, ContentIx>,
    /// By host: the contents that are complete, and said to be.
    finished: Vec<BTreeSet<ContentIx>>,
}

impl Watcher {
    /// A watcher of a run in which `torrents` are the contents of `plan`.
    #[must_use]
    pub fn new(plan: &Plan, torrents: &[InfoHash], recorder: Recorder) -> Self {
        let empty = |host: &crate::scenario::plan::HostPlan| {
            let part = |take: &crate::scenario::plan::Take| {
                let mut have = Bitfield::empty(plan.contents[take.content].layout.pieces());
                take.have.iter().for_each(|range| have.insert_range(*range, |_| {}));
                (take.content, have)
            };
            host.takes.iter().map(part).collect()
        };
        let mut seen = Seen {
            recorder: recorder.clone(),
            holds: plan.hosts.iter().map(empty).collect(),
            totals: vec![Progress::default(); plan.hosts.len()],
            layouts: plan.contents.iter().map(|content| content.layout).collect(),
            hosts: plan.hosts.iter().enumerate().map(|(ix, h)| (h.id.clone(), ix)).collect(),
            contents: torrents.iter().enumerate().map(|(ix, torrent)| (*torrent, ix)).collect(),
            finished: vec![BTreeSet::new(); plan.hosts.len()],
        };
        (0..plan.hosts.len()).for_each(|host| seen.add_up(host));
        Self { recorder, seen: Arc::new(Mutex::new(seen)) }
    }

    /// What has been seen, locked.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl Observer for Watcher {
    fn observe(&self, record: &Record) {
        // First the log: with threads, the run ends, and takes its log along, as soon as the last host is seen to be done.
        self.recorder.observe(record);
        self.seen().see(record);
    }
}

impl Seen {
    /// `host` has exactly these pieces of `content`: its disk was looked at.
    pub fn found(&mut self, host: HostIx, content: ContentIx, have: Bitfield) {
        self.holds[host].insert(content, have);
        self.finished[host].remove(&content);
        self.add_up(host);
    }

    /// The process of `host` starts: it has not said anything yet.
    pub fn starts(&mut self, host: HostIx) {
        self.finished[host].clear();
    }

    /// Whether `host` has said that everything it takes part in is complete, and it still is.
    #[must_use]
    pub fn is_finished(&self, host: HostIx) -> bool {
        self.finished[host].len() == self.holds[host].len()
    }

    fn see(&mut self, Record { who, event, .. }: &Record) {
        if !matches!(event, Event::PieceVerified { .. } | Event::TorrentComplete { .. }) {
            return;
        }
        let Some(&host) = self.hosts.get(who) else { return };
        let contents = &self.contents;
        let content = |torrent: &InfoHash| contents.get(torrent).copied();
        match event {
            Event::PieceVerified { torrent, piece } => {
                let Some(content) = content(torrent) else { return };
                let held = self.holds[host].get_mut(&content);
                if held.is_some_and(|have| have.insert(*piece)) {
                    self.totals[host].have += u64::from(self.layouts[content].piece_len(*piece));
                }
            }
            Event::TorrentComplete { torrent, .. } => {
                self.finished[host].extend(content(torrent));
            }
            _ => {}
        }
    }

    fn add_up(&mut self, host: HostIx) {
        let mut sum = Progress::default();
        for (content, have) in &self.holds[host] {
            let layout = self.layouts[*content];
            sum.of += layout.total();
            sum.have += have.iter().map(|piece| u64::from(layout.piece_len(piece))).sum::<u64>();
        }
        self.totals[host] = sum;
    }
}

impl View for Seen {
    fn progress(&self, host: HostIx) -> Progress {
        self.totals[host]
    }

    fn holds(&self, host: HostIx, content: ContentIx) -> Option<&Bitfield> {
        self.holds[host].get(&content)
    }

    fn happened(&self, kind: &str) -> u64 {
        self.recorder.happened(kind)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use sta_core::model::time::Time;

    use super::*;
    use crate::scenario::load::Scenario;
    use crate::scenario::plan::World;

    const PAIR: &str = "# Two.\nschema = 1\nname = 'two'\n[[group]]\nname = 'tracker'\n[[group]]\nname = 'seed'\n\
        [[group]]\nname = 'leech'\n[[content]]\nname = 'c'\nsize = '1 MiB'\n\
        [clock]\ndeadline = '9s'\n[[expect]]\nthat = 'integrity'\n";

    /// A run over TCP was judged without the last line of its log.
    #[test]
    fn nothing_is_seen_that_is_not_in_the_log() {
        let pair = Scenario::read(Path::new("two.toml"), PAIR.to_owned()).expect("a scenario");
        let plan = pair.plan(1, World::Tcp, 0).expect("a plan");
        let torrent = InfoHash([7; 20]);
        let watcher = Watcher::new(&plan, &[torrent], Recorder::new());
        let record = Record {
            at: Time::ZERO,
            who: plan.hosts[2].id.clone(),
            event: Event::TorrentComplete { torrent, down: 0, up: 0, wasted: 0 },
        };
        std::thread::scope(|scope| {
            let nobody_sees = watcher.seen();
            scope.spawn(|| watcher.observe(&record));
            let is_written = || watcher.recorder().happened("torrent-complete") == 1;
            let written = (0..60_000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                is_written()
            });
            drop(nobody_sees);
            assert!(written, "it is written down only after it was seen");
        });
        assert!(watcher.seen().is_finished(2));
    }
}
