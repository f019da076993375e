//! What must hold.

use std::time::Duration;

use sta_core::model::time::Time;

use super::Resolver;
use super::timeline::word;
use super::waits::{Earliest, Moments};
use crate::runlog::Kind;
use crate::scenario::condition::named;
use crate::scenario::mistake::Place;
use crate::scenario::plan::{
    Behaviour, Check, ContentPlan, Expectation, HostIx, HostPlan, PlannedEvent, Role, Since,
    is_source,
};
use crate::scenario::portion::Portion;
use crate::scenario::schema::{CheckName, Expect, Severity};
use crate::scenario::text::{amount, seeds};
use crate::scenario::units;

/// The name of a check in a file and in a report.
pub(super) const fn name(check: CheckName) -> &'static str {
    match check {
        CheckName::Complete => "complete",
        CheckName::Integrity => "integrity",
        CheckName::Waste => "waste",
        CheckName::Makespan => "makespan",
        CheckName::TrackerRequests => "tracker-requests",
        CheckName::Fairness => "fairness",
        CheckName::Stall => "stall",
        CheckName::Recovery => "recovery",
        CheckName::Copies => "copies",
        CheckName::Manners => "manners",
        CheckName::Registry => "registry",
        CheckName::Connections => "connections",
        CheckName::Happens => "happens",
    }
}

/// The keys that a check needs, and those that it also takes.
const fn keys(check: CheckName) -> (&'static [&'static str], &'static [&'static str]) {
    match check {
        CheckName::Complete => (&[], &["of", "within", "since"]),
        CheckName::Waste | CheckName::Stall | CheckName::Copies => (&["at-most"], &["of"]),
        CheckName::Makespan | CheckName::TrackerRequests | CheckName::Connections => {
            (&["at-most"], &[])
        }
        CheckName::Fairness => (&["at-least"], &["of"]),
        CheckName::Recovery => (&["after", "within"], &["of"]),
        CheckName::Registry => (&["within"], &[]),
        CheckName::Happens => (&["event"], &["at-least", "at-most"]),
        CheckName::Integrity | CheckName::Manners => (&[], &[]),
    }
}

