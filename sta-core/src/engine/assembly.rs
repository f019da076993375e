//! Pieces that are being fetched: which blocks are missing, asked for, or here, and who sent them.
//!
//! A piece is in this table from the moment its first block is asked for until its hash was checked. It knows
//! nothing of time, rates or the content itself.
//!
//! Invariant: a block is in exactly one state; a block that is here is never asked for again, unless the hash of
//! its piece is wrong.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::interface::ConnId;
use crate::model::bitfield::Bitfield;
use crate::model::ids::NodeId;
use crate::model::layout::{Block, Layout};

/// Who was asked for a block: one peer, or two in the end game.
type Askers = SmallVec<[ConnId; 2]>;

/// Who has asked for blocks of a piece, in the order in which they did.
pub type Wishers = SmallVec<[ConnId; 4]>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Missing,
    Asked(Askers),
    Here,
}

/// What is looked at of every piece under way whenever something is to be asked: apart from the rest, and close together.
#[derive(Debug)]
struct Lack {
    piece: u32,
    missing: u32,
    owner: Option<ConnId>,
}

/// A piece under way.
#[derive(Debug)]
struct Piece {
    block_bytes: u32,
    states: Vec<State>,
    /// No block before this one is missing.
    first_missing: u32,
    here: u32,
    /// Blocks from the start that are here, up to the first one that is not.
    front: u32,
    /// Bytes from the start that the store was asked about, and that it found right.
    leaves_asked: u32,
    right: u32,
    /// Answers about leaves that the store still owes.
    leaves_awaited: u32,
    /// Peers were told that it is coming.
    announced: bool,
    /// Peers that have asked for a block of it, each once.
    wishers: Wishers,
    senders: SmallVec<[NodeId; 2]>,
    checking: bool,
}

/// All pieces under way.
#[derive(Debug)]
pub struct Assembly {
    layout: Layout,
    /// One for each of the pieces, in any order.
    lacks: Vec<Lack>,
    pieces: BTreeMap<u32, Piece>,
    late: BTreeMap<u32, Late>,
}

/// Answers that the store still owes about a piece as it was before it began anew. They come before those about the piece as
/// it is now, and must not be taken for them: a write that fails is told of while a check of the same piece may be under way.
#[derive(Debug, Default)]
struct Late {
    checks: u32,
    leaves: u32,
}

/// Pieces with missing blocks: how many are missing, and of which piece.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// Those that the peer has and nobody is fetched from: what its owner has given up.
    pub orphans: Pieces,
    /// Those that the peer has and another is fetched from.
    pub others: Pieces,
}

/// Pieces and how many of their blocks are missing.
pub type Pieces = SmallVec<[(u32, u32); 8]>;

/// Of `pieces` the one nearest to completion, if it `suits`.
#[must_use]
pub fn nearest(pieces: &Pieces, suits: impl Fn(u32) -> bool) -> Option<u32> {
    pieces.iter().filter(|(_, piece)| suits(*piece)).min().map(|(_, piece)| *piece)
}

/// What a block that has come means.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was missing. The others that were asked for it are named; `complete` if it was the last of its piece.
    Useful {
        /// Who else was asked for it.
        others: Askers,
        /// Whether every block of the piece is here now.
        complete: bool,
    },
    /// It was here already, or is no block of a piece under way.
    Useless,
}

impl Assembly {
    /// Nothing is under way.
    pub const fn new(layout: Layout) -> Self {
        Self { layout, lacks: Vec::new(), pieces: BTreeMap::new(), late: BTreeMap::new() }
    }

    /// Begins `piece`, in blocks of `block_bytes`, to be fetched from `owner`.
    pub fn start(&mut self, piece: u32, block_bytes: u32, owner: ConnId) {
        let blocks = self.layout.piece_len(piece).div_ceil(block_bytes);
        let states = vec![State::Missing; blocks as usize];
        let new = Piece {
            block_bytes,
            states,
            first_missing: 0,
            here: 0,
            front: 0,
            leaves_asked: 0,
            right: 0,
            leaves_awaited: 0,
            announced: false,
            wishers: Wishers::new(),
            senders: SmallVec::new(),
            checking: false,
        };
        self.remove(piece);
        self.lacks.push(Lack { piece, missing: blocks, owner: Some(owner) });
        self.pieces.insert(piece, new);
    }

