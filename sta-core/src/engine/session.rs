//! One peer: what it may say, what was asked of it, what it waits for.
//!
//! ```text
//!   asked of it:     get -> data | reject          (a cancel changes nothing: one of the two still comes)
//!   asked by it:     waiting -> ahead -> sent      (or rejected: choked, gone, limit, elsewhere, cancelled)
//! ```
//!
//! It knows nothing of other peers, of which piece would be best, or of the connection underneath. What a peer
//! must not say ends the session: [`Misbehaviour`].
//!
//! Invariant: every request that is counted in `asked_bytes` has neither been answered nor given up.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use super::identity::Identity;
use super::pipeline::Pipeline;
use super::rate::Rate;
use crate::model::bitfield::{Bitfield, PieceRange, collect_ranges};
use crate::model::ids::NodeId;
use crate::model::layout::{Block, Layout};
use crate::model::limits;
use crate::model::time::Time;
use crate::wire::peer::RejectReason;

/// A peer of good will serves us as soon as it has said hello; after so long it does not mean to.
const WITHHOLDS: Duration = Duration::from_secs(1);
/// A piece that a peer would not send, such as a source that has just given it to somebody else, is not asked of it again for so long. If
/// that somebody is lost meanwhile, everybody waits for so long.
const AVOID: Duration = Duration::from_millis(500);

/// What a peer did that ends its session. It is the peer's fault; the others go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// `data` that answers no request, or another block than was asked for.
    #[error("it sent data that was not asked for")]
    Unasked,
    /// A block outside the content, or too long.
    #[error("it asked for what is no block of this torrent")]
    NoBlock,
    /// A piece that the torrent has not.
    #[error("it claims a piece that does not exist")]
    NoPiece,
    /// More than [`limits::HAVE_RANGES_MAX`] ranges.
    #[error("it names more ranges of pieces at once than it may")]
    TooMany,
    /// A message that has no place where it came.
    #[error("it sent a message out of place")]
    OutOfPlace,
}

/// A request that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// For which block.
    pub block: Block,
    /// When.
    pub at: Time,
    /// Given up since; the answer is not waited for.
    pub cancelled: bool,
    /// Asked for while the piece was still coming to the peer, who answers when it can.
    pub early: bool,
}

/// A request that was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// For which block.
    pub block: Block,
    /// Whether it was still waited for.
    pub waited: bool,
    /// Whether the peer offers the piece no more, and did until now.
    pub withdrawn: bool,
}

/// Pieces that a peer has and had not, each with whether it had not offered it before. Nearly always one.
pub type Gained = SmallVec<[(u32, bool); 2]>;

/// A request that a peer has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Its id.
    pub id: u64,
    /// For which block.
    pub block: Block,
}

/// The state of the protocol with one peer, after both have said hello.
#[derive(Debug)]
pub struct Session {
    /// Who it is.
    pub peer: Identity,
    /// Its address, as observed.
    pub remote: SocketAddr,
    /// What it says it has.
    pub have: Bitfield,
    /// The same, and what it says is coming to it.
    pub offered: Bitfield,
    /// Since when it does not serve us, if it does not.
    pub choked_since: Option<Time>,
    /// We do not serve it.
    pub choking: bool,
    /// It was asked, and nothing came for long; until an answer does, it is asked for nothing.
    pub stalled: bool,
    /// What it sends, and how much to ask ahead.
    pub pipeline: Pipeline,
    /// What it is sent.
    pub up: Rate,
    /// Nothing of what its connection was handed has left for long: it may be gone. Until something does, it keeps nobody waiting.
    pub clogged: bool,
    /// When it last said anything.
    pub heard: Time,
    /// When it was last told anything.
    pub said: Time,
    layout: Layout,
    /// By id, ascending.
    asked: VecDeque<(u64, Asked)>,
    /// How many of them were asked early.
    asked_early: usize,
    asked_bytes: u64,
    early_bytes: u64,
    given_up_bytes: u64,
    /// When an early request was last made or answered.
    early_since: Time,
    /// Until then the peer is not asked early.
    early_from: Time,
    /// Requests that the peer's last choke made void. One that was under way then is answered if the peer had unchoked us again
    /// when it came.
    voided: Vec<(u64, Block)>,
    next_id: u64,
    waiting: VecDeque<Wish>,
    ahead: VecDeque<Block>,
    /// Since when the oldest of them has been there.
    ahead_since: Time,
    /// The longest time that a block took to leave; an eighth is forgotten with every block. `None` before the first.
    slowest_sent: Option<Duration>,
    /// Pieces that it would not send,
    refused: Option<Bitfield>,
    /// and those of them that it refused of late, each once, and when.
    avoided: Vec<(u32, Time)>,
    /// Pieces that are here and that the peer was not told of, since it has them.
    untold: Vec<u32>,
}

