//! One hop without the protocol: file store, transport, buffers and disk threads, against a plain TCP copy of the same
//! file and against the hash alone, all in one run. `docs/PERFORMANCE.md`, "One hop: the parts", has its figures.
//!
//! ```text
//! cargo bench -p sta-net-tcp --bench hop_parts -- [--mib 2048] [--rounds 5] [--dir /dev/shm] [--only NAME]...
//! ```
//!
//! Each side is a process of its own, so that both pay for themselves. The contenders take turns; medians are printed.
//! With `--keep` the source stays, so that one side can be run by hand under a tracer:
//! `--role send|receive NAME --mib N --dir DIR`; the receiver is told where the sender listens on its standard input.

mod hop;

use std::io::{BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sta_core::io::file_store::{Allocation, FileStore, SyncPolicy};
use sta_core::io::store::{PieceStore, StoreError};
use sta_core::io::transport::{Batch, Transport};
use sta_core::model::address::Address;
use sta_core::model::ids::InfoHash;
use sta_core::model::layout::Block;
use sta_core::model::metainfo::Metainfo;
use sta_core::run::buffers::BufferPool;
use sta_core::run::disk::{Disk, DiskDone};
use sta_core::wire::frame::{FrameDecoder, PEER_LIMITS, PEER_READ_BYTES, PREAMBLE, encode};
use sta_core::wire::peer::PeerMessage;
use sta_net_tcp::TcpTransport;

use hop::{Alone, Arguments, Content, line, median, now, told_address};

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

fn main() {
    let arguments = Arguments::read();
    match &arguments.role {
        Some((role, way)) => play(role, way, &arguments.content, arguments.at),
        None => compare(&arguments),
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
    let ways: Vec<Way> = WAYS.into_iter().filter(|way| arguments.wants(way.name)).collect();
    let content = &arguments.content;
    content.make(ways.iter().any(|way| way.files));
    let mut figures = vec![Vec::new(); ways.len()];
    let mut hash = Vec::new();
    for round in 0..=arguments.rounds {
        for (way, figures) in ways.iter().zip(&mut figures) {
            let one = hop(content, way);
            // The first round warms memory that the machine had given away.
            if round > 0 {
                figures.push(one);
            }
        }
        hash.push(content.hash_alone(blake3::hash));
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
    let alone = |part: fn(&Alone) -> f64| median(hash.iter().map(part));
    println!(
        "| BLAKE3 alone, all cores | {:.2} | | | {:.2} | |",
        alone(|a| a.wall),
        alone(|a| a.cpu)
    );
    let _ = std::fs::remove_dir_all(content.target());
    if !arguments.keep {
        let _ = std::fs::remove_dir_all(content.source());
    }
}

/// One transfer between two processes.
fn hop(content: &Content, way: &Way) -> Figures {
    let _ = std::fs::remove_dir_all(content.target());
    std::fs::create_dir_all(content.target()).expect("space for the target");
    let start = |role: &str| {
        let mib = content.mib.to_string();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--role", role, way.name, "--mib", &mib, "--dir"]).arg(&content.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this program runs")
    };
    let mut sender = start("send");
    let mut from_sender = BufReader::new(sender.stdout.take().expect("piped"));
    let at = line(&mut from_sender);
    let mut receiver = start("receive");
    let mut from_receiver = BufReader::new(receiver.stdout.take().expect("piped"));
    writeln!(receiver.stdin.as_mut().expect("piped"), "{at}").expect("it listens");
    let numbers = |text: String| -> Vec<f64> {
        text.split(' ').map(|n| n.parse().expect("a number")).collect()
    };
    let received = numbers(line(&mut from_receiver));
    let sent = numbers(line(&mut from_sender));
    let done = |mut child: Child| assert!(child.wait().expect("it runs").success());
    done(sender);
    done(receiver);
    Figures { wall: received[0], receiver: received[1], receiver_mib: received[2], sender: sent[1] }
}

/// One side of a transfer; ends by printing wall seconds, CPU seconds, and the most memory used.
fn play(role: &str, way: &str, content: &Content, at: IpAddr) {
    let way = WAYS.into_iter().find(|w| w.name == way).expect("a known name");
    let took = match (role, way.blake3) {
        ("send", None) => content.copy_out(at, way.files),
        ("send", Some(_)) => runtime(way).block_on(send(content, way, at)),
        (_, None) => content.copy_in(way.files),
        (_, Some(_)) => runtime(way).block_on(receive(content, way)),
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

fn torrent(content: &Content, way: Way) -> Arc<Metainfo> {
    let bytes = std::fs::read(content.torrent(way.blake3 == Some(true), way.files));
    Arc::new(Metainfo::parse(bytes.expect("it was made")).expect("it is well made"))
}

/// Sends every block of the torrent in batches of four.
async fn send(content: &Content, way: Way, at: IpAddr) -> Duration {
    let store = FileStore::seed(torrent(content, way), &content.source());
    let store = store.expect("the source is there");
    let transport =
        if way.sendfile { TcpTransport::new() } else { TcpTransport::without_sendfile() };
    let mut listener = transport.listen(SocketAddr::new(at, 0)).await.expect("a free port");
    println!("{}", listener.local_addr());
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

async fn receive(content: &Content, way: Way) -> Duration {
    let to = Address::from(told_address());
    let (sparse, never) = (Allocation::Sparse, SyncPolicy::Never);
    let store = FileStore::download(torrent(content, way), &content.target(), sparse, never);
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
            DiskDone::NotWritten { why, .. } => panic!("{why}"),
            DiskDone::Panicked => panic!("a disk worker has panicked"),
            DiskDone::LeavesChecked { .. }
            | DiskDone::Digested { .. }
            | DiskDone::Forgotten { .. }
            | DiskDone::Finished { .. } => {}
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
