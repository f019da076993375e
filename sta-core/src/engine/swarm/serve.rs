//! Whom to serve: who may ask at all, how many at a time, and who has to wait.

use std::time::Duration;

use super::Swarm;
use super::fetch::PATIENCE_MAX;
use crate::engine::choker::Candidate;
use crate::engine::interface::{ConnId, Output};
use crate::engine::session::{Misbehaviour, Session, Wish};
use crate::engine::uploads::AHEAD_MAX;
use crate::model::event::Event;
use crate::model::layout::Block;
use crate::model::time::Time;
use crate::wire::peer::{PeerMessage, RejectReason};

/// A peer that serves nobody here is sent more than a piece only when nobody else was sent anything for so long: kernels hold what
/// others asked for, so that no request of theirs waits, while the uplink is busy with them.
const TAKERS_WAIT: Duration = Duration::from_millis(250);

/// Who was told to ask for something else does so within this time, unless it is far away.
const ASKS_AGAIN: Duration = Duration::from_millis(100);

impl Swarm {
    /// A peer asks for a block.
    ///
    /// # Errors
    /// If it is no block of the content.
    pub(super) fn wished(
        &mut self,
        conn: ConnId,
        wish: Wish,
        now: Time,
    ) -> Result<(), Misbehaviour> {
        let (id, piece) = (wish.id, wish.block.piece);
        let elsewhere =
            self.have.is_full() && self.uploads.redirects(conn, piece) && self.spreads(now);
        let readable = !self.storage.unreadable.contains(&piece);
        let whole = readable && self.have.contains(piece);
        let here = whole || readable && self.assembly.is_announced(piece);
        let Some(session) = self.sessions.get_mut(conn) else { return Ok(()) };
        let has_room = session.ahead() < AHEAD_MAX;
        match session.wish(wish, here, elsewhere)? {
            Some(why) => self.send(conn, PeerMessage::Reject { id, why }, now),
            None => {
                if !whole {
                    self.wished_early(conn, piece);
                }
                if has_room {
                    self.serve(Some(conn), now);
                }
            }
        }
        Ok(())
    }

    /// Whether it sends, or has just sent, what nobody else can: who asks for something else had better ask for such. Otherwise its
    /// uplink has nothing better to do than what it is asked for: others who have that may be slow, or gone, or liars.
    fn spreads(&self, now: Time) -> bool {
        let sends =
            |(conn, session): (ConnId, &Session)| session.is_sent() && self.uploads.spreads(conn);
        now.since(self.spread_at) < ASKS_AGAIN || self.sessions.iter().any(sends)
    }

    /// A peer has or offers `piece` no more: if that was the last one, it is to be spread again.
    pub(super) fn unseen_if_gone(&mut self, piece: u32) {
        if self.picker.availability(piece) == 0 {
            self.uploads.unseen(piece);
        }
    }

    /// Hands waiting requests to connections that have room. If it is known that of all connections only `changed` has room or
    /// requests that it had not before, only that one is looked at. Of time nobody tells: a peer that had to wait for
    /// [`TAKERS_WAIT`] is found when everybody is looked at, at the next tick.
    pub(super) fn serve(&mut self, changed: Option<ConnId>, now: Time) {
        let seeding = self.have.is_full();
        let allowance = u64::from(self.layout.piece_bytes());
        let taker = |s: &Session| s.choked_since.is_some() && s.up.total() > allowance;
        loop {
            let (have, assembly) = (&self.have, &self.assembly);
            let ready = |block: Block| have.contains(block.piece) || assembly.is_right(block);
            let takers_wait = now.since(self.giver_served) < TAKERS_WAIT;
            let served = |session: &Session| !(takers_wait && taker(session));
            let sessions = &mut self.sessions;
            let Some(service) = self.uploads.next(sessions, changed, seeding, served, &ready)
            else {
                return;
            };
            let Wish { id, block } = service.wish;
            if let Some(session) = self.sessions.get_mut(service.conn) {
                if !taker(session) {
                    self.giver_served = now;
                }
                session.handed(block, now);
                session.said = now;
            }
            if self.uploads.spreads(service.conn) {
                self.spread_at = now;
            }
            let (conn, torrent) = (service.conn, self.info_hash);
            let leaves = service.begins && self.layout.leaves(block.piece) > 1;
            self.outputs.push_back(Output::SendBlock { conn, id, torrent, block, leaves });
            for (conn, Wish { id, .. }) in service.elsewhere {
                self.send(conn, PeerMessage::Reject { id, why: RejectReason::Elsewhere }, now);
            }
        }
    }

    /// Looks who takes nothing of what it is sent. Otherwise what waits for a dead peer in a kernel keeps its slot, and sends whoever
    /// asks elsewhere for pieces that are with nobody but it, until the peer is missed.
    pub(super) fn look_at_uploads(&mut self, now: Time) {
        let patience = self.patience(PATIENCE_MAX, Session::slowest_sent);
        self.sessions.iter_mut().for_each(|(_, session)| session.look_at_ahead(patience, now));
    }

    /// Looks who may ask: as a round if one `is_due`, or because somebody has come.
    pub(super) fn choke_round(&mut self, is_due: bool, now: Time) {
        let candidate = |(conn, session): (ConnId, &Session)| {
            let (gives, takes) = (session.pipeline.rate(now), session.up.per_second(now));
            Candidate { conn, gives, takes }
        };
        let candidates: Vec<_> = self.sessions.iter().map(candidate).collect();
        let unchoked = self.choker.round(&candidates, is_due);
        for Candidate { conn, .. } in candidates {
            let Some(session) = self.sessions.get_mut(conn) else { continue };
            let choke = !unchoked.contains(&conn);
            if session.choking == choke {
                continue;
            }
            session.choking = choke;
            let (torrent, peer) = (self.info_hash, session.peer.node.clone());
            if choke {
                session.void_waiting();
                self.event(Event::Choked { torrent, peer });
                self.send(conn, PeerMessage::Choke, now);
            } else {
                self.event(Event::Unchoked { torrent, peer });
                self.send(conn, PeerMessage::Unchoke, now);
            }
        }
    }

    /// Looks at how many peers to serve at the same time. Who has everything is served by nobody whose rate would tell.
    pub(super) fn fit_slots(&mut self, now: Time) {
        if self.have.is_full() {
            self.uploads.set_slots(self.config.upload_slots as usize);
            return;
        }
        let rates = self.sessions.values().map(|session| session.pipeline.rate(now));
        let (givers, sum) = rates
            .filter(|rate| *rate > 0)
            .fold((0, 0), |(givers, sum), rate| (givers + 1, sum + rate));
        let served = sum.checked_div(givers).unwrap_or_default();
        let slots = self.slots.fit(self.totals.up.per_second(now), served, now);
        self.uploads.set_slots(slots);
    }
}
