//! Which of the waiting requests is served next.
//!
//! A slot is a peer that is being sent a piece, block by block; it is free again when its last block has left. With a
//! slot for every neighbour each gets the same share of the uplink, which on a regular graph is what keeps all links busy:
//! with few slots some downlinks get too many of the fat uploads and others none, and a third of the network idles. What
//! comes first, and who gets the slots when there are more peers:
//!
//! 1. a piece that has begun to go to a peer before another one;
//! 2. for a source that has not sent everything once: pieces that were sent least, then the peer that has least; for
//!    everybody else the peer that has least, then pieces that were sent least;
//! 3. the peer that was served longest ago.
//!
//! A source that has not sent everything once sees who passes on what it was given: others say that they have it. Those who do not
//! keep up share one slot until they do: their uplinks have enough to do, and a piece that only a slow peer was given reaches
//! the others long after the rest.
//!
//! Apart from that nothing ever waits for a better request: a free slot takes the best there is. It knows nothing of time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::by_conn::ByConn;
use super::interface::ConnId;
use super::session::{Session, Wish};
use crate::model::bitfield::Bitfield;
use crate::model::layout::Block;

/// Blocks handed to one connection that it has not sent yet. The kernel still holds some bytes of a block when it
/// counts as sent, so the next one follows without a pause; a second one would only delay what we ask of the peer ourselves. A
/// choke does not take them back.
pub const AHEAD_MAX: usize = 1;

/// A peer keeps up while it has fewer pieces than this that it has not passed on. Among peers of one rate nobody has so many; with
/// 10, mixed rates take up to 1.26 bounds instead of 1.16.
const KEEPS_FEW: u32 = 6;
/// And while it has fewer than so many times what the quarter who pass on best have at the most: over links that are long, or fast
/// for the size of a piece, everybody has many.
const KEEPS_TIMES: u32 = 2;

/// The slots, and what went out before.
#[derive(Debug)]
pub struct Uploads {
    slots: usize,
    active: Vec<Slot>,
    /// Somebody waits until a slot is free.
    crowded: bool,
    copies: Vec<u16>,
    /// Pieces that some peer has, or that are on their way to one.
    seen: Bitfield,
    /// Those of them that went to one peer, and that no other has or is getting.
    alone: BTreeMap<u32, Alone>,
    last: ByConn<Served>,
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    conn: ConnId,
    piece: u32,
}

impl Slot {
    fn go_on(
        self,
        sessions: &mut ByConn<Session>,
        served: impl Fn(&Session) -> bool,
        ready: &dyn Fn(Block) -> bool,
    ) -> Option<Service> {
        let room = |s: &&mut Session| s.ahead() < AHEAD_MAX && served(s);
        let wish = sessions.get_mut(self.conn).filter(room)?.take_waiting(self.piece, ready)?;
        Some(Service { conn: self.conn, wish, begins: false, elsewhere: Vec::new() })
    }
}

/// With whom a piece is that one peer alone was given.
#[derive(Clone, Copy, Debug)]
struct Alone {
    conn: ConnId,
    /// The peer has said that it has it, or that it is coming.
    arrived: bool,
}

#[derive(Clone, Copy, Debug)]
struct Served {
    piece: u32,
    turn: u64,
    /// How many pieces it has, or is getting, that nobody else has or gets.
    keeps: u32,
    /// Nobody had the piece when it began to go there, and it was coming to nobody.
    first: bool,
}

/// Those who do not keep up with passing on what they alone were given.
type Keepers = SmallVec<[ConnId; 8]>;

/// A request to serve now, and those of others that should rather look elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// Whom to serve.
    pub conn: ConnId,
    /// What.
    pub wish: Wish,
    /// Whether another piece went to this connection before.
    pub begins: bool,
    /// Requests for the same piece to reject: it is about to be there.
    pub elsewhere: Vec<(ConnId, Wish)>,
}

impl Uploads {
    /// Nothing was sent yet. `slots` peers are served at the same time.
    #[must_use]
    pub fn new(pieces: u32, slots: usize) -> Self {
        let copies = vec![0; pieces as usize];
        let seen = Bitfield::empty(pieces);
        let (alone, last) = (BTreeMap::new(), ByConn::new());
        Self { slots, active: Vec::new(), crowded: false, copies, seen, alone, last, turn: 0 }
    }

    /// From now on `slots` peers are served at the same time; what has begun is finished.
    pub const fn set_slots(&mut self, slots: usize) {
        self.slots = slots;
    }

    /// How often `piece` has begun to go out.
    #[must_use]
    pub fn copies(&self, piece: u32) -> u16 {
        self.copies.get(piece as usize).copied().unwrap_or(0)
    }

