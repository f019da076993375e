//! A run as series over time, for charts: who had how much when, how fast, which pieces were where, who got what from whom.
//!
//! Pure, and bounded by the picture rather than by the run: rates and copies are kept per column of the picture, progress at most
//! once per column. What trackers heard is kept by the second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::time::Time;

use crate::checks::Account;
use crate::checks::liveness::downloads;
use crate::checks::registry::second_heard;
use crate::runlog::{Entry, Note, Noted, RunLog};
use crate::scenario::plan::{ContentIx, HostIx, Plan};

/// Columns of every picture over time.
pub const COLUMNS: usize = 240;
/// Rows of a picture of pieces; more pieces share a row.
pub const PIECE_ROWS: u32 = 48;

/// Everything that is drawn.
pub struct Series {
    /// The right edge of every picture.
    pub end: Time,
    /// By host, trackers included.
    pub hosts: Vec<HostSeries>,
    /// By content.
    pub contents: Vec<ContentSeries>,
    /// Payload bytes by receiver and sender.
    pub given: BTreeMap<(HostIx, HostIx), u64>,
    /// Messages to trackers, by whole second; a world counts them once a second.
    pub heard: Vec<u64>,
    /// Leases that trackers kept, by column.
    pub leases: Vec<u64>,
    /// When each of those that lacked something had everything for good, ascending.
    pub completions: Vec<Time>,
}

/// The leases that trackers keep: by tracker, content and node. One that is granted again is the same.
type Leases = BTreeSet<(NodeId, InfoHash, NodeId)>;

/// One host over time.
#[derive(Clone, Default)]
pub struct HostSeries {
    /// When its process ran.
    pub runs: Vec<(Time, Time)>,
    /// From when on it had which share of its bytes, in parts per million.
    pub progress: Vec<(Time, u32)>,
    /// Payload bytes received, by column.
    pub down: Vec<u64>,
    /// Payload bytes sent, by column.
    pub up: Vec<u64>,
    /// When it had everything it had lacked; again after each wipe.
    pub complete: Vec<Time>,
    /// When a piece had the wrong hash.
    pub failed: Vec<(Time, u32)>,
}

/// One content over time.
#[derive(Clone, Default)]
pub struct ContentSeries {
    /// Pieces that share a row, except in the last.
    pub pieces_per_row: u32,
    /// By column, by row: copies of the rarest piece of the row, on hosts that run.
    pub copies: Vec<Vec<u32>>,
}

impl Series {
    /// The series of a run.
    #[must_use]
    pub fn of(plan: &Arc<Plan>, log: &RunLog) -> Self {
        let mut series = Self::empty(plan, log.end);
        let mut account = Account::new(Arc::clone(plan));
        let (mut sampled, mut leases) = (0, Leases::new());
        for entry in &log.entries {
            while sampled < COLUMNS && entry.at() > series.end_of_column(sampled) {
                series.sample(&account, sampled, leases.len() as u64);
                sampled += 1;
            }
            account.see(entry);
            series.see(entry, &account, &mut leases);
        }
        account.close(log.end);
        (sampled..COLUMNS).for_each(|column| series.sample(&account, column, leases.len() as u64));
        for (host, seen) in series.hosts.iter_mut().zip(account.hosts()) {
            if let (Some(run), true) = (host.runs.last_mut(), seen.running) {
                run.1 = log.end;
            }
        }
        series.completions = downloads(&account).filter_map(|(_, at)| at).collect();
        series.completions.sort_unstable();
        series
    }

    fn empty(plan: &Plan, end: Time) -> Self {
        let host =
            HostSeries { down: vec![0; COLUMNS], up: vec![0; COLUMNS], ..HostSeries::default() };
        let content = |pieces: u32| ContentSeries {
            pieces_per_row: pieces.div_ceil(PIECE_ROWS).max(1),
            copies: Vec::with_capacity(COLUMNS),
        };
        Self {
            end: end.max(Time::from_nanos(1)),
            hosts: vec![host; plan.hosts.len()],
            contents: plan.contents.iter().map(|c| content(c.layout.pieces())).collect(),
            given: BTreeMap::new(),
            heard: vec![0; second_heard(end) as usize + 1],
            leases: Vec::with_capacity(COLUMNS),
            completions: Vec::new(),
        }
    }

    /// Which column a moment falls into.
    #[must_use]
    pub fn column(&self, at: Time) -> usize {
        let part = u128::from(at.as_nanos()) * COLUMNS as u128 / u128::from(self.end.as_nanos());
        (part as usize).min(COLUMNS - 1)
    }

