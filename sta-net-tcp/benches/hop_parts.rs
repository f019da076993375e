//! One hop without the protocol: file store, transport, buffers and disk threads, against a plain TCP copy of the same
//! file and against the hash alone, all in one run. `docs/PERFORMANCE.md`, "One hop: the parts", has its figures.
//!
//! ```text
//! cargo bench -p sta-net-tcp --bench hop_parts -- [--mib 2048] [--rounds 5] [--dir /dev/shm] [--only NAME]...
//! ```
//!
//! Each side is a process of its own, so that both pay for themselves. The contenders take turns; medians are printed.
//! With `--keep` the source stays, so that one side can be run by hand under a tracer:
//! `--role send|receive NAME --mib N --dir DIR`; the receiver is told the sender's port on its standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sta_core::io::file_store::{Allocation, FileStore, SyncPolicy};
use sta_core::io::hash::PieceHasher;
use sta_core::io::store::{PieceStore, StoreError};
use sta_core::io::transport::{Batch, Transport};
use sta_core::model::address::Address;
use sta_core::model::files::{Files, FilesError, NewFile};
use sta_core::model::ids::InfoHash;
use sta_core::model::layout::Block;
use sta_core::model::metainfo::{About, Builder, Metainfo};
use sta_core::run::buffers::BufferPool;
use sta_core::run::disk::{Disk, DiskDone};
use sta_core::wire::frame::{FrameDecoder, PEER_LIMITS, PEER_READ_BYTES, PREAMBLE, encode};
use sta_core::wire::peer::PeerMessage;
use sta_net_tcp::TcpTransport;

const PIECE: u32 = 1 << 20;

/// What a contender does differently.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    /// `None`: a plain TCP copy.
    blake3: Option<bool>,
    sendfile: bool,
    /// Disk threads of the receiver.
    disk: usize,
    /// Threads of the runtime; 1 is the kind that has only the calling thread.
    runtime: usize,
    block: u32,
    files: bool,
}

const OURS: Way = Way {
    name: "blake3",
    blake3: Some(true),
    sendfile: true,
    disk: 2,
    runtime: 1,
    block: 1 << 20,
    files: false,
};

const WAYS: [Way; 9] = [
    Way { name: "tcpcopy", blake3: None, ..OURS },
    OURS,
    Way { name: "blake3, 1 disk thread", disk: 1, ..OURS },
    Way { name: "blake3, runtime of 2 threads", runtime: 2, ..OURS },
    Way { name: "blake3, 256 KiB blocks", block: 256 << 10, ..OURS },
    Way { name: "blake3, no sendfile", sendfile: false, ..OURS },
    Way { name: "sha1", blake3: Some(false), ..OURS },
    Way { name: "tcpcopy, files of 200 KiB", blake3: None, files: true, ..OURS },
    Way { name: "blake3, files of 200 KiB", files: true, ..OURS },
];

struct Arguments {
    mib: u64,
    rounds: usize,
    dir: PathBuf,
    only: Vec<String>,
    keep: bool,
    role: Option<(String, String)>,
}

fn main() {
    let arguments = Arguments::read();
    match &arguments.role {
        Some((role, way)) => play(role, way, &arguments),
        None => compare(&arguments),
    }
}

impl Arguments {
    fn read() -> Self {
        let mut read = Self {
            mib: 2048,
            rounds: 5,
            dir: PathBuf::from("/dev/shm"),
            only: Vec::new(),
            keep: false,
            role: None,
        };
        let mut given = std::env::args().skip(1);
        while let Some(flag) = given.next() {
            let mut value = || given.next().unwrap_or_default();
            match flag.as_str() {
                "--mib" => read.mib = value().parse().expect("a number of MiB"),
                "--rounds" => read.rounds = value().parse().expect("a number of rounds"),
                "--dir" => read.dir = PathBuf::from(value()),
                "--only" => read.only.push(value()),
                "--keep" => read.keep = true,
                "--role" => read.role = Some((value(), value())),
                _ => {}
            }
        }
        read
    }

