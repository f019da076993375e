//! A node's half of talking to one tracker: when to dial, what to say, which peers to believe.
//!
//! It does not know which pieces the node has: at every new connection, and when some are gone, it asks its owner for them
//! ([`Output::NeedJoin`]) and so never tells a tracker anything stale. Piece changes and statistics are gathered for a
//! while and sent together; events are not kept waiting.
//!
//! Invariant: nothing is said about a torrent on a connection before its `join`. Peers that a tracker
//! elsewhere has no business naming (this very machine, its link, nowhere) are not passed on: a tracker must not be
//! able to point its nodes at services behind them.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::backoff::Backoff;
use crate::model::address::Address;
use crate::model::bitfield::{PieceRange, collect_ranges};
use crate::model::config::EngineConfig;
use crate::model::ids::{InfoHash, NodeId, Site};
use crate::model::limits;
use crate::model::rng::Rng;
use crate::model::text::printable;
use crate::model::time::Time;
use crate::wire::peer::VERSION;
use crate::wire::tracker::{FromTracker, PeerAddress, ToTracker, TransferEvent};

/// What happens to an announcer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The connection that [`Output::Dial`] asked for stands.
    Opened {
        /// The tracker's address, as observed.
        tracker: SocketAddr,
    },
    /// The dial has failed, or the connection has broken; the reason, for a person. Not to be given after
    /// [`Output::Close`].
    Closed(String),
    /// The tracker says something.
    Message(FromTracker),
    /// The node takes part in a torrent; also the answer to [`Output::NeedJoin`].
    Joined {
        /// Which torrent.
        torrent: InfoHash,
        /// Pieces in all.
        pieces: u32,
        /// The pieces that are verified now, as [`crate::model::bitfield::Bitfield::ranges`] gives them.
        have: Vec<PieceRange>,
        /// How many peers it would like to be told of.
        want: u32,
    },
    /// A piece is verified. Nothing happens if the torrent is not joined.
    Got {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
    },
    /// Payload moved since the node joined.
    Stats {
        /// For which torrent.
        torrent: InfoHash,
        /// Payload bytes sent.
        up: u64,
        /// Payload bytes received.
        down: u64,
        /// [`TransferEvent::Completed`] when it is. The announcer adds `started` and `stopped` by itself.
        event: Option<TransferEvent>,
    },
    /// It has other pieces than it has said, and not just more.
    Changed {
        /// Of which torrent.
        torrent: InfoHash,
    },
    /// Too few of the peers it knows can be reached.
    Want {
        /// Of which torrent.
        torrent: InfoHash,
        /// How many more.
        n: u32,
    },
    /// The node no longer takes part in a torrent.
    Left {
        /// Which.
        torrent: InfoHash,
    },
    /// [`Announcer::deadline`] has come.
    Tick,
}

/// What an announcer wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to the tracker; answer with [`Input::Opened`] or [`Input::Closed`].
    Dial,
    /// Send this on the connection.
    Send(ToTracker),
    /// Close the connection once what was sent is out. No input about it may follow.
    Close,
    /// Say again what the node has of this torrent ([`Input::Joined`]), or that it left it.
    NeedJoin(InfoHash),
    /// Peers worth dialling: numbers, not names, none of them the node itself.
    Peers {
        /// Of which torrent.
        torrent: InfoHash,
        /// At most [`limits::PEERS_PER_MESSAGE_MAX`].
        peers: Vec<PeerAddress>,
    },
    /// The tracker has welcomed the node.
    Connected,
    /// The tracker could not be reached, or its connection is over; the reason, for a person. It is tried again.
    Lost(String),
}

/// Who speaks: what a tracker's `hello` is made of.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// The node.
    pub node: NodeId,
    /// Where it listens for peers.
    pub port: u16,
    /// Where it stands.
    pub site: Site,
    /// By which name it knows the tracker.
    pub via: Address,
}

/// The machine for one tracker.
#[derive(Debug)]
pub struct Announcer {
    speaker: Speaker,
    batch: Duration,
    timeout: Duration,
    backoff: Backoff,
    state: State,
    torrents: BTreeMap<InfoHash, Torrent>,
    flush_at: Option<Time>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    /// There is nothing to talk about.
    Idle,
    /// The next dial is due at this moment.
    Waiting(Time),
    Dialing,
    Open(Link),
}

