use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::io::clock::RuntimeClock;
use crate::io::file_store::{Allocation, FileStore, SyncPolicy};
use crate::io::hash::PieceHasher;
use crate::io::observer::Nobody;
use crate::io::store::{Body, PieceStore, PieceVerifier, StoreError};
use crate::model::bitfield::Bitfield;
use crate::model::config::{EngineConfig, NodeConfig};
use crate::model::files::{FileKind, Files};
use crate::model::layout::Layout;
use crate::model::leaves::LeafHashes;
use crate::model::metainfo::{About, Builder, Metainfo};
use crate::model::rng::Seed;
use crate::run::fake::{Fake, nowhere};
use crate::run::node::{NodeEnv, NodeHandle, TorrentSpec, start};

const CONTENT: &[u8] = b"a file of one piece";

/// The torrent of a file called `file`.
fn torrent() -> Arc<Metainfo> {
    let mut hasher = PieceHasher::default();
    hasher.update(CONTENT);
    let hash = hasher.finish();
    let files = Files::single("file".to_owned(), CONTENT.len() as u64, FileKind::Plain)
        .expect("a plain name");
    let builder = Builder {
        files,
        piece_bytes: 16 << 10,
        sha1: hash.sha1.to_vec().into(),
        blake3: Some(hash.blake3.to_vec().into()),
        trackers: Vec::new(),
        about: About::default(),
    };
    Arc::new(builder.build().expect("a sound torrent"))
}

/// A download of `torrent` into `dir`, with one peer, from which nothing has come yet.
fn spec(torrent: &Arc<Metainfo>, dir: &TempDir) -> TorrentSpec {
    let (allocation, sync) = (Allocation::default(), SyncPolicy::default());
    let store = FileStore::download(Arc::clone(torrent), dir.path(), allocation, sync);
    let store = store.expect("nobody else is there");
    TorrentSpec {
        info_hash: torrent.info_hash(),
        trackers: Vec::new(),
        peers: vec![nowhere().into()],
        fetch: true,
        have: Bitfield::empty(store.layout().pieces()),
        store: Arc::new(store),
    }
}

async fn node(transport: Arc<Fake>) -> NodeHandle {
    let env = NodeEnv {
        transport,
        clock: Arc::new(RuntimeClock::start()),
        observer: Arc::new(Nobody),
        seed: Seed(1),
        disk_threads: 0,
    };
    let id = "node".parse().expect("a plain name");
    let config = NodeConfig { id, listen: nowhere(), engine: EngineConfig::default() };
    start(env, config).await.expect("it listens")
}

/// A node whose dial of its only peer is under way.
async fn dialling(dir: &TempDir) -> (NodeHandle, Arc<Fake>) {
    let transport = Fake::dialling(|| None);
    let node = node(Arc::clone(&transport)).await;
    node.add(spec(&torrent(), dir));
    sleep(Duration::from_millis(10)).await;
    assert_eq!(transport.hanging(), 1, "it dials");
    (node, transport)
}

/// Dials were among the goodbyes that are waited for.
#[tokio::test(start_paused = true)]
async fn who_stops_does_not_wait_for_dials() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (node, transport) = dialling(&dir).await;
    timeout(Duration::from_millis(10), node.stop())
        .await
        .expect("there is nobody to take leave of");
    assert_eq!(transport.hanging(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_a_torrent_dials_nobody_for_it_any_more() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (node, transport) = dialling(&dir).await;
    node.remove(torrent().info_hash());
    sleep(Duration::from_millis(10)).await;
    assert_eq!(transport.hanging(), 0, "it goes on");
    node.stop().await;
}

/// A store that has everything, and cannot be finished as often as there are failures.
struct Failing(FileStore, Mutex<Vec<StoreError>>);

impl PieceStore for Failing {
    fn layout(&self) -> Layout {
        self.0.layout()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        self.0.write(offset, data)
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.0.read(offset, buf)
    }

    fn body(&self, offset: u64, len: u32) -> Result<Body, StoreError> {
        self.0.body(offset, len)
    }

    fn verifier(&self, piece: u32) -> Box<dyn PieceVerifier> {
        self.0.verifier(piece)
    }

    fn leaf_hashes(&self, piece: u32) -> Option<LeafHashes> {
        self.0.leaf_hashes(piece)
    }

    fn keep_leaf_hashes(&self, piece: u32, hashes: &LeafHashes) {
        self.0.keep_leaf_hashes(piece, hashes);
    }

    fn finish(&self) -> Result<(), StoreError> {
        match self.1.lock().expect("no panic").pop() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

/// What becomes of a torrent that is all here, whose store fails so `failures` often, the last one first: for who waits for the next
/// word, and for who waits to the end.
async fn what_becomes(failures: Vec<StoreError>) -> [Result<(), StoreError>; 2] {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (torrent, node) = (torrent(), node(Fake::dialling(|| None)).await);
    let (allocation, sync) = (Allocation::default(), SyncPolicy::default());
    let store = FileStore::download(Arc::clone(&torrent), dir.path(), allocation, sync);
    let store = Arc::new(Failing(store.expect("nobody else is there"), Mutex::new(failures)));
    let have = Bitfield::full(store.layout().pieces());
    node.add(TorrentSpec { store, have, ..spec(&torrent, &tempfile::tempdir().expect("another")) });
    let hash = torrent.info_hash();
    let (soon, at_last) = tokio::join!(node.finished(hash), node.finished_at_last(hash));
    node.leave(hash).await;
    let again = FileStore::download(torrent, dir.path(), allocation, sync);
    assert!(again.is_ok(), "who has left it lets go of its files");
    [soon, at_last]
}

/// Who wanted to wait on was given the same failure until it was over.
#[tokio::test(start_paused = true)]
async fn a_failure_that_may_pass_is_waited_out_by_who_wants_to() {
    let failure = |passing, reason: &str| StoreError {
        path: "file".to_owned(),
        reason: reason.to_owned(),
        passing,
    };
    let full = failure(true, "no space");
    let passed = what_becomes(vec![full.clone(), full.clone()]).await;
    assert_eq!(passed, [Err(full.clone()), Ok(())]);
    let gone = failure(false, "gone");
    let failed = what_becomes(vec![gone.clone(), full.clone()]).await;
    assert_eq!(failed, [Err(full), Err(gone)]);
}
