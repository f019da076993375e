//! SHA-1, of one stream or of several at once.
//!
//! A stream is a chain of dependent steps, so one stream leaves most of a core idle, and BitTorrent's pieces are streams of their own. Here
//! each lane of a vector register holds the state of another stream (the "multi-buffer" hashing of Gueron and Krasnov, "Simultaneous hashing of
//! multiple messages", 2012). How much that gives is measured in `docs/PERFORMANCE.md`, "Hashes". The vectors are `pulp`'s, which finds
//! out what the processor has; a single stream is the `sha1` crate's.

use std::array;

use pulp::{Simd, WithSimd};
use sha1::block_api::compress;

use crate::model::metainfo::SHA1_BYTES;

const BLOCK_BYTES: usize = 64;
/// FIPS 180-4, section 5.3.1.
const INITIAL: State = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
/// FIPS 180-4, section 4.2.1: of each twenty steps.
const CONSTANTS: [u32; 4] = [0x5A82_7999, 0x6ED9_EBA1, 0x8F1B_BCDC, 0xCA62_C1D6];

type State = [u32; 5];
type Block = [u8; BLOCK_BYTES];

/// A stream that is hashed.
#[derive(Clone, Debug)]
pub struct Sha1 {
    state: State,
    /// Bytes given.
    len: u64,
    /// The first `len % 64` bytes of a block that is not whole yet.
    begun: Block,
}

impl Default for Sha1 {
    fn default() -> Self {
        Self { state: INITIAL, len: 0, begun: [0; BLOCK_BYTES] }
    }
}

impl Sha1 {
    /// Fewer streams than these are hashed one after the other, also by [`Self::update_all`].
    pub const TOGETHER_MIN: usize = 5;
    /// No more streams than these are hashed at the same time.
    pub const TOGETHER_MAX: usize = 16;

    /// The next bytes of the stream.
    pub fn update(&mut self, data: &[u8]) {
        let (state, blocks) = self.take(data);
        compress(state, blocks);
    }

    /// The next bytes of several streams: sooner done than one after the other, if the streams are many and their parts of one length.
    pub fn update_all<'a>(streams: impl IntoIterator<Item = (&'a mut Self, &'a [u8])>) {
        let mut lanes: Vec<_> =
            streams.into_iter().map(|(stream, data)| stream.take(data)).collect();
        loop {
            lanes.retain(|(_, blocks)| !blocks.is_empty());
            if !compress_together(&mut lanes) {
                break;
            }
        }
        lanes.into_iter().for_each(|(state, blocks)| compress(state, blocks));
    }

    /// The hash of the bytes given. Ready for the first byte of another stream afterwards.
    pub fn finish(&mut self) -> [u8; SHA1_BYTES] {
        let mut end = [0; 2 * BLOCK_BYTES];
        let begun = self.begun_bytes();
        end[..begun].copy_from_slice(&self.begun[..begun]);
        end[begun] = 0x80;
        let blocks = if begun + 1 + size_of::<u64>() <= BLOCK_BYTES { 1 } else { 2 };
        let end = &mut end[..blocks * BLOCK_BYTES];
        if let Some(bits) = end.last_chunk_mut() {
            *bits = (self.len * 8).to_be_bytes();
        }
        compress(&mut self.state, end.as_chunks().0);
        let mut hash = [0; SHA1_BYTES];
        hash.as_chunks_mut().0.iter_mut().zip(self.state).for_each(|(to, word)| {
            *to = word.to_be_bytes();
        });
        *self = Self::default();
        hash
    }

    /// Counts `data` in and keeps its end; the whole blocks of it are still to be compressed, into the state.
    fn take<'a>(&'a mut self, mut data: &'a [u8]) -> (&'a mut State, &'a [Block]) {
        let begun = self.begun_bytes();
        self.len += data.len() as u64;
        if begun > 0 {
            let (now, later) = data.split_at(data.len().min(BLOCK_BYTES - begun));
            self.begun[begun..begun + now.len()].copy_from_slice(now);
            if begun + now.len() == BLOCK_BYTES {
                compress(&mut self.state, &[self.begun]);
            }
            data = later;
        }
        let (blocks, rest) = data.as_chunks();
        self.begun[..rest.len()].copy_from_slice(rest);
        (&mut self.state, blocks)
    }

    fn begun_bytes(&self) -> usize {
        (self.len % BLOCK_BYTES as u64) as usize
    }
}

