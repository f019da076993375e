//! What travels between hosts in place of bytes, and how many bytes that would be.

use std::io;

use serde::Serialize;
use sta_core::model::layout::Block;
use sta_core::model::leaves::LeafHashes;
use sta_core::wire::frame::{HEAD_BYTES, PREAMBLE};
use sta_core::wire::peer::{PeerMessage, WireBlock};
use sta_core::wire::tracker::{FromTracker, ToTracker};

/// A frame.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    /// From a node to a node, without a body.
    Peer(PeerMessage),
    /// A `data` message.
    Block {
        id: u64,
        block: Block,
        /// Whether the bytes are other than the content's.
        wrong: bool,
    },
    /// From a node to a tracker.
    ToTracker(ToTracker),
    /// From a tracker to a node.
    FromTracker(FromTracker),
}

impl Letter {
    /// Its size on the wire.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Peer(hello @ PeerMessage::Hello { .. }) => PREAMBLE.len() as u64 + frame(hello),
            Self::Peer(PeerMessage::Get { id, block }) => about_block("get", *id, *block),
            Self::Peer(PeerMessage::Leaves { i, h }) => about_leaves(*i, h),
            Self::Peer(message) => frame(message),
            Self::Block { id, block, .. } => {
                about_block("data", *id, (*block).into()) + u64::from(block.len)
            }
            Self::ToTracker(message) => frame(message),
            Self::FromTracker(message) => frame(message),
        }
    }
}

/// The same for a message about a block, by counting digits: nearly all messages are such.
fn about_block(kind: &str, id: u64, WireBlock { i, o, n }: WireBlock) -> u64 {
    let digits = |number: u64| u64::from(number.checked_ilog10().unwrap_or(0) + 1);
    let numbers = [id, i.into(), o.into(), n.into()];
    let text = r#"{"t":"","id":,"i":,"o":,"n":}"#.len() + kind.len() + HEAD_BYTES;
    text as u64 + numbers.map(digits).iter().sum::<u64>()
}

/// The same for the hashes of leaves, without writing them out.
fn about_leaves(piece: u32, hashes: &LeafHashes) -> u64 {
    let digits = u64::from(piece.checked_ilog10().unwrap_or(0) + 1);
    let text = r#"{"t":"leaves","i":,"h":""}"#.len() + HEAD_BYTES;
    text as u64 + digits + hashes.as_bytes().len().div_ceil(3) as u64 * 4
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
    use super::{LeafHashes, Letter, PeerMessage};
    use sta_core::model::layout::Block;
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
            let get = PeerMessage::Get { id, block: block.into() };
            let mut frame = Vec::new();
            encode(&get, 0, &mut frame);
            assert_eq!(Letter::Peer(get).bytes(), frame.len() as u64);
            frame.clear();
            let leaves =
                PeerMessage::Leaves { i: piece, h: LeafHashes::new(vec![7; id as usize % 999]) };
            encode(&leaves, 0, &mut frame);
            assert_eq!(Letter::Peer(leaves).bytes(), frame.len() as u64);
            frame.clear();
            encode(&PeerMessage::Data { id, block: block.into() }, block.len, &mut frame);
            let data = Letter::Block { id, block, wrong: false };
            assert_eq!(data.bytes(), frame.len() as u64 + u64::from(len));
        }
    }
}
