use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::worker::{Job, Task, Worker};
use super::{Disk, DiskDone};
use crate::io::file_store::{Allocation, FileStore, SyncPolicy};
use crate::io::hash::PieceHasher;
use crate::io::store::{Body, PieceStore, PieceVerifier, StoreError, Wait};
use crate::model::files::{FileKind, Files, FilesError, NewFile};
use crate::model::ids::InfoHash;
use crate::model::layout::{Block, Layout};
use crate::model::leaves::LeafHashes;
use crate::model::limits;
use crate::model::metainfo::{About, BLAKE3_BYTES, Builder, PieceHashes};
use crate::run::buffers::BufferPool;

const TORRENT: InfoHash = InfoHash([7; 20]);
const PIECE: u32 = 64 << 10;

/// Content in memory. Counts what is written, takes a microsecond a byte, and fails where it is told to.
struct MemoryStore {
    layout: Layout,
    bytes: Mutex<Vec<u8>>,
    written: AtomicU64,
    fails_at: Option<u64>,
    /// What its pieces are verified by; by comparing if there are none.
    hashes: Option<PieceHashes>,
}

struct Comparing {
    expected: Vec<u8>,
    seen: Vec<u8>,
    leaves: Vec<u8>,
}

/// What stands for the hash of a leaf of the right bytes.
const LEAF: [u8; BLAKE3_BYTES] = [1; BLAKE3_BYTES];

fn content(piece: u32) -> Vec<u8> {
    (0..PIECE).map(|i| (i / 7 + i % 251 + piece) as u8).collect()
}

impl MemoryStore {
    fn of_two_pieces(fails_at: Option<u64>) -> Arc<Self> {
        Arc::new(Self::of(2, fails_at, None))
    }

    /// Whose pieces have hashes by SHA-1 alone.
    fn by_sha1(pieces: u32, fails_at: Option<u64>) -> Arc<Self> {
        let hash = |piece| {
            let mut hasher = PieceHasher::default();
            hasher.update(&content(piece));
            hasher.finish().sha1
        };
        let sha1: Vec<_> = (0..pieces).flat_map(hash).collect();
        let hashes = PieceHashes::new(pieces, sha1.into(), None).expect("lengths fit");
        Arc::new(Self::of(pieces, fails_at, Some(hashes)))
    }

    fn of(pieces: u32, fails_at: Option<u64>, hashes: Option<PieceHashes>) -> Self {
        let layout = Layout::new(u64::from(pieces * PIECE), PIECE).expect("in bounds");
        let bytes = Mutex::new(vec![0; (pieces * PIECE) as usize]);
        Self { layout, bytes, written: AtomicU64::new(0), fails_at, hashes }
    }
}

impl PieceStore for MemoryStore {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        if self.fails_at.is_some_and(|at| (offset..offset + data.len() as u64).contains(&at)) {
            let (path, reason) = ("memory".to_owned(), "told to".to_owned());
            return Err(StoreError { path, reason, passing: true });
        }
        self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        let mut bytes = self.bytes.lock().expect("no panic before");
        bytes[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let bytes = self.bytes.lock().expect("no panic before");
        buf.copy_from_slice(&bytes[offset as usize..offset as usize + buf.len()]);
        Ok(())
    }

    fn body(&self, _: u64, _: u32) -> Result<Body, StoreError> {
        Ok(Body::Bytes(Bytes::new()))
    }

    fn verifier(&self, piece: u32) -> Box<dyn PieceVerifier> {
        if let Some(hashes) = &self.hashes {
            return hashes.verifier(piece, self.layout);
        }
        Box::new(Comparing { expected: content(piece), seen: Vec::new(), leaves: Vec::new() })
    }

    fn leaf_hashes(&self, _: u32) -> Option<LeafHashes> {
        self.hashes.is_none().then(|| LeafHashes::new(LEAF.repeat(4)))
    }

    fn keep_leaf_hashes(&self, _: u32, _: &LeafHashes) {}

