//! Where the content of a torrent lives: the trait, and what a node may ask of it.
//!
//! A store is synchronous. Who calls it from which thread is `run/disk.rs`' business: real nodes have threads
//! for it, worlds call it in line, because threads have no place in a world.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::sha1::Sha1;
use crate::model::layout::{Block, Layout};
use crate::model::leaves::LeafHashes;
pub use crate::model::status::StoreError;

/// Bytes to send: in memory, or a range of a file that the kernel can send by itself.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// Ranges of files, one after the other.
    Files(Vec<FileRange>),
}

/// A range of an open file.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file, open for reading.
    pub file: Arc<std::fs::File>,
    /// First byte.
    pub offset: u64,
    /// Bytes; never 0, and inside the file.
    pub len: u64,
}

/// Why what was verified may not be right any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What has changed, or lies beside it.
    pub path: String,
    /// How many changes the store had seen.
    pub changes: u64,
}

impl Body {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Files(ranges) => ranges.iter().map(|range| range.len).sum(),
        }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The content of one torrent.
///
/// What has been written need not be verified: a store keeps bytes, the engine knows which of them count.
pub trait PieceStore: Send + Sync + 'static {
    /// How the content is cut.
    fn layout(&self) -> Layout;

    /// Makes of `data`, which has come for `offset` of the content, what [`Self::read`] will give once it is written: a store need
    /// not keep all of it. Only that may be hashed.
    fn as_kept(&self, offset: u64, data: &mut [u8]) {
        let _ = (offset, data);
    }

    /// Writes `data` at `offset` of the content.
    ///
    /// # Errors
    /// If it is not all written.
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), StoreError>;

    /// Fills `buf` from `offset` of the content. Bytes never written read as zeros or fail.
    ///
    /// # Errors
    /// If the bytes cannot be read.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError>;

    /// The bytes from `offset` on, to be sent.
    ///
    /// # Errors
    /// If they are not there.
    fn body(&self, offset: u64, len: u32) -> Result<Body, StoreError>;

    /// Whether the bytes of `block` may be others than those that were verified, as far as can be told without reading them. Then
    /// its piece is to be read and verified again before any of it is sent. A store that nobody else writes to has no doubts.
    ///
    /// # Errors
    /// If they are not there.
    fn doubt(&self, block: Block) -> Result<Option<Doubt>, StoreError> {
        let _ = block;
        Ok(None)
    }

    /// `piece` was read and found right after [`Self::doubt`] gave `doubt`.
    fn trust(&self, piece: u32, doubt: &Doubt) {
        let _ = (piece, doubt);
    }

    /// Starts the verification of `piece`, whose bytes will be given to it in order.
    fn verifier(&self, piece: u32) -> Box<dyn PieceVerifier>;

    /// The hashes of the leaves of `piece`, if they are known: of every piece that was verified, and of those that a peer has
    /// told.
    fn leaf_hashes(&self, piece: u32) -> Option<LeafHashes>;

    /// Keeps what the leaves of `piece` are said to hash to, if the hash of the piece says the same.
    fn keep_leaf_hashes(&self, piece: u32, hashes: &LeafHashes);

    /// Every piece is verified: makes the content durable and gives it its final name, if it has another. Called once, and again
    /// after an error.
    ///
    /// # Errors
    /// If it could not be made durable or named.
    fn finish(&self) -> Result<(), StoreError>;

    /// Resolves once `bytes` are written that are asked for now, in the world's time. Real stores take real time, and are not waited
    /// for.
    fn writing(&self, bytes: u64) -> Option<Wait> {
        let _ = bytes;
        None
    }

    /// The same for reading.
    fn reading(&self, bytes: u64) -> Option<Wait> {
        let _ = bytes;
        None
    }
}

/// Something that takes the world's time.
pub type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Verifies one piece.
pub trait PieceVerifier: Send {
    /// The next bytes of the piece.
    fn update(&mut self, data: &[u8]);

    /// The stream that takes the piece's next bytes, if SHA-1 is all they are needed for: so that several can be hashed at once.
    fn sha1(&mut self) -> Option<&mut Sha1> {
        None
    }

    /// The hashes of the leaves that were given whole since the piece's first byte; nothing where only pieces have hashes.
    fn leaf_hashes(&self) -> &[u8];

    /// Whether the bytes given are the piece. Ready for the piece's first byte again afterwards.
    fn verdict(&mut self) -> bool;
}
