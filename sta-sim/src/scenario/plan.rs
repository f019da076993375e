//! A resolved run: one file, one seed, one cell of the matrix. What worlds execute and reports show.
//!
//! Integers only: nanoseconds, bytes, bytes per second, parts per million. Whatever is drawn at the start is drawn
//! here, from a stream of its own name; what is drawn later is the [`super::driver::Driver`]'s business. A world adds
//! nothing of its own.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sta_core::model::bitfield::PieceRange;
use sta_core::model::config::EngineConfig;
use sta_core::model::ids::NodeId;
use sta_core::model::layout::Layout;
use sta_core::model::time::Time;

use super::bound;
use super::condition::Condition;
use super::dist::Dist;
use super::knobs::Knobs;
use super::portion::Portion;
use super::schema::Strikes;
use super::selector::Selector;
use super::site::{Core, SiteIx};
use super::units::Ppm;

/// Index of a host in [`Plan::hosts`].
pub type HostIx = usize;
/// Index of a content in [`Plan::contents`].
pub type ContentIx = usize;

/// What a scenario runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// The whole stack on turmoil's network.
    Turmoil,
    /// The engine machines alone, on fluid flows.
    Flow,
    /// The whole stack on loopback TCP.
    Tcp,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl World {
    /// As a file writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Turmoil => "turmoil",
            Self::Flow => "flow",
            Self::Tcp => "tcp",
        }
    }
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The file's name for itself.
    pub name: String,
    /// What it proves.
    pub about: String,
    /// The root of all randomness of the run.
    pub seed: u64,
    /// Where it runs.
    pub world: World,
    /// The cell of the matrix: key and value, as written. Empty without a matrix.
    pub cell: Vec<(String, String)>,
    /// The run ends here at the latest.
    pub deadline: Time,
    /// Until here faults happen; from here on the network is whole again. Never after `deadline`.
    pub healed: Time,
    /// The run goes on so long at least, unless the deadline is before: as long as the one that its capsule was written by.
    pub lasts: Time,
    /// What lies between the links of hosts.
    pub core: Core,
    /// Who takes part, trackers first, groups in the order of the file.
    pub hosts: Vec<HostPlan>,
    /// What is distributed.
    pub contents: Vec<ContentPlan>,
    /// What is done to the hosts, in the order of the file.
    pub timeline: Vec<PlannedEvent>,
    /// Random faults.
    pub faults: Vec<FaultPlan>,
    /// What must hold.
    pub expectations: Vec<Expectation>,
    /// Kinds of events that must happen in at least one seed.
    pub cover: Vec<String>,
    /// The run is right if this check (see [`Check::name`]) fails, and wrong if it holds.
    pub must_fail: Option<String>,
}

impl Plan {
    /// The least time in which everybody can have everything; `None` where nothing bounds it.
    #[must_use]
    pub fn bound(&self) -> Option<BoundPlan> {
        bound::bound(&self.hosts, &self.contents, &self.timeline, &self.core.sites)
    }

    /// The least one-way delay between two hosts.
    #[must_use]
    pub fn shortest_delay(&self) -> Duration {
        // Of each site the two nearest to its link: no others can be the nearest to each other.
        let mut near: Vec<&HostPlan> = self.hosts.iter().collect();
        near.sort_by_key(|host| (host.site, host.latency));
        let same = |a: &&HostPlan, b: &&HostPlan| a.site == b.site;
        let near: Vec<&HostPlan> =
            near.chunk_by(same).flat_map(|site| &site[..site.len().min(2)]).copied().collect();
        let pairs = near.iter().enumerate();
        let pairs = pairs.flat_map(|(ix, &a)| near[ix + 1..].iter().map(move |&b| (a, b)));
        pairs.map(|(a, b)| self.one_way(a, b)).min().unwrap_or_default()
    }

    /// One-way delay between two hosts.
    fn one_way(&self, from: &HostPlan, to: &HostPlan) -> Duration {
        from.latency + self.core.delay(from.site, to.site) + to.latency
    }

    /// Whether `host` is a node that has all of what it takes part in from the start.
    #[must_use]
    pub fn is_source(&self, host: HostIx) -> bool {
        is_source(&self.hosts[host], &self.contents)
    }
}

/// Whether `host` is a node that has all of what it takes part in from the start.
pub(super) fn is_source(host: &HostPlan, contents: &[ContentPlan]) -> bool {
    let whole = |take: &Take| {
        let held: u32 = take.have.iter().map(|range| range.1 - range.0 + 1).sum();
        held == contents[take.content].layout.pieces()
    };
    !host.takes.is_empty() && host.takes.iter().all(whole)
}

