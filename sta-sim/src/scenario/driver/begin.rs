//! Beginnings: what each verb does to whom.

use std::time::Duration;

use sta_core::model::bitfield::PieceRange;
use sta_core::model::config::EngineConfig;
use sta_core::model::time::Time;

use super::agenda::Task;
use super::host::Process;
use super::{Action, DiskState, Do, Driver, GOODBYE, Occurrence, Origin};
use crate::scenario::dist::below;
use crate::scenario::network::{Kind, OccurrenceIx};
use crate::scenario::plan::{Behaviour, ContentIx, HostIx, SetPlan, UnreadablePlan, Verb, Which};
use crate::scenario::units::Ppm;
use crate::scenario::view::View;

/// What begins.
pub(super) struct What {
    pub(super) id: String,
    pub(super) origin: Origin,
    pub(super) verb: Verb,
    pub(super) on: Vec<HostIx>,
    /// `None` is everybody else.
    pub(super) against: Option<Vec<HostIx>>,
    /// When it is undone; `None` is when something else undoes it.
    pub(super) until: Option<Time>,
}

impl Driver {
    /// Does it, and writes it in the log.
    pub(super) fn begin(&mut self, at: Time, what: What, view: &dyn View) {
        let cause = self.log.len();
        let hosts = self.hosts.len();
        let against = what.against.unwrap_or_else(|| everybody_else(hosts, &what.on));
        let kind = network_kind(&what.verb);
        let has_two_sides = matches!(what.verb, Verb::Reset)
            || kind.is_some_and(|kind| !matches!(kind, Kind::Slow(_)));
        // A random process says how long each of its faults lasts, whatever it does.
        let lasts = what.until.filter(|_| !cannot_last(&what.verb));
        let until = lasts.or_else(|| at_once(&what.verb, at));
        self.log.push(Occurrence {
            id: what.id,
            origin: what.origin,
            verb: what.verb.clone(),
            on: what.on.clone(),
            against: if has_two_sides { against.clone() } else { Vec::new() },
            began: at,
            ended: None,
            until: lasts,
            touched: 0,
        });
        if what.on.is_empty() {
            // It comes upon nobody.
        } else if let Some(kind) = kind {
            self.begin_network(at, cause, kind, &against);
        } else {
            self.begin_other(at, cause, &against, view);
        }
        if (&what.verb, what.origin) == (&Verb::Leave, Origin::Host) {
            self.agenda.put(at + GOODBYE, Task::SaidGoodbye);
        }
        match until {
            Some(until) => self.agenda.put(until, Task::End(cause)),
            None if what.verb.effect().is_over_at_once() => self.mark_ended(at, cause),
            None => {}
        }
    }

    fn begin_network(&mut self, at: Time, cause: OccurrenceIx, kind: Kind, against: &[HostIx]) {
        let Occurrence { verb, on, .. } = self.log[cause].clone();
        match verb {
            // Connects *to* these are refused.
            Verb::Refuse => self.network.begin(cause, kind, false, (against, &on)),
            Verb::CutOneway => self.network.begin(cause, kind, false, (&on, against)),
            Verb::Slow(_) => self.network.begin(cause, kind, false, (&on, &[])),
            _ => self.network.begin(cause, kind, true, (&on, against)),
        }
        if let Verb::Flap(period) = verb {
            self.agenda.put(at + period / 2, Task::Toggle(cause));
        }
        let mut hosts = on;
        if !matches!(verb, Verb::Slow(_)) {
            hosts.extend_from_slice(against);
        }
        self.network_changed(cause, hosts);
    }

    /// A flapping link is cut where it passes, and passes where it is cut.
    pub(super) fn toggle(&mut self, at: Time, cause: OccurrenceIx) {
        let Occurrence { verb: Verb::Flap(period), on, against, ended: None, .. } =
            self.log[cause].clone()
        else {
            return;
        };
        if self.network.end(cause).is_empty() {
            self.network.begin(cause, Kind::Cut, true, (&on, &against));
        }
        self.network_changed(cause, [on, against].concat());
        self.agenda.put(at + period / 2, Task::Toggle(cause));
    }

    pub(super) fn network_changed(&mut self, cause: OccurrenceIx, mut hosts: Vec<HostIx>) {
        hosts.sort_unstable();
        hosts.dedup();
        let action = |host| Action { cause, host, what: Do::Network };
        self.out.extend(hosts.into_iter().map(action));
    }

