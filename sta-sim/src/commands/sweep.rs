//! `sta-sim sweep`: runs scenarios with many seeds, side by side, and groups the failures by cause.
//!
//! The first run of each cause gets a folder and a capsule, and the capsule is run again before it is believed. Ctrl-C ends
//! the sweep after the runs under way, and prints what was found so far; a second one ends it at once.
//! So does the first failure, where that is asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::SweepArgs;
use crate::commands::tell::{note, say};
use crate::commands::{deliver, files, interrupt, replay};
use crate::execute::{Done, ExecuteError, Job, wall_clock};
use crate::exit::Exit;
use crate::outcome::Outcome;
use crate::report::words::speed_words;
use crate::scenario::load::Scenario;
use crate::scenario::plan::{Plan, World};
use crate::sweep::summary::summary;
use crate::sweep::tally::{New, Tally};
use crate::sweep::{Asked, jobs, per_second, run_all};

/// Runs what is asked. Nothing runs if a file is wrong.
#[must_use]
pub fn main(args: &SweepArgs) -> Exit {
    let asked = match asked(args) {
        Ok(asked) => asked,
        Err(error) => {
            note!("error: {error}");
            return Exit::CouldNotStart;
        }
    };
    let shard = args.shard.map_or((0, 1), |shard| (shard.index, shard.of));
    let jobs = jobs(&asked, shard);
    let stop = Arc::new(AtomicBool::new(false));
    let interrupted = interrupt::stop_at_ctrl_c(&stop);
    // Runs in real time would take the processors from each other.
    let usual = || if asked.iter().any(|asked| asked.world == World::Tcp) { 1 } else { cores() };
    let threads = args.jobs.map_or_else(usual, |jobs| jobs as usize);
    let out = args.output.out.clone().unwrap_or_else(|| PathBuf::from(deliver::OUT));
    let bar = progress(jobs.len() as u64);
    let (begin, mut tally) = (wall_clock(), Tally::default());
    let brief = |result: Result<Done, ExecuteError>| {
        bar.inc(1);
        result.map(|done| {
            let done = done.with_hosts(args.output.hosts);
            let line = args.output.json.then(|| json_line(&done));
            (line, Brief::of(done))
        })
    };
    run_all(&jobs, threads, &stop, brief, |job, result| {
        match result {
            Ok((line, ended)) => {
                line.inspect(|line| say(line));
                add(&mut tally, job, &ended, &out, &bar);
            }
            Err(error) => tally.refuse(error.to_string()),
        }
        if args.fail_fast && tally.failed() > 0 {
            stop.store(true, Ordering::Relaxed);
        }
        let (speed, took) = (tally.simulated.as_secs_f64(), begin.elapsed());
        bar.set_message(format!(
            "{} failed, {} times real time",
            tally.failed(),
            speed_words(per_second(speed, took))
        ));
    });
    bar.finish_and_clear();
    let was_interrupted = interrupted.load(Ordering::Relaxed);
    let why = if was_interrupted { "interrupted" } else { "ended at the first failure" };
    let text = summary(&tally, (jobs.len() as u64, why), begin.elapsed());
    if args.output.json {
        tally.portion_lines().for_each(|line| say(&line));
        note!("{}", text.trim_end());
    } else {
        say(&text);
    }
    if was_interrupted { Exit::Interrupted } else { tally.exit() }
}

