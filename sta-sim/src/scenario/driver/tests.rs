//! Stories: what a file's timeline does to a world that is only a list of who has what.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sta_core::model::bitfield::{Bitfield, PieceRange};
use sta_core::model::time::Time;

use super::{Action, Driver, Occurrence};
use crate::scenario::capsule::{self, Failure};
use crate::scenario::plan::{Check, ContentIx, HostIx, Plan, Verb};
use crate::scenario::tests::plan;
use crate::scenario::view::{Progress, View};

/// tracker[0] is host 0, seed[0] is 1, leech[0..4] are 2 to 5. Eight pieces, which the seed has.
const HEAD: &str = r#"
schema = 1
name = "story"
[clock]
deadline = "60s"
healed = "40s"
[[group]]
name = "tracker"
[[group]]
name = "seed"
up = "8 Mbit/s"
[[group]]
name = "leech"
count = 4
LEECH
[[content]]
name = "image.bin"
size = "1 MiB"
piece = "128 KiB"
[[expect]]
that = "complete"
"#;

fn text(leech: &str, timeline: &str) -> String {
    format!("{}{timeline}", HEAD.replace("LEECH", leech))
}

struct Story {
    plan: Arc<Plan>,
    driver: Driver,
    now: Time,
    held: Vec<Bitfield>,
}

struct Held<'a>(&'a [Bitfield]);

impl View for Held<'_> {
    fn progress(&self, host: HostIx) -> Progress {
        let held = &self.0[host];
        Progress { have: held.count().into(), of: held.len().into() }
    }

    fn holds(&self, host: HostIx, _: ContentIx) -> Option<&Bitfield> {
        Some(&self.0[host])
    }

    fn happened(&self, _: &str) -> u64 {
        0
    }
}

impl Story {
    /// A run of `timeline`, at time zero, after everybody has started.
    fn of(timeline: &str, seed: u64) -> Self {
        Self::with_leeches("", timeline, seed)
    }

    fn with_leeches(leech: &str, timeline: &str, seed: u64) -> Self {
        Self::start(&text(leech, timeline), seed)
    }

    fn start(text: &str, seed: u64) -> Self {
        let plan = Arc::new(plan(text, seed));
        let pieces = |host: HostIx| match host {
            0 => Bitfield::empty(0),
            1 => Bitfield::full(8),
            _ => Bitfield::empty(8),
        };
        let held = (0..plan.hosts.len()).map(pieces).collect();
        let driver = Driver::new(Arc::clone(&plan));
        let mut story = Self { plan, driver, now: Time::ZERO, held };
        story.until(0);
        story
    }

    /// What was done up to this millisecond, one line each.
    fn until(&mut self, millis: u64) -> String {
        let end = Time::ZERO + Duration::from_millis(millis);
        let mut done = String::new();
        loop {
            for Action { host, what, .. } in self.driver.poll(self.now, &Held(&self.held)) {
                let name = &self.plan.hosts[host].name;
                writeln!(done, "{} {name} {what:?}", self.now).expect("memory is there");
            }
            if self.driver.deadline() > end {
                self.now = end;
                return done;
            }
            self.now = self.driver.deadline();
        }
    }

    /// Whether bytes pass from one host to another.
    fn passes(&self, from: HostIx, to: HostIx) -> bool {
        self.driver.network().link(from, to).passes()
    }

    fn log_of(&self, prefix: &str) -> Vec<&Occurrence> {
        self.driver.log().iter().filter(|entry| entry.id.starts_with(prefix)).collect()
    }
}

#[test]
fn a_cut_stalls_one_link_and_heals() {
    let cut = "[[event]]\nid='cut'\nat='5s'\ndo='cut'\non='seed'\nagainst='leech[0]'\nfor='3s'";
    let mut story = Story::of(cut, 0);
    story.until(4_999);
    assert!(story.passes(1, 2));
    assert_eq!(story.until(5_000), "5.000s seed[0] Network\n5.000s leech[0] Network\n");
    assert!(!story.passes(1, 2) && !story.passes(2, 1) && story.passes(1, 3) && story.passes(1, 1));
    assert_eq!(story.driver.network().link(1, 2).cause, Some(6), "the entry after six joins");
    story.until(8_000);
    assert!(story.passes(1, 2));
    assert_eq!(story.driver.log()[6].ended, Some(Time::from_nanos(8_000_000_000)));
}

