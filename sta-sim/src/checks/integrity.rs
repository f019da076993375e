//! Safety of the content: nothing is announced, sent or reported complete before it was verified at that node (of a piece that is
//! not whole: before its leaves were), nothing is
//! verified whose bytes never came, and what a node claims is right on its disk.
//!
//! Asked of nodes that behave as the product does. A disk that the world has corrupted may be wrong; that is the peer's
//! business to notice. A restart keeps what was verified before it, a wipe nothing (see [`Account`]). Of a run too large to
//! log its pieces, or its blocks, what is left is asked: what was logged, and what is on disks at the end.

use sta_core::model::bitfield::PieceRange;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::layout::Block;

use super::account::{About, Number};
use super::{Account, Findings, Judgement, Rule};
use crate::runlog::{Detail, Entry, Note, Noted};

/// The rule.
#[derive(Default)]
pub struct Integrity {
    findings: Findings,
    coming: Coming,
    verified: u64,
    disks: u64,
}

/// By node's number: the pieces that came to it and are not verified. What happens, happens to the latest.
#[derive(Default)]
struct Coming(Vec<Vec<Part>>);

/// What came of a piece.
#[derive(Default)]
struct Part {
    torrent: Number,
    piece: u32,
    /// Useful bytes.
    received: u64,
    /// How many bytes from its start were found right; they are never overwritten.
    right: u32,
}

impl Coming {
    /// What came to `node` of a piece.
    fn part(&mut self, node: Number, torrent: Number, piece: u32) -> &mut Part {
        let at = self.place(node, torrent, piece);
        if node as usize >= self.0.len() {
            self.0.resize_with(node as usize + 1, Vec::new);
        }
        let parts = &mut self.0[node as usize];
        let at = at.unwrap_or_else(|| {
            parts.push(Part { torrent, piece, ..Part::default() });
            parts.len() - 1
        });
        &mut parts[at]
    }

    /// How many bytes from the start of a piece were found right.
    fn right(&self, node: Number, torrent: Number, piece: u32) -> u32 {
        let at = self.place(node, torrent, piece);
        at.map_or(0, |at| self.0[node as usize][at].right)
    }

    /// The piece is here. Says what came of it before.
    fn take(&mut self, node: Number, torrent: Number, piece: u32) -> Part {
        let at = self.place(node, torrent, piece);
        at.map_or_else(Part::default, |at| self.0[node as usize].remove(at))
    }

    /// The node begins anew: what was found right no longer counts, nor do parts of pieces that came before.
    fn restarted(&mut self, node: Number, torrent: Number) {
        if let Some(parts) = self.0.get_mut(node as usize) {
            parts.retain(|part| part.torrent != torrent);
        }
    }

    fn place(&self, node: Number, torrent: Number, piece: u32) -> Option<usize> {
        let is = |part: &Part| part.torrent == torrent && part.piece == piece;
        self.0.get(node as usize)?.iter().rposition(is)
    }
}

impl Rule for Integrity {
    fn sees(&self) -> Detail {
        Detail::Blocks
    }

    fn see(&mut self, entry: &Entry, account: &Account) {
        match entry {
            Entry::Said(record) if account.honest(account.about().who) => {
                self.said(record, account);
            }
            Entry::Noted(Noted { note: Note::Disk { who, torrent, wrong, .. }, .. }) => {
                self.disk(who, torrent, wrong, account);
            }
            _ => {}
        }
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        let (verified, disks) = (self.verified, self.disks);
        self.findings.judge(match account.detail() {
            Detail::Milestones => format!("{disks} disks compared; single pieces are not logged"),
            _ => format!("{verified} pieces verified, {disks} disks compared"),
        })
    }
}

