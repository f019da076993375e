//! Connections: who is dialled, what travels and how long, who learns that it ended.

use std::collections::BTreeSet;
use std::time::Duration;

use smallvec::smallvec;
use sta_core::engine::interface::{ConnId, Input};
use sta_core::engine::registry;
use sta_core::engine::uploads::AHEAD_MAX;
use sta_core::model::address::Address;
use sta_core::model::bitfield::PieceRange;
use sta_core::model::ids::InfoHash;
use sta_core::model::layout::Block;
use sta_core::model::leaves::LeafHashes;
use sta_core::model::metainfo::BLAKE3_BYTES;
use sta_core::model::status::StoreError;
use sta_core::wire::peer::PeerMessage;

use super::route::Route;
use super::{Chore, Cluster, End, Label};
use crate::flow::disk::Request;
use crate::flow::letter::Letter;
use crate::flow::machine::{Process, Told, address, host_at};
use crate::flow::net::{Call, ConnIx, Happening, HostIx, Postage, Side};
use crate::flow::way::{Passage, Why};
use crate::scenario::dist::below_million;
use crate::scenario::network::Link;
use crate::scenario::plan::Behaviour;
use crate::world::sim_store::UNREADABLE;

/// A node is told at once what cannot be read, and takes that for the oldest block that it has handed to the connection: there is no
/// other.
const _: () = assert!(AHEAD_MAX == 1);

/// A dial that finds no host fails after so long.
const NO_ROUTE_AFTER: Duration = Duration::from_millis(1);

impl Cluster {
    pub(super) fn link(&self, from: HostIx, to: HostIx) -> Link {
        let network = self.network.as_ref();
        network.map_or_else(Link::default, |network| network.link(from as usize, to as usize))
    }

    /// What it takes from host to host beside their own links.
    fn between(&self, from: HostIx, to: HostIx) -> Duration {
        if self.core.sites.is_empty() {
            return self.core.latency;
        }
        let site = |host: HostIx| self.plans[host as usize].site;
        self.core.delay(site(from), site(to))
    }

    /// What becomes of messages from `from` to `to` as things are.
    pub(super) fn route(&self, from: HostIx, to: HostIx) -> Route {
        let (near, far) = (&self.edges[from as usize], &self.edges[to as usize]);
        Route::new(near, self.between(from, to), far, self.link(from, to))
    }

    pub(super) fn happened(&mut self, happening: Happening<Letter>) {
        match happening {
            Happening::Opened(conn) => self.opened(conn),
            Happening::Accepted(conn) => self.accepted(conn),
            Happening::Arrived(conn, side, letter) => self.arrived(conn, side, letter),
            Happening::Taken(conn, side) => {
                if let Label::Peer(id) = self.ends[conn as usize][side].label {
                    let host = self.net.ends(conn)[side];
                    self.tell(host, Told::Node(Input::Sent { conn: id }));
                }
            }
            Happening::Closed(conn, side, why) => self.end_told(conn, side, why),
        }
    }

    pub(super) fn opened(&mut self, conn: ConnIx) {
        let [from, to] = self.net.ends(conn);
        let remote = address(to);
        let input = match &self.ends[conn as usize][0].label {
            Label::Peer(id) => Input::Dialled { conn: *id, remote },
            Label::Tracker(tracker) => {
                Input::TrackerOpened { tracker: (**tracker).clone(), remote }
            }
            Label::None | Label::Client => return,
        };
        self.tell(from, Told::Node(input));
    }

    pub(super) fn accepted(&mut self, conn: ConnIx) {
        let [from, to] = self.net.ends(conn);
        let (remote, local) = (address(from), address(to));
        let label = &mut self.ends[conn as usize][1].label;
        let told = match &mut self.machines[to as usize].process {
            Some(Process::Node(_)) => {
                let id = ConnId::accepted(conn);
                *label = Label::Peer(id);
                Told::Node(Input::Accepted { conn: id, remote })
            }
            Some(Process::Tracker(_)) => {
                *label = Label::Client;
                let conn = registry::ConnId(conn.into());
                Told::Tracker(registry::Input::Opened { conn, remote, local })
            }
            None => return,
        };
        self.tell(to, told);
    }