#[test]
fn what_stopped_hosts_ends_when_the_last_of_them_is_started_again() {
    let off = "[[event]]\nid='off'\nat='1s'\ndo='power-off'\non='leech[0..2]'\n[[event]]\nat='3s'\ndo='restart'\non='leech[0]'\n[[event]]\nat='5s'\ndo='join'\non='leech[1]'\n[[event]]\nid='next'\nwhen='event(off) + 1s'\ndo='cut'\non='seed'\nfor='1s'";
    let mut story = Story::of(off, 0);
    let ended = |story: &Story| story.log_of("off")[0].ended;
    story.until(4_900);
    assert_eq!(ended(&story), None, "one is still down");
    story.until(7_000);
    assert_eq!(ended(&story), Some(Time::from_nanos(5_000_000_000)));
    assert_eq!(story.log_of("next")[0].began, Time::from_nanos(6_000_000_000));
}

#[test]
fn a_link_under_two_cuts_is_whole_when_both_have_ended() {
    let cuts = "[[event]]\nat='1s'\ndo='cut'\non='leech[0]'\nfor='4s'\n[[event]]\nat='2s'\ndo='cut-oneway'\non='seed'\nagainst='leech'\nfor='9s'";
    let mut story = Story::of(cuts, 0);
    story.until(3_000);
    assert!(!story.passes(1, 2) && !story.passes(2, 1));
    story.until(6_000);
    assert!(!story.passes(1, 2) && story.passes(2, 1), "one way is still cut");
    story.until(11_000);
    assert!(story.passes(1, 2));
}

#[test]
fn heal_ends_what_touches_and_flapping_stops() {
    let flap = "[[event]]\nid='flap'\nat='1s'\ndo='flap'\non='leech[1]'\nwith={period='2s'}\n[[event]]\nat='4500ms'\ndo='heal'\non='leech[1]'";
    let mut story = Story::of(flap, 0);
    let passes: Vec<bool> = [1_500, 2_500, 3_500, 4_499, 5_500, 6_500]
        .map(|millis| {
            story.until(millis);
            story.passes(1, 3)
        })
        .into();
    assert_eq!(passes, [false, true, false, true, true, true]);
}

#[test]
fn slow_links_and_slow_disks_take_the_least_of_all_rates() {
    let slow = "[[event]]\nat='1s'\ndo='slow'\non='seed'\nwith={up='4 Mbit/s', latency='20ms'}\nfor='9s'\n[[event]]\nat='2s'\ndo='slow'\non='*'\nwith={up='2 Mbit/s', loss='1%'}\nfor='3s'\n[[event]]\nat='3s'\ndo='disk-slow'\non='seed'\nwith={read='1 MiB/s'}\nfor='1s'";
    let mut story = Story::of(slow, 0);
    story.until(2_500);
    let edge = story.driver.network().edge(1);
    assert_eq!((edge.up, edge.latency), (Some(250_000), Duration::from_millis(21)));
    let done = story.until(6_000);
    assert!(
        done.contains("Disk(DiskState { read: Some(1048576), write: None, full: false })"),
        "{done}"
    );
    assert!(done.contains("Disk(DiskState { read: None, write: None, full: false })"), "{done}");
    assert_eq!(story.driver.network().edge(1).up, Some(500_000));
    assert_eq!(story.driver.network().edge(2).up, None);
}

#[test]
fn what_two_faults_keep_from_being_read_can_be_read_after_both() {
    let faults = "[[event]]\nat='1s'\ndo='disk-unreadable'\non='seed'\nwith={pieces='1..4'}\nfor='4s'\n[[event]]\nat='2s'\ndo='disk-unreadable'\non='seed + leech[0]'\nwith={pieces='3'}\nfor='9s'\n[[event]]\nat='12s'\ndo='disk-unreadable'\non='seed'\nwith={share='25%'}\nfor='1s'";
    let mut story = Story::of(faults, 0);
    assert_eq!(story.until(1_500), "1.000s seed[0] Unreadable([(0, 1), (0, 2), (0, 3)])\n");
    assert_eq!(story.until(2_500), "2.000s seed[0] Unreadable([(0, 3)])\n", "a leech has nothing");
    assert_eq!(story.until(6_000), "5.000s seed[0] Readable([(0, 1), (0, 2)])\n");
    assert_eq!(story.until(11_500), "11.000s seed[0] Readable([(0, 3)])\n");
    let drawn = story.until(14_000);
    assert_eq!(drawn.matches("(0, ").count(), 4, "two of eight, and back: {drawn}");
}

