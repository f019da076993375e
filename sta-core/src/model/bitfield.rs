//! Sets of pieces: the bitfield a node keeps, and the ranges that travel.

use serde::{Deserialize, Serialize};

/// A set of the pieces `0..len`.
///
/// Invariant: bits past `len` are 0, and `count` is the number of ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitfield {
    words: Vec<u64>,
    len: u32,
    count: u32,
}

/// Pieces `first..=last`, as they are written on the wire: `[first,last]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PieceRange(pub u32, pub u32);

impl PieceRange {
    /// A range of one piece.
    #[must_use]
    pub const fn one(piece: u32) -> Self {
        Self(piece, piece)
    }
}

impl Bitfield {
    /// No piece of `len`.
    #[must_use]
    pub fn empty(len: u32) -> Self {
        Self { words: vec![0; len.div_ceil(64) as usize], len, count: 0 }
    }

    /// Every piece of `len`.
    #[must_use]
    pub fn full(len: u32) -> Self {
        let mut all = Self::empty(len);
        if len > 0 {
            all.insert_range(PieceRange(0, len - 1), |_| {});
        }
        all
    }

    /// How many pieces there are, had or not.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no piece is in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether every piece is in the set.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// How many pieces are in the set.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether `piece` is in the set; false for a piece that does not exist.
    #[must_use]
    pub fn contains(&self, piece: u32) -> bool {
        self.words.get(piece as usize / 64).is_some_and(|word| word >> (piece % 64) & 1 == 1)
    }

    /// Adds `piece`. Returns whether it was new; a piece that does not exist is not added.
    pub fn insert(&mut self, piece: u32) -> bool {
        let new = piece < self.len && !self.contains(piece);
        if new {
            self.words[piece as usize / 64] |= 1 << (piece % 64);
            self.count += 1;
        }
        new
    }

    /// Takes `piece` out. Returns whether it was in.
    pub fn remove(&mut self, piece: u32) -> bool {
        let had = self.contains(piece);
        if had {
            self.words[piece as usize / 64] &= !(1 << (piece % 64));
            self.count -= 1;
        }
        had
    }

    /// Adds the pieces of `range` that exist, calling `new` with each that was not in yet.
    ///
    /// Costs a step per 64 pieces and one per new piece: a stranger may send the same range again and again.
    #[inline]
    pub fn insert_range(&mut self, range: PieceRange, mut new: impl FnMut(u32)) {
        // Nearly always it is one.
        if range.0 == range.1 {
            if self.insert(range.0) {
                new(range.0);
            }
            return;
        }
        let Some(last) = self.len.checked_sub(1).map(|last| last.min(range.1)) else { return };
        if range.0 > last {
            return;
        }
        for word in range.0 / 64..=last / 64 {
            let from = range.0.max(word * 64) % 64;
            let to = last.min(word * 64 + 63) % 64;
            let mask = (u64::MAX << from) & (u64::MAX >> (63 - to));
            let mut added = mask & !self.words[word as usize];
            self.words[word as usize] |= mask;
            self.count += added.count_ones();
            while added != 0 {
                new(word * 64 + added.trailing_zeros());
                added &= added - 1;
            }
        }
    }

    /// The pieces in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        ones(self.words.iter().copied())
    }

    /// The pieces that are in both sets, ascending.
    pub fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        ones(self.words.iter().zip(&other.words).map(|(a, b)| a & b))
    }

    /// The set as 64 pieces a word, piece 0 in the lowest bit of the first.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The set of the pieces `0..len` that [`Self::words`] gave; `None` if there is another number of words than `len`
    /// needs or a piece past `len`.
    #[must_use]
    pub fn from_words(len: u32, words: Vec<u64>) -> Option<Self> {
        let past = match (words.last(), len % 64) {
            (Some(last), used @ 1..) => last >> used,
            _ => 0,
        };
        let count = words.iter().map(|word| word.count_ones()).sum();
        (words.len() == len.div_ceil(64) as usize && past == 0).then_some(Self {
            words,
            len,
            count,
        })
    }

    /// The set as the fewest ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> Vec<PieceRange> {
        collect_ranges(self.iter())
    }
}

