//! A plan, run in the flow world: the driver says what is done to hosts, the cluster what comes of it, and all of it is
//! written down.
//!
//! A run always ends: at the plan's deadline, when nothing is left to happen, or when the watchdog finds that time
//! stands still. What the flow world cannot honour is refused before it begins.

use std::sync::Arc;
use std::time::Duration;

use sta_core::model::bitfield::{Bitfield, collect_ranges};
use sta_core::model::time::Time;

use super::cluster::Cluster;
use crate::runlog::{Detail, Ended, Note, Recorder, RunLog};
use crate::scenario::driver::{Action, Do, Driver};
use crate::scenario::plan::{Behaviour, Check, ContentIx, HostIx, Plan, Role, Verb};
use crate::scenario::view::{LOOK_EVERY, Onlooker, Progress, View};
use crate::world::panics::watch;

/// Bytes that a run may need, as estimated. What is more would be killed by the system half-way.
const MEMORY_MAX: u64 = 8 << 30;
/// What a host costs besides its pieces: its node, its sessions and their messages under way.
const HOST_BYTES: u64 = 128 << 10;
/// What a piece costs a host: rarity, salt, and a bit in the set of each of some twenty peers.
const PIECE_BYTES: u64 = 10;
/// Entries of a log that are kept, as estimated; beyond it, single blocks and then single pieces are left out.
const ENTRIES_MAX: u64 = 3_000_000;
/// The block that entries are estimated with: what a swarm of 100 Mbit/s links comes to use.
const BLOCK_BYTES: u64 = 64 << 10;
/// How often the messages that trackers heard are written down.
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// Why a plan is not run in the flow world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A host that sends or receives nothing.
    #[error(
        "{host} {direction} 0 bytes per second, so nobody would ever be done; give it a rate, or leave the rate out"
    )]
    NoRate {
        /// Its name.
        host: String,
        /// `sends` or `receives`.
        direction: &'static str,
    },
    /// A fault that slows a host down to nothing.
    #[error("the event {event} slows hosts down to 0 bytes per second; use `cut` for that")]
    SlowedToNothing {
        /// Its id.
        event: String,
    },
    /// More than fits into memory.
    #[error(
        "{hosts} hosts with {pieces} pieces would need about {gib} GiB of memory; use fewer hosts, or larger pieces"
    )]
    TooLarge {
        /// Number of hosts.
        hosts: usize,
        /// Pieces of all contents.
        pieces: u64,
        /// The estimate.
        gib: u64,
    },
    /// A verb or behaviour without a meaning here.
    #[error("the flow world cannot do {what}: {why}; use the turmoil world")]
    Unknown {
        /// What the scenario asks for.
        what: &'static str,
        /// What is missing.
        why: &'static str,
    },
}

/// Runs `plan` to its end, before an onlooker if there is one. `detail` says how much is written down; left out, as much as can be kept.
///
/// # Errors
/// If the plan asks for what this world cannot honour. Nothing has run then.
pub fn run(
    plan: &Arc<Plan>,
    detail: Option<Detail>,
    onlooker: Option<&dyn Onlooker>,
) -> Result<RunLog, Refusal> {
    refuse(plan)?;
    let recorder = Recorder::new();
    let mut world = World::new(Arc::clone(plan), recorder.clone(), detail);
    let (ended, panic) = watch(|| world.run(onlooker));
    for (cause, times) in world.cluster.take_touches() {
        world.driver.touched(cause, times);
    }
    let end = world.cluster.now();
    if let Some(panic) = panic {
        let who = plan.hosts[world.cluster.active() as usize].id.clone();
        recorder.note(end, Note::Panicked { who, what: panic.what });
    } else {
        world.write_disks(end);
    }
    Ok(recorder.finish(end, ended.unwrap_or(Ended::Panicked), world.driver.log().to_vec()))
}

