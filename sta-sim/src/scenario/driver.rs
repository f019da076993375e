//! Says what is to be done to which hosts, and when: the one execution of a plan's timeline, joins, leaves, churn and
//! random faults. Pure: a world tells it the time and lets it look, and does what it says.
//!
//! ```text
//! let mut driver = Driver::new(plan);
//! loop {
//!     for action in driver.poll(now, &view) { world.apply(action) }      // first at Time::ZERO
//!     run the world until driver.deadline(), or until the run is over
//! }
//! ```
//!
//! Hosts start when the driver says so; at time zero nobody runs. What overlaps is the driver's business: a world is
//! told of changes of state only, and asks [`Driver::network`] what the network is like now.

use std::sync::Arc;

use sta_core::model::config::EngineConfig;
use sta_core::model::rng::{Rng, Seed};
use sta_core::model::time::Time;

use super::condition::Condition;
use super::network::{Network, OccurrenceIx};
use super::plan::{Behaviour, ContentIx, HostIx, LeavePlan, Plan, Start, Verb};
use super::view::View;
use agenda::{Agenda, Task};
use host::{HostState, Process};
use sight::Sight;

pub(super) use begin::{everybody_else, network_kind};

mod agenda;
mod begin;
mod chance;
mod end;
mod host;
mod sight;
#[cfg(test)]
mod tests;

/// How often conditions are looked at: the precision of `when` and of leaving after completion.
pub const LOOK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(10);

/// So long after a host has left by itself, its tracker and its peers know. (What chance does is an event in a capsule, and neither is waited
/// for.)
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);

/// Something that a world does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it is a part of: an index of [`Driver::log`].
    pub cause: OccurrenceIx,
    /// To whom.
    pub host: HostIx,
    /// What.
    pub what: Do,
}

/// What is done to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Do {
    /// Starts its process on the disk as it is: what was verified and durable is still there.
    Start,
    /// Stops it in order: tracker and peers are told.
    Leave,
    /// Its process dies; the kernel closes its connections.
    Crash,
    /// The machine goes silent; peers learn of it by timeout only. What was not durable is lost.
    PowerOff {
        /// The last write is there in part.
        torn: bool,
    },
    /// Its disk is empty from now on. Its process does not run.
    EmptyDisk,
    /// Its process stands still; the connections stay.
    Pause,
    /// It goes on.
    Resume,
    /// Its links or its edge are not as they were: ask [`Driver::network`].
    Network,
    /// Its streams with these hosts break at once.
    Reset {
        /// The other sides, ascending.
        peers: Vec<HostIx>,
    },
    /// Its disk is so from now on.
    Disk(DiskState),
    /// These pieces no longer have the right bytes on its disk.
    CorruptPieces(Vec<(ContentIx, u32)>),
    /// These pieces cannot be read on its disk from now on, unless they are written anew.
    Unreadable(Vec<(ContentIx, u32)>),
    /// These can be read again.
    Readable(Vec<(ContentIx, u32)>),
    /// It behaves so from now on, after a restart too. Never a churner.
    Behave(Behaviour),
    /// Its engine has these knobs from now on, after a restart too.
    Engine(EngineConfig),
}

/// A disk, as the faults under way leave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskState {
    /// Bytes read per second; `None` takes no time.
    pub read: Option<u64>,
    /// Bytes written per second; `None` takes no time.
    pub write: Option<u64>,
    /// Nothing more can be written.
    pub full: bool,
}

/// What wanted something to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `join` and `leave` of a host.
    Host,
    /// An entry of the timeline, by index.
    Event(usize),
    /// A random process, by index.
    Fault(usize),
    /// A churner's coming and going.
    Churn,
    /// The end of the faults' phase.
    Healed,
}

/// Something that was done: an entry of the log, absolute and resolved.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Occurrence {
    /// Unique: `cut`, `cut/2` (its second time), `power-off#2/7`, `join/leech[3]`.
    pub id: String,
    /// What wanted it.
    pub origin: Origin,
    /// What was done.
    pub verb: Verb,
    /// To whom, ascending.
    pub on: Vec<HostIx>,
    /// The other side of a network fault, ascending.
    pub against: Vec<HostIx>,
    /// When.
    pub began: Time,
    /// When it was undone, if it was.
    pub ended: Option<Time>,
    /// When it is undone by itself, if nothing undoes it before.
    pub until: Option<Time>,
    /// What it touched: processes stopped, links cut, messages delayed, streams broken. 0 has proved nothing.
    pub touched: u64,
}

/// Executes the timeline of one run.
pub struct Driver {
    plan: Arc<Plan>,
    seed: Seed,
    network: Network,
    hosts: Vec<HostState>,
    agenda: Agenda,
    /// Events whose condition has not held yet.
    waiting: Vec<usize>,
    /// Hosts that leave after they are complete, and are not yet.
    finishing: Vec<HostIx>,
    next_look: Time,
    events: Vec<EventState>,
    event_rngs: Vec<Rng>,
    faults: Vec<chance::FaultState>,
    churners: Vec<chance::Churner>,
    log: Vec<Occurrence>,
    out: Vec<Action>,
}