/// What a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A tracker.
    Tracker,
    /// A node: seeds what it has, downloads what it lacks.
    Node,
}

/// One host.
#[derive(Clone, Debug, Serialize)]
pub struct HostPlan {
    /// `leech[3]`: as selectors and reports call it.
    pub name: String,
    /// `leech-3`: as the product calls it.
    pub id: NodeId,
    /// `leech`
    pub group: String,
    /// 3
    pub index: u32,
    /// What it runs.
    pub role: Role,
    /// Sends at most so many bytes per second; `None` is unlimited.
    pub up: Option<u64>,
    /// Receives at most so many bytes per second; `None` is unlimited.
    pub down: Option<u64>,
    /// The site that it is of.
    pub site: Option<SiteIx>,
    /// One-way delay of its link. A message from `a` to `b` takes the `latency` of both and [`Core::delay`].
    pub latency: Duration,
    /// Added to the delay of each message that the host sends, in nanoseconds.
    pub jitter: Dist,
    /// Share of its packets that are lost. Modelled as lost throughput and added delay, never as lost messages.
    pub loss: Ppm,
    /// When it starts. The driver says so.
    pub join: Time,
    /// When it goes. The driver says so.
    pub leave: LeavePlan,
    /// Its disk.
    pub disk: DiskPlan,
    /// How it behaves.
    pub behaviour: Behaviour,
    /// Its engine's knobs.
    pub engine: EngineConfig,
    /// The contents it takes part in. Empty for a tracker.
    pub takes: Vec<Take>,
}

/// A host's part in a content.
#[derive(Clone, Debug, Serialize)]
pub struct Take {
    /// Which content.
    pub content: ContentIx,
    /// The pieces that it has, verified, when it starts.
    pub have: Vec<PieceRange>,
}

/// When a host goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeavePlan {
    /// It stays.
    Stay,
    /// So long after everything it takes part in is complete; zero is at once.
    AfterComplete(Duration),
    /// At this moment.
    At(Time),
}

/// A disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiskPlan {
    /// Bytes read per second; `None` takes no time.
    pub read: Option<u64>,
    /// Bytes written per second; `None` takes no time.
    pub write: Option<u64>,
    /// Bytes that fit; `None` is unlimited.
    pub capacity: Option<u64>,
}

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// As the product does.
    Honest,
    /// Each block it sends is wrong with this chance.
    Corrupt(Ppm),
    /// Claims this share of the pieces it lacks.
    Liar(Ppm),
    /// Serves nobody.
    FreeRider,
    /// Accepts requests and answers with so many bytes per second in all.
    Slowloris(u64),
    /// Leaves and comes back all the time. The driver does it: nothing is left for a world to do.
    Churner {
        /// Nanoseconds that it stays.
        on: Dist,
        /// Nanoseconds that it is away.
        off: Dist,
    },
}

impl Behaviour {
    /// What a process does: a churner's comings and goings are the driver's.
    #[must_use]
    pub const fn of_process(self) -> Self {
        match self {
            Self::Churner { .. } => Self::Honest,
            other => other,
        }
    }

    /// Bytes per second that a host which behaves so sends at the most over a link of `up`.
    #[must_use]
    pub fn up(self, up: Option<u64>) -> Option<u64> {
        match self {
            Self::Slowloris(rate) => Some(up.map_or(rate, |up| up.min(rate))),
            _ => up,
        }
    }

    /// Whether a process that behaves so has to start anew to behave as `other`: it has not if only its link is another.
    #[must_use]
    pub fn restarts_for(self, other: Self) -> bool {
        let of_the_link = |behaviour| matches!(behaviour, Self::Honest | Self::Slowloris(_));
        self != other && !(of_the_link(self) && of_the_link(other))
    }
}

/// One torrent.
#[derive(Clone, Debug, Serialize)]
pub struct ContentPlan {
    /// The torrent's name.
    pub name: String,
    /// Its files, in order: name inside the torrent, and bytes. Never empty; sizes may be 0.
    pub files: Vec<(String, u64)>,
    /// How the bytes of all files are cut.
    pub layout: Layout,
    /// What the bytes are computed from.
    pub seed: u64,
    /// The least time in which everybody can have this one, were it alone.
    pub bound: Option<BoundPlan>,
}

