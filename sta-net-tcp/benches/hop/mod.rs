//! What the benchmarks of one hop share: the content, the plain copy and the hash that a transfer is compared with.
//!
//! `bin/benches/one_hop.rs` includes this file too.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufRead, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use sta_core::io::aligned::AlignedBytes;
use sta_core::io::hash::PieceHasher;
use sta_core::model::files::{FileKind, Files, FilesError, NewFile};
use sta_core::model::metainfo::{About, Builder};

/// Bytes of a piece.
pub(crate) const PIECE: u32 = 1 << 20;
/// Bytes of a file where there are many.
const SMALL_FILE: u64 = 200 << 10;

/// What the command line says.
pub(crate) struct Arguments {
    pub(crate) content: Content,
    pub(crate) rounds: usize,
    only: Vec<String>,
    /// Whether the source stays.
    pub(crate) keep: bool,
    /// One side of one contender is to be played.
    pub(crate) role: Option<(String, String)>,
    /// Where the sender listens.
    pub(crate) at: IpAddr,
}

impl Arguments {
    pub(crate) fn read() -> Self {
        let mut read = Self {
            content: Content { mib: 2048, dir: PathBuf::from("/dev/shm") },
            rounds: 5,
            only: Vec::new(),
            keep: false,
            role: None,
            at: Ipv4Addr::LOCALHOST.into(),
        };
        let mut given = std::env::args().skip(1);
        while let Some(flag) = given.next() {
            let mut value = || given.next().unwrap_or_default();
            match flag.as_str() {
                "--mib" => read.content.mib = value().parse().expect("a number of MiB"),
                "--rounds" => read.rounds = value().parse().expect("a number of rounds"),
                "--dir" => read.content.dir = PathBuf::from(value()),
                "--only" => read.only.push(value()),
                "--keep" => read.keep = true,
                "--at" => read.at = value().parse().expect("an address"),
                "--role" => read.role = Some((value(), value())),
                _ => {}
            }
        }
        read
    }

    pub(crate) fn wants(&self, contender: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == contender)
    }
}

/// What is sent, and where it lies.
pub(crate) struct Content {
    pub(crate) mib: u64,
    /// Holds the folders of the source and of the target.
    pub(crate) dir: PathBuf,
}

impl Content {
    /// Names of files and lengths: one file, or files of 200 KiB.
    pub(crate) fn shape(&self, files: bool) -> Files {
        let total = self.mib << 20;
        if !files {
            return Files::single("one".to_owned(), total, FileKind::Plain).expect("a good name");
        }
        let listed = (0..total / SMALL_FILE).map(|n| {
            let path = format!("{:02}/{n}", n % 100);
            Ok::<_, FilesError>(NewFile { path, len: SMALL_FILE, kind: FileKind::Plain })
        });
        Files::folder("many".to_owned(), listed).expect("good names")
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.join("sta-hop-source")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.dir.join("sta-hop-target")
    }

    /// The torrent that verifies by BLAKE3 or by SHA-1 alone, of one file or of many.
    pub(crate) fn torrent(&self, blake3: bool, files: bool) -> PathBuf {
        let kind = if blake3 { "blake3" } else { "sha1" };
        let name = if files { "many" } else { "one" };
        self.source().join(format!("{kind}-{name}"))
    }

    /// Writes what is sent, and the torrents that describe it.
    pub(crate) fn make(&self, files_too: bool) {
        std::fs::create_dir_all(self.source()).expect("space for the source");
        for files in [false, true].into_iter().take(1 + usize::from(files_too)) {
            let shape = self.shape(files);
            let (sha1, blake3) = self.write_and_hash(&shape);
            for with_blake3 in [false, true] {
                let builder = Builder {
                    files: shape.clone(),
                    piece_bytes: PIECE,
                    sha1: Bytes::from(sha1.clone()),
                    blake3: with_blake3.then(|| Bytes::from(blake3.clone())),
                    trackers: Vec::new(),
                    about: About::default(),
                };
                let torrent = builder.build().expect("it is well made");
                std::fs::write(self.torrent(with_blake3, files), torrent.bytes()).expect("space");
            }
        }
    }