    /// Names of files and lengths: one file, or files of 200 KiB.
    fn shape(&self, files: bool) -> Files {
        let total = self.mib << 20;
        if !files {
            return Files::single("one".to_owned(), total).expect("a good name");
        }
        let listed = (0..total / (200 << 10)).map(|n| {
            let path = format!("{:02}/{n}", n % 100);
            Ok::<_, FilesError>(NewFile { path, len: 200 << 10, padding: false })
        });
        Files::folder("many".to_owned(), listed).expect("good names")
    }

    fn source(&self) -> PathBuf {
        self.dir.join("sta-hop-source")
    }

    fn target(&self) -> PathBuf {
        self.dir.join("sta-hop-target")
    }
}

/// A round's figures of one contender.
#[derive(Clone, Copy, Default)]
struct Figures {
    wall: f64,
    sender: f64,
    receiver: f64,
    receiver_mib: f64,
}

fn compare(arguments: &Arguments) {
    std::fs::create_dir_all(arguments.source()).expect("space for the source");
    let wanted =
        |way: &Way| arguments.only.is_empty() || arguments.only.iter().any(|n| n == way.name);
    let ways: Vec<Way> = WAYS.into_iter().filter(wanted).collect();
    make_sources(arguments, ways.iter().any(|way| way.files));
    let mut figures = vec![Vec::new(); ways.len()];
    let mut hash = Vec::new();
    for round in 0..=arguments.rounds {
        for (way, figures) in ways.iter().zip(&mut figures) {
            let one = hop(arguments, way);
            // The first round warms memory that the machine had given away.
            if round > 0 {
                figures.push(one);
            }
        }
        hash.push(hash_alone(arguments));
    }
    println!("| contender | wall s | / tcpcopy | sender CPU s | receiver CPU s | receiver MiB |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (way, own) in ways.iter().zip(&figures) {
        let copy = ways.iter().position(|w| w.blake3.is_none() && w.files == way.files);
        let ratio = |n: usize| copy.map_or(f64::NAN, |copy| own[n].wall / figures[copy][n].wall);
        let of = |part: fn(&Figures) -> f64| median(own.iter().map(part));
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} |",
            way.name,
            of(|f| f.wall),
            median((0..own.len()).map(ratio)),
            of(|f| f.sender),
            of(|f| f.receiver),
            of(|f| f.receiver_mib),
        );
    }
    println!("| BLAKE3 alone, 1 thread | {:.2} | | | | |", median(hash.into_iter()));
    if !arguments.keep {
        let _ = std::fs::remove_dir_all(arguments.source());
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Writes what is sent, and the torrents that describe it.
fn make_sources(arguments: &Arguments, files_too: bool) {
    for files in [false, true].into_iter().take(1 + usize::from(files_too)) {
        let shape = arguments.shape(files);
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
                    let path = arguments.source().join(shape.disk_path(span.file));
                    make_parent(&path, span.file);
                    out = Some(File::create(path).expect("space"));
                }
                out.as_mut().expect("a file begins at 0").write_all(part).expect("space");
            }
        }
        for (kind, blake3) in [("sha1", None), ("blake3", Some(Bytes::from(blake3)))] {
            let builder = Builder {
                files: shape.clone(),
                piece_bytes: PIECE,
                sha1: Bytes::from(sha1.clone()),
                blake3,
                trackers: Vec::new(),
                about: About::default(),
            };
            let torrent = builder.build().expect("it is well made");
            let name = format!("{kind}-{}", torrent.name());
            std::fs::write(arguments.source().join(name), torrent.bytes()).expect("space");
        }
    }
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

