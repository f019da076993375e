//! What each world cannot honour. It refuses by name; nothing is ever ignored.

use std::time::Duration;

use super::mistake::{Mistake, Place};
use super::plan::{Plan, Verb, World};

/// Most hosts on turmoil: its cost per tick grows with their cube (1.9 s of wall time per simulated second at 100).
const TURMOIL_HOSTS_MAX: usize = 64;
/// Most hosts on loopback TCP: what one machine runs without measuring itself.
const TCP_HOSTS_MAX: usize = 64;
/// The shortest one-way delay between two hosts on turmoil: its tick.
const TURMOIL_DELAY_MIN: Duration = Duration::from_millis(1);

/// What the plan asks for and its world cannot do.
#[must_use]
pub fn refused(plan: &Plan) -> Vec<Mistake> {
    let mut refused: Vec<Mistake> = size(plan).into_iter().chain(delays(plan)).collect();
    for (ix, event) in plan.timeline.iter().enumerate() {
        let place = Place::top("event").index(ix).key("do");
        refused.extend(verb(plan.world, &event.verb).map(|why| Mistake::new(&place, why)));
    }
    for (ix, fault) in plan.faults.iter().enumerate() {
        let place = Place::top("fault").index(ix).key("do");
        refused.extend(verb(plan.world, &fault.verb).map(|why| Mistake::new(&place, why)));
    }
    refused
}

fn size(plan: &Plan) -> Option<Mistake> {
    let hosts = plan.hosts.len();
    let (most, why) = match plan.world {
        World::Flow => return None,
        World::Turmoil => (TURMOIL_HOSTS_MAX, "its cost grows with the cube of the hosts"),
        World::Tcp => (TCP_HOSTS_MAX, "one machine has to run them all"),
    };
    (hosts > most).then(|| {
        let world = plan.world;
        let why = format!("{hosts} hosts are more than the {world} world takes ({most}), because {why}; use fewer, or the flow world");
        Mistake::new(&Place::top("group"), why)
    })
}

fn delays(plan: &Plan) -> Option<Mistake> {
    if plan.world != World::Turmoil {
        return None;
    }
    (plan.shortest_delay() < TURMOIL_DELAY_MIN).then(|| {
        let why = "the turmoil world has no delay below 1ms from host to host; use a latency of 500us or more, or the flow world";
        Mistake::new(&Place::top("group").index(0).key("latency"), why)
    })
}

fn verb(world: World, verb: &Verb) -> Option<String> {
    let refused = match (world, verb) {
        (World::Flow, Verb::TornWrite) => "the flow world has no bytes on a disk",
        _ => return None,
    };
    Some(format!("the {world} world cannot do this: {refused}; take it out of `worlds`"))
}