#[derive(Debug)]
struct Link {
    tracker: IpAddr,
    welcomed: bool,
    heard: Time,
    ping_at: Time,
    ping_every: Duration,
    refused: Option<String>,
}

#[derive(Debug, Default)]
struct Torrent {
    /// Whether `join` was sent on the connection that stands.
    joined: bool,
    /// Whether `started` was ever sent.
    started: bool,
    got: Vec<u32>,
    /// What it has is to be said anew.
    changed: bool,
    up: u64,
    down: u64,
    stats_due: bool,
    completed: bool,
}

impl Announcer {
    /// A machine that dials as soon as there is a torrent; its waits between dials are drawn from `rng`.
    #[must_use]
    pub const fn new(speaker: Speaker, config: &EngineConfig, rng: Rng) -> Self {
        Self {
            speaker,
            batch: config.tracker_batch,
            timeout: config.tracker_timeout,
            backoff: Backoff::new(limits::TRACKER_RETRY_FIRST, limits::TRACKER_RETRY_MAX, rng),
            state: State::Idle,
            torrents: BTreeMap::new(),
            flush_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// Whether the tracker has welcomed the node, on the connection that stands.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(&self.state, State::Open(link) if link.welcomed)
    }

    /// What is to be done next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to give [`Input::Tick`], if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Idle | State::Dialing => None,
            State::Waiting(until) => Some(*until),
            State::Open(link) => {
                let silent = link.silent_at(self.timeout);
                let ping = if link.welcomed { link.ping_at } else { Time::FAR_FUTURE };
                Some(silent.min(ping).min(self.flush_at.unwrap_or(Time::FAR_FUTURE)))
            }
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Time) {
        match input {
            Input::Opened { tracker } => self.opened(tracker.ip().to_canonical(), now),
            Input::Closed(why) => self.closed(why, now),
            Input::Message(message) => self.heard(message, now),
            Input::Joined { torrent, pieces, have, want } => {
                self.joined(torrent, pieces, have, want);
            }
            Input::Got { torrent, piece } => self.got(torrent, piece, now),
            Input::Changed { torrent } => self.changed(torrent, now),
            Input::Stats { torrent, up, down, event } => self.stats(torrent, up, down, event, now),
            Input::Want { torrent, n } => {
                if self.torrents.get(&torrent).is_some_and(|t| t.joined) {
                    self.send(ToTracker::Want { torrent, n });
                }
            }
            Input::Left { torrent } => self.left(torrent),
            Input::Tick => self.tick(now),
        }
    }

    fn opened(&mut self, tracker: IpAddr, now: Time) {
        if !matches!(self.state, State::Dialing) || self.torrents.is_empty() {
            self.state = State::Idle;
            self.outputs.push_back(Output::Close);
            return;
        }
        self.state = State::Open(Link {
            tracker,
            welcomed: false,
            heard: now,
            ping_at: Time::FAR_FUTURE,
            ping_every: self.timeout / 3,
            refused: None,
        });
        let Speaker { node, port, site, via } = self.speaker.clone();
        self.send(ToTracker::Hello { v: VERSION, node, port, site, via: Some(via) });
        self.outputs.extend(self.torrents.keys().copied().map(Output::NeedJoin));
    }

    fn heard(&mut self, message: FromTracker, now: Time) {
        let State::Open(link) = &mut self.state else { return };
        link.heard = now;
        match message {
            FromTracker::Welcome { lease, .. } if !link.welcomed => {
                link.welcomed = true;
                let lease = Duration::from_secs(lease.into());
                link.ping_every =
                    (lease / 3).min(self.timeout / 3).max(limits::TRACKER_PING_INTERVAL_MIN);
                link.ping_at = now + link.ping_every;
                self.backoff.reset();
                self.outputs.push_back(Output::Connected);
            }
            FromTracker::Error { why } if !link.welcomed => {
                self.outputs.push_back(Output::Close);
                self.lost(format!("it refuses: {}", printable(&why)), now);
            }
            FromTracker::Error { why } => link.refused = Some(printable(&why)),
            FromTracker::Peers { torrent, peers } => {
                let peers = believable(peers, link.tracker, &self.speaker.node);
                if self.torrents.contains_key(&torrent) && !peers.is_empty() {
                    self.outputs.push_back(Output::Peers { torrent, peers });
                }
            }
            FromTracker::Welcome { .. }
            | FromTracker::Pong
            | FromTracker::Status { .. }
            | FromTracker::Torrent { .. }
            | FromTracker::Unknown => {}
        }
    }

