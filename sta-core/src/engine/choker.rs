//! Whose requests may wait at all.
//!
//! While there is room everybody's may: a choke costs a round trip and teaches a peer of good will nothing. Only
//! when more peers ask than we can keep requests for, those who gave most of late are kept, among equals those who took most, and one place
//! goes round among the others so that a newcomer has a chance (optimistic unchoke, BitTorrent's `4 + 1`). A source is given
//! nothing: there who asks for nothing leaves its place to those who do. Who neither gave nor took has its place for a round, and then it
//! is the turn of who has waited longest: otherwise a few dozen sessions that ask for nothing keep everybody else from being served.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::interface::ConnId;

/// Peers whose requests wait at the same time. More than the degree of any graph that a tracker hands out, so
/// that only a crowd is ever choked.
const UNCHOKED_MAX: usize = 24;
/// Rounds after which the place that goes round moves on.
const OPTIMISTIC_ROUNDS: u32 = 3;

/// Who may ask.
#[derive(Debug)]
pub struct Choker {
    places: usize,
    optimistic: Option<ConnId>,
    rounds: u32,
    /// In which round each peer last had a place.
    had: BTreeMap<ConnId, u32>,
}

/// A peer, as the choker sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Who.
    pub conn: ConnId,
    /// Bytes per second that it gave, of late.
    pub gives: u64,
    /// Bytes per second that it took.
    pub takes: u64,
}

impl Choker {
    /// A choker for a node that serves `slots` peers at a time; with no slot at all it serves nobody.
    #[must_use]
    pub const fn new(slots: usize) -> Self {
        let places = if slots == 0 { 0 } else { UNCHOKED_MAX };
        Self { places, optimistic: None, rounds: 0, had: BTreeMap::new() }
    }

    /// Who may ask from now on. `candidates` ascend by [`ConnId`]. Places pass on when a round `is_due`; between two of them only who has
    /// come since can be given one.
    pub fn round(&mut self, candidates: &[Candidate], is_due: bool) -> Vec<ConnId> {
        if candidates.len() <= self.places || self.places == 0 {
            let everybody = candidates.iter().map(|candidate| candidate.conn);
            return everybody.take(self.places).collect();
        }
        self.had.retain(|conn, _| {
            candidates.binary_search_by_key(conn, |candidate| candidate.conn).is_ok()
        });
        let mut best = candidates.to_vec();
        best.sort_by_key(|&Candidate { conn, gives, takes }| {
            (Reverse((gives, takes)), self.had.get(&conn).copied(), conn)
        });
        let mut chosen: Vec<ConnId> =
            best.iter().take(self.places - 1).map(|candidate| candidate.conn).collect();
        chosen.extend(self.go_round(&best[self.places - 1..], is_due));
        if is_due {
            self.had.extend(chosen.iter().map(|&conn| (conn, self.rounds)));
        }
        chosen
    }

    /// The place that goes round: stays for a few rounds, then passes to the next in the order of their numbers.
    fn go_round(&mut self, others: &[Candidate], is_due: bool) -> Option<ConnId> {
        let stays = self.optimistic.filter(|held| others.iter().any(|other| other.conn == *held));
        self.rounds += u32::from(is_due);
        let moves_on = is_due && self.rounds.is_multiple_of(OPTIMISTIC_ROUNDS);
        if stays.is_some() && !moves_on {
            return stays;
        }
        let mut conns: Vec<ConnId> = others.iter().map(|other| other.conn).collect();
        conns.sort_unstable();
        let after = conns.iter().find(|conn| self.optimistic.is_some_and(|held| **conn > held));
        self.optimistic = after.or_else(|| conns.first()).copied();
        self.optimistic
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Candidate, Choker, OPTIMISTIC_ROUNDS, UNCHOKED_MAX};
    use crate::engine::interface::ConnId;

    /// Peers of which number `n` gives `n` bytes per second.
    fn crowd(size: u32) -> Vec<Candidate> {
        let peer = |n| Candidate { conn: ConnId::accepted(n), gives: n.into(), takes: 0 };
        (0..size).map(peer).collect()
    }

    #[test]
    fn while_there_is_room_everybody_may_ask() {
        assert_eq!(Choker::new(4).round(&crowd(UNCHOKED_MAX as u32), true).len(), UNCHOKED_MAX);
    }

    #[test]
    fn a_node_without_slots_serves_nobody() {
        assert!(Choker::new(0).round(&crowd(3), true).is_empty());
    }

    #[test]
    fn in_a_crowd_the_givers_stay_and_one_place_goes_round() {
        let (mut choker, crowd) = (Choker::new(4), crowd(30));
        let mut lucky = BTreeSet::new();
        for _ in 0..7 * OPTIMISTIC_ROUNDS {
            let chosen = choker.round(&crowd, true);
            assert_eq!(chosen.len(), UNCHOKED_MAX);
            for giver in 7..30 {
                assert!(chosen.contains(&ConnId::accepted(giver)), "{giver} gives and stays");
            }
            lucky.extend(chosen.last().copied());
        }
        assert_eq!(lucky.len(), 7, "each of the seven others had its turn: {lucky:?}");
    }

    /// Forty sessions of one machine that asked for nothing kept a source from serving anybody: of their places one changed hands every half
    /// minute.
    #[test]
    fn who_asks_for_nothing_keeps_nobody_waiting() {
        let (mut choker, mut chosen) = (Choker::new(16), Vec::new());
        let newcomer = ConnId::accepted(63);
        let mut waited = 0;
        for round in 0..40 {
            // It comes when the others have all had their turn, and takes what it is let.
            let here = if round < 9 { 63 } else { 64 };
            let takes = |conn| if conn == newcomer && chosen.contains(&conn) { 1_000 } else { 0 };
            let candidates: Vec<Candidate> = (0..here)
                .map(ConnId::accepted)
                .map(|conn| Candidate { conn, gives: 0, takes: takes(conn) })
                .collect();
            chosen = choker.round(&candidates, round != 9);
            waited += usize::from(here == 64 && !chosen.contains(&newcomer));
        }
        assert_eq!(waited, 0, "it is its turn at once, and then it has taken something");
    }

    /// They came first, asked for nothing, and left one place to all others.
    #[test]
    fn who_takes_nothing_from_a_source_loses_its_place_to_those_who_do() {
        let (mut choker, mut chosen) = (Choker::new(16), Vec::new());
        for _ in 0..10 * OPTIMISTIC_ROUNDS * 34 {
            let candidates: Vec<Candidate> = (0..34)
                .map(|n| {
                    let conn = ConnId::accepted(n);
                    // The last ten take what they are let.
                    let takes = if n >= 24 && chosen.contains(&conn) { 1_000 } else { 0 };
                    Candidate { conn, gives: 0, takes }
                })
                .collect();
            chosen = choker.round(&candidates, true);
        }
        assert!((24..34).all(|n| chosen.contains(&ConnId::accepted(n))), "{chosen:?}");
    }
}