    fn begin_other(&mut self, at: Time, cause: OccurrenceIx, against: &[HostIx], view: &dyn View) {
        let Occurrence { verb, on, .. } = self.log[cause].clone();
        if matches!(verb, Verb::Heal) {
            self.end_network_faults_at(at, cause, &on);
        }
        for &host in &on {
            match &verb {
                Verb::Crash | Verb::TrackerDown => self.stop(cause, host, Do::Crash),
                Verb::PowerOff => self.stop(cause, host, Do::PowerOff { torn: false }),
                Verb::TornWrite => self.stop(cause, host, Do::PowerOff { torn: true }),
                Verb::Wipe => {
                    self.stop(cause, host, Do::PowerOff { torn: false });
                    self.act(cause, host, Do::EmptyDisk);
                }
                Verb::TrackerAmnesia => {
                    self.stop(cause, host, Do::Crash);
                    self.act(cause, host, Do::EmptyDisk);
                }
                Verb::Restart => {
                    self.stop(cause, host, Do::Crash);
                    self.start(cause, host);
                }
                Verb::Join => self.start(cause, host),
                Verb::Leave => self.leave(cause, host),
                Verb::Pause => self.pause(cause, host),
                Verb::Reset => {
                    let peers = against.iter().copied().filter(|&peer| peer != host).collect();
                    self.out.push(Action { cause, host, what: Do::Reset { peers } });
                }
                Verb::CorruptDisk(share) => self.corrupt_disk(cause, host, *share, view),
                Verb::DiskUnreadable(what) => self.begin_unreadable(cause, host, *what, view),
                Verb::DiskFull => {
                    self.begin_disk(cause, host, DiskState { full: true, ..DiskState::default() });
                }
                &Verb::DiskSlow { read, write } => {
                    let slows = verb.slows(&self.plan, host);
                    self.log[cause].touched += u64::from(slows);
                    self.begin_disk(cause, host, DiskState { read, write, full: false });
                }
                Verb::Set(set) => self.set(cause, host, set),
                _ => {}
            }
        }
    }

    /// Something is done to a host, and counts as an effect.
    pub(super) fn act(&mut self, cause: OccurrenceIx, host: HostIx, what: Do) {
        self.log[cause].touched += 1;
        self.out.push(Action { cause, host, what });
    }

    /// Stops a process that runs; one that is down stays so until this is over, too. To wipe its disk, and not for so long, keeps it from
    /// nothing.
    fn stop(&mut self, cause: OccurrenceIx, host: HostIx, how: Do) {
        let state = &mut self.hosts[host];
        if state.runs() {
            state.process = Process::Down(cause);
            state.holds.clear();
            self.act(cause, host, how);
            return;
        }
        let Occurrence { verb, until, .. } = &self.log[cause];
        let only_wipes = *verb == Verb::Wipe && until.is_none();
        if matches!(state.process, Process::Down(_)) && !only_wipes {
            state.holds.push(cause);
        }
    }

    fn pause(&mut self, cause: OccurrenceIx, host: HostIx) {
        let state = &mut self.hosts[host];
        match state.process {
            Process::Running => {
                state.process = Process::Paused(cause);
                self.act(cause, host, Do::Pause);
            }
            Process::Paused(_) => state.holds.push(cause),
            Process::Away | Process::Down(_) => {}
        }
    }

    /// Starts a process that does not run. To be undone is no effect: an ending does not count.
    pub(super) fn start(&mut self, cause: OccurrenceIx, host: HostIx) {
        if !self.hosts[host].runs() {
            let state = &mut self.hosts[host];
            let was = std::mem::replace(&mut state.process, Process::Running);
            let mut held_by = std::mem::take(&mut state.holds);
            if let Process::Down(by) = was {
                held_by.push(by);
            }
            self.log[cause].touched += u64::from(self.log[cause].ended.is_none());
            self.out.push(Action { cause, host, what: Do::Start });
            for by in held_by {
                self.undone(cause, by);
            }
        }
    }

    /// What had stopped a host is over once something else has started all its hosts. Who left may come again: that is not over.
    fn undone(&mut self, cause: OccurrenceIx, by: OccurrenceIx) {
        if self.log[by].verb == Verb::Leave {
            return;
        }
        let still = self.hosts.iter().any(|host| host.held_by().any(|hold| hold == by));
        if by != cause && !still && self.log[by].ended.is_none() {
            self.mark_ended(self.log[cause].ended.unwrap_or(self.log[cause].began), by);
        }
    }

    /// A host goes in order. One that is down stays down.
    pub(super) fn leave(&mut self, cause: OccurrenceIx, host: HostIx) {
        let state = &mut self.hosts[host];
        if state.runs() {
            state.process = Process::Away;
            state.holds.clear();
            self.log[cause].touched += u64::from(self.log[cause].ended.is_none());
            self.out.push(Action { cause, host, what: Do::Leave });
        }
        self.hosts[host].holds.push(cause);
    }

    fn begin_disk(&mut self, cause: OccurrenceIx, host: HostIx, fault: DiskState) {
        let disk = self.hosts[host].begin_disk(cause, fault);
        self.out.push(Action { cause, host, what: Do::Disk(disk) });
    }

