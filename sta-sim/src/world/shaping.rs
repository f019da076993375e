//! Shapes the connections of any [`Transport`]: rates, delays and faults come from the world's [`Fabric`].
//!
//! The bytes themselves go through the wrapped transport at once; what is shaped is when a writer may write and
//! when a reader may see. So no task runs, and a crash of the sender leaves what it has sent on its way. Both ends must be
//! shaped by the same network.
//!
//! Until a reader may see them, bytes lie in the wrapped transport, uncopied; or, over a real kernel, which keeps little for a
//! peer that it finds next door, here: at most a window of the connection, which is rate times delay (`early.rs`).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use sta_core::io::clock::Clock;
use sta_core::io::store::{Body, FileRange};
use sta_core::io::transport::{
    Batch, Connection, Listener, Next, RecvHalf, SendError, SendHalf, SendResult, Transport,
};
use sta_core::model::address::Address;

use super::fabric::{Fabric, FlowId, HostId, Path, Readable};

mod early;

use early::Early;

/// How often a network that nobody steps lets things happen: the grain of tokio's timers.
pub const DRIVE_EVERY: Duration = Duration::from_millis(1);

/// A network that many hosts share, and the clock it goes by.
pub struct SharedFabric {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

struct State {
    fabric: Fabric,
    /// Where a host listens, or listened.
    listening: BTreeMap<SocketAddr, HostId>,
    /// Hosts that have a number of their own.
    numbers: BTreeMap<IpAddr, HostId>,
    /// How often each host has begun to listen.
    listened: BTreeMap<HostId, u64>,
}

impl SharedFabric {
    /// Shares `fabric`.
    #[must_use]
    pub fn new(fabric: Fabric, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (listening, numbers, listened) = Default::default();
        let state = State { fabric, listening, numbers, listened };
        Arc::new(Self { state: Mutex::new(state), clock })
    }

    /// Lets everything happen that is due, then does `f`.
    pub fn with<R>(&self, f: impl FnOnce(&mut Fabric) -> R) -> R {
        self.with_state(|state| f(&mut state.fabric))
    }

    /// Says that the number `ip` is `host`'s alone.
    pub fn number(&self, ip: IpAddr, host: HostId) {
        self.with_state(|state| state.numbers.insert(ip, host));
    }

    /// Says that `host` is the one to listen at `at`, before it does.
    pub fn listens_at(&self, at: SocketAddr, host: HostId) {
        self.with_state(|state| state.listening.insert(at, host));
    }

    /// How often `host` has begun to listen.
    #[must_use]
    pub fn listened(&self, host: HostId) -> u64 {
        self.with_state(|state| state.listened.get(&host).copied().unwrap_or(0))
    }

    /// Lets everything happen that is due. Worlds with steps of their own call it once a step.
    pub fn tick(&self) {
        self.with(|_| ());
    }

    /// Lets things happen in time, for ever.
    pub async fn drive(&self) {
        loop {
            self.tick();
            tokio::time::sleep(DRIVE_EVERY).await;
        }
    }

    fn with_state<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fabric.advance(now);
        f(&mut state)
    }

    fn find(&self, to: &Address) -> Option<HostId> {
        self.with_state(|state| {
            let by_number = to.socket_addr().and_then(|at| {
                state.listening.get(&at).or_else(|| state.numbers.get(&at.ip())).copied()
            });
            by_number.or_else(|| state.fabric.host(&to.host))
        })
    }
}

/// A host's transport, shaped.
#[derive(Clone)]
pub struct Shaped {
    inner: Arc<dyn Transport>,
    fabric: Arc<SharedFabric>,
    host: HostId,
    fetches_early: bool,
}

impl Shaped {
    /// Shapes `inner` as `host`'s. `inner` keeps what was sent and not yet read, a window of a connection at the least.
    #[must_use]
    pub fn new(inner: Arc<dyn Transport>, fabric: Arc<SharedFabric>, host: HostId) -> Self {
        Self { inner, fabric, host, fetches_early: false }
    }

