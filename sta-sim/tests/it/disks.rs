//! Disks take the same time in every world, and what one cannot read is missed in the same way.

use std::path::Path;
use std::sync::Arc;

use sta_sim::checks::Held;
use sta_sim::execute::Job;
use sta_sim::outcome::Verdict;
use sta_sim::runlog::Entry;
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::World;

/// A block that comes while the disk is slow would take a quarter of a minute.
const SLOW_FOR_A_SECOND: &str = r#"
schema = 1
name = "slow for a second"
clock = { deadline = "20s" }
group = [
    { name = "tracker" },
    { name = "seed", up = "16 Mbit/s" },
    { name = "leech", up = "16 Mbit/s" },
]
content = [{ name = "image.bin", size = "2 MiB" }]
event = [
    { id = "slow", at = "500ms", for = "1s", do = "disk-slow", on = "leech", with = { write = "1 KiB/s" } },
]
expect = [{ that = "recovery", after = "slow", within = "5s" }]
"#;

#[test]
fn what_is_being_written_when_a_disk_is_fast_again_goes_on_fast() {
    let scenario = Scenario::read(Path::new("slow.toml"), SLOW_FOR_A_SECOND.to_owned());
    let scenario = Arc::new(scenario.unwrap_or_else(|error| panic!("{error}")));
    for world in [World::Turmoil, World::Flow, World::Tcp] {
        let job = Job { scenario: Arc::clone(&scenario), seed: 1, world, cell: 0 };
        let done = job.execute_alone(None).expect("it runs");
        let recovery = &done.outcome.expectations[0].judgement;
        assert_eq!(recovery.held, Held::Yes, "{world:?}: {recovery:?}");
    }
}

/// Pieces that nobody else has, each a block.
const UNREADABLE_AT_THE_SOURCE: &str = r#"
schema = 1
name = "unreadable at the source"
clock = { deadline = "DEADLINE" }
group = [
    { name = "tracker" },
    { name = "seed", up = "16 Mbit/s" },
    { name = "leech", count = 3, up = "16 Mbit/s" },
]
content = [{ name = "image.bin", size = "1 MiB", piece = "16 KiB" }]
event = [
    { id = "bad", at = "10ms", FOR do = "disk-unreadable", on = "seed", with = { pieces = "20..40" } },
    RESTART
]
expect = [{ that = "complete" }]
"#;

/// Every other piece arrives: what is missing is what cannot be read, and nothing else is taken for it.
#[test]
fn what_the_only_source_cannot_read_is_missing_and_the_reason_is_told() {
    let run = |lasts: &str, deadline: &str, restarts: bool, world| {
        let restart = "{ at = '20s', do = 'restart', on = 'seed' },";
        let text = UNREADABLE_AT_THE_SOURCE.replace("FOR", lasts).replace("DEADLINE", deadline);
        let text = text.replace("RESTART", if restarts { restart } else { "" });
        let scenario = Scenario::read(Path::new("bad.toml"), text);
        let scenario = Arc::new(scenario.unwrap_or_else(|error| panic!("{error}")));
        let job = Job { scenario, seed: 1, world, cell: 0 };
        let done = job.execute_alone(None).expect("it runs");
        let failed = |entry: &&Entry| entry.kind().name() == "store-failed";
        (done.outcome, done.log.entries.iter().filter(failed).count())
    };
    for world in [World::Turmoil, World::Flow] {
        let (outcome, failed) = run("", "30s", true, world);
        assert_eq!(failed, 20, "{world:?}: each of them, and no other");
        assert_eq!(outcome.verdict, Verdict::NotLive, "{world:?}: {:#?}", outcome.failures());
        assert_eq!(outcome.idle_faults().count(), 0, "{world:?}");
        let judgement = &outcome.expectations[0].judgement;
        assert_eq!(judgement.findings.len(), 3, "{world:?}: {judgement:#?}");
        for finding in &judgement.findings {
            let reason = "; piece 20 cannot be read at seed-0, and nobody else has it";
            assert!(finding.what.contains("has 44 of 64 pieces"), "{world:?}: {}", finding.what);
            assert!(finding.what.ends_with(reason), "{world:?}: {}", finding.what);
        }
        // Once it can be read, a process that starts finds it.
        let (outcome, _) = run("for = '15s',", "30s", true, world);
        assert_eq!(outcome.verdict, Verdict::Passed, "{world:?}: {:#?}", outcome.failures());
        // So does one that runs, half a minute after it could not.
        let (outcome, failed) = run("for = '15s',", "40s", false, world);
        assert_eq!(outcome.verdict, Verdict::Passed, "{world:?}: {:#?}", outcome.failures());
        assert_eq!(failed, 20, "{world:?}: nobody asked for them meanwhile");
    }
}
