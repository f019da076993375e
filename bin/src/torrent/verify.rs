//! Finds out which pieces of a torrent are on disk, on all cores.
//!
//! Content lies under the torrent's name or, while it is incomplete, under that name with `.part`, file or folder
//! (`sta_core::io::file_store`). What is not there, or too short, makes its pieces missing and is no error: that is how every
//! download starts. Bytes that were never written are not read: a piece of
//! them is good if it is a piece of zeros.
//!
//! Invariant: a piece is good only if its hash was checked in this run.

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::thread;

use serde::Serialize;
use sta_core::io::file_store::is_one_place;
use sta_core::io::hash::{PieceHash, PieceHasher, update_all};
use sta_core::io::store::PieceVerifier;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::files::{File, Link, part_of};
use sta_core::model::layout::Layout;
use sta_core::model::leaves::LeafHashes;
use sta_core::model::metainfo::Metainfo;

use super::content::{Lane, ReadError, Reader, side_by_side};

/// What is on disk of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The pieces whose hash is right.
    pub good: Bitfield,
    /// What the leaves of good pieces hash to; nothing of pieces of holes.
    pub leaves: Vec<(u32, LeafHashes)>,
    /// What there is of each file, in the torrent's order.
    pub files: Vec<FileState>,
    /// What there is of each link, in the torrent's order. Incomplete content need not have one yet.
    pub links: Vec<LinkState>,
}

/// What there is of a symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// A link that leads where it should, or will be one when the content is complete.
    Right,
    /// Nothing.
    Missing,
    /// A link that says something else.
    Elsewhere(PathBuf),
    /// Something that is not a link.
    NotALink,
    /// Something below another link: in a torrent's folder links are not followed.
    BelowLink,
}

/// What there is of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// A file of the right length, under its name.
    Whole,
    /// A file of a torrent that is incomplete by its name, empty or as long as it will be.
    Part,
    /// Nothing.
    Missing,
    /// A file of fewer bytes: so many.
    Short(u64),
    /// A file of more bytes: so many.
    Long(u64),
    /// Something that is not a file.
    NotAFile,
    /// A link, or something below one. Inside a torrent's folder links are not followed: content is not served through them.
    Link,
    /// Nothing, and nothing should be there.
    Padding,
}

/// A file that is not whole and right.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct BadFile<'a> {
    /// Its path in the torrent.
    pub path: &'a str,
    /// What is wrong with it.
    pub why: String,
}

