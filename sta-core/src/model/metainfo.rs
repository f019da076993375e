//! A `.torrent` file: what a torrent's content is, how it is cut and verified, and where its trackers are.
//!
//! BEP 3, version 1, single and multi-file. The info-hash is taken over the exact bytes of `info`, so keys that are not known
//! here are ignored but never lost. What STA adds is a top-level key `sta`, which leaves the info-hash alone:
//! `version`, and `blake3`, the BLAKE3 hashes of all pieces one after the other. Where it is there, pieces are verified by it.
//!
//! Knows nothing of files on disk. Invariant: the files add up to the layout's total, and there are as many hashes as pieces.

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::address::{Address, AddressError};
use super::bencode::BencodeError;
use super::files::{Files, FilesError};
use super::ids::InfoHash;
use super::layout::{Layout, LayoutError};
use super::limits;

mod build;
mod parse;
#[cfg(test)]
mod tests;

pub use build::Builder;

/// The version of the `sta` key that is written and read.
pub const STA_VERSION: i64 = 1;
/// Bytes of a SHA-1 hash.
pub const SHA1_BYTES: usize = 20;
/// Bytes of a BLAKE3 hash.
pub const BLAKE3_BYTES: usize = 32;

/// A torrent, as described by its `.torrent` file. Cheap to clone but for the list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// The whole file.
    torrent: Bytes,
    /// The part of it that is the value of `info`.
    info: Bytes,
    info_hash: InfoHash,
    files: Files,
    layout: Layout,
    hashes: PieceHashes,
    trackers: Vec<Address>,
    announce: Vec<Vec<String>>,
    about: About,
}

/// What a torrent says of itself that nothing depends on. Texts come from strangers: escape them before showing them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Free text.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// Whether it asks to be shared through its own trackers only (BEP 27).
    pub private: bool,
}

/// The hashes of all pieces. Cheap to clone: the bytes are shared with the torrent.
///
/// Invariant: both kinds are there for the same number of pieces.
#[derive(Clone, PartialEq, Eq)]
pub struct PieceHashes {
    sha1: Bytes,
    blake3: Option<Bytes>,
}

/// Why bytes are not a torrent that can be used. What is wrong lies with the file, not with this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// Larger than [`limits::TORRENT_BYTES_MAX`].
    #[error(
        "{0} bytes are more than a torrent may have ({max}); is this really a .torrent file?",
        max = limits::TORRENT_BYTES_MAX
    )]
    TooLarge(u64),
    /// Not bencode, or not in canonical form.
    #[error("not canonical bencode: {0}; get the .torrent file again, or make it anew")]
    Bencode(#[from] BencodeError),
    /// A key that must be there is not.
    #[error("it has no {0:?}; get the .torrent file again, or make it anew")]
    Missing(&'static str),
    /// A value of another kind than its key demands.
    #[error("its {key:?} is not {expected}; have the torrent made anew by another program")]
    Kind {
        /// The key, with the keys around it.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A number below zero where only a count makes sense.
    #[error(
        "its {key:?} is {value}, which is negative; have the torrent made anew by another program"
    )]
    Negative {
        /// The key, with the keys around it.
        key: &'static str,
        /// Its value.
        value: i64,
    },
    /// Both `length` and `files`, so single-file and multi-file at once.
    #[error("it has both \"length\" and \"files\"; have the torrent made anew by another program")]
    SingleAndMulti,
    /// Version 2 of the format alone (BEP 52).
    #[error("it is a version 2 torrent; ask for a version 1 or a hybrid one")]
    Version2,
    /// Its only file is a link (BEP 47).
    #[error("its only file, {0:?}, is a link to nowhere; have the torrent made of the file itself")]
    Link(String),
    /// Piece size or number of pieces out of bounds.
    #[error("{0}; have the torrent made anew with another piece size")]
    Layout(#[from] LayoutError),
    /// A list of files that is not safe or not possible.
    #[error("{0}; have the torrent made anew with other names or files")]
    Files(#[from] FilesError),
    /// Not as many hashes as there are pieces.
    #[error(
        "its {key:?} has {found} bytes, not the {needed} that its number of pieces ({pieces}) needs; get the .torrent file again, or make it anew"
    )]
    Hashes {
        /// The key, with the keys around it.
        key: &'static str,
        /// Bytes there are.
        found: u64,
        /// Pieces the files are cut into.
        pieces: u32,
        /// Bytes there should be.
        needed: u64,
    },
    /// A `sta` key of a later version.
    #[error(
        "its \"sta\" key has version {0}, this program knows {STA_VERSION}; use a newer program"
    )]
    StaVersion(i64),
    /// A `sta://` tracker that is not an address.
    #[error("its tracker {0}")]
    Tracker(#[from] AddressError),
    /// More `sta://` trackers than [`limits::TRACKERS_MAX`].
    #[error("it names more than {max} sta:// trackers; have it made anew with fewer", max = limits::TRACKERS_MAX)]
    TooManyTrackers,
}

