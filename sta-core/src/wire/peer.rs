//! What two nodes say to each other. One session speaks of one torrent.

mod read;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::model::bitfield::PieceRange;
use crate::model::ids::{InfoHash, NodeId};
use crate::model::layout::Block;
use crate::model::leaves::LeafHashes;

/// The version of the protocol that this code speaks.
pub const VERSION: u32 = 1;

/// A message between peers: the header of a frame.
///
/// Only [`PeerMessage::Data`] has a body. Unknown fields and kinds are ignored, so that versions can meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "t", rename_all = "kebab-case")]
pub enum PeerMessage {
    /// The first message of each side. The dialling side speaks first.
    Hello {
        /// [`VERSION`].
        v: u32,
        /// Who speaks.
        node: NodeId,
        /// The torrent that this session is about.
        torrent: InfoHash,
    },
    /// The speaker has these pieces, verified, besides those it said before.
    Have {
        /// At most [`crate::model::limits::HAVE_RANGES_MAX`] ranges.
        p: SmallVec<[PieceRange; 2]>,
    },
    /// A piece is coming to the speaker, which has verified the first leaves of it: they can be asked for, and what follows is
    /// sent as it is verified. `have` follows once all of it is.
    Coming {
        /// Which piece.
        i: u32,
    },
    /// The hashes of the leaves of a piece of which blocks will follow. They are believed once the hash of the piece was
    /// found to be theirs.
    Leaves {
        /// Which piece.
        i: u32,
        /// The BLAKE3 chaining values of its leaves, one after the other, in base64.
        h: LeafHashes,
    },
    /// The speaker will not serve requests: those that wait are void, as if rejected.
    Choke,
    /// The speaker serves requests.
    Unchoke,
    /// A wish: send me this block.
    Get {
        /// Chosen by the asker, unique within the session.
        id: u64,
        /// Piece, first byte and length.
        #[serde(flatten)]
        block: WireBlock,
    },
    /// The answer to `get`; the block is the body.
    Data {
        /// The id of the `get`.
        id: u64,
        /// What was asked for.
        #[serde(flatten)]
        block: WireBlock,
    },
    /// The other answer to `get`: it will not be served.
    Reject {
        /// The id of the `get`.
        id: u64,
        /// The reason.
        why: RejectReason,
    },
    /// The asker no longer wants this. It is answered all the same: by `reject`, or by `data` if that was under way.
    Cancel {
        /// The id of the `get`.
        id: u64,
    },
    /// Nothing to say, but alive.
    Ping,
    /// The speaker ends the session, and why.
    Bye {
        /// For a person to read.
        why: String,
    },
    /// A kind that this version does not know.
    #[serde(skip_serializing)]
    Unknown,
}

/// A [`Block`] with the short names it has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WireBlock {
    /// Index of the piece.
    pub i: u32,
    /// First byte, counted from the start of the piece.
    pub o: u32,
    /// Bytes.
    pub n: u32,
}

impl From<Block> for WireBlock {
    fn from(block: Block) -> Self {
        Self { i: block.piece, o: block.offset, n: block.len }
    }
}

impl From<WireBlock> for Block {
    fn from(block: WireBlock) -> Self {
        Self { piece: block.i, offset: block.o, len: block.n }
    }
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectReason {
    /// The asker is choked.
    Choked,
    /// The piece is not, or no longer, here.
    Gone,
    /// Too many requests wait.
    Limit,
    /// Somebody else was just given this piece: ask there, or again later.
    Elsewhere,
    /// The asker cancelled it in time.
    Cancelled,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}
