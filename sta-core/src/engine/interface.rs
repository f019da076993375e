//! What goes into a node's engine and what comes out of it. Whoever drives it (a shell over TCP or turmoil, an
//! event queue) speaks in these values.

use std::fmt;
use std::net::SocketAddr;

use crate::model::address::Address;
use crate::model::bitfield::Bitfield;
use crate::model::event::Event;
use crate::model::ids::InfoHash;
use crate::model::layout::{Block, BlockDigest, Layout};
use crate::model::leaves::LeafHashes;
use crate::model::status::StoreError;
use crate::wire::peer::PeerMessage;
use crate::wire::tracker::{FromTracker, ToTracker};

/// One connection with a peer, from its dial or its acceptance on. Never used again. One number, since ids are compared all the time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u32);

/// The bit that tells what was accepted.
const ACCEPTED: u32 = 1 << 31;

impl ConnId {
    /// Dialled; numbered by the engine, below 2^31.
    #[must_use]
    pub const fn dialled(number: u32) -> Self {
        Self(number & !ACCEPTED)
    }

    /// Accepted; numbered by the driver, below 2^31.
    #[must_use]
    pub const fn accepted(number: u32) -> Self {
        Self(number | ACCEPTED)
    }

    /// Whether it was accepted, and not dialled.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.0 & ACCEPTED != 0
    }

    /// The number that it was given.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 & !ACCEPTED
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.is_accepted() { "accepted" } else { "dialled" };
        write!(f, "{name}({})", self.number())
    }
}

/// A torrent to take part in.
#[derive(Clone, Debug)]
pub struct Torrent {
    /// Its identity.
    pub info_hash: InfoHash,
    /// How its content is cut.
    pub layout: Layout,
    /// The pieces that are there, verified.
    pub have: Bitfield,
    /// Where its trackers listen.
    pub trackers: Vec<Address>,
    /// Peers known beforehand.
    pub peers: Vec<Address>,
    /// Whether to fetch what is missing; otherwise only what is there is served.
    pub fetch: bool,
}

