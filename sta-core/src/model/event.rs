//! What happens, as values: one stream for progress lines, `--json`, the simulator's log, checks and reports.

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::ids::{InfoHash, NodeId};
use super::layout::Block;
use super::time::Time;

/// An event, with when and at whom it happened. One JSON object, one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in the observer's time: nanoseconds.
    pub at: Time,
    /// At which node, or at which tracker.
    pub who: NodeId,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What the reason of [`Event::PeerLost`] begins with if it is the peer's own, from its `bye`.
pub const PEER_SAID: &str = "it said: ";

/// Why a node bans a peer that sent a wrong piece, or a part of one. It says so to that peer, too.
pub const SENT_WRONG: &str = "it sent a piece with a wrong hash";

/// Something that an observer may want to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A node has started and listens.
    NodeStarted {
        /// Where.
        listen: Address,
    },
    /// A node has stopped in order.
    NodeStopped,
    /// A node takes part in a torrent.
    TorrentAdded {
        /// Which.
        torrent: InfoHash,
        /// How many pieces it has in all.
        pieces: u32,
        /// How many of them are here, verified.
        have: u32,
    },
    /// A node no longer takes part in a torrent.
    TorrentRemoved {
        /// Which.
        torrent: InfoHash,
    },
    /// A tracker has welcomed the node.
    TrackerConnected {
        /// Which tracker.
        tracker: Address,
    },
    /// A tracker cannot be reached, or its connection has broken. It is tried again.
    TrackerLost {
        /// Which tracker.
        tracker: Address,
        /// The reason, for a person.
        why: String,
    },
    /// A tracker has named peers.
    PeersLearned {
        /// Of which torrent.
        torrent: InfoHash,
        /// How many.
        count: u32,
    },
    /// A session has begun.
    PeerConnected {
        /// About which torrent.
        torrent: InfoHash,
        /// With whom.
        peer: NodeId,
    },
    /// A session has ended.
    PeerLost {
        /// About which torrent.
        torrent: InfoHash,
        /// With whom.
        peer: NodeId,
        /// The reason, for a person.
        why: String,
    },
    /// A peer may no longer be connected with: it sent what it must not.
    PeerBanned {
        /// About which torrent.
        torrent: InfoHash,
        /// Who.
        peer: NodeId,
        /// What it did.
        why: String,
    },
    /// A dial has failed.
    DialFailed {
        /// For which torrent.
        torrent: InfoHash,
        /// Where.
        addr: Box<Address>,
        /// Who should be there, if a tracker said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<NodeId>,
        /// The reason, for a person.
        why: String,
    },
    /// The node now serves a peer's requests.
    Unchoked {
        /// About which torrent.
        torrent: InfoHash,
        /// Whom.
        peer: NodeId,
    },
    /// The node no longer serves a peer's requests.
    Choked {
        /// About which torrent.
        torrent: InfoHash,
        /// Whom.
        peer: NodeId,
    },
    /// A block was asked of a peer.
    BlockAsked {
        /// Of which torrent.
        torrent: InfoHash,
        /// Of whom.
        peer: NodeId,
        /// Which block.
        block: Block,
    },
    /// A block was handed to the network.
    BlockSent {
        /// Of which torrent.
        torrent: InfoHash,
        /// To whom.
        peer: NodeId,
        /// Which block.
        block: Block,
    },
    /// A block has come.
    BlockReceived {
        /// Of which torrent.
        torrent: InfoHash,
        /// From whom.
        peer: NodeId,
        /// Which block.
        block: Block,
        /// Whether it was of use; otherwise its bytes are waste.
        useful: bool,
    },
    /// The last requests are now asked of several peers at once.
    EndGame {
        /// Of which torrent.
        torrent: InfoHash,
    },
    /// A piece is here, stored and verified. From now on it is served and announced.
    PieceVerified {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
    },
    /// A piece had the wrong hash; all of it will be asked again.
    PieceFailed {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
        /// Who sent its blocks.
        from: Vec<NodeId>,
    },
    /// Bytes of a piece that is not here whole were found right, and are served from now on. When it happens first, peers are told
    /// that the piece is coming.
    LeavesVerified {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
        /// Bytes from the start of the piece, all those before counted.
        bytes: u32,
    },
    /// Peers were told of a piece.
    PieceAnnounced {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
    },
    /// A torrent is complete, verified, durable, and has its final name.
    TorrentComplete {
        /// Which.
        torrent: InfoHash,
        /// Payload bytes received for it by this process.
        down: u64,
        /// Payload bytes sent of it by this process.
        up: u64,
        /// Payload bytes received in vain: twice, or wrong.
        wasted: u64,
    },
    /// The machine's storage failed. The torrent stops, or tries again where that makes sense.
    StoreFailed {
        /// Which torrent.
        torrent: InfoHash,
        /// The reason, for a person.
        why: String,
        /// Whether it is tried again.
        retry: bool,
    },
    /// A tracker has started and listens.
    TrackerStarted {
        /// Where.
        listen: Address,
        /// Leases known from before.
        restored: u32,
    },
    /// A node has registered for a torrent.
    LeaseGranted {
        /// Which torrent.
        torrent: InfoHash,
        /// Which node.
        node: NodeId,
    },
    /// A node has left a torrent, or its lease has run out.
    LeaseEnded {
        /// Which torrent.
        torrent: InfoHash,
        /// Which node.
        node: NodeId,
        /// Whether it went silent rather than left.
        expired: bool,
    },
    /// A tracker has named peers to a node.
    PeersPushed {
        /// Of which torrent.
        torrent: InfoHash,
        /// To whom.
        node: NodeId,
        /// How many.
        count: u32,
    },
}