/// The least time of any schedule, for a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BoundPlan {
    /// Counted in pieces; only where all rates are equal and there is one source.
    pub counted: Option<Duration>,
    /// As a fluid.
    pub fluid: Duration,
}

impl BoundPlan {
    /// The larger one: what a run is held to.
    #[must_use]
    pub fn best(self) -> Duration {
        self.counted.map_or(self.fluid, |counted| counted.max(self.fluid))
    }
}

/// Something done to some hosts.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedEvent {
    /// Unique in the plan. `event#3` where the file gives none; the name of its random stream too.
    pub id: String,
    /// When it begins.
    pub start: Start,
    /// Begins again so long after each beginning, so many times in all.
    pub every: Option<(Duration, u32)>,
    /// Nanoseconds that it lasts. `None`: until something undoes it.
    pub lasts: Option<Dist>,
    /// What is done.
    pub verb: Verb,
    /// To whom. Who that is, is found when it begins.
    pub on: Selector,
    /// The other side of a network fault. `None` is everybody else.
    pub against: Option<Selector>,
}

/// When an event begins.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At a moment.
    At(Time),
    /// The first time that this holds.
    When(Condition),
}

/// What can be done to hosts. The driver turns these into the fewer [`super::driver::Action`]s of a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Nothing passes either way; streams stall and resume; connects time out.
    Cut,
    /// Nothing passes from `on` to `against`.
    CutOneway,
    /// Streams break at once; new connects work.
    Reset,
    /// Connects are refused at once; streams go on.
    Refuse,
    /// Everything takes longer by these nanoseconds, drawn per message; nothing is lost.
    Clog(Dist),
    /// Everything waits, and comes in one burst when it ends.
    Hold,
    /// Other rates, more delay, more loss.
    Slow(SlowPlan),
    /// A cut that comes and goes with this period, half of it each.
    Flap(Duration),
    /// Ends every network fault that touches `on`.
    Heal,
    /// The process dies; the kernel closes its connections.
    Crash,
    /// The machine goes silent; peers learn of it by timeout only. What was not durable is lost.
    PowerOff,
    /// Starts again what crashed, was powered off or left.
    Restart,
    /// Power off, and the disk is empty afterwards.
    Wipe,
    /// The process stands still and goes on later; its connections stay.
    Pause,
    /// Starts a host before its time, or one that left.
    Join,
    /// Stops in order: peers and tracker are told.
    Leave,
    /// This share of the pieces on the disk no longer has the right bytes.
    CorruptDisk(Ppm),
    /// Nothing more can be written.
    DiskFull,
    /// Another speed.
    DiskSlow {
        /// Bytes read per second.
        read: Option<u64>,
        /// Bytes written per second.
        write: Option<u64>,
    },
    /// Pieces on the disk cannot be read.
    DiskUnreadable(UnreadablePlan),
    /// The last write before the power goes off is there in part; then as `PowerOff`.
    TornWrite,
    /// The tracker's process dies and keeps its database.
    TrackerDown,
    /// Everything to and from the tracker takes longer by so many nanoseconds.
    TrackerSlow(Dist),
    /// The tracker restarts with an empty database.
    TrackerAmnesia,
    /// Another behaviour, or other knobs.
    Set(SetPlan),
}

/// Which pieces `disk-unreadable` is about: of those that a host holds when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadablePlan {
    /// Those of this content; `None` is all that the host takes part in.
    pub content: Option<ContentIx>,
    /// Which of them.
    pub which: Which,
}

/// Some of the pieces that a host holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// This share, drawn; one at least.
    Share(Ppm),
    /// Those in this range.
    Pieces(PieceRange),
}

/// What `slow` changes; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlowPlan {
    /// Bytes sent per second, at most.
    pub up: Option<u64>,
    /// Bytes received per second, at most.
    pub down: Option<u64>,
    /// Added one-way delay.
    pub latency: Option<Duration>,
    /// Added loss.
    pub loss: Option<Ppm>,
}

/// What `set` changes; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SetPlan {
    /// Another behaviour.
    pub behaviour: Option<Behaviour>,
    /// Knobs of the engine, by name.
    pub engine: Knobs,
}

