//! A connection with a peer, as two tasks: a reader (bytes to messages, bodies into buffers) and a writer (messages to
//! bytes, blocks straight from the store).
//!
//! They decide nothing. The reader is held up when the disk is behind, or when the owner has not yet taken what it
//! read before: that is TCP's back-pressure at work, and what a flood runs into.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::timeout;

use super::buffers::{Buffer, BufferPool};
use super::disk::{Backlog, READ_BACK_BYTES};
use super::frames::ReadError;
use crate::engine::interface::ConnId;
use crate::io::store::{Body, PieceStore, StoreError};
use crate::io::transport::{Batch, RecvHalf, SendError, SendHalf, SendResult};
use crate::model::layout::Block;
use crate::model::limits;
use crate::wire::frame::{
    FrameDecoder, FrameError, PEER_LIMITS, PEER_READ_BYTES, PREAMBLE, encode,
};
use crate::wire::peer::PeerMessage;

/// What a connection tells the owner of the node.
#[derive(Debug)]
pub(super) enum FromPeer {
    /// A message without a body.
    Message(PeerMessage),
    /// A block, and the request it says it answers.
    Block { id: u64, block: Block, data: Buffer },
    /// The oldest block given to the writer was handed to the network.
    Sent,
    /// That of request `id`, the oldest given to the writer, cannot be read.
    Unreadable { id: u64, why: StoreError },
    /// It is over; the reason, for a person.
    Closed(String),
}

/// What the owner of the node gives a connection to send.
pub(super) enum ToPeer {
    /// A message without a body.
    Message(PeerMessage),
    /// A block, from its store.
    Block { id: u64, block: Block, store: Arc<dyn PieceStore> },
}

/// Where a connection delivers. The permit is held until the owner has taken the message.
pub(super) trait Deliver: Send + 'static {
    fn deliver(&self, conn: ConnId, what: FromPeer, permit: Option<OwnedSemaphorePermit>);
}

/// What an owner holds of a connection that it wants.
pub(super) struct Wanted {
    /// What the writer is to send.
    pub queue: mpsc::Sender<ToPeer>,
    /// Permits for messages that the owner has not taken.
    credit: Arc<Semaphore>,
}

impl Wanted {
    /// With it what its tasks need: the credit of the reader, and the queue of the writer.
    pub(super) fn new() -> (Self, Arc<Semaphore>, mpsc::Receiver<ToPeer>) {
        let (queue, queued) = mpsc::channel(limits::PEER_QUEUE_MAX);
        let credit = Arc::new(Semaphore::new(limits::MESSAGES_UNHANDLED_MAX));
        (Self { queue, credit: Arc::clone(&credit) }, credit, queued)
    }
}

/// The writer sends what is queued, if it is taken soon; what comes is of use to nobody.
impl Drop for Wanted {
    fn drop(&mut self) {
        self.credit.close();
    }
}

/// Reads until the connection ends, then says why. What comes when it is not [`Wanted`] any more is thrown away: a
/// connection that is closed with something unread loses what was sent last.
pub(super) async fn read(
    conn: ConnId,
    mut recv: Box<dyn RecvHalf>,
    pool: BufferPool,
    backlog: Backlog,
    credit: Arc<Semaphore>,
    owner: impl Deliver,
) {
    let mut decoder = FrameDecoder::new(PEER_LIMITS, PEER_READ_BYTES);
    loop {
        let what = match next(&mut *recv, &mut decoder, &pool, &backlog, &credit).await {
            Ok(what) => what,
            Err(why) => return owner.deliver(conn, FromPeer::Closed(why.to_string()), None),
        };
        if let Ok(permit) = Arc::clone(&credit).acquire_owned().await {
            owner.deliver(conn, what, Some(permit));
        }
    }
}

