//! What is kept of what happened: events, counts, progress, and which faults have touched something.

use sta_core::model::event::{Event, Record};
use sta_core::model::ids::InfoHash;
use sta_core::model::time::Time;

use super::Cluster;
use crate::flow::net::HostIx;
use crate::runlog::Kind;
use crate::scenario::network::OccurrenceIx;
use crate::scenario::plan::ContentIx;

/// Counts kept of everything, recorded or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Things that happened: messages, timers, departures.
    pub events: u64,
    /// Per host: payload bytes sent, received, and received in vain.
    pub payload: Vec<[u64; 3]>,
    /// Per host: when it was complete, the first time.
    pub complete: Vec<Option<Time>>,
    /// Per host: messages that reached it as a tracker.
    pub heard: Vec<u64>,
}

impl Cluster {
    /// How much of what it takes part in `host` has.
    pub(super) fn count_progress(&mut self, host: HostIx) {
        let count = |content: ContentIx| {
            let layout = self.contents[content].layout;
            let kept = self.machines[host as usize].disk.kept(content);
            let have = kept.into_iter().flat_map(|kept| kept.have.iter());
            [have.map(|piece| u64::from(layout.piece_len(piece))).sum(), layout.total()]
        };
        let takes = self.plans[host as usize].takes.iter().map(|take| count(take.content));
        let progress = takes.fold([0, 0], |[a, b], [have, of]: [u64; 2]| [a + have, b + of]);
        self.progress[host as usize] = progress;
        self.finished[host as usize].clear();
        if !self.plans[host as usize].takes.is_empty()
            && let Err(place) = self.incomplete.binary_search(&host)
        {
            self.incomplete.insert(place, host);
        }
    }

    /// The node has said that a torrent is complete.
    pub(super) fn finish(&mut self, host: HostIx, torrent: InfoHash) {
        let content = self.content(&torrent);
        let finished = &mut self.finished[host as usize];
        finished.extend(content);
        if finished.len() == self.plans[host as usize].takes.len()
            && let Ok(place) = self.incomplete.binary_search(&host)
        {
            self.incomplete.remove(place);
        }
    }

    /// A piece was verified.
    pub(super) fn keep(&mut self, host: HostIx, torrent: InfoHash, piece: u32) {
        let Some(content) = self.content(&torrent) else { return };
        if self.machines[host as usize].disk.keep(content, piece) {
            let length = self.contents[content].layout.piece_len(piece);
            self.progress[host as usize][0] += u64::from(length);
        }
    }

    pub(super) fn observe(&mut self, host: HostIx, event: Event) {
        self.count(host, &event);
        if Kind::of_event(&event).detail() <= self.detail {
            let who = self.machines[host as usize].id.clone();
            self.observer.take(Record { at: self.now, who, event });
        }
    }

    fn count(&mut self, host: HostIx, event: &Event) {
        let payload = &mut self.tally.payload[host as usize];
        match event {
            Event::BlockSent { block, .. } => payload[0] += u64::from(block.len),
            Event::BlockReceived { block, useful, .. } => {
                payload[1] += u64::from(block.len);
                payload[2] += if *useful { 0 } else { u64::from(block.len) };
            }
            Event::PieceVerified { torrent, piece } => self.keep(host, *torrent, *piece),
            Event::TorrentAdded { torrent, pieces, have } if have == pieces => {
                self.finish(host, *torrent);
            }
            Event::TorrentComplete { torrent, .. } => {
                self.finish(host, *torrent);
                self.tally.complete[host as usize].get_or_insert(self.now);
            }
            _ => {}
        }
    }

    /// The fault `cause`, if it is one, has touched something.
    pub(super) fn touched(&mut self, cause: Option<OccurrenceIx>) {
        if let Some(cause) = cause {
            *self.touches.entry(cause).or_default() += 1;
        }
    }

    /// How often each fault has touched something since this was last asked: messages and connections that were
    /// delayed, stopped or refused, blocks that could not be written.
    pub fn take_touches(&mut self) -> impl Iterator<Item = (OccurrenceIx, u64)> + use<> {
        std::mem::take(&mut self.touches).into_iter()
    }
}