    /// The first block of `piece` that nobody was asked for.
    #[must_use]
    pub fn next_missing(&self, piece: u32) -> Option<Block> {
        let state = self.pieces.get(&piece)?;
        let from = state.first_missing as usize;
        let index = from + state.states.get(from..)?.iter().position(|s| *s == State::Missing)?;
        Some(self.layout.block_at(piece, index as u32 * state.block_bytes, state.block_bytes))
    }

    /// Of the pieces with missing blocks that are fetched from `conn`, which `has` some pieces, the one nearest to completion.
    #[must_use]
    pub fn own(&self, conn: ConnId, has: &Bitfield) -> Option<u32> {
        self.nearest_of(conn, |piece| has.contains(piece))
    }

    /// The same of pieces that are fetched from `conn` while they come to it.
    #[must_use]
    pub fn early(&self, conn: ConnId, has: &Bitfield) -> Option<u32> {
        self.nearest_of(conn, |piece| !has.contains(piece))
    }

    fn nearest_of(&self, conn: ConnId, suits: impl Fn(u32) -> bool) -> Option<u32> {
        let of = |lack: &&Lack| lack.missing > 0 && lack.owner == Some(conn) && suits(lack.piece);
        let nearest = self.lacks.iter().filter(of).min_by_key(|lack| (lack.missing, lack.piece));
        nearest.map(|lack| lack.piece)
    }

    /// The other pieces with missing blocks that `conn`, which `has` some pieces, might be asked for.
    #[must_use]
    pub fn unfinished(&self, conn: ConnId, has: &Bitfield) -> Unfinished {
        let mut found = Unfinished::default();
        for &Lack { piece, missing, owner } in &self.lacks {
            if missing == 0 || !has.contains(piece) {
                continue;
            }
            let kind = match owner {
                None => &mut found.orphans,
                Some(owner) if owner != conn => &mut found.others,
                Some(_) => continue,
            };
            kind.push((missing, piece));
        }
        found
    }

    /// From now on `owner` fetches what is missing of `piece`.
    pub fn adopt(&mut self, piece: u32, owner: ConnId) {
        if let Some(lack) = lack_of(&mut self.lacks, piece) {
            lack.owner = Some(owner);
        }
    }

    /// `conn` was asked for `block`.
    pub fn asked(&mut self, block: Block, conn: ConnId) {
        let Some(piece) = self.pieces.get_mut(&block.piece) else { return };
        let index = block.offset / piece.block_bytes;
        let Some(state) = piece.states.get_mut(index as usize) else { return };
        match state {
            State::Missing => {
                *state = State::Asked(SmallVec::from_slice(&[conn]));
                if let Some(lack) = lack_of(&mut self.lacks, block.piece) {
                    lack.missing -= 1;
                }
                if index == piece.first_missing {
                    piece.first_missing += 1;
                }
            }
            State::Asked(askers) if !askers.contains(&conn) => askers.push(conn),
            State::Asked(_) | State::Here => {}
        }
    }

    /// Whom `block` was asked of and has not come from; empty for a block in another state.
    #[must_use]
    pub fn askers(&self, block: Block) -> &[ConnId] {
        let state = self
            .pieces
            .get(&block.piece)
            .and_then(|p| p.states.get((block.offset / p.block_bytes) as usize));
        match state {
            Some(State::Asked(askers)) => askers,
            _ => &[],
        }
    }

    /// `conn` will not send `block`: refused, cancelled, too late, or gone.
    pub fn returned(&mut self, block: Block, conn: ConnId) {
        let Some(piece) = self.pieces.get_mut(&block.piece) else { return };
        let index = block.offset / piece.block_bytes;
        let Some(state) = piece.states.get_mut(index as usize) else { return };
        if let State::Asked(askers) = state {
            askers.retain(|asker| *asker != conn);
            if askers.is_empty() {
                *state = State::Missing;
                piece.first_missing = piece.first_missing.min(index);
                if let Some(lack) = lack_of(&mut self.lacks, block.piece) {
                    lack.missing += 1;
                    lack.owner = lack.owner.filter(|owner| *owner != conn);
                }
            }
        }
    }

