//! `sta-sim explain`: what a scenario can say, or what one will do.

use crate::cli::ExplainArgs;
use crate::commands::tell::{note, say};
use crate::exit::Exit;
use crate::scenario::load::{LoadError, Scenario};
use crate::scenario::{explain, reference};

/// Prints the keys, the JSON Schema, or the timeline and the bound of a file.
#[must_use]
pub fn main(args: &ExplainArgs) -> Exit {
    let Some(path) = &args.file else {
        say(&if args.json_schema { reference::json_schema() } else { reference::annotated() });
        return Exit::Done;
    };
    match Scenario::open(path).and_then(|scenario| of_file(&scenario, args)) {
        Ok(text) => {
            say(&text);
            Exit::Done
        }
        Err(error) => {
            note!("error: {error}");
            Exit::CouldNotStart
        }
    }
}

fn of_file(scenario: &Scenario, args: &ExplainArgs) -> Result<String, LoadError> {
    let seed = args.seed.unwrap_or(scenario.seeds().start);
    let world = args.world.map_or(scenario.worlds()[0], Into::into);
    let mut text = String::new();
    for cell in 0..scenario.cells() {
        text.push_str(&explain::plan(&scenario.plan(seed, world, cell)?));
    }
    Ok(text)
}
