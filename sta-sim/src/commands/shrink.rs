//! `sta-sim shrink`: makes a capsule smaller that still fails in the same way: with the same verdict, by the same check. The
//! host may be another: there are fewer. Ctrl-C ends the search, and the smallest found by then is written; a second one ends it at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cli::ShrinkArgs;
use crate::commands::tell::{note, say};
use crate::commands::{interrupt, replay};
use crate::execute::{Done, Job};
use crate::exit::Exit;
use crate::outcome::Verdict;
use crate::scenario::load::Scenario;
use crate::scenario::plan::World;
use crate::scenario::schema::File;
use crate::shrink::{shrink, size};

/// Writes the smaller capsule. Ends with [`Exit::Diverged`] if the capsule does not fail any more.
#[must_use]
pub fn main(args: &ShrinkArgs) -> Exit {
    match run(args) {
        Ok(exit) => exit,
        Err(error) => {
            note!("error: {error}");
            Exit::CouldNotStart
        }
    }
}

fn run(args: &ShrinkArgs) -> Result<Exit, Box<dyn std::error::Error>> {
    let job = replay::job(Scenario::open(&args.capsule)?)?;
    if job.world == World::Tcp {
        return Err("a run of the tcp world does not repeat, so nothing can be taken out of it; use a capsule of another world".into());
    }
    let done = job.execute_alone(None)?;
    let Some(failed) = failure(&done) else {
        let path = args.capsule.display();
        if replay::came_to_the_same(&job, &done) {
            let why = "holds a run that passed: there is nothing to shrink; give the capsule of one that failed";
            return Err(format!("{path} {why}").into());
        }
        note!("{path} does not fail any more: there is nothing to shrink");
        return Ok(Exit::Diverged);
    };
    let (mut runs, most) = (0, args.runs);
    let interrupted = interrupt::stop_at_ctrl_c(&Arc::default());
    let small = shrink(job.scenario.file(), |file| {
        let fails = runs < most && !interrupted.load(Ordering::Relaxed) && {
            runs += 1;
            attempt(&job, file).and_then(|(_, done)| failure(&done)).as_ref() == Some(&failed)
        };
        if fails {
            let [events, hosts, ..] = size(file);
            note!("run {runs}: {events} events, {hosts} hosts");
        }
        fails
    });
    let (small, done) = attempt(&job, &small).ok_or("the smallest capsule cannot be run again")?;
    let out = args.output.clone().unwrap_or_else(|| smaller(&args.capsule));
    std::fs::write(&out, small.capsule(&done)?)
        .map_err(|error| format!("cannot write {}: {error}", out.display()))?;
    let [events, hosts, ..] = size(small.scenario.file());
    let path = out.display();
    say(&format!("{path}: {events} events, {hosts} hosts, after {runs} runs\n"));
    note!(
        "it fails so: {}",
        done.outcome.failures().first().map_or_else(
            || done.outcome.cause().unwrap_or_default(),
            |(check, finding)| format!("{check}: {}", finding.what),
        )
    );
    if interrupted.load(Ordering::Relaxed) {
        note!("interrupted: to go on, shrink {path}");
        return Ok(Exit::Interrupted);
    }
    if runs == most {
        note!("stopped after {most} runs; more (--runs) may make it smaller still");
    }
    Ok(Exit::Done)
}

/// What a run failed for; `None` if it passed.
fn failure(done: &Done) -> Option<(Verdict, String)> {
    let first = done.outcome.failures().first().map(|(check, _)| (*check).to_owned());
    let verdict = done.outcome.verdict;
    (verdict != Verdict::Passed).then(|| (verdict, first.unwrap_or_default()))
}

/// Runs `file` as the capsule `of` was; `None` if it is no scenario any more.
fn attempt(of: &Job, file: &File) -> Option<(Job, Done)> {
    let text = toml::to_string(file).ok()?;
    let scenario = Arc::new(Scenario::read(of.scenario.path(), text).ok()?);
    let job = Job { scenario, ..of.clone() };
    let done = job.execute_alone(None).ok()?;
    Some((job, done))
}

/// `a/capsule.toml` becomes `a/capsule.small.toml`.
fn smaller(path: &Path) -> PathBuf {
    path.with_extension("small.toml")
}