    /// `conn` fetches nothing any more: what it was asked for is missing again, and its pieces are anybody's. Gives
    /// the pieces of which nothing is left, so that they might as well not have begun.
    pub fn abandon(&mut self, conn: ConnId) -> Vec<u32> {
        for lack in &mut self.lacks {
            lack.owner = lack.owner.filter(|owner| *owner != conn);
            let Some(piece) = self.pieces.get_mut(&lack.piece) else { continue };
            for state in &mut piece.states {
                if let State::Asked(askers) = state {
                    askers.retain(|asker| *asker != conn);
                    if askers.is_empty() {
                        *state = State::Missing;
                        lack.missing += 1;
                        piece.first_missing = 0;
                    }
                }
            }
        }
        self.pieces.keys().copied().filter(|&piece| self.is_untouched(piece)).collect()
    }

    /// Whether nothing of `piece` is here or asked for, so that it might as well not have begun.
    #[must_use]
    pub fn is_untouched(&self, piece: u32) -> bool {
        let missing = |lack: &Lack| (lack.piece == piece).then_some(lack.missing as usize);
        let blocks = self.pieces.get(&piece).map(|p| p.states.len());
        blocks.is_some() && self.lacks.iter().find_map(missing) == blocks
    }

    /// `block` has come from `conn`, which is `node`.
    pub fn received(&mut self, block: Block, conn: ConnId, node: &NodeId) -> Arrival {
        let layout = self.layout;
        let Some(piece) = self.pieces.get_mut(&block.piece) else { return Arrival::Useless };
        if layout.block_at(block.piece, block.offset, piece.block_bytes) != block
            || !block.offset.is_multiple_of(piece.block_bytes)
        {
            return Arrival::Useless;
        }
        let Some(state) = piece.states.get_mut((block.offset / piece.block_bytes) as usize) else {
            return Arrival::Useless;
        };
        let mut others = match std::mem::replace(state, State::Here) {
            State::Here => return Arrival::Useless,
            State::Missing => {
                if let Some(lack) = lack_of(&mut self.lacks, block.piece) {
                    lack.missing -= 1;
                }
                Askers::new()
            }
            State::Asked(askers) => askers,
        };
        others.retain(|asker| *asker != conn);
        piece.here += 1;
        if !piece.senders.contains(node) {
            piece.senders.push(node.clone());
        }
        while piece.states.get(piece.front as usize) == Some(&State::Here) {
            piece.front += 1;
        }
        let complete = piece.here as usize == piece.states.len();
        piece.checking = complete;
        Arrival::Useful { others, complete }
    }

    /// How many bytes from the start of `piece` the store is to look at, where whole leaves are here that it was not asked about.
    /// It is asked now.
    pub fn leaves_to_check(&mut self, piece: u32) -> Option<u32> {
        let leaf = self.layout.leaf_bytes();
        let state = self.pieces.get_mut(&piece).filter(|p| !p.checking)?;
        let here = state.front * state.block_bytes;
        let bytes = here - here % leaf;
        (bytes > state.leaves_asked).then(|| {
            state.leaves_asked = bytes;
            state.leaves_awaited += 1;
            bytes
        })
    }

    /// The store says that so many bytes from the start of `piece` are right: whether they are more than before.
    pub fn leaves_answered(&mut self, piece: u32, bytes: u32) -> bool {
        if self.is_late(piece, |late| &mut late.leaves) {
            return false;
        }
        let Some(state) = self.pieces.get_mut(&piece) else { return false };
        state.leaves_awaited = state.leaves_awaited.saturating_sub(1);
        let more = bytes > state.right && bytes <= state.leaves_asked;
        if more {
            state.right = bytes;
        }
        more
    }

