//! Verifies pieces: by BLAKE3 where a torrent has it, else by SHA-1. BLAKE3 is taken leaf by leaf, which costs nothing more.
//!
//! The functions themselves are libraries'; which ones, and why, is measured in `docs/PERFORMANCE.md`, "Hashes".

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::sha1::Sha1;
use super::store::PieceVerifier;
use crate::model::layout::Layout;
use crate::model::leaves::LeafHashes;
use crate::model::metainfo::{BLAKE3_BYTES, PieceHashes, SHA1_BYTES};

impl PieceHashes {
    /// Starts the verification of `piece` of content that is cut like `layout`. No bytes are a piece that does not exist.
    #[must_use]
    pub fn verifier(&self, piece: u32, layout: Layout) -> Box<dyn PieceVerifier> {
        if self.has_blake3() {
            Box::new(ByBlake3 {
                hasher: blake3::Hasher::new(),
                leaf_bytes: layout.leaf_bytes(),
                piece_bytes: layout.piece_len(piece),
                given: 0,
                too_long: false,
                leaves: Vec::with_capacity(layout.leaves(piece) as usize * BLAKE3_BYTES),
                wanted: self.blake3(piece).copied(),
            })
        } else {
            Box::new(BySha1 { hasher: Sha1::default(), wanted: self.sha1(piece).copied() })
        }
    }

    /// Whether bytes with this hash are `piece`.
    #[must_use]
    pub fn accepts(&self, piece: u32, hash: &PieceHash) -> bool {
        if self.has_blake3() {
            self.blake3(piece) == Some(&hash.blake3)
        } else {
            self.sha1(piece) == Some(&hash.sha1)
        }
    }
}

/// Both hashes of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceHash {
    /// SHA-1.
    pub sha1: [u8; SHA1_BYTES],
    /// BLAKE3.
    pub blake3: [u8; BLAKE3_BYTES],
}

/// Takes both hashes of a piece in one pass. Give it parts that stay in the cache, of 64 KiB at least.
#[derive(Default)]
pub struct PieceHasher {
    sha1: Sha1,
    blake3: blake3::Hasher,
}

impl PieceHasher {
    /// The next bytes of the piece.
    pub fn update(&mut self, data: &[u8]) {
        self.sha1.update(data);
        self.blake3.update(data);
    }

    /// The next bytes of several pieces: sooner done than one after the other.
    pub fn update_all<'a>(parts: impl IntoIterator<Item = (&'a mut Self, &'a [u8])>) {
        Sha1::update_all(parts.into_iter().map(|(hasher, data)| {
            hasher.blake3.update(data);
            (&mut hasher.sha1, data)
        }));
    }

    /// The hashes of the bytes given. Ready for the next piece afterwards.
    pub fn finish(&mut self) -> PieceHash {
        let blake3 = self.blake3.finalize().into();
        self.blake3.reset();
        PieceHash { sha1: self.sha1.finish(), blake3 }
    }
}

/// Gives each verifier the next bytes of its piece: those that go by SHA-1 together.
pub fn update_all<'a>(parts: impl IntoIterator<Item = (&'a mut dyn PieceVerifier, &'a [u8])>) {
    Sha1::update_all(parts.into_iter().filter_map(|(verifier, data)| {
        if verifier.sha1().is_none() {
            verifier.update(data);
        }
        Some((verifier.sha1()?, data))
    }));
}

/// The hash of a piece of several leaves; `None` if these are not several.
fn root(leaves: &[u8]) -> Option<[u8; BLAKE3_BYTES]> {
    let (hashes, rest) = leaves.as_chunks::<BLAKE3_BYTES>();
    if hashes.len() < 2 || !rest.is_empty() {
        return None;
    }
    let (left, right) = halves(hashes);
    Some(*merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes())
}

