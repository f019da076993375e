//! A folder per run, for people and for programs.
//!
//! | file | what it is |
//! | --- | --- |
//! | `report.html` | the run explained, on one page without network access |
//! | `report.json` | the [`Outcome`] |
//! | `events.jsonl` | every entry of the log, one JSON object a line; the last line is the hash of those before it |
//! | `capsule.toml` | a scenario that replays the run without a random draw |
//!
//! `latest` beside the folders points at the one written last.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::outcome::Outcome;
use crate::runlog::RunLog;
use crate::scenario::plan::Plan;

pub mod chart;
pub mod html;
pub mod series;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod words;

/// Longest name of a folder, before the seed.
const NAME_MAX: usize = 60;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the report {path}: {source}; choose another folder with --out")]
pub struct ReportError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// What a run's log is called in its folder.
pub const EVENTS: &str = "events.jsonl";

/// Makes the folder of a run under `out`, with its log: whatever else is written needs the log's hash, and its lines are made once.
///
/// # Errors
/// If it cannot be written.
pub fn begin(out: &Path, log: &RunLog, outcome: &Outcome) -> Result<PathBuf, ReportError> {
    let folder = out.join(folder_name(outcome));
    std::fs::create_dir_all(&folder).map_err(fails(&folder))?;
    let path = folder.join(EVENTS);
    let events = || {
        let mut file = BufWriter::new(File::create(&path)?);
        log.write_lines(&mut file)?;
        file.flush()
    };
    events().map_err(fails(&path))?;
    Ok(folder)
}

/// Writes the rest of a run's `folder` and points `latest` at it. `capsule` is the text of `capsule.toml`, `replay` the command that
/// runs it again.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    folder: &Path,
    plan: &Arc<Plan>,
    log: &RunLog,
    outcome: &Outcome,
    capsule: &str,
    replay: &str,
) -> Result<(), ReportError> {
    let hashes = log.hashes();
    let page = html::page(plan, log, outcome, &hashes.hash, replay);
    let told = outcome.told(hashes);
    let json = serde_json::to_string_pretty(&told).expect("an outcome has no odd map keys");
    let texts =
        [("report.html", page.as_str()), ("report.json", json.as_str()), ("capsule.toml", capsule)];
    for (name, text) in texts {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(fails(&path))?;
    }
    let latest = folder.with_file_name("latest");
    point(&latest, folder).map_err(fails(&latest))
}

fn fails(path: &Path) -> impl FnOnce(io::Error) -> ReportError {
    let path = path.to_owned();
    move |source| ReportError { path, source }
}

/// `flash-crowd-turmoil-7`: letters and digits of the name, the cell and the world, and the seed. What is too long for a
/// folder ends in eight digits of its BLAKE3 instead.
#[must_use]
pub fn folder_name(outcome: &Outcome) -> String {
    let cell: String = outcome.cell.iter().map(|(_, value)| format!("-{value}")).collect();
    let own = plain(&outcome.scenario);
    let mut name = plain(&format!("{own}{cell}-{:?}", outcome.world));
    if name.len() > NAME_MAX {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        name = format!("{}-{}", name[..NAME_MAX - 9].trim_end_matches('-'), &hash[..8]);
    }
    format!("{name}-{}", outcome.seed)
}

/// The letters and digits of `text` in lower case, and one hyphen for whatever stands between them. Where letters are lost, which
/// are not ASCII, or nothing is left, eight digits of the text's BLAKE3 tell it from others.
#[must_use]
pub fn plain(text: &str) -> String {
    let text = text.to_lowercase();
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() || text.chars().any(|c| c.is_alphanumeric() && !c.is_ascii()) {
        let hash = blake3::hash(text.as_bytes()).to_hex();
        return format!("{name}-{}", &hash[..8]).trim_start_matches('-').to_owned();
    }
    name.to_owned()
}

/// Makes `latest` name `folder`: a symbolic link, or where there are none a file with the folder's name.
fn point(latest: &Path, folder: &Path) -> io::Result<()> {
    match std::fs::remove_file(latest) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let name = folder.file_name().unwrap_or_default();
    #[cfg(unix)]
    return std::os::unix::fs::symlink(name, latest);
    #[cfg(not(unix))]
    return std::fs::write(latest, name.as_encoded_bytes());
}
