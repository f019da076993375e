use std::time::Duration;

use super::{Complete, Makespan, Recovery, Stall};
use crate::checks::story::{breaks, holds, judge};
use crate::checks::{Held, Rule};
use crate::scenario::plan::Since;

const LEECH_0: usize = 3;

fn done(at: u32) -> String {
    format!("0 leech-0 added 0/1 | {at} leech-0 verified 0 | {at} leech-0 complete")
}

#[test]
fn what_nobody_can_read_is_the_reason_why_somebody_lacks_it() {
    let rule = || Box::new(Complete::new(vec![LEECH_0], Duration::from_secs(5), Since::Start));
    let lacks = "0 seed-0 added 2/2 | 0 seed-0 unreadable 1 | 0 leech-0 added 0/2 \
        | 1 leech-0 verified 0";
    let reason = "; piece 1 cannot be read at seed-0, and nobody else has it";
    breaks(rule(), lacks, reason);
    breaks(rule(), &format!("{lacks} | 2 seed-0 dies | 3 seed-0 added 1/2"), reason);
    // There are others, it can be read again, or it was written anew.
    for more in [
        "2 seed-1 added 2/2",
        "2 seed-0 unreadable -",
        "2 seed-0 dies | 3 seed-0 added 1/2 | 4 seed-0 verified 1",
    ] {
        let judged = judge(rule(), &format!("{lacks} | {more}"));
        assert_eq!(judged.held, Held::No, "it lacks the piece all the same");
        assert!(!judged.findings[0].what.contains("cannot be read"), "{more}: {judged:?}");
    }
}

#[test]
fn what_nobody_has_any_more_is_the_reason_why_somebody_lacks_it() {
    let rule = || Box::new(Complete::new(vec![LEECH_0], Duration::from_secs(5), Since::Start));
    let lacks = "0 seed-0 added 2/2 | 0 leech-0 added 0/2 | 1 leech-0 verified 0";
    let reason =
        "; nobody who runs has 1 of those it lacks: seed-0, gone since 0.002s, had piece 1";
    breaks(rule(), &format!("{lacks} | 2 seed-0 dies"), reason);
    for more in ["2 seed-0 dies | 3 seed-1 added 2/2", "2 leech-0 verified 1"] {
        let judged = judge(rule(), &format!("{lacks} | {more}"));
        assert!(!judged.findings[0].what.contains("nobody"), "{more}: {judged:?}");
    }
}

#[test]
fn complete_in_time() {
    let rule = || Box::new(Complete::new(vec![LEECH_0], Duration::from_secs(5), Since::Start));
    assert_eq!(holds(rule(), &done(5_000)).measured, "the last one, leech-0, at 5.000s");
    breaks(rule(), &done(5_001), "complete at 5.001s, due at 5.000s");
    breaks(rule(), "0 leech-0 added 0/1", "it has 0 of 1 pieces");
    breaks(rule(), "0 leech-1 added 0/1", "it never started");
    let wiped = format!("{} | 2000 leech-0 dies | 3000 leech-0 added 0/1", done(1_000));
    breaks(rule(), &wiped, "not complete");
    let left = format!("{} | 6000 leech-0 stopped", done(4_000));
    holds(rule(), &left);
    let away = "0 leech-0 added 0/1 | 2000 leech-0 dies";
    assert!(matches!(judge(rule(), away).held, Held::Unasked(_)));
    let never = judge(rule(), "0 leech-0 dies | 0 leech-1 added 0/1");
    assert!(matches!(never.held, Held::Unasked(_)), "it had no time to say that it started");
    let late = "0 leech-0 added 0/1 | 6000 leech-0 stopped";
    breaks(rule(), late, "lacked something when it went at 6.000s, due at 5.000s");
    let again = "0 leech-0 added 0/1 | 2000 leech-0 stopped | 3000 leech-0 added 0/1";
    breaks(rule(), &format!("{again} | 8000 leech-0 dies"), "when it went at 8.000s");
    let everybody = || Box::new(Complete::new(vec![], Duration::from_secs(5), Since::Start));
    breaks(everybody(), &done(1_000), "leech-1 was not complete");
}

#[test]
fn the_worst_comes_first() {
    let hosts = (LEECH_0..LEECH_0 + 4).collect();
    let rule = Box::new(Complete::new(hosts, Duration::from_secs(5), Since::Start));
    let leech = |ix: u32, at: u32| done(at).replace("leech-0", &format!("leech-{ix}"));
    let others = [leech(1, 7_000), leech(2, 4_000), leech(3, 6_000)].join(" | ");
    let judged = breaks(rule, &format!("0 leech-0 added 0/1 | {others}"), "due at 5.000s");
    let who: Vec<&str> =
        judged.findings.iter().filter_map(|f| f.who.as_ref()).map(|id| id.as_str()).collect();
    assert_eq!((who, &*judged.measured), (vec!["leech-0", "leech-1", "leech-3"], "1 of 4 in time"));
}

