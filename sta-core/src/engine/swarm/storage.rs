//! What a block that came, a block that was stored and a piece that was checked mean.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{News, Phase, Swarm};
use crate::engine::assembly::Arrival;
use crate::engine::identity::Identity;
use crate::engine::interface::{ConnId, Output};
use crate::engine::session::Session;
use crate::engine::suspects::Question;
use crate::model::bitfield::{PieceRange, collect_ranges};
use crate::model::event::{Event, SENT_WRONG};
use crate::model::layout::{Block, BlockDigest};
use crate::model::limits;
use crate::model::status::StoreError;
use crate::model::time::Time;
use crate::wire::peer::{PeerMessage, RejectReason};
use crate::wire::tracker::TransferEvent;

/// How long a full disk, or whatever else may pass, is given before it is tried again.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Who serves offers what it could not read again after this time, which doubles every time: a read may fail for a moment, and people mend
/// disks and files while a source runs.
const OFFER_AGAIN_MIN: Duration = Duration::from_secs(30);
const OFFER_AGAIN_MAX: Duration = Duration::from_mins(10);

/// What the store has not done, and what it is doing.
#[derive(Debug)]
pub(super) struct Storage {
    /// Pieces that it could not read.
    pub unreadable: BTreeSet<u32>,
    /// Pieces of which it could not read what it last tried to. Offered again or not: a tracker is not told that they are here.
    doubtful: BTreeSet<u32>,
    /// Those of the unreadable of them that are fetched once more.
    refetched: BTreeSet<u32>,
    /// When what it could not read is offered again, and how much later the next time.
    offer_again: (Time, Duration),
    /// Until then nobody is told again that it cannot read for the moment.
    quiet_until: Time,
    /// What failed last, if that stands.
    pub failed: Option<StoreError>,
    /// Nothing is fetched until then: what failed is given time to pass.
    pub paused_until: Time,
    /// It is making the content durable.
    pub finish_asked: bool,
}

impl Storage {
    pub(super) const fn new(now: Time) -> Self {
        Self {
            unreadable: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            refetched: BTreeSet::new(),
            offer_again: (now, OFFER_AGAIN_MIN),
            quiet_until: now,
            failed: None,
            paused_until: now,
            finish_asked: false,
        }
    }
}

