//! `sta-sim check`: reads scenarios without running them.

use crate::cli::CheckArgs;
use crate::commands::files;
use crate::commands::tell::{note, say};
use crate::exit::Exit;
use crate::scenario::load::Scenario;

/// Says of each file that it is right, or what is wrong with it.
#[must_use]
pub fn main(args: &CheckArgs) -> Exit {
    let files = match files::expand(&args.files) {
        Ok(files) => files,
        Err(error) => {
            note!("error: {error}");
            return Exit::CouldNotStart;
        }
    };
    let mut wrong = 0;
    for path in &files {
        match Scenario::open(path).and_then(|scenario| scenario.check()) {
            Ok(()) => say(&format!("{}: right\n", path.display())),
            Err(error) => {
                wrong += 1;
                note!("error: {error}\n");
            }
        }
    }
    if wrong > 0 {
        note!("{wrong} of {} files are wrong; nothing was run", files.len());
        return Exit::CouldNotStart;
    }
    Exit::Done
}