/// The positions of the ones in a row of words.
fn ones(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u32> {
    words.zip((0..).step_by(64)).flat_map(|(word, base)| {
        let first = Some(word).filter(|&w| w != 0);
        let rest = |w: &u64| Some(w & (w - 1)).filter(|&w| w != 0);
        std::iter::successors(first, rest).map(move |w| base + w.trailing_zeros())
    })
}

/// The fewest ranges that hold `pieces`, which must ascend.
#[must_use]
pub fn collect_ranges(pieces: impl IntoIterator<Item = u32>) -> Vec<PieceRange> {
    let mut ranges: Vec<PieceRange> = Vec::new();
    for piece in pieces {
        match ranges.last_mut() {
            Some(range) if range.1 + 1 == piece => range.1 = piece,
            _ => ranges.push(PieceRange::one(piece)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Bitfield, PieceRange};

    #[test]
    fn full_and_empty() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let full = Bitfield::full(len);
            assert!(full.is_full() && full.count() == len, "{len}");
            assert_eq!(full.is_empty(), len == 0, "{len}");
            assert!(!full.contains(len), "{len}");
        }
    }

    #[test]
    fn a_range_from_a_stranger_stays_inside() {
        let mut set = Bitfield::empty(10);
        set.insert_range(PieceRange(8, u32::MAX), |_| {});
        set.insert_range(PieceRange(7, 3), |_| {});
        assert_eq!(set.ranges(), [PieceRange(8, 9)]);
        Bitfield::empty(0).insert_range(PieceRange(0, 5), |_| panic!("nothing to add"));
    }

    #[test]
    fn words_that_are_no_set_are_refused() {
        assert_eq!(Bitfield::from_words(65, vec![0]), None);
        assert_eq!(Bitfield::from_words(64, vec![0, 0]), None);
        assert_eq!(Bitfield::from_words(65, vec![0, 2]), None, "piece 65 of 65");
        assert!(Bitfield::from_words(65, vec![u64::MAX, 1]).is_some_and(|set| set.is_full()));
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(len in 0u32..300, steps in prop::collection::vec((any::<bool>(), 0u32..320), 0..200)) {
            let (mut set, mut model) = (Bitfield::empty(len), BTreeSet::new());
            for (add, piece) in steps {
                if add {
                    prop_assert_eq!(set.insert(piece), piece < len && model.insert(piece));
                } else {
                    prop_assert_eq!(set.remove(piece), model.remove(&piece));
                }
            }
            prop_assert_eq!(set.count() as usize, model.len());
            prop_assert!(set.iter().eq(model.iter().copied()));
            let mut copy = Bitfield::empty(len);
            for range in set.ranges() {
                copy.insert_range(range, |_| {});
            }
            prop_assert_eq!(&copy, &set);
            prop_assert_eq!(Bitfield::from_words(len, set.words().to_vec()), Some(set));
        }

        #[test]
        fn a_range_is_its_pieces(len in 0u32..300, ranges in prop::collection::vec((0u32..320, 0u32..320), 0..9)) {
            let (mut set, mut model) = (Bitfield::empty(len), BTreeSet::new());
            for (first, last) in ranges {
                let mut new = BTreeSet::new();
                set.insert_range(PieceRange(first, last), |piece| assert!(new.insert(piece)));
                let added: BTreeSet<u32> = (first..=last).filter(|p| *p < len && !model.contains(p)).collect();
                prop_assert_eq!(&new, &added);
                model.extend(added);
            }
            prop_assert_eq!(set.count() as usize, model.len());
            prop_assert!(set.iter().eq(model.iter().copied()));
        }
    }
}
