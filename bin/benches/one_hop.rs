//! One hop, end to end: `sta-tracker`, `sta-node seed` and `sta-node download` as processes on two hosts joined by a cable,
//! against a plain TCP copy of the same bytes and against the hashes alone, all in one run. `docs/PERFORMANCE.md`, "One hop,
//! end to end".
//!
//! ```text
//! cargo bench -p sta-bin --bench one_hop -- [--mib 2048] [--rounds 5] [--dir /dev/shm] [--loopback] [--only NAME]...
//! ```
//!
//! The hosts are network namespaces, which need root and iproute2; without them both sides use this machine's loopback.
//! Some machines do not let namespaces choose CUBIC until `net.ipv4.tcp_allowed_congestion_control` has it.
//!
//! The source has verified its content before the clock starts; it stops when the process that receives has ended, and
//! then every byte is compared. The contenders take turns, the first round is not counted, medians are printed.

mod cable;
#[path = "../../sta-net-tcp/benches/hop/mod.rs"]
mod hop;
mod programs;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use sha1::Digest as _;

use cable::{Network, Side};
use hop::{Alone, Arguments, Content, line, median, now};
use programs::{Program, memory, start_tracker};

/// How often the memory of the processes is looked at.
const SAMPLE: Duration = Duration::from_millis(5);
const MIB: f64 = (1 << 20) as f64;

#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    /// Whether the torrent has BLAKE3; `None`: a plain TCP copy.
    blake3: Option<bool>,
    files: bool,
}

const WAYS: [Way; 5] = [
    Way { name: "tcpcopy", blake3: None, files: false },
    Way { name: "blake3", blake3: Some(true), files: false },
    Way { name: "sha1", blake3: Some(false), files: false },
    Way { name: "tcpcopy, files of 200 KiB", blake3: None, files: true },
    Way { name: "blake3, files of 200 KiB", blake3: Some(true), files: true },
];

/// A round's figures of one contender: seconds and bytes.
#[derive(Clone, Copy)]
struct Figures {
    wall: f64,
    sender: f64,
    receiver: f64,
    /// Most anonymous memory held at a time: what is not page cache.
    sender_memory: u64,
    receiver_memory: u64,
}

fn main() {
    if !cfg!(target_os = "linux") {
        println!("needs Linux: /proc");
        return;
    }
    let arguments = Arguments::read();
    let Some((role, way)) = &arguments.role else {
        return compare(&arguments);
    };
    let way = WAYS.into_iter().find(|w| w.name == way).expect("a known name");
    match &**role {
        "send" => arguments.content.copy_out(arguments.at, way.files),
        _ => arguments.content.copy_in(way.files),
    };
}

fn compare(arguments: &Arguments) {
    let content = &arguments.content;
    let network = network();
    let ways: Vec<Way> = WAYS.into_iter().filter(|way| arguments.wants(way.name)).collect();
    content.make(ways.iter().any(|way| way.files));
    let mut figures = vec![Vec::new(); ways.len()];
    let (mut blake3, mut sha1) = (Vec::new(), Vec::new());
    // The first round warms memory that the machine had given away.
    for round in 0..=arguments.rounds {
        for (way, figures) in ways.iter().zip(&mut figures) {
            let one = transfer(&network, content, *way);
            figures.extend((round > 0).then_some(one));
        }
        let by_blake3 = content.hash_alone(blake3::hash);
        let by_sha1 = content.hash_alone(|bytes| sha1::Sha1::digest(bytes));
        if round > 0 {
            blake3.push(by_blake3);
            sha1.push(by_sha1);
        }
    }
    println!(
        "| contender | wall s | / tcpcopy | / hash alone | CPU s/GiB: sender | receiver | together / (tcpcopy + hash) | \
         anonymous MiB: sender | receiver |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (way, own) in ways.iter().zip(&figures) {
        let hash: &[Alone] = way.blake3.map_or(&[], |with| if with { &blake3 } else { &sha1 });
        let copy = ways.iter().position(|w| w.blake3.is_none() && w.files == way.files);
        row(way, own, copy.map(|copy| &*figures[copy]), hash, content.mib as f64 / 1024.0);
    }
    for (name, alone) in [("BLAKE3", &blake3), ("SHA-1", &sha1)] {
        let of = |part: fn(&Alone) -> f64| median(alone.iter().map(part));
        println!(
            "| {name} alone, all cores | {:.2} | | | | {:.2} | | | |",
            of(|a| a.wall),
            of(|a| a.cpu) / (content.mib as f64 / 1024.0)
        );
    }
    let _ = std::fs::remove_dir_all(content.target());
    if !arguments.keep {
        let _ = std::fs::remove_dir_all(content.source());
    }
}