/// How often an event of the timeline has begun, and when it last ended.
#[derive(Clone, Copy, Debug, Default)]
struct EventState {
    begun: u32,
    ended: Option<Time>,
}

impl Driver {
    /// A driver at time zero: nobody runs.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let seed = Seed(plan.seed);
        let hosts = || plan.hosts.iter();
        let mut driver = Self {
            seed,
            network: Network::new(&plan.hosts),
            hosts: hosts().map(HostState::new).collect(),
            agenda: Agenda::default(),
            waiting: Vec::new(),
            finishing: Vec::new(),
            next_look: Time::ZERO,
            events: vec![EventState::default(); plan.timeline.len()],
            event_rngs: plan
                .timeline
                .iter()
                .map(|e| seed.stream(&format!("event/{}", e.id)))
                .collect(),
            faults: plan.faults.iter().map(|f| chance::FaultState::new(seed, f)).collect(),
            churners: hosts().map(|h| chance::Churner::new(seed, &h.name)).collect(),
            log: Vec::new(),
            out: Vec::new(),
            plan,
        };
        driver.plan_ahead();
        driver
    }

    /// Writes what is known from the start on the agenda.
    fn plan_ahead(&mut self) {
        let plan = Arc::clone(&self.plan);
        for (ix, host) in plan.hosts.iter().enumerate() {
            self.agenda.put(host.join, Task::Join(ix));
            match host.leave {
                LeavePlan::Stay => {}
                LeavePlan::AfterComplete(_) => self.finishing.push(ix),
                LeavePlan::At(at) => self.agenda.put(at, Task::Leave(ix)),
            }
        }
        for (ix, event) in plan.timeline.iter().enumerate() {
            match event.start {
                Start::At(at) => self.agenda.put(at, Task::Begin(ix)),
                Start::When(_) => self.waiting.push(ix),
            }
        }
        for ix in 0..plan.faults.len() {
            self.plan_fault(ix, plan.faults[ix].from);
        }
        if plan.healed < plan.deadline {
            self.agenda.put(plan.healed, Task::Healed);
        }
    }

    /// What is to be done now, in this order. Call it at time zero and whenever [`Self::deadline`] is reached.
    pub fn poll(&mut self, now: Time, view: &dyn View) -> Vec<Action> {
        loop {
            // Who is found to be done leaves among those who leave now anyway.
            if self.agenda.only_leaves(now) && now >= self.next_look && self.is_looking() {
                self.look(now, view);
                self.next_look = now + LOOK_INTERVAL;
            } else if let Some((at, task)) = self.agenda.take_due(now) {
                self.perform(at, task, view);
            } else {
                let mut actions = std::mem::take(&mut self.out);
                // Who starts in this moment starts in the network, and on the disk, that there are from this moment on.
                let around = |what: &Do| matches!(what, Do::Network | Do::Disk(_));
                actions.sort_by_key(|action| !around(&action.what));
                return actions;
            }
        }
    }

    /// When to call [`Self::poll`] next: [`Time::FAR_FUTURE`] if there is nothing left to do.
    #[must_use]
    pub fn deadline(&self) -> Time {
        let look = if self.is_looking() { self.next_look } else { Time::FAR_FUTURE };
        self.agenda.next().unwrap_or(Time::FAR_FUTURE).min(look)
    }

    /// The network as it is now.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Whether the host's process is meant to run (a paused one is).
    #[must_use]
    pub fn runs(&self, host: HostIx) -> bool {
        self.hosts[host].runs()
    }

    /// Whether the host is gone for good: it left, or is down and nothing on the agenda brings it back.
    #[must_use]
    pub fn is_gone(&self, host: HostIx) -> bool {
        let state = &self.hosts[host];
        let starts =
            |&event: &usize| matches!(self.plan.timeline[event].verb, Verb::Restart | Verb::Join);
        // At the end of the faults' phase churners that are away come back.
        let stays = || (0..self.log.len()).any(|ix| self.churner_away_by(ix) == Some(host));
        // What is undone some day, and a random fault is at the end of its phase at the latest, lets go of the host.
        let is_for_good = |cause: OccurrenceIx| {
            let entry = &self.log[cause];
            entry.until.is_none() && !matches!(entry.origin, Origin::Fault(_))
        };
        let for_good = state.held_by().any(is_for_good);
        let comes_back = |task: &Task| match task {
            Task::Join(other) => *other == host,
            // A churner that something else has stopped waits for that to be undone.
            Task::Churn(other) => *other == host && state.process == Process::Away,
            Task::End(cause) => {
                self.is_under_way(*cause) && self.log[*cause].on.contains(&host) && !for_good
            }
            Task::Begin(event) => starts(event),
            Task::Healed => stays(),
            _ => false,
        };
        !state.runs() && !self.waiting.iter().any(starts) && !self.agenda.any(comes_back)
    }

    /// Whether something that the file asks for is still to begin or to be undone: the world has to wait for it. Random
    /// faults, churn and healing are not waited for.
    #[must_use]
    pub fn has_plans(&self) -> bool {
        let awaited = |task: &Task| match task {
            Task::Join(_) | Task::Leave(_) | Task::Begin(_) | Task::SaidGoodbye => true,
            Task::End(cause) => self.is_under_way(*cause),
            Task::Toggle(_) | Task::Fault(_) | Task::Churn(_) | Task::Healed => false,
        };
        // Who leaves once it is complete may be so, and not have been seen.
        let leaves = self.finishing.iter().any(|host| self.hosts[*host].runs());
        leaves || !self.waiting.is_empty() || self.agenda.any(awaited)
    }

    /// Whether nothing has undone `cause` yet.
    fn is_under_way(&self, cause: OccurrenceIx) -> bool {
        self.log[cause].ended.is_none()
    }

    /// Everything that was done so far, in order: the resolved timeline.
    #[must_use]
    pub fn log(&self) -> &[Occurrence] {
        &self.log
    }

    /// The world saw `cause` touch something: a message held up, a connect refused, a write that failed.
    pub fn touched(&mut self, cause: OccurrenceIx, times: u64) {
        self.log[cause].touched += times;
    }

    fn is_looking(&self) -> bool {
        !self.waiting.is_empty() || !self.finishing.is_empty()
    }

    /// Looks whether conditions hold, and who is complete.
    fn look(&mut self, now: Time, view: &dyn View) {
        let plan = Arc::clone(&self.plan);
        let sight = Sight::new(&plan, &self.hosts, &self.events, view);
        let mut rng = self.seed.stream("conditions draw nothing");
        let mut holds = |condition: &Condition| condition.holds(now, &sight, &mut rng);
        let begins = |ix: &usize| match &plan.timeline[*ix].start {
            Start::When(condition) => holds(condition),
            Start::At(_) => false,
        };
        let (begin, waiting) = self.waiting.iter().copied().partition(begins);
        let done = |host: &HostIx| self.hosts[*host].runs() && view.progress(*host).is_complete();
        let (leave, finishing): (Vec<_>, Vec<_>) = self.finishing.iter().copied().partition(done);
        (self.waiting, self.finishing) = (waiting, finishing);
        let begin: Vec<usize> = begin;
        for ix in begin {
            self.agenda.put(now, Task::Begin(ix));
        }
        for host in leave {
            if let LeavePlan::AfterComplete(after) = plan.hosts[host].leave {
                self.agenda.put(now + after, Task::Leave(host));
            }
        }
    }

    fn perform(&mut self, at: Time, task: Task, view: &dyn View) {
        match task {
            Task::Join(host) => {
                self.by_itself(at, "join", Origin::Host, (Verb::Join, host), view);
                self.plan_churn(at, host);
            }
            Task::Leave(host) => {
                self.by_itself(at, "leave", Origin::Host, (Verb::Leave, host), view);
            }
            Task::Begin(_) if self.is_past(at) => {}
            Task::Begin(ix) => self.begin_event(at, ix, view),
            Task::End(cause) => self.end(at, cause),
            Task::Toggle(cause) => self.toggle(at, cause),
            Task::Fault(ix) => self.begin_fault(at, ix, view),
            Task::Churn(host) => self.churn(at, host, view),
            Task::Healed => self.heal_everything(at, view),
            Task::SaidGoodbye => {}
        }
    }

    /// A host does something that no event asked for.
    fn by_itself(
        &mut self,
        at: Time,
        word: &str,
        origin: Origin,
        (verb, host): (Verb, HostIx),
        view: &dyn View,
    ) {
        let id = format!("{word}/{}", self.plan.hosts[host].name);
        let what = begin::What { id, origin, verb, on: vec![host], against: None, until: None };
        self.begin(at, what, view);
    }

    /// The next occurrence of an event of the timeline.
    fn begin_event(&mut self, at: Time, ix: usize, view: &dyn View) {
        let plan = Arc::clone(&self.plan);
        let event = &plan.timeline[ix];
        self.events[ix].begun += 1;
        let nth = self.events[ix].begun;
        if let Some((interval, times)) = event.every
            && nth < times
            && !self.is_past(at + interval)
        {
            self.agenda.put(at + interval, Task::Begin(ix));
        }
        let sight = Sight::new(&plan, &self.hosts, &self.events, view);
        let rng = &mut self.event_rngs[ix];
        let on = event.on.resolve(&sight, rng);
        let against = event.against.as_ref().map(|selector| selector.resolve(&sight, rng));
        let until = event.lasts.map(|dist| at + std::time::Duration::from_nanos(dist.draw(rng)));
        let id = if nth == 1 { event.id.clone() } else { format!("{}/{nth}", event.id) };
        let verb = event.verb.clone();
        let what = begin::What { id, origin: Origin::Event(ix), verb, on, against, until };
        self.begin(at, what, view);
    }
}
