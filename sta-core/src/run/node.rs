//! The shell of a node: owns the engine of `engine/node.rs`, feeds it, and does what it says.
//!
//! One task owns everything and has one inbox: connections, disk workers, trackers and the program that holds the
//! handle all speak to it. Invariant: the outputs of one input are all done before the next input is taken.

mod owner;
mod tracker_link;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::engine::interface::{Input, Torrent};
use crate::io::clock::Clock;
use crate::io::observer::Observer;
use crate::io::store::{PieceStore, StoreError};
use crate::io::transport::Transport;
use crate::model::address::Address;
use crate::model::bitfield::Bitfield;
use crate::model::config::NodeConfig;
use crate::model::ids::InfoHash;
use crate::model::rng::Seed;
pub use crate::model::status::{NodeStatus, PeerStatus, TorrentStatus};

use owner::{Inbox, Owner};

/// The world that a node runs in.
#[derive(Clone)]
pub struct NodeEnv {
    /// How it reaches other machines.
    pub transport: Arc<dyn Transport>,
    /// What tells it the time.
    pub clock: Arc<dyn Clock>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// Where its randomness comes from.
    pub seed: Seed,
    /// Threads for hashing and writing; 0 does both in line, which worlds need.
    pub disk_threads: usize,
}

/// A torrent that a node is to take part in.
#[derive(Clone)]
pub struct TorrentSpec {
    /// Its identity.
    pub info_hash: InfoHash,
    /// Where its trackers listen.
    pub trackers: Vec<Address>,
    /// Peers known beforehand.
    pub peers: Vec<Address>,
    /// Whether to fetch what is missing; otherwise only what is there is served.
    pub fetch: bool,
    /// Where its content lives.
    pub store: Arc<dyn PieceStore>,
    /// The pieces that are there already, verified by the caller.
    pub have: Bitfield,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// It cannot listen where it was told to.
    #[error("cannot listen at {at}: {source}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What a program asks of a node.
enum Command {
    Add(TorrentSpec),
    Remove(InfoHash, Option<oneshot::Sender<()>>),
    Status(oneshot::Sender<NodeStatus>),
    Finished(InfoHash, Waiter),
    Stop(oneshot::Sender<()>),
}

/// Who waits for a torrent to be complete.
struct Waiter {
    /// Whether it waits on after a failure that may pass.
    patient: bool,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

/// A running node. Dropping every handle stops it.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    local: SocketAddr,
    inbox: Arc<Commands>,
}

/// The program's end of the inbox. The owner holds ends of its own, so that the last handle must say that it is the last.
#[derive(Debug)]
struct Commands(mpsc::UnboundedSender<Inbox>);

impl Drop for Commands {
    fn drop(&mut self) {
        let (done, _) = oneshot::channel();
        // An error means that the node has stopped already.
        let _ = self.0.send(Inbox::Command(Command::Stop(done)));
    }
}

/// Starts a node: listens, and spawns its owner on the current runtime.
///
/// # Errors
/// If it cannot listen.
pub async fn start(env: NodeEnv, config: NodeConfig) -> Result<NodeHandle, NodeError> {
    let at = config.listen;
    let listener =
        env.transport.listen(at).await.map_err(|source| NodeError::Listen { at, source })?;
    let local = listener.local_addr();
    let (inbox, received) = mpsc::unbounded_channel();
    let owner = Owner::new(env, config, local, inbox.clone());
    tokio::spawn(owner.run(listener, received));
    Ok(NodeHandle { local, inbox: Arc::new(Commands(inbox)) })
}

impl NodeHandle {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes part in a torrent from now on. Adding it twice changes nothing.
    pub fn add(&self, torrent: TorrentSpec) {
        self.command(Command::Add(torrent));
    }

    /// Leaves a torrent.
    pub fn remove(&self, torrent: InfoHash) {
        self.command(Command::Remove(torrent, None));
    }

    /// Leaves a torrent, and returns once the disk is done with it.
    pub async fn leave(&self, torrent: InfoHash) {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Remove(torrent, Some(answer)));
        // An error means that the node has stopped already.
        let _ = answered.await;
    }

    /// What is going on. `None` once the node has stopped.
    pub async fn status(&self) -> Option<NodeStatus> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Status(answer));
        answered.await.ok()
    }

    /// Waits until `torrent` is complete, durable and has its final name.
    ///
    /// # Errors
    /// If its storage failed, or the node stopped before. A failure that may pass is reported all the same; the
    /// node goes on trying: see [`Self::finished_at_last`].
    pub async fn finished(&self, torrent: InfoHash) -> Result<(), StoreError> {
        self.wait_for(torrent, false).await
    }

    /// As [`Self::finished`], but waits on while a failure may pass.
    ///
    /// # Errors
    /// If its storage failed for good, or the node stopped before.
    pub async fn finished_at_last(&self, torrent: InfoHash) -> Result<(), StoreError> {
        self.wait_for(torrent, true).await
    }

    async fn wait_for(&self, torrent: InfoHash, patient: bool) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Finished(torrent, Waiter { patient, answer }));
        answered.await.unwrap_or_else(|_| {
            let (path, reason) = (torrent.to_string(), "the node stopped before".to_owned());
            Err(StoreError { path, reason, passing: false })
        })
    }

    /// Leaves every torrent, tells trackers and peers, and stops. Returns when that is done or after a short while.
    pub async fn stop(&self) {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Stop(answer));
        // An error means that the node has stopped already.
        let _ = answered.await;
    }

    fn command(&self, command: Command) {
        // An error means that the node has stopped; whoever waits for an answer sees it by its own channel.
        let _ = self.inbox.0.send(Inbox::Command(command));
    }
}

impl TorrentSpec {
    fn for_engine(&self) -> Input {
        Input::Add(Box::new(Torrent {
            info_hash: self.info_hash,
            layout: self.store.layout(),
            have: self.have.clone(),
            trackers: self.trackers.clone(),
            peers: self.peers.clone(),
            fetch: self.fetch,
        }))
    }
}