fn hash_alone(arguments: &Arguments) -> f64 {
    let mut file = File::open(arguments.source().join("one")).expect("it was made");
    let mut buffer = vec![0; PIECE as usize];
    let start = now();
    while file.read(&mut buffer).expect("it can be read") > 0 {
        std::hint::black_box(blake3::hash(&buffer));
    }
    start.elapsed().as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is about the wall clock")]
fn now() -> Instant {
    Instant::now()
}

/// One transfer between two processes.
fn hop(arguments: &Arguments, way: &Way) -> Figures {
    let _ = std::fs::remove_dir_all(arguments.target());
    std::fs::create_dir_all(arguments.target()).expect("space for the target");
    let start = |role: &str| {
        let (mib, dir) = (arguments.mib.to_string(), arguments.dir.clone());
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--role", role, way.name, "--mib", &mib, "--dir"]).arg(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this program runs")
    };
    let mut sender = start("send");
    let mut from_sender = BufReader::new(sender.stdout.take().expect("piped"));
    let port = line(&mut from_sender);
    let mut receiver = start("receive");
    let mut from_receiver = BufReader::new(receiver.stdout.take().expect("piped"));
    writeln!(receiver.stdin.as_mut().expect("piped"), "{port}").expect("it listens");
    let numbers = |text: String| -> Vec<f64> {
        text.split(' ').map(|n| n.parse().expect("a number")).collect()
    };
    let received = numbers(line(&mut from_receiver));
    let sent = numbers(line(&mut from_sender));
    let done = |mut child: Child| assert!(child.wait().expect("it runs").success());
    done(sender);
    done(receiver);
    let _ = std::fs::remove_dir_all(arguments.target());
    Figures { wall: received[0], receiver: received[1], receiver_mib: received[2], sender: sent[1] }
}

fn line(from: &mut impl BufRead) -> String {
    let mut text = String::new();
    from.read_line(&mut text).expect("the other process speaks");
    text.trim().to_owned()
}

/// One side of a transfer; ends by printing wall seconds, CPU seconds, and the most memory used.
fn play(role: &str, way: &str, arguments: &Arguments) {
    let way = WAYS.into_iter().find(|w| w.name == way).expect("a known name");
    let took = match (role, way.blake3) {
        ("send", None) => copy_out(arguments, way),
        ("send", Some(_)) => runtime(way).block_on(send(arguments, way)),
        (_, None) => copy_in(arguments, way),
        (_, Some(_)) => runtime(way).block_on(receive(arguments, way)),
    };
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().expect("it has a name");
    let ticks = |n: usize| -> f64 {
        after_name.split(' ').nth(n).and_then(|t| t.parse().ok()).expect("a number of ticks")
    };
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let most = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("Linux");
    let kib: f64 = most.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    println!("{} {} {}", took.as_secs_f64(), (ticks(12) + ticks(13)) / 100.0, kib / 1024.0);
}

