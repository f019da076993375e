//! What a host keeps of contents, without a byte: which pieces, and which blocks of them are wrong.
//!
//! It survives the process. What takes the disk's time is its [`DiskQueue`]'s business; `T` is what follows once a request is done.
//! A power failure takes the pieces of the last writes ([`NotDurable`]); a piece that was only in part here when the
//! process died is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sta_core::model::bitfield::Bitfield;
use sta_core::model::layout::{Block, BlockDigest, Layout};
use sta_core::model::status::StoreError;
use sta_core::model::time::Time;

use crate::scenario::driver::DiskState;
use crate::scenario::plan::ContentIx;
use crate::world::disk_queue::DiskQueue;
pub(super) use crate::world::disk_queue::Request;
use crate::world::durable::NotDurable;
use crate::world::ranges::Ranges;

/// The disk of one host.
#[derive(Debug)]
pub(super) struct Disk<T> {
    queue: DiskQueue<T>,
    /// Bytes that fit; `None` is unlimited.
    capacity: Option<u64>,
    /// Bytes that are taken, where capacity is limited.
    used: u64,
    /// Whether the bytes of the block that has just come are wrong.
    pub incoming: bool,
    /// By content; `None` of one that it takes no part in.
    kept: Vec<Option<Kept>>,
}

/// A content on a disk.
#[derive(Debug)]
pub(super) struct Kept {
    /// The pieces that are there, verified.
    pub have: Bitfield,
    /// Pieces that were verified, and whose bytes are wrong all the same.
    pub rotten: BTreeSet<u32>,
    /// Pieces that cannot be read,
    unreadable: BTreeSet<u32>,
    /// and those of them that are there all the same, and that the process that runs has not found.
    overlooked: BTreeSet<u32>,
    /// Which bytes are wrong of pieces that are being fetched.
    wrong: BTreeMap<u32, Ranges>,
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

    /// A block lies there now, with `wrong` bytes or right ones; what was refused has wrong ones too, since they never came there.
    fn put(&mut self, block: Block, wrong: bool) {
        let right = self.right.get(&block.piece).copied().unwrap_or(0);
        let end = block.offset + block.len;
        if wrong && end > right {
            let written = block.offset.max(right).into()..end.into();
            self.wrong.entry(block.piece).or_default().insert(written);
        } else if let Some(bytes) = self.wrong.get_mut(&block.piece) {
            bytes.remove(block.offset.into()..end.into());
            if bytes.is_empty() {
                self.wrong.remove(&block.piece);
            }
        }
    }

    /// Whether nothing keeps a piece from being read.
    pub(super) fn can_be_read(&self, piece: u32) -> bool {
        !self.unreadable.contains(&piece)
    }

    /// The pieces that cannot be read, ascending.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = u32> {
        self.unreadable.iter().copied()
    }

    /// Whether it is known what the leaves of a piece hash to.
    pub(super) fn knows_leaves(&self, piece: u32) -> bool {
        self.have.contains(piece) || self.right.contains_key(&piece)
    }
}

impl<T> Disk<T> {
    /// An empty disk.
    pub(super) fn new(state: DiskState, capacity: Option<u64>) -> Self {
        Self { queue: DiskQueue::new(state), capacity, used: 0, incoming: false, kept: Vec::new() }
    }

    /// As [`DiskQueue::ask`].
    pub(super) fn ask(&mut self, request: Request, then: T, now: Time) -> Option<T> {
        self.queue.ask(request, then, now)
    }

    /// As [`DiskQueue::due`].
    pub(super) fn due(&self) -> Option<(Time, u64)> {
        self.queue.due()
    }

    /// As [`DiskQueue::done`].
    pub(super) fn done(&mut self, turn: u64, now: Time) -> Option<T> {
        self.queue.done(turn, now)
    }

    /// As [`DiskQueue::set`].
    pub(super) fn set(&mut self, state: DiskState, now: Time) {
        self.queue.set(state, now);
    }