async fn next(
    recv: &mut (dyn RecvHalf + 'static),
    decoder: &mut FrameDecoder,
    pool: &BufferPool,
    backlog: &Backlog,
    credit: &Semaphore,
) -> Result<FromPeer, ReadError> {
    let (message, body_len) = loop {
        if let Some(frame) = decoder.next_message::<PeerMessage>()? {
            break frame;
        }
        let read = recv.recv(decoder.space()).await?;
        if read == 0 {
            return Err(ReadError::End);
        }
        decoder.filled(read);
    };
    let longest = limits::BLOCK_BYTES_MAX as usize;
    match message {
        PeerMessage::Data { id, block } if !credit.is_closed() => {
            let block = Block::from(block);
            if body_len != block.len as usize || body_len > longest {
                return Err(FrameError::Body(body_len, block.len).into());
            }
            backlog.room().await;
            let mut data = pool.take(body_len);
            let held = decoder.take_body(&mut data);
            recv.recv_exact(&mut data[held..]).await?;
            Ok(FromPeer::Block { id, block, data })
        }
        message => {
            skip(recv, decoder, pool, body_len).await?;
            Ok(FromPeer::Message(message))
        }
    }
}

/// Reads a body that is of no use: a later version may have given one to a kind of message that has none today.
async fn skip(
    recv: &mut (dyn RecvHalf + 'static),
    decoder: &mut FrameDecoder,
    pool: &BufferPool,
    mut left: usize,
) -> io::Result<()> {
    let mut scrap = pool.take(left.min(limits::BLOCK_BYTES_MIN as usize));
    left -= decoder.take_body(&mut scrap);
    while left > 0 {
        let portion = left.min(scrap.len());
        recv.recv_exact(&mut scrap[..portion]).await?;
        left -= portion;
    }
    Ok(())
}

/// Writes until the queue is dropped and empty, or the connection breaks; then the reader ends too.
pub(super) async fn write(
    conn: ConnId,
    mut send: Box<dyn SendHalf>,
    mut queue: mpsc::Receiver<ToPeer>,
    reader: AbortHandle,
    owner: impl Deliver,
) {
    if let Err(why) = write_all(conn, &mut *send, &mut queue, &owner).await {
        owner.deliver(conn, FromPeer::Closed(why.to_string()), None);
    }
    reader.abort();
}

/// Why nothing more can be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Unsent(#[from] SendError),
    #[error("it takes nothing")]
    Stuck(#[from] tokio::time::error::Elapsed),
}

/// The bytes of a block, to be sent. If they may have changed since they were verified, their piece is verified again first.
async fn body(store: &dyn PieceStore, block: Block) -> Result<Body, StoreError> {
    for _ in 0..limits::VERIFY_AGAIN_MAX {
        let Some(doubt) = store.doubt(block)? else {
            return store.body(store.layout().block_offset(block), block.len);
        };
        if !is_right(store, block.piece).await? {
            let reason = "it has changed since it was verified, and is not served where it is wrong \
                          now; mend it, which is seen after a while, or make a new torrent of what is there";
            return Err(StoreError { path: doubt.path, reason: reason.to_owned(), passing: false });
        }
        store.trust(block.piece, &doubt);
    }
    let path = format!("piece {}", block.piece);
    let reason = "its files change all the time, and it is not served any more".to_owned();
    Err(StoreError { path, reason, passing: false })
}

/// Reads a piece and verifies it, and lets others have their turn meanwhile.
async fn is_right(store: &dyn PieceStore, piece: u32) -> Result<bool, StoreError> {
    let (start, len) = (store.layout().piece_offset(piece), store.layout().piece_len(piece));
    let mut verifier = store.verifier(piece);
    let mut part = vec![0; READ_BACK_BYTES.min(len as usize)];
    let mut read = 0;
    while read < len {
        let portion = part.len().min((len - read) as usize);
        store.read(start + u64::from(read), &mut part[..portion])?;
        verifier.update(&part[..portion]);
        read += portion as u32;
        match store.reading(portion as u64) {
            Some(wait) => wait.await,
            None => yield_now().await,
        }
    }
    Ok(verifier.verdict())
}

/// Sends `batch`. Who is not wanted any more must take it soon.
async fn send_batch(
    send: &mut (dyn SendHalf + 'static),
    batch: &mut Batch,
    queue: &mpsc::Receiver<ToPeer>,
) -> Result<SendResult, WriteError> {
    let mut waited = Duration::ZERO;
    loop {
        match timeout(limits::GOODBYE_TIMEOUT, send.send(batch)).await {
            Ok(sent) => return Ok(sent),
            Err(late) => {
                waited += limits::GOODBYE_TIMEOUT;
                if queue.is_closed() || waited >= limits::PEER_WRITE_TIMEOUT {
                    return Err(late.into());
                }
            }
        }
    }
}

async fn write_all(
    conn: ConnId,
    send: &mut (dyn SendHalf + 'static),
    queue: &mut mpsc::Receiver<ToPeer>,
    owner: &impl Deliver,
) -> Result<(), WriteError> {
    let mut batch = Batch::default();
    batch.heads.extend_from_slice(PREAMBLE);
    while let Some(first) = queue.recv().await {
        let mut under_way = None;
        let mut item = Some(first);
        while let Some(what) = item {
            match what {
                ToPeer::Message(message) => encode(&message, 0, &mut batch.heads),
                ToPeer::Block { id, block, store } => match body(&*store, block).await {
                    Ok(body) => {
                        if let Some(wait) = store.reading(block.len.into()) {
                            wait.await;
                        }
                        let message = PeerMessage::Data { id, block: block.into() };
                        encode(&message, block.len, &mut batch.heads);
                        batch.push_body(body);
                        under_way = Some((id, block));
                    }
                    Err(why) => owner.deliver(conn, FromPeer::Unreadable { id, why }, None),
                },
            }
            // A block ends the batch: the owner is to hear soon that it is out.
            item = if under_way.is_some() { None } else { queue.try_recv().ok() };
        }
        match (send_batch(send, &mut batch, queue).await?, under_way) {
            (Ok(()), Some(_)) => owner.deliver(conn, FromPeer::Sent, None),
            (Err(SendError::Unreadable(error)), Some((id, block))) => {
                let path = format!("piece {}", block.piece);
                let why = StoreError { path, reason: error.to_string(), passing: false };
                owner.deliver(conn, FromPeer::Unreadable { id, why }, None);
                return Err(SendError::Unreadable(error).into());
            }
            (sent, _) => sent?,
        }
        batch.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::run::fake::{Says, Takes, connection};

    /// Keeps what it is told.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Deliver for Told {
        fn deliver(&self, _: ConnId, what: FromPeer, _: Option<OwnedSemaphorePermit>) {
            self.0.lock().expect("nobody panics").push(format!("{what:?}"));
        }
    }

    /// Waits until a peer that takes nothing is let go, who is wanted or not.
    async fn lets_go(wanted: bool) {
        let (said, takes) = (Says::nothing(), Takes::Nothing);
        let connection = connection(said, takes, Arc::new(()));
        let (holds, credit, queued) = Wanted::new();
        let (conn, owner) = (ConnId::accepted(1), Told::default());
        let backlog = Backlog::default();
        let read = read(conn, connection.recv, BufferPool::new(), backlog, credit, owner.clone());
        let reader = tokio::spawn(read);
        let bye = PeerMessage::Bye { why: "that is all".into() };
        assert!(holds.queue.try_send(ToPeer::Message(bye)).is_ok());
        let holds = wanted.then_some(holds);
        write(conn, connection.send, queued, reader.abort_handle(), owner.clone()).await;
        assert!(reader.await.expect_err("its connection is gone").is_cancelled());
        drop(holds);
        assert_eq!(owner.0.lock().expect("nobody panics").len(), 1, "it is told why");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_wanted_and_takes_nothing_is_let_go_soon() {
        assert!(timeout(3 * limits::GOODBYE_TIMEOUT, lets_go(false)).await.is_ok());
        assert!(timeout(limits::PEER_WRITE_TIMEOUT / 2, lets_go(true)).await.is_err());
        assert!(timeout(2 * limits::PEER_WRITE_TIMEOUT, lets_go(true)).await.is_ok());
    }
}
