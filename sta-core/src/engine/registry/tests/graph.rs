//! The graph of pushes, for hundreds of nodes: thin, short, and in one piece whatever leaves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::seq::SliceRandom as _;

use super::super::leases::EntryIx;
use super::{A, ALL, ConnId, Input, PieceRange, Tracker, secs};
use crate::model::limits;
use crate::model::rng::Seed;
use crate::wire::tracker::ToTracker;

/// A source and `n` nodes without a piece, all joined at once, and the graph levelled.
fn crowd(seed: u64, n: usize) -> (Tracker, Vec<ConnId>) {
    let mut t = Tracker::new(seed);
    let mut conns = vec![t.joined("source", "192.0.2.1:1", ALL)];
    for i in 0..n {
        let at = format!("10.0.{}.{}:1", i / 250, i % 250 + 1);
        conns.push(t.joined(&format!("n{i}"), &at, &[]));
    }
    t.wait(limits::GRAPH_LEVEL_DELAY);
    (t, conns)
}

fn entries(t: &Tracker) -> Vec<EntryIx> {
    t.registry.leases.entries_of(Some(A)).collect()
}

fn degrees(t: &Tracker) -> Vec<usize> {
    entries(t).into_iter().map(|e| t.registry.leases.entry(e).degree()).collect()
}

/// How far each node that can be reached is from the first of `from`, over nodes that are not in `without`.
fn distances(t: &Tracker, from: EntryIx, without: &BTreeSet<EntryIx>) -> BTreeMap<EntryIx, usize> {
    let mut found = BTreeMap::from([(from, 0)]);
    let mut queue = VecDeque::from([from]);
    while let Some(entry) = queue.pop_front() {
        let far = found[&entry];
        for other in &t.registry.leases.entry(entry).neighbours {
            if !without.contains(other) && !found.contains_key(other) {
                found.insert(*other, far + 1);
                queue.push_back(*other);
            }
        }
    }
    found
}

#[test]
fn a_small_torrent_is_a_complete_graph() {
    let (t, _) = crowd(1, 10);
    assert_eq!(degrees(&t), [10; 11]);
}

#[test]
fn a_large_one_is_thin_and_short() {
    for seed in 0..5 {
        let (t, _) = crowd(seed, 999);
        let degrees = degrees(&t);
        assert!(degrees.iter().all(|d| (10..=12).contains(d)), "{degrees:?}");
        assert!(degrees.iter().sum::<usize>() <= 10_020, "nearly regular: {degrees:?}");
        let far = distances(&t, entries(&t)[0], &BTreeSet::new());
        assert_eq!(far.len(), 1_000, "in one piece");
        let farthest = far.values().max().copied().unwrap_or(0);
        assert!(farthest <= 6, "{farthest} hops from the source");
        let mean = far.values().sum::<usize>() as f64 / 1_000.0;
        assert!(mean < 4.5, "{mean} hops in the mean");
    }
}

#[test]
fn one_by_one_is_as_good_as_all_at_once() {
    let mut t = Tracker::new(7);
    let mut conns = vec![t.joined("source", "192.0.2.1:1", ALL)];
    for i in 0..300 {
        let at = format!("10.0.{}.{}:1", i / 250, i % 250 + 1);
        conns.push(t.joined(&format!("n{i}"), &at, &[]));
        t.wait(limits::GRAPH_LEVEL_DELAY);
        for conn in &conns {
            t.registry.handle(Input::Message { conn: *conn, message: ToTracker::Ping }, t.now);
        }
    }
    let degrees = degrees(&t);
    assert!(degrees.iter().all(|d| (5..=16).contains(d)), "{degrees:?}");
    let far = distances(&t, entries(&t)[0], &BTreeSet::new());
    assert_eq!(far.len(), 301, "in one piece");
    let mean = far.values().sum::<usize>() as f64 / 300.0;
    assert!(mean < 4.5, "{mean} hops in the mean");
}

