//! A small swarm for tests of what a world does: a tracker, a seed, four receivers, and whatever the story adds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sta_sim::flow;
use sta_sim::outcome::Outcome;
use sta_sim::runlog::RunLog;
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::{Plan, World};
use sta_sim::verdict::judge;
use sta_sim::world::staged_world;

const SWARM: &str = r#"
schema = 1
name = "a story"
worlds = ["turmoil", "flow", "tcp"]
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

/// The plan of the swarm with `more` in its file.
pub(crate) fn plan(more: &str, seed: u64, world: World) -> Arc<Plan> {
    let text = format!("# A story.\n{SWARM}\n{more}");
    let scenario = Scenario::read(Path::new("story.toml"), text).unwrap_or_else(|e| panic!("{e}"));
    Arc::new(scenario.plan(seed, world, 0).unwrap_or_else(|e| panic!("{e}")))
}

/// The swarm with `more` in its file, run and judged.
pub(crate) fn run(more: &str, seed: u64, world: World) -> (Outcome, RunLog) {
    let plan = plan(more, seed, world);
    let log = match world {
        World::Turmoil => staged_world::on_turmoil(&plan, None).expect("few hosts"),
        World::Flow => flow::world::run(&plan, None, None).expect("nothing that it cannot honour"),
        World::Tcp => staged_world::over_tcp(&plan, None).expect("few hosts, and ports for them"),
    };
    (judge(&plan, &log, Duration::ZERO), log)
}
