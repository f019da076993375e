//! Pieces that are being fetched: which blocks are missing, asked for, or here, and who sent them.
//!
//! A piece is in this table from the moment its first block is asked for until its hash was checked. It knows
//! nothing of time, rates or the content itself.
//!
//! Invariant: a block is in exactly one state; a block that is here is never asked for again, unless the hash of
//! its piece is wrong.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::identity::Identity;
use super::interface::ConnId;
use crate::model::bitfield::Bitfield;
use crate::model::layout::{Block, Layout};

/// Who has asked for blocks of a piece, in the order in which they did.
pub type Wishers = SmallVec<[ConnId; 4]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Missing,
    Asked(ConnId),
    /// And by whom it was sent: a place among the senders.
    Here(u16),
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
    senders: SmallVec<[Identity; 2]>,
    checking: bool,
}

/// All pieces under way.
#[derive(Debug)]
pub struct Assembly {
    layout: Layout,
    /// By piece, ascending.
    lacks: Vec<Lack>,
    /// In the same order.
    pieces: Vec<Piece>,
    late: BTreeMap<u32, Late>,
}

/// Answers that the store still owes about a piece as it was before it began anew. They come before those about the piece as
/// it is now, and must not be taken for them: a write that fails is told of while a check of the same piece may be under way.
#[derive(Debug, Default)]
struct Late {
    checks: u32,
    leaves: u32,
}

/// Pieces with missing blocks that a peer might be asked for: of each kind the one nearest to completion.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// Of those that are fetched from it while they come to it.
    pub early: Option<u32>,
    /// Of those that it has and nobody is fetched from: what its owner has given up.
    pub orphan: Option<u32>,
    /// Of those that it has and another is fetched from.
    pub other: Option<u32>,
}

/// What a block that has come means.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was missing.
    Useful {
        /// Who else was asked for it, if it came from a peer that was thought not to send it.
        other: Option<ConnId>,
        /// Whether every block of the piece is here now.
        complete: bool,
    },
    /// It was here already, or is no block of a piece under way.
    Useless,
}

impl Assembly {
    /// Nothing is under way.
    pub const fn new(layout: Layout) -> Self {
        Self { layout, lacks: Vec::new(), pieces: Vec::new(), late: BTreeMap::new() }
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
        let place = self.lacks.partition_point(|lack| lack.piece < piece);
        self.lacks.insert(place, Lack { piece, missing: blocks, owner: Some(owner) });
        self.pieces.insert(place, new);
    }

    fn place(&self, piece: u32) -> Option<usize> {
        self.lacks.binary_search_by_key(&piece, |lack| lack.piece).ok()
    }

    fn get(&self, piece: u32) -> Option<&Piece> {
        self.pieces.get(self.place(piece)?)
    }

    fn get_mut(&mut self, piece: u32) -> Option<&mut Piece> {
        let place = self.place(piece)?;
        self.pieces.get_mut(place)
    }

    /// What lacks of a piece, and the rest.
    fn parts_mut(&mut self, piece: u32) -> Option<(&mut Lack, &mut Piece)> {
        let place = self.place(piece)?;
        self.lacks.get_mut(place).zip(self.pieces.get_mut(place))
    }

    /// The first block of `piece` that nobody was asked for.
    #[must_use]
    pub fn next_missing(&self, piece: u32) -> Option<Block> {
        let state = self.get(piece)?;
        let from = state.first_missing as usize;
        let index = from + state.states.get(from..)?.iter().position(|s| *s == State::Missing)?;
        Some(self.layout.block_at(piece, index as u32 * state.block_bytes, state.block_bytes))
    }

    /// Of the pieces with missing blocks that `conn`, which `has` some pieces, has and that are fetched from it, the one nearest to
    /// completion.
    #[must_use]
    pub fn own(&self, conn: ConnId, has: &Bitfield) -> Option<u32> {
        let own = self.lacks.iter().filter(|lack| lack.missing > 0 && lack.owner == Some(conn));
        let own = own.filter(|lack| has.contains(lack.piece));
        own.min_by_key(|lack| lack.missing).map(|lack| lack.piece)
    }

    /// The other pieces with missing blocks that `conn`, which `has` some pieces, might be asked for, if it `may` send them and, of
    /// what another is fetched from, if it may `help`.
    #[must_use]
    pub fn unfinished(
        &self,
        conn: ConnId,
        has: &Bitfield,
        may: impl Fn(u32) -> bool,
        help: impl Fn(u32) -> bool,
    ) -> Unfinished {
        let mut found = Unfinished::default();
        let [mut early, mut orphan, mut other] = [u32::MAX; 3];
        for &Lack { piece, missing, owner } in self.lacks.iter().filter(|lack| lack.missing > 0) {
            let has_it = has.contains(piece);
            match owner {
                Some(owner) if owner == conn && !has_it && missing < early => {
                    (early, found.early) = (missing, Some(piece));
                }
                Some(owner) if owner == conn => {}
                Some(_) if has_it && missing < other && may(piece) && help(piece) => {
                    (other, found.other) = (missing, Some(piece));
                }
                None if has_it && missing < orphan && may(piece) => {
                    (orphan, found.orphan) = (missing, Some(piece));
                }
                _ => {}
            }
        }
        found
    }

