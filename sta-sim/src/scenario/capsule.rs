//! Capsules: what a failed run writes, so that it can be run again without its chances.
//!
//! A capsule is a scenario file. Every event that the run had stands in it with the moment, the hosts and the duration
//! it had; random processes, conditions and churners are gone, and hosts that drew their rates are written out one by
//! one. What is left to the seed is what no timeline can hold: the ties of the engine, the delay of each message, and
//! which pieces a share of a content or a bad disk means (drawn from streams named after host and moment).

use sta_core::model::time::Time;

use super::dist::Dist;
use super::driver::{Occurrence, Origin, everybody_else};
use super::plan::{Behaviour, HostIx, LeavePlan, Plan, Verb, World};
use super::schema::{Capsule, Event, File, HostTable, VerbName, WorldName};
use super::text;
use super::units::{self, show_duration, show_rate};
use crate::runlog::verb_name;

/// Why a run failed.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// The check.
    pub check: &'a str,
    /// When, of whom, and what was seen; one line.
    pub evidence: &'a str,
    /// The hash of what the run's nodes and trackers said ([`crate::runlog::Hashes::said`]).
    pub log_hash: &'a str,
    /// When the run ended.
    pub end: Time,
}

/// The capsule of a run of `plan`, which came from `file` (its matrix resolved), and had `log`.
#[must_use]
pub fn write(file: &File, plan: &Plan, log: &[Occurrence], failure: Failure<'_>) -> String {
    let mut capsule = file.clone();
    capsule.about = Some(plan.about.clone());
    capsule.seeds = Some(plan.seed.to_string());
    capsule.worlds = vec![world(plan.world)];
    capsule.matrix.clear();
    capsule.cover.clear();
    capsule.fault.clear();
    capsule.host = hosts(file, plan, log);
    for group in &mut capsule.group {
        if is_churner(group.behaviour.as_ref()) {
            group.behaviour = None;
        }
        if leaves_when_done(group.leave.as_ref()) {
            group.leave = None;
        }
    }
    capsule.event = events(file, plan, log);
    for expect in &mut capsule.expect {
        let last = |id: &str| last_of(plan, log, id);
        expect.after = expect.after.take().map(|id| last(&id));
        expect.since = expect.since.take().map(|since| match since.strip_prefix("event(") {
            Some(rest) => format!("event({})", last(rest.trim_end_matches(')'))),
            None => since,
        });
    }
    capsule.capsule = None;
    let file_hash = Some(file_hash(&capsule));
    capsule.capsule = Some(Capsule {
        version: format!("sta-sim {}", env!("CARGO_PKG_VERSION")),
        scenario: file.name.clone(),
        seed: plan.seed,
        world: world(plan.world),
        failed: failure.check.to_owned(),
        evidence: failure.evidence.to_owned(),
        log_hash: failure.log_hash.to_owned(),
        lasted: Some(show_duration(failure.end.as_nanos())),
        file_hash,
    });
    let text = toml::to_string(&capsule).expect("a scenario is written as it was read");
    format!(
        "# Capsule: {} failed with seed {}. Replay it with: sta-sim replay THIS_FILE\n{text}",
        failure.check, plan.seed
    )
}

/// Whether a capsule's scenario is no longer what the run was that wrote it, as far as it says.
#[must_use]
pub fn is_edited(file: &File) -> bool {
    let written = file.capsule.as_ref().and_then(|capsule| capsule.file_hash.as_ref());
    written != Some(&file_hash(&File { capsule: None, ..file.clone() }))
}