impl Session {
    /// Both have said hello at `now`. Nobody serves anybody yet.
    #[must_use]
    pub fn new(node: NodeId, remote: SocketAddr, layout: Layout, now: Time) -> Self {
        Self {
            peer: Identity { node, host: remote.ip() },
            remote,
            have: Bitfield::empty(layout.pieces()),
            offered: Bitfield::empty(layout.pieces()),
            choked_since: Some(now),
            choking: true,
            stalled: false,
            pipeline: Pipeline::default(),
            up: Rate::default(),
            clogged: false,
            heard: now,
            said: now,
            layout,
            asked: VecDeque::new(),
            asked_early: 0,
            asked_bytes: 0,
            early_bytes: 0,
            given_up_bytes: 0,
            early_since: now,
            early_from: Time::ZERO,
            voided: Vec::new(),
            next_id: 0,
            waiting: VecDeque::new(),
            ahead: VecDeque::new(),
            ahead_since: now,
            slowest_sent: None,
            refused: None,
            avoided: Vec::new(),
            untold: Vec::new(),
        }
    }

    /// The peer says it has more pieces: those that it had not, each with whether it had not offered it either.
    ///
    /// # Errors
    /// If a range names a piece that does not exist, or runs backwards.
    pub fn gained(&mut self, ranges: &[PieceRange]) -> Result<Gained, Misbehaviour> {
        let pieces = self.layout.pieces();
        if ranges.iter().any(|&PieceRange(first, last)| first > last || last >= pieces) {
            return Err(Misbehaviour::NoPiece);
        }
        if ranges.len() > limits::HAVE_RANGES_MAX {
            return Err(Misbehaviour::TooMany);
        }
        let mut new = Gained::new();
        let offered = &mut self.offered;
        let mut add = |range| {
            self.have.insert_range(range, |piece| new.push((piece, offered.insert(piece))));
        };
        if let [range] = ranges {
            add(*range);
            return Ok(new);
        }
        let mut ranges: SmallVec<[PieceRange; 2]> = ranges.into();
        ranges.sort_unstable();
        // No piece is looked at twice, however often it is named.
        let mut next = 0;
        for PieceRange(first, last) in ranges {
            add(PieceRange(first.max(next), last));
            next = next.max(last.saturating_add(1));
        }
        Ok(new)
    }

    /// A piece is here: what the peer is to be told of now. It can wait while the peer has the piece and lacks others, and is told
    /// with the next that it lacks, or with the last: half of what would be said otherwise. Who has everything is told at once, since a
    /// source goes by it.
    pub fn tell(&mut self, piece: u32, last: bool) -> Option<SmallVec<[PieceRange; 2]>> {
        let waits = self.have.contains(piece) && !self.have.is_full() && !last;
        let waits = waits && self.untold.len() + 1 < limits::HAVE_RANGES_MAX;
        if waits {
            self.untold.push(piece);
            return None;
        }
        if self.untold.is_empty() {
            return Some(smallvec![PieceRange::one(piece)]);
        }
        self.untold.push(piece);
        self.untold.sort_unstable();
        let told = collect_ranges(self.untold.drain(..));
        Some(told.into())
    }

