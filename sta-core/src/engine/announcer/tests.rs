use std::time::Duration;

use super::{Announcer, Input, Output, Speaker};
use crate::model::address::Address;
use crate::model::bitfield::PieceRange;
use crate::model::config::EngineConfig;
use crate::model::ids::{InfoHash, NodeId, Site};
use crate::model::limits;
use crate::model::rng::Seed;
use crate::model::time::Time;
use crate::wire::tracker::{FromTracker, PeerAddress, ToTracker, TransferEvent};

const A: InfoHash = InfoHash([0xa; 20]);
const B: InfoHash = InfoHash([0xb; 20]);
const LEASE: u32 = 30;

fn site() -> Site {
    "rack-7".parse().expect("a name")
}

fn via() -> Address {
    "tracker.example:6081".parse().expect("an address")
}

fn node(name: &str) -> NodeId {
    name.parse().expect("a name")
}

fn secs(seconds: f64) -> Time {
    Time::ZERO + Duration::from_secs_f64(seconds)
}

/// An announcer under test; everything it puts out is taken at once.
struct Story(Announcer);

impl Story {
    fn new() -> Self {
        let speaker = Speaker { node: node("me"), port: 7000, site: site(), via: via() };
        Self(Announcer::new(speaker, &EngineConfig::default(), Seed(1).stream("announcer")))
    }

    /// One that the tracker at `at` has welcomed, with `torrents` joined without a piece.
    fn welcomed(at: &str, torrents: &[InfoHash]) -> Self {
        let mut story = Self::new();
        for torrent in torrents {
            story.give(0.0, join(*torrent, &[]));
        }
        story.give(0.0, Input::Opened { tracker: at.parse().expect("an address") });
        for torrent in torrents {
            story.give(0.0, join(*torrent, &[]));
        }
        story.give(0.0, welcome());
        story
    }

    fn give(&mut self, at: f64, input: Input) -> Vec<Output> {
        self.0.handle(input, secs(at));
        std::iter::from_fn(|| self.0.poll_output()).collect()
    }

    /// Ticks at every deadline up to `until`.
    fn run(&mut self, until: f64) -> Vec<(Time, Output)> {
        let mut seen = Vec::new();
        while let Some(at) = self.0.deadline().filter(|at| *at <= secs(until)) {
            self.0.handle(Input::Tick, at);
            seen.extend(std::iter::from_fn(|| self.0.poll_output()).map(|output| (at, output)));
        }
        seen
    }
}

fn join(torrent: InfoHash, have: &[PieceRange]) -> Input {
    Input::Joined { torrent, pieces: 100, have: have.to_vec(), want: 10 }
}

fn got(torrent: InfoHash, piece: u32) -> Input {
    Input::Got { torrent, piece }
}

fn welcome() -> Input {
    Input::Message(FromTracker::Welcome { v: 1, lease: LEASE })
}

fn stats(torrent: InfoHash, up: u64, down: u64, event: Option<TransferEvent>) -> Output {
    Output::Send(ToTracker::Stats { torrent, up, down, event })
}

fn sent_join(torrent: InfoHash, have: &[PieceRange]) -> Output {
    Output::Send(ToTracker::Join { torrent, pieces: 100, have: have.to_vec(), want: 10 })
}

fn sent_have(torrent: InfoHash, p: &[PieceRange]) -> Output {
    Output::Send(ToTracker::Have { torrent, p: p.to_vec() })
}

