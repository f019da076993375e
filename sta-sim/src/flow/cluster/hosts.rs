//! What is done to a host from outside: starts, deaths, faults of its disk and of its links.

use sta_core::engine::interface::{Input, Torrent};
use sta_core::engine::registry;
use sta_core::model::address::Address;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::config::EngineConfig;
use sta_core::model::event::Event;
use sta_core::model::time::Time;

use super::calls::passage;
use super::{Cluster, Content};
use crate::flow::machine::{Told, address};
use crate::flow::net::{HostIx, UNLIMITED_RATE};
use crate::flow::way::Why;
use crate::scenario::driver::DiskState;
use crate::scenario::network::{Network, OccurrenceIx};
use crate::scenario::plan::{Behaviour, ContentIx, Role};

impl Cluster {
    /// The disk of `host`, whose process does not run, is as a process will find it that starts now.
    pub fn settle_disk(&mut self, host: HostIx) {
        self.machines[host as usize].disk.restart();
        self.count_progress(host);
    }

    /// Starts the process of `host` on its disk as it is.
    pub fn start(&mut self, host: HostIx) {
        if self.runs(host) {
            return;
        }
        self.settle_disk(host);
        let torrents = self.torrents_of(host);
        let restored = self.machines[host as usize].start(torrents, self.now);
        self.net.listen(host, true);
        if std::mem::take(&mut self.machines[host as usize].was_off) {
            self.net.revive(host);
        }
        let listen = Address::from(address(host));
        match self.machines[host as usize].role {
            Role::Node => self.observe(host, Event::NodeStarted { listen }),
            Role::Tracker => self.observe(host, Event::TrackerStarted { listen, restored }),
        }
        self.begin(host);
    }

    /// Stops the process of `host` in order.
    pub fn leave(&mut self, host: HostIx) {
        self.resume(host);
        match self.machines[host as usize].role {
            Role::Node => self.tell(host, Told::Node(Input::Stop)),
            Role::Tracker => self.tell(host, Told::Tracker(registry::Input::Stop)),
        }
        self.end_process(host);
        for conn in self.net.conns(host) {
            let side = self.net.side_of(conn, host);
            self.net.close(conn, side);
        }
    }

    /// The process of `host` dies; the kernel closes its connections.
    pub fn crash(&mut self, host: HostIx) {
        self.end_process(host);
        for conn in self.net.conns(host) {
            let side = self.net.side_of(conn, host);
            self.net.abort(conn, side);
        }
    }

    /// The machine goes silent. What was not durable is lost.
    pub fn power_off(&mut self, host: HostIx) {
        self.end_process(host);
        self.machines[host as usize].was_off = true;
        self.net.silence(host);
        if self.machines[host as usize].disk.lose_power() > 0 {
            self.count_progress(host);
        }
    }

    /// Nothing is on the disk of `host`, whose process does not run.
    pub fn empty_disk(&mut self, host: HostIx) {
        self.machines[host as usize].empty_disk();
        self.count_progress(host);
    }

    /// The disk of `host` is so from now on, because of `cause`.
    pub fn set_disk(&mut self, host: HostIx, state: DiskState, cause: OccurrenceIx) {
        self.machines[host as usize].disk.set(state, self.now);
        self.await_disk(host);
        self.disk_causes[host as usize] = state.full.then_some(cause);
    }

    /// `host` behaves so from now on. Returns whether its process must start again for that.
    pub fn behave(&mut self, host: HostIx, behaviour: Behaviour) -> bool {
        let machine = &mut self.machines[host as usize];
        let was = std::mem::replace(&mut machine.behaviour, behaviour);
        self.apply_rates(host);
        was.restarts_for(behaviour) && self.runs(host)
    }

    /// The engine of `host` has these knobs from its next start on. Returns whether that is another thing now.
    pub fn set_engine(&mut self, host: HostIx, engine: EngineConfig) -> bool {
        let was = std::mem::replace(&mut self.machines[host as usize].engine, engine);
        was != self.machines[host as usize].engine && self.runs(host)
    }

