//! The files that content is made of: which file a byte belongs to, and which names are safe.
//!
//! Content is the files one after the other. Names come from strangers, so they are judged component by component,
//! and the same on every machine: what could leave the folder, mean two things, or mean something else elsewhere is an
//! error; what is a plain name here and trouble only elsewhere is a [`Caution`].
//!
//! Symbolic links (BEP 47) have no bytes and stand apart. Each leads to a file, a folder or a link of the same torrent, and nothing of the
//! torrent lies behind one.
//!
//! Invariant: offsets ascend without gaps, no two files or links share a path, none is a folder of another, and the torrent's name is not
//! one that marks incomplete content.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::limits;

#[cfg(test)]
mod tests;

/// What is added to a torrent's name, that of its file or folder, while its content is incomplete.
pub const PART_SUFFIX: &str = ".part";

/// Where what is to be at `path` lies while its content is incomplete.
#[must_use]
pub fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PART_SUFFIX);
    name.into()
}

/// The files of a torrent, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    name: String,
    folder: bool,
    files: Vec<File>,
    links: Vec<Link>,
    total: u64,
}

/// A symbolic link of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Components joined by `/`, from inside the torrent's folder.
    pub path: String,
    /// Where it leads, likewise.
    pub to: String,
}

impl Link {
    /// What the link says on disk: the way from its own folder.
    #[must_use]
    pub fn text(&self) -> String {
        let (folder, _) = self.path.rsplit_once('/').unwrap_or_default();
        let mut from = folder.split('/').filter(|component| !component.is_empty()).peekable();
        let mut to = self.to.split('/').peekable();
        while from.peek().is_some() && from.peek() == to.peek() {
            from.next();
            to.next();
        }
        let way: Vec<&str> = from.map(|_| "..").chain(to).collect();
        if way.is_empty() { ".".to_owned() } else { way.join("/") }
    }

    /// Where a link at `path` leads that says `text` on disk; `None` if that is outside the torrent's folder, or the folder itself.
    #[must_use]
    pub fn target(path: &str, text: &str) -> Option<String> {
        let (folder, _) = path.rsplit_once('/').unwrap_or_default();
        let mut way: Vec<&str> = folder.split('/').filter(|outer| !outer.is_empty()).collect();
        if text.starts_with('/') {
            return None;
        }
        for component in text.split('/') {
            match component {
                "" | "." => {}
                ".." => {
                    way.pop()?;
                }
                name => way.push(name),
            }
        }
        (!way.is_empty()).then(|| way.join("/"))
    }
}

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Components joined by `/`, from inside the torrent's folder; a single file's is the torrent's name.
    pub path: String,
    /// Where it starts in the content.
    pub offset: u64,
    /// Bytes; 0 is legal.
    pub len: u64,
    /// What it is for.
    pub kind: FileKind,
}

/// What a file of a torrent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// To be read.
    Plain,
    /// To be executed, too (BEP 47, `x`).
    Executable,
    /// Zeros that only move the next file to the start of a piece (BEP 47, `p`): never on disk, paths may repeat.
    Padding,
}

impl File {
    /// Whether it is never on disk.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        self.kind == FileKind::Padding
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// Index of the file.
    pub file: usize,
    /// First byte, counted from the start of the file.
    pub offset: u64,
    /// Bytes; never 0.
    pub len: u64,
}

/// A file to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Components joined by `/`.
    pub path: String,
    /// Bytes.
    pub len: u64,
    /// What it is for.
    pub kind: FileKind,
}

/// Why a component of a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFlaw {
    /// Nothing between two separators, or no name at all.
    #[error("it has an empty component")]
    Empty,
    /// `.` or `..`
    #[error("it leaves its folder by \".\" or \"..\"")]
    Dots,
    /// `/`, `\`, or a drive such as `C:`
    #[error("it has a separator or a drive inside a component")]
    Separator,
    /// NUL or another control character.
    #[error("it has a control character")]
    Control,
    /// A device on Windows: `CON`, `NUL`, `COM1` and so on.
    #[error("it is the name of a device on Windows")]
    Reserved,
    /// A torrent's name that ends as incomplete content does: it would be taken for that of another torrent, and written to.
    #[error("it ends with {PART_SUFFIX:?}, which marks content that is incomplete")]
    Part,
    /// Longer than a file system takes; a torrent's name also needs room for [`PART_SUFFIX`].
    #[error("it has more than {0} bytes between two separators")]
    TooLong(usize),
    /// More components than [`limits::PATH_DEPTH_MAX`].
    #[error("it is deeper than {max} folders", max = limits::PATH_DEPTH_MAX)]
    TooDeep,
}

