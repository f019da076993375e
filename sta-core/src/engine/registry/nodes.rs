//! What nodes do: come and come back, join, say what they have, leave, fall silent.
//!
//! The rules a client must keep are checked here; whoever breaks one gets the reason, and its connection is closed.

use std::net::SocketAddr;
use std::time::Duration;

use super::leases::{EntryIx, NodeIx, Via};
use super::{ConnId, Have, Output, Refused, Registry, Timer};
use crate::model::bitfield::PieceRange;
use crate::model::event::Event;
use crate::model::ids::{InfoHash, NodeId, Site};
use crate::model::limits;
use crate::model::time::Time;
use crate::wire::peer::VERSION;
use crate::wire::tracker::{FromTracker, TransferEvent};

/// A node whose connection was closed, and that lives, is back within this time.
const BACK_SOON: Duration = Duration::from_mins(1);

fn in_use(id: &NodeId, at: SocketAddr) -> Refused {
    format!("the node id {id} is in use by {at}; choose another")
}

impl Registry {
    pub(super) fn hello(
        &mut self,
        conn: ConnId,
        (id, via): (NodeId, Via),
        port: u16,
        site: Site,
        now: Time,
    ) -> Result<(), Refused> {
        let Some(client) = self.conns.get(&conn) else { return Ok(()) };
        let (timer_at, ip) = (client.timer_at, client.remote.ip());
        if port == 0 {
            return Err("port 0 is nowhere; say where you listen".to_owned());
        }
        let addr = SocketAddr::new(ip, port);
        let node = match self.leases.node_named(&id, via) {
            Some(known) if self.leases.node(known).addr.ip() == ip => {
                self.send_twin_away(known, addr, now)?;
                self.returned(known, addr, now);
                known
            }
            Some(known) if self.leases.node(known).conn.is_some() => {
                return Err(in_use(&id, self.leases.node(known).addr));
            }
            moved => {
                if let Some(old) = moved {
                    self.end_node(old, now);
                }
                self.leases.add_node(id, via, addr)
            }
        };
        let alone = self.leases.stands(node, site);
        if !alone.is_empty() {
            // It may have held two parts together.
            for (_, entry) in self.leases.node(node).entries.clone() {
                self.audit_later(self.leases.entry(entry).torrent, now);
            }
        }
        self.weak.extend(alone);
        self.timers.remove(&(timer_at, Timer::Conn(conn)));
        self.strangers.remove(&conn);
        if let Some(client) = self.conns.get_mut(&conn) {
            client.node = Some(node);
        }
        let held = self.leases.node_mut(node);
        (held.conn, held.lease_end) = (Some(conn), now + self.config.lease);
        self.arm_node(node);
        let lease = self.config.lease.as_secs() as u32;
        let message = FromTracker::Welcome { v: VERSION, lease };
        self.outputs.push_back(Output::Send { conn, message });
        Ok(())
    }

    /// A node comes from a host that is known by its name. Nearly always it is the same, and its old connection is dead. But if who was
    /// displaced comes again from where it listened, both live: the later has to go, and is not let in while the other is there.
    fn send_twin_away(&mut self, node: NodeIx, addr: SocketAddr, now: Time) -> Result<(), Refused> {
        let lease = self.config.lease;
        let held = self.leases.node_mut(node);
        // The holder's connection may break for a moment; then it is back soon.
        let lives = held.conn.is_some() || held.lease_end + BACK_SOON > now + lease;
        if lives && held.twin == Some(addr) {
            return Err(in_use(&held.id, held.addr));
        }
        let Some(holder) = held.conn else { return Ok(()) };
        let back = |(at, since): &(SocketAddr, Time)| *at == addr && now.since(*since) < BACK_SOON;
        if held.displaced.take_if(|displaced| back(displaced)).is_some() {
            (held.twin, held.conn) = (Some(held.addr), None);
            let why = in_use(&held.id, addr);
            self.conns.remove(&holder);
            let message = FromTracker::Error { why: why.clone() };
            self.outputs.push_back(Output::Send { conn: holder, message });
            self.outputs.push_back(Output::Close { conn: holder, why });
        }
        Ok(())
    }