/// The chaining value over leaves that follow each other, of which there is one at least.
fn subtree(hashes: &[[u8; BLAKE3_BYTES]]) -> [u8; BLAKE3_BYTES] {
    if let [leaf] = hashes {
        return *leaf;
    }
    let (left, right) = halves(hashes);
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

/// The left subtree has as many leaves as can be, a power of two, and the right one at least one (section 2.1 of the paper).
fn halves(hashes: &[[u8; BLAKE3_BYTES]]) -> (&[[u8; BLAKE3_BYTES]], &[[u8; BLAKE3_BYTES]]) {
    hashes.split_at(1 << (hashes.len() - 1).ilog2())
}

/// The hashes of leaves that are known to be right, of one torrent: half a kibibyte for each piece that is here.
#[derive(Debug, Default)]
pub struct KnownLeaves(Mutex<BTreeMap<u32, LeafHashes>>);

impl KnownLeaves {
    /// The hashes of the leaves of `piece`.
    #[must_use]
    pub fn get(&self, piece: u32) -> Option<LeafHashes> {
        self.lock().get(&piece).cloned()
    }

    /// Keeps `leaves` if the hash of `piece` is theirs.
    pub fn keep(&self, piece: u32, leaves: &LeafHashes, layout: Layout, hashes: &PieceHashes) {
        let as_many = layout.leaves(piece) as usize * BLAKE3_BYTES == leaves.as_bytes().len();
        let root = as_many.then(|| root(leaves.as_bytes())).flatten();
        if root.is_some() && root.as_ref() == hashes.blake3(piece) {
            self.lock().insert(piece, leaves.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, LeafHashes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ByBlake3 {
    /// Of the leaf that has begun.
    hasher: blake3::Hasher,
    leaf_bytes: u32,
    piece_bytes: u32,
    given: u32,
    too_long: bool,
    /// The hashes of whole leaves; nothing of a piece that is a single one.
    leaves: Vec<u8>,
    wanted: Option<[u8; BLAKE3_BYTES]>,
}

impl PieceVerifier for ByBlake3 {
    fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let end =
                (self.given - self.given % self.leaf_bytes + self.leaf_bytes).min(self.piece_bytes);
            if self.given >= end {
                self.too_long = true;
                return;
            }
            let (now, later) = data.split_at(data.len().min((end - self.given) as usize));
            self.hasher.update(now);
            self.given += now.len() as u32;
            data = later;
            if self.given == end && self.piece_bytes > self.leaf_bytes {
                self.leaves.extend(self.hasher.finalize_non_root());
                // `reset` keeps the offset that was set.
                self.hasher = blake3::Hasher::new();
                if end < self.piece_bytes {
                    self.hasher.set_input_offset(end.into());
                }
            }
        }
    }

    fn leaf_hashes(&self) -> &[u8] {
        &self.leaves
    }

    fn verdict(&mut self) -> bool {
        let whole = self.given == self.piece_bytes && !self.too_long;
        let found = if self.piece_bytes > self.leaf_bytes {
            root(&self.leaves)
        } else {
            Some(*self.hasher.finalize().as_bytes())
        };
        self.hasher = blake3::Hasher::new();
        self.leaves.clear();
        (self.given, self.too_long) = (0, false);
        whole && self.wanted.is_some() && found == self.wanted
    }
}

struct BySha1 {
    hasher: Sha1,
    wanted: Option<[u8; SHA1_BYTES]>,
}

impl PieceVerifier for BySha1 {
    fn update(&mut self, data: &[u8]) {
        self.hasher.update(data);
    }

    fn sha1(&mut self) -> Option<&mut Sha1> {
        Some(&mut self.hasher)
    }

    fn leaf_hashes(&self) -> &[u8] {
        &[]
    }

    fn verdict(&mut self) -> bool {
        let found = self.hasher.finish();
        self.wanted == Some(found)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{BLAKE3_BYTES, KnownLeaves, PieceHash, PieceHasher};
    use crate::model::layout::Layout;
    use crate::model::leaves::LeafHashes;
    use crate::model::metainfo::PieceHashes;

    const PIECES: [&[u8]; 2] = [b"the first piece ", b"rest"];

    /// Content of `PIECES`, each repeated a thousand times and more: the first has one leaf, as has the second.
    fn pieces() -> [Vec<u8>; 2] {
        PIECES.map(|piece| piece.repeat(1_024))
    }

    fn layout() -> Layout {
        let [first, second] = pieces().map(|piece| piece.len() as u32);
        Layout::new((first + second).into(), first).expect("in bounds")
    }

    fn both(data: &[u8]) -> PieceHash {
        let mut hasher = PieceHasher::default();
        data.chunks(4).for_each(|part| hasher.update(part));
        hasher.finish()
    }

    fn hashes(with_blake3: bool) -> PieceHashes {
        // Where both are there, SHA-1 must not be asked.
        let sha1 = |data: Vec<u8>| if with_blake3 { [0; 20] } else { both(&data).sha1 };
        let blake3 = with_blake3.then(|| pieces().map(|data| both(&data).blake3).concat().into());
        PieceHashes::new(2, pieces().map(sha1).concat().into(), blake3).expect("lengths fit")
    }

    #[test]
    fn the_hashes_are_those_of_the_standards() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        // FIPS 180-4's example; the empty input of BLAKE3's test vectors.
        assert_eq!(hex(&both(b"abc").sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex(&both(b"").blake3)[..32], *"af1349b9f5f9a1a6a0404dea36dcc949");
    }

    #[test]
    fn a_piece_is_verified_whole_or_in_parts_and_again() {
        for hashes in [hashes(true), hashes(false)] {
            for (index, piece) in (0..).zip(pieces()) {
                let mut verifier = hashes.verifier(index, layout());
                assert!(!verifier.verdict(), "no bytes are not a piece, {hashes:?}");
                for chunk in [1, 3, 1_000] {
                    piece.chunks(chunk).for_each(|part| verifier.update(part));
                    assert!(verifier.verdict(), "{hashes:?}, piece {index}, by {chunk}");
                }
                verifier.update(&piece[1..]);
                assert!(!verifier.verdict(), "a byte is missing");
                assert!(hashes.accepts(index, &both(&piece)));
                assert!(!hashes.accepts(1 - index, &both(&piece)));
            }
            assert!(!hashes.verifier(2, layout()).verdict(), "there is no such piece");
            assert!(!hashes.accepts(2, &both(b"")), "there is no such piece");
        }
    }

    /// The hashes of content of one piece.
    fn hashes_of(piece: &[u8]) -> PieceHashes {
        let PieceHash { sha1, blake3 } = both(piece);
        let bytes = |hash: &[u8]| Bytes::copy_from_slice(hash);
        PieceHashes::new(1, bytes(&sha1), Some(bytes(&blake3))).expect("lengths fit")
    }

    #[test]
    fn the_hash_of_a_piece_is_that_of_its_leaves() {
        const K: usize = 1 << 10;
        // (bytes of a piece, bytes of the content's only one) -> leaves
        let table = [
            ((64 * K, 64 * K), 4),
            ((64 * K, 16 * K + 1), 2),
            ((256 * K, 100_001), 7),
            ((256 * K, 256 * K), 16),
            ((400 * K, 400 * K), 13),
            ((1_024 * K, 1_024 * K - 1), 16),
        ];
        for ((piece_bytes, len), leaves) in table {
            let piece: Vec<u8> = (0..len).map(|n| (n / 7 + n % 251) as u8).collect();
            let hashes = hashes_of(&piece);
            let layout = Layout::new(len as u64, piece_bytes as u32).expect("in bounds");
            let mut verifier = hashes.verifier(0, layout);
            for chunk in [1_000, 16 * K, len] {
                piece.chunks(chunk).for_each(|part| verifier.update(part));
                assert_eq!(verifier.leaf_hashes().len(), leaves * BLAKE3_BYTES, "{len} bytes");
                assert!(verifier.verdict(), "{len} bytes by {chunk}");
            }
            piece.chunks(len).for_each(|part| verifier.update(part));
            verifier.update(b"more");
            assert!(!verifier.verdict(), "{len} bytes and more");
        }
    }

    #[test]
    fn hashes_of_leaves_are_kept_only_if_they_lead_to_that_of_the_piece() {
        let piece = vec![7; 64 << 10];
        let (hashes, known) = (hashes_of(&piece), KnownLeaves::default());
        let layout = Layout::new(64 << 10, 64 << 10).expect("in bounds");
        let mut verifier = hashes.verifier(0, layout);
        verifier.update(&piece);
        let right = verifier.leaf_hashes().to_vec();
        let mut other = right.clone();
        other[99] ^= 1;
        for wrong in [vec![], right[32..].to_vec(), right[1..].to_vec(), other] {
            known.keep(0, &LeafHashes::new(wrong), layout, &hashes);
            assert_eq!(known.get(0), None);
        }
        let right = LeafHashes::new(right);
        known.keep(1, &right, layout, &hashes);
        assert_eq!(known.get(1), None, "there is no such piece");
        known.keep(0, &right, layout, &hashes);
        assert_eq!(known.get(0), Some(right));
    }

    #[test]
    fn a_hasher_starts_anew_after_each_piece() {
        let mut hasher = PieceHasher::default();
        for piece in PIECES {
            hasher.update(piece);
            assert_eq!(hasher.finish(), both(piece));
        }
    }
}
