//! Stories about one tracker. `tests/room.rs` tells of what it has room for, `tests/journal.rs` of what it writes down, `tests/graph.rs`
//! looks at large graphs, `tests/simple_model.rs` at any order of things.

mod graph;
mod journal;
mod room;
mod simple_model;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Change, ConnId, EntryIx, Have, Input, Lease, Output, Registry, RegistryConfig};
use crate::model::bitfield::PieceRange;
use crate::model::event::Event;
use crate::model::ids::{InfoHash, NodeId, Site};
use crate::model::limits;
use crate::model::rng::Seed;
use crate::model::time::Time;
use crate::wire::tracker::{FromTracker, StatusRow, ToTracker, TransferEvent};

pub(super) const A: InfoHash = InfoHash([0xa; 20]);
const B: InfoHash = InfoHash([0xb; 20]);
pub(super) const LEASE: Duration = Duration::from_secs(60);
const PIECES: u32 = 100;

pub(super) fn node(name: &str) -> NodeId {
    name.parse().expect("a name")
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A registry under test, and what it has put out.
pub(super) struct Tracker {
    pub(super) registry: Registry,
    pub(super) now: Time,
    conns: u64,
    /// What was sent on each connection.
    sent: BTreeMap<ConnId, Vec<FromTracker>>,
    pub(super) closed: BTreeMap<ConnId, String>,
    events: Vec<Event>,
    written: BTreeMap<(InfoHash, NodeId), Lease>,
    /// How many leases were written with their pieces.
    kept: u32,
}

impl Tracker {
    pub(super) fn new(seed: u64) -> Self {
        let config = RegistryConfig { lease: LEASE, persist: true };
        Self {
            registry: Registry::new(config, Seed(seed)),
            now: Time::ZERO,
            conns: 0,
            sent: BTreeMap::new(),
            closed: BTreeMap::new(),
            events: Vec::new(),
            written: BTreeMap::new(),
            kept: 0,
        }
    }

    pub(super) fn give(&mut self, input: Input) {
        self.registry.handle(input, self.now);
        while let Some(output) = self.registry.poll_output() {
            match output {
                Output::Send { conn, message } => self.sent.entry(conn).or_default().push(message),
                Output::Close { conn, why } => {
                    assert_eq!(self.closed.insert(conn, why), None, "closed twice");
                }
                Output::Event(event) => self.events.push(event),
                Output::Persist(changes) => {
                    for change in changes {
                        self.kept += u32::from(matches!(change, Change::Keep(_)));
                        change.apply(&mut self.written);
                    }
                }
            }
        }
        self.check();
    }

    /// What must hold at any time, seen from within.
    fn check(&self) {
        let leases = &self.registry.leases;
        for (_, torrent) in &leases.torrents {
            assert!(!torrent.members.is_empty(), "an empty torrent is kept");
            let all = torrent.members.iter().map(|e| leases.entry(*e));
            let seeds = all.clone().filter(|e| e.have.is_all()).count();
            assert_eq!(torrent.seeds as usize, seeds);
            let site = |entry: EntryIx| &leases.node(leases.entry(entry).node).site;
            for (number, there) in &torrent.sites {
                assert!(!there.is_empty(), "a site without anybody is kept");
                for (place, entry) in there.iter().enumerate() {
                    assert_eq!(leases.entry(*entry).site, Some((number as u32, place as u32)));
                    assert_eq!(site(*entry), site(there[0]));
                }
            }
            let known = torrent.members.iter().filter(|entry| !site(**entry).is_empty()).count();
            assert_eq!(torrent.sites.iter().map(|(_, there)| there.len()).sum::<usize>(), known);
            for entry in &torrent.members {
                let held = leases.entry(*entry);
                assert!(held.degree() <= limits::PEERS_PER_TORRENT_MAX + held.want as usize);
                for other in &held.neighbours {
                    let neighbour = leases.entry(*other);
                    assert!(neighbour.neighbours.contains(entry), "one-sided");
                    assert!(!(held.have.is_all() && neighbour.have.is_all()), "two seeds");
                    assert!(other != entry && neighbour.torrent == held.torrent);
                }
            }
        }
    }

    pub(super) fn open(&mut self, remote: &str) -> ConnId {
        self.open_at(remote, "192.0.2.1:6081")
    }

    fn open_at(&mut self, remote: &str, local: &str) -> ConnId {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let addr = |text: &str| text.parse().expect("an address");
        self.give(Input::Opened { conn, remote: addr(remote), local: addr(local) });
        conn
    }

    pub(super) fn say(&mut self, conn: ConnId, message: ToTracker) {
        self.give(Input::Message { conn, message });
    }

    pub(super) fn hello(&mut self, name: &str, remote: &str) -> ConnId {
        self.hello_from("", name, remote)
    }

    /// A node of that name at that address, which says that it stands there.
    pub(super) fn hello_from(&mut self, site: &str, name: &str, remote: &str) -> ConnId {
        let (conn, site) = (self.open(remote), site.parse().expect("a name"));
        self.say(conn, ToTracker::Hello { v: 1, node: node(name), port: 7000, site, via: None });
        conn
    }

    pub(super) fn join(&mut self, conn: ConnId, have: &[PieceRange]) {
        let (pieces, want, have) = (PIECES, 10, have.to_vec());
        self.say(conn, ToTracker::Join { torrent: A, pieces, have, want });
    }

    /// A node of that name at that address that has joined [`A`].
    pub(super) fn joined(&mut self, name: &str, remote: &str, have: &[PieceRange]) -> ConnId {
        let conn = self.hello(name, remote);
        self.join(conn, have);
        conn
    }

    /// Lets time pass, ticking whenever it is due.
    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.registry.deadline().filter(|at| *at <= until) {
            assert!(at >= self.now, "a deadline in the past");
            self.now = at;
            self.give(Input::Tick);
        }
        self.now = until;
    }

    fn sent(&mut self, conn: ConnId) -> Vec<FromTracker> {
        self.sent.remove(&conn).unwrap_or_default()
    }

    /// Whom `conn` was told of since last asked, with the address.
    pub(super) fn told(&mut self, conn: ConnId) -> Vec<String> {
        let messages = self.sent(conn).into_iter();
        let peers = messages.filter_map(|m| match m {
            FromTracker::Peers { peers, .. } => Some(peers),
            _ => None,
        });
        peers.flatten().map(|peer| format!("{} {}", peer.node, peer.addr)).collect()
    }

    fn status(&self) -> Vec<StatusRow> {
        self.registry.status(None).collect()
    }

    fn names(&self) -> Vec<String> {
        self.status().iter().map(|row| row.node.to_string()).collect()
    }
}

