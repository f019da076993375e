//! The tracker's state: which node has which pieces of which torrent, for as long as its lease runs.
//!
//! It knows connections by the numbers its shell gives them. A node is what said `hello` on a connection; its address is
//! the connection's with the port it said. It decides who is told of whom (`registry/graph.rs`), when a silent node is
//! forgotten (`registry/nodes.rs`), and what is written down (`registry/persist.rs`); the tables are in `registry/leases.rs`.
//!
//! Invariants: a node has at most one connection, and a connection that breaks a rule is closed without disturbing any
//! other. A node's lease is renewed by whatever it says and by nothing else. Every entry ends by a `leave`, or when the
//! lease of its node runs out.

mod graph;
mod have;
mod leases;
mod nodes;
mod persist;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
pub use have::Have;
pub use persist::{Change, Counters, Lease};

use crate::model::address::Address;
use crate::model::event::Event;
use crate::model::ids::InfoHash;
use crate::model::limits;
use crate::model::rng::{Rng, Seed};
use crate::model::time::Time;
use crate::wire::tracker::{FromTracker, StatusRow, ToTracker};
use leases::{EntryIx, Leases, NodeIx, TorrentIx, Via};
use persist::Journal;

/// A connection, as its shell calls it. Never used for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What happens to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody has connected.
    Opened {
        /// The connection.
        conn: ConnId,
        /// The client's address, as observed.
        remote: SocketAddr,
        /// The address by which it reached the tracker.
        local: SocketAddr,
    },
    /// A client says something.
    Message {
        /// On which connection.
        conn: ConnId,
        /// What.
        message: ToTracker,
    },
    /// A connection has ended, or was dropped by the shell.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// [`Registry::deadline`] has come.
    Tick,
    /// The tracker stops: what is not yet written down is handed out.
    Stop,
}