    fn finish(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn writing(&self, bytes: u64) -> Option<Wait> {
        // A timer needs a runtime, and workers on threads, which wait for nothing, have none.
        Some(Box::pin(async move { tokio::time::sleep(Duration::from_micros(bytes)).await }))
    }
}

impl PieceVerifier for Comparing {
    fn update(&mut self, data: &[u8]) {
        self.seen.extend_from_slice(data);
        let leaf = limits::BLOCK_BYTES_MIN as usize;
        let pairs = self.seen.chunks_exact(leaf).zip(self.expected.chunks_exact(leaf));
        self.leaves.clear();
        for (seen, expected) in pairs {
            self.leaves.extend(if seen == expected { LEAF } else { [0; BLAKE3_BYTES] });
        }
    }

    fn leaf_hashes(&self) -> &[u8] {
        &self.leaves
    }

    fn verdict(&mut self) -> bool {
        self.leaves.clear();
        std::mem::take(&mut self.seen) == self.expected
    }
}

/// A disk, its store, and what comes back.
struct Bench {
    disk: Disk,
    memory: Arc<MemoryStore>,
    store: Arc<dyn PieceStore>,
    pool: BufferPool,
    done: UnboundedReceiver<DiskDone>,
}

impl Bench {
    fn new(threads: usize, fails_at: Option<u64>) -> Self {
        let (to, done) = unbounded_channel();
        let memory = MemoryStore::of_two_pieces(fails_at);
        let store = Arc::clone(&memory) as Arc<dyn PieceStore>;
        Self { disk: Disk::new(threads, to), memory, store, pool: BufferPool::new(), done }
    }

    /// Writes `offset..offset + len` of a piece, changed by `mask`.
    fn write(&self, piece: u32, offset: u32, len: u32, mask: u8) {
        let mut data = self.pool.take(len as usize);
        let right = &content(piece)[offset as usize..(offset + len) as usize];
        data.iter_mut().zip(right).for_each(|(to, from)| *to = from ^ mask);
        self.disk.write(TORRENT, &self.store, Block { piece, offset, len }, data);
    }

    /// The verdict on a piece, once everything that was given before is done.
    async fn verdict(&mut self, piece: u32) -> Result<bool, StoreError> {
        self.disk.verify(TORRENT, &self.store, piece);
        loop {
            match self.done.recv().await.expect("the disk is there") {
                DiskDone::Checked { ok, piece: of, .. } if of == piece => return ok,
                _ => {}
            }
        }
    }

    /// How many bytes from the start of a piece are right, once everything that was given before is done.
    async fn right(&mut self, piece: u32) -> u32 {
        self.right_of(piece, PIECE).await
    }

    /// How many of the first `bytes` of a piece are right.
    async fn right_of(&mut self, piece: u32, bytes: u32) -> u32 {
        self.disk.check_leaves(TORRENT, &self.store, piece, bytes);
        loop {
            match self.done.recv().await.expect("the disk is there") {
                DiskDone::LeavesChecked { right, piece: of, .. } if of == piece => return right,
                _ => {}
            }
        }
    }

