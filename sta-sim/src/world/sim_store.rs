//! A store whose content is computed, never stored: it keeps which ranges were written, and the bytes of those that are
//! not the content's. It outlives the process that uses it, and suffers what a disk can suffer.
//!
//! Verifying compares with the computed content instead of hashing: bytes equal to it have its hash, and others do not,
//! short of a collision. Invariant: the verdict is that of hashing the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sta_core::io::store::{Body, PieceStore, PieceVerifier, StoreError, Wait};
use sta_core::model::bitfield::Bitfield;
use sta_core::model::layout::Layout;
use sta_core::model::leaves::LeafHashes;
use sta_core::model::metainfo::BLAKE3_BYTES;

use super::content::Content;
use super::disk_queue::Request;
use super::durable::NotDurable;
use super::ranges::Ranges;
use super::sim_disk::Disk;

/// See the module's text.
#[derive(Debug)]
pub struct SimStore {
    name: String,
    content: Arc<Content>,
    disk: Arc<Disk>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    written: Ranges,
    /// By where they start: bytes that are not the content's. They do not overlap.
    wrong: BTreeMap<u64, Bytes>,
    not_durable: NotDurable,
    /// What cannot be read.
    unreadable: Ranges,
    /// Pieces whose leaves' hashes are known.
    leaves: BTreeSet<u32>,
}

impl SimStore {
    /// An empty store. `name` is what its errors call it.
    #[must_use]
    pub fn new(name: &str, content: Arc<Content>, disk: Arc<Disk>) -> Self {
        Self { name: name.to_owned(), content, disk, state: Mutex::default() }
    }

    /// Puts the bytes of `piece` there, as if they had been there for long.
    pub fn seed(&self, piece: u32) {
        let range = self.range_of(piece);
        self.disk.hold(range.end - range.start);
        let mut state = self.lock();
        state.written.insert(range);
        state.leaves.insert(piece);
    }

    /// The pieces whose bytes are the content's, whether they can be read or not.
    #[must_use]
    pub fn intact(&self) -> Bitfield {
        let (state, layout) = (self.lock(), self.content.layout());
        let mut intact = Bitfield::empty(layout.pieces());
        for piece in 0..layout.pieces() {
            let range = self.range_of(piece);
            if state.written.covers(range.clone()) && !state.is_wrong(&range) {
                intact.insert(piece);
            }
        }
        intact
    }

    /// The pieces that verifying finds: those that can be read as well.
    #[must_use]
    pub fn found(&self) -> Bitfield {
        let mut found = self.intact();
        let unreadable = self.unreadable();
        unreadable.iter().for_each(|piece| {
            found.remove(piece);
        });
        found
    }

