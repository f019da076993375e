//! [`PieceStore`] over real files.
//!
//! A download lives in `NAME.part`, a file or a folder, and is renamed once to `NAME` when it is complete: nothing
//! incomplete ever bears the final name, and nothing that bears it already is replaced. Nobody else downloads into
//! the same `NAME.part` meanwhile: it is locked.
//!
//! Files are as long as they will be from their first byte on: what was never written is a hole, be space set aside for it or not,
//! which whoever verifies after a restart need not read. What is no hole is verified anew, which is why no record of
//! progress needs to be kept or to survive a crash. What is lost of a file while the process runs is therefore never made anew: it
//! would hold zeros where pieces count as verified.
//!
//! * `file_store/open.rs`: opening below a folder without following links;
//! * `file_store/handles.rs`: the files that are open;
//! * `file_store/changes.rs`: files that somebody changes while they are served;
//! * `file_store/finish.rs`: syncing and renaming;
//! * `file_store/leave.rs`: what a download leaves that got nothing;
//! * `file_store/error.rs`: what the system said, for people.
//!
//! Unix only, for its positioned reads and writes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::Stat;

use super::store::{Body, Doubt, FileRange, PieceStore, PieceVerifier, StoreError};
use crate::io::hash::KnownLeaves;
use crate::model::files::{FileSpan, PART_SUFFIX, part_of};
use crate::model::layout::{Block, Layout};
use crate::model::leaves::LeafHashes;
use crate::model::limits;
use crate::model::metainfo::Metainfo;

mod changes;
mod error;
mod finish;
mod handles;
mod leave;
mod open;
#[cfg(test)]
mod tests;

pub use error::TOO_MANY_OPEN;

use changes::{Changes, Stamp};
use error::store_error;
use handles::Handles;

/// Whether both paths lead to one file or folder, whatever links they go through.
#[must_use]
pub fn is_one_place(a: &Path, b: &Path) -> bool {
    a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// How much space a download takes before its bytes are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocation {
    /// What was written: starting costs nothing, and holes show what was not.
    #[default]
    Sparse,
    /// All of a file when its first byte is written, so that a full disk shows early and the file lies in one place;
    /// sparse where the file system cannot, and in memory. A hole stays recognisable: reserved space is not data.
    Full,
}

/// What a crash of the machine may take away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Nothing of what bears its final name: data is on the disk before the rename, the rename before the download is reported
    /// as finished. An incomplete download may lose pieces, which are fetched again.
    #[default]
    Complete,
    /// What the system has not written by itself.
    Never,
}

/// A torrent's content in files.
pub struct FileStore {
    torrent: Arc<Metainfo>,
    /// Where `NAME` and `NAME.part` are, as given.
    out: PathBuf,
    base: Base,
    /// Whether it is called `NAME`, and not `NAME.part`.
    has_its_name: AtomicBool,
    /// `None`: read only.
    download: Option<Download>,
    handles: Handles,
    changes: Changes,
    leaves: KnownLeaves,
}

/// The folder below which files are opened.
enum Base {
    /// Of a single file: the folder it lies in.
    Around(OwnedFd),
    /// Of a folder: itself. It stays open, whatever it is called.
    Folder(OwnedFd),
}

struct Download {
    reserve: open::Reserve,
    sync: SyncPolicy,
    /// The folder that holds `NAME.part`.
    out: OwnedFd,
    /// Holds the lock on `NAME.part`, whose file or folder it is.
    lock: File,
    /// Whether this download has made `NAME.part`.
    is_new: bool,
    /// One finishes at a time.
    finishing: Mutex<()>,
    /// For each file: one writes to it at a time. The kernel sees to that too, but lets the others spin meanwhile, which was a
    /// tenth of a receiver's processor time.
    writing: Vec<Mutex<Presence>>,
}

/// What is known of a file of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// It was not there: it is to be made, and must not be there then.
    Absent,
    /// It was there at the start, perhaps too short.
    Found,
    /// It has had all of its length.
    Whole,
}

impl FileStore {
    /// Content that lies complete in `dir` under the torrent's name, to be read only. Whether it is right is not checked
    /// here, except for the lengths of files as they are opened; it is to be verified from now on, so that no change is missed.
    ///
    /// # Errors
    /// If there is no such file or folder, or it may not be read.
    pub fn seed(torrent: Arc<Metainfo>, dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(torrent.name());
        let folder = if torrent.files().is_folder() { path.clone() } else { dir.to_owned() };
        let base = open::folder(&folder).map_err(|e| store_error(&path, &e))?;
        let base =
            if torrent.files().is_folder() { Base::Folder(base) } else { Base::Around(base) };
        Self::of(torrent, dir, base, true, None).watched()
    }

