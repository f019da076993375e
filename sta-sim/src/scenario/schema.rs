//! A scenario file, as it is written: the one description of its keys.
//!
//! The JSON Schema for editors, the tables of `docs/SCENARIOS.md` and `sta-sim explain` are made from these types and
//! their comments. `unit` and `usual` (the value of a key that is not written) are for those readers. What the
//! texts mean is found in `resolve/`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number that a file must give as `schema`.
pub const SCHEMA: u32 = 1;

/// A scenario: who distributes what, what happens meanwhile, and what must hold.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct File {
    /// The version of this format: 1.
    pub schema: u32,
    /// What the scenario is called, in one line.
    pub name: String,
    /// What it proves. Usually the first comment of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("usual" = "the first comment"))]
    pub about: Option<String>,
    /// The seeds that a sweep runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "seeds", "usual" = "0..1"))]
    pub seeds: Option<String>,
    /// The worlds that it is meant for. `run` takes the first; `check` asks all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("usual" = "turmoil"))]
    pub worlds: Vec<WorldName>,
    /// When the run ends, and when the faults end.
    pub clock: Clock,
    /// What all hosts share.
    #[serde(default)]
    pub network: NetworkTable,
    /// Racks, offices, data centres: groups whose hosts share one link to everybody else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub site: Vec<Site>,
    /// Who takes part: groups of equal hosts.
    pub group: Vec<Group>,
    /// Single hosts that differ from their group. Capsules write here what was drawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<HostTable>,
    /// What is distributed: one torrent each.
    pub content: Vec<Content>,
    /// What is done to whom, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event: Vec<Event>,
    /// Random faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<Fault>,
    /// What must hold. Integrity, manners and bounds are watched in every run, asked for or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("needs" = "One at least: a run that nothing is expected of proves nothing."))]
    pub expect: Vec<Expect>,
    /// Kinds of events (tags of the log, such as `piece-failed`) that must happen in at least one seed of a sweep, in each cell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cover: Vec<String>,
    /// The check that must fail. The run is right if it does: the checks themselves are tested so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_fail: Option<CheckName>,
    /// Keys and the values that each takes in turn; every combination is a run. `"group.leech.count" = [4, 16]`,
    /// `"content.image.bin.piece" = ["64 KiB", "1 MiB"]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Vec<serde_json::Value>>")]
    pub matrix: BTreeMap<String, Vec<toml::Value>>,
    /// Where the file comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("needs" = "Runs write it into their capsules; nobody else does."))]
    pub capsule: Option<Capsule>,
}

/// What a scenario can run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorldName {
    /// The whole stack on turmoil's network: up to 64 hosts, every fault.
    Turmoil,
    /// The engine alone on fluid flows: thousands of hosts.
    Flow,
    /// The whole stack on loopback TCP, in real time.
    Tcp,
}

/// When the run ends, and when the faults end.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Clock {
    /// The run ends here at the latest.
    #[schemars(extend("unit" = "duration"))]
    pub deadline: String,
    /// From here on the network is whole, disks work, and what was to come back is back. Needed where there is a
    /// `[[fault]]`; an event cannot begin later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration", "usual" = "the deadline"))]
    pub healed: Option<String>,
}

/// What all hosts share.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetworkTable {
    /// One-way delay of the middle of the network, beside the hosts' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration", "usual" = "0s"))]
    pub latency: Option<String>,
}

/// Hosts behind one link. What they send each other does not cross it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Site {
    /// What groups and selectors call it: letters, digits, `_` and `-`.
    pub name: String,
    /// Bytes that all its hosts together can send to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "unlimited"))]
    pub up: Option<String>,
    /// Bytes that all its hosts together can receive from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "unlimited"))]
    pub down: Option<String>,
    /// One-way delay of its link: from site to site that of both counts, beside the hosts' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration", "usual" = "0s"))]
    pub latency: Option<String>,
}

/// What the hosts of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RoleName {
    /// A tracker.
    Tracker,
    /// A node that has everything from the start.
    Seed,
    /// A node that starts with nothing.
    Leech,
}

