//! Content, cut into pieces and blocks. Numbers only; which file a byte belongs to is `model/files.rs`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::limits;
use super::metainfo::BLAKE3_BYTES;

/// How a torrent's content is cut. Every piece has `piece_bytes` bytes but the last, which has the rest.
///
/// Invariant: `piece_bytes` is not 0 and the number of pieces fits [`limits::PIECES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    total: u64,
    piece_bytes: u32,
}

/// A part of a piece: the unit that is asked for on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Block {
    /// Index of the piece.
    pub piece: u32,
    /// First byte, counted from the start of the piece.
    pub offset: u32,
    /// Bytes; never 0.
    pub len: u32,
}

/// BLAKE3 of the bytes of a block.
pub type BlockDigest = [u8; BLAKE3_BYTES];

/// Why content cannot be cut this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Outside the range that peers accept.
    #[error(
        "a piece of {0} bytes is outside {min} to {max}",
        min = limits::PIECE_BYTES_MIN,
        max = limits::PIECE_BYTES_MAX
    )]
    PieceBytes(u64),
    /// More pieces than a node keeps track of.
    #[error("{0} pieces are more than {max}; choose larger pieces, or make several torrents", max = limits::PIECES_MAX)]
    TooManyPieces(u64),
}

impl Layout {
    /// Cuts `total` bytes into pieces of `piece_bytes`.
    ///
    /// # Errors
    /// If the piece size or the number of pieces is out of bounds.
    pub fn new(total: u64, piece_bytes: u32) -> Result<Self, LayoutError> {
        if !(limits::PIECE_BYTES_MIN..=limits::PIECE_BYTES_MAX).contains(&piece_bytes) {
            return Err(LayoutError::PieceBytes(piece_bytes.into()));
        }
        let pieces = total.div_ceil(piece_bytes.into());
        if pieces > limits::PIECES_MAX.into() {
            return Err(LayoutError::TooManyPieces(pieces));
        }
        Ok(Self { total, piece_bytes })
    }

    /// The piece size for `total` bytes when nobody chose one: the next power of two of
    /// `total / 2048`, between 64 KiB and 16 MiB.
    #[must_use]
    pub fn default_piece_bytes(total: u64) -> u32 {
        let aimed = total.div_ceil(limits::PIECES_AIMED_AT).max(1);
        let power = aimed.checked_next_power_of_two().unwrap_or(u64::MAX);
        let (min, max) = (limits::PIECE_BYTES_DEFAULT_MIN, limits::PIECE_BYTES_MAX);
        u32::try_from(power).unwrap_or(u32::MAX).clamp(min, max)
    }

