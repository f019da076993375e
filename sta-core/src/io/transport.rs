//! How bytes get from one machine to another. Implemented on real TCP, on turmoil's, and by wrappers that shape.
//!
//! Opening is rare and boxed; moving bytes is frequent and polled, so that it allocates nothing. What every
//! implementation must do is `testing/transport_suite.rs`.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use async_trait::async_trait;
use smallvec::SmallVec;

use super::store::Body;
use crate::model::address::Address;

/// Opens connections and accepts them.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Listens at `at`; port 0 takes a free one.
    async fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>>;

    /// Connects to `to`, trying every number that a name stands for.
    async fn connect(&self, to: &Address) -> io::Result<Connection>;
}

/// Accepts connections.
#[async_trait]
pub trait Listener: Send {
    /// The next connection. An error concerns one connection or the moment (no file descriptor left): go on.
    async fn accept(&mut self) -> io::Result<Connection>;

    /// Where it listens, with the port it was given.
    fn local_addr(&self) -> SocketAddr;
}

/// A stream of bytes each way, in order and reliable until it breaks. Dropping both halves closes it.
pub struct Connection {
    /// This side's address.
    pub local: SocketAddr,
    /// The other side's address, as observed.
    pub remote: SocketAddr,
    /// Bytes coming in.
    pub recv: Box<dyn RecvHalf>,
    /// Bytes going out.
    pub send: Box<dyn SendHalf>,
}

/// The incoming half of a connection.
pub trait RecvHalf: Send {
    /// Reads into `buf`, which is not empty, and says how much; 0 means that the other side has finished.
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// As [`Self::poll_recv`], for a reader who can do nothing before `buf` is full: it need not be woken for every part.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, buf)
    }
}

/// The outgoing half of a connection.
pub trait SendHalf: Send {
    /// Sends some of what is left of `batch` and advances it; ready once nothing is left and everything was handed to
    /// the network. Called again with the same batch until then.
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<SendResult>;
}

/// What became of a batch.
pub type SendResult = Result<(), SendError>;

/// Why a batch was not sent whole. Nothing more can be sent on that connection: a frame may have left in part.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection is at fault.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The body that was next cannot be read.
    #[error("what was to be sent cannot be read: {0}")]
    Unreadable(io::Error),
}

/// Of who sends nothing that must be read first.
impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        let (SendError::Broken(error) | SendError::Unreadable(error)) = error;
        error
    }
}

/// Frames on their way out: bytes (of headers) followed by a body, several times.
///
/// One batch goes out in as few system calls as can be. Reused, so that sending allocates nothing.
#[derive(Debug, Default)]
pub struct Batch {
    /// The bytes of all headers, one after the other.
    pub heads: Vec<u8>,
    /// Up to which byte of `heads` goes out before each body, ascending.
    pub bodies: SmallVec<[(usize, Body); 4]>,
    /// Progress: bytes of `heads` sent.
    pub heads_sent: usize,
    /// Progress: bodies sent whole.
    pub bodies_sent: usize,
    /// Progress: bytes sent of the body that is under way.
    pub body_sent: u64,
}

/// What a [`SendHalf`] is to send next.
#[derive(Debug)]
pub enum Next<'a> {
    /// Bytes of headers, not empty.
    Heads(&'a [u8]),
    /// The rest of a body, from `sent` on.
    Body {
        /// The body.
        body: &'a Body,
        /// How many of its bytes are sent already.
        sent: u64,
    },
    /// Everything is sent.
    Nothing,
}

impl Batch {
    /// Takes everything out, to be filled again.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.bodies.clear();
        (self.heads_sent, self.bodies_sent, self.body_sent) = (0, 0, 0);
    }

    /// Adds a body after the headers appended so far.
    pub fn push_body(&mut self, body: Body) {
        if !body.is_empty() {
            self.bodies.push((self.heads.len(), body));
        }
    }

    /// What is to be sent next.
    #[must_use]
    pub fn next(&self) -> Next<'_> {
        match self.bodies.get(self.bodies_sent) {
            Some((upto, body)) if self.heads_sent == *upto => {
                Next::Body { body, sent: self.body_sent }
            }
            Some((upto, _)) => Next::Heads(&self.heads[self.heads_sent..*upto]),
            None if self.heads_sent < self.heads.len() => {
                Next::Heads(&self.heads[self.heads_sent..])
            }
            None => Next::Nothing,
        }
    }

    /// `bytes` bytes of what [`Self::next`] gave have been sent.
    pub fn advance(&mut self, bytes: u64) {
        match self.next() {
            Next::Heads(_) => self.heads_sent += bytes as usize,
            Next::Body { body, sent } => {
                if sent + bytes >= body.len() {
                    self.bodies_sent += 1;
                    self.body_sent = 0;
                } else {
                    self.body_sent += bytes;
                }
            }
            Next::Nothing => {}
        }
    }
}

impl dyn RecvHalf {
    /// [`RecvHalf::poll_recv`], to be awaited.
    ///
    /// # Errors
    /// As the transport's: the connection has broken.
    pub async fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv(cx, buf)).await
    }

    /// Fills `buf`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the other side finishes before; else as the transport's.
    pub async fn recv_exact(&mut self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match poll_fn(|cx| self.poll_fill(cx, buf)).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => buf = &mut buf[read..],
            }
        }
        Ok(())
    }
}

impl dyn SendHalf {
    /// [`SendHalf::poll_send`], to be awaited.
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, batch: &mut Batch) -> SendResult {
        poll_fn(|cx| self.poll_send(cx, batch)).await
    }
}
