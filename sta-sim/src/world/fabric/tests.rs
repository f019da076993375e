use std::task::{Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;

use super::{Core, Dist, Edge, Fabric, Fault, FlowId, Path, Ppm, Readable, SitePlan};

const MS: Duration = Duration::from_millis(1);
const MB: u64 = 1_000_000;

fn rates(up: u64, down: u64) -> Edge {
    Edge { up: Some(up), down: Some(down), ..Edge::default() }
}

fn delayed(spec: Edge, latency: Duration) -> Edge {
    Edge { latency, ..spec }
}

/// Hosts that write as much as they may and read all there is, every millisecond.
struct Play {
    fabric: Fabric,
    now: Time,
    /// Flow, bytes left to write, bytes read, and when the last byte was read.
    transfers: Vec<(FlowId, u64, u64, Time)>,
}

impl Play {
    fn new(hosts: &[Edge]) -> Self {
        Self::across(Core::default(), hosts)
    }

    fn across(core: Core, hosts: &[Edge]) -> Self {
        let mut fabric = Fabric::new(Seed(1), core);
        for (i, spec) in hosts.iter().enumerate() {
            fabric.add_host(&format!("h{i}"), *spec);
        }
        Self { fabric, now: Time::ZERO, transfers: Vec::new() }
    }

    fn connect(&mut self, from: usize, to: usize) -> FlowId {
        let addr =
            |host: usize, port: usize| format!("10.0.0.{host}:{port}").parse().expect("fits");
        let (dialler, acceptor) = (addr(from, 1000 + self.fabric.flows.len()), addr(to, 1));
        let flow = self.fabric.open(from, to, dialler, acceptor);
        assert_eq!(self.fabric.claim(to, dialler, acceptor, Waker::noop()), Some(flow));
        flow
    }

    fn send(&mut self, from: usize, to: usize, bytes: u64) -> usize {
        let flow = self.connect(from, to);
        self.transfers.push((flow, bytes, 0, Time::ZERO));
        self.transfers.len() - 1
    }

    fn run(&mut self, long: Duration) {
        let end = self.now + long;
        while self.now < end {
            self.fabric.advance(self.now);
            for (flow, left, read, last) in &mut self.transfers {
                while let (1.., Poll::Ready(Ok(room))) =
                    (*left, self.fabric.poll_room(*flow, Waker::noop()))
                {
                    let bytes = room.min(*left);
                    self.fabric.wrote(*flow, bytes);
                    *left -= bytes;
                }
                while let Poll::Ready(Ok(Readable::Bytes(bytes))) =
                    self.fabric.poll_readable(*flow, Waker::noop())
                {
                    self.fabric.consumed(*flow, bytes);
                    *read += bytes;
                    *last = self.now;
                }
            }
            self.now += MS;
        }
    }

    fn read(&self, transfer: usize) -> u64 {
        self.transfers[transfer].2
    }
}

fn near(actual: u64, expected: u64, share: f64) -> bool {
    (actual as f64 / expected as f64 - 1.0).abs() < share
}

#[test]
fn a_transfer_takes_size_over_rate_plus_latency() {
    // (bytes, bytes a second, one-way delay in ms) -> ms
    let table = [
        (10 * MB, 10 * MB, 0, 1_000),
        (10 * MB, 10 * MB, 100, 1_100),
        (MB, 100_000, 30, 10_030),
        (1_000, 1_000, 5, 1_005),
        (125 * MB, 125 * MB, 20, 1_020),
        (3 * MB, 333_333, 1, 9_001),
    ];
    for (bytes, rate, latency, expected) in table {
        let half = Duration::from_micros(latency * 500);
        let spec = delayed(rates(rate, rate), half);
        let mut play = Play::new(&[spec, spec]);
        play.send(0, 1, bytes);
        play.run(MS * (expected as u32 + 2_000));
        assert_eq!(play.read(0), bytes);
        let took = play.transfers[0].3.as_nanos() / 1_000_000;
        // The last turn passes two links one after the other, and a reader looks once a millisecond.
        let turn = (bytes.min(16_384).min((rate / 250).max(1_460)) * 1_000).div_ceil(rate);
        assert!((expected..=expected + turn + 2).contains(&took), "{bytes} at {rate}: {took} ms");
    }
}

#[test]
fn one_sender_and_k_receivers_get_a_kth_each() {
    for k in [2, 3, 7] {
        let mut hosts = vec![rates(7 * MB, 7 * MB)];
        hosts.resize(k + 1, rates(100 * MB, 100 * MB));
        let mut play = Play::new(&hosts);
        (1..=k).for_each(|to| {
            play.send(0, to, u64::MAX >> 20);
        });
        play.run(Duration::from_secs(5));
        for i in 0..k {
            assert!(near(play.read(i), 35 * MB / k as u64, 0.01), "{k}: {}", play.read(i));
        }
    }
}

#[test]
fn k_senders_and_one_receiver_send_a_kth_each() {
    for k in [2, 3, 7] {
        let mut hosts = vec![rates(7 * MB, 7 * MB)];
        hosts.resize(k + 1, rates(20 * MB, 20 * MB));
        let mut play = Play::new(&hosts);
        (1..=k).for_each(|from| {
            play.send(from, 0, u64::MAX >> 20);
        });
        play.run(Duration::from_secs(5));
        for i in 0..k {
            assert!(near(play.read(i), 35 * MB / k as u64, 0.01), "{k}: {}", play.read(i));
        }
    }
}

/// While turns took up to a hundredth of a second, a word of who shares out 20 Mbit/s waited 33 ms for five other connections, and 150 ms
/// behind what was written on its own.
#[test]
fn what_is_written_on_a_shared_uplink_does_not_wait_long() {
    let mut hosts = vec![rates(5 * MB / 2, 10 * MB)];
    hosts.resize(7, rates(10 * MB, 10 * MB));
    let mut play = Play::new(&hosts);
    (1..=5).for_each(|to| {
        play.send(0, to, u64::MAX >> 20);
    });
    play.run(MS * 500);
    let word = play.send(0, 6, 60);
    let begun = play.now;
    play.run(MS * 100);
    let took = play.transfers[word].3.since(begun);
    assert!(took <= MS * 22, "behind others: {took:?}");
    for (_, left, read, _) in &play.transfers[..5] {
        let before = (u64::MAX >> 20) - left - read;
        let waits = Duration::from_micros(before * 5 * 2 / 5);
        assert!(waits <= MS * 135, "behind its own: {waits:?}");
    }
}

#[test]
fn a_slow_receiver_leaves_the_rest_to_the_others() {
    let fast = rates(10 * MB, 10 * MB);
    let mut play = Play::new(&[fast, rates(MB, MB / 10), fast]);
    let (slow, quick) = (play.send(0, 1, u64::MAX >> 20), play.send(0, 2, u64::MAX >> 20));
    play.run(Duration::from_secs(10));
    assert!(near(play.read(slow), MB, 0.05), "{}", play.read(slow));
    assert!(near(play.read(quick), 99 * MB, 0.01), "{}", play.read(quick));
}

/// A middle with one site, and hosts of it and of none.
fn with_a_site(up: u64, down: u64) -> (Core, Edge, Edge) {
    let (name, latency) = ("here".to_owned(), MS * 10);
    let sites = vec![SitePlan { name, up: Some(up), down: Some(down), latency }];
    let edge = rates(10 * MB, 10 * MB);
    (Core { latency: MS, sites }, Edge { site: Some(0), ..edge }, edge)
}

#[test]
fn hosts_of_a_site_share_its_link_with_the_others_and_nothing_among_themselves() {
    let (core, here, there) = with_a_site(6 * MB, 4 * MB);
    let mut play = Play::across(core, &[here, here, there, there]);
    let out = [play.send(0, 2, u64::MAX >> 20), play.send(1, 3, u64::MAX >> 20)];
    let within = play.send(0, 1, u64::MAX >> 20);
    let into = [play.send(2, 0, u64::MAX >> 20), play.send(3, 0, u64::MAX >> 20)];
    play.run(Duration::from_secs(10));
    for (transfers, each) in [(&out[..], 30), (&into[..], 20)] {
        for &transfer in transfers {
            let read = play.read(transfer);
            assert!(near(read, each * MB, 0.03), "{read} for {each} MB");
        }
    }
    assert!(near(play.read(within), 70 * MB, 0.03), "{}", play.read(within));
}

#[test]
fn a_stream_ends_behind_what_waits_at_a_site() {
    let (core, here, there) = with_a_site(MB / 100, MB);
    let mut play = Play::across(core, &[here, there]);
    let flow = play.connect(0, 1);
    play.fabric.wrote(flow, 1_000);
    play.fabric.close_send(flow);
    // A tenth of a second at the site, and 11 ms on the way.
    let read_at = |play: &mut Play, millis: u32| {
        play.fabric.advance(Time::ZERO + MS * millis);
        play.fabric.poll_readable(flow, Waker::noop())
    };
    assert!(read_at(&mut play, 111).is_pending());
    assert!(matches!(read_at(&mut play, 112), Poll::Ready(Ok(Readable::Bytes(1_000)))));
    play.fabric.consumed(flow, 1_000);
    assert!(matches!(read_at(&mut play, 112), Poll::Ready(Ok(Readable::End))));
}

#[test]
fn messages_sent_together_do_not_queue_behind_one_anothers_latency() {
    let far = delayed(Edge::default(), Duration::from_millis(50));
    let mut play = Play::new(&[far, far]);
    let flow = play.connect(0, 1);
    (0..20).for_each(|_| play.fabric.wrote(flow, 100));
    play.fabric.advance(Time::ZERO + MS * 99);
    assert!(play.fabric.poll_readable(flow, Waker::noop()).is_pending());
    play.fabric.advance(Time::ZERO + MS * 100);
    let read = play.fabric.poll_readable(flow, Waker::noop());
    assert!(matches!(read, Poll::Ready(Ok(Readable::Bytes(2_000)))), "{read:?}");
}

#[test]
fn a_link_that_loses_packets_is_as_slow_as_tcp_says() {
    let lossy = Edge { loss: Ppm(10_000), ..delayed(rates(100 * MB, 100 * MB), MS * 25) };
    let clean = Edge { loss: Ppm(0), ..lossy };
    let mut play = Play::new(&[lossy, clean]);
    play.send(0, 1, u64::MAX >> 20);
    play.run(Duration::from_secs(20));
    // 1460 bytes / 0.1 s * sqrt(1.5 / 0.01) = 178.8 kB/s
    assert!(near(play.read(0), 178_812 * 20, 0.03), "{}", play.read(0));
}

#[test]
fn a_broken_window_of_a_paused_reader_stops_the_sender() {
    let mut play = Play::new(&[rates(10 * MB, 10 * MB), rates(10 * MB, 10 * MB)]);
    let flow = play.send(0, 1, u64::MAX >> 20);
    play.run(MS * 100);
    play.fabric.pause(1);
    play.run(Duration::from_secs(10));
    let stopped = play.read(flow);
    assert!(play.fabric.poll_room(play.transfers[flow].0, Waker::noop()).is_pending());
    play.fabric.resume(1);
    play.run(Duration::from_secs(1));
    assert!(near(play.read(flow) - stopped, 10 * MB, 0.05), "{}", play.read(flow));
}

#[test]
fn nothing_is_left_of_connections_that_both_sides_closed() {
    let mut play = Play::new(&[Edge::default(), Edge::default()]);
    for _ in 0..10 {
        let flow = play.connect(0, 1);
        play.fabric.wrote(flow, 10);
        for id in [flow, flow ^ 1] {
            play.fabric.close_send(id);
            play.fabric.close_recv(id);
        }
    }
    play.run(Duration::from_secs(1));
    assert!(play.fabric.flows.iter().all(Option::is_none));
    assert!(play.fabric.events.is_empty(), "nothing is still to happen");
}

#[test]
fn a_path_says_what_a_dial_would_meet() {
    let half = delayed(Edge::default(), MS * 5);
    let mut fabric = Fabric::new(Seed(1), Core::default());
    let (a, b) = (fabric.add_host("a", half), fabric.add_host("b", half));
    let path = |fabric: &mut Fabric| fabric.path(a, b, Waker::noop());
    assert_eq!(path(&mut fabric), Path::Open(MS * 10, MS * 10));
    fabric.set_fault(a, b, Fault { refused: true, ..Fault::default() });
    assert_eq!(path(&mut fabric), Path::Refused(MS * 20));
    fabric.set_fault(a, b, Fault::default());
    fabric.process_down(b);
    assert_eq!(path(&mut fabric), Path::Refused(MS * 20));
    fabric.power_off(b);
    assert_eq!(path(&mut fabric), Path::Blocked);
    fabric.process_up(b);
    fabric.set_fault(b, a, Fault { cut: true, ..Fault::default() });
    assert_eq!(path(&mut fabric), Path::Blocked, "the answer cannot come back");
    assert_eq!((fabric.take_touched(b, a), fabric.take_touched(b, a)), (1, 0));
    fabric.set_fault(b, a, Fault::default());
    let clog = Some(Dist::Const { value: 100_000_000 });
    fabric.set_fault(a, b, Fault { clog, ..Fault::default() });
    assert_eq!(path(&mut fabric), Path::Open(MS * 110, MS * 10));
}

/// Eight bits a second: a turn begun at that rate would hold the link for 24 minutes.
#[test]
fn a_link_that_is_fast_again_is_so_at_once() {
    let slow = |up, down| move |edge: Edge| Edge { up: Some(up), down: Some(down), ..edge };
    for (name, slowed, whom) in [("up", slow(1, MB), 0), ("down", slow(MB, 1), 1)] {
        let mut play = Play::new(&[rates(MB, MB), rates(MB, MB)]);
        play.send(0, 1, 2 * MB);
        play.run(MS * 1_000);
        play.fabric.set_edge(whom, slowed(Edge::default()));
        play.run(MS * 5_000);
        let meanwhile = play.read(0);
        assert!(near(meanwhile, MB, 0.05), "{name}: {meanwhile} while it was slow");
        play.fabric.set_edge(whom, rates(MB, MB));
        play.run(MS * 500);
        let after = play.read(0) - meanwhile;
        assert!(near(after, MB / 2, 0.1), "{name}: {after} in half a second");
    }
}

/// A turn begun at a high rate does not end at it.
#[test]
fn a_link_that_is_slow_is_so_at_once() {
    let mut play = Play::new(&[rates(MB, MB), Edge::default()]);
    play.send(0, 1, 16_000);
    play.run(MS * 5);
    play.fabric.set_edge(0, rates(1_000, MB));
    play.run(MS * 5_000);
    assert!(play.read(0) < 11_000, "{} of 16,000", play.read(0));
    play.run(MS * 7_000);
    assert_eq!(play.read(0), 16_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No link ever passes more than its rate, and a busy link passes all of it.
    #[test]
    fn links_pass_their_rate_and_no_more(
        specs in prop::collection::vec((100_000u64..5_000_000, 100_000u64..5_000_000, 0u32..40), 2..6),
        pairs in prop::collection::vec((0usize..6, 0usize..6), 1..10),
    ) {
        let hosts: Vec<Edge> =
            specs.iter().map(|(up, down, ms)| delayed(rates(*up, *down), MS * *ms)).collect();
        let mut play = Play::new(&hosts);
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a % hosts.len(), b % hosts.len())).filter(|(a, b)| a != b).collect();
        for &(from, to) in &pairs {
            play.send(from, to, u64::MAX >> 20);
        }
        play.run(Duration::from_secs(10));
        for (host, (up, down, _)) in specs.iter().enumerate() {
            let sum = |mine: fn(&(usize, usize)) -> usize| -> u64 {
                pairs.iter().enumerate().filter(|(_, pair)| mine(pair) == host).map(|(i, _)| play.read(i)).sum()
            };
            prop_assert!(sum(|pair| pair.0) <= up * 10 + 16_384);
            prop_assert!(sum(|pair| pair.1) <= down * 10 + 16_384);
        }
        for (i, &(from, to)) in pairs.iter().enumerate() {
            let alone = pairs.iter().filter(|pair| pair.0 == from || pair.1 == to).count() == 1;
            let rate = specs[from].0.min(specs[to].1);
            prop_assert!(!alone || near(play.read(i), rate * 10, 0.03), "{} of {}", play.read(i), rate * 10);
        }
    }
}