#[test]
fn a_condition_begins_an_event_and_another_follows_its_end() {
    let text = "[[event]]\nid='half'\nwhen='progress of leech[*] >= 50%'\ndo='pause'\non='seed'\nfor='1s'\n[[event]]\nwhen='event(half) + 2s'\ndo='reset'\non='seed'";
    let mut story = Story::of(text, 0);
    assert_eq!(story.until(10_000), "");
    for host in 2..6 {
        story.held[host].insert_range(PieceRange(0, 3), |_| {});
    }
    let done = story.until(20_000);
    let lines: Vec<&str> = done.lines().collect();
    let expected = [
        "10.010s seed[0] Pause",
        "11.010s seed[0] Resume",
        "13.010s seed[0] Reset { peers: [0, 2, 3, 4, 5] }",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn processes_stop_and_start_once_whatever_overlaps() {
    let text = "[[event]]\nid='crash'\nat='1s'\ndo='crash'\non='leech[0]'\nfor='4s'\n[[event]]\nid='off'\nat='2s'\ndo='power-off'\non='leech[0..2]'\nfor='1s'\n[[event]]\nid='wipe'\nat='8s'\ndo='wipe'\non='leech[2]'\nfor='1s'";
    let mut story = Story::of(text, 0);
    let expected = "1.000s leech[0] Crash\n2.000s leech[1] PowerOff { torn: false }\n3.000s leech[1] Start\n5.000s leech[0] Start\n\
                    8.000s leech[2] PowerOff { torn: false }\n8.000s leech[2] EmptyDisk\n9.000s leech[2] Start\n";
    assert_eq!(story.until(20_000), expected);
    assert_eq!(story.log_of("off")[0].touched, 1, "one of the two was down already");
}

/// Who was struck twice came back in the middle of the second outage.
#[test]
fn who_is_struck_twice_runs_again_when_both_outages_are_over() {
    let event = |verb: &str, at: u32, rest: &str| {
        format!("[[event]]\nid='{verb}-{at}'\nat='{at}s'\ndo='{verb}'\non='leech[0]'\n{rest}\n")
    };
    let both =
        |verb: &str, other: &str, rest: &str| event(verb, 1, "for='3s'") + &event(other, 2, rest);
    let story = |verb: &str, other: &str, rest: &str| {
        let mut story = Story::of(&both(verb, other, rest), 0);
        let done = story.until(30_000);
        let touched = story.log_of(&format!("{other}-2"))[0].touched;
        (done, touched)
    };
    let over = |word: &str| format!("7.000s leech[0] {word}\n");
    for (verb, other, begins, ends) in [
        ("crash", "power-off", "Crash", "Start"),
        ("power-off", "crash", "PowerOff { torn: false }", "Start"),
        ("crash", "leave", "Crash", "Start"),
        ("leave", "leave", "Leave", "Start"),
        ("pause", "pause", "Pause", "Resume"),
    ] {
        let (done, touched) = story(verb, other, "for='5s'");
        assert_eq!(done, format!("1.000s leech[0] {begins}\n{}", over(ends)), "{verb}, {other}");
        assert_eq!(touched, 1, "it is kept longer by {other}");
    }
    let mut story_of_wipe = Story::of(&both("crash", "wipe", ""), 0);
    let done = story_of_wipe.until(30_000);
    let expected = "1.000s leech[0] Crash\n2.000s leech[0] EmptyDisk\n4.000s leech[0] Start\n";
    assert_eq!(done, expected, "it comes back with an empty disk");
    let mut within =
        Story::of(&(event("crash", 1, "for='9s'") + &event("power-off", 2, "for='1s'")), 0);
    within.until(30_000);
    assert_eq!(within.log_of("power-off")[0].touched, 0, "the first lasted longer");
    assert_eq!(within.log_of("crash")[0].touched, 1);
    let (done, _) = story("crash", "power-off", "");
    assert_eq!(done, "1.000s leech[0] Crash\n", "for good");
    let again = both("crash", "power-off", "for='9s'") + &event("join", 6, "");
    let done = Story::of(&again, 0).until(30_000);
    assert_eq!(done, "1.000s leech[0] Crash\n6.000s leech[0] Start\n", "it was told to");
}

/// A churner that was sent away while it was away, or while it was down, was never seen again.
#[test]
fn a_churner_that_is_sent_away_comes_back_all_the_same() {
    let away = "[[event]]\nat='5s'\ndo='leave'\non='leech[0]'\nfor='2s'";
    let mut story = Story::with_leeches("behaviour='churner on 2s off 39s'", away, 0);
    let done = story.until(45_000);
    assert!(
        done.contains("40.000s leech[0] Start") && done.contains("40.000s leech[1] Start"),
        "{done}"
    );
    let down = "[[event]]\nat='1s'\ndo='crash'\non='leech[0]'\nfor='2s'\n[[event]]\nat='2s'\ndo='leave'\non='leech[0]'";
    let mut story = Story::with_leeches("behaviour='churner on 4s off 2s'", down, 0);
    let done = story.until(12_000);
    assert!(!done.contains("3.000s leech[0]"), "it has left: {done}");
    assert!(done.contains("leech[0] Start"), "and its next turn comes: {done}");
}

/// What was set first was undone with what was set later.
#[test]
fn what_is_set_within_what_is_set_leaves_that_as_it_was() {
    let set = |id: &str, at: u32, lasts: u32, with: &str| {
        format!(
            "[[event]]\nid='{id}'\nat='{at}s'\ndo='set'\non='leech[0]'\nwith={{{with}}}\nfor='{lasts}s'\n"
        )
    };
    let text = set("outer", 1, 9, "behaviour='free-rider', engine={upload-slots=1}")
        + &set("inner", 2, 3, "behaviour='liar 50%', engine={peers-wanted=3}");
    let mut story = Story::of(&text, 0);
    let done = story.until(7_000);
    let last: Vec<&str> = done.lines().rev().take(2).collect();
    assert!(last[1].ends_with("leech[0] Behave(FreeRider)"), "{done}");
    assert!(last[0].contains("upload_slots: 1,"), "{done}");
    let done = story.until(30_000);
    assert!(done.contains("leech[0] Behave(Honest)") && !done.contains("upload_slots: 1,"));
}

#[test]
fn trackers_fail_in_their_own_ways() {
    let text =
        "[[event]]\nat='1s'\ndo='tracker-down'\nfor='2s'\n[[event]]\nat='5s'\ndo='tracker-amnesia'";
    let mut story = Story::of(text, 0);
    let expected = "1.000s tracker[0] Crash\n3.000s tracker[0] Start\n5.000s tracker[0] Crash\n5.000s tracker[0] EmptyDisk\n5.000s tracker[0] Start\n";
    assert_eq!(story.until(20_000), expected);
}

#[test]
fn who_leaves_when_complete_leaves_so_long_after() {
    let mut story = Story::with_leeches("leave='2s after complete'", "", 0);
    story.until(3_000);
    story.held[2] = Bitfield::full(8);
    assert_eq!(story.until(9_000), "5.010s leech[0] Leave\n");
    assert!(story.driver.is_gone(2) && !story.driver.is_gone(3));
    assert!(story.driver.has_plans(), "the others leave when they are complete");
}

#[test]
fn churners_come_and_go_until_the_faults_are_over_and_then_stay() {
    let mut story = Story::with_leeches("behaviour='churner on exp 3s off 2s'", "", 5);
    story.until(39_999);
    let away = story.log_of("away#");
    assert!((16..=48).contains(&away.len()), "4 hosts, 40 s, 5 s a turn: {}", away.len());
    story.until(60_000);
    assert!((2..6).all(|host| story.driver.runs(host)));
    assert!(story.log_of("away#").iter().all(|entry| entry.began < story.plan.healed));
}

#[test]
fn random_faults_keep_their_limits_and_spare_the_last_copy() {
    let text = "[[fault]]\ndo='power-off'\non='seed + leech'\nevery='exp 500ms'\nfor='exp 2s'\nat-once=2\nprotect='last-copy'\nlimit=30";
    let mut story = Story::of(text, 3);
    story.held[2].insert(0);
    story.until(60_000);
    let log = story.log_of("power-off#1/");
    assert_eq!(log.len(), 30);
    assert!(log.iter().all(|entry| entry.on != [1]), "the seed alone holds pieces 1 to 7");
    assert!(log.iter().any(|entry| entry.on == [2]), "a second copy of piece 0 may go");
    for entry in &log {
        let under_way = |other: &&&Occurrence| {
            other.began <= entry.began && other.ended.is_some_and(|ended| ended > entry.began)
        };
        assert!(log.iter().filter(under_way).count() <= 2);
        assert!(entry.ended <= Some(story.plan.healed));
    }
    assert!((0..6).all(|host| story.driver.runs(host)), "all are back");
}

#[test]
fn a_random_fault_strikes_a_site_or_everybody_at_once() {
    let struck = |strikes: &str| {
        let fault = format!(
            "[[fault]]\ndo='power-off'\non='seed + leech + far'\nstrikes='{strikes}'\nevery='exp 1s'\nfor='500ms'\nlimit=20\n\
            [[site]]\nname='a'\n[[site]]\nname='b'\n[[group]]\nname='far'\nrole='leech'\ncount=2\nsite='b'"
        );
        let mut story = Story::with_leeches("site='a'", &fault, 1);
        story.until(60_000);
        let log = story.log_of("power-off#1/");
        assert!((0..8).all(|host| story.driver.runs(host)), "all are back");
        let on: BTreeSet<Vec<HostIx>> = log.into_iter().map(|entry| entry.on.clone()).collect();
        on.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(struck("site"), [vec![1], vec![2, 3, 4, 5], vec![6, 7]], "the seed is of no site");
    assert_eq!(struck("all"), [vec![1, 2, 3, 4, 5, 6, 7]]);
}

#[test]
fn when_the_faults_are_over_only_what_was_stopped_for_good_stays_stopped() {
    let text = "[[event]]\nat='1s'\ndo='crash'\non='leech[0]'\n[[event]]\nat='39s'\ndo='crash'\non='leech[1]'\nfor='9s'\n[[event]]\nat='2s'\ndo='hold'\non='leech[2]'\n[[event]]\nat='2s'\ndo='disk-full'\non='leech[3]'";
    let mut story = Story::of(text, 0);
    story.until(39_500);
    assert!(!story.passes(4, 1) && !story.driver.runs(2) && !story.driver.runs(3));
    let done = story.until(60_000);
    assert!(story.passes(4, 1) && !story.driver.runs(2) && story.driver.runs(3));
    assert!(story.driver.is_gone(2));
    assert!(
        done.contains("40.000s leech[3] Disk(DiskState { read: None, write: None, full: false })"),
        "{done}"
    );
}

#[test]
fn what_is_drawn_does_not_depend_on_other_events() {
    let draw = "[[event]]\nid='draw'\nat='9s'\ndo='crash'\non='any(2, leech)'\nfor='exp 3s'";
    let other = "[[event]]\nid='other'\nat='2s'\ndo='clog'\non='any(1, leech)'\nwith={delay='20ms'}\nfor='1s'\n";
    let (mut alone, mut both) = (Story::of(draw, 8), Story::of(&format!("{other}{draw}"), 8));
    alone.until(60_000);
    both.until(60_000);
    let drawn = |story: &Story| {
        let entry = story.log_of("draw")[0].clone();
        (entry.on, entry.ended)
    };
    assert_eq!(drawn(&alone), drawn(&both));
    let others: Vec<_> = (0..20)
        .map(|seed| {
            let mut story = Story::of(draw, seed);
            story.until(10_000);
            story.log_of("draw")[0].on.clone()
        })
        .collect();
    assert!(others.iter().any(|on| *on != others[0]), "another seed draws others");
    assert!(others.iter().all(|on| on.len() == 2));
}

#[test]
fn events_repeat_and_set_is_undone() {
    let text = "[[event]]\nid='beat'\nat='1s'\nevery='2s'\ntimes=3\ndo='set'\non='leech[0]'\nwith={behaviour='free-rider', engine={upload-slots=1}}\nfor='1s'";
    let mut story = Story::of(text, 0);
    let done = story.until(30_000);
    assert_eq!(done.matches("leech[0] Behave(FreeRider)").count(), 3);
    assert_eq!(done.matches("leech[0] Behave(Honest)").count(), 3);
    assert_eq!(done.matches("upload_slots: 1,").count(), 3);
    let ids: Vec<&str> = story.log_of("beat").iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids, ["beat", "beat/2", "beat/3"]);
}

#[test]
fn disks_go_bad_where_there_is_something() {
    let text = "[[event]]\nat='1s'\ndo='corrupt-disk'\non='seed + leech[0]'\nwith={share='30%'}";
    let mut story = Story::of(text, 0);
    let done = story.until(2_000);
    assert_eq!(done.matches("CorruptPieces").count(), 1, "leech[0] has nothing: {done}");
    assert_eq!(done.matches("(0, ").count(), 2, "30 % of 8 pieces, rounded down: {done}");
}

#[test]
fn the_same_seed_does_the_same_however_often_it_is_asked() {
    let text = "[[fault]]\ndo='crash'\non='leech'\nevery='exp 900ms'\nfor='exp 1s'\nat-once=2\n[[fault]]\ndo='clog'\non='leech'\nevery='2s'\nfor='1s'\nwith={delay='9ms'}";
    let (mut once, mut often) = (Story::of(text, 4), Story::of(text, 4));
    once.until(60_000);
    (0..6_000).for_each(|tick| drop(often.until(tick * 10)));
    often.until(60_000);
    assert_eq!(once.driver.log(), often.driver.log());
}

#[test]
fn a_capsule_does_the_same_without_its_chances() {
    let timeline = "[[event]]\nid='half'\nwhen='event(slow) + 1500ms'\ndo='crash'\non='any(2, leech)'\nfor='exp 2s'\n\
        [[event]]\nid='slow'\nat='3s'\nevery='4s'\ntimes=3\ndo='slow'\non='share(50%, leech)'\nwith={up='1 Mbit/s'}\nfor='2s'\n\
        [[event]]\nid='never'\nwhen='count(complete) >= 4'\ndo='reset'\non='seed'\n\
        [[event]]\nid='rot'\nat='9s'\ndo='corrupt-disk'\non='any(1, seed)'\nwith={share='25%'}\n\
        [[event]]\nat='2s'\ndo='cut-oneway'\non='seed'\nagainst='leech[1..3]'\nfor='3s'\n\
        [[fault]]\ndo='power-off'\non='leech'\nevery='exp 3s'\nfor='exp 2s'\nat-once=2\n\
        [[fault]]\ndo='clog'\non='leech'\nevery='2s'\nfor='1s'\nchance='50%'\nwith={delay='uniform 1ms to 9ms'}\n\
        [[expect]]\nthat='recovery'\nafter='slow'\nwithin='9s'\n";
    let leech = "behaviour='churner on exp 9s off 3s'\nup='lognormal 5 Mbit/s p99 40 Mbit/s'\njoin='about every 100ms'";
    for seed in 0..20 {
        let text = text(leech, timeline);
        let mut drawn = Story::start(&text, seed);
        drawn.until(60_000);
        let failure = Failure {
            check: "recovery",
            evidence: "leech[0] at 20s",
            log_hash: "00",
            end: Time::ZERO,
        };
        let file = crate::scenario::tests::read(&text).file_of(0).expect("no matrix");
        let capsule = capsule::write(&file, &drawn.plan, drawn.driver.log(), failure);
        let mut fixed = Story::start(&capsule, seed);
        assert!(fixed.plan.faults.is_empty(), "{capsule}");
        fixed.until(60_000);
        let done = |story: &Story| {
            let entry = |e: &Occurrence| {
                (e.began, format!("{:?}", e.verb), e.on.clone(), e.against.clone(), e.touched)
            };
            let churns = |e: &&Occurrence| {
                !matches!(e.verb, Verb::Join | Verb::Leave | Verb::Heal) && !e.on.is_empty()
            };
            story.driver.log().iter().filter(churns).map(entry).collect::<Vec<_>>()
        };
        assert_eq!(done(&drawn), done(&fixed), "seed {seed}:\n{capsule}");
        for (a, b) in drawn.plan.hosts.iter().zip(&fixed.plan.hosts) {
            assert_eq!((a.up, a.latency, a.join), (b.up, b.latency, b.join), "{}", a.name);
        }
        assert!((0..6).all(|host| drawn.driver.runs(host) == fixed.driver.runs(host)));
        let last = fixed.log_of("slow/3");
        assert!(
            matches!(&fixed.plan.expectations[1].check, Check::Recovery { after, .. } if after == "slow/3" && last.len() == 1)
        );
    }
}
