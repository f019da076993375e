use sta_core::model::limits;
use sta_core::model::time::Time;

use super::super::way::KERNEL_BYTES;
use super::{Call, ConnIx, Happening, HostIx, NO_CAP, Net, Passage, Postage};

const MS: u64 = 1_000_000;
/// A byte a microsecond.
const RATE: u64 = 1_000_000;
/// What a dial costs here: the round trip.
const DIAL: u64 = 20 * MS;

/// A call over a way of 10 ms.
const CALL: Call =
    Call { delay: 10 * MS, refused: false, passages: [Passage::Open; 2], caps: [NO_CAP; 2] };

/// `hosts` that listen, all of the same rate.
fn net(hosts: u32) -> Net<&'static str> {
    let mut net = Net::default();
    for host in 0..hosts {
        net.add_host(None, RATE, RATE);
        net.listen(host, true);
    }
    net
}

/// Everything that happens up to `until`, a line each: milliseconds, and what.
fn run(net: &mut Net<&'static str>, until: u64) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some((at, happening)) = net.next(Time::from_nanos(until)) {
        let what = match happening {
            Happening::Opened(conn) => format!("{conn} opened"),
            Happening::Accepted(conn) => format!("{conn} accepted"),
            Happening::Arrived(conn, side, what) => format!("{conn}.{side} gets {what}"),
            Happening::Taken(conn, side) => format!("{conn}.{side} kernel has one"),
            Happening::Closed(conn, side, why) => format!("{conn}.{side} {why:?}"),
        };
        let micros = at.as_nanos().div_ceil(1_000);
        seen.push(format!("{}.{:03} {what}", micros / 1_000, micros % 1_000));
    }
    net.advance(Time::from_nanos(until));
    seen
}

#[test]
fn what_leaves_a_site_shares_its_link() {
    let mut net: Net<&'static str> = Net::default();
    let site = net.add_site(Some(RATE / 2), None);
    for of in [Some(site), Some(site), None, None] {
        let host = net.add_host(of, RATE, RATE);
        net.listen(host, true);
    }
    let conns = [(0, 2), (1, 3), (0, 1)].map(|(from, to)| net.dial(from, to, CALL));
    run(&mut net, DIAL);
    net.send(conns[0], 0, "out", parcel(10_000));
    net.send(conns[1], 0, "out too", parcel(10_000));
    net.send(conns[2], 0, "within", parcel(30_000));
    // Both share half of the rate, and what stays within has three quarters of its sender's.
    let seen = run(&mut net, 200 * MS);
    assert_eq!(seen, ["70.000 0.1 gets out", "70.000 1.1 gets out too", "70.000 2.1 gets within"]);
    // A packet goes at the rate of the site, too.
    let from = net.now.as_nanos();
    net.send(conns[0], 0, "packet", parcel(1_000));
    let seen = run(&mut net, from + 20 * MS);
    assert_eq!(seen, ["212.000 0.1 gets packet"]);
}

fn open(net: &mut Net<&'static str>, from: HostIx, to: HostIx) -> ConnIx {
    let conn = net.dial(from, to, CALL);
    let until = net.now.as_nanos() + DIAL;
    run(net, until);
    conn
}

const fn parcel(bytes: u64) -> Postage {
    Postage { bytes, delay: 10 * MS, tell: false }
}

#[test]
fn a_message_takes_its_bytes_over_the_rate_and_then_the_delay() {
    let mut net = net(2);
    let conn = open(&mut net, 0, 1);
    net.send(conn, 0, "piece", Postage { bytes: 40_000, delay: 10 * MS, tell: true });
    net.send(conn, 1, "small", parcel(500));
    let seen = run(&mut net, 1_000 * MS);
    let expected = ["20.000 0.0 kernel has one", "30.500 0.0 gets small", "70.000 0.1 gets piece"];
    assert_eq!(seen, expected);
}