    /// The same of what an incomplete download has left in `NAME.part`.
    ///
    /// # Errors
    /// If there is no such file or folder, or it may not be read.
    pub fn seed_part(torrent: Arc<Metainfo>, dir: &Path) -> Result<Self, StoreError> {
        let path = part_of(&dir.join(torrent.name()));
        let of_folder = torrent.files().is_folder();
        let folder = if of_folder { path.as_path() } else { dir };
        let base = open::folder(folder).map_err(|e| store_error(&path, &e))?;
        let base = if of_folder { Base::Folder(base) } else { Base::Around(base) };
        Self::of(torrent, dir, base, false, None).watched()
    }

    /// Is read only, and from now on no change is missed.
    fn watched(self) -> Result<Self, StoreError> {
        if !self.torrent.files().is_folder() {
            self.handle(0, false)?;
        }
        self.changes.watch(self.stamps());
        Ok(self)
    }

    fn of(
        torrent: Arc<Metainfo>,
        dir: &Path,
        base: Base,
        has_its_name: bool,
        download: Option<Download>,
    ) -> Self {
        Self {
            torrent,
            out: dir.to_owned(),
            base,
            has_its_name: AtomicBool::new(has_its_name),
            download,
            handles: Handles::default(),
            changes: Changes::default(),
            leaves: KnownLeaves::default(),
        }
    }

    /// Content to be downloaded into `dir`, which is made if need be. Goes on with a `NAME.part` that is there.
    ///
    /// # Errors
    /// If `NAME` is there already, another process downloads here, or the folder cannot be written.
    pub fn download(
        torrent: Arc<Metainfo>,
        dir: &Path,
        allocation: Allocation,
        sync: SyncPolicy,
    ) -> Result<Self, StoreError> {
        let name = torrent.name();
        let part = format!("{name}{PART_SUFFIX}");
        std::fs::create_dir_all(dir).map_err(|e| store_error(dir, &e))?;
        let out = open::folder(dir).map_err(|e| store_error(dir, &e))?;
        if open::exists(&out, name).map_err(|e| store_error(&dir.join(name), &e))? {
            return Err(finish::in_the_way(&dir.join(name)));
        }
        let in_part = |e: std::io::Error| store_error(&dir.join(&part), &e);
        let is_new = !open::exists(&out, &part).map_err(in_part)?;
        let (lock, base) = if torrent.files().is_folder() {
            let root = open::make_folder(&out, &part).map_err(in_part)?;
            (File::from(root.try_clone().map_err(in_part)?), Base::Folder(root))
        } else {
            let file = open::file(&out, &part, open::How::CreateOrWrite).map_err(in_part)?;
            (file, Base::Around(out.try_clone().map_err(in_part)?))
        };
        open::lock(&lock, &out, &part).map_err(in_part)?;
        let writing = torrent.files().as_slice().iter().map(|_| Presence::Absent.into()).collect();
        let finishing = Mutex::new(());
        let reserve = open::reserve(allocation);
        let download = Download { reserve, sync, out, lock, is_new, finishing, writing };
        let mut store = Self::of(torrent, dir, base, false, Some(download));
        store.look_at_what_is_there()?;
        Ok(store)
    }

    /// What a download finds at its start.
    fn look_at_what_is_there(&mut self) -> Result<(), StoreError> {
        let (mut seen, mut linked) = (BTreeSet::new(), Ok(()));
        for index in 0..self.torrent.files().as_slice().len() {
            if self.torrent.files().as_slice()[index].is_padding() {
                continue;
            }
            let wrong =
                |error: io::Error| store_error(&self.obstacle(self.path(index), &error), &error);
            let Some(found) = self.look_at(index).map_err(wrong)? else { continue };
            if open::is_file(&found) && !seen.insert((found.st_dev, found.st_ino)) {
                return Err(wrong(open::same_as_another()));
            }
            linked = linked.and_then(|()| open::check_links(&found).map_err(wrong));
            if let Some(download) = &mut self.download {
                download.writing[index] = Presence::Found.into();
            }
        }
        linked.and_then(|()| self.look_for_ways_to_links())
    }

    /// Whether nothing is where the folders of the torrent's links belong: a link itself is looked at by whoever verifies.
    fn look_for_ways_to_links(&self) -> Result<(), StoreError> {
        let Base::Folder(root) = &self.base else { return Ok(()) };
        self.torrent.files().links().iter().try_for_each(|link| {
            let looked = open::look(root, &link.path).map(drop);
            let at = || part_of(&self.out.join(self.torrent.name())).join(&link.path);
            looked.map_err(|error| store_error(&self.obstacle(at(), &error), &error))
        })
    }

