//! What a disk worker does: writes blocks, hashes each piece in order, and reads back only what came out of order.
//!
//! Several pieces are hashed at once by SHA-1, before they are written, if that much waits.
//!
//! Invariant: between two beginnings of a piece each of its bytes is written at most once, so what was hashed in
//! memory is what lies in the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use super::{DiskDone, READ_BACK_BYTES};
use crate::io::aligned::AlignedBytes;
use crate::io::sha1::Sha1;
use crate::io::store::{PieceStore, PieceVerifier, StoreError, Wait};
use crate::model::ids::InfoHash;
use crate::model::layout::{Block, BlockDigest};
use crate::model::leaves::LeafHashes;
use crate::model::metainfo::BLAKE3_BYTES;
use crate::run::buffers::Buffer;

pub(super) struct Job {
    pub(super) torrent: InfoHash,
    pub(super) store: Arc<dyn PieceStore>,
    pub(super) task: Task,
}

pub(super) enum Task {
    Write { block: Block, data: Buffer },
    Verify { piece: u32 },
    Digest { piece: u32, number: u64, blocks: Vec<Block> },
    CheckLeaves { piece: u32, bytes: u32 },
    Forget { piece: u32, keep: u32 },
    ForgetAll,
    Finish,
}

pub(super) struct Outcome {
    pub(super) done: Option<DiskDone>,
    /// What the job took off the backlog.
    pub(super) received: u64,
    /// What is still to be waited for: the world's time that it takes.
    pub(super) wait: Option<Wait>,
}

pub(super) struct Worker {
    pieces: BTreeMap<(InfoHash, u32), Progress>,
    scratch: AlignedBytes,
    /// How many of the workers of a disk are writing.
    writing: Arc<AtomicUsize>,
}

/// How far a piece has come.
struct Progress {
    verifier: Box<dyn PieceVerifier>,
    /// Bytes from the start that are hashed: those that are written, and those of blocks that were hashed before they are.
    given: u32,
    /// Bytes from the start that are written and hashed.
    hashed: u32,
    /// Ranges beyond `hashed` that are written: ascending, apart from each other.
    ahead: SmallVec<[(u32, u32); 4]>,
}

/// A piece, and the blocks among some jobs that can be hashed before any of those jobs is done.
struct Stream<'a> {
    piece: (InfoHash, u32),
    progress: Progress,
    /// Each continues the one before, the first one what is hashed.
    blocks: SmallVec<[&'a [u8]; 4]>,
    /// Where the last one ends.
    end: u32,
}

impl Worker {
    pub(super) fn new(writing: Arc<AtomicUsize>) -> Self {
        Self { pieces: BTreeMap::new(), scratch: AlignedBytes::default(), writing }
    }

    /// Hashes blocks before they are written, those of several pieces at once, if there are enough for that to be faster.
    pub(super) fn hash_ahead(&mut self, jobs: &[Job]) {
        let mut streams = self.streams(jobs);
        let rounds = streams.iter().map(|stream| stream.blocks.len());
        if rounds.clone().filter(|rounds| *rounds > 0).count() >= Sha1::TOGETHER_MIN {
            // The blocks of a piece follow each other.
            for round in 0..rounds.max().unwrap_or(0) {
                Sha1::update_all(streams.iter_mut().filter_map(
                    |Stream { progress, blocks, .. }| {
                        let block = *blocks.get(round)?;
                        progress.given += block.len() as u32;
                        Some((progress.verifier.sha1()?, block))
                    },
                ));
            }
        }
        self.pieces.extend(streams.into_iter().map(|stream| (stream.piece, stream.progress)));
    }

