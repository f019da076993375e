//! [`Transport`] on real TCP.
//!
//! * `dial.rs`: a name, all its addresses, the first that answers;
//! * `listen.rs`: listening on IPv4 and IPv6, and accepting whatever happens;
//! * `recv.rs`: bytes in, and how many of them are worth waking somebody;
//! * `send.rs`: headers and bodies out, files by `sendfile` where the system has it.
//!
//! Knows nothing of frames and messages. `sta_core::testing::transport_suite` says what it must do.

#![forbid(unsafe_code)]

mod dial;
mod listen;
mod recv;
mod send;

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use sta_core::io::transport::{Connection, Listener, Transport};
use sta_core::model::address::Address;
use tokio::net::TcpStream;

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
            recv: Box::new(recv::TcpRecv::new(recv)),
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

/// An IPv4 address as such, not as the IPv6 address that a listener for both sees: it is told to other machines.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(addr.ip().to_canonical(), addr.port())
        }
        other => other,
    }
}
