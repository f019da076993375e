//! Looking for one of few.

/// Where among `few` the one is that fits, of which there is one at the most.
///
/// All of them are looked at: to stop at the right one is a jump that no processor foresees, and costs more than a dozen comparisons.
#[must_use]
pub(super) fn place<T>(few: &[T], fits: impl Fn(&T) -> bool) -> Option<usize> {
    let places = few.iter().zip(0..);
    let place = places.fold(usize::MAX, |found, (one, at)| if fits(one) { at } else { found });
    (place < few.len()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn it_is_where_it_is() {
        let few = [3, 1, 4, 5, 9, 2, 6];
        for (at, one) in few.iter().enumerate() {
            assert_eq!(place(&few, |other| other == one), Some(at));
        }
        assert_eq!(place(&few, |one| *one == 8), None);
        assert_eq!(place(&few[..0], |one| *one == 3), None);
    }
}
