//! What a host keeps of contents, without a byte: which pieces, and which blocks of them are wrong.
//!
//! It survives the process. Writing and reading take their time one after the other, where the disk has a speed; `T` is what follows
//! once a request is done. A change of speed counts from then on.
//! A power failure takes the pieces of the last writes ([`NotDurable`]); a piece that was only in part here when the
//! process died is forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use sta_core::model::bitfield::Bitfield;
use sta_core::model::layout::{Block, Layout};
use sta_core::model::status::StoreError;
use sta_core::model::time::Time;

use crate::scenario::driver::DiskState;
use crate::scenario::plan::ContentIx;
use crate::world::durable::NotDurable;
use crate::world::ranges::Ranges;

/// The disk of one host.
#[derive(Debug)]
pub(super) struct Disk<T> {
    state: DiskState,
    /// Bytes that fit; `None` is unlimited.
    capacity: Option<u64>,
    /// Bytes that are taken, where capacity is limited.
    used: u64,
    /// What it has yet to do, and what follows. The first is under way.
    requests: VecDeque<(Request, T)>,
    /// When the first is done, and how often that was set: what was said before counts no more.
    done_at: Time,
    turn: u64,
    /// Whether the bytes of the block that has just come are wrong.
    pub incoming: bool,
    /// By content; `None` of one that it takes no part in.
    kept: Vec<Option<Kept>>,
}

/// Something that takes a disk's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// So many bytes are read.
    Read(u64),
    /// So many bytes are written.
    Write(u64),
    /// What was written before is looked at.
    Look,
}

/// A content on a disk.
#[derive(Debug)]
pub(super) struct Kept {
    /// The pieces that are there, verified.
    pub have: Bitfield,
    /// Pieces that were verified, and whose bytes are wrong all the same.
    pub rotten: BTreeSet<u32>,
    /// Wrong blocks of pieces that are being fetched.
    wrong: BTreeMap<u32, BTreeSet<u32>>,
    /// Pieces that are being fetched whose leaves' hashes are known: how many bytes from the start were found right. They stay so:
    /// what comes for them again is not written.
    right: BTreeMap<u32, u32>,
    /// Bytes that are there, right or wrong, where the disk's capacity is limited.
    written: Ranges,
    layout: Layout,
    not_durable: NotDurable,
}

impl Kept {
    /// Where a piece lies in the content.
    fn range_of(&self, piece: u32) -> Range<u64> {
        let start = self.layout.piece_offset(piece);
        start..start + u64::from(self.layout.piece_len(piece))
    }

    /// Whether a piece is there with the right bytes.
    pub(super) fn is_right(&self, piece: u32) -> bool {
        self.have.contains(piece) && !self.rotten.contains(&piece)
    }

    /// Whether the bytes of a block are there and right, in a piece that may not be whole.
    pub(super) fn is_block_right(&self, block: Block) -> bool {
        let end = block.offset + block.len;
        self.is_right(block.piece)
            || self.right.get(&block.piece).is_some_and(|right| end <= *right)
    }

    /// Whether it is known what the leaves of a piece hash to.
    pub(super) fn knows_leaves(&self, piece: u32) -> bool {
        self.have.contains(piece) || self.right.contains_key(&piece)
    }
}

impl<T> Disk<T> {
    /// An empty disk.
    pub(super) fn new(state: DiskState, capacity: Option<u64>) -> Self {
        Self {
            state,
            capacity,
            used: 0,
            requests: VecDeque::new(),
            done_at: Time::ZERO,
            turn: 0,
            incoming: false,
            kept: Vec::new(),
        }
    }

    /// Asks for something. Gives `then` back if it takes no time, and nothing is before it.
    pub(super) fn ask(&mut self, request: Request, then: T, now: Time) -> Option<T> {
        let idle = self.requests.is_empty();
        if idle && self.takes_time(request).is_none() {
            return Some(then);
        }
        self.requests.push_back((request, then));
        if idle {
            self.begin(now);
        }
        None
    }

    /// When the request under way is done, and the number of that word; `None` if there is none.
    pub(super) fn due(&self) -> Option<(Time, u64)> {
        (!self.requests.is_empty()).then_some((self.done_at, self.turn))
    }

