//! What to ask of whom.
//!
//! In this order, while a peer's window has room: the piece it is sending us, a piece whose sender was lost, the
//! rarest open piece it has, a piece that another is sending us and has blocks left, a piece that is coming to it
//! (`swarm/relay.rs`). When nothing is left to ask, blocks move from peers who would take long to peers who would be done much
//! sooner, with a cancel for the loser (end game).

use std::cmp::Reverse;
use std::time::Duration;

use smallvec::SmallVec;

use super::{Phase, Swarm};
use crate::engine::assembly::Unfinished;
use crate::engine::interface::{ConnId, Output};
use crate::engine::session::{Gained, Session};
use crate::model::event::Event;
use crate::model::layout::Block;
use crate::model::limits;
use crate::model::time::Time;
use crate::wire::peer::PeerMessage;

/// What a peer of unknown rate is taken to send, in bytes per second.
const RATE_ASSUMED: u64 = 64 << 10;
/// Nothing comes of what a peer was asked for: twice what answers take of late, and this at the least and at the most, tell
/// that something is amiss and the links not slow.
const PATIENCE_MIN: Duration = Duration::from_secs(1);
pub(super) const PATIENCE_MAX: Duration = Duration::from_secs(20);
/// A block moves to another peer only if it saves more than this: moving costs a round trip.
const GAIN_MIN: Duration = Duration::from_millis(1_000);
/// The same for the last blocks of all: nothing else can be done meanwhile, and few are left to move to and fro.
const GAIN_MIN_LAST: Duration = Duration::from_millis(100);
/// When no peer is so slow that a block might move, that is so for a while: it is looked at so often in the time that must be gained.
const STEALS_PER_GAIN: u32 = 50;
/// When no more blocks than this lack, what a holder sends before them counts even if it was given up (a cancel that waits behind
/// uploads of our own is late), and an idle peer is expected to do again what it did. With more, blocks would move to and fro.
const LAST_BLOCKS: usize = 16;
/// A node asks for twice as much at a time when it has so many pieces fewer than its neighbours.
pub(super) const BEHIND_PIECES: u64 = 8;
/// And for no more than so many times as much.
const BEHIND_MAX: u64 = 4;
/// Who waits for so many bytes of a peer asks it for no more: one block more and it might be too much.
pub(super) const IN_FLIGHT_MAX: u64 = limits::IN_FLIGHT_BYTES_MAX - limits::BLOCK_BYTES_MAX as u64;

/// Blocks of a piece that several peers offer may be so many times as large: nobody waits for it to be passed on, so fewer blocks
/// cost the schedule nothing. Twice as large gives the same, with a quarter more events; eight times as large costs a hundredth.
const SHARED_BLOCKS: u32 = 4;
/// Of other pieces, where a source is near: they have not come through many hands, each of which takes the time of a block. Found in
/// the flow world, where four times as large costs a swarm of eight two hundredths.
const NEAR_SOURCE_BLOCKS: u32 = 2;

/// What how much is asked for, of whom and for how long goes by.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many times more to ask of everybody: [`Swarm::arrears`], as of the last piece or tick.
    pub behind: u64,
    /// Who owes an answer for so long is silent: [`Swarm::usual_patience`], as of the last tick.
    pub patience: Duration,
    /// Until then no peer is taken to be so slow that a block of it might move to another.
    pub steal_from: Time,
    /// A block has moved.
    pub end_game: bool,
}

impl Default for Pace {
    fn default() -> Self {
        let (behind, patience) = (BEHIND_PIECES, PATIENCE_MIN);
        Self { behind, patience, steal_from: Time::ZERO, end_game: false }
    }
}

/// How long so many bytes take at `rate`, or at that of a peer of which nothing is known.
fn takes(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos(bytes * 1_000_000 / (rate.max(RATE_ASSUMED) / 1_000))
}

