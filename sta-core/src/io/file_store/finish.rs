//! From `NAME.part` to `NAME`: make what no piece has a byte of (empty files, permissions to execute, links), sync, rename without
//! replacing anything, sync the folder. What was found under its name is synced as well: it may have been written a moment ago.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::error::store_error;
use super::{Base, Download, FileStore, SyncPolicy, is_one_place, open};
use crate::io::store::StoreError;
use crate::model::files::{FileKind, PART_SUFFIX, part_of};

/// As [`crate::io::store::PieceStore::finish`].
pub(super) fn finish(store: &FileStore) -> Result<(), StoreError> {
    let Some(download) = &store.download else { return sync_found(store) };
    let _one = download.finishing.lock().unwrap_or_else(PoisonError::into_inner);
    let name = store.torrent.name();
    let part = format!("{name}{PART_SUFFIX}");
    if store.is_part() {
        make_empty_files(store)?;
        check_all_is_there(store, download, &part)?;
        make_executable(store)?;
        make_links(store)?;
        if download.sync == SyncPolicy::Complete {
            sync_content(store)?;
        }
        let renamed = rename_without_replacing(&download.out, &part, name);
        match renamed {
            Ok(()) => {
                store.has_its_name.store(true, Ordering::Release);
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
        sync(&download.out).map_err(|e| store_error(&store.out, &e))?;
    }
    Ok(())
}

/// Whatever was verified, somebody may have moved, cut or replaced it since: what is about to get the final name must be what was
/// written, as far as the system tells without reading it.
fn check_all_is_there(
    store: &FileStore,
    download: &Download,
    part: &str,
) -> Result<(), StoreError> {
    let root = store.out.join(part);
    let own = open::is_at(&download.lock, &download.out, part);
    if !own.map_err(|e| store_error(&root, &e))? {
        return Err(store_error(&root, &open::lost("it was moved away or replaced")));
    }
    let files = store.torrent.files().as_slice().iter().enumerate();
    let mut files = files.filter(|(_, listed)| !listed.is_padding());
    files.try_for_each(|(index, listed)| {
        check_is_there(store, index, listed.len).map_err(|e| store_error(&store.path(index), &e))
    })
}

/// Whether file `index` is there, `len` bytes long, and the one that was written.
pub(super) fn check_is_there(store: &FileStore, index: usize, len: u64) -> io::Result<()> {
    let found = store.look_at(index)?.ok_or_else(|| open::lost("it was moved away"))?;
    if !open::is_file(&found) || found.st_size as u64 != len {
        return Err(open::lost("it was changed"));
    }
    // Some file systems give a file another number when nobody has it open.
    if let Some(file) = store.handles.get(index)
        && !open::is_same(&rustix::fs::fstat(&*file)?, &found)
    {
        return Err(open::lost("it was replaced"));
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
    let empty = (0..).zip(files).filter(|(_, file)| file.len == 0 && !file.is_padding());
    for (index, _) in empty {
        store.handle(index, true)?;
    }
    Ok(())
}

/// Who may read an executable file may execute it, too. A file system that knows no such thing is no reason not to finish.
fn make_executable(store: &FileStore) -> Result<(), StoreError> {
    let files = (0..).zip(store.torrent.files().as_slice());
    for (index, _) in files.filter(|(_, file)| file.kind == FileKind::Executable) {
        let file = store.handle(index, true)?;
        let mode = rustix::fs::fstat(&*file).map(|found| Mode::from_raw_mode(found.st_mode));
        match mode.and_then(|mode| rustix::fs::fchmod(&*file, executable(mode))) {
            Err(Errno::PERM) => {}
            Err(error) if is_unsupported(error) => {}
            done => done.map_err(|error| store_error(&store.path(index), &error.into()))?,
        }
    }
    Ok(())
}

/// Every link of the torrent leads to something of the torrent, and nothing was written through one: they come last.
fn make_links(store: &FileStore) -> Result<(), StoreError> {
    let Base::Folder(root) = &store.base else { return Ok(()) };
    let part = part_of(&store.out.join(store.torrent.name()));
    store.torrent.files().links().iter().try_for_each(|link| {
        let at = part.join(&link.path);
        let failed = |error| store_error(&at, &error);
        let right = open::link(root, &link.path, &link.text()).map_err(failed)?;
        // Content that was brought here may have one that says the same in other words.
        if right || (at.is_symlink() && is_one_place(&at, &part.join(&link.to))) {
            return Ok(());
        }
        let what = "it is there, and not the link that belongs there; move it away";
        Err(store_error(&at, &io::Error::other(what)))
    })
}

fn executable(mode: Mode) -> Mode {
    let may = |read: Mode, execute: Mode| if mode.contains(read) { execute } else { Mode::empty() };
    mode | may(Mode::RUSR, Mode::XUSR) | may(Mode::RGRP, Mode::XGRP) | may(Mode::ROTH, Mode::XOTH)
}

/// What is read only has its name already, which is to be durable too.
fn sync_found(store: &FileStore) -> Result<(), StoreError> {
    let out = open::folder(&store.out).map_err(|e| store_error(&store.out, &e))?;
    sync_content(store)?;
    sync(out).map_err(|e| store_error(&store.out, &e))
}

fn sync_content(store: &FileStore) -> Result<(), StoreError> {
    match &store.base {
        Base::Around(_) => sync_file(store, 0),
        Base::Folder(root) => {
            sync_folder(store, root)?;
            sync(root).map_err(|error| unsynced(store_error(&store.out, &error)))
        }
    }
}

fn sync_file(store: &FileStore, index: usize) -> Result<(), StoreError> {
    let synced = sync(&*store.handle(index, true)?);
    synced.map_err(|error| unsynced(store_error(&store.path(index), &error)))
}

/// One call for the whole file system: with thousands of files that is one commit of its journal instead of thousands.
#[cfg(target_os = "linux")]
fn sync_folder(store: &FileStore, root: &OwnedFd) -> Result<(), StoreError> {
    rustix::fs::syncfs(root).map_err(|error| unsynced(store_error(&store.out, &error.into())))
}

#[cfg(not(target_os = "linux"))]
fn sync_folder(store: &FileStore, _: &OwnedFd) -> Result<(), StoreError> {
    let files = store.torrent.files().as_slice().iter().enumerate();
    files.filter(|(_, file)| !file.is_padding()).try_for_each(|(index, _)| sync_file(store, index))
}

/// Makes a file, or the names in a folder, durable, where the file system has a way to: those of virtual machines' shared folders have
/// none for names, and those that are images, read only, need none.
fn sync(file: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(file) {
        Err(error) if is_unsupported(error) => Ok(()),
        synced => Ok(synced?),
    }
}

/// What a file system says to what it does not do.
fn is_unsupported(error: Errno) -> bool {
    // On some systems two of these are one number.
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP].contains(&error)
}

fn rename_without_replacing(dir: &OwnedFd, from: &str, to: &str) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
            Err(error) if is_unsupported(error) => {}
            done => return Ok(done?),
        }
    }
    // A file is given the name by a link, which replaces nothing.
    if !open::is_folder(dir, from)? {
        match rustix::fs::linkat(dir, from, dir, to, AtFlags::empty()) {
            Ok(()) => return Ok(rustix::fs::unlinkat(dir, from, AtFlags::empty())?),
            Err(Errno::PERM | Errno::MLINK) => {}
            Err(error) if is_unsupported(error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // There may be no links. A folder replaces at most an empty folder.
    if open::exists(dir, to)? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    Ok(rustix::fs::renameat(dir, from, dir, to)?)
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