    /// A known node is back on a new connection. What it had joined stays until its old lease ends; by then it has
    /// joined again or has dropped it.
    fn returned(&mut self, node: NodeIx, addr: SocketAddr, now: Time) {
        if let Some(old) = self.leases.node_mut(node).conn.take() {
            self.conns.remove(&old);
            let why = "the node has a newer connection".to_owned();
            self.outputs.push_back(Output::Close { conn: old, why });
            let held = self.leases.node_mut(node);
            if held.addr != addr {
                held.displaced = Some((held.addr, now));
            }
        }
        let held = self.leases.node_mut(node);
        held.addr = addr;
        held.twin.take_if(|twin| *twin == addr);
        let until = held.lease_end.max(now + limits::HANDSHAKE_TIMEOUT);
        for (_, entry) in held.entries.clone() {
            let stale = &mut self.leases.entry_mut(entry).stale;
            // What was not joined again on the connection before has waited since then.
            *stale = Some(stale.map_or(until, |end| end.min(until)));
        }
    }

    pub(super) fn join(
        &mut self,
        node: NodeIx,
        torrent: InfoHash,
        pieces: u32,
        mut have: Vec<PieceRange>,
        want: u32,
        now: Time,
    ) -> Result<(), Refused> {
        check_ranges(&have)?;
        if pieces > limits::PIECES_MAX {
            return Err(format!("{pieces} pieces are more than {}", limits::PIECES_MAX));
        }
        let mut known = self.leases.entry_of(node, &torrent);
        if let Some(entry) = known.filter(|e| self.leases.entry(*e).pieces != pieces) {
            self.end(entry, false, now);
            known = None;
        }
        let have = Have::new(pieces, &mut have);
        let entry = if let Some(entry) = known {
            entry
        } else {
            self.check_room(node, pieces)?;
            // It may have been known by another name, or by none that was written down.
            let id = self.leases.node(node).id.clone();
            for other in self.leases.entries_of_all(&id, &torrent) {
                if self.leases.entry(other).stale.is_some() {
                    self.end(other, false, now);
                }
            }
            self.leases.add_entry(torrent, node, pieces)
        };
        let held = self.leases.entry_mut(entry);
        held.want = want.min(limits::PEERS_PER_TORRENT_MAX as u32);
        let back = held.stale.take().is_some();
        self.leases.set_have(entry, have);
        if back || known.is_none() {
            let node = self.leases.node(node).id.clone();
            self.outputs.push_back(Output::Event(Event::LeaseGranted { torrent, node }));
        }
        self.note(entry, now);
        self.welcome(entry, now);
        Ok(())
    }

    /// Whether the node may register one more torrent.
    fn check_room(&self, node: NodeIx, pieces: u32) -> Result<(), Refused> {
        let node = self.leases.node(node);
        if node.entries.len() >= limits::TORRENTS_PER_NODE_MAX {
            return Err(format!("more than {} torrents", limits::TORRENTS_PER_NODE_MAX));
        }
        if node.pieces + u64::from(pieces) > limits::PIECES_PER_NODE_MAX {
            return Err(format!("more than {} pieces in all", limits::PIECES_PER_NODE_MAX));
        }
        if self.leases.entries.len() >= limits::LEASES_MAX {
            return Err(format!("this tracker is full: it holds {} leases", limits::LEASES_MAX));
        }
        Ok(())
    }

    pub(super) fn have(
        &mut self,
        entry: EntryIx,
        mut ranges: Vec<PieceRange>,
        now: Time,
    ) -> Result<(), Refused> {
        check_ranges(&ranges)?;
        if self.leases.add_have(entry, &mut ranges) {
            self.note(entry, now);
        }
        Ok(())
    }

