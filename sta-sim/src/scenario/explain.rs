//! A plan for people: who takes part, what happens when, and the bound that the run is held to.

use std::fmt::Write as _;
use std::time::Duration;

use sta_core::model::time::Time;

use super::dist::Dist;
use super::plan::{Behaviour, FaultPlan, HostPlan, Plan, PlannedEvent, Role, Start};
use super::plan::{UnreadablePlan, Verb, Which};
use super::site::SitePlan;
use super::text::{show_behaviour, show_dist};
use super::units::{show_duration, show_rate, show_size};
use crate::runlog::verb_name;

/// The whole plan, as text.
#[must_use]
pub fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}", plan.name, plan.about);
    let _ = writeln!(
        out,
        "world {}, seed {}, deadline {}",
        plan.world.name(),
        plan.seed,
        time(plan.deadline)
    );
    for (key, value) in &plan.cell {
        let _ = writeln!(out, "matrix: {key} = {value}");
    }
    if !plan.core.sites.is_empty() {
        let _ = writeln!(out, "\nSites");
    }
    for site in &plan.core.sites {
        let SitePlan { name, up, down, latency } = site;
        let (up, down, latency) = (rate(*up), rate(*down), duration(*latency));
        let _ = writeln!(out, "  {name}: up {up}, down {down}, {latency} to the core");
    }
    let _ = writeln!(out, "\nHosts");
    for (first, last) in runs(&plan.hosts) {
        let _ = writeln!(out, "  {}", host(plan, first, last));
    }
    let _ = writeln!(out, "\nContent");
    for content in &plan.contents {
        let _ = writeln!(
            out,
            "  {}: {} in {} files, {} pieces of {}",
            content.name,
            show_size(content.layout.total()),
            content.files.len(),
            content.layout.pieces(),
            show_size(content.layout.piece_bytes().into())
        );
    }
    let _ = writeln!(out, "\nTimeline");
    timeline(plan, &mut out);
    bound(plan, &mut out);
    let _ = writeln!(out, "\nExpected");
    for expectation in &plan.expectations {
        let warns = if expectation.warn_only { " (warns only)" } else { "" };
        let _ = writeln!(out, "  {}{warns}", expectation.text);
    }
    if let Some(check) = &plan.must_fail {
        let _ = writeln!(out, "  and {check} must fail: the run is right if it does");
    }
    out
}

/// Neighbours that differ in nothing but index and join, as first and last.
fn runs(hosts: &[HostPlan]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for ix in 0..hosts.len() {
        match runs.last_mut() {
            Some((first, last)) if alike(&hosts[*first], &hosts[ix]) => *last = ix,
            _ => runs.push((ix, ix)),
        }
    }
    runs
}

fn alike(a: &HostPlan, b: &HostPlan) -> bool {
    let held =
        |host: &HostPlan| host.takes.iter().map(|take| take.have.is_empty()).collect::<Vec<_>>();
    a.group == b.group
        && (a.up, a.down, a.latency, a.behaviour) == (b.up, b.down, b.latency, b.behaviour)
        && held(a) == held(b)
}

fn host(plan: &Plan, first: usize, last: usize) -> String {
    let host = &plan.hosts[first];
    let mut text = match first == last {
        true => host.name.clone(),
        false => format!("{} to {}", host.name, plan.hosts[last].name),
    };
    let behind = host.site.map_or("the core", |site| &plan.core.sites[site].name);
    let what = match host.role {
        Role::Tracker => "tracker",
        Role::Node if plan.is_source(first) => "source",
        Role::Node => "receiver",
    };
    let _ = write!(
        text,
        ": {what}, up {}, down {}, {} to {behind}",
        rate(host.up),
        rate(host.down),
        duration(host.latency)
    );
    let (joins, until) = (host.join, plan.hosts[last].join);
    if until > joins {
        let _ = write!(text, ", joins {} to {}", time(joins), time(until));
    } else if joins > Time::ZERO {
        let _ = write!(text, ", joins {}", time(joins));
    }
    if host.behaviour != Behaviour::Honest {
        let _ = write!(text, ", {}", show_behaviour(host.behaviour));
    }
    text
}

