//! Plans run on turmoil: shipped nodes and trackers under every fault.

use sta_sim::outcome::{Outcome, Verdict};
use sta_sim::runlog::{Ended, Entry, RunLog};
use sta_sim::scenario::plan::World;

use crate::story;

fn run(more: &str, seed: u64) -> (Outcome, RunLog) {
    story::run(more, seed, World::Turmoil)
}

fn passes(more: &str) -> (Outcome, RunLog) {
    let (outcome, log) = run(more, 1);
    assert_eq!(outcome.verdict, Verdict::Passed, "{:#?}", outcome.failures());
    (outcome, log)
}

/// How often an event of this kind is in the log, of this node if one is named.
fn count(log: &RunLog, kind: &str, who: Option<&str>) -> usize {
    let matches = |entry: &&Entry| {
        let said_by = match entry {
            Entry::Said(record) => Some(record.who.as_str()),
            Entry::Noted(_) => None,
        };
        entry.kind().name() == kind && who.is_none_or(|who| said_by == Some(who))
    };
    log.entries.iter().filter(matches).count()
}

/// Everything that the story's file asked for touched something.
fn touches(outcome: &Outcome) {
    let idle: Vec<_> = outcome.idle_faults().collect();
    assert!(idle.is_empty(), "{idle:#?}");
}

#[test]
fn a_swarm_gets_everything() {
    let (outcome, log) = passes("");
    assert_eq!(outcome.measures.complete, (4, 4));
    assert_eq!(count(&log, "torrent-complete", None), 5, "the seed says so too");
    assert_eq!(log.ended, Ended::Done);
    assert!(log.end.as_secs_f64() < 10.0, "it ends when all is decided: {}", log.end);
}

#[test]
fn one_seed_is_one_run_and_another_is_another() {
    let hash = |seed| run("", seed).1.hashes().clone();
    assert_eq!(hash(5), hash(5));
    assert_ne!(hash(5), hash(6));
}

/// Two torrents, so that a node that dies holds two connections with another.
const CRASHES: &str = r#"
[[content]]
name = "other.bin"
size = "2 MiB"
piece = "64 KiB"

[[event]]
at = "300ms"
do = "crash"
on = "leech[0..2]"
for = "500ms"
every = "900ms"
times = 4
"#;

/// A runtime that is dropped ends its tasks in an order that depends on their ids, and those on all that ran in this program before.
#[test]
fn a_crash_is_the_same_whatever_ran_before() {
    let hashes = (0..6_u32).map(|before| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        (0..before).for_each(|_| drop(runtime.spawn(async {})));
        run(CRASHES, 5).1.hashes().said.clone()
    });
    let hashes: std::collections::BTreeSet<String> = hashes.collect();
    assert_eq!(hashes.len(), 1);
}

/// Verb, to whom, more keys of the event, and an event that it makes happen (at whom).
const STORIES: [(&str, &str, &str, &str, Option<&str>); 21] = [
    ("cut", "leech[0]", "for = '8s'", "fault-ended", None),
    ("cut-oneway", "leech[0]", "for = '8s'", "fault-ended", None),
    ("reset", "leech[0]", "against = 'seed'", "peer-lost", Some("leech-0")),
    ("refuse", "seed", "for = '1s'", "fault-ended", None),
    ("clog", "seed", "for = '2s'\nwith = { delay = '300ms' }", "fault-ended", None),
    ("hold", "leech[*]", "for = '2s'", "fault-ended", None),
    ("slow", "seed", "for = '5s'\nwith = { up = '1 Mbit/s' }", "fault-ended", None),
    ("flap", "leech[1]", "for = '3s'\nwith = { period = '400ms' }", "fault-ended", None),
    ("crash", "leech[0]", "for = '2s'", "process-died", None),
    ("power-off", "leech[0]", "for = '2s'", "process-died", None),
    ("torn-write", "leech[0]", "for = '2s'", "process-died", None),
    ("wipe", "leech[0]", "for = '2s'", "process-died", None),
    ("restart", "leech[0]", "", "process-died", None),
    ("pause", "seed", "for = '4s'", "fault-ended", None),
    ("leave", "leech[0]", "for = '3s'", "node-stopped", Some("leech-0")),
    ("disk-full", "leech[0]", "for = '3s'", "store-failed", Some("leech-0")),
    ("disk-slow", "leech[0]", "for = '3s'\nwith = { write = '100 KiB/s' }", "fault-ended", None),
    ("disk-unreadable", "leech[0]", "with = { share = '50%' }", "unreadable", None),
    ("tracker-down", "tracker", "for = '3s'", "tracker-lost", Some("leech-0")),
    ("tracker-amnesia", "tracker", "", "tracker-lost", Some("leech-0")),
    ("tracker-slow", "tracker", "for = '2s'\nwith = { delay = '500ms' }", "fault-ended", None),
];

