//! What a tracker has room for, and who goes when there is none.

use super::{ALL, FromTracker, Input, LEASE, PieceRange, ToTracker, Tracker, TransferEvent};
use super::{node, torrent};
use crate::model::ids::{InfoHash, Site};
use crate::model::limits;

#[test]
fn one_node_cannot_fill_the_tracker() {
    let mut t = Tracker::new(1);
    let conn = t.hello("greedy", "192.0.2.7:1");
    let most = limits::PIECES_PER_NODE_MAX / u64::from(limits::PIECES_MAX);
    for i in 0..=most {
        let mut hash = [0; 20];
        hash[0] = i as u8;
        let (torrent, pieces) = (InfoHash(hash), limits::PIECES_MAX);
        t.say(conn, ToTracker::Join { torrent, pieces, have: vec![PieceRange::one(1)], want: 1 });
    }
    let why = t.closed.get(&conn).map_or("", String::as_str);
    assert_eq!(why, "more than 67108864 pieces in all");
}

#[test]
fn many_nodes_together_cannot_fill_the_tracker() {
    const NODES: u32 = (limits::LEASE_BITS_BYTES_MAX * 8 / limits::PIECES_PER_NODE_MAX) as u32;
    let each = (limits::PIECES_PER_NODE_MAX / u64::from(limits::PIECES_MAX)) as u32;
    let join = |number, have: &[PieceRange]| ToTracker::Join {
        torrent: torrent(number),
        pieces: limits::PIECES_MAX,
        have: have.to_vec(),
        want: 0,
    };
    let (one, all) = ([PieceRange::one(1)], [PieceRange(0, limits::PIECES_MAX - 1)]);
    let mut t = Tracker::new(1);
    let conns: Vec<_> =
        (0..NODES).map(|i| t.hello(&format!("n{i}"), &format!("192.0.2.{i}:1"))).collect();
    for (i, conn) in (0..).zip(&conns) {
        for k in 0..each {
            t.say(*conn, join(i * each + k, &one));
        }
    }
    assert!(t.closed.is_empty() && t.registry.len() == (NODES * each) as usize);
    let known = |t: &Tracker, name: &str| {
        let of_name: Vec<u32> =
            t.status().iter().filter(|row| row.node == node(name)).map(|row| row.have).collect();
        assert_eq!(of_name.len(), 1, "it has its lease");
        of_name[0]
    };
    // Thirty-two who join as much as they may kept everybody from coming with a part, and so from their peers.
    let late = t.hello("late", "192.0.2.99:1");
    t.say(late, join(0, &[]));
    t.say(late, ToTracker::Have { torrent: torrent(0), p: one.to_vec() });
    let later = t.hello("later", "192.0.2.98:1");
    t.say(later, join(0, &one));
    assert!(!t.closed.contains_key(&late) && !t.closed.contains_key(&later), "they are served");
    assert_eq!((known(&t, "late"), known(&t, "later")), (0, 0), "what they have is not kept");
    let completed = Some(TransferEvent::Completed);
    t.say(late, ToTracker::Stats { torrent: torrent(0), up: 0, down: 0, event: completed });
    assert_eq!(known(&t, "late"), limits::PIECES_MAX, "that costs nothing");
    // Who is in already may say more, and who has everything makes room; so does who leaves, and who has nothing any more.
    t.say(conns[0], ToTracker::Have { torrent: torrent(0), p: vec![PieceRange(5, 9)] });
    t.say(conns[0], join(0, &one));
    t.say(conns[0], ToTracker::Have { torrent: torrent(0), p: all.to_vec() });
    t.say(conns[0], ToTracker::Leave { torrent: torrent(1) });
    t.say(conns[0], join(2, &[]));
    for (i, room) in [1, 1, 1, 0].into_iter().enumerate() {
        let name = format!("last{i}");
        let last = t.hello(&name, "192.0.2.97:1");
        t.say(last, join(0, &one));
        assert_eq!(known(&t, &name), room, "there was room for three and no more");
    }
}

#[test]
fn who_says_nothing_is_dropped_soon() {
    let mut t = Tracker::new(1);
    let mute = t.open("192.0.2.7:1");
    let asks = t.open("192.0.2.8:1");
    let mumbles = t.open("192.0.2.9:1");
    t.say(asks, ToTracker::Status { torrent: None });
    t.wait(limits::HANDSHAKE_TIMEOUT / 2);
    t.say(mumbles, ToTracker::Unknown);
    t.wait(limits::HANDSHAKE_TIMEOUT / 2);
    assert!(t.closed.contains_key(&mute) && !t.closed.contains_key(&asks));
    assert!(t.closed.contains_key(&mumbles), "what means nothing is no hello");
    t.wait(LEASE);
    assert!(t.closed.contains_key(&asks), "and who stops asking, later");
    assert!(t.registry.strangers.is_empty() && t.registry.conns.is_empty());
}

#[test]
fn who_has_not_said_hello_makes_room() {
    let mut t = Tracker::new(1);
    t.registry.limit_connections(4);
    let known = t.joined("known", "192.0.2.7:1", ALL);
    let strangers = [1, 2, 3].map(|port| t.open(&format!("192.0.2.66:{port}")));
    t.say(strangers[0], ToTracker::Status { torrent: None });
    let second = t.joined("second", "192.0.2.8:1", &[]);
    let why = t.closed.get(&strangers[0]).map_or("", String::as_str);
    assert!(why.starts_with("this tracker has no room"), "the oldest goes: {why}");
    assert!(matches!(t.sent(strangers[0]).last(), Some(FromTracker::Error { .. })), "and is told");
    t.say(
        strangers[1],
        ToTracker::Hello { v: 1, node: node("third"), port: 1, site: Site::default(), via: None },
    );
    let fourth = t.hello("fourth", "192.0.2.9:1");
    assert!(t.closed.contains_key(&strangers[2]), "not who has said hello in time");
    assert!(!t.registry.has_room());
    let late = t.open("192.0.2.10:1");
    assert!(t.closed.contains_key(&late), "all others are nodes");
    let left = [known, second, strangers[1], fourth];
    assert!(left.iter().all(|conn| !t.closed.contains_key(conn)));
    t.give(Input::Closed { conn: fourth });
    assert!(t.registry.has_room());
}