impl Swarm {
    /// A peer has pieces that it had not.
    pub(super) fn gained(&mut self, conn: ConnId, new: &Gained, now: Time) {
        for &(piece, _) in new.iter().filter(|(_, offered)| *offered) {
            self.offered(conn, piece);
        }
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let complete = session.have.is_full();
        // A source goes by what it was told of.
        if complete && let Some(p) = session.tell_rest() {
            self.send(conn, PeerMessage::Have { p }, now);
        }
        let both_complete = complete && self.have.is_full();
        if both_complete && self.phase == Phase::Serving {
            self.close(conn, "both have everything", now);
        } else if self.is_ending() || new.iter().any(|(piece, _)| !self.have.contains(*piece)) {
            self.fill(conn, now);
        }
    }

    /// A piece that it had not offered is coming to a peer.
    pub(super) fn coming(&mut self, conn: ConnId, piece: u32, now: Time) {
        self.offered(conn, piece);
        if self.is_ending() || self.picker.open().contains(piece) {
            self.fill(conn, now);
        }
    }

    /// Whether every piece that lacks is under way. Blocks of slow peers move to others then, and every word of a peer is an occasion
    /// to see whether one should.
    fn is_ending(&self) -> bool {
        self.picker.open().is_empty()
    }

    fn offered(&mut self, conn: ConnId, piece: u32) {
        self.picker.gained(piece);
        self.uploads.seen(piece, conn);
    }

    /// Asks a peer for as much as its window takes.
    pub(super) fn fill(&mut self, conn: ConnId, now: Time) {
        if self.phase != Phase::Fetching || now < self.storage.paused_until {
            return;
        }
        let Some(session) = self.sessions.get(conn) else { return };
        if session.choked_since.is_some() {
            return;
        }
        let window = self.window(session, now);
        let early = session.outstanding_bytes() - session.asked_bytes();
        let most =
            (window * self.pace.behind / BEHIND_PIECES).min(IN_FLIGHT_MAX.saturating_sub(early));
        let (mut asked, mut sure) = (session.asked_bytes(), true);
        while asked < most {
            let Some(session) = self.sessions.get(conn) else { return };
            // Nearly always there is a piece to go on with.
            let own = self.assembly.own(conn, &session.have);
            let own = own.and_then(|piece| self.assembly.next_missing(piece));
            let block = own.or_else(|| self.another_block(conn, &mut sure, window, now));
            let Some(block) = block else { return };
            asked = self.ask(conn, block, now);
        }
    }

    /// A block of a piece that is not being fetched from `conn`, which has a `window` of so many bytes. What it has, and nobody sends us,
    /// may be all asked for: then it is not `sure` to have any, and stays so for the moment.
    // Apart: most of what `fill` is called for ends before, and code that is met at every event is small so.
    #[inline(never)]
    fn another_block(
        &mut self,
        conn: ConnId,
        sure: &mut bool,
        window: u64,
        now: Time,
    ) -> Option<Block> {
        let session = self.sessions.get(conn)?;
        let avoided = session.avoided(now);
        let may = |piece| !avoided.contains(&piece);
        let help = |piece| !self.from_one_peer.contains(&piece);
        let unfinished = self.assembly.unfinished(conn, &session.have, may, help);
        let early = unfinished.early;
        let block = if *sure { self.next_block(conn, &unfinished, &avoided, now) } else { None };
        *sure = block.is_some();
        let block = block.or_else(|| self.early_block(conn, early, &avoided, window, now));
        let block = block.or_else(|| self.steal(conn, now));
        block.or_else(|| self.take_over(conn, now))
    }

    /// Asks every peer for as much as its window takes.
    pub(super) fn fill_all(&mut self, now: Time) {
        let mut conns: SmallVec<[ConnId; 16]> = self.sessions.keys().into();
        if self.is_ending() {
            // What is left goes to who comes first: those last who have said nothing of late, and may be gone.
            let quiet = |heard: &Time| 2 * now.since(*heard) >= self.pace.patience;
            let heard = |conn: &ConnId| self.sessions.get(*conn).map(|session| session.heard);
            if conns.iter().any(|conn| heard(conn).is_some_and(|heard| quiet(&heard))) {
                conns.sort_by_key(|conn| heard(conn).filter(quiet).map(Reverse));
            }
        }
        for conn in conns {
            self.fill(conn, now);
        }
    }

