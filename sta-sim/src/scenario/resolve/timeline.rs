//! Events and random faults.

use std::collections::BTreeMap;
use std::time::Duration;

use sta_core::model::rng::Seed;
use sta_core::model::time::Time;

use super::Resolver;
use super::hosts::role_of;
use crate::runlog::Kind;
use crate::scenario::condition::{Condition, Known, named};
use crate::scenario::dist::{Dist, below_million};
use crate::scenario::mistake::Place;
use crate::scenario::plan::{
    Behaviour, FaultPlan, PlannedEvent, SetPlan, SlowPlan, Start, UnreadablePlan, Verb, Which,
};
use crate::scenario::schema::{Event, Fault, Group, RoleName, Strikes, VerbName, With};
use crate::scenario::selector::Selector;
use crate::scenario::text;
use crate::scenario::units::{self, Ppm};

/// How often an event may happen: a run keeps when each began and ended, and whom it was upon.
const TIMES_MAX: u32 = 100_000;

/// The keys of `with` that a verb takes; the first is needed where `true`.
const fn keys(verb: VerbName) -> (&'static [&'static str], bool) {
    match verb {
        VerbName::Clog | VerbName::TrackerSlow => (&["delay"], true),
        VerbName::Slow => (&["up", "down", "latency", "loss"], false),
        VerbName::Flap => (&["period"], true),
        VerbName::CorruptDisk => (&["share"], true),
        VerbName::DiskSlow => (&["read", "write"], false),
        VerbName::DiskUnreadable => (&["share", "pieces", "content"], false),
        VerbName::Set => (&["behaviour", "engine"], false),
        _ => (&[], false),
    }
}

/// Verbs about what passes between two sides.
const fn has_two_sides(verb: VerbName) -> bool {
    use VerbName::{Clog, Cut, CutOneway, Flap, Hold, Refuse, Reset};
    matches!(verb, Cut | CutOneway | Reset | Refuse | Clog | Hold | Flap)
}

/// Verbs that are over as soon as they are done.
const fn has_no_end(verb: VerbName) -> bool {
    use VerbName::{CorruptDisk, Heal, Reset, Restart};
    matches!(verb, Reset | Heal | Restart | CorruptDisk)
}

const fn is_of_trackers(verb: VerbName) -> bool {
    matches!(verb, VerbName::TrackerDown | VerbName::TrackerSlow | VerbName::TrackerAmnesia)
}

/// Verbs about pieces on a disk, and about an engine.
const fn is_of_nodes(verb: VerbName) -> bool {
    use VerbName::{CorruptDisk, DiskFull, DiskSlow, DiskUnreadable, Set, TornWrite};
    matches!(verb, CorruptDisk | DiskFull | DiskSlow | DiskUnreadable | Set | TornWrite)
}

