//! The only place that prints: results on stdout, everything else on stderr, above the progress bars.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;
use sta_core::io::clock::{Clock as _, RuntimeClock};
use sta_core::io::observer::Observer;
use sta_core::model::event::Record;
use sta_core::model::ids::NodeId;
use sta_core::model::time::Time;

use crate::event::{ProgramEvent, ProgramRecord};
use crate::exit::{Exit, Failure};
use crate::logging;

/// Where a program prints. Cheap to clone; all clones share one screen.
#[derive(Clone, Debug)]
pub struct Output {
    program: &'static str,
    json: bool,
    terminal: bool,
    screen: MultiProgress,
    prompt: Prompt,
    /// Why a result could not be printed, if one could not.
    lost: Arc<Mutex<Option<io::Error>>>,
    /// The node or the tracker of this program, and its time.
    voice: Arc<Mutex<Option<(NodeId, RuntimeClock)>>>,
}

/// Prints above a line that is being typed.
type PrintAbove = Box<dyn FnMut(String) + Send>;

/// The line that a person is typing, if there is one.
#[derive(Clone, Default)]
struct Prompt(Arc<Mutex<Option<PrintAbove>>>);

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prompt")
    }
}

impl Output {
    /// For `program`, as JSON if the person asked for it.
    #[must_use]
    pub fn new(program: &'static str, json: bool) -> Self {
        let terminal = io::stderr().is_terminal() && !json;
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            program,
            json,
            terminal,
            screen: MultiProgress::with_draw_target(target),
            prompt: Prompt::default(),
            lost: Arc::default(),
            voice: Arc::default(),
        }
    }

    /// Whether results are JSON.
    #[must_use]
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether a person watches stderr, so that bars make sense.
    #[must_use]
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// Where bars are drawn.
    #[must_use]
    pub fn screen(&self) -> &MultiProgress {
        &self.screen
    }

    /// From now on a person types at a prompt: what is printed goes through `print`, above the prompt.
    pub fn print_through(&self, print: impl FnMut(String) + Send + 'static) {
        *self.prompt.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(print));
    }

    /// A result: one or more lines on stdout; on stderr where stdout is for programs.
    pub fn result(&self, text: impl Display) {
        if self.json {
            self.note(text);
        } else {
            self.line(text);
        }
    }

    /// A result that programs read as it is: a line on stdout, whatever else was asked.
    pub fn line(&self, text: impl Display) {
        if let Err(error) = self.print(io::stdout(), format!("{text}\n"))
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    /// How the program ends that would end with `exit`: not well, if it was asked for results and could not print one. Who closes a
    /// pipe wants no more.
    #[must_use]
    pub fn exit(&self, exit: Exit) -> Exit {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).take();
        match lost {
            Some(error) if exit == Exit::Done => {
                let failure = Failure::unmet("stdout", error);
                self.failure(&failure);
                failure.exit
            }
            _ => exit,
        }
    }

    /// A result as one line of JSON.
    pub fn json_line(&self, value: &impl Serialize) {
        let line = serde_json::to_string(value).expect("our own values become JSON");
        self.line(line);
    }

    /// Something a person wants to know that is not the result.
    pub fn note(&self, text: impl Display) {
        // There is nobody to tell that nobody can be told.
        let _ = self.print(io::stderr(), format!("{text}\n"));
    }

    /// Prints in one piece.
    fn print(&self, mut to: impl Write, text: String) -> io::Result<()> {
        match &mut *self.prompt.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(above) => {
                above(text);
                Ok(())
            }
            None if self.terminal => self.screen.suspend(|| to.write_all(text.as_bytes())),
            None => to.write_all(text.as_bytes()).and_then(|()| to.flush()),
        }
    }

    /// Why it does not work, and the program ends.
    pub fn failure(&self, failure: &Failure) {
        self.note(format_args!("{}: {failure}", self.program));
        self.say_failed(failure, Some(failure.exit));
    }

    /// Why something does not work, though the program goes on and need not end otherwise for it.
    pub fn complaint(&self, failure: &Failure) {
        self.note(format_args!("{}: {failure}", self.program));
        self.say_failed(failure, None);
    }

    /// What was typed is no command line: a person is told so by clap, a program by the same event as of every failure.
    pub fn usage(program: &'static str, error: &clap::Error) -> ! {
        // What was asked for is not known, but that it was written.
        let json = std::env::args_os().any(|arg| arg == "--json");
        if error.use_stderr() {
            let said = error.to_string();
            let why = said.lines().take_while(|line| !line.is_empty()).map(str::trim);
            let why = why.collect::<Vec<_>>().join(" ");
            let failure = Failure::start("the command line", why.trim_start_matches("error: "))
                .advise(format!("{program} --help shows what can be written"));
            Self::new(program, json).say_failed(&failure, Some(failure.exit));
        }
        error.exit()
    }

    /// Tells programs of a failure.
    pub(crate) fn say_failed(&self, failure: &Failure, exit: Option<Exit>) {
        let Failure { what, why, advice, .. } = failure.clone();
        self.event(ProgramEvent::Failed { what, why, advice, exit: exit.map(|exit| exit as u8) });
    }

    /// From now on the program's own events are those of `id`, in the time of `clock`.
    pub(crate) fn speak_for(&self, id: NodeId, clock: RuntimeClock) {
        *self.voice.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, clock));
    }

    /// Prints an event of the program, where events are asked for.
    pub(crate) fn event(&self, event: ProgramEvent) {
        if !self.json {
            return;
        }
        let voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (who, at) = match voice {
            Some((id, clock)) => (id, clock.now()),
            None => (self.program.parse().expect("letters and a dash"), Time::ZERO),
        };
        self.json_line(&ProgramRecord { at, who, event });
    }

    /// Logs each event, and prints it as a line of JSON where that was asked for.
    #[must_use]
    pub fn events(&self) -> Arc<dyn Observer> {
        let output = self.clone();
        Arc::new(move |record: &Record| {
            logging::event(record);
            if output.json {
                output.json_line(record);
            }
        })
    }

    /// Log lines go to stderr, above the bars.
    #[must_use]
    pub fn log_writer(&self) -> impl Write + use<> {
        LogWriter(self.clone())
    }
}

struct LogWriter(Output);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // As for every note.
        let _ = self.0.print(io::stderr(), String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A table for people: the columns' names, then the rows. Columns whose name starts with `>` are figures.
#[must_use]
pub fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let figure = |column: usize| columns[column].starts_with('>');
    let cell = |(column, text): (usize, String)| {
        let align = if figure(column) { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(text).set_alignment(align)
    };
    let names = columns.iter().map(|name| name.trim_start_matches('>').to_owned());
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(names.enumerate().map(cell));
    for row in rows {
        table.add_row(row.into_iter().enumerate().map(cell));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
