//! [`Transport`] over turmoil's simulated TCP. Together with `turmoil_stage.rs` the only place that names turmoil.
//!
//! turmoil models a message for each write, with no bandwidth and no resends; rates, delays and faults are
//! [`super::fabric`]'s, so its own links are left perfect: no latency, no loss, no partition.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use sta_core::io::store::Body;
use sta_core::io::transport::{Batch, Connection, Listener, Next, RecvHalf, SendHalf, Transport};
use sta_core::model::address::Address;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream};

/// Most bytes of one write. One write is one message of turmoil's, whatever its size, and the unit of its back-pressure: a
/// thousand of them are taken from a writer whom nobody reads.
pub const WRITE_BYTES: usize = 32 << 10;

/// The transport of the turmoil host that has the number `ip`.
#[derive(Clone, Copy, Debug)]
pub struct TurmoilTransport {
    ip: IpAddr,
}

impl TurmoilTransport {
    /// The transport of the host that has the number `ip`.
    #[must_use]
    pub fn new(ip: IpAddr) -> Self {
        Self { ip }
    }
}

#[async_trait]
impl Transport for TurmoilTransport {
    async fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let anywhere = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), at.port());
        let listener = TcpListener::bind(anywhere).await?;
        let local = SocketAddr::new(self.ip, listener.local_addr()?.port());
        Ok(Box::new(TurmoilListener { listener, local }))
    }

    async fn connect(&self, to: &Address) -> io::Result<Connection> {
        let stream = match to.socket_addr() {
            Some(number) => TcpStream::connect(number).await?,
            None => TcpStream::connect((to.host.as_str(), to.port)).await?,
        };
        connection(stream)
    }
}

fn connection(stream: TcpStream) -> io::Result<Connection> {
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    let (read, write) = stream.into_split();
    Ok(Connection {
        local,
        remote,
        recv: Box::new(TurmoilRecv(read)),
        send: Box::new(TurmoilSend { write, buffer: Vec::new() }),
    })
}

struct TurmoilListener {
    listener: TcpListener,
    local: SocketAddr,
}

#[async_trait]
impl Listener for TurmoilListener {
    async fn accept(&mut self) -> io::Result<Connection> {
        let (stream, _) = self.listener.accept().await?;
        connection(stream)
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

struct TurmoilRecv(OwnedReadHalf);

impl RecvHalf for TurmoilRecv {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

struct TurmoilSend {
    write: OwnedWriteHalf,
    /// For bodies that lie in files.
    buffer: Vec<u8>,
}

impl SendHalf for TurmoilSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>> {
        loop {
            let write = Pin::new(&mut self.write);
            let written = match batch.next() {
                Next::Heads { bytes, .. } => {
                    ready!(write.poll_write(cx, &bytes[..bytes.len().min(WRITE_BYTES)]))?
                }
                Next::Body { body: Body::Bytes(bytes), sent } => {
                    let rest = &bytes[sent as usize..];
                    ready!(write.poll_write(cx, &rest[..rest.len().min(WRITE_BYTES)]))?
                }
                Next::Body { body, sent } => {
                    read_files(body, sent, &mut self.buffer)?;
                    ready!(write.poll_write(cx, &self.buffer))?
                }
                Next::Nothing => return Poll::Ready(Ok(())),
            };
            batch.advance(written as u64);
        }
    }
}

/// Reads the next bytes of a body that lies in files.
fn read_files(body: &Body, sent: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    let Body::Files(ranges) = body else { return Ok(()) };
    let mut skip = sent;
    for range in ranges {
        if skip < range.len {
            let most = (range.len - skip).min(WRITE_BYTES as u64) as usize;
            buffer.resize(most, 0);
            return range.file.read_exact_at(buffer, range.offset + skip);
        }
        skip -= range.len;
    }
    Ok(())
}