    /// As [`Self::new`], of an `inner` that keeps less: what has come is taken out of it at once.
    #[must_use]
    pub fn fetching_early(
        inner: Arc<dyn Transport>,
        fabric: Arc<SharedFabric>,
        host: HostId,
    ) -> Self {
        Self { inner, fabric, host, fetches_early: true }
    }

    /// Waits until `to` can be reached, and goes there. How long the way back takes.
    async fn reach(&self, to: HostId) -> io::Result<Duration> {
        let path = std::future::poll_fn(|cx| {
            match self.fabric.with(|fabric| fabric.path(self.host, to, cx.waker())) {
                Path::Blocked => Poll::Pending,
                path => Poll::Ready(path),
            }
        });
        match path.await {
            Path::Open(there, back) => {
                tokio::time::sleep(there).await;
                Ok(back)
            }
            Path::Refused(round_trip) => {
                tokio::time::sleep(round_trip).await;
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Path::Blocked => unreachable!("it was waited for"),
        }
    }

    fn shape(&self, inner: Connection, send: FlowId) -> Connection {
        let fabric = &self.fabric;
        Connection {
            local: inner.local,
            remote: inner.remote,
            recv: Box::new(ShapedRecv {
                fabric: Arc::clone(fabric),
                flow: send ^ 1,
                inner: inner.recv,
                early: self.fetches_early.then(Early::default),
            }),
            send: Box::new(ShapedSend {
                fabric: Arc::clone(fabric),
                flow: send,
                inner: inner.send,
                part: Batch::default(),
            }),
        }
    }
}

#[async_trait]
impl Transport for Shaped {
    async fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let inner = self.inner.listen(at).await?;
        let local = inner.local_addr();
        self.fabric.with_state(|state| {
            state.listening.insert(local, self.host);
            *state.listened.entry(self.host).or_default() += 1;
        });
        Ok(Box::new(ShapedListener { shaped: self.clone(), inner, backlog: Vec::new() }))
    }

    async fn connect(&self, to: &Address) -> io::Result<Connection> {
        let Some(target) = self.fabric.find(to) else {
            let why = format!("{to} is no host of this world");
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, why));
        };
        let back = self.reach(target).await?;
        let inner = self.inner.connect(to).await?;
        let (local, remote) = (inner.local, inner.remote);
        let flow = self.fabric.with(|fabric| fabric.open(self.host, target, local, remote));
        let connection = self.shape(inner, flow);
        tokio::time::sleep(back).await;
        Ok(connection)
    }
}

struct ShapedListener {
    shaped: Shaped,
    inner: Box<dyn Listener>,
    /// Connections whose dialler has not told the network yet, or that a paused process has not taken.
    backlog: Vec<Connection>,
}

enum Step {
    Claimed(usize, FlowId),
    Coming(io::Result<Connection>),
}

#[async_trait]
impl Listener for ShapedListener {
    async fn accept(&mut self) -> io::Result<Connection> {
        loop {
            let Self { shaped, inner, backlog } = self;
            let waiting: Vec<_> = backlog.iter().map(|one| (one.remote, one.local)).collect();
            let mut coming = inner.accept();
            let step = std::future::poll_fn(|cx| {
                for (i, (dialler, acceptor)) in waiting.iter().enumerate() {
                    let claim = |fabric: &mut Fabric| {
                        fabric.claim(shaped.host, *dialler, *acceptor, cx.waker())
                    };
                    if let Some(flow) = shaped.fabric.with(claim) {
                        return Poll::Ready(Step::Claimed(i, flow));
                    }
                }
                coming.as_mut().poll(cx).map(Step::Coming)
            })
            .await;
            drop(coming);
            match step {
                Step::Claimed(i, flow) => {
                    return Ok(self.shaped.shape(self.backlog.remove(i), flow ^ 1));
                }
                Step::Coming(connection) => self.backlog.push(connection?),
            }
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }
}

struct ShapedRecv {
    fabric: Arc<SharedFabric>,
    flow: FlowId,
    inner: Box<dyn RecvHalf>,
    early: Option<Early>,
}

impl RecvHalf for ShapedRecv {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(early) = &mut self.early {
            early.fetch(cx, &mut *self.inner);
        }
        let readable = self.fabric.with(|fabric| fabric.poll_readable(self.flow, cx.waker()));
        let Readable::Bytes(bytes) = ready!(readable)? else { return Poll::Ready(Ok(0)) };
        let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(buf.len());
        let read = ready!(match &mut self.early {
            Some(early) => early.poll_take(&mut buf[..most]),
            None => self.inner.poll_recv(cx, &mut buf[..most]),
        });
        // The kernel of a machine that went dark has said goodbye all the same, and lost the last bytes.
        if !matches!(read, Ok(1..)) && self.is_silent(cx) {
            return Poll::Pending;
        }
        let read = read?;
        self.fabric.with(|fabric| fabric.consumed(self.flow, read as u64));
        Poll::Ready(Ok(read))
    }
}

