//! Passing a piece on while it comes.
//!
//! An uplink serves all neighbours at once, so a piece takes long from hand to hand, and until it is whole nobody else can help
//! with it. The hash of a piece is a tree: by the hashes of its leaves, which a peer sends ahead and which are believed once
//! they lead to the hash of the piece, the first blocks are verified before the last ones are here. Peers are told that the piece
//! is `coming`, and who has nothing else to ask for asks for its blocks; each is sent once it is verified.
//!
//! Invariants: nothing is sent that was not verified. A piece is asked for early only where its first leaves are verified, so
//! that no two nodes wait for each other. Early requests have a window of their own, one piece at a time, and are never waited for long.

use std::time::Duration;

use super::{Phase, Swarm};
use crate::engine::interface::{ConnId, Output};
use crate::model::event::Event;
use crate::model::leaves::LeafHashes;
use crate::model::time::Time;
use crate::wire::peer::{PeerMessage, RejectReason};

/// Who has answered no early request for so long is asked for the piece no more: whom it comes from may be gone.
const EARLY_PATIENCE: Duration = Duration::from_secs(1);

impl Swarm {
    /// A peer says what the leaves of a piece hash to.
    pub(super) fn leaves_told(&mut self, piece: u32, hashes: LeafHashes) {
        if self.assembly.contains(piece) && self.layout.leaves(piece) > 1 {
            let torrent = self.info_hash;
            self.outputs.push_back(Output::KeepLeaves { torrent, piece, hashes });
        }
    }

    /// Whether it is of use to know that the first bytes of `piece` are right: nobody was told that it is coming, or somebody
    /// waits for it.
    pub(super) fn is_of_use_early(&self, piece: u32) -> bool {
        if self.assembly.is_announced(piece) {
            self.sessions.values().any(|session| session.waits_for(piece, |_| true))
        } else {
            self.sessions.values().any(|session| !session.have.contains(piece))
        }
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
        if !self.assembly.set_right(piece, right) {
            return;
        }
        let torrent = self.info_hash;
        self.event(Event::LeavesVerified { torrent, piece, bytes: right });
        if self.assembly.announce(piece) {
            let lacks = |(&conn, session): (&ConnId, &crate::engine::session::Session)| {
                (!session.have.contains(piece)).then_some(conn)
            };
            let conns: Vec<_> = self.sessions.iter().filter_map(lacks).collect();
            for conn in conns {
                self.send(conn, PeerMessage::Coming { i: piece }, now);
            }
        }
        self.serve_waiting(piece, now);
    }

    /// More of `piece` can be sent: serves those who wait for it.
    pub(super) fn serve_waiting(&mut self, piece: u32, now: Time) {
        if self.sessions.values().any(|session| session.waits_for(piece, |_| true)) {
            self.serve(None, now);
        }
    }

    /// There is nothing to ask of `conn` that it has: asks for the rarest piece that is coming to it.
    pub(super) fn ask_early(&mut self, conn: ConnId, now: Time) {
        loop {
            let Some(session) = self.sessions.get_mut(&conn) else { return };
            let Some(asked) = session.early_bytes(now) else { return };
            if asked >= Self::window(session, now) {
                return;
            }
            let begun = |owner| owner == Some(conn);
            let mut piece = self.assembly.unfinished(begun, |piece| !session.have.contains(piece));
            if piece.is_none() && asked == 0 {
                let avoided = session.avoided(now);
                piece = self.picker.pick(&session.offered, &avoided);
                piece.inspect(|&piece| self.start(conn, piece, now));
            }
            let block = piece.and_then(|piece| self.assembly.next_missing(piece));
            let Some(block) = block else { return };
            self.ask(conn, block, now);
        }
    }

    /// Takes back early requests that were not answered for long.
    pub(super) fn give_up_early(&mut self, now: Time) {
        if self.phase != Phase::Fetching {
            return;
        }
        let conns: Vec<_> = self.sessions.keys().copied().collect();
        for conn in conns {
            let Some(session) = self.sessions.get_mut(&conn) else { continue };
            let ids = session.early_in_vain(EARLY_PATIENCE, now);
            let blocks: Vec<_> = ids.iter().filter_map(|&id| session.give_up(id)).collect();
            for id in ids {
                self.send(conn, PeerMessage::Cancel { id }, now);
            }
            self.take_back(conn, blocks, now);
        }
    }

    /// `piece` is not coming after all: those who wait for it are told.
    pub(super) fn withdraw(&mut self, piece: u32, now: Time) {
        if !self.assembly.is_announced(piece) {
            return;
        }
        let conns: Vec<_> = self.sessions.keys().copied().collect();
        for conn in conns {
            while let Some(wish) =
                self.sessions.get_mut(&conn).and_then(|s| s.take_waiting(piece, |_| true))
            {
                let why = RejectReason::Gone;
                self.send(conn, PeerMessage::Reject { id: wish.id, why }, now);
            }
        }
    }
}