impl Swarm {
    /// A block has come, body and all. If it is of use, [`Output::Keep`] is among the outputs.
    pub fn block(&mut self, conn: ConnId, id: u64, block: Block, now: Time) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if let Err(misbehaviour) = session.answered(id, block, now) {
            self.close(conn, &misbehaviour.to_string(), now);
            return;
        }
        session.stalled = false;
        let (torrent, peer) = (self.info_hash, session.peer.node.clone());
        let from_another = self.from_one_peer.contains(&block.piece)
            && self.assembly.owner(block.piece) != Some(conn);
        let arrival = if from_another {
            Arrival::Useless
        } else {
            self.assembly.received(block, conn, &session.peer)
        };
        self.totals.down.add(block.len.into(), now);
        let useful = arrival != Arrival::Useless;
        self.event(Event::BlockReceived { torrent, peer, block, useful });
        match arrival {
            Arrival::Useful { other, complete } => {
                self.outputs.push_back(Output::Keep { torrent, block });
                if complete {
                    self.outputs.push_back(Output::Check { torrent, piece: block.piece });
                } else if self.is_of_use_early(conn, block.piece, now) {
                    self.check_leaves(block.piece);
                }
                if let Some(other) = other {
                    self.move_away(other, block, now);
                    self.fill(other, now);
                }
            }
            Arrival::Useless => self.totals.wasted += u64::from(block.len),
        }
        self.fill(conn, now);
    }

    /// The store cannot read a block that was to be sent as the answer to request `id`. If that will not pass, its piece is not
    /// served for a while. While the download is not over it is fetched again, once: what is written anew may be read.
    pub fn unreadable(&mut self, conn: ConnId, id: u64, why: &StoreError, now: Time) {
        let unsent = self.sessions.get_mut(conn).and_then(|session| session.unsent(now));
        let Some(Block { piece, .. }) = unsent else { return };
        let torrent = self.info_hash;
        let reason = if why.passing { RejectReason::Limit } else { RejectReason::Gone };
        self.send(conn, PeerMessage::Reject { id, why: reason }, now);
        if why.passing {
            if now >= self.storage.quiet_until {
                self.storage.quiet_until = now + STORE_RETRY;
                self.event(Event::StoreFailed { torrent, why: why.to_string(), retry: true });
            }
        } else if self.storage.unreadable.insert(piece) {
            let (at, wait) = self.storage.offer_again;
            if at <= now {
                // What has been readable for long is taken to be mended.
                let wait = if now.since(at) > OFFER_AGAIN_MAX { OFFER_AGAIN_MIN } else { wait };
                self.storage.offer_again = (now + wait, (2 * wait).min(OFFER_AGAIN_MAX));
            }
            let lost = self.phase == Phase::Fetching && self.have.contains(piece);
            let again = lost && self.storage.refetched.insert(piece);
            self.event(Event::StoreFailed { torrent, why: why.to_string(), retry: again });
            if self.storage.doubtful.insert(piece) {
                self.news.push_back(News::Changed);
            }
            self.refuse_waiting(piece, now);
            if again {
                self.have.remove(piece);
                self.picker.reopen(piece);
                self.outputs.push_back(Output::Forget { torrent, piece, keep: 0 });
                self.fill_all(now);
            }
        }
        self.serve(Some(conn), now);
    }

    /// Offers again what could not be read some time ago. If it still cannot, whoever asks first finds out.
    pub(super) fn offer_again_if_due(&mut self, now: Time) {
        if self.phase != Phase::Serving || now < self.storage.offer_again.0 {
            return;
        }
        let again = collect_ranges(std::mem::take(&mut self.storage.unreadable));
        for conn in self.sessions.keys().to_vec() {
            for ranges in again.chunks(limits::HAVE_RANGES_MAX) {
                self.send(conn, PeerMessage::Have { p: ranges.into() }, now);
            }
        }
    }

    /// A block has been read and sent: what was in doubt can be read again.
    pub(super) fn read(&mut self, block: Block) {
        if self.storage.doubtful.remove(&block.piece) {
            self.news.push_back(News::Changed);
        }
    }

    /// The pieces that are here and offered to peers, as ranges: what could not be read is, from time to time.
    pub(super) fn offered_here(&self) -> Vec<PieceRange> {
        self.have_without(&self.storage.unreadable)
    }

    /// The pieces that are here and can be read as far as is known, as ranges: what trackers are told.
    #[must_use]
    pub fn readable(&self) -> Vec<PieceRange> {
        self.have_without(&self.storage.doubtful)
    }

    fn have_without(&self, lost: &BTreeSet<u32>) -> Vec<PieceRange> {
        if lost.is_empty() {
            return self.have.ranges();
        }
        collect_ranges(self.have.iter().filter(|piece| !lost.contains(piece)))
    }

    /// The store could not write a block.
    pub fn not_written(&mut self, block: Block, why: StoreError, now: Time) {
        if self.assembly.contains(block.piece) {
            self.begin_anew(block.piece, now);
        }
        self.store_failed(why, now);
    }

    /// The store has hashed a piece, or could not.
    pub fn checked(&mut self, piece: u32, result: Result<bool, StoreError>, now: Time) {
        if !self.assembly.check_answered(piece) {
            return;
        }
        match result {
            Ok(true) => self.verified(piece, now),
            Ok(false) => {
                let sent = self.assembly.sent(piece);
                let from = self.begin_anew(piece, now);
                let torrent = self.info_hash;
                self.totals.wasted += u64::from(self.layout.piece_len(piece));
                let names = from.iter().map(|peer| peer.node.clone()).collect();
                self.event(Event::PieceFailed { torrent, piece, from: names });
                self.blame(piece, &from, sent, now);
                self.fill_all(now);
            }
            Err(failure) => {
                self.begin_anew(piece, now);
                self.store_failed(failure, now);
            }
        }
    }

    /// The store has digested blocks of a piece that was wrong.
    pub fn digested(&mut self, piece: u32, number: u64, digests: Vec<BlockDigest>, now: Time) {
        for culprit in self.suspects.answered(piece, number, digests) {
            self.ban(&culprit, SENT_WRONG, now);
        }
    }

    /// The store has made the content durable, or could not.
    pub fn finished(&mut self, result: Result<(), StoreError>, now: Time) {
        if self.phase != Phase::Finishing {
            return;
        }
        self.storage.finish_asked = false;
        if let Err(failure) = result {
            self.store_failed(failure, now);
            return;
        }
        if self.damaged(now) {
            return;
        }
        self.phase = Phase::Serving;
        self.storage.failed = None;
        let (torrent, wasted) = (self.info_hash, self.totals.wasted);
        let (up, down) = self.totals.tell();
        self.event(Event::TorrentComplete { torrent, down, up, wasted });
        let event = Some(TransferEvent::Completed);
        self.news.push_back(News::Stats { up, down, event });
        let complete = |(conn, session): (ConnId, &Session)| session.have.is_full().then_some(conn);
        let useless: Vec<_> = self.sessions.iter().filter_map(complete).collect();
        for conn in useless {
            self.close(conn, "both have everything", now);
        }
    }

    /// Goes on to make the content durable once every piece is here.
    pub(super) fn finish_if_complete(&mut self, now: Time) {
        if self.phase == Phase::Fetching && self.have.is_full() && !self.damaged(now) {
            self.phase = Phase::Finishing;
            self.ask_to_finish();
        }
    }

    /// Whether something cannot be read that was verified, so that nothing is complete; somebody is told.
    fn damaged(&mut self, now: Time) -> bool {
        let Some(piece) = self.storage.unreadable.first() else { return false };
        let path = format!("piece {piece}");
        let reason = "it was right when it was written, and cannot be read any more; look after the disk, or \
                      choose another folder"
            .to_owned();
        self.store_failed(StoreError { path, reason, passing: false }, now);
        true
    }

    fn ask_to_finish(&mut self) {
        self.storage.finish_asked = true;
        self.outputs.push_back(Output::Finish { torrent: self.info_hash });
    }

    /// Tries again to make the content durable, after a failure that may have passed.
    pub(super) fn finish_if_due(&mut self, now: Time) {
        if self.phase == Phase::Finishing
            && !self.storage.finish_asked
            && now >= self.storage.paused_until
        {
            self.ask_to_finish();
        }
    }

    fn verified(&mut self, piece: u32, now: Time) {
        let torrent = self.info_hash;
        let wishers = self.assembly.wishers(piece);
        self.assembly.remove(piece);
        self.from_one_peer.remove(&piece);
        let question = self.suspects.verified(piece);
        self.ask_for_digests(piece, question);
        self.storage.unreadable.remove(&piece);
        self.storage.doubtful.remove(&piece);
        self.have.insert(piece);
        self.pace.behind = self.arrears();
        // What failed for good is not mended by what was stored before.
        self.storage.failed.take_if(|failure| failure.passing);
        self.event(Event::PieceVerified { torrent, piece });
        self.tell_all(piece, now);
        self.event(Event::PieceAnnounced { torrent, piece });
        self.news.push_back(News::Got(piece));
        self.finish_if_complete(now);
        self.serve_waiting(piece, &wishers, now);
    }

    /// Tells every peer that `piece` is here.
    fn tell_all(&mut self, piece: u32, now: Time) {
        let complete = self.have.is_full();
        for (conn, session) in self.sessions.iter_mut() {
            if let Some(p) = session.tell(piece, complete) {
                session.said = now;
                self.outputs.push_back(Output::Send { conn, message: PeerMessage::Have { p } });
            }
        }
    }

    /// All of `piece` is to be fetched again. Says who had sent it.
    pub(super) fn begin_anew(&mut self, piece: u32, now: Time) -> Vec<Identity> {
        self.withdraw(piece, now);
        let keep = self.assembly.right(piece);
        let from = self.assembly.begin_anew(piece).into_vec();
        self.picker.reopen(piece);
        self.outputs.push_back(Output::Forget { torrent: self.info_hash, piece, keep });
        from
    }

    /// Who sent a wrong piece alone did it. Of several nobody knows which until the piece is right: it is fetched from one peer
    /// next time, so that this is soon.
    fn blame(&mut self, piece: u32, from: &[Identity], sent: Vec<(Block, Identity)>, now: Time) {
        if let [culprit] = from {
            self.ban(culprit, SENT_WRONG, now);
            return;
        }
        self.from_one_peer.insert(piece);
        let question = self.suspects.failed(piece, sent);
        self.ask_for_digests(piece, Some(question));
    }

    fn ask_for_digests(&mut self, piece: u32, question: Option<Question>) {
        if let Some(Question { number, blocks }) = question {
            let torrent = self.info_hash;
            self.outputs.push_back(Output::Digest { torrent, piece, number, blocks });
        }
    }

    /// The machine's storage failed: stop for a while if that may pass, else for good.
    fn store_failed(&mut self, failure: StoreError, now: Time) {
        let pause = if failure.passing { now + STORE_RETRY } else { Time::FAR_FUTURE };
        let news = self.storage.failed.as_ref() != Some(&failure);
        self.storage.paused_until = self.storage.paused_until.max(pause);
        if news {
            let (torrent, why, retry) = (self.info_hash, failure.to_string(), failure.passing);
            self.event(Event::StoreFailed { torrent, why, retry });
        }
        self.storage.failed = Some(failure);
    }
}