fn runtime(way: Way) -> tokio::runtime::Runtime {
    let mut builder = match way.runtime {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(way.runtime).enable_all().build().expect("a runtime")
}

fn port() -> SocketAddr {
    let port = line(&mut io::stdin().lock()).parse().expect("a port");
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn torrent(arguments: &Arguments, way: Way) -> Arc<Metainfo> {
    let kind = if way.blake3 == Some(true) { "blake3" } else { "sha1" };
    let name = if way.files { "many" } else { "one" };
    let bytes = std::fs::read(arguments.source().join(format!("{kind}-{name}")));
    Arc::new(Metainfo::parse(bytes.expect("it was made")).expect("it is well made"))
}

/// A plain copy: read a mebibyte, write it to the socket. Files follow each other without a frame.
fn copy_out(arguments: &Arguments, way: Way) -> Duration {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    println!("{}", listener.local_addr().expect("it listens").port());
    let (mut to, _) = listener.accept().expect("it is dialled");
    let start = now();
    let shape = arguments.shape(way.files);
    let mut buffer = vec![0; PIECE as usize];
    for index in 0..shape.as_slice().len() {
        let path = arguments.source().join(shape.disk_path(index));
        copy(&mut File::open(path).expect("it was made"), &mut to, &mut buffer);
    }
    start.elapsed()
}

fn copy_in(arguments: &Arguments, way: Way) -> Duration {
    let mut from = TcpStream::connect(port()).expect("it listens");
    let start = now();
    let shape = arguments.shape(way.files);
    let mut buffer = vec![0; PIECE as usize];
    for (index, file) in shape.as_slice().iter().enumerate() {
        let path = arguments.target().join(shape.disk_path(index));
        make_parent(&path, index);
        copy(&mut (&mut from).take(file.len), &mut File::create(path).expect("space"), &mut buffer);
    }
    start.elapsed()
}

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

/// Sends every block of the torrent in batches of four.
async fn send(arguments: &Arguments, way: Way) -> Duration {
    let store = FileStore::seed(torrent(arguments, way), &arguments.source());
    let store = store.expect("the source is there");
    let transport =
        if way.sendfile { TcpTransport::new() } else { TcpTransport::without_sendfile() };
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = transport.listen(at).await.expect("a free port");
    println!("{}", listener.local_addr().port());
    let mut connection = listener.accept().await.expect("it is dialled");
    let start = now();
    let mut batch = Batch::default();
    batch.heads.extend_from_slice(PREAMBLE);
    for (id, block) in (0..).zip(blocks(&store, way.block)) {
        encode(&PeerMessage::Data { id, block: block.into() }, block.len, &mut batch.heads);
        let body = store.body(store.layout().block_offset(block), block.len);
        batch.push_body(body.expect("the source is there"));
        if batch.bodies.len() == 4 {
            connection.send.send(&mut batch).await.expect("it is read");
            batch.clear();
        }
    }
    connection.send.send(&mut batch).await.expect("it is read");
    // The receiver has the last word.
    let _ = connection.recv.recv(&mut [0; 1]).await;
    start.elapsed()
}

fn blocks(store: &FileStore, size: u32) -> impl Iterator<Item = Block> {
    let layout = store.layout();
    (0..layout.pieces()).flat_map(move |piece| {
        (0..layout.piece_len(piece))
            .step_by(size as usize)
            .map(move |offset| layout.block_at(piece, offset, size))
    })
}

async fn receive(arguments: &Arguments, way: Way) -> Duration {
    let to = Address::from(port());
    let (sparse, never) = (Allocation::Sparse, SyncPolicy::Never);
    let store = FileStore::download(torrent(arguments, way), &arguments.target(), sparse, never);
    let store: Arc<dyn PieceStore> = Arc::new(store.expect("the target is empty"));
    let connection = TcpTransport::new().connect(&to).await.expect("it listens");
    let start = now();
    let (done, mut completions) = tokio::sync::mpsc::unbounded_channel();
    let disk = Disk::new(way.disk, done);
    let reading = tokio::spawn(read_blocks(connection.recv, disk, Arc::clone(&store)));
    let mut checked = 0;
    while checked < store.layout().pieces() {
        match completions.recv().await.expect("the disk is there") {
            DiskDone::Checked { ok, .. } => {
                assert_eq!(ok, Ok::<_, StoreError>(true));
                checked += 1;
            }
            DiskDone::Written { result, .. } => result.expect("there is space"),
            DiskDone::Finished { .. } => {}
        }
    }
    store.finish().expect("nothing is in the way");
    let took = start.elapsed();
    reading.await.expect("it read everything");
    took
}

/// As a session reads: headers through the decoder, bodies straight into pooled buffers.
async fn read_blocks(
    mut recv: Box<dyn sta_core::io::transport::RecvHalf>,
    disk: Disk,
    store: Arc<dyn PieceStore>,
) {
    const TORRENT: InfoHash = InfoHash([0; 20]);
    let pool = BufferPool::new();
    let mut decoder = FrameDecoder::new(PEER_LIMITS, PEER_READ_BYTES);
    let mut left = store.layout().total();
    while left > 0 {
        let message = decoder.next_message::<PeerMessage>().expect("STA/1");
        let Some((PeerMessage::Data { block, .. }, body)) = message else {
            let read = recv.recv(decoder.space()).await.expect("the sender is well");
            decoder.filled(read);
            continue;
        };
        let block = Block::from(block);
        disk.backlog().room().await;
        let mut buffer = pool.take(body);
        let held = decoder.take_body(&mut buffer);
        recv.recv_exact(&mut buffer[held..]).await.expect("the sender is well");
        disk.write(TORRENT, &store, block, buffer);
        left -= u64::from(block.len);
        if block.offset + block.len == store.layout().piece_len(block.piece) {
            disk.verify(TORRENT, &store, block.piece);
        }
    }
}