pub(super) const ALL: &[PieceRange] = &[PieceRange(0, PIECES - 1)];

#[test]
fn a_node_registers_and_is_named_to_the_next() {
    let mut t = Tracker::new(1);
    let first = t.joined("first", "192.0.2.7:40000", ALL);
    assert_eq!(t.sent(first), [FromTracker::Welcome { v: 1, lease: 60 }], "nobody to be told of");
    let second = t.joined("second", "192.0.2.8:40000", &[]);
    assert_eq!(t.told(second), ["first 192.0.2.7:7000"], "the port it said, not the connection's");
    assert_eq!(t.told(first), [""; 0], "the newcomer dials");
    t.say(second, ToTracker::Have { torrent: A, p: vec![PieceRange(0, 49)] });
    let event = Some(TransferEvent::Started);
    t.say(second, ToTracker::Stats { torrent: A, up: 1, down: 2, event });
    t.say(second, ToTracker::Stats { torrent: A, up: 3, down: 4, event: None });
    let rows: Vec<_> = t.status().into_iter().map(|r| (r.have, r.up, r.down, r.event)).collect();
    assert_eq!(rows, [(100, 0, 0, None), (50, 3, 4, event)]);
    let granted = |name| Event::LeaseGranted { torrent: A, node: node(name) };
    let pushed = Event::PeersPushed { torrent: A, node: node("second"), count: 1 };
    assert_eq!(t.events, [granted("first"), granted("second"), pushed]);
}

#[test]
fn one_connection_speaks_of_many_torrents() {
    let mut t = Tracker::new(1);
    let conn = t.joined("n", "192.0.2.7:40000", ALL);
    t.say(conn, ToTracker::Join { torrent: B, pieces: 7, have: vec![], want: 10 });
    assert_eq!(t.status().len(), 2);
    t.say(conn, ToTracker::Leave { torrent: A });
    t.say(conn, ToTracker::Leave { torrent: A });
    let left: Vec<_> = t.status().iter().map(|r| (r.torrent, r.pieces)).collect();
    assert_eq!(left, [(B, 7)]);
    let ended = Event::LeaseEnded { torrent: A, node: node("n"), expired: false };
    assert_eq!(t.events.iter().filter(|e| **e == ended).count(), 1);
}