    /// The request is done of which [`Self::due`] gave the number: what follows. Another one begins.
    pub(super) fn done(&mut self, turn: u64, now: Time) -> Option<T> {
        if turn != self.turn {
            return None;
        }
        let (_, then) = self.requests.pop_front()?;
        self.begin(now);
        Some(then)
    }

    /// It is so from now on. What is left of the request under way takes its time by that.
    pub(super) fn set(&mut self, state: DiskState, now: Time) {
        let left = self.done_at.since(now).as_nanos();
        let first = self.requests.front().map(|(request, _)| *request);
        let before = first.and_then(|request| self.rate(request));
        self.state = state;
        if let (Some(request), Some(before)) = (first, before) {
            let bytes = left * u128::from(before) / 1_000_000_000;
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.set_first(self.time_for(request, bytes), now);
        }
    }

    fn begin(&mut self, now: Time) {
        if let Some(&(request, _)) = self.requests.front() {
            self.set_first(self.takes_time(request), now);
        }
    }

    fn set_first(&mut self, takes: Option<u64>, now: Time) {
        self.turn += 1;
        self.done_at = Time::from_nanos(now.as_nanos().saturating_add(takes.unwrap_or(0)));
    }

    fn rate(&self, request: Request) -> Option<u64> {
        match request {
            Request::Read(_) => self.state.read,
            Request::Write(_) => self.state.write,
            Request::Look => None,
        }
    }

    /// Nanoseconds that it takes; `None` if the disk has no such speed.
    fn takes_time(&self, request: Request) -> Option<u64> {
        match request {
            Request::Read(bytes) | Request::Write(bytes) => self.time_for(request, bytes),
            Request::Look => None,
        }
    }

    fn time_for(&self, request: Request, bytes: u64) -> Option<u64> {
        let rate = self.rate(request)?;
        let took = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        Some(u64::try_from(took).unwrap_or(u64::MAX))
    }

    /// There is room for a content of which `have` is here.
    pub(super) fn hold(&mut self, content: ContentIx, layout: Layout, have: Bitfield) {
        let (rotten, wrong, right) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let not_durable = NotDurable::default();
        if content >= self.kept.len() {
            self.kept.resize_with(content + 1, || None);
        }
        let written = Ranges::default();
        let mut kept = Kept { have, rotten, wrong, right, written, layout, not_durable };
        if self.capacity.is_some() {
            for piece in kept.have.iter() {
                kept.written.insert(kept.range_of(piece));
            }
            self.used += kept.written.bytes();
        }
        self.kept[content] = Some(kept);
    }

    pub(super) fn kept(&self, content: ContentIx) -> Option<&Kept> {
        self.kept.get(content)?.as_ref()
    }

    fn kept_mut(&mut self, content: ContentIx) -> Option<&mut Kept> {
        self.kept.get_mut(content)?.as_mut()
    }

    /// Writes a block, but for the time that it takes.
    pub(super) fn write(
        &mut self,
        content: ContentIx,
        block: Block,
        wrong: bool,
    ) -> Result<(), StoreError> {
        if self.state.full || !self.takes(content, block) {
            let reason = "no space left on device".to_owned();
            return Err(StoreError { path: "disk".to_owned(), reason, passing: true });
        }
        if let Some(kept) = self.kept_mut(content) {
            let right = kept.right.get(&block.piece).copied().unwrap_or(0);
            if wrong && block.offset + block.len > right {
                kept.wrong.entry(block.piece).or_default().insert(block.offset);
            } else if let Some(blocks) = kept.wrong.get_mut(&block.piece) {
                blocks.remove(&block.offset);
                if blocks.is_empty() {
                    kept.wrong.remove(&block.piece);
                }
            }
            let start = kept.layout.block_offset(block);
            kept.not_durable.remember(start..start + u64::from(block.len));
        }
        Ok(())
    }

    /// Whether there is room for a block; it is taken then. What is written again needs none.
    fn takes(&mut self, content: ContentIx, block: Block) -> bool {
        let Some(capacity) = self.capacity else { return true };
        let Some(kept) = self.kept.get_mut(content).and_then(Option::as_mut) else { return true };
        let start = kept.layout.block_offset(block);
        let range = start..start + u64::from(block.len);
        let there: u64 = kept.written.within(range.clone()).map(|part| part.end - part.start).sum();
        let new = u64::from(block.len) - there;
        let fits = self.used + new <= capacity;
        if fits {
            self.used += new;
            kept.written.insert(range);
        }
        fits
    }

