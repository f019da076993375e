//! Who sent what was wrong, if several sent blocks of a piece whose hash was wrong.
//!
//! The hash of a piece does not say which block is wrong. So the store digests the blocks as they came, and once the piece is
//! right it digests the same blocks again: who sent one that has become another sent it wrong. Nobody else is blamed, whomever a
//! wrong block is sent in company with.
//!
//! Invariant: at most `SUSPECTS_MAX` pieces; of more, those that were wrong first are forgotten, and nobody is blamed for them.

use std::collections::BTreeMap;

use super::identity::Identity;
use crate::model::layout::{Block, BlockDigest};

/// Pieces of which it is remembered who sent them. Each is fetched from one peer next, so few wait long; one of the largest in the
/// smallest blocks takes 100 KiB.
const SUSPECTS_MAX: usize = 32;

/// What the store is to be asked: the digests of these blocks. The answer carries the number.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// Which question it is.
    pub number: u64,
    /// Blocks of one piece.
    pub blocks: Vec<Block>,
}

/// The pieces that were wrong.
#[derive(Debug, Default)]
pub struct Suspects {
    pieces: BTreeMap<u32, Suspect>,
    asked: u64,
}

#[derive(Debug)]
struct Suspect {
    sent: Vec<(Block, Identity)>,
    /// The latest question.
    number: u64,
    /// What the blocks were when the piece was wrong.
    wrong: Option<Vec<BlockDigest>>,
}

impl Suspects {
    /// `piece` is wrong, and these blocks of it were `sent`.
    pub fn failed(&mut self, piece: u32, sent: Vec<(Block, Identity)>) -> Question {
        self.asked += 1;
        let number = self.asked;
        let blocks = sent.iter().map(|(block, _)| *block).collect();
        self.pieces.insert(piece, Suspect { sent, number, wrong: None });
        if self.pieces.len() > SUSPECTS_MAX {
            let first = self.pieces.iter().min_by_key(|(_, suspect)| suspect.number);
            if let Some(first) = first.map(|(piece, _)| *piece) {
                self.pieces.remove(&first);
            }
        }
        Question { number, blocks }
    }

    /// `piece` is right. There is something to be asked if it was wrong before.
    pub fn verified(&mut self, piece: u32) -> Option<Question> {
        let suspect = self.pieces.get_mut(&piece)?;
        if suspect.wrong.is_none() {
            self.pieces.remove(&piece);
            return None;
        }
        self.asked += 1;
        suspect.number = self.asked;
        let blocks = suspect.sent.iter().map(|(block, _)| *block).collect();
        Some(Question { number: self.asked, blocks })
    }

    /// The answer to a question about `piece`, in the order of its blocks; none if they could not be read. Says who sent a wrong
    /// block, each once.
    pub fn answered(&mut self, piece: u32, number: u64, found: Vec<BlockDigest>) -> Vec<Identity> {
        let Some(suspect) = self.pieces.get_mut(&piece).filter(|known| known.number == number)
        else {
            return Vec::new();
        };
        if found.len() == suspect.sent.len() && suspect.wrong.is_none() {
            suspect.wrong = Some(found);
            return Vec::new();
        }
        let Some(Suspect { sent, wrong: Some(wrong), .. }) = self.pieces.remove(&piece) else {
            return Vec::new();
        };
        let differs = wrong.iter().zip(&found).map(|(wrong, right)| wrong != right);
        let mut culprits: Vec<Identity> = sent
            .into_iter()
            .zip(differs)
            .filter_map(|((_, peer), wrong)| wrong.then_some(peer))
            .collect();
        culprits.sort_unstable();
        culprits.dedup();
        culprits
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, BlockDigest, Identity, Question, SUSPECTS_MAX, Suspects};

    const WRONG: BlockDigest = [1; 32];
    const RIGHT: BlockDigest = [2; 32];

    fn peer(name: &str) -> Identity {
        Identity { node: name.parse().expect("a plain name"), host: [192, 0, 2, 1].into() }
    }

    fn sent(names: &[&str]) -> Vec<(Block, Identity)> {
        let block = |offset| Block { piece: 7, offset, len: 1 };
        (0..).zip(names).map(|(offset, name)| (block(offset), peer(name))).collect()
    }

    fn failed(suspects: &mut Suspects, names: &[&str], found: &[BlockDigest]) {
        let Question { number, blocks } = suspects.failed(7, sent(names));
        assert_eq!(blocks.len(), names.len());
        assert_eq!(suspects.answered(7, number, found.to_vec()), []);
    }

    #[test]
    fn who_sent_what_has_become_another_did_it() {
        let mut suspects = Suspects::default();
        failed(&mut suspects, &["a", "b", "a", "c"], &[WRONG, RIGHT, WRONG, RIGHT]);
        let Question { number, blocks } = suspects.verified(7).expect("it was wrong");
        assert_eq!(
            blocks,
            sent(&["a", "b", "a", "c"]).into_iter().map(|(b, _)| b).collect::<Vec<_>>()
        );
        assert_eq!(suspects.answered(7, number + 1, vec![WRONG; 4]), [], "that was not asked");
        assert_eq!(suspects.answered(7, number, vec![RIGHT; 4]), [peer("a")]);
        assert_eq!(suspects.verified(7), None, "that is settled");
    }

    #[test]
    fn nobody_is_blamed_for_what_cannot_be_read() {
        let mut suspects = Suspects::default();
        failed(&mut suspects, &["a", "b"], &[]);
        assert_eq!(suspects.verified(7), None);
        failed(&mut suspects, &["a", "b"], &[WRONG, RIGHT]);
        let Question { number, .. } = suspects.verified(7).expect("it was wrong");
        assert_eq!(suspects.answered(7, number, vec![]), []);
        assert_eq!(suspects.verified(7), None);
    }

    #[test]
    fn what_fails_again_is_asked_again() {
        let mut suspects = Suspects::default();
        let first = suspects.failed(7, sent(&["a", "b"]));
        let second = suspects.failed(7, sent(&["c", "d"]));
        assert_eq!(suspects.answered(7, first.number, vec![WRONG; 2]), [], "it is about the first");
        assert_eq!(suspects.answered(7, second.number, vec![WRONG, RIGHT]), []);
        let Question { number, .. } = suspects.verified(7).expect("it was wrong");
        assert_eq!(suspects.answered(7, number, vec![RIGHT; 2]), [peer("c")]);
    }

    #[test]
    fn a_flood_of_wrong_pieces_is_bounded() {
        let mut suspects = Suspects::default();
        for piece in 0..2 * SUSPECTS_MAX as u32 {
            let Question { number, .. } = suspects.failed(piece, sent(&["a", "b"]));
            suspects.answered(piece, number, vec![WRONG; 2]);
        }
        assert_eq!(suspects.pieces.len(), SUSPECTS_MAX);
        assert!(suspects.verified(0).is_none() && suspects.verified(63).is_some());
    }
}