/// The kernel takes the last byte of a message when no more than its buffer waits: what it has taken cannot be overtaken.
#[test]
fn the_kernel_takes_what_fits_into_its_buffer() {
    let mut net = net(2);
    let conn = open(&mut net, 0, 1);
    let told = |bytes| Postage { bytes, delay: 10 * MS, tell: true };
    let buffer = KERNEL_BYTES;
    net.send(conn, 0, "first", told(buffer));
    net.send(conn, 0, "second", told(50_000));
    net.send(conn, 0, "third", told(2 * buffer));
    let seen = run(&mut net, 5_000 * MS);
    let at = |bytes: u64, more: u64| format!("{}.{:03}", 20 + bytes / 1_000 + more, bytes % 1_000);
    let expected = [
        "20.000 0.0 kernel has one".to_owned(),
        "70.000 0.0 kernel has one".to_owned(),
        format!("{} 0.1 gets first", at(buffer, 10)),
        format!("{} 0.1 gets second", at(buffer + 50_000, 10)),
        format!("{} 0.0 kernel has one", at(2 * buffer + 50_000, 0)),
        format!("{} 0.1 gets third", at(3 * buffer + 50_000, 10)),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_stream_keeps_its_order_and_a_small_message_waits_behind_a_large_one() {
    let mut net = net(2);
    let conn = open(&mut net, 0, 1);
    net.send(conn, 0, "first", parcel(1_000));
    net.send(conn, 0, "second", parcel(10_000));
    net.send(conn, 0, "third", parcel(100));
    let seen = run(&mut net, 1_000 * MS);
    // The packet's 1,000 bytes go with the second: its link carries no more than it can.
    assert_eq!(seen, ["31.000 0.1 gets first", "41.000 0.1 gets second", "41.100 0.1 gets third"]);
}

#[test]
fn connections_of_a_host_share_its_links() {
    let mut net = net(4);
    let conns = [1, 2, 3].map(|to| open(&mut net, 0, to));
    for conn in conns {
        net.send(conn, 0, "third", parcel(100_000));
    }
    net.send(conns[2], 0, "more", parcel(100_000));
    let seen = run(&mut net, 2_000 * MS);
    // Rates are whole bytes per second: a third of one goes to nobody.
    let expected = [
        "370.001 0.1 gets third",
        "370.001 1.1 gets third",
        "370.001 2.1 gets third",
        "470.001 2.1 gets more",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_cut_way_goes_on_where_it_was() {
    let mut net = net(2);
    let conn = open(&mut net, 0, 1);
    net.send(conn, 0, "early", parcel(5_000));
    net.send(conn, 0, "late", parcel(25_000));
    assert!(run(&mut net, 30 * MS).is_empty(), "one is under way, a fifth of the other has left");
    net.set_passage(conn, 0, Passage::Cut);
    net.send(conn, 1, "back", parcel(100));
    assert_eq!(run(&mut net, 500 * MS), ["40.100 0.0 gets back"]);
    net.set_passage(conn, 0, Passage::Open);
    assert_eq!(run(&mut net, 999 * MS), ["500.000 0.1 gets early", "530.000 0.1 gets late"]);
}

#[test]
fn what_is_held_comes_in_a_burst() {
    let mut net = net(2);
    let conn = open(&mut net, 0, 1);
    net.set_passage(conn, 0, Passage::Held);
    net.send(conn, 0, "one", parcel(5_000));
    net.send(conn, 0, "two", parcel(5_000));
    assert!(run(&mut net, 700 * MS).is_empty());
    net.set_passage(conn, 0, Passage::Open);
    assert_eq!(run(&mut net, 999 * MS), ["700.000 0.1 gets one", "700.000 0.1 gets two"]);
}

#[test]
fn a_close_comes_after_what_was_sent_and_an_abort_does_not() {
    let mut net = net(2);
    let conns = [open(&mut net, 0, 1), open(&mut net, 0, 1)];
    for conn in conns {
        net.send(conn, 0, "block", parcel(10_000));
        net.send(conn, 1, "unread", parcel(10_000));
    }
    net.close(conns[0], 0);
    net.abort(conns[1], 0);
    let expected = ["50.000 1.1 Reset", "60.000 0.1 gets block", "60.000 0.1 Ended"];
    assert_eq!(run(&mut net, 999 * MS), expected);
    assert!(net.conns(0).is_empty() && net.conns(1).is_empty());
}

#[test]
fn a_silent_machine_is_noticed_by_who_sends_once_it_is_back() {
    let mut net = net(3);
    let (waits, asks) = (open(&mut net, 0, 1), open(&mut net, 2, 1));
    net.silence(1);
    net.send(waits, 0, "data", parcel(10_000));
    assert!(run(&mut net, 3_000 * MS).is_empty(), "nobody answers, nobody says so");
    net.listen(1, true);
    net.revive(1);
    assert_eq!(run(&mut net, 4_000 * MS), ["3020.000 0.0 Reset"]);
    net.send(asks, 0, "hello?", parcel(100));
    assert_eq!(run(&mut net, 5_000 * MS), ["4020.000 1.0 Reset"]);
}

#[test]
fn dials() {
    let timeout = limits::DIAL_TIMEOUT.as_millis();
    let timed_out = format!("{timeout}.000 0.0 TimedOut");
    let both = vec!["20.000 0 opened".to_owned(), "20.000 0 accepted".to_owned()];
    let refused = vec!["20.000 0.0 Refused".to_owned()];
    let table: [(&str, Call, bool, Vec<String>); 5] = [
        ("somebody listens", CALL, true, both),
        ("nobody listens", CALL, false, refused.clone()),
        ("a fault refuses", Call { refused: true, ..CALL }, true, refused),
        (
            "cut one way",
            Call { passages: [Passage::Open, Passage::Cut], ..CALL },
            true,
            vec![timed_out.clone()],
        ),
        ("held", Call { passages: [Passage::Held, Passage::Open], ..CALL }, true, vec![timed_out]),
    ];
    for (name, call, listens, expected) in table {
        let mut net = net(2);
        net.listen(1, listens);
        net.dial(0, 1, call);
        assert_eq!(run(&mut net, 10_000 * MS), expected, "{name}");
    }
}

#[test]
fn a_held_dial_succeeds_once_it_is_let_through() {
    let mut net = net(2);
    let conn = net.dial(0, 1, Call { passages: [Passage::Held, Passage::Open], ..CALL });
    assert!(run(&mut net, 100 * MS).is_empty());
    net.set_passage(conn, 0, Passage::Open);
    assert_eq!(run(&mut net, 999 * MS), ["110.000 0 opened", "110.000 0 accepted"]);
    assert_eq!(net.ends(conn), [0, 1]);
}

#[test]
fn a_dial_behind_a_cut_succeeds_once_it_is_over() {
    for passages in
        [[Passage::Cut, Passage::Open], [Passage::Open, Passage::Cut], [Passage::Cut; 2]]
    {
        let mut net = net(2);
        let conn = net.dial(0, 1, Call { passages, ..CALL });
        assert!(run(&mut net, 100 * MS).is_empty());
        net.set_passage(conn, 0, Passage::Open);
        net.set_passage(conn, 1, Passage::Open);
        assert_eq!(run(&mut net, 999 * MS), ["120.000 0 opened", "120.000 0 accepted"]);
        assert!(run(&mut net, 10_000 * MS).is_empty(), "it is not given up any more");
    }
}

/// It was refused, as if a process had died.
#[test]
fn who_dials_a_machine_that_is_off_waits_for_it() {
    let mut net = net(2);
    net.silence(1);
    net.dial(0, 1, CALL);
    let timeout = limits::DIAL_TIMEOUT.as_millis() as u64;
    assert_eq!(run(&mut net, 6_000 * MS), [format!("{timeout}.000 0.0 TimedOut")]);
    net.dial(0, 1, CALL);
    assert!(run(&mut net, 7_000 * MS).is_empty());
    net.listen(1, true);
    net.revive(1);
    assert_eq!(run(&mut net, 9_000 * MS), ["7020.000 1 opened", "7020.000 1 accepted"]);
    // On the way there, and on the way back.
    for at in [5, 15] {
        let mut net = self::net(2);
        net.listen(1, true);
        net.dial(0, 1, CALL);
        assert!(run(&mut net, at * MS).is_empty());
        net.silence(1);
        assert!(run(&mut net, 1_000 * MS).is_empty());
        net.listen(1, true);
        net.revive(1);
        assert_eq!(run(&mut net, 9_000 * MS), ["1020.000 0 opened", "1020.000 0 accepted"]);
    }
}

/// A machine that is off answers nothing, however open the way is.
#[test]
fn a_dial_to_a_silent_machine_is_given_up() {
    let mut net = net(2);
    let cut = Call { passages: [Passage::Cut; 2], ..CALL };
    let conns = [CALL, cut].map(|call| net.dial(0, 1, call));
    net.silence(1);
    run(&mut net, 100 * MS);
    for conn in conns {
        net.set_passage(conn, 0, Passage::Open);
        net.set_passage(conn, 1, Passage::Open);
    }
    let timeout = limits::DIAL_TIMEOUT.as_millis();
    let expected = [0, 1].map(|conn| format!("{timeout}.000 {conn}.0 TimedOut"));
    assert_eq!(run(&mut net, 10_000 * MS), expected);
}