    /// Whether every byte of `block` was found right.
    #[must_use]
    pub fn is_right(&self, block: Block) -> bool {
        let end = u64::from(block.offset) + u64::from(block.len);
        self.pieces.get(&block.piece).is_some_and(|p| end <= p.right.into())
    }

    /// How many bytes from the start of `piece` were found right.
    #[must_use]
    pub fn right(&self, piece: u32) -> u32 {
        self.pieces.get(&piece).map_or(0, |p| p.right)
    }

    /// `conn` has asked for a block of `piece`.
    pub fn wish(&mut self, piece: u32, conn: ConnId) {
        if let Some(state) = self.pieces.get_mut(&piece)
            && !state.wishers.contains(&conn)
        {
            state.wishers.push(conn);
        }
    }

    /// Who has asked for blocks of `piece`. Some may have gone since.
    #[must_use]
    pub fn wishers(&self, piece: u32) -> Wishers {
        self.pieces.get(&piece).map_or_else(Wishers::new, |p| p.wishers.clone())
    }

    /// Whether it is of use to know that the first bytes of `piece` are right: nobody was told yet that it is coming, or somebody
    /// has asked for it.
    #[must_use]
    pub fn is_of_use_early(&self, piece: u32) -> bool {
        self.pieces.get(&piece).is_some_and(|p| !p.wishers.is_empty() || !p.announced)
    }

    /// Peers are told that `piece` is coming: whether they were not before.
    pub fn announce(&mut self, piece: u32) -> bool {
        let state = self.pieces.get_mut(&piece);
        state.is_some_and(|p| !std::mem::replace(&mut p.announced, true))
    }

    /// The pieces of which peers were told that they are coming.
    pub fn announced(&self) -> impl Iterator<Item = u32> + '_ {
        self.pieces.iter().filter(|(_, p)| p.announced).map(|(&piece, _)| piece)
    }

    /// Whether peers were told that `piece` is coming.
    #[must_use]
    pub fn is_announced(&self, piece: u32) -> bool {
        self.pieces.get(&piece).is_some_and(|p| p.announced)
    }

    /// The store has checked the hash of `piece`: whether that was awaited.
    pub fn check_answered(&mut self, piece: u32) -> bool {
        if self.is_late(piece, |late| &mut late.checks) {
            return false;
        }
        let state = self.pieces.get_mut(&piece);
        state.is_some_and(|p| std::mem::take(&mut p.checking))
    }

    /// Counts an answer of the store if it is about `piece` as it was.
    fn is_late(&mut self, piece: u32, kind: impl Fn(&mut Late) -> &mut u32) -> bool {
        let Some(late) = self.late.get_mut(&piece) else { return false };
        let owed = kind(late);
        if *owed == 0 {
            return false;
        }
        *owed -= 1;
        if (late.checks, late.leaves) == (0, 0) {
            self.late.remove(&piece);
        }
        true
    }

    /// `piece` is no longer under way.
    pub fn remove(&mut self, piece: u32) {
        self.take(piece);
    }

    fn take(&mut self, piece: u32) -> Option<Piece> {
        self.lacks.retain(|lack| lack.piece != piece);
        self.pieces.remove(&piece)
    }

    /// `piece` is no longer under way, and all of it is to be fetched again. Says who sent its blocks.
    pub fn begin_anew(&mut self, piece: u32) -> SmallVec<[NodeId; 2]> {
        let Some(state) = self.take(piece) else { return SmallVec::new() };
        if state.checking || state.leaves_awaited > 0 {
            let late = self.late.entry(piece).or_default();
            late.checks += u32::from(state.checking);
            late.leaves += state.leaves_awaited;
        }
        state.senders
    }

    /// Whether `piece` is under way.
    #[must_use]
    pub fn contains(&self, piece: u32) -> bool {
        self.pieces.contains_key(&piece)
    }

    /// Whether no piece is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// What lacks of `piece`.
fn lack_of(lacks: &mut [Lack], piece: u32) -> Option<&mut Lack> {
    lacks.iter_mut().find(|lack| lack.piece == piece)
}

#[cfg(test)]
mod tests;
