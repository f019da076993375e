use super::{Service, Uploads};
use crate::engine::by_conn::ByConn;
use crate::engine::interface::ConnId;
use crate::engine::session::{Session, Wish};
use crate::model::bitfield::PieceRange;
use crate::model::layout::{Block, Layout};
use crate::model::time::Time;

const K: u32 = 1 << 10;
const PIECES: u32 = 16;

type Sessions = ByConn<Session>;

fn conn(number: u32) -> ConnId {
    ConnId::accepted(number)
}

/// Peers 0, 1, … of whom peer `n` has `n` pieces and asks for both blocks of the pieces named.
fn sessions(wishes: &[&[u32]]) -> Sessions {
    let layout = Layout::new(u64::from(PIECES * 64 * K), 64 * K).expect("in bounds");
    let mut sessions = Sessions::new();
    for (number, pieces) in (0..).zip(wishes) {
        let node = format!("peer-{number}").parse().expect("a plain name");
        let mut session = Session::new(node, ([192, 0, 2, 7], 6881).into(), layout, Time::ZERO);
        session.choking = false;
        if number > 0 {
            session.gained(&[PieceRange(0, number - 1)]).expect("they exist");
        }
        for (id, &piece) in (0..).zip(*pieces) {
            for half in 0..2 {
                let block = Block { piece, offset: half * 32 * K, len: 32 * K };
                let wish = Wish { id: 2 * id + u64::from(half), block };
                assert_eq!(session.wish(wish, true, false), Ok(None));
            }
        }
        sessions.insert(conn(number), session);
    }
    sessions
}

/// Serves until nothing is left or every slot waits for its connection: who got which piece.
fn serve(uploads: &mut Uploads, sessions: &mut Sessions) -> Vec<(u32, u32)> {
    serve_as(false, uploads, sessions)
}

/// The same by a node that is, or is not, the only source.
fn serve_as(source: bool, uploads: &mut Uploads, sessions: &mut Sessions) -> Vec<(u32, u32)> {
    let mut served = Vec::new();
    while let Some(Service { conn, wish, .. }) =
        uploads.next(sessions, None, source, |_| true, &|_| true)
    {
        assert!(conn.is_accepted(), "a peer that connected");
        let number = conn.number();
        sessions.get_mut(conn).expect("it is there").handed(wish.block, Time::ZERO);
        served.push((number, wish.block.piece));
    }
    served
}

/// Every connection has sent what it held.
fn all_sent(sessions: &mut Sessions) {
    for (_, session) in sessions.iter_mut() {
        while session.sent(Time::ZERO).is_some() {}
    }
}

/// What is served, in so many turns, after each of which everything handed over has been sent.
fn in_turns(turns: usize, uploads: &mut Uploads, sessions: &mut Sessions) -> Vec<(u32, u32)> {
    let mut served = Vec::new();
    for _ in 0..turns {
        served.extend(serve(uploads, sessions));
        all_sent(sessions);
    }
    served
}

#[test]
fn a_slot_serves_a_piece_whole_and_then_the_next() {
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 1), sessions(&[&[5, 6], &[7]]));
    assert_eq!(serve(&mut uploads, &mut sessions), [(0, 5)], "one block ahead, no more");
    all_sent(&mut sessions);
    let rest = in_turns(5, &mut uploads, &mut sessions);
    assert_eq!(rest, [(0, 5), (0, 6), (0, 6), (1, 7), (1, 7)], "peer 0 has least");
}

#[test]
fn a_piece_that_was_not_sent_comes_before_one_that_was() {
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 1), sessions(&[&[5], &[5, 6], &[5]]));
    let mut order = in_turns(8, &mut uploads, &mut sessions);
    order.dedup();
    assert_eq!(order, [(0, 5), (1, 6), (1, 5), (2, 5)]);
    assert_eq!((uploads.copies(5), uploads.copies(6)), (3, 1));
}

#[test]
fn several_slots_serve_several_peers() {
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 2), sessions(&[&[5], &[6], &[7]]));
    let both = in_turns(2, &mut uploads, &mut sessions);
    assert_eq!(both, [(0, 5), (1, 6), (0, 5), (1, 6)]);
    assert_eq!(serve(&mut uploads, &mut sessions), [(2, 7)]);
}

