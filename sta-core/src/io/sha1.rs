//! SHA-1, of one stream or of several at once.
//!
//! A stream is a chain of dependent steps, so one stream leaves most of a core idle, and BitTorrent's pieces are streams of their own. Here
//! each lane of a vector register holds the state of another stream (the "multi-buffer" hashing of Gueron and Krasnov, "Simultaneous hashing of
//! multiple messages", 2012). How much that gives is measured in `docs/PERFORMANCE.md`, "Hashes". The vectors are `pulp`'s, which finds
//! out what the processor has; a single stream is the `sha1` crate's.

use sha1::block_api::compress;

use crate::model::metainfo::SHA1_BYTES;

#[cfg(any(target_arch = "x86_64", test))]
mod lanes;

const BLOCK_BYTES: usize = 64;
/// FIPS 180-4, section 5.3.1.
const INITIAL: State = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];

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

    use lanes::advance;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha1::Digest as _;

    use super::lanes::advance;
    use super::{INITIAL, Sha1};

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
