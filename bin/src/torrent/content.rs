//! Reads the content of a torrent from the files it lies in, in parts that stay in a cache while they are hashed.
//!
//! A reader belongs to one thread, holds one file open, and takes as much memory as one part, whatever the size of a piece.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::num::NonZero;
use std::ops::Range;
use std::path::PathBuf;

use sta_core::io::aligned::AlignedBytes;
use sta_core::io::sha1::Sha1;
use sta_core::model::files::{FileSpan, Files};

/// Bytes read at a time: large enough for BLAKE3 and for a system call; those of sixteen pieces fit in a core's own cache.
const PART_BYTES: usize = 64 << 10;
/// Bytes that the kernel is told to fetch at a time, so that a disk need not seek for every part.
const ANNOUNCED_BYTES: u64 = 1 << 20;
/// Bytes of which the kernel is told at once; it ignores what exceeds the largest request of the disk.
const ANNOUNCED_AT_ONCE: u64 = 256 << 10;
/// Pieces that all threads read side by side, of which each may hold a file open; a process may hold a thousand.
const LANES_MAX: usize = 256;

/// Reads content.
pub struct Reader<'a> {
    files: &'a Files,
    locate: &'a (dyn Fn(usize) -> PathBuf + Sync),
    open: Option<Open>,
    part: AlignedBytes,
}

/// The file that is open.
struct Open {
    index: usize,
    file: File,
    /// Where the next read starts.
    at: u64,
    /// Up to where the kernel was told what is read next.
    announced: u64,
    len: u64,
    /// Whether it takes less room than it has bytes, so that it must have holes.
    sparse: bool,
}

/// Why content cannot be read.
#[derive(Debug)]
pub struct ReadError {
    /// Index of the file.
    pub file: usize,
    /// What the system said; [`ErrorKind::UnexpectedEof`] for a file that is too short.
    pub source: io::Error,
}

impl<'a> Reader<'a> {
    /// Reads `files`, of which each lies where `locate` says.
    pub fn new(files: &'a Files, locate: &'a (dyn Fn(usize) -> PathBuf + Sync)) -> Self {
        Self { files, locate, open: None, part: AlignedBytes::new(PART_BYTES) }
    }

    /// The first of the `len` bytes from `offset` of the content, of which there is one: at least one, at most a part.
    ///
    /// # Errors
    /// If a file is not there, too short, or cannot be read.
    pub fn part(&mut self, offset: u64, len: u64) -> Result<&[u8], ReadError> {
        let span = self.files.spans(offset, len).next();
        let FileSpan { file, offset, len } = span.expect("bytes of the content are in a file");
        let wanted = len.min(PART_BYTES as u64) as usize;
        if self.files.as_slice()[file].is_padding() {
            self.part[..wanted].fill(0);
            return Ok(&self.part[..wanted]);
        }
        let read = self.read(file, offset, len, wanted);
        let read = read.map_err(|source| ReadError { file, source })?;
        Ok(&self.part[..read])
    }

