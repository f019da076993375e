//! Runs a plan on a stage: shipped nodes and trackers, on a network and on disks that do what the driver says.
//!
//! The run ends as soon as nothing that was asked can change any more: everybody who stays has everything, and nothing
//! planned is to come. On turmoil the same plan gives the same log, byte for byte; over TCP nothing repeats, and the
//! deadline is real.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sta_core::model::rng::Seed;
use sta_core::model::time::Time;

use super::content::Content;
use super::fabric::{Edge, Fault};
use super::process::{self, Machine, Shared, note_disk, note_unreadable};
use super::stage::{Process, Software, Stage, StageError};
use super::tcp_stage::TcpStage;
use super::turmoil_stage::{TICK_MAX, TICK_MIN, TurmoilStage};
use super::watcher::Watcher;
use crate::runlog::{Ended, Note, Recorder, RunLog};
use crate::scenario::driver::{Action, Do, Driver};
use crate::scenario::network::OccurrenceIx;
use crate::scenario::plan::{Behaviour, Check, ContentIx, HostIx, Plan, Role};
use crate::scenario::view::{LOOK_EVERY, Onlooker, View};

/// How often what a tracker has heard is noted.
const HEARD_EVERY: Duration = Duration::from_secs(1);
/// A process that was told to stop and has not by then is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Runs `plan` to its end in the turmoil world.
///
/// # Errors
/// [`StageError::TooManyHosts`]. A panic in a host is no error here: it is in the log, and the run has ended with it.
pub fn on_turmoil(plan: &Arc<Plan>, onlooker: Option<&dyn Onlooker>) -> Result<RunLog, StageError> {
    let seed = Seed(plan.seed).child("stage");
    run(plan, TurmoilStage::new(seed, plan.core.clone(), tick(plan)), onlooker)
}

/// Runs `plan` to its end in the tcp world, in real time.
///
/// # Errors
/// As [`on_turmoil`], and if the machine lacks ports or threads.
pub fn over_tcp(plan: &Arc<Plan>, onlooker: Option<&dyn Onlooker>) -> Result<RunLog, StageError> {
    let seed = Seed(plan.seed).child("stage");
    run(plan, TcpStage::new(seed, plan.core.clone())?, onlooker)
}

fn run<S: Stage>(
    plan: &Arc<Plan>,
    stage: S,
    onlooker: Option<&dyn Onlooker>,
) -> Result<RunLog, StageError> {
    let mut world = StagedWorld::new(plan, stage)?;
    let mut next_look = Time::ZERO;
    let ended = loop {
        let now = world.stage.now();
        if let Some(onlooker) = onlooker.filter(|_| now >= next_look) {
            onlooker.look(plan, now, &*world.shared.watcher.seen());
            next_look = now + LOOK_EVERY;
        }
        match world.turn() {
            Ok(None) => {}
            Ok(Some(ended)) => break ended,
            Err(StageError::Panicked { host, what }) => {
                world.note_panic(host, what);
                break Ended::Panicked;
            }
            Err(error) => return Err(error),
        }
    };
    Ok(world.finish(ended))
}

struct StagedWorld<S> {
    shared: Arc<Shared>,
    stage: S,
    driver: Driver,
    machines: Vec<Arc<Machine>>,
    /// Processes that were told to stop: whose, until when they may take, and whether they start again.
    stopping: Vec<(HostIx, Time, bool)>,
    /// What disturbs each link and each edge, as last told to the fabric.
    link_causes: Vec<Vec<Option<OccurrenceIx>>>,
    edge_causes: Vec<Option<(OccurrenceIx, u64)>>,
    disk_causes: Vec<Option<OccurrenceIx>>,
    next_heard: Time,
    healed: bool,
    /// How long to go on once everything is decided.
    linger: Duration,
    /// Since when everything has been decided.
    decided: Option<Time>,
}

