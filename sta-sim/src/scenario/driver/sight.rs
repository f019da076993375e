//! What selectors and conditions see: the world's view, and what the driver knows itself.

use sta_core::model::time::Time;

use super::EventState;
use super::host::HostState;
use crate::scenario::condition::Scene;
use crate::scenario::plan::{HostIx, Plan, Role};
use crate::scenario::selector::Roll;
use crate::scenario::view::View;

/// One look at the run.
pub(super) struct Sight<'a> {
    plan: &'a Plan,
    hosts: &'a [HostState],
    events: &'a [EventState],
    view: &'a dyn View,
}

impl<'a> Sight<'a> {
    pub(super) const fn new(
        plan: &'a Plan,
        hosts: &'a [HostState],
        events: &'a [EventState],
        view: &'a dyn View,
    ) -> Self {
        Self { plan, hosts, events, view }
    }

    /// How many running hosts hold each piece of each content.
    fn copies(&self) -> Vec<Vec<u32>> {
        let mut copies: Vec<Vec<u32>> =
            self.plan.contents.iter().map(|c| vec![0; c.layout.pieces() as usize]).collect();
        for host in (0..self.hosts.len()).filter(|&host| self.hosts[host].runs()) {
            for (content, of) in copies.iter_mut().enumerate() {
                for piece in self.view.holds(host, content).into_iter().flat_map(|h| h.iter()) {
                    of[piece as usize] += 1;
                }
            }
        }
        copies
    }

    /// Of `hosts`, those that are not alone in holding any piece.
    pub(super) fn without_last_copies(&self, hosts: Vec<HostIx>) -> Vec<HostIx> {
        let copies = self.copies();
        let spared = |host: HostIx| {
            copies.iter().enumerate().any(|(content, of)| {
                let mut held = self.view.holds(host, content).into_iter().flat_map(|h| h.iter());
                held.any(|piece| of[piece as usize] <= 1)
            })
        };
        hosts.into_iter().filter(|&host| !spared(host)).collect()
    }
}

impl Roll for Sight<'_> {
    fn hosts(&self) -> usize {
        self.hosts.len()
    }

    fn runs(&self, host: HostIx) -> bool {
        self.hosts[host].runs()
    }

    fn complete(&self, host: HostIx) -> Option<bool> {
        match self.plan.hosts[host].role {
            Role::Tracker => None,
            Role::Node => Some(self.view.progress(host).is_complete()),
        }
    }

    fn holders_of_rarest(&self) -> Vec<HostIx> {
        let copies = self.copies();
        let held = copies.iter().enumerate().flat_map(|(content, of)| {
            (0..).zip(of).filter(|&(_, &n)| n > 0).map(move |(piece, &n)| (n, content, piece))
        });
        let Some((_, content, piece)) = held.min() else { return Vec::new() };
        let holds = |&host: &HostIx| {
            self.runs(host) && self.view.holds(host, content).is_some_and(|h| h.contains(piece))
        };
        (0..self.hosts.len()).filter(holds).collect()
    }
}

impl Scene for Sight<'_> {
    fn view(&self) -> &dyn View {
        self.view
    }

    fn ended(&self, event: &str) -> Option<Time> {
        let ix = self.plan.timeline.iter().position(|planned| planned.id == event)?;
        self.events[ix].ended
    }
}