#[test]
fn the_time_counts_from_what_was_said() {
    let within = |since| Box::new(Complete::new(vec![LEECH_0], Duration::from_secs(5), since));
    holds(within(Since::Healed), &done(15_000));
    breaks(within(Since::Healed), &done(15_001), "due at 15.000s");
    let late = "3000 leech-0 added 0/1 | 8000 leech-0 verified 0 | 8000 leech-0 complete";
    holds(within(Since::Join), late);
    breaks(within(Since::Start), late, "due at 5.000s");
    let cut = format!("1000 fault cut leech-0 | 4000 ended 0 | {}", done(9_000));
    holds(within(Since::Event("cut".into())), &cut);
    assert!(matches!(judge(within(Since::Event("cut".into())), &done(1)).held, Held::Unasked(_)));
}

/// The deadline of every story is at 60 s.
#[test]
fn what_was_due_after_the_deadline_was_not_put_to_the_test() {
    let since = || Since::Event("cut".into());
    let within = |secs, hosts: &[usize]| {
        Box::new(Complete::new(hosts.to_vec(), Duration::from_secs(secs), since()))
    };
    let recovery = || Box::new(Recovery::new(vec![LEECH_0], "cut".into(), Duration::from_secs(5)));
    let cut = "0 leech-0 added 0/1 | 1000 fault cut leech-0 | 58000 ended 0";
    let lacks = format!("{cut} | 60000 seed-0 announced 0");
    for rule in [within(5, &[LEECH_0]) as Box<dyn Rule>, recovery()] {
        let why = "the run ended 3.000s before leech-0 was due, at 63.000s";
        assert_eq!(judge(rule, &lacks).held, Held::Unasked(why.to_owned()));
    }
    // By the deadline is what was asked, it was due before, the run ended for another reason, or it is done.
    breaks(within(60, &[LEECH_0]), &lacks, "leech-0 was not complete at 60.000s");
    breaks(within(1, &[LEECH_0]), &lacks, "leech-0 was not complete at 59.000s");
    for rule in [within(5, &[LEECH_0]) as Box<dyn Rule>, recovery()] {
        breaks(rule, &format!("{cut} | 59000 seed-0 announced 0"), "leech-0");
    }
    let done = format!("{cut} | 59000 leech-0 verified 0 | 59000 leech-0 complete");
    let done = format!("{done} | 60000 seed-0 announced 0");
    for rule in [within(5, &[LEECH_0]) as Box<dyn Rule>, recovery()] {
        holds(rule, &done);
    }
    // Of two one is open, and then all of it; but who was late was late.
    let two = within(5, &[LEECH_0, LEECH_0 + 1]);
    let open = format!("0 leech-1 added 0/1 | {done}");
    assert!(matches!(judge(two, &open).held, Held::Unasked(_)));
    let hosts = vec![LEECH_0, LEECH_0 + 1];
    let late = Box::new(Complete::new(hosts, Duration::from_secs(5), Since::Join));
    let joins = "0 leech-0 added 0/1 | 58000 leech-1 added 0/1 | 60000 seed-0 announced 0";
    assert_eq!(
        breaks(late, joins, "leech-0 was not complete at 5.000s").measured,
        "0 of 1 in time"
    );
}

#[test]
fn a_stall_is_a_wait_of_one_who_runs_and_lacks_something() {
    let rule = || Box::new(Stall::new(vec![LEECH_0], Duration::from_secs(3)));
    assert_eq!(holds(rule(), &done(3_000)).measured, "3.000s at leech-0");
    breaks(rule(), &done(3_001), "got no piece for 3.001s from 0.000s on");
    breaks(rule(), "0 leech-0 added 0/1 | 9000 seed-0 announced 0", "got no piece for 9.000s");
    holds(rule(), &format!("{} | 9000 seed-0 announced 0", done(1_000)));
    holds(rule(), "0 leech-0 added 0/1 | 2000 leech-0 dies | 9000 seed-0 announced 0");
    assert!(matches!(judge(rule(), "0 leech-0 added 1/1").held, Held::Unasked(_)));
}

#[test]
fn recovery_is_the_first_piece_after_the_end() {
    let rule = || Box::new(Recovery::new(vec![LEECH_0], "cut".into(), Duration::from_secs(2)));
    let cut = "0 leech-0 added 0/9 | 1000 fault cut leech-0 | 4000 ended 0";
    assert_eq!(
        holds(rule(), &format!("{cut} | 5500 leech-0 verified 1")).measured,
        "the slowest, leech-0, after 1.500s"
    );
    breaks(rule(), &format!("{cut} | 6001 leech-0 verified 1"), "2.001s after the end of cut");
    breaks(rule(), cut, "got nothing after the end of cut");
    assert!(matches!(judge(rule(), &done(1)).held, Held::Unasked(_)));
}

