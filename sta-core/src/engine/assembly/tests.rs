use super::{Arrival, Assembly, Unfinished};
use crate::engine::identity::Identity;
use crate::engine::interface::ConnId;
use crate::model::bitfield::Bitfield;
use crate::model::layout::{Block, Layout};

const K: u32 = 1 << 10;
const A: ConnId = ConnId::dialled(1);
const B: ConnId = ConnId::dialled(2);

fn node(name: &str) -> Identity {
    Identity { node: name.parse().expect("a plain name"), host: [192, 0, 2, 7].into() }
}

/// Two pieces of 64 KiB; the second is 20,000 bytes short. Piece 1 has begun, from A, in blocks of 16 KiB.
fn started() -> Assembly {
    let layout = Layout::new(u64::from(128 * K - 20_000), 64 * K).expect("in bounds");
    let mut assembly = Assembly::new(layout);
    assembly.start(1, 16 * K, A);
    assembly
}

/// Which piece is fetched from `owner`, or has been given up.
fn owned_by(assembly: &Assembly, owner: Option<ConnId>) -> Option<u32> {
    let has = Bitfield::full(2);
    match owner {
        Some(owner) => assembly.own(owner, &has),
        None => unfinished(assembly, B, &has).orphan,
    }
}

/// What `conn`, which `has` some pieces, might be asked for, if it may send all of them.
fn unfinished(assembly: &Assembly, conn: ConnId, has: &Bitfield) -> Unfinished {
    assembly.unfinished(conn, has, |_| true, |_| true)
}

fn block(offset: u32, len: u32) -> Block {
    Block { piece: 1, offset, len }
}

#[test]
fn blocks_are_asked_in_order_and_the_last_is_short() {
    let mut assembly = started();
    for expected in [block(0, 16 * K), block(16 * K, 16 * K), block(32 * K, 12_768)] {
        assert_eq!(assembly.next_missing(1), Some(expected));
        assembly.asked(expected, A);
    }
    assert_eq!(assembly.next_missing(1), None);
    assert_eq!(assembly.next_missing(0), None, "piece 0 has not begun");
}

#[test]
fn the_last_block_completes_the_piece() {
    let mut assembly = started();
    let blocks = [block(0, 16 * K), block(16 * K, 16 * K), block(32 * K, 12_768)];
    for (index, b) in blocks.into_iter().enumerate() {
        assembly.asked(b, A);
        let arrival = assembly.received(b, A, &node("a"));
        assert_eq!(arrival, Arrival::Useful { other: None, complete: index == 2 });
    }
    assert!(assembly.check_answered(1));
    assert!(!assembly.check_answered(1), "it was asked once");
    assert_eq!(assembly.begin_anew(1).as_slice(), [node("a")]);
}

#[test]
fn a_second_copy_is_useless_and_who_was_asked_for_it_is_named() {
    let mut assembly = started();
    assembly.asked(block(0, 16 * K), B);
    assembly.returned(block(0, 16 * K), B);
    assembly.asked(block(0, 16 * K), A);
    assert_eq!(assembly.asker(block(0, 16 * K)), Some(A));
    let first = assembly.received(block(0, 16 * K), B, &node("b"));
    assert_eq!(first, Arrival::Useful { other: Some(A), complete: false });
    assert_eq!(assembly.asker(block(0, 16 * K)), None);
    assert_eq!(assembly.received(block(0, 16 * K), A, &node("a")), Arrival::Useless);
}

#[test]
fn what_is_no_block_of_ours_is_useless() {
    let mut assembly = started();
    for odd in [block(1, 16 * K), block(0, 8 * K), block(48 * K, 16 * K), block(64 * K, 1)] {
        assert_eq!(assembly.received(odd, A, &node("a")), Arrival::Useless, "{odd:?}");
    }
}

#[test]
fn a_returned_block_is_missing_again_and_its_piece_an_orphan() {
    let mut assembly = started();
    assert_eq!(owned_by(&assembly, Some(A)), Some(1));
    assembly.asked(block(0, 16 * K), B);
    assembly.returned(block(0, 16 * K), A);
    assert_eq!(assembly.next_missing(1), Some(block(16 * K, 16 * K)), "B was asked for block 0");
    assembly.returned(block(0, 16 * K), B);
    assert_eq!(assembly.next_missing(1), Some(block(0, 16 * K)));
    assembly.asked(block(0, 16 * K), A);
    assembly.returned(block(0, 16 * K), A);
    assert_eq!(owned_by(&assembly, None), Some(1));
    assembly.adopt(1, B);
    assert_eq!(owned_by(&assembly, Some(B)), Some(1));
}

