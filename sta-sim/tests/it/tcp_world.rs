//! Plans run over loopback TCP. Nothing here is decided by how long something took: the machine may be busy.

use sta_sim::outcome::{Outcome, Verdict};
use sta_sim::runlog::{Ended, RunLog};
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::World;

use crate::story;

fn passes(event: &str) -> (Outcome, RunLog) {
    let (outcome, log) = story::run(event, 1, World::Tcp);
    assert_eq!(outcome.verdict, Verdict::Passed, "{event}: {:#?}", outcome.failures());
    (outcome, log)
}

#[test]
fn a_swarm_is_complete_and_promises_no_repetition() {
    let (outcome, log) = passes("");
    assert_eq!((outcome.measures.complete, log.ended), ((4, 4), Ended::Done));
    assert!(!outcome.repeats);
}

/// The driver is that of the other worlds, and a thread that ends is a process that dies.
#[test]
fn processes_die_and_come_back() {
    for verb in ["crash", "power-off", "wipe", "pause"] {
        let event = format!("at = '500ms'\ndo = '{verb}'\non = 'leech[0]'\nfor = '400ms'\n");
        let (outcome, _) = passes(&format!("[[event]]\n{event}"));
        assert!(outcome.faults.iter().any(|it| it.verb == verb && it.touched > 0), "{verb}");
    }
}

#[test]
fn what_the_network_suffers_is_survived() {
    for (verb, on) in [("cut", "leech[0]"), ("hold", "leech[0]"), ("tracker-down", "tracker")] {
        passes(&format!("[[event]]\nat = '500ms'\nfor = '400ms'\ndo = '{verb}'\non = '{on}'\n"));
    }
}

#[test]
fn more_hosts_than_one_machine_runs_are_refused_with_a_word_about_why() {
    let crowd = "# A crowd.\nschema = 1\nname = 'a crowd'\n[[group]]\nname = 'tracker'\n\
        [[group]]\nname = 'seed'\n[[group]]\nname = 'leech'\ncount = 63\n\
        [[content]]\nname = 'c'\nsize = '1 MiB'\n[clock]\ndeadline = '9s'\n\
        [[expect]]\nthat = 'integrity'\n";
    let crowd = Scenario::read("crowd.toml".as_ref(), crowd.to_owned());
    let refused = crowd.and_then(|crowd| crowd.plan(1, World::Tcp, 0));
    let refused = refused.expect_err("65 hosts").to_string();
    assert!(refused.contains("65 hosts are more than the tcp world takes (64)"), "{refused}");
}
