//! Reads the content of a torrent from the files it lies in, in parts that stay in the cache while they are hashed.
//!
//! A reader belongs to one thread, holds one file open, and takes as much memory as one part, whatever the size of a piece.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

use sta_core::io::aligned::AlignedBytes;
use sta_core::model::files::{FileSpan, Files};

/// Bytes read at a time: large enough for BLAKE3 and for a system call, small enough for a core's own cache.
const PART_BYTES: usize = 256 << 10;

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

    /// Reads the `len` bytes from `offset` of the content and gives them to `each`, part by part, in order.
    ///
    /// # Errors
    /// If a file is not there, too short, or cannot be read.
    pub fn read(
        &mut self,
        offset: u64,
        len: u64,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), ReadError> {
        let files = self.files;
        for FileSpan { file, offset, len } in files.spans(offset, len) {
            if files.as_slice()[file].padding {
                self.zeros(len, &mut each);
            } else {
                self.read_file(file, offset, len, &mut each)
                    .map_err(|source| ReadError { file, source })?;
            }
        }
        Ok(())
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
            if files.as_slice()[file].padding {
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

    fn read_file(
        &mut self,
        index: usize,
        offset: u64,
        len: u64,
        each: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut part = std::mem::take(&mut self.part);
        let done = self.open(index).and_then(|open| {
            if open.at != offset {
                open.at = open.file.seek(SeekFrom::Start(offset))?;
            }
            let mut left = len;
            while left > 0 {
                let wanted = left.min(PART_BYTES as u64) as usize;
                let read = match open.file.read(&mut part[..wanted]) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(read) => read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                each(&part[..read]);
                left -= read as u64;
                open.at += read as u64;
            }
            Ok(())
        });
        self.part = part;
        done
    }

    /// Gives `len` zeros to `each`.
    fn zeros(&mut self, len: u64, each: &mut impl FnMut(&[u8])) {
        self.part.fill(0);
        let mut left = len;
        while left > 0 {
            let wanted = left.min(PART_BYTES as u64);
            each(&self.part[..wanted as usize]);
            left -= wanted;
        }
    }

    fn open(&mut self, index: usize) -> io::Result<&mut Open> {
        let open = match self.open.take().filter(|open| open.index == index) {
            Some(open) => open,
            None => {
                let file = File::open((self.locate)(index))?;
                let metadata = file.metadata()?;
                Open { index, file, at: 0, len: metadata.len(), sparse: is_sparse(&metadata) }
            }
        };
        Ok(self.open.insert(open))
    }
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

#[cfg(not(target_os = "linux"))]
fn is_sparse(_: &Metadata) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn is_hole(_: &File, _: u64, _: u64) -> bool {
    false
}