/// What has happened, or is wished.
#[derive(Clone, Debug)]
pub enum Input {
    /// Take part in a torrent. Adding it twice changes nothing.
    Add(Box<Torrent>),
    /// Leave a torrent.
    Remove(InfoHash),
    /// Leave everything, in order; [`Output::Stopped`] follows.
    Stop,
    /// A peer has connected.
    Accepted {
        /// The driver's number for it.
        conn: ConnId,
        /// Its address, as observed.
        remote: SocketAddr,
    },
    /// A dial has succeeded.
    Dialled {
        /// The number that [`Output::Dial`] gave.
        conn: ConnId,
        /// The address that answered.
        remote: SocketAddr,
    },
    /// A message other than `data` has come.
    Message {
        /// From where.
        conn: ConnId,
        /// What it says.
        message: PeerMessage,
    },
    /// A `data` message has come, body and all. The driver holds the body; if it is wanted, [`Output::Keep`]
    /// follows before any other input, else the body is to be dropped.
    Block {
        /// From where.
        conn: ConnId,
        /// The id of the request it says it answers.
        id: u64,
        /// What it says it is.
        block: Block,
    },
    /// The block of the oldest unfinished [`Output::SendBlock`] has been handed to the network.
    Sent {
        /// To where.
        conn: ConnId,
    },
    /// The block of the oldest unfinished [`Output::SendBlock`] cannot be read: the file has gone, or is shorter than it was.
    /// [`Self::Sent`] does not follow.
    Unreadable {
        /// To where it should go.
        conn: ConnId,
        /// The id of the request it answers.
        id: u64,
        /// Why it cannot be read.
        why: StoreError,
    },
    /// A connection has ended, or a dial has failed.
    Closed {
        /// Which.
        conn: ConnId,
        /// The reason, for a person.
        why: String,
    },
    /// What [`Output::Keep`] asked for could not be done. Nothing is said of a block that is stored: the answer to
    /// [`Output::Check`] says all there is to know of it.
    NotWritten {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which block.
        block: Block,
        /// Why it could not be stored.
        why: StoreError,
    },
    /// The answer to [`Output::Check`].
    Checked {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
        /// Whether its hash is right, or why that is not known.
        result: Result<bool, StoreError>,
    },
    /// The answer to [`Output::Digest`].
    Digested {
        /// Of which torrent.
        torrent: InfoHash,
        /// Of which piece.
        piece: u32,
        /// The number of the question.
        number: u64,
        /// The digests, in the order of the blocks; none if they cannot be read.
        digests: Vec<BlockDigest>,
    },
    /// The answer to [`Output::CheckLeaves`].
    LeavesChecked {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
        /// So many bytes from the start of the piece are known to be right, as far as leaves are whole; 0 if their hashes are
        /// not known.
        right: u32,
    },
    /// The answer to [`Output::Finish`].
    Finished {
        /// Which torrent.
        torrent: InfoHash,
        /// Why it could not be finished, if so.
        result: Result<(), StoreError>,
    },
    /// A connection with a tracker stands.
    TrackerOpened {
        /// Which tracker.
        tracker: Address,
        /// The address that answered.
        remote: SocketAddr,
    },
    /// A tracker has spoken.
    TrackerMessage {
        /// Which tracker.
        tracker: Address,
        /// What it says.
        message: FromTracker,
    },
    /// A connection with a tracker has ended, or could not be made.
    TrackerClosed {
        /// Which tracker.
        tracker: Address,
        /// The reason, for a person.
        why: String,
    },
    /// Nothing, but [`super::node::Node::deadline`] has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Connect to a peer; [`Input::Dialled`] or [`Input::Closed`] follows.
    Dial {
        /// The number of the connection.
        conn: ConnId,
        /// Where to.
        addr: Address,
    },
    /// Send a message without a body.
    Send {
        /// To where.
        conn: ConnId,
        /// What.
        message: PeerMessage,
    },
    /// Send a `data` message; [`Input::Sent`] follows once it was handed to the network.
    SendBlock {
        /// To where.
        conn: ConnId,
        /// The id of the request it answers.
        id: u64,
        /// Of which torrent.
        torrent: InfoHash,
        /// Which block.
        block: Block,
        /// A `leaves` message about its piece goes ahead, if the hashes are known.
        leaves: bool,
    },
    /// End a connection after what was sent before.
    Close {
        /// Which.
        conn: ConnId,
        /// The reason, for a person.
        why: String,
    },
    /// Store the body of the [`Input::Block`] just handled.
    Keep {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which block.
        block: Block,
    },
    /// Every block of a piece was given to the store: what is its hash?
    Check {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
    },
    /// What do these blocks of a piece hash to, as they lie in the store before anything else is written there?
    Digest {
        /// Of which torrent.
        torrent: InfoHash,
        /// Of which piece.
        piece: u32,
        /// The answer carries it.
        number: u64,
        /// Blocks of the piece.
        blocks: Vec<Block>,
    },
    /// The first `bytes` of a piece were given to the store: how many of them are right, by the hashes of leaves?
    CheckLeaves {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
        /// Bytes from the start of the piece.
        bytes: u32,
    },
    /// A peer says what the leaves of a piece hash to. To be kept if that agrees with the hash of the piece.
    KeepLeaves {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
        /// The hashes.
        hashes: LeafHashes,
    },
    /// A piece begins anew: what was hashed of it no longer counts. Of its bytes the first `keep` were found right and may be on
    /// their way to peers: they stay as they are, whatever is written there from now on.
    Forget {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
        /// Bytes from the start that stay.
        keep: u32,
    },
    /// Every piece is verified: make the content durable and give it its final name.
    Finish {
        /// Which torrent.
        torrent: InfoHash,
    },
    /// Connect to a tracker; [`Input::TrackerOpened`] or [`Input::TrackerClosed`] follows.
    TrackerDial {
        /// Which.
        tracker: Address,
    },
    /// Send a message to a tracker.
    TrackerSend {
        /// Which.
        tracker: Address,
        /// What.
        message: ToTracker,
    },
    /// End the connection with a tracker after what was sent before.
    TrackerClose {
        /// Which.
        tracker: Address,
    },
    /// Tell the observer.
    Event(Event),
    /// Everything is left; the engine does nothing any more.
    Stopped,
}