    /// The peer of `conn` has `piece`, or it is coming to it.
    pub fn seen(&mut self, piece: u32, conn: ConnId) {
        self.seen.insert(piece);
        self.passed_on(piece, conn);
        if let Some(alone) = self.alone.get_mut(&piece) {
            alone.arrived = true;
        }
    }

    /// No peer has `piece` any more, and it is coming to none.
    pub fn unseen(&mut self, piece: u32) {
        if !self.alone.contains_key(&piece) {
            self.seen.remove(piece);
        }
    }

    /// Whether nobody had the piece that last began to go to `conn`.
    #[must_use]
    pub fn spreads(&self, conn: ConnId) -> bool {
        self.last.get(conn).is_some_and(|served| served.first)
    }

    /// `conn` has `piece` or is getting it; if that is another than the one that it was given to, it has been passed on.
    fn passed_on(&mut self, piece: u32, conn: ConnId) {
        let Some(&Alone { conn: keeper, .. }) = self.alone.get(&piece) else { return };
        if keeper != conn {
            self.alone.remove(&piece);
            self.count_kept(keeper, |keeps| keeps.saturating_sub(1));
        }
    }

    fn count_kept(&mut self, conn: ConnId, count: impl Fn(u32) -> u32) {
        if let Some(served) = self.last.get_mut(conn) {
            served.keeps = count(served.keeps);
        }
    }

    /// Whether the only source should rather send `conn` elsewhere for `piece`: others have it or are getting it,
    /// while some pieces are with nobody else yet. They are what the asker should ask for.
    #[must_use]
    pub fn redirects(&self, conn: ConnId, piece: u32) -> bool {
        let continues = self.last.get(conn).is_some_and(|served| served.piece == piece);
        !self.seen.is_full() && self.seen.contains(piece) && !continues
    }

    /// A session has ended. What was on its way there may never be passed on.
    pub fn forget(&mut self, conn: ConnId) {
        self.active.retain(|slot| slot.conn != conn);
        self.last.remove(conn);
        let seen = &mut self.seen;
        self.alone.retain(|&piece, alone| {
            let stays = alone.conn != conn;
            if !stays && !alone.arrived {
                seen.remove(piece);
            }
            stays
        });
    }

    /// The next request to hand to a connection, taken from its session; `None` if every slot is busy or nothing
    /// waits. If since that was so only `changed` has got room, or requests that it had not before, nobody else need be looked
    /// at. `only_source` says that this node has every piece; who is not `served` has to wait, and so does what is not `ready`:
    /// blocks that are still coming to this node.
    pub fn next(
        &mut self,
        sessions: &mut ByConn<Session>,
        changed: Option<ConnId>,
        only_source: bool,
        served: impl Fn(&Session) -> bool,
        ready: &dyn Fn(Block) -> bool,
    ) -> Option<Service> {
        let changed = changed.filter(|_| !self.crowded);
        let spreading = only_source && !self.seen.is_full();
        let wants_nothing =
            |session: &Session| session.ahead() >= AHEAD_MAX || session.waiting().next().is_none();
        if let Some(conn) = changed
            && !spreading
            && sessions.get(conn).is_none_or(wants_nothing)
        {
            return None;
        }
        if changed.is_none() || spreading {
            self.free_slots(sessions, &served, ready);
        }
        let mut going_on = self.active.iter().filter(|slot| changed.is_none_or(|c| c == slot.conn));
        if let Some(service) = going_on.find_map(|slot| slot.go_on(sessions, &served, ready)) {
            return Some(service);
        }
        let held_back = if spreading { self.held_back() } else { Keepers::new() };
        let may = |(conn, _): &(ConnId, &Session)| !held_back.contains(conn);
        let best = match changed {
            Some(conn) => {
                let session = sessions.get(conn).map(|session| (conn, session));
                self.best(session.filter(may), spreading, &served, ready)
            }
            None => self.best(sessions.iter().filter(may), spreading, &served, ready),
        };
        let Some(slot) = best else {
            self.crowded = (self.crowded && changed.is_some()) || !held_back.is_empty();
            return None;
        };
        if self.is_full_for(slot.conn) {
            self.free_slots(sessions, &served, ready);
        }
        if self.is_full_for(slot.conn) {
            // Its turn comes when a slot has drained; until then nobody else begins anything.
            self.crowded = true;
            return None;
        }
        let held = self.active.iter().position(|held| held.conn == slot.conn);
        let wish = sessions.get_mut(slot.conn)?.take_waiting(slot.piece, ready)?;
        let begins = self.last.get(slot.conn).is_none_or(|served| served.piece != slot.piece);
        match held {
            Some(held) => self.active[held] = slot,
            None => self.active.push(slot),
        }
        self.turn += 1;
        let before = self.last.get(slot.conn);
        let (keeps, going_on) = before.map_or((0, false), |served| (served.keeps, served.first));
        let first = if begins { self.seen.insert(slot.piece) } else { going_on };
        self.last.insert(slot.conn, Served { piece: slot.piece, turn: self.turn, keeps, first });
        if begins {
            let copies = &mut self.copies[slot.piece as usize];
            *copies = copies.saturating_add(1);
            if first {
                self.alone.insert(slot.piece, Alone { conn: slot.conn, arrived: false });
                self.count_kept(slot.conn, |keeps| keeps + 1);
            }
            self.passed_on(slot.piece, slot.conn);
        }
        let redirect = begins && spreading && !self.seen.is_full();
        let elsewhere = if redirect { Self::redirected(sessions, slot) } else { Vec::new() };
        Some(Service { conn: slot.conn, wish, begins, elsewhere })
    }