    /// The peer has everything by now: what it was not told, since it had it, if anything.
    pub fn tell_rest(&mut self) -> Option<SmallVec<[PieceRange; 2]>> {
        self.untold.sort_unstable();
        let told = collect_ranges(self.untold.drain(..));
        (!told.is_empty()).then(|| told.into())
    }

    /// A piece is coming to the peer: whether that is new.
    ///
    /// # Errors
    /// If there is no such piece.
    pub fn coming(&mut self, piece: u32) -> Result<bool, Misbehaviour> {
        if piece >= self.layout.pieces() {
            return Err(Misbehaviour::NoPiece);
        }
        Ok(self.offered.insert(piece))
    }

    // What is asked of it.

    /// Notes a request for `block` and gives it an id.
    pub fn ask(&mut self, block: Block, now: Time) -> u64 {
        self.next_id += 1;
        let early = !self.have.contains(block.piece);
        self.asked.push_back((self.next_id, Asked { block, at: now, cancelled: false, early }));
        if early {
            self.asked_early += 1;
            self.early_bytes += u64::from(block.len);
            self.early_since = now;
        } else {
            self.asked_bytes += u64::from(block.len);
        }
        self.next_id
    }

    /// Bytes asked for of pieces that the peer had, not here, and not given up.
    #[must_use]
    pub const fn asked_bytes(&self) -> u64 {
        self.asked_bytes
    }

    /// Bytes asked for in all, not here, and not given up.
    #[must_use]
    pub const fn outstanding_bytes(&self) -> u64 {
        self.asked_bytes + self.early_bytes
    }

    /// Bytes asked for in all and not answered. Those given up count: they come before what was asked for later, until the peer hears
    /// that they need not.
    #[must_use]
    pub const fn owed_bytes(&self) -> u64 {
        self.asked_bytes + self.early_bytes + self.given_up_bytes
    }