impl Metainfo {
    /// Reads a `.torrent` file.
    ///
    /// # Errors
    /// If it is not canonical, not complete, contradicts itself, or asks for what is not safe.
    pub fn parse(torrent: impl Into<Bytes>) -> Result<Self, MetainfoError> {
        parse::torrent(&torrent.into())
    }

    /// The torrent's identity: SHA-1 of [`Self::info_bytes`].
    #[must_use]
    pub const fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The name of the file or the folder.
    #[must_use]
    pub fn name(&self) -> &str {
        self.files.name()
    }

    /// The files that the content is made of.
    #[must_use]
    pub const fn files(&self) -> &Files {
        &self.files
    }

    /// How the content is cut.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The hashes of the pieces.
    #[must_use]
    pub const fn hashes(&self) -> &PieceHashes {
        &self.hashes
    }

    /// The trackers that speak STA, in order, none twice.
    #[must_use]
    pub fn trackers(&self) -> &[Address] {
        &self.trackers
    }

    /// All trackers as they are written, those that do not speak STA included, in tiers (BEP 12).
    #[must_use]
    pub fn announce(&self) -> &[Vec<String>] {
        &self.announce
    }

    /// What it says of itself.
    #[must_use]
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// The whole `.torrent` file.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.torrent
    }

    /// The exact bytes of `info`.
    #[must_use]
    pub const fn info_bytes(&self) -> &Bytes {
        &self.info
    }
}

impl PieceHashes {
    /// The hashes of `pieces` pieces, each kind one after the other.
    ///
    /// # Errors
    /// If the lengths do not fit the number of pieces.
    pub fn new(pieces: u32, sha1: Bytes, blake3: Option<Bytes>) -> Result<Self, MetainfoError> {
        let check = |key, bytes: &Bytes, size: usize| {
            let (found, needed) = (bytes.len() as u64, u64::from(pieces) * size as u64);
            if found == needed {
                Ok(())
            } else {
                Err(MetainfoError::Hashes { key, found, pieces, needed })
            }
        };
        check("info/pieces", &sha1, SHA1_BYTES)?;
        blake3.iter().try_for_each(|bytes| check("sta/blake3", bytes, BLAKE3_BYTES))?;
        Ok(Self { sha1, blake3 })
    }

    /// Number of pieces.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        (self.sha1.len() / SHA1_BYTES) as u32
    }

    /// The SHA-1 hash of `piece`; `None` if there is no such piece.
    #[must_use]
    pub fn sha1(&self, piece: u32) -> Option<&[u8; SHA1_BYTES]> {
        self.sha1.as_chunks().0.get(piece as usize)
    }

    /// The BLAKE3 hash of `piece`; `None` if there is no such piece, or the torrent has only SHA-1.
    #[must_use]
    pub fn blake3(&self, piece: u32) -> Option<&[u8; BLAKE3_BYTES]> {
        self.blake3.as_ref()?.as_chunks().0.get(piece as usize)
    }

    /// Whether pieces are verified by BLAKE3.
    #[must_use]
    pub const fn has_blake3(&self) -> bool {
        self.blake3.is_some()
    }
}

impl std::fmt::Debug for PieceHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.has_blake3() { "SHA-1 and BLAKE3" } else { "SHA-1" };
        write!(f, "PieceHashes({kind} of {} pieces)", self.pieces())
    }
}

/// SHA-1 of the bytes of `info`.
fn info_hash(info: &[u8]) -> InfoHash {
    InfoHash(Sha1::digest(info).into())
}
