//! What the driver knows of a host: whether its process runs, who stopped it, and what its disk suffers.

use super::DiskState;
use crate::scenario::network::OccurrenceIx;
use crate::scenario::plan::{ContentIx, DiskPlan, HostPlan, SetPlan};

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// Not started yet, or left.
    Away,
    /// Runs.
    Running,
    /// Stands still, because of this.
    Paused(OccurrenceIx),
    /// Stopped, by this.
    Down(OccurrenceIx),
}

/// A host, as the driver sees it.
pub(super) struct HostState {
    pub(super) process: Process,
    /// What besides keeps it from running, in the order in which it began: it runs again when all of it is over.
    pub(super) holds: Vec<OccurrenceIx>,
    /// What is set upon it, by the cause under way.
    pub(super) sets: Vec<(OccurrenceIx, SetPlan)>,
    disk: DiskPlan,
    /// Disk faults under way: the cause, and what it does.
    disk_faults: Vec<(OccurrenceIx, DiskState)>,
    /// By the cause under way: the pieces that cannot be read.
    unreadable: Vec<(OccurrenceIx, Vec<(ContentIx, u32)>)>,
}

impl HostState {
    pub(super) fn new(plan: &HostPlan) -> Self {
        Self {
            process: Process::Away,
            holds: Vec::new(),
            sets: Vec::new(),
            disk: plan.disk,
            disk_faults: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Whether it runs or stands still.
    pub(super) const fn runs(&self) -> bool {
        matches!(self.process, Process::Running | Process::Paused(_))
    }

    /// What keeps it from running.
    pub(super) fn held_by(&self) -> impl Iterator<Item = OccurrenceIx> {
        let first = match self.process {
            Process::Paused(by) | Process::Down(by) => Some(by),
            Process::Away | Process::Running => None,
        };
        first.into_iter().chain(self.holds.iter().copied())
    }

    /// `cause` keeps it from running no longer. Says what does then, if anything; of that, those which say so `left` are its own going
    /// away.
    pub(super) fn let_go(
        &mut self,
        cause: OccurrenceIx,
        left: impl Fn(OccurrenceIx) -> bool,
    ) -> Option<OccurrenceIx> {
        self.holds.retain(|hold| *hold != cause);
        let first = self.holds.first().copied();
        let next = self.holds.iter().position(|hold| !left(*hold));
        match &mut self.process {
            Process::Paused(by) | Process::Down(by) if *by == cause => {
                let Some(next) = next else {
                    // It would run, had it not left meanwhile.
                    self.process = first.map_or(self.process, |_| Process::Away);
                    return first;
                };
                *by = self.holds.remove(next);
                Some(*by)
            }
            Process::Paused(by) | Process::Down(by) => Some(*by),
            Process::Away => first,
            Process::Running => None,
        }
    }

    /// Adds a disk fault; returns what the disk is like now.
    pub(super) fn begin_disk(&mut self, cause: OccurrenceIx, fault: DiskState) -> DiskState {
        self.disk_faults.push((cause, fault));
        self.disk()
    }

    /// Takes a disk fault away; returns what the disk is like now.
    pub(super) fn end_disk(&mut self, cause: OccurrenceIx) -> DiskState {
        self.disk_faults.retain(|(other, _)| *other != cause);
        self.disk()
    }

    /// These pieces cannot be read as long as `cause` is under way.
    pub(super) fn begin_unreadable(&mut self, cause: OccurrenceIx, pieces: Vec<(ContentIx, u32)>) {
        self.unreadable.push((cause, pieces));
    }

    /// `cause` is over. Says which pieces can be read again: those that nothing else keeps from it.
    pub(super) fn end_unreadable(&mut self, cause: OccurrenceIx) -> Vec<(ContentIx, u32)> {
        let Some(at) = self.unreadable.iter().position(|(other, _)| *other == cause) else {
            return Vec::new();
        };
        let (_, mut pieces) = self.unreadable.remove(at);
        pieces.retain(|piece| !self.unreadable.iter().any(|(_, others)| others.contains(piece)));
        pieces
    }

    fn disk(&self) -> DiskState {
        let mut disk = DiskState { read: self.disk.read, write: self.disk.write, full: false };
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        for (_, fault) in &self.disk_faults {
            disk.read = least(disk.read, fault.read);
            disk.write = least(disk.write, fault.write);
            disk.full |= fault.full;
        }
        disk
    }
}
