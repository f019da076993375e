//! Who calls a store, and from where: threads of its own on a real machine, a task in a world.
//!
//! The owner of a node hands jobs over and goes on; what became of them comes back as [`DiskDone`]. All jobs of one
//! piece are done by the same worker in the order in which they were given; jobs of different pieces pass each
//! other. A piece goes to the worker that has least to do when the piece is first heard of. `disk/worker.rs` is what a worker does.
//!
//! The caller keeps this order: after [`Disk::verify`] of a piece, no [`Disk::write`] of it until the verdict was
//! `false` or an error, or [`Disk::forget`] was called. A verified piece is never written to again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::buffers::Buffer;
use crate::io::store::{PieceStore, StoreError};
use crate::model::ids::InfoHash;
use crate::model::layout::{Block, BlockDigest};
use crate::model::limits;

mod worker;

use worker::{Job, Task, Worker};

/// What became of a job.
#[derive(Debug)]
pub enum DiskDone {
    /// A block could not be written. Nothing is said of one that was.
    NotWritten {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which block.
        block: Block,
        /// Why not.
        why: StoreError,
    },
    /// A piece was checked: whether what lies in the store is the piece.
    Checked {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
        /// The verdict, or why there is none.
        ok: Result<bool, StoreError>,
    },
    /// Blocks of a piece were digested.
    Digested {
        /// Of which torrent.
        torrent: InfoHash,
        /// Of which piece.
        piece: u32,
        /// As [`Disk::digest`] was given it.
        number: u64,
        /// In the order of the blocks; none if they cannot be read.
        digests: Vec<BlockDigest>,
    },
    /// The first leaves of a piece were compared with their hashes.
    LeavesChecked {
        /// Of which torrent.
        torrent: InfoHash,
        /// Which piece.
        piece: u32,
        /// Of the bytes that were asked about so many, from its start, are right.
        right: u32,
    },
    /// One of the workers that [`Disk::forget_torrent`] has counted has done all that it was given before.
    Forgotten {
        /// Of which torrent.
        torrent: InfoHash,
    },
    /// The content is durable and has its final name, or not.
    Finished {
        /// Which torrent.
        torrent: InfoHash,
        /// Why not.
        result: Result<(), StoreError>,
    },
    /// A worker has panicked, and what it was given will not be done: a bug, which must be seen.
    Panicked,
}

/// Hands jobs to the workers. Dropping it lets them do what they were given, and ends them.
#[derive(Debug)]
pub struct Disk {
    pieces: Vec<Inbox>,
    finish: Inbox,
    backlog: Backlog,
    assigned: Mutex<Assigned>,
}

/// Which worker does a piece: its place among them, [`NOBODY`] while the piece is unheard of.
type Assigned = BTreeMap<InfoHash, Vec<u8>>;

/// Jobs that a worker takes at once: sixteen pieces of one block each, the most that are hashed together, and their verdicts.
const JOBS_TOGETHER_MAX: usize = 32;

/// Bytes read back at once; stays in a core's own cache while it is hashed.
pub(super) const READ_BACK_BYTES: usize = 256 << 10;

/// No worker.
const NOBODY: u8 = u8::MAX;

/// A worker, as seen by those who have something to do.
#[derive(Clone, Debug)]
struct Inbox {
    jobs: Jobs,
    /// Jobs that it was given and has not done.
    waiting: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
enum Jobs {
    ToThread(std::sync::mpsc::Sender<Job>),
    ToTask(mpsc::UnboundedSender<Job>),
}

impl Disk {
    /// Starts `threads` threads for pieces and one for finishing torrents; or, with 0, one task on the current runtime that
    /// waits for [`PieceStore::writing`] after each job.
    ///
    /// # Panics
    /// If the system cannot start a thread; with 0 threads, if there is no runtime.
    #[must_use]
    pub fn new<T>(threads: usize, done: mpsc::UnboundedSender<T>) -> Self
    where
        T: From<DiskDone> + Send + 'static,
    {
        let backlog = Backlog::default();
        let assigned = Mutex::default();
        if threads == 0 {
            let (jobs, inbox) = mpsc::unbounded_channel();
            let worker = Worker::new(Arc::default());
            tokio::spawn(work_in_line(worker, inbox, done, backlog.clone()));
            let only = Inbox::new(Jobs::ToTask(jobs));
            return Self { pieces: vec![only.clone()], finish: only, backlog, assigned };
        }
        let writing = Arc::<AtomicUsize>::default();
        let start = |name: String| {
            let worker = Worker::new(Arc::clone(&writing));
            let (jobs, inbox) = std::sync::mpsc::channel();
            let to = Inbox::new(Jobs::ToThread(jobs));
            let (done, backlog, waiting) = (done.clone(), backlog.clone(), Arc::clone(&to.waiting));
            std::thread::Builder::new()
                .name(name)
                .spawn(move || work_on_thread(worker, &inbox, &done, &backlog, &waiting))
                .expect("the system can start a thread");
            to
        };
        let threads = threads.min(NOBODY.into());
        let pieces = (0..threads).map(|n| start(format!("sta-disk-{n}"))).collect();
        Self { pieces, finish: start("sta-disk-fin".to_owned()), backlog, assigned }
    }

