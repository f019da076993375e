//! What can prove nothing, whatever happens in a run: the file alone decides it, with no draw.
//!
//! A capsule may have it all the same: it says what was run.

use std::fmt;
use std::time::Duration;

use sta_core::model::time::Time;

use super::Resolver;
use crate::scenario::bound::{self, Least};
use crate::scenario::mistake::Place;
use crate::scenario::plan::{
    Behaviour, ContentPlan, HostIx, HostPlan, LeavePlan, PlannedEvent, Since, Start,
};
use crate::scenario::schema::{Event, Expect, VerbName};
use crate::scenario::text::{self, Quantity};
use crate::scenario::units::{self, show_size};

impl Resolver<'_> {
    pub(super) fn in_vain(&mut self, place: &Place, why: impl fmt::Display) {
        if self.file.capsule.is_none() {
            self.wrong(place, why);
        }
    }

    /// An event that lasts beyond the end of the run, or is between a host and itself.
    pub(super) fn event_in_vain(&mut self, event: &PlannedEvent, place: &Place) {
        let begins = match event.start {
            Start::At(at) => at,
            Start::When(_) => Time::ZERO,
        };
        let ends = event.lasts.and_then(|lasts| lasts.constant());
        let ends = ends.map(|nanos| begins + Duration::from_nanos(nanos));
        if let Some(ends) = ends.filter(|ends| *ends > self.deadline && self.never_heals()) {
            let why = format!(
                "lasts until {ends}, and the run ends at {}; leave the key out if nothing is to undo it",
                self.deadline
            );
            self.in_vain(&place.key("for"), why);
        }
        let sides = event.on.fixed().zip(event.against.as_ref().and_then(|other| other.fixed()));
        if let Some((on, against)) = sides
            && on == against
            && on.len() == 1
        {
            let why = format!(
                "\"{}\" is \"on\" itself: nothing is between one host and itself",
                event.on
            );
            self.in_vain(&place.key("against"), why);
        }
    }

    pub(super) const fn never_heals(&self) -> bool {
        self.healed.as_nanos() >= self.deadline.as_nanos()
    }

    /// Makespan is held against the bound.
    pub(super) fn is_bounded(
        &mut self,
        (hosts, contents, events): (&[HostPlan], &[ContentPlan], &[PlannedEvent]),
        place: &Place,
    ) {
        let bound = bound::bound(hosts, contents, events, &self.core.sites);
        // Without a content there is another mistake.
        if !contents.is_empty() && bound.is_none_or(|bound| bound.best().is_zero()) {
            let why = if bound::anybody_receives(hosts, contents, events) {
                "there is no bound to hold it against: no rate limits anything; write up = \"8 Mbit/s\" in the groups"
            } else {
                "there is no bound to hold it against: whoever lacks something may be gone before having it, or is a liar"
            };
            self.in_vain(place, why);
        }
    }

    /// What `of` lack fits on their disks.
    pub(super) fn has_room(
        &mut self,
        expect: &Expect,
        (of, hosts, contents): (&[HostIx], &[HostPlan], &[ContentPlan]),
    ) {
        if self.file.must_fail == Some(expect.that) {
            return;
        }
        let too_small = |&host: &HostIx| {
            let missing = bound::missing(&hosts[host], contents);
            let capacity = hosts[host].disk.capacity.filter(|most| *most < missing)?;
            Some((&hosts[host], show_size(capacity), show_size(missing)))
        };
        let mut staying = of.iter().filter(|host| self.stays(&hosts[**host]));
        if let Some((host, fits, needs)) = staying.find_map(too_small) {
            let group = self.file.group.iter().position(|group| group.name == host.group);
            let place = Place::top("group").index(group.unwrap_or(0)).key("disk").key("capacity");
            let name = &host.name;
            let why = format!(
                "{name} is to have everything, and only {fits} of {needs} fit; allow more, or do not expect it of {name}"
            );
            self.in_vain(&place, why);
        }
    }

    /// `of` can be complete so long after `since`, and by the deadline.
    pub(super) fn is_attainable(
        &mut self,
        expect: &Expect,
        (of, hosts, contents): (&[HostIx], &[HostPlan], &[ContentPlan]),
        (within, since): (Duration, &Since),
        place: &Place,
    ) {
        let counts = matches!(since, Since::Start | Since::Join);
        if !counts || self.file.must_fail == Some(expect.that) || self.draws() {
            return;
        }
        let place = match expect.within {
            Some(_) => place.key("within"),
            None => Place::top("clock").key("deadline"),
        };
        let least = Least::new(hosts, contents);
        let too_soon = |&host: &HostIx| {
            let from = if *since == Since::Join { hosts[host].join } else { Time::ZERO };
            let due = (from + within).min(self.deadline);
            let lacks = bound::missing(&hosts[host], contents) > 0;
            let least = Time::ZERO + least.of(host);
            (lacks && (least > due || due == from)).then_some((&hosts[host].name, least, due))
        };
        let mut staying = of.iter().filter(|host| self.stays(&hosts[**host]));
        if let Some((name, least, due)) = staying.find_map(too_soon) {
            let why = format!(
                "{name} cannot have everything before {least}, and is to have it at {due}; allow more time"
            );
            self.in_vain(&place, why);
        }
    }

    /// Whether a host is sure to come when its group says so and to be there at the end: who is away for good is asked
    /// nothing, and no liar is.
    fn stays(&self, host: &HostPlan) -> bool {
        use VerbName::{Crash, Join, Leave, PowerOff, Restart, TornWrite, Wipe};
        let otherwise = |event: &Event| match event.verb {
            Crash | Leave | PowerOff | TornWrite | Wipe => event.lasts.is_none(),
            verb => matches!(verb, Join | Restart),
        };
        host.leave == LeavePlan::Stay
            && !matches!(host.behaviour, Behaviour::Churner { .. } | Behaviour::Liar(_))
            && !self.file.event.iter().any(otherwise)
    }

    /// Whether seeds differ in what bounds a run.
    pub(super) fn draws(&self) -> bool {
        let drawn = |text: &Option<String>, quantity: Quantity| {
            let dist = text.as_ref().and_then(|text| text::dist(text, quantity).ok());
            dist.is_some_and(|dist| dist.constant().is_none())
        };
        let joins = |text: &Option<String>| {
            let join = text.as_ref().and_then(|text| text::join(text).ok());
            join.is_some_and(|join| join.wait.constant().is_none())
        };
        let groups = self.file.group.iter().any(|group| {
            drawn(&group.up, units::rate) || drawn(&group.down, units::rate) || joins(&group.join)
        });
        groups || self.file.content.iter().any(|content| !content.initial.is_empty())
    }
}
