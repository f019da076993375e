//! The checks can fail: the log of a real run, tampered with as a bug would, is found wrong by the check that is for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sta_core::io::observer::Observer;
use sta_core::model::event::{Event, Record};
use sta_core::model::layout::Block;
use sta_sim::checks::Held;
use sta_sim::outcome::Verdict;
use sta_sim::runlog::{Entry, Note, Recorder, RunLog};
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::{Plan, World};
use sta_sim::verdict::judge;
use sta_sim::world::staged_world;

const HONEST: &str = r#"
schema = 1
name = "an honest swarm"
clock = { deadline = "60s" }
group = [
    { name = "tracker" },
    { name = "seed", up = "20 Mbit/s", down = "20 Mbit/s" },
    { name = "leech", count = 4, up = "20 Mbit/s", down = "20 Mbit/s" },
]
content = [{ name = "image.bin", size = "2 MiB", piece = "128 KiB" }]
expect = [{ that = "complete", within = "30s" }, { that = "registry", within = "10s" }]
"#;

/// What a bug does to one entry: what is written in its place.
type Bug = fn(&Entry, &mut u32) -> Vec<Entry>;

/// Name of the bug, what it does, and the check that must find it.
const BUGS: [(&str, Bug, &str); 9] = [
    ("a piece is announced before it is verified", announced_early, "integrity"),
    (
        "a piece is verified whose bytes never came",
        |entry, _| without(entry, is_received),
        "integrity",
    ),
    ("a torrent is complete with a piece missing", lose_a_verification, "integrity"),
    ("a disk has other bytes than were verified", spoil_a_disk, "integrity"),
    (
        "a block is sent twice",
        |entry, _| twice(entry, |e| matches!(e, Event::BlockSent { .. })),
        "manners",
    ),
    ("a block comes that was not asked for", |entry, _| without(entry, is_asked), "manners"),
    (
        "a choked peer is served",
        |entry, _| without(entry, |e| matches!(e, Event::Unchoked { .. })),
        "manners",
    ),
    ("a block beyond the end of its piece is asked for", ask_beyond, "manners"),
    (
        "nobody ever finishes",
        |entry, _| without(entry, |e| matches!(e, Event::TorrentComplete { .. })),
        "complete",
    ),
];

fn honest_run() -> (Arc<Plan>, RunLog) {
    let scenario = Scenario::read(Path::new("honest.toml"), HONEST.to_owned()).expect("a scenario");
    let plan = Arc::new(scenario.plan(7, World::Turmoil, 0).expect("it is right"));
    let log = staged_world::on_turmoil(&plan, None).expect("it fits");
    (plan, log)
}

/// The log as it would be with the bug.
fn with_bug(log: &RunLog, bug: Bug) -> RunLog {
    let (recorder, mut state) = (Recorder::new(), 0);
    for entry in log.entries.iter().flat_map(|entry| bug(entry, &mut state)) {
        match entry {
            Entry::Said(record) => recorder.observe(&record),
            Entry::Noted(noted) => recorder.note(noted.at, noted.note),
        }
    }
    recorder.finish(log.end, log.ended, log.occurrences.clone())
}

#[test]
fn every_bug_is_found_by_the_check_that_is_for_it() {
    let (plan, log) = honest_run();
    let honest = judge(&plan, &log, Duration::ZERO);
    assert_eq!(honest.verdict, Verdict::Passed, "{:#?}", honest.failures());
    for (name, bug, check) in BUGS {
        let outcome = judge(&plan, &with_bug(&log, bug), Duration::ZERO);
        let broken = outcome.judged().filter(|judged| judged.judgement.held == Held::No);
        let broken: Vec<&str> = broken.map(|judged| judged.name.as_str()).collect();
        assert!(broken.contains(&check), "{name}: {check} held; broken: {broken:?}");
    }
}

fn event(entry: &Entry) -> Option<&Event> {
    match entry {
        Entry::Said(record) => Some(&record.event),
        Entry::Noted(_) => None,
    }
}

fn without(entry: &Entry, gone: fn(&Event) -> bool) -> Vec<Entry> {
    if event(entry).is_some_and(gone) { vec![] } else { vec![entry.clone()] }
}

fn twice(entry: &Entry, double: fn(&Event) -> bool) -> Vec<Entry> {
    vec![entry.clone(); 1 + usize::from(event(entry).is_some_and(double))]
}

const fn is_received(event: &Event) -> bool {
    matches!(event, Event::BlockReceived { .. })
}

const fn is_asked(event: &Event) -> bool {
    matches!(event, Event::BlockAsked { .. })
}

fn announced_early(entry: &Entry, _: &mut u32) -> Vec<Entry> {
    match entry {
        Entry::Said(Record { at, who, event: Event::PieceVerified { torrent, piece } }) => {
            let early = Event::PieceAnnounced { torrent: *torrent, piece: *piece };
            vec![Entry::Said(Record { at: *at, who: who.clone(), event: early }), entry.clone()]
        }
        other => vec![other.clone()],
    }
}

fn lose_a_verification(entry: &Entry, lost: &mut u32) -> Vec<Entry> {
    let is_it = matches!(event(entry), Some(Event::PieceVerified { .. }));
    *lost += u32::from(is_it);
    if is_it && *lost == 1 { vec![] } else { vec![entry.clone()] }
}

fn spoil_a_disk(entry: &Entry, _: &mut u32) -> Vec<Entry> {
    let mut entry = entry.clone();
    if let Entry::Noted(noted) = &mut entry
        && let Note::Disk { claimed, wrong, .. } = &mut noted.note
    {
        wrong.clone_from(claimed);
    }
    vec![entry]
}

fn ask_beyond(entry: &Entry, _: &mut u32) -> Vec<Entry> {
    let mut entry = entry.clone();
    if let Entry::Said(Record {
        event: Event::BlockAsked { block: Block { offset, .. }, .. },
        ..
    }) = &mut entry
    {
        *offset += 1;
    }
    vec![entry]
}