    fn closed(&mut self, why: String, now: Time) {
        match &mut self.state {
            State::Open(link) => {
                let why =
                    link.refused.take().map_or(why, |refused| format!("it refuses: {refused}"));
                self.lost(why, now);
            }
            State::Dialing => self.lost(why, now),
            State::Idle | State::Waiting(_) => {}
        }
    }

    /// The connection is over or was not to be had.
    fn lost(&mut self, why: String, now: Time) {
        self.flush_at = None;
        for torrent in self.torrents.values_mut() {
            torrent.joined = false;
            torrent.got.clear();
            torrent.changed = false;
        }
        if self.torrents.is_empty() {
            self.state = State::Idle;
        } else {
            self.state = State::Waiting(now + self.backoff.wait());
            self.outputs.push_back(Output::Lost(why));
        }
    }

    fn joined(&mut self, info_hash: InfoHash, pieces: u32, mut have: Vec<PieceRange>, want: u32) {
        let torrent = self.torrents.entry(info_hash).or_default();
        match self.state {
            State::Idle => {
                self.state = State::Dialing;
                self.outputs.push_back(Output::Dial);
            }
            State::Open(_) if !torrent.joined => {
                torrent.joined = true;
                let rest = have.split_off(have.len().min(limits::HAVE_RANGES_MAX));
                let first = !std::mem::replace(&mut torrent.started, true);
                self.send(ToTracker::Join { torrent: info_hash, pieces, have, want });
                self.send_have(info_hash, &rest);
                if first {
                    self.send_stats(info_hash, Some(TransferEvent::Started));
                }
                self.flush_torrent(info_hash);
            }
            State::Open(_) | State::Waiting(_) | State::Dialing => {}
        }
    }

    fn got(&mut self, torrent: InfoHash, piece: u32, now: Time) {
        if let Some(torrent) = self.torrents.get_mut(&torrent).filter(|t| t.joined) {
            torrent.got.push(piece);
            self.flush_at.get_or_insert(now + self.batch);
        }
    }

    fn changed(&mut self, torrent: InfoHash, now: Time) {
        if let Some(torrent) = self.torrents.get_mut(&torrent).filter(|t| t.joined) {
            torrent.changed = true;
            self.flush_at.get_or_insert(now + self.batch);
        }
    }

    fn stats(
        &mut self,
        info_hash: InfoHash,
        up: u64,
        down: u64,
        event: Option<TransferEvent>,
        now: Time,
    ) {
        let Some(torrent) = self.torrents.get_mut(&info_hash) else { return };
        torrent.stats_due |= (torrent.up, torrent.down) != (up, down);
        (torrent.up, torrent.down) = (up, down);
        torrent.completed |= event == Some(TransferEvent::Completed);
        match (torrent.joined, torrent.completed, torrent.stats_due) {
            (true, true, _) => self.flush_torrent(info_hash),
            (true, false, true) => {
                self.flush_at.get_or_insert(now + self.batch);
            }
            _ => {}
        }
    }

    fn left(&mut self, info_hash: InfoHash) {
        let Some(torrent) = self.torrents.get(&info_hash) else { return };
        if torrent.joined {
            self.send_stats(info_hash, Some(TransferEvent::Stopped));
            self.send(ToTracker::Leave { torrent: info_hash });
        }
        self.torrents.remove(&info_hash);
        if self.torrents.is_empty() {
            self.flush_at = None;
            match self.state {
                State::Open(_) => {
                    self.state = State::Idle;
                    self.outputs.push_back(Output::Close);
                }
                State::Waiting(_) => self.state = State::Idle,
                State::Idle | State::Dialing => {}
            }
        }
    }

