//! A node among peers that follow a script: what it says to them, step by step.

use std::time::Duration;

use smallvec::smallvec;

use crate::engine::interface::{ConnId, Input, Output, Torrent};
use crate::engine::node::Node;
use crate::model::address::Address;
use crate::model::bitfield::{Bitfield, PieceRange};
use crate::model::config::EngineConfig;
use crate::model::event::Event;
use crate::model::ids::InfoHash;
use crate::model::layout::{Block, Layout};
use crate::model::limits;
use crate::model::rng::Seed;
use crate::model::status::StoreError;
use crate::model::time::Time;
use crate::wire::peer::{PeerMessage, RejectReason, VERSION};

const TORRENT: InfoHash = InfoHash([7; 20]);
const PIECE: u32 = 16 << 10;

mod unreadable;

/// A node with one torrent, whose pieces are blocks.
struct Script {
    node: Node,
    now: Time,
    piece_bytes: u32,
}

impl Script {
    /// It has the pieces whose digit is 1.
    fn new(have: &str) -> Self {
        Self::with_pieces(have, PIECE)
    }

    /// The same with pieces of so many bytes.
    fn with_pieces(have: &str, piece_bytes: u32) -> Self {
        let mut script = Self::idle(piece_bytes);
        script.takes_part(TORRENT, have, &[]);
        script
    }

    fn idle(piece_bytes: u32) -> Self {
        let id = "me".parse().expect("a plain name");
        let node = Node::new(id, 6881, EngineConfig::default(), Seed(1));
        Self { node, now: Time::ZERO, piece_bytes }
    }

    /// It has all of these pieces, which are durable, and a tracker.
    fn seeding(have: &str, tracker: &Address) -> Self {
        let mut script = Self::idle(PIECE);
        script.joins(TORRENT, have, vec![tracker.clone()], &[]);
        script.tell(Input::Finished { torrent: TORRENT, result: Ok(()) });
        script
    }

    /// It takes part in `torrent`, and knows the hosts 192.0.2.`peers`.
    fn takes_part(&mut self, torrent: InfoHash, have: &str, peers: &[u8]) -> Vec<Output> {
        self.joins(torrent, have, Vec::new(), peers)
    }

    fn joins(
        &mut self,
        torrent: InfoHash,
        have: &str,
        trackers: Vec<Address>,
        peers: &[u8],
    ) -> Vec<Output> {
        let layout = Layout::new(have.len() as u64 * u64::from(self.piece_bytes), self.piece_bytes);
        let mut pieces = Bitfield::empty(have.len() as u32);
        for (piece, _) in (0..).zip(have.bytes()).filter(|(_, digit)| *digit == b'1') {
            pieces.insert(piece);
        }
        let address = |&host: &u8| Address { host: format!("192.0.2.{host}"), port: 6881 };
        self.tell(Input::Add(Box::new(Torrent {
            info_hash: torrent,
            layout: layout.expect("in bounds"),
            have: pieces,
            trackers,
            peers: peers.iter().map(address).collect(),
            fetch: true,
        })))
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.node.handle(input, self.now);
        std::iter::from_fn(|| self.node.poll_output()).collect()
    }

    /// A peer called `name` connects from the host 192.0.2.`host`.
    fn meet(&mut self, number: u32, name: &str, host: u8) -> (ConnId, Vec<Output>) {
        let conn = ConnId::accepted(number);
        self.tell(Input::Accepted { conn, remote: ([192, 0, 2, host], 5000).into() });
        let node = name.parse().expect("a plain name");
        let outputs = self.say(conn, PeerMessage::Hello { v: VERSION, node, torrent: TORRENT });
        (conn, outputs)
    }

    fn say(&mut self, conn: ConnId, message: PeerMessage) -> Vec<Output> {
        self.tell(Input::Message { conn, message })
    }

    fn has(&mut self, conn: ConnId, first: u32, last: u32) -> Vec<Output> {
        self.say(conn, PeerMessage::Have { p: smallvec![PieceRange(first, last)] })
    }

    /// The piece of the request `id`, its only block, comes and is checked.
    fn sends(&mut self, conn: ConnId, id: u64, block: Block) -> Vec<Output> {
        let mut outputs = self.tell(Input::Block { conn, id, block });
        if outputs.iter().any(|output| matches!(output, Output::Check { .. })) {
            outputs.extend(self.checks(block.piece));
        }
        outputs
    }