#[test]
fn a_swarm_gets_everything_whatever_happens_on_the_way() {
    for (verb, on, keys, event, who) in STORIES {
        let story = format!("[[event]]\nat = '600ms'\ndo = '{verb}'\non = '{on}'\n{keys}\n");
        let (outcome, log) = run(&story, 1);
        assert_eq!(outcome.verdict, Verdict::Passed, "{verb}: {:#?}", outcome.failures());
        assert!(count(&log, event, who) > 0, "{verb}: no {event}");
        let idle = outcome.idle_faults().next();
        let may_be_idle = matches!(verb, "refuse" | "disk-slow");
        assert!(may_be_idle || idle.is_none(), "{verb} touched nothing");
    }
}

#[test]
fn what_rots_on_a_disk_is_found_at_the_restart_and_fetched_again() {
    let (outcome, log) = passes(
        "[[event]]\nat = '1500ms'\ndo = 'corrupt-disk'\non = 'leech[0]'\nwith = { share = '50%' }\n\
         [[event]]\nat = '1600ms'\ndo = 'restart'\non = 'leech[0]'\n",
    );
    touches(&outcome);
    let verified = |who| count(&log, "piece-verified", Some(who));
    assert!(verified("leech-0") > verified("leech-1"), "{} pieces", verified("leech-0"));
}

#[test]
fn a_power_failure_costs_what_was_not_durable_and_a_crash_costs_nothing() {
    let again = |verb| {
        let story =
            format!("[[event]]\nat = '1500ms'\ndo = '{verb}'\non = 'leech[0]'\nfor = '1s'\n");
        count(&passes(&story).1, "piece-verified", Some("leech-0"))
    };
    assert_eq!(again("crash"), 32, "each piece once");
    // A megabyte of blocks: eight pieces, and those at its edges.
    let twice = again("power-off");
    assert!((33..=42).contains(&twice), "a megabyte of pieces twice: {twice}");
    assert!((32..=33).contains(&again("torn-write")), "a piece twice, if it was verified");
    assert!(again("wipe") > 40);
}

#[test]
fn a_slow_disk_holds_up_its_node_alone() {
    let slow =
        "[[event]]\nat = '0s'\ndo = 'disk-slow'\non = 'leech[0]'\nwith = { write = '500 KiB/s' }\n";
    let (_, log) = passes(slow);
    let end = |who: &str| {
        let complete = |entry: &&Entry| {
            matches!(entry, Entry::Said(record) if record.who.as_str() == who)
                && entry.kind().name() == "torrent-complete"
        };
        log.entries.iter().find(complete).map(|entry| entry.at().as_secs_f64())
    };
    assert!(end("leech-0").is_some_and(|at| at > 8.0), "{:?}", end("leech-0"));
    assert!(end("leech-1").is_some_and(|at| at < 6.0), "{:?}", end("leech-1"));
}

/// Behaviour of a fifth node, and an event that must happen (at whom).
const BEHAVIOURS: [(&str, &str, Option<&str>); 6] = [
    ("honest", "torrent-complete", Some("odd-0")),
    ("corrupt 100%", "piece-failed", None),
    ("liar 100%", "piece-failed", None),
    ("free-rider", "torrent-complete", Some("odd-0")),
    ("slowloris 1 KiB/s", "torrent-complete", Some("leech-3")),
    ("churner on 1s off 500ms", "node-stopped", Some("odd-0")),
];

#[test]
fn a_swarm_gets_everything_whoever_takes_part() {
    for (behaviour, event, who) in BEHAVIOURS {
        let role = if behaviour.starts_with("slow") || behaviour.starts_with("corrupt") {
            "seed"
        } else {
            "leech"
        };
        let odd = format!(
            "[[group]]\nname = 'odd'\nrole = '{role}'\nup = '20 Mbit/s'\ndown = '20 Mbit/s'\n\
             latency = '5ms'\nbehaviour = '{behaviour}'\n"
        );
        let (outcome, log) = run(&odd, 1);
        let honest = outcome
            .failures()
            .into_iter()
            .filter(|(_, finding)| finding.who.as_ref().is_none_or(|who| who.as_str() != "odd-0"));
        assert_eq!(honest.count(), 0, "{behaviour}: {:#?}", outcome.failures());
        assert!(count(&log, event, who) > 0, "{behaviour}: no {event}");
    }
}

#[test]
fn a_free_rider_sends_nothing() {
    let (_, log) = passes(
        "[[group]]\nname = 'odd'\nrole = 'leech'\nup = '20 Mbit/s'\ndown = '20 Mbit/s'\nlatency = '5ms'\n\
         behaviour = 'free-rider'\n",
    );
    assert_eq!(count(&log, "block-sent", Some("odd-0")), 0);
    assert!(count(&log, "block-received", Some("odd-0")) > 0);
}