    fn write_and_hash(&self, shape: &Files) -> (Vec<u8>, Vec<u8>) {
        let (mut sha1, mut blake3) = (Vec::new(), Vec::new());
        let mut hasher = PieceHasher::default();
        let mut out = None;
        for n in 0..shape.total().div_ceil(PIECE.into()) {
            let (mut bytes, at) = (piece(n), n * u64::from(PIECE));
            bytes.truncate((shape.total() - at) as usize);
            hasher.update(&bytes);
            let hash = hasher.finish();
            sha1.extend(hash.sha1);
            blake3.extend(hash.blake3);
            let mut rest = &bytes[..];
            for span in shape.spans(at, bytes.len() as u64) {
                let (part, after) = rest.split_at(span.len as usize);
                rest = after;
                if span.offset == 0 {
                    let path = self.source().join(shape.disk_path(span.file));
                    make_parent(&path, span.file);
                    out = Some(File::create(path).expect("space"));
                }
                out.as_mut().expect("a file begins at 0").write_all(part).expect("space");
            }
        }
        (sha1, blake3)
    }

    /// A plain copy: read a mebibyte, write it to the socket. Files follow each other without a frame.
    ///
    /// Listens at `host` and prints where.
    pub(crate) fn copy_out(&self, host: IpAddr, files: bool) -> Duration {
        let listener = TcpListener::bind((host, 0)).expect("a free port");
        println!("{}", listener.local_addr().expect("it listens"));
        let (mut to, _) = listener.accept().expect("it is dialled");
        let start = now();
        let shape = self.shape(files);
        let mut buffer = AlignedBytes::new(PIECE as usize);
        for index in 0..shape.as_slice().len() {
            let path = self.source().join(shape.disk_path(index));
            copy(&mut File::open(path).expect("it was made"), &mut to, &mut buffer);
        }
        start.elapsed()
    }

    /// The other side of [`Self::copy_out`], of which the standard input tells where it listens.
    pub(crate) fn copy_in(&self, files: bool) -> Duration {
        let mut from = TcpStream::connect(told_address()).expect("it listens");
        let start = now();
        let shape = self.shape(files);
        let mut buffer = AlignedBytes::new(PIECE as usize);
        for (index, file) in shape.as_slice().iter().enumerate() {
            let path = self.target().join(shape.disk_path(index));
            make_parent(&path, index);
            let mut out = File::create(path).expect("space");
            copy(&mut (&mut from).take(file.len), &mut out, &mut buffer);
        }
        start.elapsed()
    }

    /// What it takes to read the file and to hash it piece by piece, over all cores.
    pub(crate) fn hash_alone<T>(&self, hash: impl Fn(&[u8]) -> T + Sync) -> Alone {
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let path = self.source().join("one");
        let share = |thread: u64| {
            let file = File::open(&path).expect("it was made");
            let mut buffer = AlignedBytes::new(PIECE as usize);
            for piece in (thread..self.mib).step_by(threads as usize) {
                file.read_exact_at(&mut buffer, piece * u64::from(PIECE)).expect("it can be read");
                black_box(hash(&buffer));
            }
        };
        let (begun, before) = (now(), processor_time());
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let share = &share;
                scope.spawn(move || share(thread));
            }
        });
        Alone { wall: begun.elapsed().as_secs_f64(), cpu: processor_time() - before }
    }
}

/// Seconds of the clock and of the processors.
pub(crate) struct Alone {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

/// Seconds of the processors that this program has used.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_secs_f64()
}

/// A piece whose bytes are no other's.
fn piece(n: u64) -> Vec<u8> {
    let mut state = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let words = (0..PIECE as usize / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

/// The first hundred files bring all folders.
fn make_parent(path: &Path, index: usize) {
    if index < 100 {
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("space");
    }
}

fn copy(from: &mut impl Read, to: &mut impl Write, buffer: &mut [u8]) {
    loop {
        match from.read(buffer).expect("it can be read") {
            0 => return,
            read => to.write_all(&buffer[..read]).expect("it can be written"),
        }
    }
}

pub(crate) fn told_address() -> SocketAddr {
    line(&mut io::stdin().lock()).parse().expect("an address")
}

pub(crate) fn line(from: &mut impl BufRead) -> String {
    let mut text = String::new();
    from.read_line(&mut text).expect("the other process speaks");
    text.trim().to_owned()
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is about the wall clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
