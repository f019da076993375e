//! A transport that keeps to a rate: what `upload-limit` and `download-limit` ask for, over all connections together.
//!
//! Bytes are let through first and paid for afterwards: who is in debt waits. So the rate holds on average, with bursts of what one
//! call moves. Nothing is wrapped where nothing is limited.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use sta_core::io::clock::Clock;
use sta_core::io::transport::{
    Batch, Connection, Listener, RecvHalf, SendHalf, SendResult, Transport,
};
use sta_core::model::address::Address;
use sta_core::model::time::Time;
use tokio::time::{Sleep, sleep};

/// A debt smaller than this is not worth a timer.
const SLACK: Duration = Duration::from_millis(5);
/// Who waits is woken late, by a millisecond of a timer's and by what else there is to do: so much is made good. Otherwise a tenth of the
/// rate was lost.
const LATE: Duration = Duration::from_millis(20);
/// What one read may move, in time at the rate: small enough that a slow rate is steady.
const QUANTUM: Duration = Duration::from_millis(50);
/// What one read may move at least.
const READ_BYTES_MIN: usize = 4 << 10;

/// `inner`, kept to `up` and `down` bytes per second.
pub(super) fn limited(
    inner: Arc<dyn Transport>,
    clock: &Arc<dyn Clock>,
    up: Option<u64>,
    down: Option<u64>,
) -> Arc<dyn Transport> {
    if up.is_none() && down.is_none() {
        return inner;
    }
    let gate = |rate: Option<u64>| {
        rate.map(|rate| {
            Arc::new(Gate { clock: Arc::clone(clock), debt: Mutex::new(Debt::new(rate)) })
        })
    };
    Arc::new(Throttled { inner, limits: Limits { up: gate(up), down: gate(down) } })
}

struct Throttled {
    inner: Arc<dyn Transport>,
    limits: Limits,
}

#[derive(Clone)]
struct Limits {
    up: Option<Arc<Gate>>,
    down: Option<Arc<Gate>>,
}

#[async_trait]
impl Transport for Throttled {
    async fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let inner = self.inner.listen(at).await?;
        Ok(Box::new(ThrottledListener { inner, limits: self.limits.clone() }))
    }

    async fn connect(&self, to: &Address) -> io::Result<Connection> {
        Ok(self.limits.wrap(self.inner.connect(to).await?))
    }
}

struct ThrottledListener {
    inner: Box<dyn Listener>,
    limits: Limits,
}

#[async_trait]
impl Listener for ThrottledListener {
    async fn accept(&mut self) -> io::Result<Connection> {
        Ok(self.limits.wrap(self.inner.accept().await?))
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }
}

impl Limits {
    fn wrap(&self, connection: Connection) -> Connection {
        let Connection { local, remote, mut recv, mut send } = connection;
        if let Some(gate) = &self.down {
            recv = Box::new(ThrottledRecv { inner: recv, wait: Wait::at(gate) });
        }
        if let Some(gate) = &self.up {
            send = Box::new(ThrottledSend { inner: send, wait: Wait::at(gate) });
        }
        Connection { local, remote, recv, send }
    }
}

struct ThrottledRecv {
    inner: Box<dyn RecvHalf>,
    wait: Wait,
}

impl RecvHalf for ThrottledRecv {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(self.wait.poll(cx));
        let most = buf.len().min(self.wait.gate.quantum());
        let read = ready!(self.inner.poll_recv(cx, &mut buf[..most]))?;
        self.wait.gate.pass(read as u64);
        Poll::Ready(Ok(read))
    }
}

struct ThrottledSend {
    inner: Box<dyn SendHalf>,
    wait: Wait,
}

impl SendHalf for ThrottledSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<SendResult> {
        // What else is said is little, and a download that does not ask in time gets nothing. Behind a body it waits all the same.
        if batch.bodies_sent < batch.bodies.len() {
            ready!(self.wait.poll(cx));
        }
        let before = sent(batch);
        let result = self.inner.poll_send(cx, batch);
        self.wait.gate.pass(sent(batch).saturating_sub(before));
        result
    }
}

/// Bytes of the bodies of `batch` that are on their way.
fn sent(batch: &Batch) -> u64 {
    let whole: u64 = batch.bodies.iter().take(batch.bodies_sent).map(|(_, body)| body.len()).sum();
    whole + batch.body_sent
}

/// One half of one connection, waiting its turn at a gate.
struct Wait {
    gate: Arc<Gate>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    fn at(gate: &Arc<Gate>) -> Self {
        Self { gate: Arc::clone(gate), sleep: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.gate.wait() {
                None => return Poll::Ready(()),
                Some(time) => self.sleep = Some(Box::pin(sleep(time))),
            }
        }
    }
}

/// What all connections of a node pass in one direction.
struct Gate {
    clock: Arc<dyn Clock>,
    debt: Mutex<Debt>,
}

impl Gate {
    fn wait(&self) -> Option<Duration> {
        let debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner);
        debt.wait(self.clock.now())
    }

    fn pass(&self, bytes: u64) {
        let now = self.clock.now();
        self.debt.lock().unwrap_or_else(PoisonError::into_inner).pass(bytes, now);
    }

    fn quantum(&self) -> usize {
        let rate = self.debt.lock().unwrap_or_else(PoisonError::into_inner).rate;
        ((rate as f64 * QUANTUM.as_secs_f64()) as usize).max(READ_BYTES_MIN)
    }
}

/// What has passed and is not paid for yet.
#[derive(Debug)]
struct Debt {
    /// Bytes per second; never 0.
    rate: u64,
    /// When all that has passed will be paid for.
    paid_at: Time,
}

impl Debt {
    fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), paid_at: Time::ZERO }
    }

    /// How long to wait before more may pass; `None` if not at all.
    fn wait(&self, now: Time) -> Option<Duration> {
        Some(self.paid_at.since(now)).filter(|debt| *debt > SLACK)
    }

    fn pass(&mut self, bytes: u64, now: Time) {
        let cost = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.paid_at = self.paid_at.max(now - LATE) + cost;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sta_core::model::time::Time;

    use super::{Debt, LATE};

    #[test]
    fn the_rate_holds_over_time_and_idleness_saves_nothing_up() {
        let (mut debt, mut now, mut passed) = (Debt::new(1_000_000), Time::ZERO, 0);
        while now < Time::ZERO + Duration::from_secs(10) {
            match debt.wait(now) {
                // Timers are late.
                Some(time) => now += time + Duration::from_micros(6_500),
                None => {
                    debt.pass(64_000, now);
                    passed += 64_000;
                }
            }
        }
        assert!((9_900_000..=10_100_000).contains(&passed), "{passed} bytes in 10 s");
        now += Duration::from_secs(100);
        assert_eq!(debt.wait(now), None);
        debt.pass(500_000, now);
        let wait = Duration::from_millis(500) - LATE;
        assert_eq!(debt.wait(now), Some(wait), "as if it had never idled");
    }
}
