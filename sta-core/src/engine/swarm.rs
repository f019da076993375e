//! All a node knows of one torrent and its peers: composes picker, assembly, sessions, uploads, choker and
//! neighbours.
//!
//! Inputs are method calls, outputs are polled. `swarm/peers.rs` decides with whom to have sessions, `swarm/fetch.rs` what to
//! ask of whom, `swarm/serve.rs` whom to serve, `swarm/relay.rs` what to do with a piece that is here in part,
//! `swarm/storage.rs` what a stored and a checked piece mean; this file holds the state, the sessions and the clockwork.
//!
//! Invariants: a piece is announced, served and counted as had only after its hash was right. Every block under
//! way is asked of a session that stands.

mod fetch;
mod peers;
mod relay;
mod serve;
mod storage;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use fetch::Pace;
use peers::Wants;
use storage::Storage;

use super::accounts::Accounts;
use super::assembly::Assembly;
use super::by_conn::ByConn;
use super::choker::Choker;
use super::identity::Identity;
use super::interface::{ConnId, Output, Torrent};
use super::neighbours::Neighbours;
use super::picker::Picker;
use super::session::{Misbehaviour, Session, Wish};
use super::slots::Slots;
use super::suspects::Suspects;
use super::totals::Totals;
use super::uploads::Uploads;
use crate::model::bitfield::Bitfield;
use crate::model::config::EngineConfig;
use crate::model::event::{Event, PEER_SAID};
use crate::model::ids::{InfoHash, NodeId};
use crate::model::layout::Layout;
use crate::model::limits;
use crate::model::rng::Seed;
use crate::model::status::TorrentStatus;
use crate::model::text::printable;
use crate::model::time::Time;
use crate::wire::peer::{PeerMessage, RejectReason};
use crate::wire::tracker::TransferEvent;

/// How often timeouts, stalls and dials are looked at. Everything else happens at once.
const TICK: Duration = Duration::from_millis(500);

/// What a tracker is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A piece is verified.
    Got(u32),
    /// What is here is not what it was told before and a few pieces more: some can no longer be read, or can again.
    Changed,
    /// More peers would be welcome.
    Want(u32),
    /// Payload moved so far.
    Stats {
        /// Bytes sent.
        up: u64,
        /// Bytes received.
        down: u64,
        /// What has happened, if anything.
        event: Option<TransferEvent>,
    },
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Some pieces are missing and wanted.
    Fetching,
    /// Every piece is verified; the store is making it durable.
    Finishing,
    /// Nothing is wanted any more.
    Serving,
}

/// One torrent.
#[derive(Debug)]
pub struct Swarm {
    info_hash: InfoHash,
    layout: Layout,
    config: EngineConfig,
    own_node: NodeId,
    have: Bitfield,
    phase: Phase,
    picker: Picker,
    assembly: Assembly,
    sessions: ByConn<Session>,
    uploads: Uploads,
    slots: Slots,
    choker: Choker,
    neighbours: Neighbours,
    /// Until then nobody is to be dialled, unless a session comes or goes, or somebody is learned of: it is asked after
    /// every input.
    dials_from: Time,
    accounts: Accounts,
    suspects: Suspects,
    /// Pieces that were wrong, and that are fetched from one peer now.
    from_one_peer: BTreeSet<u32>,
    storage: Storage,
    totals: Totals,
    pace: Pace,
    wants: Wants,
    next_tick: Time,
    next_choke: Time,
    /// When a peer that serves us was last sent something.
    giver_served: Time,
    /// When a block of a piece was last sent that nobody else had.
    spread_at: Time,
    outputs: VecDeque<Output>,
    news: VecDeque<News>,
}

