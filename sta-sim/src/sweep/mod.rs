//! Many runs: which there are, and how they are run side by side.
//!
//! Results come in the order of the runs, whichever ends first: what is found is told the same way every time. What they add up to is
//! [`tally`]'s business, what a person sees of it [`summary`]'s.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::execute::{Done, ExecuteError, Job};
use crate::scenario::load::Scenario;
use crate::scenario::plan::World;

pub mod compare;
pub mod summary;
pub mod tally;

/// What a scenario adds to a sweep.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The file.
    pub scenario: Arc<Scenario>,
    /// Its seeds.
    pub seeds: Range<u64>,
    /// Where it runs.
    pub world: World,
}

/// Every run of these scenarios, by seed, so that each scenario is met early. `shard` is which part of how many.
#[must_use]
pub fn jobs(asked: &[Asked], shard: (u64, u64)) -> Vec<Job> {
    let counts = asked.iter().map(|asked| asked.seeds.end.saturating_sub(asked.seeds.start));
    let mut jobs = Vec::new();
    for offset in 0..counts.max().unwrap_or(0) {
        for Asked { scenario, seeds, world } in asked {
            let seed = seeds.start.saturating_add(offset);
            if seeds.contains(&seed) {
                let job = |cell| Job { scenario: Arc::clone(scenario), seed, world: *world, cell };
                jobs.extend((0..scenario.cells()).map(job));
            }
        }
    }
    let (index, of) = shard;
    let mine = |number: u64| number % of.max(1) == index;
    jobs.into_iter().zip(0..).filter(|(_, number)| mine(*number)).map(|(job, _)| job).collect()
}

/// Makes every run, `threads` at a time. `brief` takes what is needed of each, on the thread that ran it: its log is given back where it was
/// taken. `each` gets that, one at a time and in the order of the jobs. Stops early once `stop` is set; runs that are under way then
/// still end.
pub fn run_all<B: Send>(
    jobs: &[Job],
    threads: usize,
    stop: &AtomicBool,
    brief: impl Fn(Result<Done, ExecuteError>) -> B + Sync,
    each: impl FnMut(&Job, B) + Send,
) {
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(InOrder { next: 0, waiting: BTreeMap::new(), each });
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(number) else { return };
            let brief = brief(job.execute_alone(None));
            // Poisoned if it has panicked elsewhere, which ends the sweep.
            let Ok(mut ended) = ended.lock() else { return };
            ended.add(jobs, number, brief);
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let InOrder { waiting, mut each, .. } =
        ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    // What ended beyond a run that was not made any more.
    waiting.into_iter().for_each(|(number, brief)| each(&jobs[number], brief));
}

/// Passes on what ends in any order, as it was numbered.
struct InOrder<B, E> {
    next: usize,
    waiting: BTreeMap<usize, B>,
    each: E,
}

impl<B, E: FnMut(&Job, B)> InOrder<B, E> {
    fn add(&mut self, jobs: &[Job], number: usize, brief: B) {
        self.waiting.insert(number, brief);
        while let Some(brief) = self.waiting.remove(&self.next) {
            (self.each)(&jobs[self.next], brief);
            self.next += 1;
        }
    }
}

/// How often something happened per second of real time.
#[must_use]
pub fn per_second(count: f64, took: Duration) -> f64 {
    count / took.as_secs_f64().max(1e-6)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{Asked, Job, Scenario, World, jobs, run_all};

    /// A scenario that is refused when it is to run, so that these tests run nothing.
    fn asked(seeds: std::ops::Range<u64>, cells: u32) -> Asked {
        let deadlines: Vec<String> = (1..=cells).map(|n| format!("\"{n}s\"")).collect();
        let cells = deadlines.join(", ");
        let text = format!(
            "schema = 1\nname = \"x\"\nclock = {{ deadline = \"1s\" }}\ngroup = [{{ name = \"tracker\" }}]\n\
             content = [{{ name = \"x\", size = \"1 MiB\" }}]\nexpect = [{{ that = \"manners\" }}]\n\
             matrix = {{ \"clock.deadline\" = [{cells}] }}\n"
        );
        let scenario = Scenario::read(Path::new("x.toml"), text).expect("a scenario");
        Asked { scenario: Arc::new(scenario), seeds, world: World::Tcp }
    }

    #[test]
    fn jobs_meet_every_scenario_early_and_shards_are_a_partition() {
        let asked = [asked(5..8, 2), asked(0..1, 1)];
        let short = |jobs: Vec<Job>| -> Vec<(usize, usize, u64)> {
            jobs.iter().map(|job| (job.scenario.cells(), job.cell, job.seed)).collect()
        };
        let all = short(jobs(&asked, (0, 1)));
        assert_eq!(
            all,
            [(2, 0, 5), (2, 1, 5), (1, 0, 0), (2, 0, 6), (2, 1, 6), (2, 0, 7), (2, 1, 7)]
        );
        let mut parts: Vec<_> = (0..3).flat_map(|index| short(jobs(&asked, (index, 3)))).collect();
        parts.sort_by_key(|job| all.iter().position(|other| other == job));
        assert_eq!(parts, all);
        assert!(jobs(&[], (0, 1)).is_empty());
    }

    #[test]
    fn every_job_ends_once_and_a_stop_is_obeyed() {
        let all = jobs(&[asked(0..40, 1)], (0, 1));
        let (stop, turn, mut seen) = (AtomicBool::new(false), AtomicUsize::new(0), vec![]);
        // They end in another order than that of the jobs.
        let brief = |result: Result<_, _>| {
            let first = turn.fetch_add(1, Ordering::Relaxed) == 0;
            std::thread::sleep(Duration::from_millis(if first { 50 } else { 1 }));
            result.is_err()
        };
        run_all(&all, 3, &stop, brief, |job, refused| {
            assert!(refused);
            seen.push(job.seed);
        });
        assert!(seen.into_iter().eq(0..40), "in order");
        let mut after = 0;
        let stopped = |_| stop.store(true, Ordering::Relaxed);
        run_all(&all, 3, &stop, stopped, |_, ()| after += 1);
        // Each of the three threads has one under way when it is stopped, if it has begun at all.
        assert!((1..=3).contains(&after), "{after} jobs ended though the first stopped it");
    }
}
