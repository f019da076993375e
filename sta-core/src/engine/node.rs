//! One process: composes the swarms of its torrents, the connections that have not said hello yet, and one
//! announcer per tracker.
//!
//! ```text
//!   Input -> handle -> (swarm | announcer) -> Output          take one input, then drain poll_output
//! ```
//!
//! It routes; what is decided is decided in the machines it holds. Invariant: a connection belongs to at most one
//! swarm, and only after both sides have said hello.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::announcer::{self, Announcer, Speaker};
use super::by_conn::ByConn;
use super::interface::{ConnId, Input, Output, Torrent};
use super::swarm::{News, Swarm};
use crate::model::address::Address;
use crate::model::config::EngineConfig;
use crate::model::event::{Event, PEER_SAID};
use crate::model::ids::{InfoHash, NodeId};
use crate::model::limits;
use crate::model::rng::Seed;
use crate::model::status::NodeStatus;
use crate::model::text::printable;
use crate::model::time::Time;
use crate::wire::peer::{PeerMessage, VERSION};
use crate::wire::tracker::FromTracker;

/// The engine of a node.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    port: u16,
    config: EngineConfig,
    seed: Seed,
    /// Each at the same place as long as it is a member; a place that is empty is used again.
    swarms: Vec<Option<Box<Member>>>,
    places: BTreeMap<InfoHash, Place>,
    trackers: BTreeMap<Address, Announcer>,
    /// When the first tracker is due, as of the last word with one.
    trackers_due: Time,
    /// Before this no torrent and no stranger is due. What was due then may have gone since: a tick finds out.
    due: Time,
    strangers: BTreeMap<ConnId, Stranger>,
    routes: ByConn<Place>,
    dials: u32,
    stopping: bool,
    outputs: VecDeque<Output>,
}

/// Where a swarm lies among those of a node.
type Place = u32;

#[derive(Debug)]
struct Member {
    swarm: Swarm,
    trackers: Arc<[Address]>,
}

/// A connection whose other side has not said hello.
#[derive(Debug)]
struct Stranger {
    /// For which torrent it was dialled; one that was accepted has yet to say.
    dialled_for: Option<InfoHash>,
    /// Its address; unknown while it is being dialled.
    remote: Option<SocketAddr>,
    since: Time,
}

impl Stranger {
    /// When it must have said hello.
    fn due(&self) -> Time {
        self.since + limits::HANDSHAKE_TIMEOUT
    }
}

impl Node {
    /// A node called `id` that listens at `port`. Its randomness comes from `seed`.
    #[must_use]
    pub fn new(id: NodeId, port: u16, config: EngineConfig, seed: Seed) -> Self {
        Self {
            id,
            port,
            config,
            seed,
            swarms: Vec::new(),
            places: BTreeMap::new(),
            trackers: BTreeMap::new(),
            trackers_due: Time::FAR_FUTURE,
            due: Time::FAR_FUTURE,
            strangers: BTreeMap::new(),
            routes: ByConn::new(),
            dials: 0,
            stopping: false,
            outputs: VecDeque::new(),
        }
    }

    /// What is to be done next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Exchanges the queue of what is to be done for `outputs`. Who drives many nodes lends all of them the same one, which then
    /// stays in the processor's cache; nothing may be left in it when it is the next one's turn.
    pub const fn swap_outputs(&mut self, outputs: &mut VecDeque<Output>) {
        std::mem::swap(&mut self.outputs, outputs);
    }