impl Swarm {
    /// A node called `own_node` takes part in `torrent` from `now` on.
    #[must_use]
    pub fn new(
        torrent: Torrent,
        config: &EngineConfig,
        own_node: NodeId,
        seed: Seed,
        now: Time,
    ) -> Self {
        let Torrent { info_hash, layout, have, peers, fetch, .. } = torrent;
        let slots = config.upload_slots as usize;
        let mut rng = seed.stream("picker");
        let mut swarm = Self {
            info_hash,
            layout,
            config: config.clone(),
            own_node,
            phase: if fetch { Phase::Fetching } else { Phase::Serving },
            picker: Picker::new(&have, &mut rng),
            assembly: Assembly::new(layout),
            sessions: ByConn::new(),
            uploads: Uploads::new(layout.pieces(), slots),
            slots: Slots::new(slots),
            choker: Choker::new(slots),
            neighbours: Neighbours::new(seed.child("neighbours")),
            dials_from: Time::ZERO,
            accounts: Accounts::default(),
            suspects: Suspects::default(),
            from_one_peer: BTreeSet::new(),
            storage: Storage::new(now),
            totals: Totals::new(now),
            pace: Pace::default(),
            wants: Wants::new(now),
            next_tick: now + TICK,
            next_choke: now + config.choke_interval,
            giver_served: Time::ZERO,
            spread_at: Time::ZERO,
            outputs: VecDeque::new(),
            news: VecDeque::new(),
            have,
        };
        swarm.event(Event::TorrentAdded {
            torrent: info_hash,
            pieces: layout.pieces(),
            have: swarm.have.count(),
        });
        for addr in peers {
            swarm.neighbours.learn(addr, None, now);
        }
        swarm.finish_if_complete(now);
        swarm
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Exchanges the queue of what is to be done for `outputs`.
    pub(super) const fn swap_outputs(&mut self, outputs: &mut VecDeque<Output>) {
        std::mem::swap(&mut self.outputs, outputs);
    }

    /// Whether there may be somebody to dial, or news for the trackers. Whoever it hangs up on makes room for another: there may be
    /// then.
    #[must_use]
    pub fn has_more_to_say(&self, now: Time) -> bool {
        now >= self.dials_from || !self.news.is_empty()
    }

    /// What the trackers are to be told next.
    pub fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// When to call [`Self::tick`].
    #[must_use]
    pub const fn deadline(&self) -> Time {
        self.next_tick
    }

    /// From now on its ticks are those of `other`.
    pub fn tick_with(&mut self, other: &Self) {
        self.next_tick = self.next_tick.min(other.next_tick);
    }

    /// What the torrent is known by.
    #[must_use]
    pub const fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The pieces that are here, verified.
    #[must_use]
    pub const fn have(&self) -> &Bitfield {
        &self.have
    }

    /// How many peers a tracker should name.
    #[must_use]
    pub const fn peers_wanted(&self) -> u32 {
        self.config.peers_wanted
    }

    /// Both sides have said hello on `conn`, and [`Self::admits`] had nothing against it.
    pub fn connected(&mut self, conn: ConnId, node: NodeId, remote: SocketAddr, now: Time) {
        let standing =
            self.sessions.iter().find(|(_, s)| s.peer.node == node).map(|(conn, _)| conn);
        if let Some(standing) = standing {
            self.close(standing, "another connection with this node took its place", now);
        }
        if self.sessions.len() >= limits::PEERS_PER_TORRENT_MAX
            && let Some(out) = self.crowded_out(conn, remote.ip())
        {
            self.close(out, "another needs its place", now);
        }
        self.neighbours.identified(conn, &node);
        self.dials_from = Time::ZERO;
        let torrent = self.info_hash;
        self.event(Event::PeerConnected { torrent, peer: node.clone() });
        self.sessions.insert(conn, Session::new(node, remote, self.layout, now));
        for ranges in self.offered_here().chunks(limits::HAVE_RANGES_MAX) {
            self.send(conn, PeerMessage::Have { p: ranges.into() }, now);
        }
        let coming: Vec<u32> = self.assembly.announced().collect();
        for piece in coming {
            self.send(conn, PeerMessage::Coming { i: piece }, now);
        }
        self.choke_round(false, now);
    }

    /// A message other than `data` has come.
    pub fn message(&mut self, conn: ConnId, message: PeerMessage, now: Time) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        session.heard = now;
        let result = match message {
            PeerMessage::Have { p } => session.gained(&p).map(|new| self.gained(conn, &new, now)),
            PeerMessage::Coming { i } => session.coming(i).map(|new| {
                if new {
                    self.coming(conn, i, now);
                }
            }),
            PeerMessage::Leaves { i, h } => {
                self.leaves_told(i, h);
                Ok(())
            }
            PeerMessage::Choke => {
                session.choked_since = Some(now);
                session.stalled = false;
                session.void_asked();
                self.abandon(conn, now);
                Ok(())
            }
            PeerMessage::Unchoke => {
                session.choked_since = None;
                self.fill(conn, now);
                Ok(())
            }
            PeerMessage::Get { id, block } => {
                self.wished(conn, Wish { id, block: block.into() }, now)
            }
            PeerMessage::Cancel { id } => {
                if session.take_cancelled(id).is_some() {
                    let why = RejectReason::Cancelled;
                    self.send(conn, PeerMessage::Reject { id, why }, now);
                }
                Ok(())
            }
            PeerMessage::Reject { id, why } => {
                session.stalled = false;
                if let Some(rejected) = session.rejected(id, why, now) {
                    if rejected.withdrawn {
                        self.picker.lost([rejected.block.piece]);
                        self.unseen_if_gone(rejected.block.piece);
                    }
                    self.take_back(conn, rejected.waited.then_some(rejected.block), now);
                }
                Ok(())
            }
            PeerMessage::Bye { why } => {
                self.closed(conn, &format!("{PEER_SAID}{}", printable(&why)), now);
                self.outputs.push_back(Output::Close { conn, why: "it said goodbye".into() });
                Ok(())
            }
            PeerMessage::Ping | PeerMessage::Unknown => Ok(()),
            PeerMessage::Hello { .. } | PeerMessage::Data { .. } => Err(Misbehaviour::OutOfPlace),
        };
        if let Err(misbehaviour) = result {
            self.close(conn, &misbehaviour.to_string(), now);
        }
    }