/// Takes as many blocks from as many lanes as fit together, in the widest vectors that would be more than half full: below that, one
/// stream after the other is faster. Nothing is taken, and `false` said, if no vectors are.
#[cfg(target_arch = "x86_64")]
fn compress_together(lanes: &mut [(&mut State, &[Block])]) -> bool {
    use pulp::x86::{V3, V4};
    if let Some(simd) = V4::try_new().filter(|_| lanes.len() > 8) {
        advance::<_, { Sha1::TOGETHER_MAX }>(simd, lanes);
    } else if let Some(simd) = V3::try_new().filter(|_| lanes.len() >= Sha1::TOGETHER_MIN) {
        advance::<_, 8>(simd, lanes);
    } else {
        return false;
    }
    true
}

/// Other processors have vectors of four lanes, which are no faster than their instructions for one stream.
#[cfg(not(target_arch = "x86_64"))]
fn compress_together(_: &mut [(&mut State, &[Block])]) -> bool {
    false
}

/// Takes as many blocks as each of the first `L` lanes has. Where there are fewer lanes, the first one fills the others' places.
#[cfg(any(target_arch = "x86_64", test))]
fn advance<S: Simd, const L: usize>(simd: S, lanes: &mut [(&mut State, &[Block])]) {
    let count = lanes.len().min(L);
    let lanes = &mut lanes[..count];
    let len = lanes.iter().map(|(_, blocks)| blocks.len()).min().unwrap_or(0);
    let place = |lane: usize| if lane < count { lane } else { 0 };
    let states = array::from_fn(|lane| *lanes[place(lane)].0);
    let blocks = array::from_fn(|lane| &lanes[place(lane)].1[..len]);
    let states = simd.vectorize(Together::<'_, L> { states, blocks });
    for ((state, blocks), new) in lanes.iter_mut().zip(states) {
        **state = new;
        *blocks = &blocks[len..];
    }
}

/// Compresses the blocks of `L` lanes, of which each has as many.
struct Together<'a, const L: usize> {
    states: [State; L],
    blocks: [&'a [Block]; L],
}

/// Begins where a vector can be read at once.
#[repr(align(64))]
struct Aligned<T>(T);

impl<const L: usize> WithSimd for Together<'_, L> {
    type Output = [State; L];

    // In here so that it becomes code for the processor that `S` stands for, as everything that it calls.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let vector = |words: &[u32; L]| S::as_simd_u32s(words).0[0];
        let add = |a, b| simd.add_u32s(a, b);
        let xor = |a, b| simd.xor_u32s(a, b);
        let rotate = |x, by: u32| {
            let left = simd.wrapping_dyn_shl_u32s(x, simd.splat_u32s(by));
            simd.or_u32s(left, simd.wrapping_dyn_shr_u32s(x, simd.splat_u32s(32 - by)))
        };
        let count = self.blocks[0].len();
        let blocks = self.blocks.map(|blocks| &blocks[..count]);
        let mut state: [S::u32s; 5] = array::from_fn(|word| {
            vector(&Aligned::<[u32; L]>(array::from_fn(|lane| self.states[lane][word])).0)
        });
        for at in 0..count {
            let mut words = Aligned([[0; L]; 16]);
            for (lane, blocks) in blocks.iter().enumerate() {
                for (row, word) in words.0.iter_mut().zip(blocks[at].as_chunks().0) {
                    row[lane] = u32::from_be_bytes(*word);
                }
            }
            let mut w: [S::u32s; 16] = array::from_fn(|t| vector(&words.0[t]));
            let [mut a, mut b, mut c, mut d, mut e] = state;
            // Written out, so that each step knows which words it takes: a loop of eighty is not unrolled, and takes half as long again.
            macro_rules! steps {
                ($($t:literal)*) => {$({
                    const T: usize = $t;
                    if T >= 16 {
                        let odd = xor(w[(T - 3) % 16], w[(T - 8) % 16]);
                        w[T % 16] = rotate(xor(odd, xor(w[(T - 14) % 16], w[T % 16])), 1);
                    }
                    // `Ch`, `Parity` and `Maj` of FIPS 180-4, section 4.1.1, the first and last in shorter forms.
                    let f = match T / 20 {
                        0 => xor(d, simd.and_u32s(b, xor(c, d))),
                        2 => xor(simd.and_u32s(b, c), simd.and_u32s(d, xor(b, c))),
                        _ => xor(b, xor(c, d)),
                    };
                    let constant = simd.splat_u32s(CONSTANTS[T / 20]);
                    let sum = add(add(rotate(a, 5), f), add(add(e, constant), w[T % 16]));
                    (a, b, c, d, e) = (sum, a, rotate(b, 30), c, d);
                })*};
            }
            steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
            steps!(20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
            steps!(40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
            steps!(60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
            let [va, vb, vc, vd, ve] = state;
            state = [add(va, a), add(vb, b), add(vc, c), add(vd, d), add(ve, e)];
        }
        let mut states = [[0; 5]; L];
        for (word, vector) in state.into_iter().enumerate() {
            let mut lanes = Aligned([0; L]);
            S::as_mut_simd_u32s(&mut lanes.0).0[0] = vector;
            states.iter_mut().zip(lanes.0).for_each(|(state, lane)| state[word] = lane);
        }
        states
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha1::Digest as _;

    use super::{INITIAL, Sha1, advance};

    fn expected(data: &[u8]) -> [u8; 20] {
        sha1::Sha1::digest(data).into()
    }

    fn bytes(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|n| (n * 7 + n / 251 + seed * 13) as u8).collect()
    }

    #[test]
    fn a_stream_of_any_length_in_any_parts_has_the_hash_of_the_standard() {
        let mut hasher = Sha1::default();
        for len in (0..200).chain([1_000, 4_096, 100_001]) {
            let data = bytes(len, len);
            for part in [1, 63, 64, 65, 1_000, usize::MAX] {
                data.chunks(part.min(len.max(1))).for_each(|part| hasher.update(part));
                assert_eq!(hasher.finish(), expected(&data), "{len} bytes by {part}");
            }
        }
    }

    #[test]
    fn streams_together_have_the_hashes_that_they_have_alone() {
        for count in 0..=40 {
            let data: Vec<_> = (0..count).map(|n| bytes(64 * 3, n)).collect();
            let mut streams = vec![Sha1::default(); count];
            Sha1::update_all(
                streams.iter_mut().zip(&data).map(|(stream, data)| (stream, &data[..])),
            );
            for (stream, data) in streams.iter_mut().zip(&data) {
                assert_eq!(stream.finish(), expected(data), "{count} streams");
            }
        }
    }

    /// The lanes' code for a processor without vectors, which runs everywhere.
    #[test]
    fn one_lane_is_a_stream() {
        let data = bytes(640, 1);
        let mut state = INITIAL;
        let mut lanes = [(&mut state, data.as_chunks().0)];
        advance::<_, 1>(pulp::Scalar::new(), &mut lanes);
        assert!(lanes[0].1.is_empty());
        let mut stream = Sha1 { state, len: 640, ..Sha1::default() };
        assert_eq!(stream.finish(), expected(&data));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Parts of any length for any of the streams, so that each is somewhere inside a block and has another number of blocks.
        #[test]
        fn streams_that_go_at_different_speeds(
            rounds in prop::collection::vec(prop::collection::vec(0..700usize, 1..24), 1..6),
        ) {
            let mut streams = vec![Sha1::default(); 24];
            let mut given = vec![Vec::new(); 24];
            for lens in rounds {
                let parts: Vec<_> = lens.iter().map(|len| bytes(*len, *len)).collect();
                Sha1::update_all(streams.iter_mut().zip(&parts).map(|(stream, part)| (stream, &part[..])));
                given.iter_mut().zip(&parts).for_each(|(given, part)| given.extend(part));
            }
            for (stream, given) in streams.iter_mut().zip(&given) {
                prop_assert_eq!(stream.finish(), expected(given));
            }
        }
    }
}