#[test]
fn a_silent_node_is_forgotten_and_one_that_pings_is_not() {
    let mut t = Tracker::new(1);
    let silent = t.joined("silent", "192.0.2.7:1", ALL);
    let alive = t.joined("alive", "192.0.2.8:1", &[]);
    for _ in 0..6 {
        t.wait(secs(20));
        t.say(alive, ToTracker::Ping);
    }
    assert_eq!(t.names(), ["alive"]);
    assert_eq!(
        t.closed.get(&silent).map(String::as_str),
        Some("silent has been silent for too long")
    );
    assert!(t.sent(alive).contains(&FromTracker::Pong));
    let ended = Event::LeaseEnded { torrent: A, node: node("silent"), expired: true };
    assert!(t.events.contains(&ended));
}

#[test]
fn a_lost_connection_leaves_the_lease_to_run_out_or_to_be_taken_up() {
    let mut t = Tracker::new(1);
    let first = t.joined("n", "192.0.2.7:1", ALL);
    t.give(Input::Closed { conn: first });
    assert!(!t.status()[0].online);
    t.wait(secs(50));
    let again = t.hello("n", "192.0.2.7:2");
    assert!(!t.status()[0].online, "it has not said that it still has this");
    t.join(again, ALL);
    assert!(t.status()[0].online);
    t.wait(secs(20));
    assert_eq!(t.names(), ["n"], "the old lease no longer counts");
    t.give(Input::Closed { conn: again });
    t.wait(secs(61));
    assert_eq!(t.names(), [""; 0]);
    assert_eq!(t.registry.deadline(), None, "nothing is left to wait for: {:?}", t.registry.timers);
}

#[test]
fn what_is_not_joined_again_ends_with_the_old_lease() {
    let mut t = Tracker::new(1);
    let first = t.joined("n", "192.0.2.7:1", ALL);
    t.say(first, ToTracker::Join { torrent: B, pieces: 7, have: vec![], want: 10 });
    t.give(Input::Closed { conn: first });
    t.wait(secs(30));
    let again = t.joined("n", "192.0.2.7:2", ALL);
    t.wait(secs(29));
    t.say(again, ToTracker::Ping);
    assert_eq!(t.status().len(), 2);
    t.wait(secs(2));
    let left: Vec<_> = t.status().iter().map(|r| r.torrent).collect();
    assert_eq!(left, [A]);
}

/// A return shortly before what was not joined again ends took everything else with it, milliseconds after the reconnect.
#[test]
fn what_was_joined_again_has_its_own_time_at_the_next_return() {
    let mut t = Tracker::new(1);
    let first = t.joined("n", "192.0.2.7:1", ALL);
    t.say(first, ToTracker::Join { torrent: B, pieces: 7, have: vec![], want: 10 });
    t.wait(secs(30));
    let second = t.joined("n", "192.0.2.7:2", ALL);
    t.wait(secs(29));
    t.say(second, ToTracker::Ping);
    let third = t.hello("n", "192.0.2.7:3");
    t.wait(secs(2));
    let left = |t: &Tracker| -> Vec<_> { t.status().iter().map(|r| r.torrent).collect() };
    assert_eq!(left(&t), [A], "one has waited since the first return, the other since the second");
    t.say(third, ToTracker::Ping);
    t.wait(secs(56));
    assert_eq!(left(&t), [A]);
    t.say(third, ToTracker::Ping);
    t.wait(secs(2));
    assert!(left(&t).is_empty(), "its time is over as well");
}

#[test]
fn a_name_belongs_to_who_is_connected_under_it() {
    let mut t = Tracker::new(1);
    let owner = t.joined("n", "192.0.2.7:1", ALL);
    let thief = t.hello("n", "192.0.2.66:1");
    assert_eq!(
        t.sent(thief),
        [FromTracker::Error {
            why: "the node id n is in use by 192.0.2.7:7000; choose another".into()
        }]
    );
    assert!(t.closed.contains_key(&thief) && !t.closed.contains_key(&owner));
    t.say(thief, ToTracker::Leave { torrent: A });
    assert_eq!(t.names(), ["n"], "a closed connection says nothing more");

    let returned = t.hello("n", "192.0.2.7:9");
    assert!(t.closed.contains_key(&owner), "the same machine: the old connection is dead");
    t.join(returned, ALL);
    t.give(Input::Closed { conn: owner });
    assert!(t.status()[0].online, "the end of the old one changes nothing");

    t.give(Input::Closed { conn: returned });
    let moved = t.joined("n", "192.0.2.99:1", &[]);
    assert!(!t.closed.contains_key(&moved), "nobody is connected under it");
    let row = &t.status()[0];
    assert_eq!((row.addr.to_string(), row.have), ("192.0.2.99:7000".to_owned(), 0));
}