impl Resolver<'_> {
    /// Every expectation.
    pub(super) fn expectations(
        &mut self,
        hosts: &[HostPlan],
        contents: &[ContentPlan],
        events: &[PlannedEvent],
    ) -> Vec<Expectation> {
        let file = self.file;
        if file.expect.is_empty() {
            self.wrong(&Place::top("expect"), "nothing is expected, so nothing is proved; add an [[expect]] with that = \"complete\"");
        }
        let sources: Vec<bool> = hosts.iter().map(|host| is_source(host, contents)).collect();
        let moments = self.moments(events);
        let ids = self.event_ids();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut all = Vec::new();
        for (ix, expect) in file.expect.iter().enumerate() {
            let place = Place::top("expect").index(ix);
            if !self.has_its_keys(expect, &place) {
                continue;
            }
            let Some(check) = self.what(expect, (hosts, &sources), &ids, &place) else { continue };
            self.proves_something(expect, &check, (hosts, contents), &moments, &place);
            self.can_fail(expect, &check, (hosts, contents, events), &place);
            let text = said(expect);
            let warn_only = expect.severity == Some(Severity::Warn);
            let portion = self.portion(expect, &place);
            all.push(Expectation { text, check, warn_only, portion });
        }
        all
    }

    /// A key that the check does not look at would be an expectation that nothing evaluates.
    fn has_its_keys(&mut self, expect: &Expect, place: &Place) -> bool {
        let (needed, more) = keys(expect.that);
        let Ok(serde_json::Value::Object(written)) = serde_json::to_value(expect) else {
            return false;
        };
        let before = self.mistakes.len();
        for key in written.keys().map(String::as_str) {
            let safety = matches!(expect.that, CheckName::Integrity | CheckName::Manners);
            let taken = needed.contains(&key) || more.contains(&key) || (key == "in" && !safety);
            if !taken && !["that", "severity"].contains(&key) {
                let takes = [needed, more].concat().join(", ");
                let takes = if takes.is_empty() { "no key".to_owned() } else { takes };
                self.wrong_key(
                    &place.key(key),
                    format!(
                        "nothing evaluates {key:?} of {:?}; it takes {takes}",
                        name(expect.that)
                    ),
                );
            }
        }
        for key in needed.iter().filter(|key| !written.contains_key(**key)) {
            self.wrong(place, format!("{:?} needs the key {key:?}", name(expect.that)));
        }
        self.mistakes.len() == before
    }

    fn what(
        &mut self,
        expect: &Expect,
        (hosts, sources): (&[HostPlan], &[bool]),
        ids: &[&str],
        place: &Place,
    ) -> Option<Check> {
        let of = self.of(expect, hosts, sources, place);
        let most = expect.at_most.as_deref().unwrap_or_default();
        let least = expect.at_least.as_deref().unwrap_or_default();
        let (most_at, least_at) = (place.key("at-most"), place.key("at-least"));
        let within = match &expect.within {
            Some(text) => {
                Duration::from_nanos(self.check(units::duration(text), &place.key("within"))?)
            }
            None => Duration::from_nanos(self.deadline.as_nanos()),
        };
        Some(match expect.that {
            CheckName::Integrity => Check::Integrity,
            CheckName::Manners => Check::Manners,
            CheckName::Complete => {
                let since = self.since(expect, ids, place)?;
                Check::Complete { hosts: of, within, since }
            }
            CheckName::Waste => {
                Check::Waste { hosts: of, at_most: self.check(units::share(most), &most_at)? }
            }
            CheckName::Makespan => {
                let times = self.check(amount(most, "bounds", "\"1.25 bounds\""), &most_at)?;
                if times < 1_000_000 {
                    self.wrong(
                        &most_at,
                        "nothing finishes before the bound; write 1 bounds or more",
                    );
                }
                Check::Makespan { at_most: times }
            }
            CheckName::TrackerRequests => {
                let rate = amount(most, "per second", "\"10 per second\"");
                Check::TrackerRequests { per_1000s: self.check(rate, &most_at)? / 1_000 }
            }
            CheckName::Fairness => {
                Check::Fairness { hosts: of, at_least: self.check(units::share(least), &least_at)? }
            }
            CheckName::Stall => {
                let most = self.check(units::duration(most), &most_at)?;
                Check::Stall { hosts: of, at_most: Duration::from_nanos(most) }
            }
            CheckName::Recovery => {
                let after = expect.after.clone()?;
                self.check(named("event", &after, ids.iter().copied()), &place.key("after"))?;
                Check::Recovery { hosts: of, after, within }
            }
            CheckName::Copies => {
                let copies = self.check(amount(most, "copies", "\"1.1 copies\""), &most_at)?;
                let of = if expect.of.is_some() { of } else { self.sources(sources, place) };
                Check::Copies { hosts: of, at_most: copies }
            }
            CheckName::Registry => Check::Registry { within },
            CheckName::Connections => {
                let most = self.check(amount(most, "per node", "\"20 per node\""), &most_at)?;
                let most = self.whole(most, &most_at);
                Check::Connections { at_most: u32::try_from(most).unwrap_or(u32::MAX) }
            }
            CheckName::Happens => self.happens(expect, place)?,
        })
    }

    /// Nothing is asked that the file itself answers.
    fn proves_something(
        &mut self,
        expect: &Expect,
        check: &Check,
        (hosts, contents): (&[HostPlan], &[ContentPlan]),
        moments: &Moments<'_>,
        place: &Place,
    ) {
        match check {
            Check::Complete { hosts: of, within, since } => {
                if let Since::Event(id) = since {
                    self.has_an_end(id, moments, &place.key("since"));
                }
                self.has_room(expect, (of, hosts, contents));
                if self.in_time(since, *within, moments, place) {
                    self.is_attainable(expect, (of, hosts, contents), (*within, since), place);
                }
            }
            Check::Recovery { after, within, .. } => {
                self.has_an_end(after, moments, &place.key("after"));
                self.in_time(&Since::Event(after.clone()), *within, moments, place);
            }
            Check::Makespan { .. } => {
                self.is_bounded((hosts, contents, moments.events), place);
                let all: Vec<HostIx> = (0..hosts.len()).collect();
                let until = (Duration::MAX, &Since::Start);
                self.has_room(expect, (&all, hosts, contents));
                self.is_attainable(expect, (&all, hosts, contents), until, place);
            }
            _ => {}
        }
    }

    /// In how many runs of a sweep it must hold. What the file's own seeds are too few for nobody would ever judge; a capsule is one
    /// run of many.
    fn portion(&mut self, expect: &Expect, place: &Place) -> Option<Portion> {
        let place = place.key("in");
        let portion = self.check(Portion::read(expect.portion.as_deref()?), &place)?;
        let seeds = self.file.seeds.as_deref().map_or(Ok(0..1), seeds).unwrap_or_default();
        let (runs, least) = (seeds.end.saturating_sub(seeds.start), portion.least_runs());
        if self.file.must_fail == Some(expect.that) {
            self.wrong(&place, "must-fail asks each run by itself; leave the key out");
        } else if expect.severity == Some(Severity::Warn) {
            self.wrong(&place, "what only warns is counted anyway; leave out severity or this");
        } else if runs > 0 && runs < least && self.file.capsule.is_none() {
            let why = format!(
                "cannot be told of {runs} seeds; write seeds = \"0..{least}\" or more at the top"
            );
            self.wrong(&place, why);
        }
        Some(portion)
    }

    fn happens(&mut self, expect: &Expect, place: &Place) -> Option<Check> {
        let event = expect.event.clone()?;
        let known = Kind::EVENTS.iter().copied();
        self.check(named("kind of event in the log", &event, known), &place.key("event"))?;
        let mut times = |text: &Option<String>, key: &str, usual: u64| match text {
            None => Some(usual),
            Some(text) => {
                let (read, place) = (amount(text, "times", "\"3 times\""), place.key(key));
                self.check(read, &place).map(|millionths| self.whole(millionths, &place))
            }
        };
        let at_least = times(&expect.at_least, "at-least", u64::from(expect.at_most.is_none()))?;
        let at_most = times(&expect.at_most, "at-most", u64::MAX)?;
        if at_least > at_most {
            self.wrong(place, "at-least is more than at-most");
        }
        Some(Check::Happens { event, at_least, at_most })
    }

    /// So many millionths, which must be a whole number.
    fn whole(&mut self, millionths: u64, place: &Place) -> u64 {
        if !millionths.is_multiple_of(1_000_000) {
            self.wrong(place, "nothing is counted in parts; write a whole number");
        }
        millionths / 1_000_000
    }

    /// Whom it is asked of: without `of`, the nodes that lack something at the start.
    fn of(
        &mut self,
        expect: &Expect,
        hosts: &[HostPlan],
        sources: &[bool],
        place: &Place,
    ) -> Vec<HostIx> {
        let node = |host: &HostIx| hosts[*host].role == Role::Node;
        match &expect.of {
            None => {
                let nodes: Vec<HostIx> = (0..hosts.len()).filter(node).collect();
                // A liar's word that it has everything says nothing.
                let lies = |host: &HostIx| matches!(hosts[*host].behaviour, Behaviour::Liar(_));
                let lacks = |host: &HostIx| !sources[*host] && !lies(host);
                let lacking: Vec<HostIx> = nodes.iter().copied().filter(lacks).collect();
                // Of an empty file nobody lacks anything: all are asked.
                if lacking.is_empty() { nodes } else { lacking }
            }
            Some(text) => {
                let place = place.key("of");
                let before = self.mistakes.len();
                let chosen = self.fixed(text, &place);
                if self.mistakes.len() == before && !chosen.iter().any(node) {
                    self.wrong(&place, format!("{text:?} has no node; nothing would be evaluated"));
                }
                chosen.into_iter().filter(node).collect()
            }
        }
    }

    fn sources(&mut self, is_source: &[bool], place: &Place) -> Vec<HostIx> {
        let sources: Vec<HostIx> = (0..is_source.len()).filter(|&host| is_source[host]).collect();
        if sources.is_empty() {
            self.wrong(place, "no node has everything from the start; write of = \"GROUP\"");
        }
        sources
    }

    fn since(&mut self, expect: &Expect, ids: &[&str], place: &Place) -> Option<Since> {
        let place = place.key("since");
        match expect.since.as_deref() {
            None | Some("start") => Some(Since::Start),
            Some("join") => Some(Since::Join),
            Some("healed") if self.healed < self.deadline => Some(Since::Healed),
            Some("healed") if self.healed_is_wrong => None,
            Some("healed") => {
                self.wrong(
                    &place,
                    "there is no healed phase; write clock.healed, before the deadline",
                );
                None
            }
            Some(text) => {
                let Some(id) = text.strip_prefix("event(").and_then(|rest| rest.strip_suffix(')'))
                else {
                    self.wrong(&place, format!("{text:?} is no moment; write \"start\", \"join\", \"healed\" or \"event(ID)\""));
                    return None;
                };
                self.check(named("event", id, ids.iter().copied()), &place)?;
                Some(Since::Event(id.to_owned()))
            }
        }
    }

    /// An expectation that the deadline cuts off would never be evaluated to its end. Returns whether it is.
    fn in_time(
        &mut self,
        since: &Since,
        within: Duration,
        moments: &Moments<'_>,
        place: &Place,
    ) -> bool {
        let from = match since {
            Since::Healed => self.healed,
            Since::Event(id) => match moments.end_of(id) {
                Earliest::At(at) => at,
                Earliest::Never | Earliest::Unknown => Time::ZERO,
            },
            Since::Start | Since::Join => Time::ZERO,
        };
        let cut_off = from + within > self.deadline && place_has_within(self.file, place);
        if cut_off {
            let why = format!("ends at {}, after the deadline of {}", from + within, self.deadline);
            self.in_vain(&place.key("within"), why);
        }
        !cut_off
    }
}

/// Whether the file says `within` there.
fn place_has_within(file: &crate::scenario::schema::File, place: &Place) -> bool {
    let at = |ix: usize| Place::top("expect").index(ix) == *place;
    file.expect.iter().enumerate().any(|(ix, expect)| at(ix) && expect.within.is_some())
}

/// The expectation as one line.
fn said(expect: &Expect) -> String {
    let mut text = word(expect.that);
    let parts = [
        (" of ", &expect.of),
        (" ", &expect.event),
        (" after ", &expect.after),
        (" within ", &expect.within),
        (" since ", &expect.since),
        (" at least ", &expect.at_least),
        (" at most ", &expect.at_most),
        (" in ", &expect.portion),
    ];
    for (before, part) in parts {
        if let Some(part) = part {
            text.push_str(before);
            text.push_str(part);
        }
    }
    text
}
