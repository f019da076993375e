//! The bytes of a torrent in a world: computed from (seed, offset), never stored.
//!
//! Pieces that were computed are kept for a while and shared by every store of a run, so that sending copies nothing
//! and comparing reads memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sta_core::model::ids::InfoHash;
use sta_core::model::layout::Layout;

/// Bytes of computed pieces that are kept: all of a small content, the working set of a large one.
const KEPT_BYTES: usize = 64 << 20;

/// The golden ratio in 64 bits: steps of it visit every number.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const WORD: u64 = 8;

/// One content.
#[derive(Debug)]
pub struct Content {
    seed: u64,
    layout: Layout,
    info_hash: InfoHash,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    pieces: BTreeMap<u32, Bytes>,
    oldest: VecDeque<u32>,
    bytes: usize,
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
        Self { seed, layout, info_hash, kept: Mutex::default() }
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
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = kept.pieces.get(&piece) {
            return bytes.clone();
        }
        let mut bytes = vec![0; self.layout.piece_len(piece) as usize];
        self.fill(self.layout.piece_offset(piece), &mut bytes);
        let bytes = Bytes::from(bytes);
        kept.keep(piece, bytes.clone());
        bytes
    }

    /// Fills `buf` with what is at `offset`.
    pub fn fill(&self, offset: u64, buf: &mut [u8]) {
        // Up to a whole word, whole words, and the rest.
        let head = (offset.next_multiple_of(WORD) - offset).min(buf.len() as u64) as usize;
        let (head, body) = buf.split_at_mut(head);
        let first = self.word(offset / WORD).to_le_bytes();
        let skip = (offset % WORD) as usize;
        head.iter_mut().zip(&first[skip..]).for_each(|(byte, word)| *byte = *word);
        let chunks = body.chunks_mut(WORD as usize);
        for (index, chunk) in (offset.div_ceil(WORD)..).zip(chunks) {
            let word = self.word(index).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// Word `index`. The mixing of SplitMix64 (Steele, Lea, Flood, 2014), by index instead of by turn.
    fn word(&self, index: u64) -> u64 {
        let mut z = self.seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Kept {
    fn keep(&mut self, piece: u32, bytes: Bytes) {
        self.bytes += bytes.len();
        self.oldest.push_back(piece);
        self.pieces.insert(piece, bytes);
        while self.bytes > KEPT_BYTES && self.oldest.len() > 1 {
            if let Some(dropped) = self.oldest.pop_front().and_then(|old| self.pieces.remove(&old))
            {
                self.bytes -= dropped.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sta_core::model::layout::Layout;

    use super::{Content, KEPT_BYTES};

    fn content(total: u64) -> Content {
        Content::new("c", 7, Layout::new(total, 64 << 10).expect("in bounds"))
    }

    proptest! {
        #[test]
        fn every_range_reads_the_same_bytes(start in 0usize..3000, len in 0usize..3000) {
            let content = content(1 << 20);
            let mut whole = vec![0; 6000];
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
    fn what_is_kept_is_bounded_and_the_same_when_computed_again() {
        let content = content(2 * KEPT_BYTES as u64);
        let first = content.piece(0);
        (0..content.layout().pieces()).for_each(|piece| drop(content.piece(piece)));
        let kept = content.kept.lock().expect("nobody panicked");
        assert!(kept.bytes <= KEPT_BYTES && !kept.pieces.contains_key(&0));
        drop(kept);
        assert_eq!(content.piece(0), first);
    }
}
