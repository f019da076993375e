//! Every fault verb of network and process has an effect of its own, seen from both ends of a conversation.
//!
//! Alice dials Bob; both say a word every 10 ms, and write down what they hear. 20 ms lie between them. Whatever
//! happens begins at 1 s and ends at 3 s; halfway, at 2 s, Alice dials a second time.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use sta_core::io::clock::Clock;
use sta_core::io::transport::{Batch, Connection, RecvHalf, SendHalf};
use sta_core::model::address::Address;
use sta_core::model::rng::Seed;
use sta_sim::scenario::dist::Dist;
use sta_sim::scenario::site::Core;
use sta_sim::world::fabric::{Edge, Fault, HostId};
use sta_sim::world::stage::{HostCx, Stage as _};
use sta_sim::world::turmoil_stage::{TICK_MIN, TurmoilStage};

const PORT: u16 = 7;
const WORD: usize = 100;
const EVERY: Duration = Duration::from_millis(10);
const ALICE: HostId = 0;
const BOB: HostId = 1;

/// What one end saw of the first conversation, in milliseconds.
#[derive(Default)]
struct Seen {
    said: usize,
    heard: Vec<u64>,
    /// How hearing ended: `None` is an orderly end.
    ended: Option<(u64, Option<ErrorKind>)>,
    /// When saying failed.
    failed: Option<u64>,
}

/// What came of dialling: when, and the failure if it was one.
type Dialled = Vec<(u64, Option<ErrorKind>)>;

struct Play {
    stage: TurmoilStage,
    alice: Rc<RefCell<Seen>>,
    bob: Rc<RefCell<Seen>>,
    dialled: Rc<RefCell<Dialled>>,
}

fn now(cx: &HostCx) -> u64 {
    cx.clock.now().as_nanos() / 1_000_000
}