    /// When to give [`Input::Tick`], if nothing happens before; [`Time::FAR_FUTURE`] for never.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.due.min(self.trackers_due)
    }

    /// A snapshot for a person or a program.
    #[must_use]
    pub fn status(&self, now: Time) -> NodeStatus {
        let tracker = |(address, announcer): (&Address, &Announcer)| {
            (address.clone(), announcer.is_connected())
        };
        NodeStatus {
            torrents: self.members().map(|member| member.swarm.status(now)).collect(),
            trackers: self.trackers.iter().map(tracker).collect(),
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Time) {
        match input {
            Input::Add(torrent) => self.add(*torrent, now),
            Input::Remove(torrent) => self.remove(torrent, now),
            Input::Stop => self.stop(now),
            Input::Accepted { conn, remote } => self.accepted(conn, remote, now),
            Input::Dialled { conn, remote } => self.dialled(conn, remote, now),
            Input::Message { conn, message } => self.message(conn, message, now),
            Input::Block { conn, id, block } => {
                self.with_route(conn, now, |swarm| swarm.block(conn, id, block, now));
            }
            Input::Sent { conn } => self.with_route(conn, now, |swarm| swarm.sent(conn, now)),
            Input::Unreadable { conn, id, why } => {
                self.with_route(conn, now, |swarm| swarm.unreadable(conn, id, &why, now));
            }
            Input::Closed { conn, why } => self.closed(conn, &why, now),
            Input::NotWritten { torrent, block, why } => {
                self.with_torrent(torrent, now, |swarm| swarm.not_written(block, why, now));
            }
            Input::Checked { torrent, piece, result } => {
                self.with_torrent(torrent, now, |swarm| swarm.checked(piece, result, now));
            }
            Input::Digested { torrent, piece, number, digests } => {
                let digested = |swarm: &mut Swarm| swarm.digested(piece, number, digests, now);
                self.with_torrent(torrent, now, digested);
            }
            Input::LeavesChecked { torrent, piece, right } => {
                self.with_torrent(torrent, now, |swarm| swarm.leaves_checked(piece, right, now));
            }
            Input::Finished { torrent, result } => {
                self.with_torrent(torrent, now, |swarm| swarm.finished(result, now));
            }
            Input::TrackerOpened { tracker, remote } => {
                self.announce(&tracker, announcer::Input::Opened { tracker: remote }, now);
            }
            Input::TrackerMessage { tracker, message } => {
                self.tracker_message(&tracker, message, now);
            }
            Input::TrackerClosed { tracker, why } => {
                self.announce(&tracker, announcer::Input::Closed(why), now);
            }
            Input::Tick => self.tick(now),
        }
    }

    fn add(&mut self, torrent: Torrent, now: Time) {
        let info_hash = torrent.info_hash;
        if self.stopping || self.places.contains_key(&info_hash) {
            return;
        }
        let trackers: Arc<[Address]> = torrent.trackers.as_slice().into();
        let seed = self.seed.child(&info_hash.to_string());
        let mut swarm = Swarm::new(torrent, &self.config, self.id.clone(), seed, now);
        // All of them at the same moments: otherwise each of many is looked at whenever any one of them is due.
        if let Some(member) = self.members().next() {
            swarm.tick_with(&member.swarm);
        }
        self.outputs.extend(std::iter::from_fn(|| swarm.poll_output()));
        for tracker in &*trackers {
            let (node, site) = (self.id.clone(), self.config.site.clone());
            let speaker = Speaker { node, port: self.port, site, via: tracker.clone() };
            let rng = self.seed.stream(&format!("tracker/{tracker}"));
            let new = || Announcer::new(speaker, &self.config, rng);
            self.trackers.entry(tracker.clone()).or_insert_with(new);
        }
        self.due = self.due.min(swarm.deadline());
        let member = Member { swarm, trackers: Arc::clone(&trackers) };
        let place = self.insert(member);
        self.places.insert(info_hash, place);
        for tracker in &*trackers {
            self.join(tracker, info_hash, now);
        }
        self.follow_up(place, now);
    }

    /// The swarms, in the order of their torrents.
    fn members(&self) -> impl Iterator<Item = &Member> {
        self.places.values().filter_map(|&place| self.swarms[place as usize].as_deref())
    }

    fn member(&self, torrent: &InfoHash) -> Option<&Member> {
        self.swarms[*self.places.get(torrent)? as usize].as_deref()
    }

    fn insert(&mut self, member: Member) -> Place {
        let empty = self.swarms.iter().position(Option::is_none);
        let place = empty.unwrap_or_else(|| {
            self.swarms.push(None);
            self.swarms.len() - 1
        });
        self.swarms[place] = Some(Box::new(member));
        place as Place
    }

    /// Tells a tracker what there is of a torrent, or that there is nothing any more.
    fn join(&mut self, tracker: &Address, torrent: InfoHash, now: Time) {
        let input = match self.member(&torrent) {
            Some(member) => announcer::Input::Joined {
                torrent,
                pieces: member.swarm.have().len(),
                have: member.swarm.readable(),
                want: member.swarm.peers_wanted(),
            },
            None => announcer::Input::Left { torrent },
        };
        self.announce(tracker, input, now);
    }

    fn remove(&mut self, torrent: InfoHash, now: Time) {
        let Some(place) = self.places.remove(&torrent) else { return };
        let Some(mut member) = self.swarms[place as usize].take() else { return };
        member.swarm.leave(now);
        self.outputs.extend(std::iter::from_fn(|| member.swarm.poll_output()));
        for tracker in &*member.trackers {
            self.announce(tracker, announcer::Input::Left { torrent }, now);
        }
        self.routes.retain(|_, route| *route != place);
        self.strangers.retain(|&conn, stranger| {
            let stays = stranger.dialled_for != Some(torrent);
            if !stays {
                let why = "the torrent it was dialled for was left".into();
                self.outputs.push_back(Output::Close { conn, why });
            }
            stays
        });
    }

    fn stop(&mut self, now: Time) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        let torrents: Vec<_> = self.places.keys().copied().collect();
        for torrent in torrents {
            self.remove(torrent, now);
        }
        for (conn, _) in std::mem::take(&mut self.strangers) {
            self.outputs.push_back(Output::Close { conn, why: "this node stops".into() });
        }
        self.outputs.push_back(Output::Event(Event::NodeStopped));
        self.outputs.push_back(Output::Stopped);
    }

    fn accepted(&mut self, conn: ConnId, remote: SocketAddr, now: Time) {
        let accepted = self.strangers.keys().filter(|conn| conn.is_accepted()).count();
        if accepted >= limits::HANDSHAKES_PENDING_MAX
            && let Some(conn) = self.least_wanted()
        {
            let why = "too many connections that have not said hello".into();
            self.strangers.remove(&conn);
            self.outputs.push_back(Output::Close { conn, why });
        }
        let stranger = Stranger { dialled_for: None, remote: Some(remote), since: now };
        self.due = self.due.min(stranger.due());
        self.strangers.insert(conn, stranger);
    }

    /// Of the accepted connections that have not said hello the oldest of the host that has most of them: who opens many keeps
    /// out nobody else.
    fn least_wanted(&self) -> Option<ConnId> {
        let mut hosts: BTreeMap<IpAddr, (usize, ConnId)> = BTreeMap::new();
        let mut oldest: Vec<_> =
            self.strangers.iter().filter(|(conn, _)| conn.is_accepted()).collect();
        oldest.sort_by_key(|(conn, stranger)| (stranger.since, **conn));
        for (conn, stranger) in oldest {
            let host = stranger.remote.map(|remote| remote.ip())?;
            hosts.entry(host).or_insert((0, *conn)).0 += 1;
        }
        hosts.into_values().max_by_key(|(count, _)| *count).map(|(_, conn)| conn)
    }

    fn dialled(&mut self, conn: ConnId, remote: SocketAddr, now: Time) {
        let Some(stranger) = self.strangers.get_mut(&conn) else {
            self.outputs.push_back(Output::Close { conn, why: "no longer wanted".into() });
            return;
        };
        stranger.remote = Some(remote);
        stranger.since = now;
        if let Some(torrent) = stranger.dialled_for {
            self.say_hello(conn, torrent);
        }
    }

    fn say_hello(&mut self, conn: ConnId, torrent: InfoHash) {
        let message = PeerMessage::Hello { v: VERSION, node: self.id.clone(), torrent };
        self.outputs.push_back(Output::Send { conn, message });
    }

    fn message(&mut self, conn: ConnId, message: PeerMessage, now: Time) {
        if let Some(&place) = self.routes.get(conn) {
            return self.with(place, now, |swarm| swarm.message(conn, message, now));
        }
        let Some(stranger) = self.strangers.remove(&conn) else { return };
        let refusal = match (message, stranger.remote) {
            (PeerMessage::Hello { node, torrent, .. }, Some(remote)) => {
                self.hello(conn, &stranger, node, torrent, remote, now).err()
            }
            (PeerMessage::Bye { why }, _) => Some(format!("{PEER_SAID}{}", printable(&why))),
            _ => Some("it did not begin with hello".to_owned()),
        };
        if let Some(why) = refusal {
            self.refuse(conn, &stranger, &why, now);
        }
    }

    fn hello(
        &mut self,
        conn: ConnId,
        stranger: &Stranger,
        node: NodeId,
        torrent: InfoHash,
        remote: SocketAddr,
        now: Time,
    ) -> Result<(), String> {
        if stranger.dialled_for.is_some_and(|expected| expected != torrent) {
            return Err("it speaks of another torrent".into());
        }
        let place = self.places.get(&torrent).copied();
        let member = place.and_then(|place| Some((place, self.swarms[place as usize].as_mut()?)));
        let (place, member) = member.ok_or("this torrent is not known here")?;
        if let Err(why) = member.swarm.admits(conn, &node, remote.ip(), now) {
            member.swarm.refused(conn, &node);
            return Err(why.into());
        }
        if stranger.dialled_for.is_none() {
            self.say_hello(conn, torrent);
        }
        self.routes.insert(conn, place);
        self.with(place, now, |swarm| swarm.connected(conn, node, remote, now));
        Ok(())
    }

    /// Ends a connection that never became a session.
    fn refuse(&mut self, conn: ConnId, stranger: &Stranger, why: &str, now: Time) {
        if stranger.remote.is_some() {
            let message = PeerMessage::Bye { why: why.to_owned() };
            self.outputs.push_back(Output::Send { conn, message });
        }
        self.outputs.push_back(Output::Close { conn, why: why.to_owned() });
        if let Some(torrent) = stranger.dialled_for {
            self.with_torrent(torrent, now, |swarm| swarm.closed(conn, why, now));
        }
    }

    fn closed(&mut self, conn: ConnId, why: &str, now: Time) {
        let stranger = self.strangers.remove(&conn);
        let dialled_for = stranger.and_then(|stranger| stranger.dialled_for);
        let dialled_for = dialled_for.and_then(|torrent| self.places.get(&torrent).copied());
        if let Some(place) = self.routes.remove(conn).or(dialled_for) {
            self.with(place, now, |swarm| swarm.closed(conn, why, now));
        }
    }

    fn tracker_message(&mut self, tracker: &Address, message: FromTracker, now: Time) {
        self.announce(tracker, announcer::Input::Message(message), now);
    }

    fn tick(&mut self, now: Time) {
        let late: Vec<_> = self
            .strangers
            .iter()
            .filter(|(_, stranger)| now >= stranger.due())
            .map(|(&conn, _)| conn)
            .collect();
        for conn in late {
            if let Some(stranger) = self.strangers.remove(&conn) {
                self.refuse(conn, &stranger, "it did not say hello in time", now);
            }
        }
        let places: SmallVec<[Place; 8]> = self.places.values().copied().collect();
        for place in places {
            self.with(place, now, |swarm| swarm.tick(now));
        }
        let swarms = self.members().map(|member| member.swarm.deadline());
        let strangers = self.strangers.values().map(Stranger::due);
        self.due = swarms.chain(strangers).min().unwrap_or(Time::FAR_FUTURE);
        if now >= self.trackers_due {
            let trackers: Vec<_> = self.trackers.keys().cloned().collect();
            for tracker in trackers {
                self.announce(&tracker, announcer::Input::Tick, now);
            }
        }
    }

    /// Gives an announcer an input and does what it wants done.
    fn announce(&mut self, tracker: &Address, input: announcer::Input, now: Time) {
        let Some(announcer) = self.trackers.get_mut(tracker) else { return };
        announcer.handle(input, now);
        while let Some(output) = self.trackers.get_mut(tracker).and_then(Announcer::poll_output) {
            let tracker = tracker.clone();
            match output {
                announcer::Output::Dial => self.outputs.push_back(Output::TrackerDial { tracker }),
                announcer::Output::Send(message) => {
                    self.outputs.push_back(Output::TrackerSend { tracker, message });
                }
                announcer::Output::Close => {
                    self.outputs.push_back(Output::TrackerClose { tracker });
                }
                announcer::Output::NeedJoin(torrent) => self.join(&tracker, torrent, now),
                announcer::Output::Peers { torrent, peers } => {
                    let peers = peers.into_iter().map(|peer| (peer.addr, peer.node)).collect();
                    self.with_torrent(torrent, now, |swarm| swarm.learned(peers, now));
                }
                announcer::Output::Connected => {
                    self.outputs.push_back(Output::Event(Event::TrackerConnected { tracker }));
                }
                announcer::Output::Lost(why) => {
                    self.outputs.push_back(Output::Event(Event::TrackerLost { tracker, why }));
                }
            }
        }
        let due = self.trackers.values().filter_map(Announcer::deadline);
        self.trackers_due = due.min().unwrap_or(Time::FAR_FUTURE);
    }

    fn with_route(&mut self, conn: ConnId, now: Time, act: impl FnOnce(&mut Swarm)) {
        if let Some(&place) = self.routes.get(conn) {
            self.with(place, now, act);
        }
    }

    fn with_torrent(&mut self, torrent: InfoHash, now: Time, act: impl FnOnce(&mut Swarm)) {
        if let Some(&place) = self.places.get(&torrent) {
            self.with(place, now, act);
        }
    }

    /// Does something with a swarm, and what the swarm then wants done.
    fn with(&mut self, place: Place, now: Time, act: impl FnOnce(&mut Swarm)) {
        if let Some(member) = &mut self.swarms[place as usize] {
            let swarm = &mut member.swarm;
            let before = self.outputs.len();
            // It speaks through the node's own queue.
            swarm.swap_outputs(&mut self.outputs);
            act(swarm);
            swarm.swap_outputs(&mut self.outputs);
            if swarm.has_more_to_say(now) {
                for output in self.outputs.range(before..) {
                    if let Output::Close { conn, .. } = output {
                        self.routes.remove(*conn);
                    }
                }
                self.follow_up(place, now);
            }
        }
    }

    /// Dials whom a swarm wants dialled, and passes its news on.
    fn follow_up(&mut self, place: Place, now: Time) {
        let Some(member) = &mut self.swarms[place as usize] else { return };
        let torrent = member.swarm.info_hash();
        while let Some(addr) = member.swarm.next_dial(ConnId::dialled(self.dials), now) {
            let conn = ConnId::dialled(self.dials);
            self.dials += 1;
            let stranger = Stranger { dialled_for: Some(torrent), remote: None, since: now };
            self.due = self.due.min(stranger.due());
            self.strangers.insert(conn, stranger);
            self.outputs.push_back(Output::Dial { conn, addr });
        }
        if let Some(news) = member.swarm.poll_news() {
            let mut all: SmallVec<[News; 2]> = smallvec![news];
            all.extend(std::iter::from_fn(|| member.swarm.poll_news()));
            let trackers = Arc::clone(&member.trackers);
            for tracker in &*trackers {
                for news in &all {
                    self.announce(tracker, told(torrent, news), now);
                }
            }
        }
    }
}

/// News of a swarm, as an announcer takes it.
fn told(torrent: InfoHash, news: &News) -> announcer::Input {
    match *news {
        News::Got(piece) => announcer::Input::Got { torrent, piece },
        News::Changed => announcer::Input::Changed { torrent },
        News::Want(n) => announcer::Input::Want { torrent, n },
        News::Stats { up, down, event } => announcer::Input::Stats { torrent, up, down, event },
    }
}

#[cfg(test)]
mod tests;
