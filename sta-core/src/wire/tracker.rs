//! What a node and a tracker say to each other. One connection speaks of all torrents of a node.

use serde::{Deserialize, Serialize};

use crate::model::address::Address;
use crate::model::bitfield::PieceRange;
use crate::model::ids::{InfoHash, NodeId, Site};

/// From a node to a tracker. Unknown kinds and fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "kebab-case")]
pub enum ToTracker {
    /// The first message of a node. A client that only asks for `status` sends none.
    Hello {
        /// [`super::peer::VERSION`].
        v: u32,
        /// Who speaks.
        node: NodeId,
        /// Where it listens for peers; the host is taken from the connection, never from what is claimed.
        port: u16,
        /// Where it stands: it is told mostly of others there.
        #[serde(default, skip_serializing_if = "Site::is_empty")]
        site: Site,
        /// By which name it knows the tracker. A node that knows it by several, a number and the name of a host say, has a connection
        /// for each, and torrents of its own on each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via: Option<Address>,
    },
    /// The node takes part in a torrent, from now on. Repeated after a reconnection, with all it has.
    Join {
        /// Which torrent.
        torrent: InfoHash,
        /// How many pieces it has in all.
        pieces: u32,
        /// The pieces that the node has.
        have: Vec<PieceRange>,
        /// How many peers it would like to be told of.
        want: u32,
    },
    /// Pieces got since the last message about this torrent.
    Have {
        /// Which torrent.
        torrent: InfoHash,
        /// The new pieces.
        p: Vec<PieceRange>,
    },
    /// Tell me of this many more peers: too few of those I know can be reached.
    Want {
        /// Which torrent.
        torrent: InfoHash,
        /// How many.
        n: u32,
    },
    /// Payload moved so far for a torrent, and what has just happened.
    Stats {
        /// Which torrent.
        torrent: InfoHash,
        /// Payload bytes sent since the node joined.
        up: u64,
        /// Payload bytes received since the node joined.
        down: u64,
        /// BEP 3's events, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<TransferEvent>,
    },
    /// The node no longer takes part in a torrent.
    Leave {
        /// Which torrent.
        torrent: InfoHash,
    },
    /// The node is alive: renews its lease.
    Ping,
    /// Who has how much of what? Of one torrent or of all.
    Status {
        /// Which torrent; all where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        torrent: Option<InfoHash>,
    },
    /// A part of the `.torrent` file that the tracker was given of this torrent, please.
    Torrent {
        /// Which torrent.
        torrent: InfoHash,
        /// From which byte on.
        at: u64,
    },
    /// A kind that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// What has happened to a node's part in a torrent (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferEvent {
    /// It has begun.
    Started,
    /// It has every piece, and had not before.
    Completed,
    /// It leaves.
    Stopped,
    /// An event that this version does not know.
    #[serde(other)]
    Unknown,
}

/// From a tracker to a node. Unknown kinds and fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "kebab-case")]
pub enum FromTracker {
    /// The answer to `hello`.
    Welcome {
        /// [`super::peer::VERSION`].
        v: u32,
        /// A node that is silent for longer is forgotten; seconds.
        lease: u32,
    },
    /// Peers to connect to. Pushed, whenever the tracker finds it useful.
    Peers {
        /// Of which torrent.
        torrent: InfoHash,
        /// At most [`crate::model::limits::PEERS_PER_MESSAGE_MAX`].
        peers: Vec<PeerAddress>,
    },
    /// The answer to `ping`.
    Pong,
    /// The answer to `status`; the last one of several has `more` false.
    Status {
        /// Whether another message follows.
        more: bool,
        /// A row per node and torrent.
        rows: Vec<StatusRow>,
    },
    /// The answer to `torrent`. A tracker that was given none answers with an error.
    Torrent {
        /// Of which torrent.
        torrent: InfoHash,
        /// From which byte on.
        at: u64,
        /// Bytes of the whole `.torrent` file.
        total: u64,
        /// At most [`crate::model::limits::TORRENT_CHUNK_BYTES`] of them, in base64; none past the end.
        data: String,
    },
    /// The tracker refuses something, and why. It closes the connection unless it says otherwise.
    Error {
        /// For a person to read.
        why: String,
    },
    /// A kind that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// Where a peer can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAddress {
    /// Who.
    pub node: NodeId,
    /// As observed by the tracker.
    pub addr: Address,
}

/// How much of a torrent a node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRow {
    /// Which torrent.
    pub torrent: InfoHash,
    /// Which node.
    pub node: NodeId,
    /// Where it listens.
    pub addr: Address,
    /// Pieces it has.
    pub have: u32,
    /// Pieces of the torrent.
    pub pieces: u32,
    /// Payload bytes sent.
    pub up: u64,
    /// Payload bytes received.
    pub down: u64,
    /// Whether its connection stands; otherwise its lease runs out.
    pub online: bool,
    /// The last event it has told of, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<TransferEvent>,
}
