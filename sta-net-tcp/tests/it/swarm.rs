//! Whole nodes and a whole tracker over loopback: files in one place arrive in others.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sta_core::io::clock::RuntimeClock;
use sta_core::io::file_store::{Allocation, FileStore, SyncPolicy};
use sta_core::io::observer::Nobody;
use sta_core::io::store::PieceStore;
use sta_core::model::address::Address;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::config::{EngineConfig, NodeConfig, TrackerConfig};
use sta_core::model::files::Files;
use sta_core::model::limits;
use sta_core::model::metainfo::{About, Builder, Metainfo};
use sta_core::model::rng::Seed;
use sta_core::run::node::{self, NodeEnv, NodeHandle, TorrentSpec};
use sta_core::run::tracker::{self, TrackerEnv, TrackerHandle};
use sta_net_tcp::TcpTransport;

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
    let files = Files::single("file.bin".to_owned(), content.len() as u64).expect("a plain name");
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

fn spec(torrent: &Metainfo, store: FileStore, have: Bitfield, tracker: &Address) -> TorrentSpec {
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

fn fetching(torrent: &Arc<Metainfo>, dir: &Path, tracker: &Address) -> TorrentSpec {
    let (allocation, sync) = (Allocation::default(), SyncPolicy::default());
    let store = FileStore::download(Arc::clone(torrent), dir, allocation, sync).expect("a new dir");
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
