use proptest::prelude::*;

use super::{
    FROM_TRACKER_LIMITS, FrameDecoder, FrameError, PEER_LIMITS, PREAMBLE, TO_TRACKER_LIMITS,
    TRACKER_READ_BYTES, encode,
};
use crate::model::bitfield::PieceRange;
use crate::model::ids::InfoHash;
use crate::model::layout::Block;
use crate::model::limits;
use crate::wire::peer::PeerMessage;
use crate::wire::tracker::ToTracker;

/// Feeds `bytes` in portions of the given sizes (then all that is left), and gives every message with its body.
fn decode(bytes: &[u8], cuts: &[usize]) -> Result<Vec<(PeerMessage, Vec<u8>)>, FrameError> {
    let mut decoder = FrameDecoder::new(PEER_LIMITS, 64);
    let (mut rest, mut cuts, mut seen) = (bytes, cuts.iter().copied(), Vec::new());
    loop {
        while let Some((message, body_len)) = decoder.next_message()? {
            let mut body = vec![0; body_len];
            let held = decoder.take_body(&mut body);
            let (more, after) = rest.split_at((body_len - held).min(rest.len()));
            body[held..held + more.len()].copy_from_slice(more);
            rest = after;
            seen.push((message, body));
        }
        if rest.is_empty() {
            return Ok(seen);
        }
        let space = decoder.space();
        let portion = cuts.next().unwrap_or(usize::MAX).clamp(1, space.len()).min(rest.len());
        space[..portion].copy_from_slice(&rest[..portion]);
        decoder.filled(portion);
        rest = &rest[portion..];
    }
}

fn conversation(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<(PeerMessage, Vec<u8>)>) {
    let mut bytes = PREAMBLE.to_vec();
    let mut expected = Vec::new();
    for (id, body) in (0..).zip(bodies) {
        let block = Block { piece: 3, offset: 0, len: body.len() as u32 }.into();
        for (message, body) in
            [(PeerMessage::Get { id, block }, &vec![]), (PeerMessage::Data { id, block }, body)]
        {
            encode(&message, body.len() as u32, &mut bytes);
            bytes.extend_from_slice(body);
            expected.push((message, body.clone()));
        }
    }
    (bytes, expected)
}

proptest! {
    #[test]
    fn any_cut_of_the_stream_gives_the_same_messages(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        cuts in prop::collection::vec(1usize..200, 0..200),
    ) {
        let (bytes, expected) = conversation(&bodies);
        prop_assert_eq!(decode(&bytes, &cuts), Ok(expected));
    }

    #[test]
    fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..400), polite: bool) {
        if polite {
            bytes.splice(0..0, PREAMBLE.iter().copied());
        }
        let _ = decode(&bytes, &[]);
    }
}

#[test]
fn lengths_are_checked_before_anything_is_held() {
    let frame = |header: u32, body: u32| {
        let mut bytes = PREAMBLE.to_vec();
        bytes.extend(header.to_be_bytes());
        bytes.extend(body.to_be_bytes());
        bytes
    };
    assert_eq!(decode(&frame(65_537, 0), &[]), Err(FrameError::HeaderTooLong(65_537, 65_536)));
    assert_eq!(
        decode(&frame(2, u32::MAX), &[]),
        Err(FrameError::BodyTooLong(u32::MAX as usize, 16 << 20))
    );
    let mut decoder = FrameDecoder::new(FROM_TRACKER_LIMITS, 64);
    let bytes = frame(2, 1);
    decoder.space()[..bytes.len()].copy_from_slice(&bytes);
    decoder.filled(bytes.len());
    assert_eq!(decoder.next_message::<PeerMessage>(), Err(FrameError::BodyTooLong(1, 0)));
}

/// Each of thousands of connections could make a tracker keep a mebibyte of a header that never ended.
#[test]
fn a_tracker_reads_no_longer_headers_than_the_longest_honest_one() {
    let most = limits::PIECES_MAX;
    let have = (0..limits::HAVE_RANGES_MAX).map(|_| PieceRange(most - 2, most - 1)).collect();
    let torrent = InfoHash([0xff; 20]);
    let mut longest = Vec::new();
    encode(&ToTracker::Join { torrent, pieces: most, have, want: u32::MAX }, 0, &mut longest);
    assert!(longest.len() <= TO_TRACKER_LIMITS.header, "{} bytes", longest.len());
    let mut decoder = FrameDecoder::new(TO_TRACKER_LIMITS, TRACKER_READ_BYTES);
    let mut bytes = PREAMBLE.to_vec();
    bytes.extend((TO_TRACKER_LIMITS.header as u32 + 1).to_be_bytes());
    bytes.extend([0; 4]);
    decoder.space()[..bytes.len()].copy_from_slice(&bytes);
    decoder.filled(bytes.len());
    let refused = FrameError::HeaderTooLong(65_537, 65_536);
    assert_eq!(decoder.next_message::<ToTracker>(), Err(refused));
}

#[test]
fn a_length_alone_makes_nobody_allocate() {
    let mut decoder = FrameDecoder::new(FROM_TRACKER_LIMITS, TRACKER_READ_BYTES);
    let mut bytes = PREAMBLE.to_vec();
    bytes.extend((FROM_TRACKER_LIMITS.header as u32).to_be_bytes());
    bytes.extend([0; 4]);
    decoder.space()[..bytes.len()].copy_from_slice(&bytes);
    decoder.filled(bytes.len());
    assert!(matches!(decoder.next_message::<PeerMessage>(), Ok(None)));
    assert!(decoder.space().len() <= TRACKER_READ_BYTES);
}

#[test]
fn the_memory_of_a_long_header_is_given_back() {
    let mut bytes = PREAMBLE.to_vec();
    let text = "x".repeat(FROM_TRACKER_LIMITS.header - 100);
    let header = format!(r#"{{"t":"gossip","x":"{text}"}}"#);
    bytes.extend((header.len() as u32).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(header.as_bytes());
    // The first byte of another message, which may not come for long.
    bytes.push(0);
    let mut decoder = FrameDecoder::new(FROM_TRACKER_LIMITS, TRACKER_READ_BYTES);
    let (mut rest, mut largest) = (&bytes[..], 0);
    while !rest.is_empty() {
        let space = decoder.space();
        let portion = space.len().min(rest.len());
        space[..portion].copy_from_slice(&rest[..portion]);
        decoder.filled(portion);
        rest = &rest[portion..];
        largest = largest.max(decoder.buffer.len());
        while let Some((message, _)) = decoder.next_message::<PeerMessage>().expect("no garbage") {
            assert_eq!(message, PeerMessage::Unknown);
        }
    }
    assert!(largest > FROM_TRACKER_LIMITS.header / 2);
    assert_eq!(decoder.space().len(), TRACKER_READ_BYTES - 1);
    assert_eq!(decoder.buffer.capacity(), TRACKER_READ_BYTES);
}

#[test]
fn a_stranger_is_known_by_the_first_byte() {
    assert_eq!(decode(b"G", &[]), Err(FrameError::Preamble));
    assert_eq!(decode(b"STA/", &[]), Ok(vec![]));
}

#[test]
fn kinds_of_a_later_version_are_understood_as_unknown() {
    let mut bytes = PREAMBLE.to_vec();
    let header = br#"{"t":"gossip","x":[1]}"#;
    bytes.extend((header.len() as u32).to_be_bytes());
    bytes.extend(0u32.to_be_bytes());
    bytes.extend(header);
    assert_eq!(decode(&bytes, &[]), Ok(vec![(PeerMessage::Unknown, vec![])]));
}