    /// Writes `block`, whose bytes are `data`, and hashes it if it continues what was hashed of its piece.
    /// Bytes of the piece that were written before are kept as they are.
    ///
    /// # Panics
    /// If `data` is not as long as `block`.
    pub fn write(
        &self,
        torrent: InfoHash,
        store: &Arc<dyn PieceStore>,
        block: Block,
        mut data: Buffer,
    ) {
        assert_eq!(data.len(), block.len as usize, "a block and its bytes");
        store.as_kept(store.layout().block_offset(block), &mut data);
        self.backlog.add(torrent, block.len.into());
        self.give(block.piece, torrent, store, Task::Write { block, data });
    }

    /// Checks a piece. What was not hashed as it was written is read back from the store.
    pub fn verify(&self, torrent: InfoHash, store: &Arc<dyn PieceStore>, piece: u32) {
        self.give(piece, torrent, store, Task::Verify { piece });
    }

    /// Digests blocks of a piece as they lie in the store before anything that is given later.
    pub fn digest(
        &self,
        torrent: InfoHash,
        store: &Arc<dyn PieceStore>,
        piece: u32,
        number: u64,
        blocks: Vec<Block>,
    ) {
        self.give(piece, torrent, store, Task::Digest { piece, number, blocks });
    }

    /// Compares the leaves in the first `bytes` bytes of a piece with what they should hash to.
    pub fn check_leaves(
        &self,
        torrent: InfoHash,
        store: &Arc<dyn PieceStore>,
        piece: u32,
        bytes: u32,
    ) {
        self.give(piece, torrent, store, Task::CheckLeaves { piece, bytes });
    }

    /// Starts a piece anew: what was written of it beyond its first `keep` bytes no longer counts. Nothing is reported.
    pub fn forget(&self, torrent: InfoHash, store: &Arc<dyn PieceStore>, piece: u32, keep: u32) {
        self.give(piece, torrent, store, Task::Forget { piece, keep });
    }

    /// Starts every piece of a torrent anew, and lets go of its store. So many times [`DiskDone::Forgotten`] follows; what is still
    /// reported before the last of them is about what was, and until then nothing may be done with the same files.
    pub fn forget_torrent(&self, torrent: InfoHash, store: &Arc<dyn PieceStore>) -> usize {
        let threads = matches!(self.finish.jobs, Jobs::ToThread(_)).then_some(&self.finish);
        let all = self.pieces.iter().chain(threads);
        let send = |inbox: &Inbox| {
            inbox.send(Job { torrent, store: Arc::clone(store), task: Task::ForgetAll });
        };
        self.assigned().remove(&torrent);
        all.map(send).count()
    }

    /// Makes a torrent durable and gives it its name. Every piece must have been reported as good before.
    pub fn finish(&self, torrent: InfoHash, store: &Arc<dyn PieceStore>) {
        self.finish.send(Job { torrent, store: Arc::clone(store), task: Task::Finish });
    }

    /// How much waits to be written; for readers of the network.
    #[must_use]
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn give(&self, piece: u32, torrent: InfoHash, store: &Arc<dyn PieceStore>, task: Task) {
        let worker = self.worker(piece, torrent, &**store);
        self.pieces[worker].send(Job { torrent, store: Arc::clone(store), task });
    }

    /// Whose piece it is, for as long as the torrent is not forgotten. Two queues that are filled by the toss of a coin and hold
    /// sixteen blocks together leave each worker without work for a seventeenth of the time.
    fn worker(&self, piece: u32, torrent: InfoHash, store: &dyn PieceStore) -> usize {
        if self.pieces.len() == 1 {
            return 0;
        }
        let mut assigned = self.assigned();
        let pieces = store.layout().pieces() as usize;
        let workers = assigned.entry(torrent).or_insert_with(|| vec![NOBODY; pieces]);
        let worker = &mut workers[piece as usize];
        if *worker == NOBODY {
            let load = |n: &u8| self.pieces[usize::from(*n)].waiting.load(Ordering::Relaxed);
            *worker = (0..self.pieces.len() as u8).min_by_key(load).expect("there is a worker");
        }
        usize::from(*worker)
    }

