//! Opening below a folder, component by component, never through a symbolic link: a torrent's names come from strangers, and
//! what lies in the folder may have been put there by another torrent.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::Allocation;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Reading.
    Read,
    /// Reading a file that the user has named: it may be a link.
    ReadOwn,
    /// Reading and writing a file that bears no other name.
    Write,
    /// The same of one that is not there: it is made, and its folders if need be.
    Create,
    /// The same of one that may be there.
    CreateOrWrite,
}

/// Read and write for everybody, less what the process' mask takes away.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// A folder that the user has named.
pub(super) fn folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Folder `name` in `parent`, made if it is not there.
pub(super) fn make_folder(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    match subfolder(parent.as_fd(), name) {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdirat(&parent, name, FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(subfolder(parent.as_fd(), name)?)
        }
        opened => Ok(opened?),
    }
}

fn subfolder(parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        // Some systems say this of a link, too, and a person sees a folder there.
        Err(Errno::NOTDIR) if is_link(parent, name) => Err(Errno::LOOP),
        opened => opened,
    }
}

fn is_link(parent: BorrowedFd<'_>, name: &str) -> bool {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

/// The file at `path`, components joined by `/`, below `base`.
pub(super) fn file(base: &OwnedFd, path: &str, how: How) -> io::Result<File> {
    let (folders, name) = match path.rsplit_once('/') {
        Some((folders, name)) => (Some(folders), name),
        None => (None, path),
    };
    let mut inner: Option<OwnedFd> = None;
    for component in folders.into_iter().flat_map(|folders| folders.split('/')) {
        let parent = inner.as_ref().unwrap_or(base);
        inner = Some(match how {
            How::Create | How::CreateOrWrite => make_folder(parent, component)?,
            _ => subfolder(parent.as_fd(), component)?,
        });
    }
    // A pipe that bears the name must not hold the process up until somebody writes to it.
    let always = OFlags::CLOEXEC | OFlags::NONBLOCK;
    let flags = match how {
        How::ReadOwn => OFlags::RDONLY,
        How::Read => OFlags::RDONLY | OFlags::NOFOLLOW,
        How::Write => OFlags::RDWR | OFlags::NOFOLLOW,
        How::Create => OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL,
        How::CreateOrWrite => OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CREATE,
    };
    let parent = inner.as_ref().unwrap_or(base);
    let file = match rustix::fs::openat(parent, name, flags | always, FILE_MODE) {
        Err(Errno::EXIST) if how == How::Create => return Err(same_as_another()),
        opened => File::from(opened?),
    };
    let found = rustix::fs::fstat(&file)?;
    if !is_file(&found) {
        return Err(io::Error::other(
            "it is not a plain file; move it away, or choose another folder",
        ));
    }
    if !matches!(how, How::Read | How::ReadOwn) {
        check_links(&found)?;
    }
    Ok(file)
}

/// Makes a symbolic link at `path`, components joined by `/`, below `base`; its folders, too, if need be. Nothing is replaced: says
/// whether it is there now, be it that it was.
pub(super) fn link(base: &OwnedFd, path: &str, text: &str) -> io::Result<bool> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut inner: Option<OwnedFd> = None;
    for component in folders.split('/').filter(|component| !component.is_empty()) {
        inner = Some(make_folder(inner.as_ref().unwrap_or(base), component)?);
    }
    let parent = inner.as_ref().unwrap_or(base);
    match rustix::fs::symlinkat(text, parent, name) {
        Err(Errno::EXIST) => {
            let found = rustix::fs::readlinkat(parent, name, Vec::new());
            Ok(found.is_ok_and(|found| found.as_bytes() == text.as_bytes()))
        }
        made => Ok(made.map(|()| true)?),
    }
}

/// Removes the file at `path`, components joined by `/`, below `base`, and the folders on the way to it that are empty then.
pub(super) fn remove(base: &OwnedFd, path: &str) -> io::Result<()> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut way: Vec<(&str, OwnedFd)> = Vec::new();
    for component in folders.split('/').filter(|component| !component.is_empty()) {
        let parent = way.last().map_or(base, |(_, folder)| folder);
        way.push((component, subfolder(parent.as_fd(), component)?));
    }
    let parent = way.last().map_or(base, |(_, folder)| folder);
    rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
    while let Some((component, _)) = way.pop() {
        let parent = way.last().map_or(base, |(_, folder)| folder);
        match rustix::fs::unlinkat(parent, component, AtFlags::REMOVEDIR) {
            // POSIX has two names for it.
            Err(Errno::NOTEMPTY | Errno::EXIST) => break,
            removed => removed?,
        }
    }
    Ok(())
}

/// A file that was not there is, or is there twice. Whatever it is, it is not to be written over; most likely it is another of the same
/// torrent.
pub(super) fn same_as_another() -> io::Error {
    io::Error::other(
        "it is there, though nothing was written to it: on this file system it may be another file of the torrent (some take upper \
         and lower case for the same); choose a folder on another one, or move it away",
    )
}

/// Something has happened to a file of a download, which holds pieces that count as verified.
pub(super) fn lost(what: &str) -> io::Error {
    io::Error::other(format!(
        "{what} while it was downloaded; start the download again: what lacks is fetched anew"
    ))
}

/// Whether it is a plain file.
pub(super) fn is_file(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
}