    /// The pieces of which something cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> Bitfield {
        let mut unreadable = Bitfield::empty(self.content.layout().pieces());
        let state = self.lock();
        for piece in 0..unreadable.len() {
            if state.unreadable.touches(self.range_of(piece)) {
                unreadable.insert(piece);
            }
        }
        unreadable
    }

    /// From now on `piece` can be read or not. What is written anew can.
    pub fn set_readable(&self, piece: u32, readable: bool) {
        let range = self.range_of(piece);
        let mut state = self.lock();
        if readable {
            state.unreadable.remove(range);
        } else {
            state.unreadable.insert(range);
        }
    }

    /// The bytes of `piece` change on the disk, where it was written. Says how many.
    pub fn corrupt(&self, piece: u32) -> u64 {
        let mut state = self.lock();
        let written: Vec<Range<u64>> = state.written.within(self.range_of(piece)).collect();
        let mut changed = 0;
        for range in written {
            // A sector in the middle of what is there.
            let middle = range.start + (range.end - range.start) / 2;
            let sector = middle..range.end.min(middle + SECTOR_BYTES);
            let mut bytes = vec![0; (sector.end - sector.start) as usize];
            self.read_state(&state, sector.start, &mut bytes);
            bytes.iter_mut().for_each(|byte| *byte ^= 0xFF);
            changed += bytes.len() as u64;
            state.put(&self.content, sector.start, &bytes);
        }
        changed
    }

    /// The power fails: what was not durable is lost; or, if `torn`, only the second half of the last write is.
    /// Says how many bytes.
    pub fn lose_power(&self, torn: bool) -> u64 {
        let mut state = self.lock();
        let lost = state.not_durable.lose(torn);
        for range in lost.iter() {
            state.cut(&self.content, &range);
            state.written.remove(range);
        }
        drop(state);
        self.disk.free(lost.bytes());
        lost.bytes()
    }

    /// Nothing is there any more.
    pub fn empty(&self) {
        let bytes = self.lock().written.bytes();
        *self.lock() = State::default();
        self.disk.free(bytes);
    }

    fn range_of(&self, piece: u32) -> Range<u64> {
        let layout = self.content.layout();
        let start = layout.piece_offset(piece);
        start..start + u64::from(layout.piece_len(piece))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, reason: &str, passing: bool) -> StoreError {
        StoreError { path: self.name.clone(), reason: reason.to_owned(), passing }
    }

    /// Whether `len` bytes at `offset` are inside the content.
    fn check(&self, offset: u64, len: u64) -> Result<Range<u64>, StoreError> {
        let end = offset.checked_add(len).filter(|end| *end <= self.content.layout().total());
        end.map(|end| offset..end).ok_or_else(|| self.error("outside the content", false))
    }

    fn check_readable(&self, state: &State, range: Range<u64>) -> Result<(), StoreError> {
        if state.unreadable.touches(range) {
            return Err(self.error(UNREADABLE, false));
        }
        Ok(())
    }

    fn read_state(&self, state: &State, offset: u64, buf: &mut [u8]) {
        let range = offset..offset + buf.len() as u64;
        let at = |place: u64| (place - offset) as usize;
        if state.written.covers(range.clone()) {
            self.content.fill(offset, buf);
        } else {
            buf.fill(0);
            for part in state.written.within(range.clone()) {
                self.content.fill(part.start, &mut buf[at(part.start)..at(part.end)]);
            }
        }
        for (start, bytes) in state.wrong_within(&range) {
            buf[at(start)..at(start) + bytes.len()].copy_from_slice(&bytes);
        }
    }
}

/// What the system says of bytes that the disk does not give.
pub const UNREADABLE: &str = "Input/output error";

/// What a disk writes at once.
const SECTOR_BYTES: u64 = 512;

impl State {
    /// Writes `data` over whatever is at `offset`.
    fn put(&mut self, content: &Content, offset: u64, data: &[u8]) {
        let range = offset..offset + data.len() as u64;
        self.cut(content, &range);
        self.keep_wrong(content, offset, data);
        self.written.insert(range);
    }

    /// Keeps those stretches of `data` that are not the content's, piece by piece.
    fn keep_wrong(&mut self, content: &Content, mut offset: u64, mut data: &[u8]) {
        let piece_bytes = u64::from(content.layout().piece_bytes());
        while !data.is_empty() {
            let piece = content.piece((offset / piece_bytes) as u32);
            let expected = &piece[(offset % piece_bytes) as usize..];
            let (now, later) = data.split_at(data.len().min(expected.len()));
            if now != &expected[..now.len()] {
                self.wrong.insert(offset, Bytes::copy_from_slice(now));
            }
            offset += now.len() as u64;
            data = later;
        }
    }

    /// Takes the wrong bytes of `range` out. What is left of a stretch may be right by itself.
    fn cut(&mut self, content: &Content, range: &Range<u64>) {
        for (start, bytes) in self.wrong_whole(range) {
            self.wrong.remove(&start);
            let end = start + bytes.len() as u64;
            if start < range.start {
                self.keep_wrong(content, start, &bytes[..(range.start - start) as usize]);
            }
            if end > range.end {
                self.keep_wrong(content, range.end, &bytes[(range.end - start) as usize..]);
            }
        }
    }

    fn is_wrong(&self, range: &Range<u64>) -> bool {
        !self.wrong.is_empty() && !self.wrong_whole(range).is_empty()
    }

    /// The wrong bytes of `range`, and where they are.
    fn wrong_within(&self, range: &Range<u64>) -> Vec<(u64, Bytes)> {
        let clip = |(start, bytes): (u64, Bytes)| {
            let end = (start + bytes.len() as u64).min(range.end);
            let from = start.max(range.start);
            (from, bytes.slice((from - start) as usize..(end - start) as usize))
        };
        self.wrong_whole(range).into_iter().map(clip).collect()
    }

    /// The wrong stretches that reach into `range`, whole.
    fn wrong_whole(&self, range: &Range<u64>) -> Vec<(u64, Bytes)> {
        let before = self.wrong.range(..range.start).next_back();
        let reaches = before.filter(|(start, bytes)| **start + bytes.len() as u64 > range.start);
        let inside = self.wrong.range(range.clone());
        reaches.into_iter().chain(inside).map(|(start, bytes)| (*start, bytes.clone())).collect()
    }
}

