use std::time::Duration;

use super::{Misbehaviour, Rejected, Session, Wish};
use crate::model::bitfield::{Bitfield, PieceRange};
use crate::model::layout::{Block, Layout};
use crate::model::limits;
use crate::model::time::Time;
use crate::wire::peer::RejectReason;

const K: u32 = 1 << 10;

/// A session about ten pieces of 64 KiB.
fn session() -> Session {
    let layout = Layout::new(u64::from(640 * K), 64 * K).expect("in bounds");
    let node = "peer".parse().expect("a plain name");
    Session::new(node, ([192, 0, 2, 7], 6881).into(), layout, Time::ZERO)
}

fn block(piece: u32) -> Block {
    Block { piece, offset: 0, len: 16 * K }
}

#[test]
fn what_a_peer_has_it_is_told_with_the_next_that_it_lacks() {
    let mut session = session();
    let tell = |session: &mut Session, piece, last| session.tell(piece, last).map(|p| p.into_vec());
    session.gained(&[PieceRange(2, 4)]).expect("they exist");
    assert_eq!(tell(&mut session, 0, false), Some(vec![PieceRange::one(0)]), "it lacks it");
    assert_eq!(tell(&mut session, 3, false), None);
    assert_eq!(tell(&mut session, 2, false), None);
    assert_eq!(tell(&mut session, 9, false), Some(vec![PieceRange(2, 3), PieceRange::one(9)]));
    assert_eq!(tell(&mut session, 4, true), Some(vec![PieceRange::one(4)]), "nothing follows");
    session.gained(&[PieceRange(0, 8)]).expect("they exist");
    assert_eq!(tell(&mut session, 5, false), None);
    session.gained(&[PieceRange::one(9)]).expect("it exists");
    let both = vec![PieceRange(5, 6)];
    assert_eq!(tell(&mut session, 6, false), Some(both), "a source is told everything at once");
}

#[test]
fn data_must_have_been_asked_for() {
    let mut session = session();
    session.gained(&[PieceRange(0, 9)]).expect("they exist");
    let id = session.ask(block(3), Time::ZERO);
    assert_eq!(session.asked_bytes(), 16 << 10);
    assert_eq!(session.answered(id + 1, block(3), Time::ZERO), Err(Misbehaviour::Unasked));
    assert!(session.answered(id, block(3), Time::ZERO).is_ok());
    assert_eq!(session.asked_bytes(), 0);
    let again = session.answered(id, block(3), Time::ZERO);
    assert_eq!(again, Err(Misbehaviour::Unasked), "once is enough");
    let id = session.ask(block(3), Time::ZERO);
    let other = session.answered(id, block(4), Time::ZERO);
    assert_eq!(other, Err(Misbehaviour::Unasked), "another block than was asked for");
}

#[test]
fn what_was_on_its_way_to_a_peer_that_choked_and_unchoked_may_come() {
    let mut session = session();
    session.gained(&[PieceRange(0, 9)]).expect("they exist");
    let id = session.ask(block(3), Time::ZERO);
    session.void_asked();
    assert_eq!(session.outstanding_bytes(), 0, "it need not be answered");
    assert_eq!(session.answered(id, block(4), Time::ZERO), Err(Misbehaviour::Unasked));
    assert!(session.answered(id, block(3), Time::ZERO).is_ok());
    assert_eq!(session.answered(id, block(3), Time::ZERO), Err(Misbehaviour::Unasked), "once");
    let id = session.ask(block(3), Time::ZERO);
    session.void_asked();
    session.void_asked();
    let late = session.answered(id, block(3), Time::ZERO);
    assert_eq!(late, Err(Misbehaviour::Unasked), "two chokes later it cannot be on its way");
}

#[test]
fn what_was_given_up_may_still_come_and_is_not_counted() {
    let mut session = session();
    session.gained(&[PieceRange(0, 9)]).expect("they exist");
    let id = session.ask(block(3), Time::ZERO);
    assert_eq!(session.give_up(id), Some(block(3)));
    assert_eq!(session.give_up(id), None);
    assert_eq!(session.asked_bytes(), 0);
    assert_eq!(session.asked().count(), 0);
    assert!(session.answered(id, block(3), Time::ZERO).is_ok());
}

#[test]
fn a_rejection_returns_the_block_and_may_say_where_not_to_ask() {
    let mut session = session();
    session.gained(&[PieceRange(0, 9)]).expect("they exist");
    let soon = Time::ZERO + Duration::from_secs(2);
    let id = session.ask(block(3), Time::ZERO);
    assert_eq!(session.refused(), None);
    let rejected = session.rejected(id, RejectReason::Elsewhere, Time::ZERO);
    let expected = Rejected { block: block(3), waited: true, withdrawn: false };
    assert_eq!(rejected, Some(expected));
    assert_eq!(session.avoided(Time::ZERO), [3]);
    assert!(session.avoided(soon).is_empty());
    let refused = session.refused().expect("one");
    assert_eq!(refused.ranges(), [PieceRange::one(3)], "and that for good");
    let id = session.ask(block(4), Time::ZERO);
    let rejected = session.rejected(id, RejectReason::Gone, Time::ZERO);
    let expected = Rejected { block: block(4), waited: true, withdrawn: true };
    assert_eq!(rejected, Some(expected));
    assert!(!session.have.contains(4), "it has it no longer");
    assert_eq!(session.rejected(99, RejectReason::Gone, soon), None);
}