#[test]
fn a_peer_in_need_gets_the_slot_of_one_that_has_more_once_that_has_drained() {
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 1), sessions(&[&[], &[5, 6]]));
    assert_eq!(in_turns(1, &mut uploads, &mut sessions), [(1, 5)]);
    let needy = sessions.get_mut(conn(0)).expect("it is there");
    let wish = Wish { id: 0, block: Block { piece: 7, offset: 0, len: 32 * K } };
    assert_eq!(needy.wish(wish, true, false), Ok(None));
    assert_eq!(serve(&mut uploads, &mut sessions), [(1, 5)], "what has begun is finished");
    assert_eq!(serve(&mut uploads, &mut sessions), [], "the slot drains");
    all_sent(&mut sessions);
    assert_eq!(in_turns(3, &mut uploads, &mut sessions), [(0, 7), (1, 6), (1, 6)]);
}

#[test]
fn who_has_to_wait_holds_no_slot_and_goes_on_later() {
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 1), sessions(&[&[5], &[6]]));
    assert_eq!(in_turns(1, &mut uploads, &mut sessions), [(0, 5)]);
    let waits = |session: &Session| session.peer.node.as_str() != "peer-0";
    for _ in 0..2 {
        let service =
            uploads.next(&mut sessions, None, false, waits, &|_| true).expect("a wish waits");
        assert_eq!(service.conn, conn(1));
        sessions.get_mut(conn(1)).expect("it is there").handed(service.wish.block, Time::ZERO);
        assert_eq!(
            uploads.next(&mut sessions, None, false, waits, &|_| true),
            None,
            "nothing for the other"
        );
        all_sent(&mut sessions);
    }
    assert_eq!(
        uploads.next(&mut sessions, None, false, waits, &|_| true),
        None,
        "nor when nobody else asks"
    );
    assert_eq!(in_turns(1, &mut uploads, &mut sessions), [(0, 5)], "the rest of its piece");
}

#[test]
fn only_who_has_changed_is_looked_at_unless_somebody_waits_for_a_slot() {
    let changed = |uploads: &mut Uploads, sessions: &mut Sessions, number: u32| {
        let next = uploads.next(sessions, Some(conn(number)), false, |_| true, &|_| true);
        let service = next?;
        sessions.get_mut(service.conn).expect("it is there").handed(service.wish.block, Time::ZERO);
        Some((service.conn, service.wish.block.piece))
    };
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 2), sessions(&[&[5], &[6], &[7]]));
    assert_eq!(changed(&mut uploads, &mut sessions, 1), Some((conn(1), 6)), "though 0 has less");
    assert_eq!(changed(&mut uploads, &mut sessions, 1), None, "it has its block");
    assert_eq!(serve(&mut uploads, &mut sessions), [(0, 5)], "2 would need a third slot");
    all_sent(&mut sessions);
    assert_eq!(changed(&mut uploads, &mut sessions, 0), Some((conn(1), 6)), "2 waits for a slot");
    assert_eq!(changed(&mut uploads, &mut sessions, 0), Some((conn(0), 5)));
    all_sent(&mut sessions);
    assert_eq!(changed(&mut uploads, &mut sessions, 0), Some((conn(2), 7)), "one is free");
}

#[test]
fn with_fewer_slots_what_has_begun_is_finished() {
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 2), sessions(&[&[5, 7], &[6, 7]]));
    assert_eq!(in_turns(1, &mut uploads, &mut sessions), [(0, 5), (1, 6)]);
    uploads.set_slots(1);
    assert_eq!(in_turns(1, &mut uploads, &mut sessions), [(0, 5), (1, 6)]);
    assert_eq!(in_turns(2, &mut uploads, &mut sessions), [(0, 7), (0, 7)], "one at a time");
}

#[test]
fn the_only_source_sends_the_others_elsewhere_while_something_is_unsent() {
    let (mut uploads, mut sessions) = (Uploads::new(2, 4), sessions(&[&[0], &[0], &[0]]));
    let first = uploads.next(&mut sessions, None, true, |_| true, &|_| true).expect("a wish waits");
    assert_eq!((first.conn, first.wish.block.piece), (conn(0), 0));
    let sent_away: Vec<ConnId> = first.elsewhere.iter().map(|(conn, _)| *conn).collect();
    assert_eq!(sent_away, [conn(1), conn(1), conn(2), conn(2)], "piece 1 is still unsent");
    let (mut uploads, mut sessions) = (Uploads::new(1, 4), self::sessions(&[&[0], &[0]]));
    let last = uploads.next(&mut sessions, None, true, |_| true, &|_| true).expect("a wish waits");
    assert!(last.elsewhere.is_empty(), "everything is out once: a second copy is welcome");
}