/// Two processes of one name on one host took each other's place for ever, and neither knew why.
#[test]
fn of_two_that_live_under_one_name_on_one_host_the_later_is_sent_away() {
    let mut t = Tracker::new(1);
    let hello = |t: &mut Tracker, port: u16, from: u16| {
        let conn = t.open(&format!("192.0.2.7:{from}"));
        t.say(
            conn,
            ToTracker::Hello { v: 1, node: node("n"), port, site: Site::default(), via: None },
        );
        conn
    };
    let in_use = |port: u16| FromTracker::Error {
        why: format!("the node id n is in use by 192.0.2.7:{port}; choose another"),
    };
    let first = hello(&mut t, 7_001, 1);
    t.join(first, ALL);
    let second = hello(&mut t, 7_002, 2);
    assert!(t.closed.contains_key(&first), "it may have been started again");
    let second = {
        let once_more = hello(&mut t, 7_002, 9);
        assert!(t.closed.contains_key(&second), "its own connection is replaced");
        once_more
    };
    t.sent(second);
    let again = hello(&mut t, 7_001, 3);
    assert_eq!(t.sent(second), [in_use(7_001)]);
    assert!(t.closed.contains_key(&second) && !t.closed.contains_key(&again));
    let insists = hello(&mut t, 7_002, 4);
    assert_eq!(t.sent(insists), [in_use(7_001)]);
    assert!(!t.closed.contains_key(&again), "nobody disturbs it any more");
    t.give(Input::Closed { conn: again });
    let early = hello(&mut t, 7_002, 5);
    assert_eq!(t.sent(early), [in_use(7_001)], "it may be back soon");
    t.wait(secs(61));
    let alone = hello(&mut t, 7_002, 6);
    let back = hello(&mut t, 7_002, 7);
    assert!(t.closed.contains_key(&alone) && !t.closed.contains_key(&back), "it is itself");
}

/// Torrents may call one tracker by several names. The connections of one node took each other's place for ever, or the later, by
/// another address family, was refused since the node was in its own way.
#[test]
fn who_knows_the_tracker_by_several_names_is_there_by_each() {
    let mut t = Tracker::new(1);
    let by = |t: &mut Tracker, via: &str, remote: &str, torrent| {
        let (conn, via) = (t.open(remote), Some(via.parse().expect("an address")));
        let hello =
            ToTracker::Hello { v: 1, node: node("n"), port: 7000, site: Site::default(), via };
        t.say(conn, hello);
        t.say(conn, ToTracker::Join { torrent, pieces: PIECES, have: ALL.to_vec(), want: 10 });
        conn
    };
    let first = by(&mut t, "192.0.2.1:6081", "192.0.2.7:1", A);
    let second = by(&mut t, "tracker.example:6081", "192.0.2.7:2", B);
    let third = by(&mut t, "[2001:db8::1]:6081", "[2001:db8::7]:3", A);
    let stand = [first, second, third].iter().all(|conn| !t.closed.contains_key(conn));
    assert!(stand && t.status().iter().all(|row| row.online), "{:?}", t.closed);
    let addrs: Vec<String> = t.status().iter().map(|row| row.addr.to_string()).collect();
    assert_eq!(addrs, ["192.0.2.7:7000", "[2001:db8::7]:7000", "192.0.2.7:7000"]);
    let again = by(&mut t, "192.0.2.1:6081", "192.0.2.7:9", A);
    assert!(t.closed.contains_key(&first) && !t.closed.contains_key(&again), "each by itself");
    assert!(!t.closed.contains_key(&second) && !t.closed.contains_key(&third));
    assert_eq!(t.status().len(), 3);
    assert!(t.told(again).is_empty() && t.told(third).is_empty(), "it is no neighbour of its own");
}

