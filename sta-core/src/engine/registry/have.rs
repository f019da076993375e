//! Which pieces a node has, in the least room: most nodes have all or none.

use crate::model::bitfield::{Bitfield, PieceRange};

/// A set of the pieces of a torrent, whose number is known elsewhere.
///
/// Invariant: [`Have::Some`] is neither empty nor full, so that equal sets look alike and a complete node costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Have {
    /// No piece of at least one.
    #[default]
    None,
    /// Some pieces.
    Some(Box<Bitfield>),
    /// Every piece, even if there are none.
    All,
}

impl Have {
    /// The set of the pieces `0..pieces` that lie in `ranges`, given in any order.
    #[must_use]
    pub fn new(pieces: u32, ranges: &mut [PieceRange]) -> Self {
        let mut have = if pieces == 0 { Self::All } else { Self::None };
        have.add(pieces, ranges);
        have
    }

    /// The same set, as compactly as it goes. `None` if the bits are not those of `pieces` pieces.
    #[must_use]
    pub fn from_bits(pieces: u32, bits: Bitfield) -> Option<Self> {
        (bits.len() == pieces).then(|| match bits {
            bits if bits.is_full() => Self::All,
            bits if bits.is_empty() => Self::None,
            bits => Self::Some(Box::new(bits)),
        })
    }

    /// Adds the pieces of `ranges` that exist. Whether any was new.
    ///
    /// Sorts `ranges`, so that however they overlap no piece is added twice: the work is bounded by `pieces`.
    pub fn add(&mut self, pieces: u32, ranges: &mut [PieceRange]) -> bool {
        let Some(last) = pieces.checked_sub(1).filter(|_| *self != Self::All) else { return false };
        ranges.sort_unstable();
        let mut next = 0;
        let mut changed = false;
        for PieceRange(first, end) in ranges.iter().copied() {
            let (first, end) = (first.max(next), end.min(last));
            if first > end {
                continue;
            }
            if first == 0 && end == last {
                *self = Self::All;
                return true;
            }
            changed |= self.add_range(pieces, PieceRange(first, end));
            if *self == Self::All {
                return true;
            }
            next = end + 1;
        }
        changed
    }

    fn add_range(&mut self, pieces: u32, range: PieceRange) -> bool {
        if *self == Self::None {
            *self = Self::Some(Box::new(Bitfield::empty(pieces)));
        }
        let Self::Some(bits) = self else { return false };
        let before = bits.count();
        bits.insert_range(range, |_| {});
        let changed = bits.count() > before;
        if bits.is_full() {
            *self = Self::All;
        }
        changed
    }

    /// How many of `pieces` pieces are in the set.
    #[must_use]
    pub fn count(&self, pieces: u32) -> u32 {
        match self {
            Self::None => 0,
            Self::Some(bits) => bits.count(),
            Self::All => pieces,
        }
    }

    /// Bytes that its bits take: none for a set that is empty or full.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Some(bits) => size_of_val(bits.words()) as u64,
            Self::None | Self::All => 0,
        }
    }

    /// Whether every piece is in the set.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Have;
    use crate::model::bitfield::{Bitfield, PieceRange};

    #[test]
    fn equal_sets_look_alike() {
        // (pieces, ranges) -> what is held
        let bits = |pieces, ranges: &[PieceRange]| {
            let mut bits = Bitfield::empty(pieces);
            ranges.iter().for_each(|range| bits.insert_range(*range, |_| {}));
            Have::Some(Box::new(bits))
        };
        let r = PieceRange;
        let table: [(u32, &[PieceRange], Have); 9] = [
            (0, &[], Have::All),
            (0, &[r(0, 5)], Have::All),
            (9, &[], Have::None),
            (9, &[r(9, 20), r(5, 3)], Have::None),
            (9, &[r(0, 8)], Have::All),
            (9, &[r(0, u32::MAX)], Have::All),
            (9, &[r(5, 8), r(0, 4)], Have::All),
            (9, &[r(0, 7), r(0, 7), r(0, 8)], Have::All),
            (9, &[r(3, 4), r(8, 8)], bits(9, &[r(3, 4), r(8, 8)])),
        ];
        for (pieces, ranges, expected) in table {
            assert_eq!(Have::new(pieces, &mut ranges.to_vec()), expected, "{pieces} {ranges:?}");
        }
        assert_eq!(Have::from_bits(9, Bitfield::full(9)), Some(Have::All));
        assert_eq!(Have::from_bits(9, Bitfield::empty(9)), Some(Have::None));
        assert_eq!(Have::from_bits(9, Bitfield::empty(8)), None);
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(
            pieces in 0u32..150,
            messages in prop::collection::vec(prop::collection::vec((0u32..160, 0u32..160), 0..5), 0..9),
        ) {
            let (mut have, mut model) = (Have::new(pieces, &mut []), BTreeSet::new());
            for message in messages {
                let mut ranges: Vec<_> = message.iter().map(|&(a, b)| PieceRange(a, b)).collect();
                let before = model.len();
                model.extend(message.iter().flat_map(|&(a, b)| a..=b).filter(|p| *p < pieces));
                prop_assert_eq!(have.add(pieces, &mut ranges), model.len() > before);
                prop_assert_eq!(have.count(pieces) as usize, model.len());
                prop_assert_eq!(have.is_all(), model.len() == pieces as usize);
                if let Have::Some(bits) = &have {
                    prop_assert!(!bits.is_empty() && bits.iter().eq(model.iter().copied()));
                }
            }
        }
    }
}