impl Integrity {
    fn said(&mut self, Record { who, event, .. }: &Record, account: &Account) {
        let About { who: node, torrent, .. } = account.about();
        match event {
            Event::PieceAnnounced { piece, .. } => {
                self.must_have(account, who, *piece, "announced");
            }
            Event::BlockSent { block, .. } => {
                if block.offset + block.len <= self.coming.right(node, torrent, block.piece) {
                    return;
                }
                self.must_have(account, who, block.piece, "sent a block of");
            }
            Event::BlockReceived { block, useful: true, .. } => {
                let Block { piece, len, .. } = *block;
                self.coming.part(node, torrent, piece).received += u64::from(len);
            }
            Event::LeavesVerified { piece, bytes, .. } => {
                self.leaves_verified(account, who, *piece, *bytes);
            }
            Event::PieceFailed { piece, .. } => {
                self.coming.part(node, torrent, *piece).received = 0;
            }
            Event::PieceVerified { piece, .. } => self.piece_verified(account, who, *piece),
            Event::TorrentComplete { .. } => {
                let missing = account
                    .part(node, torrent)
                    .map_or(u32::MAX, |part| part.have.len() - part.have.count());
                if missing > 0 {
                    self.findings.add(account, Some(who), || {
                        format!(
                            "{who} reported the torrent complete with {missing} pieces unverified"
                        )
                    });
                }
            }
            Event::TorrentAdded { have, .. } => {
                self.coming.restarted(node, torrent);
                let held = account.part(node, torrent).map_or(0, |part| part.have.count());
                if held < *have {
                    self.findings.add(account, Some(who), || {
                        format!(
                            "{who} starts with {have} pieces, but {held} were ever verified there"
                        )
                    });
                }
            }
            _ => {}
        }
    }

    fn must_have(&mut self, account: &Account, who: &NodeId, piece: u32, did: &str) {
        let About { who: node, torrent, .. } = account.about();
        if !account.has(node, torrent, piece) {
            self.findings.add(account, Some(who), || {
                format!("{who} {did} piece {piece}, which it had not verified")
            });
        }
    }

    fn leaves_verified(&mut self, account: &Account, who: &NodeId, piece: u32, bytes: u32) {
        let About { who: node, torrent, .. } = account.about();
        let part = self.coming.part(node, torrent, piece);
        // Of a piece that has begun anew less may be known for the moment, and what was right is right still.
        part.right = part.right.max(bytes);
        let received = part.received;
        if received < bytes.into() {
            self.findings.add(account, Some(who), || {
                format!(
                    "{who} verified {bytes} bytes of piece {piece} having received {received} of it"
                )
            });
        }
    }

    fn piece_verified(&mut self, account: &Account, who: &NodeId, piece: u32) {
        let About { who: node, torrent, .. } = account.about();
        self.verified += 1;
        let Part { received, .. } = self.coming.take(node, torrent, piece);
        let needed = account.layout(torrent).map_or(0, |layout| layout.piece_len(piece).into());
        if received < needed && account.detail() == Detail::Blocks {
            self.findings.add(account, Some(who), || {
                format!(
                    "{who} verified piece {piece} having received {received} of its {needed} bytes"
                )
            });
        }
    }

