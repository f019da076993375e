//! Where log lines go: stderr, above the progress bars, or a file. Never stdout. What happens is told as events; the rest is what went wrong
//! inside.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    // The library would tell stderr of every line that cannot be written, and end the program where it cannot be told either.
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter(settings)?).log_internal_errors(false);
    match file {
        None => {
            let output = output.clone();
            lines.with_ansi(output.terminal()).with_writer(move || output.log_writer()).init();
        }
        Some(name) => {
            let file = create(&settings.directories.logs, name, output)?;
            lines.with_ansi(false).with_writer(Arc::new(file)).init();
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

/// A file that is logged to. What goes wrong with a log is no reason to stop the work: it is told once.
struct LogFile {
    path: PathBuf,
    file: File,
    output: Output,
    told: AtomicBool,
}

impl LogFile {
    fn tell(&self, reason: &io::Error) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let failure = Failure::unmet(self.path.display(), reason)
                .advise("lines of the log are lost, and the work goes on; make room, or name another file with --log-file");
            self.output.complaint(&failure);
        }
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(error) = (&self.file).write_all(line) {
            self.tell(&error);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the file. The logs directory is made; other folders are a person's, and may be misspelt.
fn create(logs: &Path, name: &Path, output: &Output) -> Result<LogFile, Failure> {
    let path = logs.join(name);
    if name.is_relative() {
        std::fs::create_dir_all(logs).map_err(|reason| {
            Failure::start(logs.display(), reason)
                .advise("choose another logs directory: --set directories.logs=DIR")
        })?;
    }
    let opened = File::options().create(true).append(true).open(&path);
    let file = opened.map_err(|reason| match path.parent().filter(|folder| !folder.exists()) {
        Some(folder) => Failure::start(
            path.display(),
            format_args!("the folder {} is missing", folder.display()),
        )
        .advise("make it, or name another file with --log-file"),
        None => Failure::start(path.display(), reason).advise("name another file with --log-file"),
    })?;
    Ok(LogFile { path, file, output: output.clone(), told: AtomicBool::new(false) })
}