    fn tick(&mut self, now: Time) {
        match &mut self.state {
            State::Waiting(until) if *until <= now => {
                self.state = State::Dialing;
                self.outputs.push_back(Output::Dial);
            }
            State::Open(link) if link.silent_at(self.timeout) <= now => {
                self.outputs.push_back(Output::Close);
                self.lost("it does not answer".to_owned(), now);
            }
            State::Open(link) => {
                if link.welcomed && link.ping_at <= now {
                    link.ping_at = now + link.ping_every;
                    self.send(ToTracker::Ping);
                }
                if self.flush_at.is_some_and(|at| at <= now) {
                    self.flush_at = None;
                    let all: Vec<InfoHash> = self.torrents.keys().copied().collect();
                    all.into_iter().for_each(|info_hash| self.flush_torrent(info_hash));
                }
            }
            State::Idle | State::Waiting(_) | State::Dialing => {}
        }
    }

    /// Sends what was gathered about a joined torrent: first the pieces, so that `completed` is true when it comes.
    fn flush_torrent(&mut self, info_hash: InfoHash) {
        let Some(torrent) = self.torrents.get_mut(&info_hash).filter(|t| t.joined) else { return };
        if std::mem::take(&mut torrent.changed) {
            // Who joins says all that it has; the rest follows that.
            torrent.joined = false;
            torrent.got.clear();
            self.outputs.push_back(Output::NeedJoin(info_hash));
            return;
        }
        let mut got = std::mem::take(&mut torrent.got);
        let stats = torrent.stats_due || torrent.completed;
        got.sort_unstable();
        got.dedup();
        self.send_have(info_hash, &collect_ranges(got));
        if stats {
            self.send_gathered_stats(info_hash);
        }
    }

    fn send_have(&mut self, torrent: InfoHash, ranges: &[PieceRange]) {
        for p in ranges.chunks(limits::HAVE_RANGES_MAX) {
            self.send(ToTracker::Have { torrent, p: p.to_vec() });
        }
    }

    fn send_gathered_stats(&mut self, info_hash: InfoHash) {
        let completed =
            self.torrents.get_mut(&info_hash).is_some_and(|t| std::mem::take(&mut t.completed));
        self.send_stats(info_hash, completed.then_some(TransferEvent::Completed));
    }

    fn send_stats(&mut self, info_hash: InfoHash, event: Option<TransferEvent>) {
        if let Some(torrent) = self.torrents.get_mut(&info_hash) {
            torrent.stats_due = false;
            let (up, down) = (torrent.up, torrent.down);
            self.send(ToTracker::Stats { torrent: info_hash, up, down, event });
        }
    }

    fn send(&mut self, message: ToTracker) {
        self.outputs.push_back(Output::Send(message));
    }
}

impl Link {
    /// When it has been silent for too long. The answer to `hello` is waited for less long: a service that never
    /// gives one is no tracker.
    fn silent_at(&self, timeout: Duration) -> Time {
        let patience = if self.welcomed { timeout } else { timeout.min(limits::HANDSHAKE_TIMEOUT) };
        self.heard + patience
    }
}

/// The peers out of `peers` that a tracker seen at `tracker` may name to `node`.
fn believable(mut peers: Vec<PeerAddress>, tracker: IpAddr, node: &NodeId) -> Vec<PeerAddress> {
    peers.truncate(limits::PEERS_PER_MESSAGE_MAX);
    peers.retain(|peer| {
        let named = peer.addr.socket_addr();
        peer.node != *node
            && named
                .is_some_and(|addr| addr.port() != 0 && may_name(tracker, addr.ip().to_canonical()))
    });
    peers
}

/// Whether a tracker at `tracker` may send a node to `peer`. Whoever is on this machine may name this machine and its
/// links; who is on a link may name that kind of link; others neither.
fn may_name(tracker: IpAddr, peer: IpAddr) -> bool {
    let nowhere = match peer {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    if nowhere {
        false
    } else if peer.is_loopback() {
        tracker.is_loopback()
    } else if is_link_local(peer) {
        tracker.is_loopback() || is_link_local(tracker)
    } else {
        true
    }
}

const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