impl<S: Stage> StagedWorld<S> {
    fn new(plan: &Arc<Plan>, mut stage: S) -> Result<Self, StageError> {
        let contents: Vec<Arc<Content>> = plan
            .contents
            .iter()
            .map(|content| Arc::new(Content::new(&content.name, content.seed, content.layout)))
            .collect();
        let recorder = Recorder::new();
        let torrents: Vec<_> = contents.iter().map(|content| content.info_hash()).collect();
        for (content, torrent) in torrents.iter().copied().enumerate() {
            recorder.note(Time::ZERO, Note::Content { content, torrent });
        }
        let watcher = Watcher::new(plan, &torrents, recorder);
        let trackers = plan.hosts.iter().enumerate();
        let trackers = trackers.filter(|(_, host)| host.role == Role::Tracker);
        let trackers = trackers.map(|(ix, host)| stage.address(ix, host.id.as_str())).collect();
        let shared = Arc::new(Shared { plan: Arc::clone(plan), contents, watcher, trackers });
        let driver = Driver::new(Arc::clone(plan));
        let mut machines = Vec::new();
        for (ix, host) in plan.hosts.iter().enumerate() {
            let machine = Arc::new(Machine::new(host, &shared.contents));
            let edge = edge_of(&driver, plan, ix, machine.settings().behaviour);
            let (shared, own) = (Arc::clone(&shared), Arc::clone(&machine));
            let software: Software = Arc::new(move |cx| -> Process {
                Box::pin(process::run(cx, ix, Arc::clone(&own), Arc::clone(&shared)))
            });
            stage.add_host(host.id.as_str(), edge, software)?;
            machines.push(machine);
        }
        let hosts = plan.hosts.len();
        Ok(Self {
            stage,
            driver,
            machines,
            stopping: Vec::new(),
            link_causes: vec![vec![None; hosts]; hosts],
            edge_causes: vec![None; hosts],
            disk_causes: vec![None; hosts],
            next_heard: Time::ZERO + HEARD_EVERY,
            healed: false,
            linger: lingering(plan),
            decided: None,
            shared,
        })
    }

    /// What is due is done, and a tick passes; or the run ends.
    fn turn(&mut self) -> Result<Option<Ended>, StageError> {
        let now = self.stage.now();
        if now >= self.shared.plan.deadline {
            return Ok(Some(Ended::Deadline));
        }
        self.note_phase(now);
        if now >= self.driver.deadline() {
            self.obey(now)?;
        }
        self.bury(now)?;
        if now >= self.next_heard {
            self.note_heard(now);
            self.next_heard = now + HEARD_EVERY;
        }
        if self.is_decided(now) {
            return Ok(Some(Ended::Done));
        }
        self.stage.step()?;
        Ok(None)
    }

    /// Does what the driver says.
    fn obey(&mut self, now: Time) -> Result<(), StageError> {
        let watcher = self.shared.watcher.clone();
        let actions = self.driver.poll(now, &*watcher.seen() as &dyn View);
        watcher.recorder().note_faults(now, &self.shared.plan, self.driver.log());
        actions.into_iter().try_for_each(|action| self.act(action, now))
    }

    fn act(&mut self, Action { cause, host, what }: Action, now: Time) -> Result<(), StageError> {
        let machine = Arc::clone(&self.machines[host]);
        match what {
            Do::Start => return self.start(host),
            Do::Leave => self.stop(host, now, false),
            Do::Crash => return self.kill(host, now, S::crash),
            Do::PowerOff { torn } => {
                self.kill(host, now, S::power_off)?;
                for (content, store) in &machine.stores {
                    if store.lose_power(torn) > 0 {
                        self.shared.watcher.seen().found(host, *content, store.intact());
                    }
                }
            }
            Do::EmptyDisk => {
                machine.leases.wipe();
                for (content, store) in &machine.stores {
                    let unreadable = !store.unreadable().is_empty();
                    store.empty();
                    self.shared.watcher.seen().found(host, *content, store.intact());
                    if unreadable {
                        note_unreadable(&self.shared, host, *content, store, now);
                    }
                }
            }
            Do::Pause => self.stage.pause(host),
            Do::Resume => self.stage.resume(host),
            Do::Network => self.network(host),
            Do::Reset { peers } => {
                let fabric = self.stage.fabric();
                let broken =
                    peers.iter().map(|&peer| fabric.with(|f| f.reset(host, peer))).sum::<usize>();
                self.driver.touched(cause, broken as u64);
            }
            Do::Disk(disk) => {
                self.settle_disk(host);
                self.disk_causes[host] = disk.full.then_some(cause);
                machine.disk.set(disk);
            }
            Do::CorruptPieces(pieces) => {
                for (content, piece) in pieces {
                    let store = machine.stores.iter().find(|(ix, _)| *ix == content);
                    store.map(|(_, store)| store.corrupt(piece));
                }
            }
            Do::Unreadable(pieces) => self.set_readable(host, &pieces, false, now),
            Do::Readable(pieces) => self.set_readable(host, &pieces, true, now),
            Do::Behave(behaviour) => {
                let was = std::mem::replace(&mut machine.settings().behaviour, behaviour);
                self.network(host);
                self.restart_for(host, now, was.restarts_for(behaviour));
            }
            Do::Engine(engine) => {
                let was = std::mem::replace(&mut machine.settings().engine, engine.clone());
                self.restart_for(host, now, was != engine);
            }
        }
        Ok(())
    }