    fn digests(&mut self, piece: u32, number: u64, kinds: &[u8]) -> Vec<Output> {
        let digests = kinds.iter().map(|kind| [*kind; 32]).collect();
        self.tell(Input::Digested { torrent: TORRENT, piece, number, digests })
    }

    fn checks(&mut self, piece: u32) -> Vec<Output> {
        self.tell(Input::Checked { torrent: TORRENT, piece, result: Ok(true) })
    }
}

/// The question for digests of blocks: its number, and how many blocks.
fn questions(outputs: &[Output]) -> Option<(u64, usize)> {
    outputs.iter().find_map(|output| match output {
        Output::Digest { number, blocks, .. } => Some((*number, blocks.len())),
        _ => None,
    })
}

/// Who is banned.
fn banned(outputs: &[Output]) -> Vec<String> {
    let ban = |output: &Output| match output {
        Output::Event(Event::PeerBanned { peer, .. }) => Some(peer.to_string()),
        _ => None,
    };
    outputs.iter().filter_map(ban).collect()
}

/// The requests to `conn`.
fn gets(outputs: &[Output], conn: ConnId) -> Vec<(u64, Block)> {
    let get = |output: &Output| match output {
        Output::Send { conn: to, message: PeerMessage::Get { id, block } } if *to == conn => {
            Some((*id, (*block).into()))
        }
        _ => None,
    };
    outputs.iter().filter_map(get).collect()
}

/// The pieces that `conn` is told of.
fn told(outputs: &[Output], conn: ConnId) -> Vec<PieceRange> {
    let have = |output: &Output| match output {
        Output::Send { conn: to, message: PeerMessage::Have { p } } if *to == conn => {
            Some(p.clone())
        }
        _ => None,
    };
    outputs.iter().filter_map(have).flatten().collect()
}

fn dials(outputs: &[Output]) -> Vec<ConnId> {
    let dial = |output: &Output| match output {
        Output::Dial { conn, .. } => Some(*conn),
        _ => None,
    };
    outputs.iter().filter_map(dial).collect()
}

fn closed(outputs: &[Output]) -> Vec<ConnId> {
    let close = |output: &Output| match output {
        Output::Close { conn, .. } => Some(*conn),
        _ => None,
    };
    outputs.iter().filter_map(close).collect()
}

#[test]
fn who_becomes_a_source_is_told_what_it_was_not() {
    let mut me = Script::new("000");
    let (becoming, _) = me.meet(1, "becoming", 1);
    let (other, _) = me.meet(2, "other", 2);
    me.has(becoming, 0, 0);
    me.has(other, 0, 0);
    let asked = me.say(other, PeerMessage::Unchoke);
    let &[(id, block)] = gets(&asked, other).as_slice() else { panic!("{asked:?}") };
    let outputs = me.sends(other, id, block);
    assert_eq!(told(&outputs, becoming), [], "it has that piece, and lacks others");
    let outputs = me.has(becoming, 1, 2);
    assert_eq!(told(&outputs, becoming), [PieceRange::one(0)], "sources go by what they know");
}

#[test]
fn near_a_source_what_several_offer_is_not_passed_on_before_it_is_whole() {
    let mut me = Script::with_pieces("000", 4 * PIECE);
    let (source, _) = me.meet(1, "source", 1);
    let (other, _) = me.meet(2, "other", 2);
    me.has(source, 0, 2);
    me.has(other, 0, 0);
    let looks = |outputs: &[Output]| {
        outputs.iter().any(|output| matches!(output, Output::CheckLeaves { .. }))
    };
    let comes = |me: &mut Script, conn, (id, block)| me.tell(Input::Block { conn, id, block });

    let asked = me.say(source, PeerMessage::Unchoke);
    let rare = gets(&asked, source)[0];
    assert_ne!(rare.1.piece, 0, "the source alone has it");
    assert!(looks(&comes(&mut me, source, rare)));

    let asked = me.say(other, PeerMessage::Unchoke);
    let shared = gets(&asked, other);
    assert_eq!(shared[0].1.piece, 0);
    assert!(!looks(&comes(&mut me, other, shared[0])));
    me.tell(Input::Closed { conn: source, why: "gone".into() });
    assert!(looks(&comes(&mut me, other, shared[1])), "now it may be far from any source");
}

