//! The one task that owns a node.

use std::collections::BTreeMap;
use std::future::ready;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::tracker_link::{self, FromLink, TrackerLink};
use super::{Command, NodeEnv, TorrentSpec, Waiter};
use crate::engine::interface::{ConnId, Input, Output};
use crate::engine::node::Node;
use crate::io::store::{PieceStore, StoreError};
use crate::io::transport::{Connection, Listener};
use crate::model::address::Address;
use crate::model::config::NodeConfig;
use crate::model::event::{Event, Record};
use crate::model::ids::{InfoHash, NodeId};
use crate::model::limits;
use crate::model::time::Time;
use crate::run::accept::accept;
use crate::run::buffers::{Buffer, BufferPool};
use crate::run::disk::{Disk, DiskDone};
use crate::run::peer::{self, Deliver, FromPeer, ToPeer, Wanted};
use crate::wire::peer::PeerMessage;

/// How long goodbyes may take when a node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that may come to the owner.
pub(super) enum Inbox {
    Command(Command),
    Accepted(Connection),
    Dialled(ConnId, std::io::Result<Connection>),
    Peer(ConnId, FromPeer, Option<OwnedSemaphorePermit>),
    Tracker(Address, u64, FromLink, Option<OwnedSemaphorePermit>),
    Disk(DiskDone),
}

impl From<DiskDone> for Inbox {
    fn from(done: DiskDone) -> Self {
        Self::Disk(done)
    }
}

#[derive(Clone)]
struct ToOwner(mpsc::UnboundedSender<Inbox>);

impl Deliver for ToOwner {
    fn deliver(&self, conn: ConnId, what: FromPeer, permit: Option<OwnedSemaphorePermit>) {
        // An error means that the owner has stopped, and with it this connection.
        let _ = self.0.send(Inbox::Peer(conn, what, permit));
    }
}

/// A torrent that was left.
struct Leaving {
    /// How many workers of the disk have not said that they are done.
    workers: usize,
    /// What is to be added then: the same torrent again.
    next: Option<TorrentSpec>,
    /// Who waits until then.
    waiters: Vec<oneshot::Sender<()>>,
}

/// The state of a running node.
pub(super) struct Owner {
    env: NodeEnv,
    id: NodeId,
    engine: Node,
    inbox: mpsc::UnboundedSender<Inbox>,
    conns: BTreeMap<ConnId, Wanted>,
    /// The dials that are under way.
    dials: BTreeMap<ConnId, AbortHandle>,
    links: BTreeMap<Address, TrackerLink>,
    links_made: u64,
    accepted: u32,
    stores: BTreeMap<InfoHash, Arc<dyn PieceStore>>,
    /// Torrents that were left, with whose files the disk is not done.
    leaving: BTreeMap<InfoHash, Leaving>,
    waiters: BTreeMap<InfoHash, Vec<Waiter>>,
    disk: Disk,
    pool: BufferPool,
    /// The body of the block that the engine is looking at.
    body: Option<Buffer>,
    tasks: JoinSet<()>,
    stopped: bool,
    stop_waiters: Vec<oneshot::Sender<()>>,
}

impl Owner {
    pub(super) fn new(
        env: NodeEnv,
        config: NodeConfig,
        local: SocketAddr,
        inbox: mpsc::UnboundedSender<Inbox>,
    ) -> Self {
        let disk = Disk::new(env.disk_threads, inbox.clone());
        let id = config.id.clone();
        let engine = Node::new(id.clone(), local.port(), config.engine, env.seed);
        let owner = Self {
            env,
            id,
            engine,
            inbox,
            conns: BTreeMap::new(),
            dials: BTreeMap::new(),
            links: BTreeMap::new(),
            links_made: 0,
            accepted: 0,
            stores: BTreeMap::new(),
            leaving: BTreeMap::new(),
            waiters: BTreeMap::new(),
            disk,
            pool: BufferPool::new(),
            body: None,
            tasks: JoinSet::new(),
            stopped: false,
            stop_waiters: Vec::new(),
        };
        owner.observe(Event::NodeStarted { listen: local.into() });
        owner
    }

