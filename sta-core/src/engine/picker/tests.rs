use proptest::prelude::*;

use super::Picker;
use crate::model::bitfield::Bitfield;
use crate::model::rng::Seed;

/// A set of pieces from a row of digits: `"1101"` has pieces 0, 1 and 3.
fn set(row: &str) -> Bitfield {
    let mut set = Bitfield::empty(row.len() as u32);
    for (piece, digit) in (0..).zip(row.bytes()) {
        if digit == b'1' {
            set.insert(piece);
        }
    }
    set
}

/// A picker from two rows: what is here, and how many peers have each piece.
fn picker(have: &str, copies: &str) -> Picker {
    let mut picker = Picker::new(&set(have), &mut Seed(1).stream("picker"));
    for (piece, digit) in (0..).zip(copies.bytes()) {
        for _ in b'0'..digit {
            picker.gained(piece);
        }
    }
    picker
}

#[test]
fn the_rarest_piece_that_the_peer_has() {
    // (here, copies, offered) -> picked
    let table = [
        (("00000", "32123", "11111"), Some(2)),
        (("00100", "32133", "11111"), Some(1)),
        (("00000", "32123", "10001"), None),
        (("00000", "32124", "10001"), Some(0)),
        (("11111", "11111", "11111"), None),
        (("00000", "11111", "00000"), None),
    ];
    for ((here, copies, offered), picked) in table {
        let choice = picker(here, copies).pick(&set(offered), |_| true);
        match picked {
            Some(_) => assert_eq!(choice, picked, "{here} {copies} {offered}"),
            None if here == "00000" && offered != "00000" => assert!(choice.is_some()),
            None => assert_eq!(choice, None, "{here} {copies} {offered}"),
        }
    }
}

#[test]
fn ties_fall_differently_at_different_nodes() {
    let all = Bitfield::full(1000);
    let first = |seed| {
        Picker::new(&Bitfield::empty(1000), &mut Seed(seed).stream("picker")).pick(&all, |_| true)
    };
    let picks: std::collections::BTreeSet<_> = (0..10).map(first).collect();
    assert!(picks.len() > 8, "ten nodes began with only {} different pieces", picks.len());
}

#[test]
fn a_piece_to_avoid_is_avoided() {
    let picker = picker("000", "123");
    assert_eq!(picker.pick(&set("111"), |piece| piece != 0), Some(1));
    assert_eq!(picker.pick(&set("100"), |piece| piece != 0), None);
}

proptest! {
    #[test]
    fn nothing_rarer_is_left_behind(
        pieces in prop::collection::vec((any::<bool>(), 0u16..5, any::<bool>()), 1..200),
    ) {
        let mut have = Bitfield::empty(pieces.len() as u32);
        let mut offered = have.clone();
        for (piece, &(here, _, offers)) in (0..).zip(&pieces) {
            if here { have.insert(piece); }
            if offers { offered.insert(piece); }
        }
        let mut picker = Picker::new(&have, &mut Seed(7).stream("picker"));
        for (piece, &(_, copies, _)) in (0..).zip(&pieces) {
            (0..copies).for_each(|_| picker.gained(piece));
        }
        let rarest = pieces.iter().filter(|p| !p.0 && p.2).map(|p| p.1).min();
        let picked = picker.pick(&offered, |_| true).map(|piece| pieces[piece as usize]);
        prop_assert_eq!(picked.map(|p| p.1), rarest);
        prop_assert!(picked.is_none_or(|p| !p.0 && p.2));
    }
}
