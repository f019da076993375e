//! What a program wants to know of a node: snapshots, and how storage fails.

use std::net::SocketAddr;

use super::address::Address;
use super::ids::{InfoHash, NodeId};

/// Why a store could not do what it was asked. The machine's fault, never a peer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct StoreError {
    /// The file or folder.
    pub path: String,
    /// What the system said, in words.
    pub reason: String,
    /// Whether it may pass (no space left, for instance), so that trying again later makes sense.
    pub passing: bool,
}

/// What a program wants to know of a node, all at once.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Its torrents, by info-hash.
    pub torrents: Vec<TorrentStatus>,
    /// Its trackers, and whether they have welcomed it.
    pub trackers: Vec<(Address, bool)>,
}

/// A torrent, as seen by a node.
#[derive(Clone, Debug)]
pub struct TorrentStatus {
    /// Which.
    pub info_hash: InfoHash,
    /// Pieces in all.
    pub pieces: u32,
    /// Pieces verified.
    pub have: u32,
    /// Bytes in all.
    pub total: u64,
    /// Bytes verified.
    pub verified: u64,
    /// Complete, durable and under its final name.
    pub finished: bool,
    /// Payload bytes received.
    pub down: u64,
    /// Payload bytes sent.
    pub up: u64,
    /// Payload bytes received in vain.
    pub wasted: u64,
    /// Payload bytes that have come and wait to be written.
    pub unwritten: u64,
    /// Payload bytes received per second, of late.
    pub down_rate: u64,
    /// Payload bytes sent per second, of late.
    pub up_rate: u64,
    /// Why its storage failed, if it did.
    pub failed: Option<StoreError>,
    /// Its peers, those of ended sessions included.
    pub peers: Vec<PeerStatus>,
}

/// A peer, as seen by a node.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Who.
    pub node: NodeId,
    /// Its address, as observed.
    pub addr: SocketAddr,
    /// Whether the session stands.
    pub connected: bool,
    /// Pieces it has said it has.
    pub have: u32,
    /// Payload bytes received from it.
    pub down: u64,
    /// Payload bytes sent to it.
    pub up: u64,
    /// Payload bytes received from it per second, of late.
    pub down_rate: u64,
    /// Payload bytes sent to it per second, of late.
    pub up_rate: u64,
}