/// Why data cannot be verified. That it is not there, or wrong, is no such reason.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot read the data: {source}{}", path.display(), super::remedy(source))]
pub struct VerifyError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Verified {
    /// Whether every byte is there and right, and every file has its name and its length, empty ones included.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let whole = |state: &FileState| matches!(state, FileState::Whole | FileState::Padding);
        let right = |state: &LinkState| *state == LinkState::Right;
        self.good.is_full() && self.files.iter().all(whole) && self.links.iter().all(right)
    }

    /// The good pieces that can be served from where they lie: a file with more bytes than it should have is somebody else's.
    #[must_use]
    pub fn servable(&self, torrent: &Metainfo) -> Bitfield {
        let layout = torrent.layout();
        let mut servable = self.good.clone();
        let files = torrent.files().as_slice().iter().zip(&self.files);
        for (file, _) in files.filter(|(_, state)| matches!(state, FileState::Long(_))) {
            pieces_of(file, layout).for_each(|piece| {
                servable.remove(piece);
            });
        }
        servable
    }

    /// Something that no download of this torrent left, and that lies where one of its files or links belongs.
    ///
    /// A download gives a file all of its length with the first byte. A shorter one may be a copy of one that broke off; but if
    /// nothing that is there is right, it is somebody else's: browsers call what is not complete `NAME.part`, too.
    #[must_use]
    pub fn in_the_way<'a>(&self, torrent: &'a Metainfo) -> Option<BadFile<'a>> {
        let foreign = |state: &FileState| match state {
            FileState::Long(_) | FileState::NotAFile | FileState::Link => true,
            FileState::Short(there) => *there > 0 && self.good.is_empty(),
            FileState::Whole | FileState::Part | FileState::Missing | FileState::Padding => false,
        };
        let odd = |link: &LinkState| !matches!(link, LinkState::Right | LinkState::Missing);
        let bad = |path: &str| self.bad_files(torrent).into_iter().find(|bad| bad.path == path);
        let Some(index) = self.files.iter().position(foreign) else {
            let link = &torrent.files().links()[self.links.iter().position(odd)?];
            return bad(&link.path);
        };
        let mut bad = bad(&torrent.files().as_slice()[index].path)?;
        if matches!(self.files[index], FileState::Short(_)) {
            bad.why.push_str(", and no piece is right");
        }
        Some(bad)
    }

    /// The files and links that are not whole and right, and why.
    #[must_use]
    pub fn bad_files<'a>(&self, torrent: &'a Metainfo) -> Vec<BadFile<'a>> {
        let files = torrent.files().as_slice().iter().zip(&self.files);
        let bad = files.filter_map(|(file, state)| {
            let pieces = pieces_of(file, torrent.layout());
            let all = pieces.len();
            let bad = pieces.filter(|&piece| !self.good.contains(piece)).count();
            let of_pieces = || format!("{bad} of its {all} pieces are missing or wrong");
            let len = file.len;
            let why = match *state {
                FileState::Padding => return None,
                FileState::Whole if bad == 0 => return None,
                FileState::Whole => of_pieces(),
                FileState::Part => format!("incomplete, {}", of_pieces()),
                FileState::Missing => "missing".to_owned(),
                FileState::Short(there) => format!("too short: {there} bytes of {len}"),
                FileState::Long(there) => format!("too long: {there} bytes, it should have {len}"),
                FileState::NotAFile => "not a file".to_owned(),
                FileState::Link => "a link, and links in a folder are not followed".to_owned(),
            };
            Some(BadFile { path: &file.path, why })
        });
        let links = torrent.files().links().iter().zip(&self.links);
        let bad_links = links.filter_map(|(link, state)| {
            let why = match state {
                LinkState::Right => return None,
                LinkState::Missing => "missing".to_owned(),
                LinkState::NotALink => format!("not a link to {}", link.text()),
                LinkState::BelowLink => "below a link, and links are not followed".to_owned(),
                LinkState::Elsewhere(to) => {
                    format!("a link to {}, it should lead to {}", to.display(), link.text())
                }
            };
            Some(BadFile { path: &link.path, why })
        });
        bad.chain(bad_links).collect()
    }
}

/// The pieces that `file` has a part in.
fn pieces_of(file: &File, layout: Layout) -> Range<u32> {
    layout.pieces_of(file.offset, file.len)
}

/// Verifies what lies in the folder `data`, which is the one that holds the torrent's file or folder.
///
/// `progress` is called from several threads, with the bytes judged since it was last called.
///
/// # Errors
/// If what is there cannot be read.
pub fn verify(
    torrent: &Metainfo,
    data: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Verified, VerifyError> {
    let root = Root::find(torrent, data)?;
    let files = survey(torrent, &root)?;
    let links = torrent.files().links().iter().map(|link| look_at_link(link, &root));
    let links = links.collect::<Result<Vec<_>, _>>()?;
    let job = Job { torrent, root: &root, files: &files, zeros: OnceLock::new(), progress };
    let next = Mutex::new(Some(0..torrent.layout().pieces()));
    let threads = super::threads();
    // BLAKE3 takes a piece at the speed of several.
    let beside = if torrent.hashes().has_blake3() {
        1
    } else {
        side_by_side(torrent.layout().pieces(), threads)
    };
    let work = || {
        let locate = |index| job.path(index);
        let lane = || Lane::new(Reader::new(torrent.files(), &locate), job.verifier(0));
        let mut lanes: Vec<_> = std::iter::repeat_with(lane).take(beside).collect();
        let mut good = Vec::new();
        loop {
            let pieces: Vec<u32> = match &mut *next.lock().expect(NO_PANIC) {
                Some(next) => next.take(beside).collect(),
                None => return Ok(good),
            };
            if pieces.is_empty() {
                return Ok(good);
            }
            if let Err(error) = job.judge(&mut lanes, &pieces, &mut good) {
                *next.lock().expect(NO_PANIC) = None;
                return Err(error);
            }
        }
    };
    let mut good = Bitfield::empty(torrent.layout().pieces());
    let mut leaves = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            for (piece, of_piece) in thread.join().expect(NO_PANIC)? {
                good.insert(piece);
                leaves.extend(of_piece.map(|hashes| (piece, hashes)));
            }
        }
        Ok(())
    })?;
    Ok(Verified { good, leaves, files, links })
}