impl Event {
    /// The torrent and the peer, if a peer says that this node sent it a wrong piece. It may lie; but where the disk goes bad without
    /// the system's noticing, nobody else tells.
    #[must_use]
    pub fn blames_us(&self) -> Option<(&InfoHash, &NodeId)> {
        match self {
            Self::PeerLost { torrent, peer, why } => {
                let said = why.strip_prefix(PEER_SAID);
                said.is_some_and(|why| why == SENT_WRONG).then_some((torrent, peer))
            }
            _ => None,
        }
    }
}

impl Event {
    /// Which torrent it is about, if it is about one.
    #[must_use]
    pub const fn torrent(&self) -> Option<&InfoHash> {
        match self {
            Self::NodeStarted { .. }
            | Self::NodeStopped
            | Self::TrackerConnected { .. }
            | Self::TrackerLost { .. }
            | Self::TrackerStarted { .. } => None,
            Self::TorrentAdded { torrent, .. }
            | Self::TorrentRemoved { torrent }
            | Self::PeersLearned { torrent, .. }
            | Self::PeerConnected { torrent, .. }
            | Self::PeerLost { torrent, .. }
            | Self::PeerBanned { torrent, .. }
            | Self::DialFailed { torrent, .. }
            | Self::Unchoked { torrent, .. }
            | Self::Choked { torrent, .. }
            | Self::BlockAsked { torrent, .. }
            | Self::BlockSent { torrent, .. }
            | Self::BlockReceived { torrent, .. }
            | Self::EndGame { torrent }
            | Self::PieceVerified { torrent, .. }
            | Self::PieceFailed { torrent, .. }
            | Self::LeavesVerified { torrent, .. }
            | Self::PieceAnnounced { torrent, .. }
            | Self::TorrentComplete { torrent, .. }
            | Self::StoreFailed { torrent, .. }
            | Self::LeaseGranted { torrent, .. }
            | Self::LeaseEnded { torrent, .. }
            | Self::PeersPushed { torrent, .. } => Some(torrent),
        }
    }

    /// The other node that it is about, if there is one.
    #[must_use]
    pub const fn peer(&self) -> Option<&NodeId> {
        match self {
            Self::PeerConnected { peer, .. }
            | Self::PeerLost { peer, .. }
            | Self::PeerBanned { peer, .. }
            | Self::Unchoked { peer, .. }
            | Self::Choked { peer, .. }
            | Self::BlockAsked { peer, .. }
            | Self::BlockSent { peer, .. }
            | Self::BlockReceived { peer, .. } => Some(peer),
            Self::DialFailed { peer, .. } => peer.as_ref(),
            Self::LeaseGranted { node, .. }
            | Self::LeaseEnded { node, .. }
            | Self::PeersPushed { node, .. } => Some(node),
            _ => None,
        }
    }
}