    /// Takes one input, does all that follows from it, and waits for the next one or the deadline.
    pub(super) async fn run(
        mut self,
        listener: Box<dyn Listener>,
        mut received: mpsc::UnboundedReceiver<Inbox>,
    ) {
        let inbox = self.inbox.clone();
        let deliver = move |connection| ready(inbox.send(Inbox::Accepted(connection)).is_ok());
        let accepting = self.tasks.spawn(accept(listener, deliver));
        // Set anew only when the deadline moves: most of what comes leaves it where it is.
        let mut alarm = pin!(sleep(Duration::ZERO));
        let mut set_for = None;
        while !self.stopped {
            let deadline = self.engine.deadline();
            let wait = deadline.since(self.now());
            if wait.is_zero() {
                // Before the inbox: under load there is always something in it.
                self.feed(Input::Tick);
            }
            if set_for != Some(deadline) {
                set_for = Some(deadline);
                alarm.set(sleep(wait));
            }
            tokio::select! {
                biased;
                inbox = received.recv() => match inbox {
                    Some(inbox) => self.take(inbox),
                    None => break,
                },
                () = &mut alarm => {
                    set_for = None;
                    self.feed(Input::Tick);
                }
            }
            self.reap();
        }
        accepting.abort();
        self.dials.values().for_each(AbortHandle::abort);
        self.conns.clear();
        self.links.clear();
        let goodbyes = async { while self.tasks.join_next().await.is_some() {} };
        // Whoever has not taken our goodbye by then does without.
        let _ = timeout(STOP_PATIENCE, goodbyes).await;
        for waiter in self.stop_waiters.drain(..) {
            // An error means that nobody waits any more.
            let _ = waiter.send(());
        }
    }

    fn now(&self) -> Time {
        self.env.clock.now()
    }