/// A source, and as many nodes in each of `sites`, all joined at once or one by one, and the graph levelled.
fn racks(seed: u64, sites: &[usize], one_by_one: bool) -> Tracker {
    let mut t = Tracker::new(seed);
    let source = t.hello_from("r0", "source", "192.0.2.1:1");
    t.join(source, ALL);
    let most = sites.iter().copied().max().unwrap_or_default();
    for i in 0..most {
        for rack in (0..sites.len()).filter(|rack| i < sites[*rack]) {
            let at = format!("10.0.{rack}.{}:1", i + 1);
            let conn = t.hello_from(&format!("r{rack}"), &format!("n{rack}-{i}"), &at);
            t.join(conn, &[]);
            if one_by_one {
                t.wait(limits::GRAPH_LEVEL_DELAY);
            }
        }
    }
    t.wait(limits::GRAPH_LEVEL_DELAY);
    t
}

/// How many neighbours each has of its own site, and of others.
fn near_and_far(t: &Tracker) -> Vec<(usize, usize)> {
    let leases = &t.registry.leases;
    let near = |entry: EntryIx| {
        let all = leases.entry(entry).neighbours.iter();
        all.filter(|other| leases.is_near(entry, **other)).count()
    };
    entries(t).into_iter().map(|e| (near(e), leases.entry(e).degree() - near(e))).collect()
}

#[test]
fn most_neighbours_are_of_the_same_site_and_some_are_not() {
    for (seed, one_by_one) in [(1, false), (2, false), (3, true)] {
        let t = racks(seed, &[30; 8], one_by_one);
        let degrees = near_and_far(&t);
        assert!(degrees.iter().all(|(near, far)| near + far >= 5), "{degrees:?}");
        let (near, far) = degrees.iter().fold((0, 0), |(a, b), (near, far)| (a + near, b + far));
        // An eighth would be near by chance. Who comes one by one meets few of its own at first.
        if one_by_one {
            assert!(near > far, "{near} within sites, {far} across: {degrees:?}");
        } else {
            assert!(near >= 2 * far, "{near} within sites, {far} across: {degrees:?}");
            assert!(degrees.iter().all(|(_, far)| (1..=10).contains(far)), "{degrees:?}");
        }
        let found = distances(&t, entries(&t)[0], &BTreeSet::new());
        assert_eq!(found.len(), 241, "in one piece");
        let farthest = found.values().max().copied().unwrap_or(0);
        assert!(farthest <= 10, "{farthest} hops from the source");
    }
}

/// Who stands alone has nobody near, and all others have enough who are far already.
#[test]
fn who_comes_from_a_site_of_its_own_is_not_left_alone() {
    let mut t = racks(5, &[30, 30], false);
    for (site, name) in [("alone", "first"), ("", "second"), ("other", "third")] {
        let conn = t.hello_from(site, name, "10.9.9.9:1");
        t.join(conn, &[]);
        t.wait(limits::GRAPH_LEVEL_DELAY);
        let degree = degrees(&t).last().copied().unwrap_or(0);
        assert!((3..=10).contains(&degree), "{name} has {degree}");
    }
}

/// Who could reach nobody of those it was told of asked in vain: it had all the neighbours that it should have.
#[test]
fn who_asks_is_told_of_others_however_many_it_has() {
    let mut t = racks(7, &[30; 4], false);
    let conn = t.hello_from("r1", "late", "10.7.0.1:1");
    t.join(conn, &[]);
    t.wait(limits::GRAPH_LEVEL_DELAY);
    let mut known: BTreeSet<String> = t.told(conn).into_iter().collect();
    for _ in 0..4 {
        t.now += limits::WANT_INTERVAL_MIN;
        t.say(conn, ToTracker::Want { torrent: A, n: 5 });
        let told = t.told(conn);
        assert_eq!(told.len(), 5);
        for other in told {
            assert!(known.insert(other.clone()), "{other} is known");
        }
    }
}

/// One elsewhere is a neighbour of few, and all others looked for it in vain at every levelling.
#[test]
fn a_site_with_next_to_nobody_elsewhere_has_all_its_neighbours_within() {
    let mut t = Tracker::new(8);
    t.joined("source", "192.0.2.1:1", ALL);
    for i in 0..200 {
        let conn = t.hello_from("here", &format!("n{i}"), &format!("10.0.0.{i}:1"));
        t.join(conn, &[]);
    }
    t.wait(limits::GRAPH_LEVEL_DELAY);
    let degrees = degrees(&t);
    assert!(degrees.iter().all(|d| (9..=16).contains(d)), "{degrees:?}");
    assert_eq!(distances(&t, entries(&t)[0], &BTreeSet::new()).len(), 201, "in one piece");
}

