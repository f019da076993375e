//! The lines that are nearly all of a log, written by hand: through serde each costs ten times as much, and writing them was a
//! fifth of a run. Not a byte differs from what serde writes, and reads back.

use sta_core::model::event::{Event, Record};

use super::Kind;

/// Appends the line of what happened to a single block or piece, without the line feed. False, and nothing is written,
/// for anything else.
pub(super) fn write(Record { at, who, event }: &Record, out: &mut Vec<u8>) -> bool {
    let (torrent, what) = match event {
        Event::BlockAsked { torrent, peer, block }
        | Event::BlockSent { torrent, peer, block }
        | Event::BlockReceived { torrent, peer, block, .. } => (torrent, Ok((peer, block))),
        Event::PieceVerified { torrent, piece }
        | Event::PieceAnnounced { torrent, piece }
        | Event::LeavesVerified { torrent, piece, .. } => (torrent, Err(piece)),
        _ => return false,
    };
    number(out, "{\"at\":", at.as_nanos());
    // No name and no tag has a character that JSON escapes.
    text(out, ",\"who\":\"", who.as_str());
    text(out, "\",\"event\":\"", Kind::of_event(event).name());
    text(out, "\",\"torrent\":\"", torrent.hex().as_str());
    match what {
        Ok((peer, block)) => {
            text(out, "\",\"peer\":\"", peer.as_str());
            number(out, "\",\"block\":{\"piece\":", block.piece.into());
            number(out, ",\"offset\":", block.offset.into());
            number(out, ",\"len\":", block.len.into());
            out.push(b'}');
        }
        Err(&piece) => number(out, "\",\"piece\":", piece.into()),
    }
    match event {
        Event::BlockReceived { useful, .. } => {
            text(out, ",\"useful\":", if *useful { "true" } else { "false" });
        }
        Event::LeavesVerified { bytes, .. } => number(out, ",\"bytes\":", (*bytes).into()),
        _ => {}
    }
    out.push(b'}');
    true
}

fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(value.as_bytes());
}

fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    serde_json::to_writer(out, &value).expect("a Vec takes a number");
}

#[cfg(test)]
mod tests {
    use sta_core::model::event::{Event, Record};
    use sta_core::model::ids::InfoHash;
    use sta_core::model::layout::Block;
    use sta_core::model::time::Time;

    use super::write;

    #[test]
    fn a_line_by_hand_is_what_serde_writes() {
        let torrent = InfoHash(std::array::from_fn(|i| (i * 13) as u8));
        let peer = "seed-0.a_B".parse().expect("a name");
        for (at, piece, offset, len) in [(0, 0, 0, 1), (u64::MAX, u32::MAX, u32::MAX, u32::MAX)] {
            let block = Block { piece, offset, len };
            let peer = || std::clone::Clone::clone(&peer);
            let events = [
                Event::BlockAsked { torrent, peer: peer(), block },
                Event::BlockSent { torrent, peer: peer(), block },
                Event::BlockReceived { torrent, peer: peer(), block, useful: true },
                Event::BlockReceived { torrent, peer: peer(), block, useful: false },
                Event::LeavesVerified { torrent, piece, bytes: offset },
                Event::PieceVerified { torrent, piece },
                Event::PieceAnnounced { torrent, piece },
            ];
            for event in events {
                let record = Record { at: Time::from_nanos(at), who: peer(), event };
                let mut line = Vec::new();
                assert!(write(&record, &mut line));
                let serde = serde_json::to_string(&record).expect("no odd keys");
                assert_eq!(String::from_utf8(line).expect("text"), serde);
            }
        }
        let other = Record { at: Time::ZERO, who: peer, event: Event::NodeStopped };
        assert!(!write(&other, &mut Vec::new()));
    }
}