    fn written(&self) -> u64 {
        self.memory.written.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn blocks_in_any_order_make_a_piece() {
    for threads in [0, 2] {
        let mut bench = Bench::new(threads, None);
        let quarter = PIECE / 4;
        for (piece, order) in [(0, [0, 1, 2, 3]), (1, [3, 1, 0, 2])] {
            for n in order {
                bench.write(piece, n * quarter, quarter, 0);
            }
        }
        assert_eq!(bench.verdict(0).await, Ok(true));
        assert_eq!(bench.verdict(1).await, Ok(true));
        let all = [content(0), content(1)].concat();
        assert_eq!(*bench.memory.bytes.lock().expect("no panic"), all, "{threads} threads");
        assert_eq!((bench.disk.backlog().bytes(), bench.disk.backlog().of(TORRENT)), (0, 0));
        assert!(bench.pool.idle_bytes() > 0, "buffers come back");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_piece_that_is_not_whole_the_first_leaves_can_be_checked() {
    for threads in [0, 2] {
        let mut bench = Bench::new(threads, None);
        let leaf = PIECE / 4;
        assert_eq!(bench.right(0).await, 0, "nothing is here");
        bench.write(0, leaf, leaf, 0);
        assert_eq!(bench.right(0).await, 0, "the first is not here");
        bench.write(0, 0, leaf, 0);
        assert_eq!(bench.right(0).await, 2 * leaf);
        bench.write(0, 2 * leaf, leaf - 1, 0);
        assert_eq!(bench.right(0).await, 2 * leaf, "the third is not whole");
        bench.write(1, 0, leaf, 0);
        bench.write(1, leaf, leaf, 1);
        assert_eq!(bench.right(1).await, leaf, "the second is wrong");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_piece_is_found_and_begun_anew() {
    for threads in [0, 2] {
        let mut bench = Bench::new(threads, None);
        bench.write(0, 0, PIECE, 1);
        assert_eq!(bench.verdict(0).await, Ok(false));
        bench.write(0, 0, PIECE, 0);
        assert_eq!(bench.verdict(0).await, Ok(true));

        bench.write(1, 0, 100, 1);
        bench.disk.forget(TORRENT, &bench.store, 1, 0);
        bench.write(1, 0, PIECE, 0);
        assert_eq!(bench.verdict(1).await, Ok(true), "forgotten bytes no longer count");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_were_found_right_are_not_written_again() {
    for threads in [0, 2] {
        let mut bench = Bench::new(threads, None);
        let leaf = PIECE / 4;
        bench.write(0, 0, 2 * leaf, 0);
        bench.write(0, 2 * leaf, 2 * leaf, 1);
        assert_eq!(bench.right(0).await, 2 * leaf);
        assert_eq!(bench.verdict(0).await, Ok(false));
        bench.disk.forget(TORRENT, &bench.store, 0, 2 * leaf);
        bench.write(0, 0, 3 * leaf, 1);
        assert_eq!(bench.right(0).await, 2 * leaf, "of three only the third was written");
        assert_eq!(bench.right_of(0, leaf).await, leaf, "no more than was asked about");
        assert_eq!(bench.verdict(0).await, Ok(false));
        bench.disk.forget(TORRENT, &bench.store, 0, 2 * leaf);
        bench.write(0, 2 * leaf, 2 * leaf, 0);
        assert_eq!(bench.verdict(0).await, Ok(true));
    }
}

#[tokio::test(start_paused = true)]
async fn what_lies_in_the_store_already_can_be_checked() {
    let mut bench = Bench::new(2, None);
    bench.memory.write(0, &content(0)).expect("does not fail");
    assert_eq!(bench.verdict(0).await, Ok(true));
    assert_eq!(bench.verdict(1).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_reported_and_can_be_repeated() {
    let mut bench = Bench::new(1, Some(5));
    bench.write(0, 0, 10, 0);
    bench.write(0, 10, PIECE - 10, 0);
    let DiskDone::NotWritten { block, why, .. } = bench.done.recv().await.expect("there") else {
        panic!("nothing but the failure is told");
    };
    assert_eq!((block.offset, why.passing), (0, true));
    assert_eq!(bench.verdict(0).await, Ok(false), "ten bytes are missing");
    assert_eq!(bench.written(), u64::from(PIECE) - 10);
}

/// What came was hashed and the padding of it not kept: a piece that was right could be served wrong.
#[tokio::test(start_paused = true)]
async fn padding_is_zeros_whatever_comes() {
    const LEN: u32 = 16 << 10;
    let files = [("a", 10, FileKind::Plain), (".pad/1", u64::from(LEN) - 10, FileKind::Padding)];
    let new = |(path, len, kind): (&str, u64, FileKind)| {
        Ok::<_, FilesError>(NewFile { path: path.to_owned(), len, kind })
    };
    let mut hasher = PieceHasher::default();
    hasher.update(&[&[1; 10][..], &vec![0; LEN as usize - 10]].concat());
    let hash = hasher.finish();
    let builder = Builder {
        files: Files::folder("t".to_owned(), files.into_iter().map(new)).expect("good names"),
        piece_bytes: LEN,
        sha1: hash.sha1.to_vec().into(),
        blake3: Some(hash.blake3.to_vec().into()),
        trackers: Vec::new(),
        about: About::default(),
    };
    let torrent = Arc::new(builder.build().expect("it is well made"));
    for threads in [0, 2] {
        let dir = tempfile::TempDir::new().expect("a folder");
        let (sparse, sync) = (Allocation::Sparse, SyncPolicy::Never);
        let store = FileStore::download(Arc::clone(&torrent), dir.path(), sparse, sync);
        let mut bench = Bench::new(threads, None);
        bench.store = Arc::new(store.expect("nothing is in the way"));
        let mut data = bench.pool.take(LEN as usize);
        data.fill(1);
        bench.disk.write(TORRENT, &bench.store, Block { piece: 0, offset: 0, len: LEN }, data);
        assert_eq!(bench.verdict(0).await, Ok(true));
        // The same from what lies in the store.
        assert_eq!(bench.verdict(0).await, Ok(true));
    }
}

/// It was seen at the next job for that worker, and who waited for its answer waited for ever.
#[tokio::test(start_paused = true)]
async fn a_panic_of_a_worker_is_told_at_once() {
    for threads in [0, 2] {
        let mut bench = Bench::new(threads, None);
        let beyond = Block { piece: 1, offset: PIECE, len: 10 };
        bench.disk.write(TORRENT, &bench.store, beyond, bench.pool.take(10));
        let told = bench.done.recv().await.expect("the other workers are there");
        assert!(matches!(told, DiskDone::Panicked), "{threads} threads: {told:?}");
    }
}

/// A worker hashes first while another writes: what it has hashed and could not write does not count.
#[test]
fn a_write_that_fails_after_its_hash_can_be_repeated() {
    let (failing, sound) =
        (MemoryStore::of_two_pieces(Some(200)), MemoryStore::of_two_pieces(None));
    let pool = BufferPool::new();
    let mut worker = Worker::new(Arc::new(AtomicUsize::new(1)));
    let mut give = |store: &Arc<MemoryStore>, task| {
        let store = Arc::clone(store) as Arc<dyn PieceStore>;
        worker.work(Job { torrent: TORRENT, store, task }).done
    };
    // What fails are other bytes: the right ones come later.
    let block = |from: u32, to: u32, fails: bool| {
        let mut data = pool.take((to - from) as usize);
        let right = &content(0)[from as usize..to as usize];
        data.iter_mut().zip(right).for_each(|(to, from)| *to = from ^ u8::from(fails));
        Task::Write { block: Block { piece: 0, offset: from, len: to - from }, data }
    };
    for (store, from, to, fails) in [
        (&sound, 0, 100, false),
        (&failing, 100, 300, true),
        (&sound, 100, 300, false),
        (&sound, 300, PIECE, false),
    ] {
        let done = give(store, block(from, to, fails));
        assert_eq!(matches!(done, Some(DiskDone::NotWritten { .. })), fails);
    }
    let done = give(&sound, Task::Verify { piece: 0 });
    assert!(matches!(done, Some(DiskDone::Checked { ok: Ok(true), .. })), "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn blocks_are_digested_as_they_lay_there_when_that_was_asked() {
    for threads in [0, 2] {
        let mut bench = Bench::new(threads, None);
        let half = PIECE / 2;
        bench.write(1, 0, half, 0);
        bench.write(1, half, half, 9);
        assert_eq!(bench.verdict(1).await, Ok(false));
        let blocks: Vec<Block> =
            [0, half].map(|offset| Block { piece: 1, offset, len: half }).into();
        bench.disk.digest(TORRENT, &bench.store, 1, 7, blocks.clone());
        bench.disk.forget(TORRENT, &bench.store, 1, 0);
        bench.write(1, 0, PIECE, 0);
        bench.disk.digest(TORRENT, &bench.store, 1, 8, blocks);
        let mut answers = Vec::new();
        while answers.len() < 2 {
            let done = bench.done.recv().await.expect("the disk is there");
            let DiskDone::Digested { piece: 1, number, digests, .. } = done else {
                panic!("{done:?}")
            };
            answers.push((number, digests));
        }
        let right = |from: u32| {
            let bytes = &content(1)[from as usize..(from + half) as usize];
            *blake3::hash(bytes).as_bytes()
        };
        assert_eq!(answers[1], (8, vec![right(0), right(half)]));
        assert_eq!((answers[0].0, answers[0].1[0]), (7, right(0)));
        assert_ne!(answers[0].1[1], right(half), "that one was wrong");
    }
}

#[tokio::test(start_paused = true)]
async fn in_line_jobs_take_the_time_they_cost() {
    let mut bench = Bench::new(0, None);
    let start = crate::io::clock::RuntimeClock::start();
    bench.write(0, 0, PIECE, 0);
    assert_eq!(bench.verdict(0).await, Ok(true));
    let took = crate::io::clock::Clock::now(&start).as_secs_f64();
    let cost = f64::from(PIECE) / 1e6;
    assert!((cost..cost + 0.002).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn readers_wait_while_too_much_waits_for_the_disk() {
    let bench = Bench::new(0, None);
    bench.disk.backlog().room().await;
    let blocks = limits::DISK_BACKLOG_BYTES_MAX / u64::from(PIECE);
    for _ in 0..blocks {
        bench.write(0, 0, PIECE, 0);
    }
    assert_eq!(bench.disk.backlog().bytes(), limits::DISK_BACKLOG_BYTES_MAX);
    let backlog = bench.disk.backlog().clone();
    assert_eq!(backlog.of(TORRENT), limits::DISK_BACKLOG_BYTES_MAX);
    assert_eq!(backlog.of(InfoHash([8; 20])), 0, "nothing of another has come");
    let mut room = std::pin::pin!(backlog.room());
    let waits = std::future::poll_fn(|cx| Poll::Ready(room.as_mut().poll(cx).is_pending())).await;
    assert!(waits, "there is no room before a block is written");
    room.await;
}

#[test]
fn a_piece_stays_with_the_worker_that_had_least_to_do() {
    let bench = Bench::new(2, None);
    let held = bench.memory.bytes.lock().expect("no panic before");
    bench.write(1, 0, PIECE, 0);
    bench.write(0, 0, PIECE / 2, 0);
    bench.write(0, PIECE / 2, PIECE / 2, 0);
    let worker = |piece| bench.disk.worker(piece, TORRENT, &*bench.store);
    assert_eq!([worker(0), worker(1)], [1, 0]);
    bench.disk.forget_torrent(TORRENT, &bench.store);
    assert_eq!(worker(1), 0, "the other still has more to do");
    assert_eq!(worker(0), 0, "nothing was given meanwhile");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn finishing_is_reported() {
    for threads in [0, 2] {
        let mut bench = Bench::new(threads, None);
        bench.disk.finish(TORRENT, &bench.store);
        let done = bench.done.recv().await;
        assert!(matches!(done, Some(DiskDone::Finished { result: Ok(()), .. })), "{done:?}");
    }
}

/// The job of writing `quarters` of a piece by SHA-1, changed by `mask`.
fn write_quarters(pool: &BufferPool, piece: u32, quarters: std::ops::Range<u32>, mask: u8) -> Task {
    let quarter = PIECE / 4;
    let (offset, len) = (quarters.start * quarter, quarters.len() as u32 * quarter);
    let mut data = pool.take(len as usize);
    let right = &content(piece)[offset as usize..(offset + len) as usize];
    data.iter_mut().zip(right).for_each(|(to, from)| *to = from ^ mask);
    Task::Write { block: Block { piece, offset, len }, data }
}

#[test]
fn what_another_block_has_written_before_is_not_hashed_ahead() {
    let pool = BufferPool::new();
    let store = MemoryStore::by_sha1(6, None) as Arc<dyn PieceStore>;
    let job = |task| Job { torrent: TORRENT, store: Arc::clone(&store), task };
    let mut worker = Worker::new(Arc::default());
    worker.work(job(write_quarters(&pool, 2, 1..2, 0)));
    worker.work(job(write_quarters(&pool, 3, 1..2, 1)));
    let jobs: Vec<Job> = (0..6)
        .flat_map(|piece| [write_quarters(&pool, piece, 0..4, 0), Task::Verify { piece }])
        .map(job)
        .collect();
    worker.hash_ahead(&jobs);
    for done in jobs.into_iter().filter_map(|job| worker.work(job).done) {
        let DiskDone::Checked { piece, ok, .. } = done else { panic!("{done:?}") };
        assert_eq!(ok, Ok(piece != 3), "piece {piece}");
    }
}

/// What a job of the test below does with a piece.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Writes so many quarters from one on, changed by a mask.
    Write(u32, u32, u8),
    Verify,
    Forget,
}

/// Mostly what continues a piece, so that much of it can be hashed ahead.
fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        8 => Just(Does::Write(0, 4, 0)),
        4 => (0..2u32).prop_map(|half| Does::Write(2 * half, 2, 0)),
        6 => (0..4u32, 1..=4u32, 0..2u8)
            .prop_map(|(from, count, mask)| Does::Write(from, count.min(4 - from), mask)),
        3 => Just(Does::Verify),
        1 => Just(Does::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Jobs that are seen some at a time end as they do one by one: the same is told, and the same lies in the store.
    #[test]
    fn what_is_hashed_ahead_changes_nothing_but_the_time(
        jobs in prop::collection::vec((0..9u32, does()), 1..60),
        together in 1..40usize,
        fails_at in prop::option::weighted(0.3, 0..9 * u64::from(PIECE)),
    ) {
        let pool = BufferPool::new();
        let run = |ahead: bool| {
            let memory = MemoryStore::by_sha1(9, fails_at);
            let jobs: Vec<Job> = jobs.iter().map(|&(piece, does)| {
                let task = match does {
                    Does::Write(from, count, mask) => {
                        write_quarters(&pool, piece, from..from + count, mask)
                    }
                    Does::Verify => Task::Verify { piece },
                    Does::Forget => Task::Forget { piece, keep: 0 },
                };
                Job { torrent: TORRENT, store: Arc::clone(&memory) as Arc<dyn PieceStore>, task }
            }).collect();
            let (mut worker, mut told) = (Worker::new(Arc::default()), Vec::new());
            let mut jobs = jobs.into_iter().peekable();
            while jobs.peek().is_some() {
                let some: Vec<Job> = jobs.by_ref().take(together).collect();
                if ahead {
                    worker.hash_ahead(&some);
                }
                told.extend(some.into_iter().map(|job| format!("{:?}", worker.work(job).done)));
            }
            let bytes = memory.bytes.lock().expect("no panic").clone();
            (told, bytes, memory.written.load(Ordering::Relaxed))
        };
        prop_assert!(run(true) == run(false));
    }

    /// Blocks overlap, repeat and come in any order, some of them wrong: the verdict is about what lies in the store,
    /// where the first to write a byte has decided what it is.
    #[test]
    fn the_verdict_is_about_what_lies_in_the_store(
        blocks in prop::collection::vec((0..PIECE, 1..=PIECE, prop::bool::weighted(0.1)), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let mut bench = Bench::new(0, None);
            let mut model = vec![None; PIECE as usize];
            for (offset, len, wrong) in blocks {
                let (len, mask) = (len.min(PIECE - offset), u8::from(wrong));
                bench.write(0, offset, len, mask);
                for byte in &mut model[offset as usize..(offset + len) as usize] {
                    byte.get_or_insert(mask);
                }
            }
            let expected: Vec<u8> = content(0).iter().zip(&model)
                .map(|(right, mask)| mask.map_or(0, |mask| right ^ mask)).collect();
            let verdict = bench.verdict(0).await;
            prop_assert_eq!(&bench.memory.bytes.lock().expect("no panic")[..PIECE as usize], &expected);
            prop_assert_eq!(verdict, Ok(expected == content(0)));
            prop_assert_eq!(bench.written() as usize, model.iter().flatten().count());
            Ok(())
        })?;
    }
}