#[test]
fn what_a_lost_peer_had_not_even_been_asked_for_is_anybodys_too() {
    let mut assembly = started();
    assembly.asked(block(0, 16 * K), A);
    assembly.received(block(0, 16 * K), A, &node("a"));
    assert_eq!(owned_by(&assembly, None), None);
    assert!(assembly.abandon(A).is_empty(), "a block of it is here");
    assert_eq!(owned_by(&assembly, None), Some(1));
    let mut assembly = started();
    assembly.asked(block(0, 16 * K), A);
    assert_eq!(assembly.abandon(A), [1], "nothing is left of it");
}

#[test]
fn pieces_are_told_apart_by_who_sends_them_and_who_has_them() {
    let mut assembly = started();
    let (none, all) = (Bitfield::empty(2), Bitfield::full(2));
    let found = unfinished(&assembly, A, &none);
    assert_eq!((assembly.own(A, &none), found.early), (None, Some(1)));
    let found = unfinished(&assembly, A, &all);
    assert_eq!((assembly.own(A, &all), found.early), (Some(1), None));
    assert_eq!(found.other, None, "it is its own");
    let found = unfinished(&assembly, B, &all);
    assert_eq!((found.orphan, found.other), (None, Some(1)));
    assert_eq!((assembly.own(B, &all), found.early), (None, None));
    assert_eq!(assembly.unfinished(B, &all, |piece| piece != 1, |_| true).other, None);
    assert_eq!(assembly.unfinished(B, &all, |_| true, |piece| piece != 1).other, None);
    for at in 0..3 {
        assembly.asked(block(at * 16 * K, if at < 2 { 16 * K } else { 12_768 }), A);
    }
    assert_eq!(assembly.own(A, &all), None, "nothing is missing");
}

#[test]
fn leaves_are_looked_at_from_the_start_once_each() {
    let mut assembly = started();
    let arrive = |assembly: &mut Assembly, at, len| {
        assembly.received(block(at, len), A, &node("a"));
        assembly.leaves_to_check(1)
    };
    assert_eq!(arrive(&mut assembly, 16 * K, 16 * K), None, "the first is not here");
    assert_eq!(arrive(&mut assembly, 0, 16 * K), Some(32 * K));
    assert_eq!(assembly.leaves_to_check(1), None);
    assert!(!assembly.is_right(block(0, 16 * K)));
    assert!(!assembly.leaves_answered(1, 48 * K), "more than was asked");
    assert!(assembly.leaves_answered(1, 16 * K));
    assert!(!assembly.leaves_answered(1, 16 * K), "nothing new");
    assert!(assembly.is_right(block(0, 16 * K)) && !assembly.is_right(block(1, 16 * K)));
    assert_eq!(assembly.right(1), 16 * K);
    assert!(assembly.announce(1) && !assembly.announce(1) && assembly.is_announced(1));
    assert!(!assembly.is_wished(1));
    assembly.wish(1, B);
    assembly.wish(1, B);
    assert!(assembly.is_wished(1) && assembly.wishers(1)[..] == [B]);
    assert_eq!(arrive(&mut assembly, 32 * K, 12_768), None, "it is judged whole");
}

/// A disk that could not write a block has other answers about the piece under way. Taken for answers about the new attempt, they
/// had a piece called whole while its bytes were still being written (found by fuzzing).
#[test]
fn what_the_store_says_of_an_attempt_given_up_does_not_count() {
    let mut assembly = started();
    let arrive_all = |assembly: &mut Assembly| {
        for (at, len) in [(0, 16 * K), (16 * K, 16 * K), (32 * K, 12_768)] {
            assembly.received(block(at, len), A, &node("a"));
            assembly.leaves_to_check(1);
        }
    };
    arrive_all(&mut assembly);
    assembly.begin_anew(1);
    assembly.start(1, 16 * K, A);
    arrive_all(&mut assembly);
    for _ in 0..2 {
        assert!(!assembly.leaves_answered(1, 16 * K), "of the first attempt");
    }
    assert!(assembly.leaves_answered(1, 16 * K), "of the second");
    assert!(!assembly.check_answered(1), "of the first attempt");
    assert!(assembly.check_answered(1), "of the second");
}
