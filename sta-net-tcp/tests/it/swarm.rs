//! Whole nodes and a whole tracker over loopback: files in one place arrive in others.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sta_core::io::clock::RuntimeClock;
use sta_core::io::file_store::{Allocation, FileStore, SyncPolicy};
use sta_core::io::observer::Nobody;
use sta_core::io::store::{Body, PieceStore, PieceVerifier, StoreError};
use sta_core::model::address::Address;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::config::{EngineConfig, NodeConfig, TrackerConfig};
use sta_core::model::files::{FileKind, Files};
use sta_core::model::layout::Layout;
use sta_core::model::leaves::LeafHashes;
use sta_core::model::limits;
use sta_core::model::metainfo::{About, Builder, Metainfo};
use sta_core::model::rng::Seed;
use sta_core::run::node::{self, NodeEnv, NodeHandle, TorrentSpec};
use sta_core::run::tracker::{self, TrackerEnv, TrackerHandle};
use sta_net_tcp::TcpTransport;
use tokio::sync::oneshot;

const PIECE: u32 = 64 << 10;

/// Bytes that differ everywhere and are the same every time.
fn content(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// The torrent of a single file called `file.bin`, with BLAKE3.
fn torrent(content: &[u8]) -> Arc<Metainfo> {
    let (mut sha1, mut blake3) = (Vec::new(), Vec::new());
    for piece in content.chunks(PIECE as usize) {
        let mut hasher = sta_core::io::hash::PieceHasher::default();
        hasher.update(piece);
        let hash = hasher.finish();
        sha1.extend(hash.sha1);
        blake3.extend(hash.blake3);
    }
    let files = Files::single("file.bin".to_owned(), content.len() as u64, FileKind::Plain)
        .expect("a plain name");
    let builder = Builder {
        files,
        piece_bytes: PIECE,
        sha1: Bytes::from(sha1),
        blake3: Some(Bytes::from(blake3)),
        trackers: Vec::new(),
        about: About::default(),
    };
    Arc::new(builder.build().expect("a sound torrent"))
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn tracker() -> (TrackerHandle, Address) {
    let env = TrackerEnv {
        transport: Arc::new(TcpTransport::default()),
        clock: Arc::new(RuntimeClock::start()),
        observer: Arc::new(Nobody),
        seed: Seed(1),
        store: None,
    };
    let (id, lease) = ("tracker".parse().expect("a plain name"), limits::LEASE_DEFAULT);
    let config = TrackerConfig { id, listen: loopback(), lease };
    let handle = tracker::start(env, config).await.expect("loopback has a free port");
    let address = handle.local_addr().into();
    (handle, address)
}

async fn node(name: &str) -> NodeHandle {
    let env = NodeEnv {
        transport: Arc::new(TcpTransport::default()),
        clock: Arc::new(RuntimeClock::start()),
        observer: Arc::new(Nobody),
        seed: Seed(name.len() as u64),
        disk_threads: 1,
    };
    let id = name.parse().expect("a plain name");
    let config = NodeConfig { id, listen: loopback(), engine: EngineConfig::default() };
    node::start(env, config).await.expect("loopback has a free port")
}

fn spec(
    torrent: &Metainfo,
    store: impl PieceStore,
    have: Bitfield,
    tracker: &Address,
) -> TorrentSpec {
    TorrentSpec {
        info_hash: torrent.info_hash(),
        trackers: vec![tracker.clone()],
        peers: Vec::new(),
        fetch: !have.is_full(),
        store: Arc::new(store),
        have,
    }
}

fn seeding(torrent: &Arc<Metainfo>, dir: &Path, tracker: &Address) -> TorrentSpec {
    let store = FileStore::seed(Arc::clone(torrent), dir).expect("the data is there");
    let have = Bitfield::full(store.layout().pieces());
    spec(torrent, store, have, tracker)
}

fn downloading(torrent: &Arc<Metainfo>, dir: &Path) -> FileStore {
    let (allocation, sync) = (Allocation::default(), SyncPolicy::default());
    FileStore::download(Arc::clone(torrent), dir, allocation, sync).expect("a new dir")
}

fn fetching(torrent: &Arc<Metainfo>, dir: &Path, tracker: &Address) -> TorrentSpec {
    let store = downloading(torrent, dir);
    let have = Bitfield::empty(store.layout().pieces());
    spec(torrent, store, have, tracker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_reaches_everybody_through_a_tracker() {
    let content = content(3_000_000);
    let torrent = torrent(&content);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| dir.path().join(name);
    std::fs::create_dir(place("source")).expect("a new folder");
    std::fs::write(place("source").join("file.bin"), &content).expect("there is room");
    let (_tracker, address) = tracker().await;
    let source = node("source").await;
    source.add(seeding(&torrent, &place("source"), &address));
    let mut nodes = Vec::new();
    for name in ["one", "two", "three"] {
        let node = node(name).await;
        node.add(fetching(&torrent, &place(name), &address));
        nodes.push((name, node));
    }
    for (name, node) in &nodes {
        node.finished(torrent.info_hash()).await.expect("it completes");
        let arrived = std::fs::read(place(name).join("file.bin")).expect("it has its name");
        assert!(arrived == content, "{name} has other bytes");
        let status = node.status().await.expect("it runs");
        assert!(status.torrents[0].finished && status.torrents[0].down >= content.len() as u64);
    }
    for (_, node) in &nodes {
        node.stop().await;
    }
    source.stop().await;
}

/// A store whose first write is held up until the test says so.
struct Held {
    inner: FileStore,
    /// Told when the first write has come.
    came: Mutex<Option<oneshot::Sender<()>>>,
    /// Closed when it may go on.
    go_on: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}

impl PieceStore for Held {
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        if let Some(came) = self.came.lock().expect("no panic").take() {
            came.send(()).expect("the test waits");
        }
        if let Some(go_on) = self.go_on.lock().expect("no panic").take() {
            go_on.recv().expect_err("it is closed");
        }
        self.inner.write(offset, data)
    }

    fn layout(&self) -> Layout {
        self.inner.layout()
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.inner.read(offset, buf)
    }

    fn body(&self, offset: u64, len: u32) -> Result<Body, StoreError> {
        self.inner.body(offset, len)
    }

    fn verifier(&self, piece: u32) -> Box<dyn PieceVerifier> {
        self.inner.verifier(piece)
    }

    fn leaf_hashes(&self, piece: u32) -> Option<LeafHashes> {
        self.inner.leaf_hashes(piece)
    }

    fn keep_leaf_hashes(&self, piece: u32, hashes: &LeafHashes) {
        self.inner.keep_leaf_hashes(piece, hashes);
    }

    fn finish(&self) -> Result<(), StoreError> {
        self.inner.finish()
    }
}

/// What was written for the first attempt could land on what the second had verified, and answers about the first were taken for
/// answers about the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_that_is_left_and_added_again_begins_when_the_disk_is_done_with_it() {
    let content = content(1_000_000);
    let torrent = torrent(&content);
    let info_hash = torrent.info_hash();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| dir.path().join(name);
    std::fs::create_dir(place("source")).expect("a new folder");
    std::fs::write(place("source").join("file.bin"), &content).expect("there is room");
    let (_tracker, address) = tracker().await;
    let (source, leech) = (node("source").await, node("leech").await);
    source.add(seeding(&torrent, &place("source"), &address));

    let (came, has_come) = oneshot::channel();
    let (go_on, held) = std::sync::mpsc::channel();
    let (came, go_on_when) = (Mutex::new(Some(came)), Mutex::new(Some(held)));
    let inner = downloading(&torrent, &place("first"));
    let store = Held { inner, came, go_on: go_on_when };
    leech.add(spec(&torrent, store, Bitfield::empty(torrent.layout().pieces()), &address));
    has_come.await.expect("a block comes");
    leech.remove(info_hash);
    leech.add(fetching(&torrent, &place("second"), &address));
    let status = leech.status().await.expect("it runs");
    assert!(status.torrents.is_empty(), "it has begun while the disk is at the first attempt");
    let finished = leech.finished(info_hash);
    drop(go_on);
    finished.await.expect("the second attempt completes");
    let arrived = std::fs::read(place("second").join("file.bin")).expect("it has its name");
    assert!(arrived == content, "other bytes");
    leech.stop().await;
    source.stop().await;
}