    /// What a person is to move away for the sake of `path`, where the system said `error`: what is no folder on the way to it, or itself.
    fn obstacle(&self, path: PathBuf, error: &io::Error) -> PathBuf {
        if error.kind() != io::ErrorKind::NotADirectory {
            return path;
        }
        let outer = path.ancestors().skip(1).take_while(|outer| *outer != self.out);
        let is_none = |outer: &&Path| outer.symlink_metadata().is_ok_and(|found| !found.is_dir());
        outer.filter(is_none).last().map(Path::to_owned).unwrap_or(path)
    }

    /// What there is where file `index` belongs, a link to nowhere included.
    fn look_at(&self, index: usize) -> io::Result<Option<Stat>> {
        let (base, path) = self.place(index);
        open::look(base, &path)
    }

    /// Where file `index` belongs: below which folder, and its path there.
    fn place(&self, index: usize) -> (&OwnedFd, Cow<'_, str>) {
        let path = self.torrent.files().as_slice()[index].path.as_str();
        match &self.base {
            Base::Folder(root) => (root, path.into()),
            Base::Around(out) if self.is_part() => (out, format!("{path}{PART_SUFFIX}").into()),
            Base::Around(out) => (out, path.into()),
        }
    }

    /// Of each file, when it was last changed.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let stamp = |index| std::fs::metadata(self.path(index)).ok().map(|file| Stamp::of(&file));
        (0..self.torrent.files().as_slice().len()).map(stamp).collect()
    }

    /// Bytes that the disk has set aside for the content so far, written or not, as far as the file system says.
    #[must_use]
    pub fn set_aside(&self) -> u64 {
        let files = self.torrent.files().as_slice().iter().enumerate();
        let on_disk =
            files.filter(|(_, file)| !file.is_padding()).map(|(index, _)| self.path(index));
        // stat(2) counts in blocks of 512 bytes, whatever the file system's are.
        on_disk
            .filter_map(|path| path.symlink_metadata().ok())
            .map(|file| file.blocks() * 512)
            .sum()
    }

    /// Whether the folder downloaded into is still the one at its path: somebody may have moved it, or mounted another there. What is
    /// written goes to the same folder all the same, wherever it is.
    #[must_use]
    pub fn is_at_its_path(&self) -> bool {
        self.download.as_ref().is_none_or(|download| open::is_way_to(&self.out, &download.out))
    }

    /// The parts of files that a range of the content is; an error if the content ends before.
    fn spans(&self, offset: u64, len: u64) -> Result<impl Iterator<Item = FileSpan>, StoreError> {
        if offset.checked_add(len).is_none_or(|end| end > self.layout().total()) {
            let path = self.path(0).display().to_string();
            let reason = format!("{len} bytes at {offset} are outside the torrent's content");
            return Err(StoreError { path, reason, passing: false });
        }
        Ok(self.torrent.files().spans(offset, len))
    }

    fn is_padding(&self, span: FileSpan) -> bool {
        self.torrent.files().as_slice()[span.file].is_padding()
    }

    /// File `index`, open; made if it is not there and `create`.
    fn handle(&self, index: usize, create: bool) -> Result<Arc<File>, StoreError> {
        let opened = self.handles.get_or_open(index, || {
            let listed = &self.torrent.files().as_slice()[index];
            let (base, path) = self.place(index);
            let path = &*path;
            match &self.download {
                Some(download) if self.is_part() => {
                    // Whoever has opened it may write to it, but not while another makes room for all of it.
                    let presence = &download.writing[index];
                    let mut presence = presence.lock().unwrap_or_else(PoisonError::into_inner);
                    let how = match *presence {
                        Presence::Absent if create => open::How::Create,
                        Presence::Absent => return Err(io::ErrorKind::NotFound.into()),
                        Presence::Found | Presence::Whole => open::How::Write,
                    };
                    let file = open::file(base, path, how).map_err(|error| match error.kind() {
                        io::ErrorKind::NotFound => open::lost("it was moved away"),
                        _ => error,
                    })?;
                    if *presence == Presence::Absent {
                        // It is ours from now on, whatever becomes of its length.
                        *presence = Presence::Found;
                    }
                    if *presence == Presence::Whole {
                        open::check_length(&file, listed.len)?;
                    } else {
                        open::make_length(&file, listed.len, download.reserve)?;
                    }
                    *presence = Presence::Whole;
                    Ok(file)
                }
                None if self.is_part() => {
                    let file = open::file(base, path, open::How::Read)?;
                    open::check_not_longer(&file, listed.len)?;
                    Ok(file)
                }
                // What is complete is served as it is: a file that lost its end since must not be lengthened with zeros.
                _ => {
                    let own = matches!(self.base, Base::Around(_));
                    let how = if own { open::How::ReadOwn } else { open::How::Read };
                    let file = open::file(base, path, how)?;
                    open::check_length(&file, listed.len)?;
                    Ok(file)
                }
            }
        });
        opened.map_err(|e| store_error(&self.obstacle(self.path(index), &e), &e))
    }

    fn is_part(&self) -> bool {
        !self.has_its_name.load(Ordering::Acquire)
    }

    /// Where file `index` lies at the moment, for messages.
    fn path(&self, index: usize) -> PathBuf {
        let path = self.torrent.files().disk_path(index);
        if !self.is_part() {
            return self.out.join(path);
        }
        let part = part_of(&self.out.join(self.torrent.name()));
        match path.strip_prefix(self.torrent.name()) {
            Ok(inside) if inside.components().next().is_some() => part.join(inside),
            _ => part,
        }
    }
}

