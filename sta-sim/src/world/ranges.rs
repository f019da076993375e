//! Sets of byte ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of bytes, as ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `range`.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        while let Some((&from, &to)) =
            self.0.range(..=end).next_back().filter(|(_, to)| **to >= start)
        {
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
    }

    /// Takes `range` out.
    pub fn remove(&mut self, range: Range<u64>) {
        let hit: Vec<Range<u64>> = self.within(range).collect();
        for Range { start, end } in hit {
            let (from, to) = self.around(start);
            self.0.remove(&from);
            [from..start, end..to].into_iter().for_each(|rest| {
                if !rest.is_empty() {
                    self.0.insert(rest.start, rest.end);
                }
            });
        }
    }

    /// The parts of `range` that are in the set, ascending.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.0.range(..=range.start).next_back().map_or(range.start, |(from, _)| *from);
        let inside = self.0.range(first..range.end.max(first));
        inside
            .map(move |(&from, &to)| from.max(range.start)..to.min(range.end))
            .filter(|part| !part.is_empty())
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().map(|(&from, &to)| from..to)
    }

    /// Whether all of `range` is in the set.
    #[must_use]
    pub fn covers(&self, range: Range<u64>) -> bool {
        range.is_empty() || self.within(range.clone()).next() == Some(range)
    }

    /// Whether any of `range` is in the set.
    #[must_use]
    pub fn touches(&self, range: Range<u64>) -> bool {
        self.within(range).next().is_some()
    }

    /// Where the first of them begins.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.0.keys().next().copied()
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in the set.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|(from, to)| to - from).sum()
    }

    /// The range that holds `at`, which is in the set.
    fn around(&self, at: u64) -> (u64, u64) {
        let holds = self.0.range(..=at).next_back().expect("it was found in the set");
        (*holds.0, *holds.1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Ranges;

    proptest! {
        #[test]
        fn behaves_as_a_set_of_bytes(
            steps in prop::collection::vec((any::<bool>(), 0u64..64, 0u64..20), 0..40),
            (from, len) in (0u64..64, 0u64..20),
        ) {
            let (mut ranges, mut model) = (Ranges::default(), [false; 128]);
            for (add, start, len) in steps {
                let range = start..start + len;
                model[start as usize..(start + len) as usize].fill(add);
                if add { ranges.insert(range) } else { ranges.remove(range) }
            }
            let span = from..from + len;
            let listed: Vec<u64> = ranges.within(span.clone()).flatten().collect();
            let expected: Vec<u64> = span.clone().filter(|at| model[*at as usize]).collect();
            prop_assert_eq!(ranges.covers(span.clone()), expected.len() as u64 == len);
            prop_assert_eq!(ranges.touches(span), !expected.is_empty());
            prop_assert_eq!(listed, expected);
            prop_assert_eq!(ranges.bytes(), model.iter().filter(|set| **set).count() as u64);
            let gaps = ranges.0.iter().zip(ranges.0.iter().skip(1));
            prop_assert!(gaps.into_iter().all(|(a, b)| a.1 < b.0), "{:?}", ranges);
        }
    }
}
