//! What travels between hosts in place of bytes, and how many bytes that would be.

use std::io;

use serde::Serialize;
use sta_core::model::bitfield::PieceRange;
use sta_core::model::layout::Block;
use sta_core::model::metainfo::BLAKE3_BYTES;
use sta_core::wire::frame::{HEAD_BYTES, PREAMBLE};
use sta_core::wire::peer::{PeerMessage, WireBlock};
use sta_core::wire::tracker::{FromTracker, ToTracker};

/// A frame. Small, because a great many are under way at a time: what is frequent lies here as numbers, the rest elsewhere.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    /// A `get` message.
    Get { id: u64, block: Block },
    /// A `have` message about one piece.
    Have(u32),
    /// A `coming` message.
    Coming(u32),
    /// A `data` message.
    Block {
        id: u64,
        block: Block,
        /// Whether the bytes are other than the content's.
        wrong: bool,
        /// Of how many leaves it says the hashes, in a `leaves` message that goes before it; 0 without one.
        leaves: u16,
    },
    /// Another from a node to a node.
    Peer(Box<PeerMessage>),
    /// From a node to a tracker.
    ToTracker(Box<ToTracker>),
    /// From a tracker to a node.
    FromTracker(Box<FromTracker>),
}

impl From<PeerMessage> for Letter {
    fn from(message: PeerMessage) -> Self {
        match message {
            PeerMessage::Get { id, block } => Self::Get { id, block: block.into() },
            PeerMessage::Coming { i } => Self::Coming(i),
            PeerMessage::Have { p } if matches!(&p[..], [PieceRange(a, b)] if a == b) => {
                Self::Have(p[0].0)
            }
            message => Self::Peer(Box::new(message)),
        }
    }
}

impl Letter {
    /// Its size on the wire.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Get { id, block } => about_block("get", *id, (*block).into()),
            Self::Have(piece) => about_have(&[PieceRange::one(*piece)]),
            Self::Coming(piece) => text_bytes(r#"{"t":"coming","i":}"#, &[*piece]),
            Self::Block { id, block, leaves, .. } => {
                let data = about_block("data", *id, (*block).into()) + u64::from(block.len);
                data + if *leaves == 0 { 0 } else { about_leaves(block.piece, *leaves) }
            }
            Self::Peer(message) => match &**message {
                hello @ PeerMessage::Hello { .. } => PREAMBLE.len() as u64 + frame(hello),
                PeerMessage::Have { p } => about_have(p),
                message => frame(message),
            },
            Self::ToTracker(message) => frame(message),
            Self::FromTracker(message) => frame(message),
        }
    }
}

/// Bytes of the frame that is `text` with `numbers` in it: nearly all messages are such, and counting digits is faster than
/// writing them.
fn text_bytes(text: &str, numbers: &[impl Into<u64> + Copy]) -> u64 {
    let digits =
        |&number: &_| u64::from(Into::<u64>::into(number).checked_ilog10().unwrap_or(0) + 1);
    (text.len() + HEAD_BYTES) as u64 + numbers.iter().map(digits).sum::<u64>()
}

/// The same for a message about a block.
fn about_block(kind: &str, id: u64, WireBlock { i, o, n }: WireBlock) -> u64 {
    let text = r#"{"t":"","id":,"i":,"o":,"n":}"#;
    kind.len() as u64 + text_bytes(text, &[id, i.into(), o.into(), n.into()])
}

/// The same for ranges of pieces.
fn about_have(ranges: &[PieceRange]) -> u64 {
    let range = |&PieceRange(first, last): &_| text_bytes("[,]", &[first, last]);
    let commas = ranges.len().saturating_sub(1) as u64;
    let head = HEAD_BYTES as u64;
    let inside = ranges.iter().map(|r| range(r) - head).sum::<u64>() + commas;
    text_bytes(r#"{"t":"have","p":[]}"#, &[0_u32; 0]) + inside
}

/// The same for the hashes of so many leaves.
fn about_leaves(piece: u32, leaves: u16) -> u64 {
    let base64 = (usize::from(leaves) * BLAKE3_BYTES).div_ceil(3) as u64 * 4;
    text_bytes(r#"{"t":"leaves","i":,"h":""}"#, &[piece]) + base64
}

/// Bytes of the frame that `message` is, without a body.
fn frame(message: &impl Serialize) -> u64 {
    let mut counter = Counter(HEAD_BYTES as u64);
    serde_json::to_writer(&mut counter, message).expect("messages serialise, and counting works");
    counter.0
}

/// Counts what is written.
struct Counter(u64);

impl io::Write for Counter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0 += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::{BLAKE3_BYTES, Letter, PeerMessage, PieceRange};
    use sta_core::model::layout::Block;
    use sta_core::model::leaves::LeafHashes;
    use sta_core::wire::frame::encode;

    #[test]
    fn a_letter_is_as_long_as_its_frame() {
        for (id, piece, offset, len) in [
            (12_345, 17, 262_144, 16_384),
            (0, 0, 0, 1),
            (9, 10, 99, 100),
            (u64::MAX, u32::MAX, u32::MAX, u32::MAX),
        ] {
            let block = Block { piece, offset, len };
            let messages = [
                PeerMessage::Get { id, block: block.into() },
                PeerMessage::Have { p: smallvec![PieceRange::one(piece)] },
                PeerMessage::Have { p: smallvec![PieceRange(0, piece)] },
                PeerMessage::Have { p: smallvec![PieceRange::one(piece), PieceRange(0, 4)] },
                PeerMessage::Coming { i: piece },
                PeerMessage::Cancel { id },
            ];
            let mut frame = Vec::new();
            for message in messages {
                frame.clear();
                encode(&message, 0, &mut frame);
                assert_eq!(
                    Letter::from(message.clone()).bytes(),
                    frame.len() as u64,
                    "{message:?}"
                );
            }
            frame.clear();
            encode(&PeerMessage::Data { id, block: block.into() }, block.len, &mut frame);
            let leaves = id as u16 % 65;
            let data = Letter::Block { id, block, wrong: false, leaves };
            if leaves > 0 {
                let h = LeafHashes::new(vec![7; usize::from(leaves) * BLAKE3_BYTES]);
                encode(&PeerMessage::Leaves { i: piece, h }, 0, &mut frame);
            }
            assert_eq!(data.bytes(), frame.len() as u64 + u64::from(len));
        }
    }

    #[test]
    fn a_letter_is_small() {
        assert!(size_of::<Letter>() <= 24, "{}", size_of::<Letter>());
    }
}