/// Why a list of files is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// There is no file.
    #[error("the torrent lists no file")]
    NoFiles,
    /// More than [`limits::FILES_MAX`].
    #[error("the torrent lists more than {max} files", max = limits::FILES_MAX)]
    TooManyFiles,
    /// A name that is not safe.
    #[error("the name {path:?} is refused: {why}")]
    Name {
        /// The path, shortened.
        path: String,
        /// What is wrong with it.
        why: NameFlaw,
    },
    /// The same path twice.
    #[error("two files are named {0:?}")]
    Duplicate(String),
    /// A path that is a file and a folder.
    #[error("{0:?} is a file and also a folder")]
    FileIsFolder(String),
    /// A link that leads to nothing of the torrent.
    #[error("the link {path:?} leads to {to:?}, which the torrent does not have")]
    LinkToNothing {
        /// The link.
        path: String,
        /// Where it leads.
        to: String,
    },
    /// More bytes than 63 bits count.
    #[error("the lengths of the files add up to more than can be counted")]
    Overflow,
}

/// A name that is fine here and trouble elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Caution {
    /// Two paths that differ only in case.
    #[error("{0:?} and {1:?} are one file where case does not matter (Windows, macOS)")]
    Case(String, String),
    /// A character or an ending that Windows does not take.
    #[error("{0:?} cannot be a name on Windows")]
    Windows(String),
}

impl FilesError {
    /// The refusal of a component that has a `/` inside, which no joined path can show any more.
    #[must_use]
    pub fn separator(component: &str) -> Self {
        refused(component, NameFlaw::Separator)
    }
}

impl Files {
    /// One file called `name`.
    ///
    /// # Errors
    /// If the name is not safe or the length cannot be counted.
    pub fn single(name: String, len: u64, kind: FileKind) -> Result<Self, FilesError> {
        let file = NewFile { path: name.clone(), len, kind };
        Self::new(name, false, std::iter::once(Ok(file)))
    }

    /// A folder called `name` with `files`.
    ///
    /// # Errors
    /// The first of `files`; else if there is no file or are too many, a name is not safe, two of them exclude each other, or the
    /// lengths add up to too much.
    pub fn folder<E: From<FilesError>>(
        name: String,
        files: impl IntoIterator<Item = Result<NewFile, E>>,
    ) -> Result<Self, E> {
        Self::new(name, true, files)
    }

    fn new<E: From<FilesError>>(
        name: String,
        folder: bool,
        listed: impl IntoIterator<Item = Result<NewFile, E>>,
    ) -> Result<Self, E> {
        check_name(&name).map_err(|why| refused(&name, why))?;
        let (mut files, mut total) = (Vec::new(), 0_u64);
        for file in listed {
            let NewFile { path, len, kind } = file?;
            if files.len() == limits::FILES_MAX {
                return Err(FilesError::TooManyFiles.into());
            }
            check_path(&path)?;
            files.push(File { path, offset: total, len, kind });
            let sum = total.checked_add(len).filter(|&sum| i64::try_from(sum).is_ok());
            total = sum.ok_or(FilesError::Overflow)?;
        }
        if files.is_empty() {
            return Err(FilesError::NoFiles.into());
        }
        let real = files.iter().filter(|file| !file.is_padding());
        check_together(real.map(|file| &*file.path))?;
        Ok(Self { name, folder, files, links: Vec::new(), total })
    }

    /// The same folder with `links`.
    ///
    /// # Errors
    /// If a path is not safe or taken, a link leads to nothing of the torrent, or there are too many.
    pub fn with_links(self, links: Vec<Link>) -> Result<Self, FilesError> {
        if links.is_empty() {
            return Ok(self);
        }
        if self.files.len() + links.len() > limits::FILES_MAX {
            return Err(FilesError::TooManyFiles);
        }
        for Link { path, to } in &links {
            check_path(path)?;
            check_path(to)?;
        }
        let files = Self { links, ..self };
        check_together(files.paths())?;
        let mut known: BTreeSet<&str> = files.paths().collect();
        for file in files.files.iter().filter(|file| !file.is_padding()) {
            let outer = file.path.match_indices('/').map(|(end, _)| &file.path[..end]);
            known.extend(outer);
        }
        match files.links.iter().find(|link| !known.contains(&*link.to)) {
            Some(Link { path, to }) => {
                Err(FilesError::LinkToNothing { path: path.clone(), to: to.clone() })
            }
            None => Ok(files),
        }
    }