/// A random process of faults, executed by the driver.
#[derive(Clone, Debug, Serialize)]
pub struct FaultPlan {
    /// Unique in the plan: `power-off#2`; the name of its random stream too.
    pub id: String,
    /// Whether this seed has it at all (drawn from `chance`).
    pub on: bool,
    /// What is done.
    pub verb: Verb,
    /// Some of these at a time.
    pub target: Selector,
    /// Which.
    pub strikes: Strikes,
    /// Nanoseconds between beginnings.
    pub interval: Dist,
    /// Nanoseconds that each lasts.
    pub lasts: Dist,
    /// Under way at the same time, at most.
    pub at_once: u32,
    /// Begun in all, at most.
    pub limit: u32,
    /// Spares a host that alone holds a piece.
    pub protect_last_copy: bool,
    /// Begins here.
    pub from: Time,
    /// Nothing begins from here on, and everything under way ends here.
    pub until: Time,
}

/// Something that must hold.
#[derive(Clone, Debug, Serialize)]
pub struct Expectation {
    /// As a person reads it: `leech[*] complete within 60s of the start`.
    pub text: String,
    /// What.
    pub check: Check,
    /// A warning does not fail the run.
    pub warn_only: bool,
    /// In how many runs of a sweep it must hold; in each, unless that is said.
    #[serde(rename = "in")]
    pub portion: Option<Portion>,
}

/// From when a `within` counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Since {
    /// The start of the run.
    Start,
    /// Each host's own first start.
    Join,
    /// [`Plan::healed`].
    Healed,
    /// The end of the event with this id (its last end, where it repeats).
    Event(String),
}

/// What can be expected. Integrity and manners are watched in every run, asked for or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "check", rename_all = "kebab-case")]
pub enum Check {
    /// These hosts have everything they take part in. Not asked of hosts that are away for good.
    Complete {
        /// Whom.
        hosts: Vec<HostIx>,
        /// So long after `since`.
        within: Duration,
        /// From when.
        since: Since,
    },
    /// Nothing unverified is stored as done, served, announced or reported complete.
    Integrity,
    /// Payload received in vain is at most this share of what was needed.
    Waste {
        /// By these together.
        hosts: Vec<HostIx>,
        /// The share.
        at_most: Ppm,
    },
    /// From the start to the last completion, over [`Plan::bound`]'s best.
    Makespan {
        /// Parts per million of the bound: 1,250,000 is 1.25 times.
        at_most: u64,
    },
    /// No second has more requests to the trackers.
    TrackerRequests {
        /// Requests in a thousand seconds.
        per_1000s: u64,
    },
    /// Jain's index `(sum x)^2 / (n * sum x^2)` of these hosts' download rates (bytes over time to complete).
    Fairness {
        /// Whom.
        hosts: Vec<HostIx>,
        /// The index.
        at_least: Ppm,
    },
    /// No host that runs and lacks something goes longer without a verified piece.
    Stall {
        /// Whom.
        hosts: Vec<HostIx>,
        /// The time.
        at_most: Duration,
    },
    /// Each of these verifies a piece (or is complete) so soon after the event's end.
    Recovery {
        /// Whom.
        hosts: Vec<HostIx>,
        /// The event's id.
        after: String,
        /// The time.
        within: Duration,
    },
    /// What these sent, in copies of what they were the sources of.
    Copies {
        /// Whom.
        hosts: Vec<HostIx>,
        /// Parts per million of one copy: 1,100,000 is 1.1 copies.
        at_most: u64,
    },
    /// Nothing unasked is sent, every limit is kept, and nobody honest is banned.
    Manners,
    /// The tracker forgets the dead and remembers the living, so soon.
    Registry {
        /// The time.
        within: Duration,
    },
    /// Sessions of one host at the same time.
    Connections {
        /// The number.
        at_most: u32,
    },
    /// A kind of event (its tag in the log) happens so often.
    Happens {
        /// `piece-failed`
        event: String,
        /// At least.
        at_least: u64,
        /// At most.
        at_most: u64,
    },
}

impl Check {
    /// Its name in a file, a report and `must-fail`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Complete { .. } => "complete",
            Self::Integrity => "integrity",
            Self::Waste { .. } => "waste",
            Self::Makespan { .. } => "makespan",
            Self::TrackerRequests { .. } => "tracker-requests",
            Self::Fairness { .. } => "fairness",
            Self::Stall { .. } => "stall",
            Self::Recovery { .. } => "recovery",
            Self::Copies { .. } => "copies",
            Self::Manners => "manners",
            Self::Registry { .. } => "registry",
            Self::Connections { .. } => "connections",
            Self::Happens { .. } => "happens",
        }
    }
}
