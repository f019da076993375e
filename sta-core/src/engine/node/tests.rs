use std::time::Duration;

use smallvec::smallvec;

use super::Node;
use crate::engine::interface::{ConnId, Input, Output, Torrent};
use crate::model::bitfield::{Bitfield, PieceRange};
use crate::model::config::EngineConfig;
use crate::model::event::Event;
use crate::model::ids::{InfoHash, NodeId};
use crate::model::limits;
use crate::model::rng::Seed;
use crate::model::time::Time;
use crate::testing::mesh::{Mesh, TORRENT};
use crate::wire::peer::{PeerMessage, VERSION};

const LATENCY: Duration = Duration::from_millis(5);
const RATE: u64 = 12_500_000;
const MINUTE: Duration = Duration::from_secs(60);

fn mesh(haves: &[&str]) -> Mesh {
    Mesh::new(haves, LATENCY, RATE, &EngineConfig::default())
}

#[test]
fn one_source_many_receivers() {
    let (full, none) = ("1".repeat(64), "0".repeat(64));
    let mut mesh = mesh(&[&full, &none, &none, &none, &none]);
    assert!(mesh.run(MINUTE, |mesh| (0..5).all(|n| mesh.complete(n))));
    let blocks = 64 * (64 << 10) / limits::BLOCK_BYTES_MIN as usize;
    let from_source =
        mesh.count(|r| r.who.as_str() == "n0" && matches!(r.event, Event::BlockSent { .. }));
    assert!(from_source < blocks * 3 / 2, "the source sent {from_source} blocks of {blocks}");
    let useless = mesh.count(|r| matches!(r.event, Event::BlockReceived { useful: false, .. }));
    assert!(useless <= 16, "{useless} blocks came twice");
}

#[test]
fn four_holders_of_a_quarter_feed_one() {
    let mut mesh = mesh(&["10001000", "01000100", "00100010", "00010001", "00000000"]);
    assert!(mesh.run(MINUTE, |mesh| (0..5).all(|n| mesh.complete(n))));
}

#[test]
fn nothing_is_announced_or_served_before_it_is_verified() {
    let mut mesh = mesh(&["11111111", "00000000", "00000000"]);
    assert!(mesh.run(MINUTE, |mesh| mesh.complete(1) && mesh.complete(2)));
    assert_eq!(passed_on_early(&mesh), 0, "who has room asks for what is whole");
}

#[test]
fn a_piece_is_passed_on_while_it_comes() {
    let (full, none) = ("1".repeat(64), "0".repeat(64));
    let rows: [&str; 6] = [&full, &none, &none, &none, &none, &none];
    let mut mesh = Mesh::new(&rows, LATENCY, RATE / 20, &EngineConfig::default());
    assert!(mesh.run(MINUTE, |mesh| (0..6).all(|n| mesh.complete(n))));
    assert!(passed_on_early(&mesh) > 0);
}

#[test]
fn who_never_sends_what_is_coming_to_it_holds_nobody_up_for_good() {
    let (full, none) = ("1".repeat(64), "0".repeat(64));
    let rows: [&str; 5] = [&full, &none, &none, &none, &none];
    let mut mesh = Mesh::new(&rows, LATENCY, RATE / 20, &EngineConfig::default());
    mesh.run(MINUTE, |mesh| passed_on_early(mesh) > 0);
    let relay = mesh.records.iter().rfind(|r| matches!(r.event, Event::BlockSent { .. }));
    let relay = relay.expect("a block was passed on").who.as_str().to_owned();
    mesh.silent.insert(relay[1..].parse().expect("nodes are called n and a number"));
    let others = (1..5).filter(|n| !mesh.silent.contains(n)).collect::<Vec<_>>();
    assert!(mesh.run(2 * MINUTE, |mesh| others.iter().all(|&n| mesh.complete(n))));
}