#[test]
fn who_leaves_a_torrent_asks_and_dials_nobody_any_more() {
    let mut me = Script::new("0000");
    let (one, _) = me.meet(1, "one", 1);
    let (two, _) = me.meet(2, "two", 2);
    for conn in [one, two] {
        me.has(conn, 0, 3);
        me.say(conn, PeerMessage::Unchoke);
    }
    let mut outputs = me.tell(Input::Remove(TORRENT));
    me.now = Time::ZERO + Duration::from_secs(60);
    outputs.extend(me.tell(Input::Tick));
    assert_eq!(closed(&outputs), [one, two]);
    let busy = |output: &&Output| {
        let get = matches!(output, Output::Send { message: PeerMessage::Get { .. }, .. });
        get || matches!(output, Output::Dial { .. } | Output::Event(Event::BlockAsked { .. }))
    };
    assert_eq!(outputs.iter().filter(busy).count(), 0, "{outputs:?}");
}

#[test]
fn the_last_block_of_who_is_silent_is_asked_of_who_spoke_of_late() {
    let mut me = Script::new("0");
    let (quiet, _) = me.meet(1, "quiet", 1);
    let (holder, _) = me.meet(2, "holder", 2);
    let (lively, _) = me.meet(3, "lively", 3);
    for conn in [holder, quiet, lively] {
        me.has(conn, 0, 0);
        let asked = me.say(conn, PeerMessage::Unchoke);
        assert_eq!(gets(&asked, conn).len(), usize::from(conn == holder));
    }
    for second in 1..5 {
        me.now = Time::ZERO + Duration::from_secs(second);
        me.say(lively, PeerMessage::Ping);
        let outputs = me.tell(Input::Tick);
        assert_eq!(gets(&outputs, quiet), [], "it may be as dead as the holder");
        if !gets(&outputs, lively).is_empty() {
            return;
        }
    }
    panic!("nobody is asked");
}

#[test]
fn a_dial_for_a_torrent_that_was_left_is_given_up() {
    let mut me = Script::new("0000");
    let other = InfoHash([8; 20]);
    let dials = dials(&me.takes_part(other, "0", &[9]));
    assert_eq!(dials.len(), 1);
    assert_eq!(closed(&me.tell(Input::Remove(other))), dials);
}

#[test]
fn who_dials_itself_does_so_once() {
    let mut me = Script::new("0000");
    let torrent = InfoHash([8; 20]);
    let &[conn] = dials(&me.takes_part(torrent, "0", &[9])).as_slice() else { panic!("one dial") };
    me.tell(Input::Dialled { conn, remote: ([192, 0, 2, 9], 6881).into() });
    let node = "me".parse().expect("a plain name");
    let refused = me.say(conn, PeerMessage::Hello { v: VERSION, node, torrent });
    assert_eq!(closed(&refused), [conn]);
    for second in 1..60 {
        me.now = Time::ZERO + Duration::from_secs(second);
        assert_eq!(dials(&me.tell(Input::Tick)), []);
    }
}

#[test]
fn a_name_that_is_connected_cannot_be_taken_from_another_host() {
    let mut me = Script::new("1111");
    let (alice, _) = me.meet(1, "alice", 1);
    let (thief, outputs) = me.meet(2, "alice", 2);
    assert_eq!(closed(&outputs), [thief]);
    let (_, outputs) = me.meet(3, "alice", 1);
    assert_eq!(closed(&outputs), [alice], "she has lost the first connection");
}

#[test]
fn who_is_banned_under_a_name_bans_nobody_of_that_name_elsewhere() {
    let mut me = Script::new("0");
    let (thief, _) = me.meet(1, "alice", 2);
    me.has(thief, 0, 0);
    let asked = me.say(thief, PeerMessage::Unchoke);
    let &[(id, block)] = gets(&asked, thief).as_slice() else { panic!("{asked:?}") };
    me.tell(Input::Block { conn: thief, id, block });
    let wrong = me.tell(Input::Checked { torrent: TORRENT, piece: 0, result: Ok(false) });
    assert_eq!(closed(&wrong), [thief]);
    assert_eq!(closed(&me.meet(2, "alice", 2).1), [ConnId::accepted(2)]);
    assert_eq!(closed(&me.meet(3, "alice", 1).1), []);
}

