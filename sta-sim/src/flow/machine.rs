//! One host: its disk, its place in the network, and the process that runs on it, if one does.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sta_core::engine::interface::{ConnId, Input, Torrent};
use sta_core::engine::node::Node;
use sta_core::engine::registry::{self, Registry, RegistryConfig};
use sta_core::io::lease_store::{LeaseStore, MemoryLeases};
use sta_core::model::address::Address;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::config::EngineConfig;
use sta_core::model::ids::NodeId;
use sta_core::model::layout::Block;
use sta_core::model::limits;
use sta_core::model::rng::{Rng, Seed};
use sta_core::model::time::Time;

use super::cluster::Chore;
use super::disk::{Disk, Kept};
use super::net::{ConnIx, HostIx, Side};
use crate::scenario::driver::DiskState;
use crate::scenario::plan::{Behaviour, HostPlan, Role};
use crate::world::behaviour::{claims_of, engine_of};

/// Where every process listens. Hosts differ by their addresses.
const PORT: u16 = 6_881;
/// The network that the hosts are in, 10.0.0.0/8: up to 16 million.
const FIRST_ADDRESS: u32 = 10 << 24;

/// The address of a host, and its process'.
#[must_use]
pub(super) fn address(host: HostIx) -> SocketAddr {
    let ip = Ipv4Addr::from(FIRST_ADDRESS + 1 + host);
    SocketAddr::new(IpAddr::V4(ip), PORT)
}

/// The host with this address, of `hosts`.
#[must_use]
pub(super) fn host_at(address: &Address, hosts: usize) -> Option<HostIx> {
    let SocketAddr::V4(addr) = address.socket_addr()? else { return None };
    let host = u32::from(*addr.ip()).checked_sub(FIRST_ADDRESS + 1)?;
    (addr.port() == PORT && (host as usize) < hosts).then_some(host)
}

/// A host.
#[derive(Debug)]
pub(super) struct Machine {
    pub id: NodeId,
    pub role: Role,
    pub disk: Disk<Chore>,
    pub engine: EngineConfig,
    pub behaviour: Behaviour,
    pub process: Option<Process>,
    /// When the process is to be woken; never, while none runs.
    pub wake: Time,
    /// Which process this is, of those that ran here: what is meant for an earlier one is void.
    pub life: u32,
    /// The process stands still: what it is told waits.
    pub paused: bool,
    pub backlog: VecDeque<Told>,
    /// The machine was switched off, and its old connections have not been answered since.
    pub was_off: bool,
    /// What draws the delay of what it sends, and which of its blocks are wrong.
    pub rng: Rng,
    /// What a tracker has written down.
    pub database: MemoryLeases,
    seed: Seed,
}

/// What a process is told.
#[derive(Debug)]
pub(super) enum Told {
    Node(Input),
    /// A block has come, and whether its bytes are wrong.
    Block {
        conn: ConnId,
        id: u64,
        block: Block,
        wrong: bool,
    },
    Tracker(registry::Input),
}

/// What runs.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one per host, and nearly all are nodes")]
pub(super) enum Process {
    Node(NodeProcess),
    Tracker(Registry),
}

/// A node, and its names for connections.
#[derive(Debug)]
pub(super) struct NodeProcess {
    pub node: Node,
    /// By the node's number: what it has dialled; `None` if nobody has the address. What it has accepted it knows by the
    /// connection's own.
    pub dialled: Vec<Option<ConnIx>>,
    pub trackers: BTreeMap<Address, ConnIx>,
}

impl NodeProcess {
    /// The connection that the node knows as `conn`, and which end of it is here.
    pub(super) fn conn(&self, conn: ConnId) -> Option<(ConnIx, Side)> {
        if conn.is_accepted() {
            return Some((conn.number(), 1));
        }
        Some(((*self.dialled.get(conn.number() as usize)?)?, 0))
    }
}

impl Machine {
    /// A host as planned. Nothing runs yet, and its disk is empty.
    pub(super) fn new(plan: &HostPlan, seed: Seed) -> Self {
        let state = DiskState { read: plan.disk.read, write: plan.disk.write, full: false };
        Self {
            id: plan.id.clone(),
            role: plan.role,
            disk: Disk::new(state, plan.disk.capacity),
            engine: plan.engine.clone(),
            behaviour: plan.behaviour.of_process(),
            process: None,
            wake: Time::FAR_FUTURE,
            life: 0,
            paused: false,
            backlog: VecDeque::new(),
            was_off: false,
            rng: seed.stream(&format!("link/{}", plan.id)),
            database: MemoryLeases::default(),
            seed: seed.child(&format!("node/{}", plan.id)),
        }
    }

    /// Starts the process, which is to take part in `torrents`.
    pub(super) fn start(&mut self, torrents: Vec<Torrent>, now: Time) -> u32 {
        self.life += 1;
        let seed = self.seed.child(&format!("life/{}", self.life));
        let (process, restored) = match self.role {
            Role::Node => {
                let mut node =
                    Node::new(self.id.clone(), PORT, engine_of(self.behaviour, &self.engine), seed);
                torrents
                    .into_iter()
                    .for_each(|torrent| node.handle(Input::Add(Box::new(torrent)), now));
                let (dialled, trackers) = (Vec::new(), BTreeMap::new());
                (Process::Node(NodeProcess { node, dialled, trackers }), 0)
            }
            Role::Tracker => {
                let config = RegistryConfig { lease: limits::LEASE_DEFAULT, persist: true };
                let mut registry = Registry::new(config, seed);
                let leases = self.database.load().expect("memory does not fail");
                let restored = registry.restore(leases, now);
                (Process::Tracker(registry), restored)
            }
        };
        self.process = Some(process);
        restored
    }

    /// What the node says it has of a content.
    pub(super) fn claims(&self, kept: &Kept) -> Bitfield {
        claims_of(self.behaviour, &kept.have, self.seed)
    }

    /// The process is gone.
    pub(super) fn stop(&mut self) {
        self.process = None;
        self.paused = false;
        self.backlog.clear();
    }

    /// Nothing is left of what was written.
    pub(super) fn empty_disk(&mut self) {
        self.disk.empty();
        self.database.wipe();
    }

    /// When the process wants to be woken; never while it stands still.
    pub(super) fn deadline(&self) -> Time {
        match &self.process {
            Some(_) if self.paused => Time::FAR_FUTURE,
            Some(Process::Node(process)) => process.node.deadline(),
            Some(Process::Tracker(registry)) => registry.deadline().unwrap_or(Time::FAR_FUTURE),
            None => Time::FAR_FUTURE,
        }
    }
}