#[test]
fn who_has_nothing_to_recover_from_is_not_asked() {
    let rule = || Box::new(Recovery::new(vec![LEECH_0], "cut".into(), Duration::from_secs(2)));
    let why = |story: &str| match judge(rule(), story).held {
        Held::Unasked(why) => why,
        other => panic!("{story}: {other:?}"),
    };
    let cut = |whom: &str| format!("1000 fault cut {whom} | 4000 ended 0");
    let others =
        why(&format!("0 leech-0 added 0/9 | {} | 5000 leech-0 verified 1", cut("leech-1")));
    assert_eq!(others, "leech-0 did not have cut upon them, and no tracker or source did");
    let complete = why(&format!("{} | {}", done(500), cut("leech-0")));
    assert_eq!(complete, "leech-0 lacked nothing when cut began, at 1.000s");
    let open = why("0 leech-0 added 0/9 | 1000 fault cut leech-0 | 5000 leech-0 verified 1");
    assert_eq!(open, "cut never ended");
    assert_eq!(why(&done(1)), "cut never began");
    for whom in ["tracker-0", "seed-0", "leech-1 leech-0"] {
        holds(rule(), &format!("0 leech-0 added 0/9 | {} | 5000 leech-0 verified 1", cut(whom)));
    }
    let wiped = format!("{} | {} | 4000 leech-0 added 0/1", done(500), cut("leech-0"));
    breaks(rule(), &wiped, "got nothing after the end of cut");
}

#[test]
fn who_was_not_asked_is_named_with_the_reason() {
    let (hosts, within) = ((LEECH_0..LEECH_0 + 4).collect(), Duration::from_secs(2));
    let rule = Box::new(Recovery::new(hosts, "cut".into(), within));
    let story =
        format!("{} | 0 leech-1 added 0/1 | 1000 fault cut leech-0 | 4000 ended 0", done(500));
    let why = "leech-0 lacked nothing when cut began, at 1.000s; \
        leech-1, leech-2, leech-3 did not have cut upon them, and no tracker or source did";
    assert_eq!(judge(rule, &story).held, Held::Unasked(why.to_owned()));
    let hosts = (LEECH_0..LEECH_0 + 5).collect();
    let rule = Box::new(Recovery::new(hosts, "cut".into(), within));
    let story = "0 leech-0 added 0/1 | 1000 fault cut liar-0 | 4000 ended 0";
    let Held::Unasked(why) = judge(rule, story).held else { panic!("nobody was to recover") };
    assert!(why.starts_with("leech-0, leech-1, leech-2 and 1 more did not have"), "{why}");
}

#[test]
fn a_finding_names_the_line_that_shows_it() {
    // The first line is the content's; an `added` has a line for the start before it.
    let line = |rule: Box<dyn Rule>, story: &str| judge(rule, story).findings[0].line;
    let complete = || {
        let within = Duration::from_secs(5);
        Box::new(Complete::new(vec![LEECH_0], within, Since::Start))
    };
    let ends = "9000 seed-0 announced 0 | 9000 seed-0 announced 0";
    assert_eq!(line(complete(), &format!("{} | {ends}", done(6_000))), 5);
    let stuck = format!("0 leech-0 added 0/9 | 1000 leech-0 verified 3 | {ends}");
    assert_eq!(line(complete(), &stuck), 4, "its last piece");
    assert_eq!(line(complete(), &format!("0 leech-1 added 0/9 | {ends}")), 5, "it never started");
    let again = format!("{} | 7000 leech-0 dies | 8000 leech-0 added 1/1 | {ends}", done(6_000));
    assert_eq!(line(complete(), &again), 5, "a start on a full disk completes nothing");
    let stall = Box::new(Stall::new(vec![LEECH_0], Duration::from_secs(3)));
    assert_eq!(line(stall, &stuck), 4);
    let recovery = || Box::new(Recovery::new(vec![LEECH_0], "cut".into(), Duration::from_secs(2)));
    let cut = "0 leech-0 added 0/9 | 1000 fault cut leech-0 | 4000 ended 0";
    assert_eq!(line(recovery(), &format!("{cut} | 6001 leech-0 verified 1 | {ends}")), 6);
    assert_eq!(line(recovery(), &format!("{cut} | {ends}")), 3);
    let late = format!("0 seed-0 added 1/1 | 0 seed-1 added 1/1 | {} | {}", others(), done(132));
    assert_eq!(line(Box::new(Makespan::new(2_000_000)), &format!("{late} | {ends}")), 17);
}

#[test]
fn makespan_is_held_against_the_bound() {
    // One piece of 65,536 bytes at 1 MB/s: the bound is 65.536 ms.
    let rule = || Box::new(Makespan::new(2_000_000));
    assert_eq!(
        holds(
            rule(),
            &format!("0 seed-0 added 1/1 | 0 seed-1 added 1/1 | {} | {}", done(131), others())
        )
        .measured,
        "2.00 times the bound of 0.065s"
    );
    breaks(
        rule(),
        &format!("0 seed-0 added 1/1 | 0 seed-1 added 1/1 | {} | {}", done(132), others()),
        "2.01 times the bound",
    );
    breaks(rule(), &done(131), "somebody lacks something");
}

/// Everybody but leech-0 has it from the start.
fn others() -> String {
    ["leech-1", "leech-2", "leech-3", "liar-0"].map(|who| format!("0 {who} added 1/1")).join(" | ")
}
