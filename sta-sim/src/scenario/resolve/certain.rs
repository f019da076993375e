//! Expectations that hold whatever happens: the file alone answers them, so that a run proves nothing about them.

use std::time::Duration;

use sta_core::model::time::Time;

use super::Resolver;
use super::timeline::word;
use crate::checks::{factor, percent, seconds};
use crate::scenario::bound;
use crate::scenario::mistake::Place;
use crate::scenario::plan::{Check, ContentPlan, HostIx, HostPlan, PlannedEvent, is_source};
use crate::scenario::schema::{Expect, VerbName};

impl Resolver<'_> {
    /// Refuses an expectation that nothing can break.
    pub(super) fn can_fail(
        &mut self,
        expect: &Expect,
        check: &Check,
        (hosts, contents, events): (&[HostPlan], &[ContentPlan], &[PlannedEvent]),
        place: &Place,
    ) {
        if let Some(of) = asked_of_downloads(check) {
            self.lacks_something(of, (hosts, contents), place);
        }
        let ends = self.deadline;
        let (key, why) = match check {
            Check::Stall { hosts: of, at_most } => {
                let first = of.iter().map(|&host| hosts[host].join).min().unwrap_or_default();
                let longest = ends.since(first);
                let why = format!(
                    "no run waits so long: it ends {} after the first of these joins; write less",
                    seconds(longest)
                );
                ("at-most", (*at_most >= longest).then_some(why))
            }
            Check::Registry { within } => {
                let why = format!(
                    "nothing is wrong for so long in a run that ends at {ends}; write within = \"10s\", some time before the deadline"
                );
                ("within", (Time::ZERO + *within >= ends).then_some(why))
            }
            Check::Makespan { at_most } => {
                let bound = bound::bound(hosts, contents, events, &self.core.sites);
                ("at-most", bound.and_then(|bound| self.is_beyond(*at_most, bound.best())))
            }
            Check::Fairness { hosts: of, at_least } => {
                let downloads = of.iter().filter(|host| !is_source(&hosts[**host], contents));
                ("at-least", never_as_unfair(downloads.count() as u64, at_least.0.into()))
            }
            Check::Connections { at_most } => {
                let most = most_sessions(hosts);
                let why = format!(
                    "no node can have more than {most} sessions, one with each other node of each torrent; write less"
                );
                ("at-most", (u64::from(*at_most) >= most).then_some(why))
            }
            Check::Happens { at_least: 0, at_most: u64::MAX, .. } => {
                let why =
                    "everything happens 0 times or more; write at-least = \"1 times\", or at-most";
                ("at-least", Some(why.to_owned()))
            }
            _ => return,
        };
        if let Some(why) = why {
            let why = format!("{} cannot fail: {why}", word(expect.that));
            self.in_vain(&place.key(key), why);
        }
    }

    /// Who has everything from the start, and keeps it, is asked for nothing.
    fn lacks_something(
        &mut self,
        of: &[HostIx],
        (hosts, contents): (&[HostPlan], &[ContentPlan]),
        place: &Place,
    ) {
        let has_all = |host: &HostIx| is_source(&hosts[*host], contents);
        // Of an empty file nobody lacks anything; then that is what the file is about.
        let is_empty = contents.iter().all(|content| content.layout.total() == 0);
        if !of.is_empty() && of.iter().all(has_all) && !is_empty && !self.takes_away() {
            let why = "these have everything from the start, and nothing takes it from them, so nothing is asked; name those that lack something";
            self.in_vain(&place.key("of"), why);
        }
    }

    /// Whether something takes pieces from who has them.
    pub(super) fn takes_away(&self) -> bool {
        let takes = |verb| {
            matches!(verb, VerbName::Wipe | VerbName::CorruptDisk | VerbName::DiskUnreadable)
        };
        let (events, faults) = (self.file.event.iter(), self.file.fault.iter());
        events.map(|event| event.verb).chain(faults.map(|fault| fault.verb)).any(takes)
    }

    /// Why no run takes so many millionths of the bound.
    fn is_beyond(&self, at_most: u64, best: Duration) -> Option<String> {
        let nanos = best.as_nanos() * u128::from(at_most) / 1_000_000;
        let beyond = !self.draws() && nanos >= u128::from(self.deadline.as_nanos());
        let (times, limit) = (factor(at_most), Duration::from_nanos(u64::try_from(nanos).ok()?));
        beyond.then(|| {
            format!(
                "{times} times the bound of {} is {}, and the run ends at {}; write fewer bounds, or that = \"complete\"",
                seconds(best),
                seconds(limit),
                self.deadline
            )
        })
    }
}

/// Whom it is asked of, if it is about what they download.
fn asked_of_downloads(check: &Check) -> Option<&[HostIx]> {
    match check {
        Check::Complete { hosts, .. }
        | Check::Waste { hosts, .. }
        | Check::Fairness { hosts, .. }
        | Check::Recovery { hosts, .. }
        | Check::Stall { hosts, .. } => Some(hosts),
        _ => None,
    }
}

/// Why the rates of so many downloads are never less fair than this: Jain's index is `1/n` where one has everything.
fn never_as_unfair(downloads: u64, at_least: u64) -> Option<String> {
    let least = 1_000_000_u64.checked_div(downloads)?;
    (at_least <= least).then(|| {
        let rates = if downloads == 1 { "rate" } else { "rates" };
        let least = percent(least);
        format!("Jain's index of {downloads} {rates} is never below {least}; write more, or name more hosts")
    })
}

/// The most sessions that a node can have: one for each torrent with each other node that takes part.
fn most_sessions(hosts: &[HostPlan]) -> u64 {
    let takers = |content| {
        let takes = |host: &&HostPlan| host.takes.iter().any(|take| take.content == content);
        hosts.iter().filter(takes).count() as u64
    };
    let contents = hosts.iter().flat_map(|host| &host.takes).map(|take| take.content);
    let contents = contents.max().map_or(0, |last| last + 1);
    let takers: Vec<u64> = (0..contents).map(takers).collect();
    let of = |host: &HostPlan| host.takes.iter().map(|take| takers[take.content] - 1).sum();
    hosts.iter().map(of).max().unwrap_or(0)
}
