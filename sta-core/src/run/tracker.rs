//! The shell of a tracker: owns the registry, feeds it what clients say, and does what it says.
//!
//! One owner with one inbox. A reader per connection hands over all messages of one read in one go; a writer per
//! connection takes them from an outbox. A client whose outbox is full is dropped: the owner waits for nobody. When all
//! outboxes together hold too much, the client is that has taken nothing for longest. The inbox is bounded, so that clients who say more than the owner can hear
//! are slowed by their connections; so are those who ask and do not read the answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::sleep;

use super::accept::accept;
use super::frames::{Outbox, Outgoing, Total, outbox_among, read_messages_until};
use crate::engine::registry::{ConnId, Input, Output, Registry, RegistryConfig};
use crate::io::clock::Clock;
use crate::io::lease_store::{LeaseStore, LeaseStoreError};
use crate::io::observer::Observer;
use crate::io::transport::{Connection, RecvHalf, SendHalf, Transport};
use crate::model::address::Address;
use crate::model::config::TrackerConfig;
use crate::model::event::{Event, Record};
use crate::model::ids::{InfoHash, NodeId};
use crate::model::limits;
use crate::model::rng::Seed;
use crate::model::time::Time;
use crate::wire::frame::{FrameDecoder, TO_TRACKER_LIMITS, TRACKER_READ_BYTES};
use crate::wire::tracker::{FromTracker, ToTracker};

/// Entries of the inbox; each is what one read gave, up to 64 KiB of messages.
const INBOX: usize = 256;
/// Entries taken from the inbox before deadlines and outputs are looked after.
const INBOX_TURN: usize = 32;
/// Bytes that wait for a client, under which it is not dropped for the room. If too much waits for all, so much waits for some.
const OUTBOX_WORTH: usize = limits::TRACKER_OUTBOXES_BYTES_MAX / limits::TRACKER_CONNECTIONS_MAX;

/// The world that a tracker runs in.
#[derive(Clone)]
pub struct TrackerEnv {
    /// How it is reached.
    pub transport: Arc<dyn Transport>,
    /// What tells it the time.
    pub clock: Arc<dyn Clock>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// Where its randomness comes from.
    pub seed: Seed,
    /// What it knows after a restart; nothing if there is none.
    pub store: Option<Arc<dyn LeaseStore>>,
}

/// Why a tracker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// It cannot listen where it was told to.
    #[error("cannot listen at {at}: {source}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// What an earlier tracker wrote down cannot be read.
    #[error("cannot read the leases of an earlier run: {0}")]
    Store(#[from] LeaseStoreError),
}

/// A running tracker. Dropping every handle stops it.
#[derive(Clone, Debug)]
pub struct TrackerHandle {
    local: SocketAddr,
    stop: mpsc::Sender<oneshot::Sender<()>>,
    inbox: mpsc::Sender<ToOwner>,
}

impl TrackerHandle {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// From now on hands out `metainfo`, the `.torrent` file of `torrent`, to whoever asks. Not remembered over a restart.
    pub async fn publish(&self, torrent: InfoHash, metainfo: Bytes) {
        // It cannot be taken only if the tracker has stopped: then nobody asks.
        let _ = self.inbox.send(ToOwner::Publish(torrent, metainfo)).await;
    }

    /// Writes down what is not yet written, and stops. Returns when that is done.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            // An error means that it has stopped already.
            let _ = stopped.await;
        }
    }

    /// Waits until it has stopped, for whatever reason.
    pub async fn stopped(&self) {
        self.stop.closed().await;
    }
}

/// Starts a tracker: reads what was written down, listens, and spawns its owner on the current runtime.
///
/// # Errors
/// If the leases cannot be read, or it cannot listen.
pub async fn start(env: TrackerEnv, config: TrackerConfig) -> Result<TrackerHandle, TrackerError> {
    start_for(limits::TRACKER_CONNECTIONS_MAX, env, config).await
}

