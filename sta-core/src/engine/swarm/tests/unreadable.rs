//! What the store cannot read.

use std::time::Duration;

use smallvec::smallvec;

use super::{PIECE, Script, TORRENT, gets, told};
use crate::engine::interface::{Input, Output};
use crate::model::address::Address;
use crate::model::bitfield::PieceRange;
use crate::model::event::Event;
use crate::model::layout::Block;
use crate::model::status::StoreError;
use crate::wire::peer::{PeerMessage, RejectReason};
use crate::wire::tracker::{FromTracker, ToTracker};

#[test]
fn a_piece_that_cannot_be_read_is_not_offered_any_more() {
    let mut me = Script::new("111");
    let (peer, _) = me.meet(1, "peer", 1);
    let block = Block { piece: 1, offset: 0, len: PIECE };
    let sent = me.say(peer, PeerMessage::Get { id: 7, block: block.into() });
    assert!(sent.iter().any(|output| matches!(output, Output::SendBlock { id: 7, .. })));
    let why = StoreError { path: "data".into(), reason: "gone".into(), passing: false };
    let outputs = me.tell(Input::Unreadable { conn: peer, id: 7, why });
    let said = |output: &Output| matches!(output, Output::Event(Event::StoreFailed { .. }));
    assert_eq!(outputs.iter().filter(|output| said(output)).count(), 1, "somebody is told");
    let refused = |outputs: &[Output], refused: u64| {
        outputs.iter().any(|output| {
            let Output::Send { message: PeerMessage::Reject { id, why }, .. } = output else {
                return false;
            };
            (*id, *why) == (refused, RejectReason::Gone)
        })
    };
    assert!(refused(&outputs, 7), "{outputs:?}");
    assert!(refused(&me.say(peer, PeerMessage::Get { id: 8, block: block.into() }), 8));
    let (late, outputs) = me.meet(2, "late", 2);
    assert_eq!(told(&outputs, late), [PieceRange::one(0), PieceRange::one(2)]);
    let other = Block { piece: 2, ..block };
    let sent = me.say(peer, PeerMessage::Get { id: 9, block: other.into() });
    assert!(sent.iter().any(|output| matches!(output, Output::SendBlock { id: 9, .. })));
}

fn cannot_read(passing: bool) -> StoreError {
    StoreError { path: "data".into(), reason: "no".into(), passing }
}

#[test]
fn what_cannot_be_read_for_the_moment_stays_offered() {
    let mut me = Script::new("111");
    let (peer, _) = me.meet(1, "peer", 1);
    let block = Block { piece: 1, offset: 0, len: PIECE };
    let mut told = 0;
    for id in 1..5 {
        let sent = me.say(peer, PeerMessage::Get { id, block: block.into() });
        assert!(sent.iter().any(|output| matches!(output, Output::SendBlock { .. })), "{id}");
        let outputs = me.tell(Input::Unreadable { conn: peer, id, why: cannot_read(true) });
        let not_now = PeerMessage::Reject { id, why: RejectReason::Limit };
        let said =
            |output: &Output| matches!(output, Output::Send { message, .. } if *message == not_now);
        assert!(outputs.iter().any(said), "{outputs:?}");
        let event = |output: &&Output| {
            matches!(output, Output::Event(Event::StoreFailed { retry: true, .. }))
        };
        told += outputs.iter().filter(event).count();
    }
    assert_eq!(told, 1, "one word is enough");
}

#[test]
fn what_cannot_be_read_is_fetched_once_more_and_nothing_is_complete_without_it() {
    let mut me = Script::new("011");
    let (source, _) = me.meet(1, "source", 1);
    me.say(source, PeerMessage::Unchoke);
    let (first, first_block) = gets(&me.has(source, 0, 2), source)[0];
    let (peer, _) = me.meet(2, "peer", 2);
    let block = Block { piece: 1, offset: 0, len: PIECE };
    let unreadable = |me: &mut Script, id| {
        let sent = me.say(peer, PeerMessage::Get { id, block: block.into() });
        assert!(sent.iter().any(|output| matches!(output, Output::SendBlock { .. })));
        me.tell(Input::Unreadable { conn: peer, id, why: cannot_read(false) })
    };
    let has = |me: &Script| me.node.status(me.now).torrents[0].have;
    let (again, asked) = gets(&unreadable(&mut me, 7), source)[0];
    assert_eq!((has(&me), asked), (1, block));
    me.sends(source, again, block);
    assert_eq!(has(&me), 2);
    assert_eq!(gets(&unreadable(&mut me, 8), source), [], "the disk is at fault");
    let outputs = me.sends(source, first, first_block);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Finish { .. })));
    let status = &me.node.status(me.now).torrents[0];
    assert!(!status.finished && status.failed.as_ref().is_some_and(|failure| !failure.passing));
}

