//! Is the flow world right? Cases whose answers are known beforehand.

use sta_core::model::time::Time;
use sta_sim::flow::net::{Call, ConnIx, Happening, NO_CAP, Net, Postage};
use sta_sim::flow::way::Passage;

const SECOND: u64 = 1_000_000_000;
const RATE: u64 = 12_500_000;
const PIECE: u64 = 262_144;

const CALL: Call =
    Call { delay: 0, refused: false, passages: [Passage::Open; 2], caps: [NO_CAP; 2] };

/// Hosts that listen, with these rates up and down.
fn hosts(rates: impl IntoIterator<Item = (u64, u64)>) -> Net<u32> {
    let mut net = Net::default();
    for (up, down) in rates {
        let host = net.add_host(None, up, down);
        net.listen(host, true);
    }
    net
}

/// Lets everything happen; when and where every message has come.
fn arrivals(net: &mut Net<u32>) -> Vec<(u64, ConnIx, u32)> {
    let mut seen = Vec::new();
    while let Some((at, happening)) = net.next(Time::FAR_FUTURE) {
        if let Happening::Arrived(conn, _, message) = happening {
            seen.push((at.as_nanos(), conn, message));
        }
    }
    seen
}

const fn postage(bytes: u64, delay: u64) -> Postage {
    Postage { bytes, delay, tell: false }
}

/// Mundinger, Weber and Weiss: `M + floor(log2 N)` rounds of one piece for one source and N receivers of equal rates.
/// The schedule is the binomial pipeline on a hypercube of N + 1 = 2^k nodes: in round `t` everybody exchanges with its
/// neighbour in dimension `t mod k`; the source sends piece `t`, the others the highest piece they have.
#[test]
fn the_optimal_schedule_takes_pieces_plus_log_rounds() {
    for (dimensions, pieces) in [(1u32, 5u32), (2, 7), (3, 20), (6, 40), (8, 9)] {
        let nodes = 1u32 << dimensions;
        let mut net = hosts((0..nodes).map(|_| (RATE, RATE)));
        let mut conns = vec![vec![0; dimensions as usize]; nodes as usize];
        for node in 0..nodes {
            for dimension in 0..dimensions {
                let peer = node ^ (1 << dimension);
                conns[node as usize][dimension as usize] = net.dial(node, peer, CALL);
            }
        }
        arrivals(&mut net);
        let start = 5 * SECOND;
        net.advance(Time::from_nanos(start));
        let mut have = vec![vec![false; pieces as usize]; nodes as usize];
        have[0].fill(true);
        let (mut rounds, mut end) = (0, start);
        while !have.iter().flatten().all(|&has| has) {
            for node in 0..nodes {
                let highest = have[node as usize].iter().rposition(|&has| has);
                let piece = if node == 0 { Some(rounds.min(pieces - 1) as usize) } else { highest };
                let peer = node ^ (1 << (rounds % dimensions));
                if let Some(piece) = piece.filter(|&piece| !have[peer as usize][piece]) {
                    let conn = conns[node as usize][(rounds % dimensions) as usize];
                    net.send(conn, 0, piece as u32, postage(PIECE, 0));
                }
            }
            for (at, conn, piece) in arrivals(&mut net) {
                have[net.ends(conn)[1] as usize][piece as usize] = true;
                end = at;
            }
            rounds += 1;
        }
        let expected = u64::from(pieces + (nodes - 1).ilog2());
        assert_eq!(u64::from(rounds), expected, "{nodes} nodes, {pieces} pieces");
        let round = (PIECE * SECOND).div_ceil(RATE);
        assert_eq!(end - start, expected * round, "{nodes} nodes, {pieces} pieces");
    }
}

/// A stream carries its window per round trip and no more, however fast the links.
#[test]
fn window_over_round_trip_is_a_cap() {
    let (window, delay) = (65_536, SECOND / 20);
    let mut net = hosts([(RATE, RATE), (RATE, RATE)]);
    let cap = window * SECOND / (2 * delay);
    let capped = net.dial(0, 1, Call { delay, caps: [cap, NO_CAP], ..CALL });
    let free = net.dial(0, 1, Call { delay, ..CALL });
    arrivals(&mut net);
    net.advance(Time::from_nanos(10 * SECOND));
    net.send(capped, 0, 1, postage(10 * window, delay));
    net.send(free, 0, 2, postage(RATE - cap, delay));
    let seen = arrivals(&mut net);
    // What the capped one leaves, the other has.
    let at = |after: u64| 10 * SECOND + after + delay;
    assert_eq!(seen, [(at(10 * 2 * delay), capped, 1), (at(SECOND), free, 2)]);
}

/// Messages sent at one moment arrive one delay after each has left, not one delay after another.
#[test]
fn a_burst_does_not_queue_behind_latency() {
    let delay = SECOND;
    let mut net = hosts([(RATE, RATE), (RATE, RATE)]);
    let conn = net.dial(0, 1, Call { delay, ..CALL });
    arrivals(&mut net);
    let start = 10 * SECOND;
    net.advance(Time::from_nanos(start));
    (0..50).for_each(|message| net.send(conn, 0, message, postage(RATE / 100, delay)));
    let expected = (0..50)
        .map(|message| (start + u64::from(message + 1) * SECOND / 100 + delay, conn, message));
    assert_eq!(arrivals(&mut net), expected.collect::<Vec<_>>());
}

/// Max-min by hand, in time: A sends to C and D, B sends to D. D's downlink (9) is shared by A and B: 4.5 each; A has 10
/// and C takes the other 5.5. When B is done, A's two share its uplink, 5 each.
#[test]
fn rates_follow_who_is_there() {
    const M: u64 = 1_000_000;
    let mut net = hosts([(10 * M, M), (10 * M, M), (M, 20 * M), (M, 9 * M)]);
    let [ac, ad, bd] = [(0, 2), (0, 3), (1, 3)].map(|(from, to)| net.dial(from, to, CALL));
    arrivals(&mut net);
    net.advance(Time::from_nanos(10 * SECOND));
    net.send(bd, 0, 0, postage(9 * M, 0));
    net.send(ad, 0, 0, postage(14 * M, 0));
    net.send(ac, 0, 0, postage(21 * M, 0));
    // B: 2 s. Then A to D has 14 - 9 = 5 left, at 5: 3 s. A to C has 21 - 11 - 5 = 5 left, at 10: 3.5 s.
    let seen: Vec<(u64, ConnIx)> =
        arrivals(&mut net).into_iter().map(|(at, conn, _)| (at - 10 * SECOND, conn)).collect();
    assert_eq!(seen, [(2 * SECOND, bd), (3 * SECOND, ad), (7 * SECOND / 2, ac)]);
}
