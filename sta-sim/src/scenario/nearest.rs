//! What somebody may have meant.

/// The candidate most like `typed`, if one is like enough to be worth a hint.
#[must_use]
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below it a hint misleads more often than it helps.
    const LIKE_ENOUGH: f64 = 0.7;
    let scored = candidates.into_iter().map(|known| {
        let (a, b) = (typed.replace('_', "-").to_lowercase(), known.to_lowercase());
        (strsim::jaro_winkler(&a, &b).max(strsim::normalized_damerau_levenshtein(&a, &b)), known)
    });
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= LIKE_ENOUGH).then_some(best.1)
}
