//! With whom to have sessions: whom to dial, whom to admit, and when to ask the tracker for others.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::fetch::BEHIND_PIECES;
use super::{News, Phase, Swarm};
use crate::engine::interface::ConnId;
use crate::engine::session::Session;
use crate::model::address::Address;
use crate::model::event::Event;
use crate::model::ids::NodeId;
use crate::model::limits;
use crate::model::time::Time;

/// Least time between two wishes for more peers; grows while they are in vain.
const WANT_FIRST: Duration = Duration::from_secs(1);
/// Longest time between two wishes for more peers.
const WANT_MAX: Duration = Duration::from_secs(60);
/// How many neighbours more a node wants each time that it finds itself behind those it has.
const EXTRA_STEP: usize = 2;

/// How many neighbours more are wanted, and when the tracker is asked for them.
#[derive(Debug)]
pub(super) struct Wants {
    next: Time,
    wait: Duration,
    /// Besides those that the configuration names: all of them,
    extra: usize,
    /// and those for being behind.
    extra_for_lag: usize,
}

impl Wants {
    pub(super) fn new(now: Time) -> Self {
        Self { next: now + WANT_FIRST, wait: WANT_FIRST, extra: 0, extra_for_lag: 0 }
    }
}

/// What is one machine's as far as anybody can tell: of IPv6 a whole /64, all of whose addresses it may use.
fn network(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(_) => host,
        IpAddr::V6(host) => Ipv6Addr::from_bits(host.to_bits() >> 64 << 64).into(),
    }
}

impl Swarm {
    /// A tracker names peers.
    pub fn learned(&mut self, peers: Vec<(Address, NodeId)>, now: Time) {
        self.dials_from = Time::ZERO;
        let count = peers.len() as u32;
        for (addr, node) in peers {
            if node != self.own_node && self.neighbours.learn(addr, Some(node), now) {
                self.wants.wait = WANT_FIRST;
            }
        }
        self.event(Event::PeersLearned { torrent: self.info_hash, count });
    }

    /// The next address to dial, if there is room for another neighbour. `conn` becomes its number.
    pub fn next_dial(&mut self, conn: ConnId, now: Time) -> Option<Address> {
        if now < self.dials_from {
            return None;
        }
        let addr = self.dialable(now);
        match &addr {
            Some(addr) => self.neighbours.dialling(addr, conn),
            None => self.dials_from = self.neighbours.next_due(now),
        }
        addr
    }

    fn dialable(&self, now: Time) -> Option<Address> {
        let dialling = self.neighbours.engaged();
        // Who has come and serves nobody here must not keep us from dialling those who would.
        let serves = |(conn, session): &(ConnId, &Session)| {
            conn.is_accepted() && (self.phase != Phase::Fetching || !session.withholds(now))
        };
        let accepted = self.sessions.iter().filter(serves).count();
        if dialling + accepted >= self.config.peers_wanted as usize + self.wants.extra {
            return None;
        }
        // Anybody can come with a name: at another host than the one to be dialled it is somebody else.
        let connected = |node: &NodeId, host: Option<IpAddr>| {
            let stands = |(conn, session): (ConnId, &Session)| {
                let there = host.is_none_or(|host| host == session.remote.ip());
                session.peer.node == *node && (there || !conn.is_accepted())
            };
            *node == self.own_node || self.sessions.iter().any(stands)
        };
        self.neighbours.due(now, connected)
    }

    /// Whether a session with `node`, which has said hello from `host`, may begin on `conn`; else why not.
    ///
    /// # Errors
    /// The reason, for the peer's user to read.
    pub fn admits(
        &self,
        conn: ConnId,
        node: &NodeId,
        host: IpAddr,
        now: Time,
    ) -> Result<(), &'static str> {
        if *node == self.own_node {
            return Err("this is myself, or another node with my id");
        }
        if self.neighbours.is_banned(node, host, now) {
            return Err("this node is banned here: it sent wrong data");
        }
        let other = self.sessions.iter().find(|(_, session)| session.peer.node == *node);
        if let Some((standing, session)) = other {
            // Anybody can claim an id. Whom we dialled we have chosen.
            let elsewhere = session.remote.ip() != host;
            let admitted = match (conn.is_accepted(), standing.is_accepted()) {
                (true, _) if elsewhere => false,
                (false, true) if elsewhere => true,
                _ => self.replaces(conn, standing, node),
            };
            if !admitted {
                return Err("a session with this node stands already");
            }
        }
        let full = self.sessions.len() >= limits::PEERS_PER_TORRENT_MAX;
        if other.is_none() && full && self.crowded_out(conn, host).is_none() {
            return Err("too many peers");
        }
        Ok(())
    }

    /// Whose session ends when there are as many as may be and one with a peer at `host` is to begin on `new`, if that is worth one: of those
    /// who came from the network that has most here, who has moved least. Whom we dialled is worth any of them. Who came is if that
    /// leaves its own network with no more than the other: who comes with many names keeps out nobody else.
    pub(super) fn crowded_out(&self, new: ConnId, host: IpAddr) -> Option<ConnId> {
        let came = || self.sessions.iter().filter(|(conn, _)| conn.is_accepted());
        let from = |host: IpAddr| {
            came().filter(|(_, session)| network(session.remote.ip()) == network(host)).count()
        };
        let moved = |session: &Session| session.up.total() + session.pipeline.total();
        let least_worth = |(_, session): &(ConnId, &Session)| {
            (from(session.remote.ip()), Reverse(moved(session)))
        };
        let (conn, session) = came().max_by_key(least_worth)?;
        let worth_it = !new.is_accepted() || from(session.remote.ip()) > from(host) + 1;
        worth_it.then_some(conn)
    }

    /// `node` has said hello on `conn` and was not admitted. If it was dialled, it is known now who is there, and that nothing is
    /// to be had there as long as that is so.
    pub fn refused(&mut self, conn: ConnId, node: &NodeId) {
        self.neighbours.named(conn, node);
    }

    /// Of two connections with one node, the one to keep. When both have dialled at the same time both ends must
    /// come to the same answer: the dial of the smaller id stays. A second one from the same end
    /// means that the first was lost there.
    fn replaces(&self, new: ConnId, standing: ConnId, node: &NodeId) -> bool {
        match (new.is_accepted(), standing.is_accepted()) {
            (false, true) => self.own_node < *node,
            (true, false) => *node < self.own_node,
            (same, _) => same,
        }
    }

    /// Asks the tracker for others: when half of the neighbours are gone, for each that serves nobody here, and when all of them
    /// have more than we, who then have drawn neighbours with little to give.
    pub(super) fn want_more(&mut self, now: Time) {
        if self.phase != Phase::Fetching || now < self.wants.next {
            return;
        }
        let wanted = self.config.peers_wanted as usize;
        let withholding = self.sessions.values().filter(|session| session.withholds(now)).count();
        let lags = self.pace.behind >= 2 * BEHIND_PIECES;
        self.wants.extra_for_lag += if lags { EXTRA_STEP } else { 0 };
        self.wants.extra_for_lag = self.wants.extra_for_lag.min(wanted);
        self.wants.extra = (self.wants.extra_for_lag + withholding).min(wanted);
        let few =
            if lags || withholding > 0 { wanted + self.wants.extra } else { wanted.div_ceil(2) };
        if self.sessions.len() >= few {
            return;
        }
        self.wants.next = now + self.wants.wait;
        self.wants.wait = (self.wants.wait * 2).min(WANT_MAX);
        let missing = (wanted + self.wants.extra).saturating_sub(self.sessions.len());
        self.news.push_back(News::Want(missing as u32));
    }
}
