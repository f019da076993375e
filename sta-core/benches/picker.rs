//! What it costs to choose a piece and to learn who has which: `cargo bench -p sta-core --bench picker`.

use divan::Bencher;
use divan::counter::ItemsCount;
use rand::Rng as _;
use sta_core::engine::picker::Picker;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::rng::{Rng, Seed};

const PIECES: [u32; 2] = [1_000, 10_000];
/// Peers that have told what they have, each about half.
const PEERS: usize = 10;

fn main() {
    divan::main();
}

/// A picker that knows ten peers with half of the pieces each, and one of them.
fn half_full(pieces: u32) -> (Picker, Bitfield) {
    let mut rng = Seed(1).stream("picker bench");
    let mut picker = Picker::new(&Bitfield::empty(pieces), &mut rng);
    let mut have = Bitfield::empty(pieces);
    for _ in 0..PEERS {
        have = half(pieces, &mut rng);
        have.iter().for_each(|piece| picker.gained(piece));
    }
    (picker, have)
}

fn half(pieces: u32, rng: &mut Rng) -> Bitfield {
    let mut have = Bitfield::empty(pieces);
    for piece in 0..pieces {
        if rng.random() {
            have.insert(piece);
        }
    }
    have
}

#[divan::bench(args = PIECES)]
fn pick_from_half(bencher: Bencher<'_, '_>, pieces: u32) {
    let (picker, have) = half_full(pieces);
    bencher.bench_local(|| picker.pick(divan::black_box(&have), |_| true));
}

#[divan::bench(args = PIECES)]
fn pick_from_all(bencher: Bencher<'_, '_>, pieces: u32) {
    let (picker, _) = half_full(pieces);
    let all = Bitfield::full(pieces);
    bencher.bench_local(|| picker.pick(divan::black_box(&all), |_| true));
}

/// All pieces of a torrent, one pick each, as one download does.
#[divan::bench(args = PIECES, sample_count = 10)]
fn pick_all_one_by_one(bencher: Bencher<'_, '_>, pieces: u32) {
    let all = Bitfield::full(pieces);
    bencher.counter(ItemsCount::new(pieces)).with_inputs(|| half_full(pieces).0).bench_local_refs(
        |picker| {
            while let Some(piece) = picker.pick(&all, |_| true) {
                picker.close(piece);
            }
        },
    );
}

#[divan::bench(args = PIECES)]
fn have_of_one_piece(bencher: Bencher<'_, '_>, pieces: u32) {
    let (mut picker, _) = half_full(pieces);
    let mut piece = 0;
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        piece = (piece + 7_919) % pieces;
        picker.gained(piece);
    });
}

/// A peer says all that it has, or goes.
#[divan::bench(args = PIECES)]
fn a_peer_comes_and_goes(bencher: Bencher<'_, '_>, pieces: u32) {
    let (mut picker, have) = half_full(pieces);
    bencher.bench_local(|| {
        have.iter().for_each(|piece| picker.gained(piece));
        picker.lost(have.iter());
    });
}
