//! `sta-sim list`: the scenarios there are, and what each proves.

use crate::cli::ListArgs;
use crate::commands::files;
use crate::commands::tell::{note, say};
use crate::exit::Exit;
use crate::scenario::load::{LoadError, Scenario};
use crate::scenario::plan::World;

/// Two lines for each scenario.
#[must_use]
pub fn main(args: &ListArgs) -> Exit {
    let files = match files::expand(&args.files) {
        Ok(files) => files,
        Err(error) => {
            note!("error: {error}");
            return Exit::CouldNotStart;
        }
    };
    let mut exit = Exit::Done;
    for path in &files {
        match Scenario::open(path).and_then(|scenario| lines(&scenario)) {
            Ok(lines) => say(&lines),
            Err(error) => {
                note!("error: {error}\n");
                exit = Exit::CouldNotStart;
            }
        }
    }
    exit
}

fn lines(scenario: &Scenario) -> Result<String, LoadError> {
    let worlds: Vec<&str> = scenario.worlds().into_iter().map(World::name).collect();
    let plan = scenario.plan(scenario.seeds().start, scenario.worlds()[0], 0)?;
    let seeds = scenario.seeds().end - scenario.seeds().start;
    let cells = match scenario.cells() {
        1 => String::new(),
        cells => format!(", {cells} cells"),
    };
    let fails = plan.must_fail.as_ref().map(|check| format!(", must fail: {check}"));
    Ok(format!(
        "{}  ({} hosts, {}, {seeds} seeds{cells}{})\n    {}\n",
        scenario.path().display(),
        plan.hosts.len(),
        worlds.join(" "),
        fails.unwrap_or_default(),
        plan.about
    ))
}