/// Three times a liar, each time under another name, sends a part of a piece of which a friend sends the rest.
#[test]
fn who_sends_right_blocks_is_not_banned_for_the_company_it_is_in() {
    let mut me = Script::with_pieces("000", 2 * PIECE);
    let mut conns = 1..;
    for round in 0..3 {
        let mut meet = |me: &mut Script, name: &str, host: u8| {
            let (conn, outputs) = me.meet(conns.next().expect("numbers go on"), name, host);
            assert_eq!(closed(&outputs), []);
            conn
        };
        let liar = meet(&mut me, &format!("liar-{round}"), 2);
        me.has(liar, round, round);
        let asked = gets(&me.say(liar, PeerMessage::Unchoke), liar);
        assert_eq!(asked.len(), 2, "{asked:?}");
        me.tell(Input::Block { conn: liar, id: asked[0].0, block: asked[0].1 });
        me.tell(Input::Closed { conn: liar, why: "gone".into() });
        let friend = meet(&mut me, "friend", 1);
        me.has(friend, round, round);
        let asked = gets(&me.say(friend, PeerMessage::Unchoke), friend);
        let &[(id, block)] = asked.as_slice() else { panic!("{asked:?}") };
        me.tell(Input::Block { conn: friend, id, block });
        let wrong = me.tell(Input::Checked { torrent: TORRENT, piece: round, result: Ok(false) });
        assert_eq!(closed(&wrong), [], "nobody knows who it was");
        let (first, blocks) = questions(&wrong).expect("what were the blocks?");
        assert_eq!(blocks, 2);
        me.digests(round, first, &[1, 0]);
        for (id, block) in gets(&wrong, friend) {
            me.tell(Input::Block { conn: friend, id, block });
        }
        let right = me.checks(round);
        let (second, _) = questions(&right).expect("what are they now?");
        assert_eq!(banned(&me.digests(round, second, &[0, 0])), [format!("liar-{round}")]);
        me.tell(Input::Closed { conn: friend, why: "gone".into() });
    }
    let (again, outputs) = me.meet(conns.next().expect("numbers go on"), "liar-0", 2);
    assert_eq!(closed(&outputs), [again]);
}

#[test]
fn a_store_that_failed_for_good_is_not_mended_by_what_was_stored_before() {
    let mut me = Script::new("0000");
    let (peer, _) = me.meet(1, "peer", 1);
    me.has(peer, 0, 3);
    let asked = gets(&me.say(peer, PeerMessage::Unchoke), peer);
    for &(id, block) in &asked[..2] {
        me.tell(Input::Block { conn: peer, id, block });
    }
    let why = StoreError { path: "data".into(), reason: "gone".into(), passing: false };
    me.tell(Input::NotWritten { torrent: TORRENT, block: asked[0].1, why: why.clone() });
    me.checks(asked[1].1.piece);
    let status = me.node.status(me.now);
    assert_eq!(status.torrents[0].failed.as_ref(), Some(&why));
}

/// A node that is behind its neighbours asks for more: for up to four times as much as may ever be asked of a peer.
#[test]
fn who_is_behind_a_fast_peer_asks_for_no_more_than_may_be_asked_at_once() {
    const PIECES: u32 = 3_000;
    let mut me = Script::with_pieces(&"0".repeat(PIECES as usize), 1 << 20);
    let (peer, _) = me.meet(1, "fast", 1);
    me.has(peer, 0, PIECES - 2);
    let mut owed = gets(&me.say(peer, PeerMessage::Unchoke), peer);
    let mut most = 0;
    for _ in 0..30 {
        me.now += Duration::from_millis(20);
        for (id, block) in std::mem::take(&mut owed) {
            let outputs = me.sends(peer, id, block);
            owed.extend(gets(&outputs, peer));
        }
        owed.extend(gets(&me.tell(Input::Tick), peer));
        most = most.max(owed.iter().map(|(_, block)| u64::from(block.len)).sum());
    }
    let (least, limit) = (limits::IN_FLIGHT_BYTES_MAX / 2, limits::IN_FLIGHT_BYTES_MAX);
    assert!((least..=limit).contains(&most), "{most} bytes of {limit}");
}

