//! Asks a tracker who has how much of what, once.

use std::io;

use tokio::time::timeout;

use super::frames::{ReadError, read_messages};
use crate::io::transport::{Batch, Connection, Transport};
use crate::model::address::Address;
use crate::model::ids::InfoHash;
use crate::model::limits;
use crate::wire::frame::{FrameDecoder, PREAMBLE, TRACKER_LIMITS, TRACKER_READ_BYTES, encode};
use crate::wire::tracker::{FromTracker, StatusRow, ToTracker};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// It cannot be reached.
    #[error(
        "cannot reach the tracker {tracker}: {source}; is it running, and is this its address?"
    )]
    Connect {
        /// Which tracker.
        tracker: Address,
        /// What the system said.
        source: io::Error,
    },
    /// It has been reached, and does not answer as a tracker does.
    #[error("the tracker {tracker} gives no answer: {source}")]
    Lost {
        /// Which tracker.
        tracker: Address,
        /// What was wrong.
        source: ReadError,
    },
    /// It has said why not.
    #[error("the tracker {tracker} refuses: {why}")]
    Refused {
        /// Which tracker.
        tracker: Address,
        /// The reason it gave.
        why: String,
    },
}

/// Who has how much of `torrent`, or of all torrents, in the order the tracker gives.
///
/// # Errors
/// If the tracker cannot be reached, falls silent, speaks something else or refuses.
pub async fn status(
    transport: &dyn Transport,
    tracker: &Address,
    torrent: Option<InfoHash>,
) -> Result<Vec<StatusRow>, StatusError> {
    let mut connection = connect(transport, tracker).await?;
    let answer = ask(&mut connection, torrent).await;
    let answer = answer.map_err(|source| StatusError::Lost { tracker: tracker.clone(), source })?;
    answer.map_err(|why| StatusError::Refused { tracker: tracker.clone(), why })
}

/// A connection with `tracker`, on which nothing has been said yet.
pub(super) async fn connect(
    transport: &dyn Transport,
    tracker: &Address,
) -> Result<Connection, StatusError> {
    let dialed = timeout(limits::DIAL_TIMEOUT, transport.connect(tracker)).await;
    let connection = dialed.map_err(io::Error::from).and_then(|dialed| dialed);
    connection.map_err(|source| StatusError::Connect { tracker: tracker.clone(), source })
}

async fn ask(
    connection: &mut Connection,
    torrent: Option<InfoHash>,
) -> Result<Result<Vec<StatusRow>, String>, ReadError> {
    let mut batch = Batch::default();
    batch.heads.extend_from_slice(PREAMBLE);
    encode(&ToTracker::Status { torrent }, 0, &mut batch.heads);
    connection.send.send(&mut batch).await?;
    let mut decoder = FrameDecoder::new(TRACKER_LIMITS, TRACKER_READ_BYTES);
    let mut all = Vec::new();
    loop {
        let read = read_messages(connection.recv.as_mut(), &mut decoder);
        let messages = timeout(limits::TRACKER_ANSWER_TIMEOUT, read).await;
        for message in messages.map_err(io::Error::from)?? {
            match message {
                FromTracker::Status { more, rows } => {
                    all.extend(rows);
                    if !more || all.len() > limits::STATUS_ROWS_MAX {
                        return Ok(Ok(all));
                    }
                }
                FromTracker::Error { why } => return Ok(Err(why)),
                _ => {}
            }
        }
    }
}
