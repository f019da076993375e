//! Frames without bodies over a connection: what a tracker and its clients do. Sessions between peers have bodies,
//! and a reader and a writer of their own.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::io::transport::{Batch, RecvHalf, SendHalf};
use crate::model::limits;
use crate::wire::frame::{FrameDecoder, FrameError, PREAMBLE, encode};

/// A buffer larger than this is given back once it is empty: a tracker has two for each of thousands of connections, and
/// few messages are as large as a status answer.
const KEPT_BYTES: usize = 4 << 10;

/// Of what is sent in one go so much must be taken in time. Who takes it byte by byte would hold the memory of all of it for ever.
const PART_BYTES: usize = 64 << 10;

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

/// Frames that wait to be sent over one connection: encoded at once, and bounded by their bytes.
#[derive(Debug)]
pub struct Outbox {
    waiting: Waiting,
    wake: mpsc::Sender<()>,
    bytes_max: usize,
    /// Dropped with it, while the task that sends may be held up.
    _open: oneshot::Sender<()>,
}

/// What an [`Outbox`] holds, for the task that sends it.
#[derive(Debug)]
pub struct Outgoing {
    waiting: Wakened,
    dropped: oneshot::Receiver<()>,
}

/// What waits, and who says that there is something.
#[derive(Debug)]
struct Wakened {
    waiting: Waiting,
    woken: mpsc::Receiver<()>,
}

type Waiting = Arc<Mutex<Vec<u8>>>;

/// Why an [`Outbox`] takes nothing.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// More waits already than it may hold.
    #[error("{0} bytes wait for it, and it does not read them")]
    Full(usize),
    /// The task that sends has ended.
    #[error("nothing can be sent to it any more")]
    Closed,
}

/// An outbox that takes a message as long as at most `bytes_max` wait. The preamble is in it already.
#[must_use]
pub fn outbox(bytes_max: usize) -> (Outbox, Outgoing) {
    let waiting = Waiting::new(Mutex::new(PREAMBLE.to_vec()));
    let (wake, woken) = mpsc::channel(1);
    let (open, dropped) = oneshot::channel();
    let outgoing = Outgoing { waiting: Wakened { waiting: waiting.clone(), woken }, dropped };
    (Outbox { waiting, wake, bytes_max, _open: open }, outgoing)
}

impl Outbox {
    /// Adds a message without a body.
    ///
    /// # Errors
    /// If it is full, or if nobody will send.
    pub fn push(&self, message: &impl Serialize) -> Result<(), OutboxError> {
        let mut waiting = lock(&self.waiting);
        if waiting.len() > self.bytes_max {
            return Err(OutboxError::Full(waiting.len()));
        }
        encode(message, 0, &mut waiting);
        drop(waiting);
        match self.wake.try_send(()) {
            Err(TrySendError::Closed(())) => Err(OutboxError::Closed),
            // One call to wake up is enough for all that waits.
            Err(TrySendError::Full(())) | Ok(()) => Ok(()),
        }
    }
}

impl Outgoing {
    /// Sends all that waits in one go, again and again, until the outbox is dropped and empty.
    ///
    /// # Errors
    /// If the connection breaks, or takes too little in [`limits::TRACKER_WRITE_TIMEOUT`]: neither all nor 64 KiB; or if the outbox
    /// is not empty [`limits::TRACKER_DRAIN_TIMEOUT`] after it was dropped.
    pub async fn send_all(self, send: &mut (dyn SendHalf + 'static)) -> io::Result<()> {
        let Self { mut waiting, dropped } = self;
        let patience = async {
            // Nothing is ever sent: it ends with the outbox.
            let _ = dropped.await;
            sleep(limits::TRACKER_DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            biased;
            sent = waiting.send_each(send) => sent,
            () = patience => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Wakened {
    /// Puts what waits in place of `empty`, once there is something; false if nothing will come any more.
    async fn swap(&mut self, empty: &mut Vec<u8>) -> bool {
        let open = self.woken.recv().await.is_some();
        std::mem::swap(&mut *lock(&self.waiting), empty);
        open || !empty.is_empty()
    }

    async fn send_each(&mut self, send: &mut (dyn SendHalf + 'static)) -> io::Result<()> {
        let mut batch = Batch::default();
        while self.swap(&mut batch.heads).await {
            let mut sent = 0;
            loop {
                match timeout(limits::TRACKER_WRITE_TIMEOUT, send.send(&mut batch)).await {
                    Ok(done) => break done?,
                    // It is slow, but reads.
                    Err(_) if batch.heads_sent - sent >= PART_BYTES => sent = batch.heads_sent,
                    Err(late) => return Err(late.into()),
                }
            }
            batch.clear();
            if batch.heads.capacity() > KEPT_BYTES {
                batch.heads = Vec::new();
            }
        }
        Ok(())
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, Vec<u8>> {
    // Whole frames only: a message that cannot be encoded is a bug, which has been reported by the panic.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{PART_BYTES, outbox};
    use crate::model::limits;
    use crate::run::fake::{Says, Takes, connection};
    use crate::wire::tracker::ToTracker;

    /// Each part of it came in time, and all of it took for ever.
    #[tokio::test(start_paused = true)]
    async fn what_waits_for_who_has_gone_is_sent_within_bounds_or_not_at_all() {
        let (outbox, outgoing) = outbox(100 * PART_BYTES);
        while outbox.push(&ToTracker::Ping).is_ok() {}
        let takes = Takes::slowly(PART_BYTES as u64, limits::TRACKER_WRITE_TIMEOUT / 2);
        let mut slow = connection(Says::nothing(), takes, Arc::default());
        let mut sending = std::pin::pin!(outgoing.send_all(&mut *slow.send));
        let drain = limits::TRACKER_DRAIN_TIMEOUT;
        timeout(2 * drain, &mut sending).await.expect_err("the outbox is there");
        drop(outbox);
        timeout(drain - Duration::from_secs(1), &mut sending).await.expect_err("it has time");
        let done = timeout(Duration::from_secs(2), sending).await.expect("it is over");
        assert!(done.is_err(), "not all was sent");
    }
}