    pub(super) fn arrived(&mut self, conn: ConnIx, side: Side, letter: Letter) {
        let host = self.net.ends(conn)[side];
        let told = match (&self.ends[conn as usize][side].label, letter) {
            (&Label::Peer(conn), Letter::Block { id, block, wrong, leaves }) => {
                if leaves > 0 {
                    let message =
                        PeerMessage::Leaves { i: block.piece, h: self.leaf_hashes(leaves) };
                    self.tell(host, Told::Node(Input::Message { conn, message }));
                }
                Told::Block { conn, id, block, wrong }
            }
            (Label::Tracker(tracker), Letter::FromTracker(message)) => {
                let (tracker, message) = ((**tracker).clone(), *message);
                Told::Node(Input::TrackerMessage { tracker, message })
            }
            (Label::Client, Letter::ToTracker(message)) => {
                self.tally.heard[host as usize] += 1;
                let (conn, message) = (registry::ConnId(conn.into()), *message);
                Told::Tracker(registry::Input::Message { conn, message })
            }
            (Label::Peer(_), Letter::ToTracker(_) | Letter::FromTracker(_))
            | (Label::None | Label::Tracker(_) | Label::Client, _) => {
                // A node dialled what is a tracker, or the other way round: real ones would see garbage and hang up.
                self.net.close(conn, side);
                return self.end_told(conn, side, Why::Ended);
            }
            (&Label::Peer(conn), Letter::Peer(message)) => {
                Told::Node(Input::Message { conn, message: *message })
            }
            (&Label::Peer(conn), Letter::Get { id, block }) => {
                let message = PeerMessage::Get { id, block: block.into() };
                Told::Node(Input::Message { conn, message })
            }
            (&Label::Peer(conn), Letter::Have(piece)) => {
                let message = PeerMessage::Have { p: smallvec![PieceRange::one(piece)] };
                Told::Node(Input::Message { conn, message })
            }
            (&Label::Peer(conn), Letter::Coming(i)) => {
                Told::Node(Input::Message { conn, message: PeerMessage::Coming { i } })
            }
        };
        self.tell(host, told);
    }

    /// The end `side` learns that its connection is no more.
    pub(super) fn end_told(&mut self, conn: ConnIx, side: Side, why: Why) {
        let host = self.net.ends(conn)[side];
        let label = std::mem::replace(&mut self.ends[conn as usize][side].label, Label::None);
        let process = self.machines[host as usize].process.as_mut();
        let why = why.to_string();
        let told = match (label, process) {
            (Label::Peer(id), Some(Process::Node(_))) => {
                Told::Node(Input::Closed { conn: id, why })
            }
            (Label::Tracker(tracker), Some(Process::Node(process))) => {
                process.trackers.remove(&tracker);
                Told::Node(Input::TrackerClosed { tracker: *tracker, why })
            }
            (Label::Client, Some(Process::Tracker(_))) => {
                Told::Tracker(registry::Input::Closed { conn: registry::ConnId(conn.into()) })
            }
            _ => return,
        };
        self.tell(host, told);
    }

    pub(super) fn dial(&mut self, host: HostIx, addr: &Address, label: Label) {
        let Some(to) = host_at(addr, self.machines.len()) else {
            return self.unreachable(host, label);
        };
        let (there, back) = (self.link(host, to), self.link(to, host));
        let routes = [self.route(host, to), self.route(to, host)];
        let causes: BTreeSet<_> = routes.iter().flat_map(Route::causes).collect();
        for cause in causes {
            self.touched(Some(cause));
        }
        if there.refused {
            self.touched(there.cause);
        }
        let call = Call {
            delay: routes[0].delay(1, &mut self.machines[host as usize].rng),
            refused: there.refused,
            passages: [passage(there), passage(back)],
            caps: routes.each_ref().map(Route::cap),
        };
        let conn = self.net.dial(host, to, call);
        if let Some(Process::Node(process)) = &mut self.machines[host as usize].process {
            match &label {
                Label::Peer(_) => process.dialled.push(Some(conn)),
                Label::Tracker(tracker) => {
                    process.trackers.insert((**tracker).clone(), conn);
                }
                Label::None | Label::Client => {}
            }
        }
        let [there, back] = routes;
        self.ends.push([End { label, route: there }, End { label: Label::None, route: back }]);
    }

