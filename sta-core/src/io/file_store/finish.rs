//! From `NAME.part` to `NAME`: sync, rename without replacing anything, sync the folder.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::error::store_error;
use super::{Base, Download, FileStore, SyncPolicy, open};
use crate::io::store::StoreError;
use crate::model::files::PART_SUFFIX;

/// As [`crate::io::store::PieceStore::finish`]. What is read only is finished.
pub(super) fn finish(store: &FileStore) -> Result<(), StoreError> {
    let Some(download) = &store.download else { return Ok(()) };
    let _one = download.finishing.lock().unwrap_or_else(PoisonError::into_inner);
    let name = store.torrent.name();
    let part = format!("{name}{PART_SUFFIX}");
    if !download.renamed.load(Ordering::Acquire) {
        make_empty_files(store)?;
        if download.sync == SyncPolicy::Complete {
            sync_content(store, download).map_err(unsynced)?;
        }
        let renamed = rename_without_replacing(&download.out, &part, name);
        match renamed {
            Ok(()) => {
                download.renamed.store(true, Ordering::Release);
                // A new name is a change, too.
                store.changes.watch(store.stamps());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(in_the_way(&store.out.join(name)));
            }
            Err(error) => return Err(store_error(&store.out.join(&part), &error)),
        }
    }
    if download.sync == SyncPolicy::Complete {
        rustix::fs::fsync(&download.out).map_err(|e| store_error(&store.out, &e.into()))?;
    }
    Ok(())
}

/// The refusal to replace what bears the final name.
pub(super) fn in_the_way(path: &Path) -> StoreError {
    StoreError {
        path: path.display().to_string(),
        reason: "it exists already and is not replaced; move it away, choose another folder, or \
                 seed it if it is this torrent's content"
            .to_owned(),
        passing: false,
    }
}

/// What the system could not bring to the disk it counts as done afterwards, and another attempt would succeed although bytes
/// lack (Rebello et al., Can Applications Recover from fsync Failures?, 2020). So there is none.
fn unsynced(failure: StoreError) -> StoreError {
    let reason = format!(
        "{}; what is on the disk may not be what was written: download it again, into another folder",
        failure.reason
    );
    StoreError { reason, passing: false, ..failure }
}

/// No piece has a byte of an empty file, so nothing has made it yet.
fn make_empty_files(store: &FileStore) -> Result<(), StoreError> {
    let files = store.torrent.files().as_slice();
    let empty = (0..).zip(files).filter(|(_, file)| file.len == 0 && !file.padding);
    for (index, _) in empty {
        store.handle(index, true)?;
    }
    Ok(())
}

fn sync_content(store: &FileStore, download: &Download) -> Result<(), StoreError> {
    match &store.base {
        Base::Around(_) => {
            store.handle(0, true)?.sync_all().map_err(|error| store_error(&store.path(0), &error))
        }
        Base::Folder(root) => {
            sync_folder(store, root)?;
            download.lock.sync_all().map_err(|error| store_error(&store.out, &error))
        }
    }
}

/// One call for the whole file system: with thousands of files that is one commit of its journal instead of thousands.
#[cfg(target_os = "linux")]
fn sync_folder(store: &FileStore, root: &OwnedFd) -> Result<(), StoreError> {
    rustix::fs::syncfs(root).map_err(|error| store_error(&store.out, &error.into()))
}

#[cfg(not(target_os = "linux"))]
fn sync_folder(store: &FileStore, _: &OwnedFd) -> Result<(), StoreError> {
    for (index, file) in store.torrent.files().as_slice().iter().enumerate() {
        if !file.padding {
            let synced = store.handle(index, true)?.sync_all();
            synced.map_err(|error| store_error(&store.path(index), &error))?;
        }
    }
    Ok(())
}

fn rename_without_replacing(dir: &OwnedFd, from: &str, to: &str) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            done => return Ok(done?),
        }
    }
    // A folder replaces at most an empty folder; a file is given the name by a link, which replaces nothing.
    if open::is_folder(dir, from)? {
        if open::exists(dir, to)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        return Ok(rustix::fs::renameat(dir, from, dir, to)?);
    }
    rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
    Ok(rustix::fs::unlinkat(dir, from, AtFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::{StoreError, unsynced};

    #[test]
    fn a_failed_sync_is_not_tried_again() {
        let full = StoreError { path: "a".into(), reason: "full".into(), passing: true };
        assert!(!unsynced(full).passing);
    }
}