    fn end_of_column(&self, column: usize) -> Time {
        let nanos = u128::from(self.end.as_nanos()) * (column as u128 + 1) / COLUMNS as u128;
        Time::from_nanos(nanos as u64)
    }

    /// Nanoseconds of a column.
    #[must_use]
    pub fn column_nanos(&self) -> u64 {
        (self.end.as_nanos() / COLUMNS as u64).max(1)
    }

    fn see(&mut self, entry: &Entry, account: &Account, leases: &mut Leases) {
        match entry {
            Entry::Said(record) => self.said(record, account, leases),
            Entry::Noted(Noted { at, note }) => match note {
                Note::TrackerHeard { messages, .. } => {
                    if let Some(heard) = self.heard.get_mut(second_heard(*at) as usize) {
                        *heard += u64::from(*messages);
                    }
                }
                Note::ProcessDied { who } | Note::Panicked { who, .. } => {
                    if let Some(host) = account.host_ix(who) {
                        self.stopped(host, *at);
                    }
                }
                _ => {}
            },
        }
    }

    fn said(&mut self, Record { at, who, event }: &Record, account: &Account, leases: &mut Leases) {
        let Some(host) = account.host_ix(who) else { return };
        let column = self.column(*at);
        match event {
            Event::NodeStarted { .. } | Event::TrackerStarted { .. } => {
                if matches!(event, Event::TrackerStarted { restored: 0, .. }) {
                    leases.retain(|(tracker, ..)| tracker != who);
                }
                self.stopped(host, *at);
                self.hosts[host].runs.push((*at, self.end));
            }
            Event::NodeStopped => self.stopped(host, *at),
            Event::TorrentAdded { .. } | Event::PieceVerified { .. } => {
                self.progressed(host, *at, account);
            }
            Event::TorrentComplete { .. } => {
                let parts = &account.hosts()[host].parts;
                let downloaded = parts.values().any(|part| part.added < *at);
                if downloaded && account.complete_since(host) == Some(*at) {
                    self.hosts[host].complete.push(*at);
                }
            }
            Event::PieceFailed { piece, .. } => self.hosts[host].failed.push((*at, *piece)),
            Event::BlockReceived { peer, block, .. } => {
                self.hosts[host].down[column] += u64::from(block.len);
                if let Some(from) = account.host_ix(peer) {
                    *self.given.entry((host, from)).or_default() += u64::from(block.len);
                }
            }
            Event::BlockSent { block, .. } => {
                self.hosts[host].up[column] += u64::from(block.len);
            }
            Event::LeaseGranted { torrent, node } => {
                leases.insert((who.clone(), *torrent, node.clone()));
            }
            Event::LeaseEnded { torrent, node, .. } => {
                leases.remove(&(who.clone(), *torrent, node.clone()));
            }
            _ => {}
        }
    }

    fn stopped(&mut self, host: HostIx, at: Time) {
        if let Some(run) = self.hosts[host].runs.last_mut() {
            run.1 = run.1.min(at);
        }
    }

    fn progressed(&mut self, host: HostIx, at: Time, account: &Account) {
        let (mut have, mut all) = (0u128, 0u128);
        for part in account.hosts()[host].parts.values() {
            have += u128::from(part.have.count());
            all += u128::from(part.have.len());
        }
        let share = (have * 1_000_000).checked_div(all).map_or(1_000_000, |ppm| ppm as u32);
        let column = self.column(at);
        let same = |last: &(Time, u32)| self.column(last.0) == column && last.1 <= share;
        let replace = self.hosts[host].progress.last().is_some_and(same);
        let progress = &mut self.hosts[host].progress;
        if replace && progress.len() > 1 {
            progress.pop();
        }
        progress.push((at, share));
    }

    fn sample(&mut self, account: &Account, column: usize, leases: u64) {
        debug_assert_eq!(column, self.leases.len(), "columns come in order");
        self.leases.push(leases);
        for content in 0..self.contents.len() {
            let copies = copies(account, content);
            let per_row = self.contents[content].pieces_per_row as usize;
            let rows = copies.chunks(per_row).map(|row| row.iter().copied().min().unwrap_or(0));
            self.contents[content].copies.push(rows.collect());
        }
    }
}