/// How many blocks were sent of pieces that were not whole. Nothing was announced or served that was not verified.
fn passed_on_early(mesh: &Mesh) -> usize {
    let mut early = 0;
    let mut right = std::collections::BTreeMap::new();
    let mut verified = std::collections::BTreeSet::new();
    for record in mesh.records.iter().filter(|record| record.who.as_str() != "n0") {
        match &record.event {
            Event::PieceVerified { piece, .. } => {
                verified.insert((record.who.clone(), *piece));
            }
            Event::PieceAnnounced { piece, .. } => {
                assert!(verified.contains(&(record.who.clone(), *piece)), "{record:?}");
            }
            Event::LeavesVerified { piece, bytes, .. } => {
                right.insert((record.who.clone(), *piece), *bytes);
            }
            Event::BlockSent { block, .. } => {
                let what = (record.who.clone(), block.piece);
                if !verified.contains(&what) {
                    let right = right.get(&what).copied().unwrap_or(0);
                    assert!(block.offset + block.len <= right, "{record:?}");
                    early += 1;
                }
            }
            _ => {}
        }
    }
    early
}

#[test]
fn who_sends_wrong_data_is_banned_and_the_rest_goes_on() {
    let mut mesh = mesh(&["11111111", "11111111", "00000000", "00000000"]);
    mesh.corrupt.insert(1);
    assert!(mesh.run(MINUTE, |mesh| mesh.complete(2) && mesh.complete(3)));
    let banned = |r: &crate::model::event::Record| match &r.event {
        Event::PeerBanned { peer, .. } => Some(peer.as_str().to_owned()),
        _ => None,
    };
    let culprits: Vec<String> = mesh.records.iter().filter_map(banned).collect();
    assert!(!culprits.is_empty(), "somebody met the corrupt node");
    assert!(culprits.iter().all(|peer| peer == "n1"), "only the corrupt node: {culprits:?}");
    let told = |r: &crate::model::event::Record| r.event.blames_us().map(|_| r.who.to_string());
    let told: Vec<String> = mesh.records.iter().filter_map(told).collect();
    assert!(!told.is_empty() && told.iter().all(|who| who == "n1"), "it hears why: {told:?}");
}

#[test]
fn a_source_that_falls_silent_holds_nobody_up_for_good() {
    let rows = ["1".repeat(256), "1".repeat(256), "0".repeat(256)];
    let mut mesh = mesh(&[&rows[0], &rows[1], &rows[2]]);
    mesh.run(Duration::from_millis(400), |_| false);
    mesh.silent.insert(0);
    assert!(mesh.run(MINUTE, |mesh| mesh.complete(2)));
}

fn node() -> (Node, Mesh) {
    let mesh = mesh(&["1111"]);
    let id = "me".parse().expect("a plain name");
    let mut node = Node::new(id, 6881, EngineConfig::default(), Seed(1));
    let have = Bitfield::full(4);
    node.handle(Input::Add(Box::new(mesh.torrent(have, Vec::new()))), Time::ZERO);
    while node.poll_output().is_some() {}
    (node, mesh)
}

/// Sixty-four names from one machine kept everybody else out, also whom the node dialled itself.
#[test]
fn who_comes_with_many_names_keeps_out_nobody_else() {
    let (mut node, _) = node();
    let mut come = |number, host: [u8; 4], name: &str| {
        let conn = ConnId::accepted(number);
        node.handle(Input::Accepted { conn, remote: (host, 5000).into() }, Time::ZERO);
        node.handle(Input::Message { conn, message: hello(name) }, Time::ZERO);
        let outputs: Vec<Output> = std::iter::from_fn(|| node.poll_output()).collect();
        let closed = outputs.iter().find_map(|output| match output {
            Output::Close { conn, .. } => Some(*conn),
            _ => None,
        });
        (conn, closed)
    };
    let (crowd, others) = ([192, 0, 2, 66], |host| [198, 51, 100, host]);
    let most = limits::PEERS_PER_TORRENT_MAX as u32;
    for number in 0..most {
        assert_eq!(come(number, crowd, &format!("many-{number}")).1, None);
    }
    let (late, closed) = come(most, crowd, "one-more");
    assert_eq!(closed, Some(late), "of its own kind nobody makes room");
    for host in 1..most as u8 {
        let (conn, closed) = come(most + u32::from(host), others(host), &format!("other-{host}"));
        let closed = closed.expect("there is no room for all");
        assert_ne!(closed, conn);
        assert!(closed.number() < most, "one of the crowd goes: {closed:?}");
    }
    let (last, closed) = come(2 * most, others(250), "last");
    assert_eq!(closed, Some(last), "nobody has many any more");
}

