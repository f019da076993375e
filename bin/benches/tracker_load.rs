//! How many piece changes a second the program `sta-tracker` takes from 1,000 persistent connections on one core, and
//! how much memory a lease costs: `cargo bench -p sta-bin --bench tracker_load`.
//!
//! The tracker is pinned to the last core and this program to the first (with `taskset`). Its own processor time is
//! read as well: on a machine that is busy with other things, messages per second of *that* are the better figure.

mod programs;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sta_core::model::bitfield::PieceRange;
use sta_core::model::ids::{InfoHash, Site};
use sta_core::wire::frame::{
    FROM_TRACKER_LIMITS, FrameDecoder, PREAMBLE, TRACKER_READ_BYTES, encode,
};
use sta_core::wire::tracker::{FromTracker, ToTracker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use programs::{Program, memory as memory_of, start_tracker};

const CONNECTIONS: usize = 1_000;
const PIECES: u32 = 10_000;
const MESSAGES: usize = 1_000_000;
const TORRENT: InfoHash = InfoHash([7; 20]);

fn main() {
    if !cfg!(target_os = "linux") {
        println!("needs Linux: taskset and /proc");
        return;
    }
    let own = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-cp", "0", &own]).stdout(Stdio::null()).status();
    assert!(pinned.is_ok_and(|status| status.success()), "taskset, of util-linux");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        for (batch, every) in [(1, "each in a write of its own"), (10, "ten in a write")] {
            rate(batch, every).await;
        }
        memory("complete", 5_000, vec![PieceRange(0, PIECES - 1)]).await;
        memory("empty", 5_000, vec![]).await;
        let tenth = (0..PIECES).step_by(10).map(PieceRange::one).collect();
        memory("with a tenth of them", 500, tenth).await;
    });
}

/// The tracker on the last core, and where it listens.
fn tracker() -> (Program, SocketAddr) {
    let core = std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1);
    let cores = std::fs::read_to_string("/sys/devices/system/cpu/present").unwrap_or_default();
    let last = cores.trim().rsplit('-').next().map_or(core.to_string(), str::to_owned);
    let mut command = Command::new("taskset");
    command.args(["-c", &last, env!("CARGO_BIN_EXE_sta-tracker")]);
    start_tracker(command, Ipv4Addr::LOCALHOST.into())
}

/// A connection with the tracker.
struct Client {
    stream: TcpStream,
    decoder: FrameDecoder,
}

impl Client {
    /// Connected, and past `hello`.
    async fn connect(at: SocketAddr, name: usize) -> Self {
        let mut stream = TcpStream::connect(at).await.expect("connected");
        stream.set_nodelay(true).expect("an option of TCP");
        stream.write_all(PREAMBLE).await.expect("written");
        let mut client =
            Self { stream, decoder: FrameDecoder::new(FROM_TRACKER_LIMITS, TRACKER_READ_BYTES) };
        let node = format!("node-{name}").parse().expect("a name");
        client
            .say(&[ToTracker::Hello { v: 1, node, port: 7_000, site: Site::default(), via: None }])
            .await;
        client
    }

    async fn say(&mut self, messages: &[ToTracker]) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| encode(message, 0, &mut bytes));
        self.stream.write_all(&bytes).await.expect("written");
    }

    /// Asks for an answer and reads until it is there: everything said before has been taken.
    async fn settle(&mut self) {
        self.say(&[ToTracker::Ping]).await;
        let mut answered = false;
        while !answered {
            let read = self.stream.read(self.decoder.space()).await.expect("read");
            assert!(read > 0, "the tracker hung up");
            self.decoder.filled(read);
            // It may go on to speak of peers.
            while let Some((message, _)) = self.decoder.next_message().expect("frames") {
                answered |= matches!(message, FromTracker::Pong);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "measures a real program")]
fn now() -> Instant {
    Instant::now()
}

async fn rate(batch: usize, every: &str) {
    let (tracker, at) = tracker();
    let mut clients = Vec::new();
    for name in 0..CONNECTIONS {
        let mut client = Client::connect(at, name).await;
        let join = ToTracker::Join { torrent: TORRENT, pieces: PIECES, have: vec![], want: 10 };
        client.say(&[join]).await;
        client.settle().await;
        clients.push(client);
    }
    let mut bytes = Vec::new();
    let (begun, used) = (now(), tracker.processor_time());
    for round in 0..MESSAGES / CONNECTIONS / batch {
        for client in &mut clients {
            bytes.clear();
            for i in 0..batch {
                let piece = ((round * batch + i) as u32 * 7_919) % PIECES;
                let p = vec![PieceRange::one(piece)];
                encode(&ToTracker::Have { torrent: TORRENT, p }, 0, &mut bytes);
            }
            client.stream.write_all(&bytes).await.expect("written");
        }
    }
    for client in &mut clients {
        client.settle().await;
    }
    let (wall, used) =
        (begun.elapsed().max(Duration::from_millis(1)), tracker.processor_time() - used);
    println!(
        "{MESSAGES} piece changes, {CONNECTIONS} connections, {every}: {:.0} a second ({:.1} s); {:.0} per second of the \
         tracker's processor time ({used:.2} s)",
        MESSAGES as f64 / wall.as_secs_f64(),
        wall.as_secs_f64(),
        MESSAGES as f64 / used,
    );
}

/// Ten nodes, each in so many torrents.
async fn memory(what: &str, torrents: u32, have: Vec<PieceRange>) {
    const NODES: usize = 10;
    let (tracker, at) = tracker();
    let mut clients = Vec::new();
    for name in 0..NODES {
        let mut client = Client::connect(at, name).await;
        client.settle().await;
        clients.push(client);
    }
    let resident = || memory_of(tracker.0.id(), "VmRSS").expect("it runs");
    let before = resident();
    // By turns: who says nothing for a minute is forgotten.
    for torrent in 0..torrents {
        for client in &mut clients {
            let mut hash = [0; 20];
            hash[..4].copy_from_slice(&torrent.to_be_bytes());
            let (torrent, have) = (InfoHash(hash), have.clone());
            client.say(&[ToTracker::Join { torrent, pieces: PIECES, have, want: 10 }]).await;
            client.settle().await;
        }
    }
    let leases = NODES as u64 * u64::from(torrents);
    let bytes = resident().saturating_sub(before);
    println!("{leases} leases of {PIECES} pieces, {what}: {} bytes each", bytes / leases);
}