/// The hashes of the leaves of a good piece, where they were taken.
type Leaves = Option<LeafHashes>;

const NO_PANIC: &str = "no thread panics while it verifies";

/// What the threads share.
struct Job<'a> {
    torrent: &'a Metainfo,
    root: &'a Root,
    files: &'a [FileState],
    /// The hashes of a piece of zeros, once somebody needs them.
    zeros: OnceLock<PieceHash>,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Job<'_> {
    fn path(&self, index: usize) -> PathBuf {
        self.root.path(self.torrent, index)
    }

    fn verifier(&self, piece: u32) -> Box<dyn PieceVerifier> {
        self.torrent.hashes().verifier(piece, self.torrent.layout())
    }

    /// Adds those of `pieces` that are good, and what their leaves hash to where that is known. There is a lane for each.
    fn judge(
        &self,
        lanes: &mut [Lane<'_, Box<dyn PieceVerifier>>],
        pieces: &[u32],
        good: &mut Vec<(u32, Leaves)>,
    ) -> Result<(), VerifyError> {
        let layout = self.torrent.layout();
        let mut read = Vec::with_capacity(pieces.len());
        for &piece in pieces {
            let lane = &mut lanes[read.len()];
            let (offset, len) = (layout.piece_offset(piece), u64::from(layout.piece_len(piece)));
            if !self.may_be_there(offset, len) {
                continue;
            }
            if self.is_hole(&mut lane.reader, offset, len)? {
                let zeros = self.zeros.get_or_init(|| hash_of_zeros(len));
                let right = self.torrent.hashes().accepts(piece, zeros);
                good.extend(right.then_some((piece, None)));
                continue;
            }
            lane.hasher = self.verifier(piece);
            lane.begin(offset, len);
            read.push(piece);
        }
        Lane::read_all(lanes, |parts| {
            update_all(parts.into_iter().map(|(verifier, part)| (&mut **verifier as _, part)));
        });
        for (lane, piece) in lanes.iter_mut().zip(read) {
            if let Some(error) = lane.failed.take() {
                self.forgive(error)?;
                continue;
            }
            let leaves = lane.hasher.leaf_hashes();
            let leaves = (!leaves.is_empty()).then(|| LeafHashes::new(leaves));
            good.extend(lane.hasher.verdict().then_some((piece, leaves)));
        }
        pieces.iter().for_each(|piece| (self.progress)(layout.piece_len(*piece).into()));
        Ok(())
    }

    /// Whether no file of the piece is known to be missing or too short for it.
    fn may_be_there(&self, offset: u64, len: u64) -> bool {
        self.torrent.files().spans(offset, len).all(|span| match self.files[span.file] {
            FileState::Missing | FileState::NotAFile | FileState::Link => false,
            FileState::Short(len) => span.offset + span.len <= len,
            FileState::Whole | FileState::Part | FileState::Long(_) | FileState::Padding => true,
        })
    }

    /// Whether the piece was never written. The last piece is shorter; it is read like any other.
    fn is_hole(&self, reader: &mut Reader<'_>, offset: u64, len: u64) -> Result<bool, VerifyError> {
        let whole = len == u64::from(self.torrent.layout().piece_bytes());
        if !whole {
            return Ok(false);
        }
        reader.is_hole(offset, len).or_else(|error| self.forgive(error).map(|()| false))
    }

    /// A file that has gone or shrunk since it was looked at makes its pieces missing, like one that never was.
    fn forgive(&self, error: ReadError) -> Result<(), VerifyError> {
        match error.source.kind() {
            ErrorKind::NotFound | ErrorKind::UnexpectedEof => Ok(()),
            _ => Err(VerifyError { path: self.path(error.file), source: error.source }),
        }
    }
}

