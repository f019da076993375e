//! The faults in a host's lane: bands from when each began until it was over.
//!
//! Strong at the hosts that a fault was on; faint at those that it was against by name, and none where it was against
//! everybody else: so a reader sees who was cut off.

use maud::{Markup, html};
use sta_core::model::time::Time;

use super::{Scale, px};
use crate::outcome::{FaultSeen, Outcome};
use crate::report::series::HostSeries;
use crate::scenario::driver::Origin;
use crate::scenario::plan::{HostIx, Plan};

/// Verbs that stop a process: over when it starts again, whatever started it.
const STOPS: [&str; 6] =
    ["crash", "power-off", "wipe", "torn-write", "tracker-down", "tracker-amnesia"];
/// Least width: a moment is seen too.
const WIDTH_MIN: f64 = 2.0;

/// How a fault concerns a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is done to it.
    On,
    /// It is on the other side.
    Against,
}

/// The faults that concern a host; a coming or going is seen from where it does not run.
pub fn upon<'a>(
    outcome: &'a Outcome,
    plan: &'a Plan,
    host: HostIx,
) -> impl Iterator<Item = (&'a FaultSeen, Side)> {
    let id = &plan.hosts[host].id;
    let done = |fault: &&FaultSeen| matches!(fault.origin, Origin::Event(_) | Origin::Fault(_));
    outcome.faults.iter().filter(done).filter_map(move |fault| {
        let named = !fault.is_against_everybody_else(plan.hosts.len());
        match (fault.on.contains(id), named && fault.against.contains(id)) {
            (true, _) => Some((fault, Side::On)),
            (false, true) => Some((fault, Side::Against)),
            (false, false) => None,
        }
    })
}

/// All bands of a host, in a lane of this height; those it is on over the others.
#[must_use]
pub fn bands(
    outcome: &Outcome,
    plan: &Plan,
    host: HostIx,
    seen: &HostSeries,
    scale: Scale,
    end: Time,
    height: f64,
) -> Markup {
    let mut all: Vec<(&FaultSeen, Side)> = upon(outcome, plan, host).collect();
    all.sort_by_key(|(_, side)| *side == Side::On);
    html! {
        @for (fault, side) in all {
            @let (from, to) = (fault.began, over(fault, seen, end));
            @let width = (scale.x(to) - scale.x(from)).max(WIDTH_MIN);
            rect class=(class(fault, side)) x=(px(scale.x(from))) y="2" width=(px(width)) height=(px(height)) {
                title {
                    (fault.id) ": " (fault.verb) " from " (fault.began) " to " (to)
                    @if side == Side::Against { ", on " @for on in fault.on.iter().take(9) { (on) " " } }
                    ", touched " (fault.touched)
                }
            }
        }
    }
}

const fn class(fault: &FaultSeen, side: Side) -> &'static str {
    match (fault.touched, side) {
        (0, Side::On) => "fault idle",
        (0, Side::Against) => "fault idle other",
        (_, Side::On) => "fault",
        (_, Side::Against) => "fault other",
    }
}

/// When a fault was over at a host: when it was undone, when a stopped process ran again, or at the run's end.
fn over(fault: &FaultSeen, seen: &HostSeries, end: Time) -> Time {
    let again = || {
        let stops = STOPS.contains(&&*fault.verb);
        seen.runs.iter().map(|run| run.0).find(|&start| stops && start > fault.began)
    };
    fault.ended.or_else(again).unwrap_or(end).min(end)
}

#[cfg(test)]
mod tests {
    use sta_core::model::time::Time;

    use super::over;
    use crate::outcome::FaultSeen;
    use crate::report::series::HostSeries;
    use crate::scenario::driver::Origin;

    #[test]
    fn a_fault_lasts_until_it_is_over() {
        let at = |secs: u64| Time::from_nanos(secs * 1_000_000_000);
        let fault = |verb: &str, ended: Option<u64>| FaultSeen {
            id: "it".to_owned(),
            origin: Origin::Event(0),
            verb: verb.to_owned(),
            on: vec![],
            against: vec![],
            began: at(3),
            ended: ended.map(at),
            touched: 1,
        };
        let runs = vec![(at(0), at(3)), (at(7), at(20))];
        let seen = HostSeries { runs, ..HostSeries::default() };
        for (verb, ended, expected) in [
            ("cut", Some(5), 5),
            ("cut", Some(99), 20),
            ("cut", None, 20),
            ("power-off", None, 7),
            ("restart", Some(3), 3),
        ] {
            assert_eq!(over(&fault(verb, ended), &seen, at(20)), at(expected), "{verb} {ended:?}");
        }
        let gone = HostSeries { runs: vec![(at(0), at(3))], ..HostSeries::default() };
        assert_eq!(over(&fault("crash", None), &gone, at(20)), at(20), "it never came back");
    }
}