fn refuse(plan: &Plan) -> Result<(), Refusal> {
    for host in &plan.hosts {
        for (rate, direction) in [(host.up, "sends"), (host.down, "receives")] {
            if rate == Some(0) {
                return Err(Refusal::NoRate { host: host.name.clone(), direction });
            }
        }
        behaviour(&host.behaviour)?;
    }
    let events = plan.timeline.iter().map(|event| (&event.id, &event.verb));
    for (id, what) in events.chain(plan.faults.iter().map(|fault| (&fault.id, &fault.verb))) {
        match what {
            Verb::Slow(slow) if slow.up == Some(0) || slow.down == Some(0) => {
                return Err(Refusal::SlowedToNothing { event: id.clone() });
            }
            Verb::TornWrite => {
                return Err(Refusal::Unknown { what: "torn-write", why: "no bytes on a disk" });
            }
            Verb::Set(set) => set.behaviour.as_ref().map_or(Ok(()), behaviour)?,
            _ => {}
        }
    }
    let pieces = plan.contents.iter().map(|content| u64::from(content.layout.pieces())).sum();
    let hosts = plan.hosts.len();
    let bytes = hosts as u64 * (HOST_BYTES + pieces * PIECE_BYTES);
    if bytes > MEMORY_MAX {
        return Err(Refusal::TooLarge { hosts, pieces, gib: bytes >> 30 });
    }
    Ok(())
}

fn behaviour(behaviour: &Behaviour) -> Result<(), Refusal> {
    match behaviour {
        Behaviour::Slowloris(0) => Err(Refusal::Unknown {
            what: "a slowloris of rate 0",
            why: "its queue would never end",
        }),
        _ => Ok(()),
    }
}

/// The most that can be kept of what happens in `plan`.
fn detail(plan: &Plan) -> Detail {
    let nodes = plan.hosts.iter().filter(|host| host.role == Role::Node).count() as u64;
    let pieces: u64 = plan.contents.iter().map(|content| u64::from(content.layout.pieces())).sum();
    let bytes: u64 = plan.contents.iter().map(|content| content.layout.total()).sum();
    // Verified and announced; asked, sent and received.
    let (of_pieces, of_blocks) = (2 * nodes * pieces, 3 * nodes * bytes / BLOCK_BYTES);
    if of_pieces + of_blocks <= ENTRIES_MAX {
        Detail::Blocks
    } else if of_pieces <= ENTRIES_MAX {
        Detail::Pieces
    } else {
        Detail::Milestones
    }
}

struct World {
    plan: Arc<Plan>,
    driver: Driver,
    cluster: Cluster,
    recorder: Recorder,
    detail: Detail,
    heard: Vec<u64>,
    next_heard: Time,
    healed: bool,
    /// How long to go on once everything is decided.
    linger: Duration,
    /// Since when everything has been decided.
    decided: Option<Time>,
}

/// What the driver sees.
struct Sight<'a>(&'a Cluster, &'a Recorder);

impl View for Sight<'_> {
    fn progress(&self, host: HostIx) -> Progress {
        let [have, of] = self.0.progress(host as u32);
        Progress { have, of }
    }

    fn holds(&self, host: HostIx, content: ContentIx) -> Option<&Bitfield> {
        self.0.holds(host as u32, content)
    }

    fn happened(&self, kind: &str) -> u64 {
        self.1.happened(kind)
    }
}

impl World {
    fn new(plan: Arc<Plan>, recorder: Recorder, chosen: Option<Detail>) -> Self {
        let detail = chosen.unwrap_or_else(|| detail(&plan));
        Self {
            driver: Driver::new(Arc::clone(&plan)),
            cluster: Cluster::new(&plan, Box::new(recorder.clone()), detail),
            recorder,
            detail,
            heard: vec![0; plan.hosts.len()],
            next_heard: Time::ZERO + HEARD_EVERY,
            healed: false,
            linger: lingering(&plan),
            decided: None,
            plan,
        }
    }

