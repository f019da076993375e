//! Connections by a script, for the tests of the shells: what the other side says, and how it takes what is said to it.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use crate::io::transport::{
    Batch, Connection, Listener, RecvHalf, SendHalf, SendResult, Transport,
};
use crate::model::address::Address;
use crate::wire::frame::{PREAMBLE, encode};

/// What the other side says, and whether it has finished then; else it is silent.
pub(super) struct Says {
    bytes: Vec<u8>,
    said: usize,
    finishes: bool,
    /// So many bytes whenever the time is over, and the time; otherwise all at once.
    pace: Option<(usize, Duration, Pin<Box<Sleep>>)>,
}

impl Says {
    /// Nothing, for ever.
    pub(super) fn nothing() -> Self {
        Self { bytes: Vec::new(), said: 0, finishes: false, pace: None }
    }

    /// `messages`, all at once.
    pub(super) fn messages<M: Serialize>(messages: impl IntoIterator<Item = M>) -> Self {
        let mut bytes = PREAMBLE.to_vec();
        messages.into_iter().for_each(|message| encode(&message, 0, &mut bytes));
        Self { bytes, said: 0, finishes: false, pace: None }
    }

    pub(super) fn then_finishes(self) -> Self {
        Self { finishes: true, ..self }
    }

    pub(super) fn slowly(self, bytes: usize, every: Duration) -> Self {
        Self { pace: Some((bytes, every, Box::pin(sleep(every)))), ..self }
    }
}

impl RecvHalf for Says {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut rest = &self.bytes[self.said..];
        if let Some((bytes, every, alarm)) = &mut self.pace {
            ready!(alarm.as_mut().poll(cx));
            alarm.set(sleep(*every));
            rest = &rest[..rest.len().min(*bytes)];
        }
        if rest.is_empty() && !self.finishes {
            // Nobody wakes it: it is silent for ever.
            return Poll::Pending;
        }
        let read = rest.len().min(buf.len());
        buf[..read].copy_from_slice(&rest[..read]);
        self.said += read;
        Poll::Ready(Ok(read))
    }
}

/// How the other side takes what it is sent.
pub(super) enum Takes {
    Nothing,
    /// So many bytes whenever the time is over, and the time.
    Slowly(u64, Duration, Pin<Box<Sleep>>),
}

impl Takes {
    pub(super) fn slowly(bytes: u64, every: Duration) -> Self {
        Self::Slowly(bytes, every, Box::pin(sleep(every)))
    }
}

impl SendHalf for Takes {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<SendResult> {
        let Self::Slowly(bytes, every, alarm) = self else { return Poll::Pending };
        while batch.heads_sent < batch.heads.len() {
            ready!(alarm.as_mut().poll(cx));
            batch.advance((*bytes).min((batch.heads.len() - batch.heads_sent) as u64));
            alarm.set(sleep(*every));
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection between two addresses that mean nothing. `held` is dropped with what the other side hears by.
pub(super) fn connection(says: Says, takes: Takes, held: Arc<()>) -> Connection {
    let nowhere = nowhere();
    let (recv, send) = (Box::new(says), Box::new(Held { takes, _held: held }));
    Connection { local: nowhere, remote: nowhere, recv, send }
}

/// An address where nobody is.
pub(super) fn nowhere() -> SocketAddr {
    ([192, 0, 2, 1], 7000).into()
}

struct Held {
    takes: Takes,
    _held: Arc<()>,
}

impl SendHalf for Held {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<SendResult> {
        self.takes.poll_send(cx, batch)
    }
}

/// Where a test says who is connected with.
pub(super) struct Fake {
    /// Gives the connection with whoever is dialled; without one the dial hangs.
    dial: Box<dyn Fn() -> Option<Connection> + Send + Sync>,
    /// The connections that are accepted.
    accepted: std::sync::Mutex<Option<mpsc::UnboundedReceiver<Connection>>>,
    /// Held by every dial that hangs.
    hanging: Arc<()>,
}

impl Fake {
    /// Whom one dials, `dial` gives.
    pub(super) fn dialling(
        dial: impl Fn() -> Option<Connection> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (dial, hanging) = (Box::new(dial), Arc::new(()));
        Arc::new(Self { dial, accepted: std::sync::Mutex::default(), hanging })
    }

    /// Who comes is sent by the test.
    pub(super) fn accepting() -> (Arc<Self>, mpsc::UnboundedSender<Connection>) {
        let (sender, accepted) = mpsc::unbounded_channel();
        let accepted = std::sync::Mutex::new(Some(accepted));
        let dial = Box::new(|| None);
        (Arc::new(Self { dial, accepted, hanging: Arc::new(()) }), sender)
    }

    /// How many dials hang.
    pub(super) fn hanging(&self) -> usize {
        Arc::strong_count(&self.hanging) - 1
    }
}

#[async_trait]
impl Transport for Fake {
    async fn listen(&self, _: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(FakeListener(self.accepted.lock().expect("no panic").take())))
    }

    async fn connect(&self, _: &Address) -> io::Result<Connection> {
        match (self.dial)() {
            Some(connection) => Ok(connection),
            None => {
                let _held = Arc::clone(&self.hanging);
                pending().await
            }
        }
    }
}

struct FakeListener(Option<mpsc::UnboundedReceiver<Connection>>);

#[async_trait]
impl Listener for FakeListener {
    async fn accept(&mut self) -> io::Result<Connection> {
        let accepted = match &mut self.0 {
            Some(accepted) => accepted.recv().await,
            None => None,
        };
        match accepted {
            Some(connection) => Ok(connection),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> SocketAddr {
        nowhere()
    }
}