/// Looks at every file without reading it.
fn survey(torrent: &Metainfo, root: &Root) -> Result<Vec<FileState>, VerifyError> {
    // Files of one folder follow each other.
    let mut folder = (PathBuf::new(), false);
    let mut below_link = |path: &Path| {
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        if folder.0 != parent {
            folder = (parent.to_owned(), root.is_below_link(path));
        }
        folder.1
    };
    let state = |(index, file): (usize, &File)| {
        let path = root.path(torrent, index);
        if torrent.files().is_folder()
            && !file.is_padding()
            && (below_link(&path) || is_link(&path))
        {
            return Ok(FileState::Link);
        }
        Ok(match At::look(path)? {
            _ if file.is_padding() => FileState::Padding,
            At::File(len) if root.part && (len == 0 || len == file.len) => FileState::Part,
            At::File(len) if len == file.len => FileState::Whole,
            At::File(len) if len < file.len => FileState::Short(len),
            At::File(len) => FileState::Long(len),
            At::Other => FileState::NotAFile,
            At::Nothing => FileState::Missing,
        })
    };
    torrent.files().as_slice().iter().enumerate().map(state).collect()
}

/// Looks at a link of a torrent without following it.
fn look_at_link(link: &Link, root: &Root) -> Result<LinkState, VerifyError> {
    let path = root.path.join(&link.path);
    if root.is_below_link(&path) {
        return Ok(LinkState::BelowLink);
    }
    match fs::read_link(&path) {
        // Others have made it in other words.
        Ok(text)
            if says(link, &text, root.part) || is_one_place(&path, &root.path.join(&link.to)) =>
        {
            Ok(LinkState::Right)
        }
        Ok(text) => Ok(LinkState::Elsewhere(text)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory if root.part => Ok(LinkState::Right),
            ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(LinkState::Missing),
            // What readlink(2) says of what is no link.
            ErrorKind::InvalidInput => Ok(LinkState::NotALink),
            _ => Err(VerifyError { path, source: error }),
        },
    }
}

/// Whether `text` is what `link` says; in content that is incomplete, where it leads may not be there yet, be it in other words.
fn says(link: &Link, text: &Path, incomplete: bool) -> bool {
    let to = || text.to_str().and_then(|text| Link::target(&link.path, text));
    text.to_str() == Some(&link.text()) || incomplete && to().as_ref() == Some(&link.to)
}

/// The torrent's file or folder, complete or incomplete by its name.
struct Root {
    path: PathBuf,
    part: bool,
}

impl Root {
    /// In `data`: `NAME`, or `NAME.part` if that is all there is.
    fn find(torrent: &Metainfo, data: &Path) -> Result<Self, VerifyError> {
        let path = data.join(torrent.name());
        let part = part_of(&path);
        let absent = matches!(At::look(path.clone())?, At::Nothing);
        if absent && !matches!(At::look(part.clone())?, At::Nothing) {
            return Ok(Self { path: part, part: true });
        }
        Ok(Self { path, part: false })
    }

    /// Whether a folder between here and `path` is a link.
    fn is_below_link(&self, path: &Path) -> bool {
        let inside = path.ancestors().skip(1).take_while(|outer| **outer != self.path);
        inside.into_iter().any(is_link)
    }

    /// Where file `index` lies.
    fn path(&self, torrent: &Metainfo, index: usize) -> PathBuf {
        if torrent.files().is_folder() {
            self.path.join(&torrent.files().as_slice()[index].path)
        } else {
            self.path.clone()
        }
    }
}

/// What lies at a path.
enum At {
    Nothing,
    /// A file of so many bytes.
    File(u64),
    Other,
}

impl At {
    fn look(path: PathBuf) -> Result<Self, VerifyError> {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Self::File(metadata.len())),
            Ok(_) => Ok(Self::Other),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(Self::Nothing),
                _ => Err(VerifyError { path, source: error }),
            },
        }
    }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|at| at.is_symlink())
}

fn hash_of_zeros(len: u64) -> PieceHash {
    let mut hasher = PieceHasher::default();
    hasher.update(&vec![0; len as usize]);
    hasher.finish()
}