    /// Nobody has the address that was dialled.
    pub(super) fn unreachable(&mut self, host: HostIx, label: Label) {
        let why = "no route to host".to_owned();
        if let (Label::Peer(_), Some(Process::Node(process))) =
            (&label, &mut self.machines[host as usize].process)
        {
            process.dialled.push(None);
        }
        let input = match label {
            Label::Peer(conn) => Input::Closed { conn, why },
            Label::Tracker(tracker) => Input::TrackerClosed { tracker: *tracker, why },
            Label::None | Label::Client => return,
        };
        self.chore(host, self.now + NO_ROUTE_AFTER, Chore::Tell(input));
    }

    pub(super) fn peer_conn(&self, host: HostIx, conn: ConnId) -> Option<(ConnIx, Side)> {
        let Some(Process::Node(process)) = &self.machines[host as usize].process else {
            return None;
        };
        process.conn(conn)
    }

    pub(super) fn tracker_conn(&self, host: HostIx, tracker: &Address) -> Option<(ConnIx, Side)> {
        let Some(Process::Node(process)) = &self.machines[host as usize].process else {
            return None;
        };
        let ix = *process.trackers.get(tracker)?;
        Some((ix, self.net.side_of(ix, host)))
    }

    pub(super) fn hang_up(&mut self, host: HostIx, conn: ConnIx, side: Side) {
        let label = std::mem::replace(&mut self.ends[conn as usize][side].label, Label::None);
        if let Label::Tracker(tracker) = label
            && let Some(Process::Node(process)) = &mut self.machines[host as usize].process
        {
            process.trackers.remove(&tracker);
        }
        self.net.close(conn, side);
    }

    /// What stands for the hashes of so many leaves.
    fn leaf_hashes(&mut self, leaves: u16) -> LeafHashes {
        let made = self.leaf_hashes.entry(leaves);
        let make = || LeafHashes::new(vec![0; usize::from(leaves) * BLAKE3_BYTES]);
        made.or_insert_with(make).clone()
    }

    pub(super) fn send_block(
        &mut self,
        host: HostIx,
        (peer, (conn, side)): (ConnId, (ConnIx, Side)),
        id: u64,
        torrent: InfoHash,
        block: Block,
        leaves: bool,
    ) {
        let Some(content) = self.content(&torrent) else { return };
        let machine = &mut self.machines[host as usize];
        let kept = machine.disk.kept(content);
        if kept.is_some_and(|kept| !kept.can_be_read(block.piece)) {
            self.answers.push_back(unreadable(peer, id));
            return;
        }
        let mut wrong = kept.is_some_and(|kept| !kept.is_block_right(block));
        if let Behaviour::Corrupt(share) = machine.behaviour {
            wrong |= below_million(&mut machine.rng) < share.0;
        }
        let known = leaves && kept.is_some_and(|kept| kept.knows_leaves(block.piece));
        let count = || self.contents[content].layout.leaves(block.piece) as u16;
        let leaves = if known { count() } else { 0 };
        let letter = Letter::Block { id, block, wrong, leaves };
        self.ask_disk(host, Request::Read(block.len.into()), Chore::Post { conn, side, letter });
    }

    pub(super) fn post(&mut self, conn: ConnIx, side: Side, letter: Letter) {
        let host = self.net.ends(conn)[side];
        let route = &self.ends[conn as usize][side].route;
        let bytes = letter.bytes();
        let delay = route.delay(bytes, &mut self.machines[host as usize].rng);
        for cause in route.causes() {
            self.touched(Some(cause));
        }
        let tell = matches!(letter, Letter::Block { .. });
        let postage = Postage { bytes, delay, tell };
        self.net.send(conn, side, letter, postage);
    }
}

/// The store could not read what was asked for by request `id`.
fn unreadable(conn: ConnId, id: u64) -> Input {
    let why = StoreError { path: "disk".to_owned(), reason: UNREADABLE.to_owned(), passing: false };
    Input::Unreadable { conn, id, why }
}

pub(super) const fn passage(link: Link) -> Passage {
    if link.cut {
        Passage::Cut
    } else if link.held {
        Passage::Held
    } else {
        Passage::Open
    }
}
