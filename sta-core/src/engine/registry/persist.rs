//! What outlives a tracker: leases, and the changes of them that are to be written down.
//!
//! Changes are gathered for [`limits::PERSIST_INTERVAL`]; a lease that changes a thousand times meanwhile is written
//! once. A crash loses what was gathered, which does not matter: nodes come back and say it again.

use std::net::SocketAddr;

use super::leases::{EntryIx, Leases};
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

/// A change of what is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The lease is new, or other than before.
    Keep(Lease),
    /// The lease has ended.
    Forget {
        /// Which torrent.
        torrent: InfoHash,
        /// Which node.
        node: NodeId,
    },
}

/// The changes since they were last handed out.
#[derive(Debug, Default)]
pub(super) struct Journal {
    dirty: Vec<EntryIx>,
    forgotten: Vec<(InfoHash, NodeId)>,
    due: bool,
}

impl Registry {
    /// The entry is not as it was written down.
    pub(super) fn note(&mut self, entry: EntryIx, now: Time) {
        let held = self.leases.entry_mut(entry);
        if self.config.persist && !held.dirty {
            held.dirty = true;
            self.journal.dirty.push(entry);
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

    /// Everything that changed since the last time, what has ended first: it may have begun anew.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        self.journal.due = false;
        let forgotten = self.journal.forgotten.drain(..);
        let mut changes: Vec<Change> =
            forgotten.map(|(torrent, node)| Change::Forget { torrent, node }).collect();
        for entry in self.journal.dirty.drain(..) {
            // Its place may be empty by now, or another's who is in the list as well.
            if let Some(held) = self.leases.entries.get_mut(entry.0 as usize).filter(|e| e.dirty) {
                held.dirty = false;
                changes.push(Change::Keep(self.leases.lease(entry)));
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
            let node = self.leases.node_named(&lease.node).unwrap_or_else(|| {
                let node = self.leases.add_node(lease.node.clone(), lease.addr);
                self.leases.node_mut(node).lease_end = now + self.config.lease;
                self.arm_node(node);
                node
            });
            if self.leases.entry_of(node, &lease.torrent).is_none() {
                let entry = self.leases.add_entry(lease.torrent, node, lease.pieces);
                self.leases.set_have(entry, lease.have);
                let held = self.leases.entry_mut(entry);
                (held.up, held.down, held.event) = (lease.up, lease.down, lease.event);
                held.stale = Some(Time::FAR_FUTURE);
                taken += 1;
            }
        }
        taken
    }
}

impl Leases {
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