    /// These pieces on the disk of `host` can be read from now on, or cannot.
    fn set_readable(&self, host: HostIx, pieces: &[(ContentIx, u32)], readable: bool, now: Time) {
        for (content, store) in &self.machines[host].stores {
            let of_content = || pieces.iter().filter(|(other, _)| other == content);
            of_content().for_each(|(_, piece)| store.set_readable(*piece, readable));
            if of_content().next().is_some() {
                note_unreadable(&self.shared, host, *content, store, now);
            }
        }
    }

    fn start(&mut self, host: HostIx) -> Result<(), StageError> {
        self.stopping.retain(|(other, ..)| *other != host);
        if self.stage.runs(host) {
            self.stage.crash(host)?;
        }
        self.begin(host)
    }

    fn begin(&mut self, host: HostIx) -> Result<(), StageError> {
        self.shared.watcher.seen().starts(host);
        self.machines[host].will_start();
        self.stage.start(host)
    }

    /// A knob can be turned at a start only: the process stops in order and starts again.
    fn restart_for(&mut self, host: HostIx, now: Time, change: bool) {
        if change && self.stage.runs(host) && self.driver.runs(host) {
            self.stop(host, now, true);
        }
    }

    fn stop(&mut self, host: HostIx, now: Time, again: bool) {
        if let Some(stop) = &self.machines[host].settings().stop {
            // An error means that the process is stopping already.
            let _ = stop.send(());
        }
        self.stopping.retain(|(other, ..)| *other != host);
        self.stopping.push((host, now + STOP_LIMIT, again));
    }

    /// Ends processes that have stopped, or have taken too long.
    fn bury(&mut self, now: Time) -> Result<(), StageError> {
        let over = |(host, limit, _): &(HostIx, Time, bool), machines: &[Arc<Machine>]| {
            machines[*host].stopped.load(Ordering::Acquire) || now >= *limit
        };
        while let Some(at) = self.stopping.iter().position(|one| over(one, &self.machines)) {
            let (host, _, again) = self.stopping.remove(at);
            if self.machines[host].stopped.load(Ordering::Acquire) {
                self.stage.crash(host)?;
            } else {
                self.kill(host, now, S::crash)?;
            }
            if again {
                self.begin(host)?;
            }
        }
        Ok(())
    }

    fn kill(
        &mut self,
        host: HostIx,
        now: Time,
        how: fn(&mut S, HostIx) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        self.stopping.retain(|(other, ..)| *other != host);
        how(&mut self.stage, host)?;
        let who = self.shared.plan.hosts[host].id.clone();
        self.shared.watcher.recorder().note(now, Note::ProcessDied { who });
        Ok(())
    }

    /// Tells the fabric what the driver says of the ways to and from `host`, and of its edge.
    fn network(&mut self, host: HostIx) {
        self.settle_edge(host);
        let edge = self.driver.network().edge(host);
        let behaviour = self.machines[host].settings().behaviour;
        self.stage.fabric().with(|fabric| {
            fabric.set_edge(host, edge_of(&self.driver, &self.shared.plan, host, behaviour));
            self.edge_causes[host] = edge.cause.map(|cause| (cause, fabric.passed(host)));
        });
        for other in 0..self.machines.len() {
            for (from, to) in [(host, other), (other, host)] {
                self.settle_link(from, to);
                let link = self.driver.network().link(from, to);
                self.link_causes[from][to] = link.cause;
                let (cut, held) = (link.cut, link.held);
                let fault = Fault { cut, held, refused: link.refused, clog: link.clog };
                self.stage.fabric().with(|fabric| fabric.set_fault(from, to, fault));
            }
        }
    }

