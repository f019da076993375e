//! How fast a piece is verified, on one core, as the disk workers and `maketorrent` do it:
//! `cargo bench -p sta-core --bench hashing`.

use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;
use sta_core::io::hash::PieceHasher;
use sta_core::io::sha1::Sha1;
use sta_core::model::layout::Layout;
use sta_core::model::metainfo::PieceHashes;

const PIECE: usize = 1 << 20;

fn main() {
    divan::main();
}

fn piece() -> Vec<u8> {
    (0..PIECE).map(|n| (n * n % 251) as u8).collect()
}

/// Hashes of `piece`, with BLAKE3 or without.
fn hashes(piece: &[u8], blake3: bool) -> PieceHashes {
    let mut hasher = PieceHasher::default();
    hasher.update(piece);
    let hash = hasher.finish();
    let blake3 = blake3.then(|| Bytes::copy_from_slice(&hash.blake3));
    PieceHashes::new(1, Bytes::copy_from_slice(&hash.sha1), blake3).expect("lengths fit")
}

/// A piece that comes in blocks of so many bytes.
fn verify(bencher: Bencher<'_, '_>, blake3: bool, block: usize) {
    let piece = piece();
    let hashes = hashes(&piece, blake3);
    let layout = Layout::new(PIECE as u64, PIECE as u32).expect("in bounds");
    let mut verifier = hashes.verifier(0, layout);
    bencher.counter(BytesCount::new(PIECE)).bench_local(|| {
        piece.chunks(block).for_each(|part| verifier.update(part));
        assert!(verifier.verdict(), "it is that piece");
    });
}

#[divan::bench(args = [16 << 10, 64 << 10, 1 << 20])]
fn verify_by_blake3(bencher: Bencher<'_, '_>, block: usize) {
    verify(bencher, true, block);
}

#[divan::bench(args = [16 << 10, 64 << 10, 1 << 20])]
fn verify_by_sha1(bencher: Bencher<'_, '_>, block: usize) {
    verify(bencher, false, block);
}

/// So many pieces at once, as the disk workers do it.
#[divan::bench(args = [5, 8, 12, 16])]
fn sha1_of_several(bencher: Bencher<'_, '_>, streams: usize) {
    let piece = piece();
    let mut hashers = vec![Sha1::default(); streams];
    bencher.counter(BytesCount::new(streams * PIECE)).bench_local(|| {
        Sha1::update_all(hashers.iter_mut().map(|hasher| (hasher, &*piece)));
        hashers.iter_mut().for_each(|hasher| _ = divan::black_box(hasher.finish()));
    });
}

/// Both hashes in one pass, through a buffer as `maketorrent` reads.
#[divan::bench(args = [64 << 10, 256 << 10])]
fn make_both(bencher: Bencher<'_, '_>, buffer: usize) {
    let piece = piece();
    let mut hasher = PieceHasher::default();
    bencher.counter(BytesCount::new(PIECE)).bench_local(|| {
        piece.chunks(buffer).for_each(|part| hasher.update(part));
        hasher.finish()
    });
}
