//! Where log lines go: stderr, above the progress bars, or a file. Never stdout. What happens is told as events; the rest is what went wrong
//! inside.

use std::fs::File;
use std::path::Path;

use sta_core::model::event::{Event, Record};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::Settings;
use crate::exit::Failure;
use crate::output::Output;

/// Sets up logging for the process; `file` is a path below the logs directory, or an absolute one.
///
/// # Errors
/// If `log-level` is not one, or the file cannot be made.
pub fn init(settings: &Settings, file: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(settings)?);
    match file {
        None => {
            let output = output.clone();
            lines.with_ansi(output.terminal()).with_writer(move || output.log_writer()).init();
        }
        Some(name) => {
            let file = create(&settings.directories.logs, name)?;
            lines.with_ansi(false).with_writer(file).init();
        }
    }
    Ok(())
}

/// What is logged.
///
/// # Errors
/// If `log-level` is not one.
pub fn filter(settings: &Settings) -> Result<EnvFilter, Failure> {
    let level = &settings.log_level;
    let wrong = |reason: &dyn std::fmt::Display| {
        Failure::start(format_args!("log-level {level:?}"), reason)
            .advise("write error, warn, info, debug or trace, or a list like info,sta_core=debug")
    };
    // A word alone that is no level would be taken for the name of a part of the program, and nothing be logged.
    let is_odd = |word: &str| !word.contains('=') && word.trim().parse::<LevelFilter>().is_err();
    if let Some(odd) = level.split(',').find(|word| is_odd(word)) {
        return Err(wrong(&format_args!("{odd:?} is no level")));
    }
    EnvFilter::builder().parse(level).map_err(|reason| wrong(&reason))
}

/// Logs an event as it is in JSON: of single blocks at `trace`, of single pieces at `debug`, all else at `info`.
pub fn event(record: &Record) {
    let text = || serde_json::to_string(record).expect("our own values become JSON");
    match &record.event {
        Event::BlockAsked { .. }
        | Event::BlockSent { .. }
        | Event::BlockReceived { .. }
        | Event::LeavesVerified { .. } => tracing::trace!("{}", text()),
        Event::PieceVerified { .. } | Event::PieceAnnounced { .. } => {
            tracing::debug!("{}", text());
        }
        _ => tracing::info!("{}", text()),
    }
}

/// Opens the file. The logs directory is made; other folders are a person's, and may be misspelt.
fn create(logs: &Path, name: &Path) -> Result<File, Failure> {
    let path = logs.join(name);
    if name.is_relative() {
        std::fs::create_dir_all(logs).map_err(|reason| {
            Failure::start(logs.display(), reason)
                .advise("choose another logs directory: --set directories.logs=DIR")
        })?;
    }
    File::options().create(true).append(true).open(&path).map_err(|reason| {
        match path.parent().filter(|folder| !folder.exists()) {
            Some(folder) => Failure::start(
                path.display(),
                format_args!("the folder {} is missing", folder.display()),
            )
            .advise("make it, or name another file with --log-file"),
            None => {
                Failure::start(path.display(), reason).advise("name another file with --log-file")
            }
        }
    })
}