impl ShapedRecv {
    fn is_silent(&self, cx: &Context<'_>) -> bool {
        self.fabric.with(|fabric| fabric.is_silent(self.flow, cx.waker()))
    }
}

impl Drop for ShapedRecv {
    fn drop(&mut self) {
        self.fabric.with(|fabric| fabric.close_recv(self.flow));
    }
}

struct ShapedSend {
    fabric: Arc<SharedFabric>,
    flow: FlowId,
    inner: Box<dyn SendHalf>,
    /// What the network has let in and the wrapped transport has not taken yet.
    part: Batch,
}

impl ShapedSend {
    /// Hands the rest of `part` to the wrapped transport. That the other end is gone is for the fabric to say, when
    /// this end can know: until then bytes vanish.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<SendResult> {
        match ready!(self.inner.poll_send(cx, &mut self.part)) {
            Err(SendError::Broken(error)) if tells_of_the_other_end(error.kind()) => {
                Poll::Ready(Ok(()))
            }
            result => Poll::Ready(result),
        }
    }
}

fn tells_of_the_other_end(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset)
}

impl SendHalf for ShapedSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<SendResult> {
        loop {
            ready!(self.poll_part(cx))?;
            self.part.clear();
            if matches!(batch.next(), Next::Nothing) {
                return Poll::Ready(Ok(()));
            }
            let room = ready!(self.fabric.with(|fabric| fabric.poll_room(self.flow, cx.waker())))?;
            let bytes = take(batch, room, &mut self.part);
            self.fabric.with(|fabric| fabric.wrote(self.flow, bytes));
        }
    }
}

impl Drop for ShapedSend {
    fn drop(&mut self) {
        self.fabric.with(|fabric| fabric.close_send(self.flow));
    }
}

/// Moves at most `room` bytes from `batch` to `part`, and says how many.
fn take(batch: &mut Batch, room: u64, part: &mut Batch) -> u64 {
    let mut taken = 0;
    while taken < room {
        let rest = room - taken;
        let bytes = match batch.next() {
            Next::Heads(bytes) => {
                let bytes = &bytes[..bytes.len().min(usize::try_from(rest).unwrap_or(usize::MAX))];
                part.heads.extend_from_slice(bytes);
                bytes.len() as u64
            }
            Next::Body { body, sent } => {
                let bytes = (body.len() - sent).min(rest);
                part.push_body(part_of(body, sent, bytes));
                bytes
            }
            Next::Nothing => break,
        };
        batch.advance(bytes);
        taken += bytes;
    }
    taken
}

/// `len` bytes of `body` from `start` on; they are there.
fn part_of(body: &Body, start: u64, len: u64) -> Body {
    match body {
        Body::Bytes(bytes) => Body::Bytes(bytes.slice(start as usize..(start + len) as usize)),
        Body::Files(ranges) => {
            let (mut skip, mut want, mut parts) = (start, len, Vec::new());
            for range in ranges {
                let skipped = skip.min(range.len);
                let len = (range.len - skipped).min(want);
                if len > 0 {
                    let (file, offset) = (Arc::clone(&range.file), range.offset + skipped);
                    parts.push(FileRange { file, offset, len });
                }
                skip -= skipped;
                want -= len;
            }
            Body::Files(parts)
        }
    }
}