impl PieceStore for SimStore {
    fn layout(&self) -> Layout {
        self.content.layout()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        let range = self.check(offset, data.len() as u64)?;
        let mut state = self.lock();
        let there: u64 = state.written.within(range.clone()).map(|r| r.end - r.start).sum();
        let new = data.len() as u64 - there;
        if !self.disk.take(new) {
            return Err(self.error("no space left on device", true));
        }
        state.put(&self.content, offset, data);
        // A disk writes what it could not read to another place.
        state.unreadable.remove(range.clone());
        state.not_durable.remember(range);
        Ok(())
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let range = self.check(offset, buf.len() as u64)?;
        let state = self.lock();
        self.check_readable(&state, range)?;
        self.read_state(&state, offset, buf);
        Ok(())
    }

    fn body(&self, offset: u64, len: u32) -> Result<Body, StoreError> {
        let range = self.check(offset, len.into())?;
        let state = self.lock();
        self.check_readable(&state, range.clone())?;
        let piece_bytes = u64::from(self.content.layout().piece_bytes());
        let start = (offset % piece_bytes) as usize;
        let inside_a_piece = start as u64 + u64::from(len) <= piece_bytes;
        if inside_a_piece && state.written.covers(range.clone()) && !state.is_wrong(&range) {
            let piece = self.content.piece((offset / piece_bytes) as u32);
            return Ok(Body::Bytes(piece.slice(start..start + len as usize)));
        }
        let mut bytes = vec![0; len as usize];
        self.read_state(&state, offset, &mut bytes);
        Ok(Body::Bytes(bytes.into()))
    }

    fn verifier(&self, piece: u32) -> Box<dyn PieceVerifier> {
        let expected = self.content.piece(piece);
        let leaf = self.content.layout().leaf_bytes() as usize;
        Box::new(Verifier { expected, leaf, at: 0, same: true, leaves: Vec::new() })
    }

    fn leaf_hashes(&self, piece: u32) -> Option<LeafHashes> {
        let leaves = self.content.layout().leaves(piece);
        let known = leaves > 1 && self.lock().leaves.contains(&piece);
        known.then(|| LeafHashes::new(LEAF_RIGHT.repeat(leaves as usize)))
    }

    fn keep_leaf_hashes(&self, piece: u32, hashes: &LeafHashes) {
        let leaves = self.content.layout().leaves(piece) as usize;
        if hashes.as_bytes() == LEAF_RIGHT.repeat(leaves) {
            self.lock().leaves.insert(piece);
        }
    }

    fn finish(&self) -> Result<(), StoreError> {
        self.lock().not_durable.settle();
        Ok(())
    }

    fn writing(&self, bytes: u64) -> Option<Wait> {
        self.disk.ask(Request::Write(bytes))
    }

    fn reading(&self, bytes: u64) -> Option<Wait> {
        self.disk.ask(Request::Read(bytes))
    }
}

/// Compares what it is given with a computed piece.
struct Verifier {
    expected: Bytes,
    leaf: usize,
    at: usize,
    same: bool,
    leaves: Vec<u8>,
}

/// What stands for the hash of a leaf that has the content's bytes, as all before it; and of another.
const LEAF_RIGHT: [u8; BLAKE3_BYTES] = [0; BLAKE3_BYTES];
const LEAF_WRONG: [u8; BLAKE3_BYTES] = [0xFF; BLAKE3_BYTES];

impl PieceVerifier for Verifier {
    fn update(&mut self, data: &[u8]) {
        let expected = self.expected.get(self.at..self.at + data.len());
        self.same &= expected == Some(data);
        self.at += data.len();
        let whole = if self.at == self.expected.len() {
            self.at.div_ceil(self.leaf)
        } else {
            self.at / self.leaf
        };
        let hash = if self.same { LEAF_RIGHT } else { LEAF_WRONG };
        while self.leaves.len() < whole * BLAKE3_BYTES {
            self.leaves.extend(hash);
        }
    }

    fn leaf_hashes(&self) -> &[u8] {
        &self.leaves
    }

    fn verdict(&mut self) -> bool {
        let verdict = self.same && self.at == self.expected.len();
        (self.at, self.same) = (0, true);
        self.leaves.clear();
        verdict
    }
}

#[cfg(test)]
mod tests;