    fn disk(&mut self, who: &NodeId, torrent: &InfoHash, wrong: &[PieceRange], account: &Account) {
        self.disks += 1;
        let excused = account.host(who).is_none_or(|host| !host.honest || host.rotten);
        if let (Some(range), false) = (wrong.first(), excused) {
            let content = account
                .content(torrent)
                .map_or("a torrent", |content| account.plan().contents[content].name.as_str());
            self.findings.add(account, Some(who), || {
                format!(
                    "{who} claims piece {} of {content}, whose bytes on its disk are wrong",
                    range.0
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Integrity;
    use crate::checks::story::{breaks, holds};

    fn rule() -> Box<Integrity> {
        Box::default()
    }

    #[test]
    fn a_piece_is_verified_before_anything_is_done_with_it() {
        let begin = "0 seed-0 added 2/2 | 0 leech-0 added 0/2 | 1 seed-0 sent leech-0 0";
        let got = format!("{begin} | 2 leech-0 got seed-0 0");
        holds(rule(), &format!("{got} | 3 leech-0 verified 0 | 3 leech-0 announced 0"));
        breaks(
            rule(),
            &format!("{got} | 3 leech-0 announced 0 | 4 leech-0 verified 0"),
            "leech-0 announced piece 0",
        );
        breaks(
            rule(),
            &format!("{got} | 3 leech-0 sent leech-1 0"),
            "leech-0 sent a block of piece 0",
        );
        breaks(
            rule(),
            &format!("{got} | 3 leech-0 verified 0 | 4 leech-0 complete"),
            "with 1 pieces unverified",
        );
    }

    #[test]
    fn of_a_piece_that_is_not_whole_only_what_was_verified_is_sent() {
        let got = "0 leech-0 added 0/2 | 2 leech-0 got seed-0 0";
        holds(rule(), &format!("{got} | 3 leech-0 right 0 65536 | 4 leech-0 sent leech-1 0"));
        let less = format!("{got} | 3 leech-0 right 0 65535 | 4 leech-0 sent leech-1 0");
        breaks(rule(), &less, "leech-0 sent a block of piece 0");
        let other = format!("{got} | 3 leech-0 right 0 65536 | 4 leech-0 sent leech-1 1");
        breaks(rule(), &other, "leech-0 sent a block of piece 1");
        let failed = "3 leech-0 right 0 65536 | 4 leech-0 failed 0 | 5 leech-0 sent leech-1 0";
        holds(rule(), &format!("{got} | {failed}"));
        let part_again = "3 leech-0 right 0 65536 | 4 leech-0 failed 0 | 5 leech-0 got seed-0 0 \
            | 6 leech-0 right 0 16384 | 7 leech-0 sent leech-1 0";
        holds(rule(), &format!("{got} | {part_again}"));
        let anew = "3 leech-0 right 0 65536 | 4 leech-0 added 0/2 | 5 leech-0 sent leech-1 0";
        breaks(rule(), &format!("{got} | {anew}"), "leech-0 sent a block of piece 0");
        breaks(rule(), &format!("{got} | 3 leech-0 right 1 16384"), "16384 bytes of piece 1");
    }

    #[test]
    fn nothing_is_verified_whose_bytes_never_came() {
        let begin = "0 leech-0 added 0/2";
        breaks(rule(), &format!("{begin} | 1 leech-0 verified 0"), "received 0 of its 65536 bytes");
        let twice = "1 leech-0 got seed-0 0 | 2 leech-0 failed 0 | 3 leech-0 verified 0";
        breaks(rule(), &format!("{begin} | {twice}"), "received 0 of its 65536 bytes");
    }

    #[test]
    fn a_restart_keeps_what_was_verified_and_a_wipe_nothing() {
        let first =
            "0 leech-0 added 0/2 | 1 leech-0 got seed-0 0 | 2 leech-0 verified 0 | 3 leech-0 dies";
        holds(rule(), &format!("{first} | 4 leech-0 added 1/2 | 5 leech-0 sent leech-1 0"));
        breaks(
            rule(),
            &format!("{first} | 4 leech-0 added 1/2 | 5 leech-0 sent leech-1 1"),
            "piece 1",
        );
        breaks(
            rule(),
            &format!("{first} | 4 leech-0 added 0/2 | 5 leech-0 sent leech-1 0"),
            "piece 0",
        );
        breaks(
            rule(),
            &format!("{first} | 4 leech-0 disk - | 5 leech-0 added 1/2"),
            "but 0 were ever verified",
        );
    }

    /// What came of a piece before a restart was counted with what came after it.
    #[test]
    fn a_restart_keeps_nothing_of_a_piece_that_was_not_verified() {
        let story =
            "0 leech-0 added 0/2 | 1 leech-0 got seed-0 0 | 2 leech-0 dies | 3 leech-0 added 0/2";
        breaks(rule(), &format!("{story} | 4 leech-0 verified 0"), "having received 0 of its");
        holds(rule(), &format!("{story} | 4 leech-0 got seed-0 0 | 5 leech-0 verified 0"));
    }

    #[test]
    fn a_disk_is_right_unless_the_world_has_corrupted_it() {
        holds(rule(), "0 seed-0 added 2/2 | 9 seed-0 disk 0-1");
        breaks(rule(), "0 seed-0 added 2/2 | 9 seed-0 disk 0-1 wrong 1", "claims piece 1 of file");
        holds(
            rule(),
            "0 seed-0 added 2/2 | 1 fault corrupt-disk seed-0 | 9 seed-0 disk 0-1 wrong 1",
        );
        breaks(
            rule(),
            "0 seed-0 added 2/2 | 1 fault torn-write seed-0 | 9 seed-0 disk 0-1 wrong 1",
            "piece 1",
        );
    }

    #[test]
    fn what_is_not_logged_is_not_missed() {
        let pieces = "0 detail pieces | 0 leech-0 added 0/2 | 1 leech-0 verified 0";
        holds(rule(), &format!("{pieces} | 1 leech-0 announced 0"));
        breaks(rule(), &format!("{pieces} | 1 leech-0 announced 1"), "announced piece 1");
        let milestones = "0 detail milestones | 0 leech-0 added 0/2 | 1 leech-0 complete";
        holds(rule(), &format!("{milestones} | 2 leech-0 disk 0-1"));
        breaks(rule(), &format!("{milestones} | 2 leech-0 disk 0-1 wrong 1"), "claims piece 1");
    }

    #[test]
    fn who_is_told_to_misbehave_is_not_judged() {
        holds(rule(), "0 liar-0 added 0/2 | 1 liar-0 announced 1 | 2 liar-0 sent leech-0 1");
    }
}
