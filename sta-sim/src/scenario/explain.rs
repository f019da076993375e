//! A plan for people: who takes part, what happens when, and the bound that the run is held to.

use std::fmt::Write as _;
use std::time::Duration;

use sta_core::model::time::Time;

use super::bound::why_not_counted;
use super::dist::Dist;
use super::plan::{Behaviour, FaultPlan, HostPlan, LeavePlan, Plan, PlannedEvent, Role, Start};
use super::plan::{UnreadablePlan, Verb, Which};
use super::schema::Strikes;
use super::site::SitePlan;
use super::text::{show_behaviour, show_dist};
use super::units::{Ppm, show_duration, show_rate, show_size};
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
        let counts = match expectation.portion {
            Some(portion) => format!(" (a sweep tells, by {} runs or more)", portion.least_runs()),
            None => String::new(),
        };
        let _ = writeln!(out, "  {}{warns}{counts}", expectation.text);
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
        && (a.jitter, a.loss, a.leave) == (b.jitter, b.loss, b.leave)
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
    if host.jitter != Dist::ZERO {
        let _ = write!(text, ", jitter {}", show_dist(&host.jitter, show_duration));
    }
    if host.loss != Ppm::NONE {
        let _ = write!(text, ", loss {}", host.loss);
    }
    let (joins, until) = (host.join, plan.hosts[last].join);
    if until > joins {
        let _ = write!(text, ", joins {} to {}", time(joins), time(until));
    } else if joins > Time::ZERO {
        let _ = write!(text, ", joins {}", time(joins));
    }
    match host.leave {
        LeavePlan::Stay => {}
        LeavePlan::At(at) => {
            let _ = write!(text, ", leaves at {}", time(at));
        }
        LeavePlan::AfterComplete(Duration::ZERO) => text += ", leaves when complete",
        LeavePlan::AfterComplete(after) => {
            let _ = write!(text, ", leaves {} after it is complete", duration(after));
        }
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
        let nothing = match plan.hosts.iter().any(comes_or_goes) {
            true => "nothing, but that hosts come and go by themselves, as it says above",
            false => "nothing happens to anybody",
        };
        let _ = writeln!(out, "  {nothing}");
    }
}

/// Whether it does without being told.
fn comes_or_goes(host: &HostPlan) -> bool {
    host.join > Time::ZERO
        || host.leave != LeavePlan::Stay
        || matches!(host.behaviour, Behaviour::Churner { .. })
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
        "at random from {} to {}: {} {} {} every {}, for {}, {} at once [{}]{}",
        time(fault.from),
        time(fault.until),
        verb(&fault.verb),
        match fault.strikes {
            Strikes::One => "one of",
            Strikes::Site => "all of one site of",
            Strikes::All => "all of",
        },
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
        || {
            let why = why_not_counted(&plan.hosts, &plan.contents, &plan.timeline);
            format!("does not apply ({})", why.join(", "))
        },
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

#[cfg(test)]
mod tests {
    use crate::scenario::tests::plan;

    fn explained(group: &str, more: &str) -> String {
        let text = format!(
            "schema = 1\nname = \"x\"\nclock = {{ deadline = \"60s\" }}\n[[group]]\nname = \"tracker\"\n\
             [[group]]\nname = \"seed\"\nup = \"20 Mbit/s\"\n[[group]]\nname = \"leech\"\ncount = 4\n\
             up = \"20 Mbit/s\"\n{group}\n[[content]]\nname = \"c\"\nsize = \"8 MiB\"\n{more}\n\
             [[expect]]\nthat = \"complete\"\n"
        );
        super::plan(&plan(&text, 0))
    }

    #[test]
    fn what_a_group_says_of_its_links_and_its_going_is_told() {
        let text = explained(
            "jitter = \"exp 5ms max 30ms\"\nloss = \"0.5%\"\nleave = \"5s after complete\"",
            "",
        );
        let leech = text.lines().find(|line| line.contains("leech[0]")).expect("a line");
        let said = "leech[0] to leech[3]: receiver, up 20 Mbit/s, down unlimited, 1ms to the core, \
            jitter exp 5ms max 30ms, loss 0.5%, leaves 5s after it is complete";
        assert_eq!(leech.trim(), said);
        assert!(text.contains("hosts come and go by themselves"), "{text}");
        let one = explained("", "[[host]]\nname = \"leech[3]\"\nleave = \"on-complete\"");
        assert!(one.contains("leech[3]: receiver, up 20 Mbit/s, down unlimited, 1ms to the core, leaves when complete"), "{one}");
        assert!(explained("", "").contains("nothing happens to anybody"));
    }

    #[test]
    fn why_leaves_are_not_counted_is_told() {
        assert!(!explained("", "").contains("does not apply"));
        for (group, more, why) in [
            ("join = \"every 1s\"", "", "hosts join later"),
            ("down = \"8 Mbit/s\"", "", "downlinks are slower than uplinks"),
            ("", "initial = { \"leech[0]\" = \"30%\" }", "receivers have a part of it"),
            ("", "[[content]]\nname = \"d\"\nsize = \"8 MiB\"", "there are several contents"),
            (
                "",
                "[[group]]\nname = \"more\"\nrole = \"seed\"\nup = \"9 Mbit/s\"",
                "there are several sources, uplinks differ",
            ),
        ] {
            let text = explained(group, more);
            assert!(text.contains(&format!("counted in leaves: does not apply ({why})")), "{text}");
        }
    }
}
