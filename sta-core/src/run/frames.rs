//! Frames without bodies over a connection: what a tracker and its clients do. Sessions between peers have bodies,
//! and a reader and a writer of their own.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::io::transport::{Batch, RecvHalf, SendHalf};
use crate::model::limits;
use crate::wire::frame::{FrameDecoder, FrameError, PREAMBLE, encode};

/// So much waits together and is sent in one go, and with it a message that exceeds it; its memory is given back when it is sent. Of a
/// longer message so much must be taken in time: who takes it byte by byte would hold the memory of all of it for ever.
const PART_BYTES: usize = 64 << 10;

/// Why there is nothing more to read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The other side has finished.
    #[error("it closed the connection")]
    End,
    /// The connection has broken.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The other side does not keep to the protocol.
    #[error(transparent)]
    Garbage(#[from] FrameError),
}

/// Reads until there is at least one message, and gives all that have come along with it.
///
/// # Errors
/// If there will be none.
pub async fn read_messages<M: DeserializeOwned>(
    recv: &mut (dyn RecvHalf + 'static),
    decoder: &mut FrameDecoder,
) -> Result<Vec<M>, ReadError> {
    read_messages_until(recv, decoder, |_| false).await
}

/// As [`read_messages`], but what follows a message that is `last` stays with the decoder, for the next call.
///
/// # Errors
/// If there will be none.
pub async fn read_messages_until<M: DeserializeOwned>(
    recv: &mut (dyn RecvHalf + 'static),
    decoder: &mut FrameDecoder,
    last: impl Fn(&M) -> bool,
) -> Result<Vec<M>, ReadError> {
    let mut messages = Vec::new();
    loop {
        while let Some((message, _)) = decoder.next_message()? {
            messages.push(message);
            if messages.last().is_some_and(&last) {
                return Ok(messages);
            }
        }
        if !messages.is_empty() {
            return Ok(messages);
        }
        let read = recv.recv(decoder.space()).await?;
        if read == 0 {
            return Err(ReadError::End);
        }
        decoder.filled(read);
    }
}

/// Frames that wait to be sent over one connection: encoded at once, and bounded by their bytes.
#[derive(Debug)]
pub struct Outbox {
    waiting: Arc<Mutex<Waiting>>,
    /// Until it is finished.
    wake: Option<mpsc::Sender<()>>,
    bytes_max: usize,
    /// Dropped when it is finished, while the task that sends may be held up.
    open: Option<oneshot::Sender<()>>,
}

/// What an [`Outbox`] holds, for the task that sends it.
#[derive(Debug)]
pub struct Outgoing {
    waiting: Wakened,
    finished: oneshot::Receiver<()>,
}

/// What waits, and who says that there is something.
#[derive(Debug)]
struct Wakened {
    waiting: Arc<Mutex<Waiting>>,
    woken: mpsc::Receiver<()>,
}

/// How many bytes wait in several outboxes.
#[derive(Clone, Debug, Default)]
pub struct Total(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicUsize,
    /// Goes up whenever a part is sent, or begins to wait alone.
    parts: AtomicU64,
}

impl Total {
    /// How many.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Waiting {
    /// Whole frames, about [`PART_BYTES`] in each.
    parts: VecDeque<Vec<u8>>,
    /// Bytes of the parts, and of the one that is being sent.
    bytes: usize,
    total: Total,
    /// How many parts of all outboxes had been sent when one of this was, or when something began to wait here.
    since: u64,
    /// Let go of once nothing waits.
    turn: Option<OwnedSemaphorePermit>,
    /// Nothing will be sent any more.
    over: bool,
}

impl Waiting {
    /// So many bytes wait no longer.
    fn gone(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.total.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn moved(&mut self) {
        self.since = self.total.0.parts.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&mut self) {
        self.gone(usize::MAX);
        (self.parts, self.turn, self.over) = (VecDeque::new(), None, true);
    }
}

/// Why an [`Outbox`] takes nothing.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// More waits already than it may hold.
    #[error("{0} bytes wait for it, and it does not read them")]
    Full(usize),
    /// The task that sends has ended.
    #[error("nothing can be sent to it any more")]
    Closed,
}

/// An outbox that takes a message as long as at most `bytes_max` wait. The preamble is in it already.
#[must_use]
pub fn outbox(bytes_max: usize) -> (Outbox, Outgoing) {
    outbox_among(bytes_max, &Total::default())
}

/// As [`outbox`], one of several whose bytes are counted in `total`.
#[must_use]
pub fn outbox_among(bytes_max: usize, total: &Total) -> (Outbox, Outgoing) {
    total.add(PREAMBLE.len());
    let waiting = Arc::new(Mutex::new(Waiting {
        parts: VecDeque::from([PREAMBLE.to_vec()]),
        bytes: PREAMBLE.len(),
        total: total.clone(),
        since: 0,
        turn: None,
        over: false,
    }));
    let (wake, woken) = mpsc::channel(1);
    let (open, finished) = oneshot::channel();
    let outgoing = Outgoing { waiting: Wakened { waiting: waiting.clone(), woken }, finished };
    (Outbox { waiting, wake: Some(wake), bytes_max, open: Some(open) }, outgoing)
}

impl Outbox {
    /// Adds a message without a body.
    ///
    /// # Errors
    /// If it is full, or if nobody will send.
    pub fn push(&self, message: &impl Serialize) -> Result<(), OutboxError> {
        let mut waiting = lock(&self.waiting);
        if waiting.over || self.wake.is_none() {
            return Err(OutboxError::Closed);
        }
        if waiting.bytes > self.bytes_max {
            return Err(OutboxError::Full(waiting.bytes));
        }
        let mut part = waiting.parts.pop_back().unwrap_or_default();
        if part.len() >= PART_BYTES {
            waiting.parts.push_back(std::mem::take(&mut part));
        }
        if waiting.bytes <= PREAMBLE.len() {
            waiting.moved();
        }
        let before = part.len();
        encode(message, 0, &mut part);
        let bytes = part.len() - before;
        waiting.parts.push_back(part);
        waiting.bytes += bytes;
        waiting.total.add(bytes);
        drop(waiting);
        self.wake();
        Ok(())
    }

    /// Holds `turn` until nothing waits any more.
    pub fn hold(&self, turn: OwnedSemaphorePermit) {
        let mut waiting = lock(&self.waiting);
        if !waiting.over {
            waiting.turn = Some(turn);
        }
        drop(waiting);
        self.wake();
    }

    /// How many bytes wait, or are being sent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        lock(&self.waiting).bytes
    }

    /// Tells outboxes of one [`Total`] apart by how long nothing of them has been sent, though something waits: the least is the
    /// longest.
    #[must_use]
    pub fn stuck_since(&self) -> u64 {
        lock(&self.waiting).since
    }

    /// Takes nothing any more; what waits is still sent.
    pub fn finish(&mut self) {
        (self.wake, self.open) = (None, None);
    }

    /// Forgets what waits. What is being sent right now is the sender's.
    pub fn discard(&mut self) {
        lock(&self.waiting).end();
        self.finish();
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            // One call to wake up is enough for all that waits, and who no longer sends has said so.
            let _ = wake.try_send(());
        }
    }
}

