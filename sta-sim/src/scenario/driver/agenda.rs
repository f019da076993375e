//! What will be done when. At one moment what ends comes first, then what begins, and hosts leave last; of the same kind the one
//! written first, and of those who leave the first host: who was done first is nothing that a capsule says. So a capsule, in which all of it is known from the start, does it in the order in which chance did.

use std::collections::BTreeMap;

use sta_core::model::time::Time;

use crate::scenario::network::OccurrenceIx;
use crate::scenario::plan::HostIx;

/// Something on the agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A host starts for the first time.
    Join(HostIx),
    /// A host leaves as planned.
    Leave(HostIx),
    /// An event of the timeline, by index.
    Begin(usize),
    /// Something that lasts is undone.
    End(OccurrenceIx),
    /// A flapping link changes.
    Toggle(OccurrenceIx),
    /// A random process, by index, does something.
    Fault(usize),
    /// A churner comes or goes.
    Churn(HostIx),
    /// The phase of faults is over.
    Healed,
    /// Whoever has just left has said so, and it was heard.
    SaidGoodbye,
}

/// Tasks by time.
#[derive(Default)]
pub(super) struct Agenda {
    tasks: BTreeMap<(Time, u8, u64), Task>,
    written: u64,
}

impl Agenda {
    pub(super) fn put(&mut self, at: Time, task: Task) {
        let (rank, order) = match task {
            Task::End(_) | Task::Toggle(_) | Task::Healed | Task::SaidGoodbye => (0, self.written),
            Task::Join(_) | Task::Begin(_) | Task::Fault(_) | Task::Churn(_) => (1, self.written),
            Task::Leave(host) => (2, host as u64),
        };
        self.tasks.insert((at, rank, order), task);
        self.written += 1;
    }

    /// The first task not after `now`, and when it was due.
    pub(super) fn take_due(&mut self, now: Time) -> Option<(Time, Task)> {
        let entry = self.tasks.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, ..), task) = entry.remove_entry();
        Some((at, task))
    }

    /// Whether nothing is to be done not after `now`, or next a host is to leave.
    pub(super) fn only_leaves(&self, now: Time) -> bool {
        let first = self.tasks.first_key_value().filter(|((at, ..), _)| *at <= now);
        first.is_none_or(|(_, task)| matches!(task, Task::Leave(_)))
    }

    /// When the first task is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.tasks.first_key_value().map(|((at, ..), _)| *at)
    }

    pub(super) fn any(&self, wanted: impl Fn(&Task) -> bool) -> bool {
        self.tasks.values().any(wanted)
    }
}