/// As [`start`], with at most so many `connections`.
///
/// # Errors
/// As there.
pub async fn start_for(
    connections: usize,
    env: TrackerEnv,
    config: TrackerConfig,
) -> Result<TrackerHandle, TrackerError> {
    let registry = RegistryConfig { lease: config.lease, persist: env.store.is_some() };
    let mut registry = Registry::new(registry, env.seed);
    registry.limit_connections(connections);
    let restored = match &env.store {
        Some(store) => registry.restore(store.load()?, env.clock.now()),
        None => 0,
    };
    let listener = env.transport.listen(config.listen).await;
    let listener = listener.map_err(|source| TrackerError::Listen { at: config.listen, source })?;
    let local = listener.local_addr();
    let (inbox_in, inbox) = mpsc::channel(INBOX);
    let (stop, stopping) = mpsc::channel(1);
    let mut owner = Owner {
        registry,
        connections,
        clock: env.clock,
        observer: env.observer,
        store: env.store,
        id: config.id,
        clients: BTreeMap::new(),
        leaving: BTreeMap::new(),
        outboxes: Total::default(),
        room: Arc::new(Semaphore::new(connections + connections / 8 + INBOX_TURN)),
        questions: Arc::new(Semaphore::new(limits::TRACKER_QUESTIONS_MAX)),
        next_conn: 0,
        inbox: inbox_in.clone(),
        tasks: JoinSet::new(),
    };
    owner.observe(Event::TrackerStarted { listen: Address::from(local), restored });
    let accepted = inbox_in.clone();
    let deliver = move |connection| {
        let inbox = accepted.clone();
        async move { inbox.send(ToOwner::Accepted(connection)).await.is_ok() }
    };
    owner.tasks.spawn(accept(listener, deliver));
    tokio::spawn(owner.run(inbox, stopping));
    Ok(TrackerHandle { local, stop, inbox: inbox_in })
}

enum ToOwner {
    Accepted(Connection),
    /// Messages; if the last is a question, with what allows it.
    Said(ConnId, Vec<ToTracker>, Option<Turn>),
    /// Nothing more is to be read.
    Ended(ConnId, String),
    /// Nothing more can be sent, or is to be.
    Written(ConnId),
    Publish(InfoHash, Bytes),
}

/// What allows a question.
struct Turn {
    /// One of its connection: given back when the answer is out.
    own: OwnedSemaphorePermit,
    /// One of [`limits::TRACKER_QUESTIONS_MAX`]: given back when the answer is made.
    _shared: OwnedSemaphorePermit,
}

impl Turn {
    /// Waits until it is this one's; nothing only if neither is given any more.
    async fn wait(own: &Arc<Semaphore>, shared: &Arc<Semaphore>) -> Option<Self> {
        let own = own.clone().acquire_owned().await.ok()?;
        Some(Self { own, _shared: shared.clone().acquire_owned().await.ok()? })
    }
}

struct Owner {
    registry: Registry,
    connections: usize,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    store: Option<Arc<dyn LeaseStore>>,
    id: NodeId,
    clients: BTreeMap<ConnId, Client>,
    /// Those who are told what waits for them, and nothing further.
    leaving: BTreeMap<ConnId, Client>,
    /// What waits in the outboxes of both.
    outboxes: Total,
    /// Each connection has a permit until its last task has ended. There are some more than connections: a task that was cut off in favour
    /// of another's ends a little later.
    room: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    next_conn: u64,
    inbox: mpsc::Sender<ToOwner>,
    tasks: JoinSet<()>,
}

struct Client {
    outbox: Outbox,
    reader: AbortHandle,
    writer: AbortHandle,
}

impl Client {
    /// Ends its connection, whatever waits for it.
    fn cut(mut self) {
        self.outbox.discard();
        self.reader.abort();
        self.writer.abort();
    }
}