    /// A block was handed to the network.
    pub fn sent(&mut self, conn: ConnId, now: Time) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let Some(block) = session.sent(now) else { return };
        let peer = session.peer.node.clone();
        self.totals.up.add(block.len.into(), now);
        self.event(Event::BlockSent { torrent: self.info_hash, peer, block });
        self.read(block);
        self.serve(Some(conn), now);
    }

    /// A connection has ended, or its dial has failed.
    pub fn closed(&mut self, conn: ConnId, why: &str, now: Time) {
        let torrent = self.info_hash;
        self.dials_from = Time::ZERO;
        let useless =
            self.sessions.get(conn).is_some_and(|s| self.have.is_full() && s.have.is_full());
        let dialled = self.neighbours.lost(conn, useless, now);
        let Some(session) = self.sessions.remove(conn) else {
            if let Some((addr, peer)) = dialled {
                let (addr, why) = (Box::new(addr), why.into());
                self.event(Event::DialFailed { torrent, addr, peer, why });
            }
            return;
        };
        self.accounts.add(&session);
        self.event(Event::PeerLost { torrent, peer: session.peer.node.clone(), why: why.into() });
        self.picker.lost(session.offered.iter());
        self.uploads.forget(conn);
        session.offered.iter().for_each(|piece| self.unseen_if_gone(piece));
        self.abandon(conn, now);
        self.serve(None, now);
    }

    /// Time has passed: timeouts, stalls, retries, rounds.
    pub fn tick(&mut self, now: Time) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.pace.behind = self.arrears();
        self.pace.patience = self.usual_patience();
        self.look_at_uploads(now);
        self.dials_from = Time::ZERO;
        self.check_sessions(now);
        if now >= self.next_choke {
            self.next_choke = now + self.config.choke_interval;
            self.choke_round(true, now);
        }
        if let Some((up, down)) = self.totals.tell_if_due(now) {
            self.news.push_back(News::Stats { up, down, event: None });
        }
        self.want_more(now);
        self.fit_slots(now);
        self.finish_if_due(now);
        self.offer_again_if_due(now);
        self.fill_all(now);
        self.serve(None, now);
    }

    /// Ends every session; the swarm is about to be dropped, and nobody is asked or served instead.
    pub fn leave(&mut self, now: Time) {
        let (torrent, why) = (self.info_hash, "it leaves this torrent");
        for conn in self.sessions.keys().to_vec() {
            self.say_goodbye(conn, why, now);
            if let Some(session) = self.sessions.remove(conn) {
                self.event(Event::PeerLost { torrent, peer: session.peer.node, why: why.into() });
            }
        }
        self.event(Event::TorrentRemoved { torrent });
    }

    /// A snapshot for a person or a program.
    #[must_use]
    pub fn status(&self, now: Time) -> TorrentStatus {
        let verified = self.have.iter().map(|piece| u64::from(self.layout.piece_len(piece))).sum();
        TorrentStatus {
            info_hash: self.info_hash,
            pieces: self.layout.pieces(),
            have: self.have.count(),
            total: self.layout.total(),
            verified,
            finished: self.phase == Phase::Serving && self.have.is_full(),
            down: self.totals.down.total(),
            up: self.totals.up.total(),
            wasted: self.totals.wasted,
            // The owner of the disk knows.
            unwritten: 0,
            down_rate: self.totals.down.shown(now),
            up_rate: self.totals.up.shown(now),
            failed: self.storage.failed.clone(),
            peers: self.accounts.rows(self.sessions.values(), now),
        }
    }

    /// Ends sessions that have gone silent, greets those that might think so of us, and takes back what a stalled
    /// peer was asked for.
    fn check_sessions(&mut self, now: Time) {
        let (timeout, patience) = (self.config.peer_timeout, self.config.request_timeout);
        let (mut dead, mut quiet, mut stalled) = (Vec::new(), Vec::new(), Vec::new());
        for (conn, session) in self.sessions.iter() {
            if now.since(session.heard) >= timeout {
                dead.push(conn);
            } else if now.since(session.said) >= timeout / 3 {
                quiet.push(conn);
            }
            let silent = session.silent_since().is_some_and(|since| now.since(since) >= patience);
            if silent && !session.stalled {
                stalled.push(conn);
            }
        }
        for conn in dead {
            self.close(conn, "it has been silent for too long", now);
        }
        for conn in quiet {
            self.send(conn, PeerMessage::Ping, now);
        }
        for conn in stalled {
            self.give_up_all(conn, now);
        }
        self.give_up_early(now);
    }

    fn ban(&mut self, peer: &Identity, why: &str, now: Time) {
        let (torrent, node) = (self.info_hash, peer.node.clone());
        self.dials_from = Time::ZERO;
        if self.neighbours.ban(peer.clone(), now) {
            self.event(Event::PeerBanned { torrent, peer: node, why: why.into() });
        }
        let conns: Vec<_> =
            self.sessions.iter().filter(|(_, s)| s.peer == *peer).map(|(conn, _)| conn).collect();
        for conn in conns {
            self.close(conn, why, now);
        }
    }

    /// Ends a session from this side.
    fn close(&mut self, conn: ConnId, why: &str, now: Time) {
        self.say_goodbye(conn, why, now);
        self.closed(conn, why, now);
    }

    fn say_goodbye(&mut self, conn: ConnId, why: &str, now: Time) {
        self.send(conn, PeerMessage::Bye { why: why.into() }, now);
        self.outputs.push_back(Output::Close { conn, why: why.into() });
    }

    fn send(&mut self, conn: ConnId, message: PeerMessage, now: Time) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.said = now;
            self.outputs.push_back(Output::Send { conn, message });
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests;