    /// The pieces of which something is to be written, taken out of those that have begun.
    fn streams<'a>(&mut self, jobs: &'a [Job]) -> Vec<Stream<'a>> {
        let mut streams: Vec<Stream<'_>> = Vec::new();
        // Of which something else is to be done first.
        let mut over = Vec::new();
        for Job { torrent, store, task } in jobs {
            let (piece, written) = match task {
                Task::Write { block, data } => (block.piece, Some((block, data))),
                Task::Verify { piece }
                | Task::Digest { piece, .. }
                | Task::CheckLeaves { piece, .. }
                | Task::Forget { piece, .. } => (*piece, None),
                Task::ForgetAll => break,
                Task::Finish => continue,
            };
            let piece = (*torrent, piece);
            let Some((block, data)) = written.filter(|_| !over.contains(&piece)) else {
                over.push(piece);
                continue;
            };
            let known = streams.iter().position(|stream| stream.piece == piece);
            let at = known.unwrap_or_else(|| {
                let progress = self.pieces.remove(&piece);
                let progress =
                    progress.unwrap_or_else(|| Progress::new(store.verifier(block.piece)));
                let (end, blocks) = (progress.given, SmallVec::new());
                streams.push(Stream { piece, progress, blocks, end });
                streams.len() - 1
            });
            let stream = &mut streams[at];
            if stream.continues_with(*block) {
                stream.end += block.len;
                stream.blocks.push(data);
            } else {
                over.push(piece);
            }
        }
        streams
    }

    pub(super) fn work(&mut self, job: Job) -> Outcome {
        let Job { torrent, store, task } = job;
        let store = &*store;
        let (done, received, moved) = match task {
            Task::Write { block, data } => {
                let mut moved = 0;
                let failed = self.write(torrent, store, block, &data, &mut moved).err();
                let done = failed.map(|why| DiskDone::NotWritten { torrent, block, why });
                (done, u64::from(block.len), moved)
            }
            Task::Verify { piece } => {
                let mut moved = 0;
                let ok = self.verify(torrent, store, piece, &mut moved);
                (Some(DiskDone::Checked { torrent, piece, ok }), 0, moved)
            }
            Task::Digest { piece, number, blocks } => {
                let mut moved = 0;
                let digest = |block: &Block| self.digest(store, *block, &mut moved);
                let digests: Result<Vec<_>, _> = blocks.iter().map(digest).collect();
                let digests = digests.unwrap_or_default();
                (Some(DiskDone::Digested { torrent, piece, number, digests }), 0, moved)
            }
            Task::CheckLeaves { piece, bytes } => {
                // What was kept when the piece began anew may be more.
                let right = self.right(torrent, store, piece).min(bytes);
                (Some(DiskDone::LeavesChecked { torrent, piece, right }), 0, 0)
            }
            Task::Forget { piece, keep } => {
                self.pieces.remove(&(torrent, piece));
                if keep > 0 {
                    let mut progress = Progress::new(store.verifier(piece));
                    progress.put_ahead(0, keep);
                    self.pieces.insert((torrent, piece), progress);
                }
                (None, 0, 0)
            }
            Task::ForgetAll => {
                self.pieces.retain(|(other, _), _| *other != torrent);
                (Some(DiskDone::Forgotten { torrent }), 0, 0)
            }
            Task::Finish => (Some(DiskDone::Finished { torrent, result: store.finish() }), 0, 0),
        };
        let wait = if moved > 0 { store.writing(moved) } else { None };
        Outcome { done, received, wait }
    }

    fn write(
        &mut self,
        torrent: InfoHash,
        store: &dyn PieceStore,
        block: Block,
        data: &[u8],
        moved: &mut u64,
    ) -> Result<(), StoreError> {
        let progress = self
            .pieces
            .entry((torrent, block.piece))
            .or_insert_with(|| Progress::new(store.verifier(block.piece)));
        let start = store.layout().piece_offset(block.piece);
        for (from, to) in progress.missing(block.offset, block.offset + block.len) {
            let part = &data[(from - block.offset) as usize..(to - block.offset) as usize];
            if from == progress.hashed {
                // Who writes to a file waits for whoever else does; meanwhile there is something to hash.
                if self.writing.load(Ordering::Relaxed) > 0 {
                    progress.give(part, to);
                }
                self.writing.fetch_add(1, Ordering::Relaxed);
                let written = store.write(start + u64::from(from), part);
                self.writing.fetch_sub(1, Ordering::Relaxed);
                if let Err(error) = written {
                    if progress.given > progress.hashed {
                        progress.hash_anew(store.verifier(block.piece));
                    }
                    return Err(error);
                }
                progress.give(part, to);
                progress.hashed = to;
            } else {
                store.write(start + u64::from(from), part)?;
                progress.put_ahead(from, to);
            }
            *moved += part.len() as u64;
        }
        while let Some(to) = progress.next_ahead() {
            progress.read_back(store, start, to, &mut self.scratch, moved)?;
            progress.ahead.remove(0);
        }
        Ok(())
    }

    fn verify(
        &mut self,
        torrent: InfoHash,
        store: &dyn PieceStore,
        piece: u32,
        moved: &mut u64,
    ) -> Result<bool, StoreError> {
        let mut progress = self
            .pieces
            .remove(&(torrent, piece))
            .unwrap_or_else(|| Progress::new(store.verifier(piece)));
        let layout = store.layout();
        let (start, end) = (layout.piece_offset(piece), layout.piece_len(piece));
        progress.read_back(store, start, end, &mut self.scratch, moved)?;
        let leaves = LeafHashes::new(progress.verifier.leaf_hashes());
        let right = progress.verifier.verdict();
        if right && store.leaf_hashes(piece).is_none() {
            store.keep_leaf_hashes(piece, &leaves);
        }
        Ok(right)
    }

    fn digest(
        &mut self,
        store: &dyn PieceStore,
        block: Block,
        moved: &mut u64,
    ) -> Result<BlockDigest, StoreError> {
        let mut hasher = blake3::Hasher::new();
        let (start, len) = (store.layout().block_offset(block), block.len as usize);
        for from in (0..len).step_by(READ_BACK_BYTES) {
            let part = scratch(&mut self.scratch, (len - from).min(READ_BACK_BYTES));
            store.read(start + from as u64, part)?;
            hasher.update(part);
            *moved += part.len() as u64;
        }
        Ok(hasher.finalize().into())
    }

    /// How many bytes from the start of `piece` are right, as far as its leaves are known and were hashed.
    fn right(&self, torrent: InfoHash, store: &dyn PieceStore, piece: u32) -> u32 {
        let progress = self.pieces.get(&(torrent, piece));
        let (Some(progress), Some(known)) = (progress, store.leaf_hashes(piece)) else { return 0 };
        let found = progress.verifier.leaf_hashes().chunks(BLAKE3_BYTES);
        let same =
            found.zip(known.as_bytes().chunks(BLAKE3_BYTES)).take_while(|(a, b)| a == b).count();
        let layout = store.layout();
        (same as u32 * layout.leaf_bytes()).min(layout.piece_len(piece))
    }
}

