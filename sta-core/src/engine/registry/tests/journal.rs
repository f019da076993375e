//! What a tracker writes down, and what it makes of it after a restart.

use super::{A, ALL, Have, Input, LEASE, Lease, PieceRange, Registry, RegistryConfig, Seed};
use super::{StatusRow, ToTracker, Tracker, TransferEvent, node, secs, torrent};
use crate::model::ids::Site;
use crate::model::limits;
use crate::model::time::Time;

#[test]
fn a_counter_is_written_without_the_pieces_and_many_pieces_not_at_once() {
    let mut t = Tracker::new(1);
    let count =
        |number, up| ToTracker::Stats { torrent: torrent(number), up, down: 0, event: None };
    let bits = u64::from(limits::PIECES_MAX / 8);
    let (at_once, each) = (limits::PERSIST_BITS_BYTES / bits, 30);
    let number = (at_once * 2) as u32;
    let mut conns = Vec::new();
    for i in 0..number {
        if i % each == 0 {
            conns.push(t.hello(&format!("n{i}"), "192.0.2.7:1"));
        }
        let (torrent, pieces, have) = (torrent(i), limits::PIECES_MAX, vec![PieceRange::one(1)]);
        t.say(conns[(i / each) as usize], ToTracker::Join { torrent, pieces, have, want: 0 });
    }
    t.wait(limits::PERSIST_INTERVAL);
    assert_eq!(u64::from(t.kept), at_once);
    t.wait(limits::PERSIST_INTERVAL);
    assert_eq!((t.kept, t.written.len()), (number, number as usize));
    for i in 0..number {
        t.say(conns[(i / each) as usize], count(i, 7));
    }
    t.wait(limits::PERSIST_INTERVAL);
    assert_eq!(t.kept, number, "no pieces again");
    assert!(t.written.values().all(|lease| lease.up == 7 && lease.have.count(lease.pieces) == 1));
    let conn = conns[0];
    t.say(conn, ToTracker::Have { torrent: torrent(0), p: vec![PieceRange::one(1)] });
    t.say(conn, count(0, 7));
    assert!(t.registry.take_changes(u64::MAX).is_empty(), "nothing is new");
    t.say(conn, ToTracker::Have { torrent: torrent(0), p: vec![PieceRange::one(2)] });
    t.wait(limits::PERSIST_INTERVAL);
    assert_eq!(t.kept, number + 1);
    let (mut u, leases) = (Tracker::new(2), t.written.values().cloned().collect());
    u.written.clone_from(&t.written);
    assert_eq!(u.registry.restore(leases, u.now), number);
    let back = u.hello("n0", "192.0.2.7:2");
    let have = vec![PieceRange(1, 2)];
    u.say(back, ToTracker::Join { torrent: torrent(0), pieces: limits::PIECES_MAX, have, want: 0 });
    u.wait(limits::PERSIST_INTERVAL);
    assert_eq!(u.kept, 0, "these are written down already");
}

#[test]
fn what_was_written_down_brings_a_tracker_back() {
    let mut t = Tracker::new(1);
    let seed = t.joined("seed", "192.0.2.7:1", ALL);
    let part = t.joined("part", "192.0.2.8:1", &[PieceRange(3, 5)]);
    let gone = t.joined("gone", "192.0.2.9:1", &[]);
    t.say(
        part,
        ToTracker::Stats { torrent: A, up: 5, down: 6, event: Some(TransferEvent::Started) },
    );
    t.say(gone, ToTracker::Leave { torrent: A });
    assert!(t.written.is_empty(), "gathered for a while");
    t.wait(limits::PERSIST_INTERVAL);
    assert_eq!(t.written.len(), 2);
    t.say(part, ToTracker::Have { torrent: A, p: vec![PieceRange(6, 6)] });
    t.say(seed, ToTracker::Ping);
    t.give(Input::Stop);
    let before = t.status();

    let mut u = Tracker::new(2);
    let leases: Vec<Lease> = t.written.into_values().collect();
    assert_eq!(u.registry.restore(leases.clone(), u.now), 2);
    let mut after = u.status();
    after.sort_by(|a, b| b.node.cmp(&a.node));
    let offline = before.into_iter().map(|row| StatusRow { online: false, ..row });
    assert_eq!(after, offline.collect::<Vec<_>>(), "all it knew, but nobody is here yet");
    u.written = leases.into_iter().map(|l| ((l.torrent, l.node.clone()), l)).collect();
    let newcomer = u.joined("newcomer", "192.0.2.10:1", &[]);
    let mut told = u.told(newcomer);
    told.sort();
    assert_eq!(told, ["part 192.0.2.8:7000", "seed 192.0.2.7:7000"], "answers at once");
    u.wait(secs(30));
    // By which name it calls the tracker is not written down.
    let (back, site) = (u.open("192.0.2.7:2"), Site::default());
    let via = Some("tracker.example:6081".parse().expect("an address"));
    u.say(back, ToTracker::Hello { v: 1, node: node("seed"), port: 7000, site, via });
    u.join(back, ALL);
    u.say(newcomer, ToTracker::Ping);
    u.wait(secs(31));
    let mut names = u.names();
    names.sort();
    assert_eq!(names, ["newcomer", "seed"], "who did not come back is forgotten");
    u.give(Input::Stop);
    let written: Vec<_> = u.written.keys().map(|(_, name)| name.to_string()).collect();
    assert_eq!(written, ["newcomer", "seed"], "there as well");
}