    fn assigned(&self) -> MutexGuard<'_, Assigned> {
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn new(jobs: Jobs) -> Self {
        Self { jobs, waiting: Arc::default() }
    }

    fn send(&self, job: Job) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let taken = match &self.jobs {
            Jobs::ToThread(jobs) => jobs.send(job).is_ok(),
            Jobs::ToTask(jobs) => jobs.send(job).is_ok(),
        };
        assert!(taken, "a disk worker has panicked, or its runtime is gone");
    }
}

/// Bytes received and not yet written. Clones share the count.
///
/// Whoever receives a block waits for [`Self::room`] first: so a disk slower than the network slows the network down
/// instead of filling the memory.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicU64,
    /// Of each torrent of which there are any.
    of: Mutex<BTreeMap<InfoHash, u64>>,
    freed: Notify,
}

impl Backlog {
    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Acquire)
    }

    /// Ready once less than [`limits::DISK_BACKLOG_BYTES_MAX`] waits.
    pub async fn room(&self) {
        loop {
            let freed = self.0.freed.notified();
            if self.bytes() < limits::DISK_BACKLOG_BYTES_MAX {
                return;
            }
            freed.await;
        }
    }

    /// Bytes of `torrent` that wait.
    #[must_use]
    pub fn of(&self, torrent: InfoHash) -> u64 {
        self.by_torrent().get(&torrent).copied().unwrap_or(0)
    }

    fn by_torrent(&self) -> MutexGuard<'_, BTreeMap<InfoHash, u64>> {
        self.0.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, torrent: InfoHash, bytes: u64) {
        *self.by_torrent().entry(torrent).or_default() += bytes;
        self.0.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    fn remove(&self, torrent: InfoHash, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut of = self.by_torrent();
        let left = of.get(&torrent).map_or(0, |waiting| waiting.saturating_sub(bytes));
        match left {
            0 => of.remove(&torrent),
            left => of.insert(torrent, left),
        };
        drop(of);
        let before = self.0.bytes.fetch_sub(bytes, Ordering::AcqRel);
        let full = limits::DISK_BACKLOG_BYTES_MAX;
        if before >= full && before - bytes < full {
            self.0.freed.notify_waiters();
        }
    }
}

/// Tells of the panic of the worker that holds it. Nobody waits for a worker, and who waits for what it was given would wait for ever.
struct Alarm<'a, T: From<DiskDone>>(&'a mpsc::UnboundedSender<T>);

impl<T: From<DiskDone>> Drop for Alarm<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nobody may be left to hear of it.
            let _ = self.0.send(DiskDone::Panicked.into());
        }
    }
}

fn work_on_thread<T: From<DiskDone>>(
    mut worker: Worker,
    inbox: &std::sync::mpsc::Receiver<Job>,
    done: &mpsc::UnboundedSender<T>,
    backlog: &Backlog,
    waiting: &AtomicU64,
) {
    let _alarm = Alarm(done);
    let mut jobs = Vec::new();
    while let Ok(job) = inbox.recv() {
        jobs.push(job);
        jobs.extend(inbox.try_iter().take(JOBS_TOGETHER_MAX - 1));
        worker.hash_ahead(&jobs);
        for job in jobs.drain(..) {
            let torrent = job.torrent;
            let outcome = worker.work(job);
            waiting.fetch_sub(1, Ordering::Relaxed);
            backlog.remove(torrent, outcome.received);
            // Nobody may be left to hear of it: the node has stopped, and what was begun is brought to its end.
            outcome.done.map(|d| done.send(d.into()));
        }
    }
}

async fn work_in_line<T: From<DiskDone>>(
    mut worker: Worker,
    mut inbox: mpsc::UnboundedReceiver<Job>,
    done: mpsc::UnboundedSender<T>,
    backlog: Backlog,
) {
    let _alarm = Alarm(&done);
    while let Some(job) = inbox.recv().await {
        let torrent = job.torrent;
        let outcome = worker.work(job);
        if let Some(wait) = outcome.wait {
            wait.await;
        }
        backlog.remove(torrent, outcome.received);
        outcome.done.map(|d| done.send(d.into()));
    }
}

#[cfg(test)]
mod tests;
