//! What the registry costs per message, without sockets: `cargo bench -p sta-core --bench registry`.
//!
//! Allocations are counted too: a piece change must cause none but that of the message itself.

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use sta_core::engine::registry::{ConnId, Input, Output, Registry, RegistryConfig};
use sta_core::model::bitfield::PieceRange;
use sta_core::model::ids::{InfoHash, Site};
use sta_core::model::limits;
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;
use sta_core::wire::frame::{
    FrameDecoder, PREAMBLE, TO_TRACKER_LIMITS, TRACKER_READ_BYTES, encode,
};
use sta_core::wire::tracker::ToTracker;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const TORRENT: InfoHash = InfoHash([7; 20]);
const PIECES: u32 = 10_000;

fn main() {
    divan::main();
}

/// A registry with a source and `nodes` nodes without a piece, all in one torrent.
fn crowd(nodes: u64, persist: bool) -> Registry {
    let config = RegistryConfig { lease: limits::LEASE_DEFAULT, persist };
    let mut registry = Registry::new(config, Seed(1));
    (0..=nodes).for_each(|node| join(&mut registry, node));
    registry
}

fn join(registry: &mut Registry, node: u64) {
    let conn = ConnId(node);
    let [.., a, b, c] = node.to_be_bytes();
    let (remote, local) = (([10, a, b, c], 40_000).into(), ([10, 255, 255, 1], 6_081).into());
    give(registry, Input::Opened { conn, remote, local });
    let id = format!("node-{node}").parse().expect("a name");
    say(
        registry,
        conn,
        ToTracker::Hello { v: 1, node: id, port: 7_000, site: Site::default(), via: None },
    );
    let have = if node == 0 { vec![PieceRange(0, PIECES - 1)] } else { vec![] };
    say(registry, conn, ToTracker::Join { torrent: TORRENT, pieces: PIECES, have, want: 10 });
}

fn say(registry: &mut Registry, conn: ConnId, message: ToTracker) {
    give(registry, Input::Message { conn, message });
}

fn give(registry: &mut Registry, input: Input) {
    registry.handle(input, Time::ZERO);
    while let Some(output) = registry.poll_output() {
        divan::black_box::<Output>(output);
    }
}

/// The `n`-th piece change of `nodes` nodes that take turns.
fn have(n: u64, nodes: u64) -> (ConnId, ToTracker) {
    let piece = (n / nodes) as u32 * 7_919 % PIECES;
    let message = ToTracker::Have { torrent: TORRENT, p: vec![PieceRange::one(piece)] };
    (ConnId(1 + n % nodes), message)
}

#[divan::bench(args = [1_000, 10_000])]
fn piece_change(bencher: Bencher<'_, '_>, nodes: u64) {
    let mut registry = crowd(nodes, true);
    let mut n = 0;
    // Every node has its bits by now: the steady state.
    for _ in 0..nodes {
        let (conn, message) = have(n, nodes);
        say(&mut registry, conn, message);
        n += 1;
    }
    let next = || {
        n += 1;
        have(n, nodes)
    };
    bencher
        .counter(ItemsCount::new(1usize))
        .with_inputs(next)
        .bench_local_values(|(conn, message)| say(&mut registry, conn, message));
}

#[divan::bench]
fn piece_change_from_bytes(bencher: Bencher<'_, '_>) {
    const MESSAGES: u64 = 500;
    let mut registry = crowd(1_000, true);
    let mut bytes = PREAMBLE.to_vec();
    for n in 0..MESSAGES {
        encode(&have(n * 1_000, 1_000).1, 0, &mut bytes);
    }
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        let mut decoder = FrameDecoder::new(TO_TRACKER_LIMITS, TRACKER_READ_BYTES);
        decoder.space()[..bytes.len()].copy_from_slice(&bytes);
        decoder.filled(bytes.len());
        while let Ok(Some((message, _))) = decoder.next_message::<ToTracker>() {
            say(&mut registry, ConnId(1), message);
        }
    });
}

#[divan::bench(args = [100, 1_000, 10_000])]
fn join_and_leave(bencher: Bencher<'_, '_>, nodes: u64) {
    let mut registry = crowd(nodes, true);
    let mut newcomer = nodes;
    bencher.bench_local(|| {
        newcomer += 1;
        join(&mut registry, newcomer);
        // The oldest but one leaves, and its neighbours are looked after.
        let conn = ConnId(newcomer - nodes);
        say(&mut registry, conn, ToTracker::Leave { torrent: TORRENT });
        give(&mut registry, Input::Closed { conn });
    });
}

#[divan::bench(args = [1_000, 10_000], sample_count = 20, sample_size = 1)]
fn walk_of_the_graph(bencher: Bencher<'_, '_>, nodes: u64) {
    // One node has left, so that the walk is due, and nothing else is.
    let departed = || {
        let mut registry = crowd(nodes, false);
        say(&mut registry, ConnId(nodes / 2), ToTracker::Leave { torrent: TORRENT });
        registry
    };
    bencher.with_inputs(departed).bench_local_refs(|registry| {
        registry.handle(Input::Tick, Time::ZERO + limits::GRAPH_AUDIT_DELAY);
    });
}
