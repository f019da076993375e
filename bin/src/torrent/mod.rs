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
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;
use sta_core::io::file_store::TOO_MANY_OPEN;
use sta_core::model::limits;
use sta_core::model::metainfo::{Metainfo, MetainfoError};

use crate::exit::unnamed;

/// Why a `.torrent` file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TorrentError {
    /// It cannot be read.
    #[error("{}: cannot read the torrent: {source}{}", path.display(), remedy(source))]
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
    /// Something lies where it is to be written.
    #[error("{}: is there already and is no torrent; it is left alone: choose another place with -o", .0.display())]
    InTheWay(PathBuf),
    /// A folder is where it is to be written.
    #[error("{}: is a folder; name the file to write, for example {}", .0.display(), .0.join("NAME.torrent").display())]
    Folder(PathBuf),
    /// It would lie in what it describes.
    #[error("{}: is a part of what the torrent describes; choose another place with -o", .0.display())]
    Inside(PathBuf),
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

/// Whether a torrent of `content` could be written to `path`, as far as that can be known before there is one: to make one takes long.
///
/// # Errors
/// If `path` is a part of `content`, something else than a torrent is there, or its folder cannot be written.
pub fn check_beside(content: &Path, path: &Path) -> Result<(), TorrentError> {
    if let (Ok(folder), Ok(content), Some(name)) =
        (folder_of(path).canonicalize(), content.canonicalize(), path.file_name())
        // That the root of a file system has no name to make a torrent of is said by who makes it.
        && content.parent().is_some()
        && folder.join(name).starts_with(content)
    {
        return Err(TorrentError::Inside(path.to_owned()));
    }
    check_place(path)
}

fn check_place(path: &Path) -> Result<(), TorrentError> {
    if path.is_dir() {
        return Err(TorrentError::Folder(path.to_owned()));
    }
    let unwritable = |source| TorrentError::Write { path: path.to_owned(), source };
    // A folder is meant, and there is none.
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(unwritable(Errno::NOTDIR.into()));
    }
    match path.symlink_metadata() {
        Ok(_) if is_torrent(path) => {}
        Ok(_) => return Err(TorrentError::InTheWay(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unwritable(error)),
    }
    rustix::fs::access(folder_of(path), Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| unwritable(error.into()))
}

/// The folder that `path` lies in.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes `torrent` to `path`, whole or not at all. Replaces the torrent that is there.
///
/// # Errors
/// If something else than a torrent is there, or it cannot be written; then all is as it was.
pub fn save(torrent: &Metainfo, path: &Path) -> Result<(), TorrentError> {
    check_place(path)?;
    // As for any file: what the process' mask takes away is taken away.
    let everybody = fs::Permissions::from_mode(0o666);
    let part = tempfile::Builder::new().permissions(everybody).tempfile_in(folder_of(path));
    let written = part.and_then(|mut file| {
        file.write_all(torrent.bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    });
    written
        .map(drop)
        .map_err(|error| TorrentError::Write { path: path.to_owned(), source: unnamed(&error) })
}

/// Whether a torrent lies at `path`: what this program itself cannot read as one is a person's file.
fn is_torrent(path: &Path) -> bool {
    is_file(path) && load(path).is_ok()
}

/// Whether what lies at `path` begins as torrents do, be it a broken one. So do other files: it is for advice alone.
#[must_use]
pub fn begins_like_a_torrent(path: &Path) -> bool {
    let mut start = [0; 2];
    let mut read = || File::open(path).and_then(|mut file| file.read_exact(&mut start));
    is_file(path) && read().is_ok() && start[0] == b'd' && start[1].is_ascii_digit()
}

/// To open a pipe would wait for who writes to it.
fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| there.is_file())
}

/// What to do about what cannot be read, after what the system says of it.
fn remedy(source: &io::Error) -> &'static str {
    match Errno::from_io_error(source) {
        Some(Errno::MFILE | Errno::NFILE) => TOO_MANY_OPEN,
        _ => "; check the path and its permissions",
    }
}

/// Threads to hash with: one for each core this process may use.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
