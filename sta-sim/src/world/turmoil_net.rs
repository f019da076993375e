//! [`Transport`] over turmoil's simulated TCP. Together with `turmoil_stage.rs` the only place that names turmoil.
//!
//! turmoil models a message for each write, with no bandwidth and no resends; rates, delays and faults are
//! [`super::fabric`]'s, so its own links are left perfect: no latency, no loss, no partition.
//!
//! What is written goes by reference: turmoil carries a byte for each part of it (the headers, a body), in its order and for
//! as long as turmoil's connection lives, and for each byte that comes out at the other end the next part is taken. Through turmoil
//! itself every body would be copied once more, and be a message apart from its header.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use sta_core::io::store::{Body, FileRange};
use sta_core::io::transport::{
    Batch, Connection, Listener, Next, RecvHalf, SendError, SendHalf, SendResult, Transport,
};
use sta_core::model::address::Address;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream};

/// Most bytes of one write. One write is one message of turmoil's, whatever its size, and the unit of its back-pressure: a
/// thousand of them are taken from a writer whom nobody reads.
pub const WRITE_BYTES: usize = 32 << 10;
/// Most parts of one write.
const PARTS_MAX: usize = 16;

/// The parts that are on their way in one direction of a connection.
type Lane = Arc<Mutex<VecDeque<Bytes>>>;
/// From where, then to where.
type Ends = (SocketAddr, SocketAddr);

/// The lanes of connections whose dialling side does not have them yet. Shared by all hosts of a stage.
#[derive(Clone, Debug, Default)]
pub struct Lanes(Arc<Mutex<BTreeMap<Ends, Lane>>>);

impl Lanes {
    /// New lanes to and from the accepting side, which is the first of the two to have its connection.
    fn offer(&self, local: SocketAddr, remote: SocketAddr) -> [Lane; 2] {
        let lanes: [Lane; 2] = Default::default();
        let mut waiting = lock(&self.0);
        waiting.insert((remote, local), Arc::clone(&lanes[0]));
        waiting.insert((local, remote), Arc::clone(&lanes[1]));
        lanes
    }

    /// The lanes to and from the dialling side.
    fn take(&self, local: SocketAddr, remote: SocketAddr) -> Option<[Lane; 2]> {
        let mut waiting = lock(&self.0);
        waiting.remove(&(remote, local)).zip(waiting.remove(&(local, remote))).map(<[_; 2]>::from)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The transport of the turmoil host that has the number `ip`.
#[derive(Clone, Debug)]
pub struct TurmoilTransport {
    ip: IpAddr,
    lanes: Lanes,
}

impl TurmoilTransport {
    /// The transport of the host that has the number `ip`. All hosts that are to connect share `lanes`.
    #[must_use]
    pub fn new(ip: IpAddr, lanes: Lanes) -> Self {
        Self { ip, lanes }
    }
}

#[async_trait]
impl Transport for TurmoilTransport {
    async fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let anywhere = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), at.port());
        let listener = TcpListener::bind(anywhere).await?;
        let local = SocketAddr::new(self.ip, listener.local_addr()?.port());
        Ok(Box::new(TurmoilListener { listener, local, lanes: self.lanes.clone() }))
    }

    async fn connect(&self, to: &Address) -> io::Result<Connection> {
        let stream = match to.socket_addr() {
            Some(number) => TcpStream::connect(number).await?,
            None => TcpStream::connect((to.host.as_str(), to.port)).await?,
        };
        let lanes = self.lanes.take(stream.local_addr()?, stream.peer_addr()?);
        connection(stream, lanes.ok_or(io::ErrorKind::ConnectionReset)?)
    }
}

fn connection(stream: TcpStream, [incoming, outgoing]: [Lane; 2]) -> io::Result<Connection> {
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    let (read, write) = stream.into_split();
    Ok(Connection {
        local,
        remote,
        recv: Box::new(TurmoilRecv { read, lane: incoming, part: Bytes::new() }),
        send: Box::new(TurmoilSend { write, lane: outgoing, parts: Vec::new() }),
    })
}

struct TurmoilListener {
    listener: TcpListener,
    local: SocketAddr,
    lanes: Lanes,
}

#[async_trait]
impl Listener for TurmoilListener {
    async fn accept(&mut self) -> io::Result<Connection> {
        let (stream, _) = self.listener.accept().await?;
        let lanes = self.lanes.offer(stream.local_addr()?, stream.peer_addr()?);
        connection(stream, lanes)
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

struct TurmoilRecv {
    read: OwnedReadHalf,
    lane: Lane,
    /// What is left of the part that is being read.
    part: Bytes,
}

impl RecvHalf for TurmoilRecv {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.part.is_empty() {
            let mut mark = [0];
            let mut mark = ReadBuf::new(&mut mark);
            ready!(Pin::new(&mut self.read).poll_read(cx, &mut mark))?;
            if mark.filled().is_empty() {
                return Poll::Ready(Ok(0));
            }
            let part = lock(&self.lane).pop_front();
            self.part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        let read = self.part.len().min(buf.len());
        self.part.copy_to_slice(&mut buf[..read]);
        Poll::Ready(Ok(read))
    }
}

struct TurmoilSend {
    write: OwnedWriteHalf,
    lane: Lane,
    /// What turmoil has not taken yet.
    parts: Vec<Bytes>,
}

impl SendHalf for TurmoilSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<SendResult> {
        loop {
            if self.parts.is_empty() {
                self.gather(batch)?;
            }
            if self.parts.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let marks = &[0; PARTS_MAX][..self.parts.len()];
            let written = ready!(Pin::new(&mut self.write).poll_write(cx, marks));
            let parts = self.parts.drain(..);
            // One write is one message: all of it or nothing.
            written.map(|_| lock(&self.lane).extend(parts))?;
        }
    }
}

impl TurmoilSend {
    /// Takes the parts of the next write out of `batch`.
    fn gather(&mut self, batch: &mut Batch) -> SendResult {
        let mut room = WRITE_BYTES;
        while room > 0 && self.parts.len() < PARTS_MAX {
            let part = match batch.next() {
                Next::Heads(bytes) => Bytes::copy_from_slice(&bytes[..bytes.len().min(room)]),
                Next::Body { body: Body::Bytes(bytes), sent } => {
                    let sent = sent as usize;
                    bytes.slice(sent..bytes.len().min(sent + room))
                }
                Next::Body { body: Body::Files(ranges), sent } => {
                    read_files(ranges, sent, room).map_err(SendError::Unreadable)?
                }
                Next::Nothing => break,
            };
            batch.advance(part.len() as u64);
            room -= part.len();
            self.parts.push(part);
        }
        Ok(())
    }
}

/// Reads the next bytes, at most `room` of them, of a body that lies in files and of which `sent` are sent.
fn read_files(ranges: &[FileRange], sent: u64, room: usize) -> io::Result<Bytes> {
    let mut skip = sent;
    for range in ranges {
        if skip < range.len {
            let mut part = vec![0; (range.len - skip).min(room as u64) as usize];
            range.file.read_exact_at(&mut part, range.offset + skip)?;
            return Ok(part.into());
        }
        skip -= range.len;
    }
    Ok(Bytes::new())
}