impl PieceStore for FileStore {
    fn layout(&self) -> Layout {
        self.torrent.layout()
    }

    /// Padding is zeros, and is not kept.
    fn as_kept(&self, offset: u64, data: &mut [u8]) {
        let Ok(spans) = self.spans(offset, data.len() as u64) else { return };
        let mut rest = data;
        for span in spans {
            let (part, after) = rest.split_at_mut(span.len as usize);
            rest = after;
            if self.is_padding(span) {
                part.fill(0);
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        let Some(download) = &self.download else {
            let path = self.path(0).display().to_string();
            let reason = "it is shared as it is, and not written to".to_owned();
            return Err(StoreError { path, reason, passing: false });
        };
        let mut rest = data;
        for span in self.spans(offset, data.len() as u64)? {
            let (part, after) = rest.split_at(span.len as usize);
            rest = after;
            if self.is_padding(span) {
                continue;
            }
            let file = self.handle(span.file, true)?;
            let alone = download.writing[span.file].lock();
            let written = file.write_all_at(part, span.offset);
            drop(alone);
            written.map_err(|e| store_error(&self.path(span.file), &e))?;
        }
        Ok(())
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let mut rest = buf;
        for span in self.spans(offset, rest.len() as u64)? {
            let (part, after) = rest.split_at_mut(span.len as usize);
            rest = after;
            if self.is_padding(span) {
                part.fill(0);
                continue;
            }
            let file = self.handle(span.file, false)?;
            let read = file.read_exact_at(part, span.offset);
            read.map_err(|e| store_error(&self.path(span.file), &e))?;
        }
        Ok(())
    }

    fn body(&self, offset: u64, len: u32) -> Result<Body, StoreError> {
        let files = self.spans(offset, len.into())?.count();
        let padded = self.spans(offset, len.into())?.any(|span| self.is_padding(span));
        if padded || files > limits::BODY_FILES_MAX {
            let mut bytes = vec![0; len as usize];
            self.read(offset, &mut bytes)?;
            return Ok(Body::Bytes(Bytes::from(bytes)));
        }
        let range = |span: FileSpan| {
            let file = self.handle(span.file, false)?;
            Ok(FileRange { file, offset: span.offset, len: span.len })
        };
        self.spans(offset, len.into())?.map(range).collect::<Result<_, _>>().map(Body::Files)
    }

    fn doubt(&self, block: Block) -> Result<Option<Doubt>, StoreError> {
        let layout = self.layout();
        let mut first = None;
        for span in self.spans(layout.block_offset(block), block.len.into())? {
            if self.is_padding(span) {
                continue;
            }
            let file = self.handle(span.file, false)?;
            let found = file.metadata().map_err(|e| store_error(&self.path(span.file), &e))?;
            let listed = &self.torrent.files().as_slice()[span.file];
            let pieces = || layout.pieces_of(listed.offset, listed.len);
            self.changes.look(span.file, Stamp::of(&found), pieces);
            first = first.or(Some(span.file));
        }
        let (Some(file), Some(changes)) = (first, self.changes.doubt(block.piece)) else {
            return Ok(None);
        };
        Ok(Some(Doubt { path: self.path(file).display().to_string(), changes }))
    }

    fn trust(&self, piece: u32, doubt: &Doubt) {
        self.changes.trust(piece, doubt.changes);
    }

    fn verifier(&self, piece: u32) -> Box<dyn PieceVerifier> {
        self.torrent.hashes().verifier(piece, self.torrent.layout())
    }

    fn leaf_hashes(&self, piece: u32) -> Option<LeafHashes> {
        self.leaves.get(piece)
    }

    fn keep_leaf_hashes(&self, piece: u32, hashes: &LeafHashes) {
        self.leaves.keep(piece, hashes, self.torrent.layout(), self.torrent.hashes());
    }

    fn finish(&self) -> Result<(), StoreError> {
        finish::finish(self)
    }
}
