//! What runs on a host of the stage: the shipped node or the shipped tracker, on what outlives its process.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sta_core::io::clock::Clock;
use sta_core::io::lease_store::{LeaseStore, MemoryLeases};
use sta_core::model::address::Address;
use sta_core::model::bitfield::{Bitfield, collect_ranges};
use sta_core::model::config::{EngineConfig, NodeConfig, TrackerConfig};
use sta_core::model::ids::NodeId;
use sta_core::model::limits;
use sta_core::model::rng::Seed;
use sta_core::run::node::{NodeEnv, TorrentSpec};
use sta_core::run::tracker::TrackerEnv;
use sta_core::run::{node, tracker};
use tokio::sync::mpsc;

use super::behaviour::{claims_of, engine_of, store_of};
use super::content::Content;
use super::sim_disk::Disk;
use super::sim_store::SimStore;
use super::stage::HostCx;
use super::tap::Tapped;
use super::watcher::Watcher;
use crate::runlog::Note;
use crate::scenario::driver::DiskState;
use crate::scenario::plan::{Behaviour, ContentIx, DiskPlan, HostIx, HostPlan, Plan, Role};

/// A host's machine: what outlives its process.
pub struct Machine {
    /// Its disk.
    pub disk: Arc<Disk>,
    /// What lies on it.
    pub stores: Vec<(ContentIx, Arc<SimStore>)>,
    /// A tracker's database.
    pub leases: Arc<MemoryLeases>,
    /// Frames that its tracker has received and nobody has noted.
    pub frames: Arc<AtomicU32>,
    /// Whether the process has stopped in order, and its kernel may close up.
    pub stopped: AtomicBool,
    settings: Mutex<Settings>,
    starts: AtomicU32,
}

/// What the world sets between two starts of a machine's process, or while it runs.
pub struct Settings {
    /// How it behaves at its next start.
    pub behaviour: Behaviour,
    /// Its knobs at its next start.
    pub engine: EngineConfig,
    /// Stops the process in order, be it that it is only about to start.
    pub stop: Option<mpsc::UnboundedSender<()>>,
    /// Where the process that is about to start hears of that.
    stopping: Option<mpsc::UnboundedReceiver<()>>,
}

/// What every process of a run shares.
pub struct Shared {
    /// The run.
    pub plan: Arc<Plan>,
    /// The torrents.
    pub contents: Vec<Arc<Content>>,
    /// Who watches.
    pub watcher: Watcher,
    /// Where the trackers listen.
    pub trackers: Vec<Address>,
}

impl Machine {
    /// A machine as `plan` has it at the start.
    #[must_use]
    pub fn new(plan: &HostPlan, contents: &[Arc<Content>]) -> Self {
        let DiskPlan { read, write, capacity } = plan.disk;
        let disk = Arc::new(Disk::new(DiskState { read, write, full: false }, capacity));
        let stores = plan.takes.iter().map(|take| {
            let content = Arc::clone(&contents[take.content]);
            let store = SimStore::new(plan.id.as_str(), content, Arc::clone(&disk));
            let pieces = take.have.iter().flat_map(|range| range.0..=range.1);
            pieces.for_each(|piece| store.seed(piece));
            (take.content, Arc::new(store))
        });
        let behaviour = plan.behaviour.of_process();
        Self {
            stores: stores.collect(),
            disk,
            leases: Arc::default(),
            frames: Arc::default(),
            stopped: AtomicBool::new(false),
            settings: Mutex::new(Settings {
                behaviour,
                engine: plan.engine.clone(),
                stop: None,
                stopping: None,
            }),
            starts: AtomicU32::new(0),
        }
    }

    /// Its process is about to start, and can be told to stop from now on.
    pub fn will_start(&self) {
        let (stop, stopping) = mpsc::unbounded_channel();
        let mut settings = self.settings();
        (settings.stop, settings.stopping) = (Some(stop), Some(stopping));
        self.stopped.store(false, Ordering::Release);
    }

