//! Which event waits for which: those that wait for each other, or for what does not end in time, never begin.

use std::collections::BTreeMap;
use std::time::Duration;

use sta_core::model::time::Time;

use super::Resolver;
use crate::runlog::verb_name;
use crate::scenario::driver::network_kind;
use crate::scenario::mistake::Place;
use crate::scenario::plan::{PlannedEvent, Start, Verb};

/// What is known of the moment when something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Earliest {
    /// Not before this.
    At(Time),
    /// Never.
    Never,
    /// There is another mistake.
    Unknown,
}

/// The events of a file, and when each begins and ends for the first time.
pub(super) struct Moments<'a> {
    pub(super) events: &'a [PlannedEvent],
    by_id: BTreeMap<&'a str, usize>,
    begins: Vec<Earliest>,
    ends: Vec<Earliest>,
    /// Events that wait for each other, each for the next, and the last for the first.
    circles: Vec<Vec<usize>>,
}

impl Moments<'_> {
    /// When the event `id` ends for the first time.
    pub(super) fn end_of(&self, id: &str) -> Earliest {
        self.by_id.get(id).map_or(Earliest::Unknown, |&ix| self.ends[ix])
    }

    /// The event for whose end this one waits.
    fn awaited(&self, ix: usize) -> Option<usize> {
        let (id, _) = waits_for(&self.events[ix])?;
        self.by_id.get(id).copied()
    }
}

impl Resolver<'_> {
    /// Every event that waits for another can begin.
    pub(super) fn waits_for_something(&mut self, events: &[PlannedEvent]) {
        let moments = self.moments(events);
        let ids = self.event_ids();
        let numbers: BTreeMap<&str, usize> = ids.iter().map(String::as_str).zip(0..).collect();
        let when = |event: &PlannedEvent| {
            Place::top("event").index(numbers[event.id.as_str()]).key("when")
        };
        for circle in &moments.circles {
            // Told of the one that is written first.
            let first = circle.iter().min().map_or(0, |first| *first);
            self.in_vain(&when(&events[first]), in_a_circle(circle, events));
        }
        for (event, begins) in events.iter().zip(&moments.begins) {
            let Some((awaited, _)) = waits_for(event) else { continue };
            self.has_an_end(awaited, &moments, &when(event));
            if let Earliest::At(at) = begins
                && *at >= self.healed
                && !self.healed_is_wrong
            {
                let why = format!(
                    "the event never begins: this holds at {at} or later, and faults are over at {} (clock.healed, clock.deadline)",
                    self.healed
                );
                self.in_vain(&when(event), why);
            }
        }
    }

    /// When the events begin and end.
    pub(super) fn moments<'a>(&self, events: &'a [PlannedEvent]) -> Moments<'a> {
        let by_id = events.iter().map(|event| event.id.as_str()).zip(0..).collect();
        let unknown = vec![None; events.len()];
        let (mut begins, mut ends) = (unknown.clone(), unknown);
        let mut moments = Moments { events, by_id, begins: vec![], ends: vec![], circles: vec![] };
        let is_there = |wanted: fn(&Verb) -> bool| events.iter().any(|event| wanted(&event.verb));
        let undone = Undone {
            by_heal: is_there(|verb| matches!(verb, Verb::Heal)),
            by_start: is_there(|verb| matches!(verb, Verb::Restart | Verb::Join)),
        };
        let mut walked = vec![usize::MAX; events.len()];
        for first in 0..events.len() {
            let (mut way, mut at) = (Vec::new(), Some(first));
            while let Some(ix) = at.filter(|&ix| begins[ix].is_none() && walked[ix] != first) {
                walked[ix] = first;
                way.push(ix);
                at = moments.awaited(ix);
            }
            if let Some(met) = at.filter(|&ix| begins[ix].is_none()) {
                let circle = way.split_off(way.iter().position(|&ix| ix == met).unwrap_or(0));
                for &ix in &circle {
                    (begins[ix], ends[ix]) = (Some(Earliest::Unknown), Some(Earliest::Unknown));
                }
                moments.circles.push(circle);
            }
            for &ix in way.iter().rev() {
                let end_of = |id: usize| ends[id].unwrap_or(Earliest::Unknown);
                let begin = match (&events[ix].start, waits_for(&events[ix])) {
                    (Start::At(at), _) => Earliest::At(*at),
                    (Start::When(_), None) => Earliest::At(Time::ZERO),
                    (Start::When(_), Some((_, delay))) => match moments.awaited(ix).map(end_of) {
                        Some(Earliest::At(at)) => Earliest::At(at + delay),
                        _ => Earliest::Unknown,
                    },
                };
                begins[ix] = Some(begin);
                ends[ix] = Some(self.end(&events[ix], begin, undone));
            }
        }
        let known = |all: Vec<Option<Earliest>>| all.into_iter().flatten().collect();
        (moments.begins, moments.ends) = (known(begins), known(ends));
        moments
    }

    /// When an event ends for the first time that begins so.
    fn end(&self, event: &PlannedEvent, begins: Earliest, undone: Undone) -> Earliest {
        let Earliest::At(begins) = begins else { return Earliest::Unknown };
        let heals = !self.never_heals();
        let end_of_faults = if heals { Earliest::At(self.healed) } else { Earliest::Never };
        match (event.lasts, &event.verb) {
            (Some(lasts), _) => {
                let ends = begins + Duration::from_nanos(lasts.constant().unwrap_or(0));
                Earliest::At(if heals { ends.min(self.healed) } else { ends })
            }
            (None, verb) if verb.effect().is_over_at_once() => Earliest::At(begins),
            (
                None,
                Verb::DiskFull | Verb::DiskSlow { .. } | Verb::DiskUnreadable(_) | Verb::Pause,
            ) => end_of_faults,
            (None, verb) if network_kind(verb).is_some() => {
                if undone.by_heal {
                    Earliest::At(begins)
                } else {
                    end_of_faults
                }
            }
            (None, _) if undone.by_start => Earliest::At(begins),
            (None, _) => Earliest::Never,
        }
    }

    /// What counts from the end of the event `id` needs one.
    pub(super) fn has_an_end(&mut self, id: &str, moments: &Moments<'_>, place: &Place) {
        if moments.end_of(id) == Earliest::Never
            && let Some(&ix) = moments.by_id.get(id)
        {
            let why = format!(
                "{id:?} never ends, so nothing counts from its end: {} lasts until something undoes it; write for = \"5s\" in that event",
                verb_name(&moments.events[ix].verb)
            );
            self.in_vain(place, why);
        }
    }
}

/// Which verbs of a file undo others.
#[derive(Clone, Copy)]
struct Undone {
    by_heal: bool,
    by_start: bool,
}

/// The event for whose end an event waits, and how much longer.
fn waits_for(event: &PlannedEvent) -> Option<(&str, Duration)> {
    match &event.start {
        Start::When(condition) => condition.after(),
        Start::At(_) => None,
    }
}

fn in_a_circle(circle: &[usize], events: &[PlannedEvent]) -> String {
    let id = |ix: &usize| &events[*ix].id;
    if let [alone] = circle {
        return format!("the event waits for itself: {:?} never begins", id(alone));
    }
    let after = circle.iter().skip(1).chain(circle.first());
    let waits = circle.iter().zip(after);
    let waits = waits.map(|(one, other)| format!("{:?} for {:?}", id(one), id(other)));
    format!(
        "these events wait for each other, so none begins: {}; let one begin at = \"5s\"",
        waits.collect::<Vec<_>>().join(", ")
    )
}
