//! The bytes of a torrent in a world: computed from (seed, offset), never stored.
//!
//! Every piece is a window on one stretch of noise, not much longer than a piece, so that sending copies nothing, comparing
//! reads memory that is near, and a content of any size costs the same. Invariant: no two of `STARTS` pieces are the
//! same, and no block of 16 KiB is the same as one that was meant for elsewhere in 16,384 pieces around it.

use bytes::Bytes;
use sta_core::model::ids::InfoHash;
use sta_core::model::layout::Layout;

/// Places in the noise where pieces begin.
const STARTS: u32 = 1 << 18;
/// From one piece's place to the next one's: odd, so that all places are visited before one is used again.
const STRIDE: u32 = 7_919;

/// The golden ratio in 64 bits: steps of it visit every number.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const WORD: usize = 8;

/// One content.
#[derive(Debug)]
pub struct Content {
    layout: Layout,
    info_hash: InfoHash,
    noise: Bytes,
}

impl Content {
    /// The content that `seed` and `layout` say.
    #[must_use]
    pub fn new(name: &str, seed: u64, layout: Layout) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("STA simulated torrent");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&layout.total().to_le_bytes());
        hasher.update(&layout.piece_bytes().to_le_bytes());
        hasher.update(name.as_bytes());
        let hash = hasher.finalize();
        let info_hash = InfoHash(std::array::from_fn(|i| hash.as_bytes()[i]));
        let end = |piece| start(piece) + layout.piece_len(piece) as usize;
        let bytes = (0..layout.pieces().min(STARTS)).map(end).max().unwrap_or(0);
        let words = bytes.div_ceil(WORD) as u64;
        let noise: Vec<u8> = (0..words).flat_map(|index| word(seed, index).to_le_bytes()).collect();
        Self { layout, info_hash, noise: noise.into() }
    }

    /// Its identity: as good as that of a real torrent, but of no real torrent.
    #[must_use]
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// How it is cut.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The bytes of piece `piece`, which exists.
    #[must_use]
    pub fn piece(&self, piece: u32) -> Bytes {
        let start = start(piece);
        self.noise.slice(start..start + self.layout.piece_len(piece) as usize)
    }

    /// Fills `buf` with what is at `offset`.
    pub fn fill(&self, mut offset: u64, mut buf: &mut [u8]) {
        let piece_bytes = u64::from(self.layout.piece_bytes());
        while !buf.is_empty() {
            let piece = self.piece((offset / piece_bytes) as u32);
            let from = &piece[(offset % piece_bytes) as usize..];
            let len = from.len().min(buf.len());
            buf[..len].copy_from_slice(&from[..len]);
            buf = &mut buf[len..];
            offset += len as u64;
        }
    }
}

/// Where in the noise a piece begins.
const fn start(piece: u32) -> usize {
    (piece.wrapping_mul(STRIDE) % STARTS) as usize
}

/// Word `index` of the noise. The mixing of SplitMix64 (Steele, Lea, Flood, 2014), by index instead of by turn.
const fn word(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sta_core::model::layout::Layout;

    use super::{Content, STARTS, start};

    /// The least distance of two blocks in a piece.
    const SHIFTS: u32 = 1 << 14;

    fn content(total: u64) -> Content {
        Content::new("c", 7, Layout::new(total, 64 << 10).expect("in bounds"))
    }

    proptest! {
        #[test]
        fn every_range_reads_the_same_bytes(start in 0usize..200_000, len in 0usize..200_000) {
            let content = content(1 << 20);
            let mut whole = vec![0; 400_000];
            content.fill(0, &mut whole);
            let mut part = vec![0; len];
            content.fill(start as u64, &mut part);
            prop_assert_eq!(&part[..], &whole[start..start + len]);
        }
    }

    #[test]
    fn contents_of_different_seeds_differ() {
        let layout = Layout::new(1 << 20, 64 << 10).expect("in bounds");
        let (a, b) = (Content::new("c", 1, layout), Content::new("c", 2, layout));
        assert_ne!(a.info_hash(), b.info_hash());
        assert_ne!(a.piece(3), b.piece(3));
        assert_ne!(a.piece(3), a.piece(4));
    }

    #[test]
    fn no_block_is_the_same_as_one_that_was_meant_for_elsewhere() {
        let content = content(1 << 20);
        let block = |piece, offset: usize| content.piece(piece).slice(offset..offset + 64);
        let all = || (0..16).flat_map(|piece| [(piece, 0), (piece, SHIFTS as usize)]);
        for (a, b) in all().flat_map(|a| all().map(move |b| (a, b))).filter(|(a, b)| a < b) {
            assert_ne!(block(a.0, a.1), block(b.0, b.1), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn pieces_begin_at_places_of_their_own() {
        let mut places: Vec<usize> = (0..STARTS).map(start).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), STARTS as usize);
        for first in [0, 77_777] {
            let shift = |piece| start(piece) % SHIFTS as usize;
            let mut shifts: Vec<usize> = (first..first + SHIFTS).map(shift).collect();
            shifts.sort_unstable();
            shifts.dedup();
            assert_eq!(shifts.len(), SHIFTS as usize, "of neighbours");
        }
    }
}