    /// From whom `piece` is fetched.
    #[must_use]
    pub fn owner(&self, piece: u32) -> Option<ConnId> {
        self.lacks.get(self.place(piece)?)?.owner
    }

    /// Bytes of `piece` that nobody was asked for, in whole blocks.
    #[must_use]
    pub fn missing_bytes(&self, piece: u32) -> u64 {
        let place = self.place(piece);
        place.map_or(0, |at| {
            u64::from(self.lacks[at].missing) * u64::from(self.pieces[at].block_bytes)
        })
    }

    /// Whether every block of `piece` is here and the store looks at it.
    #[must_use]
    pub fn is_checking(&self, piece: u32) -> bool {
        self.get(piece).is_some_and(|state| state.checking)
    }

    /// From now on `owner` fetches what is missing of `piece`.
    pub fn adopt(&mut self, piece: u32, owner: ConnId) {
        if let Some((lack, _)) = self.parts_mut(piece) {
            lack.owner = Some(owner);
        }
    }

    /// `conn` was asked for `block`, which was missing.
    pub fn asked(&mut self, block: Block, conn: ConnId) {
        let Some((lack, piece)) = self.parts_mut(block.piece) else { return };
        let index = block.offset / piece.block_bytes;
        if let Some(state @ State::Missing) = piece.states.get_mut(index as usize) {
            *state = State::Asked(conn);
            lack.missing -= 1;
            if index == piece.first_missing {
                piece.first_missing += 1;
            }
        }
    }

    /// Whom `block` was asked of, if it has not come.
    #[must_use]
    pub fn asker(&self, block: Block) -> Option<ConnId> {
        let piece = self.get(block.piece)?;
        match piece.states.get((block.offset / piece.block_bytes) as usize)? {
            State::Asked(conn) => Some(*conn),
            State::Missing | State::Here(_) => None,
        }
    }

    /// `conn` will not send `block`: refused, cancelled, too late, or gone.
    pub fn returned(&mut self, block: Block, conn: ConnId) {
        let Some((lack, piece)) = self.parts_mut(block.piece) else { return };
        let index = block.offset / piece.block_bytes;
        let Some(state) = piece.states.get_mut(index as usize) else { return };
        if *state == State::Asked(conn) {
            *state = State::Missing;
            piece.first_missing = piece.first_missing.min(index);
            lack.missing += 1;
            lack.owner = lack.owner.filter(|owner| *owner != conn);
        }
    }

    /// `conn` fetches nothing any more: what it was asked for is missing again, and its pieces are anybody's. Gives
    /// the pieces of which nothing is left, so that they might as well not have begun.
    pub fn abandon(&mut self, conn: ConnId) -> Vec<u32> {
        let mut untouched = Vec::new();
        for (lack, piece) in self.lacks.iter_mut().zip(&mut self.pieces) {
            lack.owner = lack.owner.filter(|owner| *owner != conn);
            for state in piece.states.iter_mut().filter(|state| **state == State::Asked(conn)) {
                *state = State::Missing;
                lack.missing += 1;
                piece.first_missing = 0;
            }
            if lack.missing as usize == piece.states.len() {
                untouched.push(lack.piece);
            }
        }
        untouched
    }

    /// Whether nothing of `piece` is here or asked for, so that it might as well not have begun.
    #[must_use]
    pub fn is_untouched(&self, piece: u32) -> bool {
        let place = self.place(piece);
        place.is_some_and(|at| self.lacks[at].missing as usize == self.pieces[at].states.len())
    }

    /// `block` has come from `conn`, which is `from`.
    pub fn received(&mut self, block: Block, conn: ConnId, from: &Identity) -> Arrival {
        let layout = self.layout;
        let Some((lack, piece)) = self.parts_mut(block.piece) else { return Arrival::Useless };
        if layout.block_at(block.piece, block.offset, piece.block_bytes) != block
            || !block.offset.is_multiple_of(piece.block_bytes)
        {
            return Arrival::Useless;
        }
        let Some(state) = piece.states.get_mut((block.offset / piece.block_bytes) as usize) else {
            return Arrival::Useless;
        };
        let other = match state {
            State::Here(_) => return Arrival::Useless,
            State::Missing => {
                lack.missing -= 1;
                None
            }
            State::Asked(asker) => (*asker != conn).then_some(*asker),
        };
        let known = piece.senders.iter().position(|sender| sender == from);
        let sender = known.unwrap_or_else(|| {
            piece.senders.push(from.clone());
            piece.senders.len() - 1
        });
        *state = State::Here(sender as u16);
        piece.here += 1;
        while let Some(State::Here(_)) = piece.states.get(piece.front as usize) {
            piece.front += 1;
        }
        let complete = piece.here as usize == piece.states.len();
        piece.checking = complete;
        Arrival::Useful { other, complete }
    }