    /// Lets finished tasks go. One that panicked takes the node with it: it is a bug, and must be seen.
    fn reap(&mut self) {
        while let Some(result) = self.tasks.try_join_next() {
            if let Err(error) = result
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    fn take(&mut self, inbox: Inbox) {
        match inbox {
            Inbox::Command(command) => self.command(command),
            Inbox::Accepted(connection) => {
                let conn = ConnId::accepted(self.accepted);
                self.accepted = self.accepted.wrapping_add(1);
                let remote = connection.remote;
                self.open(conn, connection);
                self.feed(Input::Accepted { conn, remote });
            }
            Inbox::Dialled(conn, result) => self.dialled(conn, result),
            Inbox::Peer(conn, what, _permit) => self.peer_says(conn, what),
            Inbox::Tracker(tracker, link, what, _permit) => {
                self.tracker_says(tracker, link, what);
            }
            Inbox::Disk(DiskDone::NotWritten { torrent, block, why }) => {
                self.feed(Input::NotWritten { torrent, block, why });
            }
            Inbox::Disk(DiskDone::Checked { torrent, piece, ok }) => {
                self.feed(Input::Checked { torrent, piece, result: ok });
            }
            Inbox::Disk(DiskDone::Digested { torrent, piece, number, digests }) => {
                self.feed(Input::Digested { torrent, piece, number, digests });
            }
            Inbox::Disk(DiskDone::LeavesChecked { torrent, piece, right }) => {
                self.feed(Input::LeavesChecked { torrent, piece, right });
            }
            Inbox::Disk(DiskDone::Finished { torrent, result }) => {
                self.feed(Input::Finished { torrent, result });
            }
            Inbox::Disk(DiskDone::Forgotten { torrent }) => self.forgotten(torrent),
            // As of any task: see `reap`.
            Inbox::Disk(DiskDone::Panicked) => panic!("a disk worker has panicked"),
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Add(torrent) => match self.leaving.get_mut(&torrent.info_hash) {
                // What the disk has still to do would mix with what it is given from now on.
                Some(leaving) => _ = leaving.next.get_or_insert(torrent),
                None => self.add(&torrent),
            },
            Command::Remove(torrent, waiter) => self.leave(torrent, waiter),
            Command::Status(answer) => {
                let mut status = self.engine.status(self.now());
                for torrent in &mut status.torrents {
                    torrent.unwritten = self.disk.backlog().of(torrent.info_hash);
                }
                // An error means that nobody waits any more.
                let _ = answer.send(status);
            }
            Command::Finished(torrent, waiter) => {
                self.waiters.entry(torrent).or_default().push(waiter);
                self.answer_waiters(torrent);
            }
            Command::Stop(waiter) => {
                self.stop_waiters.push(waiter);
                self.feed(Input::Stop);
            }
        }
    }

    fn add(&mut self, torrent: &TorrentSpec) {
        let known = self.stores.entry(torrent.info_hash);
        known.or_insert_with(|| Arc::clone(&torrent.store));
        self.feed(torrent.for_engine());
    }

    /// A `waiter` is told once the disk is done with it.
    fn leave(&mut self, torrent: InfoHash, waiter: Option<oneshot::Sender<()>>) {
        self.feed(Input::Remove(torrent));
        if let Some(store) = self.stores.remove(&torrent) {
            let workers = self.disk.forget_torrent(torrent, &store);
            self.leaving.insert(torrent, Leaving { workers, next: None, waiters: Vec::new() });
        } else if let Some(leaving) = self.leaving.get_mut(&torrent) {
            leaving.next = None;
            self.answer_waiters(torrent);
        }
        // Where nothing is to be waited for, dropping it says so.
        if let (Some(leaving), Some(waiter)) = (self.leaving.get_mut(&torrent), waiter) {
            leaving.waiters.push(waiter);
        }
    }

    /// One more worker of the disk is done with a torrent that was left.
    fn forgotten(&mut self, torrent: InfoHash) {
        let Some(leaving) = self.leaving.get_mut(&torrent) else { return };
        leaving.workers -= 1;
        if leaving.workers > 0 {
            return;
        }
        // Dropping those who wait tells them.
        if let Some(Leaving { next: Some(next), .. }) = self.leaving.remove(&torrent) {
            self.add(&next);
        }
    }

    /// Tells those who wait for a torrent how it ended, if it did.
    fn answer_waiters(&mut self, torrent: InfoHash) {
        let comes = self.leaving.get(&torrent).is_some_and(|leaving| leaving.next.is_some());
        if comes || !self.waiters.contains_key(&torrent) {
            return;
        }
        let status = self.engine.status(self.now());
        let known = status.torrents.into_iter().find(|t| t.info_hash == torrent);
        let result = match known {
            Some(status) if status.finished => Ok(()),
            Some(status) => match status.failed {
                Some(failure) => Err(failure),
                None => return,
            },
            None => {
                let (path, reason) = (torrent.to_string(), "the torrent was left".to_owned());
                Err(StoreError { path, reason, passing: false })
            }
        };
        let passing = result.as_ref().is_err_and(|failure| failure.passing);
        let waiters = self.waiters.remove(&torrent).unwrap_or_default();
        let (stay, told): (Vec<_>, _) =
            waiters.into_iter().partition(|waiter| passing && waiter.patient);
        for waiter in told {
            // An error means that nobody waits any more.
            let _ = waiter.answer.send(result.clone());
        }
        if !stay.is_empty() {
            self.waiters.insert(torrent, stay);
        }
    }

    fn peer_says(&mut self, conn: ConnId, what: FromPeer) {
        match what {
            FromPeer::Message(message) => self.feed(Input::Message { conn, message }),
            FromPeer::Block { id, block, data } => {
                self.body = Some(data);
                self.feed(Input::Block { conn, id, block });
                self.body = None;
            }
            FromPeer::Sent => self.feed(Input::Sent { conn }),
            FromPeer::Unreadable { id, why } => self.feed(Input::Unreadable { conn, id, why }),
            FromPeer::Closed(why) => {
                self.conns.remove(&conn);
                self.feed(Input::Closed { conn, why });
            }
        }
    }

    fn tracker_says(&mut self, tracker: Address, link: u64, what: FromLink) {
        // What comes from a connection that was given up in the meantime is of no interest.
        if self.links.get(&tracker).is_none_or(|standing| standing.number != link) {
            return;
        }
        match what {
            FromLink::Opened { remote } => self.feed(Input::TrackerOpened { tracker, remote }),
            FromLink::Message(message) => self.feed(Input::TrackerMessage { tracker, message }),
            FromLink::Closed(why) => {
                self.links.remove(&tracker);
                self.feed(Input::TrackerClosed { tracker, why });
            }
        }
    }

    /// Gives the engine one input and does everything it then says.
    fn feed(&mut self, input: Input) {
        let now = self.now();
        self.engine.handle(input, now);
        while let Some(output) = self.engine.poll_output() {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Dial { conn, addr } => self.dial(conn, addr),
            Output::Send { conn, message } => self.send(conn, ToPeer::Message(message)),
            Output::SendBlock { conn, id, torrent, block, leaves } => {
                if let Some(store) = self.stores.get(&torrent) {
                    let store = Arc::clone(store);
                    let known = leaves.then(|| store.leaf_hashes(block.piece)).flatten();
                    if let Some(h) = known {
                        let message = PeerMessage::Leaves { i: block.piece, h };
                        self.send(conn, ToPeer::Message(message));
                    }
                    self.send(conn, ToPeer::Block { id, block, store });
                }
            }
            Output::Close { conn, .. } => {
                // Its writer sends what is queued, and ends the connection.
                self.conns.remove(&conn);
                if let Some(dial) = self.dials.remove(&conn) {
                    dial.abort();
                }
            }
            Output::Keep { torrent, block } => {
                if let (Some(store), Some(data)) = (self.stores.get(&torrent), self.body.take()) {
                    self.disk.write(torrent, store, block, data);
                }
            }
            Output::Check { torrent, piece } => {
                self.with_store(torrent, |disk, store| disk.verify(torrent, store, piece));
            }
            Output::Digest { torrent, piece, number, blocks } => {
                let digest = |disk: &Disk, store: &Arc<dyn PieceStore>| {
                    disk.digest(torrent, store, piece, number, blocks);
                };
                self.with_store(torrent, digest);
            }
            Output::CheckLeaves { torrent, piece, bytes } => {
                let check = |disk: &Disk, store: &Arc<dyn PieceStore>| {
                    disk.check_leaves(torrent, store, piece, bytes);
                };
                self.with_store(torrent, check);
            }
            Output::KeepLeaves { torrent, piece, hashes } => {
                self.with_store(torrent, |_, store| store.keep_leaf_hashes(piece, &hashes));
            }
            Output::Forget { torrent, piece, keep } => {
                self.with_store(torrent, |disk, store| disk.forget(torrent, store, piece, keep));
            }
            Output::Finish { torrent } => {
                self.with_store(torrent, |disk, store| disk.finish(torrent, store));
            }
            Output::TrackerDial { tracker } => self.dial_tracker(tracker),
            Output::TrackerSend { tracker, message } => {
                if let Some(link) = self.links.get(&tracker) {
                    link.send(&message);
                }
            }
            Output::TrackerClose { tracker } => {
                self.links.remove(&tracker);
            }
            Output::Event(event) => self.happened(event),
            Output::Stopped => self.stopped = true,
        }
    }

    fn with_store(&self, torrent: InfoHash, act: impl FnOnce(&Disk, &Arc<dyn PieceStore>)) {
        if let Some(store) = self.stores.get(&torrent) {
            act(&self.disk, store);
        }
    }

    fn happened(&mut self, event: Event) {
        let ended = match &event {
            Event::TorrentComplete { torrent, .. }
            | Event::TorrentRemoved { torrent }
            | Event::StoreFailed { torrent, .. } => Some(*torrent),
            _ => None,
        };
        self.observe(event);
        if let Some(torrent) = ended {
            self.answer_waiters(torrent);
        }
    }

    fn observe(&self, event: Event) {
        let record = Record { at: self.now(), who: self.id.clone(), event };
        self.env.observer.observe(&record);
    }

    fn open(&mut self, conn: ConnId, connection: Connection) {
        let (wanted, credit, queued) = Wanted::new();
        let owner = ToOwner(self.inbox.clone());
        let (pool, backlog) = (self.pool.clone(), self.disk.backlog().clone());
        let reader = self.tasks.spawn(peer::read(
            conn,
            connection.recv,
            pool,
            backlog,
            credit,
            owner.clone(),
        ));
        self.tasks.spawn(peer::write(conn, connection.send, queued, reader, owner));
        self.conns.insert(conn, wanted);
    }

    fn send(&mut self, conn: ConnId, what: ToPeer) {
        let Some(wanted) = self.conns.get(&conn) else { return };
        if wanted.queue.try_send(what).is_err() {
            self.conns.remove(&conn);
            let why = "it does not read what it is sent".to_owned();
            // The engine is amid its outputs: this is for the next turn.
            let _ = self.inbox.send(Inbox::Peer(conn, FromPeer::Closed(why), None));
        }
    }

    fn dial(&mut self, conn: ConnId, addr: Address) {
        let (transport, inbox) = (Arc::clone(&self.env.transport), self.inbox.clone());
        let dial = self.tasks.spawn(async move {
            let dialled = timeout(limits::DIAL_TIMEOUT, transport.connect(&addr)).await;
            let result = dialled.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
            // An error means that the owner has stopped.
            let _ = inbox.send(Inbox::Dialled(conn, result));
        });
        self.dials.insert(conn, dial);
    }

    fn dialled(&mut self, conn: ConnId, result: std::io::Result<Connection>) {
        if self.dials.remove(&conn).is_none() {
            // It was given up while this was on its way.
            return;
        }
        match result {
            Ok(connection) => {
                let remote = connection.remote;
                self.open(conn, connection);
                self.feed(Input::Dialled { conn, remote });
            }
            Err(error) => self.feed(Input::Closed { conn, why: error.to_string() }),
        }
    }

    fn dial_tracker(&mut self, tracker: Address) {
        self.links_made += 1;
        let number = self.links_made;
        let (inbox, name) = (self.inbox.clone(), tracker.clone());
        let deliver = move |what, permit| {
            // An error means that the owner has stopped.
            let _ = inbox.send(Inbox::Tracker(name.clone(), number, what, permit));
        };
        let transport = Arc::clone(&self.env.transport);
        let bytes_max = limits::TRACKER_LINK_OUTBOX_BYTES_MAX;
        let (name, tasks) = (tracker.clone(), &mut self.tasks);
        let link = tracker_link::start(number, transport, name, bytes_max, deliver, tasks);
        self.links.insert(tracker, link);
    }
}

#[cfg(test)]
mod tests;