/// Equal hosts, `NAME[0]` to `NAME[count - 1]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Group {
    /// What selectors call it: letters, digits, `_` and `-`.
    pub name: String,
    /// What its hosts are.
    #[schemars(extend("usual" = "the name, if it is a role"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// How many hosts.
    #[serde(default = "one")]
    #[schemars(extend("usual" = "1"))]
    pub count: u32,
    /// The site that its hosts are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("usual" = "none: its hosts share no link"))]
    pub site: Option<String>,
    /// Bytes that a host can send. Where it is a distribution, each host draws its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate or distribution", "usual" = "unlimited"))]
    pub up: Option<String>,
    /// Bytes that a host can receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate or distribution", "usual" = "unlimited"))]
    pub down: Option<String>,
    /// One-way delay between a host and the middle of the network: from host to host it counts twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration or distribution", "usual" = "1ms"))]
    pub latency: Option<String>,
    /// Added to the delay of each message, drawn per message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration or distribution", "usual" = "0s"))]
    pub jitter: Option<String>,
    /// Packets lost, at most 10%. It costs throughput and delay; the streams stay whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "share", "usual" = "0%"))]
    pub loss: Option<String>,
    /// When a host starts: `"3s"`; `"every 500ms"` or `"every 500ms from 3s"`, one after the other; `"about every 2s
    /// from 3s"`, with exponential waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "join", "usual" = "0s"))]
    pub join: Option<String>,
    /// When a host goes in order: `"stay"`, `"on-complete"`, `"20s after complete"`, `"at 30s"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "leave", "usual" = "stay"))]
    pub leave: Option<String>,
    /// The disk of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// How its nodes behave: `"honest"`, `"corrupt 3%"` (of the blocks sent), `"liar 50%"` (of the pieces lacked are
    /// claimed), `"free-rider"`, `"slowloris 1 KiB/s"`, `"churner on 10s off 5s"` (distributions too).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "behaviour", "usual" = "honest"))]
    pub behaviour: Option<String>,
    /// Knobs of a node's engine by name; see below.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub engine: BTreeMap<String, toml::Value>,
}

/// A disk.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Disk {
    /// Bytes read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "takes no time"))]
    pub read: Option<String>,
    /// Bytes written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "takes no time"))]
    pub write: Option<String>,
    /// Bytes that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "size", "usual" = "unlimited"))]
    pub capacity: Option<String>,
}

/// A host that differs from its group.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HostTable {
    /// `leech[3]`
    pub name: String,
    /// Bytes that it can send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "as its group"))]
    pub up: Option<String>,
    /// Bytes that it can receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "as its group"))]
    pub down: Option<String>,
    /// One-way delay between it and the middle of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration", "usual" = "as its group"))]
    pub latency: Option<String>,
    /// When it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration", "usual" = "as its group"))]
    pub join: Option<String>,
    /// When it goes in order: as for groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "leave", "usual" = "as its group"))]
    pub leave: Option<String>,
    /// How it behaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "behaviour", "usual" = "as its group"))]
    pub behaviour: Option<String>,
}

/// One torrent. Its bytes are computed from the seed, and stored nowhere.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Content {
    /// The torrent's name, and that of its file if `size` is given.
    pub name: String,
    /// The size of its one file. Either this or `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "size"))]
    pub size: Option<String>,
    /// Its files, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileTable>,
    /// Bytes of a piece, from 16 KiB to 16 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "size", "usual" = "as sta-node chooses"))]
    pub piece: Option<String>,
    /// The nodes that take part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "selector", "usual" = "every node"))]
    pub on: Option<String>,
    /// Who starts with how much of it, besides what the roles say: `{ "leech[0..5]" = "30%" }`. Each draws its own pieces,
    /// rounded up to whole ones: 90% of 8 are all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("unit" = "selector = share"))]
    pub initial: BTreeMap<String, String>,
}

/// A file of a torrent, or many.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileTable {
    /// Its path inside the torrent. Several get a number each: `small-0` and so on.
    pub name: String,
    /// Its size; 0 B is allowed.
    #[schemars(extend("unit" = "size"))]
    pub size: String,
    /// How many such files.
    #[serde(default = "one")]
    #[schemars(extend("usual" = "1"))]
    pub count: u32,
}

/// Something that is done to hosts.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Event {
    /// What other keys call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("usual" = "event#N, N from 1"))]
    pub id: Option<String>,
    /// When it begins. Either this or `when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration"))]
    pub at: Option<String>,
    /// It begins as soon as this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "condition"))]
    pub when: Option<String>,
    /// It begins again so long after each beginning; needs `times`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration"))]
    pub every: Option<String>,
    /// How often it begins in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("usual" = "1"))]
    pub times: Option<u32>,
    /// How long it lasts; then it is undone.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration or distribution", "usual" = "until something undoes it"))]
    pub lasts: Option<String>,
    /// What is done.
    #[serde(rename = "do")]
    pub verb: VerbName,
    /// To whom. Who that is, is found when it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "selector", "usual" = "the trackers, for a tracker's verb; must be written for others"))]
    pub on: Option<String>,
    /// The other side of a network fault: of cut, cut-oneway, reset, refuse, clog, hold and flap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "selector", "usual" = "everybody else"))]
    pub against: Option<String>,
    /// What the verb needs to know.
    #[serde(default, skip_serializing_if = "With::is_empty")]
    pub with: With,
}