    /// Bytes of content.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.total
    }

    /// Bytes of every piece but the last.
    #[must_use]
    pub const fn piece_bytes(self) -> u32 {
        self.piece_bytes
    }

    /// Bytes of a leaf, the least that can be verified by itself: a sixteenth of a piece, but no less than the smallest block. A
    /// power of two, so that it is a subtree of BLAKE3's (O'Connor and others 2020, section 2.1). All of the piece where there are more than
    /// [`limits::LEAVES_PIECES_MAX`].
    #[must_use]
    pub fn leaf_bytes(self) -> u32 {
        if self.pieces() > limits::LEAVES_PIECES_MAX {
            return self.piece_bytes;
        }
        self.piece_bytes
            .div_ceil(limits::LEAVES_MAX)
            .next_power_of_two()
            .max(limits::BLOCK_BYTES_MIN)
    }

    /// How many leaves `piece` has.
    #[must_use]
    pub fn leaves(self, piece: u32) -> u32 {
        self.piece_len(piece).div_ceil(self.leaf_bytes())
    }

    /// Bytes of the last leaf of the content; 0 for empty content.
    #[must_use]
    pub fn last_leaf_bytes(self) -> u32 {
        let last = self.piece_len(self.pieces().saturating_sub(1));
        let whole = self.leaves(self.pieces().saturating_sub(1)).saturating_sub(1);
        last - whole * self.leaf_bytes()
    }

    /// Number of pieces; 0 for empty content.
    #[must_use]
    pub const fn pieces(self) -> u32 {
        self.total.div_ceil(self.piece_bytes as u64) as u32
    }

    /// Where piece `piece` starts in the content.
    #[must_use]
    pub const fn piece_offset(self, piece: u32) -> u64 {
        piece as u64 * self.piece_bytes as u64
    }

    /// Bytes of piece `piece`; 0 if there is no such piece.
    #[must_use]
    pub fn piece_len(self, piece: u32) -> u32 {
        let rest = self.total.saturating_sub(self.piece_offset(piece));
        rest.min(self.piece_bytes.into()) as u32
    }

    /// The pieces that the `len` bytes from `offset` on have a part in.
    #[must_use]
    pub fn pieces_of(self, offset: u64, len: u64) -> Range<u32> {
        let piece = |byte: u64| (byte / u64::from(self.piece_bytes)) as u32;
        if len == 0 { 0..0 } else { piece(offset)..piece(offset + len - 1) + 1 }
    }

    /// Where `block` starts in the content.
    #[must_use]
    pub const fn block_offset(self, block: Block) -> u64 {
        self.piece_offset(block.piece) + block.offset as u64
    }

    /// Whether `block` lies inside a piece and is no larger than a block may be.
    #[must_use]
    pub fn contains(self, block: Block) -> bool {
        let end = u64::from(block.offset) + u64::from(block.len);
        (1..=limits::BLOCK_BYTES_MAX).contains(&block.len)
            && end <= self.piece_len(block.piece).into()
    }

    /// The block of at most `block_bytes` that starts at `offset` of `piece`.
    #[must_use]
    pub fn block_at(self, piece: u32, offset: u32, block_bytes: u32) -> Block {
        let rest = self.piece_len(piece).saturating_sub(offset);
        Block { piece, offset, len: rest.min(block_bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, Layout, LayoutError};

    const K: u32 = 1 << 10;

    #[test]
    fn a_piece_has_sixteen_leaves_at_the_most_each_a_power_of_two() {
        // (total, piece size) -> (bytes of a leaf, leaves of the first piece, bytes of the last leaf)
        let table = [
            ((1 << 20, 256 * K), (16 * K, 16, 16 * K)),
            ((1 << 20, 64 * K), (16 * K, 4, 16 * K)),
            ((16_384, 16 * K), (16 * K, 1, 16 * K)),
            ((5 << 20, 1024 * K), (64 * K, 16, 64 * K)),
            ((900 << 10, 300 * K), (32 * K, 10, 12 * K)),
            (((1 << 20) + 1, 256 * K), (16 * K, 16, 1)),
            ((0, 64 * K), (16 * K, 0, 0)),
            ((1 << 32, 64 * K), (16 * K, 4, 16 * K)),
            (((1 << 32) + 1, 64 * K), (64 * K, 1, 1)),
        ];
        for ((total, piece), expected) in table {
            let layout = Layout::new(total, piece).expect("in bounds");
            let found = (layout.leaf_bytes(), layout.leaves(0), layout.last_leaf_bytes());
            assert_eq!(found, expected, "{total} bytes in pieces of {piece}");
        }
    }

    #[test]
    fn pieces_cover_the_content_exactly() {
        // (total, piece size) -> (pieces, last piece)
        let table = [
            ((0, 64 * K), (0, 0)),
            ((1, 64 * K), (1, 1)),
            ((65_536, 64 * K), (1, 65_536)),
            ((65_537, 64 * K), (2, 1)),
            ((5 << 30, 4096 * K), (1280, 4096 * K)),
        ];
        for ((total, piece), (pieces, last)) in table {
            let layout = Layout::new(total, piece).expect("in bounds");
            assert_eq!(layout.pieces(), pieces, "{total} bytes in pieces of {piece}");
            assert_eq!(layout.piece_len(pieces.saturating_sub(1)), last, "{total}/{piece}");
            assert_eq!(layout.piece_len(pieces), 0, "there is no piece after the last");
        }
    }

    #[test]
    fn default_piece_size_aims_at_two_thousand_pieces() {
        let table = [
            (0, 64 * K),
            (128 << 20, 64 * K),
            (256 << 20, 128 * K),
            (2 << 30, 1024 * K),
            ((2 << 30) + 1, 2048 * K),
            (u64::MAX, 16_384 * K),
        ];
        for (total, piece) in table {
            assert_eq!(Layout::default_piece_bytes(total), piece, "{total} bytes");
        }
    }

    #[test]
    fn blocks_stay_inside_their_piece() {
        let layout = Layout::new(100_000, 64 * K).expect("in bounds");
        let block = |piece, offset, len| Block { piece, offset, len };
        assert!(layout.contains(block(0, 0, 64 * K)));
        assert!(layout.contains(block(1, 34_463, 1)));
        assert!(!layout.contains(block(1, 34_463, 2)), "past the end of the content");
        assert!(!layout.contains(block(0, 1, 64 * K)), "past the end of the piece");
        assert!(!layout.contains(block(2, 0, 1)), "no such piece");
        assert!(!layout.contains(block(0, 0, 0)), "an empty block");
        assert!(!layout.contains(block(0, u32::MAX, u32::MAX)), "overflow");
    }

    #[test]
    fn sizes_out_of_bounds_are_refused() {
        assert_eq!(Layout::new(1, 0), Err(LayoutError::PieceBytes(0)));
        assert_eq!(Layout::new(u64::MAX, 64 * K), Err(LayoutError::TooManyPieces(1 << 48)));
    }
}