/// Each had ticks of its own, and at each tick of one all were looked at.
#[test]
fn torrents_that_come_one_after_the_other_tick_together() {
    let (mut node, mesh) = node();
    let mut now = Time::ZERO;
    for i in 1..50 {
        now += Duration::from_millis(7);
        let torrent = mesh.torrent(Bitfield::full(4), Vec::new());
        let torrent = Torrent { info_hash: InfoHash([i; 20]), ..torrent };
        node.handle(Input::Add(Box::new(torrent)), now);
    }
    let (start, mut ticks) = (now, 0);
    while now < start + Duration::from_secs(10) {
        now = node.deadline();
        node.handle(Input::Tick, now);
        ticks += 1;
    }
    assert!(ticks <= 21, "{ticks} ticks in ten seconds");
}

fn hello(node: &str) -> PeerMessage {
    let node: NodeId = node.parse().expect("a plain name");
    PeerMessage::Hello { v: VERSION, node, torrent: TORRENT }
}

const CONN: ConnId = ConnId::accepted(1);

/// What a node does with a connection on which `messages` come.
fn outcome(messages: Vec<PeerMessage>) -> Vec<Output> {
    let (mut node, _) = node();
    let remote = ([192, 0, 2, 7], 5000).into();
    node.handle(Input::Accepted { conn: CONN, remote }, Time::ZERO);
    for message in messages {
        node.handle(Input::Message { conn: CONN, message }, Time::ZERO);
    }
    std::iter::from_fn(|| node.poll_output()).collect()
}

fn closed(outputs: &[Output]) -> Option<String> {
    outputs.iter().find_map(|output| match output {
        Output::Close { why, .. } => Some(why.clone()),
        _ => None,
    })
}

#[test]
fn who_connects_later_is_told_what_is_coming() {
    let mesh = mesh(&["0000"]);
    let mut node = Node::new("me".parse().expect("a name"), 6881, EngineConfig::default(), Seed(1));
    node.handle(Input::Add(Box::new(mesh.torrent(Bitfield::empty(4), Vec::new()))), Time::ZERO);
    let mut tell = |input| {
        node.handle(input, Time::ZERO);
        std::iter::from_fn(|| node.poll_output()).collect::<Vec<_>>()
    };
    let remote = ([192, 0, 2, 7], 5000).into();
    tell(Input::Accepted { conn: CONN, remote });
    let third = PeerMessage::Have { p: smallvec![PieceRange(2, 2)] };
    let asked: Vec<Output> = [hello("p"), third, PeerMessage::Unchoke]
        .into_iter()
        .flat_map(|message| tell(Input::Message { conn: CONN, message }))
        .collect();
    let first_request = asked.iter().find_map(|output| match output {
        Output::Send { message: PeerMessage::Get { id, block }, .. } => Some((*id, *block)),
        _ => None,
    });
    let (id, block) = first_request.expect("the piece that p has is asked for");
    let kept = tell(Input::Block { conn: CONN, id, block: block.into() });
    let question = kept.iter().find_map(|output| match output {
        Output::CheckLeaves { torrent, piece, bytes } => Some((*torrent, *piece, *bytes)),
        _ => None,
    });
    let (torrent, piece, right) = question.expect("whole leaves are here");
    tell(Input::LeavesChecked { torrent, piece, right });

    let late = ConnId::accepted(2);
    tell(Input::Accepted { conn: late, remote });
    let told = tell(Input::Message { conn: late, message: hello("late") });
    let says_so = |output: &Output| matches!(output, Output::Send { conn, message: PeerMessage::Coming { i: 2 } } if *conn == late);
    assert!(told.iter().any(says_so), "{told:?}");
}

#[test]
fn the_last_blocks_are_asked_of_an_idle_peer_too_when_the_first_has_not_answered() {
    let mesh = mesh(&["0000"]);
    let mut node = Node::new("me".parse().expect("a name"), 6881, EngineConfig::default(), Seed(1));
    let mut have = Bitfield::full(4);
    have.remove(2);
    node.handle(Input::Add(Box::new(mesh.torrent(have, Vec::new()))), Time::ZERO);
    let remote = ([192, 0, 2, 7], 5000).into();
    let mut asked_of = |number: u32, after: Duration| {
        let (conn, now) = (ConnId::accepted(number), Time::ZERO + after);
        node.handle(Input::Accepted { conn, remote }, now);
        let all = PeerMessage::Have { p: smallvec![PieceRange(0, 3)] };
        for message in [hello(&format!("p{number}")), all, PeerMessage::Unchoke] {
            node.handle(Input::Message { conn, message }, now);
        }
        let asks = |output: &Output| matches!(output, Output::Send { conn: of, message: PeerMessage::Get { .. } } if *of == conn);
        std::iter::from_fn(|| node.poll_output()).filter(asks).count()
    };
    let blocks = (64 << 10) / limits::BLOCK_BYTES_MIN as usize;
    assert_eq!(asked_of(1, Duration::ZERO), blocks, "all of the only piece that lacks");
    assert!(asked_of(2, Duration::from_millis(100)) > 0, "a tenth of a second later");
}