    /// Tells the driver what the faults of a link have touched so far.
    fn settle_link(&mut self, from: HostIx, to: HostIx) {
        let touched = self.stage.fabric().with(|fabric| fabric.take_touched(from, to));
        if let Some(cause) = self.link_causes[from][to] {
            self.driver.touched(cause, touched);
        }
    }

    fn settle_edge(&mut self, host: HostIx) {
        if let Some((cause, before)) = self.edge_causes[host].take() {
            let passed = self.stage.fabric().with(|fabric| fabric.passed(host));
            self.driver.touched(cause, passed - before);
        }
    }

    fn settle_disk(&mut self, host: HostIx) {
        let refused = self.machines[host].disk.take_refused();
        if let Some(cause) = self.disk_causes[host] {
            self.driver.touched(cause, refused);
        }
    }

    /// Whether nothing that was asked can change any more.
    fn is_decided(&mut self, now: Time) -> bool {
        let done = self.all_done() && !self.driver.has_plans() && self.stopping.is_empty();
        self.decided = done.then_some(self.decided.unwrap_or(now));
        let lasts = self.shared.plan.lasts;
        self.decided.is_some_and(|since| now >= (since + self.linger).max(lasts))
    }

    fn all_done(&self) -> bool {
        let seen = self.shared.watcher.seen();
        let nodes = self.shared.plan.hosts.iter().enumerate();
        nodes
            .filter(|(_, host)| host.role == Role::Node)
            .all(|(ix, _)| seen.is_finished(ix) || self.driver.is_gone(ix))
    }

    fn note_phase(&mut self, now: Time) {
        let plan = &self.shared.plan;
        if !self.healed && plan.healed < plan.deadline && now >= plan.healed {
            self.healed = true;
            self.shared.watcher.recorder().note(now, Note::Phase { name: "healed".to_owned() });
        }
    }

    fn note_heard(&self, now: Time) {
        for (machine, host) in self.machines.iter().zip(&self.shared.plan.hosts) {
            let messages = machine.frames.swap(0, Ordering::Relaxed);
            if messages > 0 {
                let note = Note::TrackerHeard { who: host.id.clone(), messages };
                self.shared.watcher.recorder().note(now, note);
            }
        }
    }

    fn note_panic(&self, host: Option<HostIx>, what: String) {
        // What panics outside of every host is the world's own fault; it is laid at the first host's door.
        let who = self.shared.plan.hosts[host.unwrap_or(0)].id.clone();
        self.shared.watcher.recorder().note(self.stage.now(), Note::Panicked { who, what });
    }

    fn finish(mut self, ended: Ended) -> RunLog {
        let now = self.stage.now();
        let hosts = self.machines.len();
        for from in 0..hosts {
            (0..hosts).for_each(|to| self.settle_link(from, to));
            self.settle_edge(from);
            self.settle_disk(from);
        }
        self.note_heard(now);
        for (host, machine) in self.machines.iter().enumerate() {
            for (content, store) in &machine.stores {
                let claimed = self.shared.watcher.seen().holds(host, *content).cloned();
                if let Some(claimed) = claimed {
                    note_disk(&self.shared, host, *content, &claimed, &store.intact(), now);
                }
            }
        }
        let log = self.driver.log().to_vec();
        self.shared.watcher.recorder().finish(now, ended, log)
    }
}

fn edge_of(driver: &Driver, plan: &Plan, host: HostIx, behaviour: Behaviour) -> Edge {
    let edge = driver.network().edge(host);
    Edge {
        site: plan.hosts[host].site,
        up: behaviour.up(edge.up),
        down: edge.down,
        latency: edge.latency,
        jitter: edge.jitter,
        loss: edge.loss,
    }
}

/// Twice the shortest delay between two hosts, in whole milliseconds: idle ticks are a good part of what a run costs, a third
/// with ticks of half that, and what is finished differs by a hundredth.
fn tick(plan: &Plan) -> Duration {
    let millis = plan.shortest_delay().as_millis() as u32;
    (2 * TICK_MIN * millis).clamp(TICK_MIN, TICK_MAX)
}

/// How long after the last event something that is expected may still show: what a tracker remembers.
fn lingering(plan: &Plan) -> Duration {
    let checks = plan.expectations.iter().map(|expectation| &expectation.check);
    let registry = checks.filter_map(|check| match check {
        Check::Registry { within } => Some(*within),
        _ => None,
    });
    registry.max().map_or(Duration::ZERO, |within| within + Duration::from_secs(1))
}