#[test]
fn it_dials_for_the_first_torrent_and_introduces_itself() {
    let mut story = Story::new();
    assert_eq!(story.0.deadline(), None, "nothing to talk about");
    assert_eq!(story.give(0.0, join(A, &[])), [Output::Dial]);
    assert_eq!(story.give(0.1, join(B, &[])), [], "one dial is enough");
    let via = Some(via());
    let hello = ToTracker::Hello { v: 1, node: node("me"), port: 7000, site: site(), via };
    assert_eq!(
        story.give(0.2, Input::Opened { tracker: "192.0.2.1:6081".parse().expect("an address") }),
        [Output::Send(hello), Output::NeedJoin(A), Output::NeedJoin(B)]
    );
    let have = [PieceRange(0, 4)];
    let started = stats(A, 0, 0, Some(TransferEvent::Started));
    assert_eq!(story.give(0.2, join(A, &have)), [sent_join(A, &have), started]);
    assert!(!story.0.is_connected());
    assert_eq!(story.give(0.3, welcome()), [Output::Connected]);
    assert!(story.0.is_connected());
}

#[test]
fn pieces_are_gathered_and_sent_as_ranges() {
    let mut story = Story::welcomed("192.0.2.1:6081", &[A, B]);
    for (at, torrent, piece) in [(1.0, A, 7), (1.1, A, 5), (1.2, B, 0), (1.3, A, 6), (1.3, A, 7)] {
        assert_eq!(story.give(at, got(torrent, piece)), []);
    }
    assert_eq!(story.give(1.3, Input::Stats { torrent: B, up: 1, down: 2, event: None }), []);
    assert_eq!(
        story.run(2.0),
        [
            (secs(1.5), sent_have(A, &[PieceRange(5, 7)])),
            (secs(1.5), sent_have(B, &[PieceRange::one(0)])),
            (secs(1.5), stats(B, 1, 2, None)),
        ],
        "half a second after the first"
    );
    assert_eq!(story.give(3.0, Input::Stats { torrent: B, up: 1, down: 2, event: None }), []);
    assert_eq!(story.run(4.0), [], "nothing has changed");
}

#[test]
fn what_is_here_no_longer_is_said_by_joining_anew() {
    let mut story = Story::welcomed("192.0.2.1:6081", &[A]);
    story.give(1.0, got(A, 7));
    assert_eq!(story.give(1.1, Input::Changed { torrent: A }), [], "it is gathered too");
    assert_eq!(story.run(2.0), [(secs(1.5), Output::NeedJoin(A))], "which says what came as well");
    let left = [PieceRange(0, 6)];
    assert_eq!(story.give(2.0, join(A, &left)), [sent_join(A, &left)]);
    assert_eq!(story.give(2.5, Input::Changed { torrent: B }), []);
    assert_eq!(story.run(9.0), [], "it takes no part in the other");
}

#[test]
fn completed_is_said_at_once_and_after_the_last_piece() {
    let mut story = Story::welcomed("192.0.2.1:6081", &[A]);
    story.give(1.0, got(A, 99));
    let completed = Some(TransferEvent::Completed);
    assert_eq!(
        story.give(1.0, Input::Stats { torrent: A, up: 0, down: 9, event: completed }),
        [sent_have(A, &[PieceRange::one(99)]), stats(A, 0, 9, completed)]
    );
    assert_eq!(
        story.give(2.0, Input::Left { torrent: A }),
        [
            stats(A, 0, 9, Some(TransferEvent::Stopped)),
            Output::Send(ToTracker::Leave { torrent: A }),
            Output::Close
        ]
    );
    assert_eq!(story.0.deadline(), None);
}

#[test]
fn after_a_reconnection_it_says_all_it_has_and_what_was_missed() {
    let mut story = Story::welcomed("192.0.2.1:6081", &[A]);
    story.give(1.0, got(A, 1));
    assert_eq!(story.give(1.1, Input::Closed("reset".into())), [Output::Lost("reset".into())]);
    story.give(1.2, got(A, 2));
    let completed = Some(TransferEvent::Completed);
    story.give(1.2, Input::Stats { torrent: A, up: 3, down: 4, event: completed });
    let redial = story.run(5.0);
    let [(at, Output::Dial)] = &redial[..] else { panic!("{redial:?}") };
    assert!((secs(1.35)..=secs(1.6)).contains(at), "{at}");
    let opened = story.give(2.0, Input::Opened { tracker: ([192, 0, 2, 1], 6081).into() });
    assert_eq!(opened[1..], [Output::NeedJoin(A)]);
    assert_eq!(story.give(2.0, got(A, 3)), [], "the answer to come has it");
    let all = [PieceRange(0, 99)];
    assert_eq!(
        story.give(2.1, join(A, &all)),
        [sent_join(A, &all), stats(A, 3, 4, completed)],
        "no second `started`, and `completed` was not lost"
    );
    story.give(2.1, welcome());
    assert_eq!(story.run(5.0), [], "no piece is said twice");
}

