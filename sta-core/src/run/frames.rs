//! Frames without bodies over a connection: what a tracker and its clients do. Sessions between peers have bodies,
//! and a reader and a writer of their own.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::io::transport::{Batch, RecvHalf, SendHalf};
use crate::model::limits;
use crate::wire::frame::{FrameDecoder, FrameError, PREAMBLE, encode};

/// A buffer larger than this is given back once it is empty: few messages are as large as a status answer.
const KEPT_BYTES: usize = 64 << 10;

/// Why there is nothing more to read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The other side has finished.
    #[error("it closed the connection")]
    End,
    /// The connection has broken.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The other side does not keep to the protocol.
    #[error(transparent)]
    Garbage(#[from] FrameError),
}

/// Reads until there is at least one message, and gives all that have come along with it.
///
/// # Errors
/// If there will be none.
pub async fn read_messages<M: DeserializeOwned>(
    recv: &mut (dyn RecvHalf + 'static),
    decoder: &mut FrameDecoder,
) -> Result<Vec<M>, ReadError> {
    let mut messages = Vec::new();
    while messages.is_empty() {
        let read = recv.recv(decoder.space()).await?;
        if read == 0 {
            return Err(ReadError::End);
        }
        decoder.filled(read);
        while let Some((message, _)) = decoder.next_message()? {
            messages.push(message);
        }
    }
    Ok(messages)
}

/// Sends the preamble and then what comes in `queue`, all that waits in one go, until the queue is closed and empty.
///
/// # Errors
/// If the connection breaks, or takes no byte for [`limits::TRACKER_WRITE_TIMEOUT`].
pub async fn write_messages<M: Serialize>(
    send: &mut (dyn SendHalf + 'static),
    queue: &mut mpsc::Receiver<M>,
) -> io::Result<()> {
    let mut batch = Batch::default();
    batch.heads.extend_from_slice(PREAMBLE);
    let mut messages = Vec::new();
    while queue.recv_many(&mut messages, limits::TRACKER_QUEUE_MAX).await > 0 {
        for message in messages.drain(..) {
            encode(&message, 0, &mut batch.heads);
        }
        timeout(limits::TRACKER_WRITE_TIMEOUT, send.send(&mut batch)).await??;
        batch.clear();
        if batch.heads.capacity() > KEPT_BYTES {
            batch.heads = Vec::new();
        }
    }
    Ok(())
}
