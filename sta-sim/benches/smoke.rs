//! Seeds per second of the smoke scenarios on turmoil, a thread for each core: `cargo bench -p sta-sim --bench smoke`.
//!
//! The bar is 20 seeds of `flash-crowd` (8 nodes, 8 MiB) a second on two cores.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::World;
use sta_sim::verdict::judge;
use sta_sim::world::staged_world;

/// The one that `sta-sim` uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each scenario is measured.
const MEASURED: Duration = Duration::from_secs(5);

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/smoke");
    let entries = std::fs::read_dir(folder).expect("the smoke scenarios are there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for file in files {
        let scenario = Scenario::open(&file).unwrap_or_else(|error| panic!("{error}"));
        if scenario.worlds().contains(&World::Turmoil) {
            measure(&scenario, threads);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures this machine's time")]
fn measure(scenario: &Scenario, threads: usize) {
    let (next, simulated) = (AtomicU64::new(0), AtomicU64::new(0));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while begin.elapsed() < MEASURED {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let plan = scenario.plan(seed, World::Turmoil, 0);
                    let plan = Arc::new(plan.unwrap_or_else(|error| panic!("{error}")));
                    let log = staged_world::on_turmoil(&plan, None).expect("it fits");
                    simulated.fetch_add(log.end.as_nanos() / 1_000_000, Ordering::Relaxed);
                    std::hint::black_box(judge(&plan, &log, Duration::ZERO));
                }
            });
        }
    });
    let (took, seeds) = (begin.elapsed().as_secs_f64(), next.into_inner());
    let simulated = simulated.into_inner() as f64 / 1e3;
    let name = scenario.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    println!(
        "{name:<30} {:6.1} seeds/s on {threads} threads, {:.1} ms of a core each, {:.0} times real time",
        seeds as f64 / took,
        took * threads as f64 * 1e3 / seeds as f64,
        simulated / took,
    );
}