#[test]
fn who_has_nobody_elsewhere_any_more_is_told_of_somebody() {
    let mut t = racks(9, &[30; 3], false);
    let one = entries(&t)[1];
    let far = |t: &Tracker| -> Vec<EntryIx> {
        let leases = &t.registry.leases;
        let all = leases.entry(one).neighbours.iter().copied();
        all.filter(|other| !leases.is_near(one, *other)).collect()
    };
    let before = far(&t);
    assert!(!before.is_empty());
    for entry in before {
        let now = t.now;
        t.registry.end(entry, false, now);
    }
    t.give(Input::Tick);
    assert!(!far(&t).is_empty(), "others are there");
}

/// The others have as many neighbours as they want, when it comes.
#[test]
fn a_site_that_comes_late_is_not_cut_off() {
    let mut t = racks(12, &[30; 2], false);
    for i in 0..30 {
        let conn = t.hello_from("late", &format!("late-{i}"), &format!("10.9.0.{i}:1"));
        t.join(conn, &[]);
    }
    t.wait(limits::GRAPH_LEVEL_DELAY);
    let late = &near_and_far(&t)[61..];
    assert!(late.iter().all(|(near, far)| *far > 0 && near + far >= 5), "{late:?}");
}

/// All but one are at one site, and that one cannot be everybody's neighbour: departures must not make all others neighbours.
#[test]
fn a_site_with_next_to_nobody_elsewhere_does_not_thicken() {
    let mut t = Tracker::new(13);
    t.joined("source", "192.0.2.1:1", ALL);
    let conns: Vec<ConnId> = (0..120)
        .map(|i| {
            let conn = t.hello_from("here", &format!("n{i}"), &format!("10.0.0.{i}:1"));
            t.join(conn, &[]);
            conn
        })
        .collect();
    t.wait(limits::GRAPH_LEVEL_DELAY);
    for conn in &conns[..60] {
        t.say(*conn, ToTracker::Leave { torrent: A });
    }
    let degrees = degrees(&t);
    assert!(degrees.iter().all(|d| (5..=16).contains(d)), "{degrees:?}");
    let sum: usize = degrees.iter().sum();
    assert!(sum <= 61 * 10, "{sum}: {degrees:?}");
}

#[test]
fn who_comes_late_to_a_site_has_enough_neighbours() {
    let mut t = racks(11, &[30; 3], false);
    let conn = t.hello_from("r2", "late", "10.7.0.1:1");
    t.join(conn, &[]);
    t.wait(limits::GRAPH_LEVEL_DELAY);
    let (near, far) = near_and_far(&t).last().copied().unwrap_or_default();
    assert!(near >= 3 && far >= 1 && near + far >= 5, "{near} near, {far} far");
}

#[test]
fn who_has_moved_finds_neighbours_where_it_is() {
    let mut t = racks(10, &[30; 2], false);
    let near = |t: &Tracker, entry| {
        let leases = &t.registry.leases;
        leases.entry(entry).neighbours.iter().filter(|other| leases.is_near(entry, **other)).count()
    };
    let moved = entries(&t)[5];
    let name = t.registry.leases.node(t.registry.leases.entry(moved).node).id.to_string();
    let addr = t.registry.leases.node(t.registry.leases.entry(moved).node).addr.to_string();
    let to = if name.starts_with("n0") { "r1" } else { "r0" };
    let conn = t.hello_from(to, &name, &addr);
    t.join(conn, &[]);
    t.wait(limits::GRAPH_LEVEL_DELAY);
    assert!(near(&t, moved) >= 3, "{} near", near(&t, moved));
}

#[test]
fn a_site_that_lost_its_link_to_the_rest_is_linked_again() {
    let mut t = racks(6, &[20, 20], false);
    let all = entries(&t);
    for one in &all {
        for other in &all {
            if !t.registry.leases.is_near(*one, *other) {
                t.registry.leases.disconnect(*one, *other);
            }
        }
    }
    let whole = |t: &Tracker| distances(t, entries(t)[0], &BTreeSet::new()).len();
    assert!(whole(&t) < 41);
    let leaver = t.joined("leaver", "10.8.0.1:1", &[]);
    t.say(leaver, ToTracker::Leave { torrent: A });
    t.wait(2 * limits::GRAPH_AUDIT_DELAY);
    assert_eq!(whole(&t), 41);
}

