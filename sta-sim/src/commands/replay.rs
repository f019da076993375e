//! `sta-sim replay`: runs a capsule, and says whether it came to the same. See `cli.rs` for its arguments.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::ReplayArgs;
use crate::commands::bar::Bar;
use crate::commands::deliver;
use crate::commands::tell::note;
use crate::execute::{Done, Job, exit_of};
use crate::exit::Exit;
use crate::scenario::capsule::is_edited;
use crate::scenario::load::Scenario;
use crate::scenario::plan::World;
use crate::scenario::schema::{Capsule, WorldName};

/// Runs the capsule. Ends as its run does, or with [`Exit::Diverged`] if nodes and trackers did not say the same.
#[must_use]
pub fn main(args: &ReplayArgs) -> Exit {
    match replay(args) {
        Ok(exit) => exit,
        Err(error) => {
            note!("error: {error}");
            Exit::CouldNotStart
        }
    }
}

fn replay(args: &ReplayArgs) -> Result<Exit, Box<dyn std::error::Error>> {
    let mut job = job(Scenario::open(&args.capsule)?)?;
    let own = job.world;
    job.world = args.output.world.map_or(own, World::from);
    let done = job.execute_alone(Some(&Bar::new()))?.by_itself().with_hosts(args.output.hosts);
    let out =
        args.output.out.clone().unwrap_or_else(|| PathBuf::from(deliver::OUT).join("replays"));
    let delivered = deliver::write(&job, &done, &out)?;
    deliver::print(&done, &delivered, args.output.json)?;
    let verdict = exit_of(done.outcome.verdict);
    if !done.outcome.repeats {
        note!("the tcp world runs in real time: this was a run of its own, with the same faults");
        return Ok(verdict);
    }
    if job.world != own {
        note!(
            "the capsule was written in the {own} world: this was a run of its own, with the same faults"
        );
        return Ok(verdict);
    }
    if is_edited(job.scenario.file()) {
        note!("the capsule was edited: this was a run of its own, and nothing is compared");
        return Ok(verdict);
    }
    if came_to_the_same(&job, &done) {
        note!("the same as when the capsule was written: every event of every node and tracker");
        return Ok(verdict);
    }
    let Capsule { version, failed, evidence, .. } = capsule(&job.scenario)?;
    note!("NOT the same as when the capsule was written, by {version}:");
    note!("  then      {failed}: {evidence}");
    note!(
        "  If the program has changed since, that may be why: a capsule holds the faults, not the code."
    );
    Ok(Exit::Diverged)
}

/// The run that a capsule holds.
///
/// # Errors
/// If it is no capsule.
pub fn job(scenario: Scenario) -> Result<Job, String> {
    let capsule = capsule(&scenario)?;
    let world = match capsule.world {
        WorldName::Turmoil => World::Turmoil,
        WorldName::Flow => World::Flow,
        WorldName::Tcp => World::Tcp,
    };
    let seed = capsule.seed;
    Ok(Job { scenario: Arc::new(scenario), seed, world, cell: 0 })
}

/// Whether the run of a capsule came to what is written in it, as far as its world promises that.
#[must_use]
pub fn came_to_the_same(job: &Job, done: &Done) -> bool {
    !done.outcome.repeats
        || capsule(&job.scenario).is_ok_and(|capsule| capsule.log_hash == done.log.hashes().said)
}

fn capsule(scenario: &Scenario) -> Result<&Capsule, String> {
    let path = scenario.path().display();
    scenario.file().capsule.as_ref().ok_or_else(|| {
        format!("{path} is a scenario, not a capsule: it has no [capsule]; use sta-sim run {path} --seed N")
    })
}
