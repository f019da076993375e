//! The tracker over real TCP: its shell in this process, how much memory strangers cost it (`memory.rs`), and the program
//! `sta-tracker` (`program.rs`).

mod memory;
mod program;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sta_bin::tracker::LeaseDatabase;
use sta_core::io::clock::{Clock, RuntimeClock};
use sta_core::io::lease_store::LeaseStore;
use sta_core::io::observer::Nobody;
use sta_core::io::transport::{Batch, Connection, Transport as _};
use sta_core::model::address::Address;
use sta_core::model::bitfield::PieceRange;
use sta_core::model::config::TrackerConfig;
use sta_core::model::ids::{InfoHash, Site};
use sta_core::model::limits;
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;
use sta_core::run::ask::AskError;
use sta_core::run::frames::{ReadError, read_messages};
use sta_core::run::status::status;
use sta_core::run::tracker::{TrackerEnv, TrackerError, TrackerHandle, start};
use sta_core::wire::frame::{FROM_TRACKER_LIMITS, FrameDecoder, PREAMBLE, encode};
use sta_core::wire::tracker::{FromTracker, PeerAddress, StatusRow, ToTracker};
use sta_net_tcp::TcpTransport;

const A: InfoHash = InfoHash([0xa; 20]);

/// A clock that a test can put forward.
struct TestClock(RuntimeClock, AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Time {
        self.0.now() + Duration::from_secs(self.1.load(Ordering::Relaxed))
    }
}

async fn tracker_at(
    at: &str,
    store: Option<Arc<dyn LeaseStore>>,
) -> Result<TrackerHandle, TrackerError> {
    tracker_by(Arc::new(RuntimeClock::start()), at, store).await
}

async fn tracker_by(
    clock: Arc<dyn Clock>,
    at: &str,
    store: Option<Arc<dyn LeaseStore>>,
) -> Result<TrackerHandle, TrackerError> {
    let env = TrackerEnv {
        transport: Arc::new(TcpTransport::new()),
        clock,
        observer: Arc::new(Nobody),
        seed: Seed(1),
        store,
    };
    let id = "tracker".parse().expect("a name");
    let listen = at.parse().expect("an address");
    start(env, TrackerConfig { id, listen, lease: limits::LEASE_DEFAULT }).await
}

async fn tracker(store: Option<Arc<dyn LeaseStore>>) -> TrackerHandle {
    tracker_at("127.0.0.1:0", store).await.expect("started")
}

/// A client that says what it is told to say.
struct Client {
    connection: Connection,
    decoder: FrameDecoder,
    heard: Vec<FromTracker>,
}

impl Client {
    async fn connect(to: SocketAddr) -> Self {
        let connection = TcpTransport::new().connect(&to.into()).await.expect("connected");
        let decoder = FrameDecoder::new(FROM_TRACKER_LIMITS, 4_096);
        let mut client = Self { connection, decoder, heard: Vec::new() };
        client.send(PREAMBLE).await;
        client
    }

    async fn hello(to: SocketAddr, name: &str) -> Self {
        let mut client = Self::connect(to).await;
        let node = name.parse().expect("a name");
        client
            .say(&ToTracker::Hello { v: 1, node, port: 7000, site: Site::default(), via: None })
            .await;
        assert_eq!(client.hear().await, FromTracker::Welcome { v: 1, lease: 60 });
        client
    }

    /// Says hello and joins [`A`]; `told` peers are to come.
    async fn join(
        to: SocketAddr,
        name: &str,
        have: &[PieceRange],
        told: bool,
    ) -> (Self, Vec<PeerAddress>) {
        let mut client = Self::hello(to, name).await;
        client.say(&ToTracker::Join { torrent: A, pieces: 9, have: have.to_vec(), want: 10 }).await;
        let peers = if told { client.peers().await } else { Vec::new() };
        (client, peers)
    }

    async fn send(&mut self, bytes: &[u8]) {
        let mut batch = Batch { heads: bytes.to_vec(), ..Batch::default() };
        self.connection.send.send(&mut batch).await.expect("sent");
    }

    async fn say(&mut self, message: &ToTracker) {
        let mut bytes = Vec::new();
        encode(message, 0, &mut bytes);
        self.send(&bytes).await;
    }

    async fn try_hear(&mut self) -> Result<FromTracker, ReadError> {
        if self.heard.is_empty() {
            self.heard = read_messages(self.connection.recv.as_mut(), &mut self.decoder).await?;
            self.heard.reverse();
        }
        Ok(self.heard.pop().expect("a read gives at least one"))
    }

    async fn hear(&mut self) -> FromTracker {
        self.try_hear().await.expect("the tracker speaks")
    }

    async fn peers(&mut self) -> Vec<PeerAddress> {
        match self.hear().await {
            FromTracker::Peers { torrent: A, peers } => peers,
            other => panic!("{other:?} instead of peers"),
        }
    }

    /// Once this has returned the tracker has taken everything said before.
    async fn settle(&mut self) {
        self.say(&ToTracker::Ping).await;
        assert_eq!(self.hear().await, FromTracker::Pong);
    }