fn rate(rate: Option<u64>) -> String {
    rate.map_or_else(|| "unlimited".to_owned(), show_rate)
}

fn timeline(plan: &Plan, out: &mut String) {
    let mut events: Vec<&PlannedEvent> = plan.timeline.iter().collect();
    let at = |event: &&PlannedEvent| match event.start {
        Start::At(at) => at,
        Start::When(_) => Time::FAR_FUTURE,
    };
    events.sort_by_key(at);
    for event in events {
        let _ = writeln!(out, "  {}", line(event));
    }
    for fault in &plan.faults {
        let _ = writeln!(out, "  {}", chance(fault));
    }
    if plan.healed < plan.deadline {
        let _ = writeln!(out, "  {}: healed; no fault from here on", time(plan.healed));
    }
    if plan.timeline.is_empty() && plan.faults.is_empty() {
        let _ = writeln!(out, "  nothing happens to anybody");
    }
}

fn line(event: &PlannedEvent) -> String {
    let mut text = match &event.start {
        Start::At(at) => time(*at),
        Start::When(condition) => format!("when {condition}"),
    };
    let _ = write!(text, ": {} {} [{}]", verb(&event.verb), event.on, event.id);
    if let Some(against) = &event.against {
        let _ = write!(text, " against {against}");
    }
    if let Some(lasts) = event.lasts {
        let _ = write!(text, " for {}", show_dist(&lasts, show_duration));
    }
    if let Some((every, times)) = event.every {
        let _ = write!(text, ", {times} times, every {}", duration(every));
    }
    text
}

fn chance(fault: &FaultPlan) -> String {
    if !fault.on {
        return format!("at random: {} is off with this seed", fault.id);
    }
    format!(
        "at random from {} to {}: {} one of {} every {}, for {}, {} at once [{}]{}",
        time(fault.from),
        time(fault.until),
        verb(&fault.verb),
        fault.target,
        show_dist(&fault.interval, show_duration),
        show_dist(&fault.lasts, show_duration),
        fault.at_once,
        fault.id,
        if fault.protect_last_copy { ", sparing the last copy" } else { "" }
    )
}

fn bound(plan: &Plan, out: &mut String) {
    let _ = writeln!(out, "\nBound");
    let Some(bound) = plan.bound() else {
        let _ = writeln!(out, "  nothing limits the rates, so there is no least time");
        return;
    };
    let counted = bound.counted.map_or_else(
        || "does not apply (rates differ, or several sources)".to_owned(),
        |counted| (Time::ZERO + counted).to_string(),
    );
    let (fluid, best) = (Time::ZERO + bound.fluid, Time::ZERO + bound.best());
    let _ = writeln!(out, "  counted in leaves: {counted}");
    let _ = writeln!(out, "  as a fluid: {fluid}");
    let _ = writeln!(out, "  no schedule finishes before {best}");
}

/// A verb and what it knows, as a file has it.
fn verb(verb: &Verb) -> String {
    let delay = |dist: &Dist| show_dist(dist, show_duration);
    let word = verb_name(verb);
    match verb {
        Verb::Clog(by) | Verb::TrackerSlow(by) => format!("{word} by {}", delay(by)),
        Verb::Flap(period) => format!("{word} every {}", duration(*period)),
        Verb::CorruptDisk(share)
        | Verb::DiskUnreadable(UnreadablePlan { which: Which::Share(share), .. }) => {
            format!("{word} {share} of")
        }
        Verb::DiskUnreadable(UnreadablePlan { which: Which::Pieces(range), .. }) => {
            format!("{word} pieces {}..{} of", range.0, range.1 + 1)
        }
        _ => word,
    }
}

fn time(at: Time) -> String {
    show_duration(at.as_nanos())
}

fn duration(duration: Duration) -> String {
    show_duration(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}