/// A word as a file has it.
pub(super) fn word<T: serde::Serialize>(name: T) -> String {
    match serde_json::to_value(name) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

impl Resolver<'_> {
    /// Every event, under its id.
    pub(super) fn timeline(&mut self) -> Vec<PlannedEvent> {
        let (events, ids) = (&self.file.event, self.event_ids());
        let mut planned = Vec::new();
        let mut times = BTreeMap::<&str, usize>::new();
        ids.iter().for_each(|id| *times.entry(id).or_default() += 1);
        for (ix, event) in events.iter().enumerate() {
            let place = Place::top("event").index(ix);
            if times[ids[ix].as_str()] > 1 {
                self.wrong(&place.key("id"), format!("there are two events {:?}", ids[ix]));
            }
            planned.extend(self.event(event, &ids, ix, &place));
        }
        self.waits_for_something(&planned);
        planned
    }

    /// What the events are called, those too that are wrong.
    pub(super) fn event_ids(&self) -> Vec<String> {
        let id = |(ix, event): (usize, &Event)| {
            event.id.clone().unwrap_or_else(|| format!("event#{}", ix + 1))
        };
        self.file.event.iter().enumerate().map(id).collect()
    }

    fn event(
        &mut self,
        event: &Event,
        ids: &[String],
        ix: usize,
        place: &Place,
    ) -> Option<PlannedEvent> {
        let start = self.start(event, ids, place)?;
        let every = self.every(event, place);
        let lasts = event.lasts.as_ref().and_then(|text| {
            let place = place.key("for");
            if has_no_end(event.verb) {
                self.wrong(
                    &place,
                    format!("{} is over at once; leave the key out", word(event.verb)),
                );
            }
            self.check(text::dist(text, units::duration), &place)
        });
        if lasts == Some(Dist::ZERO) {
            self.wrong(&place.key("for"), "what lasts no time touches nothing");
        }
        let verb = self.verb(event.verb, &event.with, place)?;
        let on = match &event.on {
            Some(text) => self.selector(text, &place.key("on"))?,
            None if is_of_trackers(event.verb) => self.trackers(place)?,
            None => {
                self.wrong(
                    place,
                    format!("{} needs the key \"on\": to whom it is done", word(event.verb)),
                );
                return None;
            }
        };
        self.only_trackers(event.verb, &on, &place.key("on"));
        self.not_only_trackers(event.verb, &on, &place.key("on"));
        let against = event.against.as_ref().and_then(|text| {
            if !has_two_sides(event.verb) {
                let why = format!("{} has one side only; leave the key out", word(event.verb));
                self.wrong(&place.key("against"), why);
            }
            self.selector(text, &place.key("against"))
        });
        let planned = PlannedEvent { id: ids[ix].clone(), start, every, lasts, verb, on, against };
        self.event_in_vain(&planned, place);
        Some(planned)
    }

    fn start(&mut self, event: &Event, ids: &[String], place: &Place) -> Option<Start> {
        match (&event.at, &event.when) {
            (Some(at), None) => {
                let at = Time::from_nanos(self.check(units::duration(at), &place.key("at"))?);
                if at >= self.healed {
                    let why = format!(
                        "{at} is not before {}, when faults are over (clock.healed, clock.deadline)",
                        self.healed
                    );
                    self.wrong(&place.key("at"), why);
                }
                Some(Start::At(at))
            }
            (None, Some(when)) => {
                let is_node = |group: &&Group| role_of(group) != Some(RoleName::Tracker);
                let nodes = self.file.group.iter().filter(is_node);
                let nodes = nodes.map(|group| group.count as usize).sum();
                let known = Known { roster: &self.roster, events: ids, kinds: Kind::EVENTS, nodes };
                let read = Condition::parse(when, known);
                let condition = self.check(read, &place.key("when"))?;
                Some(Start::When(condition))
            }
            _ => {
                self.wrong(
                    place,
                    "write either at = \"5s\" or when = \"progress of leech[*] >= 50%\"",
                );
                None
            }
        }
    }

    fn every(&mut self, event: &Event, place: &Place) -> Option<(Duration, u32)> {
        match (&event.every, event.times) {
            (None, None) => None,
            (Some(every), Some(times)) if times > 0 => {
                let every = self.check(units::duration(every), &place.key("every"))?;
                if every == 0 {
                    self.wrong(&place.key("every"), "nothing repeats without time between");
                }
                if times > TIMES_MAX {
                    let most = format!("a run keeps no more than {TIMES_MAX} of one event");
                    self.wrong(&place.key("times"), most);
                }
                Some((Duration::from_nanos(every), times))
            }
            _ => {
                self.wrong(place, "\"every\" and \"times\" (1 or more) belong together");
                None
            }
        }
    }

    fn trackers(&mut self, place: &Place) -> Option<Selector> {
        let file = self.file;
        let is_tracker = |group: &&Group| role_of(group) == Some(RoleName::Tracker);
        let names: Vec<&str> =
            file.group.iter().filter(is_tracker).map(|group| group.name.as_str()).collect();
        self.selector(&names.join(" + "), place)
    }

    /// A tracker's verbs are done to trackers.
    fn only_trackers(&mut self, verb: VerbName, on: &Selector, place: &Place) {
        if !is_of_trackers(verb) {
            return;
        }
        let Some(trackers) = self.trackers(place).and_then(|all| all.fixed()) else { return };
        let fits = on.fixed().is_some_and(|hosts| hosts.iter().all(|host| trackers.contains(host)));
        if !fits {
            self.wrong(place, format!("{} is for trackers, not for \"{on}\"", word(verb)));
        }
    }

    /// What is done to a disk with pieces, or to an engine, is done to nodes.
    fn not_only_trackers(&mut self, verb: VerbName, on: &Selector, place: &Place) {
        if !is_of_nodes(verb) {
            return;
        }
        let trackers = self.trackers(place).and_then(|all| all.fixed()).unwrap_or_default();
        let hosts = on.fixed().unwrap_or_default();
        if !hosts.is_empty() && hosts.iter().all(|host| trackers.contains(host)) {
            let why = "a tracker has no pieces on a disk, no behaviour and no knobs; name nodes, or use the tracker's verbs";
            self.in_vain(place, format!("{} touches nothing there: {why}", word(verb)));
        }
    }

    /// What a verb is, with what it needs to know.
    fn verb(&mut self, name: VerbName, with: &With, place: &Place) -> Option<Verb> {
        let place = place.key("with");
        self.only_own_keys(name, with, &place);
        Some(match name {
            VerbName::Cut => Verb::Cut,
            VerbName::CutOneway => Verb::CutOneway,
            VerbName::Reset => Verb::Reset,
            VerbName::Refuse => Verb::Refuse,
            VerbName::Hold => Verb::Hold,
            VerbName::Heal => Verb::Heal,
            VerbName::Crash => Verb::Crash,
            VerbName::PowerOff => Verb::PowerOff,
            VerbName::Restart => Verb::Restart,
            VerbName::Wipe => Verb::Wipe,
            VerbName::Pause => Verb::Pause,
            VerbName::Join => Verb::Join,
            VerbName::Leave => Verb::Leave,
            VerbName::DiskFull => Verb::DiskFull,
            VerbName::TornWrite => Verb::TornWrite,
            VerbName::TrackerDown => Verb::TrackerDown,
            VerbName::TrackerAmnesia => Verb::TrackerAmnesia,
            VerbName::Clog => Verb::Clog(self.delay(with, &place)?),
            VerbName::TrackerSlow => Verb::TrackerSlow(self.delay(with, &place)?),
            VerbName::Flap => {
                let text = with.period.as_ref()?;
                let period = self.check(units::duration(text), &place.key("period"))?;
                if period < 2_000_000 {
                    self.wrong(&place.key("period"), "a link does not flap faster than every 2ms");
                }
                Verb::Flap(Duration::from_nanos(period))
            }
            VerbName::Slow => Verb::Slow(SlowPlan {
                up: self.rate(with.up.as_ref(), &place.key("up")),
                down: self.rate(with.down.as_ref(), &place.key("down")),
                latency: with
                    .latency
                    .as_ref()
                    .map(|text| Duration::from_nanos(self.duration(text, &place.key("latency")))),
                loss: self.loss(with.loss.as_ref(), &place.key("loss")),
            }),
            VerbName::CorruptDisk => {
                Verb::CorruptDisk(self.share(with.share.as_ref(), &place.key("share"), Ppm::NONE))
            }
            VerbName::DiskUnreadable => Verb::DiskUnreadable(self.unreadable(with, &place)?),
            VerbName::DiskSlow => Verb::DiskSlow {
                read: self.rate(with.read.as_ref(), &place.key("read")),
                write: self.rate(with.write.as_ref(), &place.key("write")),
            },
            VerbName::Set => Verb::Set(self.set(with, &place)),
        })
    }

    fn unreadable(&mut self, with: &With, place: &Place) -> Option<UnreadablePlan> {
        let content = match &with.content {
            None => None,
            Some(name) => {
                let names = self.file.content.iter().map(|content| content.name.as_str());
                self.check(named("content", name, names.clone()), &place.key("content"))?;
                names.clone().position(|other| other == name)
            }
        };
        let which = match (&with.share, &with.pieces) {
            (Some(share), None) => {
                Which::Share(self.share(Some(share), &place.key("share"), Ppm::NONE))
            }
            (None, Some(pieces)) => {
                Which::Pieces(self.check(text::pieces(pieces), &place.key("pieces"))?)
            }
            _ => {
                self.wrong(
                    place,
                    "write either share = \"20%\" or pieces = \"0..8\": what cannot be read",
                );
                return None;
            }
        };
        Some(UnreadablePlan { content, which })
    }

    fn delay(&mut self, with: &With, place: &Place) -> Option<Dist> {
        let text = with.delay.as_ref()?;
        self.check(text::dist(text, units::duration), &place.key("delay"))
    }

    fn set(&mut self, with: &With, place: &Place) -> SetPlan {
        let behaviour =
            with.behaviour.as_ref().map(|text| self.behaviour(Some(text), &place.key("behaviour")));
        if matches!(behaviour, Some(Behaviour::Churner { .. })) {
            self.wrong(
                &place.key("behaviour"),
                "a host is a churner from the start or never; use a group's behaviour",
            );
        }
        SetPlan { behaviour, engine: self.knobs(&with.engine, &place.key("engine")) }
    }

    /// A key that the verb does not look at would be ignored, and nothing is ignored.
    fn only_own_keys(&mut self, name: VerbName, with: &With, place: &Place) {
        let (own, needed) = keys(name);
        let Ok(serde_json::Value::Object(written)) = serde_json::to_value(with) else { return };
        for key in written.keys().filter(|key| !own.contains(&key.as_str())) {
            let takes = if own.is_empty() {
                "takes nothing".to_owned()
            } else {
                format!("takes {}", own.join(", "))
            };
            self.wrong_key(&place.key(key), format!("{} {takes}, not {key:?}", word(name)));
        }
        if needed && !written.contains_key(own[0]) {
            self.wrong(place, format!("{} needs with = {{ {} = ... }}", word(name), own[0]));
        } else if !own.is_empty() && written.is_empty() {
            self.wrong(place, format!("{} needs one of with.{}", word(name), own.join(", with.")));
        }
    }

    /// Every random process, under an id made of its verb and its number.
    pub(super) fn faults(&mut self) -> Vec<FaultPlan> {
        let file = self.file;
        let mut plans: Vec<FaultPlan> = Vec::new();
        for (ix, fault) in file.fault.iter().enumerate() {
            let same = |other: &&Fault| other.verb == fault.verb;
            let nth = file.fault[..=ix].iter().filter(same).count();
            let id = format!("{}#{nth}", word(fault.verb));
            let place = Place::top("fault").index(ix);
            plans.extend(self.fault(fault, id, &place));
        }
        if !plans.is_empty() && self.healed >= self.deadline && !self.healed_is_wrong {
            let why = "with a [[fault]] write when faults end: healed = \"30s\", some time before the deadline";
            self.wrong(&Place::top("clock").key("healed"), why);
        }
        plans
    }

    fn fault(&mut self, fault: &Fault, id: String, place: &Place) -> Option<FaultPlan> {
        if has_no_end(fault.verb) && fault.verb != VerbName::Reset || fault.verb == VerbName::Join {
            self.wrong(&place.key("do"), format!("{} cannot strike at random", word(fault.verb)));
        }
        let verb = self.verb(fault.verb, &fault.with, place)?;
        let target = self.selector(&fault.on, &place.key("on"))?;
        self.only_trackers(fault.verb, &target, &place.key("on"));
        self.not_only_trackers(fault.verb, &target, &place.key("on"));
        let interval =
            self.check(text::dist(&fault.every, units::duration), &place.key("every"))?;
        let lasts = self.check(text::dist(&fault.lasts, units::duration), &place.key("for"))?;
        for (dist, key) in [(interval, "every"), (lasts, "for")] {
            if dist.max() == 0 {
                self.wrong(&place.key(key), "must be more than nothing");
            }
        }
        let chance = self.share(fault.chance.as_ref(), &place.key("chance"), Ppm::ALL);
        if chance == Ppm::NONE {
            self.wrong(
                &place.key("chance"),
                "it never strikes; write more, or leave the fault out",
            );
        }
        let from = self.or_default(&fault.from, &place.key("from"), "0s");
        let until = fault.until.as_ref().map(|text| self.duration(text, &place.key("until")));
        let until = until.map_or(self.healed, Time::from_nanos);
        if until > self.healed {
            self.wrong(&place.key("until"), "faults end with clock.healed, not later");
        }
        if Time::from_nanos(from) >= until {
            self.wrong(&place.key("from"), "it ends before it begins");
        }
        if fault.at_once == 0 || fault.limit == Some(0) {
            self.wrong(place, "it never strikes; write at-once and limit of 1 or more");
        }
        self.strikes(fault, &target, place);
        let mut coin = Seed(self.seed.0).stream(&format!("fault/{id}/chance"));
        Some(FaultPlan {
            on: below_million(&mut coin) < chance.0,
            id,
            verb,
            target,
            strikes: fault.strikes,
            interval,
            lasts,
            at_once: fault.at_once,
            limit: fault.limit.unwrap_or(u32::MAX),
            protect_last_copy: fault.protect.is_some(),
            from: Time::from_nanos(from),
            until,
        })
    }

    /// Whom it strikes at once there is, and it can be spared.
    fn strikes(&mut self, fault: &Fault, target: &Selector, place: &Place) {
        if fault.strikes == Strikes::One {
            return;
        }
        if fault.protect.is_some() {
            let why = "whoever alone holds a piece is known of one host at a time; leave out this or strikes";
            self.wrong(&place.key("protect"), why);
        }
        let meant = target.widest(self.roster.len());
        if fault.strikes == Strikes::Site && !meant.iter().any(|host| self.roster.has_site(*host)) {
            let why = format!(
                "no host of \"{target}\" is of a site; write site = ... in a [[group]], or strikes = \"all\""
            );
            self.wrong(&place.key("strikes"), why);
        }
    }
}