    /// Reads until the tracker hangs up.
    async fn is_dropped(&mut self) -> ReadError {
        loop {
            if let Err(why) = self.try_hear().await {
                return why;
            }
        }
    }
}

/// One of many torrents.
fn numbered(i: u32) -> InfoHash {
    let mut hash = [0; 20];
    hash[..4].copy_from_slice(&i.to_be_bytes());
    InfoHash(hash)
}

async fn rows(at: SocketAddr) -> Vec<StatusRow> {
    status(&TcpTransport::new(), &Address::from(at), None).await.expect("answered")
}

const ALL: &[PieceRange] = &[PieceRange(0, 8)];

/// Runs `story` on a runtime, and fails if it is stuck.
fn run(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(Duration::from_secs(60), story).await.expect("not stuck");
    });
}

#[test]
fn nodes_register_and_are_told_of_each_other() {
    run(async {
        let tracker = tracker(None).await;
        let at = tracker.local_addr();
        let (mut seed, _) = Client::join(at, "seed", ALL, false).await;
        seed.settle().await;
        let (mut leech, peers) = Client::join(at, "leech", &[], true).await;
        assert_eq!(peers.len(), 1);
        assert_eq!(
            (peers[0].node.as_str(), peers[0].addr.to_string()),
            ("seed", "127.0.0.1:7000".into())
        );
        leech.say(&ToTracker::Have { torrent: A, p: vec![PieceRange(2, 4)] }).await;
        leech.say(&ToTracker::Stats { torrent: A, up: 1, down: 2, event: None }).await;
        leech.settle().await;
        let seen: Vec<_> =
            rows(at).await.into_iter().map(|r| (r.node.to_string(), r.have, r.down)).collect();
        assert_eq!(seen, [("seed".into(), 9, 0), ("leech".into(), 3, 2)]);
        leech.say(&ToTracker::Leave { torrent: A }).await;
        leech.settle().await;
        assert_eq!(rows(at).await.len(), 1);
        tracker.stop().await;
        assert!(matches!(seed.is_dropped().await, ReadError::End | ReadError::Broken(_)));
    });
}

#[test]
fn one_tracker_serves_both_families() {
    run(async {
        let tracker = tracker_at("[::]:0", None).await.expect("started");
        let port = tracker.local_addr().port();
        let (mut four, _) = Client::join(([127, 0, 0, 1], port).into(), "four", ALL, false).await;
        four.settle().await;
        if !tracker.local_addr().is_ipv6() {
            eprintln!("skipped: this machine has no IPv6");
            return;
        }
        let six: SocketAddr = format!("[::1]:{port}").parse().expect("an address");
        let (_six, peers) = Client::join(six, "six", &[], true).await;
        assert_eq!(peers[0].addr.to_string(), "127.0.0.1:7000", "not a mapped address");
        let seen: Vec<_> = rows(six).await.into_iter().map(|r| r.addr.to_string()).collect();
        assert_eq!(seen, ["127.0.0.1:7000", "[::1]:7000"]);
    });
}

#[test]
fn a_restarted_tracker_knows_its_nodes_and_one_with_amnesia_does_not() {
    run(async {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let database = || -> Option<Arc<dyn LeaseStore>> {
            Some(Arc::new(LeaseDatabase::open(dir.path()).expect("opened")))
        };
        let first = tracker(database()).await;
        let (mut seed, _) = Client::join(first.local_addr(), "seed", ALL, false).await;
        seed.settle().await;
        let before = rows(first.local_addr()).await;
        first.stop().await;

        let second = tracker(database()).await;
        let after = rows(second.local_addr()).await;
        let offline = before.into_iter().map(|row| StatusRow { online: false, ..row });
        assert_eq!(after, offline.collect::<Vec<_>>());
        let (_leech, peers) = Client::join(second.local_addr(), "leech", &[], true).await;
        assert_eq!(peers[0].node.as_str(), "seed", "a newcomer finds its peers at once");
        second.stop().await;

        let amnesiac = tracker(None).await;
        assert_eq!(rows(amnesiac.local_addr()).await, []);
    });
}