impl Stream<'_> {
    fn continues_with(&mut self, block: Block) -> bool {
        let Progress { verifier, ahead, .. } = &mut self.progress;
        verifier.sha1().is_some() && ahead.is_empty() && block.offset == self.end
    }
}

impl Progress {
    fn new(verifier: Box<dyn PieceVerifier>) -> Self {
        Self { verifier, given: 0, hashed: 0, ahead: SmallVec::new() }
    }

    /// Hashes `part`, which continues what is written and hashed and ends at `to`, unless that was done already.
    fn give(&mut self, part: &[u8], to: u32) {
        if self.given < to {
            self.verifier.update(part);
            self.given = to;
        }
    }

    /// Begins to hash at the start again; what is written stays so, and is read back.
    fn hash_anew(&mut self, verifier: Box<dyn PieceVerifier>) {
        self.verifier = verifier;
        self.given = 0;
        let written = std::mem::take(&mut self.hashed);
        if written > 0 {
            self.put_ahead(0, written);
        }
    }

    /// The parts of `from..to` that are not written yet, ascending.
    fn missing(&self, from: u32, to: u32) -> SmallVec<[(u32, u32); 2]> {
        let mut parts = SmallVec::new();
        let mut at = from.max(self.hashed);
        for &(first, end) in &self.ahead {
            if at < first.min(to) {
                parts.push((at, first.min(to)));
            }
            at = at.max(end);
        }
        if at < to {
            parts.push((at, to));
        }
        parts
    }

    /// Notes that `from..to`, which was missing, is written.
    fn put_ahead(&mut self, from: u32, to: u32) {
        let at = self.ahead.partition_point(|&(first, _)| first < from);
        self.ahead.insert(at, (from, to));
        if at + 1 < self.ahead.len() && self.ahead[at + 1].0 == to {
            self.ahead[at].1 = self.ahead[at + 1].1;
            self.ahead.remove(at + 1);
        }
        if at > 0 && self.ahead[at - 1].1 == from {
            self.ahead[at - 1].1 = self.ahead[at].1;
            self.ahead.remove(at);
        }
    }

    /// The end of the range ahead that now continues what is hashed.
    fn next_ahead(&self) -> Option<u32> {
        self.ahead.first().filter(|(from, _)| *from == self.hashed).map(|(_, to)| *to)
    }

    /// Hashes up to `to` what lies in the store.
    fn read_back(
        &mut self,
        store: &dyn PieceStore,
        start: u64,
        to: u32,
        memory: &mut AlignedBytes,
        moved: &mut u64,
    ) -> Result<(), StoreError> {
        while self.hashed < to {
            let part = scratch(memory, ((to - self.hashed) as usize).min(READ_BACK_BYTES));
            store.read(start + u64::from(self.hashed), part)?;
            self.verifier.update(part);
            self.hashed += part.len() as u32;
            self.given = self.hashed;
            *moved += part.len() as u64;
        }
        Ok(())
    }
}

/// So many bytes to read to, [`READ_BACK_BYTES`] at the most. A worker that never reads has no memory for it.
fn scratch(memory: &mut AlignedBytes, len: usize) -> &mut [u8] {
    if memory.len() < len {
        *memory = AlignedBytes::new(READ_BACK_BYTES);
    }
    &mut memory[..len]
}