impl Owner {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<ToOwner>,
        mut stopping: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        let mut taken = Vec::with_capacity(INBOX_TURN);
        let done = loop {
            let now = self.clock.now();
            let deadline = self.registry.deadline().unwrap_or(Time::FAR_FUTURE);
            if deadline <= now {
                self.registry.handle(Input::Tick, now);
                self.drain(now);
                continue;
            }
            tokio::select! {
                biased;
                done = stopping.recv() => break done,
                Some(ended) = self.tasks.join_next() => pass_panic_on(ended),
                _ = inbox.recv_many(&mut taken, INBOX_TURN) => {
                    let now = self.clock.now();
                    taken.drain(..).for_each(|event| self.take(event, now));
                    self.drain(now);
                }
                () = sleep(deadline.since(now)) => {}
            }
        };
        self.registry.handle(Input::Stop, self.clock.now());
        self.drain(self.clock.now());
        self.tasks.shutdown().await;
        // Dropped by a caller who did not wait for it.
        let _ = done.map(|done| done.send(()));
    }

    fn take(&mut self, event: ToOwner, now: Time) {
        match event {
            ToOwner::Accepted(connection) => self.accepted(connection, now),
            ToOwner::Said(conn, messages, turn) => {
                for message in messages {
                    if !self.clients.contains_key(&conn) {
                        break;
                    }
                    self.registry.handle(Input::Message { conn, message }, now);
                    // At once: a question of twenty bytes may have an answer of megabytes, and one read holds thousands.
                    self.drain(now);
                }
                if let (Some(client), Some(turn)) = (self.clients.get(&conn), turn) {
                    client.outbox.hold(turn.own);
                }
            }
            ToOwner::Publish(torrent, metainfo) => self.registry.publish(torrent, metainfo),
            ToOwner::Ended(conn, why) => {
                tracing::debug!(conn = conn.0, why, "a client is gone");
                // What waits for it still goes out: it may only have finished speaking.
                self.leave(conn);
                self.registry.handle(Input::Closed { conn }, now);
            }
            ToOwner::Written(conn) => {
                self.leaving.remove(&conn);
                self.cut(conn, "nothing can be sent to it any more", now);
            }
        }
    }

    fn accepted(&mut self, connection: Connection, now: Time) {
        let Connection { local, remote, recv, send } = connection;
        if self.clients.len() + self.leaving.len() >= self.connections
            && let Some((_, oldest)) = self.leaving.pop_first()
        {
            oldest.cut();
        }
        if !self.registry.has_room() {
            tracing::warn!(%remote, "too many connections; this one is closed");
        }
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned().map(Arc::new) else {
            tracing::warn!(%remote, "too many connections come at once; this one is not heard");
            return;
        };
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let (outbox, outgoing) = outbox_among(limits::TRACKER_OUTBOX_BYTES_MAX, &self.outboxes);
        let (questions, inbox) = (self.questions.clone(), self.inbox.clone());
        let reader = self.tasks.spawn(read(conn, recv, questions, inbox, Arc::clone(&permit)));
        let writer = self.tasks.spawn(write(conn, send, outgoing, self.inbox.clone(), permit));
        self.clients.insert(conn, Client { outbox, reader, writer });
        self.registry.handle(Input::Opened { conn, remote, local }, now);
    }

    fn drain(&mut self, now: Time) {
        while let Some(output) = self.registry.poll_output() {
            match output {
                Output::Send { conn, message } => self.send(conn, &message, now),
                Output::Close { conn, why } => {
                    tracing::debug!(conn = conn.0, why, "a client is dropped");
                    self.leave(conn);
                }
                Output::Persist(changes) => {
                    let written = self.store.as_ref().map(|store| store.apply(changes));
                    if let Some(Err(error)) = written {
                        tracing::warn!(%error, "leases are not written down; a restart will not know them");
                    }
                }
                Output::Event(event) => self.observe(event),
            }
        }
    }

    fn send(&mut self, conn: ConnId, message: &FromTracker, now: Time) {
        let Some(client) = self.clients.get(&conn) else { return };
        if let Err(error) = client.outbox.push(message) {
            self.cut(conn, &error.to_string(), now);
        }
        while self.outboxes.bytes() > limits::TRACKER_OUTBOXES_BYTES_MAX {
            // Not the one for whom most waits: that is who has just asked, and will read.
            let all = self.clients.iter().chain(&self.leaving);
            let all = all.filter(|(_, client)| client.outbox.bytes() >= OUTBOX_WORTH);
            let stuck = all.map(|(conn, client)| (client.outbox.stuck_since(), *conn)).min();
            let Some((_, conn)) = stuck else { return };
            if let Some(client) = self.leaving.remove(&conn) {
                client.cut();
            }
            self.cut(conn, "too much waits for all clients, and it takes none of its part", now);
        }
    }

    /// The client is told what waits for it, and not heard any more.
    fn leave(&mut self, conn: ConnId) {
        if let Some(mut client) = self.clients.remove(&conn) {
            client.reader.abort();
            client.outbox.finish();
            self.leaving.insert(conn, client);
        }
    }

    fn cut(&mut self, conn: ConnId, why: &str, now: Time) {
        if let Some(client) = self.clients.remove(&conn) {
            tracing::debug!(conn = conn.0, why, "a client is dropped");
            client.cut();
            self.registry.handle(Input::Closed { conn }, now);
        }
    }

    fn observe(&self, event: Event) {
        self.observer.observe(&Record { at: self.clock.now(), who: self.id.clone(), event });
    }
}

/// Whether the answer is as long as a thousand questions: the next one is read when that answer is out.
const fn is_question(message: &ToTracker) -> bool {
    matches!(message, ToTracker::Status { .. } | ToTracker::Torrent { .. })
}