    pub(super) fn stats(
        &mut self,
        entry: EntryIx,
        up: u64,
        down: u64,
        event: Option<TransferEvent>,
        now: Time,
    ) {
        let held = self.leases.entry_mut(entry);
        let before = (held.up, held.down, held.event);
        (held.up, held.down) = (up, down);
        if event.is_some() && event != Some(TransferEvent::Unknown) {
            held.event = event;
        }
        let mut changed = (held.up, held.down, held.event) != before;
        if event == Some(TransferEvent::Completed) {
            // All the same if there was no room for what it said it has.
            changed |= self.leases.set_have(entry, Have::All);
        }
        if changed {
            self.note(entry, now);
        }
    }

    /// An entry ends, and its neighbours may need others.
    pub(super) fn end(&mut self, entry: EntryIx, expired: bool, now: Time) {
        let (torrent, gone) = self.leases.remove_entry(entry);
        let held = self.leases.torrent(gone.torrent);
        if held.members.is_empty() {
            if let Some(at) = held.audit_at {
                self.timers.remove(&(at, Timer::Audit(gone.torrent)));
            }
            if let Some(at) = held.level_at {
                self.timers.remove(&(at, Timer::Level(gone.torrent)));
            }
            self.leases.remove_torrent(gone.torrent);
        } else {
            self.audit_later(gone.torrent, now);
        }
        self.weak.extend(gone.neighbours);
        let node = self.leases.node(gone.node).id.clone();
        self.note_end(torrent, node.clone(), now);
        // What is written down is one for all its names.
        for other in self.leases.entries_of_all(&node, &torrent) {
            self.leases.entry_mut(other).have_dirty = true;
            self.note(other, now);
        }
        self.outputs.push_back(Output::Event(Event::LeaseEnded { torrent, node, expired }));
    }

    /// A node is forgotten: its entries end, and its connection if it has one.
    fn end_node(&mut self, node: NodeIx, now: Time) {
        for (_, entry) in self.leases.node(node).entries.clone() {
            self.end(entry, true, now);
        }
        self.drop_node(node);
    }

    /// Takes a node without entries out, with its connection if it has one.
    fn drop_node(&mut self, node: NodeIx) {
        let gone = self.leases.remove_node(node);
        self.timers.remove(&(gone.timer_at, Timer::Node(node)));
        if let Some(conn) = gone.conn {
            self.conns.remove(&conn);
            let why = format!("{} has been silent for too long", gone.id);
            self.outputs.push_back(Output::Close { conn, why });
        }
    }

    /// A connection is over. Its node has until its lease ends to come back.
    pub(super) fn forget_conn(&mut self, conn: ConnId) {
        let Some(client) = self.conns.remove(&conn) else { return };
        match client.node {
            None => {
                self.timers.remove(&(client.timer_at, Timer::Conn(conn)));
                self.strangers.remove(&conn);
            }
            Some(node) => {
                self.leases.node_mut(node).conn = None;
                if self.leases.node(node).entries.is_empty() {
                    self.drop_node(node);
                }
            }
        }
    }

    pub(super) fn node_due(&mut self, node: NodeIx, now: Time) {
        let held = self.leases.node(node);
        if held.lease_end <= now {
            self.end_node(node, now);
            return;
        }
        for (_, entry) in held.entries.clone() {
            if self.leases.entry(entry).stale.is_some_and(|end| end <= now) {
                self.end(entry, true, now);
            }
        }
        self.arm_node(node);
    }

    /// Sets the node's timer to when something of it ends, if nothing is heard of it until then.
    pub(super) fn arm_node(&mut self, node: NodeIx) {
        let held = self.leases.node(node);
        let stale = held.entries.iter().filter_map(|(_, entry)| self.leases.entry(*entry).stale);
        let at = stale.fold(held.lease_end, Time::min);
        let held = self.leases.node_mut(node);
        self.timers.remove(&(held.timer_at, Timer::Node(node)));
        held.timer_at = at;
        self.timers.insert((at, Timer::Node(node)));
    }
}

fn check_ranges(ranges: &[PieceRange]) -> Result<(), Refused> {
    if ranges.len() > limits::HAVE_RANGES_MAX {
        return Err(format!(
            "{} ranges in one message, over the limit of {}",
            ranges.len(),
            limits::HAVE_RANGES_MAX
        ));
    }
    Ok(())
}