    /// Blocks that `conn` will not send: others are asked for them.
    pub(super) fn take_back(
        &mut self,
        conn: ConnId,
        blocks: impl IntoIterator<Item = Block>,
        now: Time,
    ) {
        let mut any = false;
        for block in blocks {
            self.assembly.returned(block, conn);
            if self.assembly.is_untouched(block.piece) {
                self.assembly.remove(block.piece);
                self.picker.reopen(block.piece);
            }
            self.begin_anew_without_owner(block.piece, now);
            any = true;
        }
        if any {
            self.fill_all(now);
        }
    }

    /// A peer serves us no more: all it was to fetch is anybody's.
    pub(super) fn abandon(&mut self, conn: ConnId, now: Time) {
        for piece in self.assembly.abandon(conn) {
            self.assembly.remove(piece);
            self.picker.reopen(piece);
        }
        let alone: SmallVec<[u32; 4]> = self.from_one_peer.iter().copied().collect();
        alone.into_iter().for_each(|piece| self.begin_anew_without_owner(piece, now));
        self.fill_all(now);
    }

    /// A piece that is to come from one peer begins anew when that one does not send all of it: otherwise two would have sent it
    /// again, and nobody could be blamed if it is wrong again.
    fn begin_anew_without_owner(&mut self, piece: u32, now: Time) {
        let lost = self.from_one_peer.contains(&piece)
            && self.assembly.contains(piece)
            && self.assembly.owner(piece).is_none()
            && !self.assembly.is_checking(piece);
        if lost {
            self.fetch_anew(piece, now);
        }
    }

    /// Nobody need send what of `piece` was asked for; it begins anew.
    fn fetch_anew(&mut self, piece: u32, now: Time) {
        for conn in self.sessions.keys().to_vec() {
            let Some(session) = self.sessions.get(conn) else { continue };
            let asked = session.asked().map(|(_, asked)| asked.block);
            let blocks: Vec<Block> = asked.filter(|block| block.piece == piece).collect();
            blocks.into_iter().for_each(|block| self.move_away(conn, block, now));
        }
        self.begin_anew(piece, now);
    }

    /// A piece that is to come from one peer comes from `conn` instead, all of it, if it would be here much sooner.
    fn take_over(&mut self, conn: ConnId, now: Time) -> Option<Block> {
        let session = self.sessions.get(conn)?;
        let rate = session.pipeline.rate(now);
        let slow = |&piece: &u32| {
            // What is all here and looked at is nobody's to send.
            let coming = Some(piece).filter(|&piece| !self.assembly.is_checking(piece))?;
            let owner = self.assembly.owner(coming).filter(|&owner| owner != conn)?;
            let holder = self.sessions.get(owner).filter(|_| session.have.contains(piece))?;
            let whole = u64::from(self.layout.piece_len(piece));
            let own = takes(session.asked_bytes() + whole, rate) + session.pipeline.delay();
            let left = holder.owed_bytes() + self.assembly.missing_bytes(piece);
            let waits = takes(left, holder.pipeline.rate(now));
            (waits > 3 * own + GAIN_MIN).then_some(piece)
        };
        let piece = self.from_one_peer.iter().find_map(slow)?;
        self.fetch_anew(piece, now);
        self.start(conn, piece, now);
        self.assembly.next_missing(piece)
    }

