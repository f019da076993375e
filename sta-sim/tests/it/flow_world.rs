//! Plans run in the flow world: the shipped engine under faults, without a byte.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use sta_core::model::event::{Event, Record};
use sta_sim::flow;
use sta_sim::outcome::{Outcome, Verdict};
use sta_sim::runlog::{Ended, Entry, RunLog};
use sta_sim::scenario::driver::Occurrence;
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::World;

use crate::story;

fn run(more: &str, seed: u64) -> (Outcome, RunLog) {
    story::run(more, seed, World::Flow)
}

#[test]
fn a_quiet_swarm_is_complete_near_the_bound() {
    let (outcome, log) = run("", 1);
    assert_eq!(outcome.verdict, Verdict::Passed, "{:#?}", outcome.failures());
    assert_eq!(log.ended, Ended::Done);
    let over = outcome.measures.over_bound.expect("rates bound it");
    assert!((1_000_000..1_500_000).contains(&over), "{over} ppm of the bound");
}

#[test]
fn a_seed_gives_one_run_and_another_seed_another() {
    let hash = |seed| run("", seed).1.hashes().clone();
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

/// Everything that can be done to hosts and links is survived once it is over, and the run ends.
#[test]
fn faults_are_survived() {
    let stories = [
        ("cut", "at = '500ms'\nfor = '3s'\ndo = 'cut'\non = 'leech[0]'"),
        ("hold", "at = '500ms'\nfor = '3s'\ndo = 'hold'\non = 'leech[*]'"),
        (
            "clog",
            "at = '500ms'\nfor = '3s'\ndo = 'clog'\non = 'leech[*]'\nwith = { delay = '200ms' }",
        ),
        ("slow", "at = '500ms'\nfor = '3s'\ndo = 'slow'\non = 'seed'\nwith = { up = '1 Mbit/s' }"),
        ("reset", "at = '500ms'\ndo = 'reset'\non = 'leech[*]'"),
        (
            "flap",
            "at = '500ms'\nfor = '3s'\ndo = 'flap'\non = 'leech[1]'\nwith = { period = '500ms' }",
        ),
        ("crash", "at = '500ms'\nfor = '1s'\ndo = 'crash'\non = 'leech[0]'"),
        ("power", "at = '500ms'\nfor = '1s'\ndo = 'power-off'\non = 'seed'"),
        ("wipe", "at = '800ms'\nfor = '1s'\ndo = 'wipe'\non = 'leech[2]'"),
        ("pause", "at = '500ms'\nfor = '2s'\ndo = 'pause'\non = 'leech[0]'"),
        ("refused", "at = '0s'\nfor = '2s'\ndo = 'refuse'\non = 'leech[*]'"),
        (
            "slow-tracker",
            "at = '0s'\nfor = '3s'\ndo = 'tracker-slow'\non = 'tracker'\nwith = { delay = '300ms' }",
        ),
        ("tracker", "at = '0s'\nfor = '2s'\ndo = 'tracker-down'\non = 'tracker'"),
        ("amnesia", "at = '1s'\nfor = '1s'\ndo = 'tracker-amnesia'\non = 'tracker'"),
        ("full", "at = '500ms'\nfor = '2s'\ndo = 'disk-full'\non = 'leech[0]'"),
        (
            "sluggish",
            "at = '0s'\nfor = '2s'\ndo = 'disk-slow'\non = 'leech[0]'\nwith = { write = '1 MiB/s' }",
        ),
        ("poison", "at = '0s'\ndo = 'set'\non = 'leech[3]'\nwith = { behaviour = 'corrupt 5%' }"),
        ("deaf", "at = '600ms'\ndo = 'disk-unreadable'\non = 'leech[0]'\nwith = { share = '50%' }"),
        ("rot", "at = '1s'\ndo = 'corrupt-disk'\non = 'leech[1]'\nwith = { share = '50%' }"),
    ];
    for (id, event) in stories {
        let (outcome, log) = run(&format!("[[event]]\nid = '{id}'\n{event}\n"), 3);
        assert_eq!(outcome.verdict, Verdict::Passed, "{id}: {:#?}", outcome.failures());
        let of_story = |o: &&Occurrence| o.id == id;
        let touched: u64 = log.occurrences.iter().filter(of_story).map(|o| o.touched).sum();
        assert!(touched > 0, "{id} touched nothing");
    }
}

/// A piece comes from who sends wrong bytes, and after its blocks one that is right, while the process stands still.
#[test]
fn what_comes_wrong_while_a_process_stands_still_is_wrong() {
    const SWARM: &str = r#"# A nap.
schema = 1
name = "a nap"
worlds = ["flow"]
[clock]
deadline = "60s"
[[group]]
name = "tracker"
[[group]]
name = "seed"
up = "4 Mbit/s"
latency = "5ms"
[[group]]
name = "corrupt"
role = "seed"
up = "20 Mbit/s"
latency = "5ms"
behaviour = "corrupt 100%"
[[group]]
name = "leech"
latency = "5ms"
[[content]]
name = "image.bin"
size = "1 MiB"
piece = "64 KiB"
[[event]]
at = "76ms"
for = "2s"
do = "pause"
on = "leech"
[[expect]]
that = "complete"
within = "30s"
"#;
    let scenario = Scenario::read(Path::new("nap.toml"), SWARM.to_owned()).expect("no mistakes");
    let plan = Arc::new(scenario.plan(1, World::Flow, 0).expect("a plan"));
    let log = flow::world::run(&plan, None, None).expect("nothing that it cannot honour");
    let mut wrong = BTreeSet::new();
    let mut failed = 0;
    for entry in &log.entries {
        let Entry::Said(Record { event, .. }) = entry else { continue };
        match event {
            Event::BlockReceived { peer, block, .. } if peer.as_str() == "corrupt-0" => {
                wrong.insert(block.piece);
            }
            Event::PieceFailed { piece, .. } => {
                failed += 1;
                wrong.remove(piece);
            }
            Event::PieceVerified { piece, .. } => assert!(!wrong.contains(piece), "{piece}"),
            _ => {}
        }
    }
    assert!(failed > 0, "it sent nothing, so nothing was proved");
}

#[test]
fn a_swarm_without_a_source_ends_at_its_deadline_and_is_not_live() {
    let event = "[[event]]\nat = '100ms'\ndo = 'power-off'\non = 'seed'\n";
    let (outcome, log) = run(event, 1);
    assert_eq!((outcome.verdict, log.ended), (Verdict::NotLive, Ended::Deadline));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let mut plan = story::plan("", 1, World::Flow);
    Arc::make_mut(&mut plan).hosts[1].up = Some(0);
    let refusal =
        flow::world::run(&plan, None, None).expect_err("a source without upload").to_string();
    assert!(refusal.starts_with("seed[0] sends 0 bytes per second"), "{refusal}");
}
