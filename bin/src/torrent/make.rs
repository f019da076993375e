//! Makes a torrent of a file or a folder: finds the files, hashes the pieces on all cores, writes the metainfo.
//!
//! The same files make the same torrent: files are sorted by the bytes of their paths, and nothing depends on which thread did
//! what. Memory: a small buffer for each thread, and the hashes.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use bytes::Bytes;
use sta_core::io::hash::PieceHasher;
use sta_core::model::address::Address;
use sta_core::model::files::FilesError;
use sta_core::model::layout::{Layout, LayoutError};
use sta_core::model::limits;
use sta_core::model::metainfo::{
    About, BLAKE3_BYTES, Builder, Metainfo, MetainfoError, SHA1_BYTES,
};

use super::content::{Lane, ReadError, Reader, side_by_side};
use super::walk::{Found, Stamp, walk};

/// How a torrent is to be made.
#[derive(Clone, Debug, Default)]
pub struct MakeOptions {
    /// Bytes of a piece; chosen by the size of the content where nobody says.
    pub piece_bytes: Option<u32>,
    /// Trackers to name in it.
    pub trackers: Vec<Address>,
    /// What it says of itself.
    pub about: About,
}

/// Why a torrent cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A file or folder cannot be read.
    #[error("{}: cannot read it: {source}{}", path.display(), super::remedy(source))]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A link that leads out of the folder, to the folder itself, or to nothing.
    #[error("{}: a symbolic link to {}, which is nothing inside the folder; put what belongs there in its place, or move it away", path.display(), to.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// What it says.
        to: PathBuf,
    },
    /// A device, a pipe, a socket.
    #[error("{}: neither a file nor a folder; a torrent cannot carry it, move it away", .0.display())]
    Special(PathBuf),
    /// A name that other machines cannot write.
    #[error("{}: the name is not UTF-8; rename it", .0.display())]
    NotUtf8(PathBuf),
    /// The root of a file system.
    #[error("{}: it has no name of its own; share a folder inside it", .0.display())]
    NoName(PathBuf),
    /// A folder without a file.
    #[error("{}: there is no file in this folder; put something into it first", .0.display())]
    Empty(PathBuf),
    /// It was written to while it was read.
    #[error("{}: it changed while it was read; try again when nothing writes to it", .0.display())]
    Changed(PathBuf),
    /// Names that do not go together, or are not safe everywhere.
    #[error("{}: {source}; rename it, or move it away", path.display())]
    Files {
        /// The folder or file that was to be shared.
        path: PathBuf,
        /// What is wrong with its files.
        source: FilesError,
    },
    /// A piece size that is not a power of two, or out of bounds.
    #[error(
        "a piece size of {0} bytes: it must be a power of two from {min} to {max}",
        min = limits::PIECE_BYTES_MIN,
        max = limits::PIECE_BYTES_MAX
    )]
    PieceBytes(u32),
    /// Too many pieces.
    #[error("{}: {source}", path.display())]
    Layout {
        /// The folder or file that was to be shared.
        path: PathBuf,
        /// How many pieces it would have.
        source: LayoutError,
    },
    /// What was made cannot be read back.
    #[error("the torrent made is not usable: {0}")]
    Metainfo(#[from] MetainfoError),
}

impl MakeError {
    /// The file or folder that it is about, if it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. }
            | Self::Link { path, .. }
            | Self::Special(path)
            | Self::NotUtf8(path)
            | Self::NoName(path)
            | Self::Empty(path)
            | Self::Changed(path)
            | Self::Files { path, .. }
            | Self::Layout { path, .. } => Some(path),
            Self::PieceBytes(_) | Self::Metainfo(_) => None,
        }
    }
}