    /// How many bytes from the start of `piece` the store is to look at, where whole leaves are here that it was not asked about.
    /// It is asked now.
    pub fn leaves_to_check(&mut self, piece: u32) -> Option<u32> {
        let leaf = self.layout.leaf_bytes();
        let state = self.get_mut(piece).filter(|p| !p.checking)?;
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
        let Some(state) = self.get_mut(piece) else { return false };
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
        self.get(block.piece).is_some_and(|p| end <= p.right.into())
    }

    /// How many bytes from the start of `piece` were found right.
    #[must_use]
    pub fn right(&self, piece: u32) -> u32 {
        self.get(piece).map_or(0, |p| p.right)
    }

    /// `conn` has asked for a block of `piece`.
    pub fn wish(&mut self, piece: u32, conn: ConnId) {
        if let Some(state) = self.get_mut(piece)
            && !state.wishers.contains(&conn)
        {
            state.wishers.push(conn);
        }
    }

    /// Who has asked for blocks of `piece`. Some may have gone since.
    #[must_use]
    pub fn wishers(&self, piece: u32) -> Wishers {
        self.get(piece).map_or_else(Wishers::new, |p| p.wishers.clone())
    }

    /// Whether anybody has asked for a block of `piece`.
    #[must_use]
    pub fn is_wished(&self, piece: u32) -> bool {
        self.get(piece).is_some_and(|p| !p.wishers.is_empty())
    }

    /// Peers are told that `piece` is coming: whether they were not before.
    pub fn announce(&mut self, piece: u32) -> bool {
        let state = self.get_mut(piece);
        state.is_some_and(|p| !std::mem::replace(&mut p.announced, true))
    }

    /// The pieces of which peers were told that they are coming.
    pub fn announced(&self) -> impl Iterator<Item = u32> + '_ {
        let all = self.lacks.iter().zip(&self.pieces);
        all.filter(|(_, piece)| piece.announced).map(|(lack, _)| lack.piece)
    }

    /// Whether peers were told that `piece` is coming.
    #[must_use]
    pub fn is_announced(&self, piece: u32) -> bool {
        self.get(piece).is_some_and(|p| p.announced)
    }

    /// The store has checked the hash of `piece`: whether that was awaited.
    pub fn check_answered(&mut self, piece: u32) -> bool {
        if self.is_late(piece, |late| &mut late.checks) {
            return false;
        }
        let state = self.get_mut(piece);
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
        let place = self.place(piece)?;
        self.lacks.remove(place);
        Some(self.pieces.remove(place))
    }

    /// The blocks of `piece` that are here, and who sent each of them.
    #[must_use]
    pub fn sent(&self, piece: u32) -> Vec<(Block, Identity)> {
        let Some(state) = self.get(piece) else { return Vec::new() };
        let offsets = (0..).step_by(state.block_bytes as usize);
        let here = state.states.iter().zip(offsets).filter_map(|(block, offset)| match block {
            State::Here(sender) => {
                let block = self.layout.block_at(piece, offset, state.block_bytes);
                Some((block, state.senders.get(usize::from(*sender))?.clone()))
            }
            State::Missing | State::Asked(_) => None,
        });
        here.collect()
    }

    /// `piece` is no longer under way, and all of it is to be fetched again. Says who sent its blocks.
    pub fn begin_anew(&mut self, piece: u32) -> SmallVec<[Identity; 2]> {
        let Some(state) = self.take(piece) else { return SmallVec::new() };
        if state.checking || state.leaves_awaited > 0 {
            let late = self.late.entry(piece).or_default();
            late.checks += u32::from(state.checking);
            late.leaves += state.leaves_awaited;
        }
        state.senders
    }

    /// Whether one of these pieces is under way.
    #[must_use]
    pub fn any_of(&self, pieces: &Bitfield) -> bool {
        self.lacks.iter().any(|lack| pieces.contains(lack.piece))
    }

    /// Whether `piece` is under way.
    #[must_use]
    pub fn contains(&self, piece: u32) -> bool {
        self.place(piece).is_some()
    }
}

#[cfg(test)]
mod tests;