/// What lies at `path` below `base`, a link to nowhere included.
pub(super) fn look(base: &OwnedFd, path: &str) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(base, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Complains of a file that bears another name, too: what is written to it would change what is found by that.
pub(super) fn check_links(found: &Stat) -> io::Result<()> {
    if is_file(found) && found.st_nlink > 1 {
        return Err(io::Error::other(
            "it bears another name, too (a hard link), and what is written to it would change that as well; \
             put a copy in its place, or choose another folder",
        ));
    }
    Ok(())
}

/// Whether `parent` has anything called `name`, a link to nowhere included.
pub(super) fn exists(parent: &OwnedFd, name: &str) -> io::Result<bool> {
    Ok(look(parent, name)?.is_some())
}

/// Makes sure that nobody else downloads into `name` of `parent`, which is `file`, until `file` is closed.
pub(super) fn lock(file: &File, parent: &OwnedFd, name: &str) -> io::Result<()> {
    let taken = || {
        io::Error::other("another process downloads into it; stop that, or choose another folder")
    };
    if !locks_out_ourselves(file) {
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(taken()),
            // A file system without locks is no reason not to download.
            Err(std::fs::TryLockError::Error(_)) => {}
        }
    }
    // The one who held the lock may have renamed it between our opening and our locking.
    if is_at(file, parent, name)? { Ok(()) } else { Err(taken()) }
}

/// Whether `name` in `parent` is `file`.
pub(super) fn is_at(file: &File, parent: &OwnedFd, name: &str) -> io::Result<bool> {
    let own = rustix::fs::fstat(file)?;
    Ok(look(parent, name)?.is_some_and(|there| is_same(&own, &there)))
}

/// Whether `path` leads to `folder`.
pub(super) fn is_way_to(path: &Path, folder: &OwnedFd) -> bool {
    let there = rustix::fs::stat(path);
    there.is_ok_and(|there| rustix::fs::fstat(folder).is_ok_and(|own| is_same(&own, &there)))
}

/// Whether both are one file or folder.
pub(super) fn is_same(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// Whether a lock on `file` keeps this process itself from using the file by another descriptor: files on SMB mounts, says flock(2).
#[cfg(target_os = "linux")]
fn locks_out_ourselves(file: &File) -> bool {
    /// `SMB_SUPER_MAGIC`, `CIFS_SUPER_MAGIC` and `SMB2_SUPER_MAGIC` of statfs(2).
    const SMB: [u32; 3] = [0x517B, 0xFF53_4D42, 0xFE53_4D42];
    let is_smb = rustix::fs::fstatfs(file).is_ok_and(|stat| SMB.contains(&(stat.f_type as u32)));
    is_smb && rustix::fs::fstat(file).is_ok_and(|found| is_file(&found))
}

#[cfg(not(target_os = "linux"))]
fn locks_out_ourselves(_: &File) -> bool {
    false
}

/// Sets space aside for so many bytes of a file.
pub(super) type Reserve = fn(&File, u64) -> rustix::io::Result<()>;

/// How space is set aside.
pub(super) fn reserve(allocation: Allocation) -> Reserve {
    match allocation {
        Allocation::Sparse => |_, _| Ok(()),
        Allocation::Full => |file, len| {
            let needed = len > 0 && !is_memory(file);
            let all = || rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len);
            if needed { all() } else { Ok(()) }
        },
    }
}

/// Gives `file` the length it will have, without writing to it, and sets space aside for it. A longer one is somebody else's,
/// and is not cut. Nobody else may write to it meanwhile.
pub(super) fn make_length(file: &File, len: u64, reserve: Reserve) -> io::Result<()> {
    let found = file.metadata()?.len();
    if found == len {
        return Ok(());
    }
    if found > len {
        return Err(io::Error::other(format!(
            "it is {found} bytes long and not {len}: it belongs to another torrent; move it away"
        )));
    }
    file.set_len(len)?;
    match reserve(file, len) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => {
            // Its full length says that space was taken for it. What it held before stays.
            file.set_len(found)?;
            Err(error.into())
        }
    }
}

/// Whether it lies in memory (tmpfs), where to set space aside is to take and clear all of it at once.
#[cfg(target_os = "linux")]
fn is_memory(file: &File) -> bool {
    /// `TMPFS_MAGIC` of statfs(2).
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|stat| stat.f_type == TMPFS)
}

#[cfg(not(target_os = "linux"))]
fn is_memory(_: &File) -> bool {
    false
}

/// Complains unless `file` is `len` bytes long.
pub(super) fn check_length(file: &File, len: u64) -> io::Result<()> {
    let found = file.metadata()?.len();
    if found == len { Ok(()) } else { Err(other_length(found, len)) }
}

/// Complains if `file` is longer than `len` bytes.
pub(super) fn check_not_longer(file: &File, len: u64) -> io::Result<()> {
    let found = file.metadata()?.len();
    if found <= len { Ok(()) } else { Err(other_length(found, len)) }
}

fn other_length(found: u64, len: u64) -> io::Error {
    io::Error::other(format!(
        "it is {found} bytes long and not {len}: it has changed, or belongs to another torrent"
    ))
}

/// Whether `name` in `parent` is a folder.
pub(super) fn is_folder(parent: &OwnedFd, name: &str) -> io::Result<bool> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use rustix::io::Errno;

    use super::{File, make_length};

    #[test]
    fn without_room_a_file_stays_what_it_was() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("image.part");
        File::create(&path).and_then(|mut file| file.write_all(b"begun")).expect("written");
        let file = File::options().read(true).write(true).open(&path).expect("there");
        let full = make_length(&file, 10, |_, _| Err(Errno::DQUOT));
        assert_eq!(full.map_err(|error| Errno::from_io_error(&error)), Err(Some(Errno::DQUOT)));
        let mut held = Vec::new();
        (&file).read_to_end(&mut held).expect("readable");
        assert_eq!(held, b"begun");
        make_length(&file, 10, |_, _| Err(Errno::OPNOTSUPP)).expect("some cannot set aside");
        assert_eq!(file.metadata().expect("there").len(), 10);
    }
}