/// Copies of each piece on hosts that run.
fn copies(account: &Account, content: ContentIx) -> Vec<u32> {
    let pieces = account.plan().contents[content].layout.pieces();
    let mut copies = vec![0; pieces as usize];
    for host in account.hosts().iter().filter(|host| host.running) {
        let held = host.parts.get(&content).into_iter().flat_map(|part| part.have.iter());
        held.for_each(|piece| copies[piece as usize] += 1);
    }
    copies
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sta_core::model::time::Time;

    use super::{COLUMNS, Series};
    use crate::checks::story;
    use crate::runlog::{Ended, RunLog};

    const LEECH_0: usize = 3;

    fn series(story: &str) -> Series {
        let end = Time::from_nanos(COLUMNS as u64 * 1_000_000);
        let log = RunLog::new(story::entries(story), end, Ended::Done, vec![]);
        Series::of(&Arc::new(story::plan(2)), &log)
    }

    #[test]
    fn a_download_is_seen_from_both_sides() {
        let series = series(
            "0 seed-0 added 2/2 | 0 leech-0 added 0/2 | 5 seed-0 sent leech-0 0 \
            | 7 leech-0 got seed-0 0 | 7 leech-0 verified 0 | 20 leech-0 dies | 30 leech-0 added 1/2",
        );
        let (seed, leech) = (&series.hosts[1], &series.hosts[LEECH_0]);
        assert_eq!((seed.up[5], leech.down[7]), (65_536, 65_536));
        assert_eq!(series.given.get(&(LEECH_0, 1)), Some(&65_536));
        let ms = |at: u64| Time::from_nanos(at * 1_000_000);
        assert_eq!(leech.progress, [(ms(0), 0), (ms(7), 500_000), (ms(30), 500_000)]);
        assert_eq!(leech.runs, [(ms(0), ms(20)), (ms(30), ms(240))]);
    }

    #[test]
    fn a_lease_is_counted_once_until_it_ends_or_is_forgotten() {
        let known =
            "0 tracker-0 tracks 0 | 1 tracker-0 granted leech-0 | 2 tracker-0 granted leech-1";
        for (story, expected) in [
            ("50 tracker-0 granted leech-0", 2),
            ("50 tracker-0 expired leech-0", 1),
            ("50 tracker-0 expired leech-0 | 60 tracker-0 granted leech-0", 2),
            ("50 tracker-0 dies | 60 tracker-0 tracks 2 | 70 tracker-0 granted leech-0", 2),
            ("50 tracker-0 dies | 60 tracker-0 tracks 0 | 70 tracker-0 granted leech-0", 1),
        ] {
            let series = series(&format!("{known} | {story}"));
            assert_eq!((series.leases[10], series.leases[200]), (2, expected), "{story}");
        }
    }

    #[test]
    fn messages_to_trackers_are_counted_by_the_second() {
        let story = "10 tracker-0 heard 5 | 90 tracker-0 heard 7";
        assert_eq!(series(story).heard, [12]);
    }

    #[test]
    fn only_who_lacked_something_completes() {
        let done = |at: u64| {
            format!("{at} leech-0 verified 0 | {at} leech-0 verified 1 | {at} leech-0 complete")
        };
        let ms = |at: u64| Time::from_nanos(at * 1_000_000);
        let story = format!(
            "0 seed-0 added 2/2 | 0 seed-0 complete | 0 leech-0 added 0/2 | {} \
            | 90 leech-0 dies | 100 leech-0 added 2/2 | 100 leech-0 complete",
            done(40)
        );
        let seen = series(&story);
        assert_eq!(
            (&seen.hosts[1].complete, &seen.hosts[LEECH_0].complete),
            (&vec![], &vec![ms(40)])
        );
        assert_eq!(seen.completions, [ms(40)], "a restart takes nothing away");
        let wiped = format!("{story} | 110 leech-0 dies | 120 leech-0 added 0/2 | {}", done(150));
        assert_eq!(series(&wiped).hosts[LEECH_0].complete, [ms(40), ms(150)]);
        assert_eq!(series(&wiped).completions, [ms(150)]);
    }

    #[test]
    fn copies_count_running_holders_only() {
        let series = series(
            "0 seed-0 added 2/2 | 10 leech-0 added 0/2 | 11 leech-0 got seed-0 0 | 11 leech-0 verified 0 \
            | 100 seed-0 dies",
        );
        let copies = &series.contents[0].copies;
        assert_eq!(copies.len(), COLUMNS);
        assert_eq!(copies[5], [1, 1]);
        assert_eq!(copies[50], [2, 1]);
        assert_eq!(copies[200], [1, 0]);
    }
}