    /// The process of `host` stands still.
    pub fn pause(&mut self, host: HostIx) {
        self.machines[host as usize].paused = self.machines[host as usize].process.is_some();
        self.rearm(host);
    }

    /// The process of `host` goes on.
    pub fn resume(&mut self, host: HostIx) {
        self.machines[host as usize].paused = false;
        for told in std::mem::take(&mut self.machines[host as usize].backlog) {
            self.tell(host, told);
        }
        self.rearm(host);
    }

    /// The links or the edge of `host` are now as `network` says.
    pub fn set_network(&mut self, host: HostIx, network: &Network) {
        self.edges[host as usize] = network.edge(host as usize);
        self.network = Some(network.clone());
        self.apply_rates(host);
        for conn in self.net.conns(host) {
            let ends = self.net.ends(conn);
            for side in 0..2 {
                let link = self.link(ends[side], ends[1 - side]);
                if !link.passes() {
                    self.touched(link.cause);
                }
                self.net.set_passage(conn, side, passage(link));
                let route = self.route(ends[side], ends[1 - side]);
                self.net.set_cap(conn, side, route.cap());
                self.ends[conn as usize][side].route = route;
            }
        }
    }

    /// Breaks the connections between `host` and `peers` at both ends. Returns how many.
    pub fn reset(&mut self, host: HostIx, peers: &[usize]) -> u64 {
        let mut touched = 0;
        for conn in self.net.conns(host) {
            let side = self.net.side_of(conn, host);
            let other = self.net.ends(conn)[1 - side];
            if peers.contains(&(other as usize)) {
                self.net.abort(conn, side);
                self.end_told(conn, side, Why::Reset);
                touched += 1;
            }
        }
        touched
    }

    /// These pieces of `host` have other bytes from now on.
    pub fn rot(&mut self, host: HostIx, pieces: &[(ContentIx, u32)]) {
        for &(content, piece) in pieces {
            self.machines[host as usize].disk.rot(content, piece);
        }
    }

    /// These pieces on the disk of `host` can be read from now on, or cannot.
    pub fn set_readable(&mut self, host: HostIx, pieces: &[(ContentIx, u32)], readable: bool) {
        for &(content, piece) in pieces {
            self.machines[host as usize].disk.set_readable(content, piece, readable);
        }
    }

    /// The pieces of `content` that cannot be read on the disk of `host`, ascending.
    #[must_use]
    pub fn unreadable(&self, host: HostIx, content: ContentIx) -> Vec<u32> {
        let kept = self.machines[host as usize].disk.kept(content);
        kept.map_or_else(Vec::new, |kept| kept.unreadable().collect())
    }

    /// Bytes that `host` sends and receives at the most are what its edge says now.
    pub(super) fn apply_rates(&mut self, host: HostIx) {
        let edge = &self.edges[host as usize];
        let up = self.machines[host as usize].behaviour.up(edge.up).unwrap_or(UNLIMITED_RATE);
        self.net.set_rates(host, up, edge.down.unwrap_or(UNLIMITED_RATE));
    }

    pub(super) fn torrents_of(&self, host: HostIx) -> Vec<Torrent> {
        let trackers: Vec<Address> = (0..)
            .zip(&self.plans)
            .filter(|(_, plan)| plan.role == Role::Tracker)
            .map(|(ix, _)| address(ix).into())
            .collect();
        let torrent = |content: ContentIx| {
            let Content { info_hash, layout } = self.contents[content];
            let machine = &self.machines[host as usize];
            let kept = machine.disk.kept(content);
            let have = kept.map_or_else(|| Bitfield::empty(layout.pieces()), |k| machine.claims(k));
            let (trackers, peers) = (trackers.clone(), Vec::new());
            Torrent { info_hash, layout, have, trackers, peers, fetch: true }
        };
        self.plans[host as usize].takes.iter().map(|take| torrent(take.content)).collect()
    }

    pub(super) fn end_process(&mut self, host: HostIx) {
        self.machines[host as usize].stop();
        self.net.listen(host, false);
        self.wake_at(host, Time::FAR_FUTURE);
    }
}