    /// The requests neither answered nor given up, oldest first.
    pub fn asked(&self) -> impl DoubleEndedIterator<Item = (u64, Asked)> + '_ {
        self.asked.iter().filter(|(_, asked)| !asked.cancelled).copied()
    }

    /// `data` has come for request `id`.
    ///
    /// # Errors
    /// If no such block was asked for under this id.
    pub fn answered(&mut self, id: u64, block: Block, now: Time) -> Result<(), Misbehaviour> {
        self.heard = now;
        match self.take_asked(id) {
            Some(asked) if asked.block == block => {
                self.pipeline.answered(block.len, asked.at, now);
                if asked.early {
                    self.early_since = now;
                }
                self.uncount(asked);
                Ok(())
            }
            None => {
                let voided = self.voided.iter().position(|&voided| voided == (id, block));
                self.voided.swap_remove(voided.ok_or(Misbehaviour::Unasked)?);
                Ok(())
            }
            Some(_) => Err(Misbehaviour::Unasked),
        }
    }

    /// Request `id` was rejected: the block, if it was still waited for. A reason to ask for other pieces here is noted.
    pub fn rejected(&mut self, id: u64, why: RejectReason, now: Time) -> Option<Rejected> {
        let asked = self.take_asked(id)?;
        let mut withdrawn = false;
        // Another reason without a cancel before is whimsical: it is not to be asked for the same again and again.
        if why == RejectReason::Elsewhere || (why != RejectReason::Gone && !asked.cancelled) {
            let (pieces, refused) = (self.layout.pieces(), asked.block.piece);
            self.refused.get_or_insert_with(|| Bitfield::empty(pieces)).insert(refused);
            self.avoided.retain(|&(piece, at)| piece != refused && now.since(at) < AVOID);
            self.avoided.push((refused, now));
        }
        if why == RejectReason::Gone {
            self.have.remove(asked.block.piece);
            withdrawn = self.offered.remove(asked.block.piece);
        }
        self.uncount(asked);
        Some(Rejected { block: asked.block, waited: !asked.cancelled, withdrawn })
    }

    /// Gives up request `id`; its answer may still come.
    pub fn give_up(&mut self, id: u64) -> Option<Block> {
        let at = self.asked.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        let (_, asked) = self.asked.get_mut(at).filter(|(_, asked)| !asked.cancelled)?;
        let before = *asked;
        asked.cancelled = true;
        self.uncount(before);
        self.given_up_bytes += u64::from(before.block.len);
        Some(before.block)
    }

    fn uncount(&mut self, asked: Asked) {
        let bytes = match asked {
            Asked { cancelled: true, .. } => &mut self.given_up_bytes,
            Asked { early: true, .. } => &mut self.early_bytes,
            Asked { .. } => &mut self.asked_bytes,
        };
        *bytes -= u64::from(asked.block.len);
    }

    /// Bytes asked for early, not here, and not given up; `None` while it is not to be asked early.
    #[must_use]
    pub fn early_bytes(&self, now: Time) -> Option<u64> {
        (now >= self.early_from).then_some(self.early_bytes)
    }

    /// The early requests, if none was answered for `patience`. For so long again, ten times, it is not asked early.
    pub fn early_in_vain(&mut self, patience: Duration, now: Time) -> Vec<u64> {
        if self.early_bytes == 0 || now.since(self.early_since) < patience {
            return Vec::new();
        }
        self.early_from = now + 10 * patience;
        self.asked().filter(|(_, asked)| asked.early).map(|(id, _)| id).collect()
    }

    fn take_asked(&mut self, id: u64) -> Option<Asked> {
        let at = self.asked.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        let (_, asked) = self.asked.remove(at)?;
        self.asked_early -= usize::from(asked.early);
        Some(asked)
    }

    /// The id under which `block` is waited for.
    #[must_use]
    pub fn id_of(&self, block: Block) -> Option<u64> {
        self.asked().find(|(_, asked)| asked.block == block).map(|(id, _)| id)
    }

    /// The peer has choked us: every request is void.
    pub fn void_asked(&mut self) {
        self.asked_bytes = 0;
        self.early_bytes = 0;
        self.given_up_bytes = 0;
        self.asked_early = 0;
        self.voided.clear();
        self.voided.extend(self.asked.drain(..).map(|(id, asked)| (id, asked.block)));
    }

    /// Pieces not to be asked of this peer now: it has just given them to somebody else.
    #[must_use]
    pub fn avoided(&self, now: Time) -> Vec<u32> {
        let of_late = self.avoided.iter().filter(|(_, at)| now.since(*at) < AVOID);
        of_late.map(|&(piece, _)| piece).collect()
    }

    /// The pieces that it has ever refused, if any. Others are to be asked for first: who asked again for the same few, as soon as it
    /// might, would never come to those that the peer would rather send.
    #[must_use]
    pub const fn refused(&self) -> Option<&Bitfield> {
        self.refused.as_ref()
    }

    /// Since when it owes an answer and nothing has come. What was given up counts: it is to be sent or rejected all the same.
    /// What was asked early does not: it may well not have it.
    #[must_use]
    pub fn silent_since(&self) -> Option<Time> {
        if self.asked.len() == self.asked_early {
            return None;
        }
        let oldest = self.asked.iter().find(|(_, asked)| !asked.early)?.1.at;
        Some(self.pipeline.last_answer().map_or(oldest, |answer| answer.max(oldest)))
    }

    /// For how long it has owed an answer, if that is `patience` or longer.
    #[must_use]
    pub fn silence(&self, patience: Duration, now: Time) -> Option<Duration> {
        // Nearly always it has just said something, and what it was asked for need not be looked at.
        if self.pipeline.last_answer().is_some_and(|answer| now.since(answer) < patience) {
            return None;
        }
        let silence = now.since(self.silent_since()?);
        (silence >= patience).then_some(silence)
    }

    /// Whether it has not served us for so long that this cannot be the greeting's delay, or answers nothing.
    #[must_use]
    pub fn withholds(&self, now: Time) -> bool {
        self.stalled || self.choked_since.is_some_and(|since| now.since(since) >= WITHHOLDS)
    }

    // What it asks for.

    /// The peer asks for a block: whether it may wait to be served, or why not. `here` says that the piece is here, or coming,
    /// `elsewhere` that others should serve it.
    ///
    /// # Errors
    /// If it is no block of the content.
    pub fn wish(
        &mut self,
        wish: Wish,
        here: bool,
        elsewhere: bool,
    ) -> Result<Option<RejectReason>, Misbehaviour> {
        let Block { piece, offset, len } = wish.block;
        // Less than that is worth nobody's turn, except at the end of a piece.
        let small = len < limits::BLOCK_BYTES_MIN;
        if !self.layout.contains(wish.block) || small && offset + len < self.layout.piece_len(piece)
        {
            return Err(Misbehaviour::NoBlock);
        }
        let refusal = if self.choking {
            Some(RejectReason::Choked)
        } else if !here {
            Some(RejectReason::Gone)
        } else if elsewhere {
            Some(RejectReason::Elsewhere)
        } else if self.waiting.len() >= limits::REQUESTS_QUEUED_MAX {
            Some(RejectReason::Limit)
        } else {
            self.waiting.push_back(wish);
            None
        };
        Ok(refusal)
    }

    /// The requests that wait, in the order they came.
    pub fn waiting(&self) -> impl Iterator<Item = &Wish> + '_ {
        self.waiting.iter()
    }

    /// Whether a request for `piece` waits for a block that is `ready`.
    #[must_use]
    pub fn waits_for(&self, piece: u32, ready: impl Fn(Block) -> bool) -> bool {
        self.waiting.iter().any(|wish| wish.block.piece == piece && ready(wish.block))
    }

    /// Takes the first waiting request for a block of `piece` that is `ready`.
    pub fn take_waiting(&mut self, piece: u32, ready: impl Fn(Block) -> bool) -> Option<Wish> {
        let suits = |wish: &Wish| wish.block.piece == piece && ready(wish.block);
        let at = self.waiting.iter().position(suits)?;
        self.waiting.remove(at)
    }

    /// Takes the waiting request `id`, which the peer no longer wants.
    pub fn take_cancelled(&mut self, id: u64) -> Option<Wish> {
        let at = self.waiting.iter().position(|wish| wish.id == id)?;
        self.waiting.remove(at)
    }

    /// Every request that waits is void: the peer was choked.
    pub fn void_waiting(&mut self) {
        self.waiting.clear();
    }

    /// `block` was handed to the connection.
    pub fn handed(&mut self, block: Block, now: Time) {
        if self.ahead.is_empty() {
            self.ahead_since = now;
        }
        self.ahead.push_back(block);
    }

    /// Whether the connection holds a block, and the peer takes what it is sent.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        !self.ahead.is_empty() && !self.clogged
    }

    /// How long the slowest block of late took to leave, if one has left.
    #[must_use]
    pub const fn slowest_sent(&self) -> Option<Duration> {
        self.slowest_sent
    }

    /// Blocks are taken to leave within `patience`: notes whether one has not.
    pub fn look_at_ahead(&mut self, patience: Duration, now: Time) {
        self.clogged = !self.ahead.is_empty() && now.since(self.ahead_since) >= patience;
    }

    /// How many blocks the connection holds that have not been sent.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.ahead.len()
    }

    /// The oldest block that the connection held cannot be sent.
    pub fn unsent(&mut self, now: Time) -> Option<Block> {
        self.taken_ahead(now)
    }

    /// The connection has sent the oldest block it held.
    pub fn sent(&mut self, now: Time) -> Option<Block> {
        let took = now.since(self.ahead_since);
        let block = self.taken_ahead(now)?;
        let slowest = self.slowest_sent.unwrap_or_default();
        self.slowest_sent = Some(took.max(slowest * 7 / 8));
        self.up.add(block.len.into(), now);
        self.said = now;
        Some(block)
    }

    fn taken_ahead(&mut self, now: Time) -> Option<Block> {
        self.ahead_since = now;
        self.clogged = false;
        self.ahead.pop_front()
    }
}

#[cfg(test)]
mod tests;