async fn hear(cx: HostCx, mut half: Box<dyn RecvHalf>, seen: Rc<RefCell<Seen>>) {
    let mut word = [0; WORD];
    loop {
        let end = match half.recv_exact(&mut word).await {
            Ok(()) => {
                seen.borrow_mut().heard.push(now(&cx));
                continue;
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => Some(error.kind()),
        };
        seen.borrow_mut().ended = Some((now(&cx), end));
        return;
    }
}

async fn say(cx: HostCx, mut half: Box<dyn SendHalf>, seen: Rc<RefCell<Seen>>) {
    loop {
        let mut batch = Batch { heads: vec![1; WORD], ..Batch::default() };
        if half.send(&mut batch).await.is_err() {
            seen.borrow_mut().failed = Some(now(&cx));
            return;
        }
        seen.borrow_mut().said += 1;
        tokio::time::sleep(EVERY).await;
    }
}

fn converse(cx: &HostCx, connection: Connection, seen: &Rc<RefCell<Seen>>) {
    tokio::task::spawn_local(hear(cx.clone(), connection.recv, Rc::clone(seen)));
    tokio::task::spawn_local(say(cx.clone(), connection.send, Rc::clone(seen)));
}

async fn bob(cx: HostCx, seen: Rc<RefCell<Seen>>) -> io::Result<()> {
    let mut listener = cx.transport.listen((cx.ip, PORT).into()).await?;
    converse(&cx, listener.accept().await?, &seen);
    loop {
        converse(&cx, listener.accept().await?, &Rc::default());
    }
}

async fn alice(cx: HostCx, seen: Rc<RefCell<Seen>>, dialled: Rc<RefCell<Dialled>>) {
    let bob = Address { host: "bob".to_owned(), port: PORT };
    let connection = cx.transport.connect(&bob).await.expect("nothing has happened yet");
    converse(&cx, connection, &seen);
    tokio::time::sleep(Duration::from_millis(2_000 - now(&cx))).await;
    loop {
        let result = cx.transport.connect(&bob).await;
        dialled.borrow_mut().push((now(&cx), result.as_ref().err().map(io::Error::kind)));
        tokio::time::sleep(EVERY * 100).await;
    }
}

impl Play {
    /// Everything that happens until 3 s.
    fn new(fault: impl FnOnce(&mut TurmoilStage)) -> Self {
        let mut stage = TurmoilStage::new(Seed(3), Core::default(), TICK_MIN);
        let edge = Edge { latency: Duration::from_millis(10), ..Edge::default() };
        let (of_alice, of_bob) = (Rc::<RefCell<Seen>>::default(), Rc::<RefCell<Seen>>::default());
        let dialled = Rc::<RefCell<Dialled>>::default();
        let (seen, tell) = (Rc::clone(&of_alice), Rc::clone(&dialled));
        let a = stage.add("alice", edge, move |cx| alice(cx, Rc::clone(&seen), Rc::clone(&tell)));
        let seen = Rc::clone(&of_bob);
        let b = stage.add("bob", edge, move |cx| {
            let seen = Rc::clone(&seen);
            async move { bob(cx, seen).await.expect("he listens") }
        });
        assert_eq!((a.expect("room"), b.expect("room")), (ALICE, BOB));
        stage.start(BOB).expect("he starts");
        stage.start(ALICE).expect("she starts");
        let mut play = Self { stage, alice: of_alice, bob: of_bob, dialled };
        play.until(1_000);
        fault(&mut play.stage);
        play.until(3_000);
        play
    }

    fn until(&mut self, millis: u64) {
        while self.stage.now().as_nanos() / 1_000_000 < millis {
            self.stage.step().expect("nobody panics");
        }
    }

    /// How often Bob heard Alice, and Alice Bob, from one moment up to another.
    fn heard(&self, from: u64, to: u64) -> (usize, usize) {
        let count = |seen: &Rc<RefCell<Seen>>| {
            seen.borrow().heard.iter().filter(|at| (from..to).contains(at)).count()
        };
        (count(&self.bob), count(&self.alice))
    }

    /// Whether Alice's `nth` dial ended so, and then (or 2 ms later: turmoil's handshake takes a tick each way).
    fn dialled(&self, nth: usize, at: u64, how: Option<ErrorKind>) -> bool {
        let dialled = self.dialled.borrow();
        dialled.get(nth).is_some_and(|dial| (at..=at + 2).contains(&dial.0) && dial.1 == how)
    }

    /// How hearing ended, for Alice.
    fn ended(&self) -> Option<(u64, Option<ErrorKind>)> {
        self.alice.borrow().ended
    }

    /// Ends well: both have heard every word, but for those under way.
    fn nothing_is_lost(&mut self) {
        self.until(5_000);
        let (alice, bob) = (self.alice.borrow(), self.bob.borrow());
        assert_eq!((alice.ended, bob.ended, alice.failed, bob.failed), (None, None, None, None));
        assert!(alice.said - bob.heard.len() <= 3, "{} of {}", bob.heard.len(), alice.said);
        assert!(bob.said - alice.heard.len() <= 3, "{} of {}", alice.heard.len(), bob.said);
    }
}

fn both_ways(stage: &TurmoilStage, fault: Fault) {
    stage.fabric().with(|fabric| {
        fabric.set_fault(ALICE, BOB, fault);
        fabric.set_fault(BOB, ALICE, fault);
    });
}

/// A word every 10 ms (and a little) is about so many.
fn about(heard: usize, millis: usize) -> bool {
    (millis / 12..=millis / 10 + 2).contains(&heard)
}

#[test]
fn nothing_happens_by_itself() {
    let mut play = Play::new(|_| ());
    let (bob, alice) = play.heard(1_000, 3_000);
    assert!(about(bob, 2_000) && about(alice, 2_000), "{bob} {alice}");
    assert!(play.dialled(0, 2_040, None), "{:?}", play.dialled);
    play.nothing_is_lost();
}

#[test]
fn a_cut_stalls_streams_that_resume_and_leaves_dials_unanswered() {
    let mut play = Play::new(|stage| both_ways(stage, Fault { cut: true, ..Fault::default() }));
    assert_eq!(play.heard(1_001, 3_000), (0, 0), "what was under way is stopped too");
    assert!(play.dialled.borrow().is_empty(), "a dial at 2 s waits");
    both_ways(&play.stage, Fault::default());
    play.until(3_020);
    assert_eq!(play.heard(3_000, 3_020), (0, 0), "what is sent again takes its time");
    play.until(3_100);
    assert!(play.dialled(0, 3_040, None), "{:?}", play.dialled);
    play.nothing_is_lost();
}

#[test]
fn a_cut_one_way_leaves_the_other_way() {
    let cut = Fault { cut: true, ..Fault::default() };
    let mut play = Play::new(|stage| {
        stage.fabric().with(|fabric| fabric.set_fault(ALICE, BOB, cut));
    });
    let (bob, alice) = play.heard(1_001, 3_000);
    assert!(bob == 0 && about(alice, 2_000), "{bob} {alice}");
    assert!(play.dialled.borrow().is_empty(), "a dial at 2 s waits");
    both_ways(&play.stage, Fault::default());
    play.nothing_is_lost();
}

#[test]
fn a_hold_queues_and_then_bursts() {
    let mut play = Play::new(|stage| both_ways(stage, Fault { held: true, ..Fault::default() }));
    assert_eq!(play.heard(1_001, 3_000), (0, 0));
    assert!(play.dialled.borrow().is_empty(), "a dial at 2 s waits");
    both_ways(&play.stage, Fault::default());
    play.until(3_002);
    let (bob, alice) = play.heard(3_000, 3_002);
    assert!(about(bob, 2_000) && about(alice, 2_000), "all of it at once: {bob} {alice}");
    play.nothing_is_lost();
}

#[test]
fn a_clog_delays_and_loses_nothing() {
    let clog = Fault { clog: Some(Dist::Const { value: 500_000_000 }), ..Fault::default() };
    let mut play = Play::new(|stage| both_ways(stage, clog));
    let (bob, alice) = play.heard(1_021, 1_520);
    assert_eq!((bob, alice), (0, 0), "a gap as long as the clog");
    let (bob, alice) = play.heard(1_520, 3_000);
    assert!(about(bob, 1_480) && about(alice, 1_480), "{bob} {alice}");
    play.until(3_060);
    assert!(play.dialled(0, 3_040, None), "{:?}", play.dialled);
    both_ways(&play.stage, Fault::default());
    play.nothing_is_lost();
}

#[test]
fn a_reset_breaks_streams_at_once_and_new_dials_work() {
    let play = Play::new(|stage| {
        assert_eq!(stage.fabric().with(|fabric| fabric.reset(ALICE, BOB)), 1);
    });
    for seen in [&play.alice, &play.bob] {
        assert_eq!(seen.borrow().ended, Some((1_000, Some(ErrorKind::ConnectionReset))));
        assert!(seen.borrow().failed.is_some_and(|at| at <= 1_010));
    }
    assert!(play.dialled(0, 2_040, None), "{:?}", play.dialled);
}

#[test]
fn refusing_concerns_new_dials_only() {
    let refused = Fault { refused: true, ..Fault::default() };
    let mut play = Play::new(|stage| {
        stage.fabric().with(|fabric| fabric.set_fault(ALICE, BOB, refused));
    });
    let (bob, alice) = play.heard(1_000, 3_000);
    assert!(about(bob, 2_000) && about(alice, 2_000), "{bob} {alice}");
    assert!(play.dialled(0, 2_040, Some(ErrorKind::ConnectionRefused)), "{:?}", play.dialled);
    both_ways(&play.stage, Fault::default());
    play.nothing_is_lost();
    assert_eq!(play.dialled.borrow()[1].1, None);
}

#[test]
fn slow_is_another_rate_and_another_delay() {
    let slow = Edge { up: Some(5_000), latency: Duration::from_millis(60), ..Edge::default() };
    let play = Play::new(|stage| stage.fabric().with(|fabric| fabric.set_edge(ALICE, slow)));
    let (bob, alice) = play.heard(1_200, 3_000);
    assert!((75..=95).contains(&bob), "100 bytes each at 5,000 bytes a second: {bob}");
    assert!(about(alice, 1_800), "her downlink is as it was: {alice}");
    assert_eq!(play.heard(1_021, 1_070).1, 0, "50 ms more");
}

#[test]
fn a_crash_ends_streams_and_refuses_dials_until_the_restart() {
    let mut play = Play::new(|stage| stage.crash(BOB).expect("he dies quietly"));
    let (at, _) = play.ended().expect("the kernel says so");
    assert!((1_019..=1_021).contains(&at), "one delay later: {at}");
    assert!(play.dialled(0, 2_040, Some(ErrorKind::ConnectionRefused)), "{:?}", play.dialled);
    play.stage.start(BOB).expect("he starts");
    play.until(3_100);
    assert!(play.dialled(1, 3_080, None), "{:?}", play.dialled);
}

#[test]
fn a_power_failure_is_silence() {
    let mut play = Play::new(|stage| stage.power_off(BOB).expect("he goes quietly"));
    assert_eq!(play.heard(1_021, 3_000), (0, 0), "only what was under way is heard");
    assert_eq!((play.ended(), play.alice.borrow().failed), (None, None));
    assert!(play.alice.borrow().said > 250, "she goes on talking");
    assert!(play.dialled.borrow().is_empty(), "a dial at 2 s waits");
    play.stage.start(BOB).expect("he starts");
    play.until(3_100);
    let reset = Some(ErrorKind::ConnectionReset);
    assert!(play.ended().is_some_and(|(at, how)| (3_020..3_060).contains(&at) && how == reset));
    assert!(play.dialled(0, 3_040, None), "{:?}", play.dialled);
}

#[test]
fn a_pause_is_a_process_that_does_not_answer() {
    let mut play = Play::new(|stage| stage.pause(BOB));
    assert_eq!(play.heard(1_021, 3_000), (0, 0));
    assert_eq!((play.ended(), play.alice.borrow().failed), (None, None));
    assert!(play.dialled(0, 2_040, None), "{:?}", play.dialled);
    play.stage.resume(BOB);
    play.until(3_002);
    assert!(about(play.heard(3_000, 3_002).0, 2_000), "he finds it all in his socket");
    play.nothing_is_lost();
}

#[test]
fn more_hosts_than_turmoil_carries_are_refused_with_a_word_about_why() {
    let mut stage = TurmoilStage::new(Seed(1), Core::default(), TICK_MIN);
    let mut add = |i: u32| stage.add(&format!("host-{i}"), Edge::default(), |_| async {});
    assert!((0..64).all(|i| add(i).is_ok()));
    let refused = add(64).expect_err("one too many").to_string();
    assert!(refused.contains("65") && refused.contains("flow"), "{refused}");
}

#[test]
fn a_panic_in_a_spawned_task_names_its_host() {
    let mut stage = TurmoilStage::new(Seed(1), Core::default(), TICK_MIN);
    for name in ["well", "ill"] {
        let host = stage.add(name, Edge::default(), move |_| async move {
            tokio::spawn(async move {
                tokio::time::sleep(EVERY).await;
                assert_eq!(name, "well", "a bug");
            });
        });
        stage.start(host.expect("room")).expect("it starts");
    }
    let panicked = (0..20).find_map(|_| stage.step().err()).expect("it is not swallowed");
    let text = panicked.to_string();
    assert!(
        text.contains("host 1") && text.contains("a bug") && text.contains("verbs.rs"),
        "{text}"
    );
}
