//! `sta-sim calibrate`: runs scenarios in every world, and prints the times of completion side by side.

use std::sync::Arc;

use crate::calibrate::{Comparison, WORLDS, compare, sample};
use crate::cli::CalibrateArgs;
use crate::commands::bar::Bar;
use crate::commands::files;
use crate::commands::tell::{note, say};
use crate::execute::{ExecuteError, Job};
use crate::exit::Exit;
use crate::scenario::load::Scenario;

/// Ends with [`Exit::Failed`] if worlds disagree. Nothing runs if a file is wrong, or a world cannot do what it asks.
#[must_use]
pub fn main(args: &CalibrateArgs) -> Exit {
    calibrate(args).unwrap_or_else(|error| {
        note!("error: {error}");
        Exit::CouldNotStart
    })
}

fn calibrate(args: &CalibrateArgs) -> Result<Exit, Box<dyn std::error::Error>> {
    let mut cells = Vec::new();
    for scenario in files::open(&args.files)? {
        let scenario = Arc::new(scenario);
        for cell in 0..scenario.cells() {
            for world in WORLDS {
                scenario.plan(scenario.seeds().start, world, cell)?;
            }
            cells.push((Arc::clone(&scenario), cell));
        }
    }
    let mut exit = Exit::Done;
    for (scenario, cell) in cells {
        let comparison = run(args, &scenario, cell)?;
        if !comparison.agrees() {
            exit = Exit::Failed;
        }
        let text = if args.json { serde_json::to_string(&comparison)? } else { comparison.text() };
        say(&format!("{text}\n"));
    }
    Ok(exit)
}

fn run(
    args: &CalibrateArgs,
    scenario: &Arc<Scenario>,
    cell: usize,
) -> Result<Comparison, Box<dyn std::error::Error>> {
    let first = scenario.seeds().start;
    let seeds = args.seeds.clone().unwrap_or(first..first + 1);
    let mut samples = Vec::new();
    for world in WORLDS {
        let job = |seed| Job { scenario: Arc::clone(scenario), seed, world, cell };
        let runs = seeds.clone().map(|seed| job(seed).execute_alone(Some(&Bar::new())));
        let runs = runs.map(|done| Ok(sample(&done?)));
        samples.push(runs.collect::<Result<Vec<_>, ExecuteError>>()?);
    }
    let plan = scenario.plan(first, WORLDS[0], cell)?;
    Ok(Comparison {
        scenario: plan.name.clone(),
        bound: plan.bound().map(|bound| bound.best()),
        cell: plan.cell,
        rows: compare(samples),
    })
}
