//! Which event waits for which: those that wait for each other, or for what does not end in time, never begin.

use std::time::Duration;

use sta_core::model::time::Time;

use super::Resolver;
use crate::runlog::verb_name;
use crate::scenario::driver::{is_over_at_once, network_kind};
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

impl Resolver<'_> {
    /// Every event that waits for another can begin.
    pub(super) fn waits_for_something(&mut self, events: &[PlannedEvent]) {
        let (file, ids) = (self.file, self.event_ids());
        let waiting = file.event.iter().zip(&ids).enumerate();
        for (ix, (_, id)) in waiting.filter(|(_, (event, _))| event.when.is_some()) {
            let Some(planned) = events.iter().find(|planned| planned.id == *id) else { continue };
            let Some(awaited) = waits_for(planned) else { continue };
            let place = Place::top("event").index(ix).key("when");
            if let Some(cycle) = cycle(planned, events) {
                // Told once, of the first of them.
                let first = events.iter().find(|event| cycle.contains(&event.id.as_str()));
                if first.is_some_and(|first| first.id == planned.id) {
                    self.in_vain(&place, in_a_circle(&cycle));
                }
                continue;
            }
            self.has_an_end(awaited, events, &place);
            if let Earliest::At(at) = self.begins(planned, events)
                && at >= self.healed
                && !self.healed_is_wrong
            {
                let why = format!(
                    "the event never begins: this holds at {at} or later, and faults are over at {} (clock.healed, clock.deadline)",
                    self.healed
                );
                self.in_vain(&place, why);
            }
        }
    }

    /// When the event begins for the first time.
    fn begins(&self, event: &PlannedEvent, events: &[PlannedEvent]) -> Earliest {
        match &event.start {
            Start::At(at) => Earliest::At(*at),
            Start::When(condition) => match condition.after() {
                None => Earliest::At(Time::ZERO),
                Some(_) if cycle(event, events).is_some() => Earliest::Unknown,
                Some((awaited, delay)) => match self.ends(awaited, events) {
                    Earliest::At(at) => Earliest::At(at + delay),
                    _ => Earliest::Unknown,
                },
            },
        }
    }

    /// When the event `id` ends for the first time.
    pub(super) fn ends(&self, id: &str, events: &[PlannedEvent]) -> Earliest {
        let Some(event) = events.iter().find(|event| event.id == id) else {
            return Earliest::Unknown;
        };
        let Earliest::At(begins) = self.begins(event, events) else { return Earliest::Unknown };
        let verb = &event.verb;
        let another = |wanted: fn(&Verb) -> bool| events.iter().any(|other| wanted(&other.verb));
        let heals = !self.never_heals();
        let end_of_faults = if heals { Earliest::At(self.healed) } else { Earliest::Never };
        match (event.lasts, verb) {
            (Some(lasts), _) => {
                let ends = begins + Duration::from_nanos(lasts.constant().unwrap_or(0));
                Earliest::At(if heals { ends.min(self.healed) } else { ends })
            }
            (None, verb) if is_over_at_once(verb) || *verb == Verb::TrackerAmnesia => {
                Earliest::At(begins)
            }
            (None, Verb::DiskFull | Verb::DiskSlow { .. } | Verb::Pause) => end_of_faults,
            (None, verb) if network_kind(verb).is_some() => {
                let healed = another(|other| matches!(other, Verb::Heal));
                if healed { Earliest::At(begins) } else { end_of_faults }
            }
            (None, _) if another(|other| matches!(other, Verb::Restart | Verb::Join)) => {
                Earliest::At(begins)
            }
            (None, _) => Earliest::Never,
        }
    }

    /// What counts from the end of the event `id` needs one.
    pub(super) fn has_an_end(&mut self, id: &str, events: &[PlannedEvent], place: &Place) {
        if self.ends(id, events) == Earliest::Never
            && let Some(event) = events.iter().find(|event| event.id == id)
        {
            let why = format!(
                "{id:?} never ends, so nothing counts from its end: {} lasts until something undoes it; write for = \"5s\" in that event",
                verb_name(&event.verb)
            );
            self.in_vain(place, why);
        }
    }
}

/// The event whose end an event waits for.
fn waits_for(event: &PlannedEvent) -> Option<&str> {
    match &event.start {
        Start::When(condition) => condition.after().map(|(awaited, _)| awaited),
        Start::At(_) => None,
    }
}

/// The events that `first` waits for, one after the other, if they lead back to it.
fn cycle<'a>(first: &'a PlannedEvent, events: &'a [PlannedEvent]) -> Option<Vec<&'a str>> {
    let mut chain = vec![first.id.as_str()];
    let mut at = first;
    while let Some(awaited) = waits_for(at) {
        if awaited == first.id {
            return Some(chain);
        }
        // It may lead into a circle of others.
        if chain.contains(&awaited) {
            return None;
        }
        chain.push(awaited);
        at = events.iter().find(|event| event.id == awaited)?;
    }
    None
}

fn in_a_circle(cycle: &[&str]) -> String {
    if let [alone] = cycle {
        return format!("the event waits for itself: {alone:?} never begins");
    }
    let after = cycle.iter().skip(1).chain(cycle.first());
    let waits: Vec<String> =
        cycle.iter().zip(after).map(|(one, other)| format!("{one:?} for {other:?}")).collect();
    format!(
        "these events wait for each other, so none begins: {}; let one begin at = \"5s\"",
        waits.join(", ")
    )
}