/// What can be done to hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerbName {
    /// Nothing passes between `on` and `against`: streams stall and resume, connects time out.
    #[default]
    Cut,
    /// Nothing passes from `on` to `against`; the way back stays open.
    CutOneway,
    /// Streams between `on` and `against` break at once; new ones can be opened.
    Reset,
    /// Connects to `on` are refused at once; streams go on.
    Refuse,
    /// Everything between them takes longer by `with.delay`; nothing is lost.
    Clog,
    /// Everything between them waits, and comes in one burst at the end.
    Hold,
    /// `with.up`, `with.down` limit further; `with.latency`, `with.loss` are added.
    Slow,
    /// A cut that comes and goes: half of `with.period` each.
    Flap,
    /// Ends every network fault that touches `on`.
    Heal,
    /// The process dies; the kernel closes its connections. It restarts at the end.
    Crash,
    /// The machine goes silent; peers learn of it by timeout. What was not durable is lost.
    PowerOff,
    /// Starts again what was stopped or left; one that runs is crashed first.
    Restart,
    /// As power-off, and the disk is empty afterwards.
    Wipe,
    /// The process stands still, its connections stay.
    Pause,
    /// Starts a host before its time, or one that left.
    Join,
    /// Stops in order: peers and tracker are told.
    Leave,
    /// `with.share` of the pieces on the disk go bad, one at least.
    CorruptDisk,
    /// Nothing more can be written.
    DiskFull,
    /// The disk reads and writes with `with.read` and `with.write`.
    DiskSlow,
    /// Pieces that are there cannot be read: `with.share` of those held, or `with.pieces`, of all contents or of `with.content`.
    DiskUnreadable,
    /// As power-off, and the last write is there in part.
    TornWrite,
    /// The tracker's process dies; its database stays.
    TrackerDown,
    /// Everything to and from the tracker takes longer by `with.delay`.
    TrackerSlow,
    /// The tracker restarts with an empty database.
    TrackerAmnesia,
    /// Another `with.behaviour` or other `with.engine` knobs. A node that runs is stopped in order and started again, unless it only becomes a
    /// slowloris or is one no more.
    Set,
}

/// What a verb needs to know. Each verb takes its own keys, no others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct With {
    /// clog, tracker-slow: added to each message's delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration or distribution"))]
    pub delay: Option<String>,
    /// slow: bytes sent at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "unchanged"))]
    pub up: Option<String>,
    /// slow: bytes received at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "unchanged"))]
    pub down: Option<String>,
    /// slow: added one-way delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration", "usual" = "unchanged"))]
    pub latency: Option<String>,
    /// slow: added loss, at most 10%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "share", "usual" = "unchanged"))]
    pub loss: Option<String>,
    /// flap: a cut and a gap together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration"))]
    pub period: Option<String>,
    /// corrupt-disk, disk-unreadable: of the pieces held, rounded down to whole ones; one at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "share"))]
    pub share: Option<String>,
    /// disk-unreadable: those held of this range, `"4..8"` or `"3"`, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "range"))]
    pub pieces: Option<String>,
    /// disk-unreadable: of this content only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "text", "usual" = "all of them"))]
    pub content: Option<String>,
    /// disk-slow: bytes read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "unchanged"))]
    pub read: Option<String>,
    /// disk-slow: bytes written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "rate", "usual" = "unchanged"))]
    pub write: Option<String>,
    /// set: as a group's `behaviour`, without churner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "behaviour", "usual" = "unchanged"))]
    pub behaviour: Option<String>,
    /// set: knobs of the engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub engine: BTreeMap<String, toml::Value>,
}

impl With {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A random process that strikes hosts, one at a time or many.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fault {
    /// What is done: a verb that lasts, or `reset`.
    #[serde(rename = "do")]
    pub verb: VerbName,
    /// Whom it may strike, if they run.
    #[schemars(extend("unit" = "selector"))]
    pub on: String,
    /// How many of them each strike is upon: `"one"`, drawn; `"site"`, all that are of the site of one that is drawn; `"all"`.
    #[serde(default, skip_serializing_if = "Strikes::is_usual")]
    #[schemars(extend("usual" = "one"))]
    pub strikes: Strikes,
    /// The wait from one to the next.
    #[schemars(extend("unit" = "duration or distribution"))]
    pub every: String,
    /// How long each lasts. A reset is done at once, and is one of `at-once` for so long.
    #[serde(rename = "for")]
    #[schemars(extend("unit" = "duration or distribution"))]
    pub lasts: String,
    /// So many under way at the same time, at most.
    #[serde(default = "one")]
    #[schemars(extend("usual" = "1"))]
    pub at_once: u32,
    /// So many in all, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("usual" = "unlimited"))]
    pub limit: Option<u32>,
    /// `"last-copy"` spares a host that alone holds a piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("usual" = "nobody"))]
    pub protect: Option<Protect>,
    /// With this chance a seed has the process at all. A run with everything slightly on finds less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "share", "usual" = "100%"))]
    pub chance: Option<String>,
    /// It begins here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration", "usual" = "0s"))]
    pub from: Option<String>,
    /// It ends here, with everything that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration", "usual" = "clock.healed"))]
    pub until: Option<String>,
    /// What the verb needs to know.
    #[serde(default, skip_serializing_if = "With::is_empty")]
    pub with: With,
}

/// Whom a random process strikes at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strikes {
    /// One host.
    #[default]
    One,
    /// All that are of the site of one that is drawn.
    Site,
    /// All.
    All,
}

