//! Bytes of a connection, in reads of any size. Where they are cut makes no difference, what was understood can be
//! written and read again, and the decoder never holds more than a header may have.

#![no_main]

use std::fmt::Debug;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sta_core::wire::frame::{self, FrameDecoder, FrameError, FrameLimits, HEAD_BYTES, PREAMBLE};
use sta_core::wire::peer::PeerMessage;
use sta_core::wire::tracker::{FromTracker, ToTracker};

#[derive(Arbitrary, Debug)]
struct Connection {
    kind: Kind,
    /// Header, or what goes for it; bytes of body that it announces and that follow.
    frames: Vec<(Vec<u8>, u8)>,
    /// What is sent after the last frame.
    rest: Vec<u8>,
    /// Bytes of each read, again and again.
    reads: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Peer,
    ToTracker,
    FromTracker,
}

type Read<M> = (Vec<(M, Vec<u8>)>, Option<FrameError>);

/// Reads all of `bytes`, `reads` at a time.
fn read<M: DeserializeOwned>(bytes: &[u8], limits: FrameLimits, reads: &[u8]) -> Read<M> {
    let mut decoder = FrameDecoder::new(limits, 4 << 10);
    let mut sizes = reads.iter().map(|read| 1 + usize::from(*read)).cycle();
    let (mut at, mut messages) = (0, Vec::new());
    loop {
        match decoder.next_message::<M>() {
            Err(error) => return (messages, Some(error)),
            Ok(Some((message, body_len))) => {
                let mut body = vec![0; body_len];
                let held = decoder.take_body(&mut body);
                let Some(rest) = bytes.get(at..at + body_len - held) else {
                    return (messages, None);
                };
                body[held..].copy_from_slice(rest);
                at += rest.len();
                messages.push((message, body));
            }
            Ok(None) => {
                let space = decoder.space();
                assert!(!space.is_empty() && space.len() <= limits.header + HEAD_BYTES + (4 << 10));
                let wanted = sizes.next().unwrap_or(usize::MAX);
                let count = wanted.min(space.len()).min(bytes.len() - at);
                if count == 0 {
                    return (messages, None);
                }
                space[..count].copy_from_slice(&bytes[at..at + count]);
                decoder.filled(count);
                at += count;
            }
        }
    }
}

fn check<M: Serialize + DeserializeOwned + PartialEq + Debug>(
    bytes: &[u8],
    limits: FrameLimits,
    reads: &[u8],
    unknown: impl Fn(&M) -> bool,
) {
    let (messages, error) = read::<M>(bytes, limits, reads);
    assert_eq!(
        (&messages, &error),
        (&read(bytes, limits, &[]).0, &read::<M>(bytes, limits, &[]).1)
    );
    let mut written = PREAMBLE.to_vec();
    let mut known: Vec<_> = messages;
    known.retain(|(message, _)| !unknown(message));
    for (message, body) in &known {
        frame::encode(message, body.len() as u32, &mut written);
        written.extend(body);
    }
    assert_eq!((known, None), read(&written, FrameLimits { header: 1 << 30, ..limits }, &[]));
}

fuzz_target!(|connection: Connection| {
    let mut bytes = PREAMBLE.to_vec();
    for (header, body) in &connection.frames {
        bytes.extend((header.len() as u32).to_be_bytes());
        bytes.extend(u32::from(*body).to_be_bytes());
        bytes.extend(header);
        bytes.resize(bytes.len() + usize::from(*body), *body);
    }
    bytes.extend(&connection.rest);
    let reads = &connection.reads;
    match connection.kind {
        Kind::Peer => {
            check(&bytes, frame::PEER_LIMITS, reads, |m: &PeerMessage| *m == PeerMessage::Unknown)
        }
        Kind::ToTracker => {
            check(&bytes, frame::TO_TRACKER_LIMITS, reads, |m: &ToTracker| *m == ToTracker::Unknown)
        }
        Kind::FromTracker => check(&bytes, frame::FROM_TRACKER_LIMITS, reads, |m: &FromTracker| {
            *m == FromTracker::Unknown
        }),
    }
});
