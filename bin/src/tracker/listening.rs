//! TCP that listens already: whether a tracker can listen is known before its database is made, and nobody takes the port meanwhile.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use sta_core::io::transport::{Connection, Listener, Transport};
use sta_core::model::address::Address;
use sta_net_tcp::TcpTransport;

/// TCP, with a listener for the first who listens.
pub(super) struct Listening {
    tcp: TcpTransport,
    first: Mutex<Option<Box<dyn Listener>>>,
}

impl Listening {
    /// Listens at `at`.
    ///
    /// # Errors
    /// If the system does not let it.
    pub(super) async fn open(at: SocketAddr) -> io::Result<Self> {
        let tcp = TcpTransport::new();
        let first = Mutex::new(Some(tcp.listen(at).await?));
        Ok(Self { tcp, first })
    }
}

#[async_trait]
impl Transport for Listening {
    async fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(listener) => Ok(listener),
            None => self.tcp.listen(at).await,
        }
    }

    async fn connect(&self, to: &Address) -> io::Result<Connection> {
        self.tcp.connect(to).await
    }
}