#[test]
fn a_choke_voids_every_request() {
    let mut session = session();
    session.gained(&[PieceRange(0, 9)]).expect("they exist");
    let first = session.ask(block(3), Time::ZERO);
    session.ask(block(4), Time::ZERO);
    session.give_up(first);
    session.void_asked();
    assert_eq!((session.asked_bytes(), session.silent_since()), (0, None));
}

#[test]
fn only_pieces_that_exist_are_believed() {
    let mut session = session();
    let new = session.gained(&[PieceRange(2, 4), PieceRange(4, 5)]).expect("they exist");
    assert_eq!(new[..], [2, 3, 4, 5].map(|piece| (piece, true)));
    for bad in [PieceRange(9, 10), PieceRange(5, 4), PieceRange(0, u32::MAX)] {
        assert_eq!(session.gained(&[bad]), Err(Misbehaviour::NoPiece), "{bad:?}");
    }
}

#[test]
fn wishes_wait_are_refused_or_end_the_session() {
    let mut session = session();
    let here = Bitfield::full(5);
    let wish = |piece| Wish { id: 1, block: block(piece) };
    assert_eq!(session.wish(wish(1), here.contains(1), false), Ok(Some(RejectReason::Choked)));
    session.choking = false;
    assert_eq!(session.wish(wish(1), here.contains(1), false), Ok(None));
    assert_eq!(session.wish(wish(7), here.contains(7), false), Ok(Some(RejectReason::Gone)));
    assert_eq!(session.wish(wish(10), here.contains(10), false), Err(Misbehaviour::NoBlock));
    let tiny = Block { len: 1, ..block(1) };
    let tiny = Wish { id: 2, block: tiny };
    assert_eq!(session.wish(tiny, true, false), Err(Misbehaviour::NoBlock), "it is no end");
    for _ in 1..limits::REQUESTS_QUEUED_MAX {
        assert_eq!(session.wish(wish(2), here.contains(2), false), Ok(None));
    }
    assert_eq!(session.wish(wish(2), here.contains(2), false), Ok(Some(RejectReason::Limit)));
    assert_eq!(session.take_waiting(1, |_| true).map(|w| w.block.piece), Some(1));
    assert_eq!(session.take_waiting(1, |_| true), None);
}

#[test]
fn silence_counts_from_the_oldest_request_or_the_last_answer() {
    let at = |secs| Time::ZERO + Duration::from_secs(secs);
    let mut session = session();
    session.gained(&[PieceRange(0, 9)]).expect("they exist");
    assert_eq!(session.silent_since(), None);
    let first = session.ask(block(1), at(1));
    session.ask(block(2), at(2));
    assert_eq!(session.silent_since(), Some(at(1)));
    let patience = Duration::from_secs(2);
    assert_eq!(session.silence(patience, at(2)), None);
    assert_eq!(session.silence(patience, at(3)), Some(patience));
    session.answered(first, block(1), at(5)).expect("asked");
    assert_eq!(session.silent_since(), Some(at(5)));
    assert_eq!(session.silence(patience, at(6)), None);
}

#[test]
fn what_is_asked_early_takes_no_room_and_is_not_waited_for_long() {
    let (mut session, second) = (session(), Duration::from_secs(1));
    session.gained(&[PieceRange(0, 2)]).expect("they exist");
    assert_eq!((session.coming(3), session.coming(3)), (Ok(true), Ok(false)));
    assert_eq!(session.coming(10), Err(Misbehaviour::NoPiece));
    assert!(!session.have.contains(3) && session.offered.contains(3));
    assert_eq!(session.early_bytes(Time::ZERO), Some(0));
    let id = session.ask(block(3), Time::ZERO);
    assert_eq!((session.asked_bytes(), session.silent_since()), (0, None));
    assert_eq!(session.early_bytes(Time::ZERO), Some(16 << 10));
    assert_eq!(session.outstanding_bytes(), 16 << 10);
    assert!(session.early_in_vain(second, Time::ZERO + second / 2).is_empty());
    assert_eq!(session.early_in_vain(second, Time::ZERO + second), [id]);
    assert_eq!(session.give_up(id), Some(block(3)));
    assert_eq!(session.early_bytes(Time::ZERO + 2 * second), None, "not again so soon");
    assert_eq!(session.early_bytes(Time::ZERO + 11 * second), Some(0));
    let new = session.gained(&[PieceRange(3, 4)]).expect("they exist");
    assert_eq!(new[..], [(3, false), (4, true)], "3 was offered before");
    session.ask(block(3), Time::ZERO);
    assert_eq!(session.asked_bytes(), 16 << 10);
}

#[test]
fn what_was_given_up_is_owed_until_it_is_answered() {
    let (mut session, at) = (session(), Time::ZERO);
    session.gained(&[PieceRange(0, 2)]).expect("they exist");
    let ids = [0, 1, 2].map(|piece| session.ask(block(piece), at));
    session.give_up(ids[0]);
    session.give_up(ids[1]);
    assert_eq!((session.outstanding_bytes(), session.owed_bytes()), (16 << 10, 48 << 10));
    session.answered(ids[0], block(0), at).expect("asked");
    session.rejected(ids[1], RejectReason::Cancelled, at);
    assert_eq!(session.owed_bytes(), 16 << 10);
    session.void_asked();
    assert_eq!(session.owed_bytes(), 0);
}