    /// Whether the `len` bytes from `offset` were never written: they read as zeros and need not be read.
    ///
    /// Asked of files that take less room than they have bytes only, since some file systems are slow to answer.
    ///
    /// # Errors
    /// If a file is not there.
    pub fn is_hole(&mut self, offset: u64, len: u64) -> Result<bool, ReadError> {
        let files = self.files;
        for FileSpan { file, offset, len } in files.spans(offset, len) {
            if files.as_slice()[file].is_padding() {
                continue;
            }
            let open = self.open(file).map_err(|source| ReadError { file, source })?;
            // Asking moves the position.
            open.at = u64::MAX;
            if !open.sparse || offset + len > open.len || !is_hole(&open.file, offset, len) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads from `offset` of a file, of which `len` bytes will be: one byte at least, as many as are wanted at most.
    fn read(&mut self, index: usize, offset: u64, len: u64, wanted: usize) -> io::Result<usize> {
        let mut part = std::mem::take(&mut self.part);
        let read = self.open(index).and_then(|open| {
            if open.at != offset {
                open.at = open.file.seek(SeekFrom::Start(offset))?;
                open.announced = offset;
            }
            if open.at >= open.announced {
                open.announced = offset + len.min(ANNOUNCED_BYTES);
                announce(&open.file, offset..open.announced);
            }
            loop {
                match open.file.read(&mut part[..wanted]) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(read) => {
                        open.at += read as u64;
                        return Ok(read);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        });
        self.part = part;
        read
    }

    fn open(&mut self, index: usize) -> io::Result<&mut Open> {
        let open = match self.open.take().filter(|open| open.index == index) {
            Some(open) => open,
            None => {
                let file = File::open((self.locate)(index))?;
                let metadata = file.metadata()?;
                Open {
                    index,
                    file,
                    at: 0,
                    announced: 0,
                    len: metadata.len(),
                    sparse: is_sparse(&metadata),
                }
            }
        };
        Ok(self.open.insert(open))
    }
}

/// One of the pieces that a thread reads side by side, part by part, so that they can be hashed together.
pub struct Lane<'a, H> {
    /// Reads the piece.
    pub reader: Reader<'a>,
    /// What its parts are given to.
    pub hasher: H,
    /// Why it is not read to its end.
    pub failed: Option<ReadError>,
    offset: u64,
    left: u64,
}

impl<'a, H> Lane<'a, H> {
    /// Without a piece.
    pub fn new(reader: Reader<'a>, hasher: H) -> Self {
        Self { reader, hasher, failed: None, offset: 0, left: 0 }
    }

    /// Is to read the `len` bytes from `offset` next.
    pub fn begin(&mut self, offset: u64, len: u64) {
        (self.failed, self.offset, self.left) = (None, offset, len);
    }

    /// Reads every lane to its end, and has their parts hashed together.
    pub fn read_all(lanes: &mut [Self], mut hash: impl FnMut(Vec<(&mut H, &[u8])>)) {
        while lanes.iter().any(|lane| lane.left > 0) {
            let parts = lanes.iter_mut().filter_map(Self::next).collect();
            hash(parts);
        }
    }

    fn next(&mut self) -> Option<(&mut H, &[u8])> {
        if self.left == 0 {
            return None;
        }
        match self.reader.part(self.offset, self.left) {
            Ok(part) => {
                self.offset += part.len() as u64;
                self.left -= part.len() as u64;
                Some((&mut self.hasher, part))
            }
            Err(error) => {
                (self.failed, self.left) = (Some(error), 0);
                None
            }
        }
    }
}

/// How many pieces each of `threads` threads reads side by side: as many as can be hashed at once, if there are enough for every thread.
/// Where there are threads by the dozen, memory is the limit and not SHA-1.
pub fn side_by_side(pieces: u32, threads: usize) -> usize {
    ((pieces as usize).min(LANES_MAX) / threads).clamp(1, Sha1::TOGETHER_MAX)
}

#[cfg(target_os = "linux")]
fn is_sparse(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512 < metadata.len()
}

/// Whether nothing was ever written to the `len` bytes from `offset`, which are inside the file.
#[cfg(target_os = "linux")]
fn is_hole(file: &File, offset: u64, len: u64) -> bool {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(data) => data >= offset + len,
        // No data up to the end of the file.
        Err(error) => error == rustix::io::Errno::NXIO,
    }
}

/// Tells the kernel which bytes of a file are read next.
#[cfg(target_os = "linux")]
fn announce(file: &File, bytes: Range<u64>) {
    let mut at = bytes.start;
    while let Some(len) = NonZero::new((bytes.end - at).min(ANNOUNCED_AT_ONCE)) {
        // It is advice: a file system that knows nothing of it costs time and nothing else.
        let _ = rustix::fs::fadvise(file, at, Some(len), rustix::fs::Advice::WillNeed);
        at += len.get();
    }
}

#[cfg(not(target_os = "linux"))]
fn announce(_: &File, _: Range<u64>) {}

#[cfg(not(target_os = "linux"))]
fn is_sparse(_: &Metadata) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn is_hole(_: &File, _: u64, _: u64) -> bool {
    false
}
