//! Listening on IPv4 and IPv6 at once where asked to listen everywhere, and accepting whatever happens.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use socket2::{Domain, Protocol, Socket, Type};
use sta_core::io::transport::{Connection, Listener};
use sta_core::model::limits;
use tokio::net::TcpListener;
use tracing::{debug, warn};

use crate::TcpTransport;

pub(crate) struct TcpListening {
    listener: TcpListener,
    local: SocketAddr,
    transport: TcpTransport,
}

impl TcpListening {
    /// Listens at `at`. `[::]` takes IPv4 too, and is `0.0.0.0` on a machine without IPv6.
    pub(crate) fn open(at: SocketAddr, transport: TcpTransport) -> io::Result<Self> {
        let socket = match bind(at) {
            Err(error) if at.is_ipv6() && at.ip().is_unspecified() && no_ipv6(&error) => {
                bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, at.port())))
            }
            bound => bound,
        }?;
        let listener = TcpListener::from_std(socket.into())?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local, transport })
    }
}

fn bind(at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() && at.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // Restarting must not wait for connections of the last run to time out (as std does on Unix).
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket)
}

fn no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let none = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| none.contains(&errno))
}

/// Whether an error of accept concerns the process or the machine, so that the next call would fail at once as well.
fn out_of_resources(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

#[async_trait]
impl Listener for TcpListening {
    async fn accept(&mut self) -> io::Result<Connection> {
        let mut warned = false;
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => match self.transport.connection(stream) {
                    Ok(connection) => return Ok(connection),
                    Err(error) => debug!(%remote, %error, "a connection broke as it was accepted"),
                },
                Err(error) if out_of_resources(&error) => {
                    if !warned {
                        warn!(at = %self.local, %error, "cannot accept connections; trying on");
                    }
                    warned = true;
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}