    /// The paths of all that is on disk.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().filter(|file| !file.is_padding());
        files.map(|file| &*file.path).chain(self.links.iter().map(|link| &*link.path))
    }

    /// The name of the file or of the folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the files lie in a folder called [`Self::name`].
    #[must_use]
    pub const fn is_folder(&self) -> bool {
        self.folder
    }

    /// Bytes of all files.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The files, in order; never none.
    #[must_use]
    pub fn as_slice(&self) -> &[File] {
        &self.files
    }

    /// The symbolic links, in order.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Where file `index` lies, from the folder that holds the torrent's file or folder: `NAME` or `NAME/a/b`.
    ///
    /// # Panics
    /// If there is no such file; an index comes from this list.
    #[must_use]
    pub fn disk_path(&self, index: usize) -> PathBuf {
        let mut path = PathBuf::from(&self.name);
        if self.folder {
            path.extend(self.files[index].path.split('/'));
        }
        path
    }

    /// The parts of files that the `len` bytes from `offset` of the content are, ascending. Stops at the end of the content.
    pub fn spans(&self, offset: u64, len: u64) -> impl Iterator<Item = FileSpan> + '_ {
        let end = offset.saturating_add(len);
        self.overlapping(offset..end).filter_map(move |file| {
            let File { offset: start, len, .. } = self.files[file];
            let (from, upto) = (start.max(offset), (start + len).min(end));
            (from < upto).then(|| FileSpan { file, offset: from - start, len: upto - from })
        })
    }

    /// The files between the first and the last that have a byte in `range`, empty ones included.
    fn overlapping(&self, range: Range<u64>) -> Range<usize> {
        let first = self.files.partition_point(|file| file.offset + file.len <= range.start);
        let count = self.files[first..].partition_point(|file| file.offset < range.end);
        first..first + count
    }

    /// What a user on another system should be told, at most `most` of it.
    #[must_use]
    pub fn cautions(&self, most: usize) -> Vec<Caution> {
        let name = Some(self.name.as_str()).filter(|_| self.folder);
        let names = name.into_iter().chain(self.paths());
        let odd = names.filter(|path| path.split('/').any(troubles_windows));
        let mut folded: Vec<_> = self.paths().map(|path| (path.to_lowercase(), path)).collect();
        folded.sort_unstable();
        let alike = folded.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        odd.map(|path| Caution::Windows(path.to_owned()))
            .chain(alike.map(|pair| Caution::Case(pair[0].1.to_owned(), pair[1].1.to_owned())))
            .take(most)
            .collect()
    }
}

/// Judges one component of a path: a name of a file or a folder.
///
/// # Errors
/// If it is not safe.
pub fn check_component(name: &str) -> Result<(), NameFlaw> {
    let drive =
        name.len() >= 2 && name.as_bytes()[0].is_ascii_alphabetic() && name.as_bytes()[1] == b':';
    if name.is_empty() {
        Err(NameFlaw::Empty)
    } else if name == "." || name == ".." {
        Err(NameFlaw::Dots)
    } else if name.contains(['/', '\\']) || drive {
        Err(NameFlaw::Separator)
    } else if name.contains(char::is_control) {
        Err(NameFlaw::Control)
    } else if is_device(name) {
        Err(NameFlaw::Reserved)
    } else if name.len() > limits::PATH_COMPONENT_BYTES_MAX {
        Err(NameFlaw::TooLong(limits::PATH_COMPONENT_BYTES_MAX))
    } else {
        Ok(())
    }
}

/// Judges the name of a torrent: a component that becomes another one while the content is incomplete.
fn check_name(name: &str) -> Result<(), NameFlaw> {
    const LEN_MAX: usize = limits::PATH_COMPONENT_BYTES_MAX - PART_SUFFIX.len();
    check_component(name)?;
    if name.len() > LEN_MAX {
        Err(NameFlaw::TooLong(LEN_MAX))
    } else if name.to_ascii_lowercase().ends_with(PART_SUFFIX) {
        Err(NameFlaw::Part)
    } else {
        Ok(())
    }
}

/// Whether Windows takes `name` for a device, as all its versions do: with dots and spaces after it, not with an extension.
/// Source: "Naming Files, Paths, and Namespaces", Win32 documentation.
fn is_device(name: &str) -> bool {
    let stem = name.trim_end_matches(['.', ' ']);
    let numbered = |prefix: &str| {
        let number =
            stem.get(..3).filter(|start| start.eq_ignore_ascii_case(prefix)).map(|_| &stem[3..]);
        number.is_some_and(|n| {
            matches!(n, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
    };
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].iter().any(|d| stem.eq_ignore_ascii_case(d))
        || numbered("COM")
        || numbered("LPT")
}

/// Whether Windows refuses `name` or takes it for another one.
fn troubles_windows(name: &str) -> bool {
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    name.contains(['<', '>', ':', '"', '|', '?', '*'])
        || name.ends_with(['.', ' '])
        || is_device(stem)
}

fn check_path(path: &str) -> Result<(), FilesError> {
    let too_deep = path.split('/').count() > limits::PATH_DEPTH_MAX;
    let depth = if too_deep { Err(NameFlaw::TooDeep) } else { Ok(()) };
    depth
        .and_then(|()| path.split('/').try_for_each(check_component))
        .map_err(|why| refused(path, why))
}

/// An error that names `path`, however long it is.
fn refused(path: &str, why: NameFlaw) -> FilesError {
    FilesError::Name { path: path.chars().take(300).collect(), why }
}

/// Looks for files that exclude each other. Sorted by component, a file is followed by its duplicates and by what lies "in" it.
fn check_together<'a>(paths: impl Iterator<Item = &'a str>) -> Result<(), FilesError> {
    let mut paths: Vec<&str> = paths.collect();
    paths.sort_unstable_by(|a, b| by_component(a, b));
    for pair in paths.windows(2) {
        if pair[0] == pair[1] {
            return Err(FilesError::Duplicate(pair[0].to_owned()));
        }
        if is_within(pair[1], pair[0]) {
            return Err(FilesError::FileIsFolder(pair[0].to_owned()));
        }
    }
    Ok(())
}

fn by_component(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

/// Whether `path` lies in the folder `folder`.
fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
