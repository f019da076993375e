//! The quantiles that are shown of many figures: the runs of a sweep, the hosts of a group.

/// Least, median, 90th percentile and most; `None` of nothing. Between two samples it is so far from one to the other as the share
/// asks for (definition 7 of Hyndman and Fan, Sample quantiles in statistical packages, 1996).
#[must_use]
pub fn quantiles(samples: &[f64]) -> Option<[f64; 4]> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = |share: f64| {
        let place = last as f64 * share;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    Some([at(0.0), at(0.5), at(0.9), at(1.0)])
}

#[cfg(test)]
mod tests {
    use super::quantiles;

    #[test]
    fn quantiles_are_samples_or_lie_between_two() {
        assert_eq!(quantiles(&[]), None);
        assert_eq!(quantiles(&[7.0]), Some([7.0; 4]));
        let samples: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(quantiles(&samples), Some([0.0, 50.0, 90.0, 100.0]));
        assert_eq!(quantiles(&[3.0, 1.0]), Some([1.0, 2.0, 2.8, 3.0]));
    }
}