#[test]
fn a_third_may_die_at_once_and_the_rest_is_still_in_one_piece() {
    for seed in 0..5 {
        let (t, _) = crowd(seed, 599);
        let mut rng = Seed(seed).stream("who dies");
        let all = entries(&t);
        let mut mortal = all[1..].to_vec();
        mortal.shuffle(&mut rng);
        let dead: BTreeSet<EntryIx> = mortal[..200].iter().copied().collect();
        let reached = distances(&t, all[0], &dead).len();
        assert!(reached >= 399, "{reached} of 400, before anything is repaired");
    }
}

#[test]
fn who_lost_neighbours_is_told_of_new_ones_unasked() {
    let (mut t, conns) = crowd(3, 199);
    for conn in &conns {
        t.told(*conn);
    }
    for conn in conns.iter().skip(1).step_by(2) {
        t.say(*conn, ToTracker::Leave { torrent: A });
    }
    assert!(degrees(&t).into_iter().skip(1).all(|d| d >= 5), "{:?}", degrees(&t));
    let told = conns.iter().skip(2).step_by(2).filter(|conn| !t.told(**conn).is_empty()).count();
    assert!(told > 20, "{told} of 99 were told");
    assert_eq!(distances(&t, entries(&t)[0], &BTreeSet::new()).len(), 100);
}

#[test]
fn a_part_that_came_loose_is_linked_again() {
    let (mut t, conns) = crowd(4, 59);
    // Cut every link between the first twenty and the rest, as if those between had left at once.
    let all = entries(&t);
    for one in &all[..20] {
        for other in &all[20..] {
            t.registry.leases.disconnect(*one, *other);
        }
    }
    assert!(distances(&t, all[0], &BTreeSet::new()).len() < 60);
    t.say(conns[59], ToTracker::Leave { torrent: A });
    t.wait(limits::GRAPH_AUDIT_DELAY * 4);
    assert_eq!(distances(&t, all[0], &BTreeSet::new()).len(), 59);
}

#[test]
fn churn_neither_thins_nor_thickens_the_graph() {
    let (mut t, mut conns) = crowd(5, 150);
    let mut rng = Seed(5).stream("churn");
    for round in 0..600 {
        conns[1..].shuffle(&mut rng);
        let leaves = conns.pop().expect("many");
        if round % 2 == 0 {
            t.say(leaves, ToTracker::Leave { torrent: A });
        } else {
            t.give(Input::Closed { conn: leaves });
        }
        let at = format!("10.1.{}.{}:1", round / 250, round % 250 + 1);
        conns.push(t.joined(&format!("late{round}"), &at, &[]));
        t.wait(secs(1));
        for conn in &conns {
            t.registry.handle(Input::Message { conn: *conn, message: ToTracker::Ping }, t.now);
        }
    }
    t.wait(secs(59));
    let degrees = degrees(&t);
    assert_eq!(degrees.len(), 151);
    assert!(degrees[0] <= 12, "the source has {}", degrees[0]);
    assert!(degrees[1..].iter().all(|d| (5..=16).contains(d)), "{degrees:?}");
    assert_eq!(distances(&t, entries(&t)[0], &BTreeSet::new()).len(), 151);
}

#[test]
fn a_late_joiner_finds_somebody_among_a_thousand_complete_nodes() {
    let (mut t, conns) = crowd(6, 200);
    for conn in &conns[1..] {
        t.say(*conn, ToTracker::Have { torrent: A, p: ALL.to_vec() });
    }
    assert_eq!(degrees(&t), [0; 201], "they have no use for each other");
    let late = t.joined("late", "192.0.2.99:1", &[PieceRange::one(0)]);
    assert_eq!(t.told(late).len(), limits::GRAPH_DEGREE_FIRST as usize);
    t.wait(limits::GRAPH_LEVEL_DELAY);
    let degree = degrees(&t)[201];
    assert!((5..=10).contains(&degree), "more when the graph is levelled: {degree}");
    let seed = t.joined("another", "192.0.2.98:1", ALL);
    assert_eq!(t.told(seed), ["late 192.0.2.99:7000"]);
}