    /// There is room for a content of which `have` is here.
    pub(super) fn hold(&mut self, content: ContentIx, layout: Layout, have: Bitfield) {
        let (rotten, unreadable, overlooked) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (wrong, right) = (BTreeMap::new(), BTreeMap::new());
        let not_durable = NotDurable::default();
        if content >= self.kept.len() {
            self.kept.resize_with(content + 1, || None);
        }
        let written = Ranges::default();
        let mut kept = Kept {
            have,
            rotten,
            unreadable,
            overlooked,
            wrong,
            right,
            written,
            layout,
            not_durable,
        };
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
        let fits = !self.queue.state().full && self.takes(content, block);
        if let Some(kept) = self.kept_mut(content) {
            kept.put(block, wrong || !fits);
            if fits {
                // A disk writes what it could not read to another place.
                kept.unreadable.remove(&block.piece);
                kept.overlooked.remove(&block.piece);
                let start = kept.layout.block_offset(block);
                kept.not_durable.remember(start..start + u64::from(block.len));
            }
        }
        if fits {
            return Ok(());
        }
        let reason = "no space left on device".to_owned();
        Err(StoreError { path: "disk".to_owned(), reason, passing: true })
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

    /// What stands for the digest of a block: there are no bytes, but they are right or wrong.
    pub(super) fn digest(&self, content: ContentIx, block: Block) -> BlockDigest {
        let wrong = self.kept(content).and_then(|kept| kept.wrong.get(&block.piece));
        let range = block.offset.into()..u64::from(block.offset + block.len);
        let is_wrong = wrong.is_some_and(|wrong| wrong.within(range).next().is_some());
        [u8::from(is_wrong); size_of::<BlockDigest>()]
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
        let wrong = kept.wrong.get(&piece).and_then(Ranges::first);
        let leaf = kept.layout.leaf_bytes();
        let until = wrong.map_or(bytes, |wrong| bytes.min(wrong as u32));
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
            let ranges = kept.not_durable.lose(false);
            lost += ranges.bytes();
            let piece_at = |place: u64| (place / u64::from(kept.layout.piece_bytes())) as u32;
            for range in ranges.iter() {
                for piece in piece_at(range.start)..=piece_at(range.end - 1) {
                    kept.have.remove(piece);
                    kept.rotten.remove(&piece);
                    kept.overlooked.remove(&piece);
                }
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

    /// From now on a piece can be read or not. What is written anew can.
    pub(super) fn set_readable(&mut self, content: ContentIx, piece: u32, readable: bool) {
        let Some(kept) = self.kept_mut(content) else { return };
        if readable {
            kept.unreadable.remove(&piece);
        } else {
            kept.unreadable.insert(piece);
        }
    }

    /// What a process finds when it starts: pieces that are verified anew and right, if they can be read.
    pub(super) fn restart(&mut self) {
        self.queue.forget();
        for kept in self.kept.iter_mut().flatten() {
            kept.wrong.clear();
            kept.right.clear();
            for piece in std::mem::take(&mut kept.rotten) {
                kept.have.remove(piece);
            }
            for piece in std::mem::take(&mut kept.overlooked) {
                kept.have.insert(piece);
            }
            for &piece in &kept.unreadable {
                if kept.have.remove(piece) {
                    kept.overlooked.insert(piece);
                }
            }
        }
    }

    /// Nothing is on the disk.
    pub(super) fn empty(&mut self) {
        self.used = 0;
        for kept in self.kept.iter_mut().flatten() {
            kept.have = Bitfield::empty(kept.have.len());
            kept.rotten.clear();
            kept.unreadable.clear();
            kept.overlooked.clear();
            kept.wrong.clear();
            kept.right.clear();
            kept.written = Ranges::default();
            kept.not_durable.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bitfield, Block, Disk, DiskState, Layout};

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

    /// The next time a piece may come in blocks of another size, and honest peers were blamed for what was wrong of the first.
    #[test]
    fn what_is_written_over_a_wrong_block_is_right_whatever_its_size() {
        let mut disk = written();
        let mut write = |offset, len, wrong| {
            disk.write(0, Block { piece: 0, offset, len }, wrong).expect("there is room");
            disk.check(0, 0)
        };
        assert!(!write(16 << 10, 16 << 10, true));
        assert!(!write(32 << 10, 16 << 10, true));
        assert!(!write(16 << 10, 24 << 10, false), "the half of the second is still there");
        assert!(write(0, 64 << 10, false));
        assert!(!write(0, PIECE, true));
        assert!(!write(16 << 10, 16 << 10, false));
        assert!(write(0, PIECE, false));
    }

    /// A piece was right there though its disk had refused a block of it: a node that takes no notice of that was not found out.
    #[test]
    fn a_piece_is_not_right_while_a_block_of_it_was_refused() {
        let layout = Layout::new(u64::from(PIECE), PIECE).expect("small");
        let mut disk: Disk<()> = Disk::new(DiskState::default(), Some((PIECE / 2).into()));
        disk.hold(0, layout, Bitfield::empty(1));
        let halves = [0, PIECE / 2].map(|offset| Block { piece: 0, offset, len: PIECE / 2 });
        disk.write(0, halves[0], false).expect("there is room");
        disk.write(0, halves[1], false).expect_err("there is none");
        assert!(!disk.check(0, 0));
        disk.capacity = None;
        disk.write(0, halves[1], false).expect("there is room");
        assert!(disk.check(0, 0));
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
    fn what_was_written_twice_is_lost_once() {
        let mut disk = written();
        disk.settle(0);
        for _ in 0..2 {
            let block = Block { piece: 3, offset: 0, len: PIECE / 2 };
            disk.write(0, block, false).expect("there is room");
        }
        assert_eq!(disk.lose_power(), u64::from(PIECE / 2));
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
    fn what_cannot_be_read_is_found_again_once_it_can_or_when_it_was_written_anew() {
        let mut disk = written();
        let have = |disk: &Disk<()>| -> Vec<u32> {
            disk.kept(0).map(|kept| kept.have.iter().collect()).unwrap_or_default()
        };
        [0, 1, 2].iter().for_each(|piece| disk.set_readable(0, *piece, false));
        assert_eq!(have(&disk).len(), 8, "nobody has looked");
        disk.restart();
        assert_eq!(have(&disk), [3, 4, 5, 6, 7]);
        disk.write(0, Block { piece: 1, offset: 0, len: PIECE }, false).expect("there is room");
        assert!(disk.keep(0, 1));
        disk.set_readable(0, 2, true);
        assert_eq!(have(&disk), [1, 3, 4, 5, 6, 7], "nobody has looked again");
        disk.restart();
        assert_eq!(have(&disk), [1, 2, 3, 4, 5, 6, 7]);
        let kept = disk.kept(0).expect("it is held");
        assert!(kept.can_be_read(1) && !kept.can_be_read(0));
        disk.empty();
        disk.restart();
        assert!(have(&disk).is_empty());
    }

    #[test]
    fn what_was_made_durable_survives() {
        let mut disk = written();
        disk.settle(0);
        assert_eq!(disk.lose_power(), 0);
        assert_eq!(disk.kept(0).expect("it is held").have.count(), 8);
    }
}