/// A hash of what a scenario says; comments and spelling do not count.
fn file_hash(file: &File) -> String {
    let text = toml::to_string(file).expect("a scenario is written as it was read");
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

const fn world(world: World) -> WorldName {
    match world {
        World::Turmoil => WorldName::Turmoil,
        World::Flow => WorldName::Flow,
        World::Tcp => WorldName::Tcp,
    }
}

fn is_churner(text: Option<&String>) -> bool {
    text.is_some_and(|text| matches!(text::behaviour(text), Ok(Behaviour::Churner { .. })))
}

/// Hosts of groups that draw, with what was drawn, and those that the file writes out itself.
fn hosts(file: &File, plan: &Plan, log: &[Occurrence]) -> Vec<HostTable> {
    let mut tables = Vec::new();
    for (ix, host) in plan.hosts.iter().enumerate() {
        let Some(group) = file.group.iter().find(|group| group.name == host.group) else {
            continue;
        };
        let rate = |text: &Option<String>| draws(text.as_ref(), units::rate);
        let joins = group.join.as_deref().and_then(|text| text::join(text).ok());
        let join_draws = joins.is_some_and(|join| join.wait.constant().is_none());
        let own = file.host.iter().find(|table| table.name == host.name);
        let latency_draws = draws(group.latency.as_ref(), units::duration);
        let leaves = matches!(host.leave, LeavePlan::AfterComplete(_));
        let draws = rate(&group.up) || rate(&group.down) || join_draws || latency_draws;
        if own.is_none() && !draws && !leaves {
            continue;
        }
        let own_leave = own.and_then(|table| table.leave.clone());
        let own_behaviour = own.and_then(|table| table.behaviour.as_ref());
        let behaviour = own_behaviour.filter(|text| !is_churner(Some(text)));
        tables.push(HostTable {
            name: host.name.clone(),
            up: host.up.map(show_rate),
            down: host.down.map(show_rate),
            latency: Some(show_duration(nanos(host.latency))),
            join: Some(show_duration(host.join.as_nanos())),
            leave: if leaves { Some(left(log, ix)) } else { own_leave },
            behaviour: behaviour.cloned(),
        });
    }
    tables
}

fn leaves_when_done(text: Option<&String>) -> bool {
    text.is_some_and(|text| matches!(text::leave(text), Ok(LeavePlan::AfterComplete(_))))
}

/// When `host`, which was to leave once it was done, did so. When it was done may hang upon what a condition has begun, in the same
/// moment even; the moment it left does not.
fn left(log: &[Occurrence], host: HostIx) -> String {
    let own = |entry: &&Occurrence| {
        entry.origin == Origin::Host && entry.verb == Verb::Leave && entry.on == [host]
    };
    let left = log.iter().find(own);
    left.map_or("stay".to_owned(), |e| format!("at {}", show_duration(e.began.as_nanos())))
}

fn draws(text: Option<&String>, quantity: text::Quantity) -> bool {
    let dist = text.and_then(|text| text::dist(text, quantity).ok());
    dist.is_some_and(|dist: Dist| dist.constant().is_none())
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What happened, at the moment it did; and the events that never began, as they were.
fn events(file: &File, plan: &Plan, log: &[Occurrence]) -> Vec<Event> {
    let mut events: Vec<Event> =
        (0..log.len()).filter_map(|ix| event(file, plan, log, ix)).collect();
    let began = |ix: usize| log.iter().any(|entry| entry.origin == Origin::Event(ix));
    for (ix, planned) in plan.timeline.iter().enumerate() {
        if !began(ix)
            && let Some(own) = file.event.get(ix)
        {
            let mut own = own.clone();
            own.id = Some(planned.id.clone());
            events.push(own);
        }
    }
    events
}

fn event(file: &File, plan: &Plan, log: &[Occurrence], ix: usize) -> Option<Event> {
    let entry = &log[ix];
    let with = match entry.origin {
        Origin::Event(ix) => file.event.get(ix)?.with.clone(),
        Origin::Fault(ix) => file.fault.get(ix)?.with.clone(),
        Origin::Churn => super::schema::With::default(),
        Origin::Host | Origin::Healed => return None,
    };
    if entry.on.is_empty() {
        return upon_nobody(file, entry);
    }
    let usual =
        entry.against.is_empty() || entry.against == everybody_else(plan.hosts.len(), &entry.on);
    let end = match entry.origin {
        // A churner that is away when the faults are over comes back then, as what lasts does: an event could not be so late.
        Origin::Churn if entry.verb == Verb::Join && entry.began >= plan.healed => return None,
        Origin::Churn if entry.verb == Verb::Leave => {
            comes_back(&log[ix..]).filter(|at| *at >= plan.healed).or(entry.until)
        }
        _ => entry.until,
    };
    let lasts = end.map(|end| show_duration(nanos(end.since(entry.began)).max(1)));
    Some(Event {
        id: Some(entry.id.clone()),
        at: Some(show_duration(entry.began.as_nanos())),
        lasts,
        verb: verb(&entry.verb),
        on: Some(selector(plan, &entry.on)),
        against: (!usual).then(|| selector(plan, &entry.against)),
        with,
        ..Event::default()
    })
}

/// An event that found nobody, as it was written: at its moment it finds nobody again.
fn upon_nobody(file: &File, entry: &Occurrence) -> Option<Event> {
    let Origin::Event(ix) = entry.origin else { return None };
    let written = file.event.get(ix)?.clone();
    Some(Event {
        id: Some(entry.id.clone()),
        at: Some(show_duration(entry.began.as_nanos())),
        lasts: entry.until.map(|until| show_duration(nanos(until.since(entry.began)).max(1))),
        when: None,
        every: None,
        times: None,
        ..written
    })
}

/// When the churner whose going `log` begins with is back, if it comes by itself. That it is sent away meanwhile changes nothing.
fn comes_back(log: &[Occurrence]) -> Option<Time> {
    let (gone, later) = log.split_first()?;
    let of_host = |entry: &&Occurrence| gone.on.iter().any(|host| entry.on.contains(host));
    let next = later.iter().filter(of_host).find(|entry| entry.verb == Verb::Join)?;
    (next.origin == Origin::Churn).then_some(next.began)
}

/// The verb as a file has it. Both sides are spelt alike.
fn verb(verb: &Verb) -> VerbName {
    serde_json::from_value(verb_name(verb).into()).expect("every verb has a name in a file")
}

/// Exactly these hosts, ranges written as ranges.
fn selector(plan: &Plan, hosts: &[HostIx]) -> String {
    let mut terms: Vec<String> = Vec::new();
    let mut rest = hosts;
    while let [first, ..] = rest {
        let group = &plan.hosts[*first].group;
        let follows = |(offset, host): (usize, &HostIx)| {
            *host == first + offset && plan.hosts[*host].group == *group
        };
        let count =
            rest.iter().enumerate().take_while(|&(offset, host)| follows((offset, host))).count();
        let from = plan.hosts[*first].index as usize;
        let of_group = plan.hosts.iter().filter(|host| host.group == *group).count();
        terms.push(match count {
            all if all == of_group => group.clone(),
            1 => format!("{group}[{from}]"),
            _ => format!("{group}[{from}..{}]", from + count),
        });
        rest = &rest[count..];
    }
    terms.join(" + ")
}

/// The id of the last time that the event `id` happened: what expectations about it look at.
fn last_of(plan: &Plan, log: &[Occurrence], id: &str) -> String {
    let Some(ix) = plan.timeline.iter().position(|event| event.id == id) else {
        return id.to_owned();
    };
    let of_event = |entry: &&Occurrence| entry.origin == Origin::Event(ix) && !entry.on.is_empty();
    log.iter().rfind(of_event).map_or_else(|| id.to_owned(), |entry| entry.id.clone())
}