#[test]
fn who_speaks_garbage_is_dropped_and_the_others_do_not_notice() {
    run(async {
        let tracker = tracker(None).await;
        let at = tracker.local_addr();
        let (mut honest, _) = Client::join(at, "honest", ALL, false).await;
        let mut long = Vec::from(u32::MAX.to_be_bytes());
        long.extend(0u32.to_be_bytes());
        let frame = |text: &str| {
            let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
            bytes.extend(0u32.to_be_bytes());
            bytes.extend(text.as_bytes());
            bytes
        };
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let table = [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            long,
            frame("{"),
            frame("[]"),
            frame(r#"{"t":"hello"}"#),
            frame(r#"{"t":"hello","v":1,"node":"a/../b","port":1}"#),
            frame(&format!(r#"{{"t":"ping","x":{deep}}}"#)),
            vec![0; 8],
        ];
        for bytes in table {
            let mut client = Client::connect(at).await;
            client.send(&bytes).await;
            client.is_dropped().await;
        }
        honest.settle().await;
        assert_eq!(rows(at).await.len(), 1);
    });
}

#[test]
fn a_client_may_speak_byte_by_byte() {
    run(async {
        let tracker = tracker(None).await;
        let at = tracker.local_addr();
        let mut slow = Client::connect(at).await;
        let node = "slow".parse().expect("a name");
        let messages = [
            ToTracker::Hello { v: 1, node, port: 7000, site: Site::default(), via: None },
            ToTracker::Join { torrent: A, pieces: 9, have: ALL.to_vec(), want: 10 },
            ToTracker::Ping,
        ];
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| encode(message, 0, &mut bytes));
        for byte in bytes {
            slow.send(&[byte]).await;
            // So that the tracker reads it alone.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(slow.hear().await, FromTracker::Welcome { v: 1, lease: 60 });
        assert_eq!(slow.hear().await, FromTracker::Pong);
        assert_eq!(rows(at).await[0].have, 9);
    });
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_the_others_do_not_notice() {
    run(async {
        let tracker = tracker(None).await;
        let at = tracker.local_addr();
        let (mut honest, _) = Client::join(at, "honest", ALL, false).await;
        let mut deaf = Client::connect(at).await;
        let mut many = Client::hello(at, "many").await;
        for i in 0..2_000u32 {
            let torrent = numbered(i);
            many.say(&ToTracker::Join { torrent, pieces: 1, have: vec![], want: 0 }).await;
        }
        many.settle().await;
        let mut asks = Vec::new();
        encode(&ToTracker::Status { torrent: None }, 0, &mut asks);
        // Each question is answered with hundreds of kilobytes, which nobody takes from the socket.
        loop {
            let mut batch = Batch { heads: asks.clone(), ..Batch::default() };
            if deaf.connection.send.send(&mut batch).await.is_err() {
                break;
            }
            honest.settle().await;
        }
    });
}

/// What the tracker has to say to a node in many torrents comes all at once, before the node could have read any of it.
#[test]
fn a_client_in_many_torrents_is_told_of_peers_in_all_of_them_at_once() {
    const TORRENTS: u32 = 500;
    run(async {
        let tracker = tracker(None).await;
        let at = tracker.local_addr();
        let mut joins = Vec::new();
        for i in 0..TORRENTS {
            let torrent = numbered(i);
            encode(&ToTracker::Join { torrent, pieces: 1, have: vec![], want: 10 }, 0, &mut joins);
        }
        let mut first = Client::hello(at, "first").await;
        first.send(&joins).await;
        first.settle().await;
        let mut second = Client::hello(at, "second").await;
        second.send(&joins).await;
        for i in 0..TORRENTS {
            match second.hear().await {
                FromTracker::Peers { torrent, peers } => {
                    assert_eq!((torrent, peers.len()), (numbered(i), 1));
                }
                other => panic!("{other:?} instead of peers"),
            }
        }
    });
}

#[test]
fn who_falls_silent_is_forgotten_and_dropped() {
    run(async {
        let clock = Arc::new(TestClock(RuntimeClock::start(), AtomicU64::new(0)));
        let tracker = tracker_by(clock.clone(), "127.0.0.1:0", None).await.expect("started");
        let at = tracker.local_addr();
        let (mut silent, _) = Client::join(at, "silent", ALL, false).await;
        silent.settle().await;
        clock.1.store(59, Ordering::Relaxed);
        let (mut other, peers) = Client::join(at, "other", &[], true).await;
        assert_eq!(peers.len(), 1, "its lease still runs");
        other.settle().await;
        clock.1.store(61, Ordering::Relaxed);
        other.settle().await;
        silent.is_dropped().await;
        other.settle().await;
        let left: Vec<_> = rows(at).await.into_iter().map(|row| row.node.to_string()).collect();
        assert_eq!(left, ["other"]);
    });
}

#[test]
fn what_is_no_tracker_is_told_from_one() {
    run(async {
        let transport = TcpTransport::new();
        let mut listener = transport.listen(([127, 0, 0, 1], 0).into()).await.expect("listens");
        let at = Address::from(listener.local_addr());
        let impostor = async {
            let mut connection = listener.accept().await.expect("accepted");
            let mut batch = Batch { heads: b"220 mail ready\r\n".to_vec(), ..Batch::default() };
            connection.send.send(&mut batch).await.expect("sent");
            connection
        };
        let (answer, _kept) = tokio::join!(status(&transport, &at, None), impostor);
        let error = answer.expect_err("no tracker");
        assert!(matches!(error, AskError::Lost { .. }), "{error}");
        assert!(error.to_string().ends_with("it does not speak STA/1"), "{error}");
        drop(listener);
        let error = status(&transport, &at, None).await.expect_err("nobody");
        assert!(matches!(error, AskError::Connect { .. }), "{error}");
    });
}

#[test]
fn a_port_in_use_is_an_error() {
    run(async {
        let first = tracker(None).await;
        let at = first.local_addr().to_string();
        let error = tracker_at(&at, None).await.expect_err("in use");
        assert!(error.to_string().starts_with(&format!("cannot listen at {at}: ")), "{error}");
    });
}