#[test]
fn a_set_with_more_ranges_than_a_message_holds_is_sent_in_parts() {
    let mut story = Story::welcomed("192.0.2.1:6081", &[A]);
    let many: Vec<_> =
        (0..limits::HAVE_RANGES_MAX as u32 * 2 + 1).map(|i| PieceRange::one(2 * i)).collect();
    let mut sizes = Vec::new();
    for output in story.give(1.0, join(B, &many)) {
        match output {
            Output::Send(ToTracker::Join { have, .. }) => sizes.push(have.len()),
            Output::Send(ToTracker::Have { p, .. }) => sizes.push(p.len()),
            _ => {}
        }
    }
    assert_eq!(sizes, [limits::HAVE_RANGES_MAX, limits::HAVE_RANGES_MAX, 1]);
}

#[test]
fn pings_keep_the_lease_and_notice_a_silent_tracker() {
    let mut story = Story::welcomed("192.0.2.1:6081", &[A]);
    for third in 1..6 {
        let at = f64::from(third * LEASE) / 3.0;
        assert_eq!(story.run(at), [(secs(at), Output::Send(ToTracker::Ping))]);
        story.give(at, Input::Message(FromTracker::Pong));
    }
    let end = story.run(120.0);
    let close = end.iter().position(|(_, output)| *output == Output::Close).expect("given up");
    assert_eq!(end[close].0, secs(110.0), "a minute after the last answer");
    assert!(matches!(&end[close + 1].1, Output::Lost(why) if why == "it does not answer"));
    assert_eq!(end[close + 2].1, Output::Dial);
}

#[test]
fn a_service_that_never_welcomes_is_given_up_soon_and_asked_ever_less() {
    let mut story = Story::new();
    story.give(0.0, join(A, &[]));
    let mut at = 0.0;
    let mut gaps = Vec::new();
    for _ in 0..10 {
        story.give(at, Input::Opened { tracker: ([192, 0, 2, 1], 80).into() });
        let until_dial = story.run(at + 40.0);
        let (dialed, _) = until_dial.last().expect("it goes on");
        gaps.push(dialed.as_secs_f64() - at);
        at = dialed.as_secs_f64();
    }
    assert!(gaps[0] > 5.2 && gaps[0] < 5.6, "{gaps:?}");
    assert!(gaps[9] > 19.9 && gaps[9] < 35.1, "{gaps:?}");
}

#[test]
fn a_lease_of_nothing_does_not_make_it_ping_without_end() {
    let mut story = Story::welcomed("192.0.2.1:6081", &[A]);
    story.give(0.0, Input::Closed("gone".into()));
    story.run(1.0);
    story.give(1.0, Input::Opened { tracker: ([192, 0, 2, 1], 80).into() });
    story.give(1.0, Input::Message(FromTracker::Welcome { v: 1, lease: 0 }));
    assert_eq!(story.run(3.5).len(), 2);
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let error = || Input::Message(FromTracker::Error { why: "taken".into() });
    let mut early = Story::new();
    early.give(0.0, join(A, &[]));
    early.give(0.0, Input::Opened { tracker: ([192, 0, 2, 1], 80).into() });
    assert_eq!(early.give(0.0, error()), [Output::Close, Output::Lost("it refuses: taken".into())]);
    let mut late = Story::welcomed("192.0.2.1:6081", &[A]);
    assert_eq!(late.give(1.0, error()), []);
    assert_eq!(
        late.give(1.0, Input::Closed("end of stream".into())),
        [Output::Lost("it refuses: taken".into())]
    );
}

