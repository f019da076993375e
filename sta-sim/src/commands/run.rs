//! `sta-sim run`: runs scenarios, one seed each, and writes a folder for each run. See `cli.rs` for its arguments.

use std::path::{Path, PathBuf};

use crate::cli::{OutputArgs, RunArgs};
use crate::commands::bar::Bar;
use crate::commands::tell::note;
use crate::commands::{deliver, files};
use crate::execute::{Job, exit_of};
use crate::exit::Exit;
use crate::scenario::load::LoadError;

/// Runs what is asked, every cell of a matrix. Nothing runs if a file is wrong.
#[must_use]
pub fn main(args: &RunArgs) -> Exit {
    let jobs = match jobs(args) {
        Ok(jobs) => jobs,
        Err(error) => return could_not_start(&error),
    };
    let out = args.output.out.clone().unwrap_or_else(|| PathBuf::from(deliver::OUT));
    let mut worst = Exit::Done;
    for job in jobs {
        match run(&job, &out, &args.output) {
            Ok(exit) => worst = worst.worse(exit),
            Err(error) => return could_not_start(&*error),
        }
    }
    worst
}

fn could_not_start(error: &dyn std::error::Error) -> Exit {
    note!("error: {error}");
    Exit::CouldNotStart
}

fn jobs(args: &RunArgs) -> Result<Vec<Job>, LoadError> {
    let mut jobs = Vec::new();
    for scenario in files::open(&args.files)? {
        jobs.extend(Job::of(scenario, args.seed, args.output.world.map(Into::into)));
    }
    jobs.iter().try_for_each(|job| job.plan().map(drop))?;
    Ok(jobs)
}

fn run(job: &Job, out: &Path, output: &OutputArgs) -> Result<Exit, Box<dyn std::error::Error>> {
    let done = job.execute_alone(Some(&Bar::new()))?.by_itself().with_hosts(output.hosts);
    let delivered = deliver::write(job, &done, out);
    let delivered = delivered.inspect_err(|_| deliver::print_verdict(&done))?;
    deliver::print(&done, &delivered, output.json)?;
    Ok(exit_of(done.outcome.verdict))
}
