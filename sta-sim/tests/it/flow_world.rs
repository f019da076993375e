//! Plans run in the flow world: the shipped engine under faults, without a byte.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sta_sim::flow;
use sta_sim::outcome::{Outcome, Verdict};
use sta_sim::runlog::{Ended, RunLog};
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::{Plan, World};
use sta_sim::verdict::judge;

const SWARM: &str = r#"
schema = 1
name = "a story"
worlds = ["flow"]
[clock]
deadline = "120s"
[[group]]
name = "tracker"
latency = "5ms"
[[group]]
name = "seed"
up = "20 Mbit/s"
down = "20 Mbit/s"
latency = "5ms"
[[group]]
name = "leech"
count = 4
up = "20 Mbit/s"
down = "20 Mbit/s"
latency = "5ms"
[[content]]
name = "image.bin"
size = "4 MiB"
piece = "128 KiB"
[[expect]]
that = "complete"
within = "100s"
[[expect]]
that = "integrity"
"#;

fn plan(text: &str, seed: u64) -> Arc<Plan> {
    let text = format!("# A story.\n{text}");
    let scenario = Scenario::read(Path::new("story.toml"), text).unwrap_or_else(|e| panic!("{e}"));
    Arc::new(scenario.plan(seed, World::Flow, 0).unwrap_or_else(|e| panic!("{e}")))
}

fn run(more: &str, seed: u64) -> (Outcome, RunLog) {
    let plan = plan(&format!("{SWARM}\n{more}"), seed);
    let log = flow::world::run(&plan, None).unwrap_or_else(|e| panic!("{e}"));
    (judge(&plan, &log, Duration::ZERO), log)
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
    let hash = |seed| run("", seed).1.hash;
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
        ("tracker", "at = '0s'\nfor = '2s'\ndo = 'tracker-down'\non = 'tracker'"),
        ("amnesia", "at = '1s'\nfor = '1s'\ndo = 'tracker-amnesia'\non = 'tracker'"),
        ("full", "at = '500ms'\nfor = '2s'\ndo = 'disk-full'\non = 'leech[0]'"),
        (
            "sluggish",
            "at = '0s'\nfor = '2s'\ndo = 'disk-slow'\non = 'leech[0]'\nwith = { write = '1 MiB/s' }",
        ),
        ("poison", "at = '0s'\ndo = 'set'\non = 'leech[3]'\nwith = { behaviour = 'corrupt 5%' }"),
        ("rot", "at = '1s'\ndo = 'corrupt-disk'\non = 'leech[1]'\nwith = { share = '50%' }"),
    ];
    for (id, event) in stories {
        let (outcome, log) = run(&format!("[[event]]\nid = '{id}'\n{event}\n"), 3);
        assert_eq!(outcome.verdict, Verdict::Passed, "{id}: {:#?}", outcome.failures());
        let touched = log.occurrences.iter().any(|o| o.id == id);
        assert!(touched, "{id} did not happen");
    }
}

#[test]
fn a_swarm_without_a_source_ends_at_its_deadline_and_is_not_live() {
    let event = "[[event]]\nat = '100ms'\ndo = 'power-off'\non = 'seed'\n";
    let (outcome, log) = run(event, 1);
    assert_eq!((outcome.verdict, log.ended), (Verdict::NotLive, Ended::Deadline));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let mut plan = plan(SWARM, 1);
    Arc::make_mut(&mut plan).hosts[1].up = Some(0);
    let refusal = flow::world::run(&plan, None).expect_err("a source without upload").to_string();
    assert!(refusal.starts_with("seed[0] sends 0 bytes per second"), "{refusal}");
}