/// They claimed everything, answered nothing, and kept all places of neighbours for as long as they said ping.
#[test]
fn who_answers_nothing_keeps_nobody_from_being_dialled() {
    let node = Node::new("me".parse().expect("a name"), 6881, EngineConfig::default(), Seed(1));
    let mut me = Script { node, now: Time::ZERO, piece_bytes: PIECE };
    let conn = dials(&me.takes_part(TORRENT, "0000", &[9]))[0];
    me.tell(Input::Closed { conn, why: "refused".to_owned() });
    let mute: Vec<ConnId> = (10..20)
        .map(|host| {
            let (conn, _) = me.meet(host.into(), &format!("mute-{host}"), host);
            me.has(conn, 0, 3);
            me.say(conn, PeerMessage::Unchoke);
            conn
        })
        .collect();
    let mut dialled = None;
    let patience = EngineConfig::default().request_timeout;
    while dialled.is_none() && me.now < Time::ZERO + 3 * patience {
        me.now += Duration::from_millis(500);
        for conn in &mute {
            me.say(*conn, PeerMessage::Ping);
        }
        dialled = dials(&me.tell(Input::Tick)).first().map(|_| me.now);
    }
    assert!(dialled.is_some_and(|at| at >= Time::ZERO + patience), "{dialled:?}");
}

#[test]
fn dials_under_way_leave_room_for_who_connects() {
    let mut me = Script::new("0000");
    let torrents = (100..130).map(|n| InfoHash([n; 20]));
    let under_way = torrents.map(|torrent| {
        let peers: Vec<u8> = (1..=10).collect();
        dials(&me.takes_part(torrent, "0", &peers)).len()
    });
    assert!(under_way.sum::<usize>() > limits::HANDSHAKES_PENDING_MAX);
    let (_, outputs) = me.meet(1, "guest", 251);
    assert_eq!(closed(&outputs), []);
}

#[test]
fn a_source_that_has_nothing_better_to_send_sends_what_others_claim_to_have() {
    let mut me = Script::new("1111");
    let (liar, _) = me.meet(1, "liar", 1);
    me.has(liar, 0, 1);
    let mut host = 1;
    let mut asks = |me: &mut Script, piece| {
        host += 1;
        let (peer, _) = me.meet(host.into(), &format!("peer-{host}"), host);
        let block = Block { piece, offset: 0, len: PIECE };
        let outputs = me.say(peer, PeerMessage::Get { id: 1, block: block.into() });
        let served = outputs.iter().any(|output| matches!(output, Output::SendBlock { .. }));
        let why = RejectReason::Elsewhere;
        let elsewhere = |output: &Output| matches!(output, Output::Send { message, .. } if *message == PeerMessage::Reject { id: 1, why });
        assert_ne!(served, outputs.iter().any(elsewhere), "{outputs:?}");
        me.tell(Input::Sent { conn: peer });
        served
    };
    me.now += Duration::from_secs(1);
    assert!(asks(&mut me, 0), "nobody asks for anything better");
    assert!(asks(&mut me, 1));
    assert!(asks(&mut me, 2), "only it has this");
    assert!(!asks(&mut me, 1), "there may be more like that");
    me.now += Duration::from_secs(1);
    assert!(asks(&mut me, 1), "there is not");
}

#[test]
fn who_comes_with_the_name_of_another_host_does_not_stand_in_its_way() {
    let mut me = Script::new("0");
    let torrent = InfoHash([8; 20]);
    let dialled = dials(&me.takes_part(torrent, "0", &[9]))[0];
    let hello = |node: &str| PeerMessage::Hello {
        v: VERSION,
        node: node.parse().expect("a plain name"),
        torrent,
    };
    let liar = ConnId::accepted(1);
    me.tell(Input::Accepted { conn: liar, remote: ([192, 0, 2, 250], 5000).into() });
    assert_eq!(closed(&me.say(liar, hello("source"))), []);
    me.tell(Input::Dialled { conn: dialled, remote: ([192, 0, 2, 9], 6881).into() });
    assert_eq!(closed(&me.say(dialled, hello("source"))), [liar], "whom it dialled it has chosen");
}