    /// Whether the bytes of a piece that has been written are right.
    pub(super) fn check(&self, content: ContentIx, piece: u32) -> bool {
        self.kept(content).is_some_and(|kept| !kept.wrong.contains_key(&piece))
    }

    /// It is known what the leaves of a piece hash to.
    pub(super) fn keep_leaves(&mut self, content: ContentIx, piece: u32) {
        if let Some(kept) = self.kept_mut(content)
            && !kept.have.contains(piece)
        {
            kept.right.entry(piece).or_default();
        }
    }

    /// How many of the first `bytes` bytes of a piece, all of them written, are right by the hashes of whole leaves.
    pub(super) fn check_leaves(&mut self, content: ContentIx, piece: u32, bytes: u32) -> u32 {
        let Some(kept) = self.kept_mut(content) else { return 0 };
        let Some(right) = kept.right.get_mut(&piece) else { return 0 };
        let wrong = kept.wrong.get(&piece).and_then(|blocks| blocks.first().copied());
        let leaf = kept.layout.leaf_bytes();
        let until = wrong.map_or(bytes, |wrong| bytes.min(wrong));
        // What was right before the piece began anew stays so.
        *right = (*right).max(until - until % leaf);
        (*right).min(bytes)
    }

    /// A piece was verified. Returns whether it is new.
    pub(super) fn keep(&mut self, content: ContentIx, piece: u32) -> bool {
        let Some(kept) = self.kept_mut(content) else { return false };
        kept.rotten.remove(&piece);
        kept.right.remove(&piece);
        kept.have.insert(piece)
    }

    /// All that was written of a content is durable.
    pub(super) fn settle(&mut self, content: ContentIx) {
        if let Some(kept) = self.kept_mut(content) {
            kept.not_durable.settle();
        }
    }

    /// The power fails. Says how many bytes are lost.
    pub(super) fn lose_power(&mut self) -> u64 {
        let mut lost = 0;
        for kept in self.kept.iter_mut().flatten() {
            for range in kept.not_durable.lose(false) {
                lost += range.end - range.start;
                let piece = (range.start / u64::from(kept.layout.piece_bytes())) as u32;
                kept.have.remove(piece);
                kept.rotten.remove(&piece);
                kept.written.remove(range);
            }
        }
        self.used = self.kept.iter().flatten().map(|kept| kept.written.bytes()).sum();
        lost
    }

    /// These pieces have other bytes from now on.
    pub(super) fn rot(&mut self, content: ContentIx, piece: u32) {
        if let Some(kept) = self.kept_mut(content) {
            kept.rotten.insert(piece);
        }
    }

    /// What a process finds when it starts: pieces that are verified anew and right.
    pub(super) fn restart(&mut self) {
        self.requests.clear();
        self.turn += 1;
        for kept in self.kept.iter_mut().flatten() {
            kept.wrong.clear();
            kept.right.clear();
            for piece in std::mem::take(&mut kept.rotten) {
                kept.have.remove(piece);
            }
        }
    }