    fn corrupt_disk(&mut self, cause: OccurrenceIx, host: HostIx, share: Ppm, view: &dyn View) {
        let held = self.draw("corrupt", cause, host, share, self.held(host, None, view));
        if !held.is_empty() {
            self.act(cause, host, Do::CorruptPieces(held));
        }
    }

    fn begin_unreadable(
        &mut self,
        cause: OccurrenceIx,
        host: HostIx,
        UnreadablePlan { content, which }: UnreadablePlan,
        view: &dyn View,
    ) {
        let mut held = self.held(host, content, view);
        match which {
            Which::Share(share) => held = self.draw("unreadable", cause, host, share, held),
            Which::Pieces(PieceRange(first, last)) => {
                held.retain(|(_, piece)| (first..=last).contains(piece));
            }
        }
        if !held.is_empty() {
            self.hosts[host].begin_unreadable(cause, held.clone());
            self.act(cause, host, Do::Unreadable(held));
        }
    }

    /// The pieces that the host holds, of one content or of all.
    fn held(
        &self,
        host: HostIx,
        only: Option<ContentIx>,
        view: &dyn View,
    ) -> Vec<(ContentIx, u32)> {
        let contents = (0..self.plan.contents.len()).filter(|ix| only.is_none_or(|it| it == *ix));
        let of = |content| {
            let pieces = view.holds(host, content).into_iter().flat_map(|holds| holds.iter());
            pieces.map(move |piece| (content, piece))
        };
        contents.flat_map(of).collect()
    }

    /// Draws `share` of these pieces of the host, one at least. The stream's name is the moment and the host, so that a
    /// capsule, where neither is drawn any more, draws the same pieces.
    fn draw(
        &self,
        word: &str,
        cause: OccurrenceIx,
        host: HostIx,
        share: Ppm,
        mut held: Vec<(ContentIx, u32)>,
    ) -> Vec<(ContentIx, u32)> {
        let at = self.log[cause].began.as_nanos();
        let rng = &mut self.seed.stream(&format!("{word}/{at}/{}", self.plan.hosts[host].name));
        let count = (share.of(held.len() as u64) as usize).max(1).min(held.len());
        for i in 0..count {
            let other = i + below(held.len() - i, rng);
            held.swap(i, other);
        }
        held.truncate(count);
        held.sort_unstable();
        held
    }

    fn set(&mut self, cause: OccurrenceIx, host: HostIx, set: &SetPlan) {
        self.hosts[host].sets.push((cause, set.clone()));
        let (behaviour, engine) = self.set_to(host);
        if set.behaviour.is_some() {
            self.act(cause, host, Do::Behave(behaviour));
        }
        if !set.engine.is_empty() {
            self.act(cause, host, Do::Engine(engine));
        }
    }

    /// How a host behaves, and its knobs: as the file says, and what is set upon it since, the latest last.
    pub(super) fn set_to(&self, host: HostIx) -> (Behaviour, EngineConfig) {
        let plan = &self.plan.hosts[host];
        let own = match plan.behaviour {
            Behaviour::Churner { .. } => Behaviour::Honest,
            other => other,
        };
        let sets = self.hosts[host].sets.iter().map(|(_, set)| set);
        sets.fold((own, plan.engine.clone()), |(behaviour, engine), set| {
            (set.behaviour.unwrap_or(behaviour), set.engine.apply(&engine))
        })
    }
}

/// All of so many hosts that are not in `on`, ascending; `on` itself where that is nobody.
pub(in crate::scenario) fn everybody_else(hosts: usize, on: &[HostIx]) -> Vec<HostIx> {
    let others: Vec<HostIx> = (0..hosts).filter(|host| on.binary_search(host).is_err()).collect();
    if others.is_empty() { on.to_vec() } else { others }
}

/// The network fault that a verb is, if it is one that lasts.
pub(in crate::scenario) fn network_kind(verb: &Verb) -> Option<Kind> {
    match verb {
        Verb::Cut | Verb::CutOneway | Verb::Flap(_) => Some(Kind::Cut),
        Verb::Hold => Some(Kind::Hold),
        Verb::Refuse => Some(Kind::Refuse),
        Verb::Clog(delay) | Verb::TrackerSlow(delay) => Some(Kind::Clog(*delay)),
        Verb::Slow(slow) => Some(Kind::Slow(*slow)),
        _ => None,
    }
}

/// A tracker that forgets comes back at once, where the file does not say for how long it is away.
fn at_once(verb: &Verb, at: Time) -> Option<Time> {
    matches!(verb, Verb::TrackerAmnesia).then(|| at + Duration::ZERO)
}

/// Verbs that nothing can undo. `join`, `leave` and `set` can be: they may be for a while.
const fn cannot_last(verb: &Verb) -> bool {
    matches!(verb, Verb::Reset | Verb::Heal | Verb::Restart | Verb::CorruptDisk(_))
}
