//! Disks take the same time in every world.

use std::path::Path;
use std::sync::Arc;

use sta_sim::checks::Held;
use sta_sim::execute::Job;
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
        let done = job.execute_alone().expect("it runs");
        let recovery = &done.outcome.expectations[0].judgement;
        assert_eq!(recovery.held, Held::Yes, "{world:?}: {recovery:?}");
    }
}
