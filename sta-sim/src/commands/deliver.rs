//! Hands a run over: its folder, the command that replays it, and what is printed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::commands::tell::{note, tell};
use crate::execute::{Done, Job};
use crate::report::{self, ReportError, summary::summary};
use crate::scenario::load::LoadError;

/// Where the folders of runs go, unless told otherwise.
pub const OUT: &str = "sta-runs";

/// A run that has been written.
pub struct Delivered {
    /// Its folder.
    pub folder: PathBuf,
    /// The command that runs it again.
    pub replay: String,
}

/// Why a run could not be handed over.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The scenario could not be written as a capsule.
    #[error(transparent)]
    Capsule(#[from] LoadError),
    /// The folder could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Stdout is gone.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Writes the folder of a run under `out`.
///
/// # Errors
/// If it cannot be written.
pub fn write(job: &Job, done: &Done, out: &Path) -> Result<Delivered, DeliverError> {
    let Done { plan, log, outcome } = done;
    let folder = report::begin(out, log, outcome)?;
    let capsule = job.capsule(done)?;
    let replay = format!("sta-sim replay {}", quoted(&folder.join("capsule.toml")));
    report::write(&folder, plan, log, outcome, &capsule, &replay)?;
    Ok(Delivered { folder, replay })
}

/// Prints what a run came to on stderr: its folder could not be written, and that is not to be lost as well.
pub fn print_verdict(done: &Done) {
    let again = format!("sta-sim run ... --seed {}", done.outcome.seed);
    note!("{}", summary(&done.outcome, None, &again).trim_end());
}

/// Prints a run: its summary; with `json` every event on stdout, and the summary on stderr.
///
/// # Errors
/// If stdout is gone.
pub fn print(done: &Done, delivered: &Delivered, json: bool) -> Result<(), DeliverError> {
    let text = summary(&done.outcome, Some(&delivered.folder), &delivered.replay);
    if !json {
        return Ok(tell(|stdout| write!(stdout, "{text}"))?);
    }
    let mut events = File::open(delivered.folder.join(report::EVENTS))?;
    tell(|mut stdout| io::copy(&mut events, &mut stdout).map(drop))?;
    note!("{}", text.trim_end());
    Ok(())
}

/// A path as a shell reads it back.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::quoted;

    #[test]
    fn a_path_survives_a_shell() {
        assert_eq!(quoted(Path::new("sta-runs/a-7/capsule.toml")), "sta-runs/a-7/capsule.toml");
        assert_eq!(quoted(Path::new("my runs/it's")), r"'my runs/it'\''s'");
    }
}