#[test]
fn a_broken_rule_costs_the_connection() {
    let join = |pieces, ranges| ToTracker::Join {
        torrent: B,
        pieces,
        have: vec![PieceRange::one(0); ranges],
        want: 10,
    };
    let hello = |port| ToTracker::Hello {
        v: 1,
        node: node("other"),
        port,
        site: Site::default(),
        via: None,
    };
    // (whether it has said hello, what it says then, the beginning of the reason or nothing)
    let table = [
        (false, ToTracker::Ping, "say hello first"),
        (false, join(5, 0), "say hello first"),
        (false, hello(0), "port 0 is nowhere"),
        (false, ToTracker::Unknown, ""),
        (false, ToTracker::Status { torrent: None }, ""),
        (
            false,
            ToTracker::Hello {
                v: 9,
                node: node("later"),
                port: 1,
                site: Site::default(),
                via: None,
            },
            "",
        ),
        (true, hello(1), "hello is said once"),
        (true, join(u32::MAX, 0), "4294967295 pieces are more than"),
        (true, join(5, limits::HAVE_RANGES_MAX + 1), "2001 ranges in one message"),
        (true, join(5, limits::HAVE_RANGES_MAX), ""),
        (true, join(0, 0), ""),
        (true, ToTracker::Have { torrent: B, p: vec![PieceRange(0, 9)] }, ""),
        (true, ToTracker::Want { torrent: B, n: u32::MAX }, ""),
        (true, ToTracker::Unknown, ""),
    ];
    for (greeted, message, reason) in table {
        let mut t = Tracker::new(1);
        let bystander = t.joined("bystander", "192.0.2.9:1", ALL);
        let conn = if greeted { t.hello("n", "192.0.2.7:1") } else { t.open("192.0.2.7:1") };
        t.say(conn, message.clone());
        let why = t.closed.get(&conn).map_or("", String::as_str);
        assert!(
            why.starts_with(reason) && why.is_empty() == reason.is_empty(),
            "{message:?}: {why}"
        );
        assert!(!t.closed.contains_key(&bystander));
    }
}

#[test]
fn a_node_on_the_trackers_machine_is_reached_where_the_tracker_was() {
    // (the node's address, who asks, by which address it reached the tracker) -> what it is told
    let table = [
        ("127.0.0.1:1", "192.0.2.9:1", "192.0.2.1:6081", "n 192.0.2.1:7000"),
        ("[::1]:1", "192.0.2.9:1", "192.0.2.1:6081", "n 192.0.2.1:7000"),
        ("127.0.0.1:1", "[2001:db8::9]:1", "[2001:db8::1]:6081", "n [2001:db8::1]:7000"),
        (
            "[::ffff:127.0.0.1]:1",
            "[::ffff:192.0.2.9]:1",
            "[::ffff:192.0.2.1]:6081",
            "n 192.0.2.1:7000",
        ),
        ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:6081", "n 127.0.0.1:7000"),
        ("192.0.2.7:1", "127.0.0.1:2", "127.0.0.1:6081", "n 192.0.2.7:7000"),
        ("[::ffff:192.0.2.7]:1", "192.0.2.9:1", "192.0.2.1:6081", "n 192.0.2.7:7000"),
    ];
    for (at, asker, by, told) in table {
        let mut t = Tracker::new(1);
        t.joined("n", at, ALL);
        let conn = t.open_at(asker, by);
        t.say(
            conn,
            ToTracker::Hello {
                v: 1,
                node: node("asker"),
                port: 7001,
                site: Site::default(),
                via: None,
            },
        );
        t.join(conn, &[]);
        assert_eq!(t.told(conn), [told], "{at} for {asker} by {by}");
    }
}

#[test]
fn a_wish_for_more_is_granted_with_others_then_with_the_same() {
    let mut t = Tracker::new(1);
    let asker = t.joined("asker", "192.0.2.7:1", &[]);
    t.joined("x", "192.0.2.8:1", &[]);
    t.joined("y", "192.0.2.9:1", &[]);
    t.sent(asker);
    t.say(asker, ToTracker::Want { torrent: A, n: 1 });
    assert_eq!(
        t.told(asker),
        ["x 192.0.2.8:7000"],
        "x was told of it, and perhaps cannot reach it"
    );
    for i in 0..12 {
        t.joined(&format!("z{i}"), &format!("192.0.2.{}:1", 20 + i), &[]);
    }
    t.sent(asker);
    let known: Vec<String> = {
        let leases = &t.registry.leases;
        let entry = leases.entries_of(Some(A)).next().expect("the asker");
        leases
            .entry(entry)
            .neighbours
            .iter()
            .map(|n| leases.node(leases.entry(*n).node).id.to_string())
            .collect()
    };
    t.say(asker, ToTracker::Want { torrent: A, n: 2 });
    assert_eq!(
        t.told(asker),
        [""; 0],
        "all of a torrent may be looked at for a wish: not at any time"
    );
    t.now += limits::WANT_INTERVAL_MIN;
    t.say(asker, ToTracker::Want { torrent: A, n: 2 });
    let told = t.told(asker);
    assert_eq!(told.len(), 2);
    for peer in told {
        assert!(!known.iter().any(|name| peer.starts_with(&format!("{name} "))), "{peer} is known");
    }
}