#[test]
fn a_source_offers_again_what_it_could_not_read() {
    let mut me = Script::new("111");
    let (peer, _) = me.meet(1, "peer", 1);
    me.tell(Input::Finished { torrent: TORRENT, result: Ok(()) });
    let block = Block { piece: 1, offset: 0, len: PIECE };
    let have = PeerMessage::Have { p: smallvec![PieceRange::one(1)] };
    let offers = |outputs: &[Output]| {
        outputs.iter().any(|it| matches!(it, Output::Send { message, .. } if *message == have))
    };
    let mut id = 0;
    let mut asks = |me: &mut Script| {
        id += 1;
        let outputs = me.say(peer, PeerMessage::Get { id, block: block.into() });
        outputs.iter().any(|output| matches!(output, Output::SendBlock { .. })).then_some(id)
    };
    for wait in [30, 60, 120] {
        let id = asks(&mut me).expect("it is here");
        me.tell(Input::Unreadable { conn: peer, id, why: cannot_read(false) });
        assert_eq!(asks(&mut me), None, "it cannot be read");
        for second in 1..=wait {
            me.now += Duration::from_secs(1);
            me.say(peer, PeerMessage::Ping);
            assert_eq!(offers(&me.tell(Input::Tick)), second == wait, "{second} of {wait}");
        }
    }
    assert!(asks(&mut me).is_some(), "it may have been mended");
}

/// A source of which a file was broken stood there as complete.
#[test]
fn a_tracker_is_told_what_can_no_longer_be_read_and_what_can_again() {
    let tracker: Address = "192.0.2.99:6881".parse().expect("an address");
    let mut me = Script::seeding("111", &tracker);
    let joins = |outputs: &[Output]| -> Vec<Vec<PieceRange>> {
        let join = |output: &Output| match output {
            Output::TrackerSend { message: ToTracker::Join { have, .. }, .. } => Some(have.clone()),
            _ => None,
        };
        outputs.iter().filter_map(join).collect()
    };
    let remote = ([192, 0, 2, 99], 6881).into();
    let outputs = me.tell(Input::TrackerOpened { tracker: tracker.clone(), remote });
    assert_eq!(joins(&outputs), [[PieceRange(0, 2)]]);
    let says = |message| Input::TrackerMessage { tracker: tracker.clone(), message };
    me.tell(says(FromTracker::Welcome { v: 1, lease: 600 }));
    let (peer, _) = me.meet(1, "peer", 1);
    let block = Block { piece: 1, offset: 0, len: PIECE };
    // After this, over a minute.
    let minute = |me: &mut Script| {
        let mut said = Vec::new();
        for _ in 0..60 {
            me.now += Duration::from_secs(1);
            me.say(peer, PeerMessage::Ping);
            me.tell(says(FromTracker::Pong));
            said.extend(joins(&me.tell(Input::Tick)));
        }
        said
    };
    for (id, first) in [(1, true), (2, false)] {
        me.say(peer, PeerMessage::Get { id, block: block.into() });
        me.tell(Input::Unreadable { conn: peer, id, why: cannot_read(false) });
        let lacks = vec![PieceRange::one(0), PieceRange::one(2)];
        let said = if first { vec![lacks] } else { Vec::new() };
        assert_eq!(minute(&mut me), said, "once, though it is offered to peers again");
    }
    me.say(peer, PeerMessage::Get { id: 3, block: block.into() });
    me.tell(Input::Sent { conn: peer });
    assert_eq!(minute(&mut me), [[PieceRange(0, 2)]]);
}