/// What is written down of a node is one, by however many names it calls the tracker: the end of what it had by one took away what it has
/// by another.
#[test]
fn who_calls_the_tracker_by_several_names_is_written_down_as_long_as_one_of_them_stands() {
    let by = |t: &mut Tracker, via: &str, torrent| {
        let (conn, via) = (t.open("192.0.2.7:1"), Some(via.parse().expect("an address")));
        let site = Site::default();
        t.say(conn, ToTracker::Hello { v: 1, node: node("n"), port: 7000, site, via });
        t.say(conn, ToTracker::Join { torrent, pieces: 9, have: vec![], want: 0 });
        conn
    };
    let again = |t: &Tracker| {
        let (mut u, leases) = (Tracker::new(2), t.written.values().cloned().collect());
        u.written.clone_from(&t.written);
        u.registry.restore(leases, u.now);
        u
    };
    let names = ["192.0.2.1:6081", "tracker.example:6081"];
    let mut t = Tracker::new(1);
    let conns = names.map(|via| by(&mut t, via, A));
    t.wait(limits::PERSIST_INTERVAL);
    t.say(conns[0], ToTracker::Leave { torrent: A });
    t.wait(limits::PERSIST_INTERVAL);
    assert_eq!(t.written.len(), 1, "by the other name it is there");
    let mut t = Tracker::new(1);
    for (via, torrent) in names.into_iter().zip([A, torrent(1)]) {
        by(&mut t, via, torrent);
    }
    t.wait(limits::PERSIST_INTERVAL);
    let mut u = again(&t);
    let conns: Vec<_> = names
        .into_iter()
        .zip([A, torrent(1)])
        .map(|(via, torrent)| by(&mut u, via, torrent))
        .collect();
    assert_eq!(u.status().len(), 2, "each once");
    for _ in 0..9 {
        u.wait(secs(20));
        conns.iter().for_each(|conn| u.say(*conn, ToTracker::Ping));
    }
    assert_eq!((u.status().len(), u.written.len()), (2, 2), "and to the end");
}

#[test]
fn what_cannot_be_a_lease_is_not_taken_back() {
    let lease = |pieces, have, port| Lease {
        torrent: A,
        node: node("n"),
        addr: ([192, 0, 2, 7], port).into(),
        pieces,
        have,
        up: 0,
        down: 0,
        event: None,
    };
    let bits = || Have::new(9, &mut [PieceRange::one(1)]);
    for (lease, taken) in [
        (lease(9, bits(), 1), 1),
        (lease(8, bits(), 1), 0),
        (lease(9, bits(), 0), 0),
        (lease(u32::MAX, Have::None, 1), 0),
    ] {
        assert_eq!(
            Tracker::new(1).registry.restore(vec![lease.clone()], Time::ZERO),
            taken,
            "{lease:?}"
        );
    }
}

#[test]
fn a_registry_that_writes_nothing_gathers_nothing() {
    let mut t = Tracker::new(1);
    t.registry = Registry::new(RegistryConfig { lease: LEASE, persist: false }, Seed(1));
    t.joined("n", "192.0.2.7:1", &[]);
    t.wait(secs(100));
    assert!(t.written.is_empty() && t.registry.is_empty());
}