/// A cable if that can be had; prints what it is.
fn network() -> Network {
    let (network, what) = if std::env::args().any(|flag| flag == "--loopback") {
        (Network::loopback(), "loopback".to_owned())
    } else {
        match Network::cable() {
            Ok(cable) => (cable, "two network namespaces, a veth pair".to_owned()),
            Err(why) => {
                (Network::loopback(), format!("loopback, since there are no namespaces ({why})"))
            }
        }
    };
    println!("{what}; {}\n", network.congestion_control());
    network
}

/// `hash` has as many rounds as the others, or none where nothing is hashed.
fn row(way: &Way, own: &[Figures], copy: Option<&[Figures]>, hash: &[Alone], gib: f64) {
    let of = |part: fn(&Figures) -> f64| median(own.iter().map(part));
    let copy = copy.unwrap_or_default();
    let of_copy = median(own.iter().zip(copy).map(|(own, copy)| own.wall / copy.wall));
    let cpu = |f: &Figures| f.sender + f.receiver;
    let hash_cpu = |round: usize| hash.get(round).map_or(0.0, |alone| alone.cpu);
    let pairs = own.iter().zip(copy).enumerate();
    let of_both = median(pairs.map(|(n, (own, copy))| cpu(own) / (cpu(copy) + hash_cpu(n))));
    let of_hash = median(own.iter().zip(hash).map(|(own, hash)| own.wall / hash.wall));
    let of_hash = if hash.is_empty() { String::new() } else { format!("{of_hash:.2}") };
    println!(
        "| {} | {:.2} | {:.2} | {of_hash} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} |",
        way.name,
        of(|f| f.wall),
        of_copy,
        of(|f| f.sender) / gib,
        of(|f| f.receiver) / gib,
        of_both,
        of(|f| f.sender_memory as f64) / MIB,
        of(|f| f.receiver_memory as f64) / MIB,
    );
}

/// One transfer between two processes, with every byte compared after it.
fn transfer(network: &Network, content: &Content, way: Way) -> Figures {
    let figures = match way.blake3 {
        None => plain_copy(network, content, way),
        Some(with_blake3) => ours(network, content, way, with_blake3),
    };
    let shape = content.shape(way.files);
    for index in 0..shape.as_slice().len() {
        let path = shape.disk_path(index);
        same(&content.source().join(&path), &content.target().join(&path));
    }
    figures
}