impl Strikes {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Whom a random process spares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protect {
    /// A host that alone, of those that run, holds a piece.
    LastCopy,
}

/// Something that must hold.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Expect {
    /// What. Each takes its own keys, no others.
    pub that: CheckName,
    /// Of whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "selector", "usual" = "the nodes that start with less than everything; for copies, those that have everything"))]
    pub of: Option<String>,
    /// complete, recovery, registry: how soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration", "usual" = "the deadline"))]
    pub within: Option<String>,
    /// complete: from when `within` counts: `"start"`, `"join"`, `"healed"` or `"event(ID)"`, its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "moment", "usual" = "start"))]
    pub since: Option<String>,
    /// recovery: the id of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// happens: the kind of event, a tag of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The most: see the table of checks for the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "as the check says"))]
    pub at_most: Option<String>,
    /// The least: see the table of checks for the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "as the check says"))]
    pub at_least: Option<String>,
    /// In how many runs of a sweep it must hold: `"90% of runs"`, `"all but 2 runs"`. A run that it does not hold in has not failed.
    /// Not for integrity and manners.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "part of the runs", "usual" = "in each"))]
    pub portion: Option<String>,
    /// What it means if it does not hold: `"fail"`, the run has failed; `"warn"`, it is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("usual" = "fail"))]
    pub severity: Option<Severity>,
}

/// What can be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckName {
    /// `of` have everything `within` so long `since` then. Hosts that are away for good are not asked, unless they were late when they went.
    Complete,
    /// Nothing unverified is stored as done, served, announced or reported complete.
    Integrity,
    /// Payload received in vain (twice, or with the wrong hash) is `at-most` this share of what was needed: `"2%"`. What is
    /// fetched again because a disk lost it was needed again.
    Waste,
    /// The time to the last completion is `at-most` so many times the bound: `"1.25 bounds"`.
    Makespan,
    /// No second has more requests to the trackers: `at-most = "10 per second"`.
    TrackerRequests,
    /// Jain's index of the download rates of `of` is `at-least`: `"80%"`.
    Fairness,
    /// No host that runs and lacks something goes longer without a verified piece: `at-most = "10s"`.
    Stall,
    /// Each of `of` that had something to recover from verifies a piece or is complete `within` so long of the end of the
    /// event `after`.
    Recovery,
    /// `of` together send `at-most` so many copies of what they are the sources of: `"1.1 copies"`.
    Copies,
    /// Nothing unasked is sent, every limit is kept, and nobody honest is banned.
    Manners,
    /// The tracker forgets the dead and remembers the living `within` so long.
    Registry,
    /// A host has `at-most` so many sessions at the same time: `"20 per node"`.
    Connections,
    /// The `event` happens `at-least` or `at-most` so often: `"3 times"`.
    Happens,
}

/// What an expectation that does not hold means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The run has failed.
    Fail,
    /// It is reported, and the run goes on.
    Warn,
}

/// Where a capsule comes from. The rest of a capsule is a scenario like any other.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Capsule {
    /// The program that wrote it, with its version.
    pub version: String,
    /// The scenario that failed.
    pub scenario: String,
    /// Its seed; what still has to be drawn (the engine's ties, for instance) is drawn from it.
    pub seed: u64,
    /// The world it failed in.
    pub world: WorldName,
    /// The check that failed.
    pub failed: String,
    /// When, of whom, and what was seen.
    pub evidence: String,
    /// The hash of the event log, to tell whether a replay was the same.
    pub log_hash: String,
    /// How long the run was. A replay goes on so long at least: what a run waits for may come to nothing, and leave no trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("unit" = "duration"))]
    pub lasted: Option<String>,
    /// The hash of the rest of the file, to tell whether it was edited: then nothing is compared. Without it nothing is, either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_hash: Option<String>,
}

const fn one() -> u32 {
    1
}
