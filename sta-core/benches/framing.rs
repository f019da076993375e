//! What a message costs between bytes and value, without sockets: `cargo bench -p sta-core --bench framing`.
//!
//! A block of a mebibyte takes 300 µs to move: a header may cost a microsecond or two. Allocations are counted.

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sta_core::model::bitfield::PieceRange;
use sta_core::model::ids::InfoHash;
use sta_core::model::layout::Block;
use sta_core::wire::frame::{
    FrameDecoder, FrameLimits, PEER_LIMITS, PEER_READ_BYTES, PREAMBLE, TO_TRACKER_LIMITS,
    TRACKER_READ_BYTES, encode,
};
use sta_core::wire::peer::PeerMessage;
use sta_core::wire::tracker::ToTracker;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Bytes of the body: small, since they are not what is measured.
const BODY: u32 = 64;
const BLOCK: Block = Block { piece: 1_234, offset: 786_432, len: BODY };
/// Messages that are decoded in one go.
const MESSAGES: usize = 40;

const KINDS: [&str; 5] = ["get", "data", "have, one piece", "have, 64 ranges", "tracker: have"];

fn main() {
    divan::main();
}

fn ranges(count: u32) -> Vec<PieceRange> {
    (0..count).map(|n| PieceRange(n * 10, n * 10 + 3)).collect()
}

fn peer(kind: &str) -> (PeerMessage, u32) {
    match kind {
        "get" => (PeerMessage::Get { id: 5_678, block: BLOCK.into() }, 0),
        "data" => (PeerMessage::Data { id: 5_678, block: BLOCK.into() }, BODY),
        "have, one piece" => (PeerMessage::Have { p: vec![PieceRange::one(1_234)].into() }, 0),
        _ => (PeerMessage::Have { p: ranges(64).into() }, 0),
    }
}

fn to_tracker() -> ToTracker {
    ToTracker::Have { torrent: InfoHash([7; 20]), p: ranges(1) }
}

#[divan::bench(args = KINDS)]
fn encoding(bencher: Bencher<'_, '_>, kind: &str) {
    if kind.starts_with("tracker") {
        return encode_one(bencher, &to_tracker(), 0);
    }
    let (message, body) = peer(kind);
    encode_one(bencher, &message, body);
}

fn encode_one(bencher: Bencher<'_, '_>, message: &impl Serialize, body: u32) {
    let mut bytes = Vec::with_capacity(64 << 10);
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        bytes.clear();
        encode(divan::black_box(message), body, &mut bytes);
    });
}

#[divan::bench(args = KINDS)]
fn decoding(bencher: Bencher<'_, '_>, kind: &str) {
    let mut bytes = PREAMBLE.to_vec();
    for _ in 0..MESSAGES {
        if kind.starts_with("tracker") {
            encode(&to_tracker(), 0, &mut bytes);
        } else {
            let (message, body) = peer(kind);
            encode(&message, body, &mut bytes);
            bytes.resize(bytes.len() + body as usize, 0);
        }
    }
    if kind.starts_with("tracker") {
        decode_all::<ToTracker>(bencher, &bytes, TO_TRACKER_LIMITS, TRACKER_READ_BYTES);
    } else {
        decode_all::<PeerMessage>(bencher, &bytes, PEER_LIMITS, PEER_READ_BYTES);
    }
}

/// Feeds `bytes` as a socket would, as much at a time as there is space for.
fn decode_all<M: DeserializeOwned>(
    bencher: Bencher<'_, '_>,
    bytes: &[u8],
    limits: FrameLimits,
    read_bytes: usize,
) {
    let mut body = [0; BODY as usize];
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        let mut decoder = FrameDecoder::new(limits, read_bytes);
        let (mut rest, mut seen) = (bytes, 0);
        while seen < MESSAGES {
            match decoder.next_message::<M>().expect("it was encoded") {
                Some((message, len)) => {
                    divan::black_box(message);
                    seen += 1;
                    let held = decoder.take_body(&mut body[..len]);
                    rest = &rest[len - held..];
                }
                None => {
                    let space = decoder.space();
                    let (now, later) = rest.split_at(space.len().min(rest.len()));
                    space[..now.len()].copy_from_slice(now);
                    decoder.filled(now.len());
                    rest = later;
                }
            }
        }
    });
}