#[test]
fn what_was_on_its_way_to_a_peer_that_is_lost_is_sent_again() {
    let (mut uploads, mut sessions) = (Uploads::new(2, 4), sessions(&[&[0], &[0]]));
    uploads.next(&mut sessions, None, true, |_| true, &|_| true).expect("a wish waits");
    assert!(uploads.redirects(conn(1), 0), "the first is getting it");
    sessions.remove(conn(0));
    uploads.forget(conn(0));
    assert!(!uploads.redirects(conn(1), 0), "and never will");
    uploads.seen(0, conn(1));
    assert!(uploads.redirects(conn(1), 0), "somebody has it");
}

/// A source of whose four peers the first two were given six pieces each, the others one each. The first two now ask for another.
fn two_of_four_keep_six() -> (Uploads, Sessions) {
    let given: [&[u32]; 4] = [&[0, 1, 2, 3, 4, 5], &[6, 7, 8, 9, 10, 11], &[12], &[13]];
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 16), sessions(&given));
    while !serve_as(true, &mut uploads, &mut sessions).is_empty() {
        all_sent(&mut sessions);
    }
    for (number, piece) in [(0, 14), (1, 15)] {
        let session = sessions.get_mut(conn(number)).expect("it is there");
        for half in 0..2 {
            let block = Block { piece, offset: half * 32 * K, len: 32 * K };
            let wish = Wish { id: 100 + u64::from(half), block };
            assert_eq!(session.wish(wish, true, false), Ok(None));
        }
    }
    (uploads, sessions)
}

#[test]
fn who_does_not_pass_on_what_a_source_gave_shares_a_slot_with_others_of_that_kind() {
    let (mut uploads, mut sessions) = two_of_four_keep_six();
    let mut turn = || {
        let served = serve_as(true, &mut uploads, &mut sessions);
        all_sent(&mut sessions);
        served
    };
    assert_eq!([turn(), turn()], [[(0, 14)], [(0, 14)]], "the other waits");
    assert_eq!([turn(), turn()], [[(1, 15)], [(1, 15)]], "until that one's piece is sent");
}

#[test]
fn who_passes_on_enough_of_what_a_source_gave_has_a_slot_of_its_own_again() {
    let (mut uploads, mut sessions) = two_of_four_keep_six();
    uploads.seen(6, conn(1));
    assert_eq!(uploads.keepers().to_vec(), [conn(0), conn(1)], "it has it, and nobody else");
    uploads.seen(6, conn(2));
    assert_eq!(uploads.keepers().to_vec(), [conn(0)]);
    assert_eq!(serve_as(true, &mut uploads, &mut sessions), [(0, 14), (1, 15)]);
}

#[test]
fn when_nearly_everybody_keeps_much_nobody_has_to_wait() {
    let given: [&[u32]; 2] = [&[0, 1, 2, 3, 4, 5], &[6, 7, 8, 9, 10, 11]];
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 16), sessions(&given));
    while !serve_as(true, &mut uploads, &mut sessions).is_empty() {
        all_sent(&mut sessions);
    }
    assert!(uploads.keepers().is_empty());
}

#[test]
fn a_session_that_ends_frees_its_slot() {
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 1), sessions(&[&[5], &[6]]));
    uploads.next(&mut sessions, None, false, |_| true, &|_| true).expect("a wish waits");
    sessions.remove(conn(0));
    uploads.forget(conn(0));
    let next = uploads.next(&mut sessions, None, false, |_| true, &|_| true).expect("a wish waits");
    assert_eq!(next.conn, conn(1));
}

#[test]
fn what_the_last_holder_took_with_it_is_spread_again() {
    let (mut uploads, mut sessions) = (Uploads::new(PIECES, 4), sessions(&[&[5], &[6]]));
    uploads.seen(5, conn(1));
    uploads.seen(6, conn(1));
    assert!(uploads.redirects(conn(0), 5) && uploads.redirects(conn(0), 6));
    uploads.unseen(5);
    assert!(!uploads.redirects(conn(0), 5) && uploads.redirects(conn(0), 6));
    assert_eq!(serve_as(true, &mut uploads, &mut sessions)[0], (0, 5));
    uploads.unseen(5);
    assert!(uploads.redirects(conn(1), 5), "it is on its way to somebody");
}