    /// A peer has stalled: what it was asked for is asked of others. It may still answer.
    pub(super) fn give_up_all(&mut self, conn: ConnId, now: Time) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let ids: Vec<u64> = session.asked().map(|(id, _)| id).collect();
        session.stalled = true;
        for id in ids {
            session.give_up(id);
            self.outputs.push_back(Output::Send { conn, message: PeerMessage::Cancel { id } });
        }
        self.abandon(conn, now);
    }

    /// How many times more to ask of everybody, in parts of [`BEHIND_PIECES`].
    ///
    /// Who asks for little at a time gets less of an uplink than others do whenever its requests are late (they wait behind
    /// its own uploads), and by that asks for still less. So who falls behind its neighbours asks for more, and
    /// catches up: without this one node in twenty ended a tenth later than the rest.
    pub(super) fn arrears(&self) -> u64 {
        let fetching = || self.sessions.values().filter(|session| !session.have.is_full());
        let theirs: u64 = fetching().map(|session| u64::from(session.have.count())).sum();
        let mean = theirs.checked_div(fetching().count() as u64).unwrap_or_default();
        let lag = mean.saturating_sub(self.have.count().into());
        (BEHIND_PIECES + lag).min(BEHIND_MAX * BEHIND_PIECES)
    }

    /// How long an answer may take. On slow links, or where many share one, a block alone takes seconds; but one peer that is
    /// slower than most is not waited for any longer.
    pub(super) fn usual_patience(&self) -> Duration {
        self.patience(PATIENCE_MIN, |session| session.pipeline.slowest())
    }

    /// Twice what something `takes` at most sessions, within limits; `unknown` if it has happened at none.
    pub(super) fn patience(
        &self,
        unknown: Duration,
        takes: impl Fn(&Session) -> Option<Duration>,
    ) -> Duration {
        let took = self.sessions.values().filter_map(takes);
        let mut took: SmallVec<[Duration; 16]> = took.collect();
        took.sort_unstable();
        let median = took.get(took.len() / 2).map_or(unknown, |median| 2 * *median);
        median.clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    /// A silent peer is asked for nothing more: it owes answers, and the first that comes shows that it is back.
    pub(super) fn window(&self, session: &Session, now: Time) -> u64 {
        if session.stalled || session.silence(self.pace.patience, now).is_some() {
            return 0;
        }
        let rate = session.pipeline.rate(now);
        session.pipeline.window(self.block_bytes(session, 1, rate), rate)
    }

    /// How large the blocks are that a peer is asked for: as its link asks for it at `rate`, or so many `times` as large.
    fn block_bytes(&self, session: &Session, times: u32, rate: u64) -> u32 {
        let bytes = match self.config.block_bytes {
            0 => session.pipeline.block_bytes(times, self.layout.leaf_bytes(), rate),
            fixed => fixed,
        };
        bytes.min(self.layout.piece_bytes())
    }

    /// Asks for `block`. Says how many bytes the peer was asked for then.
    fn ask(&mut self, conn: ConnId, block: Block, now: Time) -> u64 {
        let Some(session) = self.sessions.get_mut(conn) else { return u64::MAX };
        self.assembly.asked(block, conn);
        let id = session.ask(block, now);
        session.said = now;
        let (asked, peer) = (session.asked_bytes(), session.peer.node.clone());
        self.event(Event::BlockAsked { torrent: self.info_hash, peer, block });
        let message = PeerMessage::Get { id, block: block.into() };
        self.outputs.push_back(Output::Send { conn, message });
        asked
    }

    /// A block of another piece that the peer has and that nobody else was asked for.
    fn next_block(
        &mut self,
        conn: ConnId,
        unfinished: &Unfinished,
        avoided: &[u32],
        now: Time,
    ) -> Option<Block> {
        if let Some(piece) = unfinished.orphan {
            self.assembly.adopt(piece, conn);
            return self.assembly.next_missing(piece);
        }
        let session = self.sessions.get(conn)?;
        let pick = |may: &dyn Fn(u32) -> bool| self.picker.pick(&session.have, may);
        let willing = session.refused().and_then(|refused| pick(&|piece| !refused.contains(piece)));
        if let Some(piece) = willing.or_else(|| pick(&|piece| !avoided.contains(&piece))) {
            self.start(conn, piece, now);
            return self.assembly.next_missing(piece);
        }
        // A block of a piece that another peer is sending: the piece is here sooner, and can be passed on.
        self.assembly.next_missing(unfinished.other?)
    }

    /// Whether several peers offer `piece`.
    pub(super) fn is_shared(&self, piece: u32) -> bool {
        self.picker.availability(piece) > 1
    }

    /// Whether a neighbour has everything, so that what is fetched has not come through many hands.
    pub(super) fn is_near_source(&self) -> bool {
        self.sessions.values().any(|session| session.have.is_full())
    }

    /// Begins to fetch `piece` from `conn`.
    pub(super) fn start(&mut self, conn: ConnId, piece: u32, now: Time) {
        let Some(session) = self.sessions.get(conn) else { return };
        let times = if self.is_shared(piece) {
            SHARED_BLOCKS
        } else if self.is_near_source() {
            NEAR_SOURCE_BLOCKS
        } else {
            1
        };
        let block_bytes = self.block_bytes(session, times, session.pipeline.rate(now));
        self.picker.close(piece);
        self.assembly.start(piece, block_bytes, conn);
    }

    /// Nothing is open: a block that another peer would take long to send.
    ///
    /// The peer with the longest queue, in time, gives up its last block if this one would be done with it in half
    /// that time. A peer with nothing to do at all may also double a block: whoever is first wins.
    fn steal(&mut self, conn: ConnId, now: Time) -> Option<Block> {
        let has = &self.sessions.get(conn)?.have;
        if now < self.pace.steal_from || !self.assembly.any_of(has) {
            return None;
        }
        let none_open = self.is_ending();
        let gain = if none_open { GAIN_MIN_LAST } else { GAIN_MIN };
        let lacking =
            || self.sessions.values().map(|session| session.asked().count()).sum::<usize>();
        let few = none_open && lacking() <= LAST_BLOCKS;
        let session = self.sessions.get(conn)?;
        // Who has been silent for too long is likely to stay so for as long again.
        let waits = |holder: &Session| {
            let silence = holder.silence(self.pace.patience, now).unwrap_or_default();
            let beyond = silence.saturating_sub(self.pace.patience);
            let before = if few { holder.owed_bytes() } else { holder.outstanding_bytes() };
            takes(before, holder.pipeline.rate(now)) + 2 * beyond
        };
        let mut best: Option<(Duration, ConnId, Block)> = None;
        let mut any_waits = false;
        for (other, holder) in self.sessions.iter() {
            if holder.outstanding_bytes() == 0 {
                continue;
            }
            // Of a peer that has not answered yet nothing is known, and a moment's patience is cheaper than a doubled block. Not at
            // the end: the last blocks may all wait behind what slow peers send to others.
            if !few
                && holder.pipeline.last_answer().is_none()
                && holder.silence(self.pace.patience, now).is_none()
            {
                continue;
            }
            let waits = waits(holder);
            any_waits |= waits > gain;
            let least = best.as_ref().map_or(gain, |(longest, ..)| *longest);
            if other == conn || waits <= least {
                continue;
            }
            let suits = |block: &Block| {
                session.have.contains(block.piece)
                    && !self.from_one_peer.contains(&block.piece)
                    && self.assembly.asker(*block) == Some(other)
            };
            if let Some((_, asked)) = holder.asked().rev().find(|(_, asked)| suits(&asked.block)) {
                best = Some((waits, other, asked.block));
            }
        }
        if !any_waits {
            self.pace.steal_from = now + gain / STEALS_PER_GAIN;
        }
        let (waits, holder, block) = best?;
        // Against a holder that moves, only what was seen of late counts: blocks that move to and fro are waste. Not so at the end.
        let moves = self
            .sessions
            .get(holder)
            .is_some_and(|holder| holder.silence(self.pace.patience, now).is_none());
        let pipeline = &session.pipeline;
        let rate = if moves && !few { pipeline.rate(now) } else { pipeline.hoped_rate(now) };
        let own = session.asked_bytes() + u64::from(block.len);
        let own = takes(own, rate) + session.pipeline.delay();
        if waits <= 3 * own + gain {
            return None;
        }
        self.move_away(holder, block, now);
        if !self.pace.end_game {
            self.pace.end_game = true;
            self.event(Event::EndGame { torrent: self.info_hash });
        }
        Some(block)
    }

    /// `holder` need not send `block` any more.
    pub(super) fn move_away(&mut self, holder: ConnId, block: Block, now: Time) {
        let Some(session) = self.sessions.get_mut(holder) else { return };
        if let Some(id) = session.id_of(block) {
            session.give_up(id);
            self.assembly.returned(block, holder);
            self.send(holder, PeerMessage::Cancel { id }, now);
        }
    }
}