#[test]
fn leaving_the_last_torrent_while_dialing_hangs_up() {
    let mut story = Story::new();
    story.give(0.0, join(A, &[]));
    assert_eq!(story.give(0.1, Input::Left { torrent: A }), []);
    let opened = Input::Opened { tracker: ([192, 0, 2, 1], 80).into() };
    assert_eq!(story.give(0.2, opened), [Output::Close]);
    assert_eq!(story.give(0.3, join(B, &[])), [Output::Dial]);
    story.give(0.3, Input::Left { torrent: B });
    assert_eq!(story.give(0.4, Input::Closed("refused".into())), [], "nobody cares any more");
    assert_eq!(story.0.deadline(), None);
}

#[test]
fn a_tracker_may_not_send_its_nodes_where_it_has_no_business() {
    // (tracker, peer it names, whether it is believed)
    let table = [
        ("192.0.2.1:6081", "192.0.2.9:7000", true),
        ("192.0.2.1:6081", "10.0.0.9:7000", true),
        ("192.0.2.1:6081", "[2001:db8::9]:7000", true),
        ("192.0.2.1:6081", "127.0.0.1:22", false),
        ("192.0.2.1:6081", "127.9.9.9:22", false),
        ("192.0.2.1:6081", "[::1]:22", false),
        ("192.0.2.1:6081", "[::ffff:127.0.0.1]:22", false),
        ("192.0.2.1:6081", "169.254.169.254:80", false),
        ("192.0.2.1:6081", "[::ffff:169.254.169.254]:80", false),
        ("192.0.2.1:6081", "[fe80::1]:80", false),
        ("192.0.2.1:6081", "0.0.0.0:80", false),
        ("192.0.2.1:6081", "[::]:80", false),
        ("192.0.2.1:6081", "224.0.0.1:80", false),
        ("192.0.2.1:6081", "[ff02::1]:80", false),
        ("192.0.2.1:6081", "255.255.255.255:80", false),
        ("192.0.2.1:6081", "localhost:22", false),
        ("127.0.0.1:6081", "127.0.0.1:7000", true),
        ("[::ffff:127.0.0.1]:6081", "[::1]:7000", true),
        ("127.0.0.1:6081", "192.0.2.9:7000", true),
        ("127.0.0.1:6081", "0.0.0.0:7000", false),
        ("169.254.1.1:6081", "169.254.1.9:7000", true),
        ("169.254.1.1:6081", "127.0.0.1:7000", false),
    ];
    for (tracker, peer, believed) in table {
        let mut story = Story::welcomed(tracker, &[A]);
        let peers = vec![PeerAddress { node: node("x"), addr: peer.parse().expect("an address") }];
        let out = story.give(1.0, Input::Message(FromTracker::Peers { torrent: A, peers }));
        assert_eq!(!out.is_empty(), believed, "{tracker} names {peer}");
    }
}

#[test]
fn it_is_not_told_of_itself_nor_of_torrents_it_left() {
    let mut story = Story::welcomed("192.0.2.1:6081", &[A]);
    let peer = |name: &str| PeerAddress {
        node: node(name),
        addr: "192.0.2.2:7000".parse().expect("an address"),
    };
    let push = |torrent, names: &[&str]| {
        let peers = names.iter().map(|name| peer(name)).collect();
        Input::Message(FromTracker::Peers { torrent, peers })
    };
    assert_eq!(
        story.give(1.0, push(A, &["me", "you"])),
        [Output::Peers { torrent: A, peers: vec![peer("you")] }]
    );
    assert_eq!(story.give(1.0, push(A, &["me"])), []);
    assert_eq!(story.give(1.0, push(B, &["you"])), []);
}
