//! [`Transport`] on real TCP.
//!
//! * `dial.rs`: a name, all its addresses, the first that answers;
//! * `listen.rs`: listening on IPv4 and IPv6, and accepting whatever happens;
//! * `send.rs`: headers and bodies out, files by `sendfile` where the system has it.
//!
//! Knows nothing of frames and messages. `sta_core::testing::transport_suite` says what it must do.

#![forbid(unsafe_code)]

mod dial;
mod listen;
mod send;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use sta_core::io::transport::{Connection, Listener, RecvHalf, Transport};
use sta_core::model::address::Address;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// TCP of the operating system. Needs a tokio runtime with I/O and time.
#[derive(Clone, Copy, Debug)]
pub struct TcpTransport {
    sendfile: bool,
}

impl TcpTransport {
    /// The fastest way that this system has.
    #[must_use]
    pub const fn new() -> Self {
        Self { sendfile: cfg!(target_os = "linux") }
    }

    /// Reads files and writes them to the socket, as on systems without `sendfile`.
    #[must_use]
    pub const fn without_sendfile() -> Self {
        Self { sendfile: false }
    }

    fn connection(self, stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let (local, remote) = (canonical(stream.local_addr()?), canonical(stream.peer_addr()?));
        let (recv, send) = stream.into_split();
        Ok(Connection {
            local,
            remote,
            recv: Box::new(TcpRecv(recv)),
            send: Box::new(send::TcpSend::new(send, self.sendfile)),
        })
    }
}

impl Default for TcpTransport {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Transport for TcpTransport {
    async fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(listen::TcpListening::open(at, *self)?))
    }

    async fn connect(&self, to: &Address) -> io::Result<Connection> {
        self.connection(dial::dial(to).await?)
    }
}

struct TcpRecv(OwnedReadHalf);

impl RecvHalf for TcpRecv {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

/// An IPv4 address as such, not as the IPv6 address that a listener for both sees: it is told to other machines.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(addr.ip().to_canonical(), addr.port())
        }
        other => other,
    }
}