    /// Slots of those who wait for nothing more of their piece, and have it all, are free; and those of peers that take nothing.
    fn free_slots(
        &mut self,
        sessions: &ByConn<Session>,
        served: impl Fn(&Session) -> bool,
        ready: &dyn Fn(Block) -> bool,
    ) {
        self.active.retain(|slot| {
            let waits = |s: &Session| served(s) && s.waits_for(slot.piece, ready);
            let goes_on = |s: &Session| !s.clogged && (s.ahead() > 0 || waits(s));
            sessions.get(slot.conn).is_some_and(goes_on)
        });
    }

    /// Who has to wait because somebody else who does not keep up has the slot that they share.
    fn held_back(&self) -> Keepers {
        let has_slot = |conn: ConnId| self.active.iter().any(|slot| slot.conn == conn);
        let mut keepers = self.keepers();
        if !keepers.iter().any(|&conn| has_slot(conn)) {
            return Keepers::new();
        }
        keepers.retain(|conn| !has_slot(*conn));
        keepers
    }

    /// Who does not keep up with passing on what it alone was given.
    fn keepers(&self) -> Keepers {
        let mut kept: SmallVec<[u32; 16]> = self.last.values().map(|served| served.keeps).collect();
        kept.sort_unstable();
        let best_quarter = kept.get(kept.len() / 4).copied().unwrap_or_default();
        let many = KEEPS_FEW.max(KEEPS_TIMES * best_quarter);
        let keeper = |(conn, served): (ConnId, &Served)| (served.keeps >= many).then_some(conn);
        self.last.iter().filter_map(keeper).collect()
    }

    /// Whether `conn` has no slot, and there is none for it.
    fn is_full_for(&self, conn: ConnId) -> bool {
        self.active.len() >= self.slots && self.active.iter().all(|held| held.conn != conn)
    }

    /// Of these sessions, what should go out next, and to whom.
    fn best<'a>(
        &self,
        sessions: impl IntoIterator<Item = (ConnId, &'a Session)>,
        spreading: bool,
        served: impl Fn(&Session) -> bool,
        ready: &dyn Fn(Block) -> bool,
    ) -> Option<Slot> {
        let mut best = None;
        for (conn, session) in sessions {
            if session.ahead() >= AHEAD_MAX || !served(session) {
                continue;
            }
            let last = self.last.get(conn);
            let mut previous = None;
            for wish in session.waiting() {
                let piece = wish.block.piece;
                if !ready(wish.block) {
                    continue;
                }
                if previous.replace(piece) == Some(piece) {
                    continue;
                }
                let begun = last.is_some_and(|served| served.piece == piece);
                let (copies, has) = (u32::from(self.copies(piece)), session.have.count());
                let most_wanted = if spreading { (copies, has) } else { (has, copies) };
                let turn = last.map_or(0, |served| served.turn);
                let key = (Reverse(begun), most_wanted, turn);
                if best.as_ref().is_none_or(|(least, _)| key < *least) {
                    best = Some((key, Slot { conn, piece }));
                }
            }
        }
        best.map(|(_, slot)| slot)
    }

    /// Takes the requests of others for the piece that now goes to `slot.conn`.
    fn redirected(sessions: &mut ByConn<Session>, slot: Slot) -> Vec<(ConnId, Wish)> {
        let mut taken = Vec::new();
        for (conn, session) in sessions.iter_mut().filter(|(conn, _)| *conn != slot.conn) {
            while let Some(wish) = session.take_waiting(slot.piece, |_| true) {
                taken.push((conn, wish));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests;
