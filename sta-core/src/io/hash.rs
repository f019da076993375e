//! Verifies pieces: by BLAKE3 where a torrent has it, else by SHA-1.
//!
//! The functions themselves are libraries'; which ones, and why, is measured in `docs/PERFORMANCE.md`, "Hashes".

use sha1::{Digest, Sha1};

use super::store::PieceVerifier;
use crate::model::metainfo::{BLAKE3_BYTES, PieceHashes, SHA1_BYTES};

impl PieceHashes {
    /// Starts the verification of `piece`. Allocates the box alone. No bytes are a piece that does not exist.
    #[must_use]
    pub fn verifier(&self, piece: u32) -> Box<dyn PieceVerifier> {
        if self.has_blake3() {
            Box::new(ByBlake3 {
                hasher: blake3::Hasher::new(),
                wanted: self.blake3(piece).copied(),
            })
        } else {
            Box::new(BySha1 { hasher: Sha1::new(), wanted: self.sha1(piece).copied() })
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

    /// The hashes of the bytes given. Ready for the next piece afterwards.
    pub fn finish(&mut self) -> PieceHash {
        let blake3 = self.blake3.finalize().into();
        self.blake3.reset();
        PieceHash { sha1: self.sha1.finalize_reset().into(), blake3 }
    }
}

struct ByBlake3 {
    hasher: blake3::Hasher,
    wanted: Option<[u8; BLAKE3_BYTES]>,
}

impl PieceVerifier for ByBlake3 {
    fn update(&mut self, data: &[u8]) {
        self.hasher.update(data);
    }

    fn verdict(&mut self) -> bool {
        let found = self.hasher.finalize();
        self.hasher.reset();
        self.wanted.is_some_and(|wanted| *found.as_bytes() == wanted)
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

    fn verdict(&mut self) -> bool {
        let found: [u8; SHA1_BYTES] = self.hasher.finalize_reset().into();
        self.wanted == Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::{PieceHash, PieceHasher};
    use crate::model::metainfo::PieceHashes;

    const PIECES: [&[u8]; 2] = [b"the first piece", b"rest"];

    fn both(data: &[u8]) -> PieceHash {
        let mut hasher = PieceHasher::default();
        data.chunks(4).for_each(|part| hasher.update(part));
        hasher.finish()
    }

    fn hashes(with_blake3: bool) -> PieceHashes {
        // Where both are there, SHA-1 must not be asked.
        let sha1 = |data| if with_blake3 { [0; 20] } else { both(data).sha1 };
        let blake3 = with_blake3.then(|| PIECES.map(|data| both(data).blake3).concat().into());
        PieceHashes::new(2, PIECES.map(sha1).concat().into(), blake3).expect("lengths fit")
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
            for (index, piece) in (0..).zip(PIECES) {
                let mut verifier = hashes.verifier(index);
                assert!(!verifier.verdict(), "no bytes are not a piece, {hashes:?}");
                for chunk in [1, 3, 100] {
                    piece.chunks(chunk).for_each(|part| verifier.update(part));
                    assert!(verifier.verdict(), "{hashes:?}, piece {index}, by {chunk}");
                }
                verifier.update(&piece[1..]);
                assert!(!verifier.verdict(), "a byte is missing");
                assert!(hashes.accepts(index, &both(piece)));
                assert!(!hashes.accepts(1 - index, &both(piece)));
            }
            assert!(!hashes.verifier(2).verdict(), "there is no such piece");
            assert!(!hashes.accepts(2, &both(b"")), "there is no such piece");
        }
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
