//! Asks a tracker for the `.torrent` file of a torrent, once.
//!
//! Bounded by what a torrent may be; what has come is not believed here: the caller compares hashes.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::time::timeout;

use super::frames::{ReadError, read_messages};
use super::status::{StatusError, connect};
use crate::io::transport::{Batch, Connection, Transport};
use crate::model::address::Address;
use crate::model::ids::InfoHash;
use crate::model::limits;
use crate::wire::frame::{FrameDecoder, PREAMBLE, TRACKER_LIMITS, TRACKER_READ_BYTES, encode};
use crate::wire::tracker::{FromTracker, ToTracker};

/// The bytes that `tracker` hands out as the `.torrent` file of `torrent`.
///
/// # Errors
/// If the tracker cannot be reached, falls silent, speaks something else, or has not got it.
pub async fn fetch(
    transport: &dyn Transport,
    tracker: &Address,
    torrent: InfoHash,
) -> Result<Vec<u8>, StatusError> {
    let mut connection = connect(transport, tracker).await?;
    let answer = ask(&mut connection, torrent).await;
    let answer = answer.map_err(|source| StatusError::Lost { tracker: tracker.clone(), source })?;
    answer.map_err(|why| StatusError::Refused { tracker: tracker.clone(), why })
}

async fn ask(
    connection: &mut Connection,
    torrent: InfoHash,
) -> Result<Result<Vec<u8>, String>, ReadError> {
    let mut batch = Batch::default();
    batch.heads.extend_from_slice(PREAMBLE);
    encode(&ToTracker::Torrent { torrent, at: 0 }, 0, &mut batch.heads);
    connection.send.send(&mut batch).await?;
    let mut decoder = FrameDecoder::new(TRACKER_LIMITS, TRACKER_READ_BYTES);
    let mut bytes = Vec::new();
    loop {
        let read = read_messages(connection.recv.as_mut(), &mut decoder);
        let messages = timeout(limits::TRACKER_ANSWER_TIMEOUT, read).await;
        for message in messages.map_err(io::Error::from)?? {
            let (total, data) = match message {
                FromTracker::Torrent { torrent: of, at, total, data }
                    if of == torrent && at == bytes.len() as u64 =>
                {
                    (total, data)
                }
                FromTracker::Error { why } => return Ok(Err(why)),
                _ => continue,
            };
            if total > limits::TORRENT_BYTES_MAX as u64 {
                return Ok(Err(format!("its .torrent file of {total} bytes is too large")));
            }
            let part = BASE64.decode(data).ok().filter(|part| !part.is_empty());
            let Some(part) = part else {
                return Ok(Err("what it sends is no .torrent file".into()));
            };
            bytes.extend_from_slice(&part);
            if bytes.len() as u64 >= total {
                return Ok(Ok(bytes));
            }
            batch.clear();
            encode(&ToTracker::Torrent { torrent, at: bytes.len() as u64 }, 0, &mut batch.heads);
            connection.send.send(&mut batch).await?;
        }
    }
}