    fn run(&mut self, onlooker: Option<&dyn Onlooker>) -> Ended {
        if self.detail < Detail::Blocks {
            self.recorder.note(Time::ZERO, Note::Detail { detail: self.detail });
        }
        for (content, torrent) in self.cluster.contents().iter().enumerate() {
            let torrent = torrent.info_hash;
            self.recorder.note(Time::ZERO, Note::Content { content, torrent });
        }
        let mut now = Time::ZERO;
        // When the driver wants something done: that changes only when it is asked what.
        let mut driver_due = Time::ZERO;
        let mut next_look = if onlooker.is_some() { Time::ZERO } else { Time::FAR_FUTURE };
        loop {
            if let Some(onlooker) = onlooker.filter(|_| now >= next_look) {
                onlooker.look(&self.plan, now, &Sight(&self.cluster, &self.recorder));
                next_look = now + LOOK_EVERY;
            }
            if now >= driver_due {
                self.drive(now);
                driver_due = self.driver.deadline();
            }
            let next = self.cluster.next_at().min(driver_due);
            if self.is_decided(now, next) {
                return Ended::Done;
            }
            if next > self.plan.deadline {
                self.cluster.advance(self.plan.deadline);
                return Ended::Deadline;
            }
            if next > now {
                self.write_heard(next);
            }
            // Until somebody is complete, or something is to be done or written, nobody need be asked anything.
            let until = driver_due.min(self.plan.deadline).min(self.next_heard).min(next_look);
            if self.decided.is_none() && next < until {
                self.cluster.run_before(until);
            } else {
                self.cluster.run_to(next);
            }
            now = self.cluster.now();
        }
    }

    /// Whether nothing that was asked can change any more, and nothing that comes of it is left to happen at `now`.
    fn is_decided(&mut self, now: Time, next: Time) -> bool {
        let gone = |host: u32| self.driver.is_gone(host as usize);
        let done = self.cluster.incomplete().all(gone) && !self.driver.has_plans();
        self.decided = done.then_some(self.decided.unwrap_or(now));
        self.decided.is_some_and(|since| next > (since + self.linger).max(self.plan.lasts))
    }

    /// Does what the driver wants done now.
    fn drive(&mut self, now: Time) {
        let actions = self.driver.poll(now, &Sight(&self.cluster, &self.recorder));
        self.recorder.note_faults(now, &self.plan, self.driver.log());
        if !self.healed && self.plan.healed < self.plan.deadline && now >= self.plan.healed {
            self.healed = true;
            self.recorder.note(now, Note::Phase { name: "healed".into() });
        }
        for action in actions {
            self.act(action, now);
        }
    }

    fn act(&mut self, Action { cause, host, what }: Action, now: Time) {
        let ix = host as u32;
        match what {
            Do::Start => self.start(host, now),
            Do::Leave => self.cluster.leave(ix),
            Do::Crash | Do::PowerOff { .. } => {
                if matches!(what, Do::Crash) {
                    self.cluster.crash(ix);
                } else {
                    self.cluster.power_off(ix);
                }
                let who = self.plan.hosts[host].id.clone();
                self.recorder.note(now, Note::ProcessDied { who });
            }
            Do::EmptyDisk => {
                let contents = 0..self.plan.contents.len();
                let unread = contents.filter(|it| !self.cluster.unreadable(ix, *it).is_empty());
                let unread: Vec<ContentIx> = unread.collect();
                self.cluster.empty_disk(ix);
                unread.into_iter().for_each(|content| self.write_unreadable(host, content, now));
            }
            Do::Pause => self.cluster.pause(ix),
            Do::Resume => self.cluster.resume(ix),
            Do::Network => {
                self.cluster.set_network(ix, self.driver.network());
            }
            Do::Reset { peers } => {
                let touched = self.cluster.reset(ix, &peers);
                self.driver.touched(cause, touched);
            }
            Do::Disk(state) => self.cluster.set_disk(ix, state, cause),
            Do::CorruptPieces(pieces) => self.cluster.rot(ix, &pieces),
            Do::Unreadable(pieces) => self.set_readable(host, &pieces, false, now),
            Do::Readable(pieces) => self.set_readable(host, &pieces, true, now),
            Do::Behave(behaviour) => {
                let other = self.cluster.behave(ix, behaviour);
                self.restart_if(other, host, now);
            }
            Do::Engine(engine) => {
                let other = self.cluster.set_engine(ix, engine);
                self.restart_if(other, host, now);
            }
        }
    }