fn plain_copy(network: &Network, content: &Content, way: Way) -> Figures {
    let host = network.address(Side::Sender).to_string();
    let start = |side: Side, role: &str| {
        let mut command = network.command(side, std::env::current_exe().expect("this program"));
        command.args(["--role", role, way.name, "--at", &host]);
        command.args(["--mib", &content.mib.to_string(), "--dir"]).arg(&content.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Program(command.spawn().expect("this program runs"))
    };
    let mut sender = start(Side::Sender, "send");
    let at = line(&mut BufReader::new(sender.0.stdout.take().expect("piped")));
    measure(content, &sender, || {
        let mut receiver = start(Side::Receiver, "receive");
        let stdin = receiver.0.stdin.as_mut().expect("piped");
        writeln!(stdin, "{at}").expect("it listens");
        receiver
    })
}

fn ours(network: &Network, content: &Content, way: Way, with_blake3: bool) -> Figures {
    let tracker = network.command(Side::Sender, env!("CARGO_BIN_EXE_sta-tracker"));
    let (_tracker, at) = start_tracker(tracker, network.address(Side::Sender));
    let node = |side: Side, command: &str| {
        let mut node = network.command(side, env!("CARGO_BIN_EXE_sta-node"));
        node.arg(command).arg(content.torrent(with_blake3, way.files));
        let listen = SocketAddr::new(network.address(side), 0).to_string();
        node.args(["--listen", &listen, "--tracker", &format!("sta://{at}")]);
        node
    };
    let mut seed = node(Side::Sender, "seed");
    seed.arg("--data").arg(content.source()).stderr(Stdio::piped());
    let mut sender = Program(seed.spawn().expect("it was built"));
    let mut said = BufReader::new(sender.0.stderr.take().expect("piped")).lines();
    let ready = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("seeding")));
    assert!(ready.is_some(), "the source serves");
    measure(content, &sender, || {
        let mut download = node(Side::Receiver, "download");
        download.arg("-o").arg(content.target()).stdout(Stdio::null()).stderr(Stdio::inherit());
        Program(download.spawn().expect("it was built"))
    })
}

/// Runs `receive` to its end and measures both sides meanwhile.
///
/// What the contender before has received goes away only now: a virtual machine gives memory that is free for some
/// seconds back to its host, and a first touch of such memory costs several times what the transfer does.
fn measure(content: &Content, sender: &Program, receive: impl FnOnce() -> Program) -> Figures {
    let _ = std::fs::remove_dir_all(content.target());
    std::fs::create_dir_all(content.target()).expect("space for the target");
    let (begun, before) = (now(), sender.processor_time());
    let mut receiver = receive();
    let done = Arc::new(AtomicBool::new(false));
    let peak_of = |pid: u32| Peak::watch(pid, &done);
    let (sender_peak, receiver_peak) = (peak_of(sender.0.id()), peak_of(receiver.0.id()));
    // What it used can be read until it is waited for.
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(Pid::from_child(&receiver.0)), ended).expect("it is ours");
    let wall = begun.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    let figures = Figures {
        wall,
        sender: sender.processor_time() - before,
        receiver: receiver.processor_time(),
        sender_memory: sender_peak.end(),
        receiver_memory: receiver_peak.end(),
    };
    assert!(receiver.0.wait().expect("it is ours").success(), "the receiver failed");
    figures
}

/// The most anonymous memory that a process was seen to hold.
struct Peak(Arc<AtomicU64>, JoinHandle<()>);

impl Peak {
    fn watch(pid: u32, done: &Arc<AtomicBool>) -> Self {
        let (most, done) = (Arc::new(AtomicU64::new(0)), Arc::clone(done));
        let seen = Arc::clone(&most);
        let watching = std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                seen.fetch_max(memory(pid, "RssAnon").unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(SAMPLE);
            }
        });
        Self(most, watching)
    }

    fn end(self) -> u64 {
        self.1.join().expect("it does not panic");
        self.0.load(Ordering::Relaxed)
    }
}

/// Compares two files byte by byte.
fn same(sent: &std::path::Path, got: &std::path::Path) {
    let open = |path| File::open(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let (mut sent, mut arrived) = (open(sent), open(got));
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = sent.read(&mut one).expect("it can be read");
        arrived.read_exact(&mut other[..read]).unwrap_or_else(|error| panic!("{got:?}: {error}"));
        assert!(one[..read] == other[..read], "{got:?} differs");
        if read == 0 {
            assert_eq!(arrived.read(&mut other).expect("it can be read"), 0, "{got:?} is longer");
            return;
        }
    }
}
