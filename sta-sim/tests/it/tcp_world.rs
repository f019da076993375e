//! Plans run over loopback TCP. Nothing here is decided by how long something took: the machine may be busy.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sta_sim::outcome::{Outcome, Verdict};
use sta_sim::runlog::{Ended, RunLog};
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::World;
use sta_sim::verdict::judge;
use sta_sim::world::staged_world;

const SWARM: &str = r#"
schema = 1
name = "a story"
worlds = ["tcp"]
[clock]
deadline = "120s"
[[group]]
name = "tracker"
[[group]]
name = "seed"
up = "20 Mbit/s"
down = "20 Mbit/s"
[[group]]
name = "leech"
count = 3
up = "20 Mbit/s"
down = "20 Mbit/s"
[[content]]
name = "image.bin"
size = "1 MiB"
piece = "128 KiB"
[[expect]]
that = "complete"
within = "110s"
[[expect]]
that = "integrity"
"#;

fn scenario(more: &str) -> Scenario {
    let text = format!("# A story.\n{SWARM}\n{more}");
    Scenario::read(Path::new("story.toml"), text).unwrap_or_else(|e| panic!("{e}"))
}

fn run(more: &str) -> (Outcome, RunLog) {
    let plan = scenario(more).plan(1, World::Tcp, 0).unwrap_or_else(|e| panic!("{e}"));
    let plan = Arc::new(plan);
    let log = staged_world::over_tcp(&plan).unwrap_or_else(|e| panic!("{e}"));
    (judge(&plan, &log, Duration::ZERO), log)
}

#[test]
fn a_swarm_is_complete_over_tcp_and_promises_no_repetition() {
    let (outcome, log) = run("");
    assert_eq!(outcome.verdict, Verdict::Passed, "{:#?}", outcome.failures());
    assert_eq!((outcome.measures.complete, log.ended), ((3, 3), Ended::Done));
    assert!(!outcome.repeats);
}

/// The driver is that of the other worlds, and a thread that ends is a process that dies.
#[test]
fn processes_die_and_come_back_over_tcp() {
    for verb in ["crash", "power-off", "wipe", "torn-write", "pause", "leave"] {
        let again = if verb == "leave" {
            "[[event]]\nid = 'again'\nat = '700ms'\ndo = 'join'\non = 'leech[0]'\n"
        } else {
            ""
        };
        let lasts = if verb == "leave" { "" } else { "for = '400ms'\n" };
        let event = format!(
            "[[event]]\nid = 'it'\nat = '300ms'\ndo = '{verb}'\non = 'leech[0]'\n{lasts}{again}"
        );
        let (outcome, log) = run(&event);
        assert_eq!(outcome.verdict, Verdict::Passed, "{verb}: {:#?}", outcome.failures());
        let it = log.occurrences.iter().find(|occurrence| occurrence.id == "it");
        assert!(it.is_some_and(|it| it.touched > 0), "{verb} touched nothing");
    }
}

#[test]
fn what_the_network_suffers_is_survived_over_tcp() {
    let faults = [
        ("cut", "for = '400ms'"),
        ("hold", "for = '400ms'"),
        ("reset", ""),
        ("slow", "for = '400ms'\nwith = { up = '1 Mbit/s' }"),
        ("tracker-down", "for = '400ms'"),
    ];
    for (verb, more) in faults {
        let on = if verb == "tracker-down" { "tracker" } else { "leech[0]" };
        let event =
            format!("[[event]]\nid = 'it'\nat = '300ms'\ndo = '{verb}'\non = '{on}'\n{more}\n");
        let (outcome, _) = run(&event);
        assert_eq!(outcome.verdict, Verdict::Passed, "{verb}: {:#?}", outcome.failures());
    }
}

#[test]
fn more_hosts_than_one_machine_runs_are_refused_with_a_word_about_why() {
    let crowd = "[[group]]\nname = 'crowd'\nrole = 'leech'\ncount = 60\n";
    let refused = scenario(crowd).plan(1, World::Tcp, 0).expect_err("65 hosts").to_string();
    assert!(refused.contains("65 hosts are more than the tcp world takes (64)"), "{refused}");
}
