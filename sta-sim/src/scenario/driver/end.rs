//! Endings: what undoes each verb.

use sta_core::model::time::Time;

use super::agenda::Task;
use super::begin::{What, network_kind};
use super::host::{HostState, Process};
use super::{Action, Do, Driver, Occurrence, Origin};
use crate::scenario::network::OccurrenceIx;
use crate::scenario::plan::{HostIx, SetPlan, Verb};
use crate::scenario::view::View;

impl Driver {
    /// Undoes what began as `cause`. Nothing happens if something else undid it before.
    pub(super) fn end(&mut self, at: Time, cause: OccurrenceIx) {
        if self.log[cause].ended.is_some() {
            return;
        }
        self.mark_ended(at, cause);
        let touched = self.network.end(cause);
        self.network_changed(cause, touched);
        let (verb, on) = (self.log[cause].verb.clone(), self.log[cause].on.clone());
        for host in on {
            match verb {
                Verb::Join => self.leave(cause, host),
                Verb::DiskFull | Verb::DiskSlow { .. } => {
                    let disk = self.hosts[host].end_disk(cause);
                    self.out.push(Action { cause, host, what: Do::Disk(disk) });
                }
                Verb::DiskUnreadable(_) => {
                    let pieces = self.hosts[host].end_unreadable(cause);
                    if !pieces.is_empty() {
                        self.out.push(Action { cause, host, what: Do::Readable(pieces) });
                    }
                }
                Verb::Set(ref set) => self.unset(cause, host, set),
                _ => self.let_go(cause, host),
            }
        }
    }

    /// `cause` keeps a host from running no longer: it runs, or something else that began meanwhile keeps it from that.
    fn let_go(&mut self, cause: OccurrenceIx, host: HostIx) {
        let state = &mut self.hosts[host];
        if !state.held_by().any(|hold| hold == cause) {
            return;
        }
        let was_first = state.held_by().next() == Some(cause);
        let log = &self.log;
        if let Some(next) = state.let_go(cause, |hold| log[hold].verb == Verb::Leave) {
            // It had touched nothing until now.
            self.log[next].touched += u64::from(was_first);
        } else if matches!(state.process, Process::Paused(_)) {
            state.process = Process::Running;
            self.out.push(Action { cause, host, what: Do::Resume });
        } else {
            self.start(cause, host);
        }
    }

    /// A host is again what it was without this.
    fn unset(&mut self, cause: OccurrenceIx, host: HostIx, set: &SetPlan) {
        self.hosts[host].sets.retain(|(other, _)| *other != cause);
        let (behaviour, engine) = self.set_to(host);
        if set.behaviour.is_some() {
            self.out.push(Action { cause, host, what: Do::Behave(behaviour) });
        }
        if !set.engine.is_empty() {
            self.out.push(Action { cause, host, what: Do::Engine(engine) });
        }
    }

    /// The log knows that it is over, and so do the conditions that wait for that.
    pub(super) fn mark_ended(&mut self, at: Time, cause: OccurrenceIx) {
        self.log[cause].ended = Some(at);
        if let Origin::Event(ix) = self.log[cause].origin {
            self.events[ix].ended = Some(at);
        }
    }

    /// `heal`: ends the network faults that touch one of `hosts`.
    pub(super) fn end_network_faults_at(&mut self, at: Time, heal: OccurrenceIx, hosts: &[HostIx]) {
        let mut causes = self.network.causes_at(hosts);
        // A flapping link may be between two cuts.
        causes.extend((0..self.log.len()).filter(|&ix| {
            let entry = &self.log[ix];
            let flaps = matches!(entry.verb, Verb::Flap(_)) && entry.ended.is_none();
            flaps
                && hosts.iter().any(|host| entry.on.contains(host) || entry.against.contains(host))
        }));
        for cause in causes {
            if self.log[cause].ended.is_none() {
                self.log[heal].touched += 1;
                self.end(at, cause);
            }
        }
    }

    /// The phase of faults is over: the network is whole, disks work, what was to come back is back, and churners stay.
    /// A host that was stopped for good stays so.
    pub(super) fn heal_everything(&mut self, at: Time, view: &dyn View) {
        self.waiting.clear();
        for cause in 0..self.log.len() {
            if let Some(host) = self.churner_away_by(cause) {
                let log = &self.log;
                let left = |hold: OccurrenceIx| log[hold].verb == Verb::Leave;
                if self.hosts[host].let_go(cause, left).is_some() {
                    // It comes back when what besides keeps it away is undone, now.
                    self.log[cause].until = Some(at);
                } else {
                    self.by_itself(at, "stay", Origin::Churn, (Verb::Join, host), view);
                }
                continue;
            }
            let entry = &self.log[cause];
            let undone = entry.until.is_some()
                || matches!(entry.origin, Origin::Fault(_))
                || network_kind(&entry.verb).is_some()
                || matches!(
                    entry.verb,
                    Verb::DiskFull | Verb::DiskSlow { .. } | Verb::DiskUnreadable(_) | Verb::Pause
                );
            if undone && !matches!(entry.verb, Verb::Join) {
                self.end(at, cause);
            }
        }
        let id = "healed".to_owned();
        let on = (0..self.hosts.len()).collect();
        let what =
            What { id, origin: Origin::Healed, verb: Verb::Heal, on, against: None, until: None };
        self.begin(at, what, view);
    }

    /// The churner that went as `cause`, by itself, and is away since. Who was told to go for good stays away.
    pub(super) fn churner_away_by(&self, cause: OccurrenceIx) -> Option<HostIx> {
        let entry = &self.log[cause];
        let host = *entry.on.first().filter(|_| entry.origin == Origin::Churn)?;
        let HostState { process, holds, .. } = &self.hosts[host];
        let for_good = |hold: &OccurrenceIx| {
            let Occurrence { origin, until, .. } = &self.log[*hold];
            *origin != Origin::Churn && until.is_none()
        };
        let away = *process == Process::Away && holds.contains(&cause);
        (away && !holds.iter().any(for_good)).then_some(host)
    }

    /// Whether the faults' phase is over at `at`.
    pub(super) fn is_past(&self, at: Time) -> bool {
        at >= self.plan.healed && self.plan.healed < self.plan.deadline
    }

    /// Writes a task on the agenda, unless it belongs to the faults and those are over by then.
    pub(super) fn plan_in_faults(&mut self, at: Time, task: Task) {
        if !self.is_past(at) {
            self.agenda.put(at, task);
        }
    }
}
