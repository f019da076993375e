use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::io::clock::RuntimeClock;
use crate::io::file_store::{Allocation, FileStore, SyncPolicy};
use crate::io::hash::PieceHasher;
use crate::io::observer::Nobody;
use crate::io::store::PieceStore;
use crate::model::bitfield::Bitfield;
use crate::model::config::{EngineConfig, NodeConfig};
use crate::model::files::Files;
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
    let files = Files::single("file".to_owned(), CONTENT.len() as u64).expect("a plain name");
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
