//! What outlives a tracker: leases, and the changes of them that are to be written down.
//!
//! Changes are gathered for [`limits::PERSIST_INTERVAL`]; a lease that changes a thousand times meanwhile is written
//! once. A crash loses what was gathered, which does not matter: nodes come back and say it again. The pieces of a lease are a
//! quarter of a mebibyte at the most: they are handed out only if they are others, and not all at once.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::leases::{EntryIx, Leases, Via};
use super::{Have, Registry, Timer};
use crate::model::ids::{InfoHash, NodeId};
use crate::model::limits;
use crate::model::time::Time;
use crate::wire::tracker::TransferEvent;

/// A node's part in a torrent, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which torrent.
    pub torrent: InfoHash,
    /// Which node.
    pub node: NodeId,
    /// Where it listens, as observed.
    pub addr: SocketAddr,
    /// Pieces of the torrent.
    pub pieces: u32,
    /// Those it has.
    pub have: Have,
    /// Payload bytes sent.
    pub up: u64,
    /// Payload bytes received.
    pub down: u64,
    /// The last event it has told of.
    pub event: Option<TransferEvent>,
}

/// What changes of a lease while its pieces stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Where the node listens, as observed.
    pub addr: SocketAddr,
    /// Payload bytes sent.
    pub up: u64,
    /// Payload bytes received.
    pub down: u64,
    /// The last event it has told of.
    pub event: Option<TransferEvent>,
}

impl Lease {
    /// These are its counters now.
    pub fn count(&mut self, counters: Counters) {
        let Counters { addr, up, down, event } = counters;
        (self.addr, self.up, self.down, self.event) = (addr, up, down, event);
    }
}

/// A change of what is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The lease is new, or other than before.
    Keep(Lease),
    /// The lease is as before, but for these.
    Counters {
        /// Which torrent.
        torrent: InfoHash,
        /// Which node.
        node: NodeId,
        /// What they are now.
        counters: Counters,
    },
    /// The lease has ended.
    Forget {
        /// Which torrent.
        torrent: InfoHash,
        /// Which node.
        node: NodeId,
    },
}

impl Change {
    /// Makes the change in `leases`, which are all that are written down.
    pub fn apply(self, leases: &mut BTreeMap<(InfoHash, NodeId), Lease>) {
        match self {
            Self::Keep(lease) => {
                leases.insert((lease.torrent, lease.node.clone()), lease);
            }
            Self::Counters { torrent, node, counters } => {
                if let Some(lease) = leases.get_mut(&(torrent, node)) {
                    lease.count(counters);
                }
            }
            Self::Forget { torrent, node } => {
                leases.remove(&(torrent, node));
            }
        }
    }
}

/// The changes since they were last handed out.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Oldest first.
    dirty: VecDeque<EntryIx>,
    forgotten: Vec<(InfoHash, NodeId)>,
    due: bool,
}

impl Registry {
    /// The entry is not as it was written down.
    pub(super) fn note(&mut self, entry: EntryIx, now: Time) {
        let held = self.leases.entry_mut(entry);
        if self.config.persist && !held.dirty {
            held.dirty = true;
            self.journal.dirty.push_back(entry);
            self.flush_soon(now);
        }
    }

    /// The entry of this node in this torrent is no more.
    pub(super) fn note_end(&mut self, torrent: InfoHash, node: NodeId, now: Time) {
        if self.config.persist {
            self.journal.forgotten.push((torrent, node));
            self.flush_soon(now);
        }
    }

    fn flush_soon(&mut self, now: Time) {
        if !std::mem::replace(&mut self.journal.due, true) {
            self.timers.insert((now + limits::PERSIST_INTERVAL, Timer::Flush));
        }
    }

    /// What was due has been handed out; what was left is due later.
    pub(super) fn flush_again(&mut self, now: Time) {
        self.journal.due = false;
        if !self.journal.dirty.is_empty() {
            self.flush_soon(now);
        }
    }

    /// What changed since the last time, what has ended first: it may have begun anew. Once the pieces of leases take `bytes_max`
    /// bytes, the rest waits for the next time.
    pub(super) fn take_changes(&mut self, bytes_max: u64) -> Vec<Change> {
        let forgotten = self.journal.forgotten.drain(..);
        let mut changes: Vec<Change> =
            forgotten.map(|(torrent, node)| Change::Forget { torrent, node }).collect();
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(entry) = self.journal.dirty.pop_front()
        {
            // Its place may be empty by now, or another's who is in the list as well.
            let Some(held) = self.leases.entries.get_mut(entry.0 as usize).filter(|e| e.dirty)
            else {
                continue;
            };
            held.dirty = false;
            if std::mem::take(&mut held.have_dirty) {
                bytes += held.have.bytes();
                changes.push(Change::Keep(self.leases.lease(entry)));
            } else {
                changes.push(self.leases.counters(entry));
            }
        }
        changes
    }

    /// Takes leases back that an earlier life wrote down, for one lease's time: whoever has not come back by then is
    /// forgotten. Those that cannot be are left out. Returns how many were taken.
    ///
    /// Until a node comes back it is named to others as a second choice, after those whose connection stands.
    pub fn restore(&mut self, leases: Vec<Lease>, now: Time) -> u32 {
        let mut taken = 0;
        for lease in leases {
            let fits = match &lease.have {
                Have::Some(bits) => bits.len() == lease.pieces,
                Have::None | Have::All => lease.pieces <= limits::PIECES_MAX,
            };
            if !fits || lease.addr.port() == 0 || self.leases.entries.len() >= limits::LEASES_MAX {
                continue;
            }
            let node = self.leases.node_named(&lease.node, Via::UNKNOWN).unwrap_or_else(|| {
                let node = self.leases.add_node(lease.node.clone(), Via::UNKNOWN, lease.addr);
                self.leases.node_mut(node).lease_end = now + self.config.lease;
                self.arm_node(node);
                node
            });
            if self.leases.entry_of(node, &lease.torrent).is_none() {
                let entry = self.leases.add_entry(lease.torrent, node, lease.pieces);
                self.leases.set_have(entry, lease.have);
                let held = self.leases.entry_mut(entry);
                (held.up, held.down, held.event) = (lease.up, lease.down, lease.event);
                (held.stale, held.have_dirty) = (Some(Time::FAR_FUTURE), false);
                taken += 1;
            }
        }
        taken
    }
}

impl Leases {
    fn counters(&self, entry: EntryIx) -> Change {
        let held = self.entry(entry);
        let node = self.node(held.node);
        Change::Counters {
            torrent: self.torrent(held.torrent).info_hash,
            node: node.id.clone(),
            counters: Counters { addr: node.addr, up: held.up, down: held.down, event: held.event },
        }
    }

    fn lease(&self, entry: EntryIx) -> Lease {
        let held = self.entry(entry);
        let node = self.node(held.node);
        Lease {
            torrent: self.torrent(held.torrent).info_hash,
            node: node.id.clone(),
            addr: node.addr,
            pieces: held.pieces,
            have: held.have.clone(),
            up: held.up,
            down: held.down,
            event: held.event,
        }
    }
}