    /// Nothing is on the disk.
    pub(super) fn empty(&mut self) {
        self.used = 0;
        for kept in self.kept.iter_mut().flatten() {
            kept.have = Bitfield::empty(kept.have.len());
            kept.rotten.clear();
            kept.wrong.clear();
            kept.right.clear();
            kept.written = Ranges::default();
            kept.not_durable.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sta_core::model::time::Time;

    use super::{Bitfield, Block, Disk, DiskState, Layout, Request};

    const PIECE: u32 = 256 << 10;

    /// A disk on which eight pieces were verified one after the other.
    fn written() -> Disk<()> {
        let layout = Layout::new(8 * u64::from(PIECE), PIECE).expect("small");
        let mut disk: Disk<()> = Disk::new(DiskState::default(), None);
        disk.hold(0, layout, Bitfield::empty(8));
        for piece in 0..8 {
            for offset in [0, PIECE / 2] {
                let block = Block { piece, offset, len: PIECE / 2 };
                disk.write(0, block, false).expect("there is room");
            }
            assert!(disk.keep(0, piece));
        }
        disk
    }

    #[test]
    fn a_power_failure_takes_the_pieces_of_the_last_writes() {
        let mut disk = written();
        assert_eq!(disk.lose_power(), 1 << 20);
        let have: Vec<u32> = disk.kept(0).expect("it is held").have.iter().collect();
        assert_eq!(have, [0, 1, 2, 3], "the last 1 MiB was four pieces");
        assert_eq!(disk.lose_power(), 0, "what survived one failure survives the next");
    }

    #[test]
    fn bytes_that_were_found_right_stay_so_when_the_piece_begins_anew() {
        const LEAF: u32 = 16 << 10;
        let layout = Layout::new(u64::from(PIECE), PIECE).expect("small");
        let mut disk: Disk<()> = Disk::new(DiskState::default(), None);
        disk.hold(0, layout, Bitfield::empty(1));
        let leaf = |n: u32| Block { piece: 0, offset: n * LEAF, len: LEAF };
        let right =
            |disk: &mut Disk<()>, leaves: u32| disk.check_leaves(0, 0, leaves * LEAF) / LEAF;
        for (n, wrong) in [(0, false), (1, false), (2, true)] {
            disk.write(0, leaf(n), wrong).expect("there is room");
        }
        assert_eq!(right(&mut disk, 3), 0, "nobody has told what its leaves hash to");
        disk.keep_leaves(0, 0);
        assert_eq!(right(&mut disk, 3), 2);
        // It begins anew, and wrong bytes come for all of it.
        assert_eq!(right(&mut disk, 1), 1);
        disk.write(0, leaf(1), true).expect("there is room");
        assert_eq!(right(&mut disk, 2), 2, "they were not written");
        assert!(disk.kept(0).is_some_and(|kept| kept.is_block_right(leaf(1))));
        assert!(disk.kept(0).is_some_and(|kept| !kept.is_block_right(leaf(2))));
    }

    #[test]
    fn what_is_written_again_needs_no_room() {
        let layout = Layout::new(2 * u64::from(PIECE), PIECE).expect("small");
        let mut disk: Disk<()> = Disk::new(DiskState::default(), Some(u64::from(PIECE)));
        disk.hold(0, layout, Bitfield::empty(2));
        let block = |piece, offset| Block { piece, offset, len: PIECE / 2 };
        for (block, fits) in [
            (block(0, 0), true),
            (block(0, 0), true),
            (block(0, PIECE / 2), true),
            (block(1, 0), false),
            (block(0, PIECE / 2), true),
        ] {
            assert_eq!(disk.write(0, block, false).is_ok(), fits, "{block:?}");
        }
        disk.restart();
        assert!(disk.write(0, block(0, 0), false).is_ok(), "it lies there still");
        disk.empty();
        assert!(disk.write(0, block(1, 0), false).is_ok());
    }

    #[test]
    fn a_change_of_speed_counts_from_then_on() {
        let rates = |read, write| DiskState { read: Some(read), write: Some(write), full: false };
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut disk = Disk::new(rates(100, 10), None);
        assert_eq!(disk.ask(Request::Look, "at once", at(0)), Some("at once"));
        assert_eq!(disk.ask(Request::Write(100), "written", at(0)), None);
        assert_eq!(disk.ask(Request::Read(100), "read", at(0)), None);
        assert_eq!(disk.ask(Request::Look, "looked", at(0)), None);
        let (done, old) = disk.due().expect("it writes");
        assert_eq!(done, at(10));
        disk.set(rates(50, 60), at(4));
        let (done, turn) = disk.due().expect("it writes");
        assert_eq!(done, at(5), "60 bytes are left");
        assert_eq!(disk.done(old, at(10)), None, "that word counts no more");
        assert_eq!(disk.done(turn, at(5)), Some("written"));
        let (done, turn) = disk.due().expect("it reads");
        assert_eq!((done, disk.done(turn, at(7))), (at(7), Some("read")));
        let (done, turn) = disk.due().expect("it looks");
        assert_eq!((done, disk.done(turn, at(7))), (at(7), Some("looked")));
        assert_eq!(disk.due(), None);
    }

    #[test]
    fn what_was_made_durable_survives() {
        let mut disk = written();
        disk.settle(0);
        assert_eq!(disk.lose_power(), 0);
        assert_eq!(disk.kept(0).expect("it is held").have.count(), 8);
    }
}
