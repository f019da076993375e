//! What an event of the flow world costs, from 100 nodes to 10,000: `cargo bench -p sta-sim --bench flow_scale`.
//!
//! One source, receivers who all start with it, 100 Mbit/s, 16 MiB in 64 pieces. The bar: the cost of an event grows no faster than
//! the logarithm of the number of nodes. Largest sizes as arguments (`-- 1000`) leave out what is larger.

use std::path::Path;
use std::time::Instant;

use sta_core::model::event::Record;
use sta_core::model::time::Time;
use sta_sim::flow::cluster::{Cluster, Detail};
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::World;

/// The one that `sta-sim` uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u32; 5] = [100, 300, 1_000, 3_000, 10_000];

fn main() {
    let most = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    println!(
        "{:>6} {:>12} {:>9} {:>9} {:>22}",
        "nodes", "events", "s", "µs each", "µs each / log2(nodes)"
    );
    for nodes in SIZES.into_iter().filter(|nodes| *nodes <= most.unwrap_or(u32::MAX)) {
        measure(nodes);
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures this machine's time")]
fn measure(nodes: u32) {
    let scenario = Scenario::read(Path::new("flow-scale.toml"), text(nodes));
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
    let plan = scenario.plan(0, World::Flow, 0).unwrap_or_else(|error| panic!("{error}"));
    let begin = Instant::now();
    let mut cluster = Cluster::new(&plan, Box::new(|_: &Record| ()), Detail::Milestones);
    (0..plan.hosts.len() as u32).for_each(|host| cluster.start(host));
    while cluster.incomplete().next().is_some() {
        let next = cluster.next_at();
        assert!(next < Time::FAR_FUTURE, "nothing happens any more, and some lack pieces");
        cluster.run_before(Time::FAR_FUTURE);
    }
    let (took, events) = (begin.elapsed().as_secs_f64(), cluster.tally().events);
    let each = took * 1e6 / events as f64;
    let per_log = each / f64::from(nodes).log2();
    println!("{nodes:>6} {events:>12} {took:>9.2} {each:>9.2} {per_log:>22.3}");
}

fn text(nodes: u32) -> String {
    format!(
        r#"# As many nodes as wanted.
schema = 1
name = "flow scale"
worlds = ["flow"]

[clock]
deadline = "120s"

[[group]]
name = "tracker"

[[group]]
name = "seed"
up = "100 Mbit/s"
down = "100 Mbit/s"

[[group]]
name = "leech"
count = {}
up = "100 Mbit/s"
down = "100 Mbit/s"

[[content]]
name = "image.bin"
size = "16 MiB"
piece = "256 KiB"

[[expect]]
that = "complete"
within = "60s"
"#,
        nodes - 1
    )
}