    /// What it is set to, locked.
    pub fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process of `host`, from its start until it is told to stop.
pub async fn run(cx: HostCx, host: HostIx, machine: Arc<Machine>, shared: Arc<Shared>) {
    let plan = &shared.plan.hosts[host];
    let start = machine.starts.fetch_add(1, Ordering::Relaxed);
    let Some(stopping) = machine.settings().stopping.take() else { return };
    let seed = Seed(shared.plan.seed).child(&format!("host/{}/start/{start}", plan.name));
    match plan.role {
        Role::Tracker => run_tracker(cx, &plan.id, &machine, &shared, seed, stopping).await,
        Role::Node => run_node(cx, host, &machine, &shared, seed, stopping).await,
    }
    machine.stopped.store(true, Ordering::Release);
}

async fn run_tracker(
    cx: HostCx,
    id: &NodeId,
    machine: &Machine,
    shared: &Shared,
    seed: Seed,
    mut stopping: mpsc::UnboundedReceiver<()>,
) {
    let env = TrackerEnv {
        transport: Arc::new(Tapped::new(cx.transport, Arc::clone(&machine.frames))),
        clock: cx.clock,
        observer: Arc::new(shared.watcher.clone()),
        seed,
        store: Some(Arc::clone(&machine.leases) as Arc<dyn LeaseStore>),
    };
    let config = TrackerConfig { id: id.clone(), listen: cx.listen, lease: limits::LEASE_DEFAULT };
    let tracker = tracker::start(env, config).await.expect("nobody else listens on this host");
    let _ = stopping.recv().await;
    tracker.stop().await;
}

async fn run_node(
    cx: HostCx,
    host: HostIx,
    machine: &Machine,
    shared: &Shared,
    seed: Seed,
    mut stopping: mpsc::UnboundedReceiver<()>,
) {
    let id = shared.plan.hosts[host].id.clone();
    let (behaviour, engine) = {
        let settings = machine.settings();
        (settings.behaviour, engine_of(settings.behaviour, &settings.engine))
    };
    let env = NodeEnv {
        transport: cx.transport,
        clock: Arc::clone(&cx.clock) as Arc<dyn Clock>,
        observer: Arc::new(shared.watcher.clone()),
        seed: seed.child("node"),
        disk_threads: 0,
    };
    let config = NodeConfig { id, listen: cx.listen, engine };
    let node = node::start(env, config).await.expect("nobody else listens on this host");
    machine.disk.restart(cx.clock.clone());
    for (content, store) in &machine.stores {
        let found = store.found();
        shared.watcher.seen().found(host, *content, found.clone());
        let have = claims_of(behaviour, &found, seed);
        note_disk(shared, host, *content, &have, &found, cx.clock.now());
        node.add(TorrentSpec {
            info_hash: shared.contents[*content].info_hash(),
            trackers: shared.trackers.clone(),
            peers: Vec::new(),
            fetch: true,
            store: store_of(behaviour, store, seed),
            have,
        });
    }
    let _ = stopping.recv().await;
    node.stop().await;
}

/// Writes down which pieces of a store cannot be read.
pub fn note_unreadable(
    shared: &Shared,
    host: HostIx,
    content: ContentIx,
    store: &SimStore,
    now: sta_core::model::time::Time,
) {
    let who = shared.plan.hosts[host].id.clone();
    let torrent = shared.contents[content].info_hash();
    let pieces = store.unreadable().ranges();
    shared.watcher.recorder().note(now, Note::Unreadable { who, torrent, pieces });
}

/// Writes down what a node claims of a disk, if it claims anything, and what of that is not so.
pub fn note_disk(
    shared: &Shared,
    host: HostIx,
    content: ContentIx,
    claimed: &Bitfield,
    intact: &Bitfield,
    now: sta_core::model::time::Time,
) {
    if claimed.is_empty() {
        return;
    }
    let wrong = collect_ranges(claimed.iter().filter(|piece| !intact.contains(*piece)));
    let who = shared.plan.hosts[host].id.clone();
    let torrent = shared.contents[content].info_hash();
    let note = Note::Disk { who, torrent, claimed: claimed.ranges(), wrong };
    shared.watcher.recorder().note(now, note);
}