#[test]
fn complete_nodes_are_not_named_to_each_other() {
    let mut t = Tracker::new(1);
    t.joined("seed", "192.0.2.7:1", ALL);
    let other = t.joined("other", "192.0.2.8:1", ALL);
    assert_eq!(t.told(other), [""; 0]);
    let leech = t.joined("leech", "192.0.2.9:1", &[]);
    assert_eq!(t.told(leech).len(), 2);
    t.say(leech, ToTracker::Have { torrent: A, p: ALL.to_vec() });
    t.say(leech, ToTracker::Want { torrent: A, n: 5 });
    assert_eq!(t.told(leech), [""; 0], "complete now");
}

#[test]
fn a_status_answer_comes_in_parts_and_has_a_bound() {
    let mut t = Tracker::new(1);
    let conn = t.hello("n", "192.0.2.7:1");
    let hash = |i: u32| {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&i.to_be_bytes());
        InfoHash(hash)
    };
    let rows = limits::STATUS_ROWS_PER_MESSAGE as u32 + 1;
    for i in 0..rows {
        t.say(conn, ToTracker::Join { torrent: hash(i), pieces: 1, have: vec![], want: 1 });
    }
    let ask = t.open("192.0.2.9:1");
    t.say(ask, ToTracker::Status { torrent: None });
    let parts: Vec<_> = t
        .sent(ask)
        .into_iter()
        .map(|m| match m {
            FromTracker::Status { more, rows } => (more, rows.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(parts, [(true, limits::STATUS_ROWS_PER_MESSAGE), (false, 1)]);
    t.say(ask, ToTracker::Status { torrent: Some(hash(7)) });
    t.say(ask, ToTracker::Status { torrent: Some(A) });
    let parts = t.sent(ask);
    assert!(matches!(&parts[0], FromTracker::Status { more: false, rows } if rows.len() == 1));
    assert!(matches!(&parts[1], FromTracker::Status { more: false, rows } if rows.is_empty()));
    for i in 0..limits::STATUS_ROWS_MAX as u32 {
        let torrent = hash(rows + i);
        if i % 9_000 == 0 {
            t.hello(&format!("more{i}"), "192.0.2.7:1");
        }
        let conn = ConnId(t.conns);
        t.registry.handle(
            Input::Message {
                conn,
                message: ToTracker::Join { torrent, pieces: 1, have: vec![], want: 1 },
            },
            t.now,
        );
    }
    t.say(ask, ToTracker::Status { torrent: None });
    assert!(
        matches!(&t.sent(ask)[..], [FromTracker::Error { why }] if why.contains("ask for one torrent"))
    );
}

#[test]
fn a_torrent_that_was_given_is_handed_out_in_parts() {
    let mut t = Tracker::new(1);
    let whole: Vec<u8> = (0..limits::TORRENT_CHUNK_BYTES + 7).map(|i| i as u8).collect();
    t.registry.publish(A, whole.clone().into());
    let ask = t.open("192.0.2.9:1");
    for at in [0, limits::TORRENT_CHUNK_BYTES, whole.len(), usize::MAX] {
        t.say(ask, ToTracker::Torrent { torrent: A, at: at as u64 });
        let [FromTracker::Torrent { torrent: A, total, data, .. }] = &t.sent(ask)[..] else {
            panic!("no part from {at} on");
        };
        assert_eq!(*total, whole.len() as u64);
        let part = BASE64.decode(data).expect("base64");
        let rest = whole.get(at..).unwrap_or_default();
        assert_eq!(part, rest[..rest.len().min(limits::TORRENT_CHUNK_BYTES)], "from {at} on");
    }
    t.say(ask, ToTracker::Torrent { torrent: B, at: 0 });
    assert!(
        matches!(&t.sent(ask)[..], [FromTracker::Error { why }] if why.contains("no .torrent"))
    );
    assert!(t.closed.contains_key(&ask));
}

/// A torrent with a number.
fn torrent(number: u32) -> InfoHash {
    let mut hash = [0; 20];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    InfoHash(hash)
}
