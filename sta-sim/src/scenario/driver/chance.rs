//! What chance does: random faults, and churners.

use std::sync::Arc;
use std::time::Duration;

use sta_core::model::rng::{Rng, Seed};
use sta_core::model::time::Time;

use super::agenda::Task;
use super::begin::What;
use super::host::Process;
use super::sight::Sight;
use super::{Driver, Origin};
use crate::scenario::dist::below;
use crate::scenario::network::OccurrenceIx;
use crate::scenario::plan::{Behaviour, FaultPlan, HostIx, Plan, Verb};
use crate::scenario::schema::Strikes;
use crate::scenario::selector::Roll as _;
use crate::scenario::view::View;

/// Between two draws of one process, at least: a drawn wait of zero would never let time go on.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// A random process.
pub(super) struct FaultState {
    rng: Rng,
    begun: u32,
    under_way: Vec<OccurrenceIx>,
}

impl FaultState {
    pub(super) fn new(seed: Seed, plan: &FaultPlan) -> Self {
        let rng = seed.stream(&format!("fault/{}", plan.id));
        Self { rng, begun: 0, under_way: Vec::new() }
    }
}

/// A host's turns to come and go, if it is a churner.
pub(super) struct Churner {
    rng: Rng,
    turns: u32,
}

impl Churner {
    pub(super) fn new(seed: Seed, host: &str) -> Self {
        Self { rng: seed.stream(&format!("churn/{host}")), turns: 0 }
    }
}

impl Driver {
    /// Draws when process `ix` does something next, after `from`.
    pub(super) fn plan_fault(&mut self, ix: usize, from: Time) {
        let fault = &self.plan.faults[ix];
        let state = &mut self.faults[ix];
        if !fault.on || state.begun >= fault.limit {
            return;
        }
        let wait = Duration::from_nanos(fault.interval.draw(&mut state.rng)).max(WAIT_MIN);
        if from + wait < fault.until {
            self.agenda.put(from + wait, Task::Fault(ix));
        }
    }

    /// Process `ix` strikes, if there is somebody to strike.
    pub(super) fn begin_fault(&mut self, at: Time, ix: usize, view: &dyn View) {
        let plan = Arc::clone(&self.plan);
        let fault = &plan.faults[ix];
        let log = &self.log;
        self.faults[ix].under_way.retain(|&cause| log[cause].ended.is_none());
        if self.faults[ix].under_way.len() < fault.at_once as usize {
            let sight = Sight::new(&plan, &self.hosts, &self.events, view);
            let state = &mut self.faults[ix];
            let mut hosts = fault.target.resolve(&sight, &mut state.rng);
            hosts.retain(|&host| sight.runs(host));
            if fault.protect_last_copy {
                hosts = sight.without_last_copies(hosts);
            }
            if !hosts.is_empty() {
                let on = struck(&plan, fault.strikes, hosts, &mut state.rng);
                let lasts = Duration::from_nanos(fault.lasts.draw(&mut state.rng));
                state.begun += 1;
                state.under_way.push(self.log.len());
                let what = What {
                    id: format!("{}/{}", fault.id, state.begun),
                    origin: Origin::Fault(ix),
                    verb: fault.verb.clone(),
                    on,
                    against: None,
                    until: Some((at + lasts).min(fault.until)),
                };
                self.begin(at, what, view);
            }
        }
        self.plan_fault(ix, at);
    }

    /// A churner that has just joined will go.
    pub(super) fn plan_churn(&mut self, at: Time, host: HostIx) {
        if let Behaviour::Churner { on, .. } = self.plan.hosts[host].behaviour {
            let wait = Duration::from_nanos(on.draw(&mut self.churners[host].rng)).max(WAIT_MIN);
            self.plan_in_faults(at + wait, Task::Churn(host));
        }
    }

    /// A churner goes, or comes back. One that something else has stopped waits for its next turn.
    pub(super) fn churn(&mut self, at: Time, host: HostIx, view: &dyn View) {
        let Behaviour::Churner { on, off } = self.plan.hosts[host].behaviour else { return };
        let churner = &mut self.churners[host];
        churner.turns += 1;
        let turn = churner.turns;
        let wait = match self.hosts[host].process {
            Process::Running | Process::Paused(_) => {
                self.by_itself(
                    at,
                    &format!("away#{turn}"),
                    Origin::Churn,
                    (Verb::Leave, host),
                    view,
                );
                off
            }
            Process::Away => {
                self.by_itself(
                    at,
                    &format!("back#{turn}"),
                    Origin::Churn,
                    (Verb::Join, host),
                    view,
                );
                on
            }
            Process::Down(_) => on,
        };
        let wait = Duration::from_nanos(wait.draw(&mut self.churners[host].rng)).max(WAIT_MIN);
        self.plan_in_faults(at + wait, Task::Churn(host));
    }
}

/// Whom of these a process strikes now. Who is of no site is struck alone.
fn struck(plan: &Plan, strikes: Strikes, hosts: Vec<HostIx>, rng: &mut Rng) -> Vec<HostIx> {
    if strikes == Strikes::All {
        return hosts;
    }
    let drawn = hosts[below(hosts.len(), rng)];
    let site = plan.hosts[drawn].site.filter(|_| strikes == Strikes::Site);
    let beside = |host: &HostIx| *host == drawn || site.is_some() && plan.hosts[*host].site == site;
    hosts.into_iter().filter(beside).collect()
}
