//! `.torrent` files and the data they describe: made, read, shown, verified.
//!
//! Reads real files, with real threads; no world runs this. What a torrent means is `sta_core::model::metainfo`'s business.

pub mod content;
pub mod make;
pub mod show;
#[cfg(test)]
mod tests;
pub mod verify;
mod walk;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sta_core::model::limits;
use sta_core::model::metainfo::{Metainfo, MetainfoError};

/// Why a `.torrent` file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TorrentError {
    /// It cannot be read.
    #[error("{}: cannot read the torrent: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a torrent that can be used.
    #[error("{}: not a usable torrent: {source}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MetainfoError,
    },
    /// It cannot be written.
    #[error("{}: cannot write the torrent: {source}; choose another place with -o", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the torrent at `path`.
///
/// # Errors
/// If it cannot be read or is not a torrent that can be used.
pub fn load(path: &Path) -> Result<Metainfo, TorrentError> {
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to know, whatever the size claims: it may be a pipe.
    let most = limits::TORRENT_BYTES_MAX as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|source| TorrentError::Read { path: path.to_owned(), source })?;
    Metainfo::parse(bytes).map_err(|source| TorrentError::Broken { path: path.to_owned(), source })
}

/// Writes `torrent` to `path`, whole or not at all. Replaces what is there.
///
/// # Errors
/// If it cannot be written; then nothing is left behind.
pub fn save(torrent: &Metainfo, path: &Path) -> Result<(), TorrentError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(torrent.bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    });
    written.map_err(|source| {
        // It may never have been there; the first error is the one to tell.
        let _ = fs::remove_file(&part);
        TorrentError::Write { path: path.to_owned(), source }
    })
}

/// Threads to hash with: one for each core this process may use.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