#[test]
fn who_connects_and_says_nothing_keeps_out_nobody_else() {
    let mut me = Script::new("1");
    let comes = |me: &mut Script, number: u32, host: u8| {
        let conn = ConnId::accepted(number);
        me.tell(Input::Accepted { conn, remote: ([192, 0, 2, host], 5000).into() })
    };
    let most = limits::HANDSHAKES_PENDING_MAX as u32;
    comes(&mut me, 0, 3);
    for number in 1..most {
        assert_eq!(closed(&comes(&mut me, number, 2)), []);
    }
    let outputs = comes(&mut me, most, 1);
    assert_eq!(closed(&outputs), [ConnId::accepted(1)], "the oldest of the host with most");
}

#[test]
fn a_have_of_too_many_ranges_ends_the_session() {
    let mut me = Script::new("000");
    let (peer, _) = me.meet(1, "peer", 1);
    let p = |ranges: usize| PeerMessage::Have { p: vec![PieceRange(0, 1); ranges].into() };
    let outputs = me.say(peer, p(limits::HAVE_RANGES_MAX));
    assert_eq!(closed(&outputs), []);
    assert_eq!(closed(&me.say(peer, p(limits::HAVE_RANGES_MAX + 1))), [peer]);
}

/// A piece of many blocks that was wrong, and that two peers had sent: the peer that is asked for it now, for what, and the other.
fn wrong_by_two(me: &mut Script) -> (ConnId, Vec<(u64, Block)>, ConnId) {
    let (first, _) = me.meet(1, "first", 1);
    me.has(first, 0, 0);
    let mut asked = gets(&me.say(first, PeerMessage::Unchoke), first);
    let (second, _) = me.meet(2, "second", 2);
    me.has(second, 0, 0);
    let mut taken = gets(&me.say(second, PeerMessage::Unchoke), second);
    while !(asked.is_empty() && taken.is_empty()) {
        for (conn, gets_of) in [(first, &mut asked), (second, &mut taken)] {
            for (id, block) in std::mem::take(gets_of) {
                gets_of.extend(gets(&me.tell(Input::Block { conn, id, block }), conn));
            }
        }
    }
    let wrong = me.tell(Input::Checked { torrent: TORRENT, piece: 0, result: Ok(false) });
    assert_eq!(banned(&wrong), [""; 0], "two have sent it");
    let (by_first, by_second) = (gets(&wrong, first), gets(&wrong, second));
    assert_ne!(by_first.is_empty(), by_second.is_empty(), "one sends it all");
    if by_second.is_empty() { (first, by_first, second) } else { (second, by_second, first) }
}

#[test]
fn a_piece_that_was_wrong_comes_from_one_peer_or_anew() {
    let mut me = Script::with_pieces("0", 64 * PIECE);
    let (owner, asked, other) = wrong_by_two(&mut me);
    assert!(asked.len() > 1);
    let (id, block) = asked[0];
    me.tell(Input::Block { conn: owner, id, block });
    let reject = PeerMessage::Reject { id: asked[1].0, why: RejectReason::Gone };
    let mut anew = gets(&me.say(owner, reject), other);
    assert_eq!(anew[0].1.offset, 0, "all of it, and not what is left");
    let (id, block) = asked[asked.len() - 1];
    me.tell(Input::Block { conn: owner, id, block });
    while !anew.is_empty() {
        for (id, block) in std::mem::take(&mut anew) {
            anew.extend(gets(&me.tell(Input::Block { conn: other, id, block }), other));
        }
    }
    let wrong = me.tell(Input::Checked { torrent: TORRENT, piece: 0, result: Ok(false) });
    assert_eq!(banned(&wrong).len(), 1, "one alone has sent it: {wrong:?}");
}

#[test]
fn a_piece_that_was_wrong_does_not_wait_for_a_slow_peer() {
    let mut me = Script::with_pieces("0", 64 * PIECE);
    let (owner, _, other) = wrong_by_two(&mut me);
    let mut moved = Vec::new();
    for _ in 0..40 {
        me.now += Duration::from_millis(500);
        me.say(other, PeerMessage::Ping);
        let outputs = me.tell(Input::Tick);
        assert_eq!(gets(&outputs, owner), []);
        moved.extend(gets(&outputs, other));
    }
    assert_eq!(moved.first().map(|(_, block)| block.offset), Some(0), "all of it");
}