    /// These pieces on the disk of `host` can be read from now on, or cannot.
    fn set_readable(
        &mut self,
        host: HostIx,
        pieces: &[(ContentIx, u32)],
        readable: bool,
        now: Time,
    ) {
        self.cluster.set_readable(host as u32, pieces, readable);
        for content in 0..self.plan.contents.len() {
            if pieces.iter().any(|(other, _)| *other == content) {
                self.write_unreadable(host, content, now);
            }
        }
    }

    /// Writes down which pieces of a content cannot be read.
    fn write_unreadable(&self, host: HostIx, content: ContentIx, at: Time) {
        let pieces = collect_ranges(self.cluster.unreadable(host as u32, content));
        let who = self.plan.hosts[host].id.clone();
        let torrent = self.cluster.contents()[content].info_hash;
        self.recorder.note(at, Note::Unreadable { who, torrent, pieces });
    }

    fn start(&mut self, host: HostIx, now: Time) {
        let ix = host as u32;
        if !self.cluster.runs(ix) {
            // Before the node speaks: what it says of its pieces is held against this.
            self.cluster.settle_disk(ix);
            self.write_disk(host, now, true);
            self.cluster.start(ix);
        }
    }

    /// A knob can be turned at a start only: the process stops in order and starts again.
    fn restart_if(&mut self, other: bool, host: HostIx, now: Time) {
        if other && self.driver.runs(host) {
            self.cluster.leave(host as u32);
            self.start(host, now);
        }
    }

    /// Writes down what a node claims of its disk. At a start only what is not empty is of interest.
    fn write_disk(&self, host: HostIx, at: Time, starts: bool) {
        for (content, torrent) in self.cluster.contents().iter().enumerate() {
            let Some((claimed, wrong)) = self.cluster.claims(host as u32, content) else {
                continue;
            };
            let (claimed, wrong) = (claimed.ranges(), collect_ranges(wrong));
            if starts && claimed.is_empty() {
                continue;
            }
            let (who, torrent) = (self.plan.hosts[host].id.clone(), torrent.info_hash);
            self.recorder.note(at, Note::Disk { who, torrent, claimed, wrong });
        }
    }

    fn write_disks(&self, at: Time) {
        (0..self.plan.hosts.len()).for_each(|host| self.write_disk(host, at, false));
    }

    /// Writes down what trackers have heard, before the time passes the end of a second.
    fn write_heard(&mut self, next: Time) {
        if next < self.next_heard {
            return;
        }
        let at = self.cluster.now();
        for host in (0..self.plan.hosts.len())
            .take_while(|&host| self.plan.hosts[host].role == Role::Tracker)
        {
            let heard = self.cluster.tracker_heard(host as u32);
            let messages = (heard - std::mem::replace(&mut self.heard[host], heard)) as u32;
            if messages > 0 {
                let who = self.plan.hosts[host].id.clone();
                self.recorder.note(at, Note::TrackerHeard { who, messages });
            }
        }
        let second = HEARD_EVERY.as_nanos() as u64;
        self.next_heard = Time::from_nanos((next.as_nanos() / second + 1) * second);
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Recorder, World, watch};
    use crate::scenario::plan;
    use crate::scenario::tests::{RIGHT, read};

    #[test]
    fn a_moment_that_does_not_end_ends_the_run() {
        let ended = |events_at_once_max: Option<u64>| {
            let plan = read(RIGHT).plan(0, plan::World::Flow, 0).expect("it is right");
            let mut world = World::new(Arc::new(plan), Recorder::new(), None);
            if let Some(most) = events_at_once_max {
                world.cluster.events_at_once_max = most;
            }
            watch(|| world.run(None))
        };
        let (result, panic) = ended(Some(5));
        assert!(result.is_none());
        assert!(panic.expect("it says why").what.contains("5 events at "), "time stands still");
        let (result, panic) = ended(None);
        assert!(result.is_some() && panic.is_none());
    }
}