#[test]
fn strangers_must_say_a_proper_hello() {
    let other = PeerMessage::Hello {
        v: VERSION,
        node: "p".parse().expect("a plain name"),
        torrent: crate::model::ids::InfoHash([9; 20]),
    };
    let block = crate::model::layout::Block { piece: 9, offset: 0, len: 1 << 14 }.into();
    let range = PieceRange(0, 99);
    let table: [(Vec<PeerMessage>, Option<&str>); 7] = [
        (vec![hello("p")], None),
        (vec![PeerMessage::Ping], Some("it did not begin with hello")),
        (vec![other], Some("this torrent is not known here")),
        (vec![hello("me")], Some("this is myself, or another node with my id")),
        (vec![hello("p"), hello("p")], Some("it sent a message out of place")),
        (
            vec![hello("p"), PeerMessage::Get { id: 1, block }],
            Some("it asked for what is no block of this torrent"),
        ),
        (
            vec![hello("p"), PeerMessage::Have { p: smallvec![range] }],
            Some("it claims a piece that does not exist"),
        ),
    ];
    for (messages, expected) in table {
        let shown = format!("{messages:?}");
        assert_eq!(closed(&outcome(messages)).as_deref(), expected, "{shown}");
    }
}

#[test]
fn who_says_nothing_is_dropped_in_time() {
    let (mut node, _) = node();
    let remote = ([192, 0, 2, 7], 5000).into();
    node.handle(Input::Accepted { conn: CONN, remote }, Time::ZERO);
    let late = Time::ZERO + limits::HANDSHAKE_TIMEOUT;
    assert!(node.deadline() <= late);
    node.handle(Input::Tick, late);
    let outputs: Vec<_> = std::iter::from_fn(|| node.poll_output()).collect();
    assert_eq!(closed(&outputs).as_deref(), Some("it did not say hello in time"));
}

#[test]
fn data_that_nobody_asked_for_ends_the_session() {
    let (mut node, _) = node();
    let remote = ([192, 0, 2, 7], 5000).into();
    node.handle(Input::Accepted { conn: CONN, remote }, Time::ZERO);
    node.handle(Input::Message { conn: CONN, message: hello("p") }, Time::ZERO);
    let block = crate::model::layout::Block { piece: 0, offset: 0, len: 1 << 14 };
    node.handle(Input::Block { conn: CONN, id: 1, block }, Time::ZERO);
    let outputs: Vec<_> = std::iter::from_fn(|| node.poll_output()).collect();
    assert!(closed(&outputs).is_some());
    assert!(!outputs.iter().any(|output| matches!(output, Output::Keep { .. })));
}

#[test]
fn torrents_come_and_go_without_touching_the_others() {
    let (mut node, mesh) = node();
    let torrent = |n: u8| InfoHash([n; 20]);
    let add = |node: &mut Node, n: u8| {
        let new = Torrent { info_hash: torrent(n), ..mesh.torrent(Bitfield::full(4), Vec::new()) };
        node.handle(Input::Add(Box::new(new)), Time::ZERO);
    };
    let hashes = |node: &Node| -> Vec<InfoHash> {
        node.status(Time::ZERO).torrents.iter().map(|torrent| torrent.info_hash).collect()
    };
    node.handle(Input::Remove(TORRENT), Time::ZERO);
    for n in [9, 3, 5] {
        add(&mut node, n);
    }
    node.handle(Input::Remove(torrent(3)), Time::ZERO);
    assert_eq!(hashes(&node), [5, 9].map(torrent));
    for n in [7, 4, 7] {
        add(&mut node, n);
    }
    assert_eq!(hashes(&node), [4, 5, 7, 9].map(torrent), "in order, each once");
    node.handle(Input::Stop, Time::ZERO);
    assert_eq!(hashes(&node), []);
}