/// What there is to run. A world that is asked for leaves out the files that do not name it.
fn asked(args: &SweepArgs) -> Result<Vec<Asked>, Box<dyn std::error::Error>> {
    let (mut asked, mut left_out, mut more_worlds) = (Vec::new(), 0, 0);
    let wanted = args.output.world.map(World::from);
    for scenario in files::open(&args.files)? {
        scenario.check()?;
        let worlds = scenario.worlds();
        let world = wanted.or_else(|| worlds.first().copied()).unwrap_or(World::Turmoil);
        if !worlds.contains(&world) {
            left_out += 1;
            continue;
        }
        more_worlds += u32::from(wanted.is_none() && worlds.len() > 1);
        let seeds = args.seeds.clone().unwrap_or_else(|| scenario.seeds());
        asked.push(Asked { scenario: Arc::new(scenario), seeds, world });
    }
    if let (Some(world), 1..) = (wanted, left_out) {
        let word = world.name();
        if asked.is_empty() {
            let why =
                "no file names the world in `worlds`; `sta-sim run` tries one there all the same";
            return Err(format!("{word}: {why}").into());
        }
        note!("{left_out} files left out: they do not name {word} in `worlds`");
    }
    if more_worlds > 0 {
        note!(
            "{more_worlds} of {} files name more worlds than one: each is swept in its first; --world W asks for another",
            asked.len()
        );
    }
    Ok(asked)
}

/// A run that has ended: of one that passed the log is not needed.
enum Brief {
    Passed { plan: Arc<Plan>, outcome: Box<Outcome> },
    Failed(Box<Done>),
}

impl Brief {
    fn of(done: Done) -> Self {
        if done.outcome.verdict.is_failure() {
            Self::Failed(Box::new(done))
        } else {
            Self::Passed { plan: done.plan, outcome: Box::new(done.outcome) }
        }
    }
}

/// Adds a run to the tally; the first of a cause is kept, and told at once: a sweep may take hours.
fn add(tally: &mut Tally, job: &Job, ended: &Brief, out: &Path, bar: &ProgressBar) {
    let done = match ended {
        Brief::Passed { plan, outcome } => {
            tally.add(plan, outcome);
            return;
        }
        Brief::Failed(done) => done,
    };
    let New::Cause(key) = tally.add(&done.plan, &done.outcome) else { return };
    let kept = keep(job, done, out);
    bar.suspend(|| announce(done, &kept));
    let cause = tally.causes.get_mut(&key).expect("it was just added");
    if let Ok(kept) = kept {
        cause.folder = Some(kept.delivered.folder);
        cause.replay = Some(kept.delivered.replay);
        cause.confirmed = Some(kept.confirmed);
    }
}

/// A failure that has been written, and its capsule run again.
struct Kept {
    delivered: deliver::Delivered,
    confirmed: bool,
}

fn keep(job: &Job, done: &Done, out: &Path) -> Result<Kept, Box<dyn std::error::Error>> {
    let delivered = deliver::write(job, done, out)?;
    let again = replay::job(Scenario::open(&delivered.folder.join("capsule.toml"))?)?;
    let came_to = again.execute_alone(None)?;
    let same_verdict = came_to.outcome.verdict == done.outcome.verdict;
    let confirmed = same_verdict && replay::came_to_the_same(&again, &came_to);
    Ok(Kept { delivered, confirmed })
}

fn announce(done: &Done, kept: &Result<Kept, Box<dyn std::error::Error>>) {
    let outcome = &done.outcome;
    let what = match outcome.failures().first() {
        Some((check, finding)) => format!(", at {}: {check}: {}", finding.at, finding.what),
        None => format!(": {}", outcome.cause().unwrap_or_default()),
    };
    note!("seed {} of {}{what}", outcome.seed, outcome.scenario);
    match kept {
        Ok(kept) => note!("  {}", kept.delivered.replay),
        Err(error) => note!("  it could not be kept: {error}"),
    }
}

/// The outcome on a line of its own.
fn json_line(done: &Done) -> String {
    let told = done.outcome.told(done.log.hashes());
    let line = serde_json::to_string(&told).expect("an outcome has no odd map keys");
    format!("{line}\n")
}

fn progress(runs: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(runs), ProgressDrawTarget::stderr_with_hz(4));
    let style = "{elapsed_precise} [{wide_bar}] {pos}/{len}  {per_sec}  {msg}  {eta} left";
    let style = ProgressStyle::with_template(style).expect("the template is right");
    bar.with_style(style.progress_chars("=> "))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