async fn read(
    conn: ConnId,
    mut recv: Box<dyn RecvHalf>,
    questions: Arc<Semaphore>,
    inbox: mpsc::Sender<ToOwner>,
    _permit: Arc<OwnedSemaphorePermit>,
) {
    let mut decoder = FrameDecoder::new(TO_TRACKER_LIMITS, TRACKER_READ_BYTES);
    let turns = Arc::new(Semaphore::new(1));
    loop {
        let (event, last) =
            match read_messages_until(recv.as_mut(), &mut decoder, is_question).await {
                Ok(messages) => {
                    let turn = match messages.last() {
                        Some(last) if is_question(last) => Turn::wait(&turns, &questions).await,
                        _ => None,
                    };
                    (ToOwner::Said(conn, messages, turn), false)
                }
                Err(why) => (ToOwner::Ended(conn, why.to_string()), true),
            };
        if inbox.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn write(
    conn: ConnId,
    mut send: Box<dyn SendHalf>,
    outgoing: Outgoing,
    inbox: mpsc::Sender<ToOwner>,
    _permit: Arc<OwnedSemaphorePermit>,
) {
    if let Err(error) = outgoing.send_all(send.as_mut()).await {
        tracing::debug!(conn = conn.0, %error, "cannot send to a client");
    }
    drop(send);
    // An error means that the owner has stopped.
    let _ = inbox.send(ToOwner::Written(conn)).await;
}

/// A task that panics is a bug, and must not go unseen.
fn pass_panic_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::{TrackerEnv, TrackerHandle, start_for};
    use crate::io::clock::RuntimeClock;
    use crate::io::observer::Nobody;
    use crate::model::config::TrackerConfig;
    use crate::model::ids::Site;
    use crate::model::limits;
    use crate::model::rng::Seed;
    use crate::run::fake::{Fake, Says, Takes, connection, nowhere};
    use crate::wire::tracker::ToTracker;

    async fn tracker(connections: usize, transport: Arc<Fake>) -> TrackerHandle {
        let (clock, observer) = (Arc::new(RuntimeClock::start()), Arc::new(Nobody));
        let env = TrackerEnv { transport, clock, observer, seed: Seed(1), store: None };
        let id = "tracker".parse().expect("a name");
        let config = TrackerConfig { id, listen: nowhere(), lease: limits::LEASE_DEFAULT };
        start_for(connections, env, config).await.expect("it listens")
    }

    /// They were forgotten when they had finished speaking, whatever was still to be sent to them.
    #[tokio::test(start_paused = true)]
    async fn who_has_finished_counts_until_its_writer_has() {
        let (transport, come) = Fake::accepting();
        let tracker = tracker(limits::TRACKER_CONNECTIONS_MAX, transport).await;
        let open = Arc::new(());
        let connections = || Arc::strong_count(&open) - 1;
        let deaf = |says| connection(says, Takes::Nothing, Arc::clone(&open));
        for _ in 0..limits::TRACKER_CONNECTIONS_MAX + 10 {
            come.send(deaf(Says::nothing().then_finishes())).expect("it listens");
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(connections(), limits::TRACKER_CONNECTIONS_MAX, "ten were one too many");
        sleep(limits::TRACKER_WRITE_TIMEOUT).await;
        assert_eq!(connections(), 0, "they take nothing");
        come.send(deaf(Says::nothing())).expect("it listens");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(connections(), 1, "there is room again");
        tracker.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_only_told_the_rest_makes_room() {
        let (transport, come) = Fake::accepting();
        let tracker = tracker(4, transport).await;
        let (gone, known) = (Arc::new(()), Arc::new(()));
        for _ in 0..3 {
            let deaf = Says::nothing().then_finishes();
            let deaf = connection(deaf, Takes::Nothing, Arc::clone(&gone));
            come.send(deaf).expect("it listens");
        }
        let counts = || (Arc::strong_count(&gone) - 1, Arc::strong_count(&known) - 1);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(counts(), (3, 0));
        for (number, left) in [(1, (3, 1)), (2, (2, 2)), (3, (1, 3)), (4, (0, 4)), (5, (0, 4))] {
            let node = format!("n{number}").parse().expect("a name");
            let hello = Says::messages([ToTracker::Hello {
                v: 1,
                node,
                port: 1,
                site: Site::default(),
                via: None,
            }]);
            let takes = Takes::slowly(1 << 20, Duration::from_millis(1));
            come.send(connection(hello, takes, Arc::clone(&known))).expect("it listens");
            sleep(Duration::from_millis(500)).await;
            assert_eq!(counts(), left, "the fifth is one too many: all others are nodes");
        }
        tracker.stop().await;
    }
}
