//! The kinds of events that a log can have.

use sta_core::model::event::Event;

/// The tags of all events of the product, in the order of [`Event`].
///
/// Serde knows them and tells them to whoever asks for one that is not there: that is the only list.
#[must_use]
pub fn kinds() -> Vec<String> {
    let Err(error) = serde_json::from_str::<Event>(r#"{"event":""}"#) else { return Vec::new() };
    let message = error.to_string();
    message
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|kind| !kind.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kinds_are_those_of_the_log() {
        let kinds = super::kinds();
        for kind in ["node-started", "piece-failed", "peers-pushed"] {
            assert!(kinds.iter().any(|known| known == kind), "{kind} in {kinds:?}");
        }
    }
}
