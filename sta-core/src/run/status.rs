//! Asks a tracker who has how much of what, once.

use super::ask::{AskError, Heard, ask};
use crate::io::transport::Transport;
use crate::model::address::Address;
use crate::model::ids::InfoHash;
use crate::model::limits;
use crate::wire::tracker::{FromTracker, StatusRow, ToTracker};

/// Who has how much of `torrent`, or of all torrents, in the order the tracker gives.
///
/// # Errors
/// If the tracker cannot be reached, falls silent, speaks something else or refuses.
pub async fn status(
    transport: &dyn Transport,
    tracker: &Address,
    torrent: Option<InfoHash>,
) -> Result<Vec<StatusRow>, AskError> {
    let mut all = Vec::new();
    let hear = |message| match message {
        FromTracker::Status { more, rows } => {
            all.extend(rows);
            let whole = !more || all.len() > limits::STATUS_ROWS_MAX;
            if whole { Heard::Whole(std::mem::take(&mut all)) } else { Heard::More }
        }
        _ => Heard::More,
    };
    ask(transport, tracker, &ToTracker::Status { torrent }, hear).await
}
