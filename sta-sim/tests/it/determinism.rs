//! The same scenario and seed give the same events, byte for byte: in another process, and after other runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sta_sim::commands::diff::compare;
use sta_sim::execute::{Done, ExecuteError, Job};
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::World;
use sta_sim::sweep::run_all;

/// Seeds of each smoke scenario.
const SEEDS: u64 = 4;

fn smoke_scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/smoke");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

/// The events of a run in a fresh process.
fn events(file: &Path, seed: u64) -> String {
    let out = tempfile::tempdir().expect("a temporary folder");
    let file = file.canonicalize().expect("it is there");
    let output = Command::new(env!("CARGO_BIN_EXE_sta-sim"))
        .current_dir(out.path())
        .args(["run", "--json", "--world", "turmoil", "--seed", &seed.to_string()])
        .arg(&file)
        .output()
        .expect("the binary was built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(2), "{}: {said}", file.display());
    String::from_utf8(output.stdout).expect("events are text")
}

#[test]
fn two_processes_give_the_same_events() {
    let files = smoke_scenarios();
    assert!(!files.is_empty(), "there is something to compare");
    for file in files {
        for seed in 0..SEEDS {
            let (a, b) = (events(&file, seed), events(&file, seed));
            assert!(a.lines().count() > 10, "{} seed {seed} is no run", file.display());
            assert!(a == b, "{} seed {seed}: {}", file.display(), compare(&a, &b).text);
        }
        assert_ne!(events(&file, 0), events(&file, 1), "a seed makes a difference");
    }
}

#[test]
fn a_run_on_a_thread_that_others_have_used_is_as_on_a_fresh_one() {
    let open = |file: &PathBuf| Arc::new(Scenario::open(file).expect("a scenario"));
    let scenarios: Vec<Arc<Scenario>> = smoke_scenarios().iter().map(open).collect();
    let job = |scenario: &Arc<Scenario>, seed| {
        let (scenario, world) = (Arc::clone(scenario), World::Flow);
        Job { scenario, seed, world, cell: 0 }
    };
    let jobs: Vec<Job> =
        (0..2).flat_map(|seed| scenarios.iter().map(move |scenario| job(scenario, seed))).collect();
    let hash =
        |result: Result<Done, ExecuteError>| result.expect("it runs").log.hashes().hash.clone();
    let mut after_others = Vec::new();
    run_all(&jobs, 1, &AtomicBool::new(false), hash, |_, hash| after_others.push(hash));
    assert_eq!(after_others.len(), jobs.len());
    for (job, after_others) in jobs.iter().zip(after_others) {
        let fresh = std::thread::scope(|scope| {
            hash(scope.spawn(|| job.execute(None)).join().expect("it does not panic"))
        });
        assert_eq!(fresh, after_others, "{} seed {}", job.scenario.name(), job.seed);
    }
}
