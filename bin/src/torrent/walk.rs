//! Finds the files of a folder. What a torrent cannot carry is an error, never passed over; but for empty folders, which are told.

use std::fs::{self, FileType, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sta_core::io::file_store::is_one_place;
use sta_core::model::files::{FileKind, Files, FilesError, Link, NewFile};
use sta_core::model::limits;

use super::make::MakeError;

/// What is to become a torrent.
pub(super) struct Found {
    /// The files, sorted by the bytes of their paths.
    pub files: Files,
    /// What a file was like when it was found, in the same order.
    pub stamps: Vec<Stamp>,
    /// The file, or the folder.
    pub root: PathBuf,
    /// Folders in which nothing lies, sorted.
    pub empty_folders: Vec<PathBuf>,
}

/// What lies in a folder.
#[derive(Default)]
struct Listing {
    files: Vec<FoundFile>,
    links: Vec<Link>,
    /// Folders still to be looked into, and where they are inside the torrent's folder.
    folders: Vec<(PathBuf, String)>,
}

impl Listing {
    fn len(&self) -> usize {
        self.files.len() + self.links.len() + self.folders.len()
    }
}

/// A file, as it was found.
struct FoundFile {
    /// From inside the torrent's folder, with `/` between components.
    path: String,
    kind: FileKind,
    stamp: Stamp,
}

/// What tells that a file was written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl Found {
    /// Where file `index` lies.
    pub(super) fn path(&self, index: usize) -> PathBuf {
        let mut path = self.root.clone();
        if self.files.is_folder() {
            path.extend(self.files.as_slice()[index].path.split('/'));
        }
        path
    }
}

/// Finds what is at `path`, a file or a folder. A link is followed here, where its user names it, and nowhere else.
pub(super) fn walk(path: &Path) -> Result<Found, MakeError> {
    let read = |source| MakeError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(read)?;
    let name = name_of(path)?;
    let files = |error| MakeError::Files { path: path.to_owned(), source: error };
    if metadata.is_file() {
        let single = Files::single(name, metadata.len(), kind_of(&metadata)).map_err(files)?;
        return Ok(Found {
            files: single,
            stamps: vec![Stamp::of(&metadata)],
            root: path.to_owned(),
            empty_folders: Vec::new(),
        });
    }
    if !metadata.is_dir() {
        return Err(MakeError::Special(path.to_owned()));
    }
    let mut listing = Listing::default();
    listing.folders.push((path.to_owned(), String::new()));
    let mut empty_folders = Vec::new();
    while let Some((folder, inside)) = listing.folders.pop() {
        let before = listing.len();
        list(path, &folder, &inside, &mut listing)?;
        if listing.len() == before {
            empty_folders.push(folder);
        }
        if listing.len() > limits::FILES_MAX {
            return Err(files(FilesError::TooManyFiles));
        }
    }
    let Listing { files: mut found, mut links, .. } = listing;
    if found.is_empty() {
        return Err(MakeError::Empty(path.to_owned()));
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    links.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let stamps = found.iter().map(|file| file.stamp).collect();
    let new =
        |FoundFile { path, kind, stamp }: FoundFile| Ok(NewFile { path, len: stamp.len, kind });
    let folder = Files::folder(name, found.into_iter().map(new));
    let folder = folder.and_then(|folder| folder.with_links(links)).map_err(files)?;
    empty_folders.sort_unstable();
    Ok(Found { files: folder, stamps, root: path.to_owned(), empty_folders })
}

/// Adds what lies in `folder`, which is `inside` the torrent's folder, `root`.
fn list(root: &Path, folder: &Path, inside: &str, listing: &mut Listing) -> Result<(), MakeError> {
    let unreadable = |path: &Path, source| MakeError::Read { path: path.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(|source| unreadable(folder, source))? {
        let entry = entry.map_err(|source| unreadable(folder, source))?;
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|_| MakeError::NotUtf8(path.clone()))?;
        let inside = if inside.is_empty() { name } else { format!("{inside}/{name}") };
        let metadata = entry.metadata().map_err(|source| unreadable(&path, source))?;
        let of: FileType = metadata.file_type();
        if of.is_symlink() {
            let text = fs::read_link(&path).map_err(|source| unreadable(&path, source))?;
            let to = text.to_str().and_then(|text| Link::target(&inside, text));
            // The way of a text through other links may be another than its words say.
            let to = to.filter(|to| is_one_place(&path, &root.join(to)));
            let Some(to) = to else { return Err(MakeError::Link { path, to: text }) };
            listing.links.push(Link { path: inside, to });
        } else if of.is_dir() {
            listing.folders.push((path, inside));
        } else if of.is_file() {
            let (kind, stamp) = (kind_of(&metadata), Stamp::of(&metadata));
            listing.files.push(FoundFile { path: inside, kind, stamp });
        } else {
            return Err(MakeError::Special(path));
        }
    }
    Ok(())
}

/// What a file is for: to be executed, if its owner may.
fn kind_of(metadata: &Metadata) -> FileKind {
    if metadata.mode() & 0o100 == 0 { FileKind::Plain } else { FileKind::Executable }
}

/// The name of a torrent of `path`: its last component, or that of the folder that `.` or `..` stands for.
fn name_of(path: &Path) -> Result<String, MakeError> {
    let named = match path.file_name() {
        Some(name) => Some(name.to_owned()),
        None => {
            let real = path.canonicalize();
            let real = real.map_err(|source| MakeError::Read { path: path.to_owned(), source })?;
            real.file_name().map(ToOwned::to_owned)
        }
    };
    let named = named.ok_or_else(|| MakeError::NoName(path.to_owned()))?;
    named.into_string().map_err(|_| MakeError::NotUtf8(path.to_owned()))
}
