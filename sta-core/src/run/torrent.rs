//! Asks a tracker for the `.torrent` file of a torrent, once.
//!
//! Bounded by what a torrent may be; what has come is not believed here: the caller compares hashes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::ask::{AskError, Heard, ask};
use crate::io::transport::Transport;
use crate::model::address::Address;
use crate::model::ids::InfoHash;
use crate::model::limits;
use crate::wire::tracker::{FromTracker, ToTracker};

/// The bytes that `tracker` hands out as the `.torrent` file of `torrent`.
///
/// # Errors
/// If the tracker cannot be reached, falls silent, speaks something else, or has not got it.
pub async fn fetch(
    transport: &dyn Transport,
    tracker: &Address,
    torrent: InfoHash,
) -> Result<Vec<u8>, AskError> {
    let mut bytes = Vec::new();
    let hear = |message| {
        let (total, data) = match message {
            FromTracker::Torrent { torrent: of, at, total, data }
                if of == torrent && at == bytes.len() as u64 =>
            {
                (total, data)
            }
            _ => return Heard::More,
        };
        if total > limits::TORRENT_BYTES_MAX as u64 {
            return Heard::Useless(format!("its .torrent file of {total} bytes is too large"));
        }
        let part = BASE64.decode(data).ok().filter(|part| !part.is_empty());
        let Some(part) = part else {
            return Heard::Useless("what it sends is no .torrent file".to_owned());
        };
        bytes.extend_from_slice(&part);
        if bytes.len() as u64 >= total {
            return Heard::Whole(std::mem::take(&mut bytes));
        }
        Heard::Next(ToTracker::Torrent { torrent, at: bytes.len() as u64 })
    };
    ask(transport, tracker, &ToTracker::Torrent { torrent, at: 0 }, hear).await
}