impl Outgoing {
    /// Sends all that waits, again and again, until the outbox is finished or dropped, and empty.
    ///
    /// # Errors
    /// If the connection breaks, or takes too little in [`limits::TRACKER_WRITE_TIMEOUT`]: neither all of a part nor 64 KiB; or if the
    /// outbox is not empty [`limits::TRACKER_DRAIN_TIMEOUT`] after it was finished.
    pub async fn send_all(self, send: &mut (dyn SendHalf + 'static)) -> io::Result<()> {
        let Self { mut waiting, finished } = self;
        let patience = async {
            // Nothing is ever sent: it ends with the outbox.
            let _ = finished.await;
            sleep(limits::TRACKER_DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            biased;
            sent = waiting.send_each(send) => sent,
            () = patience => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Wakened {
    /// The next part, now that `sent` bytes have been sent.
    fn next_part(&self, sent: usize) -> Option<Vec<u8>> {
        let mut waiting = lock(&self.waiting);
        if sent > 0 {
            waiting.gone(sent);
            waiting.moved();
        }
        let part = waiting.parts.pop_front();
        if part.is_none() {
            waiting.turn = None;
        }
        part
    }

    async fn send_each(&mut self, send: &mut (dyn SendHalf + 'static)) -> io::Result<()> {
        loop {
            let open = self.woken.recv().await.is_some();
            let mut batch = Batch::default();
            while let Some(part) = self.next_part(batch.heads.len()) {
                batch = Batch { heads: part, ..Batch::default() };
                let mut sent = 0;
                loop {
                    match timeout(limits::TRACKER_WRITE_TIMEOUT, send.send(&mut batch)).await {
                        Ok(done) => break done?,
                        // It is slow, but reads.
                        Err(_) if batch.heads_sent - sent >= PART_BYTES => sent = batch.heads_sent,
                        Err(late) => return Err(late.into()),
                    }
                }
            }
            if !open {
                return Ok(());
            }
        }
    }
}

impl Drop for Wakened {
    /// Nobody is left to send what waits.
    fn drop(&mut self) {
        lock(&self.waiting).end();
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    // Whole frames only: a message that cannot be encoded is a bug, which has been reported by the panic.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::{OutboxError, PART_BYTES, Total, outbox, outbox_among, read_messages_until};
    use crate::io::transport::{Batch, Next, RecvHalf, SendHalf, SendResult};
    use crate::model::limits;
    use crate::run::fake::{Says, Takes, connection};
    use crate::wire::frame::{FROM_TRACKER_LIMITS, FrameDecoder, PREAMBLE, encode};
    use crate::wire::tracker::{FromTracker, ToTracker};

    fn run(story: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(story);
    }

    /// Takes as many bytes as it has room for.
    struct Room(Arc<AtomicUsize>);

    impl SendHalf for Room {
        fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<SendResult> {
            while let Next::Heads(bytes) = batch.next() {
                let taken = bytes.len().min(self.0.load(Ordering::Relaxed));
                if taken == 0 {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.0.fetch_sub(taken, Ordering::Relaxed);
                batch.advance(taken as u64);
            }
            Poll::Ready(Ok(()))
        }
    }

    async fn let_others_run() {
        for _ in 0..10 {
            yield_now().await;
        }
    }

    fn long() -> FromTracker {
        FromTracker::Error { why: "x".repeat(PART_BYTES) }
    }

    #[test]
    fn what_waits_is_counted_and_a_turn_given_back_when_nothing_does() {
        run(async {
            let (total, room) = (Total::default(), Arc::new(AtomicUsize::new(0)));
            let (outbox, outgoing) = outbox_among(1 << 20, &total);
            let mut send = Room(room.clone());
            tokio::spawn(async move { outgoing.send_all(&mut send).await });
            let turns = Arc::new(Semaphore::new(1));
            for _ in 0..3 {
                outbox.push(&long()).expect("there is room");
            }
            outbox.hold(turns.clone().try_acquire_owned().expect("the only one"));
            let all = outbox.bytes();
            assert!(all > 3 * PART_BYTES && total.bytes() == all, "{all}");
            room.store(all - 1, Ordering::Relaxed);
            let_others_run().await;
            assert!(outbox.bytes() < 2 * PART_BYTES, "what is sent is given back part by part");
            assert_eq!((total.bytes(), turns.available_permits()), (outbox.bytes(), 0));
            room.store(1, Ordering::Relaxed);
            let_others_run().await;
            assert_eq!((outbox.bytes(), total.bytes(), turns.available_permits()), (0, 0, 1));
            outbox.hold(turns.clone().try_acquire_owned().expect("given back"));
            let_others_run().await;
            assert_eq!(turns.available_permits(), 1, "nothing waits at all");
        });
    }

    #[test]
    fn who_takes_what_waits_is_told_from_who_does_not() {
        run(async {
            let (total, room) = (Total::default(), Arc::new(AtomicUsize::new(0)));
            let [(deaf, _kept), (slow, outgoing), (late, _also)] =
                [(); 3].map(|()| outbox_among(1 << 20, &total));
            let mut send = Room(room.clone());
            tokio::spawn(async move { outgoing.send_all(&mut send).await });
            for outbox in [&slow, &deaf, &deaf, &slow] {
                outbox.push(&long()).expect("there is room");
            }
            assert!(slow.stuck_since() < deaf.stuck_since());
            room.store(PART_BYTES * 3 / 2, Ordering::Relaxed);
            let_others_run().await;
            assert!(deaf.stuck_since() < slow.stuck_since() && slow.bytes() > 0);
            late.push(&long()).expect("there is room");
            assert!(slow.stuck_since() < late.stuck_since());
        });
    }

    #[test]
    fn what_nobody_will_send_is_given_back() {
        run(async {
            let (total, turns) = (Total::default(), Arc::new(Semaphore::new(1)));
            let turn = || turns.clone().try_acquire_owned().expect("given back");
            let (outbox, outgoing) = outbox_among(PART_BYTES, &total);
            outbox.push(&long()).expect("there is room");
            outbox.hold(turn());
            assert!(matches!(outbox.push(&long()), Err(OutboxError::Full(_))));
            drop(outgoing);
            assert_eq!(total.bytes(), 0);
            outbox.hold(turn());
            assert!(matches!(outbox.push(&long()), Err(OutboxError::Closed)));
            let (mut outbox, _outgoing) = outbox_among(PART_BYTES, &total);
            outbox.push(&long()).expect("there is room");
            outbox.hold(turn());
            outbox.discard();
            assert_eq!((total.bytes(), turns.available_permits()), (0, 1));
        });
    }

    /// Each part of it came in time, and all of it took for ever.
    #[tokio::test(start_paused = true)]
    async fn what_waits_for_who_has_gone_is_sent_within_bounds_or_not_at_all() {
        for drops in [true, false] {
            let (mut outbox, outgoing) = outbox(100 * PART_BYTES);
            while outbox.push(&ToTracker::Ping).is_ok() {}
            let takes = Takes::slowly(PART_BYTES as u64, limits::TRACKER_WRITE_TIMEOUT / 2);
            let mut slow = connection(Says::nothing(), takes, Arc::default());
            let mut sending = std::pin::pin!(outgoing.send_all(&mut *slow.send));
            let drain = limits::TRACKER_DRAIN_TIMEOUT;
            timeout(2 * drain, &mut sending).await.expect_err("the outbox is there");
            // The one who is told the rest is remembered; a tracker's link is not.
            if !drops {
                outbox.finish();
            }
            let _kept = (!drops).then_some(outbox);
            timeout(drain - Duration::from_secs(1), &mut sending).await.expect_err("it has time");
            let done = timeout(Duration::from_secs(2), sending).await.expect("it is over");
            assert!(done.is_err(), "not all was sent");
        }
    }

    /// Gives one chunk a read.
    struct Chunks(VecDeque<Vec<u8>>);

    impl RecvHalf for Chunks {
        fn poll_recv(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            let chunk = self.0.pop_front().unwrap_or_default();
            buf[..chunk.len()].copy_from_slice(&chunk);
            Poll::Ready(Ok(chunk.len()))
        }
    }

    #[test]
    fn what_follows_a_question_is_read_later() {
        run(async {
            let ask = ToTracker::Status { torrent: None };
            let mut bytes = PREAMBLE.to_vec();
            for message in [&ToTracker::Ping, &ask, &ask, &ToTracker::Ping] {
                encode(message, 0, &mut bytes);
            }
            let mut recv = Chunks([bytes].into());
            let mut decoder = FrameDecoder::new(FROM_TRACKER_LIMITS, 1 << 10);
            let mut seen = Vec::new();
            let is_question = |message: &ToTracker| matches!(message, ToTracker::Status { .. });
            while let Ok(messages) = read_messages_until(&mut recv, &mut decoder, is_question).await
            {
                seen.push(messages);
            }
            assert_eq!(
                seen,
                [vec![ToTracker::Ping, ask.clone()], vec![ask], vec![ToTracker::Ping]]
            );
        });
    }
}