/// Makes a torrent of the file or folder at `path`.
///
/// `progress` is called from several threads, with the bytes hashed since it was last called.
///
/// # Errors
/// If something there cannot be read or be part of a torrent, if it changes meanwhile, or if the piece size is not one.
pub fn make(
    path: &Path,
    options: &MakeOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Metainfo, MakeError> {
    let chosen = options.piece_bytes;
    let in_bounds = limits::PIECE_BYTES_MIN..=limits::PIECE_BYTES_MAX;
    if let Some(odd) = chosen.filter(|size| !size.is_power_of_two() || !in_bounds.contains(size)) {
        return Err(MakeError::PieceBytes(odd));
    }
    let found = walk(path)?;
    let total = found.files.total();
    let piece_bytes = chosen.unwrap_or_else(|| Layout::default_piece_bytes(total));
    let layout = Layout::new(total, piece_bytes)
        .map_err(|source| MakeError::Layout { path: path.to_owned(), source })?;
    let (sha1, blake3) = hash(&found, layout, progress)?;
    check_unchanged(&found)?;
    let builder = Builder {
        files: found.files,
        piece_bytes,
        sha1: Bytes::from(sha1),
        blake3: Some(Bytes::from(blake3)),
        trackers: options.trackers.clone(),
        about: options.about.clone(),
    };
    Ok(builder.build()?)
}

/// What a torrent would be made of.
#[derive(Debug)]
pub struct Survey {
    /// Bytes to be hashed.
    pub bytes: u64,
    /// Folders in which nothing lies. No torrent can carry them.
    pub empty_folders: Vec<PathBuf>,
}

/// What there is at `path` to make a torrent of.
///
/// # Errors
/// As [`make`]'s, for what can be known without reading.
pub fn survey(path: &Path) -> Result<Survey, MakeError> {
    let found = walk(path)?;
    Ok(Survey { bytes: found.files.total(), empty_folders: found.empty_folders })
}

/// The hashes of all pieces, of each kind one after the other.
fn hash(
    found: &Found,
    layout: Layout,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(Vec<u8>, Vec<u8>), MakeError> {
    let pieces = layout.pieces() as usize;
    let mut sha1 = vec![0; pieces * SHA1_BYTES];
    let mut blake3 = vec![0; pieces * BLAKE3_BYTES];
    let slots = sha1.as_chunks_mut().0.iter_mut().zip(blake3.as_chunks_mut().0);
    // A thread takes the next pieces and the places for their hashes; after an error there are no next ones.
    let next = Mutex::new(Some((0..).zip(slots)));
    let locate = |index| found.path(index);
    let threads = super::threads();
    let beside = side_by_side(layout.pieces(), threads);
    let work = || {
        let lane = || Lane::new(Reader::new(&found.files, &locate), PieceHasher::default());
        let mut lanes: Vec<_> = std::iter::repeat_with(lane).take(beside).collect();
        loop {
            let pieces: Vec<_> = match &mut *next.lock().expect(NO_PANIC) {
                Some(next) => next.take(beside).collect(),
                None => return Ok(()),
            };
            if pieces.is_empty() {
                return Ok(());
            }
            for (lane, (piece, _)) in lanes.iter_mut().zip(&pieces) {
                lane.begin(layout.piece_offset(*piece), layout.piece_len(*piece).into());
            }
            Lane::read_all(&mut lanes, |parts| PieceHasher::update_all(parts));
            for (lane, (piece, (sha1, blake3))) in lanes.iter_mut().zip(pieces) {
                if let Some(error) = lane.failed.take() {
                    *next.lock().expect(NO_PANIC) = None;
                    return Err(failed(found, error));
                }
                let hash = lane.hasher.finish();
                (*sha1, *blake3) = (hash.sha1, hash.blake3);
                progress(layout.piece_len(piece).into());
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect(NO_PANIC))
    })?;
    Ok((sha1, blake3))
}

const NO_PANIC: &str = "no thread panics while it hashes";

fn failed(found: &Found, error: ReadError) -> MakeError {
    let path = found.path(error.file);
    match error.source.kind() {
        // It was there, and as long as it should be, when it was found.
        ErrorKind::NotFound | ErrorKind::UnexpectedEof => MakeError::Changed(path),
        _ => MakeError::Read { path, source: error.source },
    }
}

/// Whether every file is still what it was when it was found.
fn check_unchanged(found: &Found) -> Result<(), MakeError> {
    for (index, stamp) in found.stamps.iter().enumerate() {
        let path = found.path(index);
        let now = path.metadata().map(|metadata| Stamp::of(&metadata));
        if now.ok().as_ref() != Some(stamp) {
            return Err(MakeError::Changed(path));
        }
    }
    Ok(())
}
