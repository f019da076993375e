//! A connection with a peer, as two tasks: a reader (bytes to messages, bodies into buffers) and a writer (messages to
//! bytes, blocks straight from the store).
//!
//! They decide nothing. The reader is held up when the disk is behind, or when the owner has not yet taken what it
//! read before: that is TCP's back-pressure at work, and what a flood runs into.

use std::io;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::timeout;

use super::buffers::{Buffer, BufferPool};
use super::disk::{Backlog, READ_BACK_BYTES};
use super::frames::ReadError;
use crate::engine::interface::ConnId;
use crate::io::store::{Body, PieceStore, StoreError};
use crate::io::transport::{Batch, RecvHalf, SendError, SendHalf};
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

/// Reads until the connection ends, then says why.
pub(super) async fn read(
    conn: ConnId,
    mut recv: Box<dyn RecvHalf>,
    pool: BufferPool,
    backlog: Backlog,
    owner: impl Deliver,
) {
    let credit = Arc::new(Semaphore::new(limits::MESSAGES_UNHANDLED_MAX));
    let mut decoder = FrameDecoder::new(PEER_LIMITS, PEER_READ_BYTES);
    loop {
        let what = match next(&mut *recv, &mut decoder, &pool, &backlog).await {
            Ok(what) => what,
            Err(why) => return owner.deliver(conn, FromPeer::Closed(why.to_string()), None),
        };
        let permit = Arc::clone(&credit).acquire_owned().await.ok();
        owner.deliver(conn, what, permit);
    }
}

async fn next(
    recv: &mut (dyn RecvHalf + 'static),
    decoder: &mut FrameDecoder,
    pool: &BufferPool,
    backlog: &Backlog,
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
        PeerMessage::Data { id, block } => {
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

/// Reads a body that a later version may have given to a kind of message that has none today.
async fn skip(
    recv: &mut (dyn RecvHalf + 'static),
    decoder: &mut FrameDecoder,
    pool: &BufferPool,
    mut left: usize,
) -> io::Result<()> {
    let mut scrap = pool.take(left.min(limits::BLOCK_BYTES_MAX as usize));
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
                          now; verify the torrent, or make a new one of what is there";
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
        let sent = timeout(limits::PEER_WRITE_TIMEOUT, send.send(&mut batch)).await?;
        match (sent, under_way) {
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
