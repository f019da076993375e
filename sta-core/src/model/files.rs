//! The files that content is made of: which file a byte belongs to, and which names are safe.
//!
//! Content is the files one after the other. Names come from strangers, so they are judged component by component,
//! and the same on every machine: what could leave the folder, mean two things, or mean something else elsewhere is an
//! error; what is a plain name here and trouble only elsewhere is a [`Caution`].
//!
//! Invariant: offsets ascend without gaps, no two files share a path, no file is a folder of another, and the torrent's name is not
//! one that marks incomplete content.

use std::cmp::Ordering;
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
    total: u64,
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
        check_together(&files)?;
        Ok(Self { name, folder, files, total })
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
        let real = || self.files.iter().filter(|file| !file.is_padding()).map(|file| &file.path);
        let names = std::iter::once(&self.name).filter(|_| self.folder).chain(real());
        let odd = names.filter(|path| path.split('/').any(troubles_windows));
        let mut folded: Vec<_> = real().map(|path| (path.to_lowercase(), path)).collect();
        folded.sort_unstable();
        let alike = folded.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        odd.map(|path| Caution::Windows(path.clone()))
            .chain(alike.map(|pair| Caution::Case(pair[0].1.clone(), pair[1].1.clone())))
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
fn check_together(files: &[File]) -> Result<(), FilesError> {
    let mut paths: Vec<&str> =
        files.iter().filter(|f| !f.is_padding()).map(|f| f.path.as_str()).collect();
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