/// What a registry wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send {
        /// On which connection.
        conn: ConnId,
        /// What.
        message: FromTracker,
    },
    /// Close a connection, once what was sent on it is out. Nothing more of it is of interest.
    Close {
        /// Which.
        conn: ConnId,
        /// The reason, for a log.
        why: String,
    },
    /// Write these changes down, in this order.
    Persist(Vec<Change>),
    /// Something that an observer may want to know.
    Event(Event),
}

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct RegistryConfig {
    /// A node that is silent for longer is forgotten; brought into [`limits::LEASE_MIN`] to [`limits::LEASE_MAX`].
    pub lease: Duration,
    /// Whether changes are to be handed out.
    pub persist: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Registry {
    config: RegistryConfig,
    conns: BTreeMap<ConnId, Conn>,
    /// Those that have not said hello.
    strangers: BTreeSet<ConnId>,
    connections_max: usize,
    leases: Leases,
    rng: Rng,
    timers: BTreeSet<(Time, Timer)>,
    /// Entries that have just lost neighbours.
    weak: Vec<EntryIx>,
    journal: Journal,
    /// `.torrent` files to hand out.
    torrents: BTreeMap<InfoHash, Bytes>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Conn {
    remote: SocketAddr,
    local: IpAddr,
    node: Option<NodeIx>,
    /// While it has no node: when it is closed.
    due: Time,
    timer_at: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A connection without a node may have been silent for too long.
    Conn(ConnId),
    /// A node's lease may have run out.
    Node(NodeIx),
    /// A torrent's graph is to be walked.
    Audit(TorrentIx),
    /// A torrent's graph is to be levelled.
    Level(TorrentIx),
    /// Changes are to be written down.
    Flush,
}

/// Why a message is not taken, for the client to read. Its connection is closed.
type Refused = String;

impl Registry {
    /// An empty registry, whose choices are drawn from `seed`.
    #[must_use]
    pub fn new(config: RegistryConfig, seed: Seed) -> Self {
        let lease = config.lease.clamp(limits::LEASE_MIN, limits::LEASE_MAX);
        Self {
            config: RegistryConfig { lease, ..config },
            conns: BTreeMap::new(),
            strangers: BTreeSet::new(),
            connections_max: limits::TRACKER_CONNECTIONS_MAX,
            leases: Leases::default(),
            rng: seed.stream("registry"),
            timers: BTreeSet::new(),
            weak: Vec::new(),
            journal: Journal::default(),
            torrents: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What is to be done next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to give [`Input::Tick`], if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// How many leases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.entries.len()
    }

    /// Whether there is no lease.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.entries.is_empty()
    }

    /// Who has how much of what, of one torrent or of all.
    pub fn status(&self, torrent: Option<InfoHash>) -> impl Iterator<Item = StatusRow> {
        self.leases.entries_of(torrent).map(|entry| self.row(entry))
    }

    /// From now on hands out `metainfo`, the `.torrent` file of `torrent`, to whoever asks.
    pub fn publish(&mut self, torrent: InfoHash, metainfo: Bytes) {
        self.torrents.insert(torrent, metainfo);
    }

    /// From now on takes so many connections; [`limits::TRACKER_CONNECTIONS_MAX`] unless told.
    pub const fn limit_connections(&mut self, max: usize) {
        self.connections_max = max;
    }

    /// Whether there is room for another connection, if need be in the place of one that has not said hello.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.conns.len() < self.connections_max || !self.strangers.is_empty()
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Time) {
        match input {
            Input::Opened { conn, remote, local } => self.opened(conn, remote, local, now),
            Input::Message { conn, message } => {
                if let Err(why) = self.message(conn, message, now) {
                    self.refuse(conn, why);
                }
            }
            Input::Closed { conn } => self.forget_conn(conn),
            Input::Tick => self.tick(now),
            Input::Stop => self.flush(u64::MAX),
        }
        self.repair();
    }

    fn opened(&mut self, conn: ConnId, remote: SocketAddr, local: SocketAddr, now: Time) {
        if self.conns.len() >= self.connections_max {
            let why = "this tracker has no room for more connections; try again later".to_owned();
            // Connections cost nothing, and whoever has many says nothing on most of them.
            let Some(oldest) = self.strangers.first().copied() else {
                return self.refuse(conn, why);
            };
            self.refuse(oldest, why);
        }
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let due = now + limits::HANDSHAKE_TIMEOUT;
        self.timers.insert((due, Timer::Conn(conn)));
        let local = local.ip().to_canonical();
        self.strangers.insert(conn);
        self.conns.insert(conn, Conn { remote, local, node: None, due, timer_at: due });
    }

    fn message(&mut self, conn: ConnId, message: ToTracker, now: Time) -> Result<(), Refused> {
        let Some(client) = self.conns.get_mut(&conn) else { return Ok(()) };
        let Some(node) = client.node else {
            if message != ToTracker::Unknown {
                client.due = now + self.config.lease;
            }
            return match message {
                ToTracker::Hello { node, port, site, via, .. } => {
                    self.hello(conn, (node, Via::of(via.as_ref())), port, site, now)
                }
                ToTracker::Status { torrent } => {
                    self.answer_status(conn, torrent);
                    Ok(())
                }
                ToTracker::Torrent { torrent, at } => self.answer_torrent(conn, torrent, at),
                ToTracker::Unknown => Ok(()),
                _ => Err("say hello first".to_owned()),
            };
        };
        self.leases.node_mut(node).lease_end = now + self.config.lease;
        match message {
            ToTracker::Hello { .. } => return Err("hello is said once".to_owned()),
            ToTracker::Join { torrent, pieces, have, want } => {
                return self.join(node, torrent, pieces, have, want, now);
            }
            ToTracker::Have { torrent, p } => {
                if let Some(entry) = self.leases.entry_of(node, &torrent) {
                    return self.have(entry, p, now);
                }
            }
            ToTracker::Want { torrent, n } => {
                if let Some(entry) = self.leases.entry_of(node, &torrent) {
                    self.more(entry, n.min(limits::PEERS_PER_TORRENT_MAX as u32) as usize, now);
                }
            }
            ToTracker::Stats { torrent, up, down, event } => {
                if let Some(entry) = self.leases.entry_of(node, &torrent) {
                    self.stats(entry, up, down, event, now);
                }
            }
            ToTracker::Leave { torrent } => {
                if let Some(entry) = self.leases.entry_of(node, &torrent) {
                    self.end(entry, false, now);
                }
            }
            ToTracker::Ping => {
                self.outputs.push_back(Output::Send { conn, message: FromTracker::Pong });
            }
            ToTracker::Status { torrent } => self.answer_status(conn, torrent),
            ToTracker::Torrent { torrent, at } => return self.answer_torrent(conn, torrent, at),
            ToTracker::Unknown => {}
        }
        Ok(())
    }

    fn answer_torrent(&mut self, conn: ConnId, torrent: InfoHash, at: u64) -> Result<(), Refused> {
        let Some(bytes) = self.torrents.get(&torrent) else {
            return Err(format!(
                "this tracker has no .torrent file of {torrent}; get it another way"
            ));
        };
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let end = bytes.len().min(start.saturating_add(limits::TORRENT_CHUNK_BYTES));
        let (total, data) = (bytes.len() as u64, BASE64.encode(&bytes[start..end]));
        let message = FromTracker::Torrent { torrent, at, total, data };
        self.outputs.push_back(Output::Send { conn, message });
        Ok(())
    }

    fn refuse(&mut self, conn: ConnId, why: Refused) {
        let message = FromTracker::Error { why: why.clone() };
        self.outputs.push_back(Output::Send { conn, message });
        self.outputs.push_back(Output::Close { conn, why });
        self.forget_conn(conn);
    }

    fn tick(&mut self, now: Time) {
        while let Some((at, timer)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Conn(conn) => self.conn_due(conn, now),
                Timer::Node(node) => self.node_due(node, now),
                Timer::Audit(torrent) => self.audit(torrent, now),
                Timer::Level(torrent) => self.level(torrent),
                Timer::Flush => {
                    self.flush(limits::PERSIST_BITS_BYTES);
                    self.flush_again(now);
                }
            }
        }
    }

    fn conn_due(&mut self, conn: ConnId, now: Time) {
        let Some(client) = self.conns.get_mut(&conn) else { return };
        if client.due > now {
            client.timer_at = client.due;
            self.timers.insert((client.due, Timer::Conn(conn)));
        } else {
            self.conns.remove(&conn);
            self.strangers.remove(&conn);
            let why = "it has nothing to say".to_owned();
            self.outputs.push_back(Output::Close { conn, why });
        }
    }

    fn flush(&mut self, bytes_max: u64) {
        let changes = self.take_changes(bytes_max);
        if !changes.is_empty() {
            self.outputs.push_back(Output::Persist(changes));
        }
    }

    fn answer_status(&mut self, conn: ConnId, torrent: Option<InfoHash>) {
        let mut rows: Vec<StatusRow> =
            self.status(torrent).take(limits::STATUS_ROWS_MAX + 1).collect();
        if rows.len() > limits::STATUS_ROWS_MAX {
            let why = format!(
                "more leases than one answer holds ({}); ask for one torrent",
                limits::STATUS_ROWS_MAX
            );
            self.outputs.push_back(Output::Send { conn, message: FromTracker::Error { why } });
            return;
        }
        loop {
            let rest = rows.split_off(rows.len().min(limits::STATUS_ROWS_PER_MESSAGE));
            let more = !rest.is_empty();
            let message = FromTracker::Status { more, rows };
            self.outputs.push_back(Output::Send { conn, message });
            if !more {
                return;
            }
            rows = rest;
        }
    }

    fn row(&self, entry: EntryIx) -> StatusRow {
        let held = self.leases.entry(entry);
        let node = self.leases.node(held.node);
        StatusRow {
            torrent: self.leases.torrent(held.torrent).info_hash,
            node: node.id.clone(),
            addr: Address::from(node.addr),
            have: held.have.count(held.pieces),
            pieces: held.pieces,
            up: held.up,
            down: held.down,
            online: self.leases.is_online(entry),
            event: held.event,
        }
    }
}

#[cfg(test)]
mod tests;
