//! Passing a piece on while it comes.
//!
//! An uplink serves all neighbours at once, so a piece takes long from hand to hand, and until it is whole nobody else can help
//! with it. The hash of a piece is a tree: by the hashes of its leaves, which a peer sends ahead and which are believed once
//! they lead to the hash of the piece, the first blocks are verified before the last ones are here. Peers are told that the piece
//! is `coming`, and who has nothing else to ask for asks for its blocks; each is sent once it is verified.
//!
//! Invariants: nothing is sent that was not verified. A piece is asked for early only where its first leaves are verified, so
//! that no two nodes wait for each other. Early requests have windows of their own, one piece at a time, and are never waited for
//! long.

use std::time::Duration;

use smallvec::SmallVec;

use super::fetch::IN_FLIGHT_MAX;
use super::{Phase, Swarm};
use crate::engine::interface::{ConnId, Output};
use crate::engine::session::Session;
use crate::engine::uploads::AHEAD_MAX;
use crate::model::event::Event;
use crate::model::layout::Block;
use crate::model::leaves::LeafHashes;
use crate::model::time::Time;
use crate::wire::peer::{PeerMessage, RejectReason};

/// How many windows are asked for early. With one, 64 receivers whose downlinks are twice as fast as their uplinks take 1.025 bounds,
/// with two 1.023, with all of a piece 1.015; but then faster peers cannot help with it, and with mixed rates some runs take 1.27
/// bounds instead of 1.18.
const EARLY_WINDOWS: u64 = 2;

/// A piece that takes its sender no longer is whole soon. With blocks of 256 KiB over slow links, where it takes five seconds, a swarm of
/// twelve takes up to 1.16 bounds if nobody is told of it.
const SOON_WHOLE: Duration = Duration::from_secs(2);

impl Swarm {
    /// A peer says what the leaves of a piece hash to.
    pub(super) fn leaves_told(&mut self, piece: u32, hashes: LeafHashes) {
        if self.assembly.contains(piece) && self.layout.leaves(piece) > 1 {
            let torrent = self.info_hash;
            self.outputs.push_back(Output::KeepLeaves { torrent, piece, hashes });
        }
    }

    /// A peer has asked for a block of a piece that is coming.
    pub(super) fn wished_early(&mut self, conn: ConnId, piece: u32) {
        self.assembly.wish(piece, conn);
        self.check_leaves(piece);
    }

    /// Whether it is of use to know that the first bytes of `piece`, which `conn` sends, are right: somebody has asked for them, or
    /// would if told. Where a source is near nobody is told of what several offer: who wants it has it from them as soon, unless a piece
    /// takes long.
    pub(super) fn is_of_use_early(&self, conn: ConnId, piece: u32, now: Time) -> bool {
        let is_soon_whole = || {
            let rate = self.sessions.get(conn).map_or(0, |session| session.pipeline.rate(now));
            u64::from(self.layout.piece_len(piece)) <= rate * SOON_WHOLE.as_secs()
        };
        let others_do = || self.is_shared(piece) && self.is_near_source() && is_soon_whole();
        let to_tell = !self.assembly.is_announced(piece);
        self.assembly.is_wished(piece) || (to_tell && !others_do())
    }

    /// Asks the store about leaves that it was not asked about.
    pub(super) fn check_leaves(&mut self, piece: u32) {
        if let Some(bytes) = self.assembly.leaves_to_check(piece) {
            let torrent = self.info_hash;
            self.outputs.push_back(Output::CheckLeaves { torrent, piece, bytes });
        }
    }

    /// The store has compared the first leaves of a piece with their hashes: `right` bytes are right.
    pub fn leaves_checked(&mut self, piece: u32, right: u32, now: Time) {
        if !self.assembly.leaves_answered(piece, right) {
            return;
        }
        let torrent = self.info_hash;
        self.event(Event::LeavesVerified { torrent, piece, bytes: right });
        if self.assembly.announce(piece) {
            let lacks = |(conn, session): (ConnId, &Session)| {
                (!session.offered.contains(piece)).then_some(conn)
            };
            let conns: SmallVec<[ConnId; 16]> = self.sessions.iter().filter_map(lacks).collect();
            for conn in conns {
                self.send(conn, PeerMessage::Coming { i: piece }, now);
            }
        }
        self.serve_waiting(piece, &self.assembly.wishers(piece), now);
    }

    /// More of `piece` can be sent: serves those of its `wishers` who wait for it and have room.
    pub(super) fn serve_waiting(&mut self, piece: u32, wishers: &[ConnId], now: Time) {
        for &conn in wishers {
            let waits = |s: &Session| s.ahead() < AHEAD_MAX && s.waits_for(piece, |_| true);
            if self.sessions.get(conn).is_some_and(waits) {
                self.serve(Some(conn), now);
            }
        }
    }

    /// There is nothing to ask of `conn`, which has a `window` of so many bytes, that it has: a block of `begun`, which is asked of it
    /// early, or else of the rarest piece that is coming to it.
    pub(super) fn early_block(
        &mut self,
        conn: ConnId,
        begun: Option<u32>,
        avoided: &[u32],
        window: u64,
        now: Time,
    ) -> Option<Block> {
        let session = self.sessions.get(conn)?;
        let asked = session.early_bytes(now)?;
        if asked >= EARLY_WINDOWS * window || session.outstanding_bytes() >= IN_FLIGHT_MAX {
            return None;
        }
        let piece = match begun {
            Some(piece) => piece,
            None if asked == 0 => {
                let piece =
                    self.picker.pick(&session.offered, |piece| !avoided.contains(&piece))?;
                self.start(conn, piece, now);
                piece
            }
            None => return None,
        };
        self.assembly.next_missing(piece)
    }

    /// Takes back early requests that were not answered for long.
    pub(super) fn give_up_early(&mut self, now: Time) {
        if self.phase != Phase::Fetching {
            return;
        }
        let conns: SmallVec<[ConnId; 16]> = self.sessions.keys().into();
        for conn in conns {
            let Some(session) = self.sessions.get_mut(conn) else { continue };
            let ids = session.early_in_vain(self.pace.patience, now);
            let blocks: Vec<_> = ids.iter().filter_map(|&id| session.give_up(id)).collect();
            for id in ids {
                self.send(conn, PeerMessage::Cancel { id }, now);
            }
            self.take_back(conn, blocks, now);
        }
    }

    /// `piece` is not coming after all: those who wait for it are told.
    pub(super) fn withdraw(&mut self, piece: u32, now: Time) {
        if self.assembly.is_announced(piece) {
            self.refuse_waiting(piece, now);
        }
    }

    /// Nobody is sent anything of `piece`.
    pub(super) fn refuse_waiting(&mut self, piece: u32, now: Time) {
        let conns = self.sessions.keys().to_vec();
        for conn in conns {
            while let Some(wish) =
                self.sessions.get_mut(conn).and_then(|s| s.take_waiting(piece, |_| true))
            {
                let why = RejectReason::Gone;
                self.send(conn, PeerMessage::Reject { id: wish.id, why }, now);
            }
        }
    }
}
